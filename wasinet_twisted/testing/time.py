"""
Time that passes when a test says so.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ..net.addresses import checkTimeout
from ..net.reactors import runLate

T = TypeVar("T")

# So many calls in a row without time passing are taken for a loop that has no end. 64 KiB that arrive byte by byte take
# a third of that.
MOST_CALLS = 200_000
# The same for calls during which no byte moved. Each may itself be a good number of awaits.
MOST_IDLE_CALLS = 10_000


class Progress:
    """
    How many bytes have moved on all links. It tells a loop that spins from one that works.
    """

    moved = 0


def settle(clock: Clock) -> None:
    """
    Let everything happen that needs no time.

    @raise AssertionError: that has no end: calls follow one another for ever. The message names the last one.
    """
    count = idle = 0
    moved = Progress.moved
    runLate()
    while (call := _next(clock)) is not None and call.getTime() <= clock.seconds():
        count += 1
        idle = idle + 1 if Progress.moved == moved else 0
        moved = Progress.moved
        if count > MOST_CALLS or idle > MOST_IDLE_CALLS:
            what = f"{idle} calls in a row that moved no byte" if idle > MOST_IDLE_CALLS else f"{count} calls"
            raise AssertionError(
                f"no end of what needs no time: {what} at {clock.seconds():g} s of the clock's time; the next: {call}"
            )
        # As Clock.advance(0), which would go on for ever.
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)


def advance(clock: Clock, seconds: float) -> None:
    """
    Let time pass. Each call is run at its own time; C{Clock.advance} runs all of them at the end of the time, and what
    they lead to after it.
    """
    checkTimeout(seconds)
    until = clock.seconds() + seconds
    while _step(clock, until):
        settle(clock)
    clock.rightNow = until


def run(clock: Clock, what: Deferred[T] | Coroutine[Any, Any, T], atMost: float = 60.0) -> T:
    """
    Let time pass until C{what} has its result.

    @param what: a Deferred, or a coroutine, which is started.
    @param atMost: how many seconds of the clock's time it may take.
    @return: its result. A failure is raised.
    @raise AssertionError: it had none in that time. C{what} is cancelled then.
    """
    checkTimeout(atMost)
    name = str(what)
    waiting: Deferred[T] = ensureDeferred(what)
    results: list[Any] = []
    waiting.addBoth(results.append)
    until = clock.seconds() + atMost
    settle(clock)
    while not results and _step(clock, until):
        settle(clock)
    if not results:
        call = _next(clock)
        why = "nothing is due any more" if call is None else f"the next call is due at {call.getTime():g} s: {call}"
        clock.rightNow = until
        waiting.cancel()
        raise AssertionError(f"not after {atMost:g} s of the clock's time: {name}; {why}")
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    found: T = result
    return found


def _step(clock: Clock, until: float) -> bool:
    """
    Go on to the time of the next call.

    @return: C{False} if there is none until then.
    """
    call = _next(clock)
    if call is None or call.getTime() > until:
        return False
    clock.rightNow = max(clock.rightNow, call.getTime())
    return True


def _next(clock: Clock) -> Any:
    return min(clock.calls, key=lambda call: call.getTime(), default=None)


class Timed:
    """
    Has a clock, and lets its time pass.

    @ivar clock: the L{Clock}.
    """

    clock: Clock

    def settle(self) -> None:
        """
        See L{settle}.
        """
        settle(self.clock)

    def advance(self, seconds: float) -> None:
        """
        See L{advance}.
        """
        advance(self.clock, seconds)

    def run(self, what: Deferred[T] | Coroutine[Any, Any, T], atMost: float = 60.0) -> T:
        """
        See L{run}.
        """
        return run(self.clock, what, atMost)
