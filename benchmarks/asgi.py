"""
What a request to an ASGI app costs its server: ours, and its peers.

    python -m benchmarks.asgi [--rounds 5] [--duration 3] [--cases CASE ...] [--candidates NAME ...] [--connections 50]
                              [--json FILE] [--plot FILE] [--markdown FILE]

How it is done stands in C{benchmarks/http.py}; all requests are sent by wrk. The
cases differ by the app that answers: a bare one, and one of each framework. What
the app takes itself is a part of the figures.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .asgipeers import CANDIDATES, OURS, STOCK
from .candidates import Candidate, serving
from .command import say
from .http import HttpBenchmark
from .httpload import Case, Load, plainGet
from .serverreport import Words, colours

CASES = {
    "bare": Case("GET, 2 fields, a bare app", 4096, plainGet),
    "starlette": Case("GET, 2 fields, Starlette", 4096, plainGet),
    "fastapi": Case("GET, 2 fields, FastAPI", 4096, plainGet),
}

_APPS = {
    "bare": "benchmarks.peers.asgi:app",
    "starlette": "benchmarks.peers.asgistarlette:app",
    "fastapi": "benchmarks.peers.asgifastapi:app",
}

WORDS = Words(
    title="ASGI servers, measured",
    unit="request",
    latency=("ms", 1000),
    references={OURS: "ours", STOCK: "ours on Twisted's asyncio reactor"},
    colours=colours([OURS, STOCK], []),
    growth=(),
    chart="What a request to an ASGI app costs the server, beside its peers",
    about=(
        "All servers run the same apps, which answer a GET with `path:` and its path. The CPU time is that of all of "
        "the server's processes, the app's included, user and kernel, divided by the answers. The spread is that of "
        "the rounds; the ratio is taken within each round. How it is done stands in `benchmarks/http.py` and "
        "`benchmarks/asgi.py`."
    ),
)

# How many times ours a peer's CPU time a request is to be, at least, with the bare app.
_GOALS = {"uvicorn": 1.5, "daphne": 8}


class AsgiBenchmark(HttpBenchmark):
    """
    Requests by wrk to apps.
    """

    module = "asgi"
    description = "What a request to an ASGI app costs a server, beside its peers."
    words = WORDS
    cases = CASES
    candidates = CANDIDATES
    needed = {"wrk": "apt-get install wrk"}  # noqa: RUF012

    def connections(self, case: str) -> int:
        """
        How many there are in a case.
        """
        return int(self.given.connections)

    def describe(self, case: str) -> dict[str, Any]:
        """
        What the report says of a case.
        """
        return {**super(HttpBenchmark, self).describe(case), "depth": 1}

    def served(self, case: str, candidate: Candidate) -> Candidate:
        """
        The candidate, with the case's app.
        """
        return candidate.given(app=_APPS[case])

    def prepare(self, folder: Path, cases: Sequence[str], candidates: dict[str, Candidate], core: int) -> None:
        """
        Write the requests; see that all candidates answer them as they should.

        @raise Failed: one doesn't.
        """
        self._loads = {case: Load(case, folder / f"{case}.requests", CASES[case]) for case in cases}
        for name, candidate in candidates.items():
            for case, load in self._loads.items():
                with serving(self.served(case, candidate), core) as server:
                    load.awaitReady(server)
                    load.check(server)
            say(f"{name}: its answers are right")

    def goals(self, cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """
        What peers take for what ours takes.
        """
        goals = []
        for name, least in _GOALS.items():
            found = cases.get("bare", {}).get(name, {}).get("cpuBy", {}).get(OURS)
            if found is not None:
                text = f"{CASES['bare'].title}: {CANDIDATES[name].title} by ours at least {least:g}"
                goals.append({"text": text, "value": found["median"], "least": least})
        return goals

    def load(self) -> str:
        """
        What sends, and its version.
        """
        return super().load().removesuffix(" and load.c")

    def parse(self, arguments: Sequence[str]) -> Any:
        """
        See L{ServerBenchmark.parse}: no case is an unusual one.
        """
        return super(HttpBenchmark, self).parse(arguments)


if __name__ == "__main__":
    raise SystemExit(AsgiBenchmark().main(sys.argv[1:]))
