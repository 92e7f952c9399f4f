"""
fetch and haproxy before nginx: what the one passes on, and what the other answers itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.client.servers import HELLO, LARGE, TEXT, Server, afterItsEnd, body, haproxy, nginx, pause, pool, timed
from tests.processes import freePort, takenPort
from wasinet_twisted.client import Timeouts, fetch
from wasinet_twisted.errors import ConnectionClosed, IncompleteRead, TimedOut

_BEHIND = """
    server {{
        listen 127.0.0.1:{port};
        keepalive_timeout 1;
        location = /silent {{ return 444; }}
        location /slow/ {{ alias files/; limit_rate 1k; limit_rate_after 100k; }}
        location /uploads/ {{ root .; dav_methods PUT; client_max_body_size 8m; }}
    }}
"""

_CONFIGURATION = """
global
    maxconn 200
defaults
    mode http
    timeout connect 1s
    retries 0
    timeout client 5s
    timeout server 400ms
    timeout http-request 2s
    timeout http-keep-alive 400ms
frontend front
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{secure} ssl crt {certificate} alpn h2,http/1.1
    http-request deny deny_status 429 if {{ path_beg /denied }}
    http-request reject if {{ path /rejected }}
    http-request return status 200 content-type text/plain string "of its own" if {{ path /own }}
    http-request wait-for-body time 300ms if {{ path_beg /uploads/buffered }}
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    compression algo gzip
    compression type text/plain
    use_backend nobody if {{ path /nobody }}
    use_backend mute if {{ path /mute }}
    default_backend files
backend files
    server nginx 127.0.0.1:{behind}
backend nobody
    server nobody 127.0.0.1:{nobody}
backend mute
    server mute 127.0.0.1:{mute}
"""


class Front(Server):
    """
    @ivar behind: nginx.
    @ivar secure: the port for TLS.
    @ivar authority: whom to trust there.
    """

    behind: Server
    secure: int
    authority: Authority


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    directory: Path = tmp_path_factory.mktemp("haproxy")
    port, secure, behind = freePort(), freePort(), freePort()
    authority = Authority(directory)
    with (
        takenPort() as mute,
        nginx(tmp_path_factory.mktemp("nginx"), _BEHIND.format(port=behind), behind) as files,
        haproxy(
            directory,
            _CONFIGURATION.format(
                port=port,
                secure=secure,
                behind=behind,
                nobody=freePort(),
                mute=mute,
                certificate=str(authority.issue("localhost")).replace(" ", "\\ "),
            ),
            port,
        ) as running,
    ):
        front = Front(running.process, port)
        front.behind, front.secure, front.authority = files, secure, authority
        yield front


@timed
async def test_whatItPassesOn(server: Front) -> None:
    """
    Over one connection, though nginx's own may be another each time.
    """
    async with pool() as kept:
        for _ in range(2):
            assert await body(server.url("/hello.txt"), pool=kept) == HELLO
            assert await body(server.url("/large.bin"), pool=kept) == LARGE
            # Compressed by haproxy.
            response = await fetch(server.url("/text.txt"), pool=kept)
            assert response.headers["Content-Encoding"] == "gzip"
            assert await response.bytes() == TEXT
            plain = await fetch(server.url("/text.txt"), headers={"Accept-Encoding": "identity"}, pool=kept)
            assert "Content-Encoding" not in plain.headers
            assert await plain.bytes() == TEXT
            head = await fetch(server.url("/large.bin"), method="HEAD", pool=kept)
            assert (head.headers["Content-Length"], await head.bytes()) == (str(len(LARGE)), b"")
            missing = await fetch(server.url("/missing"), pool=kept)
            assert (missing.status, missing.headers["Server"][:6]) == (404, "nginx/")
            await missing.bytes()
        assert "1 connections, 1 free" in repr(kept)


@timed
async def test_tls(server: Front) -> None:
    """
    It would rather speak HTTP/2.
    """
    async with pool(caCertificates=server.authority.path) as kept:
        url = f"https://localhost:{server.secure}/large.bin"
        for _ in range(2):
            response = await fetch(url, pool=kept)
            assert response.version == "HTTP/1.1"
            assert await response.bytes() == LARGE
        assert "1 connections, 1 free" in repr(kept)
        assert await body(f"https://localhost:{server.secure}/own", pool=kept) == b"of its own"


@timed
async def test_itsOwnAnswers(server: Front) -> None:
    """
    503: nobody is there; 502: nobody has answered; 504: nobody has answered in time. A page each time, and the next
    request has its own.
    """
    async with pool() as kept:
        for path, status, text in (
            ("/own", 200, "of its own"),
            ("/denied", 429, "<h1>429 Too Many Requests</h1>"),
            ("/nobody", 503, "<h1>503 Service Unavailable</h1>"),
            ("/silent", 502, "<h1>502 Bad Gateway</h1>"),
            ("/mute", 504, "<h1>504 Gateway Time-out</h1>"),
        ):
            response = await fetch(server.url(path), pool=kept)
            assert response.status == status
            assert text in await response.text()
            assert await body(server.url("/hello.txt"), pool=kept) == HELLO


@timed
async def test_rejected(server: Front) -> None:
    """
    It closes without an answer, also over a kept connection.
    """
    async with pool() as kept:
        for _ in range(2):
            with pytest.raises((ConnectionClosed, IncompleteRead)):
                await fetch(server.url("/rejected"), pool=kept)
            assert await body(server.url("/own"), pool=kept) == b"of its own"


@pytest.mark.parametrize("busy", [False, True])
@timed
async def test_aKeptConnectionIsClosed(server: Front, busy: bool) -> None:
    responses = await afterItsEnd(server.url("/own"), 0.6, busy=busy)
    assert [await response.text() for response in responses] == ["of its own"] * 4


async def pieces(size: int, count: int, seconds: float = 0.0) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * size
        await pause(seconds)


@timed
async def test_uploads(server: Front) -> None:
    async with pool() as kept:
        for given, stored in (
            (LARGE, LARGE),
            (BytesIO(LARGE), LARGE),
            (pieces(50_000, 20), b"".join(bytes([number]) * 50_000 for number in range(20))),
        ):
            response = await fetch(server.url("/uploads/one"), method="PUT", body=given, pool=kept)
            assert response.status in (201, 204)
            assert (server.behind.directory / "uploads" / "one").read_bytes() == stored
        assert "1 connections, 1 free" in repr(kept)


@pytest.mark.parametrize("kind", ["bytes", "file", "pieces"])
@timed
async def test_anUploadThatIsDenied(server: Front, kind: str) -> None:
    """
    It answers from the head alone, and takes what is on its way, for a while. Then it resets the connection: if a send
    is told of that before the answer is read, the answer is lost.
    """
    size = 16 * 1024 * 1024
    async with pool() as kept:
        for _ in range(10):
            given = {"bytes": bytes(size), "file": BytesIO(bytes(size)), "pieces": pieces(size // 256, 256)}[kind]
            try:
                response = await fetch(server.url("/denied"), method="POST", body=given, pool=kept)
                break
            except ConnectionClosed:
                continue
        assert response.status == 429
        assert "429 Too Many Requests" in await response.text()
        assert await body(server.url("/own"), pool=kept) == b"of its own"


@timed
async def test_anUploadThatIsTooSlow(server: Front) -> None:
    """
    408, while the body is being sent.
    """
    async with pool() as kept:
        given = pieces(10, 100, 0.05)
        response = await fetch(server.url("/uploads/buffered"), method="PUT", body=given, pool=kept)
        assert response.status == 408
        assert "408 Request Time-out" in await response.text()
        assert await body(server.url("/own"), pool=kept) == b"of its own"


@timed
async def test_aBodyThatStops(server: Front) -> None:
    """
    haproxy gives up on nginx inside the body: that is no end of it.
    """
    async with pool() as kept:
        response = await fetch(server.url("/slow/large.bin"), pool=kept)
        assert response.status == 200
        with pytest.raises((ConnectionClosed, IncompleteRead)):
            await response.bytes()
        with pytest.raises(TimedOut, match="no response in 0.1 s"):
            await fetch(server.url("/mute"), timeout=Timeouts(head=0.1), pool=kept)
        assert "0 connections" in repr(kept)
