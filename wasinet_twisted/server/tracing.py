"""
L{Tracing}: which ids requests have, and what becomes of them.

A server without it has none of this on its paths. With it, each connection has a L{TracedConnection}, which the
compiled twins don't know: its requests go the way of the Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from multidict import CIMultiDict

from .. import tracing
from ..errors import InvalidArgument
from ..http import Limits, ServerConnection, WasiResponse
from ..http.events import HeadersLike, RequestHead, toHeaders
from ..http.fields import Pair
from ..http.timing import Timing
from ..tracing import Trace, newId, parseParent, parseState, requestIds
from .request import Request

R = TypeVar("R")

DEFAULT_FIELD = "X-Request-Id"

# A field name of ours: less than a token, and none that means something else to HTTP.
_name = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_TAKEN = re.compile(
    r"accept(-.*)?|authorization|connection|content-.*|cookie|date|expect|host|http2-settings|keep-alive|location|"
    r"origin|proxy-.*|range|sec-.*|server|set-cookie|te|traceparent|tracestate|trailer|transfer-encoding|upgrade|"
    r"www-authenticate",
    re.IGNORECASE,
)


class Tracing:
    """
    Gives each request an id, and a place in a trace.

        server = serve(handler, 8080, tracing=Tracing())

    The handler has C{request.id} and C{request.trace}, and finds the id in C{request.headers}; the access log has both;
    the response has the id, in the same field; log events have both where C{wasinet_twisted.tracing.tag} observes; and
    what the handler fetches carries traceparent.

    @ivar field: the name of the field that has the id; L{None}: there are no ids.
    """

    def __init__(self, *, requestId: str | None = DEFAULT_FIELD, trace: bool = True, fresh: bool = False) -> None:
        """
        @param requestId: the name of the field that has the id. The client's is taken if it is 1 to 128 letters,
            digits, dots, underscores and hyphens; else one is made. L{None}: requests have no ids.
        @param trace: take the trace that traceparent names, or begin one, and pass it on (W3C Trace Context).
        @param fresh: make ids and traces anew, whatever the client has sent: no proxy stands before the server.
        @raise InvalidArgument: there can be no such field, or there is nothing to be done.
        """
        if requestId is not None:
            checkField(requestId)
        elif not trace:
            raise InvalidArgument("give requestId= or trace=True: there is nothing to be traced otherwise")
        self.field = requestId
        self._fresh = fresh
        self._traces = trace
        if trace:
            tracing.passOn()

    def begin(self, request: RequestHead | None) -> Trace:
        """
        Make the trace of a request that has come.

        @param request: L{None} if its head could not be read.
        """
        trace = self.make(request)
        headers: CIMultiDict[str] = CIMultiDict() if request is None else request.headers
        if self._fresh:
            for name in ("traceparent", "tracestate", self.field):
                if name is not None:
                    headers.popall(name, None)
        if self.field is not None:
            ids = headers.getall(self.field, ())
            if len(ids) == 1 and requestIds.fullmatch(ids[0]):
                trace.requestId = ids[0]
            else:
                # The handler finds it where one that was taken stands: so do frameworks, which know the field.
                headers[self.field] = trace.requestId = newId(16)
        if self._traces:
            remote = parseParent(headers.getall("traceparent", ()))
            trace.join(remote, "" if remote is None else parseState(headers.getall("tracestate", ())))
        return trace

    def make(self, request: RequestHead | None) -> Trace:
        """
        Make an empty one, for subclasses to override.
        """
        return Trace()

    def enter(self, request: Request) -> None:
        """
        The handler is about to run, in the context that this is called in.
        """
        tracing.current.set(request.trace)

    def around(self, handler: Callable[[Request], R]) -> Callable[[Request], R]:
        """
        Return a handler that runs C{handler} over a request with its trace.
        """

        def traced(request: Request) -> R:
            self.enter(request)
            return handler(request)

        return traced


def checkField(name: object) -> None:
    """
    @raise InvalidArgument: C{name} can't be that of the field with the request id.
    """
    if not isinstance(name, str) or _name.fullmatch(name) is None or _TAKEN.fullmatch(name):
        raise InvalidArgument(
            f"the field of the request id must be a name of up to 64 letters, digits and hyphens that means nothing "
            f"else, such as {DEFAULT_FIELD}, not {name!r:.100}"
        )


class TracedConnection(ServerConnection[Request]):
    """
    A connection whose requests have traces, and whose responses have their ids.

    @ivar trace: that of the request that came last, or of a head that could not be read.
    """

    __slots__ = ("_tracing", "trace")

    def __init__(self, limits: Limits, timing: Timing, now: float, settings: Tracing) -> None:
        super().__init__(limits, timing, Request, now)
        self._tracing = settings
        self.trace: Trace | None = None

    def receive(self, data: bytes, now: float) -> Request | None:
        """
        See L{ServerConnection}.
        """
        request = super().receive(data, now)
        if request is not None:
            self.trace = request._trace = self._tracing.begin(request)
        return request

    def respond(self, response: WasiResponse, now: float, date: bytes = b"") -> bytes:
        """
        See L{ServerConnection}.
        """
        request = self.request
        return self._withId(super().respond(response, now, date), request, response)

    def begin(self, response: WasiResponse, now: float, date: bytes = b"") -> bytes:
        """
        See L{ServerConnection}.
        """
        return self._withId(super().begin(response, now, date), self.request, response)

    def refuse(
        self, status: int, reason: str, now: float, date: bytes = b"", fields: Sequence[Pair] = ()
    ) -> tuple[bytes, int]:
        """
        See L{ServerConnection}.
        """
        request = self.request
        if request is None:
            self.trace = self._tracing.begin(None)
        encoded, size = super().refuse(status, reason, now, date, fields)
        return self._withId(encoded, request), size

    def upgrade(self, protocol: str | None, headers: HeadersLike, now: float) -> tuple[bytes, bytes]:
        """
        See L{ServerConnection}.
        """
        request = self.request
        given = list(toHeaders(headers).items())
        encoded, rest = super().upgrade(protocol, given, now)
        return self._withId(encoded, request, WasiResponse(101, given)), rest

    def _withId(self, encoded: bytes, request: Request | None, response: WasiResponse | None = None) -> bytes:
        """
        Return an encoded response with the line of its request's id, unless it has its own.
        """
        field = self._tracing.field
        trace = self.trace if request is None else request.trace
        if field is None or trace is None or (response is not None and _has(response, field.lower())):
            return encoded
        at = encoded.index(b"\r\n") + 2
        return b"%b%b: %b\r\n%b" % (encoded[:at], field.encode(), (trace.requestId or "").encode(), encoded[at:])


def _has(response: WasiResponse, name: str) -> bool:
    pairs: Any = response._pairs if response._headers is None else response._headers.items()
    return any([each.lower() == name for each, _ in pairs if isinstance(each, str)])  # noqa: C419
