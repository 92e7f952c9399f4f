"""
What the benchmark of scripts stands on: the article's script, the engine alone, and the report.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.candidates import Failed
from benchmarks.javascript import JavaScriptBenchmark, engineRows
from benchmarks.javascriptengine import ECHO, crossings, endless, least, request
from benchmarks.rounds import summarise

from .support import needsEngine


def test_theOnlyChange() -> None:
    """
    The script is the article's but for the bound of its loop; a script without that is none of the article's.
    """
    script = ECHO.read_text("utf-8")
    changed = [(a, b) for a, b in zip(script.splitlines(), endless(script).splitlines(), strict=True) if a != b]
    assert changed == [("    for(var i=0;i<100;i++){", "    for(var i=0;i<1e9;i++){")]
    with pytest.raises(Failed, match="i<100"):
        endless(endless(script))


def test_least() -> None:
    """
    It asks for so many, so often.
    """
    asked: list[int] = []
    assert least(asked.append, 7, 3) >= 0
    assert asked == [7, 7, 7]


@needsEngine
def test_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The HTTP echo runs on a host that has its answers ready, with five host calls a request.
    """
    monkeypatch.setattr("benchmarks.javascriptengine.least", lambda run, count=1, rounds=1: run(3) or 1.0)
    assert request() == {"calls": 5, "us": 1.0}
    assert set(crossings()) >= {"entry", "call", "kib in"}


def test_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Floors are judged by the ratios of the same rounds; the engine has a table.
    """
    benchmark = JavaScriptBenchmark()
    run = {"rate": 1.0, "busy": 1.0, "loadBusy": 0.5, "p50": 1.0, "p99": 2.0}
    runs: dict[str, list[dict[str, Any]]] = {
        name: [{**run, "cpu": cpu}] for name, cpu in (("script", 250.0), ("python", 100.0), ("node", 125.0))
    }
    engine = {
        "crossings": dict.fromkeys(
            ("entry", "call", "kib in", "kib out and back", "64 kib in", "64 kib out and back"), 1.5
        ),
        "request": {"calls": 5.0, "us": 40.0},
        "memory": {"first": 18e6, "each": 5e5},
        "start": {"warm": 0.4, "cold": 2.0},
    }
    monkeypatch.setattr(benchmark, "_engine", engine, raising=False)
    goals = benchmark.goals({"echo": summarise(runs, ["python", "node"])})
    assert [(goal["value"], goal["most"]) for goal in goals] == [
        *((2.5, 2.4), (2.0, 2.6), (2.5, 1.8)),
        *((1.5, 2.0), (1.5, 2.0), (40.0, 100.0)),
    ]
    rows = dict(row[:2] for row in engineRows({"engine": engine}))
    assert rows["memory: each further one"] == "0.50 MB"
    assert rows["a request of the HTTP echo without sockets and parser: two entries, 5 host calls"] == "40 µs"
