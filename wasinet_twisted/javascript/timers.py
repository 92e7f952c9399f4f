"""
Timers for scripts: what C{js/globals.js} asks for.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall

from ..errors import InvalidArgument, LimitExceeded
from .guestinterface import Given, Operation, Value
from .handles import MOST, whole
from .waits import Settle

_LONGEST = 2**31 - 1
_HIGHEST = 2**30


class Timers:
    """
    Those of one program.
    """

    __slots__ = ("_calls", "_reactor", "_settle")

    def __init__(self, reactor: Any, settle: Settle) -> None:
        self._reactor = reactor
        self._settle = settle
        self._calls: dict[int, IDelayedCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def operations(self) -> dict[str, Operation]:
        """
        Return them by name.
        """
        return {"timer": self._timer, "cancelTimer": self._cancel}

    def stop(self) -> None:
        """
        Cancel all.
        """
        while self._calls:
            self._calls.popitem()[1].cancel()

    def _timer(self, a: float, b: float, data: Given) -> Value:
        """
        @param a: milliseconds.
        @param b: the timer's number; if it is negative, the timer repeats.
        """
        if not 0 <= a <= _LONGEST:
            raise InvalidArgument(f"a timer's milliseconds must be from 0 to {_LONGEST}, not {a:g}")
        number = whole("a timer's number", abs(b), 1, _HIGHEST)
        if number in self._calls:
            raise InvalidArgument(f"there is a timer of the number {number}")
        if len(self._calls) >= MOST:
            raise LimitExceeded(f"a program may have {MOST} timers at a time")
        self._calls[number] = self._reactor.callLater(a / 1000, self._due, number, a / 1000 if b < 0 else None)
        return None

    def _due(self, number: int, again: float | None) -> None:
        if again is None:
            del self._calls[number]
        else:
            self._calls[number] = self._reactor.callLater(again, self._due, number, again)
        self._settle(number, None)

    def _cancel(self, a: float, b: float, data: Given) -> Value:
        call = self._calls.pop(b, None)  # type: ignore[call-overload]
        if call is not None:
            call.cancel()
        return None
