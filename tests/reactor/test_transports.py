"""
What a transport promises when it writes and when it ends. Each on the stock reactors and on ours.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from zope.interface import implementer

from tests.certificates import Authority
from tests.reactor.harness import KINDS, LOCAL, Recording, World, readAll, readExactly

# They name the reactors themselves.
pytestmark = pytest.mark.reactorless

everyKind = pytest.mark.parametrize("kind", KINDS)
BIG = bytes(range(251)) * 12_000


def reset(peer: socket.socket) -> None:
    """
    Close it so that the other end is told of a reset.
    """
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


class Push:
    """
    Writes a piece each time it is resumed, and counts what it is told.
    """

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport, self.pieces = transport, pieces
        self.told: list[str] = []

    def resumeProducing(self) -> None:
        self.told.append("resume")
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        if not self.pieces:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def stopProducing(self) -> None:
        self.told.append("stop")


@everyKind
@pytest.mark.parametrize("big", [False, True])
def test_orderIsKept(world: World, kind: str, big: bool) -> None:
    """
    Whichever call it was that wrote: in the kernel's time (big) or in one go.
    """
    a, b, c, d, e, f = (letter * (300_000 if big else 3) for letter in (b"a", b"b", b"c", b"d", b"e", b"f"))

    class Writing(Recording):
        def connectionMade(self) -> None:
            self.transport.write(a)
            self.transport.writeSequence([b, c])
            # It is asked at once, and again when all is sent.
            self.transport.registerProducer(Push(self.transport, [d, e]), False)
            self.transport.loseConnection()
            self.transport.writeSequence((f,))

    def slowly(peer: socket.socket) -> bytes:
        time.sleep(0.05)
        return readAll(peer)

    assert world.talk(kind, Writing, slowly) == a + b + c + d + f + e
    (protocol,) = world.protocols
    assert [type(reason.value) for reason in protocol.lost] == [ConnectionDone]


@everyKind
def test_pushProducer(world: World, kind: str) -> None:
    """
    It is paused when much is queued, and resumed when that is sent; what it then writes comes after.
    """
    made: list[Push] = []

    class Writing(Recording):
        def connectionMade(self) -> None:
            producer = Push(self.transport, [b"second", b"third"])
            made.append(producer)
            self.transport.registerProducer(producer, True)
            self.transport.write(BIG)
            producer.told.append("written")

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"more" * 100_000)
            self.transport.loseConnection()

    def peer(plain: socket.socket) -> bytes:
        data = readExactly(plain, len(BIG) + len(b"second"))
        plain.sendall(b"?")
        return data + readAll(plain)

    assert world.talk(kind, Writing, peer) == BIG + b"second" + b"more" * 100_000 + b"third"
    assert made[0].told == ["pause", "written", "resume", "pause", "resume"]


@everyKind
def test_slowReaderGetsEverything(world: World, kind: str) -> None:
    class Writing(Recording):
        def connectionMade(self) -> None:
            for start in range(0, len(BIG), 7001):
                self.transport.write(BIG[start : start + 7001])
            self.transport.loseConnection()

    def slowly(peer: socket.socket) -> bytes:
        data, wait = bytearray(), 0
        while more := peer.recv(100_000):
            data += more
            wait += 1
            if wait % 8 == 0:
                time.sleep(0.005)
        return bytes(data)

    assert world.talk(kind, Writing, slowly) == BIG


@everyKind
def test_loseWriteConnection(world: World, kind: str) -> None:
    """
    What was written before arrives, then the end; the other direction stays open.
    """
    events: list[str] = []

    @implementer(IHalfCloseableProtocol)
    class Ending(Recording):
        def connectionMade(self) -> None:
            self.transport.write(BIG)
            self.transport.loseWriteConnection()

        def writeConnectionLost(self) -> None:
            events.append("write")

        def readConnectionLost(self) -> None:
            events.append("read")
            self.transport.loseConnection()

    def peer(plain: socket.socket) -> bytes:
        data = readAll(plain)
        plain.sendall(b"still there")
        plain.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        return data

    assert world.talk(kind, Ending, peer) == BIG
    (protocol,) = world.protocols
    assert b"".join(protocol.received) == b"still there"
    assert events == ["write", "read"]
    assert [type(reason.value) for reason in protocol.lost] == [ConnectionDone]


@everyKind
def test_peerHalfCloses(world: World, kind: str) -> None:
    """
    Who knows of half-close may answer after it.
    """

    @implementer(IHalfCloseableProtocol)
    class Answering(Recording):
        def readConnectionLost(self) -> None:
            self.transport.write(b"".join(self.received))
            self.transport.write(b" and more")
            self.transport.loseConnection()

        def writeConnectionLost(self) -> None:
            raise AssertionError

    def peer(plain: socket.socket) -> bytes:
        plain.sendall(b"question")
        plain.shutdown(socket.SHUT_WR)
        return readAll(plain)

    assert world.talk(kind, Answering, peer) == b"question and more"


@everyKind
def test_abortDropsTheQueue(world: World, kind: str) -> None:
    class Aborting(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"never")
            self.transport.writeSequence([b"to", b"be", b"sent"])
            self.transport.abortConnection()
            self.transport.write(b"nor this")

    def peer(plain: socket.socket) -> bytes:
        plain.sendall(b"?")
        try:
            return readAll(plain)
        except ConnectionResetError:
            return b""

    assert world.talk(kind, Aborting, peer) == b""
    (protocol,) = world.protocols
    assert [type(reason.value) for reason in protocol.lost] == [ConnectionAborted]


@everyKind
@pytest.mark.parametrize("size", [1, 300_000])
def test_writeAfterReset(world: World, kind: str, size: int) -> None:
    """
    The connection is lost, once, and never within C{write}; from then on it does nothing.
    """
    inside: list[bool] = []
    writing = False

    class Writing(Recording):
        def connectionMade(self) -> None:
            # Nobody reads: only writing tells.
            self.transport.pauseProducing()
            # Not before: a connection that is reset while the reactor connects fails otherwise.
            world.reactor.callLater(0.01, lambda: reset(other()))
            self.again()

        def again(self) -> None:
            nonlocal writing
            writing = True
            self.transport.write(b"x" * size)
            self.transport.writeSequence([b"y", b"z"])
            writing = False
            if self.lost:
                world.reactor.callLater(0.01, world.reactor.stop)
            else:
                world.reactor.callLater(0.001, self.again)

        def connectionLost(self, reason: Any = None) -> None:
            super().connectionLost(reason)
            inside.append(writing)
            self.transport.write(b"too late")

    other = world.connection(kind, Writing)
    world.run()
    (protocol,) = world.protocols
    assert [type(reason.value) for reason in protocol.lost] == [ConnectionLost]
    assert inside == [False]


@everyKind
def test_whatIsNoBytes(world: World, kind: str) -> None:
    """
    Text is refused at once, and no part of what was handed over with it is sent.
    """

    class Writing(Recording):
        def connectionMade(self) -> None:
            for write, data in ((self.transport.write, "text"), (self.transport.writeSequence, [b"part", "text"])):
                with pytest.raises(TypeError):
                    write(data)  # type: ignore[operator]
            self.transport.write(b"")
            self.transport.writeSequence([])
            self.transport.writeSequence([b"", b"whole", b""])
            self.transport.loseConnection()

    assert world.talk(kind, Writing, readAll) == b"whole"


# From where one may write


def fromCallLater(world: World, write: Callable[[], None]) -> None:
    world.reactor.callLater(0.01, write)


def fromCallLaterNow(world: World, write: Callable[[], None]) -> None:
    world.reactor.callLater(0, write)


def fromThread(world: World, write: Callable[[], None]) -> None:
    def do() -> None:
        time.sleep(0.02)
        world.reactor.callFromThread(write)

    world.inThread(do)


def fromCallback(world: World, write: Callable[[], None]) -> None:
    deferred: Deferred[None] = Deferred()
    deferred.addCallback(lambda _: write())
    world.reactor.callLater(0.01, deferred.callback, None)


def fromAnotherConnection(world: World, write: Callable[[], None]) -> None:
    class Other(Recording):
        def dataReceived(self, data: bytes) -> None:
            write()

    world.dial(world.listen(Other)).sendall(b"now")


def fromTheEndOfAnotherConnection(world: World, write: Callable[[], None]) -> None:
    class Other(Recording):
        def connectionLost(self, reason: Any = None) -> None:
            if world.reactor.running:
                write()

    world.dial(world.listen(Other)).close()


def fromAnAccept(world: World, write: Callable[[], None]) -> None:
    class Other(Recording):
        def connectionMade(self) -> None:
            write()

    world.dial(world.listen(Other))


def fromADatagram(world: World, write: Callable[[], None]) -> None:
    class Datagrams(DatagramProtocol):
        noisy = False

        def datagramReceived(self, datagram: bytes, address: Any) -> None:
            write()

    port = world.reactor.listenUDP(0, Datagrams(), interface=LOCAL).getHost().port
    world.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).sendto(b"now", (LOCAL, port))


@pytest.mark.parametrize(
    "wherefrom",
    [
        *(fromCallLater, fromCallLaterNow, fromThread, fromCallback, fromAnotherConnection),
        *(fromTheEndOfAnotherConnection, fromAnAccept, fromADatagram),
    ],
)
@pytest.mark.parametrize("kind", ["tcpServer", "unixClient"])
def test_writeFromAnywhere(world: World, kind: str, wherefrom: Callable[[World, Callable[[], None]], None]) -> None:
    """
    Nothing else happens in the reactor: what is written goes out nevertheless.
    """

    class Told(Recording):
        def connectionMade(self) -> None:
            # Not from within the event that made the connection.
            world.reactor.callLater(0.01, wherefrom, world, self.write)

        def write(self) -> None:
            self.transport.write(b"wri")
            self.transport.write(b"tten")

    began = time.monotonic()
    assert world.talk(kind, Told, lambda peer: readExactly(peer, 7)) == b"written"
    assert time.monotonic() - began < 5


@everyKind
def test_goodbyeAtShutdown(world: World, kind: str) -> None:
    """
    What is written while the reactor shuts down is sent, if the shutdown waits for it.
    """
    ended: Deferred[None] = Deferred()

    class Polite(Recording):
        def connectionMade(self) -> None:
            world.reactor.addSystemEventTrigger("before", "shutdown", self.goodbye)
            world.reactor.callLater(0, world.reactor.stop)

        def goodbye(self) -> Deferred[None]:
            self.transport.write(b"good")
            self.transport.write(b"bye")
            self.transport.loseConnection()
            return ended

        def connectionLost(self, reason: Any = None) -> None:
            ended.callback(None)

    other = world.connection(kind, Polite)
    world.run()
    assert readAll(other()) == b"goodbye"


def test_startTLS(world: World, tmp_path: Path) -> None:
    """
    What was written before it goes in the clear, what comes after it encrypted, also in one event.
    """
    authority = Authority(tmp_path)
    certificate = str(authority.issue("localhost", LOCAL))
    context = DefaultOpenSSLContextFactory(certificate, certificate)

    class Upgrading(Recording):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if data == b"upgrade":
                self.transport.write(b"in the ")
                self.transport.write(b"clear")
                self.transport.startTLS(context)
                self.transport.write(b"secret")
                self.transport.writeSequence([b"ly", BIG])
            else:
                self.transport.write(b"bye")
                self.transport.loseConnection()

    def peer(plain: socket.socket) -> bytes:
        plain.sendall(b"upgrade")
        clear = readExactly(plain, len(b"in the clear"))
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with trusting.wrap_socket(plain.dup()) as wrapped:
            data = readExactly(wrapped, len(b"secretly" + BIG))
            wrapped.sendall(b"thanks")
            return clear + data + readAll(wrapped)

    assert world.talk("tcpServer", Upgrading, peer) == b"in the clear" + b"secretly" + BIG + b"bye"
    (protocol,) = world.protocols
    assert protocol.received == [b"upgrade", b"thanks"]


@everyKind
def test_closingWaitsForTheProducer(world: World, kind: str) -> None:
    """
    A connection that is to close stays until its producer, which has nothing at the moment, has been unregistered.
    """

    class Waiting:
        def resumeProducing(self) -> None: ...

        def stopProducing(self) -> None: ...

    class Closing(Recording):
        def connectionMade(self) -> None:
            self.transport.registerProducer(Waiting(), False)
            self.transport.write(b"one")
            self.transport.loseConnection()
            world.reactor.callLater(0.05, self.finish)

        def finish(self) -> None:
            assert self.lost == []
            self.transport.write(b"two")
            self.transport.unregisterProducer()

    assert world.talk(kind, Closing, readAll) == b"onetwo"


@everyKind
def test_whoIsWatched(world: World, kind: str) -> None:
    """
    The reactor tells who reads, and who waits for the kernel to take more.
    """
    found: list[tuple[bool, bool]] = []

    class Full(Recording):
        def connectionMade(self) -> None:
            world.reactor.callLater(0.05, self.look)
            self.transport.write(BIG * 3)

        def look(self) -> None:
            reactor = world.reactor
            found.append((self.transport in reactor.getReaders(), self.transport in reactor.getWriters()))
            if len(found) == 1:
                self.transport.pauseProducing()
                world.reactor.callLater(0.01, self.look)
            else:
                world.reactor.stop()

    world.connection(kind, Full)
    world.run()
    assert found == [(True, True), (False, True)]
