"""
What a transport promises when it reads: that what users replace is what is called, that who has paused is left alone,
and what the log says. Each on the stock reactors and on ours.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python import log
from zope.interface import implementer

from tests.reactor.harness import KINDS, LOCAL, Recording, World, onEpoll, readExactly

# They name the reactors themselves.
pytestmark = pytest.mark.reactorless

everyKind = pytest.mark.parametrize("kind", KINDS)


def sayTwice(peer: socket.socket) -> None:
    """
    Send two messages, the second one later, and give it time to arrive.
    """
    for message in (b"first", b"second"):
        peer.sendall(message)
        time.sleep(0.05)


# What is replaced while it is in use


@everyKind
@pytest.mark.parametrize("rest", [False, True], ids=["later", "atOnce"])
def test_protocolSwitched(world: World, kind: str, rest: bool) -> None:
    """
    What comes after goes to the new protocol, as does the end, even if the kernel has it already.
    """
    second = Recording()

    class First(Recording):
        def connectionMade(self) -> None:
            self.transport.bufferSize = len(b"first")

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.protocol = second
            second.makeConnection(self.transport)

    def peer(plain: socket.socket) -> None:
        if rest:
            plain.sendall(b"firstsecond")
        else:
            sayTwice(plain)
        plain.close()
        time.sleep(0.05)

    world.talk(kind, First, peer)
    (first,) = world.protocols
    assert first.received == [b"first"]
    assert b"".join(second.received) == b"second"
    assert (len(first.lost), len(second.lost)) == (0, 1)


@everyKind
def test_dataReceivedReplacedOnTheInstance(world: World, kind: str) -> None:
    class Replacing(Recording):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(b"1:" + data)
            self.dataReceived = lambda data: self.received.append(b"2:" + data)  # type: ignore[method-assign]

    world.talk(kind, Replacing, sayTwice)
    assert world.protocols[0].received == [b"1:first", b"2:second"]


@everyKind
def test_dataReceivedReplacedOnTheClass(world: World, kind: str) -> None:
    class Replacing(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.received.append(b"1:" + data)
            Replacing.dataReceived = lambda self, data: self.received.append(b"2:" + data)  # type: ignore[method-assign]

    world.talk(kind, Replacing, sayTwice)
    assert world.protocols[0].received == [b"1:first", b"2:second"]


@everyKind
def test_transportsMethodsReplacedOnTheInstance(world: World, kind: str) -> None:
    """
    Also when they have been in use before, and given back later.
    """
    calls: list[str] = []

    class Wrapping(Recording):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(data)
            if data == b"1":
                for name in ("doRead", "connectionLost"):
                    setattr(self.transport, name, self.wrap(name, getattr(self.transport, name)))
            elif data == b"3":
                del self.transport.doRead

    @staticmethod
    def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: calls.append(name) or call(*arguments)  # type: ignore[func-returns-value]

    Wrapping.wrap = wrap  # type: ignore[attr-defined]

    def peer(plain: socket.socket) -> None:
        for message in (b"1", b"2", b"3", b"4"):
            plain.sendall(message)
            assert readExactly(plain, 1) == message
        plain.close()
        time.sleep(0.05)

    world.talk(kind, Wrapping, peer)
    assert calls == ["doRead", "doRead", "connectionLost"]
    assert len(world.protocols[0].lost) == 1


@pytest.mark.parametrize("foreign", [False, True], ids=["ofTheReactors", "ofTwisted"])
@pytest.mark.parametrize("result", [None, False, 0])
def test_transportSubclassed(world: World, foreign: bool, result: Any) -> None:
    """
    A user's transport, of the class that the reactor makes, or of Twisted's own. C{doRead} and C{doWrite} may return
    anything false.
    """
    calls: list[str] = []
    listening = world.reactor.listenTCP(0, world.factory(Recording), interface=LOCAL)
    base: Any = tcp.Server if foreign else listening.transport

    class Own(base):  # type: ignore[misc]
        def doRead(self) -> Any:
            calls.append("read")
            return super().doRead() or result

        def writeSomeData(self, data: bytes) -> Any:
            calls.append("write")
            return super().writeSomeData(data)

        def startReading(self) -> None:
            calls.append("start")
            super().startReading()

        def stopReading(self) -> None:
            calls.append("stop")
            super().stopReading()

    class Answering(Recording):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(data)
            if data == b"first":
                self.transport.pauseProducing()
                world.reactor.callLater(0.02, self.transport.resumeProducing)

    listening.transport = Own
    listening.factory = world.factory(Answering)
    plain = world.dial(listening.getHost().port)

    def peer() -> bytes:
        plain.sendall(b"first")
        data = readExactly(plain, 5)
        plain.sendall(b"second")
        return data + readExactly(plain, 6)

    assert world.whileDoing(peer) == b"firstsecond"
    assert [call for call in calls if call != "write"][:5] == ["start", "read", "stop", "start", "read"]
    assert calls.count("write") == 2


# A descriptor that is used again


def test_descriptorUsedAgain(world: World) -> None:
    """
    A connection, then a pipe, get the number of one that has ended: they are the ones who are called.
    """
    told: list[bytes] = []

    class Pipe:
        def __init__(self, fd: int) -> None:
            self.fd = fd

        def fileno(self) -> int:
            return self.fd

        def logPrefix(self) -> str:
            return "pipe"

        def doRead(self) -> None:
            told.append(os.read(self.fd, 10))
            world.reactor.removeReader(self)

        def connectionLost(self, reason: Any) -> None: ...

    port = world.listen(Recording)
    numbers = []
    reading, writing = os.pipe()

    def untilItArrived(plain: socket.socket, message: bytes) -> None:
        plain.sendall(message)
        while not (world.protocols and world.protocols[-1].received == [message]):
            time.sleep(0.01)

    def peer() -> None:
        for turn in range(3):
            with socket.create_connection((LOCAL, port)) as plain:
                untilItArrived(plain, b"%d" % turn)
                numbers.append(world.protocols[-1].transport.fileno())
            while not world.protocols[-1].lost:
                time.sleep(0.01)
        os.dup2(reading, numbers[-1])
        world.reactor.callFromThread(world.reactor.addReader, Pipe(numbers[-1]))
        os.write(writing, b"of the pipe")
        while not told:
            time.sleep(0.01)

    world.whileDoing(peer)
    for fd in (reading, writing, numbers[-1]):
        os.close(fd)
    assert len(set(numbers)) < 3
    assert [protocol.received for protocol in world.protocols] == [[b"0"], [b"1"], [b"2"]]
    assert told == [b"of the pip"]


# Pausing and ending


@everyKind
def test_pausedIsLeftAlone(world: World, kind: str) -> None:
    """
    Pausing within C{dataReceived} holds at once, whatever the kernel has; resuming brings the rest, in order.
    """
    counts: list[int] = []

    class Pausing(Recording):
        def connectionMade(self) -> None:
            self.transport.bufferSize = 10

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(b".")
            self.transport.pauseProducing()
            if len(self.received) <= 3:
                world.reactor.callLater(0.03, counts.append, len(self.received))
                world.reactor.callLater(0.04, self.transport.resumeProducing)
            elif len(self.received) < 10:
                # Both in one event.
                self.transport.resumeProducing()

    world.talk(kind, Pausing, lambda plain: (plain.sendall(bytes(range(100))), readExactly(plain, 10)))
    received = world.protocols[0].received
    assert b"".join(received) == bytes(range(100))
    assert max(map(len, received)) == 10
    assert counts == [1, 2, 3]


@pytest.mark.parametrize("how", ["pauseProducing", "abortConnection"])
def test_otherOneStoppedInTheSameTurn(world: World, how: str) -> None:
    """
    Two have something to read at once, and the first one that is told stops the other.
    """

    class Stopping(Recording):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if data == b"now":
                world.reactor.callLater(0.05, world.reactor.stop)
                for other in world.protocols:
                    if other is not self:
                        getattr(other.transport, how)()

    port = world.listen(Stopping)
    peers = [world.dial(port) for _ in range(4)]

    def speak() -> None:
        for peer in peers:
            peer.sendall(b"now")

    # The reactor is busy with this call: it finds all of them ready after it.
    world.reactor.callLater(0.05, speak)
    world.run()
    assert sorted(len(protocol.received) for protocol in world.protocols) == [0, 0, 0, 1]


@everyKind
@pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
def test_nothingIsReceivedAfterTheEnd(world: World, kind: str, how: str) -> None:
    class Ending(Recording):
        def connectionMade(self) -> None:
            self.transport.bufferSize = 10

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            getattr(self.transport, how)()

    def peer(plain: socket.socket) -> None:
        plain.sendall(bytes(100))
        time.sleep(0.05)

    world.talk(kind, Ending, peer)
    (protocol,) = world.protocols
    assert (len(protocol.received), len(protocol.lost)) == (1, 1)


@onEpoll
@everyKind
@pytest.mark.parametrize("error", [ValueError, ConnectionDone])
def test_raisingLosesTheConnection(
    world: World,
    kind: str,
    error: type[Exception],
    loggedErrors: Callable[[], list[str]],
) -> None:
    """
    With that as the reason, logged once, under the connection's name; also where the end of one direction would do.
    """

    @implementer(IHalfCloseableProtocol)
    class Raising(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.name = self.transport.logstr
            self.transport.write(b"unsent or sent")
            raise error("raised")

        def readConnectionLost(self) -> None: ...

        def writeConnectionLost(self) -> None: ...

    world.talk(kind, Raising, lambda plain: (plain.sendall(b"?"), time.sleep(0.05)))
    assert len(loggedErrors()) == 1
    (protocol,) = world.protocols
    (reason,) = protocol.lost
    assert reason.check(error)
    assert [event["system"] for event in world.messages if event["isError"]] == [protocol.name]


# The log


@everyKind
def test_logContext(world: World, kind: str) -> None:
    """
    It is told of the connection, whatever that is called at the moment, and only during its events.
    """

    class Saying(Recording):
        def dataReceived(self, data: bytes) -> None:
            log.msg("mine", connection=self.transport.logstr)
            if data == b"first":
                self.transport.logstr = "renamed"
                world.reactor.callLater(0, log.msg, "nobody's", connection="-")
                log.callWithContext({"system": "inner"}, log.msg, "mine", connection="inner")
                log.msg("mine")

        def connectionLost(self, reason: Any = None) -> None:
            log.msg("mine", connection="renamed")

    def peer(plain: socket.socket) -> None:
        sayTwice(plain)
        plain.close()
        time.sleep(0.05)

    world.talk(kind, Saying, peer)
    said = [event for event in world.messages if event["message"][:1] in (("mine",), ("nobody's",))]
    assert len(said) == 6
    for event in said:
        assert event["system"] == event.get("connection", event["system"])


# What dataReceived returns


@pytest.mark.parametrize("half", [False, True], ids=["", "halfCloseable"])
@pytest.mark.parametrize("returned", [ConnectionDone(), ConnectionLost(), "text", 0])
@pytest.mark.filterwarnings("ignore:Returning a value other than None:DeprecationWarning")
def test_whatDataReceivedReturns(world: World, returned: Any, half: bool) -> None:
    """
    Up to Twisted 26.4 it is the reason to disconnect, as if the read had ended with it; from then on it is nothing.
    """
    told: list[str] = []

    class Returning(Recording):
        def dataReceived(self, data: bytes) -> Any:
            super().dataReceived(data)
            return returned

    @implementer(IHalfCloseableProtocol)
    class HalfCloseable(Returning):
        def readConnectionLost(self) -> None:
            told.append("read")

        def writeConnectionLost(self) -> None: ...

    def peer(plain: socket.socket) -> None:
        sayTwice(plain)
        world.reactor.callFromThread(lambda: told.append(f"lost {len(world.protocols[0].lost)}"))
        time.sleep(0.02)

    world.talk("tcpServer", HalfCloseable if half else Returning, peer)
    (protocol,) = world.protocols
    if "rval" not in tcp.Connection._dataReceived.__code__.co_varnames or not returned:
        assert (protocol.received, told) == ([b"first", b"second"], ["lost 0"])
    elif half and isinstance(returned, ConnectionDone):
        assert (protocol.received, told) == ([b"first"], ["read", "lost 0"])
    else:
        assert (protocol.received, told) == ([b"first"], ["lost 1"])
        assert protocol.lost[0].value is returned or protocol.lost[0].check(type(returned))


@everyKind
def test_logPrefixReplaced(world: World, kind: str) -> None:
    """
    C{ILoggingContext.logPrefix} is what gives the name.
    """

    class Naming(Recording):
        def connectionMade(self) -> None:
            self.transport.logPrefix = lambda: "mine"

        def dataReceived(self, data: bytes) -> None:
            log.msg("told")

    world.talk(kind, Naming, sayTwice)
    assert [event["system"] for event in world.messages if event["message"] == ("told",)] == ["mine", "mine"]
