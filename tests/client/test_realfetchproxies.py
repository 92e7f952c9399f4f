"""
fetch through proxies nobody here wrote, to nginx: tinyproxy and squid, haproxy for TLS with the proxy, microsocks and
dante.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from treq.client import HTTPClient
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError

from tests.certificates import Authority
from tests.client.realproxies import LOCAL, dante, haproxy, microsocks, squid, tinyproxy
from tests.client.servers import HELLO, LARGE, Server, body, nginx, pause, pool, timed
from tests.processes import freePort, takenPort
from wasinet_twisted.client import Agent, Pool, Proxy, Timeouts, fetch
from wasinet_twisted.errors import (
    CertificateNameMismatch,
    ConnectFailed,
    ConnectionRefused,
    ProxyFailed,
    TimedOut,
    UnknownCertificateAuthority,
    UnknownHost,
)

reactor: Any = _reactor

# What it was given by whom: the proxy's own field, and credentials that are none of its business.
_NGINX = """
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{secure} ssl;
        ssl_certificate "{certificate}";
        ssl_certificate_key "{certificate}";
        location = /given {{ return 200 "$scheme|$http_via|$http_proxy_authorization"; }}
        location = /moved {{ return 302 /given; }}
        location /uploads/ {{ root .; dav_methods PUT; client_max_body_size 8m; }}
    }}
"""
SECRET = "dXNlcjpzZWNyZXQ="


class World(Server):
    """
    The origin, and the proxies that run.

    @ivar secure: the port for TLS.
    @ivar authority: whom to trust, there and at the proxy that speaks TLS.
    @ivar proxies: the proxies' URLs, by the names that the tests have for them.
    """

    secure: int
    authority: Authority
    proxies: dict[str, str]

    def tls(self, path: str = "/") -> str:
        return f"https://localhost:{self.secure}{path}"

    def proxy(self, name: str) -> Any:
        """
        What C{proxy} is to be for one of them.
        """
        url = self.proxies[name]
        return Proxy.parse(url, caCertificates=self.authority.path) if url.startswith("https:") else url


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("origin")
    authority = Authority(directory)
    port, secure = freePort(), freePort()
    servers = _NGINX.format(port=port, secure=secure, certificate=authority.issue("localhost"))
    with ExitStack() as running:

        def start(which: Callable[[Path], AbstractContextManager[int]]) -> int:
            return running.enter_context(which(tmp_path_factory.mktemp("proxy")))

        world = World(running.enter_context(nginx(directory, servers, port, secure)).process, port)
        world.secure, world.authority = secure, authority
        asking = start(lambda place: tinyproxy(place, "BasicAuth user secret"))
        overTls = start(lambda place: haproxy(place, authority.issue("proxy.example", LOCAL), asking))
        socks = start(dante)
        world.proxies = {
            "tinyproxy": f"http://{LOCAL}:{start(tinyproxy)}",
            "squid": f"http://{LOCAL}:{start(squid)}",
            "asking": f"http://user:secret@{LOCAL}:{asking}",
            "tls": f"https://user:secret@{LOCAL}:{overTls}",
            "microsocks": f"socks5h://{LOCAL}:{start(microsocks)}",
            "dante": f"socks5://{LOCAL}:{socks}",
        }
        yield world


@pytest.mark.parametrize("name", ["tinyproxy", "squid", "asking", "tls"])
@timed
async def test_http(world: World, name: str) -> None:
    """
    The proxy forwards the request: the origin gets it by way of the proxy, and no credentials of the proxy's.
    """
    async with pool(proxy=world.proxy(name)) as kept:
        for path in ("/given", "/moved"):
            scheme, via, credentials = (await body(world.url(path), pool=kept)).decode().split("|")
            assert (scheme, credentials) == ("http", "")
            assert ("squid" if name == "squid" else "tinyproxy") in via
        assert await body(world.url("/large.bin"), pool=kept) == LARGE
        for given in (LARGE, [LARGE[:70_000], LARGE[70_000:]]):
            response = await fetch(world.url(f"/uploads/{name}"), method="PUT", body=given, pool=kept)
            assert response.status in (201, 204)
            assert (world.directory / "uploads" / name).read_bytes() == LARGE


@pytest.mark.parametrize("name", ["tinyproxy", "squid", "asking", "tls", "microsocks", "dante"])
@timed
async def test_https(world: World, name: str) -> None:
    """
    TLS is spoken with the origin, through one tunnel, which is kept for the next request. The proxy sees none of it.
    """
    path = f"/folder/?{name}"
    before = len(world.logged("/folder/index.html", 0))
    async with pool(proxy=world.proxy(name), caCertificates=world.authority.path) as kept:
        for _ in range(3):
            assert await body(world.tls(path), pool=kept) == b"<p>a folder</p>\n"
        response = await fetch(world.tls("/large.bin"), pool=kept)
        assert response.tls is not None
        assert response.tls.peerCertificate is not None
        assert response.tls.peerCertificate.subject.rfc4514_string() == "CN=localhost"
        assert response.timings.connect is None
        assert await response.bytes() == LARGE
        assert await body(world.tls("/given"), pool=kept) == b"https||"
        response = await fetch(world.tls("/uploads/one"), method="PUT", body=LARGE, pool=kept)
        assert response.status in (201, 204)
        await response.bytes()
        assert "1 connections, 1 free" in repr(kept)
    connections = world.connections("/folder/index.html", before + 3)[before:]
    assert len(set(connections)) == 1


@pytest.mark.parametrize("name", ["microsocks", "dante"])
@timed
async def test_httpBySocks(world: World, name: str) -> None:
    async with pool(proxy=world.proxy(name)) as kept:
        for _ in range(2):
            assert await body(world.url("/given"), pool=kept) == b"http||"
        assert "1 connections, 1 free" in repr(kept)


@timed
async def test_theOriginIsVerified(world: World) -> None:
    """
    As without a proxy: whichever it is, it may be anybody's.
    """
    for name in ("tinyproxy", "tls", "microsocks"):
        async with pool(proxy=world.proxy(name)) as kept:
            with pytest.raises(UnknownCertificateAuthority):
                await fetch(world.tls(), pool=kept)
            assert "0 connections" in repr(kept)
        async with pool(proxy=world.proxy(name), caCertificates=world.authority.path) as kept:
            with pytest.raises(CertificateNameMismatch):
                await fetch(world.tls().replace("localhost", LOCAL), pool=kept)


@timed
async def test_theProxyIsVerified(world: World) -> None:
    """
    Before it learns anything.
    """
    async with pool(caCertificates=world.authority.path) as kept:
        for url in (world.url("/given"), world.tls("/given")):
            # Whom the pool trusts as an origin isn't trusted as a proxy.
            with pytest.raises(UnknownCertificateAuthority):
                await fetch(url, proxy=world.proxies["tls"], pool=kept)
            named = world.proxies["tls"].replace(LOCAL, "localhost")
            with pytest.raises(CertificateNameMismatch):
                await fetch(url, proxy=Proxy.parse(named, caCertificates=world.authority.path), pool=kept)
        assert "0 connections" in repr(kept)


@timed
async def test_credentials(world: World) -> None:
    """
    Without them, a tunnel fails; of a request that is forwarded, the proxy's answer is the answer.
    """
    stranger = world.proxies["asking"].replace("user:secret@", "")
    async with pool(caCertificates=world.authority.path) as kept:
        assert (await fetch(world.url("/given"), proxy=stranger, pool=kept)).status == 407
        with pytest.raises(ProxyFailed) as raised:
            await fetch(world.tls("/given"), proxy=stranger, pool=kept)
        assert raised.value.status == 407
        for proxy in (world.proxies["asking"], Proxy("http", LOCAL, Proxy.parse(stranger).port, "user", "secret")):
            assert await body(world.tls("/given"), proxy=proxy, pool=kept) == b"https||"
        # Each way has connections of its own: a stranger doesn't use a tunnel that another has paid for.
        assert "1 connections, 1 free" in repr(kept)
        with pytest.raises(ProxyFailed):
            await fetch(world.tls("/given"), proxy=stranger, pool=kept)
        assert await body(world.tls("/given"), pool=kept) == b"https||"
        assert "2 connections, 2 free" in repr(kept)
        told = str(raised.value) + repr(raised.value)
        assert "secret" not in told
        assert SECRET not in told


@timed
async def test_theEnvironment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Only if it is asked for.
    """
    for kind in ("http", "https", "all", "no"):
        for variable in (f"{kind}_proxy", f"{kind.upper()}_PROXY"):
            monkeypatch.delenv(variable, raising=False)
    nobody = f"http://{LOCAL}:{freePort()}"
    monkeypatch.setenv("HTTP_PROXY", world.proxies["squid"])
    monkeypatch.setenv("ALL_PROXY", nobody)
    async with pool() as kept:
        assert await body(world.url("/given"), pool=kept) == b"http||"
    async with pool(proxy="environment", caCertificates=world.authority.path) as kept:
        assert b"squid" in await body(world.url("/given"), pool=kept)
        with pytest.raises(ConnectionRefused):
            await fetch(world.tls("/given"), pool=kept)
        assert await body(world.tls("/given"), proxy="", pool=kept) == b"https||"
        monkeypatch.setenv("NO_PROXY", f"localhost, {LOCAL}:{world.port}")
        monkeypatch.setenv("HTTPS_PROXY", nobody)
        assert await body(world.url("/given"), pool=kept) == b"http||"
        assert await body(world.tls("/given"), pool=kept) == b"https||"


@timed
async def test_whoLooksUpTheName(world: World) -> None:
    """
    For C{socks5} we do, for the others the proxy does.
    """
    async with pool() as kept:
        with pytest.raises(UnknownHost):
            await fetch("http://nowhere.invalid/", proxy=world.proxies["dante"], pool=kept)
        for url, name in (("http://nowhere.invalid/", "microsocks"), ("https://nowhere.invalid/", "tinyproxy")):
            with pytest.raises(ProxyFailed):
                await fetch(url, proxy=world.proxies[name], pool=kept)
        assert "0 connections" in repr(kept)


@pytest.mark.parametrize("name", ["tinyproxy", "squid", "microsocks", "dante"])
@timed
async def test_anOriginThatRefuses(world: World, name: str) -> None:
    async with pool(proxy=world.proxy(name)) as kept:
        with pytest.raises(ProxyFailed, match=f"{LOCAL}:"):
            await fetch(f"https://{LOCAL}:{freePort()}/", pool=kept)
        assert "0 connections" in repr(kept)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
@timed
async def test_aProxyThatIsNone(world: World, scheme: str) -> None:
    """
    Nobody listens; or somebody listens, and says nothing: the deadlines of connecting and of TLS are for it, too.
    """
    async with pool() as kept:
        with pytest.raises(ConnectFailed):
            await fetch(world.tls(), proxy=f"{scheme}://{LOCAL}:{freePort()}", pool=kept)
        with takenPort() as port:
            silent = f"{scheme}://{LOCAL}:{port}"
            for timeouts in (Timeouts(connect=0.2, tls=0.2), Timeouts(total=0.2)):
                with pytest.raises(TimedOut):
                    await fetch(world.tls(), proxy=silent, timeout=timeouts, pool=kept)
            asked = fetch(world.tls(), proxy=silent, pool=kept)
            await pause(0.05)
            assert "1 connections" in repr(kept)
            asked.cancel()
            with pytest.raises(CancelledError):
                await asked
        assert "0 connections" in repr(kept)


@timed
async def test_theAgent(world: World) -> None:
    """
    It goes through its pool's proxy, and so does treq on it.
    """
    for name in ("squid", "tls", "microsocks"):
        async with Pool(proxy=world.proxy(name), caCertificates=str(world.authority.path)) as kept:
            client: Any = HTTPClient(Agent(reactor, pool=kept))
            for url in (world.url("/given"), world.tls("/given")):
                scheme, via, credentials = (await (await client.get(url)).text()).split("|")
                assert (scheme, credentials) == (url.partition(":")[0], "")
                assert bool(via) == (scheme == "http" and name != "microsocks")
            assert await (await client.get(world.tls("/hello.txt"))).content() == HELLO
