"""
Tasks that a connection owns beside its handler.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime

from .awaited import Awaited
from .task import Task

T = TypeVar("T")


class Parent(Protocol):
    """
    What a task needs of the connection that owns it.
    """

    reactor: IReactorTime

    def taskFailed(self, what: str, error: BaseException) -> None:
        """
        A task has ended with C{error}, and nobody else is there to be told.

        @param what: which task.
        """


class Child(Task[T]):
    """
    Ends with its connection at the latest.

    A failure is told to whoever awaits the result. If nobody does, it is logged
    once, with the peer, and the connection is reset, as for a handler's.

    @ivar result: fires with what the coroutine returns.
    """

    __slots__ = ("_family", "_parent", "_starting", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, T], parent: Parent, family: set[Child[Any]]) -> None:
        """
        @param family: those of the connection's that run.
        """
        super().__init__(coroutine, parent.reactor)
        self.result: Awaited[T] = Awaited(self._giveUp)
        self._parent = parent
        self._family = family
        self._starting = False
        family.add(self)

    def startUnlessCancelled(self) -> None:
        """
        Run it up to the first await that waits; nothing of it, if it has been cancelled before.
        """
        if self.isCancelled():
            self.kill()
            return
        self._starting = True
        self.start()
        self._starting = False

    def connectionEnds(self, gone: bool) -> None:
        """
        The connection is closed by our side, or gone. The task that closes it may see it through.
        """
        if (gone or self.isWaiting()) and not self.isCancelled():
            self.cancel()

    def succeeded(self, result: T) -> None:
        """
        The coroutine has returned.
        """
        if not self.result.called:
            self.result.give(result)

    def failed(self, error: BaseException) -> None:
        """
        The coroutine has raised C{error}.
        """
        result = self.result
        if self._starting and not result.called:
            # It had nothing to wait for, and nobody could await it yet.
            result.fail(error)
            self._parent.reactor.callLater(0, self._reportUnlessTaken, error)
            return
        if not (self.wasCancelledBy(error) or result.isAwaited()):
            self._parent.taskFailed("a task", error)
        if not result.called:
            result.failQuietly(error)

    def _reportUnlessTaken(self, error: BaseException) -> None:
        if self.result.silence():
            self._parent.taskFailed("a task", error)

    def ended(self) -> None:
        """
        It has ended, whatever the way.
        """
        self._family.discard(self)
        if not self.result.called:
            self.result.failQuietly(CancelledError())

    def _giveUp(self, _: object) -> None:
        self.cancel()
        if not self.result.called:
            self.result.fail(CancelledError())
