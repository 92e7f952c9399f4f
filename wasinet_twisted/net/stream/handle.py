"""
L{WasiTcpConn}: the user's handle of a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IAddress
from twisted.python import threadable
from zope.interface import implementer

from ... import _speed
from ...errors import InvalidArgument, NotSupported
from ..addresses import checkSize, checkTimeout
from ..client.dial import dial
from ..interfaces import IConnection
from ..tasks.awaited import Awaited
from ..tls.contexts import TlsClient, TlsServer
from ..tls.info import TlsInfo
from .lifecycle import CLOSE_TIMEOUT
from .protocol import ConnectionProtocol
from .wants import Exactly, Line, ToEnd, Until

T = TypeVar("T")

# How much of a file is in memory at a time.
_FILE_PIECE = 64 * 1024


@implementer(IConnection)
class WasiTcpConn:
    """
    A connection: a stream of bytes in both directions, to be awaited.

    C{accept()} and C{connect()} give one; whoever got it closes it, best with
    C{async with}. When the last reference goes, it closes by itself.

    For the reactor's thread only.
    """

    __slots__ = ("__weakref__", "_protocol")

    def __init__(self, protocol: ConnectionProtocol) -> None:
        self._protocol = protocol

    @classmethod
    def connect(
        cls,
        host: str,
        port: int,
        timeout: float | None = None,
        *,
        localAddress: str | tuple[str, int] | None = None,
        reactor: Any = None,
    ) -> Deferred[WasiTcpConn]:
        """
        See L{wasinet_twisted.net.connect}.
        """
        return dial(host, port, timeout, localAddress=localAddress, reactor=reactor).addCallback(WasiTcpConn)

    def read(self, maxBytes: int = 65536, timeout: float | None = None) -> Deferred[bytes]:
        """
        Read what has arrived, or what arrives next.

        @param maxBytes: how many bytes at the most.
        @param timeout: seconds to wait; L{None} waits for ever.
        @return: at least one byte; C{b""} at the end of the stream, and only then, every time.
        @raise TimedOut: nothing is lost, what arrives later is for the next read.
        @raise ConnectionClosed: the connection was reset, or closed by this
            side. Raised once; from then on reads give C{b""}.
        @raise BusyError: another read is waiting.
        """
        if maxBytes.__class__ is not int or maxBytes < 1:
            checkSize("maxBytes", maxBytes, 1)
        return self._protocol.read(maxBytes, timeout, self._cancelRead)

    def readExactly(self, size: int, timeout: float | None = None) -> Deferred[bytes]:
        """
        Read C{size} bytes, no more and no fewer.

        @param size: how many bytes; 0 gives C{b""} at once.
        @param timeout: seconds to wait; L{None} waits for ever.
        @raise IncompleteRead: the stream ended first; its C{partial} holds what came.
        @raise TimedOut: nothing is lost, the bytes so far stay for the next read.
        @raise ConnectionClosed: as L{read} has it; the bytes so far stay.
        @raise BusyError: another read is waiting.
        """
        return self._protocol.read(Exactly(checkSize("size", size, 0)), timeout, self._cancelRead)

    def readUntil(self, separator: bytes, maxBytes: int = 65536, timeout: float | None = None) -> Deferred[bytes]:
        """
        Read up to C{separator}, which is included.

        @param maxBytes: how much that may be, the separator counted.
        @param timeout: seconds to wait; L{None} waits for ever.
        @raise LimitExceeded: there is no separator so soon. Nothing is lost, the bytes stay for the next read.
        @raise IncompleteRead: the stream ended first; its C{partial} holds what came.
        @raise TimedOut: nothing is lost, the bytes so far stay for the next read.
        @raise ConnectionClosed: as L{read} has it; the bytes so far stay.
        @raise BusyError: another read is waiting.
        """
        if not isinstance(separator, bytes) or not separator:
            raise InvalidArgument(f"separator must be bytes, at least one, not {separator!r}")
        return self._protocol.read(Until(separator, checkSize("maxBytes", maxBytes, 1)), timeout, self._cancelRead)

    def readLine(self, maxBytes: int = 65536, timeout: float | None = None) -> Deferred[bytes]:
        """
        Read a line, its LF included, as files give them: the last one may have
        none, and C{b""} is the end of the stream.

        @param maxBytes: how long it may be, the LF counted.
        @param timeout: seconds to wait; L{None} waits for ever.
        @raise LimitExceeded: it is longer. Nothing is lost, the bytes stay for the next read.
        @raise TimedOut: nothing is lost, the bytes so far stay for the next read.
        @raise ConnectionClosed: as L{read} has it; the bytes so far stay.
        @raise BusyError: another read is waiting.
        """
        return self._protocol.read(Line(checkSize("maxBytes", maxBytes, 1)), timeout, self._cancelRead)

    def readToEnd(self, maxBytes: int, timeout: float | None = None) -> Deferred[bytes]:
        """
        Read all there will be, to the end of the stream.

        @param maxBytes: how much that may be.
        @param timeout: seconds to wait; L{None} waits for ever.
        @raise LimitExceeded: it is more. Nothing is lost, the bytes stay for the next read.
        @raise TimedOut: nothing is lost, the bytes so far stay for the next read.
        @raise ConnectionClosed: as L{read} has it; the bytes so far stay.
        @raise BusyError: another read is waiting.
        """
        return self._protocol.read(ToEnd(checkSize("maxBytes", maxBytes, 0)), timeout, self._cancelRead)

    def unread(self, data: bytes | bytearray | memoryview) -> None:
        """
        Give bytes back: the next read begins with them.

        @raise BusyError: a read is waiting.
        @raise ConnectionClosed: this side has closed.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidArgument(f"unread() takes bytes, not {type(data).__name__}")
        self._protocol.unread(bytes(data))

    def write(self, data: bytes | bytearray | memoryview | str) -> Deferred[None]:
        """
        Queue C{data} for sending; str goes as UTF-8.

        It is on its way whether awaited or not. Awaited, it returns when the peer
        has taken enough: that is the flow control. For those who never await:
        when more than 16 MiB wait to be sent, the connection is reset.

        @raise ConnectionClosed: this side has closed or finished; or, told to
            those who await only, the connection is gone.
        """
        return self._protocol.write(data if data.__class__ is bytes else _toBytes(data))

    def writeLines(self, lines: Iterable[bytes | bytearray | memoryview | str]) -> Deferred[None]:
        """
        Queue several pieces at once, as L{write} does one. As with files, no line ends are added.

        @raise ConnectionClosed: as L{write} has it.
        """
        return self._protocol.write(b"".join([_toBytes(line) for line in lines]))

    def sendFile(self, file: BinaryIO, progress: Callable[[int], object] | None = None) -> Deferred[int]:
        """
        Send a file from where it stands to its end, no faster than the peer
        takes it and never more than 64 KiB of it in memory at a time.

        The file is read in the reactor's thread.

        @param file: a binary file.
        @param progress: called with the number of bytes sent so far, after each piece.
        @return: fires with how many bytes there were. Cancelling it stops between two pieces.
        @raise ConnectionClosed: the connection is gone, or closed by this side.
        """
        return ensureDeferred(self._sendFile(file, progress))

    async def _sendFile(self, file: BinaryIO, progress: Callable[[int], object] | None) -> int:
        sent = 0
        while piece := file.read(_FILE_PIECE):
            if not isinstance(piece, bytes):
                raise InvalidArgument(f"sendFile() takes a binary file, not one that gives {type(piece).__name__}")
            await self.write(piece)
            sent += len(piece)
            if progress is not None:
                progress(sent)
        if not sent:
            # Whoever sends one empty file after the other has to let others have their turn.
            await self.write(b"")
        return sent

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        """
        Run a coroutine in a task that the connection owns: when the connection is
        closed or lost, it is cancelled.

        A failure is told to whoever awaits the result. If nobody does, it is
        logged once, with the peer's address, and the connection is reset.

        @return: fires with what the coroutine returns. Cancelling it cancels the coroutine.
        @raise ConnectionClosed: this side has closed, or the connection is gone.
        """
        if not isinstance(coroutine, Coroutine):
            raise InvalidArgument(f"start() takes a coroutine, not {coroutine!r}")
        return self._protocol.start(coroutine)

    @property
    def tls(self) -> TlsInfo | None:
        """
        What was agreed on by TLS; L{None} while that isn't so, or for a plain connection.
        """
        tls = self._protocol.tls
        return None if tls is None else tls.info

    def handshake(self, timeout: float | None = None) -> Deferred[None]:
        """
        Wait until the TLS handshake has ended, where it hasn't yet: on what an
        C{ssl:} endpoint accepts, and on what a C{tls:} endpoint connects.

        @param timeout: seconds to wait, 30 by default. The connection stays when they have passed.
        @raise ConnectionClosed: there was no handshake; C{__cause__} says why.
        @raise TimedOut: not within the time.
        @raise NotSupported: this is a plain connection.
        """
        checkTimeout(timeout)
        tls = self._protocol.tls
        if tls is None:
            raise NotSupported(f"handshake(): the connection with {self._protocol.peerName()} is not over TLS")
        done: Awaited[None] = Awaited(self._cancelHandshake)
        tls.handshake(done, timeout, attempt=False)
        return done

    def startTLS(self, settings: TlsClient | TlsServer, timeout: float | None = None) -> Deferred[None]:
        """
        Go over to TLS. What was written before is sent first, as it is; what is
        read and written from now on is enciphered. On a connection that is over TLS already, the new TLS is inside the
        other: so a server is reached by way of a proxy, both by TLS.

        @param settings: a L{TlsClient} or a L{TlsServer}, for our role.
        @param timeout: seconds the handshake may take, 30 by default.
        @return: fires when the handshake has ended. If it fails, times out, or is cancelled, the connection ends.
        @raise CertificateError: the peer's certificate is not accepted.
        @raise HandshakeFailed: TLS could not be agreed on otherwise.
        @raise TimedOut: not within the time.
        @raise UnreadPlaintext: the peer has sent something before that was not read.
        @raise BusyError: a read is waiting, or the handshake of the TLS before has not ended.
        @raise ConnectionClosed: either side has closed, or ended its direction.
        @raise NotSupported: the connection's transport can't.
        """
        done: Awaited[None] = Awaited(self._cancelTLS)
        self._protocol.startTLS(settings, done, timeout)
        return done

    def _cancelHandshake(self, done: Any) -> None:
        # It goes on; but the Deferred has to keep the handle alive.
        done.fail(CancelledError())

    def _cancelTLS(self, done: Any) -> None:
        done.fail(CancelledError())
        self._protocol.abort()

    def finish(self) -> Deferred[None]:
        """
        End the stream in our direction, after all that is queued; the peer reads
        C{b""} and may go on writing.

        @return: fires when everything has been sent.
        @raise NotSupported: the transport can't; over TLS none can.
        @raise ConnectionClosed: there is no connection any more.
        """
        return self._protocol.finish()

    def close(self, timeout: float | None = CLOSE_TIMEOUT) -> Deferred[None]:
        """
        Send what is queued, then close. More than one close does no harm; the
        earliest of their deadlines holds.

        If the peer has sent something that was not read, the kernel resets the
        connection, and what is queued may not arrive. Where that matters,
        L{finish} and read to the end first.

        @param timeout: how many seconds the peer has to take what is queued;
            then the connection is reset. 30 by default.
        @return: fires when the connection is gone.
        """
        checkTimeout(timeout)
        self._protocol.close(CLOSE_TIMEOUT if timeout is None else timeout)
        return self._protocol.whenClosed()

    def abort(self) -> None:
        """
        Reset the connection: what is queued is lost, and the peer is told that it is.
        """
        self._protocol.abort()

    def whenClosed(self) -> Deferred[None]:
        """
        Fires when the connection is gone, whoever ended it.
        """
        return self._protocol.whenClosed()

    def whenPeerFinished(self) -> Deferred[None]:
        """
        Fires when the peer has ended its direction, as a peer that closes does, or when the connection is gone.

        The end of the peer's direction is noticed whether or not a read waits. It is noticed late if the peer has sent
        more than is kept for reads, 64 KiB: then when enough of that has been read. Over TLS the whole connection ends.

        A peer that has ended its direction may still read what is written: it may have closed, or half-closed.
        """
        return self._protocol.whenPeerFinished()

    def local(self) -> IAddress:
        """
        Our address: an C{IPv4Address}, C{IPv6Address} or C{UNIXAddress} of Twisted's.

        @raise ConnectionClosed: the connection is gone and nobody asked before.
        """
        return self._protocol.local()

    def peer(self) -> IAddress:
        """
        The peer's address.
        """
        return self._protocol.peer()

    def __aiter__(self) -> Self:
        """
        C{async for data in conn} reads until the end of the stream.
        """
        return self

    async def __anext__(self) -> bytes:
        data = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def __aenter__(self) -> Self:
        """
        C{async with conn} closes it at the end, and resets it if an exception
        leaves the block, lest half an answer look like a whole one.
        """
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        else:
            self.abort()

    def __repr__(self) -> str:
        protocol = self._protocol
        state = "gone" if protocol.lost else "closing" if protocol.closing else "open"
        return f"<{type(self).__name__} with {protocol.peerName()}, {state}>"

    def __del__(self) -> None:
        protocol = self._protocol
        if protocol.closing or protocol.lost:
            return
        reactor: Any = protocol.reactor
        if threadable.ioThread in (None, threadable.getThreadID()):
            protocol.close(CLOSE_TIMEOUT)
        else:
            # The garbage collector runs in whichever thread it likes.
            reactor.callFromThread(protocol.close, CLOSE_TIMEOUT)

    def _cancelRead(self, deferred: Deferred[Any]) -> None:
        self._protocol.cancelRead()


def _toBytes(data: bytes | bytearray | memoryview | str) -> bytes:
    """
    @raise InvalidArgument: it can't be written.
    """
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        try:
            return data.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"write() of a str that has no UTF-8: {error}") from None
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise InvalidArgument(f"write() takes bytes or str, not {type(data).__name__}")


_speed.install("_streams")
