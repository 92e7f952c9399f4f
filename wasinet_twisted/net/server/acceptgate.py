"""
Whether listening sockets accept: exactly up to a bound, and not without file descriptors.

Twisted's ports accept in batches of up to a hundred, which C{stopReading} alone
doesn't interrupt; and when the descriptors are exhausted they accept clients
only to close them. So the gate stands before the socket's C{accept}.
"""

from __future__ import annotations

import errno
import os
import resource
import select
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime
from twisted.logger import Logger

from .turns import Turns

log = Logger()

# How long accepting pauses when there are no descriptors, in seconds: at first, and at most. It goes on earlier when a
# connection ends.
_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# A server at its limit may pause and go on many times a second: it says so once in so many seconds.
_SAYING = 60.0

# How many batches are accepted at most of who waits when a socket closes. Batches grow up to a hundred.
_BATCHES = 64

# What accept() says when the process or the system has no descriptors or no memory for another socket.
_STARVED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Gate:
    """
    Stands before the listening sockets of one factory.

    It is open unless somebody holds it, each for a reason of their own.

    @ivar wrap: makes what stands before a port's socket, for those that L{attach} gets from then on.
    @ivar turns: those of this process, if others accept from the same sockets.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self.turns: Turns | None = None
        self.wrap: Callable[[Any, Gate, Any], GatedSocket] = GatedSocket
        self._ports: list[Any] = []
        self._held: set[str] = set()
        self._pause = _PAUSE
        self._timer: IDelayedCall | None = None
        # Not before this time is it said again that accepting pauses; and does it stand as said?
        self._sayAgain = 0.0
        self._said = False

    def attach(self, port: IListeningPort) -> None:
        """
        Stand before C{port} as well.
        """
        self._ports.append(port)
        socket = getattr(port, "socket", None)
        if socket is not None:
            # A port without one, such as those in memory, accepts singly: stopReading is enough.
            gated = self.wrap(socket, self, port)
            port.socket = gated  # type: ignore[attr-defined]
            gated.watched()
        if self._held:
            self._read(port, False)

    def share(self, wrap: Callable[[Any, Gate, Any], GatedSocket]) -> None:
        """
        Other processes accept from the same sockets: take turns with them.

        @param wrap: stands before each port's socket.
        """
        self.wrap = wrap
        self.turns = Turns(lambda: self.hold("others"), lambda: self.release("others"), self._reactor)

    def detach(self, port: IListeningPort) -> None:
        """
        C{port} listens no longer.
        """
        if port in self._ports:
            self._ports.remove(port)
        if not self._ports:
            if self._timer is not None:
                self._timer.cancel()
                self._retry()
            if self.turns is not None:
                self.turns.finish()

    def takeQueued(self, port: IListeningPort) -> None:
        """
        Accept who waits in the kernel's queue, before C{port} closes: as they see it, they are connected, and what they
        have sent would be lost with a reset. With the gate shut they can't be helped.
        """
        accept = getattr(port, "doRead", None)
        if accept is None or not hasattr(port, "socket"):
            return
        queue = select.poll()
        queue.register(port.fileno(), select.POLLIN)  # type: ignore[attr-defined]
        if self.turns is not None:
            self.turns.finish()
        for _ in range(_BATCHES):
            if self._held or not queue.poll(0):
                return
            accept()

    def isOpen(self) -> bool:
        """
        May a connection be accepted?
        """
        return not self._held

    def hold(self, reason: str) -> None:
        """
        Accept nothing until L{release} is called with the same reason.
        """
        if not self._held:
            self._readAll(False)
        self._held.add(reason)

    def release(self, reason: str) -> None:
        """
        This reason doesn't hold any more.
        """
        if reason in self._held:
            self._held.remove(reason)
            if not self._held:
                self._readAll(True)

    # Out of descriptors

    def starve(self, error: OSError) -> None:
        """
        C{accept} has failed for want of descriptors or memory. Who waits in the kernel's queue goes on waiting.
        """
        now = self._reactor.seconds()
        if now >= self._sayAgain:
            self._sayAgain = now + _SAYING
            self._said = True
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            log.warn(
                "accepting pauses: {error} (the process may have {limit} descriptors); it goes on when there are some",
                error=os.strerror(error.errno or 0),
                limit=limit,
            )
        self.hold("starved")
        if self._timer is None:
            self._timer = self._reactor.callLater(self._pause, self._retry)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def feed(self) -> None:
        """
        A connection has ended, and its descriptor has become free.
        """
        if self.turns is not None:
            self.turns.ended()
        if self._timer is not None:
            self._timer.cancel()
            self._retry()

    def accepted(self) -> None:
        """
        There was a descriptor.
        """
        self._pause = _PAUSE
        if self._said:
            self._said = False
            log.info("accepting goes on")

    def _retry(self) -> None:
        self._timer = None
        self.release("starved")

    def _readAll(self, reading: bool) -> None:
        # Whoever stopped one of them may not have told.
        self._ports = [port for port in self._ports if getattr(port, "connected", True)]
        for port in self._ports:
            self._read(port, reading)

    @staticmethod
    def _read(port: Any, reading: bool) -> None:
        # Every stream port of Twisted's has these, though no interface says so; one without them accepts on.
        act = getattr(port, "startReading" if reading else "stopReading", None)
        if act is not None and not getattr(port, "disconnecting", False):
            act()
            if reading and isinstance(getattr(port, "socket", None), GatedSocket):
                port.socket.watched()


class GatedSocket:
    """
    A listening socket behind a L{Gate}.
    """

    def __init__(self, socket: Any, gate: Gate, port: Any = None) -> None:
        """
        @param port: which it is the socket of.
        """
        self._socket = socket
        self._gate = gate
        self._port = port

    def watched(self) -> None:
        """
        The reactor has begun to watch it.
        """

    def accept(self) -> Any:
        """
        As the socket's own, but when the gate is shut there is nobody.
        """
        gate = self._gate
        if not gate._held:
            try:
                accepted = self._socket.accept()
            except OSError as error:
                if error.errno not in _STARVED:
                    raise
                gate.starve(error)
            else:
                if gate._said or gate._pause != _PAUSE:
                    gate.accepted()
                return accepted
        raise BlockingIOError(errno.EWOULDBLOCK, "the gate is shut")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
