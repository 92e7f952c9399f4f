"""
What a program prints: gathered while it runs, written when its turn ends.
"""

from __future__ import annotations

from collections.abc import Callable

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

    @ivar failure: why the output could not be written; L{None}: it could.
    """

    __slots__ = ("_complain", "_gathered", "_inside", "_lines", "_size", "_write", "failure")

    def __init__(self, write: Write, complain: Write, inside: Callable[[], bool]) -> None:
        """
        @param write: writes lines, each with its end.
        @param complain: writes a message, without an end.
        @param inside: does the script run now?
        """
        self._write = write
        self._complain = complain
        self._inside = inside
        # Before the last lines, what goes to the one, and what goes to the other.
        self._gathered: list[tuple[Write, str]] = []
        self._lines: list[str] = []
        self._size = 0
        self.failure: BaseException | None = None

    def operations(self) -> dict[str, Operation]:
        """
        Return them by name.
        """
        return {"print": self._print, "complain": self._warn}

    def complain(self, text: str) -> None:
        """
        Write an error.
        """
        self._cut()
        self._gathered.append((self._complain, text.rstrip("\n")))
        self._size += len(text)
        self.flush()

    def flush(self) -> None:
        """
        Write what is gathered, unless the script runs.
        """
        if self._inside() and self._size <= _MOST_INSIDE:
            return
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

    def _print(self, a: float, b: float, data: Given) -> Value:
        text = textOf(data)
        self._lines.append(text + "\n")
        self._size += len(text) + 1
        if self._size > _MOST:
            self.flush()
        return None

    def _warn(self, a: float, b: float, data: Given) -> Value:
        self.complain(textOf(data))
        return None
