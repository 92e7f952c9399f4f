"""
Which reactor a call uses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime


def theReactor(given: Any) -> IReactorTime | Any:
    """
    The reactor to use: the one given, else the global one, imported as late as this.
    """
    if given is not None:
        return given
    from twisted.internet import reactor

    return reactor


# What is to be called for reactors that only a test runs.
_late: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()


def callFromCollector(reactor: Any, function: Callable[..., object], *arguments: Any) -> None:
    """
    Call C{function} in the reactor's next turn. The garbage collector runs when it likes and in whichever thread it
    likes, in the middle of anything: also while a reactor changes the list of its calls.
    """
    callFromThread = getattr(reactor, "callFromThread", None)
    if callFromThread is not None:
        callFromThread(function, *arguments)
    else:
        # A Clock, which has but that list: those who let its time pass call runLate().
        _late.append((function, arguments))


def runLate() -> None:
    """
    Call what the garbage collector has left for Clocks.
    """
    while _late:
        function, arguments = _late.popleft()
        function(*arguments)
