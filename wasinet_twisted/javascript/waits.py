"""
What a program waits for: Deferreds that settle its promises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..errors import InvalidArgument, LimitExceeded
from ..net.tasks.awaited import Awaited
from .guestinterface import Value
from .handles import MOST

Settle = Callable[[int, Value], object]


class Waits:
    """
    All that one program waits for.
    """

    __slots__ = ("_settle", "_waiting")

    def __init__(self, settle: Settle) -> None:
        """
        @param settle: called with the number that a script has given, and with what it waited for.
        """
        self._settle = settle
        self._waiting: dict[int, _Wait] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def answer(
        self,
        b: float,
        deferred: Deferred[Any],
        convert: Callable[[Any], Value] | None = None,
        blame: Callable[[BaseException], object] | None = None,
    ) -> Value:
        """
        Return what C{deferred} gives, if it has fired; else L{None}, and settle the promise of the number C{b} when it
        has.

        @param convert: makes a value of the result.
        @param blame: called with what the Deferred fails with, before the script is told.
        @raise BaseException: what the Deferred has failed with.
        """
        wait = _Wait(self, int(b) if b == b and abs(b) < 2**31 else 0, convert, blame)
        if deferred.called and not deferred.paused:
            return wait.now(deferred)
        if wait.number < 1 or wait.number in self._waiting or len(self._waiting) >= MOST:
            deferred.addErrback(_forget)
            deferred.cancel()
            if len(self._waiting) >= MOST:
                raise LimitExceeded(f"a program may wait for {MOST} things at a time")
            raise InvalidArgument(f"the number of what is waited for must be a new one, not {b:g}")
        self._waiting[wait.number] = wait
        if isinstance(deferred, Awaited) and deferred.isFree():
            # As a task would wait for it: the rest of a Deferred isn't needed.
            deferred.task = wait
        else:
            deferred.addCallbacks(wait.resume, wait.failed)
        wait.deferred = deferred
        return None

    def settle(self, wait: _Wait, value: Value) -> None:
        """
        What was waited for is there.
        """
        # After forget(), nobody waits any more.
        if self._waiting.pop(wait.number, None) is wait:
            self._settle(wait.number, value)

    def forget(self) -> None:
        """
        Wait for nothing any more.
        """
        waiting = list(self._waiting.values())
        self._waiting.clear()
        for wait in waiting:
            if wait.deferred is not None and not wait.deferred.called:
                wait.deferred.cancel()


class _Wait:
    """
    One of them. A connection resumes it as it does a task.
    """

    __slots__ = ("_blame", "_convert", "_waits", "deferred", "number")

    def __init__(
        self,
        waits: Waits,
        number: int,
        convert: Callable[[Any], Value] | None,
        blame: Callable[[BaseException], object] | None,
    ) -> None:
        self._waits = waits
        self._convert = convert
        self._blame = blame
        self.number = number
        self.deferred: Deferred[Any] | None = None

    def now(self, deferred: Deferred[Any]) -> Value:
        found: list[Any] = []
        deferred.addBoth(found.append)
        result = found[0]
        if isinstance(result, Failure):
            assert result.value is not None
            self._fails(result.value)
            raise result.value
        return result if self._convert is None else self._convert(result)

    def resume(self, value: Any) -> None:
        if self._convert is not None:
            try:
                value = self._convert(value)
            except Exception as error:
                value = error
        self._waits.settle(self, value)

    def throw(self, error: BaseException) -> None:
        self._fails(error)
        self._waits.settle(self, error)

    def failed(self, failure: Failure) -> None:
        assert failure.value is not None
        self.throw(failure.value)

    def _fails(self, error: BaseException) -> None:
        if self._blame is not None:
            self._blame(error)


def _forget(_: object) -> None:
    """
    Nobody waits for it.
    """
