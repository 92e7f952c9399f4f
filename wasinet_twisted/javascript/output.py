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

# Characters that are gathered at most.
_MOST = 64 * 1024


class Output:
    """
    That of one program. Whole lines go out, in the order in which they were printed.

    @ivar source: called for what the script has printed and is not here yet.
    @ivar failure: why the output could not be written; L{None}: it could.
    """

    __slots__ = ("_complain", "_failed", "_later", "_lines", "_reactor", "_size", "_write", "failure", "source")

    def __init__(self, write: Write, complain: Write, reactor: Any, failed: Callable[[], object]) -> None:
        """
        @param write: writes lines, each with its end.
        @param complain: writes a message, without an end.
        @param failed: called once the output could not be written.
        """
        self._write = write
        self._complain = complain
        self._reactor = reactor
        self._failed = failed
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
        self.flush()
        self._complain(text.rstrip("\n"))

    def flush(self) -> None:
        """
        Write what is gathered.
        """
        later, self._later = self._later, None
        if later is not None and later.active():
            later.cancel()
        if not self._lines:
            return
        text = "".join(self._lines)
        self._lines.clear()
        self._size = 0
        if self.failure is None:
            try:
                self._write(text)
            except Exception as error:
                # The script isn't told: its program ends.
                self.failure = error

    def printed(self, text: str) -> None:
        """
        Take lines that are printed, with their ends.
        """
        self._lines.append(text)
        self._size += len(text)
        if self._size > _MOST:
            self.flush()
        elif self._later is None:
            self._later = self._reactor.callLater(0, self._due)

    def _due(self) -> None:
        self.flush()
        if self.failure is not None:
            self._failed()

    def _warn(self, a: float, b: float, data: Given) -> Value:
        self.complain(textOf(data))
        return None
