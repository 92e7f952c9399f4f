"""
What waits on a connection, and what runs for it, beside its read.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..tasks.awaited import Awaited
from ..tasks.child import Child, Parent

T = TypeVar("T")

What = Literal["writers", "finishers", "closers", "peerFinishers"]


class Pending:
    """
    Made when somebody begins to wait: most connections are idle, and nobody does.

    @ivar writers: those who wait for the peer to take what is queued.
    @ivar finishers: for the end of our direction to be sent.
    @ivar closers: for the end of the connection.
    @ivar peerFinishers: for the end of the peer's direction.
    """

    __slots__ = ("_children", "_closeTimer", "closers", "finishers", "peerFinishers", "writers")

    def __init__(self) -> None:
        self.writers: list[Awaited[None]] | None = None
        self.finishers: list[Awaited[None]] | None = None
        self.closers: list[Awaited[None]] | None = None
        self.peerFinishers: list[Awaited[None]] | None = None
        # The tasks that run; each takes itself out when it ends.
        self._children: set[Child[Any]] | None = None
        # What resets a connection that takes too long to close.
        self._closeTimer: IDelayedCall | None = None

    def isEmpty(self) -> bool:
        """
        Does nobody wait, and nothing run?
        """
        return not (
            self.writers
            or self.finishers
            or self.closers
            or self.peerFinishers
            or self._children
            or self._closeTimer is not None
        )

    # Those who wait

    def add(self, what: What, waiting: Awaited[None]) -> None:
        """
        Let C{waiting} wait for this as well.
        """
        others: list[Awaited[None]] | None = getattr(self, what)
        if others is None:
            setattr(self, what, [waiting])
        else:
            others.append(waiting)

    def take(self, what: What) -> list[Awaited[None]] | None:
        """
        Return those who wait for this, to be told. They wait no longer.
        """
        waiting: list[Awaited[None]] | None = getattr(self, what)
        setattr(self, what, None)
        return waiting

    def discard(self, waiting: Awaited[None]) -> None:
        """
        C{waiting} has given up.
        """
        for others in (self.closers, self.peerFinishers):
            if others is not None and waiting in others:
                others.remove(waiting)

    # The tasks

    def newChild(self, coroutine: Coroutine[Any, Any, T], parent: Parent) -> Child[T]:
        """
        Return a task that has not been started.
        """
        if self._children is None:
            self._children = set()
        return Child(coroutine, parent, self._children)

    def cancelChildren(self, gone: bool) -> None:
        """
        The connection is closed by our side, or gone.
        """
        for child in list(self._children or ()):
            child.connectionEnds(gone)

    def killChildren(self) -> None:
        """
        End the tasks that didn't end when they were cancelled.
        """
        for child in list(self._children or ()):
            child.kill()

    # The deadline of a close

    def closeWithin(self, reactor: IReactorTime, timeout: float, expired: Callable[[], object]) -> None:
        """
        Call C{expired} after C{timeout} seconds, unless the connection is gone by then.
        """
        self._closeTimer = reactor.callLater(timeout, expired)

    def closeEarlier(self, reactor: IReactorTime, timeout: float) -> None:
        """
        Of two deadlines the earlier one holds.
        """
        timer = self._closeTimer
        if timer is not None and timer.active() and reactor.seconds() + timeout < timer.getTime():
            timer.reset(timeout)

    def closed(self) -> None:
        """
        There is no deadline any more.
        """
        timer, self._closeTimer = self._closeTimer, None
        if timer is not None and timer.active():
            timer.cancel()
