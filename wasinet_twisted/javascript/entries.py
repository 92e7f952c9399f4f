"""
L{Entries}: one entry into the guest after the other, and the reactor's turn between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

Call = Callable[..., bool]

# So many follow each other at most, before others have their turn.
_MOST = 64


class Entries:
    """
    Those of one program. What is to enter while a script runs, enters when that has ended: so a promise is never
    settled into a running script.
    """

    __slots__ = ("_ended", "_entered", "_failed", "_inside", "_jobs", "_later", "_queue", "_reactor")

    def __init__(self, reactor: Any, entered: Callable[[bool], object], failed: Callable[[Exception], object]) -> None:
        """
        @param entered: called after each entry, with whether jobs are left.
        @param failed: called with what an entry has raised: there will be no other one.
        """
        self._reactor = reactor
        self._entered = entered
        self._failed = failed
        self._queue: deque[tuple[Call, tuple[Any, ...]]] = deque()
        self._inside = False
        self._jobs: Call | None = None
        # The next turn, if something is left for it.
        self._later: IDelayedCall | None = None
        self._ended = False

    def goOnWith(self, jobs: Call) -> None:
        """
        @param jobs: what is called for jobs that are left.
        """
        self._jobs = jobs

    @property
    def idle(self) -> bool:
        """
        Is nothing left to be done?
        """
        return self._later is None and not self._queue and not self._inside

    @property
    def inside(self) -> bool:
        """
        Does the script run now?
        """
        return self._inside

    def enter(self, call: Call, *arguments: Any) -> None:
        """
        Call into the guest, now or when what runs there has ended.
        """
        if self._ended:
            return
        if self._inside or self._queue:
            self._queue.append((call, arguments))
            return
        self._run(call, arguments)
        if self._queue:
            self._runQueue()

    def end(self) -> None:
        """
        Enter no more.
        """
        self._ended = True
        self._queue.clear()
        later, self._later = self._later, None
        if later is not None and later.active():
            later.cancel()

    def _run(self, call: Call, arguments: tuple[Any, ...]) -> None:
        self._inside = True
        failure: Exception | None = None
        left = False
        try:
            left = call(*arguments)
        except Exception as error:
            failure = error
        finally:
            self._inside = False
        if failure is not None:
            self.end()
            self._failed(failure)
            return
        if left:
            self._soon()
        self._entered(left)

    def _runQueue(self) -> None:
        for _ in range(_MOST):
            if not self._queue:
                return
            self._run(*self._queue.popleft())
        if self._queue:
            self._soon()

    def _soon(self) -> None:
        if self._later is None and not self._ended:
            self._later = self._reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._later = None
        # Also where another entry has run the jobs meanwhile: this is the last one, after which the program may end.
        assert self._jobs is not None
        self._run(self._jobs, ())
        if self._queue and not self._ended:
            self._runQueue()
