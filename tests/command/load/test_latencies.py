"""
Latencies: buckets, percentiles, ranges.
"""

from __future__ import annotations

import random
from math import ceil, inf

from twisted.trial.unittest import SynchronousTestCase

from tests.command.load.support import near
from wasinet_twisted.command.load.latencies import Latencies, boundsOf, bucketOf


def counted(*seconds: float) -> Latencies:
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    return latencies


class BucketTests(SynchronousTestCase):
    def test_bucketsFollowOneAnother(self) -> None:
        """
        Each value is in one bucket, and no value between two of them.
        """
        before = -1
        for bucket in range(3000):
            least, most = boundsOf(bucket)
            self.assertEqual(least, before + 1)
            self.assertEqual((bucketOf(least), bucketOf(most)), (bucket, bucket))
            before = most

    def test_below256UsEachHasItsOwn(self) -> None:
        self.assertEqual(boundsOf(255), (255, 255))
        self.assertEqual(boundsOf(256), (256, 257))

    def test_noBucketIsWiderThanAPartOfItsValues(self) -> None:
        for bucket in range(256, 3000):
            least, most = boundsOf(bucket)
            self.assertLessEqual((most - least + 1) / least, 1 / 128)


class LatencyTests(SynchronousTestCase):
    def test_none(self) -> None:
        latencies = Latencies()
        self.assertEqual((latencies.count, latencies.least, latencies.most), (0, inf, 0.0))

    def test_one(self) -> None:
        """
        It is every percentile.
        """
        latencies = counted(0.0123)
        self.assertEqual((latencies.count, latencies.mean, latencies.deviation), (1, 0.0123, 0.0))
        for percent in (0, 50, 99.99, 100):
            self.assertEqual(latencies.percentile(percent), 0.0123)

    def test_meanAndDeviation(self) -> None:
        latencies = counted(0.002, 0.004, 0.004, 0.004, 0.005, 0.005, 0.007, 0.009)
        self.assertAlmostEqual(latencies.mean, 0.005)
        self.assertAlmostEqual(latencies.deviation, 0.002)

    def test_percentilesAreThoseOfTheNearestRank(self) -> None:
        """
        Of 100 latencies, 90 % don't exceed the 90th; one more percent is one more latency.
        """
        latencies = counted(*(number / 1e5 for number in range(1, 101)))
        for percent, rank in ((1, 1), (50, 50), (90, 90), (90.5, 91), (91, 91), (99, 99), (99.1, 100), (100, 100)):
            self.assertTrue(near(latencies.percentile(percent), rank / 1e5, rank / 1e5 / 128 + 1.01e-6))

    def test_percentilesAreNeverTooShort(self) -> None:
        """
        Over seven powers of ten they are up to 0.8 % or 1 us too long, and never shorter than what they stand for.
        """
        rng = random.Random(7)
        taken = sorted(10 ** rng.uniform(-6, 1) for _ in range(5000))
        latencies = counted(*taken)
        for percent in (0.1, 10, 50, 75, 90, 99, 99.9, 99.99):
            exact = taken[ceil(len(taken) * percent / 100) - 1]
            found = latencies.percentile(percent)
            self.assertGreaterEqual(found, exact)
            self.assertLessEqual(found, exact * (1 + 1 / 128) + 1.01e-6)

    def test_percentilesStayWithinTheLeastAndTheMost(self) -> None:
        latencies = counted(0.0100001, 0.0100002)
        self.assertEqual(latencies.percentile(1), 0.0100002)
        self.assertEqual(latencies.percentile(100), 0.0100002)

    def test_aNegativeOneCountsAsNone(self) -> None:
        """
        A clock that goes back makes no figures that make no sense.
        """
        latencies = counted(-0.5)
        self.assertEqual((latencies.least, latencies.most, latencies.percentile(50)), (0.0, 0.0, 0.0))

    def test_hoursAreCounted(self) -> None:
        """
        In the bucket for an hour, and as the most.
        """
        latencies = counted(7200.0, 0.001)
        self.assertEqual(latencies.most, 7200.0)
        self.assertTrue(near(latencies.percentile(100), 3600.0, 3600 / 100))

    def test_ranges(self) -> None:
        """
        Each latency is in the first range whose limit it doesn't exceed, or in the last.
        """
        latencies = counted(0.0001, 0.00015, 0.00025, 0.5)
        self.assertEqual(latencies.below([0.0002, 0.0003, 0.0004]), [2, 1, 0, 1])
        self.assertEqual(latencies.below([]), [4])

    def test_rangesHaveEachOnce(self) -> None:
        rng = random.Random(3)
        latencies = counted(*(rng.expovariate(100) for _ in range(1000)))
        self.assertEqual(sum(latencies.below([0.001 * edge for edge in range(1, 20)])), 1000)
