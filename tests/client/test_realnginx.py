"""
fetch and nginx: files, keep-alive and its limits, uploads, and what nginx refuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from io import BytesIO

import pytest
from twisted.internet.defer import ensureDeferred, gatherResults

from tests.client.servers import HELLO, LARGE, TEXT, Server, afterItsEnd, body, nginx, pause, pool, timed
from tests.processes import freePort
from wasinet_twisted.client import ClientLimits, Timeouts, fetch
from wasinet_twisted.errors import ConnectionClosed, ConnectionRefused, IncompleteRead, TimedOut, UnknownHost

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE

_SERVERS = """
    server {{
        listen 127.0.0.1:{port};
        listen unix:nginx.sock;
        location = /nothing {{ return 204; }}
        location = /silent {{ return 444; }}
        location = /loop {{ return 302 /loop; }}
        location = /moved {{ return 301 /hello.txt; }}
        location = /refused {{ return 403 "no\n"; }}
        location /once/ {{ alias files/; keepalive_timeout 0; }}
        location /thrice/ {{ alias files/; keepalive_requests 3; }}
        location /second/ {{ alias files/; keepalive_timeout 1; }}
        location /slow/ {{ alias files/; limit_rate 256k; }}
        location /coded/ {{ alias files/; gzip on; gzip_min_length 1; gzip_types *; }}
        location /uploads/ {{ root .; dav_methods PUT DELETE; client_max_body_size 8m; }}
        location /small/ {{ root .; dav_methods PUT; client_max_body_size 64k; }}
    }}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = freePort()
    with nginx(tmp_path_factory.mktemp("nginx"), _SERVERS.format(port=port), port) as running:
        yield running


# What it gives


@timed
async def test_files(server: Server) -> None:
    """
    One after the other, over one connection.
    """
    async with pool() as kept:
        response = await fetch(server.url("/hello.txt"), pool=kept)
        assert (response.status, response.reason, response.version) == (200, "OK", "HTTP/1.1")
        assert response.ok
        assert response.headers["content-type"] == "text/plain"
        assert response.headers["Server"].startswith("nginx/")
        assert await response.text() == HELLO.decode()
        assert await response.bytes() == HELLO
        assert await body(server.url("/large.bin"), pool=kept) == LARGE
        assert await body(server.url("/empty.txt"), pool=kept) == b""
        missing = await fetch(server.url("/missing"), pool=kept)
        assert (missing.status, missing.ok) == (404, False)
        assert "404 Not Found" in await missing.text()
    connections = [server.connections(path, 1)[-1] for path in ("/hello.txt", "/large.bin", "/empty.txt", "/missing")]
    assert len(set(connections)) == 1


@timed
async def test_timings(server: Server) -> None:
    """
    Those of the connection belong to the request that it was made for.
    """
    async with pool() as kept:
        first = await fetch(server.url("/hello.txt"), pool=kept)
        await first.bytes()
        second = await fetch(server.url("/hello.txt"), pool=kept)
        await second.bytes()
        for response in (first, second):
            told = response.timings
            assert told.tls is None
            assert told.firstByte is not None
            assert told.total is not None
            assert 0 < told.firstByte <= told.total < 5
        told = first.timings
        assert told.resolve is not None
        assert told.connect is not None
        assert 0 <= told.resolve + told.connect <= (told.firstByte or 0)
        assert second.timings.resolve is None
        assert second.timings.connect is None


@timed
async def test_bodiesThatArent(server: Server) -> None:
    """
    A response to HEAD, 204 and 304 have no body, whatever their fields say: what follows is the next response.
    """
    async with pool() as kept:
        for _ in range(2):
            head = await fetch(server.url("/large.bin"), method="HEAD", pool=kept)
            assert (head.status, head.headers["Content-Length"]) == (200, str(len(LARGE)))
            assert await head.bytes() == b""
            nothing = await fetch(server.url("/nothing"), pool=kept)
            assert (nothing.status, await nothing.bytes()) == (204, b"")
            old = {"If-None-Match": head.headers["ETag"]}
            unchanged = await fetch(server.url("/large.bin"), headers=old, pool=kept)
            assert (unchanged.status, await unchanged.bytes()) == (304, b"")
            assert await body(server.url("/hello.txt"), pool=kept) == HELLO
        assert len(set(server.connections("/nothing", 2)[-2:])) == 1


@timed
async def test_ranges(server: Server) -> None:
    async with pool() as kept:
        url = server.url("/large.bin")
        part = await fetch(url, headers={"Range": "bytes=1000-1999"}, pool=kept)
        assert (part.status, part.headers["Content-Range"]) == (206, f"bytes 1000-1999/{len(LARGE)}")
        assert await part.bytes() == LARGE[1000:2000]
        last = await fetch(url, headers={"Range": "bytes=-17"}, pool=kept)
        assert await last.bytes() == LARGE[-17:]
        several = await fetch(url, headers={"Range": "bytes=0-9,20-29"}, pool=kept)
        assert several.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
        assert LARGE[20:30] in await several.bytes()
        none = await fetch(url, headers={"Range": f"bytes={len(LARGE)}-"}, pool=kept)
        assert (none.status, none.headers["Content-Range"]) == (416, f"bytes */{len(LARGE)}")


@timed
async def test_aStream(server: Server) -> None:
    """
    It comes in pieces, and no faster than it is taken.
    """
    async with pool() as kept:
        response = await fetch(server.url("/large.bin"), pool=kept)
        pieces = []
        async for piece in response.stream():
            pieces.append(piece)
            if len(pieces) % 8 == 0:
                await pause(0)
        assert len(pieces) > 8
        assert b"".join(pieces) == LARGE


@timed
async def test_aUnixSocket(server: Server) -> None:
    """
    The URL says what is asked for, not where.
    """
    path = str(server.directory / "nginx.sock")
    async with pool() as kept:
        assert await body("http://nowhere.invalid/hello.txt", unixSocket=path, pool=kept) == HELLO
        assert await body("http://nowhere.invalid/text.txt", unixSocket=path, pool=kept) == TEXT
        with pytest.raises(UnknownHost):
            await fetch("http://nowhere.invalid/hello.txt", pool=kept)


@timed
async def test_nobodyThere(server: Server) -> None:
    async with pool() as kept:
        with pytest.raises(ConnectionRefused, match="127.0.0.1"):
            await fetch(f"http://127.0.0.1:{freePort()}/", pool=kept)


# Keep-alive


@timed
async def test_threeRequestsAConnection(server: Server) -> None:
    """
    nginx says Connection: close with the third.
    """
    async with pool() as kept:
        for number in range(7):
            response = await fetch(server.url("/thrice/hello.txt"), pool=kept)
            assert response.headers["Connection"] == ("close" if number % 3 == 2 else "keep-alive")
            assert await response.bytes() == HELLO
    assert list(Counter(server.connections("/thrice/hello.txt", 7)).values()) == [3, 3, 1]


@timed
async def test_noKeepAlive(server: Server) -> None:
    async with pool() as kept:
        for _ in range(3):
            assert await body(server.url("/once/text.txt"), pool=kept) == TEXT
        assert "0 connections" in repr(kept)
    assert len(set(server.connections("/once/text.txt", 3))) == 3


@pytest.mark.parametrize("busy", [False, True])
@timed
async def test_aKeptConnectionIsClosed(server: Server, busy: bool) -> None:
    """
    After a second; whether or not the reactor has had a turn since.
    """
    responses = await afterItsEnd(server.url("/second/hello.txt"), 1.3, busy=busy)
    assert [response.status for response in responses] == [200, 405, 405, 405]


@timed
async def test_manyAtOnce(server: Server) -> None:
    """
    Over four connections, kept for the next.
    """
    async with pool(limits=ClientLimits(perOrigin=4)) as kept:

        async def one(number: int) -> None:
            name, content = ("text.txt", TEXT) if number % 2 else ("large.bin", LARGE)
            assert await body(server.url(f"/{name}"), pool=kept) == content

        before = len(server.connections("/text.txt", 0))
        await gatherResults([ensureDeferred(one(number)) for number in range(40)])
        assert "4 connections, 4 free" in repr(kept)
        assert len(set(server.connections("/text.txt", before + 20)[before:])) <= 4


@timed
async def test_aResponseThatNobodyReads(server: Server) -> None:
    """
    It is closed, and its connection with it; others aren't.
    """
    async with pool() as kept:
        async with await fetch(server.url("/large.bin"), pool=kept) as response:
            assert response.status == 200
        assert "0 connections" in repr(kept)
        with pytest.raises(ConnectionClosed):
            await response.bytes()
        assert await body(server.url("/hello.txt"), pool=kept) == HELLO


# What goes wrong


@timed
async def test_nginxClosesWithoutAnAnswer(server: Server) -> None:
    """
    Over a new connection that is told; over a kept one it is tried once more before.
    """
    async with pool() as kept:
        with pytest.raises((ConnectionClosed, IncompleteRead)):
            await fetch(server.url("/silent"), pool=kept)
        assert len(server.logged("/silent", 1)) == 1
        assert await body(server.url("/hello.txt"), pool=kept) == HELLO
        with pytest.raises((ConnectionClosed, IncompleteRead)):
            await fetch(server.url("/silent"), pool=kept)
        assert len(set(server.connections("/silent", 3))) == 3
        assert await body(server.url("/hello.txt"), pool=kept) == HELLO
        with pytest.raises((ConnectionClosed, IncompleteRead)):
            await fetch(server.url("/silent"), method="POST", pool=kept)
        assert len(server.logged("/silent", 4)) == 4


@timed
async def test_aSlowBody(server: Server) -> None:
    """
    At 256 KiB a second, it doesn't come within a deadline for all of it; within one for each read, it does.
    """
    async with pool() as kept:
        response = await fetch(server.url("/slow/large.bin"), timeout=0.3, pool=kept)
        assert response.status == 200
        with pytest.raises(TimedOut, match="not complete in 0.3 s"):
            await response.bytes()
        assert "0 connections" in repr(kept)
        response = await fetch(server.url("/slow/text.txt"), timeout=Timeouts(read=0.9), pool=kept)
        assert await response.bytes() == TEXT
        assert response.timings.total is not None
        assert response.timings.firstByte is not None
        assert response.timings.total > response.timings.firstByte + 0.3


# Uploads


async def pieces(size: int, count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * size
        await pause(0)


@timed
async def test_uploads(server: Server) -> None:
    """
    Bytes, a file, an iterable and an asynchronous one, which comes in chunks.
    """
    async with pool() as kept:
        url = server.url("/uploads/one")
        file = BytesIO(b"before" + LARGE)
        file.seek(6)
        for given, stored in (
            (LARGE, LARGE),
            (file, LARGE),
            ([b"a", "ž", b""], "až".encode()),
            (pieces(10_000, 100), b"".join(bytes([number]) * 10_000 for number in range(100))),
            (b"", b""),
        ):
            response = await fetch(url, method="PUT", body=given, pool=kept)
            assert response.status in (201, 204), response
            assert (server.directory / "uploads" / "one").read_bytes() == stored
        deleted = await fetch(url, method="DELETE", pool=kept)
        assert (deleted.status, (server.directory / "uploads" / "one").exists()) == (204, False)
    assert len(set(server.connections("/uploads/one", 6))) == 1


@pytest.mark.parametrize("expectContinue", [False, True])
@pytest.mark.parametrize("kind", ["bytes", "file", "pieces"])
@timed
async def test_anUploadThatIsTooLarge(server: Server, kind: str, expectContinue: bool) -> None:
    """
    The 413 arrives, while the body is being sent, and the connection isn't used again.
    """
    size = 4 * MEBIBYTE
    async with pool() as kept:
        given = {"bytes": bytes(size), "file": BytesIO(bytes(size)), "pieces": pieces(64 * KIBIBYTE, 64)}[kind]
        path = f"/small/{kind}{expectContinue}"
        response = await fetch(server.url(path), method="PUT", body=given, expectContinue=expectContinue, pool=kept)
        assert response.status == 413
        assert "413 Request Entity Too Large" in await response.text()
        assert "0 connections" in repr(kept)
        assert await body(server.url("/hello.txt"), pool=kept) == HELLO
    if expectContinue and kind != "pieces":
        # It was refused for the length that its head had, so nothing else was sent.
        assert int(server.logged(path, 1)[0][4]) < 1000


@timed
async def test_expectContinue(server: Server) -> None:
    """
    nginx says 100, and gets the body.
    """
    told = []
    async with pool() as kept:
        for given in (LARGE, BytesIO(LARGE), pieces(10_000, 10)):
            response = await fetch(
                server.url("/uploads/two"),
                method="PUT",
                body=given,
                expectContinue=True,
                interim=lambda head: told.append(head.status),
                pool=kept,
            )
            assert response.status in (201, 204)
            assert response.timings.total is not None
            # It didn't have to wait for as long as a body waits in vain.
            assert response.timings.total < 0.9
    assert told == [100, 100, 100]
    assert (server.directory / "uploads" / "two").stat().st_size == 100_000
