"""
The client and real sockets: over TLS nothing is left half-closed, and a reset and an end are what they are on loopback.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater

from tests.certificates import Authority
from wasinet_twisted.client import ClientLimits, Pool, fetch
from wasinet_twisted.errors import ConnectFailed, ConnectionClosed, IncompleteRead, InvalidArgument, WasinetError
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import ConnectionFactory, TlsServer, WasiTcpConn
from wasinet_twisted.server import Request, serve

from .support import OK, answer, head

reactor: Any = _reactor

Serve = Callable[[Callable[[WasiTcpConn], Awaitable[object]]], Awaitable[str]]


@pytest_twisted.async_yield_fixture(params=["http", "https"])
async def origin(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Serve, Pool]]:
    """
    Serves what a handler does with a connection; gives the URL. And a pool that trusts it.
    """
    authority = Authority(tmp_path)
    factories = []
    ports = []

    async def serving(handler: Callable[[WasiTcpConn], Awaitable[object]]) -> str:
        async def secured(conn: WasiTcpConn) -> None:
            if request.param == "https":
                await conn.startTLS(TlsServer(authority.issue("localhost")))
            await handler(conn)

        factory = ConnectionFactory(secured)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        factories.append(factory)
        ports.append(port)
        return f"{request.param}://localhost:{port.getHost().port}/"

    pool = Pool(caCertificates=authority.pem, limits=ClientLimits(perOrigin=4))
    yield serving, pool
    await pool.close()
    # Who waits is told first.
    await deferLater(reactor, 0)
    assert (repr(pool), pool._all) == ("<Pool: 0 connections, 0 free, 0 requests wait>", set())
    for port in ports:
        await port.stopListening()
    for factory in factories:
        await factory.stop(1)


async def readRequest(conn: WasiTcpConn) -> bytes:
    return await conn.readUntil(b"\r\n\r\n", maxBytes=10_000)


@pytest_twisted.ensureDeferred
async def test_theLastResponseEndsTheConnection(origin: tuple[Serve, Pool]) -> None:
    """
    At once, over TLS too: the server's end of it is heard.
    """
    serving, pool = origin
    ends: list[bytes] = []

    async def handler(conn: WasiTcpConn) -> None:
        async with conn:
            await readRequest(conn)
            conn.write(answer(b"ok", "Connection: close"))
            ends.append(await conn.read(timeout=5))

    url = await serving(handler)
    begun = reactor.seconds()
    for _ in range(3):
        response = await fetch(url, pool=pool)
        assert await response.bytes() == b"ok"
    while pool._all or len(ends) < 3:
        await deferLater(reactor, 0.01)
        assert reactor.seconds() - begun < 5
    assert ends == [b""] * 3


@pytest_twisted.ensureDeferred
async def test_anIdleConnectionIsClosed(origin: tuple[Serve, Pool]) -> None:
    serving, pool = origin
    ends: list[bytes] = []

    async def handler(conn: WasiTcpConn) -> None:
        async with conn:
            await readRequest(conn)
            conn.write(OK)
            ends.append(await conn.read(timeout=5))

    url = await serving(handler)
    assert await (await fetch(url, pool=pool)).bytes() == b"ok"
    await pool.close()
    while not ends:
        await deferLater(reactor, 0.01)
    assert ends == [b""]


@pytest_twisted.ensureDeferred
async def test_bodiesThatAreCut(origin: tuple[Serve, Pool]) -> None:
    """
    By a regular end and by a reset, with a length and without one.
    """
    serving, pool = origin

    async def handler(conn: WasiTcpConn) -> None:
        request = await readRequest(conn)
        await conn.write((head("Content-Length: 100") if b"/length" in request else head()) + b"some")
        await deferLater(reactor, 0.05)
        if b"reset" in request:
            conn.abort()
        else:
            await conn.close()

    url = await serving(handler)
    for path, error in (("length", IncompleteRead), ("length-reset", ConnectionClosed), ("reset", ConnectionClosed)):
        response = await fetch(url + path, pool=pool)
        with pytest.raises(error):
            await response.bytes()
    assert await (await fetch(url + "close", pool=pool)).bytes() == b"some"


@pytest_twisted.ensureDeferred
async def test_cancelled(origin: tuple[Serve, Pool]) -> None:
    """
    The server sees a reset, before its answer and inside it.
    """
    serving, pool = origin
    errors: list[str] = []

    async def handler(conn: WasiTcpConn) -> None:
        request = await readRequest(conn)
        if b"/body" in request:
            conn.write(head("Content-Length: 100") + b"some")
        try:
            errors.append(repr(await conn.read(timeout=5)))
        except ConnectionClosed:
            errors.append("reset")

    url = await serving(handler)
    waiting = fetch(url, pool=pool)
    await deferLater(reactor, 0.1)
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    async with await fetch(url + "body", pool=pool) as response:
        assert response.status == 200
    while len(errors) < 2:
        await deferLater(reactor, 0.01)
    assert errors == ["reset"] * 2


@pytest_twisted.ensureDeferred
async def test_anEarlyAnswer(origin: tuple[Serve, Pool]) -> None:
    """
    The server answers, and reads the rest of the body for a while, as RFC 9112 section 9.6 has it.
    """
    serving, pool = origin

    async def handler(conn: WasiTcpConn) -> None:
        async with conn:
            await readRequest(conn)
            conn.write(answer(b"no", status="413 No"))
            while await conn.read(timeout=5):
                pass

    url = await serving(handler)
    response = await fetch(url, pool=pool, method="POST", body=iter([bytes(100_000)] * 1000))
    assert (response.status, await response.bytes()) == (413, b"no")


@pytest_twisted.ensureDeferred
async def test_backPressure(origin: tuple[Serve, Pool]) -> None:
    """
    A server isn't read faster than whoever reads the response.
    """
    serving, pool = origin
    sent = 0

    async def handler(conn: WasiTcpConn) -> None:
        nonlocal sent
        async with conn:
            await readRequest(conn)
            conn.write(head("Content-Length: 100000000"))
            for _ in range(1000):
                await conn.write(bytes(100_000))
                sent += 100_000

    response = await fetch(await serving(handler), pool=pool)
    before = -1
    while before != sent:
        before = sent
        await deferLater(reactor, 0.2)
    assert sent < 50_000_000
    size = 0
    async for piece in response.stream():
        size += len(piece)
    assert size == 100_000_000


URLS = (
    "", "a", "a/", "a//b", "a/./b", "a/../b", "..", "a/..", "a/.", "%2e%2e/b", "a/%2E/b", ".a", "%41%7e", "%zz", "%",
    "%4", "a?b", "?", "?a=/../b", "?a=%2e", "a#b", "#", "a?b#c", "ü", "a b", "|", "[", "{", "\"", "\\", "'", "^", "`",
    "<", "*", "a;b=c", "a:b@c", "&=+$,", "~-_.!()",
)  # fmt: skip
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"method": "HEAD"},
    {"method": "DELETE"},
    {"method": "OPTIONS"},
    {"headers": {}},
    {"headers": {"X": "y", "x": "z"}},
    {"headers": {"X": ""}},
    {"headers": {"X": " y"}},
    {"headers": {"X": "ü"}},
    {"headers": {"X": "a\tb"}},
    {"headers": {"X": "a\nb"}},
    {"headers": {"a b": "c"}},
    {"headers": {"ü": "c"}},
    {"headers": {"": "c"}},
    {"headers": {"Content-Type": "a", "Content-Length": "0"}},
    {"headers": {"Content-Length": "1"}},
    {"headers": {"Transfer-Encoding": "chunked"}},
    {"headers": {"host": "x", "ACCEPT": "y", "User-agent": "z"}},
    {"headers": {"Accept-Encoding": "br"}},
    {"headers": {"Cookie": "a=b", "Authorization": "c"}},
    {"headers": {f"X-{number}": str(number) for number in range(40)}},
)


@pytest_twisted.ensureDeferred
async def test_theSameRequestOverANewConnectionAndAKeptOne(origin: tuple[Serve, Pool]) -> None:
    """
    Over a kept one the request may be made in C.
    """
    serving, pool = origin
    heads: list[bytes] = []

    async def handler(conn: WasiTcpConn) -> None:
        async with conn:
            while True:
                try:
                    heads.append(await readRequest(conn))
                except (ConnectionClosed, IncompleteRead):
                    return
                conn.write(head("Content-Length: 0"))

    url = await serving(handler)

    async def sent(path: str, options: dict[str, Any], using: Pool) -> Any:
        heads.clear()
        try:
            await (await fetch(url + path, pool=using, **options)).bytes()
        except WasinetError as error:
            return type(error), str(error)
        return list(heads)

    await sent("", {}, pool)
    for path, options in [(path, {}) for path in URLS] + [("a", options) for options in OPTIONS]:
        kept = await sent(path, options, pool), await sent(path, options, pool)
        new = Pool(caCertificates=pool._dialing._caCertificates)
        found = await sent(path, options, new)
        await new.close()
        assert kept == (found, found), (path, options)
    assert repr(pool) == "<Pool: 1 connections, 1 free, 0 requests wait>"


@pytest_twisted.ensureDeferred
async def test_unixSocket(tmp_path: Path) -> None:
    """
    The URL says the Host, the path where the server is; it is another route than the host's own.
    """
    path = str(tmp_path / "socket")

    def handler(request: Request) -> WasiResponse:
        return WasiResponse(body=f"{request.getHeader('Host')}{request.uri}")

    server = serve(handler, f"unix:{path}")
    async with Pool() as pool:
        for _ in range(2):
            response = await fetch("http://any.test/path", unixSocket=path, pool=pool)
            assert await response.text() == "any.test/path"
        assert repr(pool) == "<Pool: 1 connections, 1 free, 0 requests wait>"
    await server.drain(1)


@pytest_twisted.ensureDeferred
async def test_noUnixSocket(tmp_path: Path) -> None:
    """
    The error names the path.
    """
    path = str(tmp_path / "nothing")
    async with Pool() as pool:
        with pytest.raises(
            ConnectFailed, match=f"^can't connect to the Unix socket {re.escape(repr(path))}: No such file"
        ):
            await fetch("http://any.test/", unixSocket=path, pool=pool)


@pytest_twisted.ensureDeferred
async def test_anotherAddress() -> None:
    """
    A pool's C{endpoint} may give an address, and may refuse an origin: one that a redirect leads to, too.
    """

    async def handler(request: Request) -> WasiResponse:
        if request.uri == "/away":
            return WasiResponse(302, {"Location": "http://elsewhere.test/"})
        return WasiResponse(body=request.headers["Host"])

    server = serve(handler, "tcp:0:interface=127.0.0.1")
    port = server.local().port

    def where(origin: Any) -> str:
        if origin.host != "there.test":
            raise InvalidArgument(f"{origin.host} is not allowed")
        return f"127.0.0.1:{port}"

    async with Pool(endpoint=where) as pool:
        response = await fetch("http://there.test/", pool=pool)
        assert await response.text() == "there.test"
        for url in ("http://elsewhere.test/", "http://there.test/away"):
            with pytest.raises(InvalidArgument, match=r"elsewhere\.test is not allowed"):
                await fetch(url, pool=pool)
    await server.drain()
