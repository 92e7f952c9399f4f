"""
A worker as its parent sees it: a process, the channel to it, and the lines that it logs.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.protocol import Protocol as Connection
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from .messages import Decoder, NoMessage, encoded, unpacked

log = Logger()

# How long the process may take to end when it has said that it has failed, in seconds: the app may have threads.
_FAILED = 3.0
# How long the ends of its channels are waited for when the process has ended, in seconds: a process that the app has
# forked may hold them.
_CLOSING = 0.5
# How long the end of a process that was killed is waited for, in seconds.
_KILLED = 3.0
# The longest access log line.
_LINE = 1024 * 1024


class Crew(Protocol):
    """
    Who is told of workers.
    """

    def ready(self, child: Child) -> None: ...
    def worn(self, child: Child) -> None: ...
    def asked(self, child: Child) -> None: ...
    def told(self, child: Child) -> None: ...
    def ended(self, child: Child) -> None: ...
    def logged(self, lines: Sequence[bytes]) -> None: ...
    def drainIdle(self) -> float: ...


class Child(ProcessProtocol):
    """
    One worker's process.

    It stands between the process and the protocol of procmon's, which is told of the end when everything that the
    worker has sent has been read.

    @ivar number: which worker it is, from 1 on. Its successors have the same.
    @ivar name: as procmon knows it.
    @ivar pid: its process; L{None} if there is none yet or any more.
    @ivar state: C{starting}, C{ready} or C{draining}.
    @ivar wasReady: has it ever served?
    @ivar started: when, in the reactor's seconds.
    @ivar figures: its last statistics.
    @ivar wornAt: how many requests it had served when it asked for a successor.
    @ivar reason: why it has ended, once it has.
    @ivar hasSaidWhy: is that what it has said itself?
    """

    def __init__(self, number: int, monitored: ProcessProtocol, crew: Crew, reactor: Any) -> None:
        """
        @param monitored: procmon's protocol.
        """
        self.number = number
        self.name: str = monitored.name  # type: ignore[attr-defined]
        self._monitored = monitored
        self._crew = crew
        self._reactor = reactor
        self._process: Any = None
        self.pid: int | None = None
        self.state = "starting"
        self.wasReady = False
        self.started: float = reactor.seconds()
        self.figures: dict[str, Any] = {}
        self.wornAt = 0
        self.reason = ""
        self.hasSaidWhy = False
        self._channel: Any = None
        self._transports: list[Any] = []
        # How many of its channels are open.
        self._open = 0
        # Has it been sent a signal before it was ready?
        self._isUnwanted = False
        self._timer: IDelayedCall | None = None
        self._status: Failure | None = None
        self._over = False

    def channelMade(self, transport: Any, *, isSpoken: bool) -> None:
        """
        One of the channels is there.
        """
        self._open += 1
        self._transports.append(transport)
        if isSpoken:
            self._channel = transport

    def channelLost(self) -> None:
        """
        One of the channels has ended.
        """
        self._open -= 1
        if self._open == 0 and self._status is not None:
            self._end()

    def received(self, kind: str, value: Any) -> None:
        """
        The worker has said something.
        """
        if self._over:
            return
        if kind == "event":
            globalLogPublisher(unpacked(value, f"worker {self.number}"))
        elif kind == "statistics":
            self.figures = value
            self._crew.told(self)
        elif kind == "ready":
            self.wasReady = True
            if self._isUnwanted:
                # The signal finds one that asks its parent.
                self._drain()
            else:
                self.state = "ready"
                self._crew.ready(self)
        elif kind == "worn":
            self.wornAt = value
            self._crew.worn(self)
        elif kind == "asked":
            self._crew.asked(self)
        elif kind == "failed":
            self.reason = self.reason or str(value)
            if self._timer is None:
                self._timer = self._reactor.callLater(_FAILED, self.kill)

    def garbled(self, error: NoMessage) -> None:
        """
        What comes from the worker is no message: nothing that it says can be relied on any more.
        """
        log.error("worker {number} (process {pid}) is killed: {error}", number=self.number, pid=self.pid, error=error)
        self.kill()

    def logged(self, lines: Sequence[bytes]) -> None:
        """
        The worker has logged requests.
        """
        self._crew.logged(lines)

    def isDone(self) -> bool:
        """
        Has it ended as it should?
        """
        return self._status is not None and self._status.check(ProcessDone) is not None

    # procmon's side

    def signalProcess(self, name: str) -> None:
        """
        Do what procmon means: C{TERM} is that the worker may end, C{KILL} that it must.

        @raise ProcessExitedAlready: it has.
        """
        if self.pid is None and self._status is not None:
            raise ProcessExitedAlready
        if name != "TERM":
            self.kill()
        elif self.state == "starting":
            # Also one that is yet to be forked.
            self._isUnwanted = True
            self._process.signalProcess(name)
        elif self.state == "ready":
            self._drain()

    def _drain(self) -> None:
        self.state = "draining"
        self._channel.write(encoded("drain", self._crew.drainIdle()))

    def kill(self) -> None:
        """
        End it by force.
        """
        if self.pid is None and self._status is not None:
            return
        with suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")
        # Whoever should tell of the end may be stuck: a template that was stopped.
        self._later(_KILLED, self._unheard)

    def _unheard(self) -> None:
        self.pid = None
        self._status = self._status or Failure(ProcessTerminated(signal=signal.SIGKILL))
        self._end()

    # The process's side

    def makeConnection(self, process: Any) -> None:
        """
        It runs, or is about to. There may be another process in its place when it couldn't be forked.
        """
        isFirst = self._process is None
        self._process = process
        self.pid = process.pid
        if isFirst:
            self._monitored.makeConnection(self)

    def notStarted(self, reason: str) -> None:
        """
        It can't be started.
        """
        if self._over:
            return
        self.reason = reason
        self.pid = None
        self._status = Failure(ProcessTerminated(1))
        if self._process is None:
            self._monitored.makeConnection(self)
        # Not before procmon expects it.
        self._later(0, self._end)

    def orphaned(self) -> None:
        """
        Nobody will tell of the end of the process any more, but its channels.
        """
        self._status = Failure(ProcessTerminated())
        if self._open == 0:
            self._end()

    def processExited(self, reason: Failure) -> None:
        """
        It runs no more.
        """
        self.pid = None

    def processEnded(self, reason: Failure) -> None:
        """
        It has ended; what it has sent may still be there to be read.
        """
        if self._over:
            return
        self.pid = None
        self._status = reason
        if self._open:
            self._later(_CLOSING, self._end)
        else:
            self._end()

    def _later(self, seconds: float, function: Callable[[], object]) -> None:
        self._cancel()
        self._timer = self._reactor.callLater(seconds, function)

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        self._cancel()
        assert self._status is not None
        for transport in self._transports:
            # If there is a process after all, it finds itself alone, and ends.
            transport.loseConnection()
        self.hasSaidWhy = bool(self.reason)
        self.reason = self.reason or f"it has ended with {statusOf(self._status)}"
        self._crew.ended(self)
        self._monitored.processEnded(self._status)


def statusOf(reason: Failure) -> str:
    """
    Return how a process has ended.
    """
    status: Any = reason.value
    if status.exitCode is None and status.signal is None:
        return "a status that nobody has seen"
    return f"status {status.exitCode}" if status.signal is None else signal.Signals(status.signal).name


class Spoken(Protocol):
    """
    Whom a channel belongs to.
    """

    def channelMade(self, transport: Any, *, isSpoken: bool) -> None: ...
    def channelLost(self) -> None: ...
    def received(self, kind: str, value: Any) -> None: ...
    def garbled(self, error: NoMessage) -> None: ...


class Said(Connection):
    """
    The channel to a process.
    """

    def __init__(self, child: Spoken) -> None:
        self._child = child
        self._decoder = Decoder()

    def connectionMade(self) -> None:
        self._child.channelMade(self.transport, isSpoken=True)

    def dataReceived(self, data: bytes) -> None:
        try:
            for kind, value in self._decoder.decode(data):
                self._child.received(kind, value)
        except NoMessage as error:
            self._child.garbled(error)

    def connectionLost(self, reason: object = None) -> None:
        self._child.channelLost()


class Logged(Connection):
    """
    The access log lines of a worker.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._rest = b""

    def connectionMade(self) -> None:
        self._child.channelMade(self.transport, isSpoken=False)

    def dataReceived(self, data: bytes) -> None:
        # What a worker that is killed leaves of a line is dropped: only whole lines are written.
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[:_LINE]
        if lines:
            self._child.logged([line + b"\n" for line in lines])

    def connectionLost(self, reason: object = None) -> None:
        self._child.channelLost()


def adopt(reactor: Any, ours: socket.socket, connection: Connection) -> None:
    """
    Let C{connection} have what comes through our end of a pair of sockets, and send through it.
    """
    ours.setblocking(False)
    reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: connection))
