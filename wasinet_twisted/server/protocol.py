"""
One connection of the server, as Twisted sees it: requests in, responses out, in order, each within its bounds.

The bytes go straight into the L{Buffer}. There is no coroutine for a
connection, only for a handler that waits.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import copy_context
from types import CoroutineType
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ..errors import IncompleteRead, InvalidResponse, LocalProtocolError, RemoteProtocolError
from ..http import WasiResponse
from ..http.events import HeadersLike
from ..http.framing import ASKS_CLOSE, ASKS_MORE
from ..http.quick import wholeRequest
from ..net import WasiTcpConn
from ..net.connection import CLOSE_TIMEOUT
from ..net.receiving import IMMEDIATE
from .answer import encodeWhole
from .deadlines import Watched
from .direct import sendsDirectly
from .request import Request, refuseTakeOver
from .runs import Run
from .state import BUSY, DONE, HEAD, IDLE, LINGER, TUNNEL, UNREAD

# A body up to this length that has come with its head is there for the handler at once.
_SMALL = 64 * 1024


class HttpProtocol(Watched):
    """
    @ivar server: whose connection it is.
    """

    __slots__ = ()

    # Twisted calls these

    def connectionMade(self) -> None:
        """
        There is a connection.
        """
        self._direct = sendsDirectly(self.transport)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes have come.
        """
        phase = self._phase
        if phase == IDLE and not (
            self._pumping or self._pumpsLater or self._writePaused or self._ended or self.closing
        ):
            # Nearly always it is one request, and nobody waits for anything else.
            server, parser = self.server, self._parser
            if parser is None:
                request = wholeRequest(data, server.limits.message, Request, _SMALL)
            else:
                request = parser.wholeRequest(data, Request, _SMALL)
            if request is not None:
                server.statistics.bytesReceived += len(data)
                self._begin(request)
                return
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
            if not self._pumpsLater:
                self.pump()
            if not (self._pumpsLater or self._writePaused):
                return
        elif self._puller is not None:
            self._puller.give(None)
            return
        elif phase == UNREAD:
            self._forgetBody()
            return
        if self._arrived.size > self.server.limits.buffered and not self._readPaused and self._phase <= BUSY:
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
                self.pump()

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

    def resumeProducing(self) -> None:
        """
        It has taken it.
        """
        super().resumeProducing()
        if self._phase <= HEAD and not self.closing:
            if self._phase == IDLE:
                self._since = self.reactor.seconds()
            self.pump()

    def writeConnectionLost(self) -> None:
        """
        Our direction has been ended.
        """
        super().writeConnectionLost()
        if self._phase == LINGER:
            self._since = self.reactor.seconds()
            self._closeBy = self._since + self.server.limits.lingerSeconds
            self._unsent = 0

    # Requests

    def pump(self) -> None:
        """
        Answer what can be answered, one request after the other.
        """
        if self._pumping:
            return
        self._pumping = True
        try:
            for _ in range(IMMEDIATE):
                if self._phase > HEAD or self._writePaused or self.closing or self.lost or not self._nextRequest():
                    return
                if self._phase == IDLE and not self._arrived.size and not self._ended:
                    return
            # Others have their turn.
            if not self._pumpsLater:
                self._pumpsLater = True
                self.reactor.callLater(0, self._pumpAgain)
        finally:
            self._pumping = False

    def _pumpAgain(self) -> None:
        self._pumpsLater = False
        self.pump()

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
        request._fault = None
        self._request = request
        self._phase = BUSY
        self._started = self._since = self.reactor.seconds()
        self._count += 1
        self._bodyDone = request._body is not None
        self._bodyGot = 0
        self._waited = 0.0
        self._expects = self._late = False
        self._keepAlive = request._asks != ASKS_CLOSE and request.version != "HTTP/1.0"
        statistics = server.statistics
        statistics.requests += 1
        statistics.inFlight += 1
        if request._asks == ASKS_MORE and not self._heeds(request):
            return
        context = None
        ended = False
        try:
            result: Any = server.handler(request)
            if type(result) is CoroutineType:
                # The first step is made here: most handlers have nothing to wait for, and need no task.
                context = copy_context()
                awaited = context.run(result.send, None)
        except StopIteration as stop:
            ended = True
            result = stop.value
        except BaseException as error:
            self.failed(request, error)
            return
        if ended:
            if result.__class__ is not WasiResponse or not self._respondQuickly(request, result):
                self.handled(request, result)
        elif isinstance(result, WasiResponse):
            self._respond(request, result)
        elif context is None:
            self._runs(Run(_wait(result), self, request))
        else:
            run = Run(result, self, request, context=context)
            run.goOn(awaited)
            if not run.done:
                server.runs(self, run)

    def _heeds(self, request: Request) -> bool:
        """
        What does the request ask of its connection?

        @return: may it be answered? Else it has been refused.
        """
        expected = False
        for name, value in request._pairs:
            name = name.lower()
            if name == "connection":
                self._keepAlive = request.keepAlive
            elif name == "expect" and request.version != "HTTP/1.0":
                # RFC 9110 section 10.1.1: it has this one member.
                if value.lower() != "100-continue" or expected:
                    self._refuse(417, "the only expectation known is 100-continue", request)
                    return False
                expected = True
                self._expects = request._body != b""
        return True

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


async def _wait(result: Any) -> object:
    if not isinstance(result, Awaitable):
        raise InvalidResponse(f"a handler must give a WasiResponse, or something to await, not {result!r}")
    return await result
