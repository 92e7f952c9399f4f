"""
What the benchmarks of WebSockets stand on: their load in C, the memory of idle ones, and their report.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from benchmarks.candidates import Candidate, Failed, module, serving
from benchmarks.pingpong import COMPILER, HINT, Load
from benchmarks.rounds import summarise
from benchmarks.serverreport import body, formatRun, formatTable
from benchmarks.websocket import WORDS, WebSocketBenchmark, idle

_NO_COMPILER = shutil.which(COMPILER) is None


def peer(kind: str) -> Candidate:
    """
    A server of echoes, see L{tests.loadpeer}.
    """
    return Candidate(f"a peer, {kind}", module("tests.loadpeer", "{port}", kind))


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """
    The load, compiled.
    """
    return Load(tmp_path_factory.mktemp("load"))


def run(load: Load, kind: str, size: int = 64, connections: int = 3) -> dict[str, Any]:
    """
    Send messages for a moment.
    """
    with serving(peer(kind), 0) as server:
        return load.run(server, connections, "websocket", size, 0, 0.05)


@pytest.mark.skipif(_NO_COMPILER, reason=HINT)
class TestLoad:
    """
    C{load.c}, as a client of WebSockets.
    """

    @pytest.mark.parametrize(("kind", "size"), [("right", 125), ("right", 126), ("right", 65535), ("pieces", 64)])
    def test_echoes(self, load: Load, kind: str, size: int) -> None:
        """
        Masked frames go out, with either form of a length, and come back whole or in pieces.
        """
        taken = run(load, kind, size)
        assert taken["rate"] > 0
        assert taken["cpu"] > 0
        assert 0 < taken["p50"] <= taken["p99"]

    def test_manyConnections(self, load: Load) -> None:
        """
        More connections than are opened at once have a handshake each.
        """
        assert run(load, "right", connections=300)["rate"] > 0

    @pytest.mark.parametrize(
        ("kind", "why"),
        [
            ("refuses", "the handshake is refused"),
            ("key", "the handshake is refused"),
            ("early", "more came"),
            ("changed", "what came back isn't what was sent"),
            ("masked", "more came back than was sent|what came back isn't what was sent"),
            ("more", "more came back than was sent"),
        ],
    )
    def test_wrong(self, load: Load, kind: str, why: str) -> None:
        """
        A server that does something else gives no figures.
        """
        with pytest.raises(Failed, match=why):
            run(load, kind)

    @pytest.mark.parametrize("size", [0, 65536])
    def test_size(self, load: Load, size: int) -> None:
        """
        A message has from 1 to 65535 bytes.
        """
        with pytest.raises(Failed, match="no size"):
            run(load, "right", size)


def test_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Idle WebSockets have had an echo; what a server keeps for each is told.
    """
    monkeypatch.setattr("benchmarks.websocket._REST", 0.1)
    with serving(peer("right"), 0) as server:
        # Each has a thread there.
        assert idle(server, 100) > 1000


@pytest.mark.parametrize(("kind", "why"), [("refuses", "handshake is refused"), ("changed", "idle WebSocket fails")])
def test_idleWrong(kind: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A server that does something else gives no figures.
    """
    monkeypatch.setattr("benchmarks.websocket.PATIENCE", 0.5)
    with serving(peer(kind), 0) as server, pytest.raises(Failed, match=why):
        idle(server, 1)


def report(withIdle: bool) -> dict[str, Any]:
    """
    That of ours and of two peers, which take 2 and 4 times the CPU time.
    """
    benchmark = WebSocketBenchmark()
    names = {"ours": 1, "uvicorn": 2, "autobahn": 4}
    runs = {
        name: [
            {"rate": 1e6 / cpu, "cpu": cpu, "busy": 1.0, "loadBusy": 0.5, "p50": 10.0, "p99": 20.0}
            | ({"idle": 1000.0 * cpu} if withIdle else {})
            for cpu in (10.0 * times, 12.0 * times)
        ]
        for name, times in names.items()
    }
    summary = summarise(runs, WORDS.among(names))
    return {
        "command": "",
        "date": "today",
        "python": "CPython",
        "cpu": "a processor",
        "speed": "compiled",
        "system": "Linux",
        "candidates": {name: {"title": f"{name}'s title", "versions": f"{name} 1"} for name in names},
        "load": "load.c",
        "cores": {"server": 0, "load": 1},
        "rounds": 2,
        "duration": 1.0,
        "cases": [{**benchmark.describe("64b-50"), "candidates": summary}],
        "goals": benchmark.goals({"64b-50": summary}),
    }


def test_report() -> None:
    """
    The goals are judged, and the memory of idle ones is a column where it was measured.
    """
    for withIdle in (False, True):
        lines = body(report(withIdle), WORDS, "chart.svg", 3)
        told = "\n".join(lines)
        assert "uvicorn, websockets by wasinet_twisted at least 1: 2.000, reached" in told
        assert "autobahn, Twisted's epoll by wasinet_twisted at least 5: 4.000, not reached" in told
        rows = [line for line in lines if line.startswith(("| server ", "| ours's", "| uvicorn's"))][-3:]
        assert len({line.count("|") for line in rows}) == 1
        assert ("an idle one, bytes" in rows[0]) == withIdle
        assert ("22,000 | 20,000 - 24,000 |" in rows[2]) == withIdle
        assert ("an idle one, bytes" in formatTable(report(withIdle), WORDS)) == withIdle


def test_run() -> None:
    """
    The line of a run tells the memory of idle ones where it was measured.
    """
    taken = {"rate": 1.0, "cpu": 1.0, "busy": 1.0, "loadBusy": 1.0, "p50": 1.0, "p99": 1.0}
    assert "idle" not in formatRun(taken, WORDS)
    assert formatRun({**taken, "idle": 1234.0}, WORDS).endswith("  idle 1,234 bytes")
