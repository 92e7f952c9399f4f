"""
The candidates of the benchmarks: how each is compiled, and how a server is started, watched and stopped.
"""

from __future__ import annotations

import os
import platform
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from wasinet_twisted import speed

ROOT = Path(__file__).parent.parent
# How long a server may take until it listens, and until it answers, in seconds.
PATIENCE = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")
# How long a server may take to go when it is asked to, in seconds. Nothing is lost by killing it then.
_GRACE = 2.0
# How much of a failed server's output is shown, in lines.
_SHOWN = 20


class Failed(Exception):
    """
    A run that gives no figures; the text says why.
    """


@dataclass(frozen=True)
class Candidate:
    """
    A server, or a client.

    @ivar title: how reports call it.
    @ivar command: what starts it; C{{port}} stands for the port, C{{built}} for what was compiled.
    @ivar packages: what it needs from PyPI.
    @ivar program: what it needs beside Python.
    @ivar told: what makes that program tell its version.
    @ivar build: what compiles it, to the file C{{built}}.
    @ivar speed: C{WASINET_SPEED} for its process: C{yes} for the compiled form of ours, C{no} for the Python.
    """

    title: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    program: str | None = None
    told: str = "--version"
    build: tuple[str, ...] = ()
    speed: str | None = None

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
        if self.speed == "yes" and not speed().compiled:
            return str(speed())
        return None

    def versions(self) -> str:
        """
        The versions of all it consists of.
        """
        if self.program is not None:
            ended = subprocess.run([self.program, self.told], capture_output=True, text=True)
            told = (ended.stdout or ended.stderr).splitlines()
            # Some go on and tell what they are linked with.
            return " ".join(told[0].split()[:4]) if told else self.program
        if not self.packages:
            return f"{platform.python_implementation()} {platform.python_version()}"
        return ", ".join(f"{package} {version(package)}" for package in self.packages)

    def given(self, **values: object) -> Candidate:
        """
        The same, with values for what stands in braces in its command.
        """
        command = self.command
        for name, value in values.items():
            command = tuple(part.replace(f"{{{name}}}", str(value)) for part in command)
        return replace(self, command=command)

    def compiled(self, to: Path) -> Candidate:
        """
        Compile it, where that is needed.

        @param to: the program's file.
        @return: what runs it.
        @raise Failed: it can't be compiled.
        """
        if not self.build:
            return self
        compileWith([part.replace("{built}", str(to)) for part in self.build])
        return self.given(built=to)


def pure(name: str) -> str:
    """
    Return the name of the pure form of a candidate of ours.
    """
    return f"{name}-pure"


def bothForms(candidates: dict[str, Candidate]) -> dict[str, Candidate]:
    """
    Return these candidates, ours twice: with the compiled twins, and as pure Python.
    """
    found = {}
    for name, candidate in candidates.items():
        if "wasinet_twisted" in candidate.packages:
            found[name] = replace(candidate, speed="yes")
            found[pure(name)] = replace(candidate, title=f"{candidate.title}, pure Python", speed="no")
        else:
            found[name] = candidate
    return found


def compileWith(command: list[str]) -> None:
    """
    Let a compiler do its work.

    @raise Failed: it can't.
    """
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failed(f"{command[0]} failed:\n{done.stdout}")


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """
    The command that runs a module.
    """
    return sys.executable, "-m", name, *arguments


def script(name: str) -> str:
    """
    A program that a package has installed.
    """
    return str(Path(sys.executable).with_name(name))


def freePort() -> int:
    """
    Return a port of 127.0.0.1 that nobody has, and that no client is given meanwhile.
    """
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

    @ivar pid: the process's number.
    """

    def __init__(self, candidate: Candidate, port: int, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self.candidate = candidate
        self.port = port
        self.pid = process.pid
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

    def connect(self) -> socket.socket:
        """
        Connect, as soon as it listens.

        @raise Failed: it doesn't, or it has ended.
        """
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise self.failure(f"doesn't listen after {PATIENCE:g} s") from None
                self.check()
                time.sleep(0.02)
            except OSError as error:
                raise self.failure(f"can't be connected to: {error}") from error

    def _processes(self) -> Iterator[tuple[int, list[bytes]]]:
        """
        All its processes that there are: their numbers, and what /proc says from their state on.
        """
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # The name, in parentheses, may hold anything; see proc(5) for the rest.
                fields = path.read_bytes().rpartition(b")")[2].split()
                # It leads a session of its own, and its children stay in it.
                if int(fields[3]) == self._process.pid:
                    yield int(path.parent.name), fields

    def cpu(self) -> float:
        """
        The CPU time that all its processes have taken so far, those that have ended included, in seconds.
        """
        seconds = 0.0
        for pid, fields in self._processes():
            # A process has a clock in ns, which clock_getcpuclockid(3) names thus on Linux. Only that of children which
            # have ended is told in ticks alone.
            with suppress(OSError):
                seconds += time.clock_gettime((~pid << 3) | 2) + sum(map(int, fields[13:15])) / _TICKS
        return seconds

    def resident(self) -> int:
        """
        The resident memory of all its processes, in bytes.
        """
        total = 0
        for pid, _ in self._processes():
            # The short sums elsewhere in /proc may be some pages off.
            with suppress(OSError):
                found = re.search(rb"^Rss:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_bytes(), re.MULTILINE)
                total += 1024 * int(found[1]) if found else 0
        return total

    def stop(self) -> None:
        """
        End it and all that it started.
        """
        pid = self._process.pid
        try:
            os.killpg(pid, signal.SIGTERM)
            until = time.monotonic() + _GRACE
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


def environment(candidate: Candidate) -> dict[str, str]:
    """
    Return what a candidate's process finds in its environment.
    """
    found = {**os.environ, "PYTHONPATH": str(ROOT)}
    if candidate.speed is not None:
        found["WASINET_SPEED"] = candidate.speed
    return found


@contextmanager
def serving(candidate: Candidate, core: int) -> Iterator[Server]:
    """
    Start a candidate on a core, and stop it in the end. It needn't listen yet.
    """
    port = freePort()
    with tempfile.TemporaryFile() as output:
        with pinnedTo(core):
            pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            process = subprocess.Popen(
                candidate.given(port=port).command,
                # Its own session: a Ctrl-C in the terminal is for us, and we stop it.
                start_new_session=True,
                cwd=ROOT,
                env=environment(candidate),
                **pipes,
            )
        server = Server(candidate, port, process, output)
        try:
            yield server
        finally:
            server.stop()
