"""
When requests are due, and from when on a request's latency counts.
"""

from __future__ import annotations

# How late a timer may be, in seconds: epoll has whole milliseconds, and its turn may have others before.
GRANULARITY = 0.002


class Schedule:
    """
    Requests at a constant rate.

    @ivar begun: when the first one is due, in seconds.
    @ivar taken: how many have been taken.
    """

    __slots__ = ("_rate", "begun", "taken")

    def __init__(self, rate: float, begun: float) -> None:
        """
        @param rate: requests a second.
        """
        self._rate = rate
        self.begun = begun
        self.taken = 0

    def take(self) -> float:
        """
        Return when the next request is due. Each is due once, however late it is taken.
        """
        # Not by adding up: the errors would add up as well.
        due = self.begun + self.taken / self._rate
        self.taken += 1
        return due

    def overdue(self, now: float) -> int:
        """
        How many requests are due and haven't been taken?
        """
        if now < self.begun:
            return 0
        # Due at exactly this time counts, whatever the division makes of it.
        due = int((now - self.begun) * self._rate + 1e-6) + 1
        return max(due - self.taken, 0)


def countsFrom(due: float, sent: float, waited: bool) -> float:
    """
    Return from when on a request's latency counts, corrected for coordinated omission.

    A server that is slow keeps all connections busy, so that requests are sent
    later than they are due. Counted from when they are sent, the wait would be left
    out just when it is long. So it counts from when the request was due, as it does
    for a user who comes at that time. A connection that was free and waited for
    that time is woken by a timer, a little late; that is nobody's latency, unless it
    is later than a timer ever is: then this process is what keeps requests waiting.

    @param due: when it is to be sent, in seconds.
    @param sent: when it is.
    @param waited: was the connection free before it was due?
    """
    return sent if waited and sent - due <= GRANULARITY else due
