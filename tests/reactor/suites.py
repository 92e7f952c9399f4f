"""
Other people's test suites, each on a stock reactor and on ours that takes its place, compared test by test.

    python -m tests.reactor.suites                          # all of them, some minutes
    python -m tests.reactor.suites --suite twisted.web      # one
    python -m tests.reactor.suites --names twisted.web.test.test_http.PipeliningBodyTests
    python -m tests.reactor.suites --asyncio                # on the asyncio reactors
    python -m tests.reactor.suites --asyncio --uvloop       # the same on uvloop's loop, which must be installed
    python -m tests.reactor.suites --markdown docs/reactor.md

It needs the extra C{suites}. The status is 1 if anything that passes with the stock reactor doesn't with ours.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.processes import ROOT

STOCK = "twisted.internet.epollreactor"
OURS = "wasinet_twisted.reactor"
STOCK_ASYNCIO = "twisted.internet.asyncioreactor"
OURS_ASYNCIO = "wasinet_twisted.reactor.asyncio"

# How long a suite may take, in seconds.
PATIENCE = 900.0

# Where a table stands in a page.
BEGIN, END = "<!-- suites -->\n", "<!-- end of suites -->\n"
BEGIN_ASYNCIO, END_ASYNCIO = "<!-- suites of asyncio -->\n", "<!-- end of suites of asyncio -->\n"


@dataclass(frozen=True)
class Suite:
    """
    A suite of trial's.

    @ivar distribution: what it is a part of, as its package is called, if that is known.
    @ivar names: what trial is to run.
    """

    distribution: str
    names: tuple[str, ...]


SUITES = {
    "twisted.internet": Suite("twisted", ("twisted.internet.test",)),
    "twisted.test": Suite("twisted", ("twisted.test",)),
    "twisted.protocols": Suite("twisted", ("twisted.protocols.test", "twisted.protocols.haproxy.test")),
    "twisted.web": Suite("twisted", ("twisted.web.test",)),
    "twisted.conch": Suite("twisted", ("twisted.conch.test",)),
    "twisted.mail": Suite("twisted", ("twisted.mail.test",)),
    "twisted.names": Suite("twisted", ("twisted.names.test",)),
    "twisted.spread": Suite("twisted", ("twisted.spread.test",)),
    "twisted.words": Suite("twisted", ("twisted.words.test",)),
    "twisted.application": Suite(
        "twisted",
        (*(f"twisted.application.{part}test" for part in ("", "runner.", "twist.")), "twisted.runner.test"),
    ),
    "treq": Suite("treq", ("treq.test",)),
    "klein": Suite("klein", ("klein.test", "tubes.test")),
    "autobahn": Suite(
        "autobahn", tuple(f"autobahn.{part}.test" for part in ("twisted", "websocket", "rawsocket", "wamp"))
    ),
    "foolscap": Suite("foolscap", ("foolscap.test",)),
    "wormhole": Suite("magic-wormhole-mailbox-server", ("wormhole_mailbox_server.test",)),
}


@dataclass(frozen=True)
class Run:
    """
    A suite, run on one reactor.

    @ivar ends: how each test ended, C{"passed"}, C{"failed"} or C{"skipped"}.
    @ivar reasons: why those failed that did.
    @ivar complete: did it come to its end?
    """

    ends: Mapping[str, str]
    reasons: Mapping[str, str]
    complete: bool = True

    def counts(self) -> str:
        """
        How many passed, failed, and were skipped.
        """
        counts = Counter(self.ends.values())
        return " / ".join(str(counts[end]) for end in ("passed", "failed", "skipped"))


def parse(lines: str, complete: bool = True) -> Run:
    """
    @param lines: what C{tests.reactor.twistedsuite} wrote. A test that is reported several times keeps a failure.
    """
    ends: dict[str, str] = {}
    reasons: dict[str, str] = {}
    name = ""
    for line in lines.splitlines():
        if line.startswith("\t"):
            reasons[name] = reasons.get(name, "") + line + "\n"
        elif line:
            name, _, end = line.rpartition(" ")
            ends[name] = "failed" if ends.get(name) == "failed" else end
    return Run(ends, reasons, complete)


def run(which: str, names: Sequence[str] = (), module: str = "tests.reactor.twistedsuite") -> Run:
    """
    Run a suite on one reactor, in a process of its own.

    @param names: what C{tests.reactor.twistedsuite} takes.
    @param module: it, or another one that takes its arguments, the first of which is C{which}.
    """
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory, "results")
        results.touch()
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module, which, str(results), *names],
            cwd=ROOT,
            # Autobahn's tests want to be told for which framework they are.
            env={**os.environ, "USE_TWISTED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            complete = process.wait(PATIENCE) == 0
        except subprocess.TimeoutExpired:
            complete = False
        finally:
            if process.poll() is None:
                # Its children too.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return parse(results.read_text(errors="replace"), complete)


def regressions(stock: Run, ours: Run) -> list[str]:
    """
    What ends worse with ours than with the stock reactor, or is missing there.
    """
    return [
        name
        for name, end in stock.ends.items()
        if end != "failed" and ours.ends.get(name, "missing") not in ("passed", end)
    ]


def differences(stock: Run, ours: Run) -> list[str]:
    """
    What doesn't end with ours as it ends with the stock reactor, for better or worse.
    """
    return sorted(name for name in stock.ends.keys() | ours.ends.keys() if stock.ends.get(name) != ours.ends.get(name))


def row(title: str, release: str, stock: Run, ours: Run) -> str:
    """
    A suite's row of the table.
    """
    different = ", ".join(f"`{name}`" for name in differences(stock, ours)) or "none"
    tests = len(stock.ends.keys() | ours.ends.keys())
    return f"| {title} | {release} | {tests} | {stock.counts()} | {ours.counts()} | {different} |\n"


HEAD = """| suite | release | tests | stock: passed / failed / skipped | ours | different |
| --- | --- | --: | --: | --: | --- |
"""


def faults(stock: Run, ours: Run) -> list[str]:
    """
    What keeps the comparison from saying that all is well, in words.
    """
    found = [
        f"{name}: {stock.ends[name]}, and with ours {ours.ends.get(name, 'missing')}\n" + ours.reasons.get(name, "")
        for name in regressions(stock, ours)
    ]
    if not stock.ends:
        found.append("no test was run")
    found.extend(
        f"with {which} it didn't come to its end"
        for which, side in (("stock", stock), ("ours", ours))
        if not side.complete
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """
    @return: the status of the command.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.reactor.suites", description="Suites on both reactors.")
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=list(SUITES), help="all of them unless said")
    parser.add_argument("--names", nargs="+", help="instead: modules, classes or tests")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into this page, between its marks")
    parser.add_argument("--asyncio", action="store_true", help="compare the asyncio reactors instead")
    parser.add_argument("--uvloop", action="store_true", help="with --asyncio: on uvloop's loop")
    options = parser.parse_args(arguments)
    if options.uvloop and not options.asyncio:
        parser.error("--uvloop is for --asyncio")
    loop = ":uvloop" if options.uvloop else ""
    both = (STOCK_ASYNCIO + loop, OURS_ASYNCIO + loop) if options.asyncio else (STOCK, OURS)
    begin, end = (BEGIN_ASYNCIO, END_ASYNCIO) if options.asyncio else (BEGIN, END)
    marked = re.compile(f"(?<={re.escape(begin)}).*(?={re.escape(end)})", re.DOTALL)
    # Who has named the wrong page learns so before the tests have run.
    if options.markdown is not None and not (
        options.markdown.is_file() and len(marked.findall(options.markdown.read_text())) == 1
    ):
        parser.error(f"{options.markdown} has no place between {begin.strip()} and {end.strip()}")

    if options.names:
        chosen = {" ".join(options.names): Suite("", tuple(options.names))}
    else:
        chosen = {title: SUITES[title] for title in options.suite}
    table, wrong = HEAD, False
    print(HEAD, end="", flush=True)
    for title, suite in chosen.items():
        # One after the other: some tests have the machine's time in view, or a port of their own.
        stock, ours = (run(which, suite.names) for which in both)
        release = suite.distribution and f"{suite.distribution} {version(suite.distribution)}"
        line = row(title, release, stock, ours)
        print(line, end="", flush=True)
        table += line
        for fault in faults(stock, ours):
            wrong = True
            print(fault, file=sys.stderr, flush=True)
    if options.markdown is not None:
        options.markdown.write_text(marked.sub(lambda _: table, options.markdown.read_text()))
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
