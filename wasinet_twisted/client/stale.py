"""
A kept connection whose end has come, and which the reactor hasn't told yet.
"""

from __future__ import annotations

import socket
from typing import Any

from .protocol import HttpClientProtocol

# What was used so short a time ago is taken as it is, in seconds: the server has just answered.
RECENT = 0.05


def isStale(protocol: HttpClientProtocol) -> bool:
    """
    Return whether the server has closed a connection that is free, or has sent what answers nothing. The reactor may
    have had no turn since.
    """
    connection = protocol.connection
    if connection is None or protocol.reactor.seconds() - connection.clock.since < RECENT:
        return False
    transport: Any = protocol.transport if protocol.tls is None else protocol.tls.beneath()
    try:
        found = transport.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True
    except AttributeError:
        # It has no socket of the kernel's.
        return False
    # Over TLS there may be records that are no data: a ticket, say.
    return not found or protocol.tls is None
