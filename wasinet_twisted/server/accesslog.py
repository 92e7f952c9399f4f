"""
The access log: Apache's combined format with four more facts, or a JSON object a line.

Lines do not go by way of C{twisted.logger}: one C{Logger.info} costs more than
answering the request. They are formatted directly, gathered, and handed to a
L{LineWriter}, which writes them in a thread of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import stat
import sys
import time
from collections.abc import Sequence
from time import gmtime, strftime
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorCore
from twisted.logger import Logger

from ..errors import InvalidArgument
from ..http import RequestHead
from ..net.reactors import theReactor
from ..tracing import Trace
from .linewriter import LineWriter, reportApart

log = Logger()

# A batch is handed to the thread after so many seconds, or at so many bytes.
_INTERVAL = 0.5
_BATCH = 64 * 1024

# How long a flush may take, in seconds: a reader that has stalled must not keep the process from ending.
FLUSH_TIMEOUT = 1.0
# How often a flush looks whether everything has been written, in seconds.
_LOOK = 0.01

# The status of a request whose connection ended before an answer began. It is never sent; nginx has coined it.
CLIENT_CLOSED = 499

FORMATS = ("combined", "json")

# What a request may not bring into the log: quotes that end a value, controls that fool a terminal, bytes that are
# no ASCII.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0x100))} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}

# A peer stands without quotes, so that a space would end it.
_PEER_ESCAPES = _ESCAPES | {ord(" "): "\\x20"}

# Everything that is no ASCII, and every control, becomes an escape.
_toJson = json.JSONEncoder(separators=(",", ":")).encode


class AccessLog:
    """
    Writes a line for each request that was answered, and for each whose answer broke off.

    No method but L{close} blocks, whatever the file is: a pipe that nobody reads
    costs lines, not requests. At most 1 MiB of lines waits to be written.
    Lines that don't fit are lost, and the log says how many.
    """

    def __init__(
        self, path: str, *, format: str = "combined", descriptor: int | None = None, reactor: Any = None
    ) -> None:
        """
        Open the log. The end of the reactor and the exit of the process close a log that is still open.

        @param path: a file, which is appended to, or a FIFO; C{"-"} is the standard output.
        @param format: C{"combined"} or C{"json"}.
        @param descriptor: what is written to instead of the file, all the time.
        @raise OSError: it can't be opened.
        @raise InvalidArgument: there is no such format.
        """
        if format not in FORMATS:
            raise InvalidArgument(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
        self._reactor: Any = theReactor(reactor)
        self._path = path
        self._json = format == "json"
        self._descriptor = descriptor
        self._writer = LineWriter(self._open(), self._note, _reportLoss)
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: IDelayedCall | None = None
        self._closed = False
        # The time of day as it stands in the log, made once a second.
        self._second = -1
        self._date = ""
        # Both are needed: twistd ends the process by a signal, which skips atexit, and other programs may not run the
        # reactor to its end.
        atexit.register(self.close)
        self._trigger: Any = None
        if IReactorCore.providedBy(self._reactor):
            self._trigger = self._reactor.addSystemEventTrigger("after", "shutdown", self.close)

    def answered(
        self,
        peer: str,
        request: RequestHead | None,
        status: int,
        size: int,
        seconds: float,
        complete: bool = True,
        tls: str | None = None,
        trace: Trace | None = None,
    ) -> None:
        """
        Log a request that has its answer, or whose answer broke off.

        @param peer: the peer's host, see L{peerOf}.
        @param request: L{None} if it couldn't be parsed.
        @param status: of the answer; L{CLIENT_CLOSED} if none has begun.
        @param size: how many bytes of the answer's body were sent, without the framing of chunks.
        @param seconds: from the request's head to the answer's last byte.
        @param complete: was all of the answer sent, or queued?
        @param tls: the version of TLS, such as C{"TLSv1.3"}; L{None}: the connection has none.
        @param trace: has the request's id, and the trace's.
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
                "seconds": round(seconds, 6),
                "complete": complete,
                "aborted": not complete,
                "tls": tls,
                "requestId": None if trace is None else trace.requestId,
                "traceId": None if trace is None else trace.traceId,
            }
            self._write(f"{_toJson(entry)}\n")
            return
        line = "-" if request is None else escape(f"{request.method} {request.uri} {request.version}")
        self._write(
            f'{peer.translate(_PEER_ESCAPES) or "-"} - - [{self._now()}] "{line}" {status} {size or "-"} '
            f'"{escape(referer or "-")}" "{escape(agent or "-")}" {seconds:.6f} {"-" if complete else "X"} '
            f"{tls or '-'} {trace.requestId or '-' if trace is not None else '-'}\n"
        )

    def relay(self, lines: Sequence[bytes]) -> None:
        """
        Write lines that another process has made.

        @param lines: each with the newline that ends it.
        """
        if not self._closed:
            self._handOver()
            self._writer.write(lines)

    def _now(self) -> str:
        second = int(self._reactor.seconds())
        if second != self._second:
            self._second = second
            self._date = self._dateOf(second)
        return self._date

    def _dateOf(self, second: float) -> str:
        return strftime("%Y-%m-%dT%H:%M:%SZ" if self._json else "%d/%b/%Y:%H:%M:%S +0000", gmtime(second))

    def _note(self, lost: int) -> bytes:
        """
        The line that says how many lines are missing before it. The thread calls this.
        """
        date = self._dateOf(time.time())
        if self._json:
            return f"{_toJson({'time': date, 'lost': lost})}\n".encode("ascii")
        return f"# [{date}] lines lost: {lost}\n".encode("ascii")

    def _write(self, line: str) -> None:
        if self._closed:
            return
        data = line.encode("ascii", "backslashreplace")
        self._lines.append(data)
        self._size += len(data)
        if self._size >= _BATCH:
            self._handOver()
        elif self._timer is None:
            self._timer = self._reactor.callLater(_INTERVAL, self._handOver)

    def _handOver(self) -> None:
        """
        Give the writer what has been gathered.
        """
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        self._size = 0
        if lines:
            self._writer.write(lines)

    def flush(self) -> Deferred[None]:
        """
        Write all that has been logged so far. What can't be written is lost: a full disk is no reason not to answer.

        @return: fires when everything has been written or lost, after L{FLUSH_TIMEOUT} seconds at the latest.
        """
        self._handOver()
        if self._closed or self._writer.isSettled():
            return succeed(None)
        call: IDelayedCall
        left = round(FLUSH_TIMEOUT / _LOOK)

        def look() -> None:
            nonlocal call, left
            if self._writer.isSettled():
                flushed.callback(None)
            elif left:
                left -= 1
                call = self._reactor.callLater(_LOOK, look)
            else:
                self._writer.gaveUp()
                flushed.callback(None)

        flushed: Deferred[None] = Deferred(lambda _: call.cancel())
        # The thread does not call us by callFromThread: a Clock doesn't have it.
        look()
        return flushed

    def reopen(self) -> None:
        """
        Open the file by its name anew, after it has been moved away. What was logged before still goes to the old
        file. If the new file can't be opened, the old one is used further.
        """
        if self._path == "-" or self._descriptor is not None or self._closed:
            return
        self._handOver()
        try:
            file = self._open()
        except OSError as error:
            log.error(
                "the access log {path} can't be opened anew, the old file goes on: {error}",
                path=self._path,
                error=error.strerror,
            )
            return
        self._writer.exchange(file)

    def _open(self) -> int:
        if self._descriptor is not None:
            return os.dup(self._descriptor)
        if self._path == "-":
            # Not sys.stdout: twistd makes a log of that.
            return os.dup(sys.__stdout__.fileno() if sys.__stdout__ is not None else 1)
        # Non-blocking, also for the opening itself. This open file description is ours alone.
        flags = os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY
        # A FIFO is opened for reading as well, which it is never used for: so lines wait for a reader that has not come
        # yet, or that is started anew.
        access = os.O_RDWR if _isFifo(self._path) else os.O_WRONLY
        return os.open(self._path, flags | access, 0o640)

    def close(self) -> None:
        """
        Write the rest and close the file. This blocks for L{FLUSH_TIMEOUT} seconds at most, and does not wait for a
        stall that L{flush} has already waited for. What is logged afterwards is ignored.
        """
        if self._closed:
            return
        self._handOver()
        self._closed = True
        atexit.unregister(self.close)
        if self._trigger is not None:
            # The trigger may be what calls this. A reactor in memory can't remove triggers.
            with contextlib.suppress(ValueError, NotImplementedError):
                self._reactor.removeSystemEventTrigger(self._trigger)
        if waiting := self._writer.close(FLUSH_TIMEOUT):
            reportApart(_reportLoss, f"{waiting} were not taken in time", 0.1)


def _isFifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def _reportLoss(reason: str) -> None:
    log.warn("the access log can't be written, lines are lost: {reason}", reason=reason)


def peerOf(address: IAddress | None) -> str:
    """
    A peer as it is logged: its host, or the path of a Unix socket, with a character for each byte; C{"-"} if it has
    neither.
    """
    host = getattr(address, "host", None)
    if host:
        return str(host)
    name = getattr(address, "name", None)
    return name.decode("latin-1") if isinstance(name, bytes) and name else "-"


def escape(text: str) -> str:
    """
    A value as it may stand in a log between quotes.
    """
    return text.translate(_ESCAPES)
