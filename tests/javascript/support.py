"""
Running scripts as their users do, and what they need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import ROOT, Process, freePort, running
from wasinet_twisted.errors import NotSupported
from wasinet_twisted.javascript.guest import read

EXAMPLES = ROOT / "examples" / "js"
ARTICLE = Path(__file__).parent / "article"


def _missing() -> str | None:
    try:
        import cffi  # noqa: F401
        import wasmtime  # noqa: F401

        read()
    except (ImportError, NotSupported) as error:
        return str(error)
    return None


_MISSING = _missing()
# What runs scripts needs the engine's binary, which the repository doesn't hold.
needsEngine = pytest.mark.skipif(
    _MISSING is not None and os.environ.get("WASINET_REQUIRE_TOOLS") != "1", reason=f"{_MISSING}"
)


def command(script: Path, *options: str) -> list[str]:
    """
    Return the command that runs a script.
    """
    return [sys.executable, "-m", "wasinet_twisted", "run", *options, str(script)]


@contextmanager
def served(script: Path, directory: Path, *options: str, port: int = 8000) -> Iterator[tuple[Process, int]]:
    """
    Run a script that listens.

    @param port: the one that the script names.
    @return: the process, and the port where it listens instead.
    """
    listens = freePort()
    moved = ("--listen", f"{port}=tcp:{listens}:interface=127.0.0.1")
    with running(command(script, *moved, *options), directory) as process:
        process.waitForPorts(listens)
        yield process, listens
