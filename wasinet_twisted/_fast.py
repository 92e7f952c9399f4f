"""
The registry of fast paths: each with the slow path that it must equal, and a switch.

A fast path is allowed where a profile names it. It says "this common case, done"
or "don't know" (L{None} or C{False}, with nothing done), and then the slow path
decides; it never refuses. The whole test suite runs with all of them off too:

    WASINET_FAST=no pytest                  # all off
    WASINET_FAST=-http.requestHead pytest  # only this one off; more with commas

The switch is read once, when the process starts, so that it costs nothing afterwards.
Where a fast path has a compiled twin (C{_speed}), the twin is used instead of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ._speed import twinOf

F = TypeVar("F", bound=Callable[..., Any])

# There are at most so many: each one is code that has to be kept equal to other code. A dozen of HTTP's and the
# sockets', and two of WebSocket, a protocol of its own.
MOST = 14


@dataclass(frozen=True, slots=True)
class FastPath:
    """
    One of them.

    @ivar name: room and function.
    @ivar slow: the slow path that it must equal.
    @ivar why: what it saves, as measured.
    @ivar on: is it used in this process?
    @ivar twin: does a compiled twin stand in for it?
    @ivar python: the function in Python, for what the twin leaves to it; L{None}: a few lines of another one.
    """

    name: str
    slow: str
    why: str
    on: bool
    twin: bool = False
    python: Callable[..., Any] | None = None


paths: dict[str, FastPath] = {}

_setting = os.environ.get("WASINET_FAST", "yes")
_off = frozenset(part[1:] for part in _setting.split(",") if part.startswith("-"))
if _setting not in ("", "yes", "no") and not all(part.startswith("-") for part in _setting.split(",")):
    raise ImportError(
        f"WASINET_FAST must be yes, no, or names of fast paths, each after a -, not {_setting!r}", name=__name__
    )


def fastPath(name: str, *, slow: str, why: str) -> Callable[[F], F]:
    """
    Register the decorated function as a fast path. Switched off, it is one that always answers "don't know"; where
    there is a compiled twin, it is that.
    """

    def register(function: F) -> F:
        twin = twinOf(name)
        if not _add(name, slow, why, function, twin):
            return _dontKnow  # type: ignore[return-value]
        return twin or function

    return register


def fastPathOf(slow: Callable[..., Any], *, name: str, why: str) -> Callable[[F], F]:
    """
    Register the decorated function as the fast path of C{slow}, which it calls itself for what it doesn't know.
    Switched off, it is C{slow}; where there is a compiled twin, it is that.
    """

    def register(function: F) -> F:
        twin = twinOf(name)
        if not _add(name, slow.__qualname__, why, function, twin):
            return slow  # type: ignore[return-value]
        return twin or function

    return register


def fastLines(name: str, *, slow: str, why: str) -> bool:
    """
    Register a fast path of a few lines that stand inside their slow path, where a call would cost what they save.

    @return: is it on?
    """
    return _add(name, slow, why)


def isOn(name: str) -> bool:
    """
    Is this fast path used?

    @raise KeyError: there is none of that name.
    """
    return paths[name].on


def _add(name: str, slow: str, why: str, python: Callable[..., Any] | None = None, twin: object = None) -> bool:
    if name in paths:
        raise AssertionError(f"there are two fast paths {name}")
    on = _setting != "no" and name not in _off
    paths[name] = FastPath(name, slow, why, on, on and twin is not None, python)
    return on


def _dontKnow(*_: object, **__: object) -> None:
    return None
