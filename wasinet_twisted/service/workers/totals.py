"""
The statistics of all workers together.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from ...server.statistics import Statistics


class Totals:
    """
    Adds up what workers tell. What those that have ended did stays: counters never go back.

    @ivar statistics: the sums.
    """

    def __init__(self) -> None:
        self.statistics = Statistics()
        self._last: dict[Hashable, Statistics] = {}

    def tell(self, worker: Hashable, snapshot: Mapping[str, Any]) -> None:
        """
        Take the counters that a worker has now.
        """
        now = Statistics.fromSnapshot(snapshot)
        self.statistics.merge(now, self._last.get(worker))
        self._last[worker] = now

    def end(self, worker: Hashable) -> None:
        """
        A worker has ended: nothing of its is open or in flight any more.
        """
        last = self._last.pop(worker, None)
        if last is not None:
            self.statistics.openConnections -= last.openConnections
            self.statistics.abandonedRequests += last.inFlight
