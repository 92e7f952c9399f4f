"""
Running programs as users do: as processes, each with a bound on its time.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# How long anything may take, in seconds, that normally takes a moment.
PATIENCE = 20.0

# A shell in the background ignores Ctrl-C, and what it starts inherits that.
_HEEDING_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)

ROOT = Path(__file__).parent.parent


def script(name: str) -> str:
    """
    A program of the environment that the tests run in.
    """
    return str(Path(sys.executable).with_name(name))


def runs(number: int) -> bool:
    """
    Does this process run?
    """
    try:
        return "(zombie)" not in Path(f"/proc/{number}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def freePort() -> int:
    """
    A port of 127.0.0.1 that was free a moment ago, and that the kernel gives to no client in the meantime.
    """
    while True:
        # Below the ports that Linux takes for outgoing connections.
        port = random.randrange(20000, 32000)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def takenPort() -> Iterator[int]:
    """
    A port that somebody else listens on.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def waitUntil(condition: Callable[[], object], what: str) -> None:
    """
    Wait, but not for ever.
    """
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not after {PATIENCE:g} s")
        time.sleep(0.02)


def unixClient(path: Path) -> socket.socket:
    """
    Connect to a UNIX socket as soon as somebody listens: its name is there a moment before.
    """
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    waitUntil(lambda: client.connect_ex(str(path)) == 0, f"a listener at {path}")
    return client


def listening(port: int) -> bool:
    """
    Does somebody listen there?
    """
    with socket.socket() as trying:
        trying.settimeout(PATIENCE)
        return trying.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """
    A program that runs.

    @ivar directory: where it runs, and where its output is kept.
    """

    def __init__(self, arguments: Sequence[str], directory: Path, descriptors: Sequence[int] = ()) -> None:
        """
        @param descriptors: those that it inherits.
        """
        self.directory = directory
        self._stdout = directory / "stdout"
        self._stderr = directory / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _HEEDING_CTRL_C, *arguments],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                # As printed, when printed.
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                pass_fds=descriptors,
            )

    def stdout(self) -> str:
        """
        What it has printed so far.
        """
        return self._stdout.read_text()

    def stderr(self) -> str:
        """
        What it has said on its standard error so far.
        """
        return self._stderr.read_text()

    def waitForPorts(self, *ports: int) -> None:
        """
        Wait until it listens.
        """
        for port in ports:
            waitUntil(lambda port=port: self._alive() and listening(port), f"listening on {port}")

    def waitForOutput(self, text: str) -> None:
        """
        Wait until it has printed something.
        """
        waitUntil(lambda: text in self.stdout() or not self._alive(), f"{text!r} in the output")
        assert text in self.stdout(), self.stdout()

    def _alive(self) -> bool:
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stderr()}{self.stdout()}"
        return True

    def wait(self) -> int:
        """
        Wait for its end.

        @return: its status; that of a signal is negative.
        """
        return self.process.wait(PATIENCE)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """
        Send it a signal and wait for its end.
        """
        self.process.send_signal(number)
        return self.wait()


@contextmanager
def running(arguments: Sequence[str], directory: Path, descriptors: Sequence[int] = ()) -> Iterator[Process]:
    """
    Run a program, and see to it that it ends.
    """
    process = Process(arguments, directory, descriptors)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait(PATIENCE)


def run(arguments: Sequence[str], directory: Path) -> Process:
    """
    Run a program to its end.
    """
    with running(arguments, directory) as process:
        process.wait()
    return process


class Client:
    """
    A plain blocking socket on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def end(self) -> None:
        """
        End our direction.
        """
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self, count: int) -> bytes:
        """
        Exactly so many bytes, unless the stream ends before.
        """
        data = b""
        while len(data) < count and (more := self.socket.recv(min(count - len(data), 1 << 20))):
            data += more
        return data

    def receiveAll(self) -> bytes:
        """
        All until the end of the stream.
        """
        return self.receive(1 << 40)


def talk(port: int, data: bytes) -> bytes:
    """
    Connect, send, end our direction, and take what comes until the end.
    """
    with Client(port) as client:
        client.send(data)
        client.end()
        return client.receiveAll()


class Daemon:
    """
    What twistd does without C{-n}: its parent ends, and tells how the start went.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.pidFile = directory / "daemon.pid"
        self.logFile = directory / "daemon.log"
        self._name = name
        self._directory = directory

    def start(self, *arguments: str) -> tuple[int, str]:
        """
        @return: the parent's status and what it said.
        """
        command = [
            script("twistd"),
            f"--pidfile={self.pidFile}",
            f"--logfile={self.logFile}",
            self._name,
            *arguments,
        ]
        parent = subprocess.run(command, cwd=self._directory, capture_output=True, timeout=PATIENCE, text=True)
        return parent.returncode, parent.stdout + parent.stderr

    def stop(self) -> None:
        """
        As an init script does.
        """
        os.kill(int(self.pidFile.read_text()), signal.SIGTERM)
        waitUntil(lambda: not self.pidFile.exists(), "the end of the daemon")


@contextmanager
def bySystemd(arguments: Sequence[str], directory: Path) -> Iterator[tuple[Process, int]]:
    """
    Run a program as systemd does that hands a socket over: descriptor 3, and variables that say so (sd_listen_fds(3)).

    @return: it, and the socket's port.
    """
    launch = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='socket')\n"
        "os.execv(sys.argv[2], sys.argv[2:])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        descriptor = os.dup(listening.fileno())
        with running([sys.executable, "-c", launch, str(descriptor), *arguments], directory, [descriptor]) as process:
            os.close(descriptor)
            yield process, port
