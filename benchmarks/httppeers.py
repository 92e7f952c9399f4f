"""
The candidates of L{benchmarks.http}: how each is started, watched and stopped.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from .httpreport import OURS
from .peers import BACKLOG

ROOT = Path(__file__).parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
# How long a server may take to go when it is asked to, in seconds. Nothing is lost by killing it then.
_PATIENCE = 2.0
# How much of a failed server's output is shown, in lines.
_SHOWN = 20


class Failed(Exception):
    """
    A run that gives no figures; the text says why.
    """


@dataclass(frozen=True)
class Candidate:
    """
    A server.

    @ivar title: how reports call it.
    @ivar command: what starts it; C{{port}} stands for the port.
    @ivar packages: what it needs from PyPI.
    @ivar program: what it needs beside Python.
    @ivar tellsPath: does it answer a GET with the path, as it should, or does it echo nothing?
    """

    title: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    program: str | None = None
    tellsPath: bool = True

    def missing(self) -> str | None:
        """
        Why it can't run here, or L{None}.
        """
        if self.program is not None and shutil.which(self.program) is None:
            return f"there is no program {self.program}"
        for package in self.packages:
            try:
                version(package)
            except PackageNotFoundError:
                return f"{package} is missing: pip install 'wasinet_twisted[bench]'"
        return None

    def versions(self) -> str:
        """
        The versions of all it consists of.
        """
        if self.program is not None:
            return subprocess.run([self.program, "--version"], capture_output=True, text=True).stdout.strip()
        return ", ".join(f"{package} {version(package)}" for package in self.packages)


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return sys.executable, "-m", name, *arguments


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


_OURS = (
    *("--nodaemon", "--pidfile=", "wasinet-http", "--app", "benchmarks.peers.ours:handler"),
    *("--listen", f"tcp:{{port}}:interface=127.0.0.1:backlog={BACKLOG}"),
)

# The first is ours: the others are compared with it.
CANDIDATES = {
    OURS: Candidate("wasinet_twisted", (_script("twistd"), *_OURS), ("wasinet_twisted", "twisted")),
    "reactor": Candidate(
        "wasinet_twisted on its reactor",
        (_script("twistd"), "--reactor=wasinet", *_OURS),
        ("wasinet_twisted", "twisted"),
    ),
    "twisted.web": Candidate("twisted.web", _module("benchmarks.peers.twistedweb", "{port}"), ("twisted",)),
    "uvicorn": Candidate(
        "uvicorn",
        _module(
            *("uvicorn", "benchmarks.peers.asgi:app", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
            *("--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--backlog", str(BACKLOG)),
            *("--no-access-log", "--log-level", "warning"),
        ),
        ("uvicorn", "uvloop", "httptools"),
    ),
    "aiohttp": Candidate("aiohttp", _module("benchmarks.peers.aiohttpweb", "{port}"), ("aiohttp", "uvloop")),
    "granian": Candidate(
        "granian",
        _module(
            # asginl: ASGI without its lifespan messages, as for uvicorn.
            *("granian", "benchmarks.peers.asgi:app", "--interface", "asginl", "--http", "1", "--no-ws"),
            *("--host", "127.0.0.1", "--port", "{port}", "--workers", "1", "--loop", "uvloop"),
            *("--backlog", str(BACKLOG), "--no-access-log", "--log-level", "warning"),
        ),
        ("granian", "uvloop"),
    ),
    "node": Candidate("Node's http", ("node", "benchmarks/peers/node.js", "{port}", str(BACKLOG)), program="node"),
    "handwritten": Candidate(
        "uvloop + httptools, by hand", _module("benchmarks.peers.handwritten", "{port}"), ("uvloop", "httptools")
    ),
}


def _freePort() -> int:
    while True:
        # Below the ports that Linux takes for outgoing connections: none of those may get it in the meantime, and no
        # connect() may meet itself there, as happens once in a while where nobody listens yet.
        port = random.randrange(20000, 32000)
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


class Server:
    """
    A candidate's process, and those it starts.
    """

    def __init__(self, candidate: Candidate, port: int, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self.candidate = candidate
        self.port = port
        self._process = process
        self._output = output

    def _ended(self) -> Any:
        # WNOWAIT: as long as nobody has fetched its status, its number is that of its group and of nobody else.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def check(self) -> None:
        """
        See that it still runs.

        @raise Failed: it has ended.
        """
        ended = self._ended()
        if ended is not None:
            how = "by signal" if ended.si_code == os.CLD_KILLED else "with status"
            raise self.failure(f"ended {how} {ended.si_status}")

    def failure(self, why: str) -> Failed:
        """
        What to raise when it does not do its work: with the last lines it wrote.
        """
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").splitlines()[-_SHOWN:]
        return Failed("\n".join([f"{self.candidate.title}: {why}", *lines]))

    def cpu(self) -> float:
        """
        The CPU time that all its processes have taken so far, those that have ended included, in seconds.
        """
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # The name, in parentheses, may hold anything; see proc(5) for the rest.
                fields = path.read_bytes().rpartition(b")")[2].split()
                # It leads a session of its own, and its children stay in it.
                if int(fields[3]) == self._process.pid:
                    ticks += sum(map(int, fields[11:15]))
        return ticks / _TICKS

    def stop(self) -> None:
        """
        End it and all that it started.
        """
        pid = self._process.pid
        try:
            os.killpg(pid, signal.SIGTERM)
            until = time.monotonic() + _PATIENCE
            while self._ended() is None and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            os.killpg(pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def pinnedTo(core: int) -> Iterator[None]:
    """
    Stay on one core in the meantime; what is started then stays there for good.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(candidate: Candidate, core: int) -> Iterator[Server]:
    """
    Start a candidate on a core, and stop it in the end. It needn't listen yet.
    """
    port = _freePort()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as output:
        with pinnedTo(core):
            pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            process = subprocess.Popen(
                [part.replace("{port}", str(port)) for part in candidate.command],
                # Its own session: a Ctrl-C in the terminal is for us, and we stop it.
                start_new_session=True,
                cwd=ROOT,
                env=environment,
                **pipes,
            )
        server = Server(candidate, port, process, output)
        try:
            yield server
        finally:
            server.stop()
