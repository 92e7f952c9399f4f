"""
Listeners in memory, on a clock: what they accept, when they pause, how they serve and drain.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.errors import BusyError, ConnectFailed, ConnectionClosed, InvalidArgument, ListenFailed, TimedOut
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn, WasiTcpServer
from wasinet_twisted.net.server.factory import CANCEL_GRACE
from wasinet_twisted.net.server.listener import WAITING
from wasinet_twisted.testing import MemoryListener


async def echo(conn: WasiTcpConn) -> None:
    async for data in conn:
        await conn.write(b"echo:" + data)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.listener = MemoryListener()
        self.clock = self.listener.clock
        self.server = self.serve()

    def serve(self, **options: Any) -> WasiTcpServer:
        self.listener.port = None
        return WasiTcpServer(self.listener, reactor=self.clock, **options)

    def settle(self) -> None:
        self.listener.settle()

    def ask(self, conn: WasiTcpConn, text: str = "x") -> bytes:
        conn.write(text)
        return self.listener.run(conn.read())


class AcceptTests(Case):
    def test_severalMayWaitAndAreServedInOrder(self) -> None:
        accepts = [self.server.accept() for _ in range(2)]
        clients = [self.listener.connect() for _ in range(3)]
        self.settle()
        given = [self.successResultOf(accept) for accept in [*accepts, self.server.accept()]]
        self.assertEqual([conn.peer() for conn in given], [client.local() for client in clients])

    def test_timeoutFromBothSides(self) -> None:
        accepting = self.server.accept(timeout=5)
        self.listener.advance(4.9)
        self.assertNoResult(accepting)
        client = self.listener.connect()
        self.settle()
        self.assertEqual(self.successResultOf(accepting).peer(), client.local())
        self.settle()
        client.close()
        self.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        accepting = self.server.accept(timeout=5)
        self.listener.advance(5)
        error = self.failureResultOf(accepting, TimedOut).value
        self.assertIn("in 5 s", str(error))

    def test_inATask(self) -> None:
        """
        A task of ours that accepts is resumed, told and cancelled like any other.
        """

        async def accepts() -> list[Any]:
            told: list[Any] = [(await self.server.accept()).peer()]
            try:
                await self.server.accept(timeout=1)
            except TimedOut:
                told.append("timed out")
            await self.server.accept()
            return told

        owner = self.listener.connect()
        accepting = owner.start(accepts())
        client = self.listener.connect()
        self.settle()
        self.listener.advance(1)
        # The owner was the first to come.
        self.assertNoResult(accepting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        del client
        owner.close()
        self.failureResultOf(accepting, CancelledError)

    def test_exactlySoManyWaitForAccept(self) -> None:
        clients = [self.listener.connect() for _ in range(WAITING + 20)]
        self.settle()
        self.assertEqual(len(self.server._waiting), WAITING)
        given = [self.successResultOf(self.server.accept()) for _ in range(WAITING // 2)]
        self.settle()
        # Only when half of them are gone are others taken.
        self.assertEqual(len(self.server._waiting), WAITING - len(given))
        given.append(self.successResultOf(self.server.accept()))
        self.settle()
        self.assertEqual(len(self.server._waiting), len(clients) - len(given))
        while self.server._waiting:
            given.append(self.successResultOf(self.server.accept()))
        self.assertEqual([conn.peer() for conn in given], [client.local() for client in clients])

    def test_exactlySoManyAreOpen(self) -> None:
        self.server = self.serve(maxConnections=3)
        clients = [self.listener.connect() for _ in range(5)]
        self.settle()
        given = [self.successResultOf(self.server.accept()) for _ in range(3)]
        waiting = [self.server.accept() for _ in range(2)]
        self.settle()
        self.assertNoResult(waiting[0])
        # Whoever ends one, another takes its place; just one.
        given[0].close()
        self.settle()
        self.assertEqual(self.successResultOf(waiting[0]).peer(), clients[3].local())
        self.assertNoResult(waiting[1])
        clients[1].abort()
        self.settle()
        self.assertEqual(self.successResultOf(waiting[1]).peer(), clients[4].local())

    def test_badArguments(self) -> None:
        for call, named in (
            (lambda: self.serve(maxConnections=0), "maxConnections"),
            (lambda: self.server.accept(timeout=-1), "timeout"),
            (lambda: self.server.drain(None), "deadline"),  # type: ignore[arg-type]
            (lambda: self.server.drain(-1), "-1"),
        ):
            self.assertIn(named, str(self.assertRaises(InvalidArgument, call)))


class ServeForeverTests(Case):
    def test_serving(self) -> None:
        """
        Also those who came before.
        """
        early = self.listener.connect()
        self.settle()
        serving = self.server.serveForever(echo)
        late = self.listener.connect()
        self.assertEqual(self.ask(early, "early"), b"echo:early")
        self.assertEqual(self.ask(late, "late"), b"echo:late")
        self.assertNoResult(serving)

    def test_closingLetsTheHandlersEnd(self) -> None:
        serving = self.server.serveForever(echo)
        client = self.listener.connect()
        self.assertEqual(self.ask(client), b"echo:x")
        self.server.close()
        self.settle()
        self.assertRaises(ConnectFailed, self.listener.connect)
        self.assertEqual(self.ask(client), b"echo:x")
        self.assertNoResult(serving)
        client.close()
        self.settle()
        self.successResultOf(serving)

    def test_closingWithNobodyThere(self) -> None:
        serving = self.server.serveForever(echo)
        self.server.close()
        self.settle()
        self.successResultOf(serving)

    def test_cancellingEndsTheHandlers(self) -> None:
        seen = []

        async def handler(conn: WasiTcpConn) -> None:
            try:
                await echo(conn)
            finally:
                seen.append("finally")

        serving = self.server.serveForever(handler)
        client = self.listener.connect()
        self.assertEqual(self.ask(client), b"echo:x")
        serving.cancel()
        self.failureResultOf(serving, CancelledError)
        self.assertEqual(seen, ["finally"])
        self.assertEqual(self.listener.run(client.read()), b"")
        self.assertRaises(ConnectFailed, self.listener.connect)
        self.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_draining(self) -> None:
        seen = []

        async def handler(conn: WasiTcpConn) -> None:
            try:
                await echo(conn)
            except CancelledError:
                seen.append(self.clock.seconds())

        serving = self.server.serveForever(handler)
        quick, slow = self.listener.connect(), self.listener.connect()
        self.settle()
        draining = self.server.drain(5)
        self.assertEqual(self.ask(quick), b"echo:x")
        quick.close()
        self.listener.advance(4.9)
        self.assertNoResult(draining)
        self.assertEqual(self.ask(slow), b"echo:x")
        self.listener.advance(0.1)
        self.assertEqual(seen, [5])
        slow.close()
        self.settle()
        self.successResultOf(draining)
        self.successResultOf(serving)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drainingEndsTheStubborn(self) -> None:
        async def handler(conn: WasiTcpConn) -> None:
            try:
                await conn.read()
            except CancelledError:
                await Deferred()

        serving = self.server.serveForever(handler)
        client = self.listener.connect()
        self.settle()
        draining = self.server.drain(0)
        self.listener.advance(CANCEL_GRACE)
        self.assertNoResult(draining)
        self.listener.advance(0.2)
        self.successResultOf(draining)
        self.successResultOf(serving)
        client.abort()
        self.settle()

    def test_whatAcceptHasGivenIsItsOwners(self) -> None:
        client = self.listener.connect()
        self.settle()
        given = self.successResultOf(self.server.accept())
        draining = self.server.drain(1)
        self.listener.advance(9)
        self.successResultOf(draining)
        given.write(b"still here")
        self.assertEqual(self.listener.run(client.read()), b"still here")

    def test_oneWayAtATime(self) -> None:
        accepting = self.server.accept()
        self.assertIn("accept()", str(self.assertRaises(BusyError, self.server.serveForever, echo)))
        accepting.cancel()
        self.failureResultOf(accepting, CancelledError)
        self.server.serveForever(echo)
        self.assertIn("serveForever()", str(self.assertRaises(BusyError, self.server.serveForever, echo)))
        self.assertIn("serveForever()", str(self.assertRaises(BusyError, self.server.accept)))

    def test_aServerThatIsClosed(self) -> None:
        serving = self.server.serveForever(echo)
        closes = [self.server.close(), self.server.close()]
        self.assertNoResult(closes[1])
        self.settle()
        for each in (serving, *closes, self.server.close()):
            self.successResultOf(each)
        for call in (lambda: self.server.serveForever(echo), self.server.accept):
            failing = call()
            self.settle()
            self.failureResultOf(failing, ConnectionClosed)

    def test_cancellingWithNobodyThere(self) -> None:
        serving = self.server.serveForever(echo)
        serving.cancel()
        self.failureResultOf(serving, CancelledError)
        self.settle()

    def test_aServerThatDoesntStart(self) -> None:
        """
        That turns out while somebody serves, or before.
        """
        for early in (True, False):
            listening: Deferred[Any] = Deferred()
            self.listener.listen = lambda factory, listening=listening: listening  # type: ignore[method-assign]
            server = self.serve()
            serving = server.serveForever(echo) if early else None
            listening.errback(OSError(98, "Address already in use"))
            self.failureResultOf(serving or server.serveForever(echo), ListenFailed)

    def test_inATask(self) -> None:
        """
        As a program does it that ends when the server is closed.
        """

        async def main() -> str:
            async with self.server:
                await self.server.serveForever(echo)
            return "done"

        running = ensureDeferred(main())
        client = self.listener.connect()
        self.assertEqual(self.ask(client), b"echo:x")
        client.close()
        self.server.close()
        self.settle()
        self.assertEqual(self.successResultOf(running), "done")

    def test_theBoundHoldsForHandlers(self) -> None:
        self.server = self.serve(maxConnections=2)
        self.server.serveForever(echo)
        clients = [self.listener.connect() for _ in range(3)]
        self.assertEqual([self.ask(client) for client in clients[:2]], [b"echo:x"] * 2)
        clients[2].write(b"y")
        reading = clients[2].read()
        self.settle()
        self.assertNoResult(reading)
        clients[0].close()
        self.settle()
        self.assertEqual(self.successResultOf(reading), b"echo:y")


class FactoryBoundTests(SynchronousTestCase):
    def test_overSeveralEndpoints(self) -> None:
        first = MemoryListener()
        second = MemoryListener(first.clock)
        factory = ConnectionFactory(echo, maxConnections=2, reactor=first.clock)
        for listener in (first, second):
            self.successResultOf(factory.listen(listener))
        clients = [listener.connect() for listener in (first, second, first, second)]
        first.settle()
        self.assertEqual(len(factory.connections), 2)
        clients[0].close()
        clients[1].close()
        first.settle()
        self.assertEqual(len(factory.connections), 2)
        for client in clients[2:]:
            client.write("x")
            self.assertEqual(first.run(client.read()), b"echo:x")
