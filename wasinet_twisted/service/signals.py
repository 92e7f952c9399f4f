"""
What a command does when it is sent a signal.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from .listening import Launch


class Signals:
    """
    SIGTERM and Ctrl-C stop, as Twisted has it; a second one ends the process at
    once, as that signal would. SIGHUP reloads.

    @ivar atEnd: called when a second signal ends the process.
    """

    def __init__(
        self,
        launch: Launch,
        reload: Callable[[], object] | None,
        reactor: Any,
        *,
        stops: Sequence[int] = (signal.SIGTERM, signal.SIGINT),
        asks: Callable[[], bool] = bool,
    ) -> None:
        """
        @param reload: what to do on SIGHUP; L{None}: what the system does.
        @param stops: the signals that stop.
        @param asks: called at the first signal; does somebody else say when to stop, who has been asked now?
        """
        self._launch = launch
        self._reload = reload
        self._reactor = reactor
        self._stop: dict[int, Callable[..., object]] = {}
        self._stops = stops
        self._asks = asks
        self._stopping = self._signalled = False
        self.atEnd: Callable[[], object] = int

    def installReload(self) -> None:
        """
        Honour SIGHUP, from before anybody can connect: until then it would end
        the process. What it reloads is reloaded once the reactor runs.
        """
        if self._reload is not None:
            signal.signal(signal.SIGHUP, self._hangUp)

    def install(self) -> None:
        """
        Honour the others. The reactor has to have its own handlers first.
        """
        for number in self._stops:
            handler = signal.getsignal(number)
            # A shell in the background has SIGINT ignored, which is not ours to change.
            if callable(handler):
                self._stop[number] = handler
                signal.signal(number, self._stopOrEnd)

    def stopping(self) -> None:
        """
        The process stops, for whatever reason: a signal need not do it.
        """
        self._stopping = True

    def stop(self) -> None:
        """
        Stop as a signal does, if nobody has yet.
        """
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()

    def _hangUp(self, *_: object) -> None:
        assert self._reload is not None
        self._reactor.callFromThread(self._reload)

    def _stopOrEnd(self, number: int, frame: Any) -> None:
        if not self._signalled:
            self._signalled = True
            if not self._stopping and not self._asks():
                self._stopping = True
                self._stop[number](number, frame)
            return
        # Nothing here waits for the reactor, which may be stuck in what the app does.
        self.atEnd()
        self._launch.removePidFile()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
