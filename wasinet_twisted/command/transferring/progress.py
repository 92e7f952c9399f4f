"""
How far a transfer is, on the terminal: by rich, or in one plain line without it.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Protocol

from twisted.internet.task import LoopingCall

from .telling import shown, sizeText

# A shorter transfer needs none, in seconds.
DELAY = 0.5
# How often it changes, in seconds.
_INTERVAL = 0.1
# As much as a narrow line has room for, in characters.
_NAME = 24


class _Bar(Protocol):
    def show(self, done: int) -> None:
        """
        So many bytes are there.
        """

    def clear(self) -> None:
        """
        Take it away.
        """


class Progress:
    """
    Shows how far it is, once it takes long.
    """

    def __init__(self, name: str, done: int, total: int | None, reactor: Any) -> None:
        """
        @param name: what is transferred.
        @param done: how many bytes there are already.
        @param total: how many there will be; L{None}: nobody knows.
        """
        self.done = done
        self._name = name
        self._total = total
        self._start = done
        self._reactor = reactor
        self._begun = reactor.seconds()
        self._bar: _Bar | None = None
        self._call = LoopingCall(self._show)
        self._call.clock = reactor
        self._later = reactor.callLater(DELAY, self._begin)

    def stop(self) -> None:
        """
        Take it away.
        """
        if self._later.active():
            self._later.cancel()
        if self._call.running:
            self._call.stop()
        if self._bar is not None:
            self._bar.clear()

    def _begin(self) -> None:
        self._bar = _richBar(self._name, self._start, self._total) or _Line(
            self._total, self._start, self._begun, self._reactor.seconds
        )
        self._call.start(_INTERVAL)

    def _show(self) -> None:
        assert self._bar is not None
        self._bar.show(self.done)


class _Line:
    """
    The plain one.
    """

    def __init__(self, total: int | None, start: int, begun: float, seconds: Any) -> None:
        self._total = total
        self._start = start
        self._begun = begun
        self._seconds = seconds

    def show(self, done: int) -> None:
        text = sizeText(done)
        if self._total:
            text += f" of {sizeText(self._total)}, {done * 100 // self._total} %"
        rate = (done - self._start) / max(self._seconds() - self._begun, 0.001)
        text += f", {sizeText(int(rate))}/s"
        # Not longer than the line: it would leave the rest behind.
        room = max(shutil.get_terminal_size().columns - 1, 1)
        print(f"\r\x1b[K{text[:room]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Rich:
    """
    Rich's.
    """

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar = bar
        self._task = task

    def show(self, done: int) -> None:
        speed = self._bar.tasks[0].speed
        rate = "" if speed is None else f"{sizeText(int(speed))}/s"
        self._bar.console.width = _width()
        self._bar.update(self._task, completed=done, rate=rate)
        self._bar.refresh()

    def clear(self) -> None:
        self._bar.stop()


def _width() -> int:
    # With room for the ^C that a terminal shows: on a line of its own, it would leave the bar behind.
    return max(shutil.get_terminal_size().columns - 3, 20)


def _richBar(name: str, start: int, total: int | None) -> _Bar | None:
    if os.environ.get("TERM") == "dumb":
        return None
    try:
        from rich import progress
        from rich.console import Console
    except ImportError:
        return None
    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=None),
        progress.TaskProgressColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TextColumn("{task.fields[rate]}", markup=False),
        progress.TimeRemainingColumn(compact=True),
        console=Console(stderr=True, width=_width()),
        auto_refresh=False,
        transient=True,
        expand=True,
        # The standard output is none of its business.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    short = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
    task = bar.add_task(shown(short), total=total, completed=start, rate="")
    bar.start()
    return _Rich(bar, task)
