"""
What has become of each request: answered, lost, or held by a worker that was killed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.command import say

from .client import Attempt, Connection

# How long the slices are that latencies and rates are told for, in seconds.
SLICE = 5.0
# How many losses and faults are told of.
_TOLD = 100
# For how long after the end of its connection a worker that was killed may not have told of a request: lines are sent
# twice a second, and a process may be slow to run.
_UNTOLD = 20.0


@dataclass
class Slice:
    """
    What was done in one.

    @ivar late: by how many seconds the load itself was late, at most.
    """

    latencies: list[float] = field(default_factory=list)
    honest: int = 0
    hostile: int = 0
    vanished: int = 0
    lost: int = 0
    held: int = 0
    late: float = 0.0


class Ledger:
    """
    Keeps count.

    @ivar slices: by number.
    @ivar kinds: how many requests were answered as they should be, by kind.
    @ivar others: what else happened, by kind, that is no fault.
    @ivar losses: what each lost request was.
    @ivar faults: what else the server has done wrong.
    @ivar answered: who has answered each request and when, by the request's name.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self.slices: dict[int, Slice] = {}
        self.kinds: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.lost = self.held = self.faulty = 0
        self.losses: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.answered: dict[str, tuple[int, float]] = {}
        # When the connections from each port were cut, since their worker was killed.
        self._cut: dict[int, float] = {}
        self._killed: dict[int, float] = {}

    def now(self) -> float:
        """
        Return the seconds since the beginning.
        """
        return self._loop.time() - self.began

    def current(self) -> Slice:
        """
        Return the present slice.
        """
        return self.slices.setdefault(int(self.now() / SLICE), Slice())

    def answer(self, kind: str, name: str, worker: int, seconds: float | None = None) -> None:
        """
        An honest request has its answer.

        @param seconds: how long that took; L{None} for what takes long on purpose.
        """
        self.kinds[kind] += 1
        self.answered[name] = (worker, self.now())
        now = self.current()
        now.honest += 1
        if seconds is not None:
            now.latencies.append(seconds)

    def lose(self, kind: str, name: str, error: BaseException, conn: Connection | Attempt | None) -> None:
        """
        An honest request has none.

        @param conn: what it was sent over; L{None} if nothing was even tried.
        """
        if conn is not None and self._cut.get(conn.port, -1.0) >= conn.opened:
            self.held += 1
            self.current().held += 1
            return
        self.lost += 1
        self.current().lost += 1
        if len(self.losses) < _TOLD:
            what = f"{type(error).__name__}: {error}"
            before = None if conn is None else {"port": conn.port, "answers": conn.answers, "begun": conn.begun}
            loss = {"at": round(self.now(), 3), "kind": kind, "name": name, "error": what, "connection": before}
            self.losses.append(loss)
            say(f"lost: {loss}")

    def fault(self, text: str) -> None:
        """
        The server has done something wrong.
        """
        self.faulty += 1
        if len(self.faults) < _TOLD:
            self.faults.append(f"{self.now():.1f} s: {text}")
            say(f"fault: {self.faults[-1]}")

    def kill(self, pid: int, ports: Iterable[int]) -> None:
        """
        A worker is about to be killed.

        @param ports: those of the clients it has connections with.
        """
        self._killed[pid] = self.now()
        now = self._loop.time()
        for port in ports:
            self._cut[port] = now

    def mayBeUntold(self, name: str) -> bool:
        """
        May the access log lack this request, since its worker was killed just after?
        """
        worker, when = self.answered[name]
        return worker in self._killed and self._killed[worker] - when < _UNTOLD
