"""
What a server has done so far: counters, and how long its answers took.

Everything here only ever grows, but for what is open just now. Whoever wants
the figures of the last ten seconds takes those of ten seconds ago away: so
any number of readers can each have a window of their own, and the server pays
for none of them.

The latencies stand in a histogram of constant size, log-linear as
HdrHistogram's: eight buckets for each power of two. What is read from it is
the upper edge of a bucket, so never too short, and never more than an eighth
too long.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import ceil, frexp
from typing import Any

from ..errors import InvalidArgument

# Latencies are counted in eighths of a microsecond: from 1 us on, each power of two has its eight buckets; below, all
# are of this size.
UNITS = 8_000_000
# A latency of this or more, in seconds (some 18 minutes), counts as just below it.
LONGEST = 2**33 / UNITS
_BUCKETS = (33 - 4) * 8 + 16
# From here on, in seconds, the buckets are eighths of a power of two.
_SHORTEST = 8 / UNITS

# The percentiles that a snapshot holds.
PERCENTILES = (50, 90, 99, 99.9)

# Reasons are few words of ours. Were one made of what a peer sent, its peers could fill the memory, so that from this
# number of different ones on, all the rest are OTHER.
REASONS_KEPT = 200
OTHER = "other"


def _edge(index: int) -> float:
    """
    The first latency, in seconds, that is too long for a bucket.
    """
    if index < 8:
        return (index + 1) / UNITS
    return (((index & 7) + 9) << ((index >> 3) - 1)) / UNITS


EDGES = tuple(map(_edge, range(_BUCKETS)))
_INDEXES = {edge: index for index, edge in enumerate(EDGES)}


def _bucketOf(units: int) -> int:
    """
    The bucket of a latency, in eighths of a microsecond.
    """
    if units < 8:
        return units
    shift = units.bit_length() - 4
    return (shift << 3) + (units >> shift)


# The bucket of each latency below two milliseconds: to look it up is faster than to compute it.
_TABLED = 0.002
_TABLE = [_bucketOf(units) for units in range(int(_TABLED * UNITS) + 1)]


class Statistics:
    """
    One server's counters. They are public: the connections count requests and bytes by themselves, as these are on the
    hot path.

    @ivar openConnections: how many there are now.
    @ivar accepted: how many there have been.
    @ivar requests: how many have been given to the handler.
    @ivar abandonedRequests: how many of these never got an answer.
    @ivar refusedRequests: how many of these were refused after all: they count as refusals, not as answers.
    @ivar statuses: how many answers of each status, which is the index;
        refusals too.
    @ivar refusals: how many requests were refused, by status and reason.
    @ivar drops: how many connections were closed without an answer, by reason.
    @ivar bytesReceived: by all connections.
    @ivar bytesSent: the same.
    @ivar seconds: all latencies together.
    @ivar buckets: how many latencies in each bucket; C{EDGES} says where these end.
    @ivar startTime: seconds since the epoch.
    """

    __slots__ = (
        "_clock",
        "_started",
        "abandonedRequests",
        "accepted",
        "buckets",
        "bytesReceived",
        "bytesSent",
        "drops",
        "openConnections",
        "refusals",
        "refusedRequests",
        "requests",
        "seconds",
        "startTime",
        "statuses",
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        @param clock: gives seconds, since whenever.
        """
        self._clock = clock
        self._started = clock()
        self.startTime = time.time()
        self.openConnections = 0
        self.accepted = 0
        self.requests = 0
        self.abandonedRequests = 0
        self.refusedRequests = 0
        self.bytesReceived = 0
        self.bytesSent = 0
        self.seconds = 0.0
        # A list, which CPython indexes faster than it asks a dict.
        self.statuses = [0] * 600
        self.buckets = [0] * _BUCKETS
        self.refusals: Counter[tuple[int, str]] = Counter()
        self.drops: Counter[str] = Counter()

    def opened(self) -> None:
        """
        A connection has been accepted.
        """
        self.openConnections += 1
        self.accepted += 1

    def closed(self) -> None:
        """
        A connection is gone.
        """
        self.openConnections -= 1

    @property
    def inFlight(self) -> int:
        """
        How many requests are without an answer yet. Rarely asked for: counting down would cost each request.
        """
        return self.requests - sum(self.buckets) - self.abandonedRequests - self.refusedRequests

    def answered(self, status: int, seconds: float, size: int) -> None:
        """
        A request that is in C{inFlight} has its answer.

        @param status: 100 to 599.
        @param seconds: how long it took.
        @param size: how many bytes the answer has, its head included.
        """
        self.statuses[status] += 1
        self.bytesSent += size
        if 0.0 <= seconds < _TABLED:
            # Nearly all of them.
            self.buckets[_TABLE[int(seconds * UNITS)]] += 1
        elif _SHORTEST <= seconds < LONGEST:
            # Faster than shifts: the exponent is the power of two, the first bits of the mantissa the eighth of it.
            mantissa, exponent = frexp(seconds * UNITS)
            self.buckets[(exponent << 3) + int(mantissa * 16) - 32] += 1
        elif seconds < LONGEST:
            # Below zero if the time of day has been set back meanwhile.
            seconds = max(seconds, 0.0)
            self.buckets[int(seconds * UNITS)] += 1
        else:
            # Too long for us, infinite, or no number.
            seconds = LONGEST
            self.buckets[-1] += 1
        self.seconds += seconds

    def abandoned(self) -> None:
        """
        A request that is in C{inFlight} will have no answer: its connection is gone.
        """
        self.abandonedRequests += 1

    def refused(self, status: int, reason: str) -> None:
        """
        A request was refused before the handler got it: it counts as an answer of
        this status, and neither as a request nor with a latency.

        @param reason: a few words, of a fixed set: C{"head timeout"}.
        """
        self.statuses[status] += 1
        key = status, reason
        if key not in self.refusals and len(self.refusals) >= REASONS_KEPT:
            key = status, OTHER
        self.refusals[key] += 1

    def dropped(self, reason: str) -> None:
        """
        A connection was closed by us without a word.

        @param reason: a few words, of a fixed set: C{"idle"}.
        """
        if reason not in self.drops and len(self.drops) >= REASONS_KEPT:
            reason = OTHER
        self.drops[reason] += 1

    @property
    def uptime(self) -> float:
        """
        How long this has counted, in seconds.
        """
        return self._clock() - self._started

    def percentile(self, percent: float, since: Sequence[int] | None = None) -> float | None:
        """
        The latency that so many of a hundred answers didn't exceed, by nearest rank.

        @param percent: 0 to 100.
        @param since: a copy of C{buckets}; only what came later is looked at.
        @return: seconds, at most an eighth too many (below a microsecond: an
            eighth of one); L{None} if there were no answers.
        @raise InvalidArgument: there is no such percentile.
        """
        if not 0 <= percent <= 100:
            raise InvalidArgument(f"a percentile must be from 0 to 100, not {percent!r}")
        counts = self.buckets if since is None else [now - then for now, then in zip(self.buckets, since, strict=True)]
        total = sum(counts)
        if not total:
            return None
        left = max(ceil(total * percent / 100), 1)
        for edge, count in zip(EDGES, counts, strict=True):
            left -= count
            if left <= 0:
                return edge
        raise AssertionError("a rank is at most the total")

    def snapshot(self) -> dict[str, Any]:
        """
        All of it, as JSON may hold it. Times are in seconds, sizes in bytes.

        C{latency.buckets} are pairs: an upper edge, and how many answers took
        less and didn't fit into the bucket before. Empty ones are left out.
        """
        return {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.startTime)),
            "uptime": round(self.uptime, 6),
            "connections": {"open": self.openConnections, "accepted": self.accepted},
            "requests": {"total": self.requests, "inFlight": self.inFlight, "abandoned": self.abandonedRequests},
            "bytes": {"received": self.bytesReceived, "sent": self.bytesSent},
            "latency": {
                "count": sum(self.buckets),
                "sum": self.seconds,
                **{f"p{percent}": self.percentile(percent) for percent in PERCENTILES},
                "buckets": [[edge, count] for edge, count in zip(EDGES, self.buckets, strict=True) if count],
            },
            "statuses": {str(status): count for status, count in enumerate(self.statuses) if count},
            "refused": [
                {"status": status, "reason": reason, "count": count}
                for (status, reason), count in sorted(self.refusals.items())
            ],
            "dropped": dict(sorted(self.drops.items())),
        }

    @classmethod
    def fromSnapshot(cls, snapshot: Mapping[str, Any]) -> Statistics:
        """
        Return the counters that a snapshot was made of, in this process or another. The times are not taken over.

        @raise LookupError: C{snapshot} is none.
        """
        found = cls()
        connections, requests, latency = snapshot["connections"], snapshot["requests"], snapshot["latency"]
        found.openConnections, found.accepted = connections["open"], connections["accepted"]
        found.requests, found.abandonedRequests = requests["total"], requests["abandoned"]
        found.bytesReceived, found.bytesSent = snapshot["bytes"]["received"], snapshot["bytes"]["sent"]
        found.seconds = latency["sum"]
        for edge, count in latency["buckets"]:
            found.buckets[_INDEXES[edge]] = count
        found.refusedRequests = found.requests - latency["count"] - found.abandonedRequests - requests["inFlight"]
        for status, count in snapshot["statuses"].items():
            found.statuses[int(status)] = count
        for each in snapshot["refused"]:
            found.refusals[each["status"], each["reason"]] = each["count"]
        found.drops.update(snapshot["dropped"])
        return found

    def merge(self, other: Statistics, since: Statistics | None = None) -> None:
        """
        Count what C{other} has counted, too.

        @param since: how C{other} was when it was merged before; only what came later is counted.
        """
        # The difference first: what is added to the sum of latencies is never negative then, not by a rounding either.
        then = _NOTHING if since is None else since
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + (getattr(other, name) - getattr(then, name)))
        for counts, new, old in (
            (self.statuses, other.statuses, then.statuses),
            (self.buckets, other.buckets, then.buckets),
        ):
            for index, (now, before) in enumerate(zip(new, old, strict=True)):
                if now != before:
                    counts[index] += now - before
        for key, count in other.refusals.items():
            self.refusals[key] += count - then.refusals[key]
        for reason, count in other.drops.items():
            self.drops[reason] += count - then.drops[reason]


# What merge() adds up, beside the histogram and what is counted by name.
_SUMS = (
    "openConnections",
    "accepted",
    "requests",
    "abandonedRequests",
    "refusedRequests",
    "bytesReceived",
    "bytesSent",
    "seconds",
)
_NOTHING = Statistics()
