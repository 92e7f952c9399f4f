"""
Several addresses of one host: the first to connect wins. RFC 8305, Happy Eyeballs.

Twisted's C{HostnameEndpoint} does the same, but tells one of the failures only.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ..stream.protocol import ConnectionProtocol
from .resolve import InternetAddress

# Seconds from one attempt to the next while none of them fails: RFC 8305 section 5 recommends it.
ATTEMPT_DELAY = 0.25
# A name may have any number of addresses. At the delay above, the last one of these has its turn after 8 seconds.
MAX_ATTEMPTS = 32


def interleave(addresses: Sequence[InternetAddress]) -> list[InternetAddress]:
    """
    The two families in turn, that of the resolver's first address first, each
    in the resolver's order, which has RFC 6724 behind it: RFC 8305 section 4,
    with a First Address Family Count of 1.
    """
    first = [address for address in addresses if type(address) is type(addresses[0])]
    second = [address for address in addresses if type(address) is not type(addresses[0])]
    return [address for turn in zip_longest(first, second) for address in turn if address is not None]


class Race:
    """
    One run of attempts at endpoints.

    @ivar attempts: every endpoint that was tried, by name, in the order in which
        that was begun, and why it failed; L{None} where that is open.
    """

    def __init__(
        self, reactor: Any, delay: float | None = ATTEMPT_DELAY, build: type[ConnectionProtocol] = ConnectionProtocol
    ) -> None:
        """
        @param delay: seconds from one attempt to the next while none of them
            fails; L{None} waits until one does.
        @param build: the class of the Protocol that a connection gets.
        """
        self.attempts: dict[str, BaseException | None] = {}
        self._reactor = reactor
        self._delay = delay
        self._build = build
        self._left: deque[tuple[str, IStreamClientEndpoint]] = deque()
        # How many there are beyond the bound.
        self._beyond = 0
        self._running: dict[str, Deferred[Any]] = {}
        # Those that have connected: one, unless an endpoint takes more time after that.
        self._made: list[ConnectionProtocol] = []
        self._timer: IDelayedCall | None = None
        self._over = False
        self._result: Deferred[ConnectionProtocol | None] = Deferred(lambda _: self._end(None))

    def run(self, contestants: Sequence[tuple[str, IStreamClientEndpoint]]) -> Deferred[ConnectionProtocol | None]:
        """
        @param contestants: the endpoints, by unique names. Of more than L{MAX_ATTEMPTS} the rest is not tried.
        @return: fires with the connection that was made first, or with L{None}
            when all have failed. Cancelling it ends every attempt.
        """
        self._left.extend(contestants[:MAX_ATTEMPTS])
        self._beyond = len(contestants) - len(self._left)
        self._next()
        return self._result

    def report(self, target: str) -> str:
        """
        Every address that was tried, and why it failed, in one line.

        @param target: what needs no name.
        """
        told = []
        for name, error in self.attempts.items():
            reason = "no answer" if error is None else why(error)
            told.append(reason if name == target else f"{name}: {reason}")
        if untried := len(self._left) + self._beyond:
            told.append(f"{untried} more not tried")
        return "; ".join(told)

    def _next(self) -> None:
        self._stopTimer()
        name, endpoint = self._left.popleft()
        if self._left and self._delay is not None:
            self._timer = self._reactor.callLater(self._delay, self._next)
        self.attempts[name] = None
        attempt = self._running[name] = maybeDeferred(
            endpoint.connect, _AttemptFactory(self._reactor, self, self._build)
        )
        attempt.addCallbacks(self._won, self._failed, callbackArgs=(name,), errbackArgs=(name,))

    def connected(self, protocol: ConnectionProtocol) -> bool:
        """
        One of the attempts has connected.
        """
        if self._over:
            # Too late. An endpoint that knows no cancelling comes here.
            protocol.abort()
        else:
            self._made.append(protocol)
        return False

    def connectionGone(self, protocol: ConnectionProtocol) -> None:
        """
        One that has connected is gone; its attempt says so, or it is the caller's affair.
        """

    def _won(self, protocol: ConnectionProtocol, name: str) -> None:
        if self._over:
            # It came through in spite of being cancelled, and has been aborted.
            return
        del self._running[name]
        self._end(protocol)
        self._result.callback(protocol)

    def _failed(self, failure: Failure, name: str) -> None:
        if self._over:
            return
        del self._running[name]
        self.attempts[name] = failure.value
        if self._left:
            # RFC 8305 section 5 spaces the attempts for the network's sake; there is nothing left to wait for.
            self._next()
        elif not self._running:
            self._end(None)
            self._result.callback(None)

    def _end(self, winner: ConnectionProtocol | None) -> None:
        """
        RFC 8305 section 5: when one has connected, the others are cancelled.
        """
        self._over = True
        self._stopTimer()
        running, self._running = self._running, {}
        for attempt in running.values():
            attempt.cancel()
        made, self._made = self._made, []
        for protocol in made:
            if protocol is not winner:
                protocol.abort()

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


class _AttemptFactory(Factory):
    noisy = False

    def __init__(self, reactor: Any, race: Race, build: type[ConnectionProtocol]) -> None:
        self._reactor = reactor
        self._race = race
        self._build = build

    def buildProtocol(self, addr: object) -> ConnectionProtocol:  # type: ignore[override]
        return self._build(self._reactor, self._race)


def why(error: BaseException) -> str:
    """
    The system's own words where there are some; Twisted puts several layers of its own around them.
    """
    if isinstance(error, ConnectError) and isinstance(error.osError, int):
        return os.strerror(error.osError)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
