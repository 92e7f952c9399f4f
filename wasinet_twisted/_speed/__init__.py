"""
Compiled twins of the hot path. Optional: without them all is as it is, only slower.

Each twin stands for Python that stays: it does the common case of a fast path
(C{_fast.py}) or of a method, and calls the Python, with nothing done, where its
conditions don't hold. Nothing is decided here that isn't decided in Python too.

C{WASINET_SPEED} says whether they are used, and is read once, when the process starts:

    auto    where they are (the default)
    yes     always: it is an error if they aren't there
    no      never

C{WASINET_FAST} (see C{_fast.py}) switches off a fast path together with its twins.
The twins are compiled when the package is built (C{hatch_build.py}), which leaves a
record. In a checkout, those whose sources have changed since then aren't used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .record import read, stale

_FOLDER = Path(__file__).parent

# The compiled module that has the twin of a fast path, and its name there.
_TWINS = {
    "http.requestHead": ("_heads", "fastRequestHead"),
    "http.responseHead": ("_heads", "fastResponseHead"),
    "http.response": ("_answers", "fastResponse"),
}


@dataclass(frozen=True, slots=True)
class Speed:
    """
    Which form of the hot path this process runs.

    @ivar compiled: may compiled twins be used?
    @ivar parts: the compiled modules in use. A room loads its own when the room is imported.
    @ivar reason: why no twins are used, or why those that are missing in C{parts} aren't; L{None}: nothing is amiss.
    """

    compiled: bool
    parts: tuple[str, ...]
    reason: str | None

    def __str__(self) -> str:
        if not self.compiled:
            return f"pure Python: {self.reason}"
        return "compiled" if self.reason is None else f"compiled in part: {self.reason}"


def speed() -> Speed:
    """
    Tell which form of the hot path this process runs: compiled twins, or Python, and why.
    """
    if _reason is not None:
        return Speed(False, (), _reason)
    reason = "; ".join(f"no {name}: {why}" for name, why in _failed.items()) or None
    return Speed(bool(_loaded) or reason is None, tuple(_loaded), reason)


def twinOf(path: str) -> Any:
    """
    Return the twin of a fast path; L{None}: there is none.
    """
    if path not in _TWINS:
        return None
    module, name = _TWINS[path]
    found = _compiled(module)
    return None if found is None else getattr(found, name)


def install(module: str, *paths: str) -> None:
    """
    Put a compiled module's twins of methods in their place. The module that has the methods asks for it, at its end.

    @param paths: the fast paths that these twins do themselves. If one is switched off, they aren't used.
    """
    if not _off.isdisjoint(paths):
        return
    found = _compiled(module)
    if found is not None:
        found.install()


def _compiled(name: str) -> Any:
    """
    Return a compiled module; L{None}: it can't be used.

    @raise ImportError: it can't be used, and C{WASINET_SPEED} is C{yes}.
    """
    part = name.removeprefix("_")
    if _reason is not None or part in _failed:
        return None
    try:
        if name not in _modules:
            # A file of that name may be there all the same: nobody knows what of.
            raise ImportError("it wasn't compiled")
        found = import_module(f"{__name__}.{name}")
    except ImportError as error:
        if _setting == "yes":
            raise _refusal(f"{part}: {error}") from error
        _failed[part] = str(error)
        return None
    if part not in _loaded:
        _loaded.append(part)
    return found


def _refusal(reason: str) -> ImportError:
    # By this name the commands know it, and show it in one line.
    return ImportError(f"WASINET_SPEED=yes, but the compiled twins can't be used: {reason}", name=__name__)


def _findReason() -> tuple[list[str], str | None]:
    """
    Return the modules that the build compiled, and why they can't be used; L{None}: they can.
    """
    if _setting == "no":
        return [], "WASINET_SPEED=no"
    if os.environ.get("WASINET_FAST") == "no":
        return [], "WASINET_FAST=no"
    record = read(_FOLDER)
    if record is None:
        return [], "no build has left a record (in a checkout: python hatch_build.py)"
    if record.reason is not None:
        return [], record.reason
    changed = stale(record, _FOLDER)
    if changed is not None:
        return [], f"{changed} has changed since it was compiled (python hatch_build.py compiles it)"
    return record.modules, None


_setting = os.environ.get("WASINET_SPEED") or "auto"
if _setting not in ("auto", "yes", "no"):
    raise ImportError(f"WASINET_SPEED must be auto, yes or no, not {_setting!r}", name=__name__)
# The fast paths that are switched off. _fast.py, which says whether the setting is valid, imports this module.
_off = frozenset(part.removeprefix("-") for part in os.environ.get("WASINET_FAST", "").split(","))
_modules, _reason = _findReason()
if _setting == "yes" and _reason is not None:
    raise _refusal(_reason)
_loaded: list[str] = []
# Those that couldn't be loaded, and why.
_failed: dict[str, str] = {}
