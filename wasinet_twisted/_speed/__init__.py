"""
Compiled twins of the hot path. Optional: without them all is as it is, only slower.

Each twin stands for Python that stays: it does the common case of a fast path
(C{_fast.py}) or of a method, and calls the Python, with nothing done, where its
conditions don't hold. Nothing is decided here that isn't decided in Python too.

C{WASINET_SPEED} says whether they are used, and is read once, when the process starts:

    auto    where they are (the default)
    yes     always: it is an error if they aren't there
    no      never
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

_setting = os.environ.get("WASINET_SPEED") or "auto"
if _setting not in ("auto", "yes", "no"):
    raise ImportError(f"WASINET_SPEED must be auto, yes or no, not {_setting!r}")

# The compiled module that has the twin of a fast path, and its name there.
_TWINS = {
    "http.requestHead": ("_heads", "fastRequestHead"),
    "http.responseHead": ("_heads", "fastResponseHead"),
    "http.response": ("_answers", "fastResponse"),
}


def twinOf(path: str) -> Any:
    """
    Return the twin of a fast path; L{None}: there is none.
    """
    if path not in _TWINS:
        return None
    module, name = _TWINS[path]
    found = _compiled(module)
    return None if found is None else getattr(found, name)


def install(module: str) -> None:
    """
    Put a compiled module's twins of methods in their place. The module that has the methods asks for it, at its end.
    """
    found = _compiled(module)
    if found is not None:
        found.install()


def _compiled(name: str) -> Any:
    if _setting == "no":
        return None
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError:
        if _setting == "yes":
            raise
        return None
