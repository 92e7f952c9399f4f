"""
What an Agent gives: a response with C{twisted.web}'s face.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error as internet
from twisted.internet.defer import AlreadyCalledError
from twisted.internet.interfaces import IDelayedCall, IProtocol, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IClientRequest, IResponse
from zope.interface import implementer

from .._privates import rawHeaders
from ..errors import ConnectionClosed, IncompleteRead, WasinetError
from ..http import ResponseHead
from ..http.framing import UNTIL_CLOSE
from ..net.reactors import callFromCollector
from .agentfailures import reasonsOf
from .call import Call
from .protocol import HttpClientProtocol
from .receiving import forget

log = Logger()

# So many pieces of a response are taken with its head: a small body has come with it, and then its connection is free.
_WITH_HEAD = 8
# So many are delivered at a time; then the reactor gets its turn.
_AT_ONCE = 256
_VERSIONS = {"HTTP/1.1": (b"HTTP", 1, 1), "HTTP/1.0": (b"HTTP", 1, 0)}
# What is the connection's affair. As twisted.web has it, users don't see these; the length stands in response.length.
_CONNECTIONS = frozenset(
    (
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
    )
)
# How Headers writes the names of fields, b"" for those. Bounded: emptied when full.
_names: dict[str, bytes] = {}


def _learn(name: str) -> bytes:
    if name.lower() in _CONNECTIONS:
        canonical = b""
    else:
        headers = Headers()
        headers.addRawHeader(name.encode("latin-1"), b"")
        ((canonical, _),) = headers.getAllRawHeaders()
    if len(_names) >= 512:
        _names.clear()
    _names[name] = canonical
    return canonical


@implementer(IResponse)
class AgentResponse:
    """
    A response whose head has come. Its body waits for L{deliverBody}; a response
    that is forgotten without it resets its connection, unless the body has come already.
    """

    def __init__(self, protocol: HttpClientProtocol, call: Call, head: ResponseHead, request: IClientRequest) -> None:
        version: Any = head.version
        self.version = _VERSIONS.get(version) or (b"HTTP", 1, int(version[-1]))
        self.code = head.status
        self.phrase = head.reason.encode("latin-1")
        fields: dict[bytes, list[bytes]] = {}
        for name, value in head.fields():
            canonical = _names.get(name)
            if canonical is None:
                canonical = _learn(name)
            if not canonical and not (call.method == "HEAD" and name.lower() == "content-length"):
                continue
            encoded = value.encode("latin-1")
            if canonical in fields:
                fields[canonical].append(encoded)
            else:
                fields[canonical or b"Content-Length"] = [encoded]
        self.headers = rawHeaders(Headers(), fields)
        length = head._length
        self.length: Any = length if length >= 0 else UNKNOWN_LENGTH
        self.request = request
        self.previousResponse: Any = None
        self._call = call
        self._untilClose = length == UNTIL_CLOSE
        # What has come and hasn't been delivered.
        self._pieces: list[bytes] = []
        self._failure: Exception | None = None
        self._delivery: Delivery | None = None
        self._protocol: HttpClientProtocol | None = None
        if protocol.call is call:
            try:
                for _ in range(_WITH_HEAD):
                    piece = protocol.nextPiece()
                    if piece is None:
                        self._protocol = protocol
                        break
                    if not piece:
                        break
                    self._pieces.append(piece)
                else:
                    self._protocol = protocol
            except WasinetError as error:
                # The body's protocol is told.
                self._failure = error

    def setPreviousResponse(self, previousResponse: IResponse) -> None:
        """
        Set the one that redirected here.
        """
        self.previousResponse = previousResponse

    def deliverBody(self, protocol: IProtocol) -> None:
        """
        Give the body to C{protocol}: C{dataReceived}, and in the end
        C{connectionLost} with C{ResponseDone}, with C{PotentialDataLoss} if the
        server marks the end by closing alone, or with C{ResponseFailed}.

        @raise RuntimeError: it has been called before.
        """
        if self._delivery is not None:
            raise RuntimeError(f"deliverBody() of {self!r} for the second time")
        http, self._protocol = self._protocol, None
        pieces, self._pieces = self._pieces, []
        self._delivery = Delivery(self, http, protocol, pieces, self._failure)
        self._delivery.begin()

    def _ended(self, error: Exception | None) -> Failure:
        """
        What the body's protocol is told in the end.
        """
        if error is None:
            if not self._untilClose:
                return Failure(ResponseDone("Response body fully received"))
        elif not (self._untilClose and isinstance(error, ConnectionClosed | IncompleteRead)):
            return Failure(ResponseFailed(reasonsOf(error), self))
        # Nothing shows whether it was the whole (RFC 9112 section 6.3).
        lost = PotentialDataLoss()
        lost.__cause__ = error
        return Failure(lost)

    def __del__(self) -> None:
        """
        Nobody will read it.
        """
        protocol: HttpClientProtocol | None = getattr(self, "_protocol", None)
        if protocol is not None and protocol.call is self._call:
            callFromCollector(protocol.reactor, forget, protocol, self._call)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.code} {self._call}>"


@implementer(IPushProducer)
class Delivery:
    """
    A body on its way to its protocol, whose transport this is.

    @ivar body: the protocol, until the end.
    """

    # LineReceiver and the like look at it.
    disconnecting = False

    __slots__ = (
        "_aborted",
        "_busy",
        "_call",
        "_failure",
        "_http",
        "_later",
        "_over",
        "_paused",
        "_pieces",
        "_response",
        "body",
    )

    def __init__(
        self,
        response: AgentResponse,
        http: HttpClientProtocol | None,
        body: Any,
        pieces: list[bytes],
        failure: Exception | None,
    ) -> None:
        """
        @param http: what more comes from; L{None}: nothing does.
        @param pieces: what has come already.
        @param failure: what it ends with then.
        """
        self._response: AgentResponse | None = response
        self._call = response._call
        self._http = http
        self._pieces = pieces
        self._failure = failure
        self._paused = self._busy = self._over = False
        self._aborted: Exception | None = None
        self._later: IDelayedCall | None = None
        self.body = body

    def begin(self) -> None:
        """
        Begin.
        """
        # Before that, it is not ready for bytes.
        self._busy = True
        try:
            self.body.makeConnection(self)
        finally:
            self._busy = False
        self._go()

    # The body's protocol calls these

    def pauseProducing(self) -> None:
        """
        Deliver no more for now; the server has to wait.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        Go on.
        """
        self._paused = False
        self._go()

    def stopProducing(self) -> None:
        """
        As L{loseConnection}.
        """
        self.loseConnection()

    def loseConnection(self) -> None:
        """
        Read no more: the connection closes, unless all has come.
        """
        self._abort(internet.ConnectionDone())

    def abortConnection(self) -> None:
        """
        The same.
        """
        self._abort(internet.ConnectionAborted())

    def _abort(self, reason: Exception) -> None:
        http = self._http
        if self._over or self._aborted is not None or http is None:
            return
        self._aborted = reason
        self._pieces.clear()
        if http.lost or http.call is not self._call:
            self._later = http.reactor.callLater(0, self.fail, ConnectionClosed("the response is over"))
            return
        # Its end is told by way of the transport, in another turn of the reactor.
        self._wait(http)
        http.giveUp()

    # The connection calls these

    def give(self, piece: bytes) -> None:
        """
        There is more of it.
        """
        if self._aborted is not None:
            return
        if self._busy or self._paused:
            if not piece:
                self._http = None
            else:
                self._pieces.append(piece)
            return
        self._busy = True
        try:
            self._deliver(piece)
        finally:
            self._busy = False
        self._go()

    def fail(self, error: BaseException) -> None:
        """
        There will be no more of it.
        """
        assert isinstance(error, Exception)
        if self._aborted is not None:
            error.__cause__ = self._aborted
            self._end(error)
            return
        self._http, self._failure = None, error
        self._go()

    # Delivering

    def _go(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            for _ in range(_AT_ONCE):
                if self._paused or self._over or self._aborted is not None:
                    return
                if self._pieces:
                    self._deliver(self._pieces.pop(0))
                elif self._http is None:
                    self._end(self._failure)
                elif not self._next(self._http):
                    return
        finally:
            self._busy = False
        if not (self._over or self._later) and self._http is not None:
            self._later = self._http.reactor.callLater(0, self._again)

    def _next(self, http: HttpClientProtocol) -> bool:
        """
        Take the next piece.

        @return: was there one?
        """
        try:
            piece = http.nextPiece()
        except WasinetError as error:
            self._http, self._failure = None, error
            return True
        if piece is None:
            self._wait(http)
            return False
        self._deliver(piece)
        return True

    def _wait(self, http: HttpClientProtocol) -> None:
        # It has the two methods of an Awaited that are called; a new one for each piece would cost more.
        http.waiter = self  # type: ignore[assignment]
        http.arm(http.reactor.seconds())

    def _again(self) -> None:
        self._later = None
        self._go()

    def _deliver(self, piece: bytes) -> None:
        if not piece:
            self._http = None
            self._end(None)
            return
        try:
            self.body.dataReceived(piece)
        except Exception as error:
            # As a transport does it: it is the end of the connection.
            http, self._http = self._http, None
            if http is not None and http.call is self._call:
                http.giveUp()
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        self._over = True
        self._http = None
        later, self._later = self._later, None
        if later is not None and later.active():
            later.cancel()
        # They would be a cycle.
        response, self._response = self._response, None
        body, self.body = self.body, None
        assert response is not None
        try:
            body.connectionLost(response._ended(error))
        except Exception as failed:
            # readBody() that has been cancelled has told so itself.
            if self._aborted is None or not isinstance(failed, AlreadyCalledError):
                log.failure("connectionLost() of {body!r} failed", body=body)
