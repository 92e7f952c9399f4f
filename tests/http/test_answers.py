"""
How messages go to the wire: each fast path gives what its slow path gives, or says that it doesn't know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasinet_twisted import _fast
from wasinet_twisted.errors import LocalProtocolError, RemoteProtocolError
from wasinet_twisted.http import Limits, RequestHead, ResponseHead, WasiRequest, WasiResponse
from wasinet_twisted.http.answers import beginAnswer, persistence, refusal, wholeAnswer
from wasinet_twisted.http.asks import asksOf
from wasinet_twisted.http.bytequeue import ByteQueue
from wasinet_twisted.http.chunked import ChunkedDecoder, fastChunkedBody
from wasinet_twisted.http.fasthead import fastResponseHead
from wasinet_twisted.http.framing import TUNNEL, UNTIL_CLOSE
from wasinet_twisted.http.head import HeadReader
from wasinet_twisted.http.outgoing import (
    CLOSE_LINE,
    KEEP_ALIVE_LINE,
    LONGEST_LINE,
    MOST_LINES,
    fastResponse,
    lines,
)

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
NAMES = st.sampled_from(
    (
        "X", "Content-Type", "Content-Length", "content-length", "Connection", "Transfer-Encoding", "Date",
        "Set-Cookie", "Cookie", "Trailer", "a b", "é", "",
    )
)  # fmt: skip
VALUES = st.sampled_from(
    ["text/plain", "3", "0", "close", "keep-alive", "Close, x", "chunked", "", "x\r\ny", " x", "é", "\u20ac"]
)
FIELDS = st.one_of(
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.just({"X": 3}),
    st.just([("X", ["unhashable"])]),
)
RESPONSES = st.builds(
    WasiResponse,
    st.sampled_from([100, 200, 200, 200, 204, 205, 299, 304, 404, 599, 200.0, True]),
    FIELDS,
    st.sampled_from([b"", b"abc", "abc"]),
    st.sampled_from([None, None, "OK", "Fine", "Not\r\n"]),
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
    st.sampled_from([(), (), {"T": "1"}]),
)


def made(method: str = "GET", version: str = "HTTP/1.1", headers: Any = ()) -> WasiRequest:
    """
    A request as a parser gives it.
    """
    request = WasiRequest(method, "x:1" if method == "CONNECT" else "/", headers, version=version)
    request._asks = asksOf(request.fields())
    return request


REQUESTS = st.builds(
    made,
    st.sampled_from(["GET", "POST", "HEAD", "CONNECT"]),
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
    st.sampled_from([{}, {}, {"TE": "trailers"}, {"Connection": "close"}]),
)

needsFast = pytest.mark.skipif(
    not all(path.on for path in _fast.paths.values()), reason="WASINET_FAST switches off what is compared"
)


# Responses


@needsFast
@given(RESPONSES, REQUESTS, st.booleans(), st.sampled_from([b"", DATE]))
def test_theFastPathGivesWhatTheSlowOneGives(
    response: WasiResponse, request: WasiRequest, goesOn: bool, date: bytes
) -> None:
    # Asked twice: what it doesn't know, it learns.
    for _ in range(2):
        fast = fastResponse(response, request.method, date, persistence(request, goesOn))
        if fast is not None:
            # It never asks for the connection's end itself.
            assert response.keepAlive
            assert fast == wholeAnswer(response, request, goesOn, date)


@needsFast
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, [("A", "1"), ("A", "2")]])
@pytest.mark.parametrize("status", [200, 404])
def test_theFastPathIsTaken(headers: object, status: int) -> None:
    response = WasiResponse(status, headers, b"abc")  # type: ignore[arg-type]
    assert fastResponse(response, "POST", DATE, b"") is not None
    # Somebody has looked at the fields, and changed one.
    response.headers["A"] = "3"
    fast = fastResponse(response, "POST", DATE, b"")
    assert fast == wholeAnswer(response, made("POST"), True, DATE)
    assert b"A: 3\r\n" in fast


def test_whatIsRememberedIsBounded() -> None:
    for number in range(2 * MOST_LINES + 5):
        wholeAnswer(WasiResponse(headers={"X": str(number)}), made(), True, b"")
        fastResponse(WasiResponse(headers={"Y": str(number)}), "GET", b"", b"")
        assert len(lines) <= MOST_LINES


@pytest.mark.parametrize(("length", "kept"), [(LONGEST_LINE, True), (LONGEST_LINE + 1, False)])
def test_howLongALineIsRemembered(length: int, kept: bool) -> None:
    value = "y" * (length - len("Long: \r\n"))
    for answer in (wholeAnswer(WasiResponse(headers={"Long": value}), made(), True, b""),):
        assert b"Long: " + value.encode() in answer
    assert (("Long", value) in lines) is kept
    lines.pop(("Long", value), None)


@pytest.mark.parametrize("name", ["Set-Cookie", "set-cookie", "Cookie", "AUTHORIZATION", "Proxy-Authorization"])
def test_noSecretIsRemembered(name: str) -> None:
    response = WasiResponse(headers={name: "secret"})
    assert b"secret" in wholeAnswer(response, made(), True, b"")
    fast = fastResponse(response, "GET", b"", b"")
    assert fast is None or b"secret" in fast
    assert not [line for line in lines.values() if b"secret" in line]


@pytest.mark.parametrize("name", ["Connection", "Content-Length", "transfer-encoding", "Date"])
def test_whatFramesOrEndsIsNotRemembered(name: str) -> None:
    """
    Else the fast path would find it among the lines, and not see what it says.
    """
    value = {"Content-Length": "0", "transfer-encoding": "chunked"}.get(name, "close")
    wholeAnswer(WasiResponse(headers={name: value}), made(), False, b"")
    assert (name, value) not in lines
    assert fastResponse(WasiResponse(headers={name: value}), "GET", b"", b"") is None


def test_howTheConnectionGoesOn() -> None:
    old = made(version="HTTP/1.0")
    assert [persistence(made(), True), persistence(made(), False)] == [b"", CLOSE_LINE]
    assert [persistence(old, True), persistence(old, False)] == [KEEP_ALIVE_LINE, CLOSE_LINE]
    for request, goesOn, line in ((made(), False, CLOSE_LINE), (old, True, KEEP_ALIVE_LINE), (old, False, CLOSE_LINE)):
        whole = wholeAnswer(WasiResponse(), request, goesOn, b"")
        assert whole == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + line + b"\r\n"


def test_aDateOfItsOwn() -> None:
    own = WasiResponse(headers={"date": "mine"})
    whole = wholeAnswer(own, made(), True, DATE)
    assert whole.lower().count(b"date: ") == 1
    assert wholeAnswer(WasiResponse(), made(), True, DATE).count(DATE) == 1


def test_framingOfPieces() -> None:
    new, old = made(), made(version="HTTP/1.0")
    head, writer = beginAnswer(WasiResponse(body=["a"]), new, True, b"")
    assert b"Transfer-Encoding: chunked\r\n" in head
    assert (writer.data(b"a"), writer.end({"T": "1"})) == (b"1\r\na\r\n", b"0\r\nT: 1\r\n\r\n")
    head, writer = beginAnswer(WasiResponse(body=["a"], headers={"Content-Length": "1"}), new, True, b"")
    assert b"chunked" not in head
    assert (writer.data(b"a"), writer.end({"T": "1"})) == (b"a", b"")
    head, writer = beginAnswer(WasiResponse(body=["a"]), old, True, b"")
    assert head == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    assert writer.untilClose
    for response, request in (
        (WasiResponse(204, body=["a"]), new),
        (WasiResponse(205, body=["a"]), new),
        (WasiResponse(304, body=["a"]), new),
        (WasiResponse(body=["a"], headers={"Transfer-Encoding": "chunked"}), old),
        (WasiResponse(body=["a"], headers={"X": "\n"}), new),
    ):
        with pytest.raises(LocalProtocolError):
            beginAnswer(response, request, True, b"")


def test_aRefusal() -> None:
    head, size = refusal(431, "é", "GET", DATE)
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + DATE)
    assert head.endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\n\xc3\xa9\n")
    assert size == 3
    head, size = refusal(431, "é", "HEAD", b"")
    assert (head.endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\n"), size) == (True, 0)


# Chunked bodies

CHUNKS = st.lists(st.binary(min_size=1, max_size=20), max_size=20)
ENDS = st.sampled_from(
    [b"0\r\n\r\n", b"0\r\n\r\nGET", b"00\r\n\r\n", b"0\r\nT: 1\r\n\r\n", b"0;x\r\n\r\n", b"0\r\n", b""]
)


def chunked(pieces: list[bytes], end: bytes) -> bytes:
    return b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def decoded(data: bytes) -> tuple[bytes, list[tuple[str, str]] | None, int] | None:
    """
    What the slow path makes of it: the body, the trailers, and how many bytes it has taken; L{None} if it refuses.
    """
    queue = ByteQueue()
    queue.append(data)
    decoder = ChunkedDecoder(Limits(), unfolds=False)
    pieces = []
    try:
        while piece := decoder.nextData(queue):
            pieces.append(piece)
    except RemoteProtocolError:
        return None
    return b"".join(pieces), decoder.trailers, queue.taken


@needsFast
@given(CHUNKS, ENDS, st.integers(0, 60), st.one_of(st.none(), st.tuples(st.integers(0, 400), st.integers(0, 255))))
def test_aChunkedBodyIsWhatTheDecoderMakesOfIt(
    pieces: list[bytes], end: bytes, most: int, damage: tuple[int, int] | None
) -> None:
    data = bytearray(chunked(pieces, end))
    if damage is not None and damage[0] < len(data):
        data[damage[0]] = damage[1]
    queue = ByteQueue()
    queue.append(bytes(data))
    body = fastChunkedBody(queue, most)
    slow = decoded(bytes(data))
    if body is None:
        assert queue.taken == 0
    else:
        assert slow == (body, [], queue.taken)
        assert len(body) <= most


@needsFast
@pytest.mark.parametrize(("most", "taken"), [(6, True), (5, False)])
def test_howLongAChunkedBodyIsTaken(most: int, taken: bool) -> None:
    queue = ByteQueue()
    queue.append(chunked([b"abc", b"def"], b"0\r\n\r\n"))
    assert (fastChunkedBody(queue, most) is not None) is taken


@needsFast
@pytest.mark.parametrize(("count", "taken"), [(15, True), (16, False)])
def test_howManyChunksAreTaken(count: int, taken: bool) -> None:
    queue = ByteQueue()
    queue.append(chunked([b"a"] * count, b"0\r\n\r\n"))
    assert (fastChunkedBody(queue, 100) is not None) is taken


# Heads of responses


RESPONSE_LINES = (
    b"A: 1", b"Content-Length: 3", b"content-length: x", b"Transfer-Encoding: chunked", b"Connection: close",
    b"Connection: Upgrade", b"Upgrade: x", b" folded", b"no colon", b"Host: a b", b"Set-Cookie: s",
)  # fmt: skip


def slowly(data: bytes, method: str) -> ResponseHead | None:
    queue = ByteQueue()
    queue.append(data)
    try:
        head = HeadReader(False, Limits()).read(queue, ResponseHead, method)
    except RemoteProtocolError:
        return None
    assert not isinstance(head, RequestHead)
    return head


def fastly(data: bytes, method: str) -> ResponseHead | None:
    queue = ByteQueue()
    queue.append(data)
    head = fastResponseHead(queue, Limits(), ResponseHead, method)
    assert queue.taken == (0 if head is None else data.index(b"\r\n\r\n") + 4)
    return head


def said(head: ResponseHead) -> tuple[object, ...]:
    return head.status, head.reason, head.version, head.fields(), head._length, head._asks


@needsFast
@given(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0"]),
    st.sampled_from([b"100", b"101", b"200", b"200", b"204", b"299", b"304", b"404", b"600", b"20"]),
    st.sampled_from([b" OK", b" ", b"", b" \xe9", b" \x00"]),
    st.lists(
        st.sampled_from(RESPONSE_LINES),
        max_size=4,
    ),
    st.sampled_from(["GET", "HEAD", "CONNECT", "POST"]),
)
def test_aResponsesHeadIsWhatTheReaderMakesOfIt(
    version: bytes, status: bytes, reason: bytes, fields: list[bytes], method: str
) -> None:
    data = b"\r\n".join([version + b" " + status + reason, *fields, b"", b"body"])
    fast = fastly(data, method)
    if fast is not None:
        slow = slowly(data, method)
        assert slow is not None
        assert said(fast) == said(slow)


@pytest.mark.parametrize(
    ("status", "method", "length"),
    [
        (200, "GET", 3),
        (200, "HEAD", 0),
        (200, "CONNECT", TUNNEL),
        (204, "GET", 0),
        (304, "GET", 0),
        (404, "CONNECT", 3),
        (404, "HEAD", 0),
    ],
)
def test_whatHasNoBodyWhateverItsFieldsSay(status: int, method: str, length: int) -> None:
    data = b"HTTP/1.1 %d \r\nContent-Length: 3\r\n\r\nabc" % status
    ways: list[Callable[[bytes, str], ResponseHead | None]] = [slowly]
    if _fast.isOn("http.responseHead"):
        ways.append(fastly)
    for way in ways:
        head = way(data, method)
        assert head is not None
        assert head._length == length
        head = way(b"HTTP/1.1 %d \r\nA: 1\r\n\r\nabc" % status, method)
        assert head is not None
        assert head._length == (UNTIL_CLOSE if length == 3 else length)
