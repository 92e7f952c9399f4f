"""
The twins of an awaited read and write: they are used, they do as the Python does, and nothing is lost or kept.
"""

from __future__ import annotations

import gc
import inspect
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from weakref import ref

import pytest
from twisted.internet.defer import (
    Deferred,
)
from twisted.internet.task import Clock

from tests.net.support import PEER, Transport
from tests.speed.streamforms import COMPILED, WHY_NOT, python
from tests.speed.streamscripts import Life
from tests.support import more
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn
from wasinet_twisted.net.stream.incoming import Incoming
from wasinet_twisted.net.stream.protocol import ConnectionProtocol
from wasinet_twisted.net.stream.transportprotocol import TransportProtocol
from wasinet_twisted.net.tasks.awaited import Awaited, Done
from wasinet_twisted.net.tasks.task import Task
from wasinet_twisted.net.tls.handshakes import listening

pytestmark = [pytest.mark.reactorless, pytest.mark.skipif(not COMPILED, reason=WHY_NOT)]

Handler = Callable[[WasiTcpConn], Coroutine[Any, Any, object]]


async def echo(conn: WasiTcpConn) -> None:
    async for data in conn:
        await conn.write(data)


async def echoByReads(conn: WasiTcpConn) -> None:
    while data := await conn.read():
        conn.write(data)


def served(handler: Handler, kind: type[ConnectionProtocol] = ConnectionProtocol) -> tuple[Any, Transport, Clock]:
    """
    A handler over a connection.
    """
    clock, transport = Clock(), Transport()

    class Factory(ConnectionFactory):
        def newProtocol(self) -> ConnectionProtocol:
            return kind(clock, self)

    protocol: Any = Factory(handler, reactor=clock).buildProtocol(PEER)
    protocol.makeConnection(transport)
    return protocol, transport, clock


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    The names of the Python functions that are called, of those that the twins stand for.
    """
    names: list[str] = []

    def watch(kind: type, name: str) -> None:
        function = kind.__dict__[name]

        def watching(*arguments: Any, **keywords: Any) -> Any:
            names.append(name)
            return function(*arguments, **keywords)

        monkeypatch.setattr(kind, name, watching)

    watch(Incoming, "arrived")
    watch(ConnectionProtocol, "read")
    watch(ConnectionProtocol, "_takeReader")
    watch(TransportProtocol, "send")
    watch(Task, "_run")
    watch(Task, "goOn")
    watch(Awaited, "__init__")
    watch(Awaited, "_settle")
    watch(Done, "__init__")
    return names


class TestUse:
    """
    They are used, and where they can't be, the Python is.
    """

    @pytest.mark.parametrize("handler", [echo, echoByReads])
    def test_anEchoAsksNoPython(self, handler: Handler, asked: list[str]) -> None:
        protocol, transport, _ = served(handler)
        asked.clear()
        for number in range(200):
            protocol.dataReceived(b"%d " % number)
        assert asked == []
        assert transport.value() == b"".join(b"%d " % number for number in range(200))

    def test_aReadAtOnceAsksOnlyForTheBytes(self, asked: list[str]) -> None:
        protocol, _, _ = served(echo)
        conn = WasiTcpConn(protocol)
        protocol.dataReceived(b"first")
        protocol._reader = None
        protocol._incoming.cancel()
        protocol.dataReceived(b"abc")
        asked.clear()
        assert [conn.read(2).result, conn.read().result] == [b"ab", b"c"]
        assert asked == []

    @pytest.mark.parametrize(
        "kind",
        [
            type("Mine", (ConnectionProtocol,), {"__slots__": ()}),
            listening(ConnectionProtocol),
        ],
    )
    def test_otherClassesOfProtocolsTakeThePython(self, kind: type[ConnectionProtocol], asked: list[str]) -> None:
        protocol, transport, _ = served(echo, kind)
        asked.clear()
        protocol.dataReceived(b"abc")
        assert {"arrived", "read", "send"} <= set(asked)
        assert transport.value() == b"abc"

    def test_aReadOfASubclass(self) -> None:
        class Shouting(WasiTcpConn):
            __slots__ = ()

            def read(self, maxBytes: int = 65536, timeout: float | None = None) -> Deferred[bytes]:
                return super().read(maxBytes, timeout).addCallback(bytes.upper)

        said: list[bytes] = []

        async def handler(conn: WasiTcpConn) -> None:
            async for data in Shouting(conn._protocol):
                said.append(data)

        protocol, _, _ = served(handler)
        protocol.dataReceived(b"abc")
        assert said == [b"ABC"]

    def test_aReadThatWasReplaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        read = WasiTcpConn.read

        def spying(self: WasiTcpConn, maxBytes: int = 65536, timeout: float | None = None) -> Deferred[bytes]:
            sizes.append(maxBytes)
            return read(self, maxBytes, timeout)

        monkeypatch.setattr(WasiTcpConn, "read", spying)
        protocol, transport, _ = served(echo)
        protocol.dataReceived(b"abc")
        assert sizes == [65536, 65536]
        assert transport.value() == b"abc"

    def test_methodsThatWereReplaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        called: list[str] = []
        for kind, name in ((WasiTcpConn, "__anext__"), (Awaited, "__await__"), (Done, "__await__"), (Task, "resume")):
            twin: Any = kind.__dict__[name]

            def spying(*arguments: Any, twin: Any = twin, name: str = f"{kind.__name__}.{name}") -> Any:
                called.append(name)
                return twin(*arguments)

            monkeypatch.setattr(kind, name, spying)
        protocol, transport, _ = served(echo)
        called.clear()
        protocol.dataReceived(b"abc")
        assert called == ["Task.resume", "Done.__await__", "WasiTcpConn.__anext__"]
        assert transport.value() == b"abc"

    def test_aWriteThatWasReplaced(self) -> None:
        protocol, _, _ = served(echo)
        written: list[bytes] = []
        protocol.transport.write = written.append
        protocol.dataReceived(b"abc")
        assert written == [b"abc"]

    def test_aTaskWithItsOwnResume(self) -> None:
        resumed: list[bytes] = []

        class Mine(Task[None]):
            __slots__ = ()

            def resume(self, value: Any) -> None:
                resumed.append(value)
                super().resume(value)

        protocol = ConnectionProtocol(Clock())
        transport = Transport()
        protocol.makeConnection(transport)
        Mine(echo(WasiTcpConn(protocol)), protocol.reactor).start()
        protocol.dataReceived(b"abc")
        protocol.dataReceived(b"def")
        assert (resumed, transport.value()) == ([b"abc", b"def"], b"abcdef")

    def test_withoutTheFastPath(self) -> None:
        program = (
            "from wasinet_twisted.net.tasks.task import Task\n"
            "from wasinet_twisted.net import WasiTcpConn\n"
            "print(Task.resume is Task._resume, hasattr(WasiTcpConn.read, '__wrapped__'))"
        )
        environment = {**os.environ, "WASINET_FAST": "-net.resume"}
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        assert (ran.stdout, ran.stderr) == ("True True\n", "")

    def test_theyLookLikeThePython(self) -> None:
        for kind, name in ((WasiTcpConn, "read"), (WasiTcpConn, "write"), (ConnectionProtocol, "dataReceived")):
            twin = kind.__dict__[name]
            assert inspect.signature(twin) == inspect.signature(twin.__wrapped__)
            assert (twin.__doc__, twin.__qualname__) == (twin.__wrapped__.__doc__, twin.__wrapped__.__qualname__)


class TestKeeping:
    """
    Nothing is kept for longer than the Python keeps it.
    """

    def test_theHandleOfAnEndedReader(self) -> None:
        clock, transport = Clock(), Transport()
        protocol = ConnectionProtocol(clock)
        protocol.makeConnection(transport)
        conn = WasiTcpConn(protocol)
        step = conn.__anext__()
        step.send(None)
        gone = ref(conn)
        del conn, step
        # The read that waits keeps it.
        assert gone() is not None
        reading: Any = protocol._reader
        reading.addErrback(lambda _: None)
        reading.cancel()
        assert gone() is None
        assert protocol.closing
        clock.advance(100)

    def test_aCycle(self) -> None:
        clock, transport = Clock(), Transport()
        protocol = ConnectionProtocol(clock)
        protocol.makeConnection(transport)

        def forget() -> Any:
            conn = WasiTcpConn(protocol)
            step = conn.__anext__()
            cycle: list[Any] = [step]
            cycle.append(cycle)
            return ref(conn)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gone = forget()
            assert gone() is not None
            gc.collect()
        assert gone() is None
        assert protocol.closing
        clock.advance(100)

    @pytest.mark.parametrize("handler", [echo, echoByReads])
    def test_noGrowth(self, handler: Handler) -> None:
        protocol, _, _ = served(handler)
        protocol.transport.write = lambda data: None
        received, data = protocol.dataReceived, b"x" * 64
        counts = []
        for _ in range(3):
            for _ in range(more(20_000, 25)):
                received(data)
            gc.collect()
            counts.append(sys.getallocatedblocks())
        assert counts[2] - counts[1] < 20


_SLOTS = {
    "protocol": "_incoming _reader _readTimer _queued _writePaused _broken closing finished _immediate lost "
    "_readPaused transport",
    "incoming": "ended size waiting",
    "reader": "_callbacks _canceller called paused task",
    "task": "_awaiting _context _coroutine",
}


class TestBothForms:
    """
    Both forms do the same.
    """

    @pytest.mark.parametrize(("where", "name"), [(where, name) for where in _SLOTS for name in _SLOTS[where].split()])
    def test_aSlotThatWasDeleted(self, where: str, name: str, loggedErrors: Callable[[], list[str]]) -> None:
        def live() -> list[str]:
            protocol, transport, clock = served(echo)
            (task,) = protocol._owner.tasks
            conn = WasiTcpConn(protocol)
            thing = {
                "protocol": protocol,
                "incoming": protocol._incoming,
                "reader": protocol._reader,
                "task": task,
            }[where]
            saved = getattr(thing, name)
            delattr(thing, name)
            story = []
            for do in (
                lambda: protocol.dataReceived(b"abc"),
                lambda: protocol.dataReceived(b"abc"),
                conn.read,
                lambda: conn.write(b"x"),
                lambda: next(conn.read().__await__()),
            ):
                try:
                    story.append(type(do()).__name__)
                except Exception as error:
                    story.append(f"{type(error).__name__}: {error}")
            if not hasattr(thing, name):
                setattr(thing, name, saved)
            # Even the end may fail of what has failed in the middle.
            with suppress(AssertionError):
                protocol.abort()
            with suppress(AssertionError):
                task.kill()
            clock.advance(100)
            return [*story, str(transport.value()), *sorted(loggedErrors())]

        compiled = live()
        with python():
            assert live() == compiled

    def test_randomLives(self, loggedErrors: Callable[[], list[str]]) -> None:
        for seed in range(more(300, 100)):
            compiled = Life(seed).run()
            with python():
                assert Life(seed).run() == compiled, f"seed {seed}"
            if seed % 50 == 0:
                loggedErrors()
        loggedErrors()
