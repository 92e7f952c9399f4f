"""
treq's test suite with the Agent of C{twisted.web} and with ours, compared test by test.

    python -m tests.client.suites                               # some 30 s
    python -m tests.client.suites --names treq.test.test_treq_integration
    python -m tests.client.suites --names twisted.web.test.test_agent   # most of it asks for private names
    python -m tests.client.suites --markdown docs/client.md

It needs the extra C{suites}. The status is 1 if anything that passes with C{twisted.web}'s doesn't with ours.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.reactor import suites
from tests.reactor.suites import BEGIN, END, Run, faults, row

TREQ = ("treq.test",)

HEAD = """| suite | release | tests | twisted.web's Agent: passed / failed / skipped | ours | different |
| --- | --- | --: | --: | --: | --- |
"""


def run(agent: str, names: Sequence[str] = TREQ) -> Run:
    """
    Run a suite with one Agent, in a process of its own.

    @param agent: C{"stock"} or C{"ours"}.
    @param names: what C{tests.reactor.twistedsuite} takes.
    """
    return suites.run(agent, names, module="tests.client.treqsuite")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    @return: the status of the command.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.client.suites", description="treq's suite on both Agents.")
    parser.add_argument("--names", nargs="+", help="instead of treq's suite: modules, classes or tests")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into this page, between its marks")
    options = parser.parse_args(arguments)
    marked = re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)
    # Who has named the wrong page learns so before the tests have run.
    if options.markdown is not None and not (
        options.markdown.is_file() and len(marked.findall(options.markdown.read_text())) == 1
    ):
        parser.error(f"{options.markdown} has no place between {BEGIN.strip()} and {END.strip()}")
    names = options.names or TREQ
    title, release = (" ".join(names), "") if options.names else ("treq", f"treq {version('treq')}")
    # One after the other: some tests have the machine's time in view.
    stock, ours = run("stock", names), run("ours", names)
    table = HEAD + row(title, release, stock, ours)
    print(table, end="", flush=True)
    found = faults(stock, ours)
    for fault in found:
        print(fault, file=sys.stderr, flush=True)
    if options.markdown is not None:
        options.markdown.write_text(marked.sub(lambda _: table, options.markdown.read_text()))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
