"""
What runs for a connection: a handler that waits, a response that is sent in pieces, and the end of one that isn't.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..http.messages import Pieces
from ..net.tasks.task import Task
from .answer import closePieces
from .request import Request

if TYPE_CHECKING:
    from .responding import Responder

log = Logger()


class Run(Task[object]):
    """
    A handler that waits, or a response that is sent in pieces.
    """

    __slots__ = ("_protocol", "_request", "_streamed")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, object],
        protocol: Responder,
        request: Request,
        streamed: tuple[int, bool] | None = None,
        context: Context | None = None,
    ) -> None:
        """
        @param streamed: for a response, its status, and whether the connection goes on.
        """
        super().__init__(coroutine, protocol.reactor, context)
        self._protocol = protocol
        self._request = request
        self._streamed = streamed

    def succeeded(self, result: object) -> None:
        if self._streamed is None:
            self._protocol.handled(self._request, result)
        else:
            assert isinstance(result, int)
            status, keepAlive = self._streamed
            self._protocol.answered(self._request, status, result, keepAlive)

    def failed(self, error: BaseException) -> None:
        self._protocol.failed(self._request, error, cancelled=self.wasCancelledBy(error))

    def ended(self) -> None:
        self._protocol.runEnded(self)


class Closing(Task[None]):
    """
    What closes the pieces of a response that is not sent.
    """

    __slots__ = ("_protocol",)

    def __init__(self, pieces: Pieces, protocol: Responder) -> None:
        super().__init__(closePieces(pieces), protocol.reactor)
        self._protocol = protocol

    def failed(self, error: BaseException) -> None:
        log.failure("the pieces of a response could not be closed", failure=Failure(error))

    def ended(self) -> None:
        self._protocol.runEnded(self)
