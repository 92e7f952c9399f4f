"""
What the suite is held to by its own plugins: tests on a Clock use no reactor, and two processes share a whole run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.reactorless

TESTS = """
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

class Tests(SynchronousTestCase):
    def test_clock(self):
        Clock().callLater(1, int)

    def test_reactor(self):
        reactor.callLater(0, int).cancel()

    def test_hidden(self):
        try:
            reactor.callLater(0, int)
        except AssertionError:
            pass

def test_function():
    reactor.callLater(0, int).cancel()
"""


def run(directory: Path, *arguments: str) -> str:
    """
    Run tests as those of this suite are run.

    @return: what pytest prints.
    """
    (directory / "test_these.py").write_text(TESTS)
    plugins = [f"-ptests.{name}" for name in ("reactors", "sharing", "conftest")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", *plugins, "-pno:cacheprovider", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_aClockIsNoReactor(tmp_path: Path) -> None:
    """
    Whoever hides that the reactor was used is found out as well; what is no SynchronousTestCase may use it.
    """
    printed = run(tmp_path, "test_these.py")
    assert "::test_clock PASSED" in printed
    assert "::test_reactor FAILED" in printed
    assert "::test_hidden ERROR" in printed
    assert "::test_function PASSED" in printed


def test_marked(tmp_path: Path) -> None:
    printed = run(tmp_path, "-m", "reactorless and quick", "-k", "clock or function", "test_these.py")
    assert "test_clock" in printed
    assert "test_function" not in printed


@pytest.mark.parametrize(
    ("arguments", "shared"), [((), True), (("-n", "0"), False), (("-s",), False), (("test_these.py",), False)]
)
def test_shared(tmp_path: Path, arguments: tuple[str, ...], shared: bool) -> None:
    printed = run(tmp_path, "-k", "clock", *arguments)
    assert "1 passed" in printed
    assert ("[gw" in printed) == shared
