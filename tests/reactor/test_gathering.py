"""
What goes wrong most easily when writes are gathered: the order, and who is forgotten. Each on the stock reactors and
on ours.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.reactor.harness import KINDS, Recording, World, onEpoll, readExactly

# They name the reactors themselves.
pytestmark = pytest.mark.reactorless

everyKind = pytest.mark.parametrize("kind", KINDS)
# More connections than send together.
MANY = 40


class Peers:
    """
    Connections of the reactor's, each with its other end, a socket that doesn't block.
    """

    def __init__(self, world: World, protocol: Any, count: int, kind: str = "tcpServer") -> None:
        self.world = world
        self.sockets: list[socket.socket] = []
        if kind == "tcpServer":
            port = world.listen(protocol)
            self.sockets = [world.dial(port) for _ in range(count)]
        else:
            self._other = world.connection(kind, protocol)
        self._count = count
        world.reactor.callLater(0.1, self._begin)

    def _begin(self) -> None:
        if not self.sockets:
            self.sockets.append(self._other())
        for plain in self.sockets:
            plain.setblocking(False)
        self.protocols = self.world.protocols
        assert len(self.protocols) == self._count
        self.begin()

    def begin(self) -> None:
        raise AssertionError("each test has its own")

    def drain(self, number: int = 0) -> bytes:
        """
        Whatever has come.
        """
        got = bytearray()
        with suppress(BlockingIOError):
            while data := self.sockets[number].recv(1 << 20):
                got += data
        return bytes(got)


@pytest.mark.parametrize("size", [1, 2000])
@pytest.mark.parametrize("kind", ["tcpServer", "unixServer", "unixClient"])
def test_theOrderWhenTheSocketIsFull(world: World, kind: str, size: int) -> None:
    """
    What the socket has taken nothing of goes before what is written when there is room again, in the same turn.
    """
    got = bytearray()
    written = []

    class Filling(Peers):
        def begin(self) -> None:
            transport: Any = self.protocols[0].transport
            if size == 1 and not written:
                # Or it would take a hundred thousand small writes.
                transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                self.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            data = (b"%07d\n" % len(written)) * size
            if transport.dataBuffer or transport._tempDataLen:
                got.extend(self.drain())
                world.reactor.callLater(0.1, self.end)
            else:
                world.reactor.callLater(0, self.begin)
            written.append(data)
            transport.write(data)

        def end(self) -> None:
            got.extend(self.drain())
            if len(got) < sum(map(len, written)):
                world.reactor.callLater(0.01, self.end)
            else:
                world.reactor.stop()

    Filling(world, Recording, 1, kind)
    world.run()
    assert bytes(got) == b"".join(written)


def test_toldThatThereIsRoomAndWrittenToSince(world: World) -> None:
    """
    epoll tells of three events: two connections are to be read, one may write on. The first event's writes make many
    send, that one too; the second event writes more to it than there is room for. Then comes its turn.
    """
    got = bytearray()
    filler, much = b"f" * 99_999 + b"\n", b"C" * 4_000_000 + b"\n"
    fillers = 0

    class Told(Peers):
        def begin(self) -> None:
            nonlocal fillers
            for number, protocol in enumerate(self.protocols[:2]):
                protocol.dataReceived = (self.first, self.second)[number]
            self.full = self.protocols[2].transport
            if self.full.dataBuffer or self.full._tempDataLen > 300_000:
                world.reactor.callLater(0.1, self.go)
            else:
                fillers += 1
                self.full.write(filler)
                world.reactor.callLater(0.002, self.begin)

        def go(self) -> None:
            # Those two are told of first, since they were ready first.
            self.sockets[0].send(b"x")
            self.sockets[1].send(b"x")
            got.extend(self.drain(2))
            world.reactor.callLater(0.01, self.readOn, 50)

        def first(self, data: bytes) -> None:
            self.full.write(b"second\n")
            for protocol in self.protocols[3:]:
                protocol.transport.write(b"x")

        def second(self, data: bytes) -> None:
            self.full.write(much)

        def readOn(self, left: int) -> None:
            got.extend(self.drain(2))
            if left == 25:
                self.full.write(b"last\n")
            if left and not got.endswith(b"last\n"):
                world.reactor.callLater(0.01, self.readOn, left - 1)
            else:
                world.reactor.stop()

    Told(world, Recording, MANY)
    world.run()
    assert bytes(got) == filler * fillers + b"second\n" + much + b"last\n"


@pytest.mark.parametrize("kind", ["tcpServer", "tcpClient", "unixServer", "unixClient"])
@pytest.mark.parametrize("unread", [True, False], ids=["reset", "closed"])
def test_whatAPeerSaidBeforeItWentIsRead(world: World, kind: str, unread: bool) -> None:
    """
    Also when the first to notice is a write, which fails.
    """

    class Going(Peers):
        def begin(self) -> None:
            self.protocols[0].transport.write(b"part of a long request")
            world.reactor.callLater(0.05, self.go)

        def go(self) -> None:
            if not unread:
                self.drain()
            self.sockets[0].send(b"413 too large")
            self.sockets[0].close()
            self.protocols[0].transport.write(b"more of the request")
            world.reactor.callLater(0.1, world.reactor.stop)

    Going(world, Recording, 1, kind)
    world.run()
    (protocol,) = world.protocols
    assert protocol.received == [b"413 too large"]
    assert len(protocol.lost) == 1


@onEpoll
@pytest.mark.parametrize("raises", [False, True], ids=["iterates", "raises"])
def test_whoEndsWhileOthersAreToSend(world: World, raises: bool, loggedErrors: Callable[[], list[str]]) -> None:
    """
    It may turn the reactor, or let something through that ends the turn: the others send all the same.
    """

    class Ending(Recording):
        def connectionLost(self, reason: Any = None) -> None:
            super().connectionLost(reason)
            if self is world.protocols[0] and world.reactor.running:
                if raises:
                    raise KeyboardInterrupt
                until = time.monotonic() + 1
                while not got and time.monotonic() < until:
                    world.reactor.iterate(0.01)
                    got.append(peers.drain(1))

    class Two(Peers):
        def begin(self) -> None:
            self.protocols[0].transport.loseConnection()
            self.protocols[1].transport.write(b"hello")
            world.reactor.callLater(0.1, self.again)

        def again(self) -> None:
            got.append(self.drain(1))
            self.protocols[1].transport.write(b"more")
            world.reactor.callLater(0.1, self.end)

        def end(self) -> None:
            got.append(self.drain(1))
            world.reactor.stop()

    got: list[bytes] = []
    peers = Two(world, Ending, 2)
    world.run()
    assert b"".join(got) == b"hellomore"
    assert len(loggedErrors()) == int(raises)
    if not raises:
        assert got[0] == b"hello"


@pytest.mark.parametrize("kind", ["unixServer", "unixClient"])
def test_aDescriptorBeforeItsByte(world: World, kind: str) -> None:
    """
    The byte that it goes with may be written later in the same turn.
    """

    class Passing(Recording):
        def dataReceived(self, data: bytes) -> None:
            transport: Any = self.transport
            transport.sendFileDescriptor(reading)
            world.reactor.callLater(0, transport.write, b"with it")

    def peer(plain: socket.socket) -> tuple[bytes, bytes]:
        plain.sendall(b"?")
        data, passed, _, _ = socket.recv_fds(plain, 100, 2)
        data += readExactly(plain, len(b"with it") - len(data))
        (received,) = passed
        os.write(writing, b"x")
        try:
            return data, os.read(received, 10)
        finally:
            os.close(received)

    reading, writing = os.pipe()
    try:
        assert world.talk(kind, Passing, peer) == (b"with it", b"x")
    finally:
        os.close(reading)
        os.close(writing)


def test_aPausedOneThatIsToSendWhenTheReactorStops(world: World) -> None:
    """
    It is told of its end as all others are.
    """

    class Pausing(Peers):
        def begin(self) -> None:
            transport: Any = self.protocols[0].transport
            transport.pauseProducing()
            transport.write(b"x")
            world.reactor.stop()

    Pausing(world, Recording, 1)
    world.run()
    assert len(world.protocols[0].lost) == 1


@everyKind
def test_anEmptyWriteIsNone(world: World, kind: str) -> None:
    """
    To a peer that has gone, while nobody reads: nothing notices, as nothing was to be sent.
    """

    class Empty(Peers):
        def begin(self) -> None:
            transport: Any = self.protocols[0].transport
            transport.write(b"x")
            transport.pauseProducing()
            world.reactor.callLater(0.02, self.go)

        def go(self) -> None:
            self.sockets[0].close()
            self.protocols[0].transport.write(b"")
            world.reactor.callLater(0.05, self.end)

        def end(self) -> None:
            lost.extend(self.protocols[0].lost)
            world.reactor.stop()

    lost: list[Any] = []
    Empty(world, Recording, 1, kind)
    world.run()
    assert lost == []


# Stock has each wait for the next turn.
@pytest.mark.parametrize("world", ["ours"], indirect=True)
def test_whoHasWrittenWaitsForNoSlowOnes(world: World) -> None:
    """
    What one connection writes is sent before the protocols of many others have each taken their time.
    """
    before: list[int] = []
    taken = 0

    class Slow(Peers):
        def begin(self) -> None:
            for protocol in self.protocols:
                protocol.dataReceived = lambda data, protocol=protocol: self.takeTime(protocol)
            # All in one turn.
            for plain in self.sockets:
                plain.send(b"x")

        def takeTime(self, protocol: Any) -> None:
            nonlocal taken
            answered = [number for number in range(len(self.sockets)) if self.drain(number)]
            before.append(len(answered))
            protocol.transport.write(b"answer")
            taken += 1
            if taken == len(self.protocols):
                world.reactor.stop()
            # The reactor's clock moves in steps of up to 10 ms.
            time.sleep(0.02)

    Slow(world, Recording, 8)
    world.run()
    # Each sees the answer of the one before, but for the first.
    assert before == [0] + [1] * 7
