"""
The engine's binary: where it is, and which one it has to be.

C{guest.c} and C{build.py} make it. This module imports nothing but the
standard library: it serves where nothing else is installed yet.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from ...errors import NotSupported

# The same bytes come of the same sources each time, on each machine.
SHA256 = "b01bf683ca1afcc4812057b6315b2f9d78cf2ae07771c6e058aa86439ad62fe2"
NAME = "qjs.wasm"
# The terms of what it is made of, which go where the binary goes.
LICENSE = "qjs.wasm.LICENSE"

BESIDE = Path(__file__).parent
COMMAND = "python -m wasinet_twisted.javascript.build"


def cache() -> Path:
    """
    Return the user's folder for binaries of this version, which is there perhaps.
    """
    root = os.environ.get("XDG_CACHE_HOME") or ""
    # The specification of these folders has relative ones ignored.
    base = Path(root) if os.path.isabs(root) else Path(os.path.expanduser("~"), ".cache")
    return base / "wasinet_twisted" / SHA256[:16]


def isIt(path: Path) -> bool:
    """
    Is there the binary, and is it the one that it has to be?
    """
    try:
        return sha256(path.read_bytes()).hexdigest() == SHA256
    except OSError:
        return False


def read() -> bytes:
    """
    Return the binary: the one beside this package, else the one in the user's cache.

    @raise NotSupported: there is none, or it is another one.
    """
    other = None
    for folder in (BESIDE, cache()):
        try:
            data = (folder / NAME).read_bytes()
        except OSError:
            continue
        if sha256(data).hexdigest() == SHA256:
            return data
        other = other or folder / NAME
    why = "is not built" if other is None else f"at {other} is of another version"
    raise NotSupported(f"the JavaScript engine {why}; this builds it: {COMMAND}")
