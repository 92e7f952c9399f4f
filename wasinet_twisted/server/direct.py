"""
An answer that is sent at once.

Twisted's own transports send nothing from within C{write}: they ask the reactor
to be told that the socket takes something, which it nearly always does, and that
costs two system calls and a turn of the loop, a third of what a small request
takes. In general there is no better way, since nobody knows whether another write
follows. Of an answer that is written whole the server knows that none does.

The transports of our own reactor gather what is written, and need no help.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix

_DIRECT = frozenset((tcp.Server, unix.Server))


def sendsDirectly(transport: Any) -> bool:
    """
    Can L{sendDirectly} be asked about C{transport}? Not if it enciphers, nor if it is one that we don't know.
    """
    return transport.__class__ in _DIRECT


def sendDirectly(transport: Any, data: bytes) -> bool:
    """
    Send C{data} at once, if nothing waits to be sent before it.

    @return: has it been sent, or the rest of it been queued? Else nothing has happened.
    """
    if (
        transport.dataBuffer
        or transport._tempDataLen
        or transport.disconnecting
        or not transport.connected
        # It may have gone over to TLS by itself, and is of the same class still.
        or transport.TLS
    ):
        return False
    try:
        sent = transport.socket.send(data)
    except OSError:
        # The transport will meet it again, and knows what to do.
        return False
    if sent < len(data):
        transport.write(data[sent:])
    return True
