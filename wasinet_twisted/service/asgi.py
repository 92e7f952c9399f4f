"""
C{twistd wasinet-asgi}: serves an ASGI app of the user's.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from ..asgi.app import MODES, SHUTDOWN_DEADLINE, AsgiApp, checkApp, isApp
from ..asgi.interfaces import App
from ..asgi.lifespan import StartupFailed
from ..asgi.proxies import TrustedProxies
from ..asgi.scope import checkRootPath
from ..errors import InvalidArgument
from . import exitstatus
from .app import AppFailed, load, reasonOf
from .httpserving import HttpAppService, ServingOptions, serviceOf
from .reloading import WORKER_DRAIN, Reported

log = Logger()

# What --proxy-headers trusts: a proxy on this machine.
LOCAL_PROXIES = ("127.0.0.1", "::1", "unix")

# What an app that was cancelled at its shutdown may take beyond its deadline, and a little more.
_CANCELLED = 2.0


class Options(ServingOptions):
    """
    The options of C{wasinet-asgi}.
    """

    command = "wasinet-asgi"
    example = "app"
    synopsis = "--app package.module:app [options]"
    longdesc = (
        "Serves an ASGI 3 app by HTTP/1.1 and WebSocket (tcp:8080): Starlette's, FastAPI's, Quart's, Django's. "
        "It is imported from the current directory too, and runs on asyncio's event loop."
    )
    optParameters: ClassVar = [
        ["app", None, None, "The ASGI app, as package.module:name."],
        ["root-path", None, "", "Where a proxy has mounted the app, such as /shop, if it takes that off the path."],
        [
            "lifespan",
            None,
            "auto",
            "Tell the app of its startup and shutdown: auto, on (it must take part) or off.",
        ],
    ]
    optFlags: ClassVar = [
        ["factory", None, "--app names a function that makes the app."],
        ["proxy-headers", None, "Honour X-Forwarded-For and X-Forwarded-Proto of --trusted-hosts."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["trusted-hosts"] = []

    def opt_trusted_hosts(self, hosts: str) -> None:
        """
        Proxies to trust, with commas between: addresses, networks (10.0.0.0/8), unix (who connects by a Unix socket),
        or * (whoever connects). By default this machine's. May be repeated.
        """
        given = [each.strip() for each in hosts.split(",") if each.strip()]
        try:
            TrustedProxies(given)
        except InvalidArgument as error:
            raise UsageError(f"--trusted-hosts: {error}") from None
        self["trusted-hosts"] += given

    def postOptions(self) -> None:
        """
        Check them.
        """
        if self["trusted-hosts"] and not self["proxy-headers"]:
            raise UsageError("--trusted-hosts: without --proxy-headers there is nothing to trust these with")
        if self["lifespan"] not in MODES:
            raise UsageError(f"--lifespan: there are {', '.join(MODES)}, not {self['lifespan']!r}")
        try:
            checkRootPath(self["root-path"])
        except InvalidArgument as error:
            raise UsageError(f"--root-path: {error}") from None
        super().postOptions()

    def isForAsyncio(self) -> bool:
        """
        These apps always need asyncio's event loop.
        """
        return True


class AsgiService(HttpAppService):
    """
    The app's server, which accepts nobody before the app has started.
    """

    def __init__(self, options: Options, app: AsgiApp, worker: Reported | None = None, *, reactor: Any = None) -> None:
        """
        @param worker: if it is restarted by a parent.
        """
        super().__init__(options, app, worker, reactor=reactor)
        deadline = SHUTDOWN_DEADLINE if worker is None else WORKER_DRAIN
        self.atStop(lambda: app.shutdown(deadline), deadline + _CANCELLED)
        self._app = app
        self._ready = False
        self._ports: list[IListeningPort] = []

    def announce(self, port: IListeningPort) -> None:
        """
        Say that the app is served on C{port}, once it is.
        """
        if self._ready:
            super().announce(port)
        else:
            self._ports.append(port)

    def privilegedStartService(self) -> None:
        """
        Listen, and let those who connect wait in the kernel's queue.
        """
        self.server.gate.hold("startup")
        super().privilegedStartService()

    def startService(self) -> None:
        """
        Start the app once the reactor runs.
        """
        self.server.gate.hold("startup")
        super().startService()
        self._reactor.callWhenRunning(self._startApp)

    def stopService(self) -> Any:
        """
        See L{HttpAppService.stopService}.
        """
        self._ports.clear()
        return super().stopService()

    def _startApp(self) -> None:
        starting: Deferred[None] = maybeDeferred(self._app.startup)
        starting.addCallbacks(self._started, self._failed)

    def _started(self, _: object) -> None:
        self._ready = True
        self.server.gate.release("startup")
        ports, self._ports = self._ports, []
        for port in ports:
            self.announce(port)

    def _failed(self, failure: Failure) -> None:
        if not self.running:
            # It was cancelled: the process ends already.
            return
        if not failure.check(StartupFailed):
            log.failure("the app's startup failed", failure=failure)
        exitstatus.fail()
        self.launch.say(failure.value)
        self.stop()


def loadAsgiApp(text: str, factory: bool) -> App:
    """
    Import an ASGI app, also from the current directory.

    @param factory: is what C{text} names a function that makes the app?
    @raise AppFailed: with one line that says why not.
    """
    app = load("app", text, "app", "an ASGI app")
    if factory:
        try:
            app = app()
        except (Exception, SystemExit) as error:
            why, files = reasonOf(error)
            if isinstance(error, TypeError) and isApp(app):
                why += "; it looks like an app itself, which is served without --factory"
            raise AppFailed(f"the factory {text} failed: {why}", files) from error
    try:
        checkApp(app)
    except InvalidArgument as error:
        raise AppFailed(f"the app {text} can't be served: {error}") from None
    return app


def preload(options: Options) -> None:
    """
    Import the app, or the factory that makes one in each worker, for workers that are forked later.

    @raise AppFailed: with one line that says why not.
    """
    load("app", options["app"], "app", "an ASGI app")


def makeService(options: Options) -> IService:
    """
    What twistd and twist call.
    """

    def make(worker: Reported | None) -> IService:
        exitstatus.prepare()
        trusted = (options["trusted-hosts"] or LOCAL_PROXIES) if options["proxy-headers"] else ()
        app = AsgiApp(
            loadAsgiApp(options["app"], bool(options["factory"])),
            rootPath=options["root-path"],
            lifespan=options["lifespan"],
            trustedProxies=trusted,
        )
        return AsgiService(options, app, worker)

    return serviceOf(options, make)
