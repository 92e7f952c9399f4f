"""
What the engine of scripts costs by itself, without sockets: crossings, the article's HTTP echo, memory, the start.

    python -m benchmarks.javascriptengine       # prints JSON, which benchmarks.javascript has in its report

A crossing's time is the least of many short rounds: these machines are noisy, and nothing makes a crossing faster than
it is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wasinet_twisted.javascript.guest import NAME, cache, read
from wasinet_twisted.javascript.guestinterface import GuestLimits, Operation, Value
from wasinet_twisted.javascript.handles import Handles
from wasinet_twisted.javascript.host import ProgramHost
from wasinet_twisted.javascript.messages import Messages
from wasinet_twisted.javascript.modules import BRIDGE, GLOBALS, Modules, ourSource
from wasinet_twisted.javascript.rejections import Rejections
from wasinet_twisted.javascript.sandbox import Sandbox
from wasinet_twisted.javascript.wasm import raiseStack

from .candidates import PATIENCE, ROOT, Failed

ECHO = ROOT / "examples" / "js" / "http_echo.js"
# How a script of the article's accepts, and without end.
_JS = ROOT / "wasinet_twisted" / "javascript" / "js"
_HUNDRED, _ENDLESS = "i<100", "i<1e9"
# Programs whose memory is measured.
_PROGRAMS = 40
_ROUNDS, _SHORT = 60, 100
_KIB = bytes(range(256)) * 4
_CALLS = """\
globalThis.run = (count, operation, data) => { for (let i = 0; i < count; i++) host(operation, i, 0, data) }
globalThis.small = new ArrayBuffer(1024)
globalThis.large = new ArrayBuffer(65536)
"""


def endless(script: str) -> str:
    """
    Return a script of the article's with its only change: it accepts without end.

    @raise Failed: it doesn't stand there as it did.
    """
    if script.count(_HUNDRED) != 1:
        raise Failed(f"{ECHO} has no {_HUNDRED}")
    return script.replace(_HUNDRED, _ENDLESS)


def least(run: Callable[[int], object], count: int = _SHORT, rounds: int = _ROUNDS) -> float:
    """
    Return the least time of one, in us.

    @param run: does it so often.
    """
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        run(count)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / count


class _Bare:
    """
    A host of two operations: 1 gives nothing, 2 gives what it is given.
    """

    def call(self, operation: int, a: float, b: float, data: Any) -> Value:
        """
        Answer.
        """
        return data if operation == 2 else None

    def resolve(self, base: str, name: str) -> str:
        """
        There are no modules.
        """
        return name

    load = resolve  # type: ignore[assignment]

    def messageOf(self, error: BaseException) -> str:
        """
        What is wrong.
        """
        return str(error)

    def rejected(self, promise: float, text: str) -> None:
        """
        Nothing is.
        """
        raise AssertionError(text)

    def handled(self, promise: float) -> None:
        """
        Nothing is.
        """

    def uncaught(self, text: str, interrupted: bool) -> None:
        """
        Nothing is.
        """
        raise AssertionError(text)


def crossings() -> dict[str, float]:
    """
    Return what an entry and a host call take, bare and with bytes, in us.
    """
    bare = _Bare()
    guest = Sandbox(bare, GuestLimits(turn=10))  # type: ignore[arg-type]
    guest.evaluate("bare.js", "globalThis.host = __host; __hook(() => {});" + _CALLS, False)

    def entering(value: Value) -> Callable[[int], None]:
        def run(count: int) -> None:
            settle = guest.settle
            for _ in range(count):
                settle(1, value)

        return run

    def calling(arguments: str) -> Callable[[int], bool]:
        return lambda count: guest.evaluate("calls.js", f"run({count}, {arguments})", False)

    try:
        return {
            "entry": least(entering(None)),
            "call": least(calling("1"), 1000),
            "kib in": least(entering(_KIB)),
            "kib out and back": least(calling("2, small"), 300),
            "64 kib in": least(entering(_KIB * 64), 30),
            "64 kib out and back": least(calling("2, large"), 30),
        }
    finally:
        guest.close()


_REQUEST = (
    b"POST / HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Length: 8\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nWasmEdge"
)
_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\necho:WasmEdge"


class _Canned:
    """
    What the article's HTTP echo asks for, answered at once: connections, a request, the bytes of its answer.

    @ivar asked: how often it was.
    """

    def __init__(self, script: str) -> None:
        # What a parser gives of that request, made once by the operation itself.
        messages = Messages(Handles(), 1 << 20).operations()
        self._message = messages["parse"](0, 0, _REQUEST)
        self._accepts: list[int] = []
        self._reads: list[int] = []
        self._last = 10
        self.asked = 0
        named: dict[str, Operation] = {}
        for path in _JS.glob("*.js"):
            for name in re.findall(r"operation\('(\w+)'\)", path.read_text("utf-8")):
                named[name] = self._nothing
        named["statusCodes"] = messages["statusCodes"]
        named |= {"listen": self._number, "accept": self._accept, "read": self._read, "write": self._taken}
        named |= {"parse": self._parse, "encode": self._encode}
        host = ProgramHost(Modules(ECHO.parent), Rejections(), [named], self._gone, self._gone)
        self._guest = Sandbox(host, GuestLimits(turn=10))
        for name in (BRIDGE, GLOBALS):
            self._guest.evaluate(name, ourSource(name))
        self._guest.evaluate(ECHO.name, script)

    def _nothing(self, a: float, b: float, data: Any) -> None:
        self.asked += 1

    def _gone(self, given: object) -> None:
        """
        Lines, or handles.
        """

    def _number(self, a: float, b: float, data: Any) -> int:
        self.asked += 1
        self._last += 1
        return self._last

    def _accept(self, a: float, b: float, data: Any) -> None:
        self.asked += 1
        self._accepts.append(int(b))

    def _read(self, a: float, b: float, data: Any) -> None:
        self.asked += 1
        self._reads.append(int(b))

    def _parse(self, a: float, b: float, data: Any) -> Value:
        self.asked += 1
        return self._message

    def _encode(self, a: float, b: float, data: Any) -> Value:
        self.asked += 1
        return _ANSWER

    def _taken(self, a: float, b: float, data: Any) -> bool:
        self.asked += 1
        assert data == _ANSWER
        return True

    def request(self, count: int) -> None:
        """
        Let the script answer so many.
        """
        settle = self._guest.settle
        for _ in range(count):
            self._last += 1
            settle(self._accepts.pop(), self._last)
            settle(self._reads.pop(), _REQUEST)

    def close(self) -> None:
        """
        It has done its work.
        """
        self._guest.close()


def request() -> dict[str, float]:
    """
    Return what the article's HTTP echo takes for a request without sockets and without a parser, in us, and how many
    host calls that has.
    """
    canned = _Canned(endless(ECHO.read_text("utf-8")))
    try:
        canned.request(300)
        before = canned.asked
        canned.request(100)
        return {"calls": (canned.asked - before) / 100, "us": least(canned.request, 50, 120)}
    finally:
        canned.close()


def resident() -> int:
    """
    Return the resident memory of this process, in bytes.
    """
    found = re.search(r"^Rss:\s+(\d+) kB$", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def memory() -> dict[str, float]:
    """
    Return how many bytes the first program takes, with the engine, and each further one. To be called before any other
    one is there.
    """
    script = endless(ECHO.read_text("utf-8"))
    before = resident()
    programs = [_Canned(script)]
    first = resident()
    programs += [_Canned(script) for _ in range(_PROGRAMS)]
    last = resident()
    for program in programs:
        program.close()
    return {"first": first - before, "each": (last - first) / _PROGRAMS}


def start(warm: int = 5, cold: int = 2) -> dict[str, float]:
    """
    Return the least time that an empty program takes from its beginning to its end, in s: with the compiled engine in
    the cache, and without.

    @raise Failed: it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "empty.js")
        script.write_text("")

        def run(own: Path) -> float:
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "wasinet_twisted", "run", str(script)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(own)},
                capture_output=True,
                text=True,
                timeout=10 * PATIENCE,
            )
            if done.returncode:
                raise Failed(f"an empty program ended with {done.returncode}:\n{done.stderr}")
            return time.perf_counter() - began

        folders = [Path(folder, f"cache{number}") for number in range(cold)]
        for each in folders:
            # The engine is there; only what wasmtime has compiled of it isn't.
            binary = each / "wasinet_twisted" / cache().name / NAME
            binary.parent.mkdir(parents=True)
            binary.write_bytes(read())
        return {"cold": min(map(run, folders)), "warm": min(run(folders[0]) for _ in range(warm))}


def all_() -> dict[str, Any]:
    """
    Return everything, measured in this process but for the start.
    """
    raiseStack()
    return {"memory": memory(), "crossings": crossings(), "request": request(), "start": start()}


if __name__ == "__main__":
    print(json.dumps(all_()))
