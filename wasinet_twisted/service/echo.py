"""
C{twistd wasinet-echo}: the article's two echo servers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.usage import UsageError

from ..errors import ConnectionClosed
from ..http import WasiResponse
from ..net import ConnectionFactory, WasiTcpConn
from ..server.limits import ServerLimits
from ..server.request import Request
from ..server.serving import HttpServer, announceHttp
from ..server.urls import urlOf
from .command import CommandService, WorkersOptions
from .endpoints import checkEndpoint
from .limits import raiseDescriptors, withinDescriptors
from .listening import Launch, ListeningService
from .standardoutput import neverBlock
from .workers.parent import Announce, WorkersService

log = Logger()

DEFAULT_HTTP = "tcp:8000"
DEFAULT_TCP = "tcp:8001"

# An echo takes no time: when the service stops, only those are waited for who are in the midst of sending.
LIMITS = ServerLimits(drain=1.0)


class Options(WorkersOptions):
    """
    The options of C{wasinet-echo}.
    """

    command = "wasinet-echo"
    synopsis = "[options]"
    longdesc = (
        "Answers HTTP requests with 'echo:' and their body (tcp:8000), and TCP data with 'echo:' and what each read "
        "brought (tcp:8001). Naming endpoints of one kind only starts only that kind."
    )

    def __init__(self) -> None:
        super().__init__()
        self["http"] = []
        self["tcp"] = []

    def opt_http(self, endpoint: str) -> None:
        """
        Serve HTTP at this port, address (127.0.0.1:8000) or Twisted endpoint. May be repeated.
        """
        self["http"].append(checkEndpoint("http", endpoint))

    def opt_tcp(self, endpoint: str) -> None:
        """
        Serve TCP at this port, address or Twisted endpoint. May be repeated.
        """
        self["tcp"].append(checkEndpoint("tcp", endpoint))

    def postOptions(self) -> None:
        """
        Both kinds at their usual ports, unless endpoints were named.
        """
        if not self["http"] and not self["tcp"]:
            self["http"] = [DEFAULT_HTTP]
            self["tcp"] = [DEFAULT_TCP]
        if self["access-log"] is not None and not self["http"]:
            raise UsageError("--access-log: there is no HTTP endpoint whose requests could be logged")
        if self["max-requests"] is not None and not self["http"]:
            raise UsageError("--max-requests: there is no HTTP endpoint whose requests could be counted")
        super().postOptions()

    def endpoints(self) -> Iterable[tuple[str, str]]:
        """
        See L{WorkersOptions.endpoints}.
        """
        return [(kind, endpoint) for kind in ("http", "tcp") for endpoint in self[kind]]


async def echoHttp(request: Request) -> WasiResponse:
    """
    The HTTP echo's answer.
    """
    # As plain text, so that no browser takes what was sent for a page of ours.
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return WasiResponse(headers=headers, body=b"echo:" + await request.read())


async def echoTcp(conn: WasiTcpConn) -> None:
    """
    The TCP echo.
    """
    try:
        async for data in conn:
            await conn.write(b"echo:" + data)
    except ConnectionClosed as error:
        # Peers do reset: that is worth a line, and no traceback.
        log.info("{error}", error=error)


def announceTcp(port: IListeningPort) -> None:
    """
    Say in the log that the TCP echo listens on C{port}.
    """
    log.info("listening on {url}", url=urlOf(port, "tcp"))


class EchoService(CommandService):
    """
    Both echo servers and the access log.
    """

    def __init__(self, options: Options, *, reactor: Any = None) -> None:
        worker = options.worker
        super().__init__(Launch.fromOptions(options), worker=worker, reactor=reactor)
        self.logTo(options)
        limits = withinDescriptors(LIMITS, raiseDescriptors(self._reactor))
        announcesHttp, announcesTcp, reactorFor = announceHttp, announceTcp, (lambda _: self._reactor)
        if worker is not None:
            announcesHttp = announcesTcp = worker.announce
            reactorFor = worker.reactorFor
            worker.expects(len(options["http"]) + len(options["tcp"]))
        if options["http"]:
            server = HttpServer(echoHttp, limits=limits, reactor=reactor)
            if worker is not None:
                worker.serves(server)
            self.serveHttp(server, options["http"], announce=announcesHttp, reactorFor=reactorFor)
        for endpoint in options["tcp"]:
            factory = ConnectionFactory(echoTcp, reactor=reactor)
            if worker is not None:
                worker.shares(factory)
            service = ListeningService(
                endpoint, factory, self.launch, announce=announcesTcp, reactor=reactorFor(endpoint)
            )
            service.setServiceParent(self)


def preload(_: Options) -> None:
    """
    There is no app to import.
    """


def makeService(options: Options) -> IService:
    """
    What twistd and twist call.
    """
    neverBlock(options)
    if options["workers"] is not None and options.worker is None:
        announcements: dict[str, Announce] = dict.fromkeys(options["http"], announceHttp)
        return WorkersService(options, {**announcements, **dict.fromkeys(options["tcp"], announceTcp)}, LIMITS)
    return EchoService(options)
