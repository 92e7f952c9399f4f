"""
A connection without a request over which something has come that the reactor hasn't told yet.
"""

from __future__ import annotations

from select import POLLIN, poll
from socket import MSG_DONTWAIT, MSG_PEEK
from typing import Any

from twisted.internet.tcp import Connection

from ..errors import RemoteProtocolError
from .protocol import HttpClientProtocol


def isStale(protocol: HttpClientProtocol) -> bool:
    """
    Return whether the server has closed a connection that is free, or has sent what answers nothing. The reactor may
    have had no turn since.

    It is asked for each request over a kept connection, however short a time ago that was used: a response that the
    server has sent unasked would be taken for the answer to the next request. Over TLS what has come may be something
    harmless, such as a ticket that came late; nobody can tell before it is deciphered, and another connection is made.
    """
    transport: Any = protocol.transport if protocol.tls is None else protocol.tls.beneath()
    look = poll()
    try:
        # A third of what it costs to try to read.
        look.register(getattr(transport, "socket", None), POLLIN)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        # It has no socket of the kernel's.
        return _isStaleInMemory(transport)
    return bool(look.poll(0))


def _isStaleInMemory(transport: Any) -> bool:
    try:
        transport.socket.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except (AttributeError, BlockingIOError):
        return False
    except OSError:
        pass
    return True


def checkSilent(protocol: HttpClientProtocol) -> None:
    """
    Abort a new connection over which the server has sent something already. What comes before the request is no
    response to it (RFC 9112 section 9.2).

    An end is left to the request, whose error says more. Over TLS, and over an endpoint that speaks a protocol of its
    own, nothing is looked at: what comes there before the request isn't HTTP.

    @raise RemoteProtocolError: it has.
    """
    transport: Any = protocol.transport
    if not isinstance(transport, Connection) or getattr(transport, "TLS", False):
        return
    try:
        came = transport.socket.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except OSError:
        # Nothing, or the end.
        return
    if came:
        protocol.abort()
        raise RemoteProtocolError(f"{protocol.peerName()} has sent something before any request")
