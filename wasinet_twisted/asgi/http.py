"""
L{HttpExchange}: what an app receives and sends for an HTTP request.

The names and the order of messages are those of the ASGI HTTP specification, version 2.5.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import (
    IncompleteRead,
    LocalProtocolError,
    RemoteProtocolError,
    SlowBody,
)
from ..http import WasiResponse
from ..http.outgoing import mayCarryBody
from ..net.tasks.awaited import Awaited
from ..server import Request
from .causes import isCancellation, isOfTheClient
from .exchange import Exchange
from .files import FileReading
from .interfaces import Message
from .messages import bodyOf, fieldsOf, kindOf, linksOf, responseOf, withLength
from .running import Runner

log = Logger()

# What has been sent: nothing; a start, which is held back; the head; the body, and trailers are due; everything.
_NOTHING, _STARTED, _BODY, _TRAILERS, _COMPLETE = range(5)
_EXPECTED = {
    _NOTHING: "http.response.start",
    _STARTED: "http.response.body",
    _BODY: "http.response.body",
    _TRAILERS: "http.response.trailers",
}


class HttpExchange(Exchange):
    """
    Runs an app over a request. The app may go on when its response is complete.
    """

    __slots__ = (
        "_bodyTold",
        "_length",
        "_response",
        "_stage",
        "_trailers",
        "_turnDue",
    )

    def __init__(self, request: Request, runner: Runner) -> None:
        super().__init__(request, runner)
        self._stage = _NOTHING
        # The response that has been started, and its Content-Length; are trailers to come, or have some come?
        self._response: WasiResponse | None = None
        self._length: str | None = None
        self._trailers: list[tuple[str, str]] | None = None
        # Has it had the whole body? Have others to have their turn before the next piece?
        self._bodyTold = self._turnDue = False

    # Its end

    def returned(self, error: BaseException | None) -> None:
        """
        See L{Exchange.returned}.
        """
        if error is None and self._stage == _COMPLETE:
            return
        cancelled = error is not None and isCancellation(error)
        if self._stage == _COMPLETE:
            if error is not None and not cancelled:
                log.failure(
                    "the app failed after its response to {request}", failure=Failure(error), request=self._request
                )
        elif self.isOpen():
            self._leftOpen(error)
        elif error is not None and not cancelled and not isOfTheClient(error):
            log.failure(
                "the app failed at {request}, whose client {peer} has gone",
                failure=Failure(error),
                request=self._request,
                peer=self.peerName(),
            )

    def _leftOpen(self, error: BaseException | None) -> None:
        if self.wasCancelledBy(error):
            # By its deadline, or by the end of the server.
            self.fail(CancelledError(), cancelled=True)
        elif error is not None and not (self._told and isCancellation(error)):
            self.fail(error)
        elif self._told:
            # It may have been its reason to answer no more.
            self.giveUp()
        else:
            self.fail(LocalProtocolError(f"the app has returned without a whole response; {self._expectation()}"))

    def _expectation(self) -> str:
        return f"{_EXPECTED[self._stage]} was to come"

    # What the app receives

    async def receive(self) -> Message:
        """
        Return the next piece of the body, or wait until the client goes or the response is complete.
        """
        if self._stage == _COMPLETE or not self.isOpen():
            return await self.gone({"type": "http.disconnect"})
        if self._bodyTold:
            return await self._whenGone()
        request = self._request
        if request._body is None:
            return await self._nextOfBody()
        # It has come with its head.
        self._bodyTold = request._begun = True
        request._endOfBody()
        return {"type": "http.request", "body": request._body, "more_body": False}

    async def _nextOfBody(self) -> Message:
        connection = self._carrier.connection
        self._request._begun = True
        if self._turnDue:
            # Not with a piece in hand: it would be lost if the app were cancelled meanwhile.
            self._turnDue = False
            await self._runner.turn()
        while self.isOpen():
            try:
                piece = connection.nextPiece()
            except (RemoteProtocolError, IncompleteRead) as error:
                self.refuse(error)
                break
            if piece:
                self._turnDue = self._carrier.tookBody()
                return {"type": "http.request", "body": piece, "more_body": True}
            if connection.bodyEnded:
                self._bodyTold = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._until(self._pull)
        return await self.gone({"type": "http.disconnect"})

    async def _whenGone(self) -> Message:
        carrier = self._carrier
        while self._stage != _COMPLETE and self.isOpen() and not carrier.peerFinished:
            await self._until(self._listen)
        return await self.gone({"type": "http.disconnect"})

    def _pull(self) -> None:
        # One for all who wait: an app may give one receive() up, and call the next.
        if self._pulling is None:
            self._pulling = ensureDeferred(self._carrier.awaitBody())
            self._pulling.addBoth(self._pulled)

    def _pulled(self, result: object) -> None:
        self._pulling = None
        if isinstance(result, Failure) and isinstance(result.value, SlowBody) and self.isOpen():
            self.refuse(result.value)
        self._wake()

    # What the app sends

    async def send(self, message: Message) -> None:
        """
        Send a part of the response, and wait until the client has taken enough.

        @raise ClientDisconnected: the client has gone.
        @raise LocalProtocolError: the message is none, or has no place here. Nothing has been sent.
        """
        stage = self._stage
        kind = kindOf(message)
        if stage == _COMPLETE:
            # By the specification, what comes now is ignored.
            await self._runner.turn()
            return
        if not self.isOpen():
            raise await self.disconnected(f"{kind} for {self._request!r}, whose client {self.peerName()} has gone")
        if kind == "http.response.body" and stage in (_STARTED, _BODY):
            written = self._body(bodyOf(message), bool(message.get("more_body", False)))
        elif kind == "http.response.start" and stage == _NOTHING:
            self._response, self._length = responseOf(message)
            self._trailers = [] if message.get("trailers", False) else None
            self._stage = _STARTED
            return
        elif kind == "http.response.trailers" and stage == _TRAILERS:
            assert self._trailers is not None
            self._trailers += fieldsOf(message)
            if not message.get("more_trailers", False):
                self._end(b"")
            return
        elif kind == "http.response.early_hint" and stage != _TRAILERS:
            links = linksOf(message)
            if links and stage != _BODY:
                # Behind the head it would be too late.
                self.interim(103, links)
            return
        elif kind == "http.response.pathsend" and stage == _STARTED:
            await self._file(message.get("path"))
            return
        else:
            raise LocalProtocolError(f"{kind!r} has no place here: {self._expectation()}")
        if written is not None:
            await self.taken(written)

    def _body(self, body: bytes, more: bool) -> Awaited[None] | None:
        """
        @return: what to wait for.
        """
        if self._stage == _BODY:
            if more:
                return self.data(body)
            self._endUnlessTrailers(body)
            return None
        response = self._response
        assert response is not None
        if not mayCarryBody(response.status):
            if body:
                self._stage = _NOTHING
                raise LocalProtocolError(f"a {response.status} has no body, and this one has {len(body)} bytes")
            if not more:
                self._respond(response, body)
            return None
        if more or self._trailers is not None or (not body and self._hasUnknownLength()):
            # An error in the head lets the app start anew.
            self._stage = _NOTHING
            written = self.begin(withLength(response, self._length), body if more else b"")
            self._stage = _BODY
            if more:
                return written
            self._endUnlessTrailers(body)
            return None
        self._respond(response, body)
        return None

    def _hasUnknownLength(self) -> bool:
        # A Content-Length: 0 would be that of the GET.
        return self._request.method == "HEAD" and self._length is None

    def _respond(self, response: WasiResponse, body: bytes) -> None:
        response._body = body
        length = self._length
        # The encoder writes the same, and refuses another. A 204 has none; Django gives it one.
        if length is not None and length != str(len(body)) and not (length == "0" and response.status == 204):
            withLength(response, length)
        # Before: the next request may be answered from within.
        self._stage = _COMPLETE
        try:
            self.respond(response)
        except LocalProtocolError:
            self._stage = _NOTHING
            raise
        self._release()

    def _endUnlessTrailers(self, body: bytes) -> None:
        if self._trailers is None:
            self._end(body)
        else:
            self.data(body)
            self._stage = _TRAILERS

    def _end(self, body: bytes) -> None:
        stage, self._stage = self._stage, _COMPLETE
        try:
            self.end(body, self._trailers or ())
        except LocalProtocolError:
            self._stage = stage
            raise
        self._release()

    async def _file(self, path: object) -> None:
        """
        Send a file as the body.
        """
        response = self._response
        assert response is not None
        reading = FileReading(path, whole=self._request.method != "HEAD" and mayCarryBody(response.status))
        try:
            for piece in reading:
                if not self.isOpen():
                    raise await self.disconnected(f"the client of {self._request!r} has gone")
                written = self._body(piece, True)
                if written is not None:
                    await self.taken(written)
        finally:
            reading.close()
        self._body(b"", False)
