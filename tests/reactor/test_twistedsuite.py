"""
Twisted's own reactor tests: nothing that passes with the stock epoll reactor may fail with ours.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import ROOT

# They name the reactors themselves.
pytestmark = pytest.mark.reactorless

STOCK = "twisted.internet.epollreactor.EPollReactor"
OURS = "wasinet_twisted.reactor.EPollReactor"


def outcomes(reactor: str) -> dict[str, str]:
    """
    How each test ends. A test that is tried several times keeps its worst end.
    """
    command = [sys.executable, "-W", "ignore", "-m", "tests.reactor.twistedsuite", reactor]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    found: dict[str, str] = {}
    for line in ran.stdout.splitlines():
        name, _, end = line.rpartition(" ")
        if name.startswith("twisted.internet.test.") and end in ("passed", "failed", "skipped"):
            found[name] = "failed" if found.get(name) == "failed" else end
    return found


def test_whatPassesThereAlsoPassesHere() -> None:
    stock, ours = outcomes(STOCK), outcomes(OURS)
    assert len(stock) > 300
    # Some fail with every reactor, where the tests run as root.
    failed = [name for name, end in stock.items() if end == "passed" and ours.get(name) != "passed"]
    assert failed == []
    assert ours.keys() == stock.keys()
