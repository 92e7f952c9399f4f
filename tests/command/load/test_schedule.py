"""
When requests are due, and from when on a latency counts.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.command.load.support import near
from wasinet_twisted.command.load.latencies import Latencies
from wasinet_twisted.command.load.schedule import GRANULARITY, Schedule, countsFrom


class ScheduleTests(SynchronousTestCase):
    def test_atAConstantRate(self) -> None:
        schedule = Schedule(4.0, 100.0)
        self.assertEqual([schedule.take() for _ in range(5)], [100.0, 100.25, 100.5, 100.75, 101.0])

    def test_noErrorsAddUp(self) -> None:
        """
        The millionth is due when it should be, though a third of a millisecond is no number of the computer's.
        """
        schedule = Schedule(3000.0, 1e9)
        for _ in range(999_999):
            schedule.take()
        self.assertTrue(near(schedule.take(), 1e9 + 999_999 / 3000, 1e-6))

    def test_overdue(self) -> None:
        """
        What is due and hasn't been taken: the first one from the beginning on, the second from its time on.
        """
        schedule = Schedule(10.0, 5.0)
        self.assertEqual([schedule.overdue(now) for now in (4.9, 5.0, 5.09, 5.1, 6.0)], [0, 1, 1, 2, 11])
        for _ in range(3):
            schedule.take()
        self.assertEqual([schedule.overdue(now) for now in (5.0, 5.2, 5.3, 6.0)], [0, 0, 1, 8])


class CorrectionTests(SynchronousTestCase):
    def test_aConnectionThatWasBusyCountsFromWhenTheRequestWasDue(self) -> None:
        self.assertEqual(countsFrom(10.0, 10.0001, False), 10.0)
        self.assertEqual(countsFrom(10.0, 13.0, False), 10.0)

    def test_aTimersLatenessIsNoLatency(self) -> None:
        self.assertEqual(countsFrom(10.0, 10.001, True), 10.001)

    def test_moreThanATimersLatenessIs(self) -> None:
        """
        From both sides of the bound.
        """
        self.assertEqual(countsFrom(0.0, GRANULARITY, True), GRANULARITY)
        self.assertEqual(countsFrom(0.0, GRANULARITY * 1.001, True), 0.0)

    def test_aServerThatStopsForASecondIsSeen(self) -> None:
        """
        The example that coordinated omission is explained by: 100 requests a second over one connection, each answered
        in 1 ms, but the server stands still for a second. Uncorrected, one request in 200 is slow, and the 99th
        percentile is 1 ms; a user who comes at any time waits a quarter of a second on average.
        """
        schedule, corrected, uncorrected = Schedule(100.0, 0.0), Latencies(), Latencies()
        now = 0.0
        for _ in range(200):
            due = schedule.take()
            waited = due > now
            sent = max(due, now)
            # It stands still from 0.5 to 1.5.
            now = 1.501 if 0.5 <= sent < 1.5 else sent + 0.001
            corrected.add(now - countsFrom(due, sent, waited))
            uncorrected.add(now - sent)
        self.assertTrue(near(uncorrected.percentile(99), 0.001, 1e-4))
        self.assertTrue(near(uncorrected.mean, 0.006, 1e-3))
        # Those due in that second, and those that are made up for after it.
        self.assertTrue(near(corrected.percentile(99), 0.98, 0.02))
        self.assertTrue(near(corrected.mean, 0.28, 0.02))
