"""
What all clients have in common: the loop that makes requests, and what it tells on standard output.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from .nginx import largeBody
from .requests import Ask, asks, smallBody

# How many requests are under way at a time.
PARALLEL = 50
# How many answers are compared with what they should be, before anything is timed.
_CHECKED = 64
_clock = time.perf_counter
Gather = Callable[[Sequence[Coroutine[Any, Any, None]]], Awaitable[Any]]


class Client(ABC):
    """
    One client, with connections for L{PARALLEL} requests.
    """

    @abstractmethod
    async def get(self, ask: Ask) -> tuple[int, bytes]:
        """
        Make one request.

        @return: the status, and all of the body.
        """

    @abstractmethod
    async def download(self, ask: Ask) -> int:
        """
        Make one request whose body is taken piece by piece, and kept nowhere.

        @return: the body's size, in bytes.
        """

    async def close(self) -> None:  # noqa: B027
        """
        Close the connections.
        """


class Requests:
    """
    Many requests, L{PARALLEL} at a time: for a while to warm up, then for the time that is measured.
    """

    def __init__(self, client: Client, port: int, case: str, warmUp: float, seconds: float) -> None:
        """
        @param warmUp: s.
        @param seconds: how long is measured.
        """
        asked = asks(port, case)
        self._client = client
        self._body = smallBody if case == "small" else _always(largeBody())
        self._checked = asked[:_CHECKED]
        self._asks = cycle(asked)
        self._size = len(self._body(asked[0]))
        self._seconds = seconds
        self._warmUp = warmUp
        # Both in s; what is in the list before the measured time begins is dropped.
        self._latencies: list[float] = []
        self._next = 0.0
        self._begun: tuple[float, float] | None = None
        self._report: dict[str, float] | None = None

    async def run(self, gather: Gather) -> None:
        """
        @param gather: lets coroutines run at the same time.
        """
        for ask in self._checked:
            answer = await self._client.get(ask)
            if answer != (200, self._body(ask)):
                raise SystemExit(f"{ask.target} gave {answer[0]} and {answer[1][:80]!r} ({len(answer[1])} bytes)")
        self._next = _clock() + self._warmUp
        await gather([self._work() for _ in range(PARALLEL)])
        print(json.dumps(self._report), flush=True)

    async def _work(self) -> None:
        get, asked, latencies, size = self._client.get, self._asks, self._latencies, self._size
        while self._report is None:
            ask = next(asked)
            began = _clock()
            status, body = await get(ask)
            ended = _clock()
            if status != 200 or len(body) != size:
                raise SystemExit(f"{ask.target} gave {status} and {len(body)} bytes instead of {size}")
            latencies.append(ended - began)
            if ended > self._next:
                self._pass(ended)

    def _pass(self, now: float) -> None:
        # As many are under way at the end as at the beginning, so that answers count for requests.
        cpu = time.process_time()
        if self._begun is None:
            # Who started this looks now at the origin's CPU time.
            print("begin", flush=True)
            self._begun = cpu, now
            self._latencies.clear()
            self._next = now + self._seconds
        elif self._report is None:
            before, began = self._begun
            taken = sorted(self._latencies)
            self._report = {
                "requests": len(taken),
                "seconds": now - began,
                "cpu": cpu - before,
                "p50": taken[len(taken) // 2] * 1e6,
                "p99": taken[len(taken) * 99 // 100] * 1e6,
            }


async def download(client: Client, port: int, size: int) -> None:
    """
    Take one huge body, and tell what it cost.

    @param size: of the body, in bytes.
    """
    before = f"http://127.0.0.1:{port}"
    huge, large = (Ask(f"{before}{target}", target, {}) for target in ("/huge.bin", "/large/"))
    # All is imported, and the connection is there.
    await client.download(large)
    rss = _memory("VmRSS")
    # What was the most so far is forgotten; see proc(5).
    Path("/proc/self/clear_refs").write_text("5")
    print("begin", flush=True)
    cpu, began = time.process_time(), _clock()
    got = await client.download(huge)
    taken, seconds = time.process_time() - cpu, _clock() - began
    if got != size:
        raise SystemExit(f"{huge.target} gave {got} bytes instead of {size}")
    print(json.dumps({"cpu": taken, "seconds": seconds, "growth": _memory("VmHWM") - rss}), flush=True)


def _memory(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"/proc/self/status has no {name}")
    return 1024 * int(found[1])


def _always(body: bytes) -> Callable[[Ask], bytes]:
    return lambda ask: body


async def _do(client: Client, arguments: Sequence[str], gather: Gather) -> None:
    port, what, *figures = arguments
    if what == "download":
        await download(client, int(port), int(figures[0]))
    else:
        await Requests(client, int(port), what, float(figures[0]), float(figures[1])).run(gather)
    await client.close()


def runAsyncio(make: Callable[[], Client], loop: str, arguments: Sequence[str]) -> None:
    """
    Do what the command says, on an asyncio loop.

    @param make: makes the client, on the running loop.
    @param loop: C{"asyncio"} or C{"uvloop"}.
    @param arguments: C{PORT small|large WARM_UP SECONDS} or C{PORT download SIZE}.
    """

    async def main() -> None:
        await _do(make(), arguments, lambda works: asyncio.gather(*works))

    if loop == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())


def runTwisted(make: Callable[[Any], Client], reactor: str, arguments: Sequence[str]) -> None:
    """
    Do what the command says, on one of Twisted's reactors.

    @param make: makes the client, given the reactor.
    @param reactor: C{"wasinet"} or C{"epoll"}.
    @param arguments: those of L{runAsyncio}.
    """
    from ..peers.tcptwisted import REACTORS

    REACTORS[reactor]()
    from twisted.internet import reactor as theReactor
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.task import react

    def gather(works: Sequence[Coroutine[Any, Any, None]]) -> Awaitable[Any]:
        return gatherResults([Deferred.fromCoroutine(work) for work in works], consumeErrors=True)

    def main(given: Any) -> Any:
        return Deferred.fromCoroutine(_do(make(given), arguments, gather))

    # It prints a failure, and ends with status 1.
    react(main, _reactor=theReactor)
    sys.exit(0)
