"""
What an app does at the end of its service.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.service.test_httpoptions import parse
from tests.support import MemoryPeer
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.service import command
from wasinet_twisted.service.http import HttpAppService
from wasinet_twisted.service.stopping import shutDown


class ShutdownTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []

    def start(self, function: Callable[[], Any]) -> Deferred[None]:
        with capturedLogs() as events:
            over = shutDown(function, 5.0, self.clock)
        self.said += map(formatEvent, events)
        return over

    def advance(self, seconds: float) -> None:
        with capturedLogs() as events:
            self.clock.advance(seconds)
        self.said += map(formatEvent, events)

    def ended(self, over: Deferred[None], *said: str) -> None:
        self.assertIsNone(self.successResultOf(over))
        self.assertEqual([line.splitlines()[0] for line in self.said], list(said))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.flushLoggedErrors()

    def test_functionsOfEachKind(self) -> None:
        called = []

        async def coroutine() -> None:
            called.append("async")

        for function in (lambda: called.append("plain"), lambda: succeed(called.append("deferred")), coroutine):
            self.ended(self.start(function))
        self.assertEqual(called, ["plain", "deferred", "async"])

    def test_itIsWaitedFor(self) -> None:
        async def closes() -> None:
            await deferLater(self.clock, 4.9)

        over = self.start(closes)
        self.advance(4.8)
        self.assertNoResult(over)
        self.advance(0.2)
        self.ended(over)

    def test_itFails(self) -> None:
        def raises() -> None:
            raise ValueError("no")

        async def raisesLater() -> None:
            await deferLater(self.clock, 1)
            raises()

        self.ended(self.start(raises), "the app's shutdown failed")
        over = self.start(raisesLater)
        self.advance(1)
        self.ended(over, *["the app's shutdown failed"] * 2)

    def test_itTakesTooLong(self) -> None:
        cleaned = []

        async def never() -> None:
            try:
                await Deferred()
            finally:
                cleaned.append(True)

        over = self.start(never)
        self.advance(4.9)
        self.assertNoResult(over)
        self.advance(0.1)
        self.ended(over, "the app's shutdown took more than 5 s and is cancelled")
        self.assertEqual(cleaned, [True])

    def test_itIgnoresThat(self) -> None:
        """
        It is ended by force, and nobody waits longer.
        """

        async def stubborn() -> None:
            while True:
                with contextlib.suppress(CancelledError):
                    await Deferred()

        over = self.start(stubborn)
        self.advance(5)
        self.assertNoResult(over)
        self.advance(1)
        self.ended(over, "the app's shutdown took more than 5 s and is cancelled")


class ServiceTests(SynchronousTestCase):
    def test_afterTheLastAnswer(self) -> None:
        """
        What is in flight may need what it closes.
        """
        self.patch(command, "installReactor", lambda **_: None)
        reactor = MemoryReactorClock()
        answer: Deferred[WasiResponse] = Deferred()
        called = []

        async def shutdown() -> None:
            called.append("begun")
            await deferLater(reactor, 1)
            called.append("ended")

        service = HttpAppService(parse(), lambda request: answer, shutdown=shutdown, reactor=reactor)
        service.privilegedStartService()
        service.startService()
        peer = MemoryPeer(reactor.tcpServers[0][1], reactor)
        self.addCleanup(peer.reset)
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        stopped = service.stopService()
        reactor.pump([0.1] * 4)
        self.assertEqual(called, [])
        answer.callback(WasiResponse(body=b"x"))
        peer.settle()
        self.assertIn(b" 200 OK\r\n", peer.take())
        reactor.pump([0.1] * 4)
        self.assertEqual(called, ["begun"])
        self.assertNoResult(stopped)
        reactor.advance(1)
        self.assertEqual(called, ["begun", "ended"])
        self.successResultOf(stopped)
        self.assertEqual(reactor.getDelayedCalls(), [])
