"""
fetch and Node's http: chunks and trailers, interim responses, upgrades, what is cut, early and late answers.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from urllib.parse import quote

import pytest
from twisted.internet.defer import CancelledError

from tests.client.servers import LARGE, METHODS, Server, afterItsEnd, body, node, pause, pool, timed
from wasinet_twisted.client import Timeouts, fetch
from wasinet_twisted.errors import ConnectionClosed, IncompleteRead, LocalProtocolError, TimedOut
from wasinet_twisted.http import ResponseHead


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with node(tmp_path_factory.mktemp("node")) as running:
        yield running


async def pieces(*given: bytes, seconds: float = 0.0) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece
        await pause(seconds)


# Requests


@timed
async def test_whatIsSent(server: Server) -> None:
    """
    The fields, in their order, as Node has them; and the body.
    """
    url = server.url("/echo?a=1&b=%20+c")
    async with pool() as kept:
        response = await fetch(url, headers={"X-Test": "1", "user-agent": "test"}, pool=kept)
        told = await response.json()
        assert (told["method"], told["url"], told["length"]) == ("GET", "/echo?a=1&b=%20+c", 0)
        names = told["headers"][::2]
        assert names == ["Host", "X-Test", "user-agent", "Accept", "Accept-Encoding"]
        assert told["headers"][1] == f"127.0.0.1:{server.port}"
        posted = await (await fetch(url, method="POST", json={"a": ["ž", None]}, pool=kept)).json()
        fields = dict(zip(posted["headers"][::2], posted["headers"][1::2], strict=True))
        assert (posted["text"], fields["Content-Type"]) == ('{"a":["\\u017e",null]}', "application/json")
        assert fields["Content-Length"] == str(len(posted["text"]))
        nothing = await (await fetch(url, method="POST", pool=kept)).json()
        assert nothing["headers"][-2:] == ["Content-Length", "0"]


@pytest.mark.parametrize("expectContinue", [False, True])
@timed
async def test_largeBodies(server: Server, expectContinue: bool) -> None:
    """
    At once, and in pieces: it arrives unchanged, and the connection is kept.
    """
    async with pool() as kept:
        for given in (LARGE, [LARGE[:100_000], LARGE[100_000:]], pieces(LARGE[:7], LARGE[7:])):
            told = []
            response = await fetch(
                server.url("/echo"),
                method="PATCH",
                body=given,
                expectContinue=expectContinue,
                interim=lambda head, told=told: told.append(head.status),  # type: ignore[misc]
                pool=kept,
            )
            assert (await response.json())["sha256"] == sha256(LARGE).hexdigest()
            assert told == ([100] if expectContinue else [])
        assert "1 connections, 1 free" in repr(kept)


@timed
async def test_bothDirectionsAtOnce(server: Server) -> None:
    """
    The response begins before the request is complete, and neither waits for the other's end.
    """
    async with pool() as kept:
        count, size = 60, 50_000
        given = pieces(*(bytes([number]) * size for number in range(count)))
        response = await fetch(server.url("/pipe"), method="POST", body=given, pool=kept)
        assert await response.bytes() == b"".join(bytes([number]) * size for number in range(count))
        assert "1 connections, 1 free" in repr(kept)


# Responses


@timed
async def test_chunks(server: Server) -> None:
    async with pool() as kept:
        for count, size in ((1, 1), (2000, 1), (300, 10_000), (3, 1_000_000)):
            content = await body(server.url(f"/chunks?count={count}&size={size}"), pool=kept)
            assert content == b"".join(bytes([number % 256]) * size for number in range(count))
        assert "1 connections, 1 free" in repr(kept)


@timed
async def test_memory(server: Server) -> None:
    """
    However long a body is that is streamed, less than 4 MiB of it are in memory.
    """
    size = 48_000_000
    async with pool() as kept:
        # What is imported late doesn't count.
        await body(server.url("/chunks?count=1&size=1"), pool=kept)
        tracemalloc.start()
        try:
            async with await fetch(server.url(f"/chunks?count=24&size={size // 24}"), pool=kept) as response:
                got = 0
                async for piece in response.stream():
                    got += len(piece)
            assert got == size
            assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
        finally:
            tracemalloc.stop()


@timed
async def test_trailers(server: Server) -> None:
    """
    They are apart from the fields; there are none before the body has been read, and none of the one before.
    """
    async with pool() as kept:
        response = await fetch(server.url("/trailers"), headers={"TE": "trailers"}, pool=kept)
        assert await response.text() == "onetwo"
        assert response.trailers is not None
        assert list(response.trailers.items()) == [("Digest", "of it all"), ("X-Count", "2")]
        assert "Digest" not in response.headers
        without = await fetch(server.url("/chunks?count=1&size=1"), pool=kept)
        assert await without.bytes() == b"\0"
        assert without.trailers is not None
        assert not without.trailers


@timed
async def test_interimResponses(server: Server) -> None:
    told: list[ResponseHead] = []
    async with pool() as kept:
        response = await fetch(server.url("/hints"), interim=told.append, pool=kept)
        assert (response.status, await response.text()) == (200, "hinted")
        assert [head.status for head in told] == [102, 103, 103]
        assert told[1].headers["Link"] == "</style.css>; rel=preload; as=style"
        assert told[2].headers["X-More"] == "yes"
        assert "Link" not in response.headers
        # Nobody need look at them.
        assert await body(server.url("/hints"), pool=kept) == b"hinted"


@timed
async def test_fields(server: Server) -> None:
    async with pool() as kept:
        response = await fetch(server.url("/fields"), pool=kept)
        assert response.headers.getall("set-cookie") == ["a=1", "b=2"]
        assert response.headers["x-empty"] == ""
        assert response.headers["x-latin"] == "café"


@pytest.mark.parametrize(
    ("status", "reason"), [(200, "Fine"), (299, ""), (304, "x"), (418, "I'm a teapot"), (599, "caf\u00e9")]
)
@timed
async def test_statuses(server: Server, status: int, reason: str) -> None:
    async with pool() as kept:
        response = await fetch(server.url(f"/status?is={status}&reason={quote(reason)}"), pool=kept)
        assert response.status == status
        # Without one Node writes "unknown".
        assert response.reason == (reason or "unknown")
        assert await response.bytes() == b""
        assert "1 connections, 1 free" in repr(kept)


@timed
async def test_untilTheEndOfTheConnection(server: Server) -> None:
    """
    HTTP/1.0, without a length.
    """
    async with pool() as kept:
        response = await fetch(server.url("/until-close"), pool=kept)
        assert (response.status, response.version) == (200, "HTTP/1.0")
        assert await response.text() == "until the end\n" * 5000
        assert "0 connections" in repr(kept)


# What is slow


@timed
async def test_slowAnswers(server: Server) -> None:
    """
    Each deadline counts what it is for.
    """
    url = server.url("/slow?ms=150")
    async with pool() as kept:
        assert await body(url, timeout=Timeouts(head=0.25, read=0.25), pool=kept) == b"at last"
        with pytest.raises(TimedOut, match="no response in 0.05 s"):
            await fetch(url, timeout=Timeouts(head=0.05), pool=kept)
        response = await fetch(url, timeout=Timeouts(read=0.05), pool=kept)
        with pytest.raises(TimedOut, match="nothing more of the response's body in 0.05 s"):
            await response.bytes()
        response = await fetch(url, timeout=0.2, pool=kept)
        with pytest.raises(TimedOut, match="not complete in 0.2 s"):
            await response.bytes()
        assert "0 connections" in repr(kept)


@timed
async def test_cancelled(server: Server) -> None:
    """
    The connection goes with the request: its answer would be taken for the next one's.
    """
    async with pool() as kept:
        asked = fetch(server.url("/slow?ms=100"), pool=kept)
        await pause(0.05)
        assert "1 connections" in repr(kept)
        asked.cancel()
        with pytest.raises(CancelledError):
            await asked
        assert "0 connections" in repr(kept)
        assert (await (await fetch(server.url("/echo"), pool=kept)).json())["method"] == "GET"


@timed
async def test_aRequestThatIsTooSlow(server: Server) -> None:
    """
    Node waits 0.8 s for a request, and answers 408 inside its body.
    """
    async with pool() as kept:
        given = pieces(b"some", b"more", seconds=5)
        response = await fetch(server.url("/echo"), method="POST", body=given, pool=kept)
        assert response.status == 408
        assert await response.bytes() == b""
        assert "0 connections" in repr(kept)


# What is cut


@pytest.mark.parametrize("query", ["?length", "?chunked", "?length&reset", "?chunked&reset"])
@timed
async def test_cutBodies(server: Server, query: str) -> None:
    """
    What has come of it can be had; its end is an error, each time somebody asks.
    """
    async with pool() as kept:
        response = await fetch(server.url("/cut" + query), pool=kept)
        stream = response.stream()
        assert await anext(stream) == b"half of it"
        # Node destroys a response before its socket ends, which a reset then cuts: either is told.
        with pytest.raises((ConnectionClosed, IncompleteRead)):
            await anext(stream)
        assert "0 connections" in repr(kept)
        response = await fetch(server.url("/cut" + query), pool=kept)
        for _ in range(2):
            with pytest.raises((ConnectionClosed, IncompleteRead)):
                await response.bytes()


@pytest.mark.parametrize("path", ["/drop", "/reset"])
@timed
async def test_noAnswer(server: Server, path: str) -> None:
    async with pool() as kept:
        for _ in range(2):
            with pytest.raises((ConnectionClosed, IncompleteRead)):
                await fetch(server.url(path), pool=kept)
            # The next time over a kept one.
            assert await body(server.url("/close"), pool=kept) == b"the last one"
            assert await body(server.url("/chunks?count=1&size=1"), pool=kept) == b"\0"


@timed
async def test_anAnswerNobodyAskedFor(server: Server) -> None:
    """
    It is never taken for the next one's.
    """
    async with pool() as kept:
        for _ in range(3):
            assert await body(server.url("/twice"), pool=kept) == b"the answer"
            # It comes while the reactor is busy.
            time.sleep(0.02)
            assert (await (await fetch(server.url("/echo"), pool=kept)).json())["method"] == "GET"


# Keep-alive


@pytest.mark.parametrize("busy", [False, True])
@timed
async def test_aKeptConnectionIsClosed(server: Server, busy: bool) -> None:
    """
    After half a second; whether or not the reactor has had a turn since.
    """
    responses = await afterItsEnd(server.url("/echo"), 1.0, busy=busy)
    assert [(await response.json())["method"] for response in responses] == METHODS


@timed
async def test_connectionClose(server: Server) -> None:
    """
    Either side may say so.
    """
    async with pool() as kept:
        assert await body(server.url("/close"), pool=kept) == b"the last one"
        assert "0 connections" in repr(kept)
        response = await fetch(server.url("/echo"), headers={"Connection": "close"}, pool=kept)
        assert response.headers["Connection"] == "close"
        assert (await response.json())["method"] == "GET"
        assert "0 connections" in repr(kept)


# Early answers


@pytest.mark.parametrize("status", [200, 413])
@timed
async def test_earlyAnswers(server: Server, status: int) -> None:
    """
    To a request whose body is not complete. After an error the rest isn't sent; after a success it is.
    """
    sent = []

    async def given() -> AsyncIterator[bytes]:
        for number in range(20):
            yield b"x" * 100
            sent.append(number)
            await pause(0.01)

    async with pool() as kept:
        response = await fetch(f"{server.url('/early')}?status={status}", method="POST", body=given(), pool=kept)
        assert (response.status, await response.text()) == (status, "decided")
        assert len(sent) < 20
        assert (await (await fetch(server.url("/echo"), pool=kept)).json())["method"] == "GET"


@timed
async def test_expectations(server: Server) -> None:
    """
    Refused: 413 instead of 100, so the body isn't sent at all. Another expectation: 417.
    """
    begun = []

    async def given() -> AsyncIterator[bytes]:
        begun.append(True)
        yield b"x"

    async with pool() as kept:
        response = await fetch(server.url("/pipe"), method="PUT", body=given(), expectContinue=True, pool=kept)
        assert (response.status, await response.text()) == (413, "not that")
        assert not begun
        response = await fetch(server.url("/pipe"), method="PUT", body=b"x", headers={"Expect": "wonders"}, pool=kept)
        assert response.status == 417


# Upgrades


@timed
async def test_anUpgrade(server: Server) -> None:
    """
    What has come with the 101 is the other protocol's first.
    """
    async with pool() as kept:
        fields = {"Connection": "Upgrade", "Upgrade": "shout"}
        response = await fetch(server.url("/upgrade"), headers=fields, pool=kept)
        assert (response.status, response.headers["Upgrade"]) == (101, "shout")
        async with response.upgrade() as conn:
            assert await conn.readExactly(8) == b"welcome "
            await conn.write(b"hello")
            assert await conn.readExactly(5) == b"HELLO"
            await conn.finish()
            assert await conn.readExactly(8) == b"good bye"
            assert await conn.read() == b""
        with pytest.raises(LocalProtocolError):
            response.upgrade()
        declined = await fetch(server.url("/echo"), headers=fields, pool=kept)
        assert declined.status == 426
        with pytest.raises(LocalProtocolError):
            declined.upgrade()
