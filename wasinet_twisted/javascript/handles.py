"""
What a program holds by number: connections, listeners, buffers. And what goes wrong with what it gives.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import InvalidArgument, LimitExceeded, ListenFailed, TimedOut
from .guestinterface import Given

T = TypeVar("T")

# How many of a kind a program may have at a time: handles, timers, things that it waits for. Each takes some of our
# memory, beside the program's own.
MOST = 65_536
_LONGEST_MESSAGE = 10_000


class Handles:
    """
    The numbers, and what they stand for.
    """

    __slots__ = ("_held", "_last")

    def __init__(self) -> None:
        self._held: dict[float, tuple[Any, Callable[[Any], object]]] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, it: Any, letGo: Callable[[Any], object]) -> int:
        """
        @param letGo: called with C{it} when the program has dropped it, or has ended.
        @return: its number.
        @raise LimitExceeded: the program has too many.
        """
        if len(self._held) >= MOST:
            letGo(it)
            raise LimitExceeded(f"a program may have {MOST} connections, servers and buffers at a time")
        self._last += 1
        self._held[self._last] = (it, letGo)
        return self._last

    def get(self, number: float, kind: type[T]) -> T:
        """
        @raise InvalidArgument: there is no such thing of that number.
        """
        held = self._held.get(number)
        if held is None or not isinstance(held[0], kind):
            raise InvalidArgument(f"there is no {kind.__name__} of the number {number:g}")
        return held[0]

    def either(self, number: float, *kinds: type[Any]) -> Any:
        """
        The same, of several kinds.
        """
        held = self._held.get(number)
        if held is None or not isinstance(held[0], kinds):
            named = " or ".join(kind.__name__ for kind in kinds)
            raise InvalidArgument(f"there is no {named} of the number {number:g}")
        return held[0]

    def all(self, kind: type[T]) -> list[T]:
        """
        Return all of a kind.
        """
        return [it for it, _ in self._held.values() if isinstance(it, kind)]

    def dropEach(self, numbers: list[float]) -> None:
        """
        Let those go that are there.
        """
        for number in numbers:
            held = self._held.pop(number, None)
            if held is not None:
                held[1](held[0])

    def dropAll(self) -> None:
        """
        Let everything go.
        """
        while self._held:
            _, (it, letGo) = self._held.popitem()
            letGo(it)


def textOf(data: Given) -> str:
    """
    @raise InvalidArgument: it is something else.
    """
    if data.__class__ is not str:
        raise InvalidArgument(f"this operation takes text, not {_kindOf(data)}")
    return data


def bytesOf(data: Given) -> bytes:
    """
    @raise InvalidArgument: it is something else.
    """
    if data.__class__ is not bytes:
        raise InvalidArgument(f"this operation takes bytes, not {_kindOf(data)}")
    return data


def withBody(data: Given) -> tuple[str, bytes]:
    """
    @return: a text, and the bytes that came with it.
    @raise InvalidArgument: it is something else.
    """
    if not isinstance(data, tuple):
        raise InvalidArgument(f"this operation takes text and bytes, not {_kindOf(data)}")
    return data


def _kindOf(data: Given) -> str:
    if isinstance(data, tuple):
        return "text and bytes"
    return "nothing" if data is None else "bytes" if isinstance(data, bytes) else "text"


def whole(what: str, number: float, least: int, most: int) -> int:
    """
    @raise InvalidArgument: it is no whole number from C{least} to C{most}.
    """
    # Not a number is neither.
    if not least <= number <= most or number != int(number):
        raise InvalidArgument(f"{what} must be a whole number from {least} to {most}, not {number:g}")
    return int(number)


def messageOf(error: BaseException) -> str:
    """
    Return what a script is told of an exception: what the original says, where it has a text for it.
    """
    if isinstance(error, TimedOut):
        return "timed out"
    if isinstance(error, ListenFailed):
        cause = error.__cause__
        if getattr(getattr(cause, "socketError", cause), "errno", None) == errno.EADDRINUSE:
            return "Address in use"
    return (str(error) or type(error).__name__)[:_LONGEST_MESSAGE]
