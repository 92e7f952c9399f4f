"""
C{wasinet run}: a JavaScript program on the reactor.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.python.usage import UsageError

from ..errors import InvalidArgument
from ..javascript.guestinterface import GuestLimits
from ..javascript.options import checkedTarget, trusted
from ..javascript.program import Program
from ..javascript.settings import Network, Settings
from ..javascript.wasm import raiseStack
from .ending import OutputFailed, say
from .running import run as runOnReactor

if TYPE_CHECKING:
    from ..server import ServerLimits

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
    settings = replace(settings, serverLimits=lambda: _serverLimits(reactor))
    program = Program(arguments.script, settings, output=_write, complain=_complain, reactor=reactor)
    return await (program.callFunction(arguments.call) if arguments.call else program.run())


def _settings(arguments: Namespace) -> Settings:
    network = Network(
        allowNet=arguments.allow_net,
        allowListen=arguments.allow_listen,
        connectTo=dict(map(checkedTarget, arguments.connect_to)),
        listen={port: _endpoint(text) for port, text in arguments.listen},
        caCertificates=trusted(arguments.cacert),
    )
    environment = {name: value for name in arguments.env if (value := os.environ.get(name)) is not None}
    return Settings(
        arguments=arguments.arguments,
        environment=environment,
        limits=GuestLimits(memory=arguments.memory_limit, turn=arguments.turn),
        network=network,
        failOnUnhandled=arguments.unhandled == "fail",
    )


def _serverLimits(reactor: Any) -> ServerLimits:
    # Late, as the servers are.
    from ..server.limits import DEFAULT_SERVER_LIMITS
    from ..service.limits import raiseDescriptors, withinDescriptors

    return withinDescriptors(DEFAULT_SERVER_LIMITS, raiseDescriptors(reactor))


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
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"can't write the output: {error.strerror}") from error


def _complain(text: str) -> None:
    say(_NAME, text)
