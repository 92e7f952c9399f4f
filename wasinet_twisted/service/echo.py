"""
C{twistd wasinet-echo}: the article's two echo servers.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.application.service import IService, MultiService, Service
from twisted.logger import Logger
from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from ..errors import ConnectionClosed
from ..http import WasiRequest, WasiResponse
from ..net import ConnectionFactory, WasiTcpConn
from ..server import AccessLog, RequestLoop
from .listening import Launch, ListeningService, checkEndpoint

log = Logger()

DEFAULT_HTTP = "tcp:8000"
DEFAULT_TCP = "tcp:8001"


class Options(BaseOptions):
    """
    The options of C{wasinet-echo}.
    """

    synopsis = "[options]"
    longdesc = (
        "Answers HTTP requests with 'echo:' and their body (tcp:8000), and TCP data with 'echo:' and what each read "
        "brought (tcp:8001). Naming endpoints of one kind only starts only that kind."
    )
    optParameters: ClassVar = [
        ["access-log", None, None, "Write a line for each HTTP request to this file, or to the standard output (-)."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["http"] = []
        self["tcp"] = []

    def opt_http(self, endpoint: str) -> None:
        """
        Serve HTTP at this Twisted endpoint, such as tcp:8000:interface=127.0.0.1. May be repeated.
        """
        self["http"].append(checkEndpoint("http", endpoint))

    def opt_tcp(self, endpoint: str) -> None:
        """
        Serve TCP at this Twisted endpoint. May be repeated.
        """
        self["tcp"].append(checkEndpoint("tcp", endpoint))

    def postOptions(self) -> None:
        """
        Both kinds at their usual ports, unless endpoints were named.
        """
        if not self["http"] and not self["tcp"]:
            self["http"] = [DEFAULT_HTTP]
            self["tcp"] = [DEFAULT_TCP]
        if self["access-log"] is not None:
            if not self["http"]:
                raise UsageError("--access-log: there is no HTTP endpoint whose requests could be logged")
            if self["access-log"] == "-" and Launch.fromOptions(self).daemon:
                raise UsageError("--access-log: a daemon has no standard output; give a file, or run twistd with -n")


def echoHttp(request: WasiRequest) -> WasiResponse:
    """
    The HTTP echo's answer.
    """
    # As plain text, so that no browser takes what was sent for a page of ours.
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return WasiResponse(headers=headers, body=b"echo:" + request.body)


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


class AccessLogService(Service):
    """
    Opens the access log when the service starts and closes it when everything else has stopped.

    @ivar log: L{None} while it isn't open.
    """

    def __init__(self, path: str, launch: Launch, *, reactor: Any = None) -> None:
        self._path = path
        self._launch = launch
        self._reactor = reactor
        self.log: AccessLog | None = None

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
            self.log = AccessLog(self._path, reactor=self._reactor)
        except OSError as error:
            self._launch.fail(OSError(f"can't write the access log {self._path}: {error.strerror}"))

    def close(self, result: Any) -> Any:
        """
        Close it, and pass C{result} on.
        """
        if self.log is not None:
            self.log.close()
            self.log = None
        return result


class EchoService(MultiService):
    """
    Both echo servers and the access log.
    """

    def __init__(self, options: Options, *, reactor: Any = None) -> None:
        super().__init__()
        launch = Launch.fromOptions(options)
        self._reactor = reactor
        self._accessLog: AccessLogService | None = None
        if options["access-log"] is not None:
            self._accessLog = AccessLogService(options["access-log"], launch, reactor=reactor)
            self._accessLog.setServiceParent(self)
        for kind, handler, alpn in (("http", self._serveHttp, ("http/1.1",)), ("tcp", echoTcp, ())):
            for endpoint in options[kind]:
                factory = ConnectionFactory(handler, alpn=alpn, reactor=reactor)
                ListeningService(endpoint, factory, launch, reactor=reactor).setServiceParent(self)

    async def _serveHttp(self, conn: WasiTcpConn) -> None:
        log = None if self._accessLog is None else self._accessLog.log
        await RequestLoop(conn, echoHttp, accessLog=log, reactor=self._reactor).run()

    def stopService(self) -> Any:
        """
        Stop all servers, then the log.
        """
        stopped = super().stopService()
        return stopped if self._accessLog is None else stopped.addBoth(self._accessLog.close)


def makeService(options: Options) -> IService:
    """
    What twistd and twist call.
    """
    return EchoService(options)
