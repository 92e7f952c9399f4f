"""
Running C{wasinet} as its users do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.processes import PATIENCE

WASINET = [sys.executable, "-m", "wasinet_twisted"]


def wasinet(*arguments: str, input: bytes = b"", **options: Any) -> tuple[int, bytes, str]:
    """
    Run it to its end.

    @return: its status (that of a signal is negative), its standard output, and its standard error.
    """
    files = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    if "stdin" not in files:
        files["input"] = input
    done = subprocess.run([*WASINET, *arguments], timeout=PATIENCE, check=False, **files)
    return done.returncode, done.stdout, done.stderr.decode()


@contextmanager
def started(*arguments: str, command: Sequence[str] = WASINET, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """
    Start it, with pipes, and see to it that it ends.
    """
    pipe = subprocess.PIPE
    files = {"stdin": pipe, "stdout": pipe, "stderr": pipe} | options
    with subprocess.Popen([*command, *arguments], bufsize=0, env=os.environ, **files) as process:
        try:
            yield process
        finally:
            process.kill()
