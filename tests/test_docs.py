"""
The programs in the documentation run; those that would serve for ever at least compile.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Those of the README serve at fixed ports for ever.
SERVES = re.compile(r"^react\(serverStart|^application = ", re.MULTILINE)


def programs() -> list[tuple[str, str]]:
    """
    Each page's programs, by page and number.
    """
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        found += [(f"{page.name}-{number}", block) for number, block in enumerate(blocks, 1)]
    return found


@pytest.mark.parametrize(("name", "program"), [pytest.param(*each, id=each[0]) for each in programs()])
def test_program(name: str, program: str) -> None:
    compile(program, name, "exec")
    if SERVES.search(program):
        return
    # Twisted keeps a descriptor in reserve that it never closes.
    warnings = ["-W", "error", "-W", "ignore::ResourceWarning"]
    command = [sys.executable, *warnings, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_links() -> None:
    """
    What a page links to exists.
    """
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
