"""
The gate before listening sockets, on real ones: exact bounds, and no descriptors left.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.processes import PATIENCE, ROOT
from wasinet_twisted.net import WasiTcpConn, WasiTcpServer, connect
from wasinet_twisted.net.server.acceptgate import _LONGEST_PAUSE, _PAUSE, Gate
from wasinet_twisted.net.server.listener import WAITING

reactor: Any = _reactor
LOCAL = "127.0.0.1"


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await sleep(0.01)


class Clients:
    """
    Plain sockets, connected without waiting for anybody to accept.
    """

    def __init__(self, address: Any, count: int) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sockets = [socket.socket(family) for _ in range(count)]
        for each in self.sockets:
            each.connect(address)
            each.setblocking(False)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


@pytest.mark.parametrize("kind", ["tcp", "unix", "adopted"])
@pytest_twisted.ensureDeferred
async def test_exactlySoManyAreAccepted(kind: str, tmp_path: Path) -> None:
    """
    Whatever a batch would bring; the others are neither accepted nor refused.
    """

    async def handler(conn: WasiTcpConn) -> None:
        seen.append(conn)
        try:
            await conn.write(b"hello")
            await conn.readToEnd(1)
        finally:
            seen.remove(conn)

    seen: list[WasiTcpConn] = []
    endpoint: Any = f"tcp:0:interface={LOCAL}"
    if kind == "unix":
        endpoint = f"unix:{tmp_path}/s"
    elif kind == "adopted":
        # As systemd hands them over.
        listening = socket.create_server((LOCAL, 0), backlog=1024)
        listening.setblocking(False)
        # It closes what it was given, and listens on a duplicate.
        endpoint = AdoptedStreamServerEndpoint(reactor, listening.detach(), socket.AF_INET)
    server = WasiTcpServer(endpoint, maxConnections=50)
    serving = server.serveForever(handler)
    await sleep(0)
    address: Any = f"{tmp_path}/s" if kind == "unix" else (LOCAL, server.local().port)
    clients = Clients(address, 200)
    await until(lambda: len(seen) == 50)
    await sleep(0.1)
    assert len(seen) == 50
    for each in clients.sockets[:30]:
        each.close()
    await until(lambda: len(seen) == 50)
    await sleep(0.1)
    assert len(seen) == 50
    assert all(each.recv(9) == b"hello" for each in clients.sockets[30:80])
    with pytest.raises(BlockingIOError):
        clients.sockets[80].recv(1)
    clients.close()
    await until(lambda: not seen)
    await server.close()
    await serving


@pytest_twisted.ensureDeferred
async def test_exactlySoManyWaitForAccept() -> None:
    server = WasiTcpServer(0, LOCAL)
    clients = Clients((LOCAL, server.local().port), WAITING + 200)
    await sleep(0.2)
    assert len(server._waiting) == WAITING
    given = [await server.accept(timeout=5) for _ in range(WAITING + 200)]
    assert {conn.peer().port for conn in given} == {each.getsockname()[1] for each in clients.sockets}
    clients.close()
    for conn in given:
        await conn.close()
    await server.close()


@pytest_twisted.ensureDeferred
async def test_aClosedServerIsNotReopened() -> None:
    """
    Connections that end after it would open the gate again.
    """
    server = WasiTcpServer(0, LOCAL, maxConnections=1)
    conn = await connect(LOCAL, server.local().port)
    given = await server.accept(timeout=5)
    await server.close()
    await given.close()
    await conn.close()
    await sleep(0.05)
    assert server._factory.gate._ports == []


STARVING = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner, textFileLogObserver
from wasinet_twisted import net
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
seen = 0

async def handler(conn):
    global seen
    seen += 1
    await conn.write(b"hello")
    await conn.readToEnd(1)

def tell():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(seen, len(server._factory.connections), usage.ru_utime + usage.ru_stime, flush=True)

server = net.WasiTcpServer(0, "127.0.0.1")
serving = server.serveForever(handler)
print(server.local().port, flush=True)
LoopingCall(tell).start(0.1)
reactor.run()
"""


class Starving:
    """
    A server that may have 64 descriptors.
    """

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", STARVING], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self._lines = self.process.stdout
        self.port = int(self._lines.readline())

    def state(self) -> tuple[int, int, float]:
        """
        @return: how many connections it has seen, how many are open, and the CPU seconds it has used.
        """
        seen, open_, cpu = self._lines.readline().split()
        return int(seen), int(open_), float(cpu)

    def until(self, seen: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.state()[0] < seen:
            assert time.monotonic() < deadline, self.state()


def test_withoutDescriptorsItWaitsAndRecovers(tmp_path: Path) -> None:
    """
    200 clients, 64 descriptors: nobody is closed, the processor is idle meanwhile, and all are served in the end.
    """
    server = Starving(tmp_path)
    try:
        server.state()
        clients = Clients((LOCAL, server.port), 200)
        server.until(40)
        first, _, before = server.state()
        # Two seconds at a line every tenth.
        for _ in range(20):
            seen, open_, after = server.state()
        assert seen == first == open_
        assert after - before < 0.5, "it spins"
        # Nobody in the queue has been closed or reset.
        for each in clients.sockets[first:]:
            with pytest.raises(BlockingIOError):
                each.recv(1)
        # A client goes, the next one comes, until all have been there.
        for each in clients.sockets:
            each.setblocking(True)
            each.settimeout(PATIENCE)
            assert each.recv(9) == b"hello"
            each.close()
        server.until(200)
        log = server.log.read_text()
        assert "accepting pauses: Too many open files (the process may have 64 descriptors)" in log
        assert "accepting goes on" in log
        assert "Traceback" not in log
        # Not for each attempt, nor each time that it begins.
        assert log.count("accepting pauses") == log.count("accepting goes on") == 1
    finally:
        server.process.kill()
        server.process.communicate()


@implementer(IListeningPort)
class Port:
    """
    What a gate does to a port.
    """

    disconnecting = False
    connected = True

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.socket: Any = self
        self.error: OSError | None = None

    def startListening(self) -> None:
        raise AssertionError

    def stopListening(self) -> None:
        raise AssertionError

    def getHost(self) -> None:
        raise AssertionError

    def startReading(self) -> None:
        self.calls.append("start")

    def stopReading(self) -> None:
        self.calls.append("stop")

    def accept(self) -> str:
        if self.error is not None:
            raise self.error
        return "a connection"

    def fileno(self) -> int:
        return 5


class GateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gate = Gate(self.clock)
        self.port = Port()
        self.gate.attach(self.port)
        self.messages: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: Any) -> None:
        if event.get("log_level") in (LogLevel.warn, LogLevel.info):
            self.messages.append(formatEvent(event))

    def test_itPassesOn(self) -> None:
        self.assertEqual(self.port.socket.accept(), "a connection")
        self.assertEqual(self.port.socket.fileno(), 5)
        self.port.error = OSError(errno.ECONNABORTED, "")
        error = self.assertRaises(OSError, self.port.socket.accept)
        self.assertEqual(error.errno, errno.ECONNABORTED)

    def test_twoReasons(self) -> None:
        self.gate.hold("one")
        self.gate.hold("one")
        self.gate.hold("two")
        self.assertRaises(BlockingIOError, self.port.socket.accept)
        self.gate.release("one")
        self.gate.release("one")
        self.assertRaises(BlockingIOError, self.port.socket.accept)
        self.assertEqual(self.port.calls, ["stop"])
        self.gate.release("two")
        self.assertEqual(self.port.socket.accept(), "a connection")
        self.assertEqual(self.port.calls, ["stop", "start"])

    def test_aPortThatComesWhileItIsShut(self) -> None:
        self.gate.hold("one")
        another = Port()
        self.gate.attach(another)
        self.assertEqual(another.calls, ["stop"])

    def test_aPortThatIsBeingClosed(self) -> None:
        self.gate.hold("one")
        self.port.disconnecting = True
        self.gate.release("one")
        self.assertEqual(self.port.calls, ["stop"])

    def starve(self) -> None:
        self.port.error = OSError(errno.EMFILE, "")
        self.assertRaises(BlockingIOError, self.port.socket.accept)

    def test_thePauseGrowsToABound(self) -> None:
        pauses = []
        for _ in range(8):
            self.starve()
            self.assertFalse(self.gate.isOpen())
            (call,) = self.clock.getDelayedCalls()
            pauses.append(call.getTime() - self.clock.seconds())
            self.clock.advance(pauses[-1])
            self.assertTrue(self.gate.isOpen())
        self.assertAlmostEqual(pauses[0], _PAUSE)
        self.assertAlmostEqual(pauses[1], 2 * _PAUSE)
        self.assertAlmostEqual(pauses[-1], _LONGEST_PAUSE)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        reason = os.strerror(errno.EMFILE)
        self.assertEqual(
            self.messages,
            [f"accepting pauses: {reason} (the process may have {limit} descriptors); it goes on when there are some"],
        )
        self.port.error = None
        self.port.socket.accept()
        self.assertEqual(self.messages[1:], ["accepting goes on"])
        self.port.socket.accept()
        self.starve()
        self.assertEqual(len(self.messages), 2)
        self.clock.advance(60)
        self.starve()
        self.assertEqual(len(self.messages), 3)

    def test_aFreeDescriptorEndsThePause(self) -> None:
        self.starve()
        self.gate.feed()
        self.assertTrue(self.gate.isOpen())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.gate.feed()

    def test_aPortThatSomebodyHasStopped(self) -> None:
        """
        Without telling the gate.
        """
        another = Port()
        self.gate.attach(another)
        self.gate.hold("one")
        self.port.connected = False
        self.gate.release("one")
        self.assertEqual(self.port.calls, ["stop"])
        self.assertEqual(another.calls, ["stop", "start"])

    def test_aPortThatComesAfterThePause(self) -> None:
        self.starve()
        self.gate.detach(self.port)
        self.assertTrue(self.gate.isOpen())

    def test_closingEndsThePause(self) -> None:
        self.starve()
        self.gate.detach(self.port)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.gate.detach(self.port)
