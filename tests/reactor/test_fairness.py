"""
What a reactor promises to those who stop it, turn it from within, or wait for their turn. Each on the stock reactor and
on ours.
"""

from __future__ import annotations

import resource
import socket
import threading
import time
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone

from tests.reactor.harness import KINDS, LOCAL, Recording, World, onEpoll, readExactly

# They name the reactors themselves.
pytestmark = pytest.mark.reactorless

everyKind = pytest.mark.parametrize("kind", KINDS)


@onEpoll
@everyKind
def test_iterateFromWithin(world: World, kind: str) -> None:
    """
    The reactor may be turned from within an event: what happens then happens in between.
    """

    class Turning(Recording):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if data == b"first":
                self.transport.write(b"one")
                until = time.monotonic() + 3
                while len(self.received) == 1 and time.monotonic() < until:
                    world.reactor.iterate(0.02)
                self.transport.write(b"three")
            else:
                self.transport.write(b"two")

    def peer(plain: socket.socket) -> bytes:
        plain.sendall(b"first")
        data = readExactly(plain, 3)
        plain.sendall(b"second")
        return data + readExactly(plain, 8)

    assert world.talk(kind, Turning, peer) == b"onetwothree"
    assert world.protocols[0].received == [b"first", b"second"]


@onEpoll
@everyKind
def test_stopFromWithin(world: World, kind: str) -> None:
    """
    Who stops the reactor within an event is told of nothing more but the end.
    """

    class Stopping(Recording):
        def connectionMade(self) -> None:
            self.transport.bufferSize = 10

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(b"x")
            world.reactor.stop()

    other = world.connection(kind, Stopping)
    world.inThread(lambda: other().sendall(bytes(100)))
    world.run()
    (protocol,) = world.protocols
    assert (len(protocol.received), len(protocol.lost)) == (1, 1)


def test_manyConnectionsAtOnce(world: World) -> None:
    """
    Two thousand, both ends of each here, opened at once; each is told of its own bytes and of its end, once.
    """
    count = 2000
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    ends = 0

    class Counting(Recording):
        def connectionLost(self, reason: Any = None) -> None:
            nonlocal ends
            super().connectionLost(reason)
            ends += 1
            if ends == 2 * count:
                world.reactor.stop()

    class Echo(Counting):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    numbers = iter(range(count))

    class Asking(Counting):
        def connectionMade(self) -> None:
            self.number = b"%05d" % next(numbers)
            self.transport.write(self.number)

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if b"".join(self.received) == self.number:
                self.transport.loseConnection()

    port = world.reactor.listenTCP(0, world.factory(Echo), backlog=count, interface=LOCAL).getHost().port
    for _ in range(count):
        world.reactor.connectTCP(LOCAL, port, world.factory(Asking))
    world.run()
    assert {len(protocol.lost) for protocol in world.protocols} == {1}
    assert len(world.protocols) == 2 * count


@pytest.mark.parametrize("flood", ["bytes", "connections"])
def test_floodKeepsNobodyWaiting(world: World, flood: str) -> None:
    """
    One peer sends as fast as it can, or connects and leaves; another one's questions are answered all the same.
    """

    class Echo(Recording):
        def dataReceived(self, data: bytes) -> None:
            if len(data) < 10:
                self.transport.write(data)

    port = world.listen(Echo)
    over = threading.Event()

    def flooding() -> None:
        with socket.create_connection((LOCAL, port)) as plain:
            plain.settimeout(1)
            while not over.is_set():
                try:
                    if flood == "bytes":
                        plain.sendall(bytes(1_000_000))
                    else:
                        socket.create_connection((LOCAL, port), 1).close()
                except OSError:
                    return

    plain = world.dial(port)

    def asking() -> float:
        world.inThread(flooding)
        time.sleep(0.1)
        began = time.monotonic()
        for _ in range(50):
            plain.sendall(b"?")
            assert readExactly(plain, 1) == b"?"
        return time.monotonic() - began

    try:
        assert world.whileDoing(asking) < 3
    finally:
        over.set()


@everyKind
def test_endIsToldToWhoReads(world: World, kind: str) -> None:
    """
    All that the peer sent before it closed arrives before the end does.
    """

    def peer(plain: socket.socket) -> None:
        plain.sendall(bytes(500_000))
        plain.close()
        time.sleep(0.1)

    world.talk(kind, Recording, peer)
    (protocol,) = world.protocols
    assert sum(map(len, protocol.received)) == 500_000
    assert [type(reason.value) for reason in protocol.lost] == [ConnectionDone]
