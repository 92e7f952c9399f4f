"""
C{--access-log -} into a pipe that nobody reads: the server goes on, ends in time, and what it says stays whole.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD

from tests.processes import PATIENCE, ROOT, Client, freePort, listening, talk, waitUntil
from tests.service.support import COMMANDS, POST, TWISTD, at, body, write

AGENT = "x" * 2000
REQUEST = f"GET /%d HTTP/1.1\r\nHost: x\r\nUser-Agent: {AGENT}\r\nContent-Length: 0\r\n\r\n".encode()


class Served:
    """
    A server whose standard output is a pipe.
    """

    def __init__(self, process: subprocess.Popen[bytes], reading: int, port: int) -> None:
        self.process = process
        self.reading = reading
        self.port = port
        self._asked = 0

    def ask(self, count: int) -> None:
        """
        Ask so many times, and see that each request is answered.
        """
        with Client(self.port) as client:
            for _ in range(count):
                client.send(REQUEST % self._asked)
                self._asked += 1
                data = b""
                while not data.endswith(b"one:"):
                    more = client.socket.recv(4096)
                    assert more, data
                    data += more

    def unread(self) -> int:
        """
        How many bytes are in the pipe.
        """
        return int.from_bytes(ioctl(self.reading, FIONREAD, bytes(4)), sys.byteorder)

    def read(self, expected: str | None = None) -> str:
        """
        Read until something has come, and what follows at once; without it, until the process has ended.
        """
        data = b""
        until = time.monotonic() + PATIENCE
        while expected is None or expected.encode() not in data or select.select([self.reading], [], [], 0.1)[0]:
            assert time.monotonic() < until, data[-1000:]
            if select.select([self.reading], [], [], 0.1)[0]:
                if not (more := os.read(self.reading, 1 << 16)):
                    break
                data += more
        return data.decode("ascii")


@contextmanager
def serving(directory: Path, command: list[str], *options: str) -> Iterator[Served]:
    """
    Serve, until twenty seconds have passed or the test has ended.
    """
    write(directory)
    port = freePort()
    reading, writing = os.pipe()
    arguments = [*command, "--app", "app:handler", "--listen", at(port), "--access-log", "-", *options]
    process = subprocess.Popen(arguments, cwd=directory, stdin=subprocess.DEVNULL, stdout=writing)
    os.close(writing)
    try:
        waitUntil(lambda: process.poll() is not None or listening(port), "listening")
        yield Served(process, reading, port)
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(reading)


def lines(text: str) -> list[int]:
    """
    See that each line is whole.

    @return: the numbers of the requests that have a line, or -1 and how many lines are missing.
    """
    found: list[int] = []
    for line in text.removesuffix("\n").split("\n"):
        if match := re.fullmatch(r"# \[[^]]+\] lines lost: (\d+)", line):
            found += -1, int(match[1])
        elif match := re.fullmatch(
            rf'127\.0\.0\.1 .* "GET /(\d+) HTTP/1\.1" 200 4 "-" "{AGENT}" \d\.\d{{6}} - - -', line
        ):
            found.append(int(match[1]))
        else:
            # twistd's log, or twist's.
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+ \[.*|\x1e\{.*\}|\t.*|", line), line
    return found


@COMMANDS
def test_nobodyReads(tmp_path: Path, command: list[str]) -> None:
    """
    Requests are answered all the time. Who reads at last reads whole lines, and how many are missing.
    """
    with serving(tmp_path, command) as served:
        served.ask(800)
        found = lines(served.read("lines lost"))
        missing = found.index(-1)
        assert found[:missing] == list(range(missing))
        assert found[missing + 1] == 800 - missing > 50
        served.ask(1)
        assert lines(served.read("GET /800 ")) == [800]
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE) == -signal.SIGTERM


@COMMANDS
def test_theEndWhileNobodyReads(tmp_path: Path, command: list[str]) -> None:
    """
    SIGTERM, which is a line in twistd's own log. What is in the pipe is whole.
    """
    with serving(tmp_path, command) as served:
        served.ask(100)
        # They are written by a thread.
        waitUntil(lambda: served.unread() > 6 * len(AGENT), "the first lines in the pipe")
        # Full to the last byte.
        copy = os.open(f"/proc/self/fd/{served.reading}", os.O_WRONLY | os.O_NONBLOCK)
        for size in (4096, 1):
            try:
                while True:
                    os.write(copy, b"\n" * size)
            except BlockingIOError:
                pass
        os.close(copy)
        served.ask(1)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE / 2) == -signal.SIGTERM
        text = served.read()
        assert lines(text)[:5] == [0, 1, 2, 3, 4]


@COMMANDS
def test_theLastWords(tmp_path: Path, command: list[str]) -> None:
    """
    Where somebody reads, nothing is missing at the end.
    """
    with serving(tmp_path, command) as served:
        served.ask(10)
        assert body(talk(served.port, POST)) == b"one:WasmEdge"
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE) == -signal.SIGTERM
        text = served.read()
    assert f"(TCP Port {served.port} Closed)" in text
    assert [int(number) for number in re.findall(r"GET /(\d+) ", text)] == list(range(10))
    assert '"POST / HTTP/1.1" 200 12 ' in text


def test_thePipeOfOthers(tmp_path: Path) -> None:
    """
    The pipe stays as it was for those who share it.
    """
    with serving(tmp_path, TWISTD) as served:
        served.ask(1)
        served.read("GET /0 ")
        flags = Path(f"/proc/{served.process.pid}/fdinfo/1").read_text()
        assert not int(re.search(r"flags:\s+(\d+)", flags)[1], 8) & os.O_NONBLOCK  # type: ignore[index]


def test_whatIsWrittenInPieces() -> None:
    """
    Lines are put together; one that never ends is written at the end.
    """
    program = (
        "import sys\n"
        "from wasinet_twisted.service.standardoutput import neverBlock\n"
        "class Options(dict):\n"
        "    parent = {'logFile': sys.stdout}\n"
        "options = Options({'access-log': sys.argv[1]})\n"
        "neverBlock(options)\n"
        "assert options.parent['logFile'] is sys.stdout\n"
        "assert (sys.stdout is sys.__stdout__) == (sys.argv[1] != '-')\n"
        "for text in ('a', 'b\\n', 'c\\nd\\n\\ne\\u20ac\\udc80', '\\n', 'x' * 100000, 'end'):\n"
        "    sys.stdout.write(text)\n"
        "    sys.stdout.flush()\n"
        "sys.stdout.buffer.write(b'\\xff')\n"
    )
    for log in ("-", "file"):
        done = subprocess.run(
            [sys.executable, "-c", program, log],
            cwd=ROOT,
            capture_output=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONIOENCODING": "utf-8:backslashreplace"},
        )
        assert done.stderr == b""
        assert done.stdout == b"ab\nc\nd\n\ne\xe2\x82\xac\\udc80\n" + b"x" * 100000 + b"end\xff"
