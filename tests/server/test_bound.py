"""
The bound on connections: it doesn't drift, whichever way they end, and it is cheap to keep.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.support import temporaryDirectory
from wasinet_twisted.errors import WasinetError
from wasinet_twisted.http import ServerConnection, WasiResponse
from wasinet_twisted.net import TlsServer, WasiTcpConn
from wasinet_twisted.server import HttpServer, Request, ServerLimits
from wasinet_twisted.server.serving import TICK, serve
from wasinet_twisted.testing import MemoryListener

from .support import assertAddsUp, get, message, post

BOUND = 20


def flood() -> Iterator[bytes]:
    """
    More than any client takes that reads nothing.
    """
    while True:
        yield bytes(1 << 16)


class BoundCase(SynchronousTestCase):
    """
    A server of 20 connections in memory; those beyond wait to be accepted.

    @ivar inside: the handlers that run, and what each waits for.
    """

    def setUp(self) -> None:
        self.listener = MemoryListener()
        self.inside: dict[int, Deferred[None]] = {}
        self.most = 0
        self.tls: TlsServer | None = None
        self._number = 0
        self.server = self.serve()
        self.clients: list[WasiTcpConn] = []

    def serve(self, **limits: Any) -> HttpServer:
        return serve(
            self.handle,
            self.listener,
            limits=ServerLimits(connections=BOUND, **limits),
            reactor=self.listener.clock,
        )

    def tearDown(self) -> None:
        for client in self.clients:
            client.abort()
        self.goOn()
        self.assertEqual(self.server.tasks, set())
        assertAddsUp(self.server.statistics)
        drained = self.server.drain(0)
        self.listener.settle()
        self.successResultOf(drained)
        self.assertEqual(self.listener.clock.getDelayedCalls(), [])

    async def wait(self) -> None:
        """
        Be one of those that run.
        """
        self._number += 1
        number = self._number
        self.inside[number] = Deferred()
        self.most = max(self.most, len(self.inside))
        try:
            await self.inside[number]
        finally:
            del self.inside[number]

    async def stream(self) -> AsyncIterator[bytes]:
        yield b"first"
        await self.wait()

    async def stubborn(self) -> AsyncIterator[bytes]:
        yield b"first"
        with contextlib.suppress(CancelledError):
            await Deferred()
        # What it waits for has nothing to do with its client.
        await self.wait()

    async def handle(self, request: Request) -> WasiResponse | None:
        path = request.path
        if path == "/stream":
            return WasiResponse(body=self.stream())
        if path == "/stubborn":
            return WasiResponse(body=self.stubborn())
        if path == "/upgrade":
            conn = await request.upgrade("echo")
            while await conn.read():
                pass
            return None
        if path == "/flood":
            return WasiResponse(body=flood())
        if path == "/tls":
            assert self.tls is not None
            conn = await request.upgrade("echo")
            with contextlib.suppress(WasinetError):
                await conn.startTLS(self.tls)
            return None
        if path == "/quietUpgrade":
            await request.upgrade("echo")
        if path == "/read":
            await request.read()
        if path != "/plain":
            await self.wait()
        return WasiResponse(body=path)

    def connect(self, *sent: bytes) -> WasiTcpConn:
        client = self.listener.connect()
        for data in sent:
            client.write(data)
        self.clients.append(client)
        self.listener.settle()
        return client

    def goOn(self) -> None:
        """
        What the handlers wait for has come.
        """
        self.listener.settle()
        while self.inside:
            next(iter(self.inside.values())).callback(None)
            self.listener.settle()

    def assertExact(self) -> None:
        """
        Of many who come, so many are let in as may be.
        """
        self.goOn()
        self.assertEqual(self.server.statistics.openConnections, 0)
        before = self.server.statistics.accepted
        clients = [self.connect(get("/wait")) for _ in range(3 * BOUND)]
        self.assertEqual(len(self.inside), BOUND)
        self.assertEqual(self.server.statistics.accepted - before, BOUND)
        for client in clients:
            client.abort()
        self.goOn()


class DriftTests(BoundCase):
    """
    60 of one kind that are reset.
    """

    def assertNoDrift(self, *sent: bytes, outlives: bool = False) -> None:
        for _ in range(60):
            client = self.connect(*sent)
            client.abort()
            self.listener.settle()
            if outlives and len(self.inside) == BOUND:
                # No other is let in before one has ended.
                accepted = self.server.statistics.accepted
                self.connect(*sent).abort()
                self.assertEqual(self.server.statistics.accepted, accepted)
                self.goOn()
        self.assertLessEqual(self.most, BOUND)
        self.assertExact()
        self.assertLessEqual(self.most, BOUND)

    def test_streams(self) -> None:
        self.assertNoDrift(get("/stream"))

    def test_streamsThatNobodyTakes(self) -> None:
        """
        They are told while they wait for their client, before the connection is counted as gone.
        """
        self.assertNoDrift(get("/flood"))

    def test_stubbornStreams(self) -> None:
        self.assertNoDrift(get("/stubborn"), outlives=True)

    def test_upgrades(self) -> None:
        upgrade = get("/upgrade", "Connection: upgrade", "Upgrade: echo")
        self.assertNoDrift(upgrade)

    def test_upgradesToTls(self) -> None:
        """
        From then on the transport has the tunnel for its protocol, and tells HTTP's nothing.
        """
        certificate = Authority(temporaryDirectory(self)).issue("localhost")
        self.tls = TlsServer(certificate)
        self.assertNoDrift(get("/tls", "Connection: upgrade", "Upgrade: echo"))

    def test_upgradesThatWaitForSomethingElse(self) -> None:
        self.assertNoDrift(get("/quietUpgrade", "Connection: upgrade", "Upgrade: echo"), outlives=True)

    def test_handlers(self) -> None:
        self.assertNoDrift(get("/wait"), outlives=True)

    def test_afterTheAnswer(self) -> None:
        self.assertNoDrift(get("/plain"))

    def test_severalInFlight(self) -> None:
        self.assertNoDrift(get("/plain") * 3 + get("/wait") * 3, outlives=True)

    def test_bodies(self) -> None:
        self.assertNoDrift(post("/read", 100, body=b"half"))

    def test_refusals(self) -> None:
        self.assertNoDrift(b"nonsense\r\n\r\n")
        self.assertNoDrift(message("GET", "/wait", "Expect: 200-ok"))

    def test_nothing(self) -> None:
        self.assertNoDrift()
        self.assertNoDrift(b"GET")


class FullTests(BoundCase):
    """
    When there are as many as may be, the one that has been idle longest makes room.
    """

    def setUp(self) -> None:
        super().setUp()
        # A look at a connection is a call of isIdle().
        self.looks = 0

    def fill(self) -> list[WasiTcpConn]:
        """
        As many as may be, each idle a second longer than the next.
        """
        clients = []
        for _ in range(BOUND):
            # The last one makes room for those to come at once.
            clients.append(self.connect(get("/plain")))
            self.listener.advance(1)
        return clients

    def gone(self, clients: list[WasiTcpConn]) -> list[int]:
        """
        Those that the server has closed.
        """
        self.listener.settle()
        return [number for number, client in enumerate(clients) if client._protocol.peerFinished]

    def test_theLongestFirst(self) -> None:
        clients = self.fill()
        self.assertEqual(self.gone(clients), [0])
        for number in range(1, 5):
            self.connect(get("/wait"))
            self.assertEqual(self.gone(clients), list(range(number + 1)))

    def test_notOneThatHasServedMeanwhile(self) -> None:
        clients = self.fill()
        self.connect(get("/wait"))
        self.assertEqual(self.gone(clients), [0, 1])
        self.listener.advance(0.1)
        for number in (2, 4):
            clients[number].write(get("/plain"))
        self.listener.settle()
        self.connect(get("/wait"))
        self.connect(get("/wait"))
        self.assertEqual(self.gone(clients), [0, 1, 3, 5])

    def test_thoseThatHaveServedAreLast(self) -> None:
        """
        In their new order, once the ticks have looked again.
        """
        clients = self.fill()
        for number in range(BOUND - 1, 0, -1):
            clients[number].write(get("/plain"))
            self.listener.advance(0.1)
        self.listener.advance(2 * TICK)
        gone = set(self.gone(clients))
        order = []
        for _ in range(BOUND - 2):
            self.connect(get("/wait"))
            self.listener.advance(TICK)
            (closed,) = set(self.gone(clients)) - gone
            gone.add(closed)
            order.append(closed)
        self.assertEqual(order, sorted(order, reverse=True))

    def test_noneOfThoseThatAreBusy(self) -> None:
        clients = [self.connect(get("/wait")) for _ in range(BOUND)]
        for _ in range(5):
            self.connect(get("/wait"))
            self.listener.advance(1)
        self.assertEqual(self.gone(clients), [])
        self.assertEqual(len(self.inside), BOUND)

    def count(self) -> list[object]:
        """
        Return what gets an item for each look at a connection: is it idle?
        """
        looks: list[object] = []
        isIdle = ServerConnection.isIdle

        def look(connection: ServerConnection[Request], now: float) -> bool:
            looks.append(connection)
            return isIdle(connection, now)

        self.patch(ServerConnection, "isIdle", look)
        return looks

    def test_theLooks(self) -> None:
        """
        Nobody is idle, and the bound is held: who is looked at in a tick is looked at once, however many come.
        """
        looks = self.count()
        busy = [self.connect(get("/wait")) for _ in range(BOUND)]
        for _ in range(50):
            # One goes, one comes, and the server is full again.
            busy.pop(0).abort()
            next(iter(self.inside.values())).callback(None)
            busy.append(self.connect(get("/wait")))
            self.assertEqual(len(self.inside), BOUND)
        self.assertGreater(len(looks), 0)
        self.assertLessEqual(len(looks), BOUND)
        looks.clear()
        self.listener.advance(10 * TICK)
        self.assertGreater(len(looks), 0)
        self.assertLessEqual(len(looks), 10 * BOUND)

    def test_theLooksAtThoseThatAreIdle(self) -> None:
        """
        To close one costs one look more, not one at each.
        """
        self.fill()
        self.listener.advance(TICK)
        looks = self.count()
        for _ in range(BOUND // 2):
            self.connect(get("/plain"))
        self.assertGreater(len(looks), 0)
        # All of them once, and each of those that are closed once more.
        self.assertLessEqual(len(looks), BOUND + BOUND // 2 + 1)
