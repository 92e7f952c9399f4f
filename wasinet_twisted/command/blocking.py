"""
The standard input and output, without blocking the reactor.

Not by C{O_NONBLOCK}: that belongs to the open file description, which other
processes share, the shell among them; and a regular file is called readable
always.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Blocking:
    """
    Runs calls that may block, one after the other, in a thread of its own. The thread never keeps the process from
    ending.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], Deferred[Any]]] = SimpleQueue()
        Thread(target=self._work, name="wasinet blocking calls", daemon=True).start()

    def call(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """
        Call C{function} in the thread.

        @return: fires with its result. Cancelling it forgets the result; the call goes on.
        """
        done: Deferred[T] = Deferred()
        self._calls.put((function, arguments, done))
        return done

    def _work(self) -> None:
        while True:
            function, arguments, done = self._calls.get()
            result: Any
            try:
                result = function(*arguments)
            except BaseException:
                result = Failure()
            self._reactor.callFromThread(done.callback, result)


def readSome(file: int, size: int) -> bytes:
    """
    Read what there is, at least a byte; C{b""} at the end.

    @param file: a descriptor. Another process may have made it non-blocking.
    """
    while True:
        try:
            return os.read(file, size)
        except BlockingIOError:
            _wait(file, select.POLLIN)


def writeAll(file: int, data: bytes) -> None:
    """
    Write all of it.

    @param file: a descriptor. Another process may have made it non-blocking.
    @raise BrokenPipeError: nobody reads it.
    """
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(file, left) :]
        except BlockingIOError:
            _wait(file, select.POLLOUT)


def _wait(file: int, event: int) -> None:
    poll = select.poll()
    poll.register(file, event)
    poll.poll()
