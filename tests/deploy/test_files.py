"""
Each file of C{deploy/} has a test, and a line in its README.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.processes import ROOT
from wasinet_twisted.service.asgi import Options as AsgiOptions
from wasinet_twisted.service.http import Options as HttpOptions

from .support import DEPLOY, deployed

pytestmark = pytest.mark.reactorless

README = "README.md"


def files() -> list[str]:
    """
    All of them, by their path in C{deploy/}.
    """
    found = [path for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(str(path.relative_to(DEPLOY)) for path in found)


def test_eachHasATest() -> None:
    """
    Some module of tests names it, as a string.
    """
    named: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value)
    assert [name for name in files() if name not in named] == []


def test_eachIsExplained() -> None:
    """
    And nothing else is.
    """
    rows = re.findall(r"^\| `([\w./-]+)` \|[^|]+\|([^|]*)\|$", deployed(README), re.MULTILINE)
    assert sorted(name for name, _ in rows) == [name for name in files() if name != README]
    # What is to be changed is marked in the file.
    for name, change in rows:
        if not name.endswith((".json", ".py")):
            assert bool(change.strip()) == ("CHANGE" in deployed(name).replace('end with "# CHANGE"', "")), name


def test_theOptionsExist() -> None:
    """
    Those of the commands that are named, wherever they are.
    """
    http, asgi = HttpOptions(), AsgiOptions()
    known = {*http.longOpt, *asgi.longOpt}
    known = {name.rstrip("=") for name in known}
    # Of twistd, haproxy, podman, systemctl and Docker's health checks.
    others = {"pidfile", "read-only", "cap-drop", "security-opt", "now", "from", "help"}
    others |= {"interval", "timeout", "start-period", "retries"}
    for name in files():
        for option in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", deployed(name)):
            assert option in known | others, f"{name}: --{option}"


def test_theLimitsExist() -> None:
    known = HttpOptions()["limits"]
    for name in files():
        for limit in re.findall(r"limits[ =]\W*(\w+)=", deployed(name)):
            assert hasattr(known, limit), f"{name}: {limit}"


def test_itIsFound() -> None:
    """
    From the page for operators; and what it links to is there.
    """
    assert "../deploy/README.md" in (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https:)([^)#]+)", deployed(README)):
        assert (DEPLOY / link).exists(), link
