"""
How a service ends when a load balancer stands in front: C{/readyz}, C{--drain-delay}, and what is in flight.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import PATIENCE, Client, freePort, listening, waitUntil
from tests.service.support import ended, serving
from tests.service.test_httpoptions import parse
from tests.support import MemoryPeer
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import HttpServer
from wasinet_twisted.service import command
from wasinet_twisted.service.command import HttpService
from wasinet_twisted.service.http import HttpAppService
from wasinet_twisted.service.listening import Launch

reactor: Any = _reactor

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: balancer.example\r\n\r\n"


class DelayTests(SynchronousTestCase):
    """
    In memory, by a Clock.
    """

    def setUp(self) -> None:
        self.patch(command, "installReactor", lambda **_: None)
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        self.reactor = MemoryReactorClock()
        self.answer: Deferred[WasiResponse] | None = None

    def service(self, *options: str, listen: tuple[str, ...] = ("tcp:1",)) -> HttpAppService:
        arguments = [*(f"--listen={each}" for each in listen), "--status=tcp:2", *options]
        return HttpAppService(parse(*arguments), lambda request: self.answer or WasiResponse(), reactor=self.reactor)

    def start(self, service: HttpAppService) -> None:
        service.privilegedStartService()
        service.startService()

    def ask(self, port: int, request: bytes) -> bytes:
        """
        Ask on a connection of its own.
        """
        (factory,) = [each[1] for each in self.reactor.tcpServers if each[0] == port][-1:]
        peer = MemoryPeer(factory, self.reactor)
        self.addCleanup(peer.reset)
        peer.send(request)
        return peer.take()

    def readiness(self) -> tuple[int, str]:
        """
        What C{/readyz} says.
        """
        answer = self.ask(2, READY)
        return int(answer.split()[1]), answer.rpartition(b"\r\n\r\n")[2].decode().strip()

    def stop(self, service: HttpAppService) -> tuple[Deferred[Any], list[str]]:
        with capturedLogs() as events:
            stopped = service.stopService()
        return stopped, [str(formatEvent(event)) for event in events]

    def test_fromStartToEnd(self) -> None:
        service = self.service("--drain-delay=5")
        self.assertEqual(service.readiness.state, "starting")
        self.start(service)
        self.assertEqual(self.readiness(), (200, "ready"))
        stopped, said = self.stop(service)
        self.assertIn("/readyz says draining; listening stops in 5 s; a second signal ends the process", said)
        self.assertEqual(self.readiness(), (503, "draining"))
        self.reactor.advance(4.9)
        self.assertFalse(service.server.draining)
        # On a new connection, and without being told that this is the end.
        self.assertNotIn(b"Connection: close", self.ask(1, GET))
        self.reactor.advance(0.1)
        self.assertTrue(service.server.draining)
        self.reactor.pump([0.5] * 8)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_withoutADelay(self) -> None:
        service = self.service()
        self.start(service)
        stopped, said = self.stop(service)
        self.assertTrue(service.server.draining)
        self.assertEqual([line for line in said if "readyz" in line], [])
        self.successResultOf(stopped)

    def test_theStatusPageAnswersUntilTheLastRequestIsAnswered(self) -> None:
        service = self.service()
        self.start(service)
        self.answer = Deferred()
        self.assertEqual(self.ask(1, GET), b"")
        stopped, _ = self.stop(service)
        self.reactor.advance(10)
        self.assertEqual(self.readiness(), (503, "draining"))
        self.assertNoResult(stopped)
        self.answer.callback(WasiResponse())
        self.reactor.pump([0.5] * 8)
        self.successResultOf(stopped)

    def test_notReadyBeforeAllAreListenedOn(self) -> None:
        """
        And what never was ready needs no delay: nobody has sent it requests.
        """
        service = self.service("--drain-delay=5", listen=("tcp:1", "tcp:3"))
        services = [each for each in service if getattr(each, "server", None) is service.server]
        ports = iter(list(services[0]))
        for expected in ("starting", "ready"):
            next(ports).startService()
            self.assertEqual(service.readiness.state, expected)
        service.readiness.state = "starting"
        stopped, _ = self.stop(service)
        self.assertTrue(service.server.draining)
        self.successResultOf(stopped)

    def test_startedAnew(self) -> None:
        service = self.service()
        for _ in range(2):
            self.start(service)
            self.assertEqual(self.readiness(), (200, "ready"))
            stopped, _ = self.stop(service)
            self.assertEqual(service.readiness.state, "draining")
            self.reactor.pump([0.5] * 8)
            self.successResultOf(stopped)


@pytest_twisted.ensureDeferred
async def test_whoWaitsInTheKernelsQueue() -> None:
    """
    They have connected and asked before the service stops, and nobody has looked yet.
    """
    server = HttpServer(lambda request: WasiResponse())
    port = freePort()
    service = HttpService(server, [f"tcp:{port}:interface=127.0.0.1"], Launch("wasinet-http"), lambda _: reactor)
    service.startService()
    with Client(port) as client:
        client.send(GET)
        stopped = service.stopService()
        assert head(await deferToThread(client.receiveAll)) == (b"HTTP/1.1 200 OK", True)
        await stopped


def head(answer: bytes) -> tuple[bytes, bool]:
    """
    @return: the status line, and whether this is the last response on its connection.
    """
    lines = answer.split(b"\r\n\r\n")[0].split(b"\r\n")
    return lines[0], b"Connection: close" in lines


def ask(client: Client) -> bytes:
    """
    Send a request, and receive its response, which has a Content-Length.
    """
    client.send(GET)
    answer = b""
    while not answer.endswith(b"\r\n\r\none:"):
        more = client.socket.recv(4096)
        assert more, answer
        answer += more
    return answer


def test_keepAliveClientsAtADrain(tmp_path: Path) -> None:
    """
    One is busy all the time, one sends its next request only after the drain has begun, one sends none.
    """
    status = freePort()
    options = (f"--status={status}", "--drain-delay=0.5", "--limits=drainIdle=2.5")
    with serving(tmp_path, *options) as (process, port):
        process.waitForPorts(status)
        with Client(port) as busy, Client(port) as late, Client(port) as idle, Client(status) as balancer:
            for each in (busy, late, idle):
                assert head(ask(each)) == (b"HTTP/1.1 200 OK", False)
            process.process.send_signal(signal.SIGTERM)
            process.waitForOutput("/readyz says draining")
            # It listens on and serves on, and says that it wants no more.
            balancer.send(READY)
            assert head(balancer.socket.recv(4096)) == (b"HTTP/1.1 503 Service Unavailable", False)
            assert listening(port)
            answers = 0
            while not head(ask(busy))[1]:
                answers += 1
            assert answers > 0
            assert busy.receiveAll() == b""
            waitUntil(lambda: not listening(port), "no longer listening")
            assert listening(status)
            assert head(ask(late)) == (b"HTTP/1.1 200 OK", True)
            assert late.receiveAll() == b""
            idle.socket.settimeout(PATIENCE)
            assert idle.receiveAll() == b""
        ended(process, -signal.SIGTERM)
