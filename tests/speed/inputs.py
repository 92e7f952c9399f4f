"""
What both forms are given: heads, mutated; and responses of every kind.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from multidict import CIMultiDict, MultiDict

from benchmarks.messages import browserFields, postFields, wire
from tests.fuzz.oracle import decode
from tests.http.generator import Generator
from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.http import Limits, RequestHead, ResponseHead, WasiRequest, WasiResponse
from wasinet_twisted.http.limits import MOST
from wasinet_twisted.http.outgoing import CLOSE_LINE, KEEP_ALIVE_LINE
from wasinet_twisted.server import Request

_CORPUS = Path(__file__).parent.parent / "http" / "corpus"


class Dictful(RequestHead):
    """
    A request with a dict beside its slots.
    """


class Slotted(RequestHead):
    """
    A request with slots of its own.
    """

    __slots__ = ("mine", "yours")


class Watching(RequestHead):
    """
    A request that looks at what is set.
    """

    def __setattr__(self, name: str, value: object) -> None:
        self.__dict__.setdefault("set", []).append((name, value))
        object.__setattr__(self, name, value)


class Shadowing(RequestHead):
    """
    A request whose target is no slot.
    """

    __slots__ = ("_uri",)

    @property
    def uri(self) -> str:  # type: ignore[override]
        return self._uri

    @uri.setter
    def uri(self, given: str) -> None:
        self._uri = given.upper()


class DictfulResponse(ResponseHead):
    """
    A response with a dict beside its slots.
    """


REQUESTS = (RequestHead, WasiRequest, Request, Dictful, Slotted, Watching, Shadowing)
RESPONSES = (ResponseHead, WasiResponse, DictfulResponse)
METHODS = ("GET", "GET", "POST", "HEAD", "CONNECT", "get", "")
LIMITS = (
    Limits(),
    Limits(requestLine=20, head=120, fields=4),
    Limits(head=60),
    Limits(fields=0),
    Limits(head=2, requestLine=0),
    Limits(head=0),
    Limits(fields=MOST, head=MOST, requestLine=MOST),
    Limits(fields=200),
)

_POST = wire("POST", "/items/1", postFields(8), b"12345678")
SEEDS = (
    _POST,
    *(wire("GET", f"/path?n={number}", browserFields(random.Random(number))) for number in range(4)),
    b"PUT /a HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: Close\r\nX: \xe9\t\r\nCookie: a=b \r\n"
    b"Authorization: x\r\nContent-Length:0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTE: x\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
    b"DELETE /12345678 HTTP/1.2\r\nHost:\r\nContent-Length: 9999999999999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\n\r\nabc",
    b"HTTP/1.1 404 \r\nServer: x\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n",
    b"HTTP/1.1 304 Not\tModified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 299 \xe9\r\nX: a\r\n b\r\n\r\n",
)  # fmt: skip
_BITS = (
    b"\r\n", b"\n", b"\r", b"\r\r\n", b" ", b"\t", b":", b"\0", b"\x1f", b"\x7f", b"\x80", b"\xad", b"\xff", b"#", b"\r\n\r\n",
    b"Host: b\r\n", b"host:\r\n", b"Content-Length: 8\r\n", b"Content-Length: 9999999999999999999\r\n", b"0", b"9",
    b"Content-Length: 18446744073709551616\r\n", b"Content-Length: +1\r\n", b"Content-Length:  007 \r\n", b"HTTP/1.0",
    b"Connection: close\r\n", b"Connection: keep-alive, Upgrade\r\n", b"Expect: x\r\n", b"Expect: 100-continue\r\n",
    b"Transfer-Encoding: chunked\r\n", b"TE: trailers\r\n", b"Upgrade: x\r\n", b"X-A:   v  \r\n", b"X-A:\t\r\n",
    b"Cookie: secret=1\r\n", b"A" * 128 + b": v\r\n", b"A" * 129 + b": v\r\n", b"L: " + b"v" * 125 + b"\r\n",
    b"L: " + b"v" * 126 + b"\r\n", b"A: b\r\n" * 60, b"A: b\r\n" * 101, b"B: c\r\n" * 129, b"12345678", b" HTTP/1.1",
    b"HTTP/1.2", b"HTTP/2.0", b"http://", b"*", b"/", b"QUERY", b"PATCH /", b"x" * 8192, b"x" * 33000,
)  # fmt: skip


def corpus() -> list[bytes]:
    """
    What fuzzing has found worth keeping.
    """
    return [decode(path.read_bytes()).data for path in sorted(_CORPUS.iterdir())]


class Inputs:
    """
    Makes them, from a seed.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._generator = Generator(seed, damage=0.15)
        self._seeds = [*SEEDS * 20, *(data for data in corpus() if data)]

    def heads(self) -> Iterator[tuple[bytes, int, Limits]]:
        """
        Bytes, where a head begins in them, and the limits. Without end.
        """
        chance = self.chance
        generated = iter(self._generator.cases(1 << 62))
        while True:
            share = chance.random()
            data = next(generated).data if share < 0.4 else chance.choice(self._seeds)
            for _ in range(chance.choice((0, 0, 0, 1, 1, 1, 2, 3))):
                data = self._mutated(data)
            start = 0
            if chance.random() < 0.1:
                # After another message, or inside one.
                before = chance.choice(SEEDS)
                data, start = before + data, len(before)
            limits = LIMITS[0] if chance.random() < 0.7 else chance.choice(LIMITS)
            if chance.random() < 0.02:
                # Just at a bound, or just beyond.
                end = data.find(b"\r\n\r\n", start) + 2 - start
                limits = Limits(
                    head=max(0, end + chance.choice((-1, 0, 1))),
                    requestLine=max(0, data.find(b"\r\n", start) - start + chance.choice((-1, 0, 1))),
                    fields=max(0, data.count(b"\r\n", start, start + max(end, 0)) - chance.choice((0, 1, 2))),
                )
            yield data, start, limits

    def _mutated(self, data: bytes) -> bytes:
        chance = self.chance
        at = chance.randrange(len(data) + 1)
        how = chance.random()
        if how < 0.4:
            return data[:at] + chance.choice(_BITS) + data[at:]
        if how < 0.6:
            return data[:at] + data[at + chance.choice((1, 1, 2, 8)) :]
        if how < 0.8:
            return data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :]
        if how < 0.85:
            return data[:at]
        other = chance.choice(self._seeds)
        start = chance.randrange(len(other))
        return data[:at] + other[start : start + chance.randrange(30)] + data[at + chance.randrange(12) :]

    def answers(self) -> Iterator[tuple[Any, ...]]:
        """
        What C{http.response} is given. Without end.
        """
        chance = self.chance
        while True:
            date = chance.choice((b"", b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"))
            try:
                response = self._response()
            except LocalProtocolError:
                # A name that is no text can't even be given.
                continue
            yield response, chance.choice(METHODS), date, chance.choice((b"", CLOSE_LINE, KEEP_ALIVE_LINE))

    def _response(self) -> Any:
        chance = self.chance
        # Most have nothing that is unusual, and the others a few things.
        odd = chance.choice((0.0, 0.0, 0.3))
        response = self._usually(odd, WasiResponse, _KINDS)(
            self._usually(odd, chance.choice((200, 200, 404, 500)), _STATUSES),
            self._fields(odd),
            self._usually(odd, chance.choice((b"", b"abc", b"x" * 9, b"x" * 10, b"x" * 100_000)), _BODIES),
            self._usually(odd, None, _REASONS),
            self._usually(odd, "HTTP/1.1", _VERSIONS),
            self._usually(odd, (), ({"T": "1"},)),
        )
        share = chance.random()
        if share < 0.2:
            # Somebody has looked.
            assert response.headers is not None
        if 0.1 < share < 0.2:
            assert response.trailers is not None
        if share > 0.95:
            name = chance.choice(_SLOTS)
            if hasattr(response, name):
                delattr(response, name)
        return response

    def _usually(self, odd: float, usual: Any, others: tuple[Any, ...]) -> Any:
        return self.chance.choice(others) if self.chance.random() < odd else usual

    def _fields(self, odd: float) -> Any:
        chance = self.chance
        pairs = [
            (
                self._usually(odd, chance.choice(_NAMES), _ODD_NAMES),
                self._usually(odd, chance.choice(("a", "text/plain", f"{chance.random()}", "")), _ODD_VALUES),
            )
            for _ in range(chance.choice((0, 1, 2, 3, 5, chance.choice((6, 80)))))
        ]
        how = chance.random()
        try:
            if how < 0.7:
                return dict(pairs)
            if how < 0.8:
                return pairs
            return CIMultiDict(pairs) if how < 0.9 else MultiDict(pairs)
        except TypeError:
            return {}


class Text(str):
    """
    A str of somebody's own.
    """

    __slots__ = ()


class Subclass(WasiResponse):
    """
    A response of somebody's own.
    """


_SLOTS = ("status", "reason", "version", "_body", "_headers", "_pairs", "_trailers", "_length", "_asks")
_KINDS = (WasiResponse, Subclass)
_STATUSES = (204, 304, 205, 101, 100, 599, 299, HTTPStatus.OK, 200.0, True, "200", None, [200])
_BODIES = ("\xe9", bytearray(b"ab"), Text("x"), iter([b"a"]), memoryview(b"abc"))
_REASONS = ("OK", "".join(("O", "K")), Text("OK"), "Fine", "\xe9", b"OK", 5)
_VERSIONS = ("HTTP/1.0", "".join(("HTTP", "/1.1")), Text("HTTP/1.1"), 1.1)
_NAMES = ("Content-Type", "content-type", "Server", "X-A", "Set-Cookie", "ETag", "".join(("X", "-B")))
_ODD_NAMES = (
    "Connection", "Date", "date", "Content-Length", "Transfer-Encoding", "X y", "X\r", "\xe9", "", Text("X-B"), b"X-C", 7,
)  # fmt: skip
_ODD_VALUES = (" a", "a\n", "\xe9", "\u20ac", Text("b"), b"c", 8, None, "y" * 300, ["unhashable"])
