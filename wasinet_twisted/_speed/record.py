"""
The record that a build leaves beside the compiled twins: what was compiled, from which sources, or why nothing was.

The build (C{hatch_build.py}) writes it, and L{wasinet_twisted._speed} reads it. A wheel holds C{built.json}. In a
checkout several Pythons compile for themselves, so there each has a record with its ABI in the name. This file imports
the standard library alone: the build runs it without the package.
"""

from __future__ import annotations

import json
import os
import sysconfig
import tempfile
from importlib.util import source_hash
from pathlib import Path
from typing import Any, NamedTuple

# What the twins are compiled from. A wheel holds none of it.
SOURCES = (".pyx", ".pxd", ".pxi", ".h")


class Record(NamedTuple):
    """
    @ivar reason: why nothing was compiled, in one line; L{None}: the modules were.
    @ivar modules: the compiled modules.
    @ivar sources: the hash of each source.
    @ivar how: what else decides what is compiled: Python, Cython, the compiler, its flags.
    @ivar files: the hash of each compiled file.
    """

    reason: str | None
    modules: list[str]
    sources: dict[str, str]
    how: dict[str, str]
    files: dict[str, str]


def hashOf(path: Path) -> str:
    """
    Return a file's hash: that which Python's own hash-based .pyc files use, since it needs no import.
    """
    return source_hash(path.read_bytes()).hex()


def sourcesIn(folder: Path) -> dict[str, str]:
    """
    Return the name and the hash of each source in a folder.
    """
    return {path.name: hashOf(path) for path in sorted(folder.iterdir()) if path.suffix in SOURCES}


def nameFor(checkout: bool) -> str:
    """
    Return the name of the record's file.

    @param checkout: is it for a checkout, which several Pythons share?
    """
    return f"built.{sysconfig.get_config_var('SOABI')}.json" if checkout else "built.json"


def read(folder: Path) -> Record | None:
    """
    Return a folder's record; L{None}: there is none that can be read.
    """
    for checkout in (True, False):
        try:
            return Record(**json.loads((folder / nameFor(checkout)).read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError):
            return None
    return None


def write(path: Path, record: Record) -> None:
    """
    Write a record; it replaces the one before at once.

    @raise OSError: it can't be written.
    """
    put(path, json.dumps(record._asdict(), indent=1).encode() + b"\n")


def put(path: Path, content: bytes, mode: int = 0o644) -> None:
    """
    Replace a file at once: other processes may read the old one, or have it mapped, and go on with it.

    @raise OSError: it can't be written.
    """
    # The suffix is one that git and both packages leave out, should the process be killed here.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".so")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def stale(record: Record, folder: Path) -> str | None:
    """
    Return the first source in a folder that is not the one compiled; L{None}: all are, or the folder has no sources.
    """
    found: dict[str, Any] = sourcesIn(folder)
    if not found:
        return None
    changed = sorted(name for name in {*found, *record.sources} if found.get(name) != record.sources.get(name))
    return changed[0] if changed else None
