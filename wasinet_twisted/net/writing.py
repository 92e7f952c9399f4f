"""
What those get who wait for a connection to take bytes, or to end.
"""

from __future__ import annotations

from copy import copy

from twisted.internet.defer import Deferred

from ..errors import WasinetError


class Written(Deferred[None]):
    """
    What a write returns. Most are never looked at, so a failure that nobody
    asks for is not reported as unhandled.
    """

    def fail(self, error: WasinetError) -> None:
        """
        Tell C{error} to whoever waits, now or later.
        """
        self.errback(again(error))
        if self._debugInfo is not None:
            # It is what reports a failure when it is collected; to handle the failure here would hide it from those
            # who come later.
            self._debugInfo.failResult = None


def again(error: WasinetError) -> WasinetError:
    """
    The same error, for somebody else. One instance raised over and over would gather their tracebacks, and keep what
    these hold.
    """
    another = copy(error)
    another.__cause__ = error.__cause__
    return another


def succeedAll(waiting: list[Deferred[None]] | list[Written] | None) -> None:
    """
    Tell all who wait, but for those who have given up.
    """
    for deferred in waiting or ():
        if not deferred.called:
            deferred.callback(None)


def failAll(waiting: list[Written] | None, error: WasinetError) -> None:
    """
    Tell C{error} to all who wait, but for those who have given up.
    """
    for deferred in waiting or ():
        if not deferred.called:
            deferred.fail(error)
