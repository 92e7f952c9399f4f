"""
The reactor: epoll, with lean dispatch for the transports of this room.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from select import EPOLLIN
from time import clock_gettime
from typing import Any

from twisted.internet import epollreactor
from twisted.internet.main import installReactor
from twisted.python import context, log
from twisted.python.log import ILogContext

from .._fast import fastLines, fastPath
from .._speed import install as installTwins
from . import opening
from .dispatch import callLogged, keepHeap, sendNow
from .transports import LEAN, Gathering

# How many events are dispatched before timed calls are looked at again.
_EVENTS = 512
# So many transports with something to send do so together, if not when a turn's events have been dispatched. Sent one
# right after the other, they find the peer awake that the first has woken, and waking is what costs; but the first must
# not wait for too many others' events ...
_TOGETHER = 32
# ... nor for any that take long, in seconds. The clock, <time.h>'s CLOCK_MONOTONIC_COARSE, moves once in some 4 ms, and
# costs the least.
_SOON = 0.001
_COARSE = 6
# Timed calls later than in so many seconds are left to Twisted, which knows how long epoll can wait.
_LONGEST = 1_000_000


@fastPath(
    "reactor.dispatch",
    slow="log.callWithLogger and EPollReactor._doReadOrWrite",
    why="an event read, written and sent, without the kernel: 0.71 us instead of 2.41",
)
def _dispatched() -> frozenset[type[Any]]:
    """
    Return the classes of the transports that L{EPollReactor.doPoll} has read by itself.
    """
    return LEAN


_DISPATCHED = _dispatched() or frozenset()

_TURN = fastLines(
    "reactor.turn",
    slow="ReactorBase.runUntilCurrent and ReactorBase.timeout",
    why="a turn of the loop in which no timed call is due, without its events: 0.29 us instead of 1.15",
)


class EPollReactor(epollreactor.EPollReactor):
    """
    Twisted's C{EPollReactor}, with gathered writes and fewer layers around an event.
    """

    def __init__(self) -> None:
        # Those that have something to send, each once.
        self.dirty: deque[Gathering] = deque()
        # What log messages are told beside where they come from.
        self.logContext: dict[str, Any] = {}
        # What log messages are told of where they come from, innermost last. Each thread has its own.
        self._contexts: list[Any] = []
        keepHeap()
        super().__init__()

    # For the transports

    def isWriting(self, transport: Any) -> bool:
        """
        Does epoll watch for C{transport} to become writable?
        """
        return transport.fileno() in self._writes

    def isReading(self, transport: Any) -> bool:
        """
        Does epoll watch for what comes for C{transport}?
        """
        return transport.fileno() in self._reads

    def removeReader(self, reader: Any) -> None:
        """
        See C{IReactorFDSet.removeReader}.
        """
        # A transport that ends asks for it up to three times. (-1: somebody has closed its socket.)
        fd = reader.fileno()
        if fd in self._reads or fd == -1 or reader.__class__ not in LEAN:
            super().removeReader(reader)

    def removeAll(self) -> list[Any]:
        """
        See C{IReactorFDSet.removeAll}. Those that are to send are among them, as if they waited for epoll.
        """
        removed: list[Any] = super().removeAll()
        return removed + [each for each in self.dirty if each.dirty and each.connected and each not in removed]

    # The loop

    def runUntilCurrent(self) -> None:
        """
        Run what is due: timed calls, what other threads have asked for, the shutdown.
        """
        pending = self._pendingTimedCalls
        if (
            not _TURN
            or self.threadCallQueue
            or self._newTimedCalls
            or self._justStopped
            # Twisted throws those away now and then.
            or self._cancellations > 50
            or (pending and pending[0].time <= self.seconds())
        ):
            super().runUntilCurrent()

    def timeout(self) -> float | None:
        """
        Return how many seconds the loop may wait for events; L{None}: for ever.
        """
        if not _TURN or self._newTimedCalls:
            return super().timeout()
        pending = self._pendingTimedCalls
        if not pending:
            return None
        left: float = pending[0].time - self.seconds()
        return left if 0 <= left <= _LONGEST else super().timeout()

    def doPoll(self, timeout: float | None) -> None:
        """
        Wait for events, and dispatch them.

        @param timeout: seconds; L{None} waits for ever.
        """
        # Not once and for all: the reactor may run in another thread than the one that made it.
        self._contexts = contexts = context.theContextTracker.currentContext().contexts
        # Nearly always there is only the thread's own.
        self.logContext = contexts[0][ILogContext] if len(contexts) == 1 else context.get(ILogContext)
        if self.dirty:
            # Timed calls have written, or whatever runs outside of the loop. While that is sent, others may be made,
            # or the reactor stopped: the timeout is not true any more.
            self._sendAll()
            timeout = 0
        selectables = self._selectables
        try:
            events = self._poller.poll(-1 if timeout is None else timeout, min(len(selectables), _EVENTS))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        sent = clock_gettime(_COARSE)
        for fd, event in events:
            selectable: Any = selectables.get(fd)
            if event == EPOLLIN and selectable.__class__ in _DISPATCHED:
                # What C{log.callWithLogger} and C{_doReadOrWrite} do, without what is the same each time.
                contexts.append(selectable)
                why: Any
                isRead = True
                try:
                    why = selectable.doRead()
                except BaseException as error:
                    log.err()
                    why = error
                    # Even if it is a ConnectionDone: its peer hasn't ended one direction.
                    isRead = False
                finally:
                    contexts.pop()
                if why:
                    self._call(selectable, self._disconnectSelectable, selectable, why, isRead)
            elif selectable is not None:
                # It could be gone in the meantime.
                log.callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)
            if self.dirty and (len(self.dirty) >= _TOGETHER or clock_gettime(_COARSE) - sent >= _SOON):
                self._sendAll()
                sent = clock_gettime(_COARSE)
        if self.dirty:
            self._sendAll()

    doIteration = doPoll

    def _sendAll(self) -> None:
        """
        Have everybody send who has something to send.
        """
        # In place: if somebody iterates the reactor meanwhile, or an exception gets through, nobody is forgotten.
        dirty = self.dirty
        for _ in range(len(dirty)):
            if not dirty:
                break
            transport = dirty.popleft()
            # It may have sent, or ended, since.
            if transport.dirty and not transport.sendPlain() and transport.connected:
                self._call(transport, self._sendNow, transport)

    def _sendNow(self, transport: Any) -> None:
        sendNow(self, transport)

    def _call(self, transport: Any, do: Callable[..., object], *arguments: object) -> None:
        callLogged(self._contexts, transport, do, *arguments)

    # IReactorTCP, IReactorUNIX, IReactorSocket
    listenTCP, connectTCP = opening.listenTCP, opening.connectTCP
    listenUNIX, connectUNIX = opening.listenUNIX, opening.connectUNIX
    adoptStreamPort, adoptStreamConnection = opening.adoptStreamPort, opening.adoptStreamConnection


def install() -> EPollReactor:
    """
    Make this the reactor of the process. To be called before anything imports C{twisted.internet.reactor}.
    """
    reactor = EPollReactor()
    installReactor(reactor)
    return reactor


installTwins("_loop")
installTwins("_connections")
