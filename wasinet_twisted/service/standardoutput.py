"""
The standard output, which must not block the process when nobody reads it.

With C{--access-log -} the standard output is made for a pipe, and twistd and
twist write their own log there too, in the reactor's thread. One stalled reader
would stop the server at the next line of that log, at the latest at SIGTERM,
which is logged.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
from contextlib import suppress
from typing import Any, cast

from twisted.python.usage import Options

from ..server.linewriter import LineWriter

# How long a line may take to be written while the reactor does not run, in seconds.
_PATIENCE = 0.2

# A line without an end is written as it is at this many bytes.
_LONGEST = 64 * 1024


class _Lines(io.RawIOBase):
    """
    A binary file that hands lines to a L{LineWriter}.
    """

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file
        self._writer = LineWriter(os.dup(file), lambda lost: b"# lines lost: %d\n" % lost)
        self._rest = b""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._file)

    def fileno(self) -> int:
        return self._file

    def write(self, data: Any) -> int:
        """
        Take all of it.
        """
        written = bytes(data)
        lines = (self._rest + written).split(b"\n")
        self._rest = lines.pop()
        whole = [line + b"\n" for line in lines]
        if len(self._rest) >= _LONGEST:
            whole.append(self._rest)
            self._rest = b""
        if whole:
            self._writer.write(whole)
            if not getattr(sys.modules.get("twisted.internet.reactor"), "running", False):
                # Nobody waits for this thread, and what is said last should be there before twistd ends the process by
                # a signal, which lets nothing else run.
                self._writer.settle(_PATIENCE)
        return len(written)

    def end(self) -> None:
        """
        Write the rest. What comes later is ignored.
        """
        if self._rest:
            self._writer.write([self._rest])
        self._writer.close(_PATIENCE)


def neverBlock(options: Options) -> None:
    """
    Have twistd and twist log to the standard output without ever blocking, if the access log goes there too. It is
    called before they open their log.

    @param options: the command's; its parents are twistd's or twist's.
    """
    parent = getattr(options, "parent", None)
    real = sys.__stdout__
    if options["access-log"] != "-" or parent is None or real is None:
        return
    lines = _Lines(real.fileno())
    output = io.TextIOWrapper(
        io.BufferedWriter(lines), encoding=real.encoding, errors="backslashreplace", line_buffering=True
    )

    def end() -> None:
        with suppress(ValueError):
            # The app may have closed it.
            output.flush()
        lines.end()

    atexit.register(end)
    if parent.get("logFile") is real:
        # twist has chosen already. With --log-file it is another.
        parent["logFile"] = output
    if sys.stdout is real:
        sys.stdout = cast(Any, output)
