"""
What a connection of either role has: its states, what is sent in pieces, its end, and its deadlines.
"""

from __future__ import annotations

from enum import Enum
from math import inf

from ..errors import LocalProtocolError
from .exchange import CLOSED, CLOSES, IDLE, Exchange
from .outgoing import BodyWriter
from .timing import Clock


class Closing(Enum):
    """
    What becomes of the transport, once everything has been sent.
    """

    KEEP = "keep"
    # End our direction, and go on to give what comes to receive() until this changes.
    LINGER = "linger"
    CLOSE = "close"
    # Reset it: a FIN would make half a message look like a whole one.
    ABORT = "abort"


# An enumeration's members cost more to look up than a module's names.
KEEP, LINGER, CLOSE, ABORT = Closing


class Expired(Enum):
    """
    Which deadline has passed, and what the caller does about it beyond what C{closing} says.
    """

    # Nothing.
    IDLE = "idle"
    UNREAD = "unread body"
    RESPONSE = "slow reader"
    HALF_CLOSED = "half-closed"
    LINGER = "linger"
    FLUSH = "flush"
    # Refuse it.
    HEAD = "head"
    # Tell whoever waits for the body.
    BODY = "slow body"
    # Cancel whatever answers.
    HANDLER = "handler"


class Connection:
    """
    @ivar exchange: the states, see C{exchange.py}.
    @ivar closing: what becomes of the transport.
    """

    __slots__ = ("_writer", "closing", "exchange")

    # Each role has its own.
    clock: Clock

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.closing = KEEP
        # What writes the body of a message in pieces.
        self._writer: BodyWriter | None = None

    @property
    def finished(self) -> bool:
        """
        Has the peer ended its direction?
        """
        return self.clock.finished != inf

    # What is sent in pieces

    def data(self, piece: bytes, now: float) -> bytes:
        """
        Send a piece of the body of the message that C{begin} has announced.

        @raise LocalProtocolError: it is more than the Content-Length, or nothing has been announced.
        """
        encoded = self._announced().data(piece)
        self.clock.pieceAt = now
        return encoded

    @property
    def hasLength(self) -> bool:
        """
        Is the message that is sent one in pieces that have to add up to a Content-Length?
        """
        return self._writer is not None and self._writer.length >= 0

    @property
    def sent(self) -> int:
        """
        How much of its body has been sent in pieces, in bytes, without what frames them.
        """
        return 0 if self._writer is None else self._writer.size

    def _announced(self) -> BodyWriter:
        if self._writer is None:
            raise LocalProtocolError("no message whose body comes in pieces has been begun")
        return self._writer

    # The end

    def close(self, timeout: float, now: float) -> None:
        """
        Close after what has been sent, within C{timeout} seconds unless the peer
        goes on taking it. The earliest of several such times holds.
        """
        clock = self.clock
        if self.closing is CLOSE:
            clock.closeBy = min(clock.closeBy, now + timeout)
        elif self.closing is not ABORT:
            self._close(now)
            clock.closeBy = now + timeout

    def abort(self) -> None:
        """
        End at once: the peer has to see that something is missing.
        """
        self._end(ABORT)

    def makeLast(self) -> None:
        """
        Let the connection close after the present response.
        """
        self.exchange.goesOn = False

    def isBetween(self) -> bool:
        """
        Does it wait for a request of which nothing has come?
        """
        return self.exchange.state == IDLE and not self._hasUnparsed()

    def closeIdle(self, now: float) -> None:
        """
        Close, if it waits for a request of which nothing has come.
        """
        if self.isBetween():
            self._close(now)

    def _hasUnparsed(self) -> bool:
        """
        Has something come that nobody has looked at?
        """
        raise AssertionError("each role has its own")

    def _close(self, now: float) -> None:
        self._end(CLOSE)
        self.clock.closeBy = now + self.clock.timing.flush

    def _end(self, closing: Closing) -> None:
        self.closing = closing
        if self.exchange.state == CLOSED:
            # It has ended before.
            return
        self.exchange.move(CLOSES)
        self._writer = None
        self._clear()

    def _linger(self, now: float) -> None:
        """
        Read and forget what the peer still sends, so that it reads the response before it finds the connection
        closed. RFC 9112 section 9.6.
        """
        if self.clock.finished != inf:
            self._close(now)
            return
        self.closing = LINGER
        self._clear()
        # Until our direction has ended; then sentEnd() sets this anew.
        self.clock.closeBy = now + self.clock.timing.flush

    def sentEnd(self, now: float) -> None:
        """
        Our direction has ended, and everything before has been sent; or it can't end without the other. Only the first
        time counts.
        """
        if self.closing is LINGER and not self.clock.ended:
            clock = self.clock
            clock.closeBy = now + clock.timing.lingerSeconds
            clock.taking = None
            clock.ended = True

    def _clear(self) -> None:
        """
        Forget the present message: the connection ends.
        """

    # Time

    def taken(self, unsent: int, now: float) -> None:
        """
        Tell how much of what is to be sent the peer has not taken, in bytes: when the transport holds some, now and
        then until it holds none.
        """
        if self.clock.taken(unsent, now) and self.exchange.state == IDLE:
            # It was not idle while it took the last message.
            self.clock.since = now

    def deadline(self) -> float:
        """
        Return when L{expire} has something to say, unless something happens before. C{math.inf}: never.
        """
        return self._nextDeadline()[0]

    def expire(self, now: float) -> Expired | None:
        """
        Look at the deadlines.

        @return: which one has passed, if any; C{closing} may have changed.
        """
        deadline, expired = self._nextDeadline()
        if now < deadline:
            return None
        self._expired(expired, now)
        return expired

    def _nextDeadline(self) -> tuple[float, Expired]:
        """
        Return the next deadline, and what it is one for.
        """
        raise AssertionError("each role has its own")

    def _expired(self, expired: Expired, now: float) -> None:
        """
        A deadline has passed.
        """
        if expired in (Expired.RESPONSE, Expired.HALF_CLOSED, Expired.FLUSH):
            self._end(ABORT)
        else:
            self._close(now)

    def _closingDeadline(self) -> tuple[float, Expired]:
        if self.closing is ABORT:
            return inf, Expired.FLUSH
        lingers = self.closing is LINGER and self.clock.ended
        return self.clock.closing(), Expired.LINGER if lingers else Expired.FLUSH


def sooner(*found: tuple[float, Expired]) -> tuple[float, Expired]:
    """
    Return the first of several deadlines.
    """
    return min(found, key=_when)


def _when(found: tuple[float, Expired]) -> float:
    return found[0]
