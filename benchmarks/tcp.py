"""
What an echo costs a TCP server: ours, and its peers.

    python -m benchmarks.tcp [--rounds 5] [--duration 3] [--cases CASE ...] [--candidates NAME ...]
                             [--json FILE] [--plot FILE] [--markdown FILE]

Each candidate is a process of its own, started anew for each run and kept on one
core. On another core a program in C (C{load.c}, compiled at the start) has a number
of connections that send a message each, wait for all of it to come back, and send
the next one. All that comes back is compared with what was sent.

In each round all candidates take turns in each case, another one first in each
round. Figures are the median of the rounds, the spread their minimum and maximum.
CPU time is divided by that of the same round, so that what changes from round to
round on the machine disturbs less.

Counted is the CPU time, of user and kernel, that the server takes for the messages
of the run, and for nothing else: before and after them none is under way. Over
loopback, whoever sends also does most of what the kernel does for the receiver, on
both sides alike. That the load can do more than is asked of it is told by the part
of its core that is busy, by the server's core, which is fully busy as soon as there
are several connections, and by a candidate in C, whose echoes it brings too.

Some cases answer in two or in eight writes, without TCP_NODELAY. What is sent at
once then waits for the acknowledgement of what was sent before, which the peer
delays by 40 ms, unless the writes are gathered. asyncio, uvloop, trio and our
awaitable connections set TCP_NODELAY; for these cases it is taken back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .candidates import Candidate, serving
from .pingpong import COMPILER, HINT, Load
from .report import by
from .rounds import ServerBenchmark
from .serverreport import Words, colours
from .tcppeers import CANDIDATES, CONN_STOCK, FLOOR, OURS, PROTOCOL, STOCK, UVLOOP

# How long a warm-up is at most, in seconds; it is no longer than the timed run.
_WARM_UP = 0.15


@dataclass(frozen=True)
class Case:
    """
    A kind of load.

    @ivar title: how reports call it.
    @ivar size: of a message, in bytes.
    @ivar connections: how many there are.
    @ivar writes: in how many writes the server answers what it has read.
    @ivar nodelay: does it set TCP_NODELAY?
    """

    title: str
    size: int
    connections: int
    writes: int = 1
    nodelay: bool = True


def _cases() -> Iterator[tuple[str, Case]]:
    for name, title, size, counts in (("64b", "64 B", 64, (1, 50, 500, 5000)), ("16k", "16 KiB", 16384, (1, 50, 500))):
        for count in counts:
            yield f"{name}-{count}", Case(f"{title}, back and forth", size, count)
    for name, writes in (("two", 2), ("eight", 8)):
        for count in (1, 50):
            yield f"{name}-{count}", Case(f"64 B in {name} writes, without TCP_NODELAY", 64, count, writes, False)


CASES = dict(_cases())

WORDS = Words(
    title="TCP echoes, measured",
    unit="message",
    latency=("µs", 1),
    references={OURS: "ours", UVLOOP: "uvloop's"},
    colours=colours([OURS, PROTOCOL], [UVLOOP, FLOOR]),
    growth=("64b-50", "64b-500", "64b-5000"),
    chart="What an echo costs the server, beside its peers",
    about=(
        "All servers send back what comes. “Ours” is the awaitable connection on our reactor, “uvloop's” is its "
        "Protocol. The CPU time is that of the server, user and kernel, divided by the messages; the ratios are taken "
        "within each round. With one connection neither side's core is busy, and the latency is that of one echo; with "
        "more, it mostly says how many the server answers a second. C on epoll is what the system itself takes; the "
        "load brings that server's messages too, so it holds no other one back. Answers in several writes, without "
        "TCP_NODELAY, show whether writes are gathered: what isn't waits for the peer's delayed acknowledgement. "
        "asyncio, uvloop, trio and our awaitable connections set TCP_NODELAY of their own accord; there it is taken "
        "back. How it is done stands in `benchmarks/tcp.py`."
    ),
)


# How many times ours a peer's CPU time is to be, at least, for 64 bytes and 50 connections: whose, and the peers.
_GOALS: dict[str, dict[str, float]] = {
    OURS: {UVLOOP: 1.0, "asyncio-streams": 1.8, STOCK: 2.8},
    PROTOCOL: {UVLOOP: 1.15},
}


class TcpBenchmark(ServerBenchmark):
    """
    Messages back and forth.
    """

    module = "tcp"
    description = "What an echo costs a TCP server, beside its peers."
    words = WORDS
    cases = CASES
    candidates = CANDIDATES
    needed = {COMPILER: HINT}  # noqa: RUF012

    def connections(self, case: str) -> int:
        """
        How many there are in a case.
        """
        return int(CASES[case].connections)

    def describe(self, case: str) -> dict[str, Any]:
        """
        What the report says of a case, and what of it is drawn.
        """
        described = super().describe(case)
        if not CASES[case].nodelay:
            described["drawn"] = ["p50"] if CASES[case].connections == 1 else ["cpu", "p50"]
        return described

    def prepare(self, folder: Path, cases: Sequence[str], candidates: dict[str, Candidate], core: int) -> None:
        """
        Compile the load. It checks the answers of all runs.
        """
        self._load = Load(folder)

    def measure(self, case: str, candidate: Candidate, core: int, duration: float) -> dict[str, Any]:
        """
        One run of one candidate.
        """
        asked = CASES[case]
        with serving(candidate.given(writes=asked.writes, nodelay=int(asked.nodelay)), core) as server:
            return self._load.run(server, asked.connections, "echo", asked.size, min(duration, _WARM_UP), duration)

    def load(self) -> str:
        """
        What sends.
        """
        return "load.c"

    def goals(self, cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """
        What peers take for what ours takes; answers in several writes cost no more on our reactor than on the stock
        one, and are as soon there; and the figures are the servers', not the load's.
        """
        goals = []
        few = cases.get("64b-50", {})
        for ours, peers in _GOALS.items():
            for peer, least in peers.items():
                if {ours, peer} <= set(few):
                    ratio = f"{CANDIDATES[peer].title} by {CANDIDATES[ours].title}"
                    text = f"64 B, 50 connections: {ratio} at least {least:g}"
                    value = by(few[peer]["cpu"], few[ours]["cpu"])["median"]
                    goals.append({"text": text, "value": value, "least": least})
        busy = []
        for case, found in cases.items():
            if CASES[case].nodelay:
                if CASES[case].connections > 1:
                    busy += [figures["busy"]["median"] for name, figures in found.items() if name != FLOOR]
                continue
            for ours, stock in ((PROTOCOL, STOCK), (OURS, CONN_STOCK)):
                if not {ours, stock} <= set(found):
                    continue
                for key, title in (("cpu", "CPU time"), ("p50", "median latency")):
                    what = CANDIDATES[ours].title.partition(",")[0]
                    text = f"{case}, {what}: {title} on our reactor at most 1 x that on the stock one"
                    goals.append({"text": text, "value": by(found[ours][key], found[stock][key])["median"], "most": 1})
        if busy:
            text = "several connections keep each server's core busy, at least 0.95 of the time; the least, but for C's"
            goals.append({"text": text, "value": min(busy), "least": 0.95})
        return goals


if __name__ == "__main__":
    raise SystemExit(TcpBenchmark().main(sys.argv[1:]))
