"""
One HTTP server as a service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from ..server.serving import HttpServer, announceHttp
from .listening import Launch, ListeningService

log = Logger()


class HttpService(MultiService):
    """
    One HTTP server, on any number of endpoints.
    """

    def __init__(
        self,
        server: HttpServer,
        endpoints: Sequence[str],
        launch: Launch,
        reactorFor: Callable[[str], Any],
        announce: Callable[[IListeningPort], object] = announceHttp,
        stopsAfter: Callable[[], Deferred[None]] | None = None,
    ) -> None:
        """
        @param reactorFor: gives the reactor for an endpoint.
        @param announce: says in the log that the server listens on a port.
        @param stopsAfter: called at the stop. Until its Deferred fires, all goes on as before.
        """
        super().__init__()
        self.server = server
        self._stopsAfter = stopsAfter
        self._whenStopped: list[Deferred[None]] = []
        for endpoint in endpoints:
            service = ListeningService(
                endpoint, server, launch, announce=announce, ends=False, reactor=reactorFor(endpoint)
            )
            service.setServiceParent(self)

    def startService(self) -> None:
        """
        Listen, also after it has been stopped.
        """
        self.server.begin()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """
        Stop listening, and let the requests in flight be answered.
        """
        if self._stopsAfter is None:
            stopped = self._stop()
        else:
            stopped = self._stopsAfter().addCallback(lambda _: self._stop())
        return stopped.addBoth(self._stopped)

    def whenStopped(self) -> Deferred[None]:
        """
        Return what fires when the next stop is over.
        """
        self._whenStopped.append(Deferred())
        return self._whenStopped[-1]

    def _stop(self) -> Deferred[None]:
        closed: Deferred[Any] = super().stopService()
        drained = self.server.drain()
        if count := self.server.busy():
            log.info(
                "connections with requests in flight: {count}; at most {deadline} s; a second signal ends them",
                count=count,
                deadline=self.server.limits.drain,
            )
        return closed.addCallback(lambda _: drained)

    def _stopped(self, result: Any) -> Any:
        waiting, self._whenStopped = self._whenStopped, []
        for each in waiting:
            each.callback(None)
        return result

    def reload(self) -> None:
        """
        Read certificates anew.
        """
        for each in self:
            each.reload()
