"""
Latencies, counted in little memory however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, inf, sqrt

# A bucket's width is at most this part of the values in it: 1 / 128, below 0.8 %.
_BITS = 7
_EXACT = 2 << _BITS
# Longer latencies, of more than an hour, are counted as that long. In us.
_LONGEST = 3600 * 10**6


def bucketOf(us: int) -> int:
    """
    Return the bucket of a value: below 256 us each has its own; from there on each doubling has 128.
    """
    if us < _EXACT:
        return us
    shift = us.bit_length() - _BITS - 1
    return (shift << _BITS) + (us >> shift)


def boundsOf(bucket: int) -> tuple[int, int]:
    """
    Return the least and the largest value of a bucket, in us.
    """
    if bucket < _EXACT:
        return bucket, bucket
    shift = (bucket >> _BITS) - 1
    least = (bucket - (shift << _BITS)) << shift
    return least, least + (1 << shift) - 1


_BUCKETS = bucketOf(_LONGEST) + 1


class Latencies:
    """
    How long each request took.

    @ivar count: how many there are.
    @ivar least: the shortest, in seconds; C{math.inf} if there is none.
    @ivar most: the longest, in seconds.
    """

    __slots__ = ("_buckets", "_squares", "_sum", "count", "least", "most")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._sum = self._squares = 0.0
        self.count = 0
        self.least = inf
        self.most = 0.0

    def add(self, seconds: float) -> None:
        """
        Count one. A negative one is a clock's fault, and counts as 0.
        """
        if seconds < 0.0:
            seconds = 0.0
        self._buckets[bucketOf(min(int(seconds * 1e6), _LONGEST))] += 1
        self._sum += seconds
        self._squares += seconds * seconds
        self.count += 1
        if seconds < self.least:
            self.least = seconds
        if seconds > self.most:
            self.most = seconds

    @property
    def mean(self) -> float:
        """
        In seconds. There must be some.
        """
        return self._sum / self.count

    @property
    def deviation(self) -> float:
        """
        The standard deviation, in seconds. There must be some.
        """
        return sqrt(max(self._squares / self.count - self.mean**2, 0.0))

    def percentile(self, percent: float) -> float:
        """
        Return the latency that so many percent of the requests did not exceed, in seconds: the nearest rank, up to
        0.8 % too long. There must be some.
        """
        rank = max(ceil(self.count * percent / 100), 1)
        for bucket, count in self._counts():
            rank -= count
            if rank <= 0:
                return min(max((boundsOf(bucket)[1] + 1) / 1e6, self.least), self.most)
        return self.most

    def below(self, limits: list[float]) -> list[int]:
        """
        Count those up to each limit that exceed the one before, and those that exceed the last.

        A bucket that lies across a limit counts to the side where its middle is.

        @param limits: in seconds, ascending.
        @return: one more than there are limits.
        """
        found = [0] * (len(limits) + 1)
        at = 0
        for bucket, count in self._counts():
            low, high = boundsOf(bucket)
            middle = (low + high + 1) / 2e6
            while at < len(limits) and middle > limits[at]:
                at += 1
            found[at] += count
        return found

    def _counts(self) -> Iterator[tuple[int, int]]:
        return ((bucket, count) for bucket, count in enumerate(self._buckets) if count)
