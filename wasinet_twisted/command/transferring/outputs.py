"""
Where the response goes: the standard output, or a file.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from ..blocking import Blocking, writeAll
from ..ending import OutputFailed

_OUTPUT = 1


class Output:
    """
    Takes bytes, no faster than what is behind it does.
    """

    def __init__(self, reactor: Any, path: str | None) -> None:
        """
        @param path: the file's; L{None}: the standard output.
        """
        self._writing = Blocking(reactor)
        self._path = path
        self._descriptor: int | None = _OUTPUT if path is None else None
        self.isRegular = False

    @property
    def isTerminal(self) -> bool:
        """
        Does somebody look at it?
        """
        return self._descriptor is not None and os.isatty(self._descriptor)

    async def open(self, size: int) -> None:
        """
        Open the file.

        @param size: how many of its bytes stay.
        @raise OutputFailed: it can't be.
        """
        if self._path is None:
            return
        try:
            # In the thread: to open a named pipe waits for its reader.
            self._descriptor = await self._writing.call(
                os.open, self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666
            )
            self.isRegular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            if self.isRegular:
                os.ftruncate(self._descriptor, size)
                os.lseek(self._descriptor, size, os.SEEK_SET)
        except OSError as error:
            raise OutputFailed(f"can't write {self._path}: {error.strerror}") from error

    async def write(self, data: bytes) -> None:
        """
        Write all of it.

        @raise BrokenPipeError: nobody reads it any more.
        @raise OutputFailed: it can't be written otherwise.
        """
        try:
            assert self._descriptor is not None
            await self._writing.call(writeAll, self._descriptor, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(f"can't write {self._path or 'the output'}: {error.strerror}") from error

    def close(self) -> None:
        """
        Close the file.

        @raise OutputFailed: its system says only now that not all could be written.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or self._path is None:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            raise OutputFailed(f"can't write {self._path}: {error.strerror}") from error
