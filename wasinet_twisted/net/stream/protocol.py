"""
A connection whose bytes are awaited: reads meet the transport, the clock and those who wait.

What each read gets is settled in L{Incoming}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...errors import BusyError, ConnectionClosed, LimitExceeded, TimedOut, WasinetError
from ..addresses import checkTimeout
from ..tasks.awaited import IMMEDIATE, Awaited, again
from ..tls.contexts import TlsClient, TlsServer
from ..tls.starttls import startTls
from .incoming import Incoming
from .owner import Owner
from .transportprotocol import TransportProtocol
from .wants import Want

# Above this many unread bytes the transport is paused, and resumed when a quarter is left. asyncio streams take twice
# their limit of 64 KiB.
READ_BUFFER = 64 * 1024


class ConnectionProtocol(TransportProtocol):
    """
    What a L{WasiTcpConn<wasinet_twisted.net.stream.handle.WasiTcpConn>} is the handle of.
    """

    __slots__ = ("_asked", "_incoming", "_readTimer", "_reader")

    def __init__(self, reactor: IReactorTime, owner: Owner | None = None) -> None:
        super().__init__(reactor, owner)
        self._incoming = Incoming()
        self._reader: Awaited[bytes] | None = None
        # What it asks for: at most so many bytes, or something particular.
        self._asked: int | Want = 0
        self._readTimer: IDelayedCall | None = None

    @classmethod
    def over(cls, carrier: TransportProtocol, arrived: bytes = b"", owner: Owner | None = None) -> ConnectionProtocol:
        """
        Return a new Protocol for a connection that C{carrier} holds, such as one of HTTP that has been upgraded.

        C{carrier} stays the transport's protocol and its producer. From now on it reads and writes nothing itself, and
        passes on what the transport calls: C{dataReceived}, C{readConnectionLost}, C{writeConnectionLost},
        C{connectionLost}, C{pauseProducing} and C{resumeProducing}. It keeps the new Protocol as long as it has the
        connection.

        After C{startTLS} the transport knows the new Protocol alone: C{carrier} isn't called any more.

        @param arrived: what C{carrier} has received that is for the new Protocol.
        @param owner: is told of the connection's end, not of its beginning.
        @raise ConnectionClosed: the connection is closed, or gone.
        """
        if carrier.closing or carrier.lost:
            raise ConnectionClosed(f"the connection with {carrier.peerName()} is closed")
        protocol = cls(carrier.reactor, owner)
        protocol._takeOver(carrier)
        if arrived:
            protocol._incoming.arrived(arrived)
        if protocol.peerFinished:
            protocol.endInput(None)
        if protocol._readPaused:
            protocol._resumeReading()
        return protocol

    def dataReceived(self, data: bytes) -> None:
        """
        Twisted calls this.
        """
        if self.closing:
            # Nobody will read it.
            return
        incoming = self._incoming
        try:
            given = incoming.arrived(data)
        except LimitExceeded as error:
            self._takeReader().fail(self.byPeer(error))
            return
        if given is not None:
            self._immediate = 0
            reader = self._reader
            if reader is None or self._readTimer is not None:
                reader = self._takeReader()
            self._reader = None
            reader.give(given)
        elif incoming.size > READ_BUFFER and incoming.want is None and not self._readPaused:
            self._readPaused = True
            self.transport.pauseProducing()

    def read(
        self, asked: int | Want, timeout: float | None, canceller: Callable[[Deferred[Any]], None]
    ) -> Deferred[bytes]:
        """
        See the reads of L{WasiTcpConn<wasinet_twisted.net.stream.handle.WasiTcpConn>}.

        @param asked: at most so many bytes, or something particular.
        @param canceller: calls L{cancelRead}. It is the handle's, so that a
            waiting read keeps the handle alive.
        """
        if timeout is not None:
            checkTimeout(timeout)
        if self._reader is not None:
            return self._failRead(BusyError(f"a read of the connection with {self.peerName()} is waiting already"))
        incoming = self._incoming
        reader: Awaited[bytes] = Awaited(canceller)
        if incoming.size or incoming.ended or asked.__class__ is not int:
            # Something may be there already.
            self._immediate += 1
            if self._immediate > IMMEDIATE:
                # Whoever reads on and on without ever waiting would keep the reactor from its turn.
                self._reading(reader, asked, self.reactor.callLater(0, self._readAgain, timeout))
                return reader
            try:
                given = self._ask(asked)
            except WasinetError as error:
                return self._failRead(self.byPeer(again(error)))
            if given is not None:
                reader.begin(given)
                if self._readPaused:
                    self._resumeReading()
                return reader
        else:
            incoming.waiting = asked
        self._reader = reader
        self._asked = asked
        if timeout is not None or self._readPaused:
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
        See L{WasiTcpConn.unread<wasinet_twisted.net.stream.handle.WasiTcpConn.unread>}.
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

    def startTLS(self, settings: TlsClient | TlsServer, done: Awaited[None], timeout: float | None) -> None:
        """
        See L{WasiTcpConn.startTLS<wasinet_twisted.net.stream.handle.WasiTcpConn.startTLS>}.
        """
        if self.closing or self.finished or self.peerFinished:
            raise ConnectionClosed(f"startTLS() after the connection with {self.peerName()} was closed")
        self._goOver(startTls(self, settings, done, timeout))

    # The connection tells

    def byPeer(self, error: WasinetError) -> WasinetError:
        """
        Mark C{error} as caused by this connection's peer, and return it.
        """
        # Not the Protocol itself, which keeps the error that has ended the connection: they would be a cycle.
        error._about = self._incoming
        return error

    def causedByPeer(self, error: BaseException) -> bool:
        """
        Return whether a read, a write or the handshake of this very connection has raised C{error} because of the peer.
        """
        return isinstance(error, WasinetError) and error._about is self._incoming

    def forgetInput(self) -> None:
        """
        Our side has closed.
        """
        self._incoming.discard()

    def endInput(self, failure: WasinetError | None) -> None:
        """
        Nothing more will arrive. A read that waits is told.
        """
        if self._incoming.end(failure):
            self._readAgain()

    def _failRead(self, error: WasinetError) -> Deferred[bytes]:
        failed: Awaited[bytes] = Awaited()
        self._soon(failed, failed.fail, error)
        return failed

    def _ask(self, asked: int | Want) -> bytes | None:
        incoming = self._incoming
        return incoming.read(asked) if isinstance(asked, int) else incoming.ask(asked)

    def _waitFor(self, reader: Awaited[bytes], asked: int | Want, timeout: float | None) -> None:
        self._reading(
            reader, asked, None if timeout is None else self.reactor.callLater(timeout, self._expire, timeout)
        )
        if self._readPaused:
            # It waits for more than the bound; what it asks for has a bound of its own.
            self._readPaused = False
            self.transport.resumeProducing()

    def _reading(self, reader: Awaited[bytes], asked: int | Want, timer: IDelayedCall | None) -> None:
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

    def _resumeReading(self) -> None:
        if self._readPaused and self._incoming.size <= READ_BUFFER // 4:
            self._readPaused = False
            if not (self._incoming.ended or self.closing):
                self.transport.resumeProducing()
