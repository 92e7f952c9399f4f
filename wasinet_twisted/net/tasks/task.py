"""
Coroutines with an owner: started, resumed, cancelled, and ended by force where they don't end by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..._fast import fastPathOf
from ...errors import NotSupported
from .awaited import Awaited, turn
from .hints import HINT, withAsyncioHint

log = Logger()
T = TypeVar("T")


class Task(Generic[T]):
    """
    One coroutine, run to its end, in a context of its own (PEP 567).

    It differs from C{ensureDeferred} in what its owner can do: L{cancel} works
    also on a coroutine that runs at the moment, L{kill} ends one that doesn't
    heed its cancellation, and asyncio's Futures may be awaited where their loop
    runs.

    @ivar done: has it ended?
    """

    __slots__ = ("_awaiting", "_cancelled", "_context", "_coroutine", "_reactor", "_unheard", "done")

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], reactor: IReactorTime, context: Context | None = None
    ) -> None:
        """
        @param context: the one that it has run in so far, if it has.
        """
        self.done = False
        self._coroutine = coroutine
        self._reactor = reactor
        self._context = copy_context() if context is None else context
        # What it waits for; None while it runs.
        self._awaiting: Deferred[Any] | None = None
        self._cancelled = False
        # A cancellation that came while it ran: it is told at the next await.
        self._unheard = False

    # For the owners to override

    def succeeded(self, result: T) -> None:
        """
        The coroutine has returned.
        """

    def failed(self, error: BaseException) -> None:
        """
        The coroutine has raised C{error}.
        """

    def ended(self) -> None:
        """
        Called last, whatever the end: also by L{kill}.
        """

    # For the owners to call

    def start(self) -> None:
        """
        Run it up to the first await that waits.
        """
        self._run(self._coroutine.send, None)

    def goOn(self, awaited: Any) -> None:
        """
        Go on with a coroutine that somebody else has started.

        @param awaited: what its first await has yielded.
        """
        going = self._waitFor(awaited)
        if going is not None:
            self._run(*going)

    def cancel(self) -> None:
        """
        Raise L{CancelledError} in the coroutine, where it waits.
        """
        self._cancelled = True
        if self._awaiting is not None:
            self._awaiting.cancel()
        elif not self.done:
            self._unheard = True

    def isCancelled(self) -> bool:
        """
        Has L{cancel} been called?
        """
        return self._cancelled

    def isWaiting(self) -> bool:
        """
        Does it wait for something?
        """
        return self._awaiting is not None

    def wasCancelledBy(self, error: BaseException) -> bool:
        """
        Is C{error} what L{cancel} has raised?
        """
        return self._cancelled and isinstance(error, CancelledError)

    def kill(self) -> None:
        """
        End it where it waits, whether it likes it or not. Its C{finally} blocks
        run; if it awaits again, that is logged, and it is forgotten.
        """
        if self.done:
            return
        awaiting, self._awaiting = self._awaiting, None
        if isinstance(awaiting, Awaited):
            # Its finally blocks may end what it waits for.
            awaiting.task = None
        try:
            self._context.run(self._coroutine.close)
        except BaseException:
            log.failure("a task did not end though it was cancelled, and then closed")
        if awaiting is not None:
            awaiting.addErrback(lambda _: None)
            awaiting.cancel()
        self.done = True
        self.ended()

    # For what it waits for

    def _resume(self, value: Any) -> None:
        """
        Go on with C{value}; what the coroutine waits for calls this as C{resume}.
        """
        self._awaiting = None
        self._run(self._coroutine.send, value)

    @fastPathOf(_resume, name="net.resume", why="FIGURE")
    def resume(self, value: Any) -> None:
        """
        Go on, up to the next await of something that nobody else waits for: the next bytes.
        """
        self._awaiting = None
        send = self._coroutine.send
        try:
            awaited = self._context.run(send, value)
        except BaseException as error:
            self._endWith(error)
            return
        if (
            awaited.__class__ is Awaited
            # As isFree() has it.
            and not (awaited.called or awaited.task or awaited._callbacks or awaited.paused)
            and not self._unheard
        ):
            awaited.task = self
            self._awaiting = awaited
        else:
            self.goOn(awaited)

    def throw(self, error: BaseException) -> None:
        """
        Go on with an exception.
        """
        self._awaiting = None
        self._run(self._coroutine.throw, error)

    def _run(self, step: Callable[[Any], Any], value: Any) -> None:
        run = self._context.run
        while True:
            try:
                awaited = run(step, value)
            except BaseException as error:
                self._endWith(error)
                return
            going = self._waitFor(awaited)
            if going is None:
                return
            step, value = going

    def _waitFor(self, awaited: Any) -> tuple[Callable[[Any], Any], Any] | None:
        """
        @return: how to go on, if there is nothing to wait for.
        """
        if isinstance(awaited, Awaited) and awaited.isFree():
            awaited.task = self
            self._awaiting = awaited
        else:
            try:
                deferred = self._asDeferred(awaited)
            except Exception as error:
                return self._coroutine.throw, error
            self._awaiting = deferred
            fired: list[Any] = []
            deferred.addBoth(self._settled, deferred, fired)
            if fired:
                # It had fired already. Going on from within would recurse.
                self._awaiting = None
                return self._next(fired[0])
            fired.append(None)
        if self._unheard:
            self._unheard = False
            self._awaiting.cancel()
        return None

    def _settled(self, result: Any, deferred: Deferred[Any], fired: list[Any]) -> None:
        """
        @param fired: empty while it is being asked whether C{deferred} has fired.
        """
        if self._awaiting is not deferred:
            # Killed in the meantime.
            return
        if not fired:
            fired.append(result)
            return
        self._awaiting = None
        self._run(*self._next(result))

    def _next(self, result: Any) -> tuple[Callable[[Any], Any], Any]:
        if not isinstance(result, Failure):
            return self._coroutine.send, result
        error = result.value
        assert error is not None
        return self._coroutine.throw, error.with_traceback(result.getTracebackObject())

    def _endWith(self, raised: BaseException) -> None:
        self.done = True
        if isinstance(raised, StopIteration):
            self.succeeded(raised.value)
        else:
            self.failed(withAsyncioHint(raised))
        self.ended()

    def _asDeferred(self, awaited: Any) -> Deferred[Any]:
        """
        @param awaited: what the coroutine's innermost await has yielded.
        @raise NotSupported: it can't be waited for here.
        """
        if isinstance(awaited, Deferred):
            return awaited
        if awaited is None:
            # A bare yield, such as asyncio.sleep(0): the others' turn.
            return turn(self._reactor)
        if getattr(awaited, "_asyncio_future_blocking", None):
            return _fromFuture(awaited)
        raise NotSupported(f"a coroutine can await Deferreds, coroutines and awaitables made of these, not {awaited!r}")


def _fromFuture(future: asyncio.Future[Any]) -> Deferred[Any]:
    """
    A Deferred for an asyncio Future that has just been awaited.

    @raise NotSupported: nobody runs its event loop.
    """
    # asyncio's protocol: the Future checks that whoever drives the coroutine has taken notice.
    future._asyncio_future_blocking = False
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not future.get_loop():
        raise NotSupported(f"{future!r} was awaited, but its asyncio event loop is not the one that runs here; {HINT}")

    def cancel(_: object) -> None:
        # It says so only later; who is cancelled here is told at once.
        future.cancel()
        fired.fail(CancelledError())

    def done(_: object) -> None:
        if fired.called:
            return
        if future.cancelled():
            fired.fail(CancelledError())
        else:
            # The Future itself gives its result to the coroutine.
            fired.give(None)

    fired: Awaited[None] = Awaited(cancel)
    future.add_done_callback(done)
    return fired
