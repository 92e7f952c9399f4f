"""
What C{--workers} costs and gives: one process beside several, on one port.

    python -m benchmarks.workers [--turns 12] [--rounds 3] [--seconds 4] [--connections 64] [--json FILE]

All of it is C{twistd wasinet-http} with a handler that answers at once, and wrk
with one thread. Nothing is kept on a core of its own: on two cores the load takes
its share of them, which is told. Counted is the CPU time, of user and kernel, of
all of a server's processes, the parent included. Seven parts:

  - one process, one worker and two workers, with kept connections, with
    C{Connection: close}, and with kept connections and a handler that takes 0.3 ms
    of CPU time, as apps do: requests a second, CPU a request, and which part of the
    requests each worker has taken. Beside them stand nginx with one worker and with
    two. All run at the same time, and are asked for three seconds each, in turn, of
    which the last counts: a ratio is of the same time, as these machines are never
    the same for long;
  - how long requests take that come one after the other while another program keeps
    each core busy, by C{--scheduling};
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
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from math import nan
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from .candidates import PATIENCE, Failed
from .command import say
from .rounds import lacking
from .workerservers import CLOSE, KEEP, Server, ask, nginx, reusePorts, serving

_MODES = (KEEP, CLOSE)
# How requests come, and the CPU time that the app takes for each, in seconds.
_LOADS = {KEEP: (KEEP, 0.0), CLOSE: (CLOSE, 0.0), "keep-alive, app of 0.3 ms": (KEEP, 0.0003)}
# After how many seconds each of the connections is opened that the workers share.
_GAPS = (0.0, 0.0002, 0.002)
# The options of each server, or the number of nginx's workers; and the one that it is compared with.
_SERVERS: dict[str, tuple[tuple[str, ...] | int, str]] = {
    "one process": ((), "one worker"),
    "one worker": (("--workers=1",), "one worker"),
    "two workers": (("--workers=2",), "one worker"),
    "one worker, normal": (("--workers=1", "--scheduling=normal"), "one worker, normal"),
    "two workers, normal": (("--workers=2", "--scheduling=normal"), "one worker, normal"),
    "nginx, one worker": (1, "nginx, one worker"),
    "nginx, two workers": (2, "nginx, one worker"),
}
# How many requests come one after the other, and how many seconds apart.
_PACED, _PACE = 3000, 0.001
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def cost(folder: Path, load: str, turns: int, connections: int) -> dict[str, Any]:
    """
    Measure requests a second, the CPU time of each, and the workers' shares, of each server.
    """
    mode, own = _LOADS[load]
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name, (what, _) in _SERVERS.items():
            if not isinstance(what, int):
                servers[name] = stack.enter_context(serving(folder / name.replace(" ", ""), what, own=own))
            elif not own:
                servers[name] = stack.enter_context(nginx(folder, what))
        ours = {name: server for name, server in servers.items() if server.status}
        before = {name: {row["pid"]: row["requests"] for row in server.workers()} for name, server in ours.items()}
        found: dict[str, dict[str, Any]] = {name: {"runs": [], "shares": []} for name in servers}
        order = list(servers)
        for turn in range(turns):
            say(f"{load}: turn {turn + 1} of {turns}")
            for name in order:
                found[name]["runs"].append(_asked(servers[name], mode, connections))
            # Nobody always comes after the same one.
            order.append(order.pop(0))
        for name, server in ours.items():
            taken = [row["requests"] - before[name][row["pid"]] for row in server.workers()]
            found[name]["shares"] = [each / sum(taken) for each in taken]
    return found


def _asked(server: Server, mode: str, connections: int) -> dict[str, float]:
    # Workers look once a second how much they have to do.
    ask(server.port, mode, connections, 2)
    before = server.cpu()
    load = ask(server.port, mode, connections, 1)
    used = server.cpu() - before
    return {"rate": load.rate, "cpu": used / load.requests * 1e6, "busy": used, "loadBusy": load.cpu, "lost": load.lost}


def paced(folder: Path, scheduling: str) -> dict[str, float]:
    """
    Measure how long a request takes, in milliseconds, while others keep the cores busy.

    @return: at 50, 90 and 99 %.
    """
    busy = [sys.executable, "-c", "while True: pass"]
    taken = []
    with serving(folder, ("--workers=2", f"--scheduling={scheduling}")) as server, ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(8)]
        for _ in range(os.cpu_count() or 1):
            stack.callback(stack.enter_context(subprocess.Popen(busy)).kill)
        for number in range(_PACED):
            client = clients[number % len(clients)]
            client.settimeout(PATIENCE)
            begun = time.perf_counter()
            client.sendall(_REQUEST)
            if not client.recv(4096).startswith(b"HTTP/1.1 200"):
                raise Failed("a request has no answer")
            taken.append(1000 * (time.perf_counter() - begun))
            time.sleep(_PACE)
    cuts = quantiles(taken, n=100)
    return {f"p{percent}": cuts[percent - 1] for percent in (50, 90, 99)}


def balance(folder: Path, gap: float, connections: int) -> dict[str, Any]:
    """
    Measure which part of the kept connections each of two workers gets, by how fast they come.
    """
    with serving(folder, ("--workers=2",)) as server, ExitStack() as stack:
        rows = {row["pid"]: row["requests"] for row in server.workers()}
        clients = []
        for _ in range(connections):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(_REQUEST)
            clients.append(client)
            time.sleep(gap)
        for client in clients:
            client.settimeout(PATIENCE)
            if not client.recv(4096).startswith(b"HTTP/1.1 200"):
                raise Failed("a request has no answer")
        taken = [row["requests"] - rows[row["pid"]] for row in server.workers()]
    return {"shares": [each / sum(taken) for each in taken]}


def slow(folder: Path, reusePort: bool, mode: str, connections: int, seconds: int) -> dict[str, Any]:
    """
    Measure two processes of which one takes 10 ms for each request.
    """
    sockets = reusePorts(2) if reusePort else ()
    options = () if reusePort else ("--workers=2",)
    with serving(folder, options, slow=True, shared=sockets) as server:
        load = ask(server.port, mode, connections, seconds)
    return {"rate": load.rate, "lost": load.lost, **{f"p{key}": value for key, value in load.milliseconds.items()}}


def disturbed(folder: Path, what: str, mode: str, connections: int, seconds: int) -> dict[str, Any]:
    """
    Measure how many requests are lost when a worker is killed, or all are replaced.
    """
    with serving(folder, ("--workers=2",)) as server:
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
    report: dict[str, Any] = {"cost": {}, "paced": {}, "balance": {}, "slow": {}, "disturbed": {}}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for load in _LOADS:
            report["cost"][load] = cost(folder, load, given.turns, given.connections)
        for number in range(given.rounds):
            for scheduling in ("auto", "normal"):
                say(f"round {number + 1}: busy cores, --scheduling {scheduling}")
                report["paced"].setdefault(scheduling, []).append(paced(folder, scheduling))
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
    Yield the lines that say what was measured: medians of turns or rounds. Ratios of CPU time are to one worker of the
    same kind and turn; beside their median stand the quartiles.
    """
    for load, servers in report["cost"].items():
        yield f"{load}: requests/s, CPU a request, its ratio, cores busy with serving and with the load, shares"
        for name, found in servers.items():
            runs, others = found["runs"], servers[_SERVERS[name][1]]["runs"]
            ratios = [run["cpu"] / other["cpu"] for run, other in zip(runs, others, strict=True)]
            low, middle, high = quantiles(ratios, n=4)
            yield (
                f"  {name:19} {_median(runs, 'rate'):8.0f}  {_median(runs, 'cpu'):6.1f} us "
                f"{middle:.2f} ({low:.2f} - {high:.2f})  "
                f"{_median(runs, 'busy'):.2f} {_median(runs, 'loadBusy'):.2f}  {_shares([found])}"
            )
    yield "requests one after the other, cores busy with others: ms at 50, 90 and 99 %"
    for name, runs in report["paced"].items():
        yield f"  {name:12} " + " ".join(f"{_median(runs, f'p{percent}'):8.3f}" for percent in (50, 90, 99))
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
    shared = [run["shares"] for run in runs if len(run["shares"]) > 1]
    return ", ".join(" / ".join(f"{100 * each:.0f} %" for each in shares) for shares in shared)


def _median(runs: list[dict[str, Any]], key: str) -> float:
    # wrk tells no latencies if there was no answer.
    return median(run.get(key, nan) for run in runs)


def main(arguments: Sequence[str]) -> int:
    """
    The command.
    """
    options = argparse.ArgumentParser(prog="python -m benchmarks.workers", description="What workers cost and give.")
    options.add_argument(
        "--turns", type=int, default=12, help="how often each server is asked what it costs (%(default)s)"
    )
    options.add_argument("--rounds", type=int, default=3, help="how many rounds of all else (%(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options.add_argument("--seconds", type=int, default=4, help="how long each run of a round takes (%(default)s)")
    options.add_argument("--connections", type=int, default=64, help="how many there are (%(default)s)")
    given = options.parse_args(arguments)
    if (why := lacking({"wrk": "apt-get install wrk", "nginx": "apt-get install nginx-light"})) is not None:
        say(why)
        return 1
    if given.turns < 2:
        options.error("--turns must be at least 2")
    before = os.getloadavg()[0]
    report = measure(given)
    print(f"load average before: {before:.1f}; {os.cpu_count()} cores")
    print("\n".join(tables(report)))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
