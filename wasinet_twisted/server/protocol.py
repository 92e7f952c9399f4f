"""
One connection of the server: requests in, responses out, in order, each within its bounds.

The bytes go straight into the L{Buffer}; what a handler does not ask for stays
there, and when there is too much of it, the peer has to wait. There is no
coroutine for a connection, only for a handler that waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from contextvars import Context, copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import (
    BusyError,
    ConnectionClosed,
    IncompleteRead,
    LocalProtocolError,
    NotSupported,
    RemoteProtocolError,
    TimedOut,
)
from ..http import Buffer, Data, EndOfMessage, WasiResponse
from ..http.events import HeadersLike
from ..http.messages import Pieces
from ..http.output import encodeChunk, encodeEnd
from ..net import WasiTcpConn
from ..net.connection import CLOSE_TIMEOUT
from ..net.protocol import ConnectionProtocol, TlsConnectionProtocol
from ..net.receiving import IMMEDIATE
from ..net.sending import unsent
from ..net.tasks import Task
from ..net.tls import TlsTransport
from ..net.waiting import Awaited
from .answer import closePieces, encodeBegin, encodeWhole, inPieces, lengthOf, quickResponse
from .request import Request, refuseTakeOver, wantsTrailers

if TYPE_CHECKING:
    from .serving import HttpServer

log = Logger()

# What a connection is at. The first two wait for the peer's next request.
IDLE = 0  # nothing of a request has come
HEAD = 1  # some of its head has
BUSY = 2  # it is being answered
UNREAD = 3  # it has been, and the rest of its body is read and forgotten
LINGER = 4  # our direction has ended; what still comes is forgotten
TUNNEL = 5  # no HTTP any more
DONE = 6  # closing

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

# A body up to this length that has come with its head is there for the handler at once.
_SMALL = 64 * 1024


class _Run(Task[object]):
    """
    A handler that waits, or a response that is sent in pieces.
    """

    __slots__ = ("_protocol", "_request", "_streamed")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, object],
        protocol: HttpProtocol,
        request: Request,
        streamed: tuple[int, bool] | None = None,
        context: Context | None = None,
    ) -> None:
        """
        @param streamed: for a response, its status, and whether the connection goes on.
        """
        super().__init__(coroutine, protocol.reactor, context)
        self._protocol = protocol
        self._request = request
        self._streamed = streamed

    def succeeded(self, result: object) -> None:
        if self._streamed is None:
            self._protocol.handled(self._request, result)
        else:
            assert isinstance(result, int)
            status, keepAlive = self._streamed
            self._protocol.answered(self._request, status, result, keepAlive)

    def failed(self, error: BaseException) -> None:
        self._protocol.failed(self._request, error, cancelled=self.wasCancelledBy(error))

    def ended(self) -> None:
        self._protocol.runEnded(self)


class _Closing(Task[None]):
    """
    What closes the pieces of a response that is not sent.
    """

    __slots__ = ("_protocol",)

    def __init__(self, pieces: Pieces, protocol: HttpProtocol) -> None:
        super().__init__(closePieces(pieces), protocol.reactor)
        self._protocol = protocol

    def failed(self, error: BaseException) -> None:
        log.failure("the pieces of a response could not be closed", failure=Failure(error))

    def ended(self) -> None:
        self._protocol.runEnded(self)


class HttpProtocol(ConnectionProtocol):
    """
    @ivar server: whose connection it is.
    """

    __slots__ = (
        "_again",
        "_bodyDone",
        "_bodyGot",
        "_buffer",
        "_closeBy",
        "_count",
        "_ended",
        "_expects",
        "_keepAlive",
        "_late",
        "_phase",
        "_puller",
        "_pumping",
        "_request",
        "_since",
        "_started",
        "_unsent",
        "_waited",
        "_writeSince",
        "server",
    )

    def __init__(self, server: HttpServer) -> None:
        super().__init__(server.reactor, server.connected, server.connectionGone)
        self.server = server
        self._buffer = Buffer("request", server.limits.message)
        self._phase = IDLE
        # When the present phase has begun, and the present request.
        self._since = self._started = server.reactor.seconds()
        self._request: Request | None = None
        self._count = 0
        # Are requests being answered, and will they be in the reactor's next turn?
        self._pumping = self._again = False
        # Has the peer ended its direction?
        self._ended = False
        # Of the present request: may the connection go on, does the client wait for a 100, has all of the body been
        # taken, how much of it, and for how long has been waited for it?
        self._keepAlive = True
        self._expects = False
        self._bodyDone = True
        self._bodyGot = 0
        self._waited = 0.0
        self._puller: Awaited[None] | None = None
        # Why the handler is being cancelled, if it took too long.
        self._late = False
        # Since when the peer has not taken what we send, and how much that was; -1 if nobody has looked yet.
        self._writeSince = 0.0
        self._unsent = 0
        self._closeBy = 0.0

    # Twisted calls these

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes have come.
        """
        phase = self._phase
        if phase == TUNNEL:
            super().dataReceived(data)
            return
        if phase >= LINGER or self.closing:
            if phase == LINGER:
                self._bodyGot += len(data)
                if self._bodyGot > self.server.limits.lingerBytes:
                    self._lingerOver()
            return
        self.server.statistics.bytesReceived += len(data)
        buffer = self._buffer
        buffer.append(data)
        if phase <= HEAD:
            if not self._again:
                self._pump()
            if not (self._again or self._writePaused):
                return
        elif self._puller is not None:
            self._puller.give(None)
            return
        elif phase == UNREAD:
            self._forgetBody()
            return
        if len(buffer) > self.server.limits.buffered and not self._readPaused and self._phase <= BUSY:
            self._readPaused = True
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """
        The peer has ended its direction; it may still want its answers.
        """
        if self._phase == TUNNEL:
            super().readConnectionLost()
            return
        self._ended = True
        if self._phase == LINGER:
            # It has read the answer, or never will.
            self._lingerOver()
        elif self._phase < LINGER:
            self._buffer.eof()
            if self._puller is not None:
                self._puller.give(None)
            elif self._phase == UNREAD:
                self._forgetBody()
            elif self._phase <= HEAD:
                self._pump()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        if self._phase != TUNNEL:
            self._phase = DONE
        request, self._request = self._request, None
        if request is not None:
            self.server.statistics.abandoned()
        super().connectionLost(reason)
        if self._puller is not None:
            assert self._broken is not None
            self._puller.fail(self._broken)
        if request is not None and request._responded:
            # What gives the pieces of its response may wait for the next one for ever.
            self.server.cancel(self)

    def pauseProducing(self) -> None:
        """
        The peer doesn't take what we send.
        """
        super().pauseProducing()
        self._writeSince = self.reactor.seconds()
        self._unsent = -1

    def resumeProducing(self) -> None:
        """
        It has taken it.
        """
        super().resumeProducing()
        if self._phase <= HEAD and not self.closing:
            if self._phase == IDLE:
                self._since = self.reactor.seconds()
            self._pump()

    def writeConnectionLost(self) -> None:
        """
        Our direction has been ended.
        """
        super().writeConnectionLost()
        if self._phase == LINGER:
            self._since = self.reactor.seconds()
            self._closeBy = self._since + self.server.limits.lingerSeconds
            self._unsent = 0

    def _goOver(self, tls: TlsTransport) -> TlsTransport:
        self.transport = self.tls = tls
        self.__class__ = TlsHttpProtocol
        return tls

    # Requests

    def _pump(self) -> None:
        """
        Answer what can be answered, one request after the other.
        """
        if self._pumping:
            return
        self._pumping = True
        try:
            for _ in range(IMMEDIATE):
                if self._phase > HEAD or self._writePaused or self.closing or not self._nextRequest():
                    return
                if self._phase == IDLE and not len(self._buffer) and not self._ended:
                    return
            # Others have their turn.
            if not self._again:
                self._again = True
                self.reactor.callLater(0, self._pumpAgain)
        finally:
            self._pumping = False

    def _pumpAgain(self) -> None:
        self._again = False
        self._pump()

    def _nextRequest(self) -> bool:
        """
        @return: was there one, and may there be another?
        """
        buffer = self._buffer
        try:
            request = buffer.nextRequest(Request, _SMALL)
        except (RemoteProtocolError, IncompleteRead) as error:
            self._refuse(getattr(error, "statusHint", 400), str(error), None)
            return False
        if request is None:
            if self._ended:
                self.close(CLOSE_TIMEOUT)
            else:
                if self._phase == IDLE and len(buffer):
                    self._phase = HEAD
                    self._since = self.reactor.seconds()
                self._flow(True)
            return False
        self._begin(request)
        return True

    def _begin(self, request: Request) -> None:
        server = self.server
        request._protocol = self
        request._trailers = None
        request._begun = request._responded = False
        self._request = request
        self._phase = BUSY
        self._started = self._since = self.reactor.seconds()
        self._count += 1
        self._bodyDone = request._body is not None
        self._bodyGot = 0
        self._waited = 0.0
        self._expects = self._late = False
        self._keepAlive = request.version != "HTTP/1.0"
        server.statistics.started()
        expected = False
        for name, value in request._pairs:
            size = len(name)
            if size == 10 and name.lower() == "connection":
                self._keepAlive = request.keepAlive
            elif size == 6 and name.lower() == "expect" and request.version != "HTTP/1.0":
                # RFC 9110 section 10.1.1: it has this one member.
                if value.lower() != "100-continue" or expected:
                    self._refuse(417, "the only expectation known is 100-continue", request)
                    return
                expected = True
                self._expects = request._body != b""
        try:
            result: Any = server.handler(request)
            if type(result) is CoroutineType:
                # The first step is made here: most handlers have nothing to wait for, and need no task.
                context = copy_context()
                awaited = context.run(result.send, None)
            else:
                context = None
                awaited = None
        except StopIteration as stop:
            self.handled(request, stop.value)
            return
        except BaseException as error:
            self.failed(request, error)
            return
        if context is not None:
            run = _Run(result, self, request, context=context)
            run.goOn(awaited)
            if not run.done:
                server.runs(self, run)
        elif isinstance(result, WasiResponse):
            self._respond(request, result)
        else:
            self._runs(_Run(_wait(result), self, request))

    def _runs(self, run: _Run) -> None:
        run.start()
        if not run.done:
            self.server.runs(self, run)

    def runEnded(self, run: Task[Any]) -> None:
        """
        A task of this connection's has ended.
        """
        self.server.ran(self, run)

    # The body

    async def nextPiece(self, request: Request) -> bytes:
        """
        The next piece of the body.

        @return: C{b""} at its end.
        @raise RemoteProtocolError: it is malformed.
        @raise IncompleteRead: the peer has ended its direction inside it.
        @raise TimedOut: it comes too slowly.
        @raise ConnectionClosed: the peer has gone.
        """
        while True:
            if self._request is not request:
                raise ConnectionClosed(f"{request!r} has been answered, or its connection is gone")
            if self._bodyDone:
                return b""
            event = self._buffer.nextEvent()
            if isinstance(event, Data):
                self._expects = False
                self._bodyGot += len(event.data)
                self._flow()
                return event.data
            if event is not None:
                assert isinstance(event, EndOfMessage)
                self._bodyDone = True
                request._trailers = event.trailers
                self._flow()
                return b""
            await self._moreBody()

    async def _moreBody(self) -> None:
        if self.lost or self.closing:
            raise self._broken or ConnectionClosed(f"the connection with {self.peerName()} is closed")
        if self._puller is not None:
            raise BusyError(f"somebody else reads the body of {self._request!r}")
        if self._expects:
            self._expects = False
            if not len(self._buffer):
                # RFC 9110 section 10.1.1: not if the body has begun to come.
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._flow(True)
        before = self._since = self.reactor.seconds()
        puller: Awaited[None] = Awaited()
        self._puller = puller
        try:
            await puller
        finally:
            if self._puller is puller:
                self._puller = None
            self._waited += self.reactor.seconds() - before

    def _flow(self, more: bool = False) -> None:
        """
        Let the peer go on when enough of what it has sent has been taken.

        @param more: also if not: there is no going on without more.
        """
        if self._readPaused and (more or len(self._buffer) <= self.server.limits.buffered // 4):
            self._readPaused = False
            if not (self._ended or self.closing or self.lost):
                self.transport.resumeProducing()

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

    # Responses

    def handled(self, request: Request, result: object) -> None:
        """
        The handler has returned.
        """
        if self._phase == TUNNEL:
            self.close(CLOSE_TIMEOUT)
        else:
            self._respond(request, result)

    def _respond(self, request: Request, response: object) -> None:
        server = self.server
        if (
            response.__class__ is WasiResponse
            and self._keepAlive
            and self._bodyDone
            and not self._expects
            and self._request is request
            and not (server.draining or self._queued or self.closing or self.lost)
            and self._count != server.limits.requests
        ):
            encoded = quickResponse(response, request, server.dateLine)
            if encoded is not None:
                request._responded = True
                self.transport.write(encoded)
                if self._writePaused:
                    self._queued += len(encoded)
                size = len(response._body)
                server.statistics.bytesSent += len(encoded) - size
                self.answered(request, response.status, size, True)
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
        date = server.dateLine
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
            self._runs(_Run(coroutine, self, request, (response.status, keepAlive)))

    def _notSent(self, pieces: Pieces | None) -> None:
        if pieces is not None:
            closing = _Closing(pieces, self)
            closing.start()
            if not closing.done:
                self.server.runs(self, closing)

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
        async for data in inPieces(pieces):
            size += len(data)
            if length is not None and size > length:
                break
            await self.write(encodeChunk(data) if chunked else data)
        if chunked:
            trailers = list(response.trailers.items()) if response._trailers and wantsTrailers(request) else ()
            await self.write(encodeEnd(trailers))
        elif length is not None and size != length:
            raise LocalProtocolError(f"Content-Length is {length}, but the pieces have {size} bytes or more")
        return size

    def answered(self, request: Request, status: int, size: int, keepAlive: bool) -> None:
        """
        The response has been sent, or queued.
        """
        if self._request is not request:
            return
        now = self.reactor.seconds()
        server = self.server
        server.statistics.answered(status, now - self._started, size)
        if server.accessLog is not None:
            server.accessLog.answered(self._peerHost(), request, status, size)
        self._over(request)
        if self.lost or self.closing or self._phase == TUNNEL:
            return
        if keepAlive and self._bodyDone:
            self._ready(now)
        elif not keepAlive:
            if self._bodyDone and not len(self._buffer) and not self._readPaused:
                self._phase = DONE
                self.close(CLOSE_TIMEOUT)
            else:
                self._linger()
        else:
            self._phase = UNREAD
            self._since = now
            self._waited = 0.0
            self._forgetBody()

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
        if not self._pumping and (len(self._buffer) or self._ended):
            self._pump()
        if self.server.draining:
            self.closeIdle()

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
        elif isinstance(error, RemoteProtocolError | IncompleteRead) and not request._responded:
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
                failure=Failure(error),
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
        self._buffer.clear()
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

    # What handlers call

    def informational(self, request: Request, status: int, headers: HeadersLike) -> None:
        """
        See L{Request.informational}.
        """
        if not 100 <= status < 200 or status == 101:
            raise LocalProtocolError(f"an interim response has a status from 100 to 199, but not 101; not {status!r}")
        if request._responded or self._request is not request:
            raise LocalProtocolError(f"{request!r} has been answered")
        if request.version != "HTTP/1.0":
            self.send(WasiResponse(status, headers).encode())

    async def takeOver(self, request: Request, protocol: str | None, headers: HeadersLike) -> WasiTcpConn:
        """
        See L{Request.upgrade} and L{Request.acceptTunnel}.
        """
        refuseTakeOver(request, protocol)
        while await self.nextPiece(request):
            pass
        refuseTakeOver(request, protocol)
        response = WasiResponse(200 if protocol is None else 101, headers)
        if protocol is not None:
            response.setHeader("Upgrade", protocol)
            response.setHeader("Connection", "Upgrade")
        pairs, _ = response._plan(request.method)
        encoded = encodeWhole(response, request, True, b"") if pairs or protocol else response.encode(request.method)
        self._buffer.acceptTunnel()
        rest = self._buffer.takeRest()
        request._responded = True
        self.send(encoded)
        self._phase = TUNNEL
        self.answered(request, response.status, 0, True)
        if rest:
            super().dataReceived(rest)
        if self._ended:
            super().readConnectionLost()
        return WasiTcpConn(self)

    # Time

    def tick(self, now: float) -> None:
        """
        Look at the deadlines.
        """
        limits = self.server.limits
        phase = self._phase
        elapsed = now - self._since
        if self.closing or phase == LINGER:
            if now >= self._closeBy + self._earned():
                self._closeTooSlow()
        elif phase == IDLE:
            # Whoever still takes the last answer is not idle.
            if elapsed >= limits.idle and not self._writePaused:
                self._drop("idle")
        elif phase == HEAD:
            if elapsed >= limits.head:
                self._refuse(408, "the head took too long", None)
        elif phase == UNREAD:
            if elapsed >= limits.bodyGrace + self._waited / max(limits.bodyRate, 1e-9):
                self._drop("slow body")
        elif phase == BUSY:
            self._tickBusy(now)
        if (
            self._writePaused
            and not self.closing
            and phase != TUNNEL
            and now - self._writeSince >= limits.bodyGrace + self._earned()
        ):
            self.server.statistics.dropped("slow reader")
            self.abort()

    def _tickBusy(self, now: float) -> None:
        limits = self.server.limits
        if self._puller is not None:
            waited = self._waited + now - self._since
            if waited >= limits.bodyGrace + self._bodyGot / max(limits.bodyRate, 1e-9):
                self.server.statistics.dropped("slow body")
                self._puller.fail(SlowBody(f"timed out: {self._bodyGot} bytes of a body in {waited:.0f} s"))
        elif limits.handler is not None and now - self._started >= limits.handler and not self._late:
            request = self._request
            if request is not None and not request._responded:
                self._late = True
                self.server.cancel(self)

    def _closeTooSlow(self) -> None:
        if self._phase == LINGER and not self.closing:
            self._lingerOver()
        else:
            self._closeExpired()

    def _closeWithin(self, timeout: float) -> None:
        self._closeBy = self.reactor.seconds() + timeout
        # What goes on in a tunnel has no least rate.
        self._unsent = 0 if self._phase == TUNNEL else -1

    def _earned(self) -> float:
        """
        How many seconds the peer has earned by what it has taken. That is
        measured from the first tick on: the kernel takes some at once, which may
        be megabytes, for a peer that never takes any.
        """
        if self._unsent < 0:
            self._unsent = unsent(self.transport, 0)
            return 0.0
        taken = self._unsent - unsent(self.transport, self._unsent)
        return max(taken, 0) / max(self.server.limits.responseRate, 1e-9)

    def _drop(self, reason: str) -> None:
        self.server.statistics.dropped(reason)
        self._phase = DONE
        self.close(CLOSE_TIMEOUT)

    def isIdle(self) -> bool:
        """
        Does it wait for a request of which nothing has come? Not if it still
        sends an answer, nor if its first request may just be on its way.
        """
        if self._phase != IDLE or len(self._buffer) or self.closing or self._writePaused:
            return False
        return self._count > 0 or self.reactor.seconds() - self._since >= self.server.limits.head

    def idleSince(self) -> float:
        """
        Since when, if it does.
        """
        return self._since

    def closeIdle(self) -> None:
        """
        Close it, if it waits for a request of which nothing has come. What it has answered is sent first.
        """
        if self._phase == IDLE and not len(self._buffer) and not self.closing:
            self._phase = DONE
            self.close(CLOSE_TIMEOUT)

    def _peerHost(self) -> str:
        return getattr(self._peer, "host", None) or "-"


class TlsHttpProtocol(HttpProtocol, TlsConnectionProtocol):
    """
    What a L{HttpProtocol} becomes over TLS.
    """

    __slots__ = ()


class InvalidResponse(LocalProtocolError):
    """
    A handler gave something else than a response.
    """


class SlowBody(TimedOut):
    """
    A request's body came too slowly.
    """


async def _wait(result: Any) -> object:
    if not isinstance(result, Awaitable):
        raise InvalidResponse(f"a handler must give a WasiResponse, or something to await, not {result!r}")
    return await result
