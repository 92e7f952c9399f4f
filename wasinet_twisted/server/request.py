"""
L{Request}: what a handler is given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

from multidict import CIMultiDict, MultiDict
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IAddress

from ..errors import (
    BusyError,
    ConnectionClosed,
    ContentError,
    IncompleteRead,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
)
from ..http import RequestHead
from ..http.answers import checkOffer
from ..http.asks import CONTINUE
from ..http.content import decodeJson, decodeText
from ..http.events import HeadersLike
from ..http.framing import CHUNKED
from ..http.pieces import Pieces
from ..net import WasiTcpConn
from ..net.tasks.awaited import turn
from ..tracing import Trace
from ..websocket.handle import WebSocket
from ..websocket.limits import DEFAULT_LIMITS, WebSocketLimits
from .interfaces import Carrier
from .websocket import accept


class Request(RequestHead):
    """
    A request that waits for its response: the head, and what is needed for the rest.

    The body comes when the handler asks for it, by L{read} or L{stream}; one
    that nobody asks for is not read.

    @ivar method: as on the wire.
    @ivar uri: the raw request target.
    @ivar version: C{"HTTP/1.1"} or C{"HTTP/1.0"}.
    @ivar headers: the fields, a case-insensitive multi-mapping.
    """

    __slots__ = ("_begun", "_fault", "_protocol", "_trace")

    # What came with the head; None while it is to be read.
    _body: bytes | None  # type: ignore[assignment]
    _protocol: Carrier
    # Has somebody begun to read the body?
    _begun: bool
    # What is wrong with its body: that the client is to be told, and of nobody else's fault.
    _fault: BaseException | None
    # It is there only if the server traces.
    _trace: Trace

    @property
    def conn(self) -> WasiTcpConn:
        """
        The connection: C{peer()}, C{local()}, C{tls}, C{start()},
        C{whenClosed()}, C{abort()}. It is HTTP's to read and to write, until
        L{upgrade} gives it away.
        """
        return BorrowedConn(self._protocol)  # type: ignore[arg-type]

    @property
    def peer(self) -> IAddress:
        """
        The peer's address; behind a load balancer with PROXY headers, its client's.
        """
        return self._protocol.peer()

    @property
    def id(self) -> str | None:
        """
        Its id, which its response and the access log have too; L{None} unless the server gives ids
        (L{Tracing<wasinet_twisted.server.Tracing>}).
        """
        return None if self.trace is None else self.trace.requestId

    @property
    def trace(self) -> Trace | None:
        """
        The trace that it is part of: C{traceId}, C{spanId}, C{parentId}; L{None} unless the server traces.
        """
        return getattr(self, "_trace", None)

    @property
    def path(self) -> str:
        """
        The target's path, without the query, percent-decoded as UTF-8. What is
        no UTF-8 becomes U+FFFD; L{uri} has it as it came.
        """
        uri = self.uri
        if uri[:1] == "/" and "?" not in uri and "%" not in uri:
            # Nearly always it is the target as it stands.
            return uri
        return unquote(self._target()[0])

    @property
    def query(self) -> MultiDict[str]:
        """
        The target's query as C{application/x-www-form-urlencoded} has it.
        """
        return MultiDict(parse_qsl(self._target()[1], keep_blank_values=True))

    def _target(self) -> tuple[str, str]:
        uri = self.uri
        if not uri.startswith("/"):
            _, colon, rest = uri.partition("://")
            if colon:
                # absolute-form (RFC 9112 section 3.2.2): what follows the authority.
                end = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
                uri = rest[end:] if rest[end:].startswith("/") else "/" + rest[end:]
        path, _, query = uri.partition("?")
        return path, query

    async def read(self, maxBytes: int | None = None) -> bytes:
        """
        Read the whole body.

        @param maxBytes: how long it may be; by default as L{Limits.body<wasinet_twisted.http.Limits>} has it.
        @raise MessageTooLarge: it is longer. Let it pass, and the client is answered with 413.
        @raise RemoteProtocolError: it is malformed. Let it pass, and the client is answered with 400.
        @raise ConnectionClosed: the peer has gone.
        @raise BusyError: it is, or has been, read already.
        """
        most = self._protocol.server.limits.message.body if maxBytes is None else maxBytes
        body = self._body
        if body is not None and not self._begun:
            self._begun = True
            if len(body) > most:
                self._tooLarge(most)
            if self._asks & CONTINUE or self._length == CHUNKED:
                self._endOfBody()
            return body
        self._claimBody()
        if self._length > most:
            # Before the client has sent it, if it waits for a 100.
            self._tooLarge(most)
        pieces = Pieces()
        while piece := await self._nextPiece():
            pieces.add(piece)
            if pieces.size > most:
                self._tooLarge(most)
        return pieces.join()

    async def stream(self) -> AsyncIterator[bytes]:
        """
        C{async for piece in request.stream()}: the body as it comes, of any
        length. What the handler doesn't take, the peer has to wait with.

        @raise RemoteProtocolError: it is malformed.
        @raise ConnectionClosed: the peer has gone.
        @raise BusyError: it is, or has been, read already.
        """
        self._claimBody()
        if self._body is not None:
            if self._body:
                yield self._body
            self._endOfBody()
            return
        while piece := await self._nextPiece():
            yield piece

    def _endOfBody(self) -> None:
        # It has come with its head.
        if self._asks & CONTINUE:
            self._protocol.connection.nextPiece()
        # A chunked one has had its trailer section, without a field.
        if self._length == CHUNKED:
            self._trailers = CIMultiDict()

    def _claimBody(self) -> None:
        if self._begun:
            raise BusyError(f"the body of {self!r} is read twice")
        self._begun = True

    async def _nextPiece(self) -> bytes:
        """
        The next piece of the body.

        @return: C{b""} at its end.
        """
        carrier = self._protocol
        connection = carrier.connection
        while True:
            if connection.request is not self:
                raise ConnectionClosed(f"{self!r} has been answered, or its connection is gone")
            try:
                piece = connection.nextPiece()
            except (RemoteProtocolError, IncompleteRead) as error:
                self._fault = error
                raise
            if piece is None and not connection.bodyEnded:
                await carrier.awaitBody()
                continue
            if carrier.tookBody():
                await turn(carrier.reactor)
            return piece or b""

    async def _takeOver(self, protocol: str | None, headers: HeadersLike) -> WasiTcpConn:
        self._checkWaits()
        checkOffer(self, protocol)
        while await self._nextPiece():
            pass
        self._checkWaits()
        carrier = self._protocol
        encoded, rest = carrier.connection.upgrade(protocol, headers, carrier.reactor.seconds())
        return WasiTcpConn(carrier.tunnel(self, encoded, rest))

    def _checkWaits(self) -> None:
        carrier = self._protocol
        if carrier.lost or carrier.closing:
            raise ConnectionClosed(f"the connection with {carrier.peerName()} is closed, or gone")
        connection = carrier.connection
        if connection.request is not self or connection.exchange.isAnswered():
            raise LocalProtocolError(f"{self!r} has been answered")

    def _tooLarge(self, most: int) -> NoReturn:
        self._fault = MessageTooLarge(f"a body of more than {most} bytes", statusHint=413)
        raise self._fault

    async def text(self) -> str:
        """
        The whole body as text, by the charset that its Content-Type names, else as UTF-8.

        @raise ContentError: it isn't. Let it pass, and the client is answered with 400.
        """
        body = await self.read()
        try:
            return decodeText(body, self.getHeader("Content-Type"))
        except ContentError as error:
            self._fault = error
            raise

    async def json(self) -> Any:
        """
        The whole body as JSON.

        @raise ContentError: it isn't. Let it pass, and the client is answered with 400.
        """
        body = await self.read()
        try:
            return decodeJson(body)
        except ContentError as error:
            self._fault = error
            raise

    @property
    def trailers(self) -> Any:
        """
        The fields that came after a chunked body that has been read to its end (RFC 9112 section 7.1.2).
        """
        return self._trailers

    def whenDisconnected(self) -> Deferred[None]:
        """
        Wait until the client has ended its direction, or is gone: it has closed,
        or a person has stopped it, or it has only said that it sends no more.

        @return: fires with L{None} within a second of that. The response may
            still be sent: who has only ended its direction gets it.
        """
        return self._protocol.whenPeerFinished()

    def keepAfterDisconnect(self) -> None:
        """
        Go on with a response in pieces without a Content-Length when the client
        has ended its direction. Else it is reset if no piece comes for
        C{ServerLimits.halfClosed} seconds, and what gives the pieces is closed.
        """
        if self._protocol.connection.request is self:
            self._protocol.connection.clock.outlive()

    def informational(self, status: int, headers: HeadersLike = ()) -> None:
        """
        Send an interim response such as 103 (RFC 8297). To HTTP/1.0 none is sent.

        @raise LocalProtocolError: it is none, or the response has begun.
        """
        self._checkWaits()
        self._protocol.transmit(self._protocol.connection.interim(status, headers))

    def upgrade(self, protocol: str, headers: HeadersLike = ()) -> Deferred[WasiTcpConn]:
        """
        Switch to another protocol: answer 101, and hand the connection over.
        The body, if there is one, is read first and forgotten.

        @param protocol: one of those that the request offers in its Upgrade field.
        @return: fires with the connection, whose bytes from now on are the
            handler's. When the handler returns, it closes.
        @raise LocalProtocolError: the request doesn't offer that, or has been answered.
        """
        return ensureDeferred(self._takeOver(protocol, headers))

    def webSocket(
        self,
        *,
        subprotocols: Iterable[str] = (),
        compression: bool = True,
        headers: HeadersLike = (),
        limits: WebSocketLimits = DEFAULT_LIMITS,
        origins: Iterable[str] | None = None,
    ) -> Deferred[WebSocket]:
        """
        Open a WebSocket: judge the handshake (RFC 6455 section 4.2), answer 101, and give it to the handler. When the
        handler returns, it is closed with 1000; when the handler raises, with 1011.

            ws = await request.webSocket()
            async for message in ws:
                await ws.send(message)

        @param subprotocols: those that this server speaks, the preferred one first; the first that the client offers
            is chosen. If it offers none of them, none is chosen.
        @param compression: take the client's offer of permessage-deflate, if there is one (RFC 7692).
        @param headers: what the 101 has beside the handshake's own fields, such as Set-Cookie.
        @param limits: its L{WebSocketLimits<wasinet_twisted.websocket.WebSocketLimits>}.
        @param origins: the origins of the pages that may open it, such as C{"https://example.org"}; L{None}: all. A
            page of any site can open a WebSocket to this server, with this server's cookies. Clients that are no
            browsers send no Origin, and are let in.
        @return: fires with the L{WebSocket<wasinet_twisted.websocket.WebSocket>}.
        @raise InvalidHandshake: the handshake is not valid, or the origin may not. Let it pass, and the client is
            answered with 400, 403 or 426.
        @raise InvalidArgument: one of these can't be used.
        @raise LocalProtocolError: the request has been answered.
        @raise NotSupported: the extra C{ws} is missing.
        """
        return ensureDeferred(accept(self, subprotocols, compression, headers, limits, origins))

    def acceptTunnel(self, headers: HeadersLike = ()) -> Deferred[WasiTcpConn]:
        """
        The same for a CONNECT: answer 200, and hand the connection over.

        @raise LocalProtocolError: it is no CONNECT, or has been answered.
        """
        return ensureDeferred(self._takeOver(None, headers))


class BorrowedConn(WasiTcpConn):
    """
    A handle of a connection that belongs to HTTP: it doesn't close when it is forgotten.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise BusyError("the connection is HTTP's; request.upgrade() would give it away")

    read = readExactly = readUntil = readLine = readToEnd = unread = _refuse
    write = writeLines = sendFile = finish = startTLS = _refuse

    def __del__(self) -> None:
        """
        Nothing: whoever borrows doesn't close.
        """
