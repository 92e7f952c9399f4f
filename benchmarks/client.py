"""
What an HTTP request costs a client: ours, and its peers.

    python -m benchmarks.client [--rounds 5] [--duration 3] [--cases CASE ...] [--candidates NAME ...]
                                [--json FILE] [--plot FILE] [--markdown FILE]

Each candidate is a process of its own, started anew for each run and kept on one
core. It makes requests, 50 at a time, over kept connections to one nginx with one
worker on another core (Debian's nginx-light; a configuration of its own, on a free
port of loopback). Each request has its own path, query, cookies and ID; each answer
is read whole. Before anything is timed, every run compares some answers with what
they should be; of all others it checks status and length.

In each round all candidates take turns in each case, another one first in each
round. Figures are the median of the rounds, the spread their minimum and maximum.
A peer's CPU time is divided by ours of the same round, so that what changes from
round to round on the machine disturbs less.

Counted is the CPU time, of user and kernel, that the client's process takes (its
clock is the kernel's, as in all of the benchmarks), divided by the answers. What
comes before, such as the start and a warm-up, doesn't count. As many requests are
under way at the end as at the beginning. The loop around the clients is the same
for all of them, and takes less than 1 us a request. Latencies are those of a client
that has all it can do, from the call to the whole body; they mostly say how many
requests it makes a second.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .candidates import Candidate
from .clientpeers import CANDIDATES, NEEDED, ORIGIN, OURS, STOCK, TREQ, TREQ_OURS
from .clientruns import answering, run
from .clients.running import PARALLEL
from .rounds import ServerBenchmark, twoCores
from .serverreport import Words, colours

# How long a warm-up is at most, in seconds; it is no longer than two timed runs.
_WARM_UP = 1.0


@dataclass(frozen=True)
class Case:
    """
    A kind of answers.
    """

    title: str


CASES = {
    "small": Case("GET, 4 fields, answers of 102 bytes, keep-alive"),
    "large": Case("GET, 4 fields, answers of 64 KiB, keep-alive"),
}

WORDS = Words(
    title="The HTTP client, measured",
    unit="request",
    latency=("ms", 1000),
    references={OURS: "ours", TREQ_OURS: "treq on ours"},
    colours=colours([OURS, STOCK, TREQ_OURS], ["handwritten"]),
    growth=(),
    chart="What a request costs the client, beside its peers",
    about=(
        "All clients make the same requests, 50 at a time, over kept connections to one nginx, and read each answer "
        "whole. “Ours” is `fetch` with a `Pool`, on our reactor unless another one is named. The CPU time is that of "
        "the client's process, user and kernel, divided by the answers. The spread is that of the rounds; the ratio is "
        "taken within each round. A client always has 50 requests under way, so its latency mostly says how many it "
        "makes a second. How it is done stands in `benchmarks/client.py`."
    ),
    measured="client",
    load="origin",
)

# How many times the CPU time of ours a peer's is to be, at least: whose, and the peers. They hold for each case.
_GOALS: dict[str, dict[str, float]] = {
    OURS: {"httpx": 8, "aiohttp": 5, "agent": 10},
    TREQ_OURS: {TREQ: 3},
}


class ClientBenchmark(ServerBenchmark):
    """
    Requests to nginx.
    """

    module = "client"
    description = "What an HTTP request costs a client, beside its peers."
    words = WORDS
    cases = CASES
    candidates = CANDIDATES
    needed = NEEDED

    def connections(self, case: str) -> int:
        """
        How many requests are under way.
        """
        return PARALLEL

    def prepare(self, folder: Path, cases: Sequence[str], candidates: dict[str, Candidate], core: int) -> None:
        """
        Start nginx. Each run checks its answers itself.
        """
        served = folder / "origin"
        served.mkdir()
        self._origin = self._held.enter_context(answering(served, twoCores()[1], 0))

    def run(self, given: Any, arguments: Sequence[str]) -> dict[str, Any]:
        """
        Measure everything; nginx goes in the end.

        @raise Failed: a candidate doesn't do its work.
        """
        with ExitStack() as self._held:
            return super().run(given, arguments)

    def measure(self, case: str, candidate: Candidate, core: int, duration: float) -> dict[str, Any]:
        """
        One run of one candidate.
        """
        warmUp = min(2 * duration, _WARM_UP)
        taken = run(candidate, self._origin, core, (case, warmUp, duration), warmUp + duration)
        return {
            "rate": taken["requests"] / taken["seconds"],
            "cpu": taken["cpu"] * 1e6 / taken["requests"],
            "busy": taken["cpu"] / taken["seconds"],
            "loadBusy": taken["originCpu"] / taken["seconds"],
            "p50": taken["p50"],
            "p99": taken["p99"],
        }

    def goals(self, cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """
        What peers take for what ours takes.
        """
        goals = []
        for case, summary in cases.items():
            for reference, others in _GOALS.items():
                for name, least in others.items():
                    found = summary.get(name, {}).get("cpuBy", {}).get(reference)
                    if found is not None:
                        by = "ours" if reference == OURS else CANDIDATES[reference].title
                        text = f"{CASES[case].title}: {CANDIDATES[name].title} by {by} at least {least:g}"
                        goals.append({"text": text, "value": found["median"], "least": least})
        return goals

    def load(self) -> str:
        """
        What answers, and its version.
        """
        return ORIGIN.versions().removeprefix("nginx version: ")


if __name__ == "__main__":
    raise SystemExit(ClientBenchmark().main(sys.argv[1:]))
