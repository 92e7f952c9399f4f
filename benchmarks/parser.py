"""
How long a request takes in L{Buffer<wasinet_twisted.http.Buffer>}, in h11 and in httptools.

    python -m benchmarks.parser [--rounds 5] [--json FILE] [--plot FILE] [--markdown FILE]

Every candidate gets the same reads and builds the same thing: method and target
as str, the fields as a list of (name, value) in str and in the case of the wire,
the body as bytes. After each read it is asked whether the message is complete,
as a server would ask. That all agree is checked on every message before anything
is timed. Where ours is compiled, its pure form is a candidate too.

The candidates take turns, pass by pass, on one core, with the garbage collector
off; a round is the mean of several passes. The figure is the median of the
rounds, the spread their minimum and maximum. Counted is the process's CPU time,
so that what else runs on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

from wasinet_twisted import __version__, speed
from wasinet_twisted.http import Buffer

from . import command
from .messages import Fields, browserFields, postFields, wire
from .parserreport import OURS, PURE, formatMarkdown, formatTable, plot
from .report import spread

try:
    import h11
    import httptools
except ImportError as error:
    _missing = error.name
else:
    _missing = None

PEERS = ("h11", "httptools")
_PACKAGE = "wasinet_twisted"
_READ = 16 * 1024
# process_time is a coarse clock on some systems (Windows: 16 ms).
_CLOCK = "process_time" if time.get_clock_info("process_time").resolution <= 1e-6 else "perf_counter"
_now: Callable[[], int] = getattr(time, f"{_CLOCK}_ns")


class Message(NamedTuple):
    """
    What every candidate builds. The candidates return plain tuples, so that none pays for this class.
    """

    method: str
    target: str
    fields: Fields
    body: bytes


@dataclass(frozen=True)
class Case:
    """
    A kind of message.

    @ivar count: how many different messages there are.
    @ivar passes: how often a candidate parses them all in one round.
    @ivar make: gives the C{number}th message and its bytes on the wire.
    @ivar readSize: how the wire is cut; L{None}: a message is one read.
    @ivar h11Least: the goal: h11's time is at least so many times ours.
    @ivar httptoolsMost: the goal: ours is at most so many times httptools'.
    """

    name: str
    count: int
    passes: int
    make: Callable[[int, random.Random], tuple[Message, bytes]]
    readSize: int | None = None
    h11Least: float | None = None
    httptoolsMost: float | None = None


# The candidates. prepare() isn't timed; parse() takes the reads of one message and gives what Message names.


class Ours:
    """
    One Buffer for all messages, as on a connection that is kept alive.
    """

    def __init__(self, kind: type[Buffer] = Buffer) -> None:
        """
        @param kind: the class of one of the two forms.
        """
        self._buffer = kind("request")

    def prepare(self, count: int) -> None:
        """
        Nothing is to be done.
        """

    def parse(self, reads: list[bytes]) -> tuple[str, str, Fields, bytes]:
        buffer = self._buffer
        for data in reads:
            buffer.append(data)
            request = buffer.parseRequest()
            if request is not None:
                return request.method, request.uri, request.fields(), request.body
        raise AssertionError("incomplete")


class H11:
    """
    A new Connection for each message, made before the clock starts. A Connection
    can be used again only after a response was sent on it, which is no parsing;
    receive_data and next_event cost the same on a new one (measured: 17.6 us
    against 17.7), so this is the cheapest for h11.
    """

    def __init__(self) -> None:
        self._all: list[h11.Connection] = []
        self._connections = iter(self._all)

    def prepare(self, count: int) -> None:
        """
        Make the Connections. The list holds them, so that their release isn't timed either.
        """
        self._all = [h11.Connection(h11.SERVER) for _ in range(count)]
        self._connections = iter(self._all)

    def parse(self, reads: list[bytes]) -> tuple[str, str, Fields, bytes]:
        connection = next(self._connections)
        nextEvent = connection.next_event
        pieces = []
        for data in reads:
            connection.receive_data(data)
            while (event := nextEvent()) is not h11.NEED_DATA:
                kind = type(event)
                if kind is h11.Request:
                    head = event
                elif kind is h11.Data:
                    pieces.append(event.data)
                else:
                    return (
                        head.method.decode("ascii"),
                        head.target.decode("ascii"),
                        # Its own iteration gives the names in lower case.
                        [(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers.raw_items()],
                        b"".join(pieces),
                    )
        raise AssertionError("incomplete")


class Httptools:
    """
    One parser for all messages, as on a connection that is kept alive. It calls
    back; there are no more callbacks than the message needs.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._fields: Fields = []
        self._pieces: list[bytes] = []
        self._message: tuple[str, str, Fields, bytes] | None = None

    def prepare(self, count: int) -> None:
        """
        Nothing is to be done.
        """

    def on_url(self, url: bytes) -> None:
        # A target that is cut comes in pieces.
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.decode("ascii"), value.decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        self._message = (method, self._target.decode("ascii"), self._fields, b"".join(self._pieces))

    def parse(self, reads: list[bytes]) -> tuple[str, str, Fields, bytes]:
        self._target = b""
        self._fields = []
        self._pieces = []
        self._message = None
        feed = self._parser.feed_data
        for data in reads:
            feed(data)
            if self._message is not None:
                return self._message
        raise AssertionError("incomplete")


Candidate = Ours | H11 | Httptools


def pureBuffer() -> type[Buffer]:
    """
    Import the package once more, without its compiled twins, so that both forms can take turns in this process.
    """
    compiled = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == _PACKAGE}
    setting = os.environ.get("WASINET_SPEED")
    os.environ["WASINET_SPEED"] = "no"
    try:
        kind: type[Buffer] = import_module(f"{_PACKAGE}.http").Buffer
    finally:
        sys.modules.update(compiled)
        if setting is None:
            del os.environ["WASINET_SPEED"]
        else:
            os.environ["WASINET_SPEED"] = setting
    if kind is Buffer:
        raise AssertionError("there is one form only")
    return kind


def _message(
    method: str, target: str, fields: Fields, body: bytes = b"", sent: bytes | None = None
) -> tuple[Message, bytes]:
    # sent: the body as it is sent, if that is something else.
    return Message(method, target, fields, body), wire(method, target, fields, body if sent is None else sent)


def _plainGet(number: int, _: random.Random) -> tuple[Message, bytes]:
    return _message("GET", f"/articles/{number:05d}", [("Host", "www.example.com"), ("Accept", "*/*")])


def _browserGet(number: int, rng: random.Random) -> tuple[Message, bytes]:
    return _message("GET", f"/path/to/some/resource?query=value&n={number:05d}", browserFields(rng))


def _post(number: int, rng: random.Random) -> tuple[Message, bytes]:
    return _message("POST", f"/items/{number:05d}", postFields(1024), rng.randbytes(1024))


def _chunkedPost(number: int, rng: random.Random) -> tuple[Message, bytes]:
    body = rng.randbytes(4 * _READ)
    chunks = [body[start : start + _READ] for start in range(0, len(body), _READ)]
    sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return _message("POST", f"/uploads/{number:05d}", postFields(None), body, sent)


# There are enough different messages that remembering whole ones would not help anybody.
CASES = (
    Case("GET, 2 fields", 2048, 8, _plainGet, httptoolsMost=2),
    Case("Browser GET, 12 fields", 2048, 4, _browserGet, h11Least=6, httptoolsMost=2.5),
    Case("POST, 1 KiB", 2048, 6, _post),
    Case("Chunked 64 KiB, 16 KiB reads", 32, 50, _chunkedPost, readSize=_READ, httptoolsMost=4),
    Case("GET, 2 fields, byte by byte", 256, 4, _plainGet, readSize=1),
)


def cut(wire: bytes, size: int | None) -> list[bytes]:
    """
    Cut the bytes of a message into reads.
    """
    return [wire] if size is None else [wire[start : start + size] for start in range(0, len(wire), size)]


def measure(candidate: Candidate, messages: list[list[bytes]]) -> int:
    """
    Time one pass over all messages.

    @return: ns.
    """
    candidate.prepare(len(messages))
    parse = candidate.parse
    gc.collect()
    started = _now()
    for reads in messages:
        parse(reads)
    return _now() - started


def runCase(case: Case, candidates: dict[str, Candidate], rounds: int) -> dict[str, Any]:
    """
    Check that the candidates agree on the case's messages, and time them.
    """
    rng = random.Random(case.name)
    made = [case.make(number, rng) for number in range(case.count)]
    messages = [cut(wire, case.readSize) for _, wire in made]
    for name, candidate in candidates.items():
        candidate.prepare(case.count)
        for (expected, _), reads in zip(made, messages, strict=True):
            found = candidate.parse(reads)
            if found != expected or type(found[3]) is not bytes:
                raise SystemExit(f"{case.name}: {name} gives {found!r} for {expected!r}")
    times: dict[str, list[float]] = {name: [] for name in candidates}
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for _ in range(rounds):
            sums = dict.fromkeys(candidates, 0)
            order = list(candidates)
            for _ in range(case.passes):
                for name in order:
                    sums[name] += measure(candidates[name], messages)
                # Nobody always comes after the same one.
                order.append(order.pop(0))
            for name, total in sums.items():
                times[name].append(total / (case.passes * case.count))
    finally:
        gc.enable()
        gc.unfreeze()
    median = {name: statistics.median(taken) for name, taken in times.items()}
    return {
        "name": case.name,
        "bytes": len(made[0][1]),
        "reads": len(messages[0]),
        "messagesPerRound": case.passes * case.count,
        "ns": {name: spread(taken) for name, taken in times.items()},
        "peerByOurs": {peer: median[peer] / median[OURS] for peer in median if peer != OURS},
        "oursByPeer": {peer: median[OURS] / median[peer] for peer in median if peer != OURS},
        "goals": {"h11ByOursAtLeast": case.h11Least, "oursByHttptoolsAtMost": case.httptoolsMost},
    }


def pin() -> int | None:
    """
    Stay on one core.

    @return: which, or L{None} where the system has no such call.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def run(rounds: int, arguments: Sequence[str]) -> dict[str, Any]:
    """
    Measure everything.

    @param arguments: what the command was given, for the record.
    """
    core = pin()
    candidates: dict[str, Candidate] = {OURS: Ours()}
    if speed().compiled:
        candidates[PURE] = Ours(pureBuffer())
    candidates |= {"h11": H11(), "httptools": Httptools()}
    return {
        **command.facts("parser", arguments),
        "versions": {OURS: __version__, **{peer: version(peer) for peer in PEERS}},
        "core": core,
        "clock": _CLOCK,
        "rounds": rounds,
        "cases": [runCase(case, candidates, rounds) for case in CASES],
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """
    What the command was given.
    """
    return command.parse(command.parser("parser", "Time per request, beside h11 and httptools.", 5), arguments)


def unable(given: argparse.Namespace) -> str | None:
    """
    Why it can't be measured here.
    """
    return command.undrawable(given) if _missing is None else f"{_missing} {command.LACKING}"


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    given = parse(arguments)
    missing = unable(given)
    if missing is not None:
        command.say(missing)
        return 1
    report = run(given.rounds, arguments)
    print(formatTable(report))
    command.write(given, report, formatMarkdown, plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
