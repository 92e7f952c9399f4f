"""
What an app does at the end of its service, such as closing a pool of connections.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..net.tasks.task import Task

log = Logger()

# How long an app's function may take, in seconds.
SHUTDOWN_DEADLINE = 5.0
# How long it has then to clean up.
_GRACE = 1.0


async def _call(function: Callable[[], Any]) -> None:
    result = function()
    if isawaitable(result):
        await _whole(result)


async def _whole(awaitable: Awaitable[object]) -> None:
    await awaitable


class Shutdown(Task[None]):
    """
    One call of the app's function. Whatever it does, C{over} fires in the end.

    @ivar over: fires with L{None} when the function has ended, or has been given up.
    """

    def __init__(self, function: Callable[[], Any], deadline: float, reactor: Any) -> None:
        """
        @param function: a plain one, one that gives a Deferred, or an C{async def}.
        @param deadline: seconds until it is cancelled. A second later it is ended by force.
        """
        super().__init__(_call(function), reactor)
        self.over: Deferred[None] = Deferred()
        self._deadline = deadline
        self._timer: IDelayedCall = reactor.callLater(deadline, self._late, reactor)

    def _late(self, reactor: Any) -> None:
        log.error("the app's shutdown took more than {deadline:g} s and is cancelled", deadline=self._deadline)
        self._timer = reactor.callLater(_GRACE, self.kill)
        self.cancel()

    def failed(self, error: BaseException) -> None:
        if not self.wasCancelledBy(error):
            log.failure("the app's shutdown failed", failure=Failure(error))

    def ended(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self.over.callback(None)


def shutDown(function: Callable[[], Any], deadline: float, reactor: Any) -> Deferred[None]:
    """
    Call the app's function, and wait for it to end. What it raises is logged.

    @return: fires with L{None}, C{deadline} and a second from now at the latest.
    """
    shutdown = Shutdown(function, deadline, reactor)
    shutdown.start()
    return shutdown.over


def drainDelay(delay: float, reactor: Any) -> Deferred[None]:
    """
    Go on to serve for C{delay} seconds, while load balancers learn that the end is near.
    """
    if not delay:
        return succeed(None)
    log.info("/readyz says draining; listening stops in {delay:g} s; a second signal ends the process", delay=delay)
    waited: Deferred[None] = deferLater(reactor, delay)
    return waited
