"""
How much of what was written waits to be sent, or to be acknowledged.
"""

from __future__ import annotations

import sys
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any

from ..._privates import unsentBytes


def unsent(transport: Any, atMost: int) -> int:
    """
    How many bytes a transport of Twisted's has that the kernel hasn't taken.

    @param atMost: what is said of a transport that doesn't tell.
    """
    beneath = getattr(transport, "beneath", None)
    if beneath is not None:
        # Over TLS: nearly all of it waits, encrypted, in the transport beneath.
        return unsent(beneath(), atMost)
    waiting = unsentBytes(transport)
    return atMost if waiting is None else waiting


def unacknowledged(transport: Any) -> int:
    """
    Return how many bytes of what was written the peer's system has not acknowledged: those that wait in front of TLS,
    those that the kernel hasn't taken (L{unsent}), and those in the kernel's send queue.

    Over TLS, what is enciphered counts as it is on the wire. A FIN that was not
    acknowledged counts as a byte. What the kernel holds for a Unix socket is
    what the peer has not read, with the memory it takes: more than the bytes,
    and 0 only when there are none. A transport without a socket of the
    kernel's has what L{unsent} says, or 0 if it doesn't tell that either. Of a
    connection that is gone this tells what its transport was left with.

    A byte that is acknowledged may still wait, unread, in the peer's kernel.
    """
    count = 0
    plaintext = getattr(transport, "plaintext", None)
    if plaintext is not None:
        count, transport = plaintext()
    count += unsent(transport, 0)
    try:
        # SIOCOUTQ of tcp(7) and unix(7), by its other name.
        queued = ioctl(transport.socket.fileno(), TIOCOUTQ, b"\0\0\0\0")
    except (AttributeError, OSError, ValueError):
        # There is no socket, or it is one in memory, or it is closed.
        return count
    return count + int.from_bytes(queued, sys.byteorder)
