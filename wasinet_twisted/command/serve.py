"""
C{wasinet serve}: the files of a directory by HTTP.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.python.usage import UsageError

from ..errors import InvalidArgument
from ..http import WasiResponse
from ..server import AccessLog, HttpServer, Request, files
from ..server.limits import DEFAULT_SERVER_LIMITS, ServerLimits
from ..server.static.codings import ENDINGS
from ..server.statushost import AllowedHosts, authorityOf
from ..server.urls import isLoopback, urlOf
from ..service.endpoints import checkEndpoint
from ..service.limits import SPARE, raiseDescriptors
from .ending import output, shown
from .parsers.serve import DEFAULT_LISTEN
from .running import run as runOnReactor


def run(arguments: Namespace) -> int:
    """
    Serve until a signal comes.
    """
    return runOnReactor("wasinet serve", lambda reactor: _serve(arguments, reactor))


async def _serve(arguments: Namespace, reactor: Any) -> int:
    """
    @raise InvalidArgument: what is to be served, or an endpoint, is none.
    @raise ListenFailed: an endpoint can't be listened on.
    """
    handler = files(
        arguments.directory,
        listing=not arguments.no_listing,
        dotFiles=arguments.dot_files,
        followSymlinks=arguments.follow_symlinks,
        precompressed=tuple(ENDINGS) if arguments.precompressed else (),
    )
    hosts = AllowedHosts(arguments.host)
    endpoints = [_endpoint(each) for each in arguments.listen or [DEFAULT_LISTEN]]

    async def guarded(request: Request) -> WasiResponse:
        return await handler(request) if hosts.allows(request) else _refusal(request)

    server = HttpServer(guarded, limits=_limits(reactor), reactor=reactor)
    try:
        ports = [await server.listenOn(each) for each in endpoints]
        if not (arguments.host or _isLocal(ports)):
            server.handler = handler
        for port in ports:
            output(f"serving {shown(os.path.abspath(arguments.directory))} at {urlOf(port, 'http')}")
        server.accessLog = AccessLog("-", reactor=reactor)
        await Deferred()
    finally:
        await server.drain()
        if server.accessLog is not None:
            server.accessLog.close()
    return 0


def _limits(reactor: Any) -> ServerLimits:
    """
    As many connections as there are descriptors for, each with a file.
    """
    descriptors = raiseDescriptors(reactor)
    # RLIM_INFINITY is negative.
    most = DEFAULT_SERVER_LIMITS.connections if descriptors < 0 else max((descriptors - SPARE) // 2, 1)
    return replace(DEFAULT_SERVER_LIMITS, connections=min(most, DEFAULT_SERVER_LIMITS.connections))


def _endpoint(text: str) -> str:
    try:
        return checkEndpoint("listen", text)
    except UsageError as error:
        raise InvalidArgument(str(error)) from None


def _isLocal(ports: Iterable[IListeningPort]) -> bool:
    """
    Do all ports that have an IP address listen on loopback ones, and is there one?

    A page on the web can have its own name resolve to such an address, and read what is served (DNS rebinding).
    Elsewhere, nobody knows the names by which a server is reached.
    """
    found = [port for port in ports if isinstance(port.getHost(), IPv4Address | IPv6Address)]
    return bool(found) and all(map(isLoopback, found))


def _refusal(request: Request) -> WasiResponse:
    text = f"this server doesn't answer to the name {authorityOf(request)!r:.300}; ask for localhost, or use --host\n"
    return WasiResponse(403, {"Content-Type": "text/plain; charset=utf-8"}, text)
