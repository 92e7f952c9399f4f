"""
What our reactor does otherwise than the stock one, in programs of their own: a process has one reactor.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, freePort, running, script, talk

# Each installs its own.
pytestmark = pytest.mark.reactorless

PREAMBLE = """
import socket, sys, time
from wasinet_twisted import reactor as ours
reactor = ours.install()
from twisted.internet.protocol import Factory, Protocol
from twisted.internet import reactor as installed
assert installed is reactor

def listen(protocol):
    factory = Factory.forProtocol(protocol)
    factory.noisy = False
    return reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
"""


def run(program: str) -> str:
    """
    @return: what it prints.
    """
    command = [sys.executable, "-c", PREAMBLE + program]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ran.stderr == ""
    return ran.stdout


def test_writesOfOneEventAreOneSend() -> None:
    """
    Eight writes, with and without a TLS-like sequence of them, are one segment: what a peer that reads gets at once.
    """
    program = """
sends = []
class Counting(socket.socket):
    __slots__ = ()
    def send(self, data):
        sends.append(len(data))
        return super().send(data)
class Answering(Protocol):
    def connectionMade(self):
        self.transport.socket.__class__ = Counting
    def dataReceived(self, data):
        for _ in range(4):
            self.transport.write(b"x")
        self.transport.writeSequence([b"y"] * 4)

port = listen(Answering)
class Asking(Protocol):
    got = 0
    def connectionMade(self):
        self.transport.write(b"?")
    def dataReceived(self, data):
        self.got += len(data)
        if self.got == 8:
            print(sends)
            reactor.stop()
from twisted.internet.endpoints import TCP4ClientEndpoint
TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(Asking))
reactor.run()
"""
    assert run(program) == "[8]\n"


def test_whatTimedCallsWriteIsSent() -> None:
    program = """
class Late(Protocol):
    def connectionMade(self):
        reactor.callLater(0.01, self.transport.write, b"late")
class Asking(Protocol):
    def dataReceived(self, data):
        print(data)
        reactor.stop()
from twisted.internet.endpoints import TCP4ClientEndpoint
TCP4ClientEndpoint(reactor, "127.0.0.1", listen(Late)).connect(Factory.forProtocol(Asking))
reactor.run()
"""
    assert run(program) == "b'late'\n"


def test_whoWritesOnAndOnLetsOthersHaveTheirTurn() -> None:
    """
    A producer that writes whenever it may, to a peer that takes everything, keeps nobody from being served.
    """
    program = """
import threading
class Greedy(Protocol):
    def connectionMade(self):
        self.transport.registerProducer(self, False)
    def resumeProducing(self):
        self.transport.write(b"x" * 1000)
    def stopProducing(self):
        pass
port = listen(Greedy)
sink = socket.create_connection(("127.0.0.1", port))
def drink():
    while sink.recv(1 << 20):
        pass
threading.Thread(target=drink, daemon=True).start()
ticks = []
def tick():
    ticks.append(time.monotonic())
    if len(ticks) < 50:
        reactor.callLater(0.001, tick)
    else:
        print("fifty")
        reactor.stop()
reactor.callLater(0, tick)
reactor.run()
"""
    assert run(program) == "fifty\n"


def test_manyBytesBothWaysAndHalfClose() -> None:
    program = """
import threading
size = 20_000_000
class Echo(Protocol):
    def connectionMade(self):
        self.transport.registerProducer(self, True)
    def dataReceived(self, data):
        self.transport.write(data)
    def pauseProducing(self):
        self.transport.pauseProducing()
    def resumeProducing(self):
        self.transport.resumeProducing()
    def stopProducing(self):
        pass
client = socket.create_connection(("127.0.0.1", listen(Echo)))
def talk():
    data = bytes(range(251)) * (size // 251)
    threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
    got = bytearray()
    while len(got) < len(data):
        got += client.recv(1 << 20)
    print(got == data)
    reactor.callFromThread(reactor.stop)
threading.Thread(target=talk, daemon=True).start()
reactor.run()
"""
    assert run(program) == "True\n"


def test_runInAnotherThread() -> None:
    """
    The thread that runs the reactor needn't be the one that made it: what it logs is told of its connection there, and
    the other thread's context stays untouched.
    """
    program = """
import threading
from twisted.python import context, log

class Answering(Protocol):
    def dataReceived(self, data):
        print(context.get(log.ILogContext)["system"], len(main))
        reactor.stop()

main = context.theContextTracker.currentContext().contexts
port = listen(Answering)
thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False})
thread.start()
client = socket.create_connection(("127.0.0.1", port))
client.sendall(b"?")
thread.join(20)
print(len(main))
"""
    assert run(program) == "Answering,0,127.0.0.1 1\n1\n"


def test_twistdWithAnyProgram(tmp_path: Path) -> None:
    """
    twisted.web's file server, which knows nothing of ours; and our own.
    """
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.txt").write_text("of twisted.web")
    for command, request, answer in (
        (["web", "--path", "site", "--listen"], b"GET /page.txt HTTP/1.0\r\n\r\n", b"of twisted.web"),
        (["wasinet-echo", "--tcp"], b"hello", b"echo:hello"),
    ):
        port = freePort()
        endpoint = f"tcp:{port}:interface=127.0.0.1"
        with running([script("twistd"), "-n", "--reactor=wasinet", *command, endpoint], tmp_path) as process:
            process.waitForPorts(port)
            assert talk(port, request).endswith(answer)
            assert "wasinet_twisted.reactor.epoll.EPollReactor" in process.stdout()
