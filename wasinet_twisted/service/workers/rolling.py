"""
Replacing workers, one after the other: a successor is ready before a worker is told to end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

log = Logger()

# How long a successor may take to be ready, in seconds.
READY = 300.0
# After how long it is tried again to replace a worker that has served as many requests as it should.
AGAIN = 30.0


class Rolling:
    """
    Replaces workers by successors.

    @ivar names: the names of those that serve, by number.
    @ivar stopped: is none replaced any more?
    """

    def __init__(
        self,
        reactor: Any,
        count: int,
        hire: Callable[[str], object],
        dismiss: Callable[[str], object],
        begin: Callable[[], object],
    ) -> None:
        """
        @param count: how many there are.
        @param hire: starts the worker of this name.
        @param dismiss: ends the worker of this name.
        @param begin: called when all are about to be replaced.
        """
        self._reactor = reactor
        self._hire = hire
        self._dismiss = dismiss
        self._begin = begin
        self.names = {number: f"{number}.0" for number in range(1, count + 1)}
        self._generation = 0
        self._waiting: deque[int] = deque()
        # Is this a roll of all? Was another one asked for meanwhile?
        self._all = self._again = False
        self._number = 0
        self._successor: str | None = None
        self._timer: IDelayedCall | None = None
        self._later: dict[int, IDelayedCall] = {}
        self.stopped = False

    def all(self) -> None:
        """
        Replace all, once more if this is going on already.
        """
        if self._all or self.stopped:
            self._again = True
            return
        self._all = True
        self._again = False
        log.info("replacing the workers, one after the other")
        # One that is being replaced just now may not have seen what has changed: it is among them.
        self._waiting = deque(self.names)
        self._begin()
        self._next()

    def one(self, number: int) -> None:
        """
        Replace this one.
        """
        if not self.stopped and number not in self._waiting and (self._successor is None or number != self._number):
            self._waiting.append(number)
            self._next()

    def stop(self) -> None:
        """
        Replace none any more.
        """
        self.stopped = True
        self._waiting.clear()
        self._cancel()
        for call in self._later.values():
            call.cancel()
        self._later.clear()

    def isSuccessor(self, name: str) -> bool:
        """
        Is this the one that is to be ready next?
        """
        return name == self._successor

    def start(self) -> None:
        """
        Start all, at the same time.
        """
        for name in self.names.values():
            self._hire(name)

    def succeeded(self) -> None:
        """
        The successor is ready.
        """
        assert self._successor is not None
        self._cancel()
        old, self.names[self._number] = self.names[self._number], self._successor
        self._successor = None
        self._dismiss(old)
        self._next()

    def failed(self, reason: str) -> None:
        """
        The successor can't serve.
        """
        assert self._successor is not None
        self._cancel()
        name, self._successor = self._successor, None
        self._dismiss(name)
        if self._all:
            done = "no other worker is replaced" if self._waiting else "it goes on as it is"
            log.error(
                "worker {number} stays: its successor can't serve: {reason}; {done}",
                number=self._number,
                reason=reason,
                done=done,
            )
            self._waiting.clear()
        else:
            log.error(
                "worker {number} stays: its successor can't serve: {reason}; tried again in {seconds:g} s",
                number=self._number,
                reason=reason,
                seconds=AGAIN,
            )
            self._later[self._number] = self._reactor.callLater(AGAIN, self._retry, self._number)
        self._next()

    def _retry(self, number: int) -> None:
        del self._later[number]
        self.one(number)

    def _next(self) -> None:
        if self._successor is not None or self.stopped:
            return
        if self._waiting:
            self._number = self._waiting.popleft()
            if (later := self._later.pop(self._number, None)) is not None:
                later.cancel()
            self._timer = self._reactor.callLater(READY, self._late)
            self._generation += 1
            self._successor = f"{self._number}.{self._generation}"
            self._hire(self._successor)
        elif self._all:
            self._all = False
            if self._again:
                self.all()

    def _late(self) -> None:
        self.failed(f"it is not ready after {READY:g} s")

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def numberOf(name: str) -> int:
    """
    Return the number of the worker of this name.
    """
    return int(name.partition(".")[0])
