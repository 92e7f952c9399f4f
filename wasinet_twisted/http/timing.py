"""
Time: how long a peer and a handler may take. Pure arithmetic: nothing is scheduled here, and nobody asks a clock.

Two rules are used throughout:

 - a deadline is a number of seconds on the caller's clock; C{math.inf} is none;
 - what has a least rate has a time of grace first. Each byte buys the peer
   C{1 / rate} seconds more, but no more than until it took some last: a peer whose
   kernel took megabytes at once, and no more, is as slow as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from .limits import checkNumbers

# How long a connection that has brought no request may take to bring one while the server drains, in seconds: it may be
# in the kernel's buffer.
FRESH = 1.0
# What is counted, in bytes or requests.
_COUNTS = frozenset(("lingerBytes", "buffered", "unreadBody", "requests"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """
    What one connection is allowed: seconds, bytes a second, and bytes.

    @ivar head: how long a head may take, from its first byte on.
    @ivar idle: how long a connection may wait for the next request.
    @ivar bodyRate: how fast a body must come while somebody waits for it ...
    @ivar bodyGrace: ... after so many seconds of waiting.
    @ivar responseRate: how fast what is sent must be taken, after the same time of grace.
    @ivar handler: how long a response may take to begin, but for the time that the request's body takes; L{None}: any.
    @ivar halfClosed: how long a response without a length may give no piece when the client has ended its direction.
    @ivar flush: how long what is queued may take to be sent when the connection closes, at least.
    @ivar lingerSeconds: how long a connection is read from after its last response ...
    @ivar lingerBytes: ... and how much of that is read (RFC 9112 section 9.6).
    @ivar buffered: how many bytes are held that nobody has asked for.
    @ivar unreadBody: how much of a body that nobody has asked for is read to keep the connection.
    @ivar requests: how many requests a connection may bring; L{None}: any number.
    @ivar drainIdle: how long a connection that is idle when the server drains may wait for one request more.
    """

    head: float = 10.0
    idle: float = 75.0
    bodyRate: float = 500.0
    bodyGrace: float = 20.0
    responseRate: float = 500.0
    handler: float | None = None
    halfClosed: float = 5.0
    flush: float = 30.0
    lingerSeconds: float = 2.0
    lingerBytes: int = 64 * 1024 * 1024
    buffered: int = 256 * 1024
    unreadBody: int = 256 * 1024
    requests: int | None = None
    drainIdle: float = 0.0

    def __post_init__(self) -> None:
        checkNumbers(self, whole=_COUNTS, positive={"requests"})

    def slowest(self, amount: int) -> float:
        """
        Return how many seconds of waiting a body may have taken of which so many bytes have come.
        """
        return self.bodyGrace + amount / max(self.bodyRate, 1e-9)


DEFAULT_TIMING = Timing()


class Taking:
    """
    How a peer takes what is sent to it. Made when it doesn't: most peers do at once.

    @ivar left: how many bytes it hasn't taken, when somebody looked last.
    """

    __slots__ = ("_first", "_progress", "_since", "left")

    def __init__(self, left: int, now: float) -> None:
        self.left = self._first = left
        self._since = self._progress = now

    def look(self, left: int, now: float) -> None:
        """
        Tell how many bytes are left.
        """
        if left < self.left:
            self._progress = now
        else:
            # More may have been queued meanwhile.
            self._first += left - self.left
        self.left = left

    def earned(self, rate: float) -> float:
        """
        Return how many seconds the peer has earned: by what it has taken, and no more than until it took some last.

        @param rate: the least rate, in bytes a second.
        """
        return min((self._first - self.left) / max(rate, 1e-9), self._progress - self._since)

    def deadline(self, timing: Timing) -> float:
        """
        Return when the peer is too slow.
        """
        return self._since + timing.bodyGrace + self.earned(timing.responseRate)


class Clock:
    """
    When one connection has to be looked at: what has happened, and when.

    @ivar timing: what the connection is allowed.
    @ivar since: when the present state has begun.
    @ivar pieceAt: when the latest piece of what is sent came.
    @ivar finished: when the peer has ended its direction; C{inf}: it hasn't.
    @ivar taking: how the peer takes what is sent; L{None}: it has taken everything.
    @ivar closeBy: until when a connection that lingers or closes may take.
    @ivar ended: has our direction ended, so that a connection that lingers waits for the peer alone?
    """

    __slots__ = ("closeBy", "ended", "finished", "pieceAt", "since", "taking", "timing")

    def __init__(self, timing: Timing, now: float) -> None:
        self.timing = timing
        self.since = self.pieceAt = now
        self.finished = self.closeBy = inf
        self.ended = False
        self.taking: Taking | None = None

    def taken(self, left: int, now: float) -> bool:
        """
        See L{Connection.taken<wasinet_twisted.http.connection.Connection.taken>}.

        @return: has the peer taken the last of it only now? A caller may tell more often that nothing is left.
        """
        if left:
            if self.taking is None:
                self.taking = Taking(left, now)
            else:
                self.taking.look(left, now)
            return False
        if self.taking is None:
            return False
        self.taking = None
        self.pieceAt = now
        return True

    # Each of these: when is this over? C{inf}: never.

    def closing(self) -> float:
        """
        For what is queued to be sent when the connection closes, or for the peer to close as well.
        """
        return self.closeBy if self.taking is None else self.closeBy + self.taking.earned(self.timing.responseRate)

    def response(self) -> float:
        """
        For the peer to take what is sent.
        """
        return inf if self.taking is None else self.taking.deadline(self.timing)


class ServerClock(Clock):
    """
    That of a server.

    @ivar started: when the present request has begun.
    @ivar drained: when the drain has begun; C{inf}: it hasn't.
    @ivar waiting: does somebody wait for more of the request's body?
    @ivar waited: for how long somebody has, in seconds.
    @ivar late: has it been told that the response takes too long?
    @ivar touched: has any of this changed since the present request began, or does it matter how many requests there
        are? Nearly always only C{started} is set anew.
    @ivar outlives: may the response take its time when the peer has ended its direction?
    """

    __slots__ = ("_counts", "drained", "late", "outlives", "started", "touched", "waited", "waiting")

    def __init__(self, timing: Timing, now: float) -> None:
        super().__init__(timing, now)
        self.started = now
        self.drained = inf
        self.waiting = self.late = self.outlives = False
        self.waited = 0.0
        # Does it matter how many requests there have been?
        self._counts = self.touched = timing.requests is not None

    def outlive(self) -> None:
        """
        Let the present response take its time, even when the client has ended its direction.
        """
        self.outlives = self.touched = True

    def begin(self, now: float) -> None:
        """
        A request has come.
        """
        self.started = now
        self.waited = 0.0
        self.late = self.outlives = False
        self.touched = self._counts

    def count(self) -> None:
        """
        From now on it matters how many requests there have been.
        """
        self._counts = self.touched = True

    def wait(self, now: float) -> None:
        """
        Somebody begins to wait for more of the body.
        """
        self.waiting = self.touched = True
        self.since = now

    def waitNoMore(self, now: float) -> None:
        """
        It has come, or nobody waits any more.
        """
        if self.waiting:
            self.waiting = False
            self.waited += now - self.since

    def idle(self, fresh: bool) -> float:
        """
        For the next request to come.

        @param fresh: is it the first one?
        """
        timing = self.timing
        most = self.since + timing.idle
        if self.drained == inf:
            return most
        grace = FRESH if fresh else timing.drainIdle
        return min(most, max(self.since + grace, self.drained + timing.drainIdle))

    def body(self, got: int) -> float:
        """
        For more of the body to come, of which so many bytes have.
        """
        return self.since + self.timing.slowest(got) - self.waited if self.waiting else inf

    def handler(self) -> float:
        """
        For a response to begin; the time that the request's body takes doesn't count.
        """
        if self.timing.handler is None or self.late:
            return inf
        due = self.started + self.waited + self.timing.handler
        # Its time stands still from when somebody waits, and may have been over by then.
        return inf if self.waiting and due > self.since else due

    def halfClosed(self) -> float:
        """
        For the next piece of a response without a length, once the peer has ended its direction.
        """
        if self.outlives or self.taking is not None:
            return inf
        return max(self.pieceAt, self.finished) + self.timing.halfClosed
