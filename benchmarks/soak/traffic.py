"""
All of the soak's clients together, at rates that are the same on each machine.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from .client import PATIENCE
from .honest import Honest
from .hostile import Hostile

# How many ask one request after the other, 0 to 0.8 seconds after each answer: plain, and with TLS.
SESSIONS = (16, 8)
SOCKETS = (6, 2)

_Make = Callable[[], Coroutine[Any, Any, object]]


class Traffic:
    """
    The clients.

    @ivar late: how many clients weren't started, because too many of their kind were at it still.
    """

    def __init__(self, honest: Honest, hostile: Hostile) -> None:
        self._honest = honest
        self._hostile = hostile
        self._loop = asyncio.get_running_loop()
        self._sessions: list[asyncio.Task[None]] = []
        self._starting: list[asyncio.Task[None]] = []
        self._running: dict[str, set[asyncio.Task[object]]] = {}
        self.late: Counter[str] = Counter()
        # What of the load itself has failed: a fault of this program's.
        self.errors: list[BaseException] = []

    async def warmUp(self) -> None:
        """
        Ask for a bit of all, so that the server has what it keeps.
        """
        honest = self._honest
        for _ in range(10):
            for tls in (False, True):
                asks = [make() for make in (honest.page, honest.post, honest.stream) * 2]
                await asyncio.gather(*(honest.once(ask, tls=tls) for ask in asks))

    def start(self) -> None:
        """
        Begin.
        """
        honest, hostile = self._honest, self._hostile
        for make, counts in ((honest.session, SESSIONS), (honest.webSocket, SOCKETS)):
            for tls, count in zip((False, True), counts, strict=True):
                self._sessions += [self._task(make(tls)) for _ in range(count)]
        schedule: list[tuple[str, float, int, _Make]] = [
            ("close", 0.1, 100, lambda: honest.once(honest.page(close=True), tls=False)),
            ("close, POST", 0.5, 100, lambda: honest.once(honest.post(close=True), tls=False)),
            ("close, TLS", 0.4, 100, lambda: honest.once(honest.page(close=True), tls=True)),
            ("stream", 1.0, 50, lambda: honest.once(honest.stream(), tls=False)),
            ("stream, TLS", 3.0, 20, lambda: honest.once(honest.stream(), tls=True)),
            ("large", 1.0, 20, lambda: honest.once(honest.post(self._large()), tls=False)),
            ("large, TLS", 4.0, 20, lambda: honest.once(honest.post(self._large()), tls=True)),
            ("slow reader", 2.0, 20, honest.slowReader),
            ("vanishing", 0.25, 50, hostile.vanish),
            ("pipeline", 5.0, 5, hostile.pipeline),
            ("heads", 0.25, 50, hostile.heads),
            ("slowloris", 1.5, 30, hostile.slowly),
            ("flood", 8.0, 3, hostile.flood),
            ("frames", 1.0, 30, hostile.frames),
            ("garbage", 1.0, 60, hostile.garbage),
        ]
        self._starting = [self._task(self._every(*each)) for each in schedule]

    def _large(self) -> int:
        return self._honest.size(64 * 1024, 900 * 1024)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    async def _every(self, name: str, period: float, most: int, make: _Make) -> None:
        """
        Start a client each C{period} seconds, unless C{most} are at it.
        """
        running = self._running.setdefault(name, set())
        due = self._loop.time()
        while True:
            due += period
            if due < self._loop.time() - 5:
                # This machine is slow: what was missed for so long isn't made up for.
                self.late[name] += int((self._loop.time() - due) / period)
                due = self._loop.time()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if len(running) >= most:
                self.late[name] += 1
                continue
            task: asyncio.Task[object] = asyncio.ensure_future(make())
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(self._done)

    async def stop(self) -> None:
        """
        Let the honest ones come to their end; the others, too, but for what takes too long.
        """
        self._honest.ending = True
        for task in self._starting:
            task.cancel()
        running = [task for each in self._running.values() for task in each]
        _, left = await asyncio.wait([*self._sessions, *running], timeout=2 * PATIENCE)
        for each in left:
            each.cancel()
        await asyncio.gather(*left, *self._starting, return_exceptions=True)
