"""
Connections and listeners on real sockets, on loopback.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from wasinet_twisted.errors import ConnectionClosed, InvalidArgument, ListenFailed, TimedOut
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn, WasiTcpServer, connect, formatAddress
from wasinet_twisted.net.server.listener import WAITING

reactor: Any = _reactor
LOCAL = "127.0.0.1"


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


async def pair() -> tuple[WasiTcpServer, WasiTcpConn, WasiTcpConn]:
    """
    A server, and the two ends of a connection with it.
    """
    server = WasiTcpServer(0, LOCAL)
    accepting = server.accept()
    ours = await connect(LOCAL, server.local().port)
    return server, await accepting, ours


async def closeAll(*things: Any) -> None:
    await DeferredList([thing.close() for thing in things])


@pytest_twisted.ensureDeferred
async def test_theArticlesEcho() -> None:
    async def handleClient(cs: WasiTcpConn) -> None:
        async with cs:
            while data := await cs.read():
                cs.write(b"echo:" + data)

    server = WasiTcpServer(0, LOCAL)
    address = server.local()
    assert isinstance(address, IPv4Address)
    conn = await connect(f"{LOCAL}:{address.port}")
    handling = ensureDeferred(handleClient(await server.accept()))
    await conn.write("WasmEdge")
    assert await conn.read() == b"echo:WasmEdge"
    assert conn.peer() == address
    await conn.finish()
    assert await conn.read() == b""
    await handling
    await closeAll(conn, server)


@pytest_twisted.ensureDeferred
async def test_bothWaysToConnectAndAllToListen(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    free = WasiTcpServer(0, LOCAL)
    port = free.local().port
    await free.close()
    endpoint = TCP4ServerEndpoint(reactor, port, interface=LOCAL)
    cases: list[tuple[Any, list[Any]]] = [
        (
            f"tcp:{port}:interface={LOCAL}",
            [f"{LOCAL}:{port}", (LOCAL, port), f"localhost:{port}", f"tcp:{LOCAL}:{port}"],
        ),
        (endpoint, [TCP4ClientEndpoint(reactor, LOCAL, port)]),
        (f"unix:{path}", [f"unix:{path}"]),
    ]
    for listen, targets in cases:
        async with WasiTcpServer(listen) as server:
            for target in targets:
                conn = await connect(target)
                other = await server.accept(timeout=5)
                conn.write(b"x")
                assert await other.read() == b"x"
                await closeAll(conn, other)
    assert not Path(path).exists()


@pytest_twisted.ensureDeferred
async def test_ipv6AndUnixAddresses(tmp_path: Path) -> None:
    server = WasiTcpServer(0, "::1")
    address = server.local()
    assert isinstance(address, IPv6Address)
    conn = await WasiTcpConn.connect("::1", address.port)
    other = await server.accept()
    assert formatAddress(conn.peer()) == f"[::1]:{address.port}"
    assert conn.local() == other.peer()
    await closeAll(conn, other, server)
    server = WasiTcpServer(f"unix:{tmp_path}/s")
    assert server.local() == UNIXAddress(f"{tmp_path}/s".encode())
    conn = await connect(f"unix:{tmp_path}/s")
    other = await server.accept()
    assert formatAddress(conn.peer()) == f"{tmp_path}/s"
    await closeAll(conn, other, server)


@pytest_twisted.ensureDeferred
async def test_aPeerThatEndsItsDirectionIsAnswered() -> None:
    server, theirs, ours = await pair()
    ours.write(b"question")
    await ours.finish()
    assert await theirs.read() == b"question"
    assert await theirs.read() == b""
    await theirs.write(b"answer")
    await theirs.close()
    assert await ours.read() == b"answer"
    assert await ours.read() == b""
    await closeAll(ours, server)


@pytest_twisted.ensureDeferred
async def test_aResetIsTold() -> None:
    server, theirs, ours = await pair()
    ours.abort()
    with pytest.raises(ConnectionClosed, match=formatAddress(theirs.peer())):
        await theirs.read(timeout=5)
    assert await theirs.read() == b""
    with pytest.raises(ConnectionClosed):
        await theirs.write(b"x")
    await theirs.whenClosed()
    await server.close()


@pytest_twisted.ensureDeferred
async def test_aResetDoesNotDisturbOthers(loggedErrors: Any) -> None:
    async def handler(conn: WasiTcpConn) -> None:
        async for data in conn:
            if data == b"fail":
                raise KeyError("the handler's own")
            await conn.write(data)

    factory = ConnectionFactory(handler)
    port = await TCP4ServerEndpoint(reactor, 0, interface=LOCAL).listen(factory)
    number = port.getHost().port
    honest, resetting, failing = [await connect(LOCAL, number) for _ in range(3)]
    for conn in (honest, resetting):
        conn.write(b"a")
        assert await conn.read() == b"a"
    resetting.abort()
    name = formatAddress(failing.local())
    failing.write(b"fail")
    with pytest.raises(ConnectionClosed):
        await failing.read(timeout=5)
    honest.write(b"b")
    assert await honest.read(timeout=5) == b"b"
    await honest.close()
    await sleep(0.05)
    assert factory.tasks == factory.connections == set()
    messages = loggedErrors()
    # The reset is told to the handler by its read, as an exception that it lets pass: no failure of anybody's.
    (message,) = messages
    assert name in message
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_aCloseFlushesWhatIsQueued() -> None:
    server, theirs, ours = await pair()
    sent = os.urandom(3_000_000)
    ours.write(sent)
    closing = ours.close()
    received = b"".join([data async for data in theirs])
    assert received == sent
    await closing
    await closeAll(theirs, server)


@pytest_twisted.ensureDeferred
async def test_anAwaitedWriteWaitsWhileThePeerTakesNothing() -> None:
    server, theirs, ours = await pair()
    written = 0

    async def writer() -> None:
        nonlocal written
        for _ in range(500):
            await ours.write(bytes(100_000))
            written += 100_000

    writing = ensureDeferred(writer())
    before = -1
    while before != written:
        before = written
        await sleep(0.2)
    # The kernel's buffers and ours are full: far less than the 50 MB.
    assert 0 < written < 30_000_000
    received = 0
    while received < 50_000_000:
        received += len(await theirs.read())
    await writing
    await closeAll(theirs, ours, server)


@pytest_twisted.ensureDeferred
async def test_aDroppedConnectionCloses() -> None:
    server, theirs, ours = await pair()
    del ours
    assert await theirs.read(timeout=5) == b""
    await closeAll(theirs, server)


@pytest_twisted.ensureDeferred
async def test_aConnectionDroppedInAnotherThreadCloses() -> None:
    server, theirs, ours = await pair()
    holder = [ours]
    del ours
    await deferToThread(holder.clear)
    assert await theirs.read(timeout=5) == b""
    await closeAll(theirs, server)
    reactor.getThreadPool().adjustPoolsize(0, 10)


@pytest_twisted.ensureDeferred
async def test_acceptTimesOutAndLosesNobody() -> None:
    server = WasiTcpServer(0, LOCAL)
    with pytest.raises(TimedOut, match="timed out"):
        await server.accept(timeout=0.05)
    conn = await connect(LOCAL, server.local().port)
    other = await server.accept(timeout=5)
    await closeAll(conn, other, server)


@pytest_twisted.ensureDeferred
async def test_aCancelledAcceptLosesNobody() -> None:
    server = WasiTcpServer(0, LOCAL)
    accepting = server.accept(timeout=5)
    accepting.cancel()
    with pytest.raises(CancelledError):
        await accepting
    conn = await connect(LOCAL, server.local().port)
    other = await server.accept(timeout=5)
    await closeAll(conn, other, server)


@pytest_twisted.ensureDeferred
async def test_asyncForEndsWhenTheServerCloses() -> None:
    server = WasiTcpServer(0, LOCAL)
    accepted = 0

    async def serve() -> None:
        nonlocal accepted
        async for conn in server:
            accepted += 1
            conn.close()

    serving = ensureDeferred(serve())
    for _ in range(3):
        conn = await connect(LOCAL, server.local().port)
        assert await conn.read(timeout=5) == b""
        await conn.close()
    await server.close()
    await serving
    assert accepted == 3


@pytest_twisted.ensureDeferred
async def test_aClosedServer() -> None:
    server = WasiTcpServer(0, LOCAL)
    waiting = await connect(LOCAL, server.local().port)
    await sleep(0.05)
    await server.close()
    await server.close()
    with pytest.raises(ConnectionClosed):
        await waiting.read(timeout=5)
    with pytest.raises(ConnectionClosed, match="not listening"):
        server.local()
    assert "closed" in repr(server)
    # At once the first time, from the second on not before the reactor's next turn, lest a loop spin.
    turns = []
    for _ in range(3):
        accepting = server.accept()
        turns.append(accepting.called)
        with pytest.raises(ConnectionClosed):
            await accepting
    assert turns == [True, False, False]
    late = server.accept()
    late.cancel()
    with pytest.raises(CancelledError):
        await late


@pytest_twisted.ensureDeferred
async def test_acceptsThatCancelEachOtherWhenTheServerCloses() -> None:
    server = WasiTcpServer(0, LOCAL)
    first, second, third = [server.accept() for _ in range(3)]
    first.addErrback(lambda _: second.cancel())
    await server.close()
    with pytest.raises(CancelledError):
        await second
    with pytest.raises(ConnectionClosed):
        await third


@pytest_twisted.ensureDeferred
async def test_aConnectionInACycleCloses() -> None:
    server, theirs, ours = await pair()
    # At the end of the stream, with nothing to send, the reactor doesn't know the transport any more.
    await ours.finish()
    assert await theirs.read(timeout=5) == b""
    cycle: list[Any] = [theirs]
    cycle.append(cycle)
    del theirs, cycle
    gc.collect()
    assert await ours.read(timeout=5) == b""
    await closeAll(ours, server)


@pytest_twisted.ensureDeferred
async def test_whatADroppedConnectionHadQueuedArrives() -> None:
    server, theirs, ours = await pair()
    writing = ours.write(bytes(3_000_000))
    del ours
    received = 0
    while data := await theirs.read(timeout=5):
        received += len(data)
    assert received == 3_000_000
    await writing
    await closeAll(theirs, server)


@pytest_twisted.ensureDeferred
async def test_acceptingPausesWhileManyWait() -> None:
    server = WasiTcpServer(0, LOCAL)
    count = WAITING + 150
    clients = [await connect(LOCAL, server.local().port) for _ in range(count)]
    await sleep(0.1)
    # Twisted takes up to a hundred from the kernel at a time.
    assert len(server._waiting) < WAITING + 100
    others = [await server.accept(timeout=5) for _ in range(count)]
    await closeAll(*clients, *others, server)


@pytest_twisted.ensureDeferred
async def test_thePortInUse() -> None:
    server = WasiTcpServer(0, LOCAL)
    number = server.local().port
    with pytest.raises(ListenFailed, match=f"can't listen on tcp:{number}:interface={LOCAL}: Address already in use"):
        WasiTcpServer(number, LOCAL)
    await server.close()


@pytest_twisted.ensureDeferred
async def test_aListenFailureThatComesLate() -> None:
    listening: Deferred[Any] = Deferred()
    endpoint = TCP4ServerEndpoint(reactor, 0)
    endpoint.listen = lambda factory: listening  # type: ignore[method-assign]
    server = WasiTcpServer(endpoint)
    accepting = server.accept()
    listening.errback(OSError(98, "Address already in use"))
    with pytest.raises(ListenFailed, match="Address already in use"):
        await accepting
    await server.close()


@pytest.mark.parametrize("port", [-1, 65536, 99999, True, 1.5])
def test_thereIsNoSuchPort(port: Any) -> None:
    with pytest.raises(InvalidArgument, match=str(port)):
        WasiTcpServer(port)


@pytest.mark.parametrize("endpoint", ["nonsense", "foo:80", "tcp:x", "tcp:99999", "", None])
def test_thereIsNoSuchServerEndpoint(endpoint: Any) -> None:
    with pytest.raises(InvalidArgument, match="endpoint|port"):
        WasiTcpServer(endpoint)


@pytest_twisted.ensureDeferred
async def test_badArgumentsOfServers() -> None:
    with pytest.raises(InvalidArgument, match="interface"):
        WasiTcpServer("tcp:0", LOCAL)
    async with WasiTcpServer(0, LOCAL) as server:
        with pytest.raises(InvalidArgument, match="timeout"):
            server.accept(-1)


@pytest_twisted.ensureDeferred
async def test_nagleIsOff() -> None:
    server, theirs, ours = await pair()
    assert [conn._protocol.transport.getTcpNoDelay() for conn in (theirs, ours)] == [True, True]
    await closeAll(theirs, ours, server)


@pytest_twisted.ensureDeferred
async def test_aPeerThatVanishesInTheMiddleOfAWrite() -> None:
    server, theirs, ours = await pair()
    writing = ensureDeferred(_writeMuch(ours))
    await theirs.read()
    raw = theirs._protocol.transport.getHandle()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.abort()
    with pytest.raises(ConnectionClosed):
        await writing
    await server.close()


async def _writeMuch(conn: WasiTcpConn) -> None:
    for _ in range(1000):
        await conn.write(bytes(100_000))


@pytest_twisted.ensureDeferred
async def test_sendFile(tmp_path: Path) -> None:
    content = os.urandom(5_000_001)
    (tmp_path / "file").write_bytes(content)
    server, theirs, ours = await pair()
    told: list[int] = []
    with (tmp_path / "file").open("rb") as file:
        file.seek(1)
        sending = ours.sendFile(file, told.append)
        # Nobody reads: it waits, with only a piece of the file in memory.
        await sleep(0.1)
        assert not sending.called
        assert file.tell() < len(content)
        assert await theirs.readExactly(len(content) - 1) == content[1:]
        assert await sending == len(content) - 1
    assert told == sorted(set(told))
    assert told[-1] == len(content) - 1
    await closeAll(theirs, ours, server)


@pytest_twisted.ensureDeferred
async def test_sendFileThatEndsEarly(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(50_000_000))
    server, theirs, ours = await pair()
    with (tmp_path / "file").open("rb") as file:
        sending = ours.sendFile(file)
        await sleep(0.1)
        sending.cancel()
        with pytest.raises(CancelledError):
            await sending
        stopped = file.tell()
        assert len(await theirs.readExactly(stopped)) == stopped
        sending = ours.sendFile(file)
        theirs.abort()
        with pytest.raises(ConnectionClosed):
            await sending
    with (tmp_path / "file").open(encoding="ascii") as text, pytest.raises((InvalidArgument, ConnectionClosed)):
        await ours.sendFile(text)  # type: ignore[arg-type]
    await server.close()


@pytest_twisted.ensureDeferred
async def test_writeLines() -> None:
    server, theirs, ours = await pair()
    await ours.writeLines(["h\xe9\n", b"b\n", bytearray(b"c\n")])
    assert [await theirs.readLine() for _ in range(3)] == ["h\xe9\n".encode(), b"b\n", b"c\n"]
    await closeAll(theirs, ours, server)


_NOBODY_READS = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from wasinet_twisted.net import WasiTcpServer

async def serve():
    server = WasiTcpServer(0, "127.0.0.1")
    print(server.local().port, flush=True)
    first = await server.accept()
    assert await first.read() == b"warm"
    first.write(b"up")
    second = await server.accept()
    # Held and not read, until the first one says so.
    await first.read()
    total = 0
    while data := await second.read():
        total += len(data)
    first.write(b"%d" % total)
    await first.close()
    await second.close()
    reactor.stop()

ensureDeferred(serve()).addErrback(lambda failure: (failure.printTraceback(), reactor.stop()))
reactor.run()
"""


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_aPeerThatSendsMuchToAConnectionNobodyReads() -> None:
    total = 200_000_000
    process = subprocess.Popen([sys.executable, "-c", _NOBODY_READS], stdout=subprocess.PIPE)
    assert process.stdout is not None
    sent = 0
    with process, process.stdout:
        address = (LOCAL, int(process.stdout.readline()))
        with socket.create_connection(address) as first, socket.create_connection(address) as second:
            first.sendall(b"warm")
            assert first.recv(10) == b"up"
            time.sleep(0.2)
            before = _resident(process.pid)
            piece = bytes(1_000_000)

            def send() -> None:
                nonlocal sent
                while sent < total:
                    second.sendall(piece)
                    sent += len(piece)
                second.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            stalled = -1
            while stalled != sent:
                stalled = sent
                time.sleep(0.5)
            grown = _resident(process.pid) - before
            assert 0 < sent < total / 2
            assert grown < 1_000_000
            # It was held back and not lost.
            first.sendall(b"now")
            sender.join()
            assert first.recv(20) == b"%d" % total
    assert process.returncode == 0
