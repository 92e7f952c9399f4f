"""
What each command's service is made of: its servers, their access log, and what signals do to them.
"""

from __future__ import annotations

import select
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.usage import Options, UsageError

from ..net.reactors import theReactor
from ..server.accesslog import FORMATS, AccessLog
from ..server.serving import HttpServer, announceHttp
from .httpservice import HttpService
from .listening import Launch, ListeningService
from .servicelog import checkLog
from .signals import Signals
from .stopping import shutDown
from .versions import versionLine
from .workers.options import checkCount, checkMaxRequests, checkShared, cores
from .workers.worker import Worker

log = Logger()


class AccessLogService(Service):
    """
    Opens the access log when the service starts and closes it when everything else has stopped.

    @ivar log: L{None} while it isn't open.
    """

    def __init__(
        self,
        path: str,
        launch: Launch,
        *,
        format: str = "combined",
        descriptor: int | None = None,
        reactor: Any = None,
    ) -> None:
        """
        @param descriptor: see L{AccessLog}.
        """
        self._path = path
        self._launch = launch
        self._format = format
        self._descriptor = descriptor
        self._reactor = reactor
        self._servers: list[HttpServer] = []
        self.log: AccessLog | None = None

    def serve(self, server: HttpServer) -> None:
        """
        Log what C{server} answers.
        """
        self._servers.append(server)
        server.accessLog = self.log

    def privilegedStartService(self) -> None:
        """
        Open it, before connections can come. twist doesn't call this.
        """
        super().privilegedStartService()
        self._open()

    def startService(self) -> None:
        """
        Open it, if nobody has yet.
        """
        super().startService()
        if self.log is None:
            self._open()

    def _open(self) -> None:
        try:
            self.log = AccessLog(self._path, format=self._format, descriptor=self._descriptor, reactor=self._reactor)
        except OSError as error:
            self._launch.fail(OSError(f"can't write the access log {self._path}: {error.strerror}"))
        self._set(self.log)

    def _set(self, log: AccessLog | None) -> None:
        for server in self._servers:
            server.accessLog = log

    def reload(self) -> None:
        """
        Open it by its name anew.
        """
        if self.log is not None:
            self.log.reopen()

    def close(self, result: Any) -> Any:
        """
        Close it, and pass C{result} on.
        """
        if self.log is not None:
            self._set(None)
            self.log.close()
            self.log = None
        return result


class CommandService(MultiService):
    """
    All of a command's servers, which start and stop together.

    @ivar launch: how it was started.
    """

    def __init__(
        self, launch: Launch, *, reloads: bool = True, worker: Worker | None = None, reactor: Any = None
    ) -> None:
        """
        @param reloads: does SIGHUP mean to reload?
        @param worker: if this is a worker: it is to its parent that others send signals.
        """
        super().__init__()
        self.launch = launch
        self._reactor: Any = theReactor(reactor)
        self._accessLog: AccessLogService | None = None
        self._shutdown: tuple[Callable[[], Any], float] | None = None
        if worker is None:
            self._signals = Signals(launch, self.reload if reloads else None, self._reactor)
        else:
            self._signals = Signals(launch, None, self._reactor, stops=[signal.SIGTERM], asks=worker.asks)
            worker.setServiceParent(self)

    def logTo(self, options: CommandOptions) -> None:
        """
        Have an access log, if C{options} want one. It is for the servers that are added after this.
        """
        if options["access-log"] is not None:
            format = options["access-log-format"] or "combined"
            worker: Worker | None = options.worker
            self._accessLog = AccessLogService(
                options["access-log"],
                self.launch,
                format=format,
                descriptor=None if worker is None else worker.accessLog,
                reactor=self._reactor,
            )
            self._accessLog.setServiceParent(self)

    def serveHttp(
        self,
        server: HttpServer,
        endpoints: Sequence[str],
        *,
        logged: bool = True,
        announce: Callable[[IListeningPort], object] = announceHttp,
        reactorFor: Callable[[str], Any] | None = None,
        stopsAfter: Callable[[], Deferred[None]] | None = None,
    ) -> HttpService:
        """
        Serve HTTP on all of these.

        @param announce: says in the log that the server listens on a port.
        @param reactorFor: gives the reactor for an endpoint, if that is another.
        @param stopsAfter: see L{HttpService}.
        """
        if logged and self._accessLog is not None:
            self._accessLog.serve(server)
        service = HttpService(
            server, endpoints, self.launch, reactorFor or (lambda _: self._reactor), announce, stopsAfter
        )
        service.setServiceParent(self)
        return service

    def setServiceParent(self, parent: Any) -> None:
        """
        Become the service of twistd's application, and have that log as the options say. twist doesn't call this.
        """
        self.launch.observe(parent)
        super().setServiceParent(parent)

    def atStop(self, function: Callable[[], Any], deadline: float) -> None:
        """
        Call C{function} at the stop, when the requests in flight have been answered.

        @param deadline: seconds that it may take.
        """
        self._shutdown = function, deadline

    def privilegedStartService(self) -> None:
        """
        Start what needs privileges. twist doesn't call this.
        """
        self._signals.installReload()
        super().privilegedStartService()

    def startService(self) -> None:
        """
        Start all, and honour signals once the reactor does.
        """
        self._signals.installReload()
        super().startService()
        self._reactor.callWhenRunning(self._signals.install)

    def stopService(self) -> Any:
        """
        Stop all servers, then what the app has of its own, then the log.
        """
        self._signals.stopping()
        stopped = super().stopService()
        if self._shutdown is not None:
            function, deadline = self._shutdown
            stopped.addBoth(lambda _: shutDown(function, deadline, self._reactor))
        return stopped if self._accessLog is None else stopped.addBoth(self._accessLog.close)

    def stop(self) -> None:
        """
        End the process as SIGTERM does, unless it ends already.
        """
        self._signals.stop()

    def reload(self) -> None:
        """
        Read anew what may have been exchanged: certificates and log files.
        """
        for each in self:
            if isinstance(each, (AccessLogService, HttpService, ListeningService)):
                each.reload()


class CommandOptions(Options):
    """
    What every command has. A subclass's C{postOptions} calls this one's last.
    """

    optParameters: ClassVar = [
        ["access-log", None, None, "Write a line for each HTTP request to this file, or to the standard output (-)."],
        ["access-log-format", None, None, "combined, as Apache has it (the default), or json, an object a line."],
        [
            "log-format",
            None,
            None,
            "The log of the service itself: text, as Twisted has it, or json, an object a line.",
        ],
    ]
    optFlags: ClassVar = [
        ["asyncio", None, "Run on the reactor for asyncio programs: the app may use asyncio and its libraries."],
    ]

    # Of a worker, set by what starts it.
    worker: Worker | None = None
    launch: Launch | None = None

    def __init__(self) -> None:
        super().__init__()
        self.arguments: list[str] = []

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse them. Below twistd or twist, a wrong one is one line on the standard error and status 1: these print all
        their options as well.
        """
        self.arguments = list(options or ())
        try:
            super().parseOptions(options)
        except UsageError as error:
            if getattr(self, "parent", None) is None:
                raise
            command = self.command  # type: ignore[attr-defined]
            print(f"{command}: {' '.join(str(error).split())} (see {command} --help)", file=sys.stderr)
            raise SystemExit(1) from None

    def opt_version(self) -> None:
        """
        Show the versions of this package and of Twisted, and whether the compiled twins are used, and exit.
        """
        print(versionLine())
        raise SystemExit(0)

    def postOptions(self) -> None:
        """
        The access log's, and the reactor.
        """
        self._checkAccessLog()
        checkLog(self)
        if getattr(self, "parent", None) is not None:
            # Without twistd or twist above them, it's for whoever parses them to choose.
            installReactor(forAsyncio=self.isForAsyncio())

    def isForAsyncio(self) -> bool:
        """
        Does what the command runs need an asyncio event loop? A command whose apps always do says so here.
        """
        return bool(self["asyncio"])

    def _checkAccessLog(self) -> None:
        path, format = self["access-log"], self["access-log-format"]
        if format is not None and format not in FORMATS:
            raise UsageError(f"--access-log-format: there are {' and '.join(FORMATS)}, not {format!r}")
        if format is not None and path is None:
            raise UsageError("--access-log-format: there is no --access-log whose format it could be")
        if path == "-" and Launch.fromOptions(self).daemon:
            raise UsageError("--access-log: a daemon has no standard output; give a file, or run twistd with -n")


class WorkersOptions(CommandOptions):
    """
    What a command has that can serve by several processes.
    """

    optParameters: ClassVar = [
        ["workers", None, None, "Serve by so many processes; auto: one for each processor."],
        [
            "max-requests",
            None,
            None,
            "Replace a worker after so many requests and up to a tenth more; 1000:50: up to 50 more.",
        ],
        [
            "scheduling",
            None,
            None,
            "When a worker gets a core that is in use. normal: at once, as other programs do; auto: if it has much to"
            " do, when whoever runs has had its turn. [default: auto]",
        ],
    ]
    optFlags: ClassVar = [
        ["pin", None, "Keep each worker on a processor core of its own."],
        ["preload", None, "Import the app once, before the workers are forked: they share its memory."],
    ]

    def postOptions(self) -> None:
        """
        The workers', and what every command has.
        """
        self._checkWorkers()
        super().postOptions()

    def endpoints(self) -> Iterable[tuple[str, str]]:
        """
        Return what is listened on for clients, with the name of the option that says so.
        """
        return ()

    def _checkWorkers(self) -> None:
        count, requests = self["workers"], self["max-requests"]
        if count is None:
            for option in ("max-requests", "pin", "preload", "scheduling"):
                if self[option]:
                    raise UsageError(f"--{option}: it is for workers, and there is no --workers")
            return
        self["workers"] = checkCount(count)
        if requests is not None:
            self["max-requests"] = checkMaxRequests(requests)
        if self["scheduling"] not in (None, "auto", "normal"):
            raise UsageError(f"--scheduling: it must be auto or normal, not {self['scheduling']!r:.100}")
        if self["pin"] and not cores():
            raise UsageError("--pin: this system doesn't keep processes on processor cores")
        for option, endpoint in self.endpoints():
            checkShared(option, endpoint)


def installReactor(*, forAsyncio: bool = False) -> None:
    """
    Install a reactor of this package, unless there is one already.

    Where epoll is missing, twistd and twist install Twisted's default later; for asyncio programs, Twisted's
    C{AsyncioSelectorReactor} is installed here.

    @param forAsyncio: is it to run an asyncio event loop?
    @raise UsageError: the reactor can't be imported.
    """
    # twistd and twist install what --reactor names while they parse it, which is before they come to the command.
    if "twisted.internet.reactor" in sys.modules:
        return
    if not hasattr(select, "epoll"):
        if forAsyncio:
            from twisted.internet.asyncioreactor import install as installTwisteds

            installTwisteds()
        return
    try:
        if forAsyncio:
            from ..reactor.asyncio import install as installAsyncio

            installAsyncio()
        else:
            from ..reactor import install as installEpoll

            installEpoll()
    except ImportError as error:
        # Its compiled twin can't be used, and WASINET_SPEED=yes.
        raise UsageError(str(error)) from error
