"""
What went wrong, in the classes that users of C{twisted.web}'s Agent catch. Our error is the C{__cause__}, or among
the reasons.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from twisted.internet import error as internet
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)

from ..errors import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionRefused,
    HandshakeFailed,
    IncompleteRead,
    InvalidArgument,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TimedOut,
    UnknownHost,
    WasinetError,
)
from .call import Call


def connectingFailed(error: BaseException) -> BaseException:
    """
    Return what stands for an error that came before there was a connection.
    """
    told: Any = error
    if isinstance(error, HandshakeFailed):
        # Twisted's has a connection before the handshake, and loses it.
        return ResponseNeverReceived(reasonsOf(error))
    if isinstance(error, TimedOut):
        told = internet.TimeoutError(string=str(error))
    elif isinstance(error, UnknownHost):
        told = internet.DNSLookupError(str(error))
    elif isinstance(error, ConnectionRefused):
        told = internet.ConnectionRefusedError(string=str(error))
    elif isinstance(error, ConnectFailed):
        cause = error.__cause__
        if cause is None:
            told = internet.ConnectError(string=str(error))
        elif isinstance(cause, internet.ConnectError):
            told = copy(cause)
        else:
            # An endpoint's own.
            return cause
    elif isinstance(error, ConnectionClosed | LimitExceeded) and not isinstance(error, RemoteProtocolError):
        told = internet.ConnectError(string=str(error))
    elif isinstance(error, RemoteProtocolError):
        return ResponseFailed(reasonsOf(error))
    if told is not error:
        told.__cause__ = error
    return told  # type: ignore[no-any-return]


def requestFailed(error: BaseException, call: Call, sending: bool) -> BaseException:
    """
    Return what stands for an error that came before the head of the response.

    @param sending: had the request not been sent yet?
    """
    if isinstance(error, LocalProtocolError | InvalidArgument):
        return RequestGenerationFailed(reasonsOf(error))
    if not isinstance(error, WasinetError | CancelledError):
        return error
    if call.answered:
        return ResponseFailed(reasonsOf(error))
    if sending:
        return RequestTransmissionFailed(reasonsOf(error))
    return ResponseNeverReceived(reasonsOf(error))


def reasonsOf(error: BaseException) -> list[Failure]:
    """
    Return why: Twisted's own reason first, where it has one, then ours.
    """
    cause: BaseException | None = error
    while isinstance(cause, WasinetError):
        cause = cause.__cause__
    if cause is None:
        if isinstance(error, IncompleteRead):
            # The server has ended the connection regularly, though not the response.
            cause = internet.ConnectionDone()
        elif isinstance(error, TimedOut):
            cause = internet.TimeoutError(string=str(error))
    return [Failure(each) for each in ((error,) if cause is None or cause is error else (cause, error))]
