"""
What the benchmarks' commands have in common: where they write to, what a report says of the machine, how they end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from wasinet_twisted import speed

from .candidates import Failed

LACKING = "is missing: pip install 'wasinet_twisted[bench]'"


def say(text: str) -> None:
    """
    Tell how far it is, beside the results.
    """
    print(text, file=sys.stderr, flush=True)


def parser(module: str, description: str, rounds: int | None) -> argparse.ArgumentParser:
    """
    The options that all have.

    @param module: the command's.
    @param rounds: how many there are, unless told.
    """
    options = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=description)
    options.add_argument(
        "--rounds", type=int, default=rounds, help="how many rounds to take the median of (%(default)s)"
    )
    options.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options.add_argument("--plot", type=Path, metavar="FILE", help="draw a bar chart (.png, .svg); needs matplotlib")
    options.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page")
    return options


def parse(options: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """
    Parse and check what all have.
    """
    given = options.parse_args(arguments)
    if given.rounds < 1:
        options.error("--rounds must be at least 1")
    return given


def addNames(options: argparse.ArgumentParser, option: str, table: dict[str, Any]) -> None:
    """
    An option that chooses some of a table, see L{inOrder}.
    """
    options.add_argument(option, nargs="+", choices=table, default=list(table), metavar="NAME", help=", ".join(table))


def inOrder(table: dict[str, Any], names: Sequence[str]) -> list[str]:
    """
    The names in the table's order, and none twice.
    """
    return [name for name in table if name in names]


def raiseDescriptors() -> int:
    """
    As many descriptors as the system lets this process have, and those it starts.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def undrawable(given: argparse.Namespace) -> str | None:
    """
    Why no chart can be drawn. Asked first: who lacks matplotlib learns so before the measuring.
    """
    return f"matplotlib {LACKING}" if given.plot is not None and not find_spec("matplotlib") else None


def cpuModel() -> str:
    """
    What the processor calls itself.
    """
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def facts(module: str, arguments: Sequence[str]) -> dict[str, Any]:
    """
    What every report begins with.

    @param arguments: what the command was given, for the record.
    """
    return {
        "command": shlex.join(["python", "-m", f"benchmarks.{module}", *arguments]),
        "date": time.strftime("%Y-%m-%d"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpu": cpuModel(),
        # Of what runs in this process; a candidate's is its own.
        "speed": str(speed()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores",
    }


def write(
    given: argparse.Namespace,
    report: dict[str, Any],
    formatMarkdown: Callable[[dict[str, Any], str | None], str],
    plot: Callable[[dict[str, Any], Path], None],
) -> None:
    """
    Write what was asked for.

    @param formatMarkdown: gives the page of a report, whose chart is there.
    @param plot: draws the chart.
    """
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    if given.plot is not None:
        plot(report, given.plot)
    if given.markdown is not None:
        picture = None
        if given.plot is not None:
            picture = Path(os.path.relpath(given.plot, given.markdown.parent)).as_posix()
        given.markdown.write_text(formatMarkdown(report, picture), encoding="utf-8")


def _end(number: int, _: object) -> NoReturn:
    # An exception, so that what was started is stopped.
    raise SystemExit(128 + number)


def endingWell(work: Callable[[], int]) -> int:
    """
    Do what starts processes, and stop them whatever the end.

    @return: the exit status.
    """
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _end)
    # A shell's background jobs ignore it, and would the servers too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return work()
    except Failed as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
