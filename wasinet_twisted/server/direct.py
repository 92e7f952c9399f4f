"""
An answer that is sent at once.

Twisted's own transports send nothing from within C{write}: they ask the reactor
to be told that the socket takes something, which it nearly always does, and that
costs two system calls and a turn of the loop, a third of what a small request
takes. In general there is no better way, since nobody knows whether another write
follows. Of an answer that is written whole the server knows that none does.

The transports of our own reactor gather what is written, and need no help.

What sends is L{wasinet_twisted._privates.sendDirectly}: only Twisted's own names tell whether something waits.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix

from .._fast import fastPath

_DIRECT = frozenset((tcp.Server, unix.Server))


@fastPath("server.direct", slow="transport.write", why="FIGURE")
def sendsDirectly(transport: Any) -> bool:
    """
    Can L{sendDirectly<wasinet_twisted._privates.sendDirectly>} be asked about C{transport}? Not if it enciphers, nor if
    it is one that we don't know.
    """
    return transport.__class__ in _DIRECT
