"""
One connection's request loop: read a request, have it answered, and again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..errors import ConnectionClosed, IncompleteRead, NotSupported, RemoteProtocolError, TimedOut
from ..http import Buffer, Data, EndOfMessage, Event, Limits, RequestHead, WasiRequest, WasiResponse
from ..http.events import HeadersLike
from ..http.limits import DEFAULT_LIMITS
from ..http.pieces import Pieces
from ..net import WasiTcpConn
from ..net.connection import theReactor
from .accesslog import AccessLog

log = Logger()

Handler = Callable[[WasiRequest], WasiResponse]

# After a refusal, what the peer still sends is read and thrown away, so that it reads the answer before it finds the
# connection closed (RFC 9112 section 9.6): for so many seconds and bytes.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024 * 1024


class RequestLoop:
    """
    Serves one connection.
    """

    def __init__(
        self,
        conn: WasiTcpConn,
        handler: Handler,
        limits: Limits = DEFAULT_LIMITS,
        accessLog: AccessLog | None = None,
        *,
        reactor: Any = None,
    ) -> None:
        """
        @param handler: makes the response to a request.
        @param accessLog: is told of each answer.
        """
        self._reactor = theReactor(reactor)
        self._conn = conn
        self._handler = handler
        self._limits = limits
        self._accessLog = accessLog
        self._buffer = Buffer("request", limits)
        self._head: RequestHead | None = None

    async def run(self) -> None:
        """
        Answer requests until one of the two sides has had enough.
        """
        try:
            while await self._serveOne():
                pass
        except RemoteProtocolError as error:
            await self._refuse(error.statusHint, str(error))
        except IncompleteRead as error:
            await self._refuse(400, str(error))
        except ConnectionClosed:
            # The peer has gone; there is nobody to tell.
            pass

    async def _serveOne(self) -> bool:
        """
        @return: may another request follow?
        """
        self._head = None
        head = await self._nextEvent()
        if head is None:
            return False
        assert isinstance(head, RequestHead)
        self._head = head
        if head.method == "CONNECT":
            await self._refuse(501, "CONNECT is not served here")
            return False
        expect = head.getHeader("Expect")
        # RFC 9110 section 10.1.1: it has this one member, and HTTP/1.0 didn't know it.
        expects = expect is not None and head.version != "HTTP/1.0"
        if expects and str(expect).lower() != "100-continue":
            await self._refuse(417, "the only expectation known is 100-continue")
            return False
        read = await self._readBody(head, expects)
        if read is None:
            return False
        body, trailers = read
        try:
            response = self._handler(WasiRequest(head.method, head.uri, head.headers, body, head.version, trailers))
            response, keepAlive = self._negotiate(head, response)
            encoded = response.encode(head.method)
        except Exception:
            # What it tripped over, or gave that is no response, is for the log, not for the peer.
            log.failure("the handler of {request} from {peer} failed", request=head, peer=self._peerName())
            await self._answer(WasiResponse(500, {"Connection": "close"}))
            return False
        await self._answer(response, encoded)
        return keepAlive

    @staticmethod
    def _negotiate(head: RequestHead, response: WasiResponse) -> tuple[WasiResponse, bool]:
        """
        Settle whether the connection stays. RFC 9112 section 9.3.

        @return: the response that says so, and does it? The handler's own isn't
            touched: it may be one that it gives every time.
        """
        keepAlive = head.keepAlive and response.keepAlive
        if keepAlive and head.version != "HTTP/1.0":
            return response, True
        sent = WasiResponse(
            response.status, response.headers, response.body, response.reason, response.version, response.trailers
        )
        sent.setHeader("Connection", "keep-alive" if keepAlive else "close")
        return sent, keepAlive

    async def _readBody(self, head: RequestHead, expects: bool) -> tuple[bytes, HeadersLike] | None:
        """
        @return: the body and the trailers; L{None} if the request has been refused.
        """
        pieces = Pieces()
        # The parser has seen to it that this is digits.
        length = int(head.headers.get("Content-Length", "0"))
        if length > self._limits.body:
            # Before the client has sent it, if it waits for a 100.
            await self._tooLarge()
            return None
        if expects and len(self._buffer) == 0 and (length or "Transfer-Encoding" in head.headers):
            # RFC 9110 section 10.1.1: not if the body has begun to come.
            await self._conn.write(WasiResponse(100).encode())
        while True:
            event = await self._nextEvent()
            if isinstance(event, EndOfMessage):
                return pieces.join(), event.trailers
            assert isinstance(event, Data)
            pieces.add(event.data)
            if pieces.size > self._limits.body:
                await self._tooLarge()
                return None

    async def _tooLarge(self) -> None:
        await self._refuse(413, f"a body of more than {self._limits.body} bytes")

    async def _nextEvent(self) -> Event | None:
        """
        @return: L{None} if the stream has ended between two requests.
        """
        while (event := self._buffer.nextEvent()) is None:
            data = await self._conn.read()
            if not data:
                self._buffer.eof()
                return self._buffer.nextEvent()
            self._buffer.append(data)
        return event

    def _answer(self, response: WasiResponse, encoded: bytes | None = None) -> Deferred[None]:
        """
        @return: fires when the peer has taken enough.
        """
        head = self._head
        method = "GET" if head is None else head.method
        if encoded is None:
            encoded = response.encode(method)
        if self._accessLog is not None:
            size = 0 if method == "HEAD" else len(response.body)
            self._accessLog.answered(self._peerName(), head, response.status, size)
        return self._conn.write(encoded)

    async def _refuse(self, status: int, reason: str) -> None:
        """
        Answer with an error and close, but see to it that the peer can read the answer.

        What it goes on to send is read and never parsed.
        """
        headers = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
        try:
            # Not awaited, nor is the end of our direction: a peer that takes nothing gets no more time than others.
            self._answer(WasiResponse(status, headers, f"{reason}\n"))
            await self._linger()
        except (ConnectionClosed, TimedOut):
            pass

    async def _linger(self) -> None:
        # Over TLS the answer is all that can be sent first.
        with contextlib.suppress(NotSupported):
            self._conn.finish().addErrback(lambda _: None)
        left = LINGER_BYTES
        until = self._reactor.seconds() + LINGER_SECONDS
        while left > 0 and (data := await self._conn.read(timeout=max(until - self._reactor.seconds(), 0))):
            left -= len(data)

    def _peerName(self) -> str:
        return getattr(self._conn.peer(), "host", None) or "-"
