"""
L{Fetching}: the task of a fetch that does more than wait for one response.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ..net.tasks.awaited import Awaited
from ..net.tasks.task import Task
from .response import Response


class Fetching(Task[Response]):
    """
    A fetch that takes more than to wait for one response.

    @ivar result: fires with the response.
    """

    __slots__ = ("result",)

    def __init__(self, coroutine: Any, reactor: Any, result: Awaited[Response]) -> None:
        super().__init__(coroutine, reactor)
        self.result = result
        result._canceller = self._giveUp

    def _giveUp(self, _: Deferred[Any]) -> None:
        self.cancel()

    def succeeded(self, result: Response) -> None:
        """
        The head has come.
        """
        if not self.result.called:
            self.result.give(result)

    def failed(self, error: BaseException) -> None:
        """
        There is no response.
        """
        # It has been cancelled already, if that was from within the coroutine.
        if not self.result.called:
            self.result.fail(error)
