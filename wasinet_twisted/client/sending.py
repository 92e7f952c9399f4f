"""
A request's body that is sent in pieces, no faster than the server takes it.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ..errors import ConnectionClosed, WasinetError
from ..http import ClientConnection
from ..net.tasks.awaited import Awaited
from .bodies import Body

log = Logger()

# How long a body waits for a 100 (Continue), in seconds. RFC 9110 section 10.1.1: not for ever.
CONTINUE_TIMEOUT = 1.0


class Carrier(Protocol):
    """
    What it needs of the connection's Protocol.

    @ivar closing: has our side closed or aborted?
    @ivar lost: is the connection gone?
    """

    reactor: IReactorTime
    closing: bool
    lost: bool

    def start(self, coroutine: Any) -> Deferred[Any]:
        """
        Run a task that the connection owns.
        """

    def write(self, data: bytes) -> Awaited[None]:
        """
        Send; awaited, it returns when the server has taken enough.
        """

    def sent(self, error: Exception | None) -> None:
        """
        The body has been sent, or could not be.
        """


class Sender:
    """
    Sends one body.
    """

    __slots__ = ("_body", "_carrier", "_connection", "_continue", "_expects", "_stopped", "_task", "_timer")

    def __init__(self, carrier: Carrier, connection: ClientConnection, body: Body, expects: bool) -> None:
        """
        @param expects: does it wait for a 100 (Continue)?
        """
        self._carrier = carrier
        self._connection = connection
        self._body = body
        self._expects = expects
        self._stopped = False
        self._continue: Awaited[None] | None = None
        self._timer: IDelayedCall | None = None
        self._task: Deferred[Any] | None = None

    def begin(self) -> None:
        """
        Begin to send it.
        """
        self._task = self._carrier.start(self._send())
        self._task.addErrback(lambda failure: failure.trap(CancelledError))

    def goOn(self) -> None:
        """
        The server has said 100, or the wait for that has been long enough.
        """
        waiting, self._continue = self._continue, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if waiting is not None and not waiting.called:
            waiting.give(None)

    def stop(self) -> None:
        """
        Send no more.
        """
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _send(self) -> None:
        connection = self._connection
        seconds = self._carrier.reactor.seconds
        try:
            if self._expects:
                await self._allowed()
            async with aclosing(self._body.pieces()) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    if not await self._written(connection.data(piece, seconds())):
                        return
            if not await self._written(connection.end(seconds())):
                return
        except Exception as error:
            if not (self._stopped or self._carrier.closing or self._carrier.lost):
                # Also a CancelledError: something that the body waits for was cancelled, and not the body.
                self._carrier.sent(error)
            elif not isinstance(error, CancelledError | WasinetError):
                log.failure("the body of a request failed when it was ended")
            return
        self._carrier.sent(None)

    async def _written(self, data: bytes) -> bool:
        """
        @return: is the connection still there? What has become of it, and whether there is a response, those know who
            wait for that. A C{ConnectionClosed} that the body itself raises is about another one.
        """
        try:
            await self._carrier.write(data)
        except ConnectionClosed:
            return False
        return True

    async def _allowed(self) -> None:
        waiting: Awaited[None] = Awaited()
        self._continue = waiting
        self._timer = self._carrier.reactor.callLater(CONTINUE_TIMEOUT, self.goOn)
        try:
            await waiting
        finally:
            self.goOn()


def notSent(call: object, error: Exception) -> WasinetError:
    """
    Return what those get who go on with a connection whose request's body could not be sent.

    @param call: the request, for the message.
    """
    if isinstance(error, WasinetError):
        return error
    closed = ConnectionClosed(f"{call}: its body could not be sent: {error!r}")
    closed.__cause__ = error
    return closed
