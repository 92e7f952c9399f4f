"""
What those get who wait for a connection: for bytes, for room to write, for its end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from copy import copy
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from ...errors import WasinetError

T = TypeVar("T")

# So many awaits in a row may complete at once; then the reactor gets its turn.
IMMEDIATE = 64


class Resumable(Protocol):
    """
    What a L{Task<wasinet_twisted.net.tasks.task.Task>} is to the thing it waits for.
    """

    def resume(self, value: Any) -> None:
        """
        Go on with C{value}.
        """

    def throw(self, error: BaseException) -> None:
        """
        Go on with an exception.
        """


class Awaited(Deferred[T]):
    """
    A Deferred as any other, to whoever treats it as one. When a task of ours is
    the only one who waits for it, the task is resumed directly: that takes a
    third of the time, and less memory while it waits.

    @ivar task: the task that waits, if it waits in that way.
    """

    # What each of them has: found sooner than in a dict, which most of them then never have.
    __slots__ = ("_callbacks", "_canceller", "called", "paused", "result", "task")

    task: Resumable | None

    def __init__(self, canceller: Callable[[Deferred[Any]], None] | None = None) -> None:
        """
        @param canceller: if it fires this, then with L{give} or L{fail}.
        """
        if self.debug:
            super().__init__(_cancelled if canceller is None else canceller)
        else:
            # What that does, and each read makes one of these.
            self._callbacks = []
            self._canceller = _cancelled if canceller is None else canceller
        self.called = False
        self.paused = 0
        self.task = None

    def __await__(self) -> Generator[Deferred[T], Any, T]:
        # Each read that waits has a frame of this: no locals, and little on the stack.
        if not self.called:
            # Whoever drives the coroutine sends the result, be it our task or Twisted's ensureDeferred.
            return (yield self)  # type: ignore[no-any-return]
        if self._isPlain():
            return self.result  # type: ignore[return-value]
        return (yield from self._ofDeferred())

    def _isPlain(self) -> bool:
        return not self.paused and not isinstance(self.result, Failure)

    def _ofDeferred(self) -> Generator[Deferred[T], Any, T]:
        return super().__await__()

    # zope's adapters and Twisted's own code iterate as well.
    __iter__ = __await__

    def isFree(self) -> bool:
        """
        Is there nobody yet who waits for this, and nothing to wait with?
        """
        return not self.called and self.task is None and not self._callbacks and not self.paused

    def isAwaited(self) -> bool:
        """
        Does somebody wait for this?
        """
        return not self.called and (self.task is not None or bool(self._callbacks))

    def give(self, value: T) -> None:
        """
        Tell the result.
        """
        task = self.task
        if task is None:
            self.callback(value)
        else:
            # As _settle() has it; each read comes here.
            self.task = self._canceller = self.result = None
            self.called = True
            task.resume(value)
            if self._callbacks:
                self._runCallbacks()

    def begin(self, value: T) -> None:
        """
        Tell the result before anybody can have asked for it.
        """
        self.called = True
        self._canceller = None
        self.result = value

    def fail(self, error: BaseException) -> None:
        """
        Tell a failure.
        """
        task = self.task
        if task is None:
            self.errback(error)
        else:
            self._settle()
            task.throw(error)
            if self._callbacks:
                self._runCallbacks()

    def failQuietly(self, error: BaseException) -> None:
        """
        Tell a failure to whoever waits, now or later; if nobody ever does, it is not reported as unhandled.
        """
        self.fail(error)
        self.silence()

    def silence(self) -> bool:
        """
        Don't report a failure that nobody has asked for.

        @return: was there one?
        """
        # It is what reports a failure when it is collected; to handle the failure here would hide it from those who
        # come later.
        if self._debugInfo is None or self._debugInfo.failResult is None:
            return False
        self._debugInfo.failResult = None
        return True

    def _settle(self) -> None:
        # What callback(None) does but for calling anybody. As after any await, whoever comes later finds None; and who
        # came after the task is called after it.
        self.task = None
        self.called = True
        self._canceller = None
        self.result = None


class Done(Awaited[None]):
    """
    An L{Awaited} that has been given L{None} already, made at little cost: it is
    what most writes return, and few look at it.
    """

    __slots__ = ()

    called = True
    _canceller = None
    task = None

    def __init__(self) -> None:
        self._callbacks = []
        self.paused = 0
        self.result = None

    def __await__(self) -> Any:
        if self.paused or self.result is not None:
            # Somebody has added callbacks.
            return super().__await__()
        return iter(())

    __iter__ = __await__


def _cancelled(waiting: Deferred[Any]) -> None:
    """
    For those who wait for what needn't be told that they have given up.
    """
    assert isinstance(waiting, Awaited)
    waiting.fail(CancelledError())


def again(error: WasinetError) -> WasinetError:
    """
    The same error, for somebody else. One instance raised over and over would gather their tracebacks, and keep what
    these hold.
    """
    another = copy(error)
    another.__cause__ = error.__cause__
    return another


def unlessCalled(waiting: Awaited[Any], tell: Callable[[Any], object], what: object) -> None:
    """
    Call C{tell(what)}, unless C{waiting} has given up meanwhile.
    """
    if not waiting.called:
        tell(what)


def succeedAll(waiting: Iterable[Awaited[None]] | None) -> None:
    """
    Tell all who wait, but for those who have given up.
    """
    for deferred in waiting or ():
        if not deferred.called:
            deferred.give(None)


def failAll(waiting: Iterable[Awaited[None]] | None, error: WasinetError) -> None:
    """
    Tell C{error} to all who wait, but for those who have given up. Most are never looked at: nobody need be told.
    """
    for deferred in waiting or ():
        if not deferred.called:
            deferred.failQuietly(again(error))


def turn(reactor: Any) -> Awaited[None]:
    """
    Return what is awaited to let others have their turn.
    """
    waiting: Awaited[None] = Awaited(_cancelTurn)
    waiting.call = reactor.callLater(0, waiting.give, None)  # type: ignore[attr-defined]
    return waiting


def _cancelTurn(waiting: Any) -> None:
    waiting.call.cancel()
    waiting.fail(CancelledError())
