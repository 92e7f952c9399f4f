"""
Half of the suite's time is waiting for programs and deadlines, so two processes share a run of the whole of it: by
files, of which each stays in one process. The extra C{test} brings what does it, pytest-xdist.

A run of single files or folders stays in one process, as does one that is to be looked into (C{-s}, C{--pdb}). C{-n 0}
runs everything in one, C{-n 4} in four.

A plugin of pytest's, named in pyproject.toml's C{addopts}.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Generator[None, Any, Any]:
    """
    Say C{-n 2 --dist=loadfile} for whoever says nothing of it; before pytest-cov looks for that.
    """
    given = early_config.known_args_namespace
    # Nothing is to be said in the processes that share, where it was said, nor where pytest-xdist isn't installed.
    unsaid = getattr(given, "numprocesses", 0) is None
    if unsaid and not (given.file_or_dir or given.usepdb or given.collectonly or given.capture == "no"):
        given.numprocesses = 2
        args += ["-n", "2"]
        if given.dist == "no":
            given.dist = "loadfile"
            args += ["--dist", "loadfile"]
    return (yield)
