"""
How long a request waits for its turn, and for its answer to be sent.

A worker is a queue with one server: a reactor does one thing at a time. Requests come independently of one another
(Poisson), and their service times are those of a mix of kinds: M/G/1. The mean wait has a formula. What it has not is
percentiles, nor that the reactor answers in groups: what a turn of epoll has brought is handled one after the other,
and the answers go out together, at the turn's end or 32 at a time. So turns are simulated.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# So many answers of a turn go out together (wasinet_twisted.reactor.epoll), and so many events a turn has at most.
TOGETHER = 32
EVENTS = 512


@dataclass(frozen=True)
class Mix:
    """
    Kinds of requests.

    @ivar seconds: the service time of each kind.
    @ivar shares: how large a part of the requests each is; they add up to 1.
    @ivar alone: the service time of each kind, if the server is woken for it; by default it is the same.
    """

    seconds: Sequence[float]
    shares: Sequence[float]
    alone: Sequence[float] = ()

    def moment(self, power: int) -> float:
        """
        Return the mean of the service time to that power.
        """
        return sum(share * second**power for second, share in zip(self.seconds, self.shares, strict=True))

    @property
    def mean(self) -> float:
        """
        The mean service time, in seconds.
        """
        return self.moment(1)


@dataclass(frozen=True)
class Latencies:
    """
    What requests take from their arrival to their answer.

    @ivar busy: the part of the time in which the server worked.
    """

    busy: float
    mean: float
    p50: float
    p99: float


def latencies(busy: float, found: Sequence[float]) -> Latencies:
    """
    Summarise the latencies of single requests, in seconds.
    """
    inOrder = sorted(found)
    at = [inOrder[min(len(inOrder) - 1, int(part * len(inOrder)))] for part in (0.5, 0.99)]
    return Latencies(busy, sum(inOrder) / len(inOrder), *at)


def meanWait(rate: float, mix: Mix) -> float:
    """
    Return the mean wait before the service, in seconds, if each answer goes out at once (Pollaczek and Khinchine).

    @param rate: requests a second.
    @raise ValueError: more comes than can be served.
    """
    busy = rate * mix.mean
    if busy >= 1:
        raise ValueError(f"{rate:g} requests a second of {mix.mean * 1e3:g} ms are {busy:.2f} servers' work")
    return rate * mix.moment(2) / (2 * (1 - busy))


@dataclass(frozen=True)
class Cost:
    """
    What something costs a worker, in us of CPU time.

    @ivar full: when the worker has all it can do.
    @ivar alone: when it comes by itself. The worker, who has gone to sleep, is woken for it: epoll returns, the kernel
        switches to the process, and its caches are cold.
    """

    full: float
    alone: float

    def at(self, busy: float) -> float:
        """
        Return what it costs at a utilisation. As large a part of arrivals as the worker is idle finds it so (Poisson
        arrivals see time averages).
        """
        return self.full + (1 - busy) * max(0.0, self.alone - self.full)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.full + other.full, self.alone + other.alone)

    def __mul__(self, times: float) -> Cost:
        return Cost(self.full * times, self.alone * times)

    def busy(self, rate: float) -> float:
        """
        Return the utilisation of one worker, as a part of 1; more than 1: it can't be done.

        @param rate: how much comes, a second.
        """
        if rate * self.full >= 1e6:
            return rate * self.full / 1e6
        return rate * self.alone / (1e6 + rate * max(0.0, self.alone - self.full))


def simulate(rate: float, mix: Mix, together: int = TOGETHER, count: int = 100_000, seed: int = 1) -> Latencies:
    """
    Let requests come, and turns handle them.

    @param rate: requests a second.
    @param together: how many answers go out together.
    @param count: how many requests.
    """
    rng = random.Random(seed)
    arrivals = list(accumulate(rng.expovariate(rate) for _ in range(count)))
    kinds = rng.choices(range(len(mix.seconds)), mix.shares, k=count)
    services = [mix.seconds[kind] for kind in kinds]
    found = []
    now = worked = 0.0
    at = 0
    while at < count:
        if arrivals[at] > now:
            now = arrivals[at]
            if mix.alone:
                services[at] = mix.alone[kinds[at]]
        # What has come by now is this turn's.
        until = at
        while until < count and until < at + EVENTS and arrivals[until] <= now:
            until += 1
        while at < until:
            group = range(at, min(until, at + together))
            work = sum(services[each] for each in group)
            worked += work
            now += work
            found += [now - arrivals[each] for each in group]
            at = group.stop
    return latencies(worked / now, found)
