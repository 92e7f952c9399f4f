"""
Test suites of other ASGI servers, each with its own server and with ours, compared test by test.

    python -m tests.asgi.suites                                 # all of them, some minutes
    python -m tests.asgi.suites --suite "uvicorn http"          # one
    python -m tests.asgi.suites --markdown docs/asgi-suites.md

It needs the extra C{asgisuites}, in an environment of its own; the suites' files are downloaded from the package index.
The status is 1 if anything that passes with a suite's own server does not pass with ours and has no reason in
C{tests.asgi.differences}, or has one that is no longer needed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.asgi.differences import DIFFERENCES
from tests.asgi.pytestsuite import SUITES
from tests.reactor import suites
from tests.reactor.suites import BEGIN, END, Run, differences, faults, regressions

HEAD = """| suite | release | tests | with its own server: passed / failed / skipped | with ours | different |
| --- | --- | --: | --: | --: | --: |
"""


def run(which: str, title: str) -> Run:
    """
    Run a suite with one server, in a process of its own.

    @param which: C{"stock"} or C{"ours"}.
    """
    return suites.run(which, (title,), module="tests.asgi.pytestsuite")


def explained(
    reasons: Mapping[str, str], different: Sequence[str]
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """
    Sort what is different by its reason.

    @param reasons: for a pattern that names tests, the reason why they end in another way.
    @return: the tests of each pattern; those that no pattern names; and the patterns that name none.
    """
    found: dict[str, list[str]] = {pattern: [] for pattern in reasons}
    unexplained = []
    for name in different:
        for pattern in reasons:
            if re.search(pattern, name):
                found[pattern].append(name)
                break
        else:
            unexplained.append(name)
    return found, unexplained, [pattern for pattern, names in found.items() if not names]


def row(title: str, stock: Run, ours: Run) -> str:
    """
    A suite's row of the table.
    """
    suite = SUITES[title]
    tests = len(stock.ends.keys() | ours.ends.keys())
    different = len(differences(stock, ours))
    return (
        f"| {title} | {suite.distribution} {version(suite.distribution)}, on {suite.server} | {tests} "
        f"| {stock.counts()} | {ours.counts()} | {different or 'none'} |\n"
    )


def told(names: Sequence[str], stock: Run, ours: Run) -> str:
    """
    How tests ended with each, in words; the cases of a test together.
    """
    cases = Counter(
        (
            re.sub(r"\[.*\]", "", name).rpartition("::")[2],
            stock.ends.get(name, "missing"),
            ours.ends.get(name, "missing"),
        )
        for name in names
    )
    return ", ".join(
        f"`{test}` ({f'{count} cases, ' if count > 1 else ''}{before}, ours {after})"
        for (test, before, after), count in cases.items()
    )


def compared(title: str, stock: Run, ours: Run) -> tuple[str, list[str]]:
    """
    Compare the two runs of a suite.

    @return: its part of the page below the table, and what is wrong.
    """
    reasons = DIFFERENCES.get(title, {})
    named, unexplained, stale = explained(reasons, differences(stock, ours))
    lines = [
        f"- {title}: {told(names, stock, ours)}: {reasons[pattern]}\n" for pattern, names in named.items() if names
    ]
    expected = {name for names in named.values() for name in names}
    # What is explained is no fault; all else that ends worse is, as are the runs that didn't end.
    rest = Run({name: end for name, end in stock.ends.items() if name not in expected}, {}, stock.complete)
    wrong = faults(rest, ours)
    worse = regressions(rest, ours)
    wrong += [
        f"better with ours, and nobody says why: {told([name], stock, ours)}"
        for name in unexplained
        if name not in worse
    ]
    wrong += [f"differences.py has a reason for what is not different: {pattern}" for pattern in stale]
    lines += [f"- {title}, left out with both: `{pattern}`: {why}\n" for pattern, why in SUITES[title].leftOut]
    return "".join(lines), wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """
    @return: the status of the command.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.asgi.suites", description="Other ASGI servers' suites.")
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=list(SUITES), help="all of them unless said")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into this page, between its marks")
    options = parser.parse_args(arguments)
    marked = re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)
    # Who has named the wrong page learns so before the tests have run.
    if options.markdown is not None and not (
        options.markdown.is_file() and len(marked.findall(options.markdown.read_text())) == 1
    ):
        parser.error(f"{options.markdown} has no place between {BEGIN.strip()} and {END.strip()}")

    table, below, wrong = HEAD, "", False
    print(HEAD, end="", flush=True)
    for title in options.suite:
        # One after the other: some tests have the machine's time in view.
        stock, ours = run("stock", title), run("ours", title)
        line = row(title, stock, ours)
        print(line, end="", flush=True)
        table += line
        lines, found = compared(title, stock, ours)
        below += lines
        for fault in found:
            wrong = True
            print(fault, file=sys.stderr, flush=True)
    print(below, end="")
    if options.markdown is not None:
        page = f"{table}\nEach difference, and its reason:\n\n{below}" if below else table
        options.markdown.write_text(marked.sub(lambda _: page, options.markdown.read_text()))
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
