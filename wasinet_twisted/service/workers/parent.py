"""
The parent of workers: it opens the sockets, and what all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from ..._privates import leaveShared
from ...server.limits import ServerLimits
from ...server.readiness import Readiness
from .. import exitstatus
from ..adopting import held
from ..command import CommandService, WorkersOptions
from ..limits import raiseDescriptors
from ..listening import Launch, ListeningService
from ..stopping import SHUTDOWN_DEADLINE, drainDelay
from .crew import Crew, Keeping
from .order import orderOf

log = Logger()

Announce = Callable[[IListeningPort], object]

# What a worker may take to end beyond the limit C{drain} and what the app has to do then, in seconds.
_SPARE = 10.0


class WorkersService(CommandService):
    """
    The parent.

    @ivar crew: its workers.
    @ivar readiness: does at least one of them want requests?
    """

    def __init__(
        self,
        options: WorkersOptions,
        announcements: Mapping[str, Announce],
        limits: ServerLimits,
        drainDelay: float = 0.0,
        *,
        reactor: Any = None,
    ) -> None:
        """
        @param announcements: what workers listen on, and what says in the log that this is so.
        @param limits: the workers' bounds.
        @param drainDelay: for how many seconds the workers go on to serve at the stop.
        """
        launch = Launch.fromOptions(options)
        super().__init__(launch, reactor=reactor)
        exitstatus.prepare()
        # Of each worker there are two channels, and two more that wait with it to be started.
        raiseDescriptors(self._reactor)
        self.logTo(options)
        self._announcements = dict(announcements)
        keeping = Keeping(
            count=options["workers"],
            maxRequests=options["max-requests"],
            pin=bool(options["pin"]),
            drainIdle=limits.drainIdle,
            killTime=limits.drain + SHUTDOWN_DEADLINE + _SPARE,
        )
        givesWay = options["scheduling"] != "normal"
        preload = bool(options["preload"])
        order = orderOf(launch.command, options.arguments, self._reactor, givesWay=givesWay, preload=preload)
        sockets = Sockets(list(announcements), launch, self._reactor)
        self.crew = Crew(
            keeping,
            order,
            list(announcements),
            sockets.descriptors,
            write=self._write,
            begun=self._begun,
            failed=self._failed,
            changed=self._changed,
            reactor=self._reactor,
        )
        self._sockets = sockets
        self._hasFailed = False
        self._signals.atEnd = self.crew.kill
        self.readiness = Readiness()
        self._service = CrewService(self.crew, sockets, self.readiness, drainDelay, self._reactor)
        self._service.setServiceParent(self)

    def whenServed(self) -> Deferred[None]:
        """
        Return what fires when the workers have ended, at the next stop.
        """
        return self._service.whenStopped()

    def _write(self, lines: Sequence[bytes]) -> None:
        if self._accessLog is not None and self._accessLog.log is not None:
            self._accessLog.log.relay(lines)

    def _begun(self) -> None:
        for service in self._sockets:
            if service.port is not None:
                self._announcements[service.endpoint](service.port)

    def _changed(self) -> None:
        if self.readiness.state != "draining":
            self.readiness.state = "ready" if self.crew.isReady() else "starting"

    def _failed(self, reason: str) -> None:
        # The others fail of the same, most likely: it is said once.
        if self.running and not self._hasFailed:
            self._hasFailed = True
            exitstatus.fail()
            self.launch.say(reason)
            self.stop()

    def reload(self) -> None:
        """
        Open the access log anew, and replace the workers.
        """
        super().reload()
        self.crew.roll()


class Sockets(MultiService):
    """
    The sockets that the parent opens and nobody accepts from but the workers.
    """

    def __init__(self, endpoints: Sequence[str], launch: Launch, reactor: Any) -> None:
        super().__init__()
        for endpoint in endpoints:
            held(endpoint, launch, reactor, self._opened).setServiceParent(self)

    def _opened(self, port: IListeningPort) -> None:
        leaveShared(port)

    def descriptors(self) -> dict[str, int]:
        """
        Return their descriptors, by endpoint.
        """
        services: list[ListeningService] = list(self)
        return {each.endpoint: each.port.fileno() for each in services if each.port is not None}  # type: ignore[attr-defined]


class CrewService(MultiService):
    """
    Starts the workers when their sockets are there, and closes the sockets when they are to end.
    """

    def __init__(self, crew: Crew, sockets: Sockets, readiness: Readiness, drainDelay: float, reactor: Any) -> None:
        super().__init__()
        self._crew = crew
        self._readiness = readiness
        self._drainDelay = drainDelay
        self._reactor = reactor
        self._whenStopped: list[Deferred[None]] = []
        sockets.setServiceParent(self)

    def startService(self) -> None:
        """
        Start the workers once the reactor runs.
        """
        super().startService()
        self._reactor.callWhenRunning(self._crew.start)

    def stopService(self) -> Deferred[Any]:
        """
        Listen no more, and let the workers end.
        """
        delay = self._drainDelay if self._readiness.isReady() else 0.0
        self._readiness.state = "draining"
        self._crew.stay()
        return drainDelay(delay, self._reactor).addCallback(lambda _: self._stop()).addBoth(self._stopped)

    def whenStopped(self) -> Deferred[None]:
        """
        Return what fires when the next stop is over.
        """
        self._whenStopped.append(Deferred())
        return self._whenStopped[-1]

    def _stop(self) -> Deferred[Any]:
        closed: Deferred[Any] = super().stopService()
        ended = self._crew.stop()
        return closed.addCallback(lambda _: ended)

    def _stopped(self, result: Any) -> Any:
        waiting, self._whenStopped = self._whenStopped, []
        for each in waiting:
            each.callback(None)
        return result
