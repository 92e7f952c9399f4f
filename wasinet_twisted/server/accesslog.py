"""
The access log: Apache's combined format, or a JSON object a line; formatted directly and written in batches.

Not by way of C{twisted.logger}: one C{Logger.info} costs more than answering
the request.
"""

from __future__ import annotations

import json
import os
import sys
from time import gmtime, strftime
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ..errors import InvalidArgument
from ..http import RequestHead
from ..net.reactors import theReactor

log = Logger()

# A batch is written after so many seconds, or at so many bytes.
_INTERVAL = 0.5
_BATCH = 64 * 1024

FORMATS = ("combined", "json")

# What a request may not bring into the log: quotes that end a value, controls that fool a terminal, bytes that are
# no ASCII.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0x100))} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}

# Everything that is no ASCII, and every control, becomes an escape.
_toJson = json.JSONEncoder(separators=(",", ":")).encode


class AccessLog:
    """
    Writes a line for each request that was answered.
    """

    def __init__(self, path: str, *, format: str = "combined", reactor: Any = None) -> None:
        """
        Open the log.

        @param path: a file, which is appended to; C{"-"} is the standard output.
        @param format: C{"combined"} or C{"json"}.
        @raise OSError: it can't be opened.
        @raise InvalidArgument: there is no such format.
        """
        if format not in FORMATS:
            raise InvalidArgument(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
        self._reactor = theReactor(reactor)
        self._path = path
        self._json = format == "json"
        self._file = self._open()
        self._lines: list[str] = []
        self._size = 0
        self._timer: IDelayedCall | None = None
        self._failing = False
        # The time of day as it stands in the log, made once a second.
        self._second = 0
        self._date = ""

    def answered(self, peer: str, request: RequestHead | None, status: int, size: int) -> None:
        """
        A request has been answered.

        @param peer: the peer's host.
        @param request: L{None} if it couldn't be parsed.
        @param size: how long the answer's body was, in bytes.
        """
        referer = agent = None
        if request is not None:
            referer, agent = request.headers.get("Referer"), request.headers.get("User-Agent")
        if self._json:
            entry = {
                "time": self._now(),
                "peer": None if peer == "-" else peer,
                "method": None if request is None else request.method,
                "target": None if request is None else request.uri,
                "version": None if request is None else request.version,
                "status": status,
                "bytes": size,
                "referer": referer,
                "userAgent": agent,
            }
            self._write(f"{_toJson(entry)}\n")
            return
        line = "-" if request is None else f"{request.method} {escape(request.uri)} {request.version}"
        self._write(
            f'{peer} - - [{self._now()}] "{line}" {status} {size or "-"} '
            f'"{escape(referer or "-")}" "{escape(agent or "-")}"\n'
        )

    def _now(self) -> str:
        second = int(self._reactor.seconds())
        if second != self._second:
            self._second = second
            self._date = strftime("%Y-%m-%dT%H:%M:%SZ" if self._json else "%d/%b/%Y:%H:%M:%S +0000", gmtime(second))
        return self._date

    def _write(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = self._reactor.callLater(_INTERVAL, self.flush)

    def flush(self) -> None:
        """
        Write what has been gathered. What can't be written is lost: a full disk is no reason not to answer.
        """
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        self._size = 0
        data = memoryview("".join(lines).encode("ascii"))
        try:
            while data:
                data = data[os.write(self._file, data) :]
            self._failing = False
        except OSError as error:
            # Once an outage: batches follow one another twice a second.
            if not self._failing:
                log.error("the access log can't be written, lines are lost: {error}", error=error.strerror)
            self._failing = True

    def reopen(self) -> None:
        """
        Open the file by its name anew: it has been moved away. If that fails, the old one is written on.
        """
        if self._path == "-":
            return
        self.flush()
        try:
            file = self._open()
        except OSError as error:
            log.error(
                "the access log {path} can't be opened anew, the old file goes on: {error}",
                path=self._path,
                error=error.strerror,
            )
            return
        os.close(self._file)
        self._file = file

    def _open(self) -> int:
        if self._path != "-":
            return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        # Not sys.stdout: twistd makes a log of that.
        return os.dup(sys.__stdout__.fileno() if sys.__stdout__ is not None else 1)

    def close(self) -> None:
        """
        Write the rest and close the file.
        """
        self.flush()
        os.close(self._file)


def escape(text: str) -> str:
    """
    A value as it may stand in a log between quotes.
    """
    return text.translate(_ESCAPES)
