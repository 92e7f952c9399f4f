"""
C{wasinet run}: a JavaScript program on the reactor.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from dataclasses import replace
from typing import Any

from twisted.python.usage import UsageError

from ..errors import InvalidArgument
from ..javascript.guestinterface import GuestLimits
from ..javascript.program import Program
from ..javascript.settings import Network, Settings
from ..javascript.wasm import raiseStack
from ..net import TlsClient
from ..net.addresses import splitAddress
from ..server import ServerLimits
from ..service.endpoints import checkEndpoint
from ..service.limits import raiseDescriptors, withinDescriptors
from .ending import OutputFailed, say
from .running import run as runOnReactor

_NAME = "wasinet run"


def run(arguments: Namespace) -> int:
    """
    Run the program to its end.

    @return: its exit code.
    @raise InvalidArgument: the script can't be read, or an option is wrong.
    @raise NotSupported: the engine is not there.
    """
    settings = _settings(arguments)
    raiseStack()
    return runOnReactor(_NAME, lambda reactor: _run(arguments, settings, reactor))


async def _run(arguments: Namespace, settings: Settings, reactor: Any) -> int:
    settings = replace(settings, serverLimits=withinDescriptors(ServerLimits(), raiseDescriptors(reactor)))
    program = Program(arguments.script, settings, output=_write, complain=_complain, reactor=reactor)
    return await (program.callFunction(arguments.call) if arguments.call else program.run())


def _settings(arguments: Namespace) -> Settings:
    network = Network(
        allowNet=arguments.allow_net,
        allowListen=arguments.allow_listen,
        connectTo=dict(map(_checkedTarget, arguments.connect_to)),
        listen={port: _endpoint(text) for port, text in arguments.listen},
        caCertificates=_trusted(arguments.cacert),
    )
    environment = {name: value for name in arguments.env if (value := os.environ.get(name)) is not None}
    return Settings(
        arguments=arguments.arguments,
        environment=environment,
        limits=GuestLimits(memory=arguments.memory_limit, turn=arguments.turn),
        network=network,
        failOnUnhandled=arguments.unhandled == "fail",
    )


def _checkedTarget(pair: tuple[str, str]) -> tuple[str, str]:
    for each in pair:
        splitAddress(each)
    return pair


def _trusted(path: str | None) -> str | None:
    """
    Look at the file now: a connection does when it is made.
    """
    if path is not None:
        try:
            TlsClient("localhost", caCertificates=path)
        except InvalidArgument as error:
            raise InvalidArgument(f"--cacert {path}: {error}") from error
    return path


def _endpoint(text: str) -> str:
    # Late: most have none, and it loads the servers.
    from ..service.endpoints import checkEndpoint

    try:
        return checkEndpoint("listen", text)
    except UsageError as error:
        raise InvalidArgument(str(error)) from None


def _write(text: str) -> None:
    """
    @raise BrokenPipeError: nobody reads the standard output any more.
    @raise OutputFailed: it can't be written to otherwise.
    """
    if sys.stdout is None:
        return
    try:
        # Half a character has no UTF-8.
        sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8"))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"can't write the output: {error.strerror}") from error


def _complain(text: str) -> None:
    say(_NAME, text)
