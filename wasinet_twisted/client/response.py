"""
L{Response}: what C{fetch} gives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from multidict import CIMultiDict
from twisted.internet.defer import CancelledError, Deferred

from ..errors import (
    BusyError,
    ConnectionClosed,
    IncompleteRead,
    LocalProtocolError,
    RemoteProtocolError,
)
from ..http import ResponseHead
from ..http.content import decodeJson, decodeText
from ..http.exchange import TUNNEL
from ..net import WasiTcpConn
from ..net.reactors import callFromCollector
from ..net.tasks.awaited import Awaited
from ..net.tls.info import TlsInfo
from .call import Call
from .collecting import Collecting
from .decoding import Decoder
from .protocol import HttpClientProtocol
from .receiving import forget
from .timings import Timings

# The class has a method of that name.
_Bytes = bytes
# So many pieces of a response are taken with its head: a small body has come with it, and then its connection is free.
_WITH_HEAD = 8
# What of a body is read and forgotten to keep the connection, in bytes.
_DISCARDED = 64 * 1024


class Response:
    """
    A response whose head has come. C{fetch} makes it.

    The body comes when it is asked for: by L{bytes}, L{text}, L{json} or L{stream}. A response whose body isn't read to
    its end holds its connection, until C{async with response}, L{close}, or the end of the last reference resets it.

    @ivar history: the responses that redirected to this one, the first one first. Their bodies are gone.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_call",
        "_decoder",
        "_failure",
        "_head",
        "_limit",
        "_pieces",
        "_protocol",
        "_target",
        "history",
    )

    def __init__(
        self,
        protocol: HttpClientProtocol,
        call: Call,
        head: ResponseHead,
        target: object,
        limit: int,
        decoder: Decoder | None = None,
        history: tuple[Response, ...] = (),
    ) -> None:
        """
        @param limit: how much L{bytes} reads at the most, by default.
        """
        self._protocol: HttpClientProtocol | None = protocol
        self._call = call
        self._head = head
        self._target = target
        self._limit = limit
        self._decoder = decoder
        self.history = history
        # What has come and hasn't been given.
        self._pieces: list[_Bytes] = []
        self._body: _Bytes | None = None
        self._begun = False
        # What the next read raises.
        self._failure: Exception | None = None
        if protocol.call is call:
            self._takeWhatIsThere(protocol)
        else:
            # It had no body.
            self._protocol = None
            self._wholeBody()

    def _takeWhatIsThere(self, protocol: HttpClientProtocol) -> None:
        """
        Take what has come with the head.
        """
        try:
            for _ in range(_WITH_HEAD):
                piece = protocol.nextPiece()
                if piece is None:
                    if protocol.connection is not None:
                        # Until somebody reads, the server may take its time.
                        protocol.connection.rest()
                    return
                if not piece:
                    self._protocol = None
                    self._wholeBody()
                    return
                self._pieces.append(piece)
        except (RemoteProtocolError, IncompleteRead, ConnectionClosed) as error:
            # The read raises it, after the pieces that came before.
            self._failure = error

    def _wholeBody(self) -> None:
        """
        All of it has come with the head, as nearly always.
        """
        if self._decoder is None:
            pieces = self._pieces
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if len(body) <= self._limit:
                self._body = body
                pieces.clear()

    # The head

    @property
    def status(self) -> int:
        """
        200, 404 …
        """
        return self._head.status

    @property
    def ok(self) -> bool:
        """
        Is the status one of success, 200 to 299?
        """
        return 200 <= self._head.status <= 299

    @property
    def reason(self) -> str:
        """
        The phrase behind the status, as it came; often empty.
        """
        return self._head.reason

    @property
    def version(self) -> str:
        """
        C{"HTTP/1.1"} or C{"HTTP/1.0"}.
        """
        return self._head.version

    @property
    def headers(self) -> CIMultiDict[str]:
        """
        The fields: a case-insensitive mapping that keeps order, case and duplicates.
        """
        return self._head.headers

    @property
    def url(self) -> str:
        """
        The URL that answered: the last one, if there were redirects. Without user and password.
        """
        return str(self._target)

    @property
    def timings(self) -> Timings:
        """
        How long the phases have taken, in seconds.
        """
        return self._call.timings

    @property
    def trailers(self) -> CIMultiDict[str] | None:
        """
        The fields after a chunked body (RFC 9112 section 7.1.2); L{None} until the body has been read to its end.
        """
        call = self._call
        if call.timings.total is None:
            return None
        if call.trailers is None:
            call.trailers = CIMultiDict()
        return call.trailers

    @property
    def tls(self) -> TlsInfo | None:
        """
        What was agreed on by TLS; L{None} without TLS, and once the body has come to its end.
        """
        protocol = self._protocol
        return None if protocol is None or protocol.tls is None else protocol.tls.info

    # The body

    def bytes(self, maxBytes: int | None = None) -> Deferred[_Bytes]:
        """
        Read the whole body; called again, it gives the same.

        @param maxBytes: the bound on the decoded body, in bytes; by default C{ClientLimits.message.responseBody}.
        @raise MessageTooLarge: the body is longer, or passes a bound of
            L{DecodingLimits<wasinet_twisted.client.DecodingLimits>}. The connection is reset.
        @raise RemoteProtocolError: the body is malformed; L{ContentError}: it is not in its content coding.
        @raise IncompleteRead: the connection ended inside the body.
        @raise ConnectionClosed: the connection is gone.
        @raise TimedOut: the body took too long.
        @raise BusyError: L{stream} reads it, or has read it.
        """
        body = self._body
        if body is not None and (maxBytes is None or len(body) <= maxBytes):
            self._begun = True
            there: Awaited[_Bytes] = Awaited()
            there.begin(body)
            return there
        collecting = Collecting(self, self._limit if maxBytes is None else maxBytes)
        collecting.start()
        return collecting

    def text(self, maxBytes: int | None = None) -> Deferred[str]:
        """
        Read the whole body as text, by the charset that its Content-Type names, else as UTF-8.

        @param maxBytes: as L{bytes} has it.
        @raise ContentError: the body is not in that charset.
        """
        return self.bytes(maxBytes).addCallback(decodeText, self._head.getHeader("Content-Type"))

    def json(self, maxBytes: int | None = None) -> Deferred[Any]:
        """
        Read the whole body as JSON.

        @param maxBytes: as L{bytes} has it.
        @raise ContentError: the body is not JSON.
        """
        return self.bytes(maxBytes).addCallback(decodeJson)

    async def stream(self) -> AsyncIterator[_Bytes]:
        """
        Read the body as it comes, decoded: C{async for piece in response.stream()}. While no piece is asked for, the
        server is held back. A coded body has the bounds of L{DecodingLimits<wasinet_twisted.client.DecodingLimits>}.

        @raise BusyError: the body is being streamed, or has been. Else as L{bytes}.
        """
        if (body := self._body) is not None:
            if not self._begun:
                # From now on it is as if it had come in pieces.
                self._begun = True
                self._body = None
            if body:
                yield body
            return
        if self._begun:
            if self._failure is not None:
                # Of a body that has failed, everybody is told how.
                raise self._failure.with_traceback(None)
            raise BusyError(f"the body of {self} is read twice")
        self._begun = True
        decoder = self._decoder
        while True:
            piece = await self._nextPiece()
            if piece is None:
                break
            if decoder is None:
                yield piece
            else:
                for decoded in self._decode(decoder, piece):
                    yield decoded
        if decoder is not None:
            try:
                decoder.end()
            except (RemoteProtocolError, IncompleteRead) as error:
                raise self._fail(error) from None

    def _decode(self, decoder: Decoder, piece: _Bytes) -> Iterator[_Bytes]:
        try:
            yield from decoder.decode(piece)
        except RemoteProtocolError as error:
            self.close()
            raise self._fail(error) from None

    async def _nextPiece(self) -> _Bytes | None:
        """
        @return: L{None} at the end.
        """
        if self._pieces:
            return self._pieces.pop(0)
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        protocol = self._protocol
        if protocol is None or self._head.status == 101:
            # What follows a 101 is no body: see upgrade().
            return None
        if protocol.call is not self._call:
            raise self._fail(ConnectionClosed(f"{self} was closed"))
        try:
            piece = await protocol.awaitPiece()
        except CancelledError:
            # It may have had a piece in its hand.
            self.close()
            raise
        except Exception as error:
            raise self._fail(error) from None
        if piece:
            return piece
        self._protocol = None
        return None

    def _fail(self, error: Exception) -> Exception:
        if self._failure is None:
            self._failure = error
        return error

    # The connection

    def upgrade(self) -> WasiTcpConn:
        """
        Take the connection after a 101 (Switching Protocols, RFC 9110 section 15.2.2). The caller closes it.

        @raise LocalProtocolError: the response is no 101, or its connection has been taken.
        """
        protocol, self._protocol = self._protocol, None
        if protocol is None or protocol.connection is None or protocol.connection.exchange.state != TUNNEL:
            self._protocol = protocol
            raise LocalProtocolError(f"{self} opens no tunnel")
        return WasiTcpConn(protocol.leaveHttp())

    async def discard(self) -> None:
        """
        Read and drop the rest of the body, so that its connection can be used again; beyond 64 KiB, reset it instead.
        """
        self._begun = True
        size = sum(map(len, self._pieces))
        self._pieces.clear()
        while size <= _DISCARDED:
            piece = await self._nextPiece()
            if piece is None:
                return
            size += len(piece)
        self.close()

    def close(self) -> None:
        """
        Read no more. The connection is reset, unless the body has come to its end.
        """
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            if protocol.call is self._call:
                protocol.giveUp()
            self._pieces.clear()
            self._fail(ConnectionClosed(f"{self} was closed"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        """
        Nobody will read it.
        """
        protocol: HttpClientProtocol | None = getattr(self, "_protocol", None)
        if protocol is not None and protocol.call is self._call:
            callFromCollector(protocol.reactor, forget, protocol, self._call)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._head.status} {self._call}>"
