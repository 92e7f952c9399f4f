"""
How a response goes to the wire: the short way gives what the plain one gives.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.http import WasiRequest, WasiResponse
from wasinet_twisted.server.answer import (
    _MOST_LINES,
    _lines,
    dateLine,
    encodeBegin,
    encodeWhole,
    inPieces,
    quickResponse,
)

DATE = dateLine(784111777)
NAMES = st.sampled_from(
    ["Content-Type", "X", "Content-Length", "content-length", "Connection", "Transfer-Encoding", "Date", "a b", "é", ""]
)
VALUES = st.sampled_from(["text/plain", "3", "0", "close", "keep-alive", "chunked", "", "x\r\ny", " x", "é", "\u20ac"])
RESPONSES = st.builds(
    WasiResponse,
    st.sampled_from([100, 200, 200, 200, 204, 205, 299, 304, 404, 599]),
    st.one_of(st.dictionaries(NAMES, VALUES, max_size=4), st.lists(st.tuples(NAMES, VALUES), max_size=4)),
    st.sampled_from([b"", b"abc", "abc"]),
    st.sampled_from([None, "OK", "Fine", "Not\r\n"]),
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
    st.sampled_from([(), (), {"T": "1"}]),
)
REQUESTS = st.builds(
    lambda method, version: WasiRequest(method, "x:1" if method == "CONNECT" else "/", version=version),
    st.sampled_from(["GET", "POST", "HEAD", "CONNECT"]),
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
)


def test_date() -> None:
    """
    The example of RFC 9110 section 5.6.7.
    """
    assert DATE == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


@given(RESPONSES, REQUESTS)
def test_theShortWayGivesWhatThePlainOneGives(response: WasiResponse, request: WasiRequest) -> None:
    # Asked twice: what it doesn't know, it learns.
    for _ in range(2):
        short = quickResponse(response, request, DATE)
        if short is not None:
            assert short == encodeWhole(response, request, True, DATE)


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, [("A", "1"), ("A", "2")]])
@pytest.mark.parametrize("status", [200, 404])
def test_theShortWayIsTaken(headers: object, status: int) -> None:
    response = WasiResponse(status, headers, b"abc")  # type: ignore[arg-type]
    request = WasiRequest("POST", headers={"Host": "x"})
    quickResponse(response, request, DATE)
    assert quickResponse(response, request, DATE) is not None
    # Somebody has looked at the fields, and changed one.
    response.headers["A"] = "3"
    short = quickResponse(response, request, DATE)
    assert short == encodeWhole(response, request, True, DATE)
    assert b"A: 3\r\n" in short


def test_whatItRemembersIsBounded() -> None:
    request = WasiRequest()
    for i in range(3 * _MOST_LINES):
        quickResponse(WasiResponse(headers={"X": str(i)}), request, DATE)
    assert len(_lines) <= _MOST_LINES
    long = WasiResponse(headers={"X": "y" * 1000})
    assert b"y" * 1000 in (quickResponse(long, request, DATE) or b"")
    assert ("X", "y" * 1000) not in _lines


def test_theLastResponse() -> None:
    request = WasiRequest()
    assert encodeWhole(WasiResponse(), request, False, b"").endswith(b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    old = WasiRequest(version="HTTP/1.0")
    assert b"Connection: keep-alive\r\n" in encodeWhole(WasiResponse(), old, True, b"")
    own = WasiResponse(headers={"Date": "mine"})
    assert encodeWhole(own, request, True, DATE).count(b"Date: ") == 1


def test_framingOfPieces() -> None:
    new, old = WasiRequest(), WasiRequest(version="HTTP/1.0")
    pieces = ["a"]
    head, chunked = encodeBegin(WasiResponse(body=pieces), new, True, b"")
    assert chunked
    assert b"Transfer-Encoding: chunked\r\n" in head
    head, chunked = encodeBegin(WasiResponse(body=pieces, headers={"Content-Length": "1"}), new, True, b"")
    assert not chunked
    assert b"chunked" not in head
    head, chunked = encodeBegin(WasiResponse(body=pieces), old, False, b"")
    assert not chunked
    assert head == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    for response, request in (
        (WasiResponse(204, body=pieces), new),
        (WasiResponse(304, body=pieces), new),
        (WasiResponse(body=pieces, headers={"Transfer-Encoding": "chunked"}), old),
        (WasiResponse(body=pieces, headers={"X": "\n"}), new),
    ):
        with pytest.raises(LocalProtocolError):
            encodeBegin(response, request, True, b"")


async def _collect(pieces: object) -> list[bytes]:
    return [piece async for piece in inPieces(pieces)]  # type: ignore[arg-type]


def collect(pieces: object) -> list[bytes]:
    coroutine = _collect(pieces)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        found: list[bytes] = stop.value
        return found
    raise AssertionError("it waits")


def test_pieces() -> None:
    closed = []

    def plain() -> object:
        try:
            yield "é"
            yield b""
            yield bytearray(b"x")
        finally:
            closed.append("plain")

    async def later() -> object:
        try:
            yield b"a"
            yield memoryview(b"b")
        finally:
            closed.append("later")

    assert collect(plain()) == [b"\xc3\xa9", b"x"]
    assert collect(later()) == [b"a", b"b"]
    assert collect([b"a", "b"]) == [b"a", b"b"]
    assert closed == ["plain", "later"]
    with pytest.raises(LocalProtocolError, match="int"):
        collect([5])
