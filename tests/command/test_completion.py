"""
C{wasinet completion}.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.processes import PATIENCE
from tests.support import needsTool
from wasinet_twisted.command.parsers import frame

from .support import wasinet

pytestmark = pytest.mark.reactorless
pytest.importorskip("shtab")


def test_bash(tmp_path: Path) -> None:
    """
    As bash completes: subcommands, options, choices, directories.
    """
    needsTool("bash")
    status, script, errors = wasinet("completion", "bash")
    assert (status, errors) == (0, "")
    (tmp_path / "script").write_bytes(script)
    (tmp_path / "a directory").mkdir()
    (tmp_path / "a file").touch()
    for words, expected in {
        ("wasinet", "se"): {"serve"},
        ("wasinet", "serve", "--no"): {"--no-listing"},
        ("wasinet", "completion", "z"): {"zsh"},
        ("wasinet", "serve", "a"): {"a directory"},
    }.items():
        line = " ".join(f"'{word}'" for word in words)
        code = (
            f". ./script; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMPREPLY=()\n"
            '_shtab_wasinet; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
        assert {each.rstrip(" /") for each in done.stdout.splitlines()} == expected, done.stderr


def test_zsh() -> None:
    status, script, errors = wasinet("completion", "zsh")
    assert (status, errors) == (0, "")
    assert script.startswith(b"#compdef wasinet\n")
    for option in (b"--follow-symlinks", b"_files -/", b"nc"):
        assert option in script


def test_whatShtabCallsThem() -> None:
    import shtab

    assert {shell: shtab.FILE[shell] for shell in frame.FILE} == frame.FILE
    assert {shell: shtab.DIRECTORY[shell] for shell in frame.DIRECTORY} == frame.DIRECTORY


def test_withoutShtab(tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    status, output, errors = wasinet("completion", "bash", env={**os.environ, "PYTHONPATH": path})
    assert (status, output) == (4, b"")
    assert errors == "wasinet completion: completion needs shtab: pip install 'wasinet_twisted[cli]'\n"
