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

from .candidates import PATIENCE, Failed, Server
from .messages import browserFields, postFields, wire

_LUA = Path(__file__).with_name("load.lua")
# How many batches of a case are checked, on one connection.
_CHECKED = 64


class Exchange(NamedTuple):
    """
    A request, and the body of its answer.
    """

    wire: bytes
    body: bytes
    # Where the rest begins that our own load sends later; 0: it sends all at once.
    cut: int = 0


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
    @ivar shape: is it an unusual form of "post", to be compared with that? These are measured when they are asked for.
    @ivar exact: are messages counted by our own load, which opens all connections before and leaves none unanswered? It
        sends a POST at a time.
    """

    title: str
    count: int
    make: Callable[[random.Random], Exchange]
    depth: int = 1
    closes: bool = False
    factor: int = 1
    exact: bool = False
    shape: bool = False


def _post(rng: random.Random, body: bytes) -> Exchange:
    target = f"/items/{rng.randrange(10**5):05d}"
    return Exchange(wire("POST", target, postFields(len(body)), body), b"echo:" + body)


def _smallPost(rng: random.Random) -> Exchange:
    return _post(rng, rng.randbytes(rng.randint(8, 64)))


def _oldPost(rng: random.Random) -> Exchange:
    plain = _smallPost(rng).wire
    return _reshaped(plain, b" HTTP/1.1\r\n", b" HTTP/1.0\r\nConnection: keep-alive\r\n")


def _absolutePost(rng: random.Random) -> Exchange:
    return _reshaped(_smallPost(rng).wire, b"POST /", b"POST http://www.example.com/")


def _chunkedPost(rng: random.Random) -> Exchange:
    target, body = f"/items/{rng.randrange(10**5):05d}", rng.randbytes(rng.randint(8, 64))
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return Exchange(wire("POST", target, postFields(None), chunks), b"echo:" + body)


def _reshaped(plain: bytes, old: bytes, new: bytes) -> Exchange:
    return Exchange(plain.replace(old, new, 1), b"echo:" + plain.partition(b"\r\n\r\n")[2])


def _cutPost(rng: random.Random) -> Exchange:
    # Within a field line.
    plain = _smallPost(rng)
    return plain._replace(cut=plain.wire.index(b"example"))


def _latePost(rng: random.Random) -> Exchange:
    plain = _smallPost(rng)
    return plain._replace(cut=plain.wire.index(b"\r\n\r\n") + 4)


def _bigPost(rng: random.Random) -> Exchange:
    return _post(rng, rng.randbytes(64 * 1024))


def plainGet(rng: random.Random, *more: tuple[str, str]) -> Exchange:
    path = f"/articles/{rng.randrange(10**5):05d}"
    return Exchange(wire("GET", path, [("Host", "www.example.com"), ("Accept", "*/*"), *more]), f"path:{path}".encode())


def _closingGet(rng: random.Random) -> Exchange:
    return plainGet(rng, ("Connection", "close"))


def _browserGet(rng: random.Random) -> Exchange:
    path = f"/path/to/some/resource/{rng.randrange(10**5):05d}"
    target = f"{path}?query=value&n={rng.randrange(10**5)}"
    return Exchange(wire("GET", target, browserFields(rng)), f"path:{path}".encode())


CASES = {
    "post": Case("POST echo, 8 to 64 bytes, keep-alive", 4096, _smallPost, exact=True),
    "browser": Case("Browser GET, 12 fields, keep-alive", 4096, _browserGet),
    "post64k": Case("POST echo, 64 KiB, keep-alive", 64, _bigPost),
    "pipelined": Case("GET, 2 fields, pipelined", 8192, plainGet, depth=16),
    "close": Case("GET, 3 fields, a new connection each", 4096, _closingGet, closes=True),
    "many": Case("POST echo, 8 to 64 bytes, keep-alive", 4096, _smallPost, factor=10, exact=True),
    "most": Case("POST echo, 8 to 64 bytes, keep-alive", 4096, _smallPost, factor=100, exact=True),
    "old": Case("The same in HTTP/1.0 with keep-alive", 4096, _oldPost, shape=True),
    "absolute": Case("The same with an absolute target", 4096, _absolutePost, shape=True),
    "chunked": Case("The same in a chunk", 4096, _chunkedPost, shape=True),
    "cut": Case("The same, its head cut in two", 4096, _cutPost, exact=True, shape=True),
    "late": Case("The same, its body after its head", 4096, _latePost, exact=True, shape=True),
}


class Load:
    """
    A case's requests.

    @ivar path: the file that has them, for wrk and for our own load: for each batch its size, for our own load
        where it is cut, a line feed, its bytes.
    """

    def __init__(self, name: str, path: Path, case: Case | None = None) -> None:
        """
        @param case: by default the one of that name of L{CASES}.
        """
        case = case or CASES[name]
        rng = random.Random(name)
        exchanges = [case.make(rng) for _ in range(case.count)]
        self.case = case
        self._batches = [exchanges[at : at + case.depth] for at in range(0, case.count, case.depth)]
        self.path = path
        with self.path.open("wb") as file:
            for batch in self._batches:
                together = b"".join(exchange.wire for exchange in batch)
                cut = b" %d" % batch[0].cut if case.exact else b""
                file.write(b"%d%b\n%b" % (len(together), cut, together))

    def awaitReady(self, server: Server) -> None:
        """
        Wait until it listens, and check its first answer.

        @raise Failed: there is none, or a wrong one.
        """
        server.connect().close()
        self._askFor(server, self._batches[:1])

    def check(self, server: Server) -> None:
        """
        Compare a part of the answers with what they should be.

        @raise Failed: they are wrong.
        """
        batches = self._batches[:_CHECKED]
        for together in [[batch] for batch in batches] if self.case.closes else [batches]:
            self._askFor(server, together)

    def _askFor(self, server: Server, batches: list[list[Exchange]]) -> None:
        try:
            self._ask(server, batches)
        except OSError as error:
            raise server.failure(f"{self.case.title}: {error}") from error

    def _ask(self, server: Server, batches: list[list[Exchange]]) -> None:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as conn, conn.makefile("rb") as answers:
            for batch in batches:
                conn.sendall(b"".join(exchange.wire for exchange in batch))
                for exchange in batch:
                    expected = exchange.body
                    status, body = readAnswer(answers)
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

        @return: how many requests were answered, and in how many us; errors by kind; p50 and p99, in us; the part of
            its core that wrk had busy.
        @raise Failed: none was answered.
        """
        counted = self.send(server, connections, seconds)
        requests, latencies = counted["requests"], dict(counted.pop("latencies"))
        if not requests:
            raise server.failure(f"{self.case.title}: wrk got no answer in {counted['us'] / 1e6:g} s")
        each = requests // connections
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
                *("wrk", "--threads", "1", "--connections", str(connections)),
                # It takes whole seconds only; it is stopped before.
                *("--duration", f"{math.ceil(seconds) + 10}s", "--script", str(_LUA)),
                *(f"http://127.0.0.1:{server.port}/", "--", str(self.path)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A Ctrl-C in the terminal is for us.
            start_new_session=True,
        )
        busy = 0.0
        try:
            with suppress(subprocess.TimeoutExpired):
                wrk.wait(seconds)
            # If it has ended already, it told why. For the clock see Server.cpu.
            with suppress(OSError):
                busy = time.clock_gettime((~wrk.pid << 3) | 2)
            # As Ctrl-C does: it stops and reports.
            wrk.send_signal(signal.SIGINT)
            output, _ = wrk.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed("wrk doesn't stop") from None
        finally:
            wrk.kill()
            wrk.wait()
        server.check()
        try:
            counted: dict[str, Any] = json.loads(output.strip().rpartition("\n")[2])
            counted["busy"] = busy * 1e6 / counted["us"]
        except (ValueError, KeyError, ZeroDivisionError):
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


def readAnswer(answers: Any) -> tuple[int, bytes]:
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
