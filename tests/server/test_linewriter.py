"""
The thread that writes the access log: what stalls, what is lost, and that lines stay whole.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.processes import PATIENCE, waitUntil
from wasinet_twisted.server import linewriter
from wasinet_twisted.server.linewriter import MAX_BYTES, MAX_LINES, LineWriter

pytestmark = pytest.mark.usefixtures("noThreadLeft")


@pytest.fixture
def noThreadLeft() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    waitUntil(lambda: set(threading.enumerate()) <= before, "the end of the thread")


def note(lost: int) -> bytes:
    return b"lost: %d\n" % lost


class Pipe:
    """
    A pipe that nobody reads yet.
    """

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.reports: list[str] = []
        self.writer = LineWriter(os.dup(self.writing), note, self.reports.append)
        self._sent = self._filled = 0

    def fill(self) -> None:
        """
        Somebody else fills it, who leaves it as it was.
        """
        flags = fcntl.fcntl(self.writing, fcntl.F_GETFL)
        fcntl.fcntl(self.writing, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                self._filled += os.write(self.writing, b"." * 4096)
        fcntl.fcntl(self.writing, fcntl.F_SETFL, flags)

    def send(self, count: int, size: int = 100) -> None:
        """
        Write numbered lines, in one go.
        """
        first = self._sent + 1
        self._sent += count
        self.writer.write(
            [b"%d " % number + b"x" * (size - 2 - len(str(number))) + b"\n" for number in range(first, first + count)]
        )

    def read(self) -> bytes:
        """
        Read what there is, but for what filled it.
        """
        data = b""
        while select.select([self.reading], [], [], 0)[0] and (more := os.read(self.reading, 1 << 16)):
            data += more[self._filled :]
            self._filled = max(self._filled - len(more), 0)
        return data

    def readUntil(self, condition: Callable[[bytes], object]) -> bytes:
        data = b""

        def look() -> object:
            nonlocal data
            data += self.read()
            return condition(data)

        waitUntil(look, "what was expected of the pipe")
        return data


@contextmanager
def piped() -> Iterator[Pipe]:
    pipe = Pipe()
    try:
        yield pipe
    finally:
        # The thread ends when nobody can read any more.
        os.close(pipe.reading)
        pipe.writer.close(PATIENCE)
        os.close(pipe.writing)


def accounted(data: bytes, sent: int) -> int:
    """
    See that each line is whole, none comes twice, they are in order, and that those missing are counted where they are
    missing.

    @return: how many are missing.
    """
    assert data.endswith(b"\n")
    expected, missing = 1, 0
    for line in data.splitlines():
        if match := re.fullmatch(rb"lost: (\d+)", line):
            expected += int(match[1])
            missing += int(match[1])
        else:
            match = re.fullmatch(rb"(\d+) x+", line)
            assert match, line[:100]
            assert int(match[1]) == expected
            expected += 1
    assert expected == sent + 1
    return missing


def test_aStalledPipeBlocksNobody() -> None:
    with piped() as pipe:
        pipe.fill()
        # None of these would return if it wrote.
        for _ in range(400):
            pipe.send(100)
        data = pipe.readUntil(lambda data: b"lost" in data)
        assert accounted(data, 40_000) > 20_000
        assert pipe.reports == ["what reads them is too slow"]


def test_linesAreWholeAndInOrder() -> None:
    """
    With a reader that takes few bytes at once, and without any loss.
    """
    with piped() as pipe:
        for size in (2 + 4, 57, 4095, 4096, 4097, 20_000):
            pipe.send(20, size)
        data = b""
        while data.count(b"\n") < 120:
            if select.select([pipe.reading], [], [], PATIENCE)[0]:
                data += os.read(pipe.reading, 777)
        assert accounted(data, 120) == 0
        assert pipe.reports == []


def test_aNonBlockingPipe() -> None:
    """
    Somebody who shares the pipe has made it so: writes are partial, or fail.
    """
    with piped() as pipe:
        os.set_blocking(pipe.writing, False)
        pipe.send(10, 60_000)
        data = b""
        while data.count(b"\n") < 10:
            if select.select([pipe.reading], [], [], PATIENCE)[0]:
                data += os.read(pipe.reading, 5000)
        assert accounted(data, 10) == 0


def test_thePipeStaysAsItIs() -> None:
    with piped() as pipe:
        pipe.send(1)
        pipe.readUntil(lambda data: data)
        assert os.get_blocking(pipe.writing)


def test_anotherWriterOfThePipe() -> None:
    """
    Its lines and ours don't get into one another.
    """
    with piped() as pipe:

        def other() -> None:
            for _ in range(2000):
                os.write(pipe.writing, b"other\n")

        thread = threading.Thread(target=other)
        thread.start()
        pipe.send(5000, 150)
        data = pipe.readUntil(lambda data: data.count(b"\n") == 7000)
        thread.join()
        assert accounted(data.replace(b"other\n", b""), 5000) == 0
        assert data.splitlines().count(b"other") == 2000


def overflow(pipe: Pipe, count: int, size: int, more: int) -> bytes:
    """
    Of lines that come one by one while the pipe is full, so many are written.
    """
    pipe.fill()
    for _ in range(count):
        pipe.send(1, size)
    assert pipe.reports == []
    for _ in range(more):
        pipe.send(1, size)
    return pipe.readUntil(lambda data: data.count(b"\n") >= count + (more > 0))


@pytest.mark.parametrize(("size", "most"), [(1024, MAX_BYTES // 1024), (10, MAX_LINES)], ids=["bytes", "lines"])
def test_theBound(size: int, most: int) -> None:
    """
    Up to it nothing is lost, and from it on all.
    """
    with piped() as pipe:
        assert accounted(overflow(pipe, most, size, 0), most) == 0
    with piped() as pipe:
        assert accounted(overflow(pipe, most, size, 3), most + 3) == 3


def test_aBatchThatFitsByHalf() -> None:
    with piped() as pipe:
        pipe.fill()
        pipe.send(MAX_BYTES // 1024 - 5, 1024)
        pipe.send(20, 1024)
        data = pipe.readUntil(lambda data: b"lost" in data)
        assert accounted(data, MAX_BYTES // 1024 + 15) == 15


def test_oneReportAnOutage() -> None:
    with piped() as pipe:
        for outage in (1, 2):
            pipe.fill()
            for _ in range(3):
                pipe.send(MAX_LINES, 20)
            pipe.readUntil(lambda data: b"lost" in data)
            assert pipe.reports == ["what reads them is too slow"] * outage


def test_nothingIsLostAfterAnOutage() -> None:
    with piped() as pipe:
        pipe.fill()
        pipe.send(MAX_LINES + 7, 20)
        data = pipe.readUntil(lambda data: b"lost" in data)
        pipe.send(10)
        data += pipe.readUntil(lambda data: data.count(b"\n") == 10)
        assert accounted(data, MAX_LINES + 17) == 7


def test_closingAStalledOneIsBounded() -> None:
    """
    What can't be written is told. The thread and its file go as soon as they can.
    """
    with piped() as pipe:
        pipe.fill()
        pipe.send(10)
        assert pipe.writer.close(0.05) == 10
        # Nobody waits twice for the same stall.
        before = time.monotonic()
        assert pipe.writer.close(PATIENCE) == 10
        assert time.monotonic() - before < PATIENCE / 2
        data = pipe.readUntil(lambda data: b"10 x" in data)
        assert accounted(data, 10) == 0


def test_closingWritesTheRest() -> None:
    with piped() as pipe:
        pipe.send(100)
        assert pipe.writer.close(PATIENCE) == 0
        assert accounted(pipe.read(), 100) == 0
        pipe.send(1)
        assert pipe.read() == b""


def noThreads(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    From now on no thread can be started, as at the exit of Python 3.12.
    """

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_closingWithoutThreads(monkeypatch: pytest.MonkeyPatch) -> None:
    noThreads(monkeypatch)
    with piped() as pipe:
        pipe.send(100)
        assert pipe.writer.close(PATIENCE) == 0
        assert accounted(pipe.read(), 100) == 0


def test_closingAStalledOneWithoutThreadsIsBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    noThreads(monkeypatch)
    with piped() as pipe:
        pipe.fill()
        pipe.send(10)
        assert pipe.writer.close(0.05) == 10


def test_noReaderAnyMore() -> None:
    with piped() as pipe:
        reading, pipe.reading = pipe.reading, os.open(os.devnull, os.O_RDONLY)
        os.close(reading)
        for _ in range(3):
            pipe.send(1)
            waitUntil(pipe.writer.isSettled, "the failure")
        assert pipe.reports == ["Broken pipe"]


class Disk:
    """
    C{os.write} with a disk that is full.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def write(self, file: int, data: bytes) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        written = self._write(file, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 30, 50, 51, 99, 100])
def test_aFullDisk(tmp_path: Path, room: int) -> None:
    """
    Where a line was cut, its rest follows first as soon as there is room. The lines that are lost are counted.
    """
    path = tmp_path / "file"
    reports: list[str] = []
    writer = LineWriter(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), note, reports.append)
    disk = Disk(room)
    with patch.object(linewriter.os, "write", disk.write):
        for first in (1, 3):
            writer.write([b"%d %b\n" % (number, b"x" * 47) for number in (first, first + 1)])
            waitUntil(writer.isSettled, "the failure")
        disk.room = 1 << 20
        writer.write([b"5 %b\n" % (b"x" * 47)])
        assert writer.close(PATIENCE) == 0
    assert accounted(path.read_bytes(), 5) == 4 - -(-room // 50)
    assert reports == ["No space left on device"]


def test_aFileThatIsFullToTheEnd(tmp_path: Path) -> None:
    """
    Nothing is tried over and over.
    """
    disk = Disk(0)
    writer = LineWriter(os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT), note)
    with patch.object(linewriter.os, "write", disk.write):
        writer.write([b"a\n"])
        waitUntil(writer.isSettled, "the failure")
        assert writer.close(PATIENCE) == 0


def test_anotherFile(tmp_path: Path) -> None:
    """
    Each line goes to the file that was the present one when it came, also while the first one is stalled. Files that
    have had no line before the next one came are closed.
    """
    descriptors = len(os.listdir("/proc/self/fd"))
    with piped() as pipe:
        pipe.fill()
        pipe.send(5)
        for name in ("a", "b"):
            pipe.writer.exchange(os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT))
        pipe.send(5)
        data = pipe.readUntil(lambda data: b"5 x" in data)
        assert accounted(data, 5) == 0
        assert pipe.writer.close(PATIENCE) == 0
    assert (tmp_path / "a").read_bytes() == b""
    assert [line.split()[0] for line in (tmp_path / "b").read_bytes().splitlines()] == [b"6", b"7", b"8", b"9", b"10"]
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("same", [True, False], ids=["the-same", "another"])
def test_theRestOfALineIsForItsFile(tmp_path: Path, same: bool) -> None:
    first = tmp_path / "first"
    second = first if same else tmp_path / "second"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    writer = LineWriter(os.open(first, flags), note)
    disk = Disk(3)
    with patch.object(linewriter.os, "write", disk.write):
        writer.write([b"begun\n"])
        waitUntil(writer.isSettled, "the failure")
        disk.room = 100
        writer.exchange(os.open(second, flags))
        writer.write([b"next\n"])
        assert writer.close(PATIENCE) == 0
    assert second.read_bytes() == (b"begun\nnext\n" if same else b"lost: 1\nnext\n")


def test_afterAFork(tmp_path: Path) -> None:
    """
    The child has no thread, and gets one of its own.
    """
    path = tmp_path / "file"
    writer = LineWriter(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), note)
    writer.write([b"parent\n"])
    waitUntil(writer.isSettled, "the line")
    child = os.fork()
    if not child:
        try:
            writer.write([b"child\n"])
            writer.settle(PATIENCE)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    writer.close(PATIENCE)
    assert path.read_bytes() == b"parent\nchild\n"
