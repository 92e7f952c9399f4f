"""
The counters, and how exact the percentiles are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from itertools import pairwise
from math import ceil, inf, nan
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.server import Statistics
from wasinet_twisted.server.statistics import EDGES, LONGEST, OTHER, REASONS_KEPT, UNITS

MICROSECOND = 1e-6

# Evenly over the orders of magnitude, and the edges themselves.
LATENCIES = st.one_of(
    st.floats(-7, 2.9).map(lambda power: 10**power),
    st.sampled_from(EDGES[:-1]),
    st.sampled_from((0.0, MICROSECOND, 1.0, 60.0)),
)


def fed(latencies: Sequence[float], statistics: Statistics | None = None) -> Statistics:
    """
    Statistics that were told of these.
    """
    statistics = statistics or Statistics()
    for seconds in latencies:
        statistics.requests += 1
        statistics.answered(200, seconds, 100)
    return statistics


def exact(latencies: Sequence[float], percent: float) -> float:
    return sorted(latencies)[max(ceil(len(latencies) * percent / 100), 1) - 1]


def isNear(found: float | None, true: float) -> bool:
    """
    Never too short, and an eighth too long at most; both but for what floats round.
    """
    assert found is not None
    most = true * 1.125 if true >= MICROSECOND else true + 1 / UNITS
    return true * (1 - 1e-12) <= found <= most * (1 + 1e-12)


class PercentileTests(SynchronousTestCase):
    @given(st.lists(LATENCIES, min_size=1, max_size=200), st.floats(0, 100))
    def test_error(self, latencies: list[float], percent: float) -> None:
        found = fed(latencies).percentile(percent)
        self.assertTrue(isNear(found, exact(latencies, percent)), found)

    @given(st.lists(LATENCIES, max_size=50), st.lists(LATENCIES, min_size=1, max_size=50), st.floats(0, 100))
    def test_since(self, before: list[float], after: list[float], percent: float) -> None:
        """
        What was before doesn't count.
        """
        statistics = fed(before)
        then = list(statistics.buckets)
        self.assertIsNone(statistics.percentile(percent, since=then))
        fed(after, statistics)
        self.assertTrue(isNear(statistics.percentile(percent, since=then), exact(after, percent)))

    def test_eachBucket(self) -> None:
        """
        A latency at the lower edge is in the bucket, one just below isn't.
        """
        for index in range(1, len(EDGES)):
            lower = EDGES[index - 1]
            for seconds, expected in ((lower, index), (lower * (1 - 1e-9), index - 1)):
                statistics = fed([seconds])
                self.assertEqual(statistics.buckets.index(1), expected, seconds)
                self.assertEqual(sum(statistics.buckets), 1)

    def test_edges(self) -> None:
        self.assertEqual(list(EDGES), sorted(set(EDGES)))
        self.assertEqual(EDGES[-1], LONGEST)
        for lower, upper in pairwise(EDGES):
            if lower >= MICROSECOND:
                self.assertLessEqual(upper / lower, 1.125)

    def test_nothing(self) -> None:
        self.assertIsNone(Statistics().percentile(50))

    def test_zero(self) -> None:
        self.assertEqual(fed([0, 0.0]).percentile(100), 1 / UNITS)

    def test_backwards(self) -> None:
        """
        Clocks are set.
        """
        statistics = fed([-0.5, -1e-9, -1e300, -inf])
        self.assertEqual(statistics.buckets[0], 4)
        self.assertEqual(statistics.seconds, 0)

    def test_huge(self) -> None:
        """
        What is too long counts as the longest, and nothing overflows.
        """
        for seconds in (LONGEST, 1e9, 1e300, 10**400, inf, nan):
            statistics = fed([seconds])
            self.assertEqual(statistics.buckets[-1], 1, seconds)
            self.assertEqual(statistics.percentile(100), LONGEST)
            self.assertEqual(statistics.seconds, LONGEST)
        self.assertGreater(LONGEST, 1000)

    def test_bounds(self) -> None:
        for percent in (-0.1, 100.1, nan):
            error = self.assertRaises(InvalidArgument, Statistics().percentile, percent)
            self.assertEqual(str(error), f"a percentile must be from 0 to 100, not {percent}")

    def test_constantSize(self) -> None:
        statistics = Statistics()
        before = len(statistics.buckets), len(statistics.statuses)
        fed([power / 7 for power in range(1000)], statistics)
        self.assertEqual((len(statistics.buckets), len(statistics.statuses)), before)


class CounterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(5000)
        self.statistics = Statistics(self.clock.seconds)

    def snapshot(self) -> dict[str, Any]:
        """
        What a reader of the JSON gets.
        """
        text = json.dumps(self.statistics.snapshot(), allow_nan=False)
        return dict(json.loads(text))

    def test_aNewServer(self) -> None:
        snapshot = self.snapshot()
        self.assertRegex(snapshot.pop("started"), r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        latency = {"count": 0, "sum": 0, "p50": None, "p90": None, "p99": None, "p99.9": None, "buckets": []}
        self.assertEqual(
            snapshot,
            {
                "uptime": 0,
                "connections": {"open": 0, "accepted": 0},
                "requests": {"total": 0, "inFlight": 0, "abandoned": 0},
                "bytes": {"received": 0, "sent": 0},
                "latency": latency,
                "statuses": {},
                "refused": [],
                "dropped": {},
            },
        )

    def test_uptime(self) -> None:
        self.clock.advance(12.5)
        self.assertEqual(self.statistics.uptime, 12.5)
        self.assertEqual(self.snapshot()["uptime"], 12.5)

    def test_connections(self) -> None:
        for _ in range(3):
            self.statistics.opened()
        self.statistics.closed()
        self.statistics.bytesReceived += 70
        self.statistics.bytesReceived += 7
        self.assertEqual(self.snapshot()["connections"], {"open": 2, "accepted": 3})
        self.assertEqual(self.snapshot()["bytes"], {"received": 77, "sent": 0})

    def test_requests(self) -> None:
        for _ in range(4):
            self.statistics.requests += 1
        self.statistics.answered(200, 0.001, 500)
        self.statistics.answered(HTTPStatus.NOT_FOUND, 0.003, 50)
        self.statistics.abandoned()
        snapshot = self.snapshot()
        self.assertEqual(snapshot["requests"], {"total": 4, "inFlight": 1, "abandoned": 1})
        self.assertEqual(snapshot["statuses"], {"200": 1, "404": 1})
        self.assertEqual(snapshot["bytes"]["sent"], 550)
        latency = snapshot["latency"]
        self.assertEqual((latency["count"], latency["sum"]), (2, 0.004))
        self.assertEqual((latency["p50"], latency["p99.9"]), (0.001024, 0.003072))
        self.assertEqual(latency["buckets"], [[0.001024, 1], [0.003072, 1]])

    def test_allStatuses(self) -> None:
        for status in (100, 599):
            self.statistics.requests += 1
            self.statistics.answered(status, 0, 0)
        self.assertEqual(self.snapshot()["statuses"], {"100": 1, "599": 1})

    def test_refusals(self) -> None:
        """
        They are answers, but no requests, and have no latency.
        """
        for _ in range(2):
            self.statistics.refused(431, "head too large")
        self.statistics.refused(408, "head timeout")
        self.statistics.dropped("slow body")
        self.statistics.dropped("idle")
        self.statistics.dropped("idle")
        snapshot = self.snapshot()
        self.assertEqual(
            snapshot["refused"],
            [
                {"status": 408, "reason": "head timeout", "count": 1},
                {"status": 431, "reason": "head too large", "count": 2},
            ],
        )
        self.assertEqual(snapshot["dropped"], {"idle": 2, "slow body": 1})
        self.assertEqual(snapshot["statuses"], {"408": 1, "431": 2})
        self.assertEqual(snapshot["requests"]["total"], 0)
        self.assertEqual(snapshot["latency"]["count"], 0)

    def test_tooManyReasons(self) -> None:
        """
        However many there are, the memory is bounded and none is lost.
        """
        for number in range(REASONS_KEPT + 50):
            self.statistics.refused(400, f"reason {number}")
            self.statistics.dropped(f"reason {number}")
        self.assertEqual(len(self.statistics.refusals), REASONS_KEPT + 1)
        self.assertEqual(self.statistics.refusals[400, OTHER], 50)
        self.assertEqual(len(self.statistics.drops), REASONS_KEPT + 1)
        self.assertEqual(self.statistics.drops[OTHER], 50)
        # Those that are known are still counted by themselves.
        self.statistics.refused(400, "reason 0")
        self.statistics.dropped("reason 0")
        self.assertEqual(self.statistics.refusals[400, "reason 0"], 2)
        self.assertEqual(self.statistics.drops["reason 0"], 2)

    def test_slots(self) -> None:
        self.assertRaises(AttributeError, setattr, self.statistics, "nonsense", 1)
