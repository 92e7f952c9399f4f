"""
A listening socket that several processes accept from.

Left to themselves they share badly. The kernel wakes all of them for each
connection, and all but one find nobody: measured, with two processes, a third
of the CPU time. And the one that comes first accepts a hundred at a time.

So a process has epoll wake only one of them (C{EPOLLEXCLUSIVE}), and goes to the
end of the queue of those to be woken: they take turns, as nginx's do. Where
connections end as fast as they come a turn has several of them. And when it has
accepted a few that stay, it leaves the next ones to the others for a moment, see
L{turns<wasinet_twisted.net.server.turns>}.
"""

from __future__ import annotations

import select
from contextlib import suppress
from typing import Any

from ..._privates import pollerOf
from .acceptgate import Gate, GatedSocket

_EXCLUSIVE = select.EPOLLIN | select.EPOLLEXCLUSIVE if hasattr(select, "EPOLLEXCLUSIVE") else 0


class SharedSocket(GatedSocket):
    """
    A listening socket behind a L{Gate}, that leaves other processes their part.
    """

    def __init__(self, socket: Any, gate: Gate, port: Any) -> None:
        super().__init__(socket, gate, port)
        assert gate.turns is not None
        self._turns = gate.turns
        self._poller = pollerOf(port.reactor) if _EXCLUSIVE else None
        # How many it has accepted since the reactor told of it.
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
        As L{GatedSocket.accept}. The first one of a turn of the reactor may have this process go to the queue's end.
        """
        try:
            accepted = super().accept()
        except OSError:
            self._count = 0
            if self._gate.isOpen():
                self._turns.nobody()
            raise
        if not self._count and not self._turns.woken():
            self.watched()
        self._count += 1
        if self._count >= self._port.numberAccepts:
            # Twisted asks for no more in this turn.
            self._count = 0
        self._turns.took()
        return accepted
