"""
C{python -m wasinet_twisted.reactor}: a program on one of our reactors, run as Python runs it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

# It is what chooses the reactor.
pytestmark = pytest.mark.reactorless

PROGRAM = """
import sys
import beside
from twisted.internet import reactor
print(type(reactor).__module__, __name__, *sys.argv[1:], beside.NAME, sys.modules["__main__"].__dict__ is globals())
"""
OURS = {"": "wasinet_twisted.reactor.epoll", "--asyncio": "wasinet_twisted.reactor.asyncio"}


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wasinet_twisted.reactor", *filter(None, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=directory, env=environment, timeout=60, check=False
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """
    With a module, a package, and one that can't be run.
    """
    for path in ("program.py", "package/__main__.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(PROGRAM)
    # What a package imports when it is looked for.
    (tmp_path / "package" / "__init__.py").write_text("from twisted.internet import reactor")
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    (tmp_path / "inert").mkdir()
    (tmp_path / "inert" / "__init__.py").touch()
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


@pytest.mark.parametrize("option", OURS)
@pytest.mark.parametrize("program", [["-m", "program"], ["-m", "package"], ["program.py"]], ids=" ".join)
def test_runs(directory: Path, option: str, program: list[str]) -> None:
    ran = run(directory, option, *program, "--asyncio", "-m", "x")
    assert (ran.stderr, ran.stdout) == ("", f"{OURS[option]} __main__ --asyncio -m x beside True\n")


def test_aScriptSomewhereElse(directory: Path) -> None:
    """
    It finds what lies beside it.
    """
    ran = run(directory / "elsewhere", str(directory / "program.py"))
    assert ran.stdout == f"{OURS['']} __main__ beside True\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a program to run: -m MODULE, or a file"),
        (["--asyncio"], "name a program to run: -m MODULE, or a file"),
        (["-m"], "-m needs the name of a module"),
        (["--asyncoi", "-m", "program"], "there is no option --asyncoi before the program"),
        (["nothing.py"], "there is no file nothing.py"),
        (["-m", "nothing"], "there is no module nothing"),
        (["-m", "nothing.atAll"], "there is no module nothing.atAll: No module named 'nothing'"),
        (["-m", "inert"], "there is no module inert.__main__"),
        (["-m", ".program"], "there is no module .program"),
    ],
)
def test_wrongUse(directory: Path, arguments: list[str], said: str) -> None:
    ran = run(directory, *arguments)
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"python -m wasinet_twisted.reactor: {said}")
    assert (ran.returncode, ran.stdout) == (2, "")


def test_help(directory: Path) -> None:
    ran = run(directory, "--help")
    assert ran.returncode == 0
    assert "--asyncio" in ran.stdout
