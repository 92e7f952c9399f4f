"""
What an HTTP request costs a server: ours, and its peers.

    python -m benchmarks.http [--rounds 5] [--duration 3] [--cases CASE ...] [--candidates NAME ...] [--connections 50]
                              [--json FILE] [--plot FILE] [--markdown FILE]

Each candidate is a process of its own, started anew for each run and kept on one
core. The load sends over loopback from another core, with all connections in one
thread; its requests differ from one another. Before anything is timed, each
candidate's answers to each case are compared with what they should be, and the
first answer of every run is again.

In each round all candidates take turns in each case, another one first in each
round. Figures are the median of the rounds, the spread their minimum and maximum.
A peer's CPU time is divided by ours of the same round, so that what changes from
round to round on the machine disturbs less.

Counted is the CPU time, of user and kernel, that the server's processes take while
the load runs, divided by the answers. Time before, such as a warm-up by the same
load, doesn't count. Small POSTs are sent by C{load.c}, which is compiled at the
start: it compares all answers, opens the connections before the run, and counts
exactly what has passed in it, as is needed with thousands of connections. All else
is sent by wrk (Debian's package of that name). There it includes opening the
connections, and up to one batch of requests for each connection that wrk leaves
behind unanswered: well below 1 % of a run of 3 seconds. Latencies are those of a
server that has all it can do, from the first byte sent to the last one received;
pipelined, that of a batch.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .candidates import Candidate, serving
from .command import say
from .httpload import CASES, Load
from .httppeers import CANDIDATES, OURS, STOCK
from .pingpong import COMPILER, HINT
from .pingpong import Load as Pingpong
from .report import by
from .rounds import ServerBenchmark
from .serverreport import Words, colours

# How long a warm-up is at most, in seconds; it is no longer than two timed runs. Node compiles what it runs often.
_WARM_UP = 1.0

WORDS = Words(
    title="The HTTP server, measured",
    unit="request",
    latency=("ms", 1000),
    references={OURS: "ours", STOCK: "ours on Twisted's epoll"},
    colours=colours([OURS, STOCK], ["handwritten"]),
    growth=("post", "many", "most"),
    chart="What a request costs the server, beside its peers",
    about=(
        "All servers answer the same: a POST with `echo:` and its body, a GET with `path:` and its path. The CPU time "
        "is that of all of the server's processes, user and kernel, divided by the answers. The spread is that of the "
        "rounds; the ratio is taken within each round. A server always has as many requests waiting as there are "
        "connections, so its latency mostly says how many it answers a second. How it is done stands in "
        "`benchmarks/http.py`."
    ),
)

# How many times ours a peer's CPU time a request is to be, at least: the case, whose, and the peers. Ours is the
# compiled form; on Twisted's epoll reactor, whatever form runs there.
_GOALS: list[tuple[str, str, dict[str, float]]] = [
    (
        "post",
        OURS,
        {"handwritten": 1.2, "uvicorn": 5, "granian": 3.5, "aiohttp": 8, "node": 2.5, "go": 2.2, "twisted.web": 20},
    ),
    ("post", STOCK, {"uvicorn": 1.1, "aiohttp": 2.3, "twisted.web": 6}),
    ("browser", OURS, {"handwritten": 1.3, "uvicorn": 5, "aiohttp": 8}),
    ("pipelined", OURS, {"handwritten": 2.2, "handwritten-each": 2.2}),
    ("close", OURS, {"handwritten": 0.85, "go": 1.0}),
]
# How many times the CPU time a request with 50 connections it may be with 5,000.
_GROWTH = 1.25


class HttpBenchmark(ServerBenchmark):
    """
    Requests by wrk, and by our own load.
    """

    module = "http"
    description = "What an HTTP request costs a server, beside its peers."
    words = WORDS
    cases = CASES
    candidates = CANDIDATES
    needed = {"wrk": "apt-get install wrk", COMPILER: HINT}  # noqa: RUF012

    def addOptions(self, options: argparse.ArgumentParser) -> None:
        """
        The number of connections.
        """
        options.add_argument(
            "--connections", type=int, default=50, help="how many; 'many' has 10 x that, 'most' 100 x (%(default)s)"
        )

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """
        Without C{--cases} the unusual forms are left out: some peers end the connection after one, or refuse it.
        """
        given = super().parse(arguments)
        if "--cases" not in arguments:
            given.cases = [case for case in given.cases if not self.cases[case].shape]
        return given

    def connections(self, case: str) -> int:
        """
        How many there are in a case.
        """
        return int(self.given.connections * self.cases[case].factor)

    def describe(self, case: str) -> dict[str, Any]:
        """
        What the report says of a case.
        """
        asked = self.cases[case]
        deep = f" {asked.depth} deep" if asked.depth > 1 else ""
        return {**super().describe(case), "title": asked.title + deep, "depth": asked.depth}

    def served(self, case: str, candidate: Candidate) -> Candidate:
        """
        Return what is started for a case.
        """
        return candidate

    def prepare(self, folder: Path, cases: Sequence[str], candidates: dict[str, Candidate], core: int) -> None:
        """
        Write the requests; see that all candidates answer them as they should.

        @raise Failed: one doesn't.
        """
        self._pingpong = Pingpong(folder)
        self._loads = {case: Load(case, folder / f"{case}.requests") for case in cases}
        for name, candidate in candidates.items():
            with serving(candidate, core) as server:
                for load in self._loads.values():
                    load.awaitReady(server)
                    load.check(server)
            say(f"{name}: its answers are right")

    def measure(self, case: str, candidate: Candidate, core: int, duration: float) -> dict[str, Any]:
        """
        One run of one candidate. wrk's errors are by kind; our own load fails at the first.
        """
        load, connections = self._loads[case], self.connections(case)
        with serving(self.served(case, candidate), core) as server:
            load.awaitReady(server)
            if load.case.exact:
                taken = self._pingpong.run(
                    server, connections, "http", load.path, min(2 * duration, _WARM_UP), duration
                )
                return {**taken, "errors": {}}
            load.send(server, connections, min(2 * duration, _WARM_UP))
            before = server.cpu()
            counted = load.run(server, connections, duration)
            taken = server.cpu() - before
        seconds = counted["us"] / 1e6
        return {
            "rate": counted["requests"] / seconds,
            "cpu": taken * 1e6 / counted["requests"],
            "busy": taken / seconds,
            "loadBusy": counted["busy"],
            "p50": counted["p50"],
            "p99": counted["p99"],
            "errors": counted["errors"],
        }

    def goals(self, cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """
        What peers take for what ours takes; and thousands of connections take no more than a few.
        """
        goals = []
        for case, reference, others in _GOALS:
            for name, least in others.items():
                found = cases.get(case, {}).get(name, {}).get("cpuBy", {}).get(reference)
                if found is not None:
                    on = "ours" if reference == OURS else "ours on Twisted's epoll reactor"
                    text = f"{CASES[case].title}: {CANDIDATES[name].title} by {on} at least {least:g}"
                    goals.append({"text": text, "value": found["median"], "least": least})
        few, most = (cases.get(case, {}).get(OURS) for case in ("post", "most"))
        if few and most:
            text = f"5,000 connections take ours at most {_GROWTH:g} times the CPU time a request that 50 take"
            goals.append({"text": text, "value": by(most["cpu"], few["cpu"])["median"], "most": _GROWTH})
        return goals

    def load(self) -> str:
        """
        What sends, and its version.
        """
        # It prints that beside its usage, and ends with status 1.
        told = subprocess.run(["wrk", "--version"], capture_output=True, text=True)
        found = re.search(r"wrk \S*?(\d[\w.]*)", told.stdout + told.stderr)
        return f"wrk{'' if found is None else ' ' + found[1]} and load.c"


if __name__ == "__main__":
    raise SystemExit(HttpBenchmark().main(sys.argv[1:]))
