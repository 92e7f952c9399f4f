"""
Whose turn it is, of several processes that accept from the same sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# How many connections a process accepts, beside those that have ended meanwhile, before it leaves the next ones to the
# others; and for how long, in seconds: another one that sleeps needs as much to wake up where cores are busy.
BATCH = 8
REST = 0.001
# If connections wait even so, the others have enough to do: a process takes so many more each time, up to a bound. Of
# those that end as fast as they come it takes twice as many.
MORE = 4
MOST = 64
# How many connections a process may accept before it is the last to be woken again, if others of its own end meanwhile.
STAY = 16
# For how long that counts, in seconds.
MEMORY = 0.02


class Turns:
    """
    Has one process pause when it has accepted a batch of connections that stay.

    A connection stays with the process that has accepted it. Of a burst, the one that is awake would accept all before
    another one has woken up, and have all the work for as long as the connections live. Where they end as fast as
    they come there is nothing to share: no pause, and the process may be the first to be woken for a while.
    """

    def __init__(self, rest: Callable[[], object], goOn: Callable[[], object], reactor: IReactorTime) -> None:
        """
        @param rest: called when this process shall accept nothing ...
        @param goOn: ... and when it may again.
        """
        self._rest = rest
        self._goOn = goOn
        self._reactor = reactor
        # How many make a batch, and how many do as soon as nobody waits.
        self._batch = self._least = BATCH
        self._kept = 0
        self._timer: IDelayedCall | None = None
        self._finished = False
        # How many it has accepted since it was the last to be woken.
        self._taken = 0
        # Has one ended since it was last woken? And until when do they count as brief, by the reactor's clock?
        self._freed = False
        self._until = -inf

    def woken(self) -> bool:
        """
        This process is about to accept.

        @return: may it be the first again to be woken? Not to be costs two calls of the system's, for nothing if others
            have ended meanwhile: then there is no more to share than what it costs to accept.
        """
        now = self._reactor.seconds()
        if self._freed:
            self._freed = False
            self._until = now + MEMORY
        brief = now <= self._until
        if not brief and self._least > BATCH:
            # They stay, now.
            self._least = self._batch = BATCH
        if brief and self._taken < STAY:
            return True
        self._taken = 0
        return False

    def took(self) -> None:
        """
        This process has accepted a connection.
        """
        if self._finished:
            return
        self._taken += 1
        self._kept += 1
        if self._kept >= self._batch and self._timer is None:
            self._timer = self._reactor.callLater(REST, self._rested)
            self._rest()

    def nobody(self) -> None:
        """
        No connection waits.
        """
        self._batch = self._least

    def ended(self) -> None:
        """
        One of its connections has ended.
        """
        self._freed = True
        if self._kept:
            self._kept -= 1
            if self._timer is not None and self._kept <= self._batch // 2:
                # They end as fast as they come.
                self._least = self._batch = min(2 * self._batch, MOST)
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
