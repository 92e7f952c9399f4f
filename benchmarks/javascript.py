"""
What the article's JavaScript costs on our sockets, beside the same in Python and beside Node.

    python -m benchmarks.javascript [--rounds 5] [--duration 3] [--cases CASE ...] [--candidates NAME ...]
                                    [--connections 50] [--json FILE] [--plot FILE] [--markdown FILE]

How the runs are done stands in C{benchmarks/http.py}. In the case C{echo} each request
has a connection of its own, as the article's HTTP echo wants it: that script runs as
printed, but for its 100 accepts, which are made endless. The handler in Python uses the
same sockets and the same parser, and prints the same five lines, as Node's does. In the
case C{server} connections are kept: createServer beside C{serve} and Node.

Then the engine alone, in a process of its own: see C{benchmarks/javascriptengine.py}.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from .candidates import ROOT, Candidate, Failed, environment, pinnedTo, serving
from .command import say
from .http import HttpBenchmark
from .httpload import Case, Exchange, Load
from .javascriptengine import ECHO, endless
from .javascriptpeers import CANDIDATES, NODE, PYTHON, SCRIPT, SERVED
from .messages import wire
from .pingpong import COMPILER, HINT
from .pingpong import Load as Pingpong
from .report import aligned, piped
from .serverreport import Words, colours


def _post(rng: random.Random) -> Exchange:
    # A text, which a script takes apart as such; and a terminal's fields of curl.
    body = rng.randbytes(rng.randint(4, 32)).hex().encode()
    fields = [
        ("Host", "localhost:8000"),
        ("User-Agent", "curl/7.88.1"),
        ("Accept", "*/*"),
        ("Content-Length", str(len(body))),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ]
    return Exchange(wire("POST", f"/items/{rng.randrange(10**5):05d}", fields, body), b"echo:" + body)


CASES = {
    "echo": Case("The article's HTTP echo, a new connection each", 4096, _post, closes=True),
    "server": Case("createServer(), POST echo, keep-alive", 4096, _post, exact=True),
}

WORDS = Words(
    title="JavaScript, measured",
    unit="request",
    latency=("ms", 1000),
    references={PYTHON: "the same in Python", NODE: "Node's"},
    colours=colours([SCRIPT], [NODE]),
    growth=(),
    chart="What a request costs the article's scripts, beside Python and Node",
    about=(
        "All answer a POST with `echo:` and its body. The HTTP echo runs as the article prints it, but for its 100 "
        "accepts, which are made endless. It prints five lines a request, as those in Python and for Node do. The "
        "CPU time is that of all of the server's processes, user and kernel, divided by the answers; the ratios are "
        "taken within each round. How it is done stands in `benchmarks/javascript.py`."
    ),
)

# How many times the CPU time of the same in Python, and of Node's, the HTTP echo may take; and what is aimed at.
_MOST = {PYTHON: 2.4, NODE: 2.6}
_AIM = 1.8
# The least of many rounds, in us: an entry and a host call together, a request for engine and crossings.
_MOST_CROSSINGS, _MOST_REQUEST = 2.0, 100.0


_ENGINE = (
    "The engine alone, measured in a process of its own: times are the least of many short rounds, memory is what the "
    "process's resident memory grows by."
)


def engineRows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """
    What the engine takes, as a table.
    """
    engine = report["engine"]
    crossings, asked, memory, start = (engine[key] for key in ("crossings", "request", "memory", "start"))
    return [
        ("the engine alone", "figure"),
        ("an entry into the guest", f"{crossings['entry']:.1f} µs"),
        ("a host call", f"{crossings['call']:.1f} µs"),
        ("1 KiB in, with an entry", f"{crossings['kib in']:.1f} µs"),
        ("1 KiB out and back, with a host call", f"{crossings['kib out and back']:.1f} µs"),
        ("64 KiB in, with an entry", f"{crossings['64 kib in']:.1f} µs"),
        ("64 KiB out and back, with a host call", f"{crossings['64 kib out and back']:.1f} µs"),
        (
            f"a request of the HTTP echo without sockets and parser: two entries, {asked['calls']:.0f} host calls",
            f"{asked['us']:.0f} µs",
        ),
        ("memory: the first program, with wasmtime", f"{memory['first'] / 1e6:.0f} MB"),
        ("memory: each further one", f"{memory['each'] / 1e6:.2f} MB"),
        ("an empty program from start to end", f"{start['warm']:.2f} s"),
        ("the same, the first time on a machine: the engine is compiled", f"{start['cold']:.1f} s"),
    ]


class JavaScriptBenchmark(HttpBenchmark):
    """
    Scripts and their peers, and the engine alone.
    """

    module = "javascript"
    description = "What the article's JavaScript costs on our sockets, beside Python and Node."
    words = WORDS
    cases = CASES
    candidates = CANDIDATES
    needed = {"wrk": "apt-get install wrk", COMPILER: HINT}  # noqa: RUF012

    def unable(self, given: argparse.Namespace) -> str | None:
        """
        Node may be missing, the script may not.
        """
        return super().unable(given) or CANDIDATES[SCRIPT].missing()

    def served(self, case: str, candidate: Candidate) -> Candidate:
        """
        Return what is started for a case.
        """
        name = next(name for name, each in CANDIDATES.items() if each.title == candidate.title)
        return SERVED[case][name].given(echo=self._echo)

    def prepare(self, folder: Path, cases: Sequence[str], candidates: dict[str, Candidate], core: int) -> None:
        """
        Write the script and the requests; see that all answer them as they should; measure the engine.

        @raise Failed: one doesn't.
        """
        self._echo = folder / ECHO.name
        self._echo.write_text(endless(ECHO.read_text("utf-8")), encoding="utf-8")
        self._pingpong = Pingpong(folder)
        self._loads = {case: Load(case, folder / f"{case}.requests", CASES[case]) for case in cases}
        for name, candidate in candidates.items():
            for case, load in self._loads.items():
                with serving(self.served(case, candidate), core) as server:
                    load.awaitReady(server)
                    load.check(server)
            say(f"{name}: its answers are right")
        say("the engine alone")
        with pinnedTo(core):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.javascriptengine"],
                cwd=ROOT,
                env=environment(CANDIDATES[SCRIPT]),
                stdout=subprocess.PIPE,
                text=True,
            )
        if done.returncode:
            raise Failed(f"benchmarks.javascriptengine ended with status {done.returncode}")
        self._engine = json.loads(done.stdout)

    def run(self, given: argparse.Namespace, arguments: Sequence[str]) -> dict[str, Any]:
        """
        Measure everything; what the engine takes is C{engine} in the report.
        """
        return {**super().run(given, arguments), "engine": self._engine}

    def goals(self, cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """
        What the HTTP echo takes for what others take, and what the engine takes.
        """
        goals = []
        ratios = cases.get("echo", {}).get(SCRIPT, {}).get("cpuBy", {})
        for name, most in _MOST.items():
            if name in ratios:
                text = f"the HTTP echo by {WORDS.references[name]} at most {most:g}"
                goals.append({"text": text, "value": ratios[name]["median"], "most": most})
        if PYTHON in ratios:
            text = f"aimed at: the HTTP echo by the same in Python at most {_AIM:g}"
            goals.append({"text": text, "value": ratios[PYTHON]["median"], "most": _AIM})
        found = self._engine["crossings"]
        for text, value, most in (
            ("an entry, µs, least,", found["entry"], _MOST_CROSSINGS),
            ("a host call, µs, least,", found["call"], _MOST_CROSSINGS),
            ("a request for engine and crossings, µs, least,", self._engine["request"]["us"], _MOST_REQUEST),
        ):
            goals.append({"text": f"{text} at most {most:g}", "value": value, "most": most})
        return goals

    def table(self, report: dict[str, Any]) -> str:
        """
        The report for a terminal, with the engine.
        """
        return "\n".join([super().table(report), "", *aligned(engineRows(report))])

    def body(self, report: dict[str, Any], picture: str | None, level: int) -> list[str]:
        """
        The report as a part of a page, with the engine.
        """
        heading = f"{'#' * level} The engine alone"
        return [
            *super().body(report, picture, level),
            heading,
            "",
            *wrap(_ENGINE, 120),
            "",
            *piped(engineRows(report)),
            "",
        ]


if __name__ == "__main__":
    raise SystemExit(JavaScriptBenchmark().main(sys.argv[1:]))
