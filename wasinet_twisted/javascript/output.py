"""
What a program prints: gathered while it runs, written at the reactor's next turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from .guestinterface import Given, Operation, Value
from .handles import textOf

Write = Callable[[str], object]

# Characters that are gathered at most while the script runs, and outside of its turns.
_MOST_INSIDE, _MOST = 8 << 20, 64 * 1024


class Output:
    """
    That of one program. Whole lines go out, in the order in which they were printed. Who reads them may keep us
    waiting, as a pager does: that isn't the script's time, so nothing is written while it runs, unless it prints very
    much.

    @ivar source: called for what the script has printed and is not here yet.
    @ivar failure: why the output could not be written; L{None}: it could.
    """

    __slots__ = (
        "_complain",
        "_failed",
        "_gathered",
        "_inside",
        "_later",
        "_lines",
        "_reactor",
        "_size",
        "_write",
        "failure",
        "source",
    )

    def __init__(
        self, write: Write, complain: Write, reactor: Any, failed: Callable[[], object], inside: Callable[[], bool]
    ) -> None:
        """
        @param write: writes lines, each with its end.
        @param complain: writes a message, without an end.
        @param failed: called once the output could not be written.
        @param inside: does the script run now?
        """
        self._write = write
        self._complain = complain
        self._reactor = reactor
        self._failed = failed
        self._inside = inside
        # Before the last lines, what goes to the one, and what goes to the other.
        self._gathered: list[tuple[Write, str]] = []
        # One write for what the connections of one turn have printed: each is a system call.
        self._later: IDelayedCall | None = None
        self._lines: list[str] = []
        self._size = 0
        self.failure: BaseException | None = None
        self.source: Callable[[], object] | None = None

    def operations(self) -> dict[str, Operation]:
        """
        Return them by name.
        """
        return {"complain": self._warn}

    def complain(self, text: str) -> None:
        """
        Write an error, after what was printed before.
        """
        if self.source is not None:
            self.source()
        self._cut()
        self._gathered.append((self._complain, text.rstrip("\n")))
        self._size += len(text)
        self.flush()

    def flush(self) -> None:
        """
        Write what is gathered, unless the script runs.
        """
        if self._inside() and self._size <= _MOST_INSIDE:
            self._soon()
            return
        later, self._later = self._later, None
        if later is not None and later.active():
            later.cancel()
        self._cut()
        gathered, self._gathered = self._gathered, []
        self._size = 0
        for write, text in gathered:
            if self.failure is None:
                try:
                    write(text)
                except Exception as error:
                    # The script isn't told: its program ends.
                    self.failure = error

    def _cut(self) -> None:
        if self._lines:
            self._gathered.append((self._write, "".join(self._lines)))
            self._lines.clear()

    def _soon(self) -> None:
        if self._later is None:
            self._later = self._reactor.callLater(0, self._due)

    def printed(self, text: str) -> None:
        """
        Take lines that are printed, with their ends.
        """
        self._lines.append(text)
        self._size += len(text)
        if self._size > _MOST:
            self.flush()
        else:
            self._soon()

    def _due(self) -> None:
        self.flush()
        if self.failure is not None:
            self._failed()

    def _warn(self, a: float, b: float, data: Given) -> Value:
        self.complain(textOf(data))
        return None
