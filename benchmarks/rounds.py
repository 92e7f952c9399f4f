"""
What the benchmarks of servers have in common: their candidates take turns, round by round.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from . import command, serverreport
from .candidates import Candidate, pinnedTo
from .command import say
from .report import by, spread
from .serverreport import Words, formatRun

# What each run gives, and a case's summary has of all rounds.
_FIGURES = ("rate", "cpu", "busy", "loadBusy", "p50", "p99")


class ServerBenchmark(ABC):
    """
    Each candidate is a process of its own, started anew for each run and kept on one core; what sends to it runs on
    another one.

    @cvar module: the command's.
    @cvar description: what it says of itself.
    @cvar words: how it is told of.
    @cvar cases: the kinds of load; each has a C{title}.
    @cvar candidates: the servers.
    @cvar needed: programs, and how one gets them.
    """

    module: ClassVar[str]
    description: ClassVar[str]
    words: ClassVar[Words]
    cases: ClassVar[dict[str, Any]]
    candidates: ClassVar[dict[str, Candidate]]
    needed: ClassVar[dict[str, str]]

    def addOptions(self, options: argparse.ArgumentParser) -> None:  # noqa: B027
        """
        Add those that only this one has.
        """

    @abstractmethod
    def connections(self, case: str) -> int:
        """
        How many there are in a case.
        """

    @abstractmethod
    def prepare(self, folder: Path, cases: Sequence[str], candidates: dict[str, Candidate], core: int) -> None:
        """
        Make what the runs need, and check what can be checked before anything is timed.

        @param folder: is there until the last run has ended.
        @raise Failed: a candidate doesn't answer as it should.
        """

    @abstractmethod
    def measure(self, case: str, candidate: Candidate, core: int, duration: float) -> dict[str, Any]:
        """
        One run of one candidate.

        @return: what is answered a second; CPU time for each, in us; the part of the server's core, and of the load's,
            that was busy; latencies, in us. There may be C{errors} by kind, and the memory of an C{idle} connection, in
            bytes.
        @raise Failed: the candidate doesn't do its work.
        """

    @abstractmethod
    def load(self) -> str:
        """
        What sends, and its version.
        """

    def describe(self, case: str) -> dict[str, Any]:
        """
        What the report says of a case, and what of it is drawn.
        """
        return {
            "name": case,
            "title": self.cases[case].title,
            "connections": self.connections(case),
            "drawn": ["cpu"],
        }

    def goals(self, cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """
        What was to be reached.

        @param cases: the summaries.
        @return: for each its C{text}, the C{value} that was found, and how much that may be at the C{most}, or is to be
            at the C{least}.
        """
        return []

    def table(self, report: dict[str, Any]) -> str:
        """
        The report for a terminal.
        """
        return serverreport.formatTable(report, self.words)

    def page(self, report: dict[str, Any], picture: str | None) -> str:
        """
        The report as a page of its own.
        """
        return serverreport.formatMarkdown(report, self.words, picture)

    def body(self, report: dict[str, Any], picture: str | None, level: int) -> list[str]:
        """
        The report as a part of a page.

        @param level: that of its headings.
        """
        return serverreport.body(report, self.words, picture, level)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """
        What the command was given.
        """
        options = command.parser(self.module, self.description, 5)
        options.add_argument(
            "--duration", type=float, default=3.0, help="how long each run is, in seconds (%(default)s)"
        )
        command.addNames(options, "--cases", self.cases)
        command.addNames(options, "--candidates", self.candidates)
        self.addOptions(options)
        self.given = given = command.parse(options, arguments)
        if not (math.isfinite(given.duration) and 0.1 <= given.duration <= 600):
            options.error("--duration must be from 0.1 to 600")
        given.cases = command.inOrder(self.cases, given.cases)
        given.candidates = command.inOrder(self.candidates, given.candidates)
        # Some files beside the connections are open anyway.
        hard = command.raiseDescriptors()
        for case in given.cases:
            if not 1 <= self.connections(case) <= hard - 100:
                options.error(
                    f"the case {case} has {self.connections(case)} connections, and may have from 1 to {hard - 100}: "
                    f"there may be {hard} descriptors"
                )
        return given

    def unable(self, given: argparse.Namespace) -> str | None:
        """
        Why it can't be measured here; who lacks something learns so before the measuring.
        """
        return lacking(self.needed) or command.undrawable(given)

    def run(self, given: argparse.Namespace, arguments: Sequence[str]) -> dict[str, Any]:
        """
        Measure everything.

        @param arguments: what the command was given, for the record.
        @raise Failed: a candidate doesn't do its work.
        """
        names = given.candidates
        serverCore, loadCore = twoCores()
        runs: dict[str, dict[str, list[dict[str, Any]]]] = {case: {name: [] for name in names} for case in given.cases}
        with tempfile.TemporaryDirectory() as folder:
            candidates = {name: self.candidates[name].compiled(Path(folder, name)) for name in names}
            with pinnedTo(loadCore):
                self.prepare(Path(folder), given.cases, candidates, serverCore)
                order = list(names)
                for number in range(1, given.rounds + 1):
                    for case in given.cases:
                        for name in order:
                            taken = self.measure(case, candidates[name], serverCore, given.duration)
                            runs[case][name].append(taken)
                            told = formatRun(taken, self.words)
                            say(f"round {number} of {given.rounds}  {case:9}  {name:16}  {told}")
                    # Nobody always comes after the same one.
                    order.append(order.pop(0))
        cases = {case: summarise(runs[case], self.words.among(names)) for case in given.cases}
        return {
            **command.facts(self.module, arguments),
            "candidates": {
                name: {"title": self.candidates[name].title, "versions": self.candidates[name].versions()}
                for name in names
            },
            "load": self.load(),
            "cores": {"server": serverCore, "load": loadCore},
            "rounds": given.rounds,
            "duration": given.duration,
            "cases": [{**self.describe(case), "candidates": cases[case]} for case in given.cases],
            "goals": self.goals(cases),
        }

    def main(self, arguments: Sequence[str]) -> int:
        """
        The command.

        @return: its exit status.
        """
        given = self.parse(arguments)
        unable = self.unable(given)
        if unable is not None:
            say(unable)
            return 1
        given.candidates = available(self.candidates, given.candidates)
        if not given.candidates:
            say("nothing is left to measure")
            return 1

        def work() -> int:
            report = self.run(given, arguments)
            print(self.table(report))
            command.write(
                given,
                report,
                self.page,
                lambda report, path: serverreport.plot(report, self.words, path),
            )
            return 0

        return command.endingWell(work)


def twoCores() -> tuple[int, int]:
    """
    The server's and the load's.
    """
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


def lacking(needed: dict[str, str]) -> str | None:
    """
    What is not there.

    @param needed: programs, and how one gets them.
    """
    if not hasattr(os, "sched_setaffinity"):
        return "this needs Linux: a core for the server, another for the load, and /proc"
    if len(os.sched_getaffinity(0)) < 2:
        return "this needs two cores: one for the server, one for the load"
    for program, hint in needed.items():
        if shutil.which(program) is None:
            return f"{program} is missing: {hint}"
    return None


def available(candidates: dict[str, Candidate], names: Sequence[str]) -> list[str]:
    """
    Those that can run here. Of the others it says why they can't.
    """
    there = []
    for name in names:
        missing = candidates[name].missing()
        if missing is None:
            there.append(name)
        else:
            say(f"{name} is skipped: {missing}")
    return there


def summarise(runs: dict[str, list[dict[str, Any]]], references: Sequence[str] | dict[str, str]) -> dict[str, Any]:
    """
    What the rounds of one case say.

    @param runs: each candidate's.
    @param references: whose CPU time others' is divided by, round by round, so that what changes from round to round on
        the machine disturbs less.
    """
    summary = {}
    for name, taken in runs.items():
        found: dict[str, Any] = {key: spread([run[key] for run in taken]) for key in _FIGURES}
        if "errors" in taken[0]:
            found["errors"] = {kind: sum(run["errors"][kind] for run in taken) for kind in taken[0]["errors"]}
        if "idle" in taken[0]:
            found["idle"] = spread([run["idle"] for run in taken])
        found["cpuBy"] = {
            reference: by(found["cpu"], spread([run["cpu"] for run in runs[reference]]))
            for reference in references
            if reference in runs and reference != name
        }
        summary[name] = found
    return summary
