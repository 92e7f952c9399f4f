"""
What L{benchmarks.http} sends: the cases, the check of the answers, and wrk.
"""

from __future__ import annotations

import json
import math
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .httppeers import Failed, Server

_LUA = Path(__file__).with_name("load.lua")
# How long a server may take until it answers, and an answer to arrive, in seconds.
_PATIENCE = 20.0
# How many batches of a case are checked, on one connection.
_CHECKED = 64

Fields = list[tuple[str, str]]


class Exchange(NamedTuple):
    """
    A request, and the body of its answer.
    """

    wire: bytes
    body: bytes


@dataclass(frozen=True)
class Case:
    """
    A kind of load.

    @ivar title: how reports call it.
    @ivar count: how many different requests there are. Enough that remembering whole ones would help nobody.
    @ivar make: gives one.
    @ivar depth: how many are sent at once.
    @ivar closes: does each request end its connection?
    @ivar factor: how many connections there are for each that was asked for.
    """

    title: str
    count: int
    make: Callable[[random.Random], Exchange]
    depth: int = 1
    closes: bool = False
    factor: int = 1


def _wire(method: str, target: str, fields: Fields, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _post(rng: random.Random, body: bytes) -> Exchange:
    fields = [
        ("Host", "www.example.com"),
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(len(body))),
    ]
    return Exchange(_wire("POST", f"/items/{rng.randrange(10**5):05d}", fields, body), b"echo:" + body)


def _smallPost(rng: random.Random) -> Exchange:
    return _post(rng, rng.randbytes(rng.randint(8, 64)))


def _bigPost(rng: random.Random) -> Exchange:
    return _post(rng, rng.randbytes(64 * 1024))


def _plainGet(rng: random.Random, *more: tuple[str, str]) -> Exchange:
    path = f"/articles/{rng.randrange(10**5):05d}"
    return Exchange(
        _wire("GET", path, [("Host", "www.example.com"), ("Accept", "*/*"), *more]), f"path:{path}".encode()
    )


def _closingGet(rng: random.Random) -> Exchange:
    return _plainGet(rng, ("Connection", "close"))


def _browserGet(rng: random.Random) -> Exchange:
    path = f"/path/to/some/resource/{rng.randrange(10**5):05d}"
    session, visitor = rng.randbytes(16).hex(), rng.randrange(10**9)
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"
    fields = [
        ("Host", "www.example.com"),
        ("User-Agent", agent),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Connection", "keep-alive"),
        ("Referer", "https://www.example.com/index.html"),
        ("Cookie", f"session={session}; theme=dark; lang=en; _ga=GA1.2.{visitor}.1700000000"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "same-origin"),
    ]
    return Exchange(_wire("GET", f"{path}?query=value&n={rng.randrange(10**5)}", fields), f"path:{path}".encode())


CASES = {
    "post": Case("POST echo, 8 to 64 bytes, keep-alive", 4096, _smallPost),
    "browser": Case("Browser GET, 12 fields, keep-alive", 4096, _browserGet),
    "post64k": Case("POST echo, 64 KiB, keep-alive", 64, _bigPost),
    "pipelined": Case("GET, 2 fields, pipelined", 8192, _plainGet, depth=16),
    "close": Case("GET, 3 fields, a new connection each", 4096, _closingGet, closes=True),
    "many": Case("POST echo, 8 to 64 bytes, keep-alive, many connections", 4096, _smallPost, factor=10),
}


class Load:
    """
    A case's requests, on file for wrk.
    """

    def __init__(self, name: str, folder: Path) -> None:
        case = CASES[name]
        rng = random.Random(name)
        exchanges = [case.make(rng) for _ in range(case.count)]
        self.case = case
        self._batches = [exchanges[at : at + case.depth] for at in range(0, case.count, case.depth)]
        self._path = folder / name
        with self._path.open("wb") as file:
            for batch in self._batches:
                wire = b"".join(exchange.wire for exchange in batch)
                file.write(b"%d\n%b" % (len(wire), wire))

    def awaitReady(self, server: Server) -> None:
        """
        Ask until there is an answer, and check it.

        @raise Failed: there is none, or a wrong one.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._ask(server, self._batches[:1])
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise server.failure(f"doesn't listen after {_PATIENCE:g} s") from None
                server.check()
                time.sleep(0.02)
            except OSError as error:
                raise server.failure(f"{self.case.title}: {error}") from error
            else:
                return

    def check(self, server: Server) -> None:
        """
        Compare a part of the answers with what they should be.

        @raise Failed: they are wrong.
        """
        batches = self._batches[:_CHECKED]
        try:
            for together in [[batch] for batch in batches] if self.case.closes else [batches]:
                self._ask(server, together)
        except OSError as error:
            raise server.failure(f"{self.case.title}: {error}") from error

    def _ask(self, server: Server, batches: list[list[Exchange]]) -> None:
        with socket.create_connection(("127.0.0.1", server.port), _PATIENCE) as conn, conn.makefile("rb") as answers:
            for batch in batches:
                conn.sendall(b"".join(exchange.wire for exchange in batch))
                for exchange in batch:
                    expected = exchange.body
                    if expected.startswith(b"path:") and not server.candidate.tellsPath:
                        expected = b"echo:"
                    status, body = _answer(answers)
                    if status != 200 or body != expected:
                        raise server.failure(
                            f"{self.case.title}: answered {status} and {body[:80]!r} ({len(body)} bytes) instead of "
                            f"200 and {expected[:80]!r} ({len(expected)} bytes)"
                        )
            if self.case.closes and answers.read(1):
                raise server.failure(f"{self.case.title}: sends more than its answer")

    def run(self, server: Server, connections: int, seconds: float) -> dict[str, Any]:
        """
        Let wrk send, and count.

        @return: how many requests were answered, and in how many us; errors by kind; p50 and p99, in us.
        @raise Failed: none was answered.
        """
        counted = self.send(server, connections, seconds)
        requests, latencies = counted["requests"], dict(counted.pop("latencies"))
        if not requests:
            raise server.failure(f"{self.case.title}: wrk got no answer in {counted['us'] / 1e6:g} s")
        each = requests // (connections * self.case.factor)
        if each:
            uncorrect(latencies, counted["us"] // each)
        return {**counted, "p50": _percentile(latencies, 50), "p99": _percentile(latencies, 99)}

    def send(self, server: Server, connections: int, seconds: float) -> dict[str, Any]:
        """
        Let wrk send.

        @return: what C{load.lua} prints.
        """
        wrk = subprocess.Popen(
            [
                *("wrk", "--threads", "1", "--connections", str(connections * self.case.factor)),
                # It takes whole seconds only; it is stopped before.
                *("--duration", f"{math.ceil(seconds) + 10}s", "--script", str(_LUA)),
                *(f"http://127.0.0.1:{server.port}/", "--", str(self._path)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A Ctrl-C in the terminal is for us.
            start_new_session=True,
        )
        try:
            with suppress(subprocess.TimeoutExpired):
                wrk.wait(seconds)
            # As Ctrl-C does: it stops and reports.
            wrk.send_signal(signal.SIGINT)
            output, _ = wrk.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed("wrk doesn't stop") from None
        finally:
            wrk.kill()
            wrk.wait()
        server.check()
        try:
            counted: dict[str, Any] = json.loads(output.strip().rpartition("\n")[2])
        except ValueError:
            raise Failed(f"wrk failed:\n{output}") from None
        return counted


def uncorrect(latencies: dict[int, int], interval: int) -> None:
    """
    Take out the latencies that wrk has added.

    For each one that is at least twice the mean interval between a connection's answers, it adds those that requests
    would have had which weren't sent meanwhile: one interval less, two less and so on. Pipelined, where an interval is
    that of a request and a latency that of a batch, they are nearly all there is, and wrk's percentiles become 0.

    @param latencies: us, and how often; changed in place.
    @param interval: us.
    @raise Failed: this isn't what wrk has done.
    """
    for latency in sorted(latencies, reverse=True):
        count = latencies[latency]
        if count < 0:
            raise Failed(f"wrk's latencies aren't as they should be: {count} of {latency} us")
        if count and latency >= 2 * interval:
            for added in range(latency - interval, interval, -interval):
                # It doesn't tell of any below the least that was measured.
                if added in latencies:
                    latencies[added] -= count


def _percentile(latencies: dict[int, int], percent: float) -> int:
    left = sum(latencies.values()) * percent / 100
    for latency in sorted(latencies):
        left -= latencies[latency]
        if left <= 0:
            return latency
    raise Failed("wrk measured no latency")


def _answer(answers: Any) -> tuple[int, bytes]:
    """
    Read an answer whose length is told, as wrk counts no other kind the same.

    @raise Failed: it is none.
    """
    lines = list(_head(answers))
    fields = dict(line.lower().partition(b":")[::2] for line in lines[1:])
    try:
        return int(lines[0].split()[1]), answers.read(int(fields[b"content-length"]))
    except (IndexError, KeyError, ValueError):
        raise Failed(f"an answer without status or length: {lines}") from None


def _head(answers: Any) -> Iterator[bytes]:
    while line := answers.readline().rstrip(b"\r\n"):
        yield line
