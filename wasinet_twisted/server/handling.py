"""
What answers a request: the handler is run, and its response sent, whole or in pieces.

Each function here is given the connection. It is the hot path of the server, and
there is no object for a request but the request itself until a handler waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from contextvars import Context
from types import CoroutineType
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import (
    ConnectionClosed,
    IncompleteRead,
    LocalProtocolError,
    SlowBody,
)
from ..http import WasiResponse
from ..http.asks import UNKNOWN_EXPECTATION, expectsUnknown
from ..http.exchange import HEAD
from ..http.fields import Pair
from ..http.framing import isTunnel
from ..http.messages import PieceSource
from ..net.tasks.hints import withAsyncioHint
from ..net.tasks.task import Task
from .accesslog import CLIENT_CLOSED
from .answering import Answering
from .ends import logAnswer
from .interfaces import Carrier
from .pieces import closePieces, inPieces
from .request import Request
from .returned import invalid

log = Logger()


# What the statistics are told of those that are refused: few and fixed words.
_REASONS = {
    403: "origin",
    408: "too slow",
    413: "body too large",
    414: "target too long",
    417: "unknown expectation",
    426: "no WebSocket",
    431: "head too large",
    501: "not served",
    503: "handler too slow",
    505: "version",
}


def handle(carrier: Carrier, request: Request) -> None:
    """
    Run the handler over a request.
    """
    server = carrier.server
    request._protocol = carrier
    request._begun = False
    request._fault = None
    server.statistics.requests += 1
    carrier.inFlight = request
    if request._asks & UNKNOWN_EXPECTATION and expectsUnknown(request._asks, request.version):
        # RFC 9110 section 10.1.1
        refuse(carrier, 417, "the only expectation known is 100-continue", request)
        return
    # Not the present one, which may be that of another handler: of the one that has answered the request before this
    # one just now, or that has let the connection's bytes flow again on an asyncio loop.
    context = server.context.copy()
    awaited = None
    ended = False
    try:
        result: Any = context.run(server.handler, request)
        if result.__class__ is CoroutineType:
            # The first step is made here: most handlers have nothing to wait for, and need no task.
            awaited = context.run(result.send, None)
    except StopIteration as stop:
        ended = True
        result = stop.value
    except BaseException as error:
        failed(carrier, request, error)
        return
    if ended or isinstance(result, WasiResponse):
        handled(carrier, request, result)
    else:
        goOn(carrier, request, result, context, awaited)


def goOn(carrier: Carrier, request: Request, result: Any, context: Context, awaited: Any) -> None:
    """
    Go on with a handler that has given no response yet.

    @param result: its coroutine, or what else it has given.
    @param context: the one in which it has been called, and the coroutine has made its first step.
    @param awaited: what the coroutine awaits.
    """
    if result.__class__ is CoroutineType:
        run = Run(result, carrier, request, context)
        run.goOn(awaited)
        if not run.done:
            carrier.server.runs(carrier, run)
    elif isinstance(result, Awaitable):
        _run(carrier, Run(_wait(result), carrier, request, context))
    elif not isinstance(result, Answering):
        failed(carrier, request, invalid(result))


def handled(carrier: Carrier, request: Request, response: object) -> None:
    """
    The handler has returned: answer with what it gave.
    """
    connection, server = carrier.connection, carrier.server
    if connection.request is not request or carrier.lost or carrier.closing:
        if not carrier.tunnelEnded(None, False):
            # Nobody is there to be answered.
            _close(carrier, response)
        return
    if not isinstance(response, WasiResponse):
        failed(carrier, request, invalid(response))
        return
    now = carrier.reactor.seconds()
    body = response._body
    if body.__class__ is not bytes and response.pieces is not None:
        _stream(carrier, request, response, now)
        return
    try:
        encoded = connection.respond(response, now, server.dateLine)
    except Exception as error:
        _unsendable(carrier, request, response, error)
        return
    carrier.inFlight = None
    status = response.status
    seconds = now - connection.clock.started
    server.statistics.answered(status, seconds, len(encoded))
    if server.ends is not None:
        logAnswer(carrier, request, status, 0 if request.method == "HEAD" else len(body), seconds)
    carrier.answer(encoded)


def _stream(carrier: Carrier, request: Request, response: WasiResponse, now: float) -> None:
    """
    Send a response that comes in pieces.
    """
    try:
        encoded = carrier.connection.begin(response, now, carrier.server.dateLine)
    except Exception as error:
        _unsendable(carrier, request, response, error)
        return
    carrier.transmit(encoded)
    _run(carrier, Sending(carrier, request, response))


def _unsendable(carrier: Carrier, request: Request, response: WasiResponse, error: Exception) -> None:
    """
    Nothing of a response has been sent, and nothing can be.
    """
    if request.method == "CONNECT" and response.status != 101 and isTunnel(response.status, "CONNECT"):
        # To the client it would be a tunnel.
        refuse(carrier, 501, "CONNECT is not served here", request)
    else:
        failed(carrier, request, error)
    _close(carrier, response)


def failed(carrier: Carrier, request: Request, error: BaseException, cancelled: bool = False) -> None:
    """
    The handler, or what gives the pieces of its response, has raised C{error}.
    """
    connection = carrier.connection
    if connection.request is not request and carrier.tunnelEnded(error, cancelled):
        return
    gone = carrier.lost or carrier.closing
    unanswered = connection.request is request and not connection.exchange.isAnswered() and not gone
    if connection.clock.late and isinstance(error, CancelledError):
        refuse(carrier, 503, "the handler took too long", request)
    elif cancelled:
        carrier.abort()
    elif gone and isinstance(error, ConnectionClosed | IncompleteRead):
        log.info("the handler of {request} ended: {error}", request=request, error=error)
    elif unanswered and error is request._fault:
        refuse(carrier, getattr(error, "statusHint", 400), str(error), request, getattr(error, "fields", ()))
    elif unanswered and isinstance(error, SlowBody):
        refuse(carrier, error.statusHint, "the body came too slowly", request)
    elif error is request._fault or isinstance(error, SlowBody):
        # The answer has begun, but the request will not end: that is its peer's doing.
        log.info("the answer to {request} is broken off: {error}", request=request, error=error)
        carrier.abort()
    else:
        log.failure(
            "the handler of {request} from {peer} failed",
            failure=Failure(withAsyncioHint(error)),
            request=request,
            peer=carrier.peerName(),
        )
        if request.trace is not None:
            request.trace.failed(error)
        if unanswered:
            # What it tripped over is for the log, not for the peer.
            connection.makeLast()
            handled(carrier, request, WasiResponse(500, {"Content-Type": "text/plain"}, "Internal Server Error\n"))
        else:
            # A FIN could make half a body look like a whole one.
            carrier.abort()


def refuse(carrier: Carrier, status: int, reason: str, request: Request | None, fields: Sequence[Pair] = ()) -> None:
    """
    Answer with an error, and nothing after it.

    @param request: what is refused; L{None} if its head could not be read.
    @param fields: what the answer has beside its text.
    """
    if carrier.lost or carrier.closing:
        return
    server, connection = carrier.server, carrier.connection
    now = carrier.reactor.seconds()
    if request is not None:
        since = connection.clock.started
    else:
        since = connection.clock.since if connection.exchange.state == HEAD else now
    try:
        encoded, size = connection.refuse(status, reason, now, server.dateLine, fields)
    except LocalProtocolError:
        carrier.abort()
        return
    carrier.transmit(encoded)
    if carrier.inFlight is not None:
        # It has been counted, and is counted as a refusal instead of an answer.
        carrier.inFlight = None
        server.statistics.refusedRequests += 1
    server.statistics.refused(status, _REASONS.get(status, "malformed"))
    logAnswer(carrier, request, status, size, now - since)
    carrier.follow()


def brokenOff(
    carrier: Carrier, request: Request, sending: Task[Any] | Answering | None, error: BaseException | None = None
) -> None:
    """
    There will be no more of a response: its connection is gone, or what gives its pieces has failed.

    @param sending: what was sending it, if that is what runs for the connection.
    @param error: what it has raised.
    """
    if request.trace is not None and error is not None and not isinstance(error, CancelledError):
        request.trace.failed(error)
    carrier.inFlight = None
    carrier.server.statistics.abandoned()
    sends = isinstance(sending, Sending | Answering) and sending.status
    status, sent = (sending.status, sending.sent) if sends else (CLIENT_CLOSED, 0)  # type: ignore[union-attr]
    seconds = carrier.reactor.seconds() - carrier.connection.clock.started
    logAnswer(carrier, request, status, sent, seconds, complete=False)


async def _wait(result: Any) -> object:
    return await result


def _run(carrier: Carrier, task: Task[Any]) -> None:
    task.start()
    if not task.done:
        carrier.server.runs(carrier, task)


def _close(carrier: Carrier, response: object) -> None:
    """
    Tell what gives the pieces of a response that is not sent.
    """
    if isinstance(response, WasiResponse) and response.pieces is not None:
        _run(carrier, Closing(response.pieces, carrier))


class _Owned(Task[Any]):
    """
    A task of a connection's, which the server waits for.
    """

    __slots__ = ("_carrier",)

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], carrier: Carrier, context: Context | None = None
    ) -> None:
        super().__init__(coroutine, carrier.reactor, context)
        self._carrier = carrier

    def ended(self) -> None:
        self._carrier.server.ran(self._carrier, self)


class Run(_Owned):
    """
    A handler that waits.
    """

    __slots__ = ("_request",)

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, object],
        carrier: Carrier,
        request: Request,
        context: Context | None = None,
    ) -> None:
        super().__init__(coroutine, carrier, context)
        self._request = request

    def succeeded(self, result: object) -> None:
        handled(self._carrier, self._request, result)

    def failed(self, error: BaseException) -> None:
        failed(self._carrier, self._request, error, cancelled=self.wasCancelledBy(error))


class Sending(_Owned):
    """
    A response that is sent in pieces.

    @ivar status: its status.
    @ivar sent: how much of its body has been sent, in bytes.
    """

    __slots__ = ("_request", "sent", "status")

    def __init__(self, carrier: Carrier, request: Request, response: WasiResponse) -> None:
        super().__init__(self._send(response), carrier)
        self._request = request
        self.status = response.status
        self.sent = 0

    def succeeded(self, result: object) -> None:
        carrier = self._carrier
        if carrier.inFlight is self._request:
            carrier.inFlight = None
            seconds = carrier.reactor.seconds() - carrier.connection.clock.started
            carrier.server.statistics.answered(self.status, seconds, 0)
            logAnswer(carrier, self._request, self.status, self.sent, seconds)
            carrier.follow()

    def failed(self, error: BaseException) -> None:
        if self._carrier.inFlight is self._request:
            brokenOff(self._carrier, self._request, self, error)
        failed(self._carrier, self._request, error, cancelled=self.wasCancelledBy(error))

    async def _send(self, response: WasiResponse) -> None:
        carrier, pieces = self._carrier, response.pieces
        connection, reactor = carrier.connection, carrier.reactor
        assert pieces is not None
        if self._request.method == "HEAD":
            await closePieces(pieces)
        else:
            sending = inPieces(pieces)
            try:
                async for data in sending:
                    encoded = connection.data(data, reactor.seconds())
                    self.sent += len(data)
                    carrier.server.statistics.bytesSent += len(encoded)
                    await carrier.write(encoded)
            finally:
                # The garbage collector would end it as well, but not wait for what it does to end.
                await sending.aclose()
        if connection.request is self._request:
            # Not awaited: that this is the end is to be known at once.
            carrier.transmit(connection.end(reactor.seconds(), response.trailers if response._trailers else ()))


class Closing(_Owned):
    """
    What closes the pieces of a response that is not sent.
    """

    __slots__ = ()

    def __init__(self, pieces: PieceSource, carrier: Carrier) -> None:
        super().__init__(closePieces(pieces), carrier)

    def failed(self, error: BaseException) -> None:
        log.failure("the pieces of a response could not be closed", failure=Failure(error))
