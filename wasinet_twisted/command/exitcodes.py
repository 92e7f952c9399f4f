"""
Exit statuses of C{wasinet}: curl's, where curl has one for the same thing.

128 and the number of a signal is what a shell shows when a signal ended the
command: 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

from ..errors import (
    CertificateError,
    ConnectFailed,
    ConnectionClosed,
    HandshakeFailed,
    IncompleteRead,
    InvalidArgument,
    LimitExceeded,
    LocalProtocolError,
    NotSupported,
    RemoteProtocolError,
    TimedOut,
    TooManyRedirects,
    UnknownHost,
)

FAILED = 1
USAGE = 2
NOT_SUPPORTED = 4
UNKNOWN_PROXY = 5
UNKNOWN_HOST = 6
NO_CONNECTION = 7
BAD_RESPONSE = 8
INCOMPLETE = 18
# With --fail: a status from 400 on.
HTTP_ERROR = 22
WRITE_ERROR = 23
READ_ERROR = 26
TIMED_OUT = 28
# A download can't go on where it stopped.
RANGE_ERROR = 33
HANDSHAKE_FAILED = 35
TOO_MANY_REDIRECTS = 47
BROKEN = 56
BAD_CERTIFICATE = 60
TOO_LARGE = 63

# The first that fits holds, so that each stands before the class that it is a kind of.
_STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (CertificateError, BAD_CERTIFICATE),
    (HandshakeFailed, HANDSHAKE_FAILED),
    (UnknownHost, UNKNOWN_HOST),
    (TimedOut, TIMED_OUT),
    (ConnectFailed, NO_CONNECTION),
    (IncompleteRead, INCOMPLETE),
    (TooManyRedirects, TOO_MANY_REDIRECTS),
    (LimitExceeded, TOO_LARGE),
    (RemoteProtocolError, BAD_RESPONSE),
    (ConnectionClosed, BROKEN),
    (NotSupported, NOT_SUPPORTED),
    (InvalidArgument, USAGE),
    (LocalProtocolError, USAGE),
)


def statusOf(error: BaseException) -> int:
    """
    Return the exit status for a command that failed with C{error}.
    """
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), FAILED)
