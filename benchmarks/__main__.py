"""
All benchmarks, and the page of their figures.

    python -m benchmarks [--output docs] [--quick] [--only PART ...]

It takes an hour, and writes C{benchmarks.md} with a chart for
each part, all at once at the end: a run that is interrupted or fails writes nothing.
With C{--only}, the named parts of the page that is there are measured anew, and say
when that was; the others stay.
With C{--quick} it takes a few seconds a part: the figures say nothing, but all that
makes them has run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import Any

from . import (
    asgi,
    client,
    command,
    connections,
    download,
    http,
    javascript,
    parser,
    parserreport,
    serverreport,
    tcp,
    websocket,
)
from .candidates import ROOT, Failed
from .command import say
from .report import rounds

PAGE = "benchmarks.md"


@dataclass(frozen=True)
class Part:
    """
    A benchmark.

    @ivar title: its section's.
    @ivar full: what its command is given.
    @ivar quick: the same, for a moment's run.
    @ivar unable: given that, why it can't run here, or L{None}.
    @ivar body: its section's lines, of the report and its chart.
    @ivar measured: tells how often and how long it measured.
    """

    title: str
    full: str
    quick: str
    unable: Callable[[list[str]], str | None]
    body: Callable[[dict[str, Any], str], list[str]]
    measured: Callable[[dict[str, Any]], str] = rounds


def _rounds(benchmark: Any) -> dict[str, Any]:
    return {
        "unable": lambda arguments: benchmark.unable(benchmark.parse(arguments)),
        "body": lambda report, picture: benchmark.body(report, picture, 3),
        "measured": lambda report: f"{serverreport.measured(report)}; {benchmark.words.load}: {report['load']}",
    }


PARTS = {
    "tcp": Part(
        "TCP echoes",
        "--rounds 5 --duration 2 --cases 64b-50 64b-5000 two-1",
        "--rounds 1 --duration 0.1 --cases 64b-50 64b-5000 two-1 --candidates conn conn-pure protocol "
        "protocol-epoll uvloop c",
        **_rounds(tcp.TcpBenchmark()),
    ),
    "http": Part(
        "HTTP requests",
        "--rounds 5 --duration 2 --cases post most browser pipelined close",
        "--rounds 1 --duration 0.1 --cases post browser --candidates ours ours-pure epoll handwritten",
        **_rounds(http.HttpBenchmark()),
    ),
    "asgi": Part(
        "ASGI apps",
        "--rounds 5 --duration 2",
        "--rounds 1 --duration 0.1 --cases bare --candidates ours ours-pure epoll uvicorn",
        **_rounds(asgi.AsgiBenchmark()),
    ),
    "websocket": Part(
        "WebSocket echoes",
        "--rounds 5 --duration 2 --cases 64b-50 4k-50 --idle 1000",
        "--rounds 1 --duration 0.1 --cases 64b-50 --idle 50 --candidates ours ours-pure asgi uvicorn autobahn",
        **_rounds(websocket.WebSocketBenchmark()),
    ),
    "javascript": Part(
        "JavaScript",
        "--rounds 5 --duration 2",
        "--rounds 1 --duration 0.1",
        **_rounds(javascript.JavaScriptBenchmark()),
    ),
    "client": Part(
        "HTTP requests of a client",
        "--rounds 5 --duration 2",
        "--rounds 1 --duration 0.1 --candidates ours ours-pure treq-ours treq agent aiohttp httpx handwritten",
        **_rounds(client.ClientBenchmark()),
    ),
    "download": Part(
        "Large downloads",
        "--rounds 3 --size 1024",
        "--rounds 1 --size 64 --candidates ours ours-pure aiohttp curl",
        lambda arguments: download.unable(download.parse(arguments)),
        download.body,
        download.measured,
    ),
    "connections": Part(
        "Idle connections",
        "--rounds 3 --count 3000",
        "--rounds 1 --count 300 --candidates conn protocol-epoll uvloop ours ours-pure twisted.web",
        lambda arguments: connections.unable(connections.parse(arguments)),
        lambda report, picture: connections.body(report, picture, 3),
    ),
    "parser": Part(
        "The parser",
        "--rounds 5",
        "--rounds 1",
        lambda arguments: parser.unable(parser.parse(arguments)),
        parserreport.body,
    ),
}


def picture(name: str) -> str:
    """
    The file of a part's chart.
    """
    return f"benchmarks-{name}.svg"


def given(name: str, quick: bool) -> list[str]:
    """
    What a part's command is given.
    """
    return (PARTS[name].quick if quick else PARTS[name].full).split()


def measure(name: str, quick: bool, folder: Path) -> dict[str, Any]:
    """
    Run a part, as a process of its own, and draw its chart.

    @param folder: where to.
    @return: its report.
    @raise Failed: it gives none.
    """
    kept = folder / f"{name}.json"
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", f"benchmarks.{name}", *given(name, quick)),
            *("--json", str(kept), "--plot", str(folder / picture(name))),
        ],
        cwd=ROOT,
        # The page has its tables.
        stdout=subprocess.DEVNULL,
        # A Ctrl-C in the terminal is for us.
        start_new_session=True,
    )
    try:
        status = running.wait()
    finally:
        # It stops what it has started.
        running.terminate()
        running.wait()
    if status:
        raise Failed(f"benchmarks.{name} ended with status {status}")
    report: dict[str, Any] = json.loads(kept.read_text())
    return report


def _versions(reports: dict[str, dict[str, Any]]) -> list[str]:
    """
    Those of all candidates, each once.
    """
    found = {f"{name} {version}" for name, version in reports["parser"]["versions"].items()}
    for name in ("tcp", "http", "asgi", "websocket", "javascript", "client", "download", "connections"):
        for candidate in reports[name]["candidates"].values():
            found.update(candidate["versions"].split(", "))
    return sorted(found, key=str.lower)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def formatPage(reports: dict[str, dict[str, Any]], quick: bool, seconds: float) -> str:
    """
    The page.

    @param seconds: how long it took.
    """
    facts = reports["tcp"]
    cores = facts["cores"]
    asked = "python -m benchmarks --quick" if quick else "python -m benchmarks"
    lines = [
        "# Benchmarks",
        "",
        "Ours beside its peers: what an echo over TCP costs, what an HTTP request costs a server and a client, what a",
        "WebSocket message costs a server, what a large download costs, how much memory a connection takes that waits,",
        "how long the parser takes. Written by this command; change nothing by hand:",
        "",
        f"    {asked}",
        "",
        "Figures are the median of the rounds, beside them their minimum and maximum. In a round the candidates take",
        "turns, and ratios are those of the same round. Less is better, but for messages and requests a second.",
        "",
        "## The machine",
        "",
        *wrap(
            f"{facts['date']}: {facts['cpu']}, {facts['system']}; servers and clients on core {cores['server']}, the "
            f"load and the clients' origin, {reports['client']['load']}, on core {cores['load']}.",
            120,
        ),
        "",
        *wrap(f"{', '.join(_versions(reports))}. wasinet_twisted is {facts['speed']}.", 120),
        "",
        "## How to repeat it",
        "",
        f"Two cores are needed, with nothing else that is busy on them. It took {seconds:.0f} s. Go, Node",
        "and curl are needed for their rows only.",
        "",
        "    apt-get install gcc libc6-dev wrk nginx-light curl nodejs golang-go",
        "    pip install -e '.[bench]'",
        f"    {asked}",
        "",
        "It runs these, which take more rounds and longer ones, or some cases and candidates only, if asked:",
        "",
        *(f"    {shlex.join(['python', '-m', f'benchmarks.{name}', *given(name, quick)])}" for name in PARTS),
        "",
    ]
    for name in PARTS:
        lines += _section(name, reports[name])
    return _asText(lines)


def _section(name: str, report: dict[str, Any], apart: str = "") -> list[str]:
    """
    A part of the page.

    @param apart: when, and with what, it was measured, if that was not with the rest.
    """
    part = PARTS[name]
    return [
        f"## {part.title}",
        "",
        *wrap(f"{_sentence(part.measured(report))}{apart}", 120),
        "",
        *part.body(report, picture(name)),
    ]


def _asText(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"


def renewPage(old: str, reports: dict[str, dict[str, Any]]) -> str:
    """
    The page with some parts anew, each where a whole run would have it.

    @param old: the page that is there.
    @param reports: those of the parts that were measured.
    """
    head, *sections = re.split(r"^(?=## )", old, flags=re.MULTILINE)
    titles = {name: f"## {part.title}\n" for name, part in PARTS.items()}
    there = {name: text for name, title in titles.items() for text in sections if text.startswith(title)}
    others = [text for text in sections if text not in there.values()]
    for name, report in reports.items():
        found = {version for each in report["candidates"].values() for version in each["versions"].split(", ")}
        versions = ", ".join(sorted(found, key=str.lower))
        there[name] = _asText(_section(name, report, f" Measured apart from the rest, {report['date']}: {versions}."))
    pieces = [head, *others, *(there[name] for name in PARTS if name in there)]
    return "\n\n".join(piece.strip("\n") for piece in pieces) + "\n"


def publish(folder: Path, output: Path, parts: Sequence[str]) -> None:
    """
    Put the page and its charts where they belong; each replaces the one before at once.

    @param parts: those that were measured.
    """
    output.mkdir(parents=True, exist_ok=True)
    files = [PAGE, *(picture(name) for name in parts)]
    try:
        for file in files:
            shutil.copyfile(folder / file, output / f"{file}.new")
        for file in files:
            os.replace(output / f"{file}.new", output / file)
    finally:
        for file in files:
            (output / f"{file}.new").unlink(missing_ok=True)


def run(quick: bool, output: Path, parts: Sequence[str]) -> int:
    """
    Measure everything, or some parts, and write the page.

    @raise Failed: a part gives no report.
    """
    began = time.monotonic()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        reports = {}
        for number, name in enumerate(parts, 1):
            say(f"part {number} of {len(parts)}: {PARTS[name].title}, after {time.monotonic() - began:.0f} s")
            reports[name] = measure(name, quick, folder)
        seconds = time.monotonic() - began
        if len(parts) == len(PARTS):
            page = formatPage(reports, quick, seconds)
        else:
            page = renewPage((output / PAGE).read_text(encoding="utf-8"), reports)
        (folder / PAGE).write_text(page, encoding="utf-8")
        publish(folder, output, parts)
    say(f"{output / PAGE} is written, after {seconds:.0f} s")
    return 0


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    options = argparse.ArgumentParser(prog="python -m benchmarks", description="All benchmarks, and their page.")
    options.add_argument(
        "--output", type=Path, default=ROOT / "docs", metavar="FOLDER", help="where the page is written to (docs)"
    )
    options.add_argument("--quick", action="store_true", help="a few seconds a part: the figures say nothing")
    options.add_argument(
        "--only", nargs="+", choices=tuple(PARTS), metavar="PART", help=f"measure these parts only: {', '.join(PARTS)}"
    )
    asked = options.parse_args(arguments)
    parts = [name for name in PARTS if asked.only is None or name in asked.only]
    if len(parts) < len(PARTS) and not (asked.output / PAGE).exists():
        say(f"benchmarks: {asked.output / PAGE} is not there; --only measures parts of a page anew")
        return 1
    # Who lacks something learns so before the measuring.
    for name in parts:
        unable = PARTS[name].unable([*given(name, asked.quick), "--plot", picture(name)])
        if unable is not None:
            say(f"benchmarks.{name}: {unable}")
            return 1
    return command.endingWell(lambda: run(asked.quick, asked.output, parts))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
