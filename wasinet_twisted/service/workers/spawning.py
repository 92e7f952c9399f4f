"""
Starting a worker's process with its descriptors.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.protocol import Protocol as Connection
from zope.interface import implementer

from ...net.server.endpoints import endpointFromString
from ...net.server.proxyprotocol import innermost
from .child import Child, Logged, Said
from .order import Order

# systemd's first descriptor, sd_listen_fds(3).
SYSTEMD = 3


def commandOf(order: Order) -> list[str]:
    """
    Return what starts a worker: by this interpreter, with those of its options that change what code does. The last
    argument is for those who look at a list of processes.
    """
    options = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    options += [f"-W{each}" for each in sys.warnoptions]
    # The current directory is not looked into for modules but by the app's name, as in the parent.
    return [sys.executable, *options, "-P", "-m", "wasinet_twisted.service.worker", order.command]


def systemdDescriptors(environment: Mapping[str, str]) -> int:
    """
    Return how many descriptors systemd has handed to this process. Twisted leaves only their names in the environment.
    """
    names = environment.get("LISTEN_FDNAMES")
    return len(names.split(":")) if names else 0


def inheritedNumber(endpoint: str) -> int | None:
    """
    Return the descriptor by which systemd has handed over the socket of an endpoint; L{None}: it hasn't.

    A worker finds it by the same one: its endpoint is made of the same words.
    """
    if "systemd:" not in endpoint:
        return None
    found: Any = innermost(endpointFromString(None, endpoint))
    return found.fileno  # type: ignore[no-any-return]


@implementer(IReactorProcess, IReactorTime)
class Spawner:
    """
    The reactor that procmon has: it gives each process the listening sockets, a channel and a pipe for its log.
    """

    def __init__(
        self,
        reactor: Any,
        order: Order,
        endpoints: Iterable[str],
        sockets: Callable[[], dict[str, int]],
        make: Callable[[ProcessProtocol, Order], tuple[Child, Order]],
    ) -> None:
        """
        @param order: what each worker does.
        @param endpoints: what workers listen on. Nobody listens on these yet.
        @param sockets: gives the descriptors of the listening sockets, by endpoint.
        @param make: makes a L{Child} of procmon's protocol, and the order that is its own.
        """
        self._reactor = reactor
        self._order = order
        self._sockets = sockets
        self._make = make
        self._inherited = {endpoint: inheritedNumber(endpoint) for endpoint in endpoints}

    def spawnProcess(  # type: ignore[override]
        self, processProtocol: ProcessProtocol, executable: Any, args: Any = (), **_: Any
    ) -> Any:
        """
        Start a worker. If that can't be, C{processProtocol} is told of its end.
        """
        child, order = self._make(processProtocol, self._order)
        pairs: list[tuple[socket.socket, socket.socket]] = []
        try:
            for _kind in ("channel", "access log"):
                pairs.append(socket.socketpair())
            (channel, theirChannel), (accessLog, theirAccessLog) = pairs
            files, sockets = self._files()
            first = max(files) + 1
            files |= {first: theirChannel.fileno(), first + 1: theirAccessLog.fileno()}
            order = evolve(order, sockets=sockets, channel=first, accessLog=first + 1)
            environment = order.environment(os.environ)
            if any(number is not None for number in self._inherited.values()):
                # The package sets the process once it is known.
                environment |= {"LISTEN_FDS": str(systemdDescriptors(os.environ)), "LISTEN_PID": "0"}
            try:
                self._reactor.spawnProcess(child, executable, args, env=environment, childFDs=files)
            except OSError as error:
                child.notStarted(error)
                return child
            self._adopt(channel, Said(child))
            self._adopt(accessLog, Logged(child))
        finally:
            for pair in pairs:
                for each in pair:
                    each.close()
        return child

    def _files(self) -> tuple[dict[int, int], dict[str, int]]:
        """
        @return: the parent's descriptors by the worker's, and the worker's by endpoint.
        """
        files = {0: 0, 1: 1, 2: 2}
        sockets = {}
        free = SYSTEMD + systemdDescriptors(os.environ)
        for endpoint, descriptor in self._sockets().items():
            number = self._inherited[endpoint]
            if number is None:
                number, free = free, free + 1
            files[number] = descriptor
            sockets[endpoint] = number
        return files, sockets

    def _adopt(self, ours: socket.socket, connection: Connection) -> None:
        ours.setblocking(False)
        self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: connection))

    def seconds(self) -> float:
        return self._reactor.seconds()  # type: ignore[no-any-return]

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        return self._reactor.callLater(delay, callable, *args, **kwargs)

    def getDelayedCalls(self) -> Any:
        return self._reactor.getDelayedCalls()
