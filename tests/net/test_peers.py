"""
Connections whose other side isn't ours: asyncio's streams, socat, and plain blocking sockets, on loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv6Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.processes import PATIENCE, freePort
from tests.support import needsTool
from wasinet_twisted.errors import ConnectionClosed, ConnectionRefused, TimedOut
from wasinet_twisted.net import WasiTcpConn, WasiTcpServer, connect, formatAddress
from wasinet_twisted.net.tasks.awaited import IMMEDIATE

reactor: Any = _reactor
LOCAL = "127.0.0.1"
MEBIBYTE = 1 << 20
# The side that is not ours: it connects, or is connected to.
ROLES = ["client", "server"]

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, Any]]


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


def inThread(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    return deferToThread(function, *arguments).addTimeout(PATIENCE, reactor)


async def echo(conn: WasiTcpConn) -> None:
    async for data in conn:
        await conn.write(data)


async def untilHeldBack(count: Callable[[], int]) -> int:
    """
    Wait until a number doesn't grow any more.
    """
    before = -1
    while before != count():
        before = count()
        await sleep(0.3)
    return before


# asyncio


async def withAsyncio(role: str, talk: Talk) -> tuple[WasiTcpConn, Deferred[Any]]:
    """
    @param role: asyncio's.
    @param talk: what asyncio does with its streams, in a thread. When it has ended, asyncio closes.
    @return: our end, and what C{talk} will return.
    """

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        try:
            return await asyncio.wait_for(talk(reader, writer), PATIENCE)
        finally:
            writer.close()
            # What the kernel hasn't taken yet would go with the loop.
            with contextlib.suppress(OSError):
                await asyncio.wait_for(writer.wait_closed(), PATIENCE)

    if role == "client":
        async with WasiTcpServer(0, LOCAL) as server:
            port = server.local().port

            async def client() -> Any:
                return await session(*await asyncio.open_connection(LOCAL, port))

            talking = inThread(asyncio.run, client())
            return await server.accept(timeout=5), talking

    # It listens already: the connection waits there for asyncio.
    listening = socket.create_server((LOCAL, 0))

    async def serve() -> Any:
        served: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def serveOne(*streams: Any) -> None:
            try:
                served.set_result(await session(*streams))
            except Exception as error:
                served.set_exception(error)

        async with await asyncio.start_server(serveOne, sock=listening):
            return await served

    talking = inThread(asyncio.run, serve())
    return await connect(LOCAL, listening.getsockname()[1], timeout=5), talking


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_asyncioEndsItsDirectionAndIsAnswered(role: str) -> None:
    question, answer = os.urandom(MEBIBYTE), os.urandom(2 * MEBIBYTE)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"echo me")
        assert await reader.readexactly(7) == b"echo me"
        writer.write(question)
        writer.write_eof()
        return await reader.read()

    conn, talking = await withAsyncio(role, talk)
    async with conn:
        await conn.write(await conn.readExactly(7, timeout=5))
        assert await conn.readToEnd(len(question), timeout=5) == question
        assert await conn.read() == b""
        await conn.write(answer)
    assert await talking == answer


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_weEndOurDirectionAndAsyncioAnswers(role: str) -> None:
    answer = os.urandom(2 * MEBIBYTE)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        question = await reader.read()
        assert reader.at_eof()
        writer.write(answer)
        await writer.drain()
        return question

    conn, talking = await withAsyncio(role, talk)
    async with conn:
        conn.write(b"question")
        await conn.finish()
        assert await conn.readToEnd(len(answer), timeout=5) == answer
    assert await talking == b"question"


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_aSlowAsyncioReaderHoldsUsBack(role: str) -> None:
    piece, count = os.urandom(100_000), 600
    go = threading.Event()
    written = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Nobody reads from the stream: asyncio pauses its transport.
        await asyncio.to_thread(go.wait, PATIENCE)
        for _ in range(count):
            assert await reader.readexactly(len(piece)) == piece
        assert await reader.read() == b""

    conn, talking = await withAsyncio(role, talk)

    async def write() -> None:
        nonlocal written
        for _ in range(count):
            await conn.write(piece)
            written += 1
        await conn.finish()

    writing = ensureDeferred(write())
    # The rest is in the buffers of the kernel, of asyncio, and of ours.
    assert 0 < await untilHeldBack(lambda: written) < count / 2
    go.set()
    await writing
    await talking
    await conn.close()


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_weHoldBackAnAsyncioWriter(role: str) -> None:
    piece, count = os.urandom(100_000), 600
    written = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        for _ in range(count):
            writer.write(piece)
            await writer.drain()
            written += 1

    conn, talking = await withAsyncio(role, talk)
    assert 0 < await untilHeldBack(lambda: written) < count / 2
    for _ in range(count):
        assert await conn.readExactly(len(piece), timeout=5) == piece
    assert await conn.read(timeout=5) == b""
    await talking
    await conn.close()


@pytest_twisted.ensureDeferred
async def test_manyAsyncioClientsAreServed() -> None:
    """
    By serveForever, and all at a time.
    """
    server = WasiTcpServer(0, LOCAL)
    serving = server.serveForever(echo)
    port = server.local().port

    async def client(number: int, together: asyncio.Barrier) -> bytes:
        reader, writer = await asyncio.open_connection(LOCAL, port)
        with contextlib.closing(writer):
            await together.wait()
            for part in (b"%d," % number, bytes(200_000)):
                writer.write(part)
                await writer.drain()
                assert await reader.readexactly(len(part)) == part
            writer.write(b"end")
            writer.write_eof()
            return await reader.read()

    async def clients() -> list[bytes]:
        together = asyncio.Barrier(20)
        return await asyncio.gather(*[client(number, together) for number in range(20)])

    assert await inThread(asyncio.run, clients()) == [b"end"] * 20
    await server.drain(5)
    await serving


# socat


def socat(*arguments: str, **options: Any) -> Deferred[subprocess.CompletedProcess[bytes]]:
    """
    Run it in a thread, to its end.
    """
    command = [needsTool("socat"), *arguments]
    return inThread(lambda: subprocess.run(command, capture_output=True, timeout=PATIENCE, **options))


def outcome(done: subprocess.CompletedProcess[bytes]) -> tuple[int, bytes, bytes]:
    return done.returncode, done.stdout, done.stderr


@pytest_twisted.ensureDeferred
async def test_socatEndsItsDirection() -> None:
    question, answer = os.urandom(MEBIBYTE), os.urandom(MEBIBYTE)
    async with WasiTcpServer(0, LOCAL) as server:
        talking = socat("-t10", "-", f"TCP4:{LOCAL}:{server.local().port}", input=question)
        async with await server.accept(timeout=5) as conn:
            assert await conn.readToEnd(len(question), timeout=5) == question
            await conn.write(answer)
    assert outcome(await talking) == (0, answer, b"")


@pytest_twisted.ensureDeferred
async def test_socatThatKeepsItsDirectionOpen() -> None:
    """
    Its input has ended, and we are not told before it closes.
    """
    async with WasiTcpServer(0, LOCAL) as server:
        talking = socat("-t10", "-", f"TCP4:{LOCAL}:{server.local().port},shut-none", input=b"question\n")
        async with await server.accept(timeout=5) as conn:
            assert await conn.readLine(timeout=5) == b"question\n"
            with pytest.raises(TimedOut):
                await conn.read(timeout=0.3)
            conn.write(b"answer")
            await conn.finish()
            # Both have ended now, as far as it knows.
            assert await conn.read(timeout=5) == b""
    assert outcome(await talking) == (0, b"answer", b"")


@pytest_twisted.ensureDeferred
async def test_socatServes() -> None:
    """
    A program behind it counts what comes until our direction ends, and answers then.
    """
    port = freePort()
    serving = socat("-t10", f"TCP4-LISTEN:{port},bind={LOCAL},reuseaddr", "EXEC:wc -c")
    conn = await connectSoon(port)
    async with conn:
        for _ in range(30):
            await conn.write(bytes(100_000))
        await conn.finish()
        assert (await conn.readToEnd(100, timeout=5)).strip() == b"3000000"
    assert outcome(await serving) == (0, b"", b"")


async def connectSoon(port: int) -> WasiTcpConn:
    """
    Connect with somebody who takes one connection, and doesn't listen yet.
    """
    until = reactor.seconds() + PATIENCE
    while True:
        try:
            return await connect(LOCAL, port)
        except ConnectionRefused:
            assert reactor.seconds() < until
            await sleep(0.02)


# Plain sockets


async def withSocket(role: str) -> tuple[WasiTcpConn, socket.socket]:
    """
    @param role: the socket's.
    @return: our end, and the socket.
    """
    if role == "client":
        async with WasiTcpServer(0, LOCAL) as server:
            sock = socket.create_connection((LOCAL, server.local().port), timeout=5)
            return await server.accept(timeout=5), sock
    with socket.create_server((LOCAL, 0)) as listening:
        conn = await connect(LOCAL, listening.getsockname()[1], timeout=5)
        sock, _ = listening.accept()
        sock.settimeout(5)
        return conn, sock


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def notTaken(sock: socket.socket) -> int:
    """
    How many of the sent bytes the other side's kernel has not taken: a reset loses them.
    """
    (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
    return int(count)


def receiveAll(sock: socket.socket) -> bytes:
    received = []
    while data := sock.recv(MEBIBYTE):
        received.append(data)
    return b"".join(received)


async def writeMuch(conn: WasiTcpConn) -> None:
    while True:
        await conn.write(bytes(100_000))


async def toldOnce(conn: WasiTcpConn) -> None:
    """
    The next read says that the connection was reset, and by whom; those after it that nothing comes any more.
    """
    with pytest.raises(ConnectionClosed, match=f"{formatAddress(conn.peer())} is gone"):
        await conn.read(timeout=5)
    for _ in range(3):
        assert await conn.read(timeout=5) == b""


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_aSocketEndsItsDirection(role: str) -> None:
    answer = os.urandom(3 * MEBIBYTE)
    conn, sock = await withSocket(role)
    with sock:
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        assert await conn.readToEnd(100, timeout=5) == b"question"
        assert await conn.read() == b""
        receiving = inThread(receiveAll, sock)
        await conn.write(answer)
        assert not receiving.called
        await conn.finish()
        assert await receiving == answer
        await conn.close()


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_whatASocketSeesOfOurEnd(role: str) -> None:
    """
    The end of the stream after finish(), with the other direction open; and after close().
    """
    conn, sock = await withSocket(role)
    with sock:
        conn.write(b"question")
        await conn.finish()
        assert receiveAll(sock) == b"question"
        for text in (b"an", b"swer"):
            sock.sendall(text)
            assert await conn.read(timeout=5) == text
        sock.shutdown(socket.SHUT_WR)
        assert await conn.read(timeout=5) == b""
        await conn.close()
    conn, sock = await withSocket(role)
    with sock:
        conn.write(b"good bye")
        await conn.close()
        assert receiveAll(sock) == b"good bye"


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_whatASocketSeesOfOurReset(role: str) -> None:
    conn, sock = await withSocket(role)
    with sock:
        conn.abort()
        await conn.whenClosed()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    # What is queued is lost, and that it is so is told, though our direction had been about to end.
    conn, sock = await withSocket(role)
    with sock:
        conn.write(bytes(64 * MEBIBYTE))
        finishing = conn.finish()
        await sleep(0.05)
        conn.abort()
        with pytest.raises(ConnectionClosed):
            await finishing
        with pytest.raises(ConnectionResetError):
            receiveAll(sock)
    # While the other side sends.
    conn, sock = await withSocket(role)
    with sock:
        sending = inThread(sock.sendall, bytes(256 * MEBIBYTE))
        await sleep(0.05)
        conn.abort()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await sending


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_closingWithMuchUnread(role: str) -> None:
    """
    The other side gets what was queued, and the end; and learns that nobody will read what it sends.
    """
    conn, sock = await withSocket(role)
    with sock:
        await inThread(sock.sendall, bytes(MEBIBYTE // 2))
        assert await conn.readExactly(1, timeout=5) == b"\0"
        conn.write(b"enough")
        await conn.close()
        assert receiveAll(sock) == b"enough"
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            sock.sendall(bytes(MEBIBYTE))


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_resetBeforeARead(role: str) -> None:
    """
    What came before it comes first: also if the reactor has had no turn in between, and if nobody read meanwhile.
    """
    for seconds in (0, 0.05):
        conn, sock = await withSocket(role)
        sock.sendall(b"before")
        reset(sock)
        await sleep(seconds)
        assert await conn.read(timeout=5) == b"before"
        await toldOnce(conn)


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_resetWithMoreUnreadThanIsKept(role: str) -> None:
    """
    What the kernel has kept for us is read to the last byte before the reset is told.
    """
    conn, sock = await withSocket(role)
    # Reading pauses below 128 KiB; the rest fits into the kernel's buffer, however small it is at first.
    sent = os.urandom(160_000)
    sock.sendall(sent)
    while notTaken(sock):
        await sleep(0.01)
    reset(sock)
    assert await conn.readExactly(len(sent), timeout=5) == sent
    await toldOnce(conn)


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_resetDuringARead(role: str) -> None:
    conn, sock = await withSocket(role)
    sock.sendall(b"half")
    reading = conn.readExactly(8)
    await sleep(0.02)
    assert not reading.called
    reset(sock)
    with pytest.raises(ConnectionClosed, match=formatAddress(conn.peer())):
        await reading
    # The bytes so far have stayed.
    assert await conn.read() == b"half"
    assert await conn.read() == b""


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_resetAfterARead(role: str) -> None:
    """
    Nobody reads or writes: whenClosed() fires, and the next read tells.
    """
    conn, sock = await withSocket(role)
    sock.sendall(b"x")
    assert await conn.read(timeout=5) == b"x"
    closed = conn.whenClosed()
    await sleep(0.02)
    assert not closed.called
    reset(sock)
    await closed.addTimeout(5, reactor)
    await toldOnce(conn)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("waiting", ["write", "finish", "close"])
@pytest_twisted.ensureDeferred
async def test_resetDuringAWrite(role: str, waiting: str) -> None:
    """
    Or while the end of our direction, or of all, waits for the other side to take what is queued.
    """
    conn, sock = await withSocket(role)
    writing = conn.write(bytes(64 * MEBIBYTE))
    if waiting == "finish":
        writing = conn.finish()
    elif waiting == "close":
        writing = conn.close()
    await sleep(0.1)
    assert not writing.called
    reset(sock)
    writing.addTimeout(5, reactor)
    if waiting == "close":
        # It has nothing to say to whoever wanted the connection gone.
        await writing
    else:
        with pytest.raises(ConnectionClosed, match=formatAddress(conn.peer())):
            await writing
    await conn.whenClosed()


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_resetAfterAWrite(role: str) -> None:
    conn, sock = await withSocket(role)
    await conn.write(b"x")
    assert await inThread(sock.recv, 1) == b"x"
    reset(sock)
    await conn.whenClosed()
    # To those who don't wait for it nothing is said, and nothing is logged.
    conn.write(b"y")
    with pytest.raises(ConnectionClosed, match=formatAddress(conn.peer())):
        await conn.write(b"z")
    with pytest.raises(ConnectionClosed, match=formatAddress(conn.peer())):
        await conn.finish()
    await conn.close()


@pytest.mark.parametrize("role", ROLES)
@pytest_twisted.ensureDeferred
async def test_resetAfterItsDirectionHasEnded(role: str) -> None:
    """
    There is nothing to read any more; who writes is told.
    """
    conn, sock = await withSocket(role)
    sock.shutdown(socket.SHUT_WR)
    assert await conn.read(timeout=5) == b""
    reset(sock)
    with pytest.raises(ConnectionClosed, match=formatAddress(conn.peer())):
        await ensureDeferred(writeMuch(conn)).addTimeout(5, reactor)
    assert await conn.read() == b""


@pytest_twisted.ensureDeferred
async def test_aResetIsNoFailureOfTheServers() -> None:
    """
    serveForever goes on, and nothing is logged as an error, wherever the handler was.
    """
    server = WasiTcpServer(0, LOCAL)
    serving = server.serveForever(echo)
    address = (LOCAL, server.local().port)
    with socket.create_connection(address, timeout=5) as honest:
        for sent in (b"", b"x", bytes(3 * MEBIBYTE)):
            sock = socket.create_connection(address)
            # As much as fits: of much, the handler can't get rid of its echo.
            sock.setblocking(False)
            sock.send(sent)
            await sleep(0.05)
            reset(sock)
        honest.sendall(b"still there")
        assert await inThread(honest.recv, 20) == b"still there"
    await server.drain(5)
    await serving


# IPv6


@pytest.mark.parametrize("listen", [(0, "::1"), (r"tcp6:0:interface=\:\:1",)])
@pytest_twisted.ensureDeferred
async def test_ipv6Listening(listen: tuple[Any, ...]) -> None:
    """
    For a plain socket, and for connect() by the address as it is written with a port.
    """
    async with WasiTcpServer(*listen) as server:
        address = server.local()
        assert isinstance(address, IPv6Address)
        with socket.create_connection(("::1", address.port), timeout=5) as sock:
            assert sock.family == socket.AF_INET6
            async with await server.accept(timeout=5) as conn:
                assert formatAddress(conn.peer()) == f"[::1]:{sock.getsockname()[1]}"
                assert conn.local() == address
                sock.sendall(b"x")
                assert await conn.read(timeout=5) == b"x"
            assert receiveAll(sock) == b""
        ours = await connect(f"[::1]:{address.port}", timeout=5)
        async with await server.accept(timeout=5) as conn:
            assert (ours.peer(), ours.local()) == (conn.local(), conn.peer())
            conn.write(b"y")
        async with ours:
            assert await ours.readToEnd(10, timeout=5) == b"y"


@pytest.mark.parametrize("write", ["[{}]:{}", "[0:0:0:0:0:0:0:1]:{1}"])
@pytest_twisted.ensureDeferred
async def test_ipv6Connecting(write: str) -> None:
    """
    With a plain socket; also where nobody listens.
    """
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        port = listening.getsockname()[1]
        async with await connect(write.format("::1", port), timeout=5) as conn:
            sock, _ = listening.accept()
            with sock:
                sock.sendall(b"x")
                sock.shutdown(socket.SHUT_WR)
                assert formatAddress(conn.peer()) == f"[::1]:{port}"
                assert await conn.readToEnd(10, timeout=5) == b"x"
    with pytest.raises(ConnectionRefused, match=r"can't connect to \[.*:1\]:\d+: Connection refused"):
        await connect(write.format("::1", port), timeout=5)


@pytest_twisted.ensureDeferred
async def test_ipv6ServeForever() -> None:
    server = WasiTcpServer(0, "::1")
    serving = server.serveForever(echo)
    with socket.create_connection(("::1", server.local().port), timeout=5) as sock:
        sock.sendall(b"Wasm")
        sock.shutdown(socket.SHUT_WR)
        assert await inThread(receiveAll, sock) == b"Wasm"
    await server.drain(5)
    await serving


# One beside the others


@pytest_twisted.ensureDeferred
async def test_aBusyHandlerBesideAnHonestOne() -> None:
    """
    Who takes byte after byte off a peer that never stops sending is kept from doing only that: between an honest
    peer's message and its answer there are a few turns, and in each a bounded number of the busy one's reads.
    """
    taken = 0

    async def handle(conn: WasiTcpConn) -> None:
        nonlocal taken
        if await conn.readExactly(1) == b"h":
            await echo(conn)
        while await conn.readExactly(1):
            taken += 1

    server = WasiTcpServer(0, LOCAL)
    serving = server.serveForever(handle)
    port = server.local().port
    stopped = threading.Event()

    def send() -> None:
        with socket.create_connection((LOCAL, port)) as sock, contextlib.suppress(OSError):
            while not stopped.is_set():
                sock.sendall(bytes(65536))

    sending = deferToThread(send)
    while not taken:
        await sleep(0.01)
    between = []
    async with await connect(f"{LOCAL}:{port}", timeout=5) as honest:
        honest.write(b"h")
        for _ in range(50):
            before = taken
            honest.write(b"?")
            assert await honest.read(timeout=5) == b"?"
            between.append(taken - before)
    stopped.set()
    await server.drain(0)
    await serving
    await sending
    assert sum(between) > 0
    assert max(between) <= 20 * IMMEDIATE
