"""
What answers a request: the handler is run, and its response sent, whole or in pieces.

Each function here is given the connection. It is the hot path of the server, and
there is no object for a request but the request itself until a handler waits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Coroutine, Iterable
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Any, Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import ConnectionClosed, IncompleteRead, InvalidResponse, RemoteProtocolError, SlowBody
from ..http import ServerConnection, WasiResponse
from ..http.asks import UNKNOWN_EXPECTATION, expectsUnknown
from ..http.framing import isTunnel
from ..http.messages import PieceSource, toBody
from ..net.tasks.awaited import Awaited
from ..net.tasks.task import Task
from .interfaces import Serving
from .request import Request

log = Logger()


class Carrier(Protocol):
    """
    The connection, as this module needs it.
    """

    connection: ServerConnection[Request]
    server: Serving
    reactor: Any
    closing: bool
    lost: bool

    def transmit(self, data: bytes) -> None:
        """
        Send some bytes, and count them.
        """

    def transmitAnswer(self, data: bytes) -> None:
        """
        Send a response, which is counted elsewhere and may be sent at once.
        """

    def write(self, data: bytes) -> Awaited[None]:
        """
        Send some bytes; awaited, wait until the peer has taken enough.
        """

    def follow(self) -> None:
        """
        A response is complete, or the connection's end has been decided.
        """

    def abort(self) -> None:
        """
        Reset the connection.
        """

    def refuse(self, status: int, reason: str, request: Request | None) -> None:
        """
        Answer with an error, and nothing after it.
        """

    def tunnelEnded(self, error: BaseException | None, cancelled: bool) -> bool:
        """
        A handler has ended; was it one that had switched to another protocol?
        """

    def logAnswer(self, request: Request | None, status: int, size: int, complete: bool = True) -> None:
        """
        Write a line of the access log.
        """

    def peerName(self) -> str:
        """
        The peer's address for messages.
        """


def handle(carrier: Carrier, request: Request) -> None:
    """
    Run the handler over a request.
    """
    server = carrier.server
    request._protocol = carrier  # type: ignore[assignment]
    request._begun = False
    request._fault = None
    statistics = server.statistics
    statistics.requests += 1
    statistics.inFlight += 1
    if request._asks & UNKNOWN_EXPECTATION and expectsUnknown(request._asks, request.version):
        # RFC 9110 section 10.1.1
        carrier.refuse(417, "the only expectation known is 100-continue", request)
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
        failed(carrier, request, error)
        return
    if ended or isinstance(result, WasiResponse):
        handled(carrier, request, result)
    elif context is None:
        if isinstance(result, Awaitable):
            _run(carrier, Run(_wait(result), carrier, request))
        else:
            failed(carrier, request, invalid(result))
    else:
        run = Run(result, carrier, request, context)
        run.goOn(awaited)
        if not run.done:
            server.runs(carrier, run)


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
    if request.method == "CONNECT" and isTunnel(response.status, "CONNECT"):
        # To the client it would be a tunnel.
        carrier.refuse(501, "CONNECT is not served here", request)
        _close(carrier, response)
        return
    now = carrier.reactor.seconds()
    body = response._body
    whole = body.__class__ is bytes
    try:
        if whole:
            encoded = connection.respond(response, now, server.dateLine)
        else:
            encoded = connection.begin(response, now, server.dateLine)
    except Exception as error:
        failed(carrier, request, error)
        _close(carrier, response)
        return
    if whole:
        carrier.transmitAnswer(encoded)
        status = response.status
        server.statistics.answered(status, now - connection.clock.started, len(encoded))
        if server.accessLog is not None:
            carrier.logAnswer(request, status, 0 if request.method == "HEAD" else len(body))
        carrier.follow()
    else:
        carrier.transmit(encoded)
        _run(carrier, Sending(carrier, request, response))


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
        carrier.refuse(503, "the handler took too long", request)
    elif cancelled:
        carrier.abort()
    elif gone and isinstance(error, ConnectionClosed | IncompleteRead):
        log.info("the handler of {request} ended: {error}", request=request, error=error)
    elif unanswered and error is request._fault:
        carrier.refuse(getattr(error, "statusHint", 400), str(error), request)
    elif unanswered and isinstance(error, SlowBody):
        carrier.refuse(error.statusHint, "the body came too slowly", request)
    elif isinstance(error, RemoteProtocolError | IncompleteRead | SlowBody) and not connection.bodyEnded:
        # The answer has begun, but the request will not end: that is its peer's doing.
        log.info("the answer to {request} is broken off: {error}", request=request, error=error)
        carrier.abort()
    else:
        log.failure(
            "the handler of {request} from {peer} failed",
            failure=Failure(error),
            request=request,
            peer=carrier.peerName(),
        )
        if unanswered:
            # What it tripped over is for the log, not for the peer.
            connection.makeLast()
            handled(carrier, request, WasiResponse(500, {"Content-Type": "text/plain"}, "Internal Server Error\n"))
        else:
            # A FIN could make half a body look like a whole one.
            carrier.abort()


def invalid(given: object) -> InvalidResponse:
    """
    Make the error for what a handler has given instead of a response.
    """
    hint = {
        str: "; return WasiResponse(body=...)",
        bytes: "; return WasiResponse(body=...)",
        dict: "; return WasiResponse(headers={'Content-Type': 'application/json'}, body=json.dumps(...))",
        type(None): "; is a return missing?",
        CoroutineType: "; is an await missing?",
    }.get(type(given), "")
    return InvalidResponse(f"a handler must give a WasiResponse, or something to await, not {given!r}{hint}")


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
    """

    __slots__ = ("_request", "status")

    def __init__(self, carrier: Carrier, request: Request, response: WasiResponse) -> None:
        super().__init__(_sendPieces(carrier, request, response), carrier)
        self._request = request
        self.status = response.status

    def succeeded(self, result: object) -> None:
        if result is None:
            return
        assert isinstance(result, int)
        carrier = self._carrier
        now = carrier.reactor.seconds()
        carrier.server.statistics.answered(self.status, now - carrier.connection.clock.started, 0)
        carrier.logAnswer(self._request, self.status, result)
        carrier.follow()

    def failed(self, error: BaseException) -> None:
        failed(self._carrier, self._request, error, cancelled=self.wasCancelledBy(error))


class Closing(_Owned):
    """
    What closes the pieces of a response that is not sent.
    """

    __slots__ = ()

    def __init__(self, pieces: PieceSource, carrier: Carrier) -> None:
        super().__init__(closePieces(pieces), carrier)

    def failed(self, error: BaseException) -> None:
        log.failure("the pieces of a response could not be closed", failure=Failure(error))


async def _sendPieces(carrier: Carrier, request: Request, response: WasiResponse) -> int | None:
    """
    @return: how long the body was; L{None} if somebody has ended it meanwhile.
    """
    pieces = response.pieces
    assert pieces is not None
    connection = carrier.connection
    size = 0
    if request.method == "HEAD":
        await closePieces(pieces)
    else:
        sending = inPieces(pieces)
        try:
            async for data in sending:
                encoded = connection.data(data, carrier.reactor.seconds())
                size += len(data)
                carrier.server.statistics.bytesSent += len(encoded)
                await carrier.write(encoded)
        finally:
            # The garbage collector would end it as well, but not wait for what it does to end.
            await sending.aclose()
    if connection.request is not request:
        return None
    # Not awaited: that this is the end is to be known at once.
    carrier.transmit(connection.end(carrier.reactor.seconds(), response.trailers if response._trailers else ()))
    return size


async def inPieces(pieces: PieceSource) -> AsyncGenerator[bytes, None]:
    """
    The pieces of a body, whichever way they come; empty ones are left out. What gives them is closed in the end.

    @raise LocalProtocolError: one is neither bytes nor str.
    """
    try:
        if isinstance(pieces, AsyncIterable):
            async for piece in pieces:
                if data := toBody(piece):
                    yield data
        else:
            assert isinstance(pieces, Iterable)
            for piece in pieces:
                if data := toBody(piece):
                    yield data
    finally:
        await closePieces(pieces)


async def closePieces(pieces: PieceSource | None) -> None:
    """
    Tell whatever gives the pieces that no more are wanted.
    """
    for name in ("aclose", "close"):
        close = getattr(pieces, name, None)
        if close is not None:
            closing = close()
            if hasattr(closing, "__await__"):
                await closing
            return
