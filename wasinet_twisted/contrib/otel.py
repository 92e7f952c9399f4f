"""
OpenTelemetry: a span for each request that is answered, and for each that C{fetch} makes meanwhile.

    server = serve(traced(handler), 8080)

The names are those of the stable semantic conventions for HTTP. Where spans go is for whoever sets a tracer provider:
without one, as without the SDK, traces are passed on and nothing is recorded. Nothing that a tracer, a processor or an
exporter raises fails a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from twisted.logger import Logger

from .. import __version__, tracing
from ..errors import InvalidArgument, NotSupported
from ..http import RequestHead
from ..server import Request, Tracing
from ..server.accesslog import CLIENT_CLOSED, peerOf
from ..tracing import Sent, Trace, fieldsOf

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, TracerProvider

log = Logger()
P = ParamSpec("P")

NEEDS_OTEL = "OpenTelemetry needs the extra: pip install 'wasinet_twisted[otel]'"

_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))
# What stands for any other: there may be any number of those.
_OTHER = "_OTHER"
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")
# What the conventions have left out of URLs: they are keys to what is there.
_SECRETS = re.compile(r"(?<![^?&])(AWSAccessKeyId|Signature|sig|X-Goog-Signature)=[^&#]*")
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?")
_URL = re.compile(r"([a-z]+)://(?:[^/?#]*@)?([^/?#]*)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# Why there is no more of a response, in the word of the access log.
_ABORTED = "aborted"

_said = False


def needOtel() -> None:
    """
    @raise NotSupported: OpenTelemetry's API is not installed.
    """
    try:
        import opentelemetry.trace  # noqa: F401
    except ImportError as error:
        raise NotSupported(NEEDS_OTEL) from error


def _guarded(function: Callable[P, None]) -> Callable[P, None]:
    """
    Have C{function} raise nothing. The first exception is logged: each request could have one.
    """

    @wraps(function)
    def guarded(*arguments: P.args, **named: P.kwargs) -> None:
        global _said
        try:
            function(*arguments, **named)
        except Exception:
            if not _said:
                _said = True
                log.failure("OpenTelemetry has failed; requests go on, and further failures are not logged")

    return guarded


class SpanTrace(Trace):
    """
    The trace of a request that has a span.

    @ivar span: it; L{None} until the handler runs.
    """

    __slots__ = ("_failed", "span")

    def __init__(self) -> None:
        super().__init__()
        self.span: Span | None = None
        self._failed = False

    @_guarded
    def failed(self, error: BaseException) -> None:
        """
        See L{Trace.failed}.
        """
        self._failed = True
        if self.span is not None:
            _fail(self.span, _nameOf(error), error)

    @_guarded
    def ended(self, status: int, complete: bool) -> None:
        """
        See L{Trace.ended}.
        """
        span, self.span = self.span, None
        if span is None:
            return
        try:
            if complete or status != CLIENT_CLOSED:
                span.set_attribute("http.response.status_code", status)
            if not self._failed and not (complete and status < 500):
                _fail(span, str(status) if complete else _ABORTED)
        finally:
            span.end()


class SpanSent(Sent):
    """
    A request that is sent and has a span, until the head of its response has come.
    """

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        context = span.get_span_context()
        traceId, spanId = _ids(context)
        super().__init__(fieldsOf(traceId, spanId, bool(context.trace_flags.sampled), context.trace_state.to_header()))
        self._span = span

    @_guarded
    def answered(self, status: int) -> None:
        """
        See L{Sent.answered}.
        """
        try:
            self._span.set_attribute("http.response.status_code", status)
            if status >= 400:
                _fail(self._span, str(status))
        finally:
            self._span.end()

    @_guarded
    def failed(self, error: BaseException) -> None:
        """
        See L{Sent.failed}.
        """
        try:
            _fail(self._span, _nameOf(error), error)
        finally:
            self._span.end()


class OtelTracing(Tracing):
    """
    Gives each request a span, and each that is fetched meanwhile.
    """

    def __init__(
        self, *, requestId: str | None = None, fresh: bool = False, tracerProvider: TracerProvider | None = None
    ) -> None:
        """
        @param requestId: as L{Tracing} has it.
        @param fresh: as L{Tracing} has it.
        @param tracerProvider: makes the spans; by default OpenTelemetry's global one, also if that is set later.
        @raise InvalidArgument: there can be no such field.
        @raise NotSupported: the extra C{otel} is missing.
        """
        needOtel()
        super().__init__(requestId=requestId, trace=True, fresh=fresh)
        self._tracer = _tracerOf(tracerProvider)
        traceFetches(tracerProvider)

    def make(self, request: RequestHead | None) -> Trace:
        """
        See L{Tracing.make}.
        """
        return SpanTrace()

    def enter(self, request: Request) -> None:
        """
        See L{Tracing.enter}.
        """
        self._begin(request)
        super().enter(request)

    @_guarded
    def _begin(self, request: Request) -> None:
        from opentelemetry.context import Context, attach
        from opentelemetry.trace import SpanKind, set_span_in_context

        trace = request.trace
        if not isinstance(trace, SpanTrace):
            return
        # Not the present context: the server may have been made inside some other span.
        context = _parentOf(trace) or Context()
        attributes = _attributesOf(request)
        known = attributes["http.request.method"]
        trace.span = span = self._tracer.start_span(
            "HTTP" if known == _OTHER else known, context, SpanKind.SERVER, attributes
        )
        made = span.get_span_context()
        traceId, spanId = _ids(made)
        if made.is_valid and spanId != trace.parentId:
            trace.traceId, trace.spanId, trace.sampled = traceId, spanId, bool(made.trace_flags.sampled)
        # It ends with the context that the handler runs in, which is its own.
        attach(set_span_in_context(span, context))


class TracedHandler:
    """
    A handler with its tracing, which the server that is given it honours.

    @ivar tracing: gives its requests spans.
    """

    def __init__(self, handler: Callable[[Request], Any], tracing: OtelTracing) -> None:
        self._handler = handler
        self.tracing = tracing

    def __call__(self, request: Request) -> Any:
        """
        Answer a request.

        @raise InvalidArgument: nothing traces the request.
        """
        if request.trace is None:
            raise InvalidArgument("give what traced() returns to serve() or HttpServer, not to another handler")
        return self._handler(request)


def traced(
    handler: Callable[[Request], Any],
    *,
    requestId: str | None = None,
    fresh: bool = False,
    tracerProvider: TracerProvider | None = None,
) -> TracedHandler:
    """
    Return a handler for C{serve} or C{HttpServer} whose requests have spans.

    @param handler: answers them: a function, or an C{AsgiApp}.
    @param requestId: as L{OtelTracing} has it, and so have all others.
    """
    return TracedHandler(handler, OtelTracing(requestId=requestId, fresh=fresh, tracerProvider=tracerProvider))


def traceFetches(tracerProvider: TracerProvider | None = None) -> None:
    """
    Give each request that the client makes a span from now on, below the present one, also where nothing is served.

    @param tracerProvider: as L{OtelTracing} has it.
    @raise NotSupported: the extra C{otel} is missing.
    """
    needOtel()
    from opentelemetry.trace import SpanKind, get_current_span

    tracer = _tracerOf(tracerProvider)

    def sending(method: str, url: str) -> Sent | None:
        made: list[Sent] = []

        @_guarded
        def begin() -> None:
            known = method if method in _METHODS else _OTHER
            attributes = {"http.request.method": known, "url.full": _redacted(url), **_serverOf(url)}
            name = "HTTP" if known == _OTHER else known
            span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
            context = span.get_span_context()
            # Without the SDK it is the present span itself.
            if context.is_valid and context.span_id != get_current_span().get_span_context().span_id:
                made.append(SpanSent(span))

        begin()
        # Nothing records it: the trace is passed on all the same.
        return made[0] if made else tracing.fromCurrent(method, url)

    tracing.passOn(sending)


def _tracerOf(provider: TracerProvider | None) -> Any:
    from opentelemetry.trace import get_tracer

    return get_tracer("wasinet_twisted", __version__, provider)


def _ids(context: SpanContext) -> tuple[str, str]:
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def _parentOf(trace: Trace) -> Any:
    """
    Return a context with what the client has said of its own span; L{None}: it has said nothing.
    """
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

    if trace.parentId is None or trace.traceId is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([trace.state]) if trace.state else TraceState()
    remote = SpanContext(int(trace.traceId, 16), int(trace.parentId, 16), True, flags, state)
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _attributesOf(request: Request) -> dict[str, Any]:
    carrier = request._protocol
    method = request.method
    path, query = request._target()
    attributes: dict[str, Any] = {
        "http.request.method": method if method in _METHODS else _OTHER,
        "url.path": path,
        "url.scheme": "http" if carrier.tls is None else "https",
        "network.protocol.version": request.version[5:],
    }
    if attributes["http.request.method"] != method:
        attributes["http.request.method_original"] = method
    if query:
        attributes["url.query"] = _SECRETS.sub(r"\1=REDACTED", query)
    if (agent := request.getHeader("User-Agent")) is not None:
        attributes["user_agent.original"] = agent
    if (peer := peerOf(carrier.peer())) != "-":
        attributes["client.address"] = peer
    if match := _HOST.fullmatch(request.host or ""):
        if match[1]:
            attributes["server.address"] = match[1].strip("[]")
        if match[2]:
            attributes["server.port"] = int(match[2])
    return attributes


def _serverOf(url: str) -> dict[str, Any]:
    match = _URL.match(url)
    host = None if match is None else _HOST.fullmatch(match[2])
    if match is None or host is None:
        return {}
    port = int(host[2]) if host[2] else _PORTS.get(match[1].lower())
    return {"server.address": host[1].strip("[]"), **({} if port is None else {"server.port": port})}


def _redacted(url: str) -> str:
    address, mark, query = _CREDENTIALS.sub("REDACTED:REDACTED@", url).partition("?")
    return address + mark + _SECRETS.sub(r"\1=REDACTED", query)


def _nameOf(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _fail(span: Span, name: str, error: BaseException | None = None) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", name)
    if error is not None:
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, None if error is None else str(error)))
