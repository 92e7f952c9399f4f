"""
What requests, connections and handshakes cost our server on this machine. It takes about a minute.

Each figure is that of a server of its own, in one process, kept on one core, with the load on another one. CPU time is
that of the server's process, of user and kernel; memory is what its resident memory grows by. The kernel's memory for
a connection can't be seen from a process: it is the sum of the sizes of the objects that a connection is made of, from
C{/proc/slabinfo}.
"""

from __future__ import annotations

import re
import ssl
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from tests.certificates import Authority
from wasinet_twisted import speed

from .. import command, websocket
from ..candidates import Candidate, Server, pinnedTo, script, serving
from ..command import say
from ..httpload import Load
from ..peers import BACKLOG
from ..pingpong import Load as Pingpong
from ..rounds import twoCores
from . import clients
from .queueing import Cost, Latencies, Mix, latencies, simulate

# What the handler of the queueing part does: most requests take a moment, one in ten takes ten times as long.
SHARES = (0.9, 0.1)
_SECONDS = (0.0005, 0.005)
# The utilisations that are measured.
BUSY = (0.2, 0.4, 0.6, 0.75, 0.85)
# The rates at which requests that are no work are measured, a second.
RATES = (2000, 5000, 8000)
# What a connection is made of in the kernel, as /proc/slabinfo names it, and its size in bytes on Linux 6 (x86_64).
_OBJECTS = {"TCP": 2368, "sock_inode_cache": 832, "filp": 192, "dentry": 192, "eventpoll_epi": 128}
_TRACKED = {"nf_conntrack": 256}


def _server(app: str, *options: str, listen: str = "tcp:{port}") -> Candidate:
    """
    Return ours.

    @param app: which of L{benchmarks.peers} it serves.
    """
    return Candidate(
        f"wasinet_twisted, {app}",
        (
            *(script("twistd"), "--reactor=wasinet", "--nodaemon", "--pidfile=", "wasinet-http"),
            *("--app", f"benchmarks.peers.{app}:handler", *options),
            *("--listen", f"{listen}:interface=127.0.0.1:backlog={BACKLOG}"),
        ),
        speed="yes" if speed().compiled else None,
    )


def kernelBytes(objects: dict[str, int]) -> int:
    """
    Return the sum of the sizes of such objects: what this kernel says, or what is usual.
    """
    found = dict(objects)
    with suppress(OSError):
        for name, size in re.findall(r"^(\S+) +\d+ +\d+ +(\d+)", Path("/proc/slabinfo").read_text(), re.MULTILINE):
            if name in found:
                found[name] = int(size)
    return sum(found.values())


class Measuring:
    """
    The measurements, which share a folder, a certificate and the load.
    """

    def __init__(self, folder: Path, core: int, seconds: float) -> None:
        """
        @param core: the servers'.
        @param seconds: how long a run is.
        """
        self._folder, self._core, self._seconds = folder, core, seconds
        self._pingpong = Pingpong(folder)
        self._posts, self._closings = (Load(case, folder / case) for case in ("post", "close"))
        authority = Authority(folder)
        self._certificate = authority.issue("localhost")
        self._context = ssl.create_default_context(cafile=str(authority.path))

    def _serving(self, candidate: Candidate) -> AbstractContextManager[Server]:
        return serving(candidate, self._core)

    def _tls(self) -> Candidate:
        # A colon of a path would end it in an endpoint.
        path = str(self._certificate).replace(":", r"\:")
        return _server("ours", listen=f"ssl:{{port}}:certKey={path}:privateKey={path}")

    def _post(self, server: Server, connections: int) -> float:
        self._posts.awaitReady(server)
        taken = self._pingpong.run(server, connections, "http", self._posts.path, self._seconds / 2, self._seconds)
        return float(taken["cpu"])

    def plain(self, rates: Sequence[float] = RATES) -> dict[str, Any]:
        """
        Requests and connections without TLS; how busy requests at known rates keep the server.
        """
        connect = clients.opening()
        with self._serving(_server("ours")) as server:
            server.connect().close()
            base = server.resident()
            full, alone = self._post(server, 50), self._post(server, 1)
            points = [_told(self._get(server, rate)) for rate in rates]
            with clients.kept(server, connect, 50) as conns:
                together = clients.asking(server, conns, self._seconds)
            closing = clients.closing(server, connect, self._count(1000))
            before = server.cpu()
            counted = self._closings.send(server, 50, self._seconds)
            closings = (server.cpu() - before) * 1e6 / counted["requests"]
        with self._serving(_server("ours")) as server:
            idle = clients.idle(server, connect, self._count(1000), self._count(3000), 0.3)
        return {
            "full": full,
            "alone": alone,
            "together": together,
            "closing": closing,
            "closings": closings,
            "base": base,
            "idle": idle,
            "points": points,
        }

    def _get(self, server: Server, rate: float) -> clients.Taken:
        return clients.leastDisturbed(
            lambda: clients.openLoop(server, rate, 2 * self._seconds, [clients.REQUEST], [1.0])
        )

    def tls(self) -> dict[str, float]:
        """
        The same over TLS.
        """
        connect = clients.opening(self._context)
        with self._serving(self._tls()) as server:
            with clients.kept(server, connect, 50) as conns:
                together = clients.asking(server, conns, self._seconds)
            closing = clients.closing(server, connect, self._count(300))
        with self._serving(self._tls()) as server:
            idle = clients.idle(server, connect, self._count(200), self._count(1000), 0.3)
        return {"together": together, "closing": closing, "idle": idle}

    def proxied(self) -> float:
        """
        A request over a new connection that begins with a PROXY header.
        """
        with self._serving(_server("ours", listen="haproxy:tcp:{port}")) as server:
            return clients.closing(server, clients.opening(header=clients.PROXY), self._count(1000))

    def logged(self) -> tuple[float, float]:
        """
        Requests with an access log.

        @return: CPU time a request, in us; bytes a line.
        """
        path = self._folder / "access.log"
        with self._serving(_server("ours", "--access-log", str(path))) as server:
            cpu = self._post(server, 50)
        content = path.read_bytes()
        return cpu, len(content) / content.count(b"\n")

    def webSockets(self) -> tuple[float, float]:
        """
        WebSocket echoes of 64 bytes.

        @return: CPU time a message, in us; bytes of an idle one.
        """
        with self._serving(_server("wsours")) as server:
            taken = self._pingpong.run(server, 50, "websocket", 64, self._seconds / 2, self._seconds)
        with self._serving(_server("wsours")) as server:
            return float(taken["cpu"]), websocket.idle(server, self._count(2000))

    def _count(self, most: int) -> int:
        # A short run is one that only shows that everything can be measured.
        return most if self._seconds >= 1 else most // 10

    def queueing(self, busies: Sequence[float] = BUSY) -> dict[str, Any]:
        """
        Measure how long requests take at several utilisations, when the handler works.

        @return: the works and how long each takes; a point for each utilisation.
        """
        with self._serving(_server("working")) as server:
            server.connect().close()
            # How much work takes how long: from two works that differ.
            few, many = (clients.working(server, work, self._seconds / 2) for work in (1000, 10_000))
            step = (many - few) / 9000
            works = [max(1, round(1000 + (seconds - few) / step)) for seconds in _SECONDS]
            full = [clients.working(server, work, self._seconds) for work in works]
            alone = [self._alone(server, work) for work in works]
            mix = Mix(full, SHARES)
            apart = max(0.0, min(latency - cost for cost, latency in alone))
            points = []
            for busy in busies:
                rate = busy / mix.mean
                taken = self._work(server, rate, 3 * self._seconds, works, SHARES)
                points.append({**_told(taken), **_shown(latencies(taken.busy, taken.latencies))})
                say(f"asked for {rate:,.0f} requests a second: {points[-1]}")
        return {
            "works": works,
            "shares": list(SHARES),
            "seconds": full,
            "alone": [cost for cost, _ in alone],
            "apart": apart,
            "points": points,
        }

    def _work(
        self, server: Server, rate: float, seconds: float, works: Sequence[int], shares: Sequence[float]
    ) -> clients.Taken:
        requests = [clients.WORK % work for work in works]
        return clients.leastDisturbed(lambda: clients.openLoop(server, rate, seconds, requests, shares))

    def _alone(self, server: Server, work: int) -> tuple[float, float]:
        """
        One request at a time.

        @return: its CPU time, and the median of what it takes, in seconds.
        """
        taken = self._work(server, 50, self._seconds, [work], [1.0])
        return taken.cost, latencies(0, taken.latencies).p50


def _told(taken: clients.Taken) -> dict[str, float]:
    return {"rate": round(taken.rate, 1), "busy": round(taken.busy, 4), "waited": round(taken.waited, 4)}


def _shown(found: Latencies) -> dict[str, float]:
    return {name: float(f"{getattr(found, name):.4g}") for name in ("mean", "p50", "p99")}


def predicted(queueing: dict[str, Any], rate: float, count: int = 100_000) -> Latencies:
    """
    Return what the simulation says of a rate.

    @param queueing: what was measured of single requests, see L{Measuring.queueing}.
    """
    mix = Mix(queueing["seconds"], queueing["shares"], queueing["alone"])
    found = simulate(rate, mix, count=count)
    # What is not the server's: the network, and until the client has looked.
    apart = queueing["apart"]
    return Latencies(found.busy, found.mean + apart, found.p50 + apart, found.p99 + apart)


def requestCost(report: dict[str, Any]) -> Cost:
    """
    Return what a request costs that is no work for its handler.
    """
    return Cost(report["costs"]["request"], report["costs"]["requestAlone"])


def measure(arguments: Sequence[str], seconds: float) -> dict[str, Any]:
    """
    Measure everything.

    @param seconds: how long a run is.
    @raise Failed: a server doesn't do its work.
    """
    serverCore, loadCore = twoCores()
    command.raiseDescriptors()
    with tempfile.TemporaryDirectory() as folder, pinnedTo(loadCore):
        measuring = Measuring(Path(folder), serverCore, seconds)
        plain = measuring.plain()
        say(f"plain: {plain}")
        tls = measuring.tls()
        say(f"TLS: {tls}")
        proxied = measuring.proxied()
        log, line = measuring.logged()
        message, webSocket = measuring.webSockets()
        say(f"PROXY: {proxied:.1f}; with a log: {log:.1f}, {line:.0f} bytes a line")
        say(f"WebSocket: {message:.1f}, {webSocket:.0f} bytes")
        queueing = measuring.queueing()
    costs = {
        "request": plain["full"],
        "requestAlone": plain["alone"],
        "tls": max(0.0, tls["together"] - plain["together"]),
        "log": max(0.0, log - plain["full"]),
        "connection": max(0.0, plain["closings"] - plain["full"]),
        "connectionAlone": max(0.0, plain["closing"] - plain["alone"]),
        "proxy": max(0.0, proxied - plain["closing"]),
        "handshake": max(0.0, tls["closing"] - plain["closing"] - tls["together"] + plain["together"]),
        "message": message,
    }
    memory = {
        "worker": plain["base"],
        "connection": plain["idle"],
        "tls": tls["idle"],
        "webSocket": webSocket,
        "kernel": kernelBytes(_OBJECTS),
        "tracked": kernelBytes(_TRACKED),
    }
    return {
        **command.facts("capacity", arguments),
        "seconds": seconds,
        "costs": {name: round(value, 2) for name, value in costs.items()},
        "memory": {name: round(value) for name, value in memory.items()},
        "line": round(line),
        "points": plain["points"],
        "queueing": queueing,
    }
