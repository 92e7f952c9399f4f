"""
Deadlines, each from both sides: what is in time passes, what is late is told at once, and nothing is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from wasinet_twisted.client import Pool, Report, Timeouts
from wasinet_twisted.errors import InvalidArgument, TimedOut, UnknownHost

from .support import CONTINUE, OK, ClientCase, Outcome, answer, head


class HeadTests(ClientCase):
    def test_head(self) -> None:
        """
        As the pool has it, and as the request has it; also over a kept connection that was made under other rules.
        """
        self.pool(Timeouts(head=5))
        self.twoSides(5, self.begin(), TimedOut)
        self.assertTrue(self.peers[0].wasReset)
        self.fetch(OK)
        for seconds in (2, 20):
            self.twoSides(seconds, self.begin(timeout=Timeouts(head=seconds)), TimedOut)
            self.fetch(OK)
        self.twoSides(5, self.begin(), TimedOut)
        self.assertPool(0, 0)

    def test_inTime(self) -> None:
        self.pool(Timeouts(head=5))
        outcome = self.begin()
        self.advance(4.9)
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)

    def test_byteByByte(self) -> None:
        """
        The head as a whole has the time: a byte now and then buys none.
        """
        self.pool(Timeouts(head=5))
        outcome = self.begin()
        for byte in b"HTTP/":
            self.advance(0.9)
            self.peers[0].send(bytes([byte]))
        self.twoSides(0.5, outcome, TimedOut)

    def test_none(self) -> None:
        outcome = self.begin(timeout=Timeouts(head=None))
        self.advance(100_000)
        self.assertTrue(outcome.pending)

    def test_itCountsFromTheEndOfTheRequest(self) -> None:
        """
        Also where the server takes its time for a body that was given whole.
        """
        for body in (bytes(1_000_000), iter([bytes(1_000_000)])):
            self.listen(rate=100_000, window=10_000)
            pool = self.pool(Timeouts(head=5))
            outcome = self.begin(method="POST", body=body, pool=pool)
            self.advance(9)
            self.assertTrue(outcome.pending)
            self.advance(2)
            self.assertTrue(self.peers[0].requests())
            self.advance(3)
            self.assertTrue(outcome.pending)
            self.advance(2)
            self.assertIsInstance(outcome.error, TimedOut)

    def test_aServerThatTakesNothing(self) -> None:
        """
        There is a least rate, after 20 seconds of grace.
        """
        for body in (bytes(1_000_000), iter([bytes(1_000_000)])):
            self.reads = False
            self.listen(window=10_000)
            pool = self.pool(Timeouts(head=5))
            outcome = self.begin(method="POST", body=body, pool=pool)
            # What the kernels took has bought as much again.
            message = self.twoSides(40, outcome, TimedOut)
            self.assertIn("doesn't take", message)


class ReadTests(ClientCase):
    def reading(self, **options: Any) -> Outcome:
        response = self.fetch(head("Content-Length: 100") + b"some", **options)
        return Outcome(response.bytes())

    def test_read(self) -> None:
        self.pool(Timeouts(read=5))
        reading = self.reading()
        for _ in range(3):
            self.advance(4.9)
            self.assertTrue(reading.pending)
            self.peers[0].send(b"x")
            self.settle()
        self.twoSides(5, reading, TimedOut)
        self.assertTrue(self.peers[0].wasReset)
        self.assertPool(0, 0)

    def test_ofTheRequest(self) -> None:
        self.pool(Timeouts(read=5))
        for seconds in (2, 20):
            self.twoSides(seconds, self.reading(timeout=Timeouts(read=seconds)), TimedOut)

    def test_itCountsOnlyWhileSomebodyWaits(self) -> None:
        """
        However long nobody reads: the server isn't asked for anything.
        """
        self.pool(Timeouts(read=5))
        for head_ in (5, 60):
            response = self.fetch(head("Content-Length: 6") + b"some", timeout=Timeouts(head=head_, read=5))
            self.advance(1000)
            reading = Outcome(response.bytes())
            self.settle()
            self.assertTrue(reading.pending)
            self.advance(4.9)
            self.assertTrue(reading.pending)
            self.peers[0].send(b"!!")
            self.settle()
            self.assertEqual(reading.value, b"some!!")
            self.assertPool(1, 1)

    def test_none(self) -> None:
        reading = self.reading(timeout=Timeouts(read=None))
        self.advance(100_000)
        self.assertTrue(reading.pending)


class TotalTests(ClientCase):
    def test_head(self) -> None:
        message = self.twoSides(5, self.begin(timeout=5), TimedOut)
        self.assertIn("5 s", message)
        self.assertPool(0, 0)

    def test_theErrorSaysTheWholeTime(self) -> None:
        """
        Not what a redirect has left of it.
        """
        outcome = self.begin(timeout=5)
        self.advance(4)
        self.peers[0].send(answer(b"", "Location: /there", status="302 Found"))
        self.settle()
        self.assertIn("/there: not complete in 5 s", self.twoSides(1, outcome, TimedOut))

    def test_ofThePool(self) -> None:
        self.pool(Timeouts(total=5))
        self.twoSides(5, self.begin(), TimedOut)
        self.twoSides(7, self.begin(timeout=7), TimedOut)

    def test_body(self) -> None:
        """
        A byte now and then buys none of it. A reader who comes late is told as well.
        """
        response = self.fetch(head("Content-Length: 100"), timeout=5)
        reading = Outcome(response.bytes())
        for _ in range(4):
            self.advance(1)
            self.peers[0].send(b"x")
        self.twoSides(1, reading, TimedOut)
        response = self.fetch(head("Content-Length: 100"), timeout=5)
        self.advance(6)
        self.assertTrue(self.peers[1].wasReset)
        self.failureResultOf(response.bytes(), TimedOut)

    def test_whatHasComeInTimeIsRead(self) -> None:
        response = self.fetch(OK, timeout=5)
        self.advance(6)
        self.assertEqual(self.body(response), b"ok")

    def test_request(self) -> None:
        """
        A body that never ends, and one that waits for a 100.
        """
        for body in (self.slow(), b"body"):
            self.twoSides(0.5, self.begin(method="POST", body=body, timeout=0.5, expectContinue=True), TimedOut)
        self.assertPool(0, 0)

    def slow(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000_000

    def test_acrossRedirects(self) -> None:
        outcome = self.begin(timeout=5)
        for _ in range(4):
            self.advance(1)
            self.peers[0].send(answer(b"", "Location: /again", status="302 Found"))
            self.settle()
        self.twoSides(1, outcome, TimedOut)
        self.assertEqual(len(self.peers[0].requests()), 5)

    def test_inTheBodyOfARedirect(self) -> None:
        """
        It is read to keep the connection, and not for long.
        """
        outcome = self.begin(timeout=Timeouts(read=None))
        self.peers[0].send(head("Content-Length: 1000", "Location: /next", status="302 Found") + b"some")
        self.advance(0.9)
        self.peers[0].send(b"more")
        self.settle()
        self.assertEqual(len(self.peers), 1)
        self.advance(0.2)
        self.assertEqual(len(self.peers), 2)
        self.assertTrue(self.peers[0].wasReset)
        self.peers[1].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)

    def test_acrossTheSecondAttempt(self) -> None:
        self.fetch(OK)
        outcome = self.begin(timeout=5)
        self.advance(3)
        self.peers[0].close()
        self.settle()
        self.assertEqual(len(self.peers), 2)
        self.twoSides(2, outcome, TimedOut)
        self.assertPool(0, 0)

    def test_interimResponses(self) -> None:
        outcome = self.begin(timeout=5)
        for _ in range(4):
            self.advance(1)
            self.peers[0].send(CONTINUE)
        self.twoSides(1, outcome, TimedOut)


@implementer(IStreamClientEndpoint)
class Silent:
    """
    An endpoint that never connects.
    """

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        return Deferred()


class ConnectTests(ClientCase):
    def silent(self) -> None:
        pool = self.pool()
        pool._dialing._endpoint = lambda _: Silent()

    def test_connect(self) -> None:
        self.silent()
        for seconds in (0.5, 100):
            self.twoSides(seconds, self.begin(timeout=Timeouts(connect=seconds)), TimedOut)
        self.assertPool(0, 0)

    def test_none(self) -> None:
        """
        Nobody gives up but the system.
        """
        self.silent()
        outcome = self.begin(timeout=Timeouts(connect=None))
        self.advance(10_000)
        self.assertTrue(outcome.pending)

    def test_theShorterOne(self) -> None:
        self.silent()
        self.twoSides(2, self.begin(timeout=Timeouts(connect=5, total=2)), TimedOut)
        self.twoSides(2, self.begin(timeout=Timeouts(connect=2, total=5)), TimedOut)

    def test_tls(self) -> None:
        """
        A server that never answers the handshake.
        """
        self.pool()
        for seconds in (0.5, 100):
            self.twoSides(seconds, self.begin("https://origin.test/", timeout=Timeouts(tls=seconds)), TimedOut)
            self.settle()
        self.twoSides(2, self.begin("https://origin.test/", timeout=2), TimedOut)
        self.settle()
        # Nor does a cancelled one wait for that.
        outcome = self.begin("https://origin.test/")
        self.assertTrue(self.peers[-1].got)
        outcome.deferred.cancel()
        self.settle()
        self.assertIsInstance(outcome.error, CancelledError)
        self.assertPool(0, 0)
        self.assertTrue(all(peer.reason is not None for peer in self.peers))


class ResolveTests(ClientCase):
    """
    A resolver that takes its time.
    """

    def resolving(self) -> list[Any]:
        """
        A pool that looks names up.

        @return: who waits for addresses.
        """
        waiting: list[Any] = []

        class Resolution:
            def __init__(self, receiver: Any) -> None:
                self.receiver = receiver

            def cancel(self) -> None:
                waiting.remove(self.receiver)

        class Resolver:
            def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0) -> None:
                waiting.append(receiver)
                receiver.resolutionBegan(Resolution(receiver))

        clock: Any = self.clock
        clock.nameResolver = Resolver()
        self.pools.append(Pool(reactor=clock))
        return waiting

    def test_resolve(self) -> None:
        """
        For a URL of an origin, and for a proxy's.
        """
        waiting = self.resolving()
        for proxy in (None, "http://proxy.test:1"):
            for seconds in (0.5, 100):
                outcome = self.begin(timeout=Timeouts(resolve=seconds), proxy=proxy)
                message = self.twoSides(seconds, outcome, TimedOut)
                name = "origin.test" if proxy is None else "proxy.test"
                self.assertIn(f"the resolver gave no address of {name} in {seconds:g} s", message)
                self.assertEqual(waiting, [])
        self.assertPool(0, 0)

    def test_theShorterOne(self) -> None:
        self.resolving()
        self.twoSides(2, self.begin(timeout=Timeouts(resolve=5, total=2)), TimedOut)
        self.twoSides(2, self.begin(timeout=Timeouts(resolve=2, total=5)), TimedOut)

    def test_none(self) -> None:
        waiting = self.resolving()
        outcome = self.begin(timeout=Timeouts(resolve=None))
        self.advance(100_000)
        self.assertTrue(outcome.pending)
        outcome.deferred.cancel()
        self.assertIsInstance(outcome.error, CancelledError)
        self.assertEqual(waiting, [])
        self.assertPool(0, 0)

    def test_unknownHost(self) -> None:
        """
        The time that it took is told all the same.
        """
        waiting = self.resolving()
        reports: list[Report] = []
        self.pools[0].observer = reports.append
        outcome = self.begin()
        self.advance(3)
        waiting.pop().resolutionComplete()
        self.settle()
        self.assertIsInstance(outcome.error, UnknownHost)
        self.assertEqual((reports[0].timings.resolve, reports[0].error), (3.0, outcome.error))
        self.assertPool(0, 0)


class ArgumentTests(ClientCase):
    def test_whatIsNone(self) -> None:
        for timeout in (-1, float("nan"), "5", True, [5]):
            self.assertRaises(InvalidArgument, self.begin, timeout=timeout)
            self.assertRaises(InvalidArgument, Timeouts, head=timeout)

    def test_zero(self) -> None:
        """
        No time is none, and no special case.
        """
        outcome = self.begin(timeout=0)
        self.settle()
        self.assertIsInstance(outcome.error, TimedOut)
        self.fetch(OK)
        outcome = self.begin(timeout=0)
        self.settle()
        self.assertIsInstance(outcome.error, TimedOut)
        self.assertPool(0, 0)
