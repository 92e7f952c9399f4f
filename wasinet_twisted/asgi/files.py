"""
The bytes of a file that an app names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ..errors import LocalProtocolError

# How much of a file is in memory at a time, for each connection.
PIECE = 128 * 1024

# Without O_NONBLOCK the opening of a FIFO would wait for a writer, for ever perhaps.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class FileReading:
    """
    Gives a file's pieces, read in the reactor's thread.
    """

    def __init__(self, path: object, whole: bool) -> None:
        """
        @param whole: is the file's content wanted, or only to know that there is one?
        @raise LocalProtocolError: there is no such file. It is no OSError: to an app, one from send() is that the
            client has gone.
        """
        if not isinstance(path, str | os.PathLike) or not os.path.isabs(path):
            raise LocalProtocolError(f"the path of http.response.pathsend must be an absolute one, not {path!r}")
        self._whole = whole
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, _READ)
        except (OSError, ValueError) as error:
            raise LocalProtocolError(f"http.response.pathsend: {error}") from error
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.close()
            raise LocalProtocolError(f"http.response.pathsend: {path!r} is no regular file")

    def __iter__(self) -> Iterator[bytes]:
        at = 0
        while self._whole and (data := os.pread(self._descriptor, PIECE, at)):
            at += len(data)
            yield data

    def close(self) -> None:
        """
        Close the file.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
