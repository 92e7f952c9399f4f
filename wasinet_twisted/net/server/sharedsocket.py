"""
A listening socket that several processes accept from.

Left to themselves they share badly. The kernel wakes all of them for each
connection, and all but one find nobody: measured, with two processes, a third
of the CPU time. And the one that comes first accepts a hundred at a time.

So a process has epoll wake only one of them (C{EPOLLEXCLUSIVE}), accepts a few,
and goes to the end of the queue of those to be woken: they take turns. nginx
does the same.
"""

from __future__ import annotations

import errno
import select
from contextlib import suppress
from typing import Any

from ..._privates import pollerOf
from .acceptgate import Gate, GatedSocket

# How many connections a process accepts in a turn of its reactor. With one, a process that has much to do accepts too
# slowly.
BATCH = 8

_EXCLUSIVE = select.EPOLLIN | select.EPOLLEXCLUSIVE if hasattr(select, "EPOLLEXCLUSIVE") else 0


class SharedSocket(GatedSocket):
    """
    A listening socket behind a L{Gate}, that leaves other processes their part.
    """

    def __init__(self, socket: Any, gate: Gate, port: Any) -> None:
        super().__init__(socket, gate, port)
        self._poller = pollerOf(port.reactor) if _EXCLUSIVE else None
        self._count = 0

    def watched(self) -> None:
        """
        Be the last to be woken, and be woken alone. On other reactors than epoll's all are woken.
        """
        if self._poller is not None:
            descriptor = self._socket.fileno()
            # The gate may have been shut meanwhile.
            with suppress(FileNotFoundError):
                self._poller.unregister(descriptor)
                self._poller.register(descriptor, _EXCLUSIVE)

    def accept(self) -> Any:
        """
        As L{GatedSocket.accept}, but after a batch there is nobody, once.
        """
        if self._count >= BATCH:
            self._count = 0
            raise BlockingIOError(errno.EWOULDBLOCK, "the others' turn")
        try:
            accepted = super().accept()
        except OSError:
            self._count = 0
            raise
        if not self._count:
            self.watched()
        self._count += 1
        if self._count >= self._port.numberAccepts:
            # Twisted asks for no more in this turn.
            self._count = 0
        return accepted
