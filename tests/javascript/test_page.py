"""
C{docs/javascript.md}: its tables name tests, and these are there.
"""

from __future__ import annotations

import re

from tests.test_threats import ROOT, defined

PAGE = ROOT / "docs" / "javascript.md"
_NAMED = re.compile(r"`(javascript/test_\w+)::([\w:]+)`")


def rows(heading: str) -> list[str]:
    """
    Return the rows of the first table below a heading.
    """
    below = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = re.search(r"^\| ---.*\n((?:\|.*\n)+)", below, re.MULTILINE)
    assert table is not None
    return table[1].splitlines()


def test_eachNamedTestExists() -> None:
    """
    Each program that runs and each limit has a test.
    """
    for heading, least in (("What runs", 9), ("Limits", 10)):
        found = rows(heading)
        assert len(found) >= least
        for row in found:
            assert _NAMED.search(row.split("|")[3]), row
    page = PAGE.read_text(encoding="utf-8")
    for file, name in _NAMED.findall(page):
        assert name in defined(ROOT / "tests" / f"{file}.py"), f"{file}::{name}"
    assert page.count("::") == sum(1 + name.count("::") for _, name in _NAMED.findall(page))


def test_eachExampleIsInThePage() -> None:
    """
    The page names all scripts of C{examples/js}, and no others.
    """
    named = set(re.findall(r"`examples/js/(\w+\.js)`", PAGE.read_text(encoding="utf-8")))
    assert named == {path.name for path in (ROOT / "examples" / "js").glob("*.js")}
