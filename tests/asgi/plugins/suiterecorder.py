"""
A plugin of pytest's that writes how each test ended, as C{tests.reactor.suites.parse} reads it: its name and its end on
a line, and why it failed below, indented.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

# How long a test may take, in seconds: some of daphne's start dozens of servers.
PATIENCE = 120

# The best is first. A test is reported when it is set up, called and torn down: the worst of these counts.
ENDS = ("passed", "skipped", "failed")

_ends: dict[str, str] = {}
_reasons: dict[str, list[str]] = {}


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """
    Leave out what is run with neither server.
    """
    pattern = os.environ["WASINET_SUITE_LEFT_OUT"]
    if pattern:
        config.hook.pytest_deselected(items=[each for each in items if re.search(pattern, each.nodeid)])
        items[:] = [each for each in items if not re.search(pattern, each.nodeid)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """
    Fail a test that has no end.
    """

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"not after {PATIENCE} s: {item.nodeid}")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        return (yield)
    finally:
        signal.alarm(0)


def pytest_runtest_logreport(report: Any) -> None:
    """
    Remember a part of a test.
    """
    name = report.nodeid
    _ends[name] = max(_ends.get(name, ENDS[0]), report.outcome, key=ENDS.index)
    if report.failed:
        _reasons.setdefault(name, []).append(str(report.longrepr))


def pytest_runtest_logfinish(nodeid: str) -> None:
    """
    Write a test's lines at its end: the run may be stopped in the middle.
    """
    with open(os.environ["WASINET_SUITE_RESULTS"], "a") as lines:
        print(nodeid, _ends.get(nodeid, "failed"), file=lines)
        for reason in _reasons.get(nodeid, ()):
            print(textwrap.indent(reason, "\t", lambda line: True), file=lines)


def pytest_sessionfinish(session: Any, exitstatus: int) -> None:
    """
    End with 0 if all tests were run, however they ended.
    """
    if exitstatus == 1:
        session.exitstatus = 0
    # Python would wait for servers that a failed test has left.
    for process in multiprocessing.active_children():
        process.kill()
