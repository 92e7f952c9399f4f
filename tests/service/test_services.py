"""
The services behind wasinet-echo, on a reactor in memory: how they start, fail to start, and stop.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import time
from io import StringIO
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.support import MemoryPeer, temporaryDirectory
from wasinet_twisted.net import ConnectionFactory
from wasinet_twisted.service import listening
from wasinet_twisted.service.command import AccessLogService, HttpService
from wasinet_twisted.service.echo import EchoService, Options, makeService
from wasinet_twisted.service.listening import STOP_DEADLINE, Launch, ListeningService

IN_USE = "can't listen on tcp:8000: Address already in use"


class TakenReactor(MemoryReactorClock):
    """
    All its ports are in use.
    """

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)))


class StoppableReactor(MemoryReactorClock):
    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


@implementer(IStreamServerEndpoint)
class SlowEndpoint:
    """
    It takes its time to listen.
    """

    def __init__(self) -> None:
        self.listening: Deferred[Any] = Deferred()

    def listen(self, factory: Any) -> Deferred[Any]:
        return self.listening


def optionsOf(*arguments: str, parent: dict[str, Any] | None = None) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    if parent is not None:
        options.parent = parent
    return options


def start(service: IService) -> None:
    """
    As twistd does.
    """
    service.privilegedStartService()
    service.startService()


class EchoServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))

    def test_hangUpBeforeTheReactorRuns(self) -> None:
        """
        SIGHUP would end the process, which listens already, and may be sent by whoever has just moved the log.
        """
        for start in (EchoService.privilegedStartService, EchoService.startService):
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            service = self.service("--http=tcp:1", f"--access-log={temporaryDirectory(self) / 'log'}")
            start(service)
            self.assertIsNot(signal.getsignal(signal.SIGHUP), signal.SIG_DFL)

    def service(self, *arguments: str) -> EchoService:
        return EchoService(optionsOf(*arguments), reactor=self.reactor)

    def ports(self) -> list[tuple[int, str]]:
        return [(port, interface) for port, _, _, interface in self.reactor.tcpServers]

    def connect(self, index: int) -> MemoryPeer:
        peer = MemoryPeer(self.reactor.tcpServers[index][1], self.reactor)
        self.addCleanup(peer.reset)
        return peer

    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(IService, self.service()))
        for service in self.service("--http=tcp:1", "--access-log=x"):
            self.assertTrue(verifyObject(IService, service))

    def test_makeService(self) -> None:
        """
        It needs no reactor given, and doesn't listen before it is started.
        """
        self.assertEqual(len(list(makeService(optionsOf()))), 2)

    def test_startedByTwistd(self) -> None:
        """
        It listens before privileges are shed, and once only.
        """
        service = self.service()
        self.assertEqual(self.ports(), [])
        service.privilegedStartService()
        self.assertEqual(self.ports(), [(8000, ""), (8001, "")])
        service.startService()
        self.assertEqual(len(self.ports()), 2)

    def test_startedByTwist(self) -> None:
        """
        There is no privileged start.
        """
        self.service("--tcp=tcp:7:interface=127.0.0.1", "--tcp=tcp:8").startService()
        self.assertEqual(self.ports(), [(7, "127.0.0.1"), (8, "")])

    def test_httpEcho(self) -> None:
        start(self.service())
        peer = self.connect(0)
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nWasmEdge")
        self.assertEqual(
            re.sub(rb"Date: .+ GMT\r\n", b"", peer.take()),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
            b"Content-Length: 13\r\n\r\necho:WasmEdge",
        )

    def test_tcpEcho(self) -> None:
        """
        Each read is answered by itself, and the end of the stream closes.
        """
        start(self.service())
        peer = self.connect(1)
        for data in (b"Wasm", b"Edge\n", b"\x00\xff"):
            peer.send(data)
            self.assertEqual(peer.take(), b"echo:" + data)
        peer.end()
        self.assertEqual(peer.take(), b"")
        self.assertTrue(peer.gone)
        self.assertFalse(peer.aborted)

    def test_tcpEchoAwaitsItsWrites(self) -> None:
        """
        A peer that takes nothing is not read from for ever.
        """
        start(self.service())
        peer = self.connect(1)
        peer.stall()
        for _ in range(6):
            peer.send(bytes(50_000))
        self.assertGreater(len(peer.link.toServer.arrived), 100_000)
        peer.flow()
        self.assertEqual(len(peer.take().replace(b"echo:", b"")), 300_000)
        self.assertEqual(peer.link.toServer.arrived, b"")

    def test_aPeerThatResets(self) -> None:
        """
        One line that names it; no traceback, and nobody else notices.
        """
        start(self.service())
        other = self.connect(1)
        with capturedLogs() as events:
            self.connect(1).reset()
        (event,) = events
        self.assertIn("192.0.2.1", formatEvent(event))
        self.assertNotIn("log_failure", event)
        other.send(b"a")
        self.assertEqual(other.take(), b"echo:a")

    def test_aPeerThatResetsWithoutTakingTheAnswer(self) -> None:
        start(self.service())
        peer = self.connect(1)
        peer.stall()
        peer.send(b"a")
        with capturedLogs() as events:
            peer.reset()
        self.assertEqual(len(events), 1)

    def test_theTimeOfTheHttpEchoIsTheReactors(self) -> None:
        start(self.service())
        peer = self.connect(0)
        peer.send(b"nonsense\r\n\r\n")
        self.assertFalse(peer.gone)
        self.reactor.advance(3)
        peer.settle()
        self.assertTrue(peer.gone)

    def test_stops(self) -> None:
        """
        Idle connections of both kinds are ended at once, and don't keep the stop waiting.
        """
        service = self.service()
        start(service)
        peers = [self.connect(0), self.connect(1)]
        peers[0].send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        stopped = service.stopService()
        self.reactor.pump([0] * 4)
        self.successResultOf(stopped)
        self.assertEqual([peer.gone for peer in peers], [True, True])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopsWithoutHavingStarted(self) -> None:
        self.successResultOf(self.service().stopService())

    def test_startsAgain(self) -> None:
        service = self.service()
        start(service)
        self.successResultOf(service.stopService())
        start(service)
        self.assertEqual(len(self.ports()), 4)
        self.successResultOf(service.stopService())


class AccessLogServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.path = temporaryDirectory(self) / "file"

    def service(self) -> EchoService:
        return EchoService(optionsOf("--http=tcp:8000", "--access-log", str(self.path)), reactor=self.reactor)

    def over(self, stopped: Deferred[Any]) -> None:
        """
        The service has stopped, within the time that its log may take.
        """
        over: list[None] = []
        stopped.addCallback(over.append)
        for _ in range(110):
            if not over:
                time.sleep(0.01)
                self.reactor.advance(0.01)
        self.assertEqual(len(over), 1)

    def logged(self, begin: Any) -> None:
        service = self.service()
        self.assertFalse(self.path.exists())
        begin(service)
        peer = MemoryPeer(self.reactor.tcpServers[0][1], self.reactor)
        self.addCleanup(peer.reset)
        peer.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        stopped = service.stopService()
        self.over(stopped)
        (line,) = self.path.read_text().splitlines()
        self.assertIn('"GET /a HTTP/1.1" 200 5 ', line)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_startedByTwistd(self) -> None:
        self.logged(start)

    def test_startedByTwist(self) -> None:
        self.logged(lambda service: service.startService())

    def test_openedBeforeConnectionsCanCome(self) -> None:
        names = [type(service) for service in self.service()]
        self.assertEqual(names, [AccessLogService, HttpService])

    def test_closedAfterTheLastConnection(self) -> None:
        """
        Not before: what they still answer is logged.
        """
        service = self.service()
        start(service)
        peer = MemoryPeer(self.reactor.tcpServers[0][1], self.reactor)
        self.addCleanup(peer.reset)
        stopped = service.stopService()
        self.assertNoResult(stopped)
        service._accessLog.log.answered("192.0.2.1", None, 400, 1, 0.0)
        # A new connection may still bring its first request.
        self.reactor.pump([0.5] * 4)
        self.over(stopped)
        self.assertTrue(peer.gone)
        self.assertEqual(len(self.path.read_text().splitlines()), 1)

    def test_cannotBeWritten(self) -> None:
        self.path.mkdir()
        self.patch(sys, "__stderr__", stderr := StringIO())
        error = self.assertRaises(SystemExit, self.service().startService)
        self.assertEqual(error.code, 1)
        self.assertEqual(stderr.getvalue(), f"wasinet-echo: can't write the access log {self.path}: Is a directory\n")
        self.assertEqual(self.reactor.tcpServers, [])


class FailingStartTests(SynchronousTestCase):
    """
    twistd, twist, and the daemon each have to be told in their own way.
    """

    def setUp(self) -> None:
        self.patch(sys, "__stderr__", StringIO())
        self.pidFile = temporaryDirectory(self) / "file"
        self.pidFile.write_text(f"{os.getpid()}\n")

    def service(self, parent: dict[str, Any] | None) -> EchoService:
        return EchoService(optionsOf(parent=parent), reactor=TakenReactor())

    def exits(self, parent: dict[str, Any] | None) -> None:
        error = self.assertRaises(SystemExit, self.service(parent).privilegedStartService)
        self.assertEqual(error.code, 1)
        self.assertEqual(sys.__stderr__.getvalue(), f"wasinet-echo: {IN_USE}\n")

    def test_inTheForeground(self) -> None:
        """
        One line, status 1, and no PID file is left.
        """
        self.exits({"nodaemon": 1, "pidfile": str(self.pidFile)})
        self.assertFalse(self.pidFile.exists())

    def test_withoutAPidFile(self) -> None:
        for parent in ({"nodaemon": 1, "pidfile": ""}, {"nodaemon": 1, "pidfile": "/no/such/file"}):
            sys.__stderr__.truncate(0)
            sys.__stderr__.seek(0)
            self.exits(parent)

    def test_theFileOfAnother(self) -> None:
        for content in ("1\n", "nonsense"):
            self.pidFile.write_text(content)
            sys.__stderr__.truncate(0)
            sys.__stderr__.seek(0)
            self.exits({"nodaemon": 1, "pidfile": str(self.pidFile)})
            self.assertTrue(self.pidFile.exists())

    def test_underTwist(self) -> None:
        error = self.assertRaises(SystemExit, self.service({"logFile": None}).startService)
        self.assertEqual(error.code, 1)
        self.assertEqual(sys.__stderr__.getvalue(), f"wasinet-echo: {IN_USE}\n")

    def test_inAnotherProgram(self) -> None:
        self.exits(None)

    def daemonFails(self, error: Exception) -> str:
        """
        @return: what twistd's parent shows, which is cut at 98 characters.
        """
        self.patch(sys, "excepthook", sys.excepthook)
        with capturedLogs() as events:
            raised = self.assertRaises(OSError, Launch("wasinet-echo", True, str(self.pidFile)).fail, error)
        self.assertEqual([formatEvent(event) for event in events], [f"wasinet-echo: {error}"])
        self.assertEqual(sys.__stderr__.getvalue(), "")
        # twistd itself removes this one's.
        self.assertTrue(self.pidFile.exists())
        # The log has said it, without a traceback, which the interpreter would add.
        self.patch(sys, "stderr", stderr := StringIO())
        sys.excepthook(type(raised), raised, raised.__traceback__)
        self.assertEqual(stderr.getvalue(), "")
        return f"OSError: {raised}"[:98]

    def test_asADaemon(self) -> None:
        """
        The waiting parent gets its word only by way of an ordinary exception.
        """
        self.assertEqual(self.daemonFails(OSError(IN_USE)), f"OSError: {IN_USE}")

    def test_asADaemonWithALongName(self) -> None:
        """
        However long the endpoint, the cause is shown.
        """
        shown = self.daemonFails(OSError(f"can't listen on unix:/{'x' * 100}: Address already in use"))
        self.assertTrue(shown.startswith("OSError: can't listen on unix:/x"), shown)
        self.assertTrue(shown.endswith(": Address already in use"), shown)

    def test_ofTheService(self) -> None:
        self.patch(sys, "excepthook", sys.excepthook)
        with capturedLogs():
            error = self.assertRaises(OSError, self.service({"nodaemon": 0, "pidfile": ""}).privilegedStartService)
        self.assertEqual(str(error), IN_USE)


class SlowEndpointTests(SynchronousTestCase):
    """
    Endpoints that don't know at once whether they can listen.
    """

    def setUp(self) -> None:
        self.reactor = StoppableReactor()
        self.endpoint = SlowEndpoint()
        self.patch(listening, "endpointFromString", lambda reactor, text: self.endpoint)

        async def handler(conn: object) -> None:
            raise AssertionError("nobody connects")

        self.factory = ConnectionFactory(handler, reactor=self.reactor)
        self.service = ListeningService("tcp:8000", self.factory, Launch("wasinet-echo"), reactor=self.reactor)

    def test_succeeds(self) -> None:
        start(self.service)
        port = self.reactor.listenTCP(8000, self.factory)
        self.endpoint.listening.callback(port)
        self.assertEqual(self.reactor.stopped, 0)
        self.successResultOf(self.service.stopService())

    def test_fails(self) -> None:
        """
        That is said, and ends the process: a server without its port is none.
        """
        start(self.service)
        with capturedLogs() as events:
            self.endpoint.listening.errback(
                CannotListenError("", 8000, OSError(errno.EADDRINUSE, "Address already in use"))
            )
        self.assertEqual([formatEvent(event) for event in events], [IN_USE])
        self.assertEqual(self.reactor.stopped, 1)

    def test_stoppedBefore(self) -> None:
        """
        Stopping gives up on it; that is no failure.
        """
        start(self.service)
        with capturedLogs() as events:
            self.successResultOf(self.service.stopService())
        self.assertEqual(events, [])
        self.assertEqual(self.reactor.stopped, 0)


class StuckHandlerTests(SynchronousTestCase):
    def test_theDeadline(self) -> None:
        """
        A handler that won't end is waited for until the deadline, not longer.
        """
        reactor = MemoryReactorClock()
        left: Deferred[None] = Deferred()

        async def handler(conn: object) -> None:
            try:
                await Deferred()
            finally:
                await left

        service = ListeningService(
            "tcp:1", ConnectionFactory(handler, reactor=reactor), Launch("wasinet-echo"), reactor=reactor
        )
        start(service)
        self.addCleanup(MemoryPeer(reactor.tcpServers[0][1], reactor).reset)
        stopped = service.stopService()
        reactor.advance(STOP_DEADLINE + 1)
        reactor.pump([0] * 4)
        self.successResultOf(stopped)
        left.callback(None)
