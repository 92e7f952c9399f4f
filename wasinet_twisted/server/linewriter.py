"""
L{LineWriter}: whole lines into a file, from a thread of its own.

Why a thread: nothing else keeps a write from blocking the reactor whatever the
file is. C{O_NONBLOCK} belongs to the open file description, which the standard
output shares with other processes: these would suddenly get C{EAGAIN}. Asking
C{poll} first is not enough: another process may fill a shared pipe between the
question and the write, a terminal may take less than it promised, and a regular
file is always called writable, however slow its disk is.

The thread is started by the first lines, belongs to its L{LineWriter} and ends
with C{close}. It is a daemon thread: a write that never returns cannot keep the
process running.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread

# What may wait to be written: at this many bytes or lines, further lines are lost and counted.
MAX_BYTES = 1024 * 1024
MAX_LINES = 20_000

# The largest single write to a regular file, in bytes.
_LARGEST = 64 * 1024


def reportApart(report: Callable[[str], object], reason: str, wait: float = 0.0) -> None:
    """
    Call C{report} in a thread of its own, because the log that it writes to may be stalled as well.

    @param wait: how long to wait for it, in seconds.
    """
    thread = Thread(target=report, args=(reason,), daemon=True)
    # The system may refuse another thread.
    with contextlib.suppress(RuntimeError):
        thread.start()
        thread.join(wait)


class LineWriter:
    """
    Write lines to a file without ever blocking the caller: a bounded queue, and the thread that empties it.

    Lines are written whole and in order. When the queue overflows, further lines
    are lost until the thread has emptied the queue. Then one line says how many
    were lost. So a stall makes one gap, not many.
    """

    def __init__(self, file: int, note: Callable[[int], bytes], report: Callable[[str], object] | None = None) -> None:
        """
        @param file: a descriptor, which the L{LineWriter} closes.
        @param note: returns the line that says how many lines were lost. The writing thread calls this.
        @param report: called once an outage, with the reason why lines are lost. It never runs in the caller's thread,
            because the log that it writes to may be stalled as well.
        """
        self._file = file
        self._note = note
        self._report = report
        # Guards what follows. The lock is never held during a write.
        self._changed = Condition()
        # Lines, and descriptors of files to go on with.
        self._batches: deque[Sequence[bytes] | int] = deque()
        # How much has been accepted and not yet written. What is being written counts.
        self._lines = self._bytes = 0
        # How many lines were lost since the last note.
        self._lost = 0
        # Is the thread at work? Has the queue overflowed? Has the last write failed? Has close() been called?
        self._writing = self._full = self._failing = self._closing = False
        # The end of a line whose beginning was written before a write failed.
        self._rest = b""
        self._thread: Thread | None = None
        # How many bytes have been written, and how many had been when a wait for the thread timed out.
        self._written = 0
        self._stuckAt = -1
        # How long the file may take to be ready for a write, in seconds. In a thread of its own that may be for ever.
        self._patience: float | None = None

    def write(self, lines: Sequence[bytes]) -> None:
        """
        Queue lines to be written, or count them as lost if the queue is full.

        @param lines: each with the newline that ends it.
        """
        overflows = False
        with self._changed:
            if self._closing:
                return
            accepted: Sequence[bytes] = () if self._full else lines
            size = sum(map(len, accepted))
            if self._bytes + size > MAX_BYTES or self._lines + len(accepted) > MAX_LINES:
                accepted = self._fitting(lines)
                size = sum(map(len, accepted))
                self._full = overflows = True
            self._lost += len(lines) - len(accepted)
            if accepted:
                self._batches.append(accepted)
                self._lines += len(accepted)
                self._bytes += size
            self._wake()
        if overflows and self._report is not None:
            reportApart(self._report, "what reads them is too slow")

    def _fitting(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """
        Return as many of these lines, from the first on, as the queue has room for.
        """
        size = self._bytes
        for index, line in enumerate(lines):
            size += len(line)
            if size > MAX_BYTES or self._lines + index >= MAX_LINES:
                return lines[:index]
        return lines

    def exchange(self, file: int) -> None:
        """
        Write all that is accepted from now on to another file, and close the present one.
        """
        with self._changed:
            for index, batch in enumerate(self._batches):
                if isinstance(batch, int):
                    # That file has not had its turn: signals may come faster than a stalled file takes lines.
                    os.close(batch)
                    self._batches[index] = file
                    return
            if not self._isIdle():
                self._batches.append(file)
                self._wake()
            else:
                self._goOnWith(file)

    def _wake(self) -> None:
        # The child of a fork has no such thread.
        if self._thread is None or not self._thread.is_alive():
            thread = Thread(target=self._run, name="wasinet log writer", daemon=True)
            # The system refuses another thread now. The lines wait, and the next ones try again.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._changed.notify_all()

    def isSettled(self) -> bool:
        """
        Return whether everything has been written or lost. During a stall for which a wait has timed out, this is true
        as well: another wait is of no use.
        """
        return self._isIdle() or self._stuckAt == self._written

    def _isIdle(self) -> bool:
        return not (self._lines or self._full or self._writing)

    def gaveUp(self) -> None:
        """
        Note that a wait for L{isSettled} has timed out.
        """
        self._stuckAt = self._written

    def settle(self, timeout: float) -> None:
        """
        Block until everything has been written.

        @param timeout: the longest wait, in seconds. There is one wait a stall.
        """
        with self._changed:
            if not self._changed.wait_for(self.isSettled, timeout):
                self.gaveUp()

    def close(self, timeout: float) -> int:
        """
        Block until everything has been written, and close the file.

        @param timeout: the longest wait, in seconds. There is one wait a stall.
        @return: how many lines could not be written in this time. The thread keeps them and the file, as long as the
            process lives.
        """
        if self._closing and self._thread is None:
            return self._lost
        if self._isAlone():
            return self._writeHere(timeout)
        self.settle(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if self._thread is None:
                os.close(self._file)
                return self._lines
            waiting = self._lines + (self._lost if self._full else 0)
        if self._stuckAt != self._written:
            self._thread.join(timeout)
            if not self._thread.is_alive():
                return 0
        return waiting

    def _isAlone(self) -> bool:
        """
        Return whether lines wait that no thread will write. Python 3.12 starts no more threads when its exit has begun.
        """
        return bool(self._lines) and (self._thread is None or not self._thread.is_alive())

    def _writeHere(self, timeout: float) -> int:
        """
        Write the rest in this thread, and close the file.

        @param timeout: how long each write may wait for the file to be ready, in seconds.
        @return: how many lines could not be written.
        """
        self._patience, self._report, self._closing = timeout, None, True
        self._run()
        return self._lost

    # In the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._batches or self._full or self._closing)
                nothing = not self._batches
                batch = () if nothing else self._batches.popleft()
                over = nothing and self._closing
                lost = 0
                if self._lost and (nothing or not self._full) and not isinstance(batch, int):
                    # The note stands where the gap is: after what was accepted before an overflow, and before what
                    # follows a failed write.
                    lost, self._lost = self._lost, 0
                if nothing:
                    self._full = False
                self._writing = True
            if isinstance(batch, int):
                self._goOnWith(batch)
                batch, missed = (), 0
            else:
                missed = self._writeAll(self._pieces(lost, batch))
            with self._changed:
                self._lost += missed
                self._lines -= len(batch)
                self._bytes -= sum(map(len, batch))
                self._writing = False
                self._stuckAt = -1
                self._changed.notify_all()
            if over:
                os.close(self._file)
                return

    def _goOnWith(self, file: int) -> None:
        if self._rest and not os.path.sameopenfile(self._file, file):
            # The beginning of that line stands in the old file.
            self._rest = b""
            self._lost += 1
        os.close(self._file)
        self._file = file

    def _pieces(self, lost: int, lines: Sequence[bytes]) -> list[tuple[bytes, int]]:
        """
        Return what is written at once, each with the number of lines that are lost if that fails. The line that says
        how many were lost counts as these.
        """
        # Other processes may write to the same pipe. The kernel keeps a write of up to PIPE_BUF bytes together, and
        # does all of it or nothing. For a longer line there is no such promise.
        regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        largest = _LARGEST if regular else select.PIPE_BUF
        pieces = []
        if self._rest:
            pieces.append((self._rest, 0))
        if lost:
            pieces.append((self._note(lost), lost))
        gathered: list[bytes] = []
        size = 0
        for line in lines:
            if gathered and size + len(line) > largest:
                pieces.append((b"".join(gathered), len(gathered)))
                gathered = []
                size = 0
            gathered.append(line)
            size += len(line)
        if gathered:
            pieces.append((b"".join(gathered), len(gathered)))
        return pieces

    def _writeAll(self, pieces: list[tuple[bytes, int]]) -> int:
        """
        @return: how many lines are lost.
        """
        for index, (data, count) in enumerate(pieces):
            left = memoryview(data)
            try:
                while left:
                    if self._patience is not None:
                        self._waitForRoom()
                    try:
                        written = os.write(self._file, left)
                    except BlockingIOError:
                        # A file that was opened by its name is non-blocking, and another process may have made the
                        # standard output so.
                        self._waitForRoom()
                        continue
                    left = left[written:]
                    self._written += written
            except OSError as error:
                lost = sum(count for _, count in pieces[index + 1 :])
                if not self._failing:
                    self._failing = True
                    if self._report is not None:
                        self._report(error.strerror or str(error))
                return lost + self._broken(data, bytes(left), count)
            if not count:
                self._rest = b""
        if pieces:
            self._failing = False
        return 0

    def _waitForRoom(self) -> None:
        poll = select.poll()
        poll.register(self._file, select.POLLOUT)
        if not poll.poll(None if self._patience is None else self._patience * 1000):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    def _broken(self, data: bytes, left: bytes, count: int) -> int:
        """
        Keep the rest of a line in which a write has failed: it is written first as soon as a write succeeds.

        @return: how many lines are lost.
        """
        if not count:
            self._rest = left
            return 0
        if len(left) == len(data):
            return count
        if not data[: -len(left)].endswith(b"\n"):
            line, newline, left = left.partition(b"\n")
            self._rest = line + newline
        return left.count(b"\n")
