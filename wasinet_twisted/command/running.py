"""
Running a subcommand's coroutine on the reactor.
"""

from __future__ import annotations

import select
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    globalLogBeginner,
)
from zope.interface import provider

from ..net.tasks.task import Task
from .ending import Interrupted, abandonThreads, endBy, say

# What asks the command to end.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Main(Task[int]):
    """
    The subcommand's coroutine.

    @ivar outcome: its status, or what it has raised; L{None} while it runs.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, int], reactor: Any) -> None:
        super().__init__(coroutine, reactor)
        self.outcome: int | BaseException | None = None

    def succeeded(self, result: int) -> None:
        self.outcome = result

    def failed(self, error: BaseException) -> None:
        self.outcome = error

    def ended(self) -> None:
        reactor: Any = self._reactor
        pool = reactor.threadpool
        if pool is not None and pool.working:
            # stop() would wait for what these threads wait for.
            abandonThreads()
            reactor.crash()
        else:
            reactor.stop()


def run(name: str, begin: Callable[[Any], Coroutine[Any, Any, int]]) -> int:
    """
    Run a coroutine on the reactor: on this package's, unless there is one already or epoll is missing. SIGINT and
    SIGTERM cancel it; a second one ends the process at once. Warnings and errors of the log go to the standard error.

    @param name: the subcommand's.
    @param begin: takes the reactor and gives the coroutine, which returns the exit status.
    @raise Interrupted: a signal has cancelled it.
    """
    if "twisted.internet.reactor" not in sys.modules and hasattr(select, "epoll"):
        from ..reactor import install

        install()
    from twisted.internet import reactor as _reactor

    reactor: Any = _reactor
    _beginLogging(name)
    main = _Main(begin(reactor), reactor)
    signals: list[int] = []
    with _handling(main, reactor, signals):
        reactor.callWhenRunning(main.start)
        # Twisted's own handlers would stop the reactor before the coroutine has ended.
        reactor.run(installSignalHandlers=False)
    outcome = main.outcome
    if signals and (outcome is None or isinstance(outcome, int | CancelledError)):
        raise Interrupted(signals[0])
    if isinstance(outcome, BaseException):
        raise outcome
    assert outcome is not None
    return outcome


@contextmanager
def _handling(main: _Main, reactor: Any, signals: list[int]) -> Iterator[None]:
    """
    @param signals: gets the number of the first that comes.
    """

    def handle(number: int, _: object) -> None:
        if signals:
            endBy(number)
        signals.append(number)
        reactor.callFromThread(main.cancel)

    # What is ignored stays so: a shell in the background has SIGINT ignored.
    before = {each: signal.getsignal(each) for each in _SIGNALS if signal.getsignal(each) != signal.SIG_IGN}
    for each in before:
        signal.signal(each, handle)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _beginLogging(name: str) -> None:
    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        say(name, eventAsText(event, includeTimestamp=False, includeSystem=False))

    chosen = FilteringLogObserver(observe, [LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([chosen], redirectStandardIO=False, discardBuffer=True)
