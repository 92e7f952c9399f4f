"""
Starting a process with its descriptors: a worker's, or that of a template.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.protocol import ProcessProtocol

from ...net.server.endpoints import endpointFromString
from ...net.server.proxyprotocol import innermost
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


def cannotStart(error: OSError) -> str:
    """
    Return why a process can't be started.
    """
    return f"can't start {error.filename or 'it'}: {error.strerror}"


class Executing:
    """
    Starts each process anew, with its descriptors.
    """

    def __init__(self, reactor: Any, endpoints: Iterable[str], sockets: Callable[[], dict[str, int]]) -> None:
        """
        @param endpoints: what workers listen on. Nobody listens on these yet.
        @param sockets: gives the descriptors of the listening sockets, by endpoint.
        """
        self._reactor = reactor
        self._sockets = sockets
        self._inherited = {endpoint: inheritedNumber(endpoint) for endpoint in endpoints}

    def start(self, process: ProcessProtocol, order: Order, channel: socket.socket, accessLog: socket.socket) -> None:
        """
        Start a process that does what is ordered.

        @param channel: the process's end of its channel.
        @param accessLog: that of its access log.
        @raise OSError: it can't be started.
        """
        files, sockets, first = self._files()
        files |= {first: channel.fileno(), first + 1: accessLog.fileno()}
        environment = evolve(order, sockets=sockets, channel=first, accessLog=first + 1).environment(os.environ)
        if any(number is not None for number in self._inherited.values()):
            # The package sets the process once it is known.
            environment |= {"LISTEN_FDS": str(systemdDescriptors(os.environ)), "LISTEN_PID": "0"}
        command = commandOf(order)
        self._reactor.spawnProcess(process, command[0], command, env=environment, childFDs=files)

    def _files(self) -> tuple[dict[int, int], dict[str, int], int]:
        """
        @return: the parent's descriptors by the worker's, the worker's by endpoint, and its next free one.
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
        return files, sockets, free
