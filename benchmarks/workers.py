"""
What C{--workers} costs and gives: one process beside several, on one port.

    python -m benchmarks.workers [--rounds 3] [--seconds 4] [--connections 64] [--json FILE]

All of it is C{twistd wasinet-http} with a handler that answers at once, and wrk
with one thread. Each round starts each server anew. Nothing is kept on a core of
its own: on two cores the load takes its share of them, which is told. Counted is
the CPU time, of user and kernel, of all of a server's processes, the parent
included. Six parts:

  - one process, one worker and two workers, with kept connections, with
    C{Connection: close}, and with kept connections and a handler that takes 0.3 ms
    of CPU time, as apps do: requests a second, CPU a request, and which part of the
    requests each worker has taken;
  - 64 kept connections, opened one after the other: how many come to each worker;
  - one of two workers is slow (10 ms a request, in which it does nothing else):
    on the socket that they share, beside two processes with SO_REUSEPORT;
  - kill -9 of a worker, under load: how many requests are lost;
  - SIGHUP, under load: the same.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from .candidates import ROOT, Failed, script
from .command import say
from .rounds import lacking

CLOSE, KEEP = "close", "keep-alive"
_MODES = (KEEP, CLOSE)
# How requests come, and the CPU time that the app takes for each, in seconds.
_LOADS = {KEEP: (KEEP, 0.0), CLOSE: (CLOSE, 0.0), "keep-alive, app of 0.3 ms": (KEEP, 0.0003)}
# After how many seconds each of the connections is opened that the workers share.
_GAPS = (0.0, 0.0002, 0.002)
_SERVERS = {"one process": (), "one worker": ("--workers=1",), "two workers": ("--workers=2",)}
# How long a start or an end may take, in seconds.
_PATIENCE = 30.0
# Statistics come once a second.
_TELLING = 1.2
_TICKS = os.sysconf("SC_CLK_TCK")

# What systemd does that hands a socket over: descriptor 3, and variables that say so (sd_listen_fds(3)).
_LAUNCH = (
    "import os, sys\n"
    "os.dup2(int(sys.argv[1]), 3)\n"
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='socket')\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


def _freePort() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


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
        told, _ = process.communicate(timeout=seconds + _PATIENCE)
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
    ended: dict[int, float] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """
        What its status page tells, when it knows all.
        """
        time.sleep(_TELLING)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/status.json", timeout=_PATIENCE) as answer:
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
    port = shared[0].getsockname()[1] if shared else _freePort()
    status = _freePort()
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
    until = time.monotonic() + _PATIENCE
    while (log := (folder / "log").read_text()).count("listening on ") < count:
        if time.monotonic() > until:
            raise Failed(f"a server doesn't start: {log}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _reusePorts(count: int) -> list[socket.socket]:
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


def cost(folder: Path, name: str, load: str, connections: int, seconds: int) -> dict[str, Any]:
    """
    Measure requests a second, the CPU time of each, and the workers' shares.
    """
    mode, own = _LOADS[load]
    with serving(folder, _SERVERS[name], own=own) as server:
        ask(server.port, mode, connections, 1)
        rows = {row["pid"]: row["requests"] for row in server.workers()}
        before = server.cpu()
        found = ask(server.port, mode, connections, seconds)
        used = server.cpu() - before
        taken = [row["requests"] - rows[row["pid"]] for row in server.workers()]
    return {
        "rate": found.rate,
        "cpu": used / found.requests * 1e6,
        "busy": used / seconds,
        "loadBusy": found.cpu,
        "lost": found.lost,
        "shares": [each / sum(taken) for each in taken] if len(taken) > 1 else [],
    }


def balance(folder: Path, gap: float, connections: int) -> dict[str, Any]:
    """
    Measure which part of the kept connections each of two workers gets, by how fast they come.
    """
    with serving(folder, _SERVERS["two workers"]) as server, ExitStack() as stack:
        rows = {row["pid"]: row["requests"] for row in server.workers()}
        clients = []
        for _ in range(connections):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            clients.append(client)
            time.sleep(gap)
        for client in clients:
            client.settimeout(_PATIENCE)
            if not client.recv(4096).startswith(b"HTTP/1.1 200"):
                raise Failed("a request has no answer")
        taken = [row["requests"] - rows[row["pid"]] for row in server.workers()]
    return {"shares": [each / sum(taken) for each in taken]}


def slow(folder: Path, reusePort: bool, mode: str, connections: int, seconds: int) -> dict[str, Any]:
    """
    Measure two processes of which one takes 10 ms for each request.
    """
    sockets = _reusePorts(2) if reusePort else ()
    options = () if reusePort else ("--workers=2",)
    with serving(folder, options, slow=True, shared=sockets) as server:
        load = ask(server.port, mode, connections, seconds)
    return {"rate": load.rate, "lost": load.lost, **{f"p{key}": value for key, value in load.milliseconds.items()}}


def disturbed(folder: Path, what: str, mode: str, connections: int, seconds: int) -> dict[str, Any]:
    """
    Measure how many requests are lost when a worker is killed, or all are replaced.
    """
    with serving(folder, _SERVERS["two workers"]) as server:
        pids = [row["pid"] for row in server.workers()]

        def act() -> None:
            if what == "kill -9":
                os.kill(pids[0], signal.SIGKILL)
            else:
                server.processes[0].send_signal(signal.SIGHUP)

        load = ask(server.port, mode, connections, max(seconds, 6), act)
        after = [row["pid"] for row in server.workers()]
    replaced = len(set(after) - set(pids))
    if len(after) != 2 or replaced != (1 if what == "kill -9" else 2):
        raise Failed(f"{what}: {pids} have become {after}")
    return {"requests": load.requests, "lost": load.lost}


def measure(given: Any) -> dict[str, Any]:
    """
    Measure all, round by round.
    """
    report: dict[str, Any] = {"cost": {}, "balance": {}, "slow": {}, "disturbed": {}}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(given.rounds):
            for load in _LOADS:
                for server in _SERVERS:
                    say(f"round {number + 1}: {server}, {load}")
                    found = cost(folder, server, load, given.connections, given.seconds)
                    report["cost"].setdefault(load, {}).setdefault(server, []).append(found)
            for gap in _GAPS:
                name = f"{1000 * gap:g} ms"
                say(f"round {number + 1}: connections opened {name} apart")
                report["balance"].setdefault(name, []).append(balance(folder, gap, given.connections))
            for mode in _MODES:
                for way in ("shared", "SO_REUSEPORT"):
                    say(f"round {number + 1}: one is slow, {way}, {mode}")
                    found = slow(folder, way != "shared", mode, given.connections, given.seconds)
                    report["slow"].setdefault(mode, {}).setdefault(way, []).append(found)
                for what in ("kill -9", "SIGHUP"):
                    say(f"round {number + 1}: {what}, {mode}")
                    found = disturbed(folder, what, mode, given.connections, given.seconds)
                    report["disturbed"].setdefault(mode, {}).setdefault(what, []).append(found)
    return report


def tables(report: dict[str, Any]) -> Iterator[str]:
    """
    Yield the lines that say what was measured: medians of the rounds. Ratios are to one worker of the same round;
    beside their median stand the least and the greatest.
    """
    for mode, servers in report["cost"].items():
        yield f"{mode}: requests/s, CPU a request, cores busy with serving and with the load, shares"
        for name, runs in servers.items():
            ratios = [run["cpu"] / one["cpu"] for run, one in zip(runs, servers["one worker"], strict=True)]
            yield (
                f"  {name:12} {_median(runs, 'rate'):8.0f}  {_median(runs, 'cpu'):6.1f} us "
                f"({median(ratios):.2f}, {min(ratios):.2f} - {max(ratios):.2f})  "
                f"{_median(runs, 'busy'):.2f} {_median(runs, 'loadBusy'):.2f}  {_shares(runs)}"
            )
    yield "kept connections, by the time between two that are opened: shares of two workers"
    for name, runs in report["balance"].items():
        yield f"  {name:12} {_shares(runs)}"
    for mode, ways in report["slow"].items():
        yield f"{mode}, one of two takes 10 ms: requests/s, latencies in ms at 50, 90 and 99 %"
        for name, runs in ways.items():
            latencies = " ".join(f"{_median(runs, f'p{percent}'):8.2f}" for percent in (50, 90, 99))
            yield f"  {name:12} {_median(runs, 'rate'):8.0f} {latencies}"
    for mode, whats in report["disturbed"].items():
        yield f"{mode}, two workers: lost, of requests"
        for name, runs in whats.items():
            yield f"  {name:12} " + ", ".join(f"{run['lost']} of {run['requests']}" for run in runs)


def _shares(runs: list[dict[str, Any]]) -> str:
    shared = [run["shares"] for run in runs if run["shares"]]
    return ", ".join(" / ".join(f"{100 * each:.0f} %" for each in shares) for shares in shared)


def _median(runs: list[dict[str, Any]], key: str) -> float:
    # wrk tells no latencies if there was no answer.
    return median(run.get(key, nan) for run in runs)


def main(arguments: Sequence[str]) -> int:
    """
    The command.
    """
    options = argparse.ArgumentParser(prog="python -m benchmarks.workers", description="What workers cost and give.")
    options.add_argument("--rounds", type=int, default=3, help="how many rounds to take the median of (%(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options.add_argument("--seconds", type=int, default=4, help="how long each run takes (%(default)s)")
    options.add_argument("--connections", type=int, default=64, help="how many there are (%(default)s)")
    given = options.parse_args(arguments)
    if (why := lacking({"wrk": "apt-get install wrk"})) is not None:
        say(why)
        return 1
    before = os.getloadavg()[0]
    report = measure(given)
    print(f"load average before: {before:.1f}; {os.cpu_count()} cores")
    print("\n".join(tables(report)))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
