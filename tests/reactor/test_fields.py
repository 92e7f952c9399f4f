"""
What stands in a transport's slots and is known to compiled code: changed, replaced and taken away by others. And what a
turn of the loop does beside its events. On the stock reactors and on ours.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import abstract
from twisted.internet.main import CONNECTION_LOST

from tests.reactor.harness import LOCAL, Recording, World, onEpoll, readAll, readExactly

# They name the reactors themselves.
pytestmark = pytest.mark.reactorless

tcpKinds = pytest.mark.parametrize("kind", ["tcpServer", "tcpClient"])
BIG = 300_000


class Sized(Recording):
    """
    Sets how much is read at once, and reads when something has gathered.
    """

    size: int | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * BIG)
        if self.size is not None:
            transport.bufferSize = self.size
        transport.pauseProducing()
        transport.reactor.callLater(0.2, transport.resumeProducing)


def sizes(world: World, kind: str, protocol: Callable[[], Any], count: int) -> list[int]:
    """
    In which pieces do so many bytes come?
    """

    def peer(plain: socket.socket) -> None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * BIG)
        plain.sendall(b"x" * count)
        while not world.protocols or sum(map(len, world.protocols[0].received)) < count:
            time.sleep(0.01)

    world.talk(kind, protocol, peer)
    return [len(data) for data in world.protocols[0].received]


@tcpKinds
@pytest.mark.parametrize("size", [1, 10, 65536])
def test_bufferSizeOfOneTransport(world: World, kind: str, size: int) -> None:
    protocol = type("Own", (Sized,), {"size": size})
    assert max(sizes(world, kind, protocol, 3 * size)) == size


def test_moreAtOnce(world: World) -> None:
    """
    More than Twisted reads by itself, in one piece.
    """
    protocol = type("Own", (Sized,), {"size": BIG})
    assert max(sizes(world, "tcpServer", protocol, BIG)) > 65536


@tcpKinds
def test_bufferSizeOfTwistedsClass(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abstract.FileDescriptor, "bufferSize", 7)
    assert max(sizes(world, kind, Sized, 21)) == 7


def test_bufferSizeOfASubclass(world: World) -> None:
    port = world.reactor.listenTCP(0, world.factory(Sized), interface=LOCAL)
    port.transport = type("Own", (port.transport,), {"bufferSize": 5})
    plain = world.dial(port.getHost().port)

    def peer() -> None:
        plain.sendall(b"x" * 10)
        while not world.protocols or len(world.protocols[0].received) < 2:
            time.sleep(0.01)

    world.whileDoing(peer)
    assert world.protocols[0].received == [b"xxxxx", b"xxxxx"]


@tcpKinds
def test_pausesWhenItHasMoreThanItsBufferSize(world: World, kind: str) -> None:
    told: list[str] = []

    class Full(Recording):
        def connectionMade(self) -> None:
            self.transport.bufferSize = 100  # type: ignore[union-attr]
            self.transport.registerProducer(self, True)  # type: ignore[union-attr]

        def dataReceived(self, data: bytes) -> None:
            for _ in range(11):
                told.append("written")
                self.transport.write(b"0123456789")  # type: ignore[union-attr]

        def pauseProducing(self) -> None:
            told.append("paused")

        def resumeProducing(self) -> None:
            told.append("resumed")

        def stopProducing(self) -> None: ...

    def peer(plain: socket.socket) -> bytes:
        plain.sendall(b"?")
        first = readExactly(plain, 110)
        plain.sendall(b"?")
        return first + readExactly(plain, 110)

    assert len(world.talk(kind, Full, peer)) == 220
    assert told == 2 * (["written"] * 11 + ["paused", "resumed"])


@tcpKinds
def test_socketOfAnotherKind(world: World, kind: str) -> None:
    """
    Its methods are called.
    """
    calls: list[str] = []

    class Own(socket.socket):
        __slots__ = ()

        def recv(self, *arguments: Any) -> bytes:
            calls.append("recv")
            return super().recv(*arguments)

        def send(self, data: Any) -> int:
            # A client may be told that it can write when it is connected, and has nothing to send.
            calls.extend(["send"] if data else [])
            return super().send(data)

        def close(self) -> None:
            calls.append("close")
            super().close()

    class Echo(Recording):
        def connectionMade(self) -> None:
            self.transport.socket.__class__ = Own  # type: ignore[union-attr]

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)  # type: ignore[union-attr]

    def peer(plain: socket.socket) -> bytes:
        for _ in range(3):
            plain.sendall(b"?")
            assert readExactly(plain, 1) == b"?"
        plain.shutdown(socket.SHUT_WR)
        return readAll(plain)

    assert world.talk(kind, Echo, peer) == b""
    assert [call for call in calls if call != "recv"] == ["send", "send", "send", "close"]
    assert calls.count("recv") >= 4


@tcpKinds
def test_socketClosedBeneath(world: World, kind: str) -> None:
    """
    Whoever gets its number next gets nothing of what was to go through it, and isn't read from.
    """
    told: list[Any] = []

    class Closing(Recording):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            transport: Any = self.transport
            transport.write(b"first")
            number = transport.fileno()
            kept = os.dup(number)
            transport.socket.close()
            ours, theirs = socket.socketpair()
            assert number in (ours.fileno(), theirs.fileno())
            ours.setblocking(False)
            theirs.setblocking(False)
            theirs.send(b"not for us")
            ours.send(b"not for us")
            sendPlain = getattr(transport, "sendPlain", lambda: False)
            told.extend((sendPlain(), transport.doWrite(), transport.doRead(), ours.recv(100), theirs.recv(100)))
            ours.close()
            theirs.close()
            # As it was.
            os.dup2(kept, number)
            os.close(kept)
            transport.socket = socket.socket(fileno=number)
            transport.fileno = transport.socket.fileno

    def peer(plain: socket.socket) -> bytes:
        plain.sendall(b"?")
        return readExactly(plain, 5)

    assert world.talk(kind, Closing, peer) == b"first"
    assert told == [False, CONNECTION_LOST, CONNECTION_LOST, b"not for us", b"not for us"]


@tcpKinds
def test_producerThatEndsWhatIsBeingLost(world: World, kind: str) -> None:
    """
    C{stopProducing} may do anything to the transport, whose connection is being lost.
    """

    class Ending(Recording):
        def connectionMade(self) -> None:
            self.transport.registerProducer(self, True)  # type: ignore[union-attr]

        def stopProducing(self) -> None:
            self.transport.write(b"late")  # type: ignore[union-attr]
            self.transport.loseConnection()  # type: ignore[union-attr]
            self.transport.abortConnection()  # type: ignore[union-attr]

    world.talk(kind, Ending, lambda plain: plain.close() or time.sleep(0.05))  # type: ignore[func-returns-value]
    assert len(world.protocols[0].lost) == 1


def test_aListeningSocketTells(world: World) -> None:
    """
    Its family and kind are as everywhere, and so are those of what it accepts.
    """
    port = world.reactor.listenTCP(0, world.factory(Recording), interface=LOCAL)
    assert (port.socket.family, port.socket.type) == (socket.AF_INET, socket.SOCK_STREAM)
    plain = world.dial(port.getHost().port)
    told: list[Any] = []

    def look() -> None:
        transport = world.protocols[0].transport
        accepted = transport.socket
        told.extend((accepted.family, accepted.type, type(accepted), accepted.gettimeout(), accepted.get_inheritable()))
        told.extend((transport.getHost().port, transport.getPeer().port))

    def peer() -> None:
        while not world.protocols:
            time.sleep(0.01)
        world.reactor.callFromThread(look)

    numbers = [port.getHost().port, plain.getsockname()[1]]
    world.whileDoing(peer)
    assert told == [socket.AF_INET, socket.SOCK_STREAM, socket.socket, 0.0, False, *numbers]


def test_aFactoryThatDeclines(world: World) -> None:
    """
    One that gives no protocol closes the client; the next one is served.
    """
    port = world.reactor.listenTCP(0, world.factory(Recording), interface=LOCAL)
    build = port.factory.buildProtocol
    answers: list[Callable[[Any], Any]] = [lambda _: None, build]
    port.factory.buildProtocol = lambda address: answers.pop(0)(address)
    number = port.getHost().port

    def peer() -> bytes:
        declined = world.dial(number)
        ended = readAll(declined)
        served = world.dial(number)
        served.sendall(b"x")
        while not (world.protocols and world.protocols[0].received):
            time.sleep(0.01)
        return ended

    assert world.whileDoing(peer) == b""


# A turn of the loop


@onEpoll
def test_timedCallsInTheirOrder(world: World) -> None:
    """
    What is due together runs in the order of its time; what a timed call asks for at once runs in the next turn.
    """
    ran: list[Any] = []
    reactor = world.reactor

    def first() -> None:
        ran.append("first")
        reactor.callLater(0, ran.append, "of the first")

    late = reactor.callLater(0.3, ran.append, "late")
    reactor.callLater(0.2, ran.append, "sooner")
    reactor.callLater(0, first)
    moved = reactor.callLater(30, ran.append, "moved")
    delayed = reactor.callLater(0.1, ran.append, "delayed")
    reactor.callLater(0, moved.reset, 0.25)
    delayed.delay(0.25)
    reactor.callLater(0.45, reactor.stop)
    reactor.callFromThread(ran.append, "of a thread")
    world.run()
    assert ran == ["of a thread", "first", "of the first", "sooner", "moved", "late", "delayed"]
    assert not late.active()


def test_cancelledCallsAreThrownAway(world: World) -> None:
    reactor = world.reactor
    for _ in range(1000):
        reactor.callLater(60, lambda: None).cancel()
    later = [reactor.callLater(60, lambda: None) for _ in range(1000)]

    def cancel() -> None:
        for call in later:
            call.cancel()
        reactor.callLater(0.01, check)

    def check() -> None:
        left.append(len(reactor._pendingTimedCalls))
        reactor.stop()

    left: list[int] = []
    reactor.callLater(0, cancel)
    world.run()
    assert left[0] < 60


@onEpoll
def test_whatATurnRaisesIsLogged(world: World, loggedErrors: Callable[[], list[str]]) -> None:
    reactor = world.reactor
    reactor.callLater(0, lambda: 1 / 0)
    reactor.callFromThread(lambda: {}["x"])
    reactor.callLater(0.02, reactor.stop)
    world.run()
    assert sorted(loggedErrors()) == ["while calling from thread", "while handling timed call"]


def test_crash(world: World) -> None:
    """
    The loop ends, and nothing else; it may go on later.
    """
    ran: list[str] = []
    world.reactor.callLater(0, world.reactor.crash)
    world.reactor.callLater(0.05, ran.append, "later")
    world.run()
    assert ran == []
    world.reactor.callLater(0.1, world.reactor.stop)
    world.run()
    assert ran == ["later"]


@onEpoll
@pytest.mark.parametrize("raises", [False, True])
def test_signalWhileItWaits(world: World, raises: bool, loggedErrors: Callable[[], list[str]]) -> None:
    """
    Its handler runs at once. If it raises, that is logged, and the loop goes on.
    """
    told: list[float] = []

    def handle(number: int, frame: object) -> None:
        told.append(time.monotonic())
        world.reactor.callFromThread(world.reactor.stop)
        if raises:
            raise ZeroDivisionError

    before = signal.signal(signal.SIGALRM, handle)
    begun = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        world.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(told) == 1
    assert told[0] - begun < 5
    assert loggedErrors() == (["Unexpected error in main loop"] if raises else [])


def test_wokenByAThread(world: World) -> None:
    told: list[str] = []

    def wait() -> None:
        time.sleep(0.1)
        world.reactor.callFromThread(told.append, "woken")
        world.reactor.callFromThread(world.reactor.stop)

    world.inThread(wait)
    begun = time.monotonic()
    world.run()
    assert told == ["woken"]
    assert time.monotonic() - begun < 5


@tcpKinds
def test_forkedWithin(world: World, kind: str) -> None:
    """
    A child that a handler has forked ends; its parent goes on.
    """

    class Forking(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)  # type: ignore[union-attr]
            child = os.fork()
            if child == 0:
                os._exit(3)
            super().dataReceived(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def peer(plain: socket.socket) -> None:
        for message in (b"1", b"2"):
            plain.sendall(message)
            assert readExactly(plain, 1) == message

    world.talk(kind, Forking, peer)
    assert world.protocols[0].received == [b"3", b"3"]


def test_otherThreadsHaveTheirTurn(world: World) -> None:
    """
    A thread that computes gets on while the reactor is busy.
    """
    counted: list[int] = []
    over = threading.Event()

    def count() -> None:
        number = 0
        while not over.is_set():
            number += 1
        counted.append(number)

    class Echo(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)  # type: ignore[union-attr]

    def peer(plain: socket.socket) -> None:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            plain.sendall(b"?")
            assert readExactly(plain, 1) == b"?"
        over.set()

    world.inThread(count)
    world.talk("tcpServer", Echo, peer)
    while not counted:
        time.sleep(0.01)
    assert counted[0] > 1000
