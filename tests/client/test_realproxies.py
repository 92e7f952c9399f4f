"""
Tunnels through proxies nobody here wrote: tinyproxy, squid, haproxy, microsocks, dante.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import DeferredList

from tests.certificates import Authority
from tests.processes import PATIENCE, freePort
from wasinet_twisted.client.proxies import Proxy, absoluteForm
from wasinet_twisted.client.tunnels import throughHttp, throughSocks5
from wasinet_twisted.errors import CertificateNameMismatch, ProxyFailed
from wasinet_twisted.http import ClientConnection, Data, EndOfMessage, ResponseHead, WasiRequest, WasiResponse
from wasinet_twisted.net import TlsClient, TlsServer, WasiTcpConn, WasiTcpServer, connect

from .realproxies import LOCAL, dante, haproxy, microsocks, squid, tinyproxy

reactor: Any = _reactor
MEBIBYTE = 1 << 20
HTTP_PROXIES = [tinyproxy, squid]
SOCKS_PROXIES = [microsocks, dante]
Start = Callable[[Path], AbstractContextManager[int]]
# Starts a proxy, unless it runs already, and gives its port.
Started = Callable[[Start], int]


class World:
    """
    One authority, and what it has issued: for the proxy, and for the host behind it.
    """

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.proxys = self.authority.issue("proxy.example", LOCAL)
        self.client = TlsClient("origin.example", caCertificates=self.authority.path)
        self.server = TlsServer(self.authority.issue("origin.example"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """
    Each proxy runs once: some take seconds to start.
    """
    ports: dict[Start, int] = {}
    with ExitStack() as running:

        def start(which: Start) -> int:
            if which not in ports:
                ports[which] = running.enter_context(which(tmp_path_factory.mktemp("proxy")))
            return ports[which]

        yield start


def withPassword(directory: Path) -> AbstractContextManager[int]:
    """
    An HTTP proxy that asks for credentials.
    """
    return tinyproxy(directory, "BasicAuth user secret")


async def reach(proxy: Proxy, host: str, port: int) -> WasiTcpConn:
    """
    A connection with a host by way of a proxy.
    """
    conn = await connect(proxy.host, proxy.port, timeout=5)
    try:
        if proxy.scheme == "https":
            await conn.startTLS(proxy.tls(), timeout=5)
        through = throughSocks5 if proxy.scheme.startswith("socks") else throughHttp
        await conn.start(through(conn, host, port, proxy)).addTimeout(2 * PATIENCE, reactor)
    except BaseException:
        conn.abort()
        await conn.whenClosed()
        raise
    return conn


async def exchange(proxy: Proxy, world: World, host: str = LOCAL, *, tls: bool) -> None:
    """
    Talk to a host by way of a proxy, in both directions, and to the end.
    """
    server = WasiTcpServer(0, LOCAL)
    accepting = server.accept(timeout=10)
    ours = await reach(proxy, host, server.local().port)
    theirs = await accepting
    if tls:
        shaking = theirs.startTLS(world.server, timeout=5)
        await ours.startTLS(world.client, timeout=5)
        await shaking
        assert ours.tls is not None
        assert theirs.tls is not None
        assert theirs.tls.serverName == "origin.example"
    data = bytes(range(256)) * (8 * MEBIBYTE // 256)
    for end, other in ((ours, theirs), (theirs, ours)):
        writing = end.write(data)
        assert await other.readExactly(len(data), timeout=20) == data
        await writing
    closing = ours.close()
    assert await theirs.read(timeout=5) == b""
    await DeferredList([closing, theirs.close(), server.close()])


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("start", HTTP_PROXIES)
async def test_connect(world: World, started: Started, start: Start, tls: bool) -> None:
    port = started(start)
    await exchange(Proxy("http", LOCAL, port), world, tls=tls)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("start", HTTP_PROXIES)
async def test_aHostThatRefuses(started: Started, start: Start) -> None:
    port = started(start)
    with pytest.raises(ProxyFailed, match=f"the proxy http://127.0.0.1:{port} refused CONNECT 127.0.0.1:") as caught:
        await reach(Proxy("http", LOCAL, port), LOCAL, freePort())
    assert caught.value.status in (500, 502, 503)


@pytest_twisted.ensureDeferred
async def test_basicCredentials(world: World, started: Started) -> None:
    port = started(withPassword)
    await exchange(Proxy("http", LOCAL, port, "user", "secret"), world, tls=True)
    with pytest.raises(ProxyFailed, match="407 .*: it takes a user and a password") as caught:
        await reach(Proxy("http", LOCAL, port), LOCAL, 1)
    assert caught.value.status == 407
    # tinyproxy's status for this is a server's, not a proxy's.
    with pytest.raises(ProxyFailed, match="refused CONNECT 127.0.0.1:1 with 401") as caught:
        await reach(Proxy("http", LOCAL, port, "user", "wrong"), LOCAL, 1)
    assert caught.value.status == 401


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("tls", [False, True])
async def test_aProxyOverTls(world: World, tmp_path: Path, tls: bool) -> None:
    """
    In the clear over the proxy's TLS, and by TLS within it.
    """
    with tinyproxy(tmp_path, "BasicAuth user secret") as behind, haproxy(tmp_path, world.proxys, behind) as port:
        url = f"https://user:secret@{LOCAL}:{port}"
        await exchange(Proxy.parse(url, caCertificates=world.authority.path), world, tls=tls)


@pytest_twisted.ensureDeferred
async def test_aProxysCertificate(world: World, tmp_path: Path) -> None:
    """
    It is verified before the proxy learns anything.
    """
    other = world.authority.issue("other.example")
    with tinyproxy(tmp_path) as behind, haproxy(tmp_path, other, behind) as port:
        proxy = Proxy.parse(f"https://user:secret@{LOCAL}:{port}", caCertificates=world.authority.path)
        with pytest.raises(CertificateNameMismatch, match="it is for other.example"):
            await reach(proxy, LOCAL, 1)


class _Origin(NamedTuple):
    scheme: str = "http"


class _Target(NamedTuple):
    origin: _Origin
    host: str
    path: str


async def answer(server: WasiTcpServer) -> bytes:
    """
    Answer one request, and give its head.
    """
    async with await server.accept(timeout=10) as conn:
        head = await conn.readUntil(b"\r\n\r\n", timeout=5)
        await conn.write(WasiResponse(body=b"hello", headers={"Connection": "close"}).encode())
    return head


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("start", "user"), [(tinyproxy, None), (withPassword, "user"), (squid, "user")])
async def test_forwarding(started: Started, start: Start, user: str | None) -> None:
    """
    The host gets what it would get from us, without what is for the proxy.
    """
    port = started(start)
    proxy = Proxy("http", LOCAL, port, user, None if user is None else "secret")
    server = WasiTcpServer(0, LOCAL)
    host = f"{LOCAL}:{server.local().port}"
    conn = await connect(LOCAL, port, timeout=5)
    answering = conn.start(answer(server))
    form, fields = absoluteForm(_Target(_Origin(), host, "/a?b"), proxy)
    client = ClientConnection()
    conn.write(client.request(WasiRequest("GET", form, [("Host", host), *fields]), 0))
    body: Any = b""
    while not isinstance(event := client.nextEvent(0), EndOfMessage):
        if event is None:
            client.receive(await conn.read(timeout=5), 0)
        elif isinstance(event, ResponseHead):
            assert event.status == 200
        elif isinstance(event, Data):
            body += event.data
    assert body == b"hello"
    head = await answering
    assert head.startswith(b"GET /a?b HTTP/1.")
    assert f"\r\nHost: {host}\r\n".encode().lower() in head.lower()
    assert b"proxy-authorization" not in head.lower()
    await DeferredList([conn.close(), server.close()])


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("start", SOCKS_PROXIES)
async def test_socks(world: World, started: Started, start: Start, tls: bool) -> None:
    port = started(start)
    await exchange(Proxy("socks5", LOCAL, port), world, tls=tls)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("start", SOCKS_PROXIES)
async def test_theProxyResolvesNames(world: World, started: Started, start: Start) -> None:
    port = started(start)
    proxy = Proxy("socks5h", LOCAL, port)
    await exchange(proxy, world, "localhost", tls=True)
    with pytest.raises(ProxyFailed, match="SOCKS5 to nowhere.invalid:443 by the proxy socks5h://") as caught:
        await reach(proxy, "nowhere.invalid", 443)
    assert caught.value.replyCode in (1, 4)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("start", SOCKS_PROXIES)
async def test_aHostThatRefusesSocks(started: Started, start: Start) -> None:
    port = started(start)
    with pytest.raises(ProxyFailed, match="failed: connection refused") as caught:
        await reach(Proxy("socks5", LOCAL, port), LOCAL, freePort())
    assert caught.value.replyCode == 5


@pytest_twisted.ensureDeferred
async def test_socksRules(started: Started) -> None:
    port = started(dante)
    with pytest.raises(ProxyFailed, match="failed: connection not allowed by ruleset"):
        await reach(Proxy("socks5", LOCAL, port), "127.0.0.2", 80)


@pytest_twisted.ensureDeferred
async def test_socksCredentials(world: World, tmp_path: Path) -> None:
    with microsocks(tmp_path, "-u", "user", "-P", "secret") as port:
        await exchange(Proxy("socks5", LOCAL, port, "user", "secret"), world, tls=True)
        with pytest.raises(ProxyFailed, match="takes nobody without credentials"):
            await reach(Proxy("socks5", LOCAL, port), LOCAL, 1)
        with pytest.raises(ProxyFailed, match="does not accept the credentials of 'user'"):
            await reach(Proxy("socks5", LOCAL, port, "user", "wrong"), LOCAL, 1)
