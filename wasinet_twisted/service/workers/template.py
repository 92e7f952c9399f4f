"""
The template process of C{--preload}: it has imported the app, and forks workers.
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
from typing import NoReturn

from attrs import evolve

from .messages import encoded
from .order import Order

_HINT = "leave out --preload, and each worker imports the app by itself"


class CanNotFork(Exception):
    """
    The app has done at its import what a fork doesn't survive.
    """


def checkForkable() -> None:
    """
    @raise CanNotFork: this process has a reactor, or threads.
    """
    if "twisted.internet.reactor" in sys.modules:
        raise CanNotFork(
            "the app can't be preloaded: it imports twisted.internet.reactor when it is imported, and processes can't "
            f"share a reactor; import it in the functions that use it, or {_HINT}"
        )
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        raise CanNotFork(
            f"the app can't be preloaded: it starts threads when it is imported ({', '.join(others):.100}), which a "
            f"fork leaves behind; start them in the workers, or {_HINT}"
        )


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

        @param load: imports the app.
        """
        signal.signal(signal.SIGCHLD, _noted)
        signal.set_wakeup_fd(self._waking.fileno())
        load()
        checkForkable()
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
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._channel, self._woken, self._waking):
            each.close()


def _noted(*_: object) -> None:
    """
    The byte that wakes is what counts.
    """
