"""
Requests with ids and traces: what is taken, what is sent back, and what the access log and the trace are told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.logger import globalLogPublisher

from tests.certificates import Authority
from tests.support import MemoryPeer
from tests.test_tracing import PARENT, SPAN, TRACE
from wasinet_twisted import tracing
from wasinet_twisted.client import Pool, fetch
from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.http import RequestHead, ServerConnection, WasiResponse
from wasinet_twisted.net import TlsServer
from wasinet_twisted.server import HttpServer, Request, ServerLimits, Tracing, serve
from wasinet_twisted.server.protocol import HttpProtocol
from wasinet_twisted.server.serving import Handler
from wasinet_twisted.testing import MemoryListener
from wasinet_twisted.tracing import Trace, current

from . import test_ends
from .support import MemoryServerCase, chunked, get, message, parse, post

NAME = "X-Request-Id"


class Watched(Trace):
    """
    A trace that keeps what it is told.
    """

    __slots__ = ("told",)

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def failed(self, error: BaseException) -> None:
        self.told.append(error)

    def ended(self, status: int, complete: bool) -> None:
        self.told.append((status, complete))


class Watching(Tracing):
    """
    @ivar made: all that it has made, with their requests.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.made: list[tuple[RequestHead | None, Watched]] = []

    def make(self, request: RequestHead | None) -> Trace:
        self.made.append((request, Watched()))
        return self.made[-1][1]


class TracedCase(MemoryServerCase):
    """
    @ivar options: of the server's L{Tracing}.
    @ivar lines: the access log's: the request, the status, is it complete, the request's id.
    """

    options: dict[str, Any]
    # What the line that came last has.
    seconds: float

    def setUp(self) -> None:
        super().setUp()
        self.patch(tracing, "outgoing", None)
        self.options = {}
        self.lines: list[tuple[str | None, int, bool, str | None]] = []

    def serve(self, handler: Handler, /, **limits: Any) -> HttpServer:
        log: Any = self
        self.tracing = Watching(**self.options)
        self.servers.append(
            HttpServer(handler, limits=ServerLimits(**limits), accessLog=log, tracing=self.tracing, reactor=self.clock)
        )
        return self.server

    def answered(
        self,
        peer: str,
        request: RequestHead | None,
        status: int,
        size: int,
        seconds: float,
        complete: bool,
        tls: str | None,
        trace: Trace,
    ) -> None:
        self.lines.append((None if request is None else request.uri, status, complete, trace.requestId))
        self.seconds = seconds

    def flush(self) -> None:
        """
        There is nothing to be flushed.
        """

    def ids(self, peer: MemoryPeer, *methods: str, ended: bool = False) -> list[str | None]:
        """
        The ids of the responses. None has two.
        """
        found = [each.headers.getall(NAME, []) for each in parse(peer.take(), *methods, ended=ended)]
        self.assertTrue(all(len(each) <= 1 for each in found), found)
        return [each[0] if each else None for each in found]


def idOf(request: Request) -> WasiResponse:
    """
    The answer is the id; and the handler finds it where the client's stands.
    """
    return WasiResponse(body=f"{request.id} {','.join(request.headers.getall(NAME, []))}")


class RequestIdTests(TracedCase):
    def answer(self, *fields: str) -> tuple[str | None, str]:
        self.serve(idOf)
        peer = self.connect(get("/", *fields))
        (response,) = parse(peer.take())
        return response.getHeader(NAME), response.body.decode()

    def test_made(self) -> None:
        sent, seen = self.answer()
        assert sent is not None
        self.assertRegex(sent, "^[0-9a-f]{32}$")
        self.assertEqual(seen, f"{sent} {sent}")
        self.assertEqual(self.lines, [("/", 200, True, sent)])

    def test_taken(self) -> None:
        for given in ("a", "A-z_0.9", "x" * 128):
            self.assertEqual(self.answer(f"x-request-id: {given}"), (given, f"{given} {given}"))

    def test_notTaken(self) -> None:
        """
        What is no id, or not one, is replaced by one.
        """
        for fields in (("",), ("a b",), ('"a"',), ("x" * 129,), ("\xe9",), ("a,b",), ("a", "a")):
            sent, seen = self.answer(*(f"{NAME}: {each}" for each in fields))
            self.assertRegex(sent or "", "^[0-9a-f]{32}$")
            self.assertEqual(seen, f"{sent} {sent}")

    def test_fresh(self) -> None:
        """
        Of the client nothing is taken, and nothing is left for the handler to take.
        """
        self.options = {"fresh": True}
        sent, seen = self.answer(f"{NAME}: theirs", f"traceparent: {PARENT}", "tracestate: a=1")
        self.assertRegex(sent or "", "^[0-9a-f]{32}$")
        self.assertEqual(seen, f"{sent} {sent}")
        ((request, trace),) = self.tracing.made
        assert request is not None
        self.assertNotIn("traceparent", request.headers)
        self.assertNotIn("tracestate", request.headers)
        self.assertNotEqual(trace.traceId, TRACE)

    def test_anotherName(self) -> None:
        self.options = {"requestId": "Request-Id", "trace": False}
        self.serve(idOf)
        peer = self.connect(get("/", "Request-Id: a", f"{NAME}: b"))
        (response,) = parse(peer.take())
        self.assertEqual((response.getHeader("Request-Id"), response.getHeader(NAME)), ("a", None))
        self.assertEqual(response.body, b"a b")
        self.assertIsNone(self.tracing.made[0][1].traceId)

    def test_names(self) -> None:
        for name in (
            "",
            "a b",
            "a:",
            "X-\xe9",
            "x" * 65,
            "1a",
            "Content-Length",
            "date",
            "SET-COOKIE",
            "Sec-X",
            b"x",
            1,
        ):
            self.assertRaises(InvalidArgument, Tracing, requestId=name)
        self.assertRaises(InvalidArgument, Tracing, requestId=None, trace=False)
        Tracing(requestId="x" * 64)

    def test_pipelined(self) -> None:
        """
        Each has its own.
        """
        self.serve(idOf)
        peer = self.connect(get("/", f"{NAME}: 1") + get("/") + get("/", f"{NAME}: 3"))
        first, second, third = self.ids(peer)
        self.assertEqual((first, third), ("1", "3"))
        self.assertEqual([line[3] for line in self.lines], [first, second, third])

    def test_theResponseHasItsOwn(self) -> None:
        """
        It is not sent twice: the handler has passed on what another server had answered.
        """
        self.serve(lambda request: WasiResponse(200, {NAME.lower(): "other", "Date": "then"}))
        self.assertEqual(self.ids(self.connect(get())), ["other"])

    def test_theSameResponseEachTime(self) -> None:
        """
        It is the handler's, and nothing is added to it.
        """
        response = WasiResponse(200, {"Date": "then"}, b"x")
        self.serve(lambda request: response)
        peer = self.connect(get("/", f"{NAME}: 1"), get("/", f"{NAME}: 2"))
        self.assertEqual(self.ids(peer), ["1", "2"])
        self.assertNotIn(NAME, response.headers)

    def test_eachWayToAnswer(self) -> None:
        """
        The id is in the response, and in its line.
        """

        async def pieces() -> AsyncIterator[bytes]:
            yield b"ab"

        async def handler(request: Request) -> WasiResponse:
            if request.path == "/raise":
                raise LookupError("no")
            if request.path == "/read":
                await request.read()
            return WasiResponse(body=pieces() if request.path == "/pieces" else b"ab")

        mine = f"{NAME}: mine"
        for sent, status, method in (
            (get("/", mine), 200, "GET"),
            (message("HEAD", "/", mine), 200, "HEAD"),
            (get("/pieces", mine), 200, "GET"),
            (message("HEAD", "/pieces", mine), 200, "HEAD"),
            (get("/raise", mine), 500, "GET"),
            (get("/", mine, "Expect: more"), 417, "GET"),
            (message("CONNECT", "x:1", mine), 501, "CONNECT"),
            (post("/read", 10_000_000, mine), 413, "POST"),
            (chunked("/read", b"abc", fields=(mine,)) + b"nonsense\r\n", 400, "POST"),
        ):
            self.lines.clear()
            self.serve(handler)
            peer = self.connect(sent)
            self.assertEqual(self.ids(peer, method), ["mine"], sent)
            self.assertEqual([line[1:] for line in self.lines], [(status, True, "mine")], sent)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_aHeadThatCannotBeRead(self) -> None:
        """
        It has an id all the same: the one that is answered is the one in the log.
        """
        self.serve(idOf)
        (sent,) = self.ids(self.connect(b"nonsense\r\n\r\n"))
        self.assertRegex(sent or "", "^[0-9a-f]{32}$")
        self.assertEqual(self.lines, [(None, 400, True, sent)])

    def test_takeover(self) -> None:
        """
        The line comes at the end, with the time that all of it has taken.
        """

        async def handler(request: Request) -> None:
            connecting = request.acceptTunnel() if request.method == "CONNECT" else request.upgrade("echo")
            conn = await connecting
            while await conn.read():
                pass

        for sent, status in (
            (get("/", "Connection: upgrade", "Upgrade: echo", f"{NAME}: mine"), 101),
            (message("CONNECT", "x:1", f"{NAME}: mine"), 200),
        ):
            for end, complete in ((MemoryPeer.reset, False), (MemoryPeer.end, True)):
                self.lines.clear()
                self.serve(handler)
                peer = self.connect(sent)
                head, _, rest = peer.take().partition(b"\r\n\r\n")
                self.assertEqual((head.count(b"X-Request-Id: mine"), rest), (1, b""))
                self.assertTrue(head.startswith(b"HTTP/1.1 %d " % status))
                self.advance(2.5)
                self.assertEqual(self.lines, [])
                end(peer)
                self.assertEqual([line[1:] for line in self.lines], [(status, complete, "mine")])
                self.assertEqual(self.seconds, 2.5)
                self.assertEqual(self.server.ends.tunnels, {})  # type: ignore[union-attr]


class TraceparentTests(TracedCase):
    def test_taken(self) -> None:
        self.serve(lambda request: WasiResponse())
        self.connect(get("/", f"traceparent: {PARENT}", "tracestate: a=1", "tracestate: b=2"), get("/"))
        (_, taken), (_, begun) = self.tracing.made
        self.assertEqual((taken.traceId, taken.parentId, taken.state), (TRACE, SPAN, "a=1,b=2"))
        self.assertNotIn(begun.traceId, (TRACE, None))
        self.assertIsNone(begun.parentId)

    def test_notValid(self) -> None:
        """
        Another trace begins, and the state belongs to none.
        """
        for fields in ((f"{PARENT}-x",), (PARENT, PARENT), (f"00-{'0' * 32}-{SPAN}-01",), ("",)):
            self.serve(lambda request: WasiResponse())
            self.connect(get("/", *(f"traceparent: {each}" for each in fields), "tracestate: a=1"))
            ((_, trace),) = self.tracing.made
            self.assertIsNone(trace.parentId)
            self.assertNotIn(trace.traceId, (TRACE, None))
            self.assertEqual(trace.state, "")

    def test_passedOn(self) -> None:
        """
        What a handler fetches has the trace, under an id of its own; other requests at the same time have theirs.
        """
        seen: list[tuple[str, str | None]] = []
        listener = MemoryListener(self.clock)
        behind = serve(
            lambda request: seen.append((request.uri, request.getHeader("traceparent"))) or WasiResponse(),  # type: ignore[func-returns-value]
            listener,
            reactor=self.clock,
        )
        pools = [Pool(endpoint=lambda _: listener.endpoint, reactor=self.clock, trace=each) for each in (True, False)]

        async def handler(request: Request) -> WasiResponse:
            for number in (1, 2):
                await self.sleep(1)
                await fetch(f"http://x{request.uri}/{number}", pool=pools[0])
            await fetch(f"http://x{request.uri}/3", pool=pools[1])
            await fetch(f"http://x{request.uri}/4", pool=pools[0], headers={"Traceparent": "own"})
            return WasiResponse()

        self.serve(handler)
        traces = [f"{TRACE[:-1]}{number}" for number in (1, 2)]
        peers = [self.connect(get(f"/{each[-1]}", f"traceparent: 00-{each}-{SPAN}-01")) for each in traces]
        for _ in range(4):
            self.advance(1)
        for peer in peers:
            self.assertEqual(self.status(peer), 200)
        passed = dict(seen)
        self.assertEqual(len(passed), 8)
        spans = set()
        for each in traces:
            for number in (1, 2):
                parent = passed[f"/{each[-1]}/{number}"] or ""
                self.assertEqual(parent[3:35], each)
                spans.add(parent[36:52])
            self.assertIsNone(passed[f"/{each[-1]}/3"])
            self.assertEqual(passed[f"/{each[-1]}/4"], "own")
        self.assertEqual(len(spans - {SPAN}), 4)
        for pool in pools:
            pool.close()
        behind.drain(0)
        for peer in peers:
            peer.reset()
        self.advance(5)

    def test_whatIsLogged(self) -> None:
        """
        Events have the request's id, while its handler runs and when it has failed.
        """
        events: list[Any] = []

        def observe(event: Any) -> None:
            tracing.tag(event)
            events.append(event)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

        async def handler(request: Request) -> WasiResponse:
            await self.sleep(1)
            trace = current.get()
            assert trace is request.trace
            raise LookupError("no")

        self.serve(handler)
        peer = self.connect(get("/", f"{NAME}: mine", f"traceparent: {PARENT}"))
        self.advance(1)
        self.assertEqual(self.status(peer), 500)
        self.assertEqual([(event["requestId"], event["traceId"]) for event in events], [("mine", TRACE)])
        (error,) = self.flushLoggedErrors(LookupError)
        self.assertEqual(self.tracing.made[0][1].told, [error.value, (500, True)])
        self.assertIsNone(current.get())


@pytest_twisted.ensureDeferred
async def test_tlsInTheLog(tmp_path: Path) -> None:
    """
    The version that has been agreed on.
    """
    authority = Authority(tmp_path)
    lines: list[Any] = []
    log: Any = SimpleNamespace(answered=lambda *told: lines.append(told[6]), flush=lambda: None)
    settings = TlsServer(str(authority.issue("127.0.0.1")))
    endpoint = SSL4ServerEndpoint(reactor, 0, settings, interface="127.0.0.1")
    server = serve(lambda request: WasiResponse(), endpoint, accessLog=log)
    async with Pool(caCertificates=str(authority.path)) as pool:
        await (await fetch(f"https://127.0.0.1:{server.local().port}/", pool=pool)).bytes()
    await server.drain(0)
    assert lines == ["TLSv1.3"]


class OffTests(MemoryServerCase):
    def test_nothingOfItIsThere(self) -> None:
        """
        A server without it has the connections and the handler that the compiled twins know.
        """
        seen: list[Any] = []

        def handler(request: Request) -> WasiResponse:
            seen.append((request.id, request.trace, current.get()))
            return WasiResponse()

        server = self.serve(handler)
        self.assertIs(server.handler, handler)
        self.assertIsNone(server.ends)
        peer = self.connect(get("/", f"{NAME}: a", f"traceparent: {PARENT}"))
        (protocol,) = server.connections
        assert isinstance(protocol, HttpProtocol)
        self.assertIs(type(protocol.connection), ServerConnection)
        (response,) = parse(peer.take())
        self.assertNotIn(NAME, response.headers)
        self.assertEqual(seen, [(None, None, None)])


class TracedEndTests(test_ends.EndTests):
    """
    All ends in all states again: also each trace ends once, with what the log says.
    """

    def serve(self, handler: Handler, /, **limits: Any) -> HttpServer:
        self.patch(tracing, "outgoing", None)
        self.tracing = Watching()
        self.servers.append(
            HttpServer(handler, limits=ServerLimits(**limits), tracing=self.tracing, reactor=self.clock)
        )
        return self.server

    def assertEnded(self, peer: MemoryPeer, log: test_ends.Log, drained: Deferred[None] | None) -> None:
        super().assertEnded(peer, log, drained)
        ends = [[each for each in trace.told if isinstance(each, tuple)] for _, trace in self.tracing.made]
        self.assertEqual(sorted(ends), sorted([(status, complete)] for _, status, complete in log.lines))
