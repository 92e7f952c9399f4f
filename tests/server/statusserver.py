"""
A status page to look at, of a server that is only made up.

    python -m tests.server.statusserver [PORT [quiet | workers]]

"""

from __future__ import annotations

import math
import random
import sys
from dataclasses import asdict
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from wasinet_twisted.http import Limits
from wasinet_twisted.server import HttpServer, Statistics, StatusApp

# How often it does something, in seconds.
STEP = 0.1

_STATUSES = (200, 304, 404, 503)
_WEIGHTS = (9400, 420, 160, 20)
_REFUSALS = ((400, "malformed head"), (408, "head timeout"), (413, "body too large"), (431, "head too large"))
_DROPS = ("idle", "slow body", "slow reader")


class Load:
    """
    What clients might do, the same in every run but for the time it takes.
    """

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._random = random.Random(5)
        self._waiting = 0

    def step(self) -> None:
        """
        What happens in C{STEP} seconds.
        """
        statistics, chance, now = self._statistics, self._random, self._statistics.uptime
        wave = 0.5 + 0.5 * math.sin(now / 7)
        # Every half a minute something is slow for a while.
        slow = now % 33 > 26
        self._connect(round(90 + 70 * wave + (45 if slow else 0) + chance.gauss(0, 4)))
        starting = round((700 + 500 * wave) * STEP * chance.uniform(0.9, 1.1))
        for _ in range(starting):
            statistics.requests += 1
            statistics.bytesReceived += round(chance.uniform(180, 700))
        self._waiting += starting
        waiting = min(self._waiting, round((30 if slow else 7) * chance.uniform(0.6, 1.4)))
        for _ in range(self._waiting - waiting):
            (status,) = chance.choices(_STATUSES, _WEIGHTS)
            seconds = chance.lognormvariate(math.log(0.0009), 0.55)
            if chance.random() < (0.05 if slow else 0.006):
                seconds += chance.expovariate(1 / (0.12 if slow else 0.02))
            statistics.answered(status, seconds, 160 if status == 304 else round(chance.lognormvariate(7.4, 0.8)))
        self._waiting = waiting
        if chance.random() < 0.12:
            statistics.refused(*chance.choice(_REFUSALS))
        if chance.random() < 0.08:
            statistics.dropped(chance.choice(_DROPS))

    def _connect(self, wanted: int) -> None:
        while self._statistics.openConnections < wanted:
            self._statistics.opened()
        while self._statistics.openConnections > wanted:
            self._statistics.closed()


async def serve(reactor: Any, port: str = "0", load: str = "") -> None:
    """
    Serve at 127.0.0.1, for ever.

    @param load: C{"quiet"}: nobody has ever connected; C{"workers"}: the server has several processes.
    """
    statistics = Statistics()

    def workers() -> list[dict[str, Any]]:
        half = statistics.requests // 2
        figures: dict[str, Any] = {"uptime": statistics.uptime, "requests": half, "accepted": 9, "open": 3}
        first = {"worker": 1, "pid": 4711, "state": "ready", "cpu": statistics.uptime / 2, "memory": 54_000_000}
        return [
            {**first, **figures},
            {**first, **figures, "worker": 2, "pid": 4712, "state": "draining"},
            {"worker": 2, "pid": None, "state": "starting", **dict.fromkeys(figures, 0), "cpu": 0.0, "memory": None},
        ]

    limits = {**asdict(Limits()), "maxConnections": None}
    app = StatusApp(statistics, limits, name="example.org", workers=workers if load == "workers" else None)
    server = HttpServer(app)
    listening = await server.listenOn(f"tcp:{port}:interface=127.0.0.1")
    print(f"http://127.0.0.1:{listening.getHost().port}/", flush=True)
    if load != "quiet":
        LoopingCall(Load(statistics).step).start(STEP)
    await Deferred()


if __name__ == "__main__":
    react(serve, sys.argv[1:])
