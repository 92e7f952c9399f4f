"""
What runs an app's coroutine: an asyncio Task where the reactor is asyncio's, else a task of ours.

Libraries made for asyncio ask for the Task that they run in, so nothing less will
do for them. All that waits in this room waits by a L{Runner}, since a Task can
wait for Futures only.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Protocol

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred

from ..net.tasks.awaited import Awaited, turn
from ..net.tasks.task import Task

# Python 3.12 can run a Task's first step at once: most apps need no other.
_EAGER = sys.version_info >= (3, 12)


class Run(Protocol):
    """
    A coroutine that runs.
    """

    def cancel(self) -> object:
        """
        Raise a CancelledError in it, where it waits.
        """


class Ending(Protocol):
    """
    Who owns a coroutine that runs.
    """

    def ended(self) -> None:
        """
        The coroutine has ended, and has not raised anything.
        """


class Runner(Protocol):
    """
    Runs coroutines, and has them wait.
    """

    def run(self, coroutine: Coroutine[Any, Any, None], owner: Ending) -> Run | None:
        """
        Run a coroutine that raises nothing.

        @return: L{None}: it has ended already.
        """

    def cancel(self, run: Run) -> None:
        """
        Raise a CancelledError in a coroutine, where it waits.
        """

    def kill(self, run: Run) -> None:
        """
        End a coroutine that was cancelled and goes on, where that can be done. Its owner is told that it has ended, or
        is not.
        """

    def waiter(self) -> Any:
        """
        Return what can be awaited until somebody calls L{wake} with it.
        """

    def wake(self, waiter: Any) -> None:
        """
        Wake who waits, if that hasn't been done.
        """

    def wait(self, deferred: Deferred[Any]) -> Awaitable[Any]:
        """
        Return what can be awaited instead of C{deferred}.
        """

    def turn(self) -> Awaitable[Any]:
        """
        Return what is awaited to let others have their turn.
        """


class AsyncioRunner:
    """
    Runs each coroutine in a Task of an asyncio loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, coroutine: Coroutine[Any, Any, None], owner: Ending) -> Run | None:
        """
        See L{Runner.run}.
        """
        loop = self._loop
        if loop.get_task_factory() is not None:
            return loop.create_task(coroutine)
        if _EAGER:
            return asyncio.Task(coroutine, loop=loop, eager_start=True)  # type: ignore[call-arg,unused-ignore]
        return asyncio.Task(coroutine, loop=loop)

    def cancel(self, run: Run) -> None:
        """
        See L{Runner.cancel}.
        """
        # Not at once: a Task that is cancelled before its first step never takes it, and its owner is told nothing.
        self._loop.call_soon(run.cancel)

    def kill(self, run: Run) -> None:
        """
        Nothing: a Task can't be ended from without.
        """

    def waiter(self) -> Any:
        """
        See L{Runner.waiter}.
        """
        return self._loop.create_future()

    def wake(self, waiter: Any) -> None:
        """
        See L{Runner.wake}.
        """
        if not waiter.done():
            waiter.set_result(None)

    def wait(self, deferred: Deferred[Any]) -> Awaitable[Any]:
        """
        See L{Runner.wait}.
        """
        return deferred.asFuture(self._loop)

    def turn(self) -> Awaitable[Any]:
        """
        See L{Runner.turn}.
        """
        return asyncio.sleep(0)


class _Owned(Task[None]):
    """
    A coroutine that its owner is told the end of.
    """

    __slots__ = ("_owner",)

    def __init__(self, coroutine: Coroutine[Any, Any, None], owner: Ending, reactor: Any, context: Context) -> None:
        super().__init__(coroutine, reactor, context)
        self._owner = owner

    def ended(self) -> None:
        self._owner.ended()


class OwnRunner:
    """
    Runs each coroutine in a task of ours: it can await Deferreds.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def run(self, coroutine: Coroutine[Any, Any, None], owner: Ending) -> Run | None:
        """
        See L{Runner.run}.
        """
        context = copy_context()
        try:
            # The first step is made here: most apps have nothing to wait for, and need no task.
            awaited = context.run(coroutine.send, None)
        except StopIteration:
            owner.ended()
            return None
        task = _Owned(coroutine, owner, self._reactor, context)
        task.goOn(awaited)
        return task

    def cancel(self, run: Run) -> None:
        """
        See L{Runner.cancel}.
        """
        run.cancel()

    def kill(self, run: Run) -> None:
        """
        See L{Runner.kill}.
        """
        assert isinstance(run, _Owned)
        run.kill()

    def waiter(self) -> Any:
        """
        See L{Runner.waiter}.
        """
        return Awaited()

    def wake(self, waiter: Any) -> None:
        """
        See L{Runner.wake}.
        """
        if not waiter.called:
            waiter.give(None)

    def wait(self, deferred: Deferred[Any]) -> Awaitable[Any]:
        """
        See L{Runner.wait}.
        """
        return deferred

    def turn(self) -> Awaitable[Any]:
        """
        See L{Runner.turn}.
        """
        return turn(self._reactor)


def runnerFor(reactor: Any) -> Runner:
    """
    Return what runs coroutines on C{reactor}.
    """
    if isinstance(reactor, AsyncioSelectorReactor):
        return AsyncioRunner(asyncio.get_running_loop())
    return OwnRunner(reactor)
