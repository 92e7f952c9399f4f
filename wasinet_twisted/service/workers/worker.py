"""
A worker's side: what it serves on, and what it tells its parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, NoReturn

from attrs import field, frozen
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ...net import ConnectionFactory
from ...net.reactors import theReactor
from ...net.server.sharedsocket import SharedSocket
from ...server.serving import HttpServer
from ..adopting import AdoptingReactor
from ..listening import Launch
from .channel import Channel
from .scheduling import Scheduling

log = Logger()

# How often a worker tells its statistics, and how often it looks whether it has served as many requests as it should,
# in seconds.
INTERVAL = 1.0
_LOOK = 0.1


@frozen
class WorkerLaunch(Launch):
    """
    How a worker was started: its parent says why the start has failed.
    """

    channel: Channel = field(kw_only=True)

    def fail(self, error: Exception) -> NoReturn:
        self.refuse(error)

    def refuse(self, error: Exception) -> NoReturn:
        self.say(error)
        raise SystemExit(1)

    def say(self, error: object) -> None:
        self.channel.send("failed", str(error))


class Worker(Service):
    """
    Tells the parent when the app is served and how the server does, and stops when the parent says so or has gone.

    @ivar accessLog: the descriptor that access log lines are written to.
    @ivar drainIdle: the least seconds that an idle connection stays open when this worker alone ends: another one
        serves, and a client can't know that it should ask there.
    """

    drainIdle = 2.0

    def __init__(
        self,
        channel: Channel,
        sockets: dict[str, int],
        accessLog: int,
        maxRequests: int | None = None,
        *,
        givesWay: bool = True,
        reactor: Any = None,
    ) -> None:
        """
        @param sockets: the descriptors to listen on, by endpoint.
        @param maxRequests: after how many requests to ask for a successor.
        @param givesWay: may it wait for a core that is in use, when it has much to do?
        """
        self.accessLog = accessLog
        self._channel = channel
        self._sockets = sockets
        self._maxRequests = maxRequests
        self._reactor: Any = theReactor(reactor)
        self._server: HttpServer | None = None
        self._missing = 0
        self._ready = False
        self._givesWay = givesWay
        self._scheduling: Scheduling | None = None
        self._telling = self._every(self._tell)
        self._looking = self._every(self._look)
        # Nothing that the app starts is to keep these open.
        for descriptor in (accessLog, *sockets.values()):
            os.set_inheritable(descriptor, False)

    def _every(self, function: Callable[[], None]) -> LoopingCall:
        call = LoopingCall(function)
        call.clock = self._reactor
        return call

    def serves(self, server: HttpServer) -> None:
        """
        Tell the statistics of C{server}, and count its requests.
        """
        self._server = server
        self.shares(server)

    def shares(self, factory: ConnectionFactory) -> None:
        """
        Leave other workers their part of the connections.
        """
        factory.gate.share(SharedSocket)

    def expects(self, endpoints: int) -> None:
        """
        The worker is ready when it has announced so many endpoints.
        """
        self._missing += endpoints

    def announce(self, port: object) -> None:
        """
        Listening on one of the endpoints has begun.
        """
        self._missing -= 1
        if self._missing == 0:
            self._reactor.callWhenRunning(self._served)

    def asks(self) -> bool:
        """
        A signal has come that ends this process. If it serves, its parent decides: all processes of a service may have
        been sent the signal, and then they end together, or this one alone, and then another one is ready before.

        @return: does the parent?
        """
        if self._ready:
            self._channel.send("asked")
        return self._ready

    def _served(self) -> None:
        self._ready = True
        self._channel.send("ready")
        if self._givesWay:
            # What it took to start doesn't count.
            self._scheduling = Scheduling(process_time())
        self._telling.start(INTERVAL)
        if self._maxRequests is not None:
            self._looking.start(_LOOK)

    def startService(self) -> None:
        """
        Listen to the parent.
        """
        super().startService()
        self._channel.listen(self._reactor, self._received, self._stop)

    def stopService(self) -> None:
        """
        Ask for no successor any more.
        """
        super().stopService()
        if self._looking.running:
            self._looking.stop()

    def end(self) -> None:
        """
        Everything has ended: send the last figures.
        """
        if self._telling.running:
            self._telling.stop()
            self._tell()
        self._channel.flush()

    def reactorFor(self, endpoint: str) -> Any:
        """
        Return a reactor that listens on the parent's socket for this endpoint.
        """
        return AdoptingReactor(self._reactor, self._sockets[endpoint])

    def _received(self, kind: str, value: Any) -> None:
        if kind == "drain":
            if self._server is not None:
                self._server.idleAtDrain(value)
            self._stop()

    def _stop(self) -> None:
        command: Any = self.parent
        command.stop()

    def _tell(self) -> None:
        figures = {} if self._server is None else self._server.statistics.snapshot()
        cpu = process_time()
        if self._scheduling is not None:
            self._scheduling.look(cpu)
        self._channel.send("statistics", {**figures, "cpu": cpu, "memory": residentBytes()})

    def _look(self) -> None:
        assert self._server is not None
        assert self._maxRequests is not None
        if self._server.statistics.requests >= self._maxRequests:
            self._looking.stop()
            self._channel.send("worn", self._server.statistics.requests)


def residentBytes(pages: Path = Path("/proc/self/statm")) -> int | None:
    """
    Return how much memory of this process is in use, in bytes, what it shares with others included; L{None} where the
    system doesn't tell.
    """
    try:
        return int(pages.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
