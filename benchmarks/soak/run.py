"""
A soak from its beginning to its end: the traffic, what is done to the server meanwhile, and what is watched.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from itertools import cycle
from traceback import format_exception
from typing import Any

from benchmarks.candidates import Failed
from benchmarks.command import say

from .honest import Certificates, Honest
from .hostile import Hostile
from .ledger import Ledger
from .service import Service, kill
from .traffic import Traffic
from .watching import descriptors, used

WORKERS = 2
# The server is left alone in the first and in the last part of the time, so that workers grow old.
CALM = 0.3
# What is done to the server in between, in turn.
RENEWAL, KILL, ROLL = "renewal", "kill -9", "roll"
_DONE = (RENEWAL, KILL, ROLL, RENEWAL + " and " + KILL, KILL)
# How long the server may take to close what its clients have left, in seconds.
_CLOSED = 90.0
# How often the load looks how late it is itself, in seconds.
_FEELS = 0.1


class Soak:
    """
    One run.

    @ivar samples: what each process had, over time.
    @ivar events: what was done to the server, and when.
    @ivar base: how many descriptors each kind of process had before the traffic began, and how many processes there
        were.
    @ivar left: the same when it had ended.
    """

    def __init__(self, service: Service, seconds: float, seed: int) -> None:
        self._service = service
        self._seconds = seconds
        self._chance = random.Random(seed)
        self.ledger = Ledger()
        self._certificates = Certificates(service.first)
        honest = Honest(service.ports, self._certificates, self.ledger, self._chance)
        self.traffic = Traffic(honest, Hostile(service.ports, self.ledger, self._chance))
        self.samples: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.base: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.open: list[str] = []
        self.cpu = 0.0
        self.took = 0.0

    @property
    def certificates(self) -> Certificates:
        """
        Those that were shown.
        """
        return self._certificates

    async def run(self) -> None:
        """
        Do all of it.
        """
        await self.traffic.warmUp()
        await self._closed()
        self.base = await self._descriptors()
        self.ledger.began = asyncio.get_running_loop().time()
        self.ledger.slices.clear()
        cpu = time.process_time()
        self.traffic.start()
        watching = asyncio.gather(self._watch(), self._feel())
        try:
            await self._disturb()
            # Workers are to grow old, however long that has taken.
            await self._until(max(self._seconds, self.ledger.now() + CALM * self._seconds))
            if watching.done():
                watching.result()
            self.took = self.ledger.now()
            self.cpu = (time.process_time() - cpu) / self.took
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        say("the traffic ends")
        await self.traffic.stop()
        if self.traffic.errors:
            raise Failed("the load itself has failed: " + "".join(format_exception(self.traffic.errors[0])))
        await self._settle()

    async def _feel(self) -> None:
        """
        Look how late the load itself is: what it takes for the server's latency may be its own.
        """
        now = asyncio.get_running_loop().time
        while True:
            before = now()
            await asyncio.sleep(_FEELS)
            current = self.ledger.current()
            current.late = max(current.late, now() - before - _FEELS)

    async def _until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.ledger.now()))

    # What is done to the server

    async def _disturb(self) -> None:
        gap = max(8.0, min(30.0, self._seconds / 10))
        due = CALM * self._seconds
        for number, what in enumerate(cycle(_DONE)):
            # On a slow machine, too, each is done once.
            if number >= len(set(_DONE)) and due > (1 - CALM) * self._seconds:
                return
            await self._until(due)
            due = max(due + gap, self.ledger.now() + 2)
            say(f"{self.ledger.now():6.0f} s: {what}")
            if what == KILL:
                await self._kill()
            else:
                await self._roll(what)
            said = f"{self.ledger.now():6.0f} s: done; {sum(self.ledger.kinds.values())} answered, "
            say(said + f"{self.ledger.lost} lost, {self.ledger.held} held by a killed worker")

    def _note(self, what: str) -> dict[str, Any]:
        event: dict[str, Any] = {"at": round(self.ledger.now(), 3), "what": what}
        self.events.append(event)
        return event

    async def _kill(self) -> list[int]:
        ready = await self._service.ready(WORKERS)
        before = self._chance.choice(ready)
        event = self._note(KILL)
        await self._killOne(before)
        after = await self._service.ready(WORKERS, [before])
        event["took"] = round(self.ledger.now() - event["at"], 3)
        return after

    async def _killOne(self, pid: int) -> None:
        ports = await self._service.freeze(pid)
        self.ledger.kill(pid, ports)
        kill(pid)

    async def _roll(self, what: str) -> None:
        before = await self._service.ready(WORKERS)
        event = self._note(ROLL if what == ROLL else RENEWAL)
        self._service.rotate()
        if what == ROLL:
            self._service.hangUp()
        else:
            self._certificates.coming = self._service.renew()
            self._service.hangUp()
        if what.endswith(KILL):
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))
            self._note(KILL)
            await self._killOne(self._chance.choice(before))
        await self._service.ready(WORKERS, before)
        event["took"] = round(self.ledger.now() - event["at"], 3)
        if what != ROLL:
            self._certificates.renewed()

    # What is watched

    async def _watch(self) -> None:
        period = max(1.0, self._seconds / 240)
        while True:
            self.samples.append(await self._sample())
            await asyncio.sleep(period)

    async def _sample(self) -> dict[str, Any]:
        rows = await self._service.rows()
        numbers = {row["pid"]: row["worker"] for row in rows}
        templates, workers = self._service.family()
        told = [{**found, "worker": numbers.get(pid)} for pid in workers if (found := used(pid)) is not None]
        return {
            "at": round(self.ledger.now(), 3),
            "parent": used(self._service.pid),
            "templates": [found for pid in templates if (found := used(pid)) is not None],
            "workers": told,
            "open": sum(row["open"] for row in rows),
        }

    async def _closed(self) -> None:
        until = time.monotonic() + _CLOSED
        while sum(row["open"] for row in await self._service.rows()):
            if time.monotonic() > until:
                return
            await asyncio.sleep(0.5)

    async def _descriptors(self) -> dict[str, int]:
        templates, workers = self._service.family()
        return {
            "parent": len(descriptors(self._service.pid)),
            "template": max(len(descriptors(pid)) for pid in templates),
            "worker": max(len(descriptors(pid)) for pid in workers),
            "processes": len(templates) + len(workers),
        }

    async def _settle(self) -> None:
        """
        Wait until the server has closed what its clients have left, and has as many processes as it began with.
        """
        await self._closed()
        await self._while(self._tooMany)
        self.left = await self._descriptors()
        templates, workers = self._service.family()
        self.open = [each for pid in (self._service.pid, *templates, *workers) for each in descriptors(pid)]

    async def _while(self, condition: Callable[[dict[str, int]], bool]) -> None:
        until = time.monotonic() + _CLOSED
        while condition(await self._descriptors()) and time.monotonic() < until:
            await asyncio.sleep(0.5)

    def _tooMany(self, now: dict[str, int]) -> bool:
        return any(now[name] > count for name, count in self.base.items())


def run(service: Service, seconds: float, seed: int) -> Soak:
    """
    Soak a server.
    """

    async def work() -> Soak:
        soak = Soak(service, seconds, seed)
        await soak.run()
        return soak

    return asyncio.run(work())
