"""
A server in memory for what fetches.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted import testing
from wasinet_twisted.client import Timeouts, fetch
from wasinet_twisted.errors import ConnectionClosed, InvalidArgument, TimedOut
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request, ServerLimits


async def echo(request: Request) -> WasiResponse:
    return WasiResponse(body=await request.read() or request.uri, headers={"X-Host": request.getHeader("Host") or ""})


class MemoryOriginTests(SynchronousTestCase):
    def origin(self, handler: Any = echo, **options: Any) -> testing.MemoryOrigin:
        """
        One that leaves nothing behind when it is closed.
        """
        origin = testing.MemoryOrigin(handler, **options)
        self.addCleanup(lambda: self.assertEqual(origin.clock.getDelayedCalls(), []))
        self.addCleanup(origin.close)
        return origin

    def test_fetch(self) -> None:
        """
        A path, or any URL: all go to the one server, over connections that are kept.
        """
        origin = self.origin()
        for _ in range(2):
            response = origin.fetch("/path?a=b")
            self.assertEqual(origin.run(response.text()), "/path?a=b")
            self.assertEqual(response.headers["X-Host"], "origin.test")
        response = origin.fetch("http://else.test:81/", method="POST", body="body")
        self.assertEqual((origin.run(response.text()), response.headers["X-Host"]), ("body", "else.test:81"))
        self.assertEqual(len(origin.listener.links), 2)
        self.assertEqual(origin.server.statistics.requests, 3)

    def test_pools(self) -> None:
        """
        Each has connections of its own, its own bounds and deadlines.
        """
        origin = self.origin()
        pool = origin.pool(timeouts=Timeouts(head=1))
        self.assertEqual(origin.run(origin.run(fetch("http://a.test/", pool=pool)).text()), "/")
        origin.fetch("/", pool=pool)
        origin.fetch("/")
        self.assertEqual(repr(pool), "<Pool: 2 connections, 2 free, 0 requests wait>")
        for option in ("endpoint", "reactor"):
            self.assertRaises(InvalidArgument, origin.pool, **{option: None})

    def test_https(self) -> None:
        """
        Goes there in the clear, over connections of its own: the URLs of code that is tested need no other scheme.
        """
        origin = self.origin()
        response = origin.fetch("https://else.test/path")
        self.assertEqual((origin.run(response.text()), response.headers["X-Host"]), ("/path", "else.test"))
        self.assertEqual((response.url, response.tls), ("https://else.test/path", None))
        self.assertIsNone(response.timings.tls)
        origin.fetch("http://else.test:443/path")
        self.assertEqual(len(origin.listener.links), 2)

    def test_time(self) -> None:
        clock = Clock()

        async def slow(request: Request) -> WasiResponse:
            await deferLater(clock, 10)
            return WasiResponse(body="late")

        origin = self.origin(slow, clock=clock)
        self.assertIs(origin.clock, clock)
        self.assertEqual(origin.run(origin.fetch("/").text()), "late")
        self.assertEqual(clock.seconds(), 10)
        self.assertRaises(TimedOut, origin.fetch, "/", timeout=5)
        self.assertEqual(clock.seconds(), 15)
        self.assertRaises(AssertionError, origin.fetch, "/", atMost=5)
        self.assertEqual(clock.seconds(), 20)

    def test_theNetwork(self) -> None:
        origin = self.origin(delay=0.5, chunkSize=1)
        response = origin.fetch("/")
        self.assertEqual(origin.run(response.text()), "/")
        self.assertEqual((response.timings.connect, origin.clock.seconds()), (1.0, 2.0))
        self.assertRaises(InvalidArgument, testing.MemoryOrigin, echo, delay=-1)

    def test_limits(self) -> None:
        origin = self.origin(limits=ServerLimits(connections=1))
        response = origin.fetch("/", headers={"Connection": "close"})
        self.assertEqual(origin.run(response.text()), "/")
        self.assertEqual(origin.server.limits.connections, 1)

    def test_faults(self) -> None:
        origin = self.origin()
        origin.fetch("/")
        origin.listener.links[0].lose()
        self.assertRaises(ConnectionClosed, origin.fetch, "/", method="POST")
        origin.fetch("/", method="POST")

    def test_close(self) -> None:
        """
        It ends what is in flight.
        """
        ended: list[str] = []

        async def waits(request: Request) -> WasiResponse:
            try:
                await deferLater(origin.clock, 1000)
            finally:
                ended.append(request.uri)
            raise AssertionError

        origin = testing.MemoryOrigin(waits)
        fetching = fetch("http://origin.test/path", pool=origin.pool())
        origin.settle()
        origin.close()
        self.failureResultOf(fetching, ConnectionClosed)
        self.assertEqual((ended, origin.clock.getDelayedCalls()), (["/path"], []))
        self.assertRaises(ConnectionClosed, origin.fetch, "/", pool=origin._pools[0])
        self.assertIn("192.0.2.2:8000", repr(origin))
