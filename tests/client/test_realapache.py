"""
fetch and Apache: content codings and redirects, as Apache and nginx have them, and Apache's own keep-alive.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.client.servers import HELLO, LARGE, TEXT, Server, afterItsEnd, apache, body, nginx, pool, timed
from tests.processes import freePort
from wasinet_twisted.client import TooManyRedirects, fetch
from wasinet_twisted.errors import ContentError, IncompleteRead, MessageTooLarge

_APACHE = """
KeepAliveTimeout 300ms
MaxKeepAliveRequests 3
AddEncoding gzip .gz
<Location "/deflate/">
    SetOutputFilter DEFLATE
</Location>
<Location "/brotli/">
    SetOutputFilter BROTLI_COMPRESS
</Location>
AliasMatch "^/(deflate|brotli)/(.*)$" "{root}/$2"
<Directory "{root}">
    Options Indexes
</Directory>
Redirect 302 /temporarily http://127.0.0.1:OTHER/hello.txt
Redirect 308 /permanently http://127.0.0.1:OTHER/uploads/moved
<Location "/small">
    LimitRequestBody 1000
    SetHandler default-handler
</Location>
"""

_NGINX = """
    server {{
        listen 127.0.0.1:{port};
        location /gzip/ {{ alias files/; gzip on; gzip_types *; }}
        location /uploads/ {{ root .; dav_methods PUT; client_max_body_size 8m; }}
        location = /moved {{ return 301 /hello.txt; }}
        location = /loop {{ return 302 /loop?again; }}
    }}
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = freePort()
    with nginx(tmp_path_factory.mktemp("nginx"), _NGINX.format(port=port), port) as running:
        yield running


@pytest.fixture(scope="module")
def server(other: Server) -> Iterator[Server]:
    modules = ["alias", "autoindex", "brotli", "deflate", "dir", "filter"]
    with apache(_APACHE.replace("OTHER", str(other.port)), *modules) as running:
        files = running.directory / "files"
        members = gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])
        (files / "members.txt.gz").write_bytes(members)
        (files / "cut.txt.gz").write_bytes(members[:-9])
        (files / "more.txt.gz").write_bytes(members + b"more")
        (files / "bomb.txt.gz").write_bytes(gzip.compress(bytes(20 * 1024 * 1024)))
        (files / "twice.txt.gz").write_bytes(gzip.compress(gzip.compress(TEXT)))
        yield running


# Codings


@pytest.mark.parametrize("coding", ["gzip", "br"])
@timed
async def test_codings(server: Server, coding: str) -> None:
    """
    In chunks, since nobody knows the length beforehand.
    """
    url = server.url(f"/{'deflate' if coding == 'gzip' else 'brotli'}")
    async with pool() as kept:
        for name, content in (("text.txt", TEXT), ("large.bin", LARGE)):
            response = await fetch(f"{url}/{name}", pool=kept)
            assert response.headers["Content-Encoding"] == coding
            assert await response.bytes() == content
        coded = await fetch(f"{url}/text.txt", decode=False, headers={"Accept-Encoding": coding}, pool=kept)
        assert coded.headers["Content-Encoding"] == coding
        assert len(await coded.bytes()) < len(TEXT) / 4
        plain = await fetch(f"{url}/text.txt", decode=False, pool=kept)
        assert "Content-Encoding" not in plain.headers
        assert await plain.bytes() == TEXT
        head = await fetch(f"{url}/text.txt", method="HEAD", pool=kept)
        assert await head.bytes() == b""


@timed
async def test_nginxsGzip(other: Server) -> None:
    async with pool() as kept:
        for _ in range(2):
            response = await fetch(other.url("/gzip/text.txt"), pool=kept)
            assert response.headers["Content-Encoding"] == "gzip"
            assert b"".join([piece async for piece in response.stream()]) == TEXT
        assert "1 connections, 1 free" in repr(kept)


@timed
async def test_codedFiles(server: Server) -> None:
    """
    Two members; one that is cut; one with more behind; a bomb; and one that is coded once more than it says.
    """
    async with pool() as kept:
        assert await body(server.url("/members.txt.gz"), pool=kept) == TEXT
        for name, kind in (("cut", IncompleteRead), ("more", ContentError), ("bomb", MessageTooLarge)):
            response = await fetch(server.url(f"/{name}.txt.gz"), pool=kept)
            for _ in range(2):
                with pytest.raises(kind):
                    await response.bytes()
            assert await body(server.url("/hello.txt"), pool=kept) == HELLO
        assert gzip.decompress(await body(server.url("/twice.txt.gz"), pool=kept)) == TEXT


# Redirects


@timed
async def test_redirects(server: Server, other: Server) -> None:
    """
    To another origin, without what was meant for the first; within one; and with the body.
    """
    async with pool() as kept:
        response = await fetch(server.url("/temporarily"), pool=kept)
        assert (response.url, await response.bytes()) == (other.url("/hello.txt"), HELLO)
        assert [(each.status, each.url) for each in response.history] == [(302, server.url("/temporarily"))]
        response = await fetch(other.url("/moved"), pool=kept)
        assert (response.url, await response.bytes()) == (other.url("/hello.txt"), HELLO)
        response = await fetch(server.url("/permanently"), method="PUT", body=LARGE, pool=kept)
        assert (response.status, response.url) == (201, other.url("/uploads/moved"))
        assert (other.directory / "uploads" / "moved").read_bytes() == LARGE
        unfollowed = await fetch(server.url("/temporarily"), redirects=0, pool=kept)
        assert (unfollowed.status, unfollowed.headers["Location"]) == (302, other.url("/hello.txt"))


@timed
async def test_aLoop(other: Server) -> None:
    """
    The last response's connection is free, or closed, before anybody forgets the error.
    """
    async with pool() as kept:
        with pytest.raises(TooManyRedirects, match="more than 20 redirects") as raised:
            await fetch(other.url("/loop"), pool=kept)
        assert raised.value is not None
        assert len(other.logged("/loop", 21)) == 21
        assert "1 connections, 1 free" in repr(kept)


# Keep-alive, and what is refused


@timed
async def test_fourRequestsAConnection(server: Server) -> None:
    """
    Three that are kept, as Apache counts, and the last one, which says Connection: close.
    """
    async with pool() as kept:
        for number in range(9):
            last = number % 4 == 3
            response = await fetch(server.url("/hello.txt"), pool=kept)
            assert response.headers.get("Connection") == ("close" if last else None)
            assert await response.bytes() == HELLO
            assert ("0 connections" if last else "1 connections, 1 free") in repr(kept)


@pytest.mark.parametrize("busy", [False, True])
@timed
async def test_aKeptConnectionIsClosed(server: Server, busy: bool) -> None:
    responses = await afterItsEnd(server.url("/hello.txt"), 0.5, busy=busy)
    assert [response.status for response in responses] == [200, 405, 200, 405]


@timed
async def test_aListing(server: Server) -> None:
    async with pool() as kept:
        listing = await (await fetch(server.url("/"), pool=kept)).text()
        assert '<a href="large.bin"> large.bin</a>' in listing
        assert await body(server.url("/folder"), pool=kept) == b"<p>a folder</p>\n"
        missing = await fetch(server.url("/" + quote("žiadny")), pool=kept)
        assert (missing.status, missing.ok) == (404, False)


@pytest.mark.parametrize("expectContinue", [False, True])
@timed
async def test_aBodyThatIsTooLarge(server: Server, expectContinue: bool) -> None:
    async with pool() as kept:
        for given in (LARGE, [LARGE[:2000], LARGE[2000:]]):
            response = await fetch(
                server.url("/small"), method="POST", body=given, expectContinue=expectContinue, pool=kept
            )
            assert response.status == 413
            assert "Request Entity Too Large" in await response.text()
            assert await body(server.url("/hello.txt"), pool=kept) == HELLO
