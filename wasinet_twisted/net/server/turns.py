"""
Whose turn it is, of several processes that accept from the same sockets.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# How many connections a process accepts, beside those that have ended meanwhile, before it leaves the next ones to the
# others; and for how long, in seconds: another one that sleeps needs as much to wake up where cores are busy.
BATCH = 8
REST = 0.001
# If connections wait even so, the others have enough to do: a process takes so many more each time, up to a bound. Of
# those that end as fast as they come it takes twice as many.
MORE = 4
MOST = 64


class Turns:
    """
    Has one process pause when it has accepted a batch of connections that stay.

    A connection stays with the process that has accepted it. Of a burst, the one that is awake would accept all before
    another one has woken up, and have all the work for as long as the connections live. Where they end as fast as
    they come there is nothing to share, and no pause.
    """

    def __init__(self, rest: Callable[[], object], goOn: Callable[[], object], reactor: IReactorTime) -> None:
        """
        @param rest: called when this process shall accept nothing ...
        @param goOn: ... and when it may again.
        """
        self._rest = rest
        self._goOn = goOn
        self._reactor = reactor
        self._batch = BATCH
        self._kept = 0
        self._timer: IDelayedCall | None = None
        self._finished = False

    def took(self) -> None:
        """
        This process has accepted a connection.
        """
        if self._finished:
            return
        self._kept += 1
        if self._kept >= self._batch and self._timer is None:
            self._timer = self._reactor.callLater(REST, self._rested)
            self._rest()

    def nobody(self) -> None:
        """
        No connection waits.
        """
        self._batch = BATCH

    def ended(self) -> None:
        """
        One of its connections has ended.
        """
        if self._kept:
            self._kept -= 1
            if self._timer is not None and self._kept <= self._batch // 2:
                # They end as fast as they come.
                self._batch = min(2 * self._batch, MOST)
                self._resume()

    def finish(self) -> None:
        """
        This process is about to stop listening: whoever still waits is its own.
        """
        self._finished = True
        self._resume()

    def _resume(self) -> None:
        if self._timer is not None:
            timer, self._timer = self._timer, None
            timer.cancel()
            self._goOn()

    def _rested(self) -> None:
        self._timer = None
        self._kept = 0
        # If nobody waits then, accept() says so soon.
        self._batch = min(self._batch + MORE, MOST)
        self._goOn()
