"""
What the commands that serve an app by HTTP share: their options, and the app's service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.usage import UsageError

from ..errors import InvalidArgument
from ..server.limits import DEFAULT_SERVER_LIMITS, ServerLimits
from ..server.readiness import Readiness
from ..server.serving import Handler, HttpServer, announceHttp
from ..server.statistics import Statistics
from ..server.statushost import checkName
from ..server.urls import isLoopback, urlOf
from .app import AppFailed, appFiles
from .command import CommandService, WorkersOptions
from .endpoints import checkEndpoint, namesOf, onLoopback
from .limits import limitsByName, raiseDescriptors, secondsOf, withinDescriptors, withLimit
from .listening import Launch
from .reloading import WORKER_DRAIN, Reported, Supervisor, commandAgain, reported
from .standardoutput import neverBlock
from .stopping import SHUTDOWN_DEADLINE, drainDelay
from .tracing import checkTracing, tracingOf
from .workers.parent import WorkersService

log = Logger()

DEFAULT_LISTEN = "tcp:8080"

# Of the status pages; they are for a few who look.
STATUS_LIMITS = replace(DEFAULT_SERVER_LIMITS, connections=16, drain=1.0)


class ServingOptions(WorkersOptions):
    """
    What each of these commands has, beside its app.

    @cvar example: what an app is called.
    """

    example = "handler"

    optParameters: ClassVar = [
        [
            "request-id",
            None,
            None,
            "Give each request an id: the client's in this field, such as X-Request-Id, or a new one.",
        ],
    ]
    optFlags: ClassVar = [
        ["reload", None, "For development: start anew when a file of the app changes."],
        ["trace", None, "Take the trace that a request belongs to (traceparent) or begin one, and pass it on."],
        ["fresh-ids", None, "Make request ids and traces anew, whatever the client has sent."],
        ["otel", None, "Make OpenTelemetry's spans of requests and fetches; the app says where to these go."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["status"] = []
        self["status-host"] = []
        self["limits"] = DEFAULT_SERVER_LIMITS
        self["drain-delay"] = 0.0

    def parseArgs(self, *arguments: str) -> None:
        """
        Refuse what is no option.
        """
        if arguments:
            raise UsageError(f"{arguments[0]!r} is no option; --app names the {self.example}")

    def endpoints(self) -> Iterable[tuple[str, str]]:
        """
        See L{WorkersOptions.endpoints}.
        """
        return [("listen", each) for each in self["listen"]]

    def opt_listen(self, endpoint: str) -> None:
        """
        Serve at this port, address (127.0.0.1:8080) or Twisted endpoint. May be repeated.
        """
        self["listen"].append(checkEndpoint("listen", endpoint))

    def opt_status(self, endpoint: str) -> None:
        """
        Show how the server does, at this endpoint; on 127.0.0.1 unless it names an interface. May be repeated.
        """
        self["status"].append(onLoopback("status", checkEndpoint("status", endpoint)))

    def opt_status_host(self, name: str) -> None:
        """
        Let the status page answer to this host name, beside localhost and IP addresses. May be repeated.
        """
        try:
            self["status-host"].append(checkName(name))
        except InvalidArgument as error:
            raise UsageError(f"--status-host: {error}") from None

    def opt_limits(self, text: str) -> None:
        """
        Set a bound: name=value, such as head=5 or message.body=10000000. May be repeated.
        """
        try:
            self["limits"] = withLimit(self["limits"], text)
        except InvalidArgument as error:
            raise UsageError(f"--limits {text}: {error}") from None

    def opt_drain_delay(self, text: str) -> None:
        """
        At SIGTERM, go on to serve for so many seconds while /readyz of the status page says 503. Then stop listening.
        """
        try:
            self["drain-delay"] = secondsOf(text)
        except InvalidArgument as error:
            raise UsageError(f"--drain-delay: {error}") from None

    def postOptions(self) -> None:
        """
        The usual port, unless endpoints were named.
        """
        if self["app"] is None:
            raise UsageError(f"--app: it must be named, as package.module:{self.example}")
        if self["status-host"] and not self["status"]:
            raise UsageError("--status-host: there is no --status page that could answer to it")
        checkTracing(self)
        if not self["listen"]:
            self["listen"] = [DEFAULT_LISTEN]
        if self["reload"]:
            if self["workers"] is not None:
                raise UsageError("--reload: it is for development, with one process; leave out --workers")
            if Launch.fromOptions(self).daemon:
                raise UsageError("--reload: it is for development, not for a daemon; run twistd with -n")
            for endpoint in (*self["listen"], *self["status"]):
                if "systemd:" in endpoint:
                    raise UsageError(f"--reload: the socket of {endpoint} can't be handed on")
        super().postOptions()


def announceStatus(port: IListeningPort) -> None:
    """
    Say in the log where the status page is, and who can read it.
    """
    url = urlOf(port, "http")
    address = port.getHost()
    if isLoopback(port):
        assert isinstance(address, IPv4Address | IPv6Address)
        log.info(
            "the status page is at {url}; it has no authentication; it listens on {host} only",
            url=url,
            host=address.host,
        )
    elif isinstance(address, UNIXAddress):
        log.info("the status page is at {url}; it has no authentication; the mode of the socket protects it", url=url)
    else:
        log.warn("the status page is at {url}; it has no authentication; everybody who reaches it can read it", url=url)


class HttpAppService(CommandService):
    """
    The app's server, its status pages, and the access log.

    @ivar server: the app's.
    @ivar readiness: what C{/readyz} tells.
    """

    def __init__(
        self,
        options: ServingOptions,
        handler: Handler,
        worker: Reported | None = None,
        *,
        shutdown: Callable[[], Any] | None = None,
        reactor: Any = None,
    ) -> None:
        """
        @param worker: if it is restarted by a parent.
        @param shutdown: the app's function to call at the end.
        """
        member = options.worker
        super().__init__(Launch.fromOptions(options), worker=member, reactor=reactor)
        self._member = member
        self.logTo(options)
        limits = withinDescriptors(options["limits"], raiseDescriptors(self._reactor))
        reactorFor = None if member is None else member.reactorFor
        if worker is not None:
            limits = replace(limits, drain=min(limits.drain, WORKER_DRAIN))
            worker.setServiceParent(self)
            reactorFor = worker.reactorFor
        if shutdown is not None:
            self.atStop(shutdown, SHUTDOWN_DEADLINE if worker is None else WORKER_DRAIN)
        self.server = server = HttpServer(handler, limits=limits, tracing=tracingOf(options), reactor=reactor)
        if member is not None:
            member.serves(server)
            member.expects(len(options["listen"]))
        self.readiness = Readiness()
        # A developer who edits a file waits for no load balancer; workers end when their parent has waited.
        self._drainDelay: float = options["drain-delay"] if worker is None and member is None else 0.0
        # How many endpoints are not listened on yet.
        self._unannounced = self._endpoints = len(options["listen"])
        served = self.serveHttp(
            server, options["listen"], announce=self.announce, reactorFor=reactorFor, stopsAfter=self._drains
        )
        if options["status"] and member is None:
            pages = statusServer(options, server.statistics, limits, self.readiness, reactor=reactor)
            self.serveHttp(
                pages,
                options["status"],
                logged=False,
                announce=announceStatus,
                reactorFor=reactorFor,
                # Load balancers and whoever watches ask until the last request has been answered.
                stopsAfter=served.whenStopped,
            )

    def privilegedStartService(self) -> None:
        """
        See L{CommandService.privilegedStartService}.
        """
        self._begin()
        super().privilegedStartService()

    def startService(self) -> None:
        """
        See L{CommandService.startService}.
        """
        self._begin()
        super().startService()

    def _begin(self) -> None:
        if self.readiness.state == "draining":
            self.readiness.state = "starting"
            self._unannounced = self._endpoints

    def announce(self, port: IListeningPort) -> None:
        """
        Say in the log that the app is served on C{port}; a worker tells its parent. With the last one, the server is
        ready.
        """
        if self._member is None:
            announceHttp(port)
        else:
            self._member.announce(port)
        self._unannounced -= 1
        if self._unannounced == 0 and self.readiness.state == "starting":
            self.readiness.state = "ready"

    def _drains(self) -> Deferred[None]:
        delay = self._drainDelay if self.readiness.isReady() else 0.0
        self.readiness.state = "draining"
        return drainDelay(delay, self._reactor)


def statusServer(
    options: ServingOptions,
    statistics: Statistics,
    limits: ServerLimits,
    readiness: Readiness,
    workers: Callable[[], list[dict[str, Any]]] | None = None,
    *,
    reactor: Any = None,
) -> HttpServer:
    """
    Return the server of the status pages.
    """
    from ..server.status import StatusApp

    hosts = [*options["status-host"], *namesOf(options["status"])]
    page = StatusApp(statistics, limitsByName(limits), hosts=hosts, readiness=readiness, workers=workers)
    return HttpServer(page, limits=STATUS_LIMITS, reactor=reactor)


def parentOf(options: ServingOptions, *, reactor: Any = None) -> WorkersService:
    """
    Return the parent of workers that serve the app, with the status pages of all of them.
    """
    parent = WorkersService(
        options,
        dict.fromkeys(options["listen"], announceHttp),
        options["limits"],
        options["drain-delay"],
        reactor=reactor,
    )
    if options["status"]:
        pages = statusServer(
            options,
            parent.crew.totals.statistics,
            options["limits"],
            parent.readiness,
            parent.crew.rows,
            reactor=reactor,
        )
        stopsAfter = parent.whenServed
        parent.serveHttp(pages, options["status"], logged=False, announce=announceStatus, stopsAfter=stopsAfter)
    return parent


def serviceOf(options: ServingOptions, make: Callable[[Reported | None], IService]) -> IService:
    """
    Return what twistd and twist run.

    @param make: loads the app and makes its service, for a parent that restarts it, or for none. It may raise
        L{AppFailed}.
    """
    if options["workers"] is not None and options.worker is None:
        neverBlock(options)
        return parentOf(options)
    launch = Launch.fromOptions(options)
    worker = reported() if options["reload"] else None
    if options["reload"] and worker is None:
        pidFile = "pidfile" in (getattr(options, "parent", None) or {})
        command = commandAgain(options.arguments, pidFile=pidFile)
        return Supervisor(launch, [*options["listen"], *options["status"]], command)
    neverBlock(options)
    try:
        return make(worker)
    except AppFailed as error:
        if worker is not None:
            worker.report(error.files | appFiles())
        launch.refuse(error)
