"""
OpenTelemetry's spans, as the SDK records them.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import patch

import pytest_twisted
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.web.client import readBody

from tests.asgi.support import body, start
from tests.server.support import MemoryServerCase, get, message, parse
from tests.test_tracing import PARENT, SPAN, TRACE
from wasinet_twisted import fetch, serve, tracing
from wasinet_twisted.asgi import AsgiApp
from wasinet_twisted.client import Agent, Pool
from wasinet_twisted.contrib import otel
from wasinet_twisted.contrib.otel import OtelTracing, TracedHandler, traced, traceFetches
from wasinet_twisted.errors import ConnectFailed, InvalidArgument, NotSupported
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import HttpServer, Request, ServerLimits
from wasinet_twisted.server.serving import Handler


class OtelCase(MemoryServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(tracing, "outgoing", None)
        self.patch(otel, "_said", False)
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def tearDown(self) -> None:
        super().tearDown()
        self.provider.shutdown()

    def serve(self, handler: Handler, /, **limits: Any) -> HttpServer:
        given = traced(handler, requestId="X-Request-Id", tracerProvider=self.provider)
        self.servers.append(HttpServer(given, limits=ServerLimits(**limits), reactor=self.clock))
        return self.server

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def span(self) -> ReadableSpan:
        (span,) = self.spans()
        return span


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """
    The trace's, its own, its parent's.
    """
    context = span.get_span_context()
    assert context is not None
    parent = None if span.parent is None else f"{span.parent.span_id:016x}"
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", parent


class ServerTests(OtelCase):
    def test_attributes(self) -> None:
        """
        Those of the stable conventions.
        """
        seen: list[Any] = []

        def handler(request: Request) -> WasiResponse:
            seen.append((request.trace, get_current_span()))
            return WasiResponse(201)

        self.serve(handler)
        self.connect(
            b"GET /a%20b?c=d&sig=secret HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: me/1\r\n"
            + f"traceparent: {PARENT}\r\n\r\n".encode()
        )
        span = self.span()
        self.assertEqual((span.name, span.kind, span.status.status_code), ("GET", SpanKind.SERVER, StatusCode.UNSET))
        self.assertEqual(
            dict(span.attributes or {}),
            {
                "http.request.method": "GET",
                "url.path": "/a%20b",
                "url.query": "c=d&sig=REDACTED",
                "url.scheme": "http",
                "network.protocol.version": "1.1",
                "user_agent.original": "me/1",
                "client.address": "192.0.2.1",
                "server.address": "shop.example",
                "server.port": 8080,
                "http.response.status_code": 201,
            },
        )
        ((trace, current),) = seen
        self.assertEqual(ids(span), (TRACE, trace.spanId, SPAN))
        self.assertEqual(current.get_span_context(), span.get_span_context())

    def test_aTraceBegins(self) -> None:
        """
        Also where the server was made inside of another span.
        """
        with self.provider.get_tracer("t").start_as_current_span("outer"):
            self.serve(lambda request: WasiResponse())
        self.connect(get() + get())
        outer, first, second = self.spans()
        self.assertEqual([first.parent, second.parent], [None, None])
        self.assertEqual(len({ids(each)[0] for each in (outer, first, second)}), 3)

    def test_unknownMethods(self) -> None:
        """
        There may be any number of those: they make no names.
        """
        self.serve(lambda request: WasiResponse())
        self.connect(message("BREW", "/"))
        span = self.span()
        attributes = span.attributes or {}
        self.assertEqual(span.name, "HTTP")
        self.assertEqual(attributes["http.request.method"], "_OTHER")
        self.assertEqual(attributes["http.request.method_original"], "BREW")

    def ended(self, handler: Handler, *, reset: bool = False) -> tuple[Any, Any, StatusCode, int]:
        """
        The status, the error's type, the span's status, and how many events it has.
        """
        self.exporter.clear()
        self.serve(handler)
        peer = self.connect(get())
        if reset:
            self.assertEqual(self.spans(), [])
            peer.reset()
        span = self.span()
        attributes = span.attributes or {}
        return (
            attributes.get("http.response.status_code"),
            attributes.get("error.type"),
            span.status.status_code,
            len(span.events),
        )

    def test_statuses(self) -> None:
        """
        A client's error is none of the server's.
        """
        for status, error, how in (
            (204, None, StatusCode.UNSET),
            (404, None, StatusCode.UNSET),
            (503, "503", StatusCode.ERROR),
        ):
            self.assertEqual(self.ended(lambda request: WasiResponse(status)), (status, error, how, 0))  # noqa: B023

    def test_failures(self) -> None:
        async def late(request: Request) -> WasiResponse:
            await self.sleep(0)
            raise NotSupported("no")

        def early(request: Request) -> WasiResponse:
            raise LookupError("no")

        self.assertEqual(self.ended(early), (500, "LookupError", StatusCode.ERROR, 1))
        self.exporter.clear()
        self.serve(late)
        peer = self.connect(get())
        self.advance(0)
        self.assertEqual(self.status(peer), 500)
        self.assertEqual((self.span().attributes or {})["error.type"], "wasinet_twisted.errors.NotSupported")
        self.flushLoggedErrors()

    def test_brokenOff(self) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"ab"
            await Deferred()

        aborted = ("aborted", StatusCode.ERROR, 0)
        self.assertEqual(self.ended(lambda request: WasiResponse(body=pieces()), reset=True), (200, *aborted))
        # Nothing has been sent: there is no status.
        self.assertEqual(self.ended(lambda request: Deferred(), reset=True), (None, *aborted))
        for server in self.servers:
            server.drain(0)
        self.advance(5)

    def test_notSampled(self) -> None:
        """
        The decision goes on with the trace.
        """
        self.provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
        seen: list[Any] = []

        def handler(request: Request) -> WasiResponse:
            assert tracing.outgoing is not None
            sent = tracing.outgoing("GET", "http://x/")
            seen.append((request.trace, sent and dict(sent.fields)["traceparent"]))
            return WasiResponse()

        self.serve(handler)
        self.connect(get("/"), get("/", f"traceparent: {PARENT[:-1]}0"))
        for trace, parent in seen:
            self.assertFalse(trace.sampled)
            self.assertEqual((parent[3:35], parent[-2:]), (trace.traceId, "00"))
        self.assertEqual(self.spans(), [])

    def test_withoutSdk(self) -> None:
        """
        Nothing is recorded; traces are joined and passed on.
        """
        from opentelemetry.trace import NoOpTracerProvider

        provider: Any = NoOpTracerProvider()
        self.provider, kept = provider, self.provider
        seen: list[Any] = []

        def handler(request: Request) -> WasiResponse:
            assert tracing.outgoing is not None
            sent = tracing.outgoing("GET", "http://x/")
            seen.append((request.trace, sent and dict(sent.fields)["traceparent"]))
            return WasiResponse()

        self.serve(handler)
        self.provider = kept
        self.connect(get("/"), get("/", f"traceparent: {PARENT}"))
        for trace, parent in seen:
            self.assertEqual(parent[3:35], trace.traceId)
            self.assertNotIn(parent[36:52], (SPAN, trace.spanId))
        self.assertEqual(seen[1][0].traceId, TRACE)
        self.assertNotEqual(seen[1][0].spanId, SPAN)

    def test_asgi(self) -> None:
        """
        The span is the app's present one.
        """
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append((get_current_span().get_span_context(), dict(scope["headers"])[b"x-request-id"]))
            await send(start(200))
            await send(body(b"ok"))

        self.serve(AsgiApp(app, reactor=self.clock))
        peer = self.connect(get())
        (response,) = parse(peer.take())
        span = self.span()
        self.assertEqual(seen, [(span.get_span_context(), (response.getHeader("X-Request-Id") or "").encode())])
        self.assertEqual((span.attributes or {})["http.response.status_code"], 200)

    def test_inAnotherHandler(self) -> None:
        """
        Nobody would begin the span.
        """
        handler = traced(lambda request: WasiResponse(), tracerProvider=self.provider)
        self.assertIsInstance(handler, TracedHandler)
        self.servers.append(HttpServer(lambda request: handler(request), reactor=self.clock))
        self.assertEqual(self.status(self.connect(get())), 500)
        self.assertEqual(len(self.flushLoggedErrors(InvalidArgument)), 1)

    def test_missing(self) -> None:
        with patch.dict(sys.modules, {"opentelemetry.trace": None}):
            error = self.assertRaises(NotSupported, OtelTracing)
            self.assertRaises(NotSupported, traceFetches)
        self.assertEqual(str(error), "OpenTelemetry needs the extra: pip install 'wasinet_twisted[otel]'")


class Raising(SpanProcessor):
    """
    A processor whose methods fail.
    """

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        raise ZeroDivisionError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        raise ZeroDivisionError("on_end")


class Refusing(Sampler):
    """
    A sampler that fails.
    """

    def should_sample(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("should_sample")

    def get_description(self) -> str:
        return "fails"


class FailingTests(OtelCase):
    def test_requestsGoOn(self) -> None:
        """
        Whatever fails: it is logged once, and requests are answered, their traces passed on.
        """
        late = TracerProvider()
        late.add_span_processor(Raising())
        self.addCleanup(TracerProvider.shutdown, self.provider)
        for provider in (late, TracerProvider(sampler=Refusing())):
            self.provider = provider
            self.patch(otel, "_said", False)
            seen: list[Any] = []

            def handler(request: Request, seen: list[Any] = seen) -> WasiResponse:
                assert tracing.outgoing is not None
                sent = tracing.outgoing("GET", "http://x/")
                assert sent is not None
                sent.answered(200)
                seen.append(sent.fields)
                return WasiResponse(body="ok")

            self.serve(handler)
            with capturedLogs() as events:
                peer = self.connect(get("/", f"traceparent: {PARENT}") + get())
            self.assertEqual([each.status for each in parse(peer.take())], [200, 200])
            self.assertEqual(seen[0][0][1][3:35], TRACE)
            self.assertEqual(
                [formatEvent(event) for event in events],
                ["OpenTelemetry has failed; requests go on, and further failures are not logged"],
            )
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


@pytest_twisted.ensureDeferred
async def test_twoServers(monkeypatch: Any, loggedErrors: Callable[[], list[str]]) -> None:
    """
    A's handler fetches from B: one trace, from the client's span over A's and A's fetch to B's.
    """
    monkeypatch.setattr(tracing, "outgoing", None)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    pool = Pool()
    broken: list[Deferred[None]] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        broken.append(Deferred())
        await broken[-1]
        raise LookupError("no")

    async def b(request: Request) -> WasiResponse:
        if request.path == "/broken":
            return WasiResponse(body=pieces())
        return WasiResponse(404 if request.path == "/missing" else 200, body=request.getHeader("traceparent") or "")

    async def a(request: Request) -> WasiResponse:
        response = await fetch(f"http://127.0.0.1:{behind.local().port}{request.uri}", pool=pool)
        return WasiResponse(body=await response.bytes())

    behind = serve(traced(b, tracerProvider=provider), "tcp:0:interface=127.0.0.1")
    front = serve(traced(a, tracerProvider=provider), "tcp:0:interface=127.0.0.1")
    at = f"http://127.0.0.1:{front.local().port}"
    try:
        # Several at once, of which each has its own trace.
        got = await DeferredList([fetch(f"{at}/{number}", pool=pool) for number in range(4)], consumeErrors=True)
        for succeeded, response in got:
            assert succeeded
            await response.bytes()
        spans = {ids(span)[1]: span for span in exporter.get_finished_spans()}
        assert len(spans) == 16
        by = [span for span in spans.values() if span.kind is SpanKind.SERVER and span.parent is not None]
        chains = []
        for span in by:
            chain = [span]
            while (parent := ids(chain[-1])[2]) is not None:
                chain.append(spans[parent])
            if len(chain) == 4:
                chains.append(chain)
        assert len(chains) == 4
        for chain in chains:
            assert [each.kind for each in chain] == [SpanKind.SERVER, SpanKind.CLIENT] * 2
            assert len({ids(each)[0] for each in chain}) == 1
        assert len({ids(chain[0])[0] for chain in chains}) == 4
        client = chains[0][1].attributes or {}
        assert client["server.address"] == "127.0.0.1"
        assert client["server.port"] == behind.local().port
        assert str(client["url.full"]).startswith(f"http://127.0.0.1:{behind.local().port}/")
        assert client["http.response.status_code"] == 200

        exporter.clear()
        await (await fetch(f"{at}/missing", pool=pool)).bytes()
        found = {
            (span.kind, (span.attributes or {}).get("http.response.status_code")): span
            for span in exporter.get_finished_spans()
        }
        assert found[SpanKind.CLIENT, 404].status.status_code is StatusCode.ERROR
        assert found[SpanKind.SERVER, 404].status.status_code is StatusCode.UNSET
        assert found[SpanKind.SERVER, 200].status.status_code is StatusCode.UNSET

        # B's response breaks off: A fails, and B's span says so, though its status had been sent.
        exporter.clear()
        fetching = fetch(f"{at}/broken", pool=pool)
        while not broken:
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]
        broken[0].callback(None)
        await (await fetching).bytes()
        servers = {
            (span.attributes or {})["http.response.status_code"]: (span.attributes or {}).get("error.type")
            for span in exporter.get_finished_spans()
            if span.kind is SpanKind.SERVER
        }
        assert servers == {200: "LookupError", 500: "wasinet_twisted.errors.ConnectionClosed"}
        assert len(loggedErrors()) == 2
    finally:
        await pool.close()
        await front.drain(0)
        await behind.drain(0)
        provider.shutdown()


@pytest_twisted.ensureDeferred
async def test_fetchesAlone(monkeypatch: Any) -> None:
    """
    Without a server, too, and by an Agent; what fails says why.
    """
    monkeypatch.setattr(tracing, "outgoing", None)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    seen: list[str | None] = []

    def handler(request: Request) -> WasiResponse:
        seen.append(request.getHeader("traceparent"))
        return WasiResponse()

    server = serve(handler, "tcp:0:interface=127.0.0.1")
    port = server.local().port
    pool = Pool()
    traceFetches(provider)
    try:
        with provider.get_tracer("t").start_as_current_span("outer"):
            await (await fetch(f"http://u:p@127.0.0.1:{port}/?sig=x&a=b", pool=pool)).bytes()
            await readBody(await Agent(reactor, pool=pool).request(b"GET", b"http://127.0.0.1:%d/" % port))
            await server.drain(0)
            failed = None
            try:
                await fetch(f"http://127.0.0.1:{port}/", pool=pool)
            except ConnectFailed as error:
                failed = error
            assert failed is not None
        first, second, third, outer = exporter.get_finished_spans()
        assert [ids(each)[::2] for each in (first, second, third)] == [ids(outer)[:2]] * 3
        assert [parent and parent[3:52] for parent in seen] == ["-".join(ids(each)[:2]) for each in (first, second)]
        assert (first.attributes or {})["url.full"] == f"http://127.0.0.1:{port}/?sig=REDACTED&a=b"
        assert (third.attributes or {})["error.type"] == "wasinet_twisted.errors.ConnectionRefused"
        assert third.status.status_code is StatusCode.ERROR
    finally:
        await pool.close()
        await server.drain(0)
        provider.shutdown()
