"""
Hypothesis strategies: valid messages of every kind, and what damages their encodings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from wasinet_twisted.http import WasiRequest, WasiResponse

_TCHARS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VISIBLE = "".join(map(chr, (*range(0x21, 0x7F), *range(0x80, 0x100))))
_TARGET = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "#")

# These say where a message ends, or whom it is for: the strategies set them themselves.
_FRAMING = frozenset(("host", "content-length", "transfer-encoding"))
_NOT_IN_TRAILERS = _FRAMING | {
    "connection", "trailer", "te", "upgrade", "expect", "max-forwards", "range", "cache-control", "authorization",
    "proxy-authorization", "cookie", "set-cookie", "content-type", "content-encoding", "content-range",
}  # fmt: skip

tokens = st.text(_TCHARS, min_size=1, max_size=12)
fieldNames = st.one_of(
    st.sampled_from(("Connection", "Set-Cookie", "Cookie", "X", "x", "Accept", "Upgrade", "Expect", "TE")), tokens
).filter(lambda name: name.lower() not in _FRAMING)
fieldValues = st.one_of(
    st.sampled_from(("", "close", "keep-alive", "chunked", "a, b", "a \t b", "\xa0\x85", ":", "HTTP/1.1 200 OK")),
    st.text(_VISIBLE + " \t", max_size=20).map(lambda value: value.strip(" \t")),
)
fields = st.lists(st.tuples(fieldNames, fieldValues), max_size=6)
trailers = st.lists(
    st.tuples(
        fieldNames.filter(lambda name: name.lower() not in _NOT_IN_TRAILERS and not name.lower().startswith("if-")),
        fieldValues,
    ),
    max_size=3,
)
bodies = st.one_of(
    st.binary(max_size=60), st.sampled_from((b"0\r\n\r\n", b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"b" * 4000))
)
hosts = st.sampled_from(("a", "", "a.example:80", "[::1]:8", "1.2.3.4", "a_b:"))
authorities = st.sampled_from(("a:1", "a.example:443", "[::1]:65535"))
reasons = st.one_of(st.none(), st.text(_VISIBLE + " \t", max_size=12))
versions = st.sampled_from(("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"))
paths = st.text(_TARGET, max_size=20).map(lambda rest: "/" + rest)
targets = st.one_of(paths, st.builds("http://{}{}".format, st.sampled_from(("b", "b:8", "[::1]")), paths))


def varyCase(draw: st.DrawFn, name: str) -> str:
    return draw(st.sampled_from((name, name.lower(), name.upper())))


def place(draw: st.DrawFn, pairs: list[tuple[str, str]], name: str, value: str) -> None:
    """
    Put a field somewhere among the others.
    """
    pairs.insert(draw(st.integers(0, len(pairs))), (varyCase(draw, name), value))


def frame(draw: st.DrawFn, pairs: list[tuple[str, str]], version: str, body: bytes) -> list[tuple[str, str]]:
    """
    Say how long the body is, say nothing, or make it chunked.

    @return: the trailers.
    """
    how = draw(st.sampled_from(("length", "nothing", "chunked")))
    if how == "length":
        place(draw, pairs, "Content-Length", draw(st.sampled_from(("", "0", "000"))) + str(len(body)))
    elif how == "chunked" and version == "HTTP/1.1":
        place(draw, pairs, "Transfer-Encoding", draw(st.sampled_from(("chunked", "Chunked"))))
        return draw(trailers)
    return []


@st.composite
def requests(draw: st.DrawFn) -> WasiRequest:
    """
    Any valid request.
    """
    version = draw(versions)
    pairs = draw(fields)
    if version == "HTTP/1.1" or draw(st.booleans()):
        place(draw, pairs, "Host", draw(hosts))
    kind = draw(st.sampled_from(("plain", "plain", "plain", "plain", "connect", "options")))
    if kind == "connect":
        return WasiRequest("CONNECT", draw(authorities), pairs, version=version)
    method, target = "OPTIONS", "*"
    if kind == "plain":
        method = draw(st.one_of(st.sampled_from(("GET", "POST", "PUT", "HEAD", "get", "OPTIONS")), tokens))
        target = draw(targets)
        if method == "CONNECT":
            method = "CONNECTED"
    body = draw(bodies)
    after = frame(draw, pairs, version, body)
    return WasiRequest(method, target, pairs, body, version, after)


@dataclass(frozen=True)
class Answer:
    """
    A response and the method of the request that it answers.
    """

    response: WasiResponse
    method: str

    def encode(self) -> bytes:
        return self.response.encode(self.method)

    def framed(self) -> WasiResponse:
        return self.response.framed(self.method)

    @property
    def isInterim(self) -> bool:
        return self.response.status < 200 and self.response.status != 101

    @property
    def opensTunnel(self) -> bool:
        return self.response.status == 101 or (self.method == "CONNECT" and 200 <= self.response.status < 300)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """
    Any valid response to any method.
    """
    version = draw(versions)
    method = draw(st.sampled_from(("GET", "GET", "POST", "HEAD", "CONNECT", "get")))
    status = draw(st.one_of(st.sampled_from((200, 200, 404, 204, 205, 304, 100, 101, 103)), st.integers(100, 599)))
    reason = draw(reasons)
    pairs = draw(fields)
    given: dict[str, Any] = {"reason": reason, "version": version}
    if draw(st.booleans()):
        # It means nothing in a response.
        place(draw, pairs, "Host", draw(st.sampled_from(("a", "a b"))))
    if status < 200 or status == 204 or (method == "CONNECT" and status < 300):
        return Answer(WasiResponse(status, pairs, **given), method)
    if status == 304 or (method == "HEAD" and draw(st.booleans())):
        if draw(st.booleans()):
            place(draw, pairs, "Content-Length", str(draw(st.integers(0, 10**19 - 1))))
        return Answer(WasiResponse(status, pairs, **given), method)
    body = b"" if status == 205 else draw(bodies)
    after = frame(draw, pairs, version, body)
    return Answer(WasiResponse(status, pairs, body, trailers=after, **given), method)


@dataclass(frozen=True)
class Edit:
    """
    Damage to some bytes, at a place given as a share of their length.
    """

    kind: str
    where: float
    what: bytes
    size: int

    def apply(self, data: bytes) -> bytes:
        start = int(self.where * len(data))
        end = start + self.size
        if self.kind == "insert":
            return data[:start] + self.what + data[start:]
        if self.kind == "replace":
            return data[:start] + self.what + data[start + len(self.what) :]
        if self.kind == "delete":
            return data[:start] + data[end:]
        # Twice
        return data[:end] + data[start:]


_DAMAGE = (
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"chunked", b"0x", b"+", b"-", b"_", b'"',
    b"0",
    b"5", b"f", b"#", b"*", b"\x80", b"\xff", b"\x0b", b"\x7f", b"HTTP/1.0", b"HTTP/2.0", b"\r\nContent-Length: 5",
    b"\r\nTransfer-Encoding: chunked", b"\r\nHost: a", b"\r\n ", b"\r\nTransfer-Encoding: gzip, chunked", b";a=b",
    b"CONNECT",
    b"HTTP/1.1 101 ", b"\r\n0\r\n\r\n",
)  # fmt: skip

edits = st.builds(
    Edit,
    st.sampled_from(("insert", "replace", "delete", "twice")),
    st.floats(0, 1),
    st.one_of(st.sampled_from(_DAMAGE), st.binary(min_size=1, max_size=3)),
    st.integers(1, 8),
)
