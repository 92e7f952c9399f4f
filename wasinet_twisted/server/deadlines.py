"""
Time: how long a peer and a handler may take, looked at twice a second.
"""

from __future__ import annotations

from twisted.logger import Logger

from ..errors import SlowBody
from ..net.connection import CLOSE_TIMEOUT
from ..net.sending import unsent
from .responding import Responder
from .state import BUSY, DONE, HEAD, IDLE, LINGER, TUNNEL, UNREAD

log = Logger()

# How long a connection that has brought no request yet may take to bring one while the server drains, in seconds: it
# may be in the kernel's buffer.
FRESH = 1.0


class Watched(Responder):
    """
    One that the server's clock looks at.
    """

    __slots__ = ()

    def pauseProducing(self) -> None:
        """
        The peer doesn't take what we send.
        """
        super().pauseProducing()
        self._writeSince = self.reactor.seconds()
        self._unsent = -1

    def tick(self, now: float) -> None:
        """
        Look at the deadlines.
        """
        limits = self.server.limits
        phase = self._phase
        elapsed = now - self._since
        if self.closing or phase == LINGER:
            if now >= self._closeBy + self._earned():
                self._closeTooSlow()
        elif phase == IDLE:
            # Whoever still takes the last answer is not idle.
            if elapsed >= limits.idle and not self._writePaused:
                self._drop("idle")
            elif self.server.draining and elapsed >= FRESH:
                self.closeIdle()
        elif phase == HEAD:
            if elapsed >= limits.head:
                self._refuse(408, "the head took too long", None)
        elif phase == UNREAD:
            if elapsed >= limits.bodyGrace + self._waited / max(limits.bodyRate, 1e-9):
                self._drop("slow body")
        elif phase == BUSY:
            self._tickBusy(now)
        if (
            self._writePaused
            and not self.closing
            and phase != TUNNEL
            and now - self._writeSince >= limits.bodyGrace + self._earned()
        ):
            self.server.statistics.dropped("slow reader")
            self.abort()

    def _tickBusy(self, now: float) -> None:
        limits = self.server.limits
        waited = self._waited
        if self._puller is not None:
            waited += now - self._since
            if waited >= limits.bodyGrace + self._bodyGot / max(limits.bodyRate, 1e-9):
                self.server.statistics.dropped("slow body")
                self._puller.fail(SlowBody(f"timed out: {self._bodyGot} bytes of a body in {waited:.0f} s"))
                return
        if limits.handler is not None and now - self._started - waited >= limits.handler and not self._late:
            request = self._request
            if request is not None and not request._responded:
                self._late = True
                self.server.cancel(self)

    def _closeTooSlow(self) -> None:
        if self._phase == LINGER and not self.closing:
            self._lingerOver()
        else:
            self._closeExpired()

    def _closeWithin(self, timeout: float) -> None:
        self._closeBy = self.reactor.seconds() + timeout
        # What goes on in a tunnel has no least rate.
        self._unsent = 0 if self._phase == TUNNEL else -1

    def _closeEarlier(self, timeout: float) -> None:
        self._closeBy = min(self._closeBy, self.reactor.seconds() + timeout)

    def _earned(self) -> float:
        """
        How many seconds the peer has earned by what it has taken. That is
        measured from the first tick on: the kernel takes some at once, which may
        be megabytes, for a peer that never takes any.
        """
        if self._unsent < 0:
            self._unsent = unsent(self.transport, 0)
            return 0.0
        taken = self._unsent - unsent(self.transport, self._unsent)
        return max(taken, 0) / max(self.server.limits.responseRate, 1e-9)

    def _drop(self, reason: str) -> None:
        self.server.statistics.dropped(reason)
        self._phase = DONE
        self.close(CLOSE_TIMEOUT)

    def isBetween(self) -> bool:
        """
        Has nothing of a request come since the last one?
        """
        return self._phase == IDLE and not self._hasUnparsed()

    def isIdle(self) -> bool:
        """
        Does it wait for a request of which nothing has come? Not if it still
        sends an answer, nor if its first request may just be on its way.
        """
        if not self.isBetween() or self.closing or self._writePaused:
            return False
        return self._count > 0 or self.reactor.seconds() - self._since >= self.server.limits.head

    def idleSince(self) -> float:
        """
        Since when, if it does.
        """
        return self._since

    def drain(self) -> None:
        """
        The server is about to end: close it, if it waits for a request of which
        nothing has come. A new one has a second to bring its first.
        """
        if self._count:
            self.closeIdle()

    def closeIdle(self) -> None:
        """
        Close it, if it waits for a request of which nothing has come. What it has answered is sent first.
        """
        if self.isBetween() and not self.closing:
            self._phase = DONE
            self.close(CLOSE_TIMEOUT)
