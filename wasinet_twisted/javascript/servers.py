"""
HTTP servers of scripts: what C{js/httpserver.js} asks for.

A request is pushed to the script as a number; the script takes its head by that number. Whatever fails then, it fails
for that request alone.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred

from ..errors import InvalidArgument, LimitExceeded, MessageTooLarge
from ..http import WasiResponse
from ..http.outgoing import mayCarryBody
from ..net import formatAddress
from ..net.server.endpoints import endpointOf
from ..net.stream.transportprotocol import WRITE_BUFFER
from ..net.tasks.awaited import Awaited
from ..server import HttpServer, Request, serve
from ..server.limits import DEFAULT_SERVER_LIMITS
from .fields import arePairs, withoutChunked
from .guestinterface import Given, Operation, Sign, Value
from .handles import Handles, bytesOf, textOf, whole, withBody
from .pulling import orEnd
from .replies import Asked
from .settings import Settings
from .waits import Settle, Waits

# A body above this size is counted until the client has taken it.
_LARGE = 64 * 1024
# How much of the script's memory requests may take that it has not answered, and, once more, bodies that come whole.
_SHARE = 4
# How long clients may take for what they have been answered when the program ends, in seconds.
_LAST = 5.0
_HIGHEST = 2**30


class _Served:
    """
    A server of the script's.

    @ivar number: the one that its requests are pushed to.
    """

    __slots__ = ("http", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.http: HttpServer


class Servers:
    """
    Those of one program. For as long as one of them listens, or drains, the program doesn't end.
    """

    __slots__ = (
        "_closing",
        "_complain",
        "_given",
        "_handles",
        "_held",
        "_limits",
        "_most",
        "_network",
        "_open",
        "_queue",
        "_reactor",
        "_serving",
        "_settle",
        "_unsent",
        "_waits",
    )

    def __init__(
        self,
        reactor: Any,
        handles: Handles,
        waits: Waits,
        settings: Settings,
        settle: Settle,
        complain: Callable[[str], object],
    ) -> None:
        """
        @param settle: pushes a request to the script.
        @param complain: is told of handlers that have failed.
        """
        self._reactor = reactor
        self._handles = handles
        self._waits = waits
        self._network = settings.network
        self._serving = settings.serving
        self._settle = settle
        self._complain = complain
        self._most = settings.limits.memory
        # A body that nobody reads yet waits with its client.
        limits = DEFAULT_SERVER_LIMITS if settings.serverLimits is None else settings.serverLimits()
        self._limits = replace(limits, buffered=_LARGE)
        self._open: set[_Served] = set()
        self._closing: list[Deferred[None]] = []
        # Requests that wait for the script, and how many bytes those take that it has.
        self._queue: deque[tuple[int, Asked]] = deque()
        self._given = 0
        # Bytes of bodies that are being collected, and of answers that clients have not taken.
        self._held = self._unsent = 0

    def __len__(self) -> int:
        return len(self._open)

    def operations(self) -> dict[str, Operation]:
        """
        Return them by name.
        """
        return {
            "serve": self._serve,
            "closeServer": self._close,
            "serverAddress": self._address,
            "takeRequest": self._take,
            "requestBody": self._collect,
            "requestPiece": self._piece,
            "respond": self._respond,
            "beginAnswer": self._begin,
            "answerPiece": self._data,
            "endAnswer": self._end,
            "clientGone": self._whenGone,
            "leaveRequest": self._leave,
            "failRequest": self._fail,
        }

    def drain(self) -> Deferred[Any]:
        """
        Stop listening, and have the requests in flight answered, for as long as L{ServerLimits.drain} has it.
        """
        return DeferredList([self._drain(served) for served in list(self._open)])

    def end(self) -> None:
        """
        Stop listening, and let clients take the answers that have been given. To be called before the handles are
        dropped.
        """
        self._closing = [served.http.drain(_LAST) for served in self._open]
        self._open.clear()
        while self._queue:
            self._queue.popleft()[1].broken()

    def whenClosed(self) -> Deferred[Any]:
        """
        Fires when all is over, after L{end}.
        """
        return DeferredList(self._closing)

    def abortAll(self) -> None:
        """
        Reset what is in flight.
        """
        for asked in (*self._handles.all(Asked), *(each for _, each in self._queue)):
            asked.cancel()

    # Servers

    def _serve(self, a: float, b: float, data: Given) -> Value:
        """
        @param a: a port.
        @param b: the number that requests are pushed to.
        @param data: the address to listen on.
        """
        port = whole("a port", a, 0, 65535)
        endpoint, interface = self._network.endpoint(port)
        if data is not None and endpoint == port:
            interface = _address(textOf(data))
        served = _Served(whole("the number of a server", b, 1, _HIGHEST))
        served.http = serve(
            lambda request: self._asked(served, request),
            endpointOf(self._reactor, endpoint, interface) if interface else endpoint,
            limits=self._limits,
            reactor=self._reactor,
        )
        if self._serving is not None:
            self._serving(served.http)
        self._open.add(served)
        return self._handles.keep(served, self._letServerGo)

    def _close(self, a: float, b: float, data: Given) -> Value:
        return self._waits.answer(b, self._drain(self._handles.get(a, _Served)), lambda _: True)

    def _drain(self, served: _Served) -> Deferred[None]:
        def drained(result: Any) -> Any:
            self._open.discard(served)
            return result

        return served.http.drain().addBoth(drained)

    def _letServerGo(self, served: _Served) -> None:
        if served in self._open:
            self._drain(served)

    def _address(self, a: float, b: float, data: Given) -> Value:
        return formatAddress(self._handles.get(a, _Served).http.local())

    # Requests

    def _asked(self, served: _Served, request: Request) -> Asked:
        asked = Asked(request, self._over)
        self._queue.append((served.number, asked))
        self._push()
        if not asked.done:
            carrier = asked._carrier
            carrier.server.runs(carrier, asked)
        return asked

    def _push(self) -> None:
        """
        Push requests to the script, as long as those that it has leave room for another.
        """
        queue, most = self._queue, self._most // _SHARE
        while queue and (not self._given or self._given + queue[0][1].size <= most):
            number, asked = queue.popleft()
            if not asked.isOpen():
                asked.over()
                continue
            try:
                asked.number = self._handles.keep(asked, self._letGo)
            except LimitExceeded:
                # It has been answered with 500.
                continue
            self._given += asked.size
            self._settle(number, asked.number)

    def _over(self, asked: Asked) -> None:
        if asked.number:
            self._given -= asked.size
            if self._queue:
                self._push()

    def _letGo(self, asked: Asked) -> None:
        if not asked.done and asked.isOpen() and asked.number and self._open:
            self._complain(f"{asked.described()} was not answered: the program has let go of it")
        asked.broken()

    def _take(self, a: float, b: float, data: Given) -> Value:
        return self._handles.get(a, Asked).packed()

    def _collect(self, a: float, b: float, data: Given) -> Value:
        collecting = self._handles.get(a, Asked).collected(self._limits.message.body, self._hold)
        return self._waits.answer(b, ensureDeferred(collecting))

    def _hold(self, size: int) -> None:
        self._held += size
        if size > 0 and self._held > self._most // _SHARE:
            raise MessageTooLarge(
                f"{self._held} bytes of requests' bodies are being read, the bound is {self._most // _SHARE}",
                statusHint=503,
            )

    def _piece(self, a: float, b: float, data: Given) -> Value:
        return self._waits.answer(b, self._handles.get(a, Asked).nextPiece(), orEnd)

    def _whenGone(self, a: float, b: float, data: Given) -> Value:
        return self._waits.answer(b, self._handles.get(a, Asked).whenGone())

    def _leave(self, a: float, b: float, data: Given) -> Value:
        """
        The handler has ended: if the client has gone, nobody waits for anything any more.
        """
        asked = self._handles.get(a, Asked)
        if not asked.isOpen():
            asked.over()
        return None

    def _fail(self, a: float, b: float, data: Given) -> Value:
        """
        @param data: what the handler has thrown.
        """
        asked = self._handles.get(a, Asked)
        if data is not None:
            self._complain(f"the handler of {asked.described()} failed: {textOf(data)}")
        asked.broken()
        return None

    # Answers. Each gives true or, while the client doesn't take it, None; and null if there is no client any more.

    def _response(self, text: str) -> tuple[WasiResponse, bool]:
        """
        @param text: JSON of a status, a reason or null, and the fields as pairs.
        @return: the response without a body, and whether its length is given.
        """
        given = json.loads(text)
        if not (isinstance(given, list) and len(given) == 3 and arePairs(given[2])):
            raise InvalidArgument("an answer is a status, a reason, and the fields as pairs")
        status, reason, fields = given
        fields = withoutChunked(fields)
        return WasiResponse(status, fields, reason=reason), any(each[0].lower() == "content-length" for each in fields)

    def _respond(self, a: float, b: float, data: Given) -> Value:
        text, body = withBody(data)
        asked = self._handles.get(a, Asked)
        response, hasLength = self._response(text)
        if not asked.isOpen():
            asked.over()
            return Sign.NULL
        withoutBody = asked.isForHead() and not (body or hasLength) and mayCarryBody(response.status)
        if len(body) <= _LARGE and not withoutBody:
            response.body = body
            asked.respond(response)
            asked.over()
            return True
        if not (hasLength or withoutBody):
            # Of a HEAD's answer, nobody knows how long that to a GET would be.
            response = WasiResponse(
                response.status, [*response.fields(), ("Content-Length", str(len(body)))], reason=response.reason
            )
        sent = self._sent(asked, len(body), b, lambda: asked.begin(response, body))
        if asked.isOpen():
            asked.end()
        asked.over()
        return sent

    def _begin(self, a: float, b: float, data: Given) -> Value:
        text, body = withBody(data)
        asked = self._handles.get(a, Asked)
        response, _ = self._response(text)
        return self._sent(asked, len(body), b, lambda: asked.begin(response, body))

    def _data(self, a: float, b: float, data: Given) -> Value:
        asked = self._handles.get(a, Asked)
        piece = _encoded(data)
        return self._sent(asked, len(piece), b, lambda: asked.data(piece))

    def _end(self, a: float, b: float, data: Given) -> Value:
        asked = self._handles.get(a, Asked)
        piece = _encoded(data)
        if not asked.isOpen():
            return Sign.NULL
        sent: Value = True
        if len(piece) > _LARGE:
            sent = self._sent(asked, len(piece), b, lambda: asked.data(piece))
            piece = b""
        if asked.isOpen():
            asked.end(piece)
        asked.over()
        return sent

    def _sent(self, asked: Asked, size: int, b: float, send: Callable[[], Awaited[None]]) -> Value:
        """
        Send something, and count it until the client has taken enough.
        """
        if size > WRITE_BUFFER:
            raise LimitExceeded(f"{size} bytes to be sent at once, the bound is {WRITE_BUFFER}: write them in pieces")
        if not asked.isOpen():
            return Sign.NULL
        if self._unsent + size > self._most:
            self._complain(
                f"{asked.described()} is broken off: {self._unsent + size} bytes wait to be sent by this program, "
                f"the bound is {self._most}"
            )
            asked.broken()
            return Sign.NULL
        written = send()
        if written.called:
            # It is sent, or has broken the connection off: nobody has to catch what a client does.
            written.addErrback(lambda _: None)
            return True if asked.isOpen() else Sign.NULL
        self._unsent += size

        def taken(result: Any) -> Any:
            self._unsent -= size
            return result

        return self._waits.answer(b, written.addBoth(taken), lambda _: True)


def _encoded(data: Given) -> bytes:
    return b"" if data is None else data.encode("utf-8", "replace") if isinstance(data, str) else bytesOf(data)


def _address(text: str) -> str:
    """
    @raise InvalidArgument: it is no address to listen on.
    """
    if text == "localhost":
        return "127.0.0.1"
    if not (isIPAddress(text) or isIPv6Address(text)):
        raise InvalidArgument(f"the address to listen on must be an IP address or localhost, not {text[:100]!r}")
    return text
