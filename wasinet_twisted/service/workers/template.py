"""
The template process: it has imported what workers need, with C{--preload} the app as well, and forks them.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from attrs import evolve

from .messages import encoded
from .order import Order


class CanNotFork(Exception):
    """
    What was done at the start of Python, or when the app was imported, doesn't survive a fork.

    @ivar hint: what an app could do instead.
    """

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


def checkForkable(who: str, when: str, threads: int = 1) -> None:
    """
    @param who: whose doing it would be ...
    @param when: ... and when it would have been.
    @param threads: how many there are as the system counts them, who knows some that Python doesn't.
    @raise CanNotFork: this process has a reactor, or threads.
    """
    if "twisted.internet.reactor" in sys.modules:
        raise CanNotFork(
            f"{who} imports twisted.internet.reactor when it {when}, and processes can't share a reactor",
            "import it in the functions that use it",
        )
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others or threads > 1:
        names = ", ".join(others) or "none of Python's"
        raise CanNotFork(
            f"{who} starts threads when it {when} ({names:.100}), which a fork leaves behind",
            "start them in the workers",
        )


def countedThreads() -> int:
    """
    Return how many threads this process has; 1 if the system doesn't tell.
    """
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


# A SIGTERM that comes to all processes is the parent's, which ends the template when all workers have ended.
_NOTED = (signal.SIGCHLD, signal.SIGTERM)


class Forking:
    """
    Forks a worker whenever the parent says so, and tells of their ends.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._channel = socket.socket(fileno=order.channel)
        self._channel.set_inheritable(False)
        # A template writes no access log, and the workers' programs are to have none of these.
        os.close(order.accessLog)
        for descriptor in order.sockets.values():
            os.set_inheritable(descriptor, False)
        self._children: set[int] = set()
        # Each signal writes a byte here.
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        self._woken.setblocking(False)

    def run(self, load: Callable[[], object]) -> Order:
        """
        Return in each worker, with what it is ordered to do. In the template itself it does not return.

        @param load: imports what they need.
        @raise CanNotFork: that doesn't survive a fork.
        """
        for number in _NOTED:
            signal.signal(number, _noted)
        signal.set_wakeup_fd(self._waking.fileno())
        load()
        checkForkable(*("it", "is imported") if self._order.preload else ("this Python", "starts"))
        for output in (sys.stdout, sys.stderr):
            # What the app has printed: this process ends without writing it, and each worker would have it as well.
            with suppress(AttributeError, OSError, ValueError):
                output.flush()
        # What is there now is left alone by the workers' garbage collectors, which would write to it, and so copy it.
        gc.collect()
        gc.freeze()
        self.say("ready")
        while True:
            ready, _, _ = select.select([self._channel, self._woken], [], [])
            if self._woken in ready:
                self._woken.recv(4096)
            self._reap()
            if self._channel in ready and (order := self._fork()) is not None:
                return order

    def say(self, kind: str, value: object = None) -> None:
        """
        Tell the parent.
        """
        try:
            self._channel.sendall(encoded(kind, value))
        except OSError:
            self._end()

    def leave(self, kind: str, reason: str) -> NoReturn:
        """
        Tell the parent why there is no template, which ends this process then.
        """
        self.say(kind, reason)
        with suppress(OSError):
            self._channel.recv(1)
        os._exit(1)

    def _end(self) -> NoReturn:
        # The parent is gone, and its workers know it. What the app has registered with atexit is theirs.
        os._exit(0)

    def _reap(self) -> None:
        # Only ours: the app may have started others.
        for pid in list(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._children.discard(pid)
                self.say("exited", [pid, status])

    def _fork(self) -> Order | None:
        """
        @return: in the worker only.
        """
        try:
            message, descriptors, _, _ = socket.recv_fds(self._channel, 4096, 2)
        except OSError:
            message = b""
        if not message:
            self._end()
        kind, value = json.loads(message)
        if kind == "halt":
            self._halt()
            return None
        number, core, maxRequests = value
        channel, accessLog = descriptors
        # A signal that is for the worker is to find its own handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, _NOTED)
        try:
            pid = os.fork()
        except OSError as error:
            self.say("unforked", [number, error.strerror])
        else:
            if not pid:
                self._forget()
                return evolve(
                    self._order,
                    template=False,
                    channel=channel,
                    accessLog=accessLog,
                    core=core,
                    maxRequests=maxRequests,
                )
            self._children.add(pid)
            self.say("forked", [number, pid])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOTED)
        os.close(channel)
        os.close(accessLog)
        return None

    def _halt(self) -> None:
        """
        There will be no other worker: let go of the listening sockets, so that the kernel refuses whoever connects.
        """
        for descriptor in self._order.sockets.values():
            os.close(descriptor)
        self._order.sockets.clear()

    def _forget(self) -> None:
        """
        In the worker: what is the template's alone.
        """
        signal.set_wakeup_fd(-1)
        for number in _NOTED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOTED)
        for each in (self._channel, self._woken, self._waking):
            each.close()


def _noted(*_: object) -> None:
    """
    The byte that wakes is what counts.
    """
