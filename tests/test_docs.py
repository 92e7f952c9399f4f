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
# What is a test is run as one.
PYTEST = re.compile(r"^def test_", re.MULTILINE)
TRIAL = re.compile(r"^class .*\(SynchronousTestCase\)", re.MULTILINE)
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
def test_program(name: str, program: str, tmp_path: Path) -> None:
    compile(program, name, "exec")
    if SERVES.search(program):
        return
    # Twisted keeps a descriptor in reserve that it never closes.
    warnings = ["-W", "error", "-W", "ignore::ResourceWarning"]
    arguments = ["-c", program]
    if PYTEST.search(program) or TRIAL.search(program):
        path = tmp_path / "test_page.py"
        path.write_text(program, encoding="utf-8")
        arguments = ["-m", "pytest"] if PYTEST.search(program) else ["-m", "twisted.trial"]
        arguments.append(str(path))
    command = [sys.executable, *warnings, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_links() -> None:
    """
    What a page links to exists.
    """
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
