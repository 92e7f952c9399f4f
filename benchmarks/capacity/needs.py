"""
What a load needs of each resource, in all and of one machine, what a machine has unless somebody sets more, and what to
set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wasinet_twisted.net.server.endpoints import BACKLOG
from wasinet_twisted.server import ServerLimits
from wasinet_twisted.service.limits import SPARE

from .queueing import Cost

GIB = 1 << 30
# What Linux has unless somebody sets something else: the ports of outgoing connections (ip_local_port_range), the
# connections it tracks (nf_conntrack_max with 4 GiB of memory or more), the descriptors of a service of systemd's
# (DefaultLimitNOFILE's hard limit), connections that wait to be accepted (somaxconn), and those that have ended and are
# remembered for a minute (tcp_max_tw_buckets, with as much memory).
PORTS = 60_999 - 32_768 + 1
TRACKED = 262_144
DESCRIPTORS = 524_288
SOMAXCONN = 4096
TIME_WAIT = 262_144
# How long those are remembered, by the kernel's TCP and by its tracking, in seconds.
_REMEMBERED, _TRACKED_FOR = 60, 120
# A bucket of the hash table of tracked connections, in bytes; there are as many as there may be connections.
_BUCKET = 8
# The bytes on the wire beside a message's own: 40 to 52 a packet of 1460, and its acknowledgements.
_WIRE = 1.06
# How much memory of a machine connections and workers may have; the rest is the system's, and its caches'.
_MEMORY = 0.75


@dataclass(frozen=True)
class Load:
    """
    What clients do, in all.

    @ivar requests: a second.
    @ivar connections: that are open, WebSockets not among them.
    @ivar new: connections that are made a second, of all kinds.
    @ivar webSockets: that are open.
    @ivar messages: of all WebSockets, a second.
    @ivar tls: is it our server that speaks TLS?
    @ivar proxied: does a balancer stand in front, with a PROXY header?
    @ivar app: CPU time of the app's own a request or message, in us.
    @ivar sent, received: bytes of a response and of a request.
    @ivar log: is there an access log?
    @ivar stall: how long a worker may be busy with one thing, in seconds, while connections wait to be accepted.
    @ivar burst: how large a part of all connections may come anew within a second, as after a balancer's restart.
    """

    requests: float = 0
    connections: float = 0
    new: float = 0
    webSockets: float = 0
    messages: float = 0
    tls: bool = False
    proxied: bool = False
    app: float = 0
    sent: int = 2000
    received: int = 500
    log: bool = True
    stall: float = 0.1
    burst: float = 0.1

    @property
    def open(self) -> float:
        """
        All that are open.
        """
        return self.connections + self.webSockets


@dataclass(frozen=True)
class Machine:
    """
    One of those that serve.

    @ivar memory: bytes.
    @ivar network: bits a second, in each direction.
    @ivar disk: bytes for the access log.
    @ivar days: how long the log is kept.
    @ivar busy: the utilisation of a worker that is planned for.
    """

    cores: int = 8
    memory: int = 32 * GIB
    network: float = 10e9
    disk: float = 200e9
    days: int = 7
    busy: float = 0.6


@dataclass(frozen=True)
class Need:
    """
    What is needed of a resource.

    @ivar need: on one machine, or of one worker.
    @ivar has: what it has, unless somebody sets more.
    @ivar unit: of both.
    @ivar fixed: is it bought, and not set?
    @ivar setting: what to set, if that is not enough.
    @ivar breaks: what happens at the bound.
    """

    name: str
    need: float
    has: float
    unit: str
    breaks: str
    setting: str = ""
    fixed: bool = False

    @property
    def part(self) -> float:
        """
        How large a part of what there is this is; more than 1: it breaks.
        """
        return self.need / self.has


class Plan:
    """
    How many cores, how much memory and how many machines a load takes.

    @ivar cores: so many workers, each at the utilisation that is planned for.
    @ivar memory: bytes, the kernel's and the connection tracking's among them.
    @ivar machines: so many, by what needs most; C{bound} says what that is.
    """

    def __init__(self, load: Load, report: dict[str, Any], machine: Machine | None = None) -> None:
        """
        @param report: what was measured.
        """
        self.load = load
        self.machine = machine = Machine() if machine is None else machine
        self._cpu, self._bytes, self._line = report["costs"], report["memory"], report["line"]
        self.seconds = self._work() / 1e6
        self.cores = max(1, math.ceil(self.seconds / machine.busy))
        # A closed connection of a minute ago is remembered, too.
        self.tracked = load.open + load.new * _TRACKED_FOR
        each = self._bytes["kernel"] + (self._bytes["tls"] if load.tls else self._bytes["connection"])
        web = self._bytes["kernel"] + self._bytes["webSocket"]
        # What TLS takes of a connection does not depend on what is spoken over it.
        web += max(0, self._bytes["tls"] - self._bytes["connection"]) if load.tls else 0
        self.memory = (
            load.connections * each
            + load.webSockets * web
            + self.tracked * (self._bytes["tracked"] + _BUCKET)
            + self.cores * self._bytes["worker"]
        )
        self.network = 8 * _WIRE * max(load.sent, load.received) * (load.requests + load.messages)
        self.log = 86_400 * self._line * load.requests if load.log else 0.0
        by = {
            "cores": self.cores / machine.cores,
            "memory": self.memory / (_MEMORY * machine.memory),
            "network": self.network / (machine.network * machine.busy),
        }
        self.bound = max(by, key=lambda name: by[name])
        self.machines = max(1, math.ceil(by[self.bound]))

    def _work(self) -> float:
        """
        Return the CPU time of a second's load, in us.
        """
        load, cpu = self.load, self._cpu
        request = Cost(cpu["request"], cpu["requestAlone"]).at(self.machine.busy) + load.app
        request += (cpu["tls"] if load.tls else 0) + (cpu["log"] if load.log else 0)
        message = cpu["message"] + max(0.0, cpu["requestAlone"] - cpu["request"]) * (1 - self.machine.busy) + load.app
        message += cpu["tls"] if load.tls else 0
        new = Cost(cpu["connection"], cpu["connectionAlone"]).at(self.machine.busy)
        new += (cpu["handshake"] if load.tls else 0) + (cpu["proxy"] if load.proxied else 0)
        return float(load.requests * request + load.messages * message + load.new * new)

    @property
    def workers(self) -> int:
        """
        How many there are on a machine: one a core at the most, and no more than the load needs.
        """
        return min(self.machine.cores, math.ceil(self.cores / self.machines))

    def needs(self) -> list[Need]:
        """
        Return what is needed of one machine, or of one of its workers: what breaks first comes first.
        """
        return sorted(self._needs(), key=lambda each: -each.part)

    def _needs(self) -> Iterator[Need]:
        load, machine = self.load, self.machine
        here, workers = 1 / self.machines, self.workers
        each = load.open * here / workers
        yield Need(
            "connections of a worker",
            each,
            ServerLimits().connections or math.inf,
            "",
            "others wait in the accept queue",
            f"--limits connections={upTo(each)}",
        )
        yield Need(
            "descriptors of a worker",
            each + SPARE,
            DESCRIPTORS,
            "",
            "the limit `connections` is lowered to what there is",
            f"LimitNOFILE={upTo(each + SPARE)}, and fs.nr_open no less",
        )
        # All workers share the socket that listens.
        queue = here * max(load.new * load.stall, load.open * load.burst)
        yield Need(
            "accept queue of the port",
            queue,
            min(BACKLOG, SOMAXCONN),
            "",
            "the kernel drops handshakes: clients try again after a second",
            f"net.core.somaxconn={upTo(queue)}, net.ipv4.tcp_max_syn_backlog={upTo(queue)}, backlog={upTo(queue)} in "
            "the endpoint",
        )
        if load.proxied:
            pairs = load.open * here
            yield Need(
                "ports of one balancer to one machine",
                pairs,
                PORTS,
                "",
                "it can't connect: 503",
                f'net.ipv4.ip_local_port_range="1024 65535", and {math.ceil(pairs / (65_535 - 1023))} addresses of the '
                "balancer's or of the machine's",
            )
        yield Need(
            "tracked connections",
            self.tracked * here,
            TRACKED,
            "",
            "the kernel drops packets of new connections",
            f"net.netfilter.nf_conntrack_max={upTo(self.tracked * here)}, or no tracking of this port (notrack)",
        )
        yield Need(
            "connections in TIME_WAIT",
            load.new * here * _REMEMBERED,
            TIME_WAIT,
            "",
            "they are forgotten early, with a line in the kernel's log; that does no harm",
            f"net.ipv4.tcp_max_tw_buckets={upTo(load.new * here * _REMEMBERED)}",
        )
        yield Need(
            "cores", self.seconds * here, machine.cores * machine.busy, "", "requests wait", "more machines", fixed=True
        )
        yield Need(
            "memory",
            self.memory * here / GIB,
            _MEMORY * machine.memory / GIB,
            "GiB",
            "the kernel kills the largest process",
            "more machines, or more memory",
            fixed=True,
        )
        yield Need(
            "network",
            self.network * here / 1e9,
            machine.network * machine.busy / 1e9,
            "Gbit/s",
            "responses wait",
            "more machines, or compression",
            fixed=True,
        )
        if load.log:
            yield Need(
                "disk of the access log",
                self.log * here * machine.days / 1e9,
                machine.disk / 1e9,
                "GB",
                "lines are lost, and counted; requests are not held up",
                f"rotation by size, fewer days, or a sample: a day is {self.log * here / 1e9:,.0f} GB a machine",
                fixed=True,
            )


def upTo(number: float) -> int:
    """
    Return the number to set: a power of two of which this is three quarters at the most.
    """
    return 1 << max(10, math.ceil(math.log2(max(1.0, number * 4 / 3))))


# What docs/scale.md has: requests of an API whose clients keep their connection for a minute and ask every 3 seconds,
# over TLS; and WebSockets that have a message each half minute and live for an hour.
def asking(requests: float, **more: Any) -> Load:
    """
    Return so many requests a second.
    """
    load = {"connections": 3 * requests, "new": requests / 20, "tls": True, **more}
    return Load(requests=requests, **load)


def waiting(webSockets: float, **more: Any) -> Load:
    """
    Return so many WebSockets.
    """
    load = {"tls": True, "log": False, "sent": 200, "received": 100, **more}
    return Load(webSockets=webSockets, messages=webSockets / 30, new=webSockets / 3600, **load)
