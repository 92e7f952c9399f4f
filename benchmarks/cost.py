"""
Where the time of a request goes, the kernel's included, as perf samples it.

    python -m benchmarks.cost [--case post] [--candidates NAME ...] [--seconds 3] [--json FILE]

Each candidate serves a case of L{benchmarks.http}, with 50 connections, on a core of
its own: once to measure its CPU time a request, once under perf (Debian's linux-perf;
perf's own cost is in neither). A sample belongs to the system call that it is in, or
to the file that its code is from. What a system call does on behalf of the other
side, such as delivering what is sent to the loopback's receiver, counts here, as it
does in all of the benchmarks.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import command
from .candidates import Candidate, Failed, pinnedTo, pure, serving
from .httpload import CASES, Load
from .httppeers import CANDIDATES, OURS, STOCK
from .pingpong import COMPILER, HINT
from .pingpong import Load as Pingpong
from .rounds import lacking, twoCores

_CONNECTIONS = 50
# System calls, by what they are for.
_CALLS = {
    "sending": ("sendto", "sendmsg", "write", "writev"),
    "receiving": ("recvfrom", "recvmsg", "read", "readv"),
    "waiting": ("epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl"),
}
_ENTRIES = ("__x64_sys", "__arm64_sys", "ksys")
# Files of code, by what they hold: those that none of these names are extension modules, or a program of its own.
_FILES = {
    "kernel": re.compile(r"\[(kernel|guest\.kernel)"),
    "Python": re.compile(r"^(libpython|python)"),
    "C library": re.compile(r"^(libc[.-]|libm[.-]|ld-|\[vdso\])"),
}


def percentages(perf: str, data: Path, *options: str) -> dict[str, float]:
    """
    A report of perf's: percent by name.
    """
    told = subprocess.run([perf, "report", "-i", str(data), "--stdio", "-g", "none", *options], capture_output=True)
    found: dict[str, float] = {}
    for line in told.stdout.decode(errors="replace").splitlines():
        match = re.match(r"\s*([0-9.]+)%\s+(?:[0-9.]+%\s+)?(.*\S)", line)
        if match is not None:
            found[match[2]] = found.get(match[2], 0.0) + float(match[1])
    return found


def parts(perf: str, data: Path) -> dict[str, float]:
    """
    What of the samples belongs to what, in percent.
    """
    found = dict.fromkeys((*_CALLS, "kernel, else", "Python", "C library", "else"), 0.0)
    kernel = 0.0
    for file, percent in percentages(perf, data, "--no-children", "-s", "dso").items():
        kind = next((kind for kind, pattern in _FILES.items() if pattern.search(file)), "else")
        if kind == "kernel":
            kernel += percent
        else:
            found[kind] += percent
    for symbol, percent in percentages(perf, data, "--children", "-s", "sym").items():
        for kind, calls in _CALLS.items():
            # Some have an entry of this name, some only one that all architectures share.
            if symbol.removeprefix("[k] ") in [f"{entry}_{call}" for entry in _ENTRIES for call in calls]:
                found[kind] += percent
    found["kernel, else"] = max(kernel - sum(found[kind] for kind in _CALLS), 0.0)
    return found


def sample(
    perf: str, candidate: Candidate, load: Load, pingpong: Pingpong, core: int, seconds: float
) -> dict[str, Any]:
    """
    One candidate.

    @return: its CPU time a request, in us, and that of its parts.
    @raise Failed: it doesn't do its work.
    """

    def run(server: Any, warmUp: float) -> dict[str, Any]:
        return pingpong.run(server, _CONNECTIONS, "http", load.path, warmUp, seconds)

    with serving(candidate, core) as server, tempfile.TemporaryDirectory() as folder:
        load.awaitReady(server)
        cpu = run(server, 1.0)["cpu"]
        data = Path(folder) / "perf.data"
        recording = subprocess.Popen(
            [perf, "record", "-e", "cpu-clock", "-F", "5000", "-g", "-o", str(data), "-p", str(server.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            run(server, 0.2)
        finally:
            recording.terminate()
            _, errors = recording.communicate()
        if not data.exists():
            raise Failed(f"perf failed:\n{errors.decode(errors='replace')}")
        found = parts(perf, data)
    whole = sum(found.values()) or 1.0
    return {"cpu": cpu, "parts": {part: cpu * percent / whole for part, percent in found.items()}}


def measure(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """
    All candidates.

    @return: the command's exit status.
    @raise Failed: one doesn't do its work.
    """
    serverCore, loadCore = twoCores()
    report: dict[str, Any] = {**command.facts("cost", arguments), "case": CASES[given.case].title, "candidates": {}}
    with tempfile.TemporaryDirectory() as folder, pinnedTo(loadCore):
        pingpong = Pingpong(Path(folder))
        load = Load(given.case, Path(folder) / "requests")
        for name in command.inOrder(CANDIDATES, given.candidates):
            found = sample("perf", CANDIDATES[name], load, pingpong, serverCore, given.seconds)
            report["candidates"][name] = found
            print(f"{CANDIDATES[name].title:34} {found['cpu']:5.1f} us a request")
            for part, cost in found["parts"].items():
                print(f"    {part:30} {cost:5.1f} us  {100 * cost / found['cpu']:3.0f} %", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    options = argparse.ArgumentParser(prog="python -m benchmarks.cost", description="Where a request's time goes.")
    options.add_argument("--case", choices=[name for name, case in CASES.items() if case.exact], default="post")
    command.addNames(options, "--candidates", CANDIDATES)
    options.set_defaults(candidates=[OURS, pure(OURS), STOCK, "handwritten"])
    options.add_argument("--seconds", type=float, default=3.0, help="how long each run is (%(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    given = options.parse_args(arguments)
    if not 0.1 <= given.seconds <= 600:
        options.error("--seconds must be from 0.1 to 600")
    unable = lacking({"perf": "apt-get install linux-perf", COMPILER: HINT})
    if unable is not None:
        command.say(unable)
        return 1
    return command.endingWell(lambda: measure(given, arguments))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
