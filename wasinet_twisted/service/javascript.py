"""
C{twistd wasinet-js}: runs a JavaScript program as a service.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from ..errors import InvalidArgument, WasinetError
from ..javascript.guest import read
from ..javascript.guestinterface import GuestLimits
from ..javascript.modules import readScript
from ..javascript.options import addressesOf, checkedTarget, movedPort, pairOf, portsOf, sizeOf, trusted
from ..javascript.program import Program
from ..javascript.settings import Network, Settings
from ..javascript.wasm import raiseStack
from ..server.limits import DEFAULT_SERVER_LIMITS
from ..server.serving import HttpServer
from . import exitstatus
from .command import CommandOptions, CommandService
from .endpoints import checkEndpoint
from .limits import raiseDescriptors, withinDescriptors, withLimit
from .listening import Launch
from .standardoutput import neverBlock

log = Logger()

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)

# How long the program has to end when its HTTP servers have drained, in seconds.
_GRACE = 10.0
# How the program says that nobody has caught an error.
_UNCAUGHT = ("Uncaught ", "Unhandled rejection: ", "the program was ended: ")


class Options(CommandOptions):
    """
    The options of C{wasinet-js}.
    """

    command = "wasinet-js"
    synopsis = "[options] SCRIPT [ARG...]"
    longdesc = (
        "Runs a JavaScript program in a sandbox: it has the modules wasi_net, wasi_http, http, process and util, files "
        "in its own folder that it imports, and nothing else of the machine. What it prints is in the log. When it "
        "ends, the service does."
    )
    optParameters: ClassVar = [
        ["cacert", None, None, "Trust the certificates of this PEM file instead of the system's."],
        [
            "unhandled",
            None,
            "warn",
            "What an error does that nobody has caught: warn, and go on (the default), or fail.",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = {}
        self["connect-to"] = {}
        self["allow-net"] = None
        self["allow-listen"] = None
        self["env"] = []
        self["limits"] = DEFAULT_SERVER_LIMITS
        self["turn"] = GuestLimits().turn
        self["memory-limit"] = GuestLimits().memory
        self["script"] = None
        self["arguments"] = ()

    def parseArgs(self, *arguments: str) -> None:
        """
        The script, and what it has in C{process.argv}.
        """
        if not arguments:
            raise UsageError("a script must be named")
        # A daemon may have another directory.
        self["script"] = Path(arguments[0]).absolute()
        self["arguments"] = arguments[1:]

    def opt_listen(self, text: str) -> None:
        """
        PORT=ENDPOINT: listen there instead of at this port. May be repeated.
        """
        try:
            port, endpoint = movedPort(text)
        except InvalidArgument as error:
            raise UsageError(f"--listen: {error}") from None
        self["listen"][port] = checkEndpoint("listen", endpoint)

    def opt_connect_to(self, text: str) -> None:
        """
        HOST:PORT=HOST:PORT: connect there instead. May be repeated.
        """
        try:
            given, target = checkedTarget(pairOf(text))
        except InvalidArgument as error:
            raise UsageError(f"--connect-to: {error}") from None
        self["connect-to"][given] = target

    def opt_allow_net(self, text: str) -> None:
        """
        HOST:PORT,...: what the program may connect to, also as HOST or *:PORT (default: all).
        """
        self["allow-net"] = addressesOf(text)

    def opt_allow_listen(self, text: str) -> None:
        """
        PORT,...: which ports the program may listen on (default: all).
        """
        try:
            self["allow-listen"] = portsOf(text)
        except InvalidArgument as error:
            raise UsageError(f"--allow-listen: {error}") from None

    def opt_env(self, name: str) -> None:
        """
        A variable of the environment that the program has. May be repeated.
        """
        self["env"].append(name)

    def opt_turn(self, text: str) -> None:
        """
        Seconds that the program may run on end, before it is interrupted (default: 1).
        """
        if not _NUMBER.fullmatch(text):
            raise UsageError(f"--turn: seconds are a number, such as 0.5, not {text!r}")
        self["turn"] = float(text)

    def opt_memory_limit(self, text: str) -> None:
        """
        Memory that the program may take (default: 64M).
        """
        try:
            self["memory-limit"] = sizeOf(text)
        except InvalidArgument as error:
            raise UsageError(f"--memory-limit: {error}") from None

    def opt_limits(self, text: str) -> None:
        """
        Set a bound of the HTTP servers: name=value, such as head=5 or message.body=10000000. May be repeated.
        """
        try:
            self["limits"] = withLimit(self["limits"], text)
        except InvalidArgument as error:
            raise UsageError(f"--limits {text}: {error}") from None

    def postOptions(self) -> None:
        """
        See that they can be used.
        """
        if self["unhandled"] not in ("warn", "fail"):
            raise UsageError(f"--unhandled: there are warn and fail, not {self['unhandled']!r}")
        try:
            settingsOf(self)
        except WasinetError as error:
            raise UsageError(str(error)) from None
        super().postOptions()


def settingsOf(options: Options) -> Settings:
    """
    Return what the program is started with.

    @raise InvalidArgument: an option can't be used.
    """
    network = Network(
        allowNet=options["allow-net"],
        allowListen=options["allow-listen"],
        connectTo=options["connect-to"],
        listen=options["listen"],
        caCertificates=trusted(options["cacert"]),
    )
    return Settings(
        arguments=options["arguments"],
        environment={name: value for name in options["env"] if (value := os.environ.get(name)) is not None},
        limits=GuestLimits(memory=options["memory-limit"], turn=options["turn"]),
        network=network,
        failOnUnhandled=options["unhandled"] == "fail",
    )


class ProgramService(CommandService):
    """
    A program, from the start of the service to its end, or to the program's.
    """

    def __init__(self, options: Options, *, reactor: Any = None) -> None:
        super().__init__(Launch.fromOptions(options), reactor=reactor)
        self.logTo(options)
        self._options = options
        self._program: Program | None = None
        self._starting = False
        # The last error that nobody has caught.
        self._uncaught: str | None = None
        self.atStop(self._drain, options["limits"].drain + _GRACE)

    def startService(self) -> None:
        """
        Start the engine, whose clock is a thread, which would not survive a daemon's fork; and run the script to where
        it waits for something.
        """
        super().startService()
        raiseStack()
        options = self._options
        limits = withinDescriptors(options["limits"], raiseDescriptors(self._reactor))
        self._starting = True
        try:
            program = Program(
                options["script"],
                replace(settingsOf(options), serverLimits=lambda: limits, serving=self._serves),
                output=_print,
                complain=self._complain,
                reactor=self._reactor,
            )
        except WasinetError as error:
            self.launch.fail(error)
        self._program = program
        program.run().addCallbacks(self._ended, self._broken)
        if self._uncaught is not None or (program.done.called and program.code):
            # Whatever --unhandled says: a service that can't listen has not started.
            program.stop()
            self.launch.fail(WasinetError(self._uncaught or f"the program has ended with {program.code}"))
        self._starting = False

    def _serves(self, server: HttpServer) -> None:
        if self._accessLog is not None:
            self._accessLog.serve(server)

    def _complain(self, text: str) -> None:
        if text.startswith(_UNCAUGHT):
            self._uncaught = text.partition("\n")[0]
        log.error("{text}", text=text)

    def _ended(self, code: int) -> None:
        if self._starting and (code or self._uncaught):
            # startService() says so.
            return
        if code:
            exitstatus.fail(code)
            why = f": {self._uncaught}" if self._uncaught else ""
            self.launch.say(f"the program has ended with {code}{why}")
        else:
            log.info("the program has ended")
        if self.running:
            self._reactor.callWhenRunning(self.stop)

    def _broken(self, failure: Failure) -> None:
        log.failure("the program's output failed", failure=failure)
        exitstatus.fail()
        if self.running:
            self._reactor.callWhenRunning(self.stop)

    def _drain(self) -> Any:
        return None if self._program is None else self._program.drain()


def _print(text: str) -> None:
    for line in text.splitlines():
        log.info("{line}", line=line)


def makeService(options: Options) -> IService:
    """
    What twistd and twist call.
    """
    exitstatus.prepare()
    neverBlock(options)
    service = ProgramService(options)
    try:
        # What a daemon's parent can still say in one line.
        readScript(options["script"])
        read()
    except WasinetError as error:
        service.launch.refuse(error)
    return service
