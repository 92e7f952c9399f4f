"""
Many requests at a time, on a Clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.command.load.support import near
from wasinet_twisted.command.load.running import Load
from wasinet_twisted.errors import (
    ConnectionClosed,
    ConnectionRefused,
    LocalProtocolError,
    RemoteProtocolError,
    TimedOut,
    WasinetError,
)
from wasinet_twisted.net.tasks.task import Task


class _Main(Task[None]):
    """
    What the command runs a load in.
    """

    def __init__(self, load: Load, clock: Clock) -> None:
        super().__init__(load.run(), clock)
        self.result: Deferred[None] = Deferred(lambda _: self.cancel())

    def succeeded(self, result: None) -> None:
        self.result.callback(None)

    def failed(self, error: BaseException) -> None:
        self.result.errback(error)


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        # When requests began, and how many are in flight.
        self.begun: list[float] = []
        self.inFlight = self.most = 0

    def shooter(self, takes: Callable[[float], float]) -> Callable[[], Awaitable[tuple[int, int]]]:
        """
        @param takes: how long a request takes that begins at a time.
        """

        async def shoot() -> tuple[int, int]:
            now = self.clock.seconds()
            self.begun.append(now)
            self.inFlight += 1
            self.most = max(self.most, self.inFlight)
            try:
                await deferLater(self.clock, takes(now))
            finally:
                self.inFlight -= 1
            return 200, 10

        return shoot

    def failing(self, errors: list[WasinetError | None]) -> Callable[[], Awaitable[tuple[int, int]]]:
        """
        Fail with each of the errors, and answer all that comes after them.
        """

        async def shoot() -> tuple[int, int]:
            await deferLater(self.clock, 0.01)
            error = errors.pop(0) if errors else None
            if error is not None:
                raise error
            return 200, 10

        return shoot

    def start(self, shoot: Any, workers: int = 1, seconds: float = 10.0, rate: float | None = None) -> Load:
        load = Load(shoot, workers, seconds, rate, self.clock, self.clock.seconds)
        self.running = self.runs(load)
        return load

    def runs(self, load: Load) -> Deferred[None]:
        return Deferred.fromCoroutine(load.run())

    def advance(self, seconds: float, step: float = 0.001) -> None:
        self.clock.pump([step] * round(seconds / step))

    def finish(self) -> None:
        """
        It has ended, and left nothing behind.
        """
        self.successResultOf(self.running)
        self.assertEqual((self.clock.getDelayedCalls(), self.inFlight), ([], 0))

    def test_asManyAsThereAreWorkers(self) -> None:
        """
        Each makes one request after the other.
        """
        load = self.start(self.shooter(lambda _: 0.1), workers=5, seconds=1.05)
        self.assertEqual(self.most, 5)
        self.advance(1.1)
        self.finish()
        self.assertEqual((self.most, load.tally.latencies.count, load.tally.received), (5, 50, 500))
        self.assertTrue(near(load.tally.latencies.mean, 0.1, 0.002))
        self.assertTrue(near(load.seconds, 1.05, 0.002))

    def test_whatIsInFlightAtTheEndIsTold(self) -> None:
        """
        Such requests are cancelled; they are neither answered nor errors.
        """
        load = self.start(self.shooter(lambda now: 0.1 if now < 0.05 else 60.0), workers=3, seconds=1.0)
        self.advance(1.1)
        self.finish()
        self.assertEqual((load.tally.latencies.count, load.unanswered, load.tally.errors), (3, 3, {}))

    def test_aServerThatNeverAnswers(self) -> None:
        load = self.start(self.shooter(lambda _: 60.0), workers=4, seconds=1.0)
        self.advance(1.1)
        self.finish()
        self.assertEqual((load.tally.latencies.count, load.unanswered), (0, 4))

    def test_atARate(self) -> None:
        """
        Requests begin when they are due, whichever worker is free.
        """
        load = self.start(self.shooter(lambda _: 0.01), workers=5, seconds=1.0, rate=20.0)
        self.advance(1.1)
        self.finish()
        self.assertEqual(len(self.begun), 20)
        for number, begun in enumerate(self.begun):
            self.assertTrue(near(begun, number / 20, 0.0011), f"{number}: {begun}")
        self.assertEqual((load.unsent, load.unanswered), (0, 0))
        # A timer's lateness is in none of them.
        self.assertTrue(near(load.tally.latencies.most, 0.01, 0.0011))

    def test_atARateLatencyCountsFromWhenARequestWasDue(self) -> None:
        """
        The server stands still from 1.0 to 2.0; what was due meanwhile waits for it, though it was sent later.
        """
        standing = self.shooter(lambda now: 2.0 - now if 1.0 <= now < 2.0 else 0.001)
        load = self.start(standing, workers=1, seconds=4.0, rate=100.0)
        self.advance(4.1)
        self.finish()
        latencies = load.tally.latencies
        self.assertTrue(near(latencies.most, 1.0, 0.01))
        # A quarter of all, and these wait for half a second on average, and for those that wait before them.
        self.assertTrue(near(latencies.mean, 0.25 * 0.55, 0.02), str(latencies.mean))
        self.assertTrue(near(latencies.percentile(99), 0.97, 0.03))
        self.assertTrue(near(latencies.percentile(50), 0.001, 0.001))

    def test_whatWasDueAndNeverSentIsTold(self) -> None:
        """
        A server that can't keep up: 10 requests a second are made of the 100 that are due.
        """
        load = self.start(self.shooter(lambda _: 0.1), workers=1, seconds=2.0, rate=100.0)
        self.advance(2.1)
        self.finish()
        made = load.tally.latencies.count + load.unanswered
        self.assertTrue(near(made, 20, 1))
        self.assertTrue(near(load.unsent, 200 - made, 1), str(load.unsent))

    def test_errorsAreCountedAndItGoesOn(self) -> None:
        errors = [None, TimedOut("a"), RemoteProtocolError("b"), ConnectionClosed("c"), TimedOut("d")]
        load = self.start(self.failing(errors), seconds=1.0)
        self.advance(1.1)
        self.finish()
        self.assertEqual(load.tally.errors, {"timeout": 2, "protocol": 1, "closed": 1})
        self.assertGreater(load.tally.latencies.count, 50)

    def test_aServerThatIsNotThereEndsIt(self) -> None:
        """
        Before there is any answer, all else would be a second of refusals.
        """
        self.start(self.failing([ConnectionRefused("nobody listens")] * 3), workers=3)
        self.advance(0.1)
        self.failureResultOf(self.running, ConnectionRefused)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_aServerThatGoesAwayIsAskedAgainAndNotTooOften(self) -> None:
        """
        Refusals come at once, and are counted; each worker waits a little after one.
        """
        errors = [None, *[ConnectionRefused("gone") for _ in range(5)]]
        load = self.start(self.failing(errors), seconds=1.0)
        self.advance(0.5)
        self.assertTrue(3 <= load.tally.errors["connect"] <= 5, load.tally.errors)
        self.advance(0.6)
        self.finish()
        self.assertEqual(load.tally.errors, {"connect": 5})
        self.assertGreater(load.tally.latencies.count, 20)

    def test_aRequestThatCannotBeSentEndsIt(self) -> None:
        """
        It would be wrong each time: no error of the server's.
        """
        load = self.start(self.failing([None, LocalProtocolError("no such method")]))
        self.advance(0.1)
        self.failureResultOf(self.running, LocalProtocolError)
        self.assertEqual(load.tally.errors, {})

    def test_whatIsNoErrorOfOursEndsIt(self) -> None:
        def broken() -> Any:
            raise ZeroDivisionError

        self.start(broken, workers=2)
        self.failureResultOf(self.running, ZeroDivisionError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """
        What was counted stays; what waits and what is in flight ends.
        """
        load = self.start(self.shooter(lambda _: 0.3), workers=2, rate=5.0)
        self.advance(1.05)
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        self.assertEqual((self.clock.getDelayedCalls(), self.inFlight), ([], 0))
        # Due at 0.0, 0.2, 0.4, 0.6, 0.8 and 1.0; 0.3 s each.
        self.assertEqual((load.tally.latencies.count, load.unanswered), (4, 2))
        self.assertTrue(near(load.seconds, 1.05, 0.002))
        self.advance(1.0)
        self.assertTrue(near(load.seconds, 1.05, 0.002))


class TaskTests(LoadTests):
    """
    The same in a task.
    """

    def runs(self, load: Load) -> Deferred[None]:
        main = _Main(load, self.clock)
        main.start()
        return main.result
