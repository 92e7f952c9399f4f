"""
A worker's end of the channel to its parent.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import time
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure
from zope.interface import implementer

from .messages import Decoder, encoded

# What may wait for a parent that is stuck, in bytes.
_WAITING = 1024 * 1024

# What there is any number of; all else is never lost.
_OFTEN = ("event", "statistics")

# How long the last words may take, in seconds.
_LAST = 1.0


@implementer(IReadWriteDescriptor)
class Channel:
    """
    Sends from any thread, at any time, also before the reactor runs and after it has; never blocks but in L{flush}.
    """

    def __init__(self, descriptor: int) -> None:
        """
        @param descriptor: of a stream socket.
        """
        # Nothing that the app starts is to keep it open.
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._socket.setblocking(False)
        self._decoder = Decoder()
        # What is to be sent, from any thread, and by the handlers of signals too: these may interrupt whoever sends, so
        # that nobody waits for the lock that guards the rest.
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._lock = Lock()
        self._waiting = bytearray()
        self._lost = 0
        self._reactor: Any = None
        self._received: Callable[[str, Any], object] | None = None
        self._ended: Callable[[], object] | None = None

    def send(self, kind: str, value: Any = None) -> None:
        """
        Send a message, or have it wait. If too much waits already, a message for the log, or statistics, are lost.
        """
        self._queue.append((encoded(kind, value), kind in _OFTEN))
        # Who holds the lock looks at the queue once more afterwards.
        while self._queue and self._lock.acquire(blocking=False):
            try:
                self._take()
            finally:
                self._lock.release()

    def _take(self) -> None:
        hadToWait = bool(self._waiting)
        while self._queue:
            data, isOften = self._queue.popleft()
            if isOften and len(self._waiting) + len(data) > _WAITING:
                self._lost += 1
            else:
                self._waiting += data
        # The parent reads while the reactor does nothing: the app is loaded, or logs a lot in one turn.
        self._sendSome()
        if self._waiting and not hadToWait and self._reactor is not None:
            self._reactor.callFromThread(self._reactor.addWriter, self)

    def _sendSome(self) -> None:
        try:
            del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            # The parent has gone; reading tells.
            self._waiting.clear()

    def _sayLost(self) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            text = f"messages lost: {lost}"
            event = {"text": text, "level": "warn", "time": time(), "namespace": __name__}
            self._waiting += encoded("event", event)

    def listen(self, reactor: Any, received: Callable[[str, Any], object], ended: Callable[[], object]) -> None:
        """
        Receive messages.

        @param ended: called when the parent has gone.
        """
        self._reactor, self._received, self._ended = reactor, received, ended
        reactor.addReader(self)
        with self._lock:
            waits = bool(self._waiting or self._lost)
        if waits:
            reactor.addWriter(self)

    def flush(self) -> None:
        """
        Send what still waits, when the reactor runs no more. This takes a second at most.
        """
        with self._lock, suppress(OSError):
            self._sayLost()
            self._socket.settimeout(_LAST)
            self._socket.sendall(self._waiting)
            self._waiting.clear()

    # As the reactor sees it

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "workers"

    def doRead(self) -> Any:
        try:
            data = self._socket.recv(64 * 1024)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            return CONNECTION_DONE
        assert self._received is not None
        for kind, value in self._decoder.decode(data):
            self._received(kind, value)
        return None

    def doWrite(self) -> None:
        with self._lock:
            self._sendSome()
            if not self._waiting:
                self._sayLost()
                self._sendSome()
            if not self._waiting:
                self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        self._reactor.removeWriter(self)
        assert self._ended is not None
        self._ended()
