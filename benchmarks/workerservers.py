"""
What the benchmark of workers stands on: a server of several processes, one beside it, and wrk that asks.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .candidates import PATIENCE, ROOT, Failed, freePort, script

CLOSE, KEEP = "close", "keep-alive"
# Statistics come once a second.
_TELLING = 1.2
_TICKS = os.sysconf("SC_CLK_TCK")
# Answers as short as the app's.
_NGINX = """\
worker_processes {workers};
daemon off;
pid {folder}/nginx-{port}.pid;
error_log {folder}/nginx-{port}.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        default_type text/plain;
        location / {{ return 200 "12345"; }}
    }}
}}
"""

# What systemd does that hands a socket over: descriptor 3, and variables that say so (sd_listen_fds(3)).
_LAUNCH = (
    "import os, sys\n"
    "os.dup2(int(sys.argv[1]), 3)\n"
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='socket')\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


@dataclass
class Load:
    """
    What wrk has told.

    @ivar requests: how many were answered.
    @ivar rate: these a second.
    @ivar lost: how many weren't, because a connection could not be made, or was reset or closed before the answer.
    @ivar milliseconds: latencies, by percentile.
    @ivar cpu: the seconds of CPU time that it has taken, of each second.
    """

    requests: int
    rate: float
    lost: int
    milliseconds: dict[str, float]
    cpu: float


def ask(port: int, mode: str, connections: int, seconds: int, meanwhile: Callable[[], object] = int) -> Load:
    """
    Have wrk ask.

    @param meanwhile: called when a third of the time has passed.
    @raise Failed: it can't.
    """
    more = ["-H", "Connection: close"] if mode == CLOSE else []
    arguments = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *more, f"http://127.0.0.1:{port}/"]
    before = _childrenCpu()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        time.sleep(seconds / 3)
        meanwhile()
        told, _ = process.communicate(timeout=seconds + PATIENCE)
    match = re.search(r"(\d+) requests in ([\d.]+)(s|ms|m)", told)
    if process.returncode or match is None:
        raise Failed(f"wrk has failed: {told}")
    took = float(match[2]) * {"ms": 0.001, "s": 1, "m": 60}[match[3]]
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    others = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    lost = sum(map(int, errors.groups())) if errors else 0
    found = re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s)$", told, re.M)
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    latencies = {percent: float(value) * units[unit] for percent, value, unit in found}
    used = (_childrenCpu() - before) / took
    return Load(int(match[1]), int(match[1]) / took, lost + (int(others[1]) if others else 0), latencies, used)


def _childrenCpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Server:
    """
    A server under test.

    @ivar processes: what was started: one process, or two.
    """

    port: int
    status: int
    processes: list[subprocess.Popen[bytes]]

    def figures(self) -> dict[str, Any]:
        """
        What its status page tells, when it knows all.
        """
        time.sleep(_TELLING)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/status.json", timeout=PATIENCE) as answer:
            return dict(json.load(answer))

    def workers(self) -> list[dict[str, Any]]:
        """
        Its workers that serve.
        """
        return [row for row in self.figures().get("workers", []) if row["state"] == "ready"]

    def cpu(self) -> float:
        """
        The CPU time that all of its processes have taken, in seconds.
        """
        total = 0
        for pid in self._family():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def _family(self) -> Iterator[int]:
        waiting = [process.pid for process in self.processes]
        while waiting:
            pid = waiting.pop()
            yield pid
            children = Path(f"/proc/{pid}/task/{pid}/children")
            if children.exists():
                waiting += map(int, children.read_text().split())


@contextmanager
def serving(
    folder: Path, options: Sequence[str], *, slow: bool = False, own: float = 0, shared: Sequence[socket.socket] = ()
) -> Iterator[Server]:
    """
    Start a server, and end it.

    @param slow: is one of its processes slow?
    @param own: how much CPU time the app takes for a request, in seconds.
    @param shared: listening sockets of the same port, one for each of its processes.
    """
    folder.mkdir(exist_ok=True)
    port = shared[0].getsockname()[1] if shared else freePort()
    status = freePort()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "APP_SECONDS": str(own)}
    environment.pop("SLOW_WORKER", None)
    if slow:
        (folder / "slow").unlink(missing_ok=True)
        environment["SLOW_WORKER"] = str(folder / "slow")
    with ExitStack() as stack:
        processes: list[subprocess.Popen[bytes]] = []
        log = stack.enter_context((folder / "log").open("wb"))
        for each in shared or (None,):
            twistd = [script("twistd"), "-n", "--pidfile=", "wasinet-http", "--app=benchmarks.peers.workersapp:handler"]
            if each is None:
                started = [*twistd, f"--listen=127.0.0.1:{port}", f"--status={status}", *options]
            else:
                started = [sys.executable, "-c", _LAUNCH, str(each.fileno()), *twistd]
                started += ["--listen=systemd:domain=INET:index=0", *options]
            files = [each.fileno()] if each is not None else []
            process = subprocess.Popen(
                started, cwd=folder, env=environment, stdout=log, stderr=log, pass_fds=files, stdin=subprocess.DEVNULL
            )
            processes.append(process)
            stack.callback(_end, process)
        server = Server(port, status, processes)
        _await(folder, len(processes))
        for each in shared:
            each.close()
        yield server


def _await(folder: Path, count: int) -> None:
    until = time.monotonic() + PATIENCE
    while (log := (folder / "log").read_text()).count("listening on ") < count:
        if time.monotonic() > until:
            raise Failed(f"a server doesn't start: {log}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def reusePorts(count: int) -> list[socket.socket]:
    """
    Return listening sockets of one port, each with a queue of its own.
    """
    sockets = []
    port = 0
    for _ in range(count):
        each = socket.socket()
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.bind(("127.0.0.1", port))
        each.listen(1024)
        port = each.getsockname()[1]
        sockets.append(each)
    return sockets


@contextmanager
def nginx(folder: Path, workers: int) -> Iterator[Server]:
    """
    Start nginx, and end it.
    """
    port = freePort()
    configuration = folder / f"nginx-{port}.conf"
    configuration.write_text(_NGINX.format(workers=workers, folder=folder, port=port))
    arguments = ["nginx", "-p", str(folder), "-c", str(configuration)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if time.monotonic() > until or process.poll() is not None:
                    raise Failed("nginx doesn't start") from None
                time.sleep(0.05)
        yield Server(port, 0, [process])
    finally:
        _end(process)
