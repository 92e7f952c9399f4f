"""
Many requests at a time, for some time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from ...errors import InvalidArgument, LocalProtocolError, NotSupported, WasinetError
from ...net.tasks.awaited import Awaited
from ...net.tasks.task import Task
from .schedule import GRANULARITY, Schedule, countsFrom
from .tally import UNREACHABLE, Tally, kindOf

# How long a worker waits after a connection could not be made, in seconds: a refusal comes at once.
_PAUSE = 0.1
# Makes one request: its status, and the size of its body in bytes.
Shoot = Callable[[], Awaitable[tuple[int, int]]]


class _Worker(Task[None]):
    """
    One of those that make requests, one after the other.
    """

    __slots__ = ("_load",)

    def __init__(self, coroutine: Coroutine[Any, Any, None], load: Load, reactor: Any) -> None:
        super().__init__(coroutine, reactor)
        self._load = load

    def failed(self, error: BaseException) -> None:
        """
        It can't go on, and so nobody can; or it has been cancelled.
        """
        self._load.stop(error)

    def ended(self) -> None:
        """
        It is over.
        """
        self._load.workerEnded(self)


class Load:
    """
    Requests, as many at a time as there are workers: one after the other, or at a constant rate.

    A request that is in flight at the end counts neither as answered nor as failed.

    @ivar tally: what has come of the requests so far.
    @ivar unanswered: how many requests were in flight at the end.
    @ivar unsent: how many were due at the end, and not sent, since all connections were busy.
    """

    def __init__(
        self,
        shoot: Shoot,
        workers: int,
        seconds: float,
        rate: float | None,
        reactor: Any,
        clock: Callable[[], float],
    ) -> None:
        """
        @param shoot: makes a request. What it raises of L{WasinetError}s is counted.
        @param seconds: how long requests are made.
        @param rate: how many a second, by all workers together; L{None}: as many as they can.
        @param clock: gives the time in seconds; it never goes back.
        """
        self.tally = Tally()
        self.unanswered = self.unsent = 0
        self._shoot = shoot
        self._count = workers
        self._asked = seconds
        self._rate = rate
        self._reactor = reactor
        self._clock = clock
        self._schedule: Schedule | None = None
        self._begun = clock()
        self._ended: float | None = None
        self._inFlight = 0
        self._workers: set[_Worker] = set()
        # Fires at the end of the time, or fails; and when all workers have ended.
        self._over: Awaited[None] = Awaited(lambda _: self._over.fail(CancelledError()))
        self._gone: Awaited[None] = Awaited()

    @property
    def seconds(self) -> float:
        """
        How long it has run.
        """
        return (self._clock() if self._ended is None else self._ended) - self._begun

    async def run(self) -> None:
        """
        Make requests for the time that was asked for. Cancelled, it ends early, and what was counted stays.

        @raise ConnectFailed: the server can't be reached, and has answered nothing before.
        @raise LocalProtocolError: the request can't be sent.
        """
        reactor = self._reactor
        self._begun = self._clock()
        if self._rate is not None:
            self._schedule = Schedule(self._rate, self._begun)
        timer = reactor.callLater(self._asked, self.stop, None)
        try:
            self._workers = {_Worker(self._work(), self, reactor) for _ in range(self._count)}
            for worker in list(self._workers):
                worker.start()
            await self._over
        finally:
            if timer.active():
                timer.cancel()
            now = self._ended = self._clock()
            self.unanswered = self._inFlight
            if self._schedule is not None:
                # What is due at just this moment is nobody's fault.
                self.unsent = self._schedule.overdue(now - GRANULARITY)
            for worker in list(self._workers):
                worker.cancel()
            if self._workers:
                await self._gone

    def stop(self, error: BaseException | None) -> None:
        """
        End.

        @param error: why, if not for the time.
        """
        if self._over.called or self._ended is not None:
            return
        if error is None:
            self._over.give(None)
        else:
            self._over.fail(error)

    def workerEnded(self, worker: _Worker) -> None:
        """
        A worker makes no more requests.
        """
        self._workers.discard(worker)
        if not self._workers and self._ended is not None and not self._gone.called:
            self._gone.give(None)

    async def _work(self) -> None:
        shoot, clock, answered = self._shoot, self._clock, self.tally.answered
        while True:
            begun = clock() if self._schedule is None else await self._due(self._schedule)
            self._inFlight += 1
            try:
                status, size = await shoot()
            except (InvalidArgument, LocalProtocolError, NotSupported):
                # The request is at fault, and would be each time.
                raise
            except WasinetError as error:
                self._inFlight -= 1
                await self._failed(error)
                continue
            self._inFlight -= 1
            answered(status, size, clock() - begun)

    async def _due(self, schedule: Schedule) -> float:
        """
        Wait until a request is due.

        @return: from when on its latency counts.
        """
        due = schedule.take()
        now = self._clock()
        waited = due > now
        if waited:
            await deferLater(self._reactor, due - now)
            now = self._clock()
        return countsFrom(due, now, waited)

    async def _failed(self, error: WasinetError) -> None:
        if self._ended is not None:
            raise error
        unreachable = kindOf(error) in UNREACHABLE
        if unreachable and not self.tally.latencies.count:
            raise error
        self.tally.failed(error)
        if unreachable:
            await deferLater(self._reactor, _PAUSE)
