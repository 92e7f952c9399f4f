"""
L{Reply}: the response of what answers a request by itself.
"""

from __future__ import annotations

from ..errors import SlowBody
from ..http import WasiResponse
from ..http.events import HeadersLike
from ..net.tasks.awaited import Awaited
from .answering import Answering
from .ends import logAnswer
from .handling import brokenOff, failed, refuse
from .request import Request

# The head goes together with the first piece, unless copying the piece costs more than a second write.
_JOINED = 64 * 1024


class Reply(Answering):
    """
    Sends one response, whole or in pieces, and counts and logs it. What can't be sent is an exception of the caller's,
    and nothing has been sent.
    """

    __slots__ = ("_carrier", "_request")

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._carrier = request._protocol

    def isOpen(self) -> bool:
        """
        Is the client there, and does it wait for this response, or for more of it?
        """
        carrier = self._carrier
        return carrier.connection.request is self._request and not (carrier.lost or carrier.closing)

    def peerName(self) -> str:
        """
        The peer's address for messages.
        """
        return self._carrier.peerName()

    def respond(self, response: WasiResponse) -> None:
        """
        Answer with a response whose body is there.

        @raise LocalProtocolError: it can't be sent. Another one may be.
        """
        carrier, request = self._carrier, self._request
        connection, server = carrier.connection, carrier.server
        now = carrier.reactor.seconds()
        encoded = connection.respond(response, now, server.dateLine)
        self.status = status = response.status
        carrier.inFlight = None
        seconds = now - connection.clock.started
        server.statistics.answered(status, seconds, len(encoded))
        if server.ends is not None:
            logAnswer(carrier, request, status, 0 if request.method == "HEAD" else len(response.body), seconds)
        carrier.answer(encoded)

    def begin(self, response: WasiResponse, piece: bytes) -> Awaited[None]:
        """
        Send the head of a response whose body comes in pieces, and the first of these.

        @return: awaited, waits until the peer has taken enough.
        @raise LocalProtocolError: it can't be sent. Another one may be, unless C{piece} is longer than announced.
        """
        carrier = self._carrier
        head = carrier.connection.begin(response, carrier.reactor.seconds(), carrier.server.dateLine)
        self.status = response.status
        if len(piece) > _JOINED:
            carrier.transmit(head)
            return self.data(piece)
        return self._send(head, piece)

    def data(self, piece: bytes) -> Awaited[None]:
        """
        Send a piece of the body.

        @return: as L{begin} has it.
        @raise LocalProtocolError: it is more than the Content-Length.
        """
        return self._send(b"", piece)

    def _send(self, head: bytes, piece: bytes) -> Awaited[None]:
        carrier = self._carrier
        encoded = head + carrier.connection.data(piece, carrier.reactor.seconds())
        self.sent += len(piece)
        carrier.server.statistics.bytesSent += len(encoded)
        return carrier.write(encoded)

    def end(self, piece: bytes = b"", trailers: HeadersLike = ()) -> None:
        """
        Send the last piece of the body, and its end.

        @param trailers: left out for a client that doesn't take them, and without chunks.
        @raise LocalProtocolError: the pieces are not as long as the Content-Length, or a trailer is not valid.
        """
        carrier, request = self._carrier, self._request
        connection, now = carrier.connection, carrier.reactor.seconds()
        encoded = connection.end(now, trailers, piece)
        self.sent += len(piece)
        # Not awaited: that this is the end is to be known at once.
        carrier.transmit(encoded)
        carrier.inFlight = None
        seconds = now - connection.clock.started
        carrier.server.statistics.answered(self.status, seconds, 0)
        logAnswer(carrier, request, self.status, 0 if request.method == "HEAD" else self.sent, seconds)
        carrier.follow()

    def interim(self, status: int, headers: HeadersLike) -> None:
        """
        Send an interim response such as 103. To HTTP/1.0 none is sent.

        @raise LocalProtocolError: it is none, or the response has begun.
        """
        self._carrier.transmit(self._carrier.connection.interim(status, headers))

    def refuse(self, error: BaseException) -> None:
        """
        The request is malformed, or its body comes too slowly: answer that, if nothing has been answered yet.
        """
        carrier = self._carrier
        if self.status:
            brokenOff(carrier, self._request, self)
            carrier.abort()
        elif isinstance(error, SlowBody):
            refuse(carrier, error.statusHint, "the body came too slowly", self._request)
        else:
            refuse(carrier, getattr(error, "statusHint", 400), str(error), self._request, getattr(error, "fields", ()))

    def fail(self, error: BaseException, cancelled: bool = False) -> None:
        """
        There will be no more of the response: C{error} is logged, and the client answered with 500; or its connection
        is reset, if the response has begun.

        @param cancelled: has the server ended it?
        """
        if self.status:
            brokenOff(self._carrier, self._request, self, error)
        failed(self._carrier, self._request, error, cancelled)

    def giveUp(self) -> None:
        """
        Reset the connection: nobody waits for the response.
        """
        self._carrier.abort()
