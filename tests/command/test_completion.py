"""
C{wasinet completion}.
"""

from __future__ import annotations

import os
import pty
import select
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


def test_zshCompletes(tmp_path: Path) -> None:
    """
    As zsh completes, on a terminal: subcommands, options, choices.
    """
    zsh = needsTool("zsh")
    (tmp_path / "_wasinet").write_bytes(wasinet("completion", "zsh")[1])
    master, slave = pty.openpty()
    # Wide enough for a line, and without what depends on the user.
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "vt100", "COLUMNS": "200"}
    process = subprocess.Popen(
        [zsh, "-f", "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(slave)
    seen = ""

    def until(text: str) -> None:
        """
        Read what it shows, until that.
        """
        nonlocal seen
        while text not in seen:
            assert select.select([master], [], [], PATIENCE)[0], f"no {text!r} in {seen!r}"
            seen += os.read(master, 4096).decode(errors="replace")
        seen = seen.partition(text)[2]

    try:
        os.write(master, b"fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; print rea''dy\n")
        until("ready")
        for typed, completed in (("se", "serve"), ("serve --no", "--no-listing"), ("completion z", "zsh")):
            os.write(master, f"\x15wasinet {typed}".encode())
            until(typed)
            os.write(master, b"\t")
            # What is typed already isn't shown again.
            until(completed.removeprefix(typed.rpartition(" ")[2]))
    finally:
        process.kill()
        process.wait()
        os.close(master)


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
