"""
What is sent: responses, whole or in pieces, refusals, and the end of a connection after them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import (
    ConnectionClosed,
    IncompleteRead,
    InvalidResponse,
    LocalProtocolError,
    NotSupported,
    RemoteProtocolError,
    SlowBody,
)
from ..http import Data, EndOfMessage, WasiResponse
from ..http.messages import Pieces
from ..http.output import encodeChunk, encodeEnd
from ..net.connection import CLOSE_TIMEOUT
from ..net.hints import withAsyncioHint
from ..net.tasks import Task
from .answer import closePieces, encodeBegin, encodeWhole, inPieces, lengthOf, quickResponse
from .body import Receiver
from .direct import sendDirectly
from .request import Request, wantsTrailers
from .runs import Closing, Run
from .state import DONE, IDLE, LINGER, TUNNEL, UNREAD

log = Logger()

_CLOSE = b"Connection: close\r\n"

# What the statistics are told of those that are refused: few and fixed words.
_REASONS = {
    408: "too slow",
    413: "body too large",
    414: "target too long",
    417: "unknown expectation",
    431: "head too large",
    501: "not served",
    503: "handler too slow",
    505: "version",
}


class Responder(Receiver):
    """
    The answer to a request, and what follows it.
    """

    __slots__ = ()

    def _runs(self, run: Run) -> None:
        run.start()
        if not run.done:
            self.server.runs(self, run)

    def runEnded(self, run: Task[Any]) -> None:
        """
        A task of this connection's has ended.
        """
        self.server.ran(self, run)

    def handled(self, request: Request, result: object) -> None:
        """
        The handler has returned.
        """
        if self._phase == TUNNEL:
            self.close(CLOSE_TIMEOUT)
        else:
            self._respond(request, result)

    def _respond(self, request: Request, response: object) -> None:
        if response.__class__ is WasiResponse and self._respondQuickly(request, response):
            return
        if not isinstance(response, WasiResponse):
            self.failed(request, InvalidResponse(f"a handler must give a WasiResponse, not {response!r}"))
            return
        pieces = response.pieces
        if self._request is not request or self.lost or self.closing:
            # Nobody is there to be answered.
            self._notSent(pieces)
            return
        method = request.method
        if method == "CONNECT" and 200 <= response.status < 300:
            # To the client it would be a tunnel.
            self._refuse(501, "CONNECT is not served here", request)
            self._notSent(pieces)
            return
        date = self.server.dateLine
        try:
            keepAlive = self._goesOn(request, response)
            if response.status < 200:
                raise InvalidResponse(f"{response!r} is no final response; request.informational() sends others")
            if pieces is None:
                encoded, chunked = encodeWhole(response, request, keepAlive, date), False
            else:
                encoded, chunked = encodeBegin(response, request, keepAlive, date)
        except Exception as error:
            self.failed(request, error)
            self._notSent(pieces)
            return
        request._responded = True
        self.send(encoded)
        if pieces is None:
            size = 0 if method == "HEAD" else len(response._body)
            self.server.statistics.bytesSent += len(encoded) - size
            self.answered(request, response.status, size, keepAlive)
        else:
            self.server.statistics.bytesSent += len(encoded)
            coroutine = self._sendPieces(request, response, chunked)
            self._runs(Run(coroutine, self, request, (response.status, keepAlive)))

    def _notSent(self, pieces: Pieces | None) -> None:
        if pieces is not None:
            closing = Closing(pieces, self)
            closing.start()
            if not closing.done:
                self.server.runs(self, closing)

    def _respondQuickly(self, request: Request, response: WasiResponse) -> bool:
        """
        What L{_respond} and L{answered} do, for nearly every response, in one go: this is the hot path.

        @return: was it such a one?
        """
        server = self.server
        if (
            not self._bodyDone
            or self._expects
            or self._request is not request
            or self._queued
            or self.closing
            or self.lost
        ):
            return False
        goesOn = self._keepAlive and not server.draining and self._count != server.limits.requests
        encoded = quickResponse(response, request, server.dateLine if goesOn else server.dateLine + _CLOSE)
        if encoded is None:
            return False
        request._responded = True
        self._request = None
        self._phase = IDLE
        # Answers to requests that came together are left to the transport, to go together.
        if not self._direct or self._pumping or not sendDirectly(self.transport, encoded):
            self.transport.write(encoded)
        if self._writePaused:
            self._queued += len(encoded)
        now = self._since = self.reactor.seconds()
        server.statistics.answered(response.status, now - self._started, len(encoded))
        if server.accessLog is not None:
            server.accessLog.answered(self._peerHost(), request, response.status, len(response._body))
        if not goesOn:
            self._last()
            return True
        if self._readPaused:
            self._flow()
        if not self._pumping and (self._arrived.size or self._ended):
            self.pump()
        return True

    def _last(self) -> None:
        """
        No other response follows this one.
        """
        if self._bodyDone and not self._hasUnparsed() and not self._readPaused:
            self._phase = DONE
            self.close(CLOSE_TIMEOUT)
        else:
            self._linger()

    def _goesOn(self, request: Request, response: WasiResponse) -> bool:
        """
        May the connection go on after this response? RFC 9112 section 9.3.
        """
        limits = self.server.limits
        if (
            not self._keepAlive
            or self.server.draining
            or (self._expects and not (self._bodyDone and request._begun))
            or self._count == limits.requests
            or request.method == "CONNECT"
            or not response.keepAlive
        ):
            return False
        if request.version == "HTTP/1.0" and response.pieces is not None and "Content-Length" not in response.headers:
            # The end of the connection is the end of the body.
            return False
        return self._bodyDone or request._length - self._bodyGot <= limits.unreadBody

    async def _sendPieces(self, request: Request, response: WasiResponse, chunked: bool) -> int:
        """
        @return: how long the body was.
        """
        size = 0
        pieces = response.pieces
        assert pieces is not None
        if request.method == "HEAD":
            await closePieces(pieces)
            return 0
        length = lengthOf(response)
        sending = inPieces(pieces)
        try:
            async for data in sending:
                size += len(data)
                if length is not None and size > length:
                    raise LocalProtocolError(f"Content-Length is {length}, but the pieces have more")
                await self.write(encodeChunk(data) if chunked else data)
        finally:
            # The garbage collector would end it as well, but not wait for what it does to end.
            await sending.aclose()
        if chunked:
            trailers = list(response.trailers.items()) if response._trailers and wantsTrailers(request) else ()
            await self.write(encodeEnd(trailers))
        elif length is not None and size != length:
            raise LocalProtocolError(f"Content-Length is {length}, but the pieces have {size} bytes")
        return size

    def answered(self, request: Request, status: int, size: int, keepAlive: bool) -> None:
        """
        The response has been sent, or queued.
        """
        if self._request is not request:
            return
        now = self._counted(request, status, size)
        self._over(request)
        if self.lost or self.closing or self._phase == TUNNEL:
            return
        if keepAlive and self._bodyDone:
            self._ready(now)
        elif not keepAlive:
            self._last()
        else:
            self._phase = UNREAD
            self._since = now
            self._waited = 0.0
            self._forgetBody()

    def _counted(self, request: Request, status: int, size: int) -> float:
        """
        Tell statistics and log of an answer.

        @return: the time.
        """
        now = self.reactor.seconds()
        server = self.server
        server.statistics.answered(status, now - self._started, size)
        if server.accessLog is not None:
            server.accessLog.answered(self._peerHost(), request, status, size)
        return now

    def _over(self, request: Request | None) -> None:
        """
        The present request has its answer. Somebody may still be reading its body.
        """
        self._request = None
        if self._puller is not None:
            self._puller.fail(ConnectionClosed(f"{request!r} has been answered"))

    def _ready(self, now: float) -> None:
        """
        The next request may come.
        """
        self._phase = IDLE
        self._since = now
        if self._readPaused:
            self._flow()
        if not self._pumping and (self._arrived.size or self._ended):
            self.pump()
        if self.server.draining:
            self.closeIdle()

    def _forgetBody(self) -> None:
        """
        Read the rest of a body that the handler has left, to come to the next request.
        """
        buffer = self._buffer
        try:
            while (event := buffer.nextEvent()) is not None:
                if isinstance(event, EndOfMessage):
                    self._bodyDone = True
                    self._ready(self.reactor.seconds())
                    return
                assert isinstance(event, Data)
                self._waited += len(event.data)
                if self._waited > self.server.limits.unreadBody:
                    break
            else:
                self._flow()
                return
        except (RemoteProtocolError, IncompleteRead):
            # What it answers has been sent; what comes now is no request.
            pass
        self._linger()

    def failed(self, request: Request, error: BaseException, cancelled: bool = False) -> None:
        """
        The handler, or what gives the pieces of its response, has raised C{error}.
        """
        if self._phase == TUNNEL:
            if cancelled:
                self.abort()
            else:
                self.taskFailed("the handler", error)
            return
        if self._late and isinstance(error, CancelledError):
            self._refuse(503, "the handler took too long", request)
        elif cancelled:
            self.abort()
        elif (self.lost or self.closing) and isinstance(error, ConnectionClosed | IncompleteRead):
            log.info("the handler of {request} ended: {error}", request=request, error=error)
        elif error is request._fault and not request._responded:
            self._refuse(getattr(error, "statusHint", 400), str(error), request)
        elif isinstance(error, SlowBody) and not request._responded:
            self._refuse(408, "the body came too slowly", request)
        elif isinstance(error, RemoteProtocolError | IncompleteRead | SlowBody) and not self._bodyDone:
            # The answer has begun, but the request will not end: that is its peer's doing.
            log.info("the answer to {request} is broken off: {error}", request=request, error=error)
            self.abort()
        else:
            log.failure(
                "the handler of {request} from {peer} failed",
                failure=Failure(withAsyncioHint(error)),
                request=request,
                peer=self.peerName(),
            )
            if request._responded:
                # A FIN could make half a body look like a whole one.
                self.abort()
            else:
                # What it tripped over is for the log, not for the peer.
                self._keepAlive = False
                self._respond(request, WasiResponse(500))

    def _refuse(self, status: int, reason: str, request: Request | None) -> None:
        """
        Answer with an error and close, but see to it that the peer can read the answer.

        @param request: what is refused; L{None} if its head could not be read.
        """
        if self.lost or self.closing:
            return
        server = self.server
        response = WasiResponse(status, {"Content-Type": "text/plain; charset=utf-8"}, f"{reason}\n")
        encoded = encodeWhole(response, request, False, server.dateLine)
        self.send(encoded)
        statistics = server.statistics
        if request is not None:
            request._responded = True
            # It has been counted, and is counted as a refusal instead of an answer.
            statistics.inFlight -= 1
        statistics.refused(status, _REASONS.get(status, "malformed"))
        statistics.bytesSent += len(encoded)
        if server.accessLog is not None:
            server.accessLog.answered(self._peerHost(), request, status, len(response.body))
        self._over(request)
        self._linger()

    def _linger(self) -> None:
        """
        End our direction, and read and forget what the peer still sends, so that
        it reads the answer before it finds the connection closed. RFC 9112 section 9.6.
        """
        self._phase = LINGER
        self._bodyGot = 0
        if self._parser is not None:
            self._parser.clear()
        if self.closing or self.lost:
            return
        # Until what is queued has been sent; then this is set anew.
        self._closeWithin(CLOSE_TIMEOUT)
        if self._ended:
            self._lingerOver()
            return
        if self._readPaused:
            self._readPaused = False
            self.transport.resumeProducing()
        try:
            self.finish()
        except NotSupported:
            # Over TLS the answer is all that can be sent first.
            self._closeBy = self.reactor.seconds() + self.server.limits.lingerSeconds
            self._unsent = 0

    def _lingerOver(self) -> None:
        self._phase = DONE
        self.close(CLOSE_TIMEOUT)
