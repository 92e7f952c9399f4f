"""
fetch and Python's http.server, as HTTP/1.0 and as HTTP/1.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.servers import HELLO, LARGE, TEXT, Server, body, pool, python, timed
from wasinet_twisted.client import fetch

VERSIONS = ["HTTP/1.0", "HTTP/1.1"]


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with python(tmp_path_factory.mktemp("python"), request.param) as running:
        running.version = request.param
        yield running


def kept(server: Server) -> str:
    """
    How a pool describes itself after a request: in HTTP/1.0, this server closes.
    """
    return "0 connections" if server.version == "HTTP/1.0" else "1 connections, 1 free"


@timed
async def test_files(server: Server) -> None:
    async with pool() as own:
        for name, content in (("hello.txt", HELLO), ("large.bin", LARGE), ("text.txt", TEXT), ("empty.txt", b"")):
            response = await fetch(server.url(f"/{name}"), pool=own)
            assert (response.status, response.version) == (200, server.version)
            assert await response.bytes() == content
            assert kept(server) in repr(own)


@timed
async def test_bodiesThatArent(server: Server) -> None:
    """
    A response to HEAD, and 304.
    """
    async with pool() as own:
        head = await fetch(server.url("/large.bin"), method="HEAD", pool=own)
        assert (head.headers["Content-Length"], await head.bytes()) == (str(len(LARGE)), b"")
        old = {"If-Modified-Since": head.headers["Last-Modified"]}
        unchanged = await fetch(server.url("/large.bin"), headers=old, pool=own)
        assert (unchanged.status, await unchanged.bytes()) == (304, b"")
        assert await body(server.url("/hello.txt"), pool=own) == HELLO


@timed
async def test_refused(server: Server) -> None:
    """
    It knows no POST: an answer with Connection: close, before a body that it doesn't read.
    """
    async with pool() as own:
        for given in (b"", b"some", [b"so", b"me"]):
            response = await fetch(server.url("/hello.txt"), method="POST", body=given, pool=own)
            assert response.status == 501
            assert "Unsupported method" in await response.text()
            assert "0 connections" in repr(own)
        missing = await fetch(server.url("/missing"), pool=own)
        assert (missing.status, missing.reason) == (404, "File not found")


@timed
async def test_aFolder(server: Server) -> None:
    """
    It redirects to the name with a slash, by a Location without a host.
    """
    async with pool() as own:
        response = await fetch(server.url("/folder?a=1#there"), pool=own)
        assert response.url == server.url("/folder/?a=1#there")
        assert [each.status for each in response.history] == [301]
        assert await response.text() == "<p>a folder</p>\n"
        listing = await fetch(server.url("/"), pool=own)
        assert '<a href="folder/">folder/</a>' in await listing.text()
