"""
Coroutines that await Deferreds, and that asyncio's libraries take for Tasks of theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from ..errors import NotSupported

P = ParamSpec("P")
T = TypeVar("T")


def inTask(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """
    Have a coroutine function run in asyncio Tasks, one for each call:

        @inTask
        async def handler(request):
            await deferLater(reactor, 1)
            async with asyncio.timeout(5), aiohttp.ClientSession() as session:
                ...

    There it may await Deferreds as well as Futures, and what asks asyncio for the task that it runs in, as
    C{asyncio.timeout}, anyio and aiohttp do, finds one. Whoever is cancelled there sees C{asyncio.CancelledError}.

    @return: gives a Deferred. To cancel that cancels the Task, and it fires when the Task has ended.
    @raise NotSupported: (each call) no asyncio loop runs.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotSupported(
                f"{function!r} is to run in a Task of asyncio's, but no asyncio event loop runs; "
                "take a reactor that runs one (twistd --reactor=wasinet-asyncio)"
            ) from None

        async def drive() -> T:
            # Called here, since a Task that is cancelled before it begins awaits nothing.
            return await _Both(function(*args, **kwargs), loop)  # type: ignore[no-any-return]

        return _Ended(loop.create_task(drive()))

    return run


class _Ended(Deferred[T]):
    """
    Fires when a Task has ended, also when it was cancelled: what that does to end is waited for.
    """

    def __init__(self, task: asyncio.Task[T]) -> None:
        super().__init__()
        self._task = task
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """
        Cancel the Task.
        """
        if self.called:
            # It waits for what a callback has returned.
            super().cancel()
        else:
            self._task.cancel()

    def _done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.errback(CancelledError())
        elif (error := task.exception()) is not None:
            self.errback(error)
        else:
            self.callback(task.result())


class _Both:
    """
    Runs a coroutine in the Task that awaits this: Futures are the Task's to wait for, Deferreds are turned into some.
    """

    __slots__ = ("_coroutine", "_loop")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
        self._coroutine = coroutine
        self._loop = loop

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        go: Callable[[Any], Any] = coroutine.send
        value: Any = None
        try:
            while True:
                try:
                    awaited = go(value)
                except StopIteration as stop:
                    return stop.value
                go, value = coroutine.send, None
                try:
                    if isinstance(awaited, Deferred):
                        value = yield from self._wait(awaited)
                        if isinstance(value, Failure):
                            go, value = coroutine.throw, value.value
                    else:
                        value = yield awaited
                except GeneratorExit:
                    raise
                except BaseException as error:
                    go, value = coroutine.throw, error
        finally:
            # The Task may be forgotten where it waits.
            coroutine.close()

    def _wait(self, deferred: Deferred[Any]) -> Generator[Any, Any, Any]:
        """
        @return: the result, or the failure.
        """
        fired = self._loop.create_future()

        def tell(result: Any) -> Any:
            if not fired.done():
                fired.set_result(result)
            # The Deferred itself gives its result to the coroutine; a failure is raised there.
            return None if isinstance(result, Failure) else result

        deferred.addBoth(tell)
        try:
            return (yield from fired)
        except asyncio.CancelledError:
            deferred.cancel()
            raise
