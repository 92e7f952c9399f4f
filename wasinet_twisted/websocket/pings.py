"""
Pings: those of users, those that find a peer that is gone, and the answers to the peer's.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall

from ..errors import WasinetError
from ..net.stream.protocol import ConnectionProtocol
from ..net.tasks.awaited import Awaited, again
from .codes import INTERNAL_ERROR, PING, PONG
from .limits import WebSocketLimits


class Pinged(Protocol):
    """
    A session, as its pings need it.
    """

    holding: bool

    def control(self, opcode: int, payload: bytes) -> None:
        """
        Send a ping or a pong.
        """

    def fail(self, code: int, reason: str) -> None:
        """
        The peer can't be gone on with.
        """


class Pings:
    """
    @ivar heard: has anything come from the peer since this was last looked at?
    """

    __slots__ = ("_count", "_limits", "_pong", "_protocol", "_reactor", "_session", "_timer", "_waiting", "heard")

    def __init__(self, session: Pinged, protocol: ConnectionProtocol, limits: WebSocketLimits) -> None:
        self._session = session
        self._protocol = protocol
        self._reactor: Any = protocol.reactor
        self._limits = limits
        self.heard = False
        self._count = 0
        # The ping that is to be answered when the peer takes something.
        self._pong: bytes | None = None
        self._timer: IDelayedCall | None = None
        # By the payload, in the order in which they were sent: who waits, and since when.
        self._waiting: dict[bytes, tuple[Awaited[float] | None, float]] | None = None

    def start(self) -> None:
        """
        Look after the peer.
        """
        interval = self._limits.pingInterval
        if interval is not None:
            self._timer = self._reactor.callLater(interval, self._look)

    def stop(self) -> None:
        """
        No longer.
        """
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def ping(self) -> Awaited[float]:
        """
        Send one; the result fires with the seconds to its pong.
        """
        waiting: Awaited[float] = Awaited(_giveUp)
        self._send(waiting)
        return waiting

    def answer(self, payload: bytes) -> None:
        """
        A ping has come: send a pong. While the peer takes nothing, only the latest ping waits to be answered (RFC 6455
        section 5.5.3).
        """
        if self._pong is not None:
            self._pong = payload
        elif self._protocol._writePaused:
            self._pong = payload
            self._protocol.write(b"").addCallbacks(self._answerLater, lambda _: None)
        else:
            self._session.control(PONG, payload)

    def _answerLater(self, _: object) -> None:
        payload, self._pong = self._pong, None
        if payload is not None:
            self._session.control(PONG, payload)

    def answered(self, payload: bytes) -> None:
        """
        A pong has come. It answers the pings before, too (RFC 6455 section 5.5.3).
        """
        pending = self._waiting
        if pending is None or payload not in pending:
            return
        now = self._reactor.seconds()
        for sent in list(pending):
            waiting, since = pending.pop(sent)
            if waiting is not None and not waiting.called:
                waiting.give(now - since)
            if sent == payload:
                break
        if not pending:
            self._waiting = None

    def closed(self, error: WasinetError) -> None:
        """
        There will be no pong.
        """
        self.stop()
        pending, self._waiting = self._waiting, None
        for waiting, _ in (pending or {}).values():
            if waiting is not None and not waiting.called:
                waiting.failQuietly(again(error))

    def _send(self, waiting: Awaited[float] | None) -> None:
        self._count = (self._count + 1) & 0xFFFFFFFF
        payload = self._count.to_bytes(4, "big")
        pending = self._waiting
        if pending is None:
            pending = self._waiting = {}
        # A peer that goes on sending and never answers: nobody waits for the first of them any more.
        while pending and ((first := pending[oldest := next(iter(pending))][0]) is None or first.called):
            del pending[oldest]
        pending[payload] = (waiting, self._reactor.seconds())
        self._session.control(PING, payload)

    def _look(self) -> None:
        interval, timeout = self._limits.pingInterval, self._limits.pingTimeout
        assert interval is not None
        if self.heard or self._session.holding:
            # What is held back may be the answer.
            self.heard = False
            self._timer = self._reactor.callLater(interval, self._look)
            return
        self._timer = self._reactor.callLater(interval if timeout is None else timeout, self._lookAgain)
        self._send(None)

    def _lookAgain(self) -> None:
        interval, timeout = self._limits.pingInterval, self._limits.pingTimeout
        assert interval is not None
        if self.heard or self._session.holding or timeout is None:
            self.heard = False
            self._timer = self._reactor.callLater(interval, self._look)
            return
        self._timer = None
        self._session.fail(INTERNAL_ERROR, f"no pong in {timeout:g} s")


def _giveUp(waiting: Any) -> None:
    waiting.fail(CancelledError())
