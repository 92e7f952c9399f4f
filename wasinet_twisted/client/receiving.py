"""
How a response reaches its caller: the head, the body piece by piece, and its end.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..errors import ConnectionClosed, IncompleteRead, LimitExceeded, RemoteProtocolError, TimedOut, WasinetError
from ..http import ClientConnection, ResponseHead
from ..http.connection import KEEP
from ..net.tasks.awaited import Awaited, again
from .call import Call, headOf


class Receiving(Protocol):
    """
    A connection, as what comes of a response needs it.
    """

    call: Call | None
    waiter: Awaited[Any] | None

    @property
    def isFree(self) -> bool:
        """
        Can another request be sent?
        """

    def release(self, now: float) -> None:
        """
        Let the pool have the connection for the next request.
        """

    def follow(self) -> None:
        """
        The end of the connection has been decided.
        """

    def giveUp(self) -> None:
        """
        Nobody wants the response any more.
        """


def go(protocol: Receiving, connection: ClientConnection, now: float) -> None:
    """
    Give the waiting caller what has come.
    """
    waiter, call = protocol.waiter, protocol.call
    assert waiter is not None
    assert call is not None
    found: Any
    try:
        found = pieceOf(protocol, connection, now) if call.begun else headOf(call, connection, now)
    except Exception as error:
        if connection.closing is KEEP:
            # A callback for interim responses has failed.
            connection.abort()
        waits = protocol.waiter is waiter
        if waits:
            protocol.waiter = None
        protocol.follow()
        if waits:
            call.fail(waiter, error)
        return
    if found is None:
        return
    if protocol.waiter is waiter:
        # Who waited for the connection may have taken it already.
        protocol.waiter = None
    if found.__class__ is ResponseHead:
        try:
            found = call.respond(protocol, found)
        except Exception as error:
            protocol.giveUp()
            waiter.fail(error)
            return
        if found is None:
            return
    waiter.give(found)


def pieceOf(protocol: Receiving, connection: ClientConnection, now: float) -> bytes | None:
    """
    Return the next piece of the body: C{b""} at its end; L{None} while more bytes are needed.

    @raise RemoteProtocolError: it is malformed.
    @raise IncompleteRead: it was cut.
    """
    try:
        piece = connection.nextPiece(now)
    except (RemoteProtocolError, IncompleteRead):
        protocol.follow()
        raise
    if piece == b"":
        _complete(protocol, connection, now)
    return piece


def ended(protocol: Receiving, connection: ClientConnection, now: float) -> None:
    """
    The server has ended its direction, and said so.
    """
    connection.eof(now)
    if protocol.waiter is not None:
        go(protocol, connection, now)
    elif connection.closing is not KEEP:
        protocol.follow()


def forget(protocol: Receiving, call: Call) -> None:
    """
    Nobody wants the response to C{call} any more, if it hasn't come to its end meanwhile.
    """
    if protocol.call is call:
        protocol.giveUp()


def _complete(protocol: Receiving, connection: ClientConnection, now: float) -> None:
    call, protocol.call = protocol.call, None
    assert call is not None
    call.trailers = connection.trailers
    call.timings.total = now - call.timings.begun
    if call.sender is not None:
        call.sender.stop()
    if protocol.isFree:
        protocol.release(now)
        return
    if connection.closing is KEEP:
        # The request isn't complete, and won't be.
        connection.close(0.0, now)
    protocol.follow()


def broken(call: object, reason: WasinetError) -> WasinetError:
    """
    Return the error for the caller that waits for a response when its connection is gone.

    @param reason: why the connection is.
    """
    if isinstance(reason, TimedOut | LimitExceeded):
        return again(reason)
    error = ConnectionClosed(f"{call or 'a request'}: {reason}")
    error.__cause__ = reason
    return error
