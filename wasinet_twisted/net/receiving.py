"""
The reading half of a connection: bytes that arrive, and the one read that may wait for them.

What each read gets is settled in C{reading.py}; here it meets the transport,
the clock and those who wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime

from ..errors import BusyError, ConnectionClosed, LimitExceeded, TimedOut, WasinetError
from .addresses import checkTimeout, formatAddress
from .reading import Incoming, Want
from .waiting import Awaited, again

# Above this many unread bytes the transport is paused, and resumed when a quarter is left. asyncio streams take twice
# their limit of 64 KiB.
READ_BUFFER = 64 * 1024
# So many awaits in a row may complete at once; then the reactor gets its turn.
IMMEDIATE = 64


class Receiving:
    """
    @ivar transport: Twisted's; C{Any}, since each of its interfaces describes a
        part of a transport, none of them all that a connection has.
    @ivar closing: has our side closed or aborted?
    """

    # There may be ten thousand of these that do nothing but wait.
    __slots__ = (
        "_asked",
        "_immediate",
        "_incoming",
        "_peer",
        "_readPaused",
        "_readTimer",
        "_reader",
        "closing",
        "reactor",
        "transport",
    )

    def __init__(self, reactor: IReactorTime) -> None:
        self.reactor = reactor
        self.transport: Any = None
        self.closing = False
        # None until there is a connection.
        self._peer: IAddress | None = None
        self._incoming = Incoming()
        self._reader: Awaited[bytes] | None = None
        # What it asks for: at most so many bytes, or something particular.
        self._asked: int | Want = 0
        self._readTimer: IDelayedCall | None = None
        self._readPaused = False
        # How many awaits in a row have completed at once.
        self._immediate = 0

    def peerName(self) -> str:
        """
        The peer's address for messages.
        """
        return "nobody yet" if self._peer is None else formatAddress(self._peer)

    def byPeer(self, error: WasinetError) -> WasinetError:
        """
        Mark C{error} as caused by this connection's peer, and return it.
        """
        # Not the Protocol itself, which keeps the error that has ended the connection: they would be a cycle.
        error._about = self._incoming
        return error

    def causedByPeer(self, error: BaseException) -> bool:
        """
        Return whether a read or a write of this very connection has raised C{error} because of the peer.
        """
        return isinstance(error, WasinetError) and error._about is self._incoming

    def dataReceived(self, data: bytes) -> None:
        """
        Twisted calls this.
        """
        if self.closing:
            # Nobody will read it.
            return
        incoming = self._incoming
        if incoming.waiting >= len(data) > 0 and self._readTimer is None:
            # What nearly always is so, in one go: a read waits, for whatever comes.
            incoming.waiting = 0
            self._immediate = 0
            reader, self._reader = self._reader, None
            reader.give(data)  # type: ignore[union-attr]
            return
        try:
            given = incoming.arrived(data)
        except LimitExceeded as error:
            self._takeReader().fail(self.byPeer(error))
            return
        if given is not None:
            self._immediate = 0
            self._takeReader().give(given)
        elif incoming.size > READ_BUFFER and incoming.want is None and not self._readPaused:
            self._readPaused = True
            self.transport.pauseProducing()

    def read(
        self, asked: int | Want, timeout: float | None, canceller: Callable[[Deferred[Any]], None]
    ) -> Deferred[bytes]:
        """
        See the reads of L{WasiTcpConn<wasinet_twisted.net.connection.WasiTcpConn>}.

        @param asked: at most so many bytes, or something particular.
        @param canceller: calls L{cancelRead}. It is the handle's, so that a
            waiting read keeps the handle alive.
        """
        incoming = self._incoming
        if timeout is None and asked.__class__ is int and not (incoming.size or incoming.ended or self._reader):
            # What nearly always is so, in one go: it waits for whatever comes.
            self._asked = incoming.waiting = asked
            waiting: Awaited[bytes] = Awaited(canceller)
            self._reader = waiting
            return waiting
        checkTimeout(timeout)
        if self._reader is not None:
            return self._failRead(BusyError(f"a read of the connection with {self.peerName()} is waiting already"))
        reader: Awaited[bytes] = Awaited(canceller)
        self._immediate += 1
        if self._immediate > IMMEDIATE and (incoming.size or incoming.ended or not isinstance(asked, int)):
            # Whoever reads on and on without ever waiting would keep the reactor from its turn.
            self._wait(reader, asked, self.reactor.callLater(0, self._readAgain, timeout))
            return reader
        try:
            given = self._ask(asked)
        except WasinetError as error:
            return self._failRead(self.byPeer(again(error)))
        if given is not None:
            reader.callback(given)
            self._resumeReading()
            return reader
        self._waitFor(reader, asked, timeout)
        return reader

    def cancelRead(self) -> None:
        """
        The waiting read was cancelled: what arrives stays for the next one.
        """
        self._incoming.cancel()
        self._takeReader().fail(CancelledError())

    def unread(self, data: bytes) -> None:
        """
        See L{WasiTcpConn.unread<wasinet_twisted.net.connection.WasiTcpConn.unread>}.
        """
        if self._reader is not None:
            raise BusyError(f"unread() while a read of the connection with {self.peerName()} is waiting")
        if self.closing:
            raise ConnectionClosed(f"unread() after the connection with {self.peerName()} was closed")
        self._incoming.unread(data)

    def waits(self) -> bool:
        """
        Is a read waiting?
        """
        return self._reader is not None

    def unreadBytes(self) -> int:
        """
        How many bytes have arrived that nobody has read.
        """
        return self._incoming.size

    def _failRead(self, error: WasinetError) -> Deferred[bytes]:
        failed: Awaited[bytes] = Awaited()
        self._soon(failed, failed.fail, error)
        return failed

    def soon(self, waiting: Awaited[None], error: WasinetError | None) -> None:
        """
        Tell somebody, as L{_soon} has it, that all is well, or what is wrong.
        """
        if error is None:
            self._soon(waiting, waiting.give, None)
        else:
            self._soon(waiting, waiting.failQuietly, again(error))

    def _soon(self, waiting: Awaited[Any], tell: Callable[[Any], object], what: object) -> None:
        """
        Tell at once; but now and then only after the reactor's turn, lest a loop keep it from it.
        """
        self._immediate += 1
        if self._immediate > IMMEDIATE:
            self._immediate = 0
            self.reactor.callLater(0, _late, waiting, tell, what)
        else:
            tell(what)

    def _ask(self, asked: int | Want) -> bytes | None:
        incoming = self._incoming
        return incoming.read(asked) if isinstance(asked, int) else incoming.ask(asked)

    def _waitFor(self, reader: Awaited[bytes], asked: int | Want, timeout: float | None) -> None:
        self._wait(reader, asked, None if timeout is None else self.reactor.callLater(timeout, self._expire, timeout))
        if self._readPaused:
            # It waits for more than the bound; what it asks for has a bound of its own.
            self._readPaused = False
            self.transport.resumeProducing()

    def _wait(self, reader: Awaited[bytes], asked: int | Want, timer: IDelayedCall | None) -> None:
        self._reader = reader
        self._asked = asked
        self._readTimer = timer

    def _takeReader(self) -> Awaited[bytes]:
        reader, self._reader = self._reader, None
        assert reader is not None
        if self._readTimer is not None:
            if self._readTimer.active():
                self._readTimer.cancel()
            self._readTimer = None
        return reader

    def _readAgain(self, timeout: float | None = None) -> None:
        """
        Answer the waiting read from what there is now.
        """
        self._immediate = 0
        reader = self._takeReader()
        try:
            given = self._ask(self._asked)
        except WasinetError as error:
            reader.fail(self.byPeer(again(error)))
            return
        if given is None:
            # It was put off, and what it asks for is not there yet.
            self._waitFor(reader, self._asked, timeout)
            return
        reader.give(given)
        self._resumeReading()

    def _expire(self, timeout: float) -> None:
        self._incoming.cancel()
        error = TimedOut(f"timed out: nothing came from {self.peerName()} in {timeout:g} s")
        self._takeReader().fail(self.byPeer(error))

    def _endReading(self, failure: WasinetError | None) -> None:
        if self._incoming.end(failure):
            self._readAgain()

    def _resumeReading(self) -> None:
        if self._readPaused and self._incoming.size <= READ_BUFFER // 4:
            self._readPaused = False
            if not (self._incoming.ended or self.closing):
                self.transport.resumeProducing()


def _late(waiting: Awaited[Any], tell: Callable[[Any], object], what: object) -> None:
    if not waiting.called:
        tell(what)
