"""
The twins of the reactor's turn, and of a connection's beginning and end: that they are used, what they leave to the
Python, and what must not matter to them. What they have to do is in C{tests/reactor} and C{tests/server}.
"""

from __future__ import annotations

import gc
import inspect
import os
import socket
import subprocess
import sys
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from tests.processes import ROOT
from tests.reactor.harness import LOCAL, Recording, World, readAll, readExactly
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.reactor import EPollReactor, transports
from wasinet_twisted.server import HttpServer
from wasinet_twisted.server.protocol import HttpProtocol

COMPILED = not (inspect.isfunction(EPollReactor.doPoll) or inspect.isfunction(HttpProtocol.close))
pytestmark = [
    pytest.mark.reactorless,
    pytest.mark.skipif(not COMPILED, reason="the reactor has no compiled twins in this process"),
]

GET = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# The reason that the reactor gives for all orderly ends.
DONE = EPollReactor._disconnectSelectable.__defaults__[0][ConnectionDone]  # type: ignore[index]
FIELDS: tuple[str, ...] = transports._Fields.__slots__


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """
    Our reactor, and what is done with it in a test.
    """
    world = World(EPollReactor, tmp_path)
    try:
        yield world
    finally:
        world.close()


class Calls:
    """
    Which Python functions the reactor's thread calls while C{on}.
    """

    def __init__(self) -> None:
        self.on = False
        self.names: list[str] = []

    def __enter__(self) -> Calls:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: Any, event: str, argument: object) -> None:
        if self.on and event == "call":
            self.names.append(frame.f_code.co_qualname)


class Echo(Recording):
    """
    Gives back what it gets.
    """

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


def echoed(plain: socket.socket, times: int, message: bytes = b"?") -> None:
    """
    Have so many messages echoed.
    """
    for _ in range(times):
        plain.sendall(message)
        assert readExactly(plain, len(message)) == message


# That they are used


@pytest.mark.parametrize("kind", ["tcpServer", "tcpClient", "adopted", "adoptedPort"])
def test_anEchoIsCompiled(world: World, kind: str) -> None:
    """
    Of the Python there is the protocol's C{dataReceived}, and nothing else but the loop.
    """

    def peer(plain: socket.socket) -> None:
        echoed(plain, 3)
        calls.on = True
        echoed(plain, 20)
        calls.on = False

    with Calls() as calls:
        world.talk(kind, Echo, peer)
    assert calls.names.count("Echo.dataReceived") == 20
    of = ("Gathering.", "Connection.", "FileDescriptor.", "EPollReactor.doPoll", "EPollReactor._", "callWith")
    # Up to Twisted 26.4 that one says what becomes of dataReceived's result.
    asked = {"Connection._dataReceived"} if "rval" in Connection._dataReceived.__code__.co_varnames else set()
    assert {name for name in calls.names if name.startswith(of)} - asked == set()


def test_aTurnIsCompiledWithManyConnections(world: World) -> None:
    """
    More than send together.
    """
    port = world.listen(Echo)
    plains = [world.dial(port) for _ in range(45)]

    def peer() -> None:
        for plain in plains:
            echoed(plain, 1)
        calls.on = True
        for _ in range(5):
            for plain in plains:
                plain.sendall(b"x" * 100)
            for plain in plains:
                assert readExactly(plain, 100) == b"x" * 100
        calls.on = False

    with Calls() as calls:
        world.whileDoing(peer)
    assert calls.names.count("Echo.dataReceived") == 5 * 45
    assert not {"Gathering.sendPlain", "EPollReactor._sendAll", "EPollReactor._call"} & set(calls.names)


def test_aShortConnectionIsCompiled(world: World) -> None:
    """
    Accepted, answered and closed: of Twisted's transports no Python is called, nor of the server's Protocol what makes,
    closes and loses it.
    """
    server = HttpServer(lambda request: WasiResponse(body=b"x"), reactor=world.reactor)
    port = world.reactor.listenTCP(0, server, interface=LOCAL).getHost().port

    def peer() -> None:
        for number in range(6):
            calls.on = number > 0
            with socket.create_connection((LOCAL, port)) as plain:
                plain.sendall(GET)
                assert readAll(plain).endswith(b"\r\n\r\nx")
        while server.statistics.openConnections:
            time.sleep(0.01)
        calls.on = False

    with Calls() as calls:
        world.whileDoing(peer)
    assert calls.names.count("HttpServer.connectionGone") >= 5
    of = (
        "Port.doRead",
        "_accept",
        "Server.__init__",
        "Connection.connectionLost",
        "Connection.doRead",
        "FileDescriptor.",
    )
    slow = [name for name in calls.names if name.startswith((*of, "Gathering.sendNow", "Gathering.loseConnection"))]
    assert slow == []
    made = {"HttpProtocol.__init__", "HttpProtocol.connectionMade", "Lifecycle.close", "Lifecycle.connectionLost"}
    assert not made & set(calls.names)
    assert server.statistics.accepted == 6


# What is left to the Python


def calledFor(world: World, do: Callable[[Any], object]) -> list[str]:
    """
    Which of our Python is called when C{do(transport)} is done at the first message, and b"done" written after it?
    """
    port = world.listen(Echo)
    calls = Calls()

    class Doing(Recording):
        def dataReceived(self, data: bytes) -> None:
            if data == b"!":
                calls.on = True
                do(self.transport)
            self.transport.write(data)  # type: ignore[union-attr]

    port = world.listen(Doing)
    plain = world.dial(port)

    def peer() -> bytes:
        echoed(plain, 2)
        plain.sendall(b"!")
        return readExactly(plain, 1)

    with calls:
        assert world.whileDoing(peer)
    return calls.names


class Bytes(bytes):
    """
    Of another class.
    """


@pytest.mark.parametrize(
    ("do", "name"),
    [
        (lambda transport: transport.write(Bytes(b"!")), "Gathering.write"),
        (lambda transport: transport.write(b""), "Gathering.write"),
        (lambda transport: transport.registerProducer(Producer(), False), "Gathering._isPlain"),
        (lambda transport: setattr(transport, "doRead", lambda: None), "calledFor.<locals>.Doing.dataReceived"),
    ],
)
def test_theUnusualIsPythons(world: World, do: Callable[[Any], object], name: str) -> None:
    assert name in ["calledFor.<locals>.Doing.dataReceived", *calledFor(world, do)]


class Producer:
    """
    Produces nothing.
    """

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


# What must not matter


@pytest.mark.parametrize("missing", FIELDS)
def test_aSlotThatIsNotThere(world: World, missing: str) -> None:
    """
    An exception is all that may come of it.
    """

    class Deleting(Recording):
        def dataReceived(self, data: bytes) -> None:
            transport: Any = self.transport
            transport.write(b"x")
            kept = {name: getattr(transport, name) for name in FIELDS}
            delattr(transport, missing)
            for call in (
                lambda: transport.write(b"y"),
                transport.sendPlain,
                transport.doRead,
                lambda: world.reactor.removeReader(transport),
                lambda: world.reactor.addReader(transport),
                transport.loseConnection,
                lambda: transport.connectionLost(Failure(CONNECTION_DONE)),
            ):
                with suppress(AttributeError, TypeError):
                    call()
                told.append(call)
                if missing == "reactor" and len(told) == 5:
                    break
            if not hasattr(transport, missing) and transport.connected:
                setattr(transport, missing, kept[missing])
                transport.abortConnection()

    told: list[object] = []

    def peer(plain: socket.socket) -> None:
        plain.sendall(b"?")
        with suppress(ConnectionError):
            readAll(plain)

    world.talk("tcpServer", Deleting, peer)
    assert len(told) >= 5


def test_oneThatWasNeverMade() -> None:
    """
    An object without any of its parts: nothing but exceptions.
    """
    bare = transports.Server.__new__(transports.Server)
    assert (bare._plain, bare.dirty, bare.bufferSize) == (False, False, 65536)
    # It isn't connected.
    bare.write(b"y")
    bare.loseConnection()
    bare.connectionLost(Failure(CONNECTION_DONE))
    assert not bare.sendPlain()
    with pytest.raises(AttributeError):
        bare.doRead()
    bare._plain = True
    with pytest.raises(AttributeError):
        bare.sendPlain()
    with pytest.raises(AttributeError):
        bare.write(b"y")


class Foreign:
    """
    What is no transport of ours, with something of its own where such a one has its slots.
    """

    __slots__ = tuple(f"field{number}" for number in range(40))

    def __init__(self, value: object) -> None:
        for each in self.__slots__:
            setattr(self, each, value)


@pytest.mark.parametrize("value", [True, None, []])
def test_methodsCalledWithAnythingElse(value: object) -> None:
    methods: Any = transports.Server
    for call in (methods.doRead, methods.sendPlain):
        with pytest.raises(AttributeError):
            call(Foreign(value))
    with pytest.raises(AttributeError):
        methods.write(Foreign(value), b"x")
    for call in (methods.loseConnection, lambda each: methods.connectionLost(each, Failure(CONNECTION_DONE))):
        with pytest.raises((AttributeError, TypeError)):
            call(Foreign(value))


def test_aReactorThatIsTakenAwayAtTheEnd(world: World) -> None:
    """
    By the producer, which is asked to stop: then nothing is taken from epoll.
    """

    class Taking(Producer):
        def stopProducing(self) -> None:
            del transport.reactor

    with socket.create_server((LOCAL, 0)) as listening, socket.create_connection(listening.getsockname()):
        accepted, client = listening.accept()
        transport: Any = transports.Server(accepted, Recording(), client, None, 0, world.reactor)
        transport.registerProducer(Taking(), True)
        with pytest.raises(AttributeError):
            transport.connectionLost(DONE)
        assert transport in world.reactor.getReaders()
        transport.reactor = world.reactor
        protocol = transport.protocol
        transport.connectionLost(DONE)
        assert transport not in world.reactor.getReaders()
        assert protocol.lost == [DONE]


def test_fieldsOfAnotherKind(world: World) -> None:
    """
    Whatever somebody puts there is Python's affair.
    """
    told: list[type[BaseException]] = []

    class Meddling(Recording):
        def dataReceived(self, data: bytes) -> None:
            transport: Any = self.transport
            transport.write(b"x")
            for name, value in (
                ("_tempDataBuffer", (b"x",)),
                ("_tempDataLen", 1.5),
                ("bufferSize", "many"),
                ("reactor", object()),
                ("_tempDataBuffer", [object()]),
            ):
                kept = getattr(transport, name)
                setattr(transport, name, value)
                try:
                    transport.dirty = name == "_tempDataLen"
                    transport.write(b"y") if type(value) is not list else transport.sendPlain()
                except (AttributeError, TypeError) as error:
                    told.append(type(error))
                setattr(transport, name, kept)
            transport._tempDataBuffer[:] = [b"over"]
            transport._tempDataLen = 4
            transport.dirty = False
            transport.write(b"!")

    def peer(plain: socket.socket) -> bytes:
        plain.sendall(b"?")
        return readExactly(plain, 5)

    assert world.talk("tcpServer", Meddling, peer) == b"over!"
    assert told == [AttributeError, TypeError, AttributeError, TypeError]


@pytest.mark.parametrize(("timeout", "error"), [("x", TypeError), (float("nan"), ValueError), (1e12, OverflowError)])
def test_timeouts(world: World, timeout: Any, error: type[Exception]) -> None:
    """
    What the system's C{poll} refuses is refused in the same way.
    """
    with pytest.raises(error):
        world.reactor.doPoll(timeout)
    begun = time.monotonic()
    for each in (0, 0.0, False, 0.02, 1e-9):
        world.reactor.doPoll(each)
    assert 0.02 <= time.monotonic() - begun < 5


def test_aSubclassOfTheReactor(tmp_path: Path) -> None:
    """
    What it overrides is called.
    """
    calls: list[str] = []

    class Own(EPollReactor):
        def addReader(self, reader: Any) -> None:
            calls.append("addReader")
            super().addReader(reader)

        def removeReader(self, reader: Any) -> None:
            calls.append("removeReader")
            super().removeReader(reader)

        def _disconnectSelectable(self, *arguments: Any) -> None:
            calls.append("disconnect")
            super()._disconnectSelectable(*arguments)

    class Once(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)  # type: ignore[union-attr]
            self.transport.loseConnection()  # type: ignore[union-attr]

    world = World(Own, tmp_path)
    try:
        port = world.listen(Once)
        calls.clear()
        plain = world.dial(port)

        def peer() -> bytes:
            plain.sendall(b"?")
            return readAll(plain)

        assert world.whileDoing(peer) == b"?"
    finally:
        world.close()
    assert calls[:2] == ["addReader", "removeReader"]
    assert "disconnect" in calls


def test_methodsOfTheProtocolReplaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Somebody who replaces one of the Python that a twin stands for is heard.
    """
    calls: list[str] = []
    made, within = HttpProtocol.connectionMade, HttpProtocol._closeWithin

    def connectionMade(self: HttpProtocol) -> None:
        calls.append("made")
        made(self)

    def closeWithin(self: HttpProtocol, timeout: float) -> None:
        calls.append("closed")
        within(self, timeout)

    monkeypatch.setattr(HttpProtocol, "connectionMade", connectionMade)
    monkeypatch.setattr(HttpProtocol, "_closeWithin", closeWithin)
    server = HttpServer(lambda request: WasiResponse(body=b"x"), reactor=world.reactor)
    plain = world.dial(world.reactor.listenTCP(0, server, interface=LOCAL).getHost().port)

    def peer() -> bytes:
        plain.sendall(GET)
        return readAll(plain)

    assert world.whileDoing(peer).endswith(b"x")
    assert calls == ["made", "closed"]


def test_aNewProtocolIsAsPythonMakesIt(world: World) -> None:
    """
    Each slot of it and of its parts, and none is another's.
    """
    server = HttpServer(lambda request: WasiResponse(), reactor=world.reactor)
    python = HttpProtocol(server, server._timing)
    first, second = server.newProtocol(), server.newProtocol()
    assert isinstance(first, HttpProtocol)
    assert isinstance(second, HttpProtocol)

    def slots(each: Any) -> dict[str, Any]:
        return {name: getattr(each, name) for kind in type(each).__mro__ for name in vars(kind).get("__slots__", ())}

    for one, other, another in (
        (python, first, second),
        (python.connection, first.connection, second.connection),
        (python.connection.exchange, first.connection.exchange, second.connection.exchange),
        (python.connection.reader, first.connection.reader, second.connection.reader),
        (python.connection.clock, first.connection.clock, second.connection.clock),
    ):
        assert other is not another
        assert type(one) is type(other)
        wanted, got = slots(one), slots(other)
        assert wanted.keys() == got.keys()
        for name, value in wanted.items():
            if name in ("connection", "exchange", "reader", "clock"):
                continue
            if name in ("since", "pieceAt", "started"):
                assert 0 <= got[name] - value < 5
            else:
                assert got[name] is value, name


def test_nothingIsKept(world: World) -> None:
    """
    Two thousand short connections and as many echoes leave nothing behind, and neither does a lost transport.
    """
    server = HttpServer(lambda request: WasiResponse(body=b"x"), reactor=world.reactor)
    port = world.reactor.listenTCP(0, server, interface=LOCAL).getHost().port
    echo = world.dial(world.listen(Echo))
    seen: list[Any] = []
    sizes: list[int] = []

    def some() -> None:
        for _ in range(1000):
            with socket.create_connection((LOCAL, port)) as plain:
                plain.sendall(GET)
                assert readAll(plain).endswith(b"x")
            echoed(echo, 1)
        while server.statistics.openConnections:
            time.sleep(0.01)
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])

    def watched() -> None:
        some()
        some()
        plain = world.dial(port)
        while not server.connections:
            time.sleep(0.01)
        for protocol in server.connections:
            seen.append(weakref.ref(protocol.transport))
        plain.close()
        while server.statistics.openConnections:
            time.sleep(0.01)

    tracemalloc.start()
    try:
        world.whileDoing(watched)
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 20_000
    gc.collect()
    assert [each() for each in seen] == [None]


# Without them


def run(program: str, **environment: str) -> tuple[int, str]:
    """
    @return: how a program ends, and what it prints.
    """
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        # The program chooses its own setting.
        env={**os.environ, "WASINET_SPEED": "auto", "WASINET_FAST": "yes", "PYTHONPATH": str(ROOT), **environment},
    )
    return ran.returncode, ran.stdout + ran.stderr.strip().rpartition("\n")[2]


def test_anotherTwisted() -> None:
    """
    Where a method that is known isn't Twisted's any more, the Python runs; or the program doesn't, if it must.
    """
    program = """
from twisted.internet import tcp
was = tcp.Connection.connectionLost
def connectionLost(self, reason):
    unknown(self)
    was(self, reason)
tcp.Connection.connectionLost = connectionLost
from wasinet_twisted.reactor import transports, EPollReactor
import inspect
print(inspect.isfunction(transports.Gathering.connectionLost), inspect.isfunction(EPollReactor.doPoll))
"""
    assert run(program) == (0, "True False\n")
    status, said = run(program, WASINET_SPEED="yes")
    assert status == 1
    assert "connectionLost of this version of Twisted or Python is not the one that is known" in said


def test_withoutThem() -> None:
    program = """
from wasinet_twisted.reactor import transports, EPollReactor
from wasinet_twisted.server.protocol import HttpProtocol
import wasinet_twisted.server, inspect
print(*map(inspect.isfunction, (transports.Gathering.write, EPollReactor.doPoll, HttpProtocol.close)))
"""
    assert run(program, WASINET_SPEED="no") == (0, "True True True\n")
    assert run(program) == (0, "False False False\n")


def test_withoutPyOpenSSL() -> None:
    """
    Without the extra C{tls}, Twisted's transports have no TLS, and the twins are the same.
    """
    program = """
import sys
sys.modules["OpenSSL"] = None
from wasinet_twisted.reactor import transports, EPollReactor
import wasinet_twisted.server, inspect
print(transports.Server.TLS, *map(inspect.isfunction, (transports.Gathering.loseConnection, EPollReactor.doPoll)))
"""
    assert run(program, WASINET_SPEED="yes") == (0, "False False False\n")
