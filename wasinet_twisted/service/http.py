"""
C{twistd wasinet-http}: serves an app of the user's by HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import TCP6ServerEndpoint
from twisted.python.usage import UsageError

from .._privates import interfaceOf
from ..errors import InvalidArgument, NotSupported
from ..net.server.endpoints import endpointFromString
from ..net.server.proxyprotocol import innermost
from ..server.limits import DEFAULT_SERVER_LIMITS
from ..server.serving import Handler, HttpServer
from .app import AppFailed, appFiles, loadApp
from .command import CommandOptions, CommandService
from .limits import limitsByName, raiseDescriptors, withinDescriptors, withLimit
from .listening import Launch, checkEndpoint
from .reloading import WORKER_DRAIN, Reported, Supervisor, commandAgain, reported
from .standardoutput import neverBlock

DEFAULT_LISTEN = "tcp:8080"

# Of the status pages; they are for a few who look.
STATUS_LIMITS = replace(DEFAULT_SERVER_LIMITS, connections=16, drain=1.0)


class Options(CommandOptions):
    """
    The options of C{wasinet-http}.
    """

    command = "wasinet-http"
    synopsis = "--app package.module:handler [options]"
    longdesc = (
        "Serves HTTP/1.1 (tcp:8080) by a handler: a function, async or not, that takes a request and gives a response. "
        "It is imported from the current directory too."
    )
    optParameters: ClassVar = [
        ["app", None, None, "The handler, as package.module:name."],
    ]
    optFlags: ClassVar = [
        ["reload", None, "For development: start anew when a file of the app changes."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["status"] = []
        self["limits"] = DEFAULT_SERVER_LIMITS
        self.arguments: list[str] = []

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse them, and keep them for C{--reload}.
        """
        self.arguments = list(options or ())
        super().parseOptions(options)

    def opt_listen(self, endpoint: str) -> None:
        """
        Serve at this Twisted endpoint, such as tcp:8080:interface=127.0.0.1. May be repeated.
        """
        self["listen"].append(checkEndpoint("listen", endpoint))

    def opt_status(self, endpoint: str) -> None:
        """
        Show how the server does, at this endpoint; on 127.0.0.1 unless it names an interface. May be repeated.
        """
        try:
            self["status"].append(onLoopback(checkEndpoint("status", endpoint)))
        except NotSupported as error:
            raise UsageError(f"--status: {endpoint}: {error}") from None

    def opt_limits(self, text: str) -> None:
        """
        Set a bound: name=value, such as head=5 or message.body=10000000. May be repeated.
        """
        try:
            self["limits"] = withLimit(self["limits"], text)
        except InvalidArgument as error:
            raise UsageError(f"--limits {text}: {error}") from None

    def postOptions(self) -> None:
        """
        The usual port, unless endpoints were named.
        """
        if self["app"] is None:
            raise UsageError("--app: it must be named, as package.module:handler")
        if not self["listen"]:
            self["listen"] = [DEFAULT_LISTEN]
        if self["reload"]:
            if Launch.fromOptions(self).daemon:
                raise UsageError("--reload: it is for development, not for a daemon; run twistd with -n")
            for endpoint in (*self["listen"], *self["status"]):
                if "systemd:" in endpoint:
                    raise UsageError(f"--reload: the socket of {endpoint} can't be handed on")
        super().postOptions()


def onLoopback(text: str) -> str:
    """
    The same endpoint; if it is of TCP and names no interface, on the loopback one only.

    @raise NotSupported: there is no telling which interface it listens on.
    """
    if ":interface=" in text:
        return text
    endpoint = innermost(endpointFromString(None, text))
    if interfaceOf(endpoint) not in ("", "::"):
        return text
    return text + (r":interface=\:\:1" if isinstance(endpoint, TCP6ServerEndpoint) else ":interface=127.0.0.1")


class HttpAppService(CommandService):
    """
    The app's server, its status pages, and the access log.
    """

    def __init__(
        self, options: Options, handler: Handler, worker: Reported | None = None, *, reactor: Any = None
    ) -> None:
        """
        @param worker: if it is restarted by a parent.
        """
        super().__init__(Launch.fromOptions(options), reactor=reactor)
        self.logTo(options)
        limits = withinDescriptors(options["limits"], raiseDescriptors(self._reactor))
        reactorFor = None
        if worker is not None:
            limits = replace(limits, drain=min(limits.drain, WORKER_DRAIN))
            worker.setServiceParent(self)
            reactorFor = worker.reactorFor
        server = HttpServer(handler, limits=limits, reactor=reactor)
        self.serveHttp(server, options["listen"], reactorFor=reactorFor)
        if options["status"]:
            from ..server.status import StatusApp

            pages = HttpServer(
                StatusApp(server.statistics, limitsByName(limits)), limits=STATUS_LIMITS, reactor=reactor
            )
            self.serveHttp(pages, options["status"], logged=False, reactorFor=reactorFor)


def makeService(options: Options) -> IService:
    """
    What twistd and twist call.
    """
    launch = Launch.fromOptions(options)
    worker = reported() if options["reload"] else None
    if options["reload"] and worker is None:
        pidFile = "pidfile" in (getattr(options, "parent", None) or {})
        command = commandAgain(options.arguments, pidFile=pidFile)
        return Supervisor(launch, [*options["listen"], *options["status"]], command)
    neverBlock(options)
    try:
        handler = loadApp(options["app"])
    except AppFailed as error:
        if worker is not None:
            worker.report(error.files | appFiles())
        launch.refuse(error)
    return HttpAppService(options, handler, worker)
