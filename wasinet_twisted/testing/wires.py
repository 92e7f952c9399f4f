"""
What the kernel and the network do with the bytes of a connection: a model of it, on a clock.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from errno import ECONNRESET, ENOTCONN, EPIPE, EWOULDBLOCK
from typing import Any, Literal

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from ..errors import InvalidArgument
from ..net.addresses import checkSize
from .time import Progress

# What both kernels hold of one direction, unless told otherwise.
WINDOW = 256 * 1024
# With a rate, bytes move so many times a second.
_BEATS = 10

Mark = Literal["FIN", "RST"]


def _checkDelay(what: str, value: object) -> None:
    if not isinstance(value, int | float) or not value >= 0:
        raise InvalidArgument(f"{what} must be a number of seconds, at least 0, not {value!r}")


def _checkRate(what: str, value: object) -> None:
    if value is not None and (not isinstance(value, int | float) or not value > 0):
        raise InvalidArgument(f"{what} must be a number of bytes a second, above 0, or None, not {value!r}")


def _checkChunkSize(what: str, value: object) -> None:
    if value is not None:
        checkSize(what, value, 1)


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "delay": _checkDelay,
    "chunkSize": _checkChunkSize,
    "window": lambda what, value: checkSize(what, value, 1),
    "rate": _checkRate,
}


class Direction:
    """
    One direction of a connection. All of this may be changed at any time:

    @ivar delay: how many seconds bytes are on their way, for those sent from now on. They never overtake others.
    @ivar chunkSize: of how many bytes the pieces are, at the most, that the receiver gets; L{None} for what comes.
    @ivar window: how many bytes may have been sent and not yet been read. When there are so many, the sender's
        transport keeps the rest, and pauses its producer above its 64 KiB.
    @ivar rate: how many bytes a second pass, for those sent from now on; L{None} for no bound.
    """

    __slots__ = (
        "_call",
        "_clock",
        "_flight",
        "_free",
        "_held",
        "_vanished",
        "arrived",
        "broken",
        "chunkSize",
        "delay",
        "finished",
        "rate",
        "receiver",
        "sender",
        "window",
    )

    delay: float
    chunkSize: int | None
    window: int
    rate: float | None
    sender: MemorySocket
    receiver: MemorySocket

    def __init__(
        self,
        clock: Clock,
        delay: float = 0.0,
        chunkSize: int | None = None,
        window: int = WINDOW,
        rate: float | None = None,
    ) -> None:
        self._clock = clock
        # What waits to be read, and what came after it.
        self.arrived = bytearray()
        self.finished = False
        self.broken = False
        # What is on its way, by the time of its arrival; and the call for the first of it.
        self._flight: deque[tuple[float, bytes | Mark]] = deque()
        self._call: IDelayedCall | None = None
        # When the line is free again, where there is a rate.
        self._free = 0.0
        self._held = 0
        self._vanished = False
        self.delay = delay
        self.chunkSize = chunkSize
        self.rate = rate
        self.window = window

    def __setattr__(self, name: str, value: Any) -> None:
        check = _CHECKS.get(name)
        if check is not None:
            check(name, value)
        object.__setattr__(self, name, value)
        if name == "window" and hasattr(self, "sender"):
            self.sender.wake()

    def reset(self) -> None:
        """
        A reset is on its way to the receiver, who is told C{ConnectionLost} after the bytes that come before it. The
        sender is told nothing, as when a machine between the two sends it.
        """
        self._put("RST")

    def vanish(self) -> None:
        """
        From now on nothing arrives any more, not even what is on its way.
        """
        self._vanished = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    # For the sockets

    def room(self) -> int:
        """
        How many bytes may be sent now.
        """
        return max(0, self.window - self._held)

    def send(self, data: bytes) -> None:
        """
        Bytes are on their way.
        """
        self._held += len(data)
        if self.rate is None:
            self._put(data)
            return
        size = max(1, int(self.rate / _BEATS))
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            self._free = max(self._free, self._clock.seconds()) + len(piece) / self.rate
            self._put(piece, self._free)

    def finish(self) -> None:
        """
        No more bytes follow.
        """
        self._put("FIN")

    def read(self, size: int) -> bytes:
        """
        Take up to so many of the bytes that have arrived.
        """
        size = min(size, self.chunkSize or size)
        data = bytes(self.arrived[:size])
        del self.arrived[:size]
        Progress.moved += len(data)
        self._held -= len(data)
        self.sender.wake()
        return data

    def _put(self, what: bytes | Mark, sent: float | None = None) -> None:
        if self._vanished:
            return
        self._flight.append(((self._clock.seconds() if sent is None else sent) + self.delay, what))
        self._expect()

    def _expect(self) -> None:
        if self._call is None and self._flight:
            self._call = self._clock.callLater(max(0.0, self._flight[0][0] - self._clock.seconds()), self._arrive)

    def _arrive(self) -> None:
        self._call = None
        what = self._flight.popleft()[1]
        self._expect()
        if not isinstance(what, bytes):
            if what == "FIN":
                self.finished = True
            else:
                self.broken = True
        elif self.receiver.closed or self.broken:
            # A kernel answers bytes for a socket that is closed with a reset.
            self.receiver.outgoing.reset()
        else:
            Progress.moved += len(what)
            self.arrived += what
        self.receiver.wake()


class MemorySocket:
    """
    What a Twisted transport asks of a socket.

    @ivar wake: called when there may be something to read, or room to write.
    @ivar options: what has been set, by level and name.
    """

    def __init__(self, incoming: Direction, outgoing: Direction) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.closed = False
        self.wake: Callable[[], None] = _nobody
        self.options: dict[tuple[int, int], Any] = {}
        incoming.receiver = self
        outgoing.sender = self

    def readable(self) -> bool:
        """
        Would C{recv} give something?
        """
        return bool(self.incoming.arrived or self.incoming.finished or self.incoming.broken)

    def writable(self) -> bool:
        """
        Would C{send} do something?
        """
        return self.incoming.broken or self.outgoing.room() > 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """
        @param flags: C{MSG_PEEK} leaves the bytes where they are; all else changes nothing.
        @raise OSError: nothing has arrived, or the connection was reset.
        """
        if self.incoming.arrived:
            if flags & socket.MSG_PEEK:
                return bytes(self.incoming.arrived[:size])
            return self.incoming.read(size)
        if self.incoming.finished:
            # Linux, too, gives the end rather than a reset that came after it.
            return b""
        if self.incoming.broken:
            raise ConnectionResetError(ECONNRESET, "Connection reset by peer")
        raise BlockingIOError(EWOULDBLOCK, "Resource temporarily unavailable")

    def send(self, data: bytes | memoryview) -> int:
        """
        @return: how many bytes there was room for.
        @raise OSError: there was none, or the connection was reset.
        """
        if self.incoming.broken:
            raise BrokenPipeError(EPIPE, "Broken pipe")
        sent = bytes(data[: self.outgoing.room()])
        if data and not sent:
            raise BlockingIOError(EWOULDBLOCK, "Resource temporarily unavailable")
        if sent:
            self.outgoing.send(sent)
        return len(sent)

    def shutdown(self, how: int) -> None:
        """
        End our direction.

        @raise OSError: there is no connection any more.
        """
        if self.incoming.broken:
            raise OSError(ENOTCONN, "Transport endpoint is not connected")
        if how != socket.SHUT_RD:
            self.outgoing.finish()

    def close(self) -> None:
        """
        Close; reset if something is left unread, or if C{SO_LINGER} says so.
        """
        if self.closed:
            return
        self.closed = True
        if not self.incoming.broken:
            if self.incoming.arrived or (socket.SOL_SOCKET, socket.SO_LINGER) in self.options:
                self.outgoing.reset()
            else:
                self.outgoing.finish()

    def abort(self) -> None:
        """
        Reset.
        """
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 0)
        self.close()

    def setblocking(self, flag: bool) -> None:
        """
        It never blocks.
        """

    def fileno(self) -> int:
        """
        It has none.
        """
        return -1

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        """
        Record it.
        """
        self.options[level, name] = value

    def getsockopt(self, level: int, name: int) -> Any:
        """
        What was set, else 0.
        """
        return self.options.get((level, name), 0)


def _nobody() -> None:
    """
    Nobody is to be told.
    """
