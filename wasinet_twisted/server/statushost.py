"""
By which names the status page may be asked for.

A page on the web can have its own name resolve to 127.0.0.1 (DNS rebinding):
to the browser, the status page then belongs to that site, whose scripts may
read it. Such a request names that site in its Host field. An IP address is no
name, so nobody can rebind one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from twisted.internet.abstract import isIPAddress, isIPv6Address

from ..errors import InvalidArgument
from ..http import RequestHead

_ALWAYS = "localhost"
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")
# RFC 1035 section 2.3.4.
_LONGEST = 253
_PORT = re.compile(r":[0-9]*\Z")


class AllowedHosts:
    """
    The names that a status page answers to: C{localhost}, every IP address, and those that are given.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """
        @param names: host names, without a port.
        @raise InvalidArgument: one of them is no host name.
        """
        self._names = {_ALWAYS, *map(checkName, names)}

    def allows(self, request: RequestHead) -> bool:
        """
        May C{request} be answered? One without a Host field (HTTP/1.0) may: every browser sends one.
        """
        authority = authorityOf(request)
        if authority is None:
            return True
        host = _PORT.sub("", authority)
        if host.startswith("[") and host.endswith("]"):
            return isIPv6Address(host[1:-1])
        return isIPAddress(host) or _withoutDot(host) in self._names


def authorityOf(request: RequestHead) -> str | None:
    """
    Whom the request is for: the authority of a target in absolute-form, else the Host field. RFC 9112 section 3.2.2.
    """
    if not request.uri.startswith("/"):
        _, colon, rest = request.uri.partition("://")
        if colon:
            return re.split("[/?]", rest, maxsplit=1)[0]
    return request.getHeader("Host")


def checkName(name: str) -> str:
    """
    @return: the name as names are compared.
    @raise InvalidArgument: it is no host name.
    """
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise InvalidArgument(f"a host must be a name such as status.example.org, without a port, not {name!r:.300}")
    return _withoutDot(name)


def _withoutDot(name: str) -> str:
    return name.lower().removesuffix(".")
