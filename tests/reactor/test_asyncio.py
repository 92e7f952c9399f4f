"""
The reactor for asyncio programs: what it does as Twisted's does, beyond the contract that all reactors share; and
asyncio's own things beside Deferreds, in programs of their own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionFdescWentAway
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.processes import ROOT, waitUntil
from tests.reactor.conftest import REACTORS
from tests.reactor.harness import LOCAL, Recording, World, onAsyncio, readExactly
from wasinet_twisted.errors import NotSupported
from wasinet_twisted.reactor.asyncio import inTask

# They name the reactors themselves.
pytestmark = pytest.mark.reactorless

WHO: ContextVar[bytes] = ContextVar("WHO", default=b"nobody")


# Contexts


@onAsyncio
def test_eachConnectionKeepsItsContext(world: World) -> None:
    """
    What a connection sets in one event it finds in the next one, whichever others came in between.
    """

    class Remembering(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(WHO.get())
            WHO.set(data)

    port = world.listen(Remembering)
    ends = [world.dial(port) for _ in range(3)]

    def peer() -> list[bytes]:
        for number, end in enumerate(ends):
            end.sendall(b"end %2d" % number)
            assert readExactly(end, 6) == b"nobody"
        for end in ends:
            end.sendall(b"?")
        return [readExactly(end, 6) for end in ends]

    assert world.whileDoing(peer) == [b"end  0", b"end  1", b"end  2"]


@onAsyncio
@pytest.mark.parametrize("big", [False, True], ids=["atOnce", "later"])
def test_aProducerRunsInTheContextOfItsConnection(world: World, big: bool) -> None:
    """
    Also when connections send together; and when the rest waits for the socket to take more.
    """
    told: list[tuple[bytes, bytes]] = []

    class Producing(Recording):
        def dataReceived(self, data: bytes) -> None:
            WHO.set(data)
            self.name = data
            self.transport.registerProducer(self, True)
            self.transport.write(data * (400_000 if big else 20_000))

        def pauseProducing(self) -> None: ...

        def resumeProducing(self) -> None:
            told.append((self.name, WHO.get()))

        def stopProducing(self) -> None: ...

    port = world.listen(Producing)
    ends = [world.dial(port) for _ in range(3)]

    def peer() -> None:
        for number, end in enumerate(ends):
            end.sendall(b"end %2d" % number)
        for end in ends:
            readExactly(end, 6 * (400_000 if big else 20_000))
        waitUntil(lambda: len(told) >= 3, "resumed")

    world.whileDoing(peer)
    assert {name for name, _ in told} == {b"end  0", b"end  1", b"end  2"}
    assert all(name == who for name, who in told)


# Order


@onAsyncio
def test_timedCallsComeBeforeTheAnswers(world: World) -> None:
    """
    What an event asks for in no time runs before a peer of the same reactor has what the event wrote.
    """
    ran: list[str] = []

    class Asked(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"answer")
            world.reactor.callLater(0, ran.append, "timed")

    class Asking(Recording):
        def connectionMade(self) -> None:
            self.transport.write(b"?")

        def dataReceived(self, data: bytes) -> None:
            ran.append("answered")
            if len(ran) >= 20:
                world.reactor.stop()
            else:
                self.transport.write(b"?")

    world.reactor.connectTCP(LOCAL, world.listen(Asked), world.factory(Asking))
    world.run()
    assert ran[:20] == ["timed", "answered"] * 10


@onAsyncio
def test_writtenInTheEventThatStops(world: World) -> None:
    """
    It is sent before the connection ends.
    """

    class Stopping(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"the last")
            world.reactor.stop()

    plain = world.dial(world.listen(Stopping))
    plain.sendall(b"?")
    world.run()
    assert readExactly(plain, 8) == b"the last"


@onAsyncio
def test_writtenWhileTheLoopDoesNotRun(world: World) -> None:
    """
    By whoever has a transport and no reactor that runs; and by asyncio's own callbacks.
    """
    loop = world.reactor._asyncioEventloop
    plain = world.dial(world.listen(Recording))
    while not world.protocols:
        world.reactor.iterate(0)
    world.protocols[0].transport.write(b"before")
    world.reactor.iterate(0)
    assert readExactly(plain, 6) == b"before"
    loop.call_soon(lambda: world.protocols[0].transport.write(b"within"))
    loop.call_later(0.05, world.reactor.stop)
    world.run()
    assert readExactly(plain, 6) == b"within"


def test_iterateWithoutATime(tmp_path: Path) -> None:
    """
    As C{IReactorCore} has it; Twisted's asks for one.
    """
    world = World(REACTORS["oursAsyncio"], tmp_path)
    ran: list[str] = []
    world.reactor.callLater(0, ran.append, "ran")
    try:
        world.reactor.iterate()
    finally:
        world.close()
    assert ran == ["ran"]


# Errors


@onAsyncio
@pytest.mark.parametrize("error", [ValueError, ConnectionDone])
def test_raisingInDataReceived(world: World, error: type[Exception], loggedErrors: Callable[[], list[str]]) -> None:
    """
    It is logged, and the reason of the end: where that is C{ConnectionDone}, of one direction.
    """
    told: list[str] = []

    @implementer(IHalfCloseableProtocol)
    class Raising(Recording):
        def dataReceived(self, data: bytes) -> None:
            raise error("raised")

        def readConnectionLost(self) -> None:
            told.append("read")

        def writeConnectionLost(self) -> None: ...

        def connectionLost(self, reason: Any = None) -> None:
            told.append(type(reason.value).__name__)

    plain = world.dial(world.listen(Raising))

    def peer() -> None:
        plain.sendall(b"?")
        waitUntil(lambda: told, "an end")
        world.reactor.callFromThread(told.append, "later")
        waitUntil(lambda: "later" in told, "a turn")

    world.whileDoing(peer)
    assert len(loggedErrors()) == 1
    assert told[0] == ("read" if error is ConnectionDone else "ValueError")
    assert [event["system"] for event in world.messages if event["isError"]] == ["-"]


@onAsyncio
def test_anExceptionThatEndsTheLoop(world: World) -> None:
    """
    C{KeyboardInterrupt} comes out of the loop. Connections that were to send do so when it runs again.
    """

    class Ending(Recording):
        def connectionLost(self, reason: Any = None) -> None:
            super().connectionLost(reason)
            if self is world.protocols[0] and world.reactor.running:
                raise KeyboardInterrupt

        def begin(self) -> None:
            for protocol in world.protocols[1:]:
                protocol.transport.write(b"hello")

    port = world.listen(Ending)
    ends = [world.dial(port) for _ in range(3)]
    while len(world.protocols) < 3:
        world.reactor.iterate(0)

    def write() -> None:
        world.protocols[0].transport.loseConnection()
        for protocol in world.protocols[1:]:
            protocol.transport.write(b"hello")

    world.reactor.callWhenRunning(write)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    world.reactor.callLater(0.05, world.reactor.stop)
    world.reactor._asyncioEventloop.run_forever()
    # Accepted in that order or not: one of them is the one that ended.
    assert sorted(bytes(end.recv(5)) for end in ends) == [b"", b"hello", b"hello"]


@onAsyncio
def test_aSocketClosedBeneath(world: World) -> None:
    """
    The connection ends as one whose descriptor went away.
    """

    class Closing(Recording):
        def dataReceived(self, data: bytes) -> None:
            transport: Any = self.transport
            # Its event comes in the turn in which its socket is closed.
            transport.reactor._asyncioEventloop.call_soon(transport.resumeProducing)
            transport.reactor._asyncioEventloop.remove_reader(transport.fileno())
            transport.socket.close()
            if hasattr(world.reactor, "_read"):
                world.reactor._read(transport)
            else:
                world.reactor._readOrWrite(transport, True)
            world.reactor.callLater(0, world.reactor.stop)

    plain = world.dial(world.listen(Closing))
    plain.sendall(b"?")
    world.run()
    (protocol,) = world.protocols
    assert [reason.type for reason in protocol.lost] == [ConnectionFdescWentAway]


def test_aWriteFromTheWrongThread(tmp_path: Path) -> None:
    """
    It is an error where the loop is in debug mode; the connections go on.
    """

    class Echo(Recording):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    world = World(REACTORS["oursAsyncio"], tmp_path)
    world.reactor._asyncioEventloop.set_debug(True)
    plain = world.dial(world.listen(Echo))

    def peer() -> bytes:
        waitUntil(lambda: world.protocols and world.protocols[0].transport, "a connection")
        with pytest.raises(RuntimeError, match="Non-thread-safe"):
            world.protocols[0].transport.write(b"wrong")
        other = world.dial(port)
        other.sendall(b"right")
        return readExactly(other, 5)

    port = plain.getpeername()[1]
    try:
        assert world.whileDoing(peer) == b"right"
    finally:
        world.close()


@onAsyncio
def test_removeAll(world: World) -> None:
    """
    Who is paused and is to send is among those.
    """
    port = world.reactor.listenTCP(0, world.factory(Recording), interface=LOCAL)
    world.dial(port.getHost().port)
    while not world.protocols:
        world.reactor.iterate(0)
    transport = world.protocols[0].transport
    transport.pauseProducing()
    transport.write(b"x")
    removed = world.reactor.removeAll()
    assert (len(removed), set(removed)) == (2, {port, transport})
    for each in removed:
        each.connectionLost(Failure(ConnectionDone()))


# asyncio's own, beside Deferreds


PREAMBLE = """
import asyncio, sys
from importlib import import_module
from wasinet_twisted.reactor import asyncio as ours
loop = import_module(sys.argv[1]).new_event_loop()
asyncio.set_event_loop(loop)
reactor = ours.install(loop)
from twisted.internet import asyncioreactor, reactor as installed
from twisted.internet.defer import Deferred, ensureDeferred, inlineCallbacks
from twisted.internet.task import deferLater
assert installed is reactor and isinstance(reactor, asyncioreactor.AsyncioSelectorReactor)
assert type(reactor).__name__ == "AsyncioSelectorReactor"

def main(coroutine):
    def ended(result):
        if result is not None:
            print(result)
        reactor.stop()
    reactor.callWhenRunning(lambda: ensureDeferred(coroutine).addBoth(ended))
    reactor.run()
"""

onEachLoop = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


def printed(program: str, loop: str = "asyncio") -> str:
    """
    What a program prints.
    """
    command = [sys.executable, "-c", PREAMBLE + program, loop]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert ran.stderr == ""
    return ran.stdout


@onEachLoop
def test_inTheSameHandlers(loop: str) -> None:
    """
    asyncio.sleep, tasks, Futures, timeouts, threads, anyio, and aiohttp's client, beside Deferreds: in a handler of
    connections, and in one of requests.
    """
    program = """
import aiohttp, anyio
from wasinet_twisted import net
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import serve

async def both(conn):
    async with conn:
        data = await conn.read()
        await asyncio.sleep(0.001)
        child = asyncio.get_running_loop().create_task(asyncio.sleep(0.001, b"task"))
        data += await deferLater(reactor, 0.001, lambda: b" deferred ")
        data += await child
        future = asyncio.get_running_loop().create_future()
        reactor.callLater(0, future.set_result, b" future ")
        data += await future
        data += await asyncio.ensure_future(inTime())
        data += await asyncio.to_thread(lambda: b"thread ")
        data += await Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(0, b"fromFuture ")))
        data += await deferLater(reactor, 0, lambda: b"asFuture").asFuture(asyncio.get_running_loop())
        await conn.write(data)

async def inTime():
    # These look for the task that they run in.
    try:
        async with asyncio.timeout(0.001):
            await deferLater(reactor, 60).asFuture(asyncio.get_running_loop())
    except TimeoutError:
        return b"timeout "

async def answers(request):
    await deferLater(reactor, 0.001)
    if request.uri == "/inner":
        await asyncio.sleep(0.001)
        return WasiResponse(body=b"inner")

    async def asks():
        async with aiohttp.ClientSession() as session, session.get(f"http://{where}/inner") as response:
            got.append(await response.read())

    async def inGroups():
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(asks)
        with anyio.move_on_after(0.001):
            await anyio.sleep(60)
        got.append(b"anyio")

    got = []
    await asyncio.ensure_future(inGroups())
    return WasiResponse(body=b" ".join(got))

async def run():
    global where
    server = net.WasiTcpServer(0, "127.0.0.1")
    server.serveForever(both)
    conn = await net.connect("127.0.0.1", server.local().port)
    await conn.write(b"asked ")
    async with conn:
        print(b"".join([data async for data in conn]))
    await server.close()
    server = serve(answers, "tcp:0:interface=127.0.0.1")
    where = f"127.0.0.1:{server.local().port}"

    async def outer():
        async with aiohttp.ClientSession() as session, session.get(f"http://{where}/outer") as response:
            return response.status, await response.read()

    print(await Deferred.fromFuture(asyncio.ensure_future(outer())))
    await server.drain()

main(run())
"""
    assert printed(program, loop).splitlines() == [
        "b'asked  deferred task future timeout thread fromFuture asFuture'",
        "(200, b'inner inner inner anyio')",
    ]


@onEachLoop
def test_inATaskOfAsyncios(loop: str) -> None:
    """
    A handler that is run in a Task awaits Deferreds, Futures, and what looks for its Task; it is cancelled as one.
    """
    program = """
import aiohttp, anyio
from wasinet_twisted import fetch, net
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.reactor.asyncio import inTask
from wasinet_twisted.server import serve
from twisted.internet.defer import CancelledError, fail, succeed

@inTask
async def answers(request):
    if request.uri == "/inner":
        return WasiResponse(body=b"inner")
    if request.uri == "/ends":
        try:
            await deferLater(reactor, 60)
        except asyncio.CancelledError:
            # It is waited for.
            await asyncio.sleep(0.01)
            got.append(b"ended")
            raise
    await succeed(None)
    got.append(await deferLater(reactor, 0.001, lambda: b"deferred"))
    for failing in (fail(OSError("failed")), deferLater(reactor, 0, failsLater)):
        try:
            await failing
        except OSError as error:
            got.append(str(error).encode())
    try:
        async with asyncio.timeout(0.001):
            await deferLater(reactor, 60)
    except TimeoutError:
        got.append(b"timeout")
    with anyio.move_on_after(0.001):
        await net.connect("127.0.0.1", server.local().port, reactor=reactor).addCallback(lambda conn: conn.read())
    async with aiohttp.ClientSession() as session, session.get(f"http://{where}/inner") as response:
        got.append(await response.read())
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)
        got.append(await (await fetch(f"http://{where}/inner")).bytes())
    return WasiResponse(body=b" ".join(got))

def failsLater():
    raise OSError("later")

async def run():
    global got, server, where
    got = []
    server = serve(answers, "tcp:0:interface=127.0.0.1")
    where = f"127.0.0.1:{server.local().port}"
    print(await (await fetch(f"http://{where}/")).bytes())
    got.clear()
    conn = await net.connect("127.0.0.1", server.local().port)
    conn.write("GET /ends HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    await deferLater(reactor, 0.05)
    await server.drain(0)
    conn.abort()
    print(got, [each for each in asyncio.all_tasks() if not each.done()])
    raising = inTask(raises)()
    try:
        await raising
    except ValueError as error:
        print(error)
    forgotten = inTask(lambda: deferred())()
    forgotten.cancel()
    try:
        await forgotten
    except CancelledError:
        print("cancelled before it began")

async def raises():
    raise ValueError("raised")

async def deferred():
    await deferLater(reactor, 60)

main(run())
"""
    assert printed(program, loop).splitlines() == [
        "b'deferred failed later timeout inner inner'",
        "[b'ended'] []",
        "raised",
        "cancelled before it began",
    ]


def test_noLoopForTheTask() -> None:
    """
    Without asyncio's loop it says what to take.
    """

    async def function() -> None:
        raise AssertionError("it has run")

    def call() -> str:
        try:
            inTask(function)()
        except NotSupported as error:
            return str(error)
        raise AssertionError("it was taken")

    # A reactor that runs a loop runs in this thread.
    with ThreadPoolExecutor(1) as threads:
        said = threads.submit(call).result()
    assert "test_noLoopForTheTask.<locals>.function" in said
    assert said.endswith("no asyncio event loop runs; take a reactor that runs one (twistd --reactor=wasinet-asyncio)")
