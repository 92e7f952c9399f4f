"""
What the commands share: services that listen on endpoints, and how a start that fails is told.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import Options

from ..errors import InvalidArgument, NotSupported
from ..net import ConnectionFactory
from ..net.reactors import theReactor
from ..net.server.endpoints import endpointFromString, listenFailed
from .certificates import Certificates, withCertificates

log = Logger()

# How long connections may take to end when the service stops, in seconds.
STOP_DEADLINE = 5.0

# What twistd's parent shows of an exception's line, its class included, in characters.
_SHOWN = 98


@frozen
class Launch:
    """
    How this process was started, as far as a failing start needs to know.

    @ivar command: what to call it.
    @ivar daemon: does a parent wait for the start?
    """

    command: str
    daemon: bool = False
    _pidFile: str | None = None

    @classmethod
    def fromOptions(cls, options: Options) -> Launch:
        """
        @param options: the command's, with its name as C{command}; their parents are twistd's or twist's.
        """
        parent = getattr(options, "parent", None)
        given: dict[str, Any] = {} if parent is None else dict(parent)
        command: str = options.command  # type: ignore[attr-defined]
        return cls(command, given.get("nodaemon") == 0, given.get("pidfile"))

    def fail(self, error: Exception) -> NoReturn:
        """
        End the start with one line and status 1.
        """
        if self.daemon:
            line = f"{self.command}: {error}"
            # The parent waits for a word through a pipe, which twistd sends for an ordinary exception and not for
            # SystemExit. It shows the exception's line; the traceback would only hide it in the log.
            log.critical("{line}", line=line)
            sys.excepthook = _silence
            raise OSError(_shortened(str(error), _SHOWN - len("OSError: "))) from None
        # twistd removes its PID file after an ordinary exception and not after SystemExit.
        self.removePidFile()
        self.refuse(error)

    def refuse(self, error: Exception) -> NoReturn:
        """
        The same before the start, when a daemon has not left its terminal yet.
        """
        # Not sys.stderr: twistd makes a log of that.
        print(f"{self.command}: {error}", file=sys.__stderr__)
        raise SystemExit(1)

    def say(self, error: object) -> None:
        """
        Say why the process ends, when its start is over: on the standard error; a daemon, in its log.
        """
        line = f"{self.command}: {error}"
        if self.daemon:
            log.critical("{line}", line=line)
        else:
            print(line, file=sys.__stderr__, flush=True)

    def removePidFile(self) -> None:
        """
        Remove the PID file, if it is this process's.
        """
        if self._pidFile:
            with contextlib.suppress(OSError, ValueError), open(self._pidFile) as file:
                if int(file.read()) == os.getpid():
                    os.unlink(self._pidFile)


def _shortened(text: str, most: int) -> str:
    """
    Leave out the middle: the beginning says what failed, the end why.
    """
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def _silence(*_: object) -> None:
    """
    Say nothing: it has been said.
    """


class ListeningService(Service):
    """
    Listens on one endpoint and runs a handler over each connection.

    @ivar port: what it listens with; L{None} while it doesn't.
    """

    def __init__(
        self,
        endpoint: str,
        factory: ConnectionFactory,
        launch: Launch,
        *,
        announce: Callable[[IListeningPort], object] | None = None,
        ends: bool = True,
        reactor: Any = None,
    ) -> None:
        """
        @param announce: called with the port once this listens, to say so in the log.
        @param ends: are the factory's connections to be ended when this stops, or is that for others to do?
        """
        self._text = endpoint
        self._factory = factory
        self._launch = launch
        self._announce = announce
        self._ends = ends
        self._reactor: Any = theReactor(reactor)
        self._certificates: Certificates | None = None
        self._listening: Deferred[Any] | None = None
        self.port: IListeningPort | None = None
        self._starting = True
        self._error: BaseException | None = None

    def privilegedStartService(self) -> None:
        """
        Listen, while there still are the privileges that low ports need. twist doesn't call this.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """
        Listen, if nobody has yet.
        """
        super().startService()
        if self._listening is None:
            self._listen()

    def _listen(self) -> None:
        endpoint = endpointFromString(self._reactor, self._text)
        alpn = [name.decode("ascii") for name in self._factory.acceptableProtocols()]
        try:
            self._certificates = withCertificates(endpoint, self._text, alpn)
        except (InvalidArgument, NotSupported) as error:
            self._launch.fail(listenFailed(self._text, error))
        listening: Deferred[Any] = self._factory.listen(endpoint)
        self._listening = listening
        listening.addCallbacks(self._started, self._failed)
        if self._error is not None:
            self._launch.fail(listenFailed(self._text, self._error))
        self._starting = False

    def _started(self, port: IListeningPort) -> None:
        self.port = port
        if self._announce is not None:
            self._announce(port)

    def _failed(self, failure: Failure) -> None:
        if self._starting:
            self._error = failure.value
            return
        if failure.check(CancelledError):
            # stopService has given up on it.
            return
        # An endpoint that takes its time has failed: the start is over, so the reactor has to be stopped.
        log.critical("{error}", error=listenFailed(self._text, failure.value))
        self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """
        Stop listening, then end the connections.
        """
        super().stopService()
        if self._listening is not None:
            self._listening.cancel()
        port, self.port = self.port, None
        if port is not None:
            if not self._ends:
                # They are let end by themselves.
                self._factory.gate.takeQueued(port)
            self._factory.gate.detach(port)
        stopped = maybeDeferred(port.stopListening) if port is not None else maybeDeferred(lambda: None)
        return stopped.addCallback(lambda _: self._factory.stop(STOP_DEADLINE) if self._ends else None)

    def reload(self) -> None:
        """
        Read certificates anew, if the endpoint has some.
        """
        if self._certificates is not None:
            self._certificates.reload()
