"""
What a program prints: gathered while it runs, written when its turn ends.
"""

from __future__ import annotations

from collections.abc import Callable

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

    __slots__ = ("_complain", "_lines", "_size", "_write", "failure", "source")

    def __init__(self, write: Write, complain: Write) -> None:
        """
        @param write: writes lines, each with its end.
        @param complain: writes a message, without an end.
        """
        self._write = write
        self._complain = complain
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

    def _warn(self, a: float, b: float, data: Given) -> Value:
        self.complain(textOf(data))
        return None
