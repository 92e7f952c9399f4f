"""
Coroutines that belong to a connection: started, cancelled, and their failures reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .connection import WasiTcpConn
from .protocol import ConnectionProtocol
from .writing import succeedAll

log = Logger()

Handler = Callable[[WasiTcpConn], Awaitable[object]]


class Task:
    """
    One run of a handler over one connection.

    When the handler returns, its connection closes. When it raises, that is
    logged once, with the peer, and the connection is reset: a FIN would make
    half an answer look like a whole one.
    """

    __slots__ = ("_cancelled", "_deferred", "_done", "_protocol", "done")

    def __init__(self, handler: Handler, protocol: ConnectionProtocol) -> None:
        """
        Start it.
        """
        self.done = False
        self._cancelled = False
        self._protocol = protocol
        self._done: list[Deferred[None]] = []
        self._deferred: Deferred[Any] = ensureDeferred(_run(handler, WasiTcpConn(protocol)))
        self._deferred.addErrback(self._failed)
        self._deferred.addBoth(self._ended)

    def whenDone(self) -> Deferred[None]:
        """
        Fires when the handler has ended, whatever the way.
        """
        done: Deferred[None] = Deferred()
        if self.done:
            done.callback(None)
        else:
            self._done.append(done)
        return done

    def _ended(self, _: object) -> None:
        self.done = True
        succeedAll(self._done)

    def cancel(self) -> None:
        """
        Raise L{CancelledError} in the handler, where it waits. The connection is then the caller's to end.
        """
        self._cancelled = True
        self._deferred.cancel()

    def _failed(self, failure: Failure) -> None:
        if self._cancelled and failure.check(CancelledError):
            return
        self._protocol.abort()
        log.failure("the handler of the connection with {peer} failed", failure=failure, peer=self._protocol.peerName())


async def _run(handler: Handler, conn: WasiTcpConn) -> None:
    await handler(conn)
    # Not awaited: the handler is done, whatever the peer does with the rest.
    conn.close()
