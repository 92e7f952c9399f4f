"""
Any epoll or asyncio reactor, built and run within a test, and connections between it and plain sockets.
"""

from __future__ import annotations

import socket
import threading
from asyncio import new_event_loop
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet import reactor as _installed
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python import log
from twisted.python.failure import Failure

from tests.processes import PATIENCE

installed: Any = _installed
Result = TypeVar("Result")

LOCAL = "127.0.0.1"

# What an asyncio loop does otherwise: it isn't run from within itself, and orders, logs and raises in its own way.
onEpoll = pytest.mark.parametrize("world", ["stock", "ours"], indirect=True)
onAsyncio = pytest.mark.parametrize("world", ["stockAsyncio", "oursAsyncio"], indirect=True)

# The ways to get a connection from the reactor. The other end is a plain socket.
KINDS = ("tcpServer", "tcpClient", "unixServer", "unixClient", "adopted", "adoptedPort")


def asyncioReactor(kind: Callable[[Any], Any]) -> Callable[[], Any]:
    """
    What makes a reactor on an asyncio loop of its own.
    """
    return lambda: kind(new_event_loop())


def closePollers(reactor: Any) -> None:
    """
    Close what a reactor that has run waits with.
    """
    if hasattr(reactor, "_poller"):
        reactor._poller.close()
    else:
        reactor._asyncioEventloop.close()


class World:
    """
    A reactor, and what is done with it in a test.

    @ivar reactor: while it runs it is the process's own, as far as anybody sees.
    @ivar protocols: what was built for the connections, in that order.
    @ivar messages: the log events since the beginning.
    """

    def __init__(self, make: Callable[[], Any], directory: Path) -> None:
        self._directory = directory
        self.reactor = make()
        self.protocols: list[Any] = []
        self.messages: list[dict[str, Any]] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        log.addObserver(self.messages.append)

    def close(self) -> None:
        """
        Take everything apart.
        """
        log.removeObserver(self.messages.append)
        for plain in self._sockets:
            plain.close()
        self.reactor.disconnectAll()
        for protocol in self.protocols:
            # The reactor doesn't know those that are paused.
            if getattr(protocol.transport, "connected", False):
                protocol.transport.connectionLost(Failure(ConnectionDone()))
        self.reactor._uninstallHandler()
        for reader in self.reactor._internalReaders:
            self.reactor.removeReader(reader)
            reader.connectionLost(None)
        self.reactor._internalReaders.clear()
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        closePollers(self.reactor)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    # Running

    def run(self) -> None:
        """
        Run the reactor until something stops it.
        """
        late = self.reactor.callLater(PATIENCE, self.reactor.stop)
        # As Twisted's own ReactorBuilder does it: what imports the reactor in the meantime gets this one.
        state = installed.__dict__, installed.__class__
        installed.__dict__, installed.__class__ = self.reactor.__dict__, self.reactor.__class__
        try:
            self.reactor.run(installSignalHandlers=False)
        finally:
            installed.__dict__, installed.__class__ = state
        assert late.active(), f"not after {PATIENCE:g} s"
        late.cancel()

    def whileDoing(self, what: Callable[[], Result]) -> Result:
        """
        Run the reactor while a thread does something that may block.
        """
        results: list[Result] = []
        errors: list[BaseException] = []

        def do() -> None:
            try:
                results.append(what())
            except BaseException as error:
                errors.append(error)
            finally:
                self.reactor.callFromThread(self.reactor.stop)

        thread = self.inThread(do)
        self.run()
        # The reactor may stop before the thread has come out of the call that stops it, and wakes it up.
        thread.join(PATIENCE)
        if errors:
            raise errors[0]
        return results[0]

    def inThread(self, what: Callable[[], object]) -> threading.Thread:
        """
        Do something that may block.
        """
        thread = threading.Thread(target=what, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    # Connections

    def factory(self, protocol: Callable[[], Any]) -> ClientFactory:
        """
        A factory for either side. What it builds is remembered.
        """
        world = self

        class Building(ClientFactory):
            noisy = False

            def buildProtocol(self, address: Any) -> Any:
                built = protocol()
                built.factory = self
                world.protocols.append(built)
                return built

        return Building()

    def listen(self, protocol: Callable[[], Any]) -> int:
        """
        Have the reactor listen.
        """
        return int(self.reactor.listenTCP(0, self.factory(protocol), interface=LOCAL).getHost().port)

    def keep(self, plain: socket.socket) -> socket.socket:
        """
        Close it at the end.
        """
        self._sockets.append(plain)
        if plain.type == socket.SOCK_STREAM:
            plain.settimeout(PATIENCE)
        return plain

    def dial(self, port: int) -> socket.socket:
        """
        Connect a plain socket.
        """
        return self.keep(socket.create_connection((LOCAL, port)))

    def connection(self, kind: str, protocol: Callable[[], Any]) -> Callable[[], socket.socket]:
        """
        Begin a connection.

        @return: what gives its other end, when the reactor has had time to connect.
        """
        factory, path = self.factory(protocol), str(self._directory / "socket")
        if kind == "unixServer":
            self.reactor.listenUNIX(path, factory)
            peer = self.keep(socket.socket(socket.AF_UNIX))
            peer.connect(path)
            return lambda: peer
        if kind == "tcpServer":
            peer = self.dial(self.reactor.listenTCP(0, factory, interface=LOCAL).getHost().port)
            return lambda: peer
        isUnix = kind == "unixClient"
        listener = self.keep(socket.socket(socket.AF_UNIX if isUnix else socket.AF_INET))
        listener.bind(path if isUnix else (LOCAL, 0))
        listener.listen()
        if kind == "unixClient":
            self.reactor.connectUNIX(path, factory)
        elif kind == "tcpClient":
            self.reactor.connectTCP(LOCAL, listener.getsockname()[1], factory)
        elif kind == "adopted":
            with socket.create_connection(listener.getsockname()) as ours:
                ours.setblocking(False)
                self.reactor.adoptStreamConnection(ours.fileno(), socket.AF_INET, factory)
        else:
            listener.setblocking(False)
            self.reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, factory)
            peer = self.dial(listener.getsockname()[1])
            return lambda: peer
        return lambda: self.keep(listener.accept()[0])

    def talk(self, kind: str, protocol: Callable[[], Any], peer: Callable[[socket.socket], Result]) -> Result:
        """
        Connect, and run the reactor while the other end, which may block, does its part.
        """
        other = self.connection(kind, protocol)
        return self.whileDoing(lambda: peer(other()))


class Recording(Protocol):
    """
    Keeps what it is told.

    @ivar lost: why, each time it was told that its connection is lost.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.append(reason)


def readAll(peer: socket.socket) -> bytes:
    """
    All until the end of the stream.
    """
    data = bytearray()
    while more := peer.recv(1 << 20):
        data += more
    return bytes(data)


def readExactly(peer: socket.socket, count: int) -> bytes:
    """
    So many bytes.
    """
    data = bytearray()
    while len(data) < count and (more := peer.recv(count - len(data))):
        data += more
    return bytes(data)
