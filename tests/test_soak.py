"""
The soak's rules, with made-up figures from both sides, and what its load judges by.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import client, judging, rules, sockets
from benchmarks.soak.client import Attempt, Wrong, frame
from benchmarks.soak.content import digest, page, pieces
from benchmarks.soak.honest import Certificates
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.report import percentile
from benchmarks.soak.rules import MIB, Series
from benchmarks.soak.sockets import Held

SECONDS = 300


def series(value: Callable[[int], float], noise: float = 0.0) -> Series:
    """
    Memory, once a second, in MiB; noise only ever lifts it.
    """
    chance = random.Random(7)
    return [(float(at), (value(at) + chance.random() * noise) * MIB) for at in range(SECONDS)]


def holds(given: Series) -> bool:
    """
    Is it judged to be flat?
    """
    verdict = rules.memory("it", given)
    assert verdict is not None
    return verdict.holds


class TestMemory:
    """
    What grows is found; what only wavers is not.
    """

    @pytest.mark.parametrize(
        "given",
        [
            series(lambda at: 60),
            series(lambda at: 60, noise=20),
            # Peaks, as large bodies make them, at the end too.
            series(lambda at: 100 if at % 10 == 0 or at > 290 else 60),
            # It has grown once, and no more.
            series(lambda at: 50 if at < 10 else 60),
            series(lambda at: 60 - at / 30),
        ],
        ids=["flat", "noise", "peaks", "step", "falls"],
    )
    def test_flat(self, given: Series) -> None:
        assert holds(given)

    @pytest.mark.parametrize(
        "given",
        [
            series(lambda at: 60 + at / 20),
            series(lambda at: 60 + at / 20, noise=20),
            series(lambda at: 60 if at < 150 else 75),
            series(lambda at: 60 + 2 * (at // 20), noise=5),
        ],
        ids=["leaks", "leaks, with noise", "grows late", "in steps"],
    )
    def test_grows(self, given: Series) -> None:
        assert not holds(given)

    def test_bound(self) -> None:
        """
        The bound is a share and an allowance, and what it was is told.
        """
        for more, expected in ((rules.ALLOWANCE + rules.SHARE * 100 * MIB, True), (rules.ALLOWANCE + 6 * MIB, False)):
            given = [(at, 100 * MIB + (more if at > 20 else 0)) for at in range(30)]
            verdict = rules.memory("it", given)
            assert verdict is not None
            assert verdict.holds == expected
            assert "100.0 MiB, then 1" in verdict.told
            assert str(verdict).startswith("holds" if expected else "BROKEN")

    def test_tooFew(self) -> None:
        """
        Of eight points nothing is said.
        """
        assert rules.memory("it", [(at, at * MIB) for at in range(8)]) is None
        assert rules.memory("it", [(at, at * MIB) for at in range(9)]) is not None


def sample(at: float, workers: dict[int, float], parent: float = 50.0) -> dict[str, Any]:
    """
    What was watched at a moment; memory in MiB.
    """
    told = [{"pid": pid, "rss": value * MIB} for pid, value in workers.items()]
    return {"at": at, "parent": {"rss": parent * MIB}, "workers": told}


def rolled(start: Callable[[int], float], age: Callable[[float], float]) -> list[dict[str, Any]]:
    """
    A worker that is replaced each 25 seconds for 300 seconds.

    @param start: what each has at its start, by its number.
    @param age: what it has gained, by its age.
    """
    return [sample(at, {at // 25: start(at // 25) + age(at % 25)}) for at in range(SECONDS)]


class TestLives:
    """
    The memory of workers that are replaced.
    """

    def broken(self, samples: list[dict[str, Any]], seconds: float = 100.0) -> list[str]:
        return [each.rule.partition(" doesn't")[0] for each in judging.memories(samples, seconds) if not each.holds]

    def test_sameAge(self) -> None:
        """
        A warm-up that each worker has is no growth; one that begins with more than the one before is.
        """
        assert self.broken(rolled(lambda number: 50, lambda age: age)) == []
        assert self.broken(rolled(lambda number: 50 + 2 * number, lambda age: 0)) == [
            "the memory of workers of the same age"
        ]

    def test_within(self) -> None:
        """
        One that grows while it lives is found, after its warm-up.
        """
        leaks = [sample(at, {1: 60, 2: 60 + at / 20}) for at in range(100)]
        assert self.broken(leaks) == []
        leaks = [sample(at, {1: 60, 2: 60 + at / 5}) for at in range(100)]
        assert self.broken(leaks) == ["the memory of worker process 2, over 99 s"]
        warm = [sample(at, {1: 60, 2: 60 + min(at, 10) * 2}) for at in range(100)]
        assert self.broken(warm) == []

    def test_parent(self) -> None:
        """
        So is the parent that grows.
        """
        assert self.broken([sample(at, {}, 50 + at / 5) for at in range(100)]) == ["the parent's memory"]


def test_counts() -> None:
    """
    The other rules, from both sides.
    """
    assert rules.back("parent", 17, 17).holds
    assert rules.back("parent", 17, 16).holds
    assert not rules.back("parent", 17, 18).holds
    assert rules.none("lost", 0).holds
    lost = rules.none("lost", 1, ["that one"])
    assert not lost.holds
    assert "that one" in lost.told
    assert rules.some("kills", 1).holds
    assert not rules.some("kills", 0).holds


def test_percentile() -> None:
    assert percentile([], 0.5) is None
    values = [float(each) for each in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([3.0], 0.01)) == (50.0, 99.0, 3.0)


def inLoop(work: Callable[[], object]) -> None:
    """
    Call it where asyncio's loop runs.
    """

    async def run() -> None:
        work()

    asyncio.run(run())


def test_held() -> None:
    """
    What was open to a killed worker is counted apart; what wasn't, or what has the port later, is lost.
    """

    def work() -> None:
        ledger = Ledger()
        now = ledger.began
        ledger.kill(100, [1, 2])
        for port, opened in ((1, now - 1), (3, now - 1), (2, now + 100)):
            ledger.lose("GET", "page-1", EOFError(), Attempt(opened, port))
        ledger.lose("GET", "page-2", ConnectionRefusedError(), Attempt(now - 1))
        assert (ledger.held, ledger.lost, len(ledger.losses)) == (1, 3, 3)

    inLoop(work)


def logOf(path: Path, *targets: str | None) -> Path:
    """
    An access log.
    """
    path.write_text("".join(json.dumps({"target": target}) + "\n" for target in targets))
    return path


def test_accessLog(tmp_path: Path) -> None:
    """
    Each answer has one line, in whichever file; those of a worker that was killed just after may lack.
    """

    def work() -> None:
        ledger = Ledger()
        for number, worker in ((1, 100), (2, 100), (3, 200)):
            ledger.answer("GET", f"page-{number}", worker, 0.1)
        ledger.answer("WebSocket", "socket-4.0", 100)
        first = logOf(tmp_path / "1", "/page/?id=page-1", None, "/page/?id=slow&size=9")
        second = logOf(tmp_path / "2", "/page/?id=page-3&size=1")
        assert not judging.logged(ledger, [first, second]).holds
        ledger.kill(100, [])
        verdict = judging.logged(ledger, [first, second])
        assert verdict.holds
        assert "4 lines in 2 files" in verdict.told
        assert "1 went with a killed worker" in verdict.told
        for wrong in ("/evil", "/page/?id=page-1"):
            assert not judging.logged(ledger, [first, second, logOf(tmp_path / "3", wrong)]).holds
        torn = tmp_path / "4"
        torn.write_text('{"target": "/pa{"target"')
        assert not judging.logged(ledger, [first, second, torn]).holds

    inLoop(work)


def test_serverLog(tmp_path: Path) -> None:
    """
    A traceback or an error in the server's log is told of.
    """
    log = tmp_path / "log"
    log.write_text("2026 [worker 1] no TLS with 127.0.0.1:1: http request\n2026 [a.b#warn] it is started again\n")
    assert judging.said(log).holds
    for wrong in ("\tTraceback (most recent call last):", "2026 [a.b#error] no", "2026 [-] Unhandled Error"):
        log.write_text(f"fine\n{wrong}\nmore\n")
        verdict = judging.said(log)
        assert not verdict.holds
        assert "more" in verdict.told


def test_certificates() -> None:
    """
    After a renewal the old certificate is shown by no connection that begins.
    """

    def work() -> None:
        now = asyncio.get_running_loop().time()
        known = Certificates(b"old")
        old, new = Attempt(now, 1), Attempt(now, 2)
        old.certificate, new.certificate = b"old", b"new"  # type: ignore[attr-defined]
        judge: Any = known.judge
        assert (judge(old), judge(new)) == (True, False)
        known.coming = b"new"
        assert (judge(old), judge(new)) == (True, True)
        known.renewed()
        # It had begun before.
        assert (judge(old), judge(new), known.checked) == (True, True, 1)
        old.opened = known.since + 1
        assert not judge(old)

    inLoop(work)


def test_sockets() -> None:
    """
    What a process has at a port is found by either way: where it listens, and whom it has a connection with.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as conn, listening.accept()[0]:
            expected = {Held(True, 0), Held(False, conn.getsockname()[1])}
            assert set(sockets.held(os.getpid(), [port])) == expected
            assert set(sockets._listed(os.getpid(), [port])) == expected
            assert sockets.held(os.getpid(), [port + 1]) == []


def test_content() -> None:
    """
    Bodies depend on all that they are made of, and have their size.
    """
    made = [page("GET", "/a", "", 100), page("GET", "/b", "", 100), page("GET", "/a", "c", 100)]
    assert len(set(made)) == 3
    assert {len(each) for each in made} == {100}
    assert page("GET", "/a", "", 0) == b""
    assert len(set(pieces("/a", 3, 10))) == 3
    assert digest("/a", [b"x", b"yz"]) == digest("/a", [b"xyz"]) != digest("/b", [b"xyz"])
    assert digest("/a", [b"xyz"]).startswith(b"3 ")


@pytest.mark.parametrize("size", [0, 5, 125, 126, 65535, 65536])
def test_frame(size: int) -> None:
    """
    Frames are masked, with each form of a length.
    """
    data = bytes(number % 251 for number in range(size))
    made = frame(client.BINARY, data)
    assert made[0] == 0x82
    assert made[1] & 0x80
    mask, masked = made[-size - 4 : len(made) - size], made[len(made) - size :]
    assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)) == data
    assert len(made) - size == 6 + (0 if size < 126 else 2 if size < 65536 else 8)


async def answered(text: bytes, expected: bytes) -> None:
    """
    Ask a server that answers so.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        conn = await client.Connection.open(server.sockets[0].getsockname()[1], None)
        try:
            await conn.ask(client.Ask("GET", "page-1", "GET", "/page/?id=page-1", expected))
            assert conn.answers == 1
        finally:
            await conn.close()


def test_answers() -> None:
    """
    An answer that differs in a byte, or in its status, or is cut, is no answer.
    """
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for right in (head + b"abc", chunked + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"):
        asyncio.run(answered(right, b"abc"))
        for answer, expected in ((right, b"abd"), (right, b"ab"), (right.replace(b"200", b"500"), b"abc")):
            with pytest.raises(Wrong):
                asyncio.run(answered(answer, expected))
        with pytest.raises(client.FAILURES):
            asyncio.run(answered(right[:-1], b"abc"))
    with pytest.raises(Wrong):
        asyncio.run(answered(b"HTTP/1.1 200 OK\r\n\r\n", b""))
