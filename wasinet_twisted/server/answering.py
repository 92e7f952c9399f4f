"""
What answers a request by itself, as far as the server knows it.
"""

from __future__ import annotations


class Answering:
    """
    A handler returns this instead of a response when it answers in its own time; see C{reply}.

    The server keeps it, as it keeps a handler's task, until it has ended: it has a task's C{done}, C{cancel} and
    C{kill}. It may go on when its response is complete. Then it is kept like a connection whose peer has gone.

    @cvar lost: as a connection's: there is nothing to be closed.
    @ivar done: has it ended?
    @ivar status: the response's, once it has begun; 0 before.
    @ivar sent: how much of the response's body has been sent in pieces, in bytes.
    """

    __slots__ = ("done", "sent", "status")

    lost = True

    def __init__(self) -> None:
        self.done = False
        self.status = self.sent = 0

    def cancel(self) -> None:
        """
        Have it end.
        """
        raise NotImplementedError(f"{type(self).__name__}.cancel()")

    def kill(self) -> None:
        """
        End it, or forget it: it has been cancelled, and goes on.
        """
        raise NotImplementedError(f"{type(self).__name__}.kill()")

    def killChildren(self) -> None:
        """
        Nothing: it has none.
        """

    def peerName(self) -> str:
        """
        The peer's address for messages.
        """
        raise NotImplementedError(f"{type(self).__name__}.peerName()")
