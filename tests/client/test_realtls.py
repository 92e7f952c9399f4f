"""
fetch and nginx over TLS: whom it trusts, what it shows, and connections that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import gatherResults

from tests.certificates import DAY, Authority
from tests.client.servers import HELLO, LARGE, Server, afterItsEnd, body, nginx, pool, timed
from tests.processes import freePort
from wasinet_twisted.client import fetch
from wasinet_twisted.errors import (
    CertificateExpired,
    CertificateNameMismatch,
    ConnectionClosed,
    HandshakeFailed,
    IncompleteRead,
    UnknownCertificateAuthority,
)

_SERVERS = """
    ssl_session_cache shared:sessions:1m;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        server_name localhost;
        ssl_certificate "{certificate}"; ssl_certificate_key "{certificate}";
        keepalive_timeout 1;
        location = /silent {{ return 444; }}
        location = /who {{ return 200 "$ssl_protocol $ssl_server_name"; }}
        location /thrice/ {{ alias files/; keepalive_requests 3; }}
        location /uploads/ {{ root .; dav_methods PUT; client_max_body_size 8m; }}
        location /small/ {{ root .; dav_methods PUT; client_max_body_size 64k; }}
    }}
    server {{
        listen 127.0.0.1:{old} ssl;
        ssl_protocols TLSv1.2;
        ssl_certificate "{certificate}"; ssl_certificate_key "{certificate}";
        location = /who {{ return 200 $ssl_protocol; }}
    }}
    server {{
        listen 127.0.0.1:{expired} ssl;
        ssl_certificate "{expiredCertificate}"; ssl_certificate_key "{expiredCertificate}";
    }}
    server {{
        listen 127.0.0.1:{strict} ssl;
        ssl_certificate "{certificate}"; ssl_certificate_key "{certificate}";
        ssl_client_certificate "{clients}";
        ssl_verify_client on;
        location = /who {{ return 200 $ssl_client_s_dn; }}
    }}
    server {{ listen 127.0.0.1:{plain}; }}
"""


class Secure(Server):
    """
    @ivar ports: where its servers listen, by their names above.
    @ivar authority: who has issued their certificates.
    @ivar clients: who issues those of clients.
    """

    ports: dict[str, int]
    authority: Authority
    clients: Authority

    def url(self, path: str = "/", name: str = "port", host: str = "localhost") -> str:
        return f"https://{host}:{self.ports[name]}{path}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    directory = tmp_path_factory.mktemp("certificates")
    authority, clients = Authority(directory), Authority(directory, "the clients' authority")
    ports = {name: freePort() for name in ("port", "old", "expired", "strict", "plain")}
    servers = _SERVERS.format(
        certificate=authority.issue("localhost"),
        expiredCertificate=authority.issue("localhost", start=-2 * DAY, end=-DAY),
        clients=clients.path,
        **ports,
    )
    with nginx(tmp_path_factory.mktemp("nginx"), servers, *ports.values()) as running:
        secure = Secure(running.process, ports["port"])
        secure.ports, secure.authority, secure.clients = ports, authority, clients
        yield secure


@timed
async def test_files(server: Secure) -> None:
    """
    Over one connection; and what was agreed on can be seen while it is the response's.
    """
    async with pool(caCertificates=server.authority.path) as kept:
        response = await fetch(server.url("/large.bin"), pool=kept)
        assert response.version == "HTTP/1.1"
        assert response.tls is not None
        assert (response.tls.version, response.tls.alpn) == ("TLSv1.3", "http/1.1")
        assert response.timings.tls is not None
        assert 0 < response.timings.tls < 5
        assert await response.bytes() == LARGE
        assert await body(server.url("/hello.txt"), pool=kept) == HELLO
        assert await body(server.url("/who"), pool=kept) == b"TLSv1.3 localhost"
        assert "1 connections, 1 free" in repr(kept)


@timed
async def test_anOlderVersion(server: Secure) -> None:
    async with pool(caCertificates=server.authority.path) as kept:
        assert await body(server.url("/who", "old"), pool=kept) == b"TLSv1.2"


@timed
async def test_whomToTrust(server: Secure) -> None:
    async with pool() as kept:
        with pytest.raises(UnknownCertificateAuthority):
            await fetch(server.url(), pool=kept)
    async with pool(caCertificates=server.authority.path) as kept:
        with pytest.raises(CertificateNameMismatch, match="localhost"):
            await fetch(server.url(host="127.0.0.1"), pool=kept)
        with pytest.raises(CertificateExpired):
            await fetch(server.url(name="expired"), pool=kept)
        assert "0 connections" in repr(kept)


@timed
async def test_clientCertificates(server: Secure) -> None:
    """
    nginx says in HTTP who may not come in.
    """
    url = server.url("/who", "strict")
    own = {"caCertificates": server.authority.path}
    async with pool(**own) as kept:
        response = await fetch(url, pool=kept)
        assert response.status == 400
        assert "No required SSL certificate was sent" in await response.text()
    async with pool(**own, clientCertificate=server.clients.issue("me")) as kept:
        assert await body(url, pool=kept) == b"CN=me"
    async with pool(**own, clientCertificate=server.authority.issue("me")) as kept:
        response = await fetch(url, pool=kept)
        assert response.status == 400
        assert "The SSL certificate error" in await response.text()


@timed
async def test_theOtherProtocol(server: Secure) -> None:
    """
    http where TLS is spoken, and https where it is not.
    """
    async with pool(caCertificates=server.authority.path) as kept:
        response = await fetch(f"http://localhost:{server.ports['port']}/", pool=kept)
        assert response.status == 400
        assert "plain HTTP request was sent to HTTPS port" in await response.text()
        with pytest.raises(HandshakeFailed):
            await fetch(server.url(name="plain"), pool=kept)
        assert "0 connections" in repr(kept)


@timed
async def test_threeRequestsAConnection(server: Secure) -> None:
    async with pool(caCertificates=server.authority.path) as kept:
        for _ in range(7):
            assert await body(server.url("/thrice/hello.txt"), pool=kept) == HELLO
        connections = server.connections("/thrice/hello.txt", 7)
        assert [connections.count(each) for each in dict.fromkeys(connections)] == [3, 3, 1]


@pytest.mark.parametrize("busy", [False, True])
@timed
async def test_aKeptConnectionIsClosed(server: Secure, busy: bool) -> None:
    responses = await afterItsEnd(server.url("/hello.txt"), 1.3, busy=busy, caCertificates=server.authority.path)
    assert [response.status for response in responses] == [200, 405, 405, 405]


@timed
async def test_closedWithoutAnAnswer(server: Secure) -> None:
    async with pool(caCertificates=server.authority.path) as kept:
        for count in (1, 3):
            with pytest.raises((ConnectionClosed, IncompleteRead)):
                await fetch(server.url("/silent"), pool=kept)
            # The second time over a kept connection, so twice.
            assert len(server.logged("/silent", count)) == count
            assert await body(server.url("/hello.txt"), pool=kept) == HELLO


@timed
async def test_uploads(server: Secure) -> None:
    async with pool(caCertificates=server.authority.path) as kept:
        for given in (LARGE, [LARGE[:70_000], LARGE[70_000:]]):
            response = await fetch(server.url("/uploads/one"), method="PUT", body=given, pool=kept)
            assert response.status in (201, 204)
            assert (server.directory / "uploads" / "one").read_bytes() == LARGE
            response = await fetch(server.url("/small/one"), method="PUT", body=given, pool=kept)
            assert response.status == 413
            assert "413 Request Entity Too Large" in await response.text()


@timed
async def test_manyAtOnce(server: Secure) -> None:
    async with pool(caCertificates=server.authority.path) as kept:
        responses = await gatherResults([fetch(server.url("/large.bin"), pool=kept) for _ in range(12)])
        for response in responses:
            assert await response.bytes() == LARGE
        assert "12 connections, 12 free" in repr(kept)
