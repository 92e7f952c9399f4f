"""
What a type checker makes of the public calls.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.reactorless

PUBLIC = ROOT / "tests" / "typing" / "public.py"


def check(*options: str) -> str:
    """
    @return: what mypy prints.
    """
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300).stdout


def test_publicCalls() -> None:
    assert "Success" in check(str(PUBLIC))


def test_whatItReveals(tmp_path: Path) -> None:
    code = (
        "from wasinet_twisted import net\n"
        "async def main(conn: net.WasiTcpConn) -> None:\n"
        "    reveal_type(await conn.read())\n"
        "    text: str = await conn.read()\n"
        "    conn.write(5)\n"
    )
    (tmp_path / "program.py").write_text(code)
    printed = check(str(tmp_path / "program.py"))
    assert 'Revealed type is "bytes"' in printed.replace("builtins.", "")
    assert "Incompatible types in assignment" in printed
    assert 'Argument 1 to "write"' in printed
    assert "Found 2 errors" in printed
