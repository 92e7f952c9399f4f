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


class LineWriter:
    """
    A bounded queue of lines, and the thread that writes them. Everything but the writing is for the thread that made
    this one.

    Lines are written whole and in order. When the queue overflows, lines are
    lost until the thread has emptied it; then one line says how many. So the
    lines before a stall and those after it are each without a gap.
    """

    def __init__(self, file: int, note: Callable[[int], bytes], report: Callable[[str], object] | None = None) -> None:
        """
        @param file: a descriptor, which this one closes.
        @param note: returns the line that says how many lines were lost. Called in the thread.
        @param report: is told, once an outage, why lines are lost. Called in some other thread than the caller's:
            what it writes to may be stalled as well.
        """
        self._file = file
        self._note = note
        self._report = report
        # Guards what follows. It is never held during a write.
        self._changed = Condition()
        # Lines, and descriptors of files to go on with.
        self._batches: deque[Sequence[bytes] | int] = deque()
        # What has been accepted and not yet written, also what is being written.
        self._lines = self._bytes = 0
        # How many lines were lost since the last note.
        self._lost = 0
        # Does the thread write? Has the queue overflowed? Has the last write failed? Is this the end?
        self._writing = self._full = self._failing = self._closing = False
        # The end of a line whose beginning was written before a write failed.
        self._rest = b""
        self._thread: Thread | None = None
        # How many bytes have been written, and how many had been when somebody waited in vain.
        self._written = 0
        self._stuckAt = -1

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
            Thread(target=self._report, args=("what reads them is too slow",), daemon=True).start()

    def _fitting(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """
        As many of these, from the first on, as the queue has room for.
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
                    # The last one has not had its turn: signals may come faster than a stalled file takes lines.
                    os.close(batch)
                    self._batches[index] = file
                    return
            if not self._isIdle():
                self._batches.append(file)
                self._wake()
            else:
                self._goOnWith(file)

    def _wake(self) -> None:
        # In the child of a fork there is no thread any more.
        if self._thread is None or not self._thread.is_alive():
            thread = Thread(target=self._run, name="wasinet log writer", daemon=True)
            # The system has no thread for us now. Lines wait; the next ones try again.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._changed.notify_all()

    def isSettled(self) -> bool:
        """
        Has everything been written, or lost? Also true while a stall that somebody has already waited for in vain goes
        on: nobody else need wait.
        """
        return self._isIdle() or self._stuckAt == self._written

    def _isIdle(self) -> bool:
        return not (self._lines or self._full or self._writing)

    def gaveUp(self) -> None:
        """
        Somebody has waited in vain for C{isSettled}.
        """
        self._stuckAt = self._written

    def settle(self, timeout: float) -> None:
        """
        Block until everything has been written.

        @param timeout: for at most so many seconds, and only once a stall.
        """
        with self._changed:
            if not self._changed.wait_for(self.isSettled, timeout):
                self.gaveUp()

    def close(self, timeout: float) -> int:
        """
        Block until everything has been written, and close the file.

        @param timeout: for at most so many seconds, and only once a stall.
        @return: how many lines could not be written in this time. The thread keeps them and the file, as long as the
            process lives.
        """
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
                    # Where the gap is: behind what was accepted before an overflow, or before what follows a failure.
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
            # Its beginning stands in the other file.
            self._rest = b""
            self._lost += 1
        os.close(self._file)
        self._file = file

    def _pieces(self, lost: int, lines: Sequence[bytes]) -> list[tuple[bytes, int]]:
        """
        What is written at once, and how many lines are lost with it. A line that says how many were lost stands for
        these.
        """
        # Other processes may write to the same pipe. The kernel keeps up to PIPE_BUF bytes of one write together, and
        # writes all of them or none. A longer line can't have that.
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
                    try:
                        written = os.write(self._file, left)
                    except BlockingIOError:
                        # Whoever shares the file, or we for a FIFO, has made it non-blocking.
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
        poll.poll()

    def _broken(self, data: bytes, left: bytes, count: int) -> int:
        """
        A write has failed, perhaps within a line: the rest of that line is kept, to be written first.

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
