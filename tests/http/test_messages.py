"""
Messages and their encoding.
"""

from __future__ import annotations

import codecs
import encodings
import encodings.aliases
import pkgutil
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from multidict import CIMultiDict

from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.http import REASONS, Buffer, ContentError, WasiRequest, WasiResponse, encodeChunk, encodeEnd
from wasinet_twisted.http.charsets import LONGEST, codecOf

HOST = {"Host": "a"}
Message = WasiRequest | WasiResponse


def get(**given: Any) -> WasiRequest:
    return WasiRequest(**{"headers": HOST, **given})


def parsed(message: Message, method: str = "GET") -> Message | None:
    buffer = Buffer()
    if isinstance(message, WasiRequest):
        buffer.append(message.encode())
        return buffer.parseRequest()
    buffer.append(message.encode(method))
    return buffer.parseResponse(method)


def refusedBy(call: Callable[[], object]) -> str:
    with pytest.raises(LocalProtocolError) as caught:
        call()
    return str(caught.value)


def notSent(message: Message, *method: str) -> str:
    """
    See that a message isn't encoded, and return why.
    """
    return refusedBy(lambda: message.encode(*method))


# Byte for byte


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (WasiRequest(headers=HOST), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (WasiRequest("POST", "/x", HOST, "hi"), b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
        (WasiRequest("POST", "/", HOST), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        (WasiRequest("PUT", "/", HOST), b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        (WasiRequest("PATCH", "/", HOST), b"PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        (WasiRequest("DELETE", "/", HOST), b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (WasiRequest("post", "/", HOST), b"post / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (WasiRequest("GET", "/", HOST, b"b"), b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb"),
        (WasiRequest(version="HTTP/1.0"), b"GET / HTTP/1.0\r\n\r\n"),
        (WasiRequest("OPTIONS", "*", HOST), b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        (WasiRequest("CONNECT", "a:1", HOST), b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (WasiRequest("GET", "http://b/", HOST), b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        (WasiRequest("GET", "/", {"Host": ""}), b"GET / HTTP/1.1\r\nHost: \r\n\r\n"),
        (
            WasiRequest("POST", "/", {**HOST, "Transfer-Encoding": "chunked"}, b"b" * 17, trailers={"X": "y"}),
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n" + b"b" * 17
            + b"\r\n0\r\nX: y\r\n\r\n",
        ),
        (WasiResponse(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (WasiResponse(404, body=b"no"), b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
        (WasiResponse(200, reason=""), b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
        (WasiResponse(299), b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"),
        (WasiResponse(200, reason="\xe9 x"), b"HTTP/1.1 200 \xe9 x\r\nContent-Length: 0\r\n\r\n"),
        (WasiResponse(version="HTTP/1.0"), b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (WasiResponse(100), b"HTTP/1.1 100 Continue\r\n\r\n"),
        (WasiResponse(101, {"Upgrade": "x"}), b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        (WasiResponse(204), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (WasiResponse(304), b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (WasiResponse(304, {"Content-Length": "5"}), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (WasiResponse(205), b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        (
            WasiResponse(200, {"transfer-encoding": "Chunked"}, "hi"),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        (
            WasiResponse(200, {"Transfer-Encoding": "chunked"}),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            WasiResponse(200, [("b", "1"), ("A", "2"), ("B", "3"), ("Content-Length", "2")], b"hi"),
            b"HTTP/1.1 200 OK\r\nb: 1\r\nA: 2\r\nB: 3\r\nContent-Length: 2\r\n\r\nhi",
        ),
        (WasiResponse(200, {"X": "\xe9\xff", "E": ""}),
         b"HTTP/1.1 200 OK\r\nX: \xe9\xff\r\nE: \r\nContent-Length: 0\r\n\r\n"),
    ],
)  # fmt: skip
def test_encode(message: Message, wire: bytes) -> None:
    assert message.encode() == wire
    # Encoding changes nothing.
    assert message.encode() == wire
    assert parsed(message) == message.framed()


def test_answersToHead() -> None:
    assert WasiResponse(200, body=b"four").encode("HEAD") == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    assert WasiResponse(200, {"Content-Length": "9"}).encode("HEAD") == b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    coded = WasiResponse(200, {"Transfer-Encoding": "chunked"}, b"a", trailers={"X": "y"})
    assert coded.encode("HEAD") == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for message in (WasiResponse(body=b"a"), WasiResponse(404, {"Content-Length": "9"}), coded, WasiResponse(304)):
        framed = message.framed("HEAD")
        assert parsed(message, "HEAD") == framed
        assert (framed.body, list(framed.trailers)) == (b"", [])
    # The length of the body that would have come, or none: not of another.
    assert "Content-Length" in notSent(WasiResponse(200, {"Content-Length": "9"}, b"a"), "HEAD")
    # To anything else it must be there.
    for method in ("GET", "POST", "head", "CONNECT"):
        notSent(WasiResponse(404, {"Content-Length": "9"}), method)


def test_answersToConnect() -> None:
    assert WasiResponse().encode("CONNECT") == b"HTTP/1.1 200 OK\r\n\r\n"
    assert WasiResponse(299).encode("CONNECT") == b"HTTP/1.1 299 \r\n\r\n"
    assert WasiResponse(300, reason="x").encode("CONNECT") == b"HTTP/1.1 300 x\r\nContent-Length: 0\r\n\r\n"
    assert WasiResponse(407, reason="x", body="n").encode("CONNECT").endswith(b"Content-Length: 1\r\n\r\nn")
    assert parsed(WasiResponse(), "CONNECT") == WasiResponse().framed("CONNECT")
    for fields, body in (({"Content-Length": "0"}, b""), ({"Transfer-Encoding": "chunked"}, b""), ({}, b"a")):
        assert "CONNECT" in notSent(WasiResponse(200, fields, body), "CONNECT")
    notSent(WasiResponse(200, trailers={"X": "y"}), "CONNECT")


def test_framed() -> None:
    message = WasiRequest("POST", "/", HOST, "hi")
    framed = message.framed()
    assert framed.fields() == [("Host", "a"), ("Content-Length", "2")]
    assert framed != message
    assert framed.framed() == framed
    assert framed.encode() == message.encode()
    # The message itself is as it was.
    assert message.fields() == [("Host", "a")]
    full = WasiResponse(299, {"Transfer-Encoding": "chunked", "A": "b"}, b"c", "d", trailers={"E": "f"})
    assert full.framed() == full
    assert full.framed() is not full
    assert type(full.framed()) is WasiResponse
    for bad in (WasiRequest(), WasiRequest("A B", "/", HOST), get(uri=""), get(version="1")):
        refusedBy(bad.framed)
    for worse in (WasiResponse(99), WasiResponse(204, body=b"a"), WasiResponse(200, {"Content-Length": "1"})):
        refusedBy(worse.framed)


# What may not be sent


SPLITTERS = ["\r", "\n", "\0", "\r\n", "a\rb", "a\nb", "a\r\nX: y", "a\0b", "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"]


@pytest.mark.parametrize("text", SPLITTERS)
def test_splitting(text: str) -> None:
    for message in (
        get(method=text), get(method="GET" + text), get(uri=text), get(uri="/" + text), get(version=text),
        get(version="HTTP/1.1" + text), get(headers={"Host": text}), get(headers={**HOST, "X": text}),
        get(headers={**HOST, "X": text.encode()}), get(headers={**HOST, text: "x"}),
        get(headers={**HOST, "X" + text: "x"}),
        get(headers={**HOST, "Transfer-Encoding": "chunked" + text}),
        get(headers={**HOST, "Content-Length": "0" + text}),
        get(headers={**HOST, "Transfer-Encoding": "chunked"}, trailers={"X": text}),
        get(headers={**HOST, "Transfer-Encoding": "chunked"}, trailers={text: "x"}),
        WasiResponse(200, reason=text), WasiResponse(200, {"X": text}), WasiResponse(200, {text: "x"}),
        WasiResponse(200, version=text), WasiResponse(100, {"X": text}), WasiResponse(304, {"X": text}),
        WasiResponse(200, {"Transfer-Encoding": "chunked"}, trailers={"X": text}),
    ):  # fmt: skip
        notSent(message)
    for method in ("HEAD", "CONNECT"):
        notSent(WasiResponse(200, {"X": text}), method)
        notSent(WasiResponse(200, reason=text), method)
    for name, value in (("X", text), (text, "x")):
        later = WasiResponse()
        later.setHeader(name, value)
        notSent(later)
        later = WasiResponse()
        later.headers.add(name, value)
        notSent(later)
    notSent(WasiResponse(200, {"Transfer-Encoding": "chunked"}, trailers=[(text, "x")]), "HEAD")


@pytest.mark.parametrize("code", [code for code in (*range(0x20), 0x7F) if code != 9])
def test_controlCharacters(code: int) -> None:
    character = chr(code)
    assert "control" in notSent(WasiResponse(200, {"X": f"a{character}b"}))
    assert "control" in notSent(get(headers={**HOST, "X": f"a{character}b"}))
    assert "control" in notSent(WasiResponse(200, reason=f"a{character}b"))
    notSent(get(uri=f"/{character}"))
    notSent(get(method=f"G{character}"))
    notSent(WasiResponse(200, {f"X{character}": "a"}))


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a:", "a ", " a", "\xe9", "a\u2028", "(a)", "a/b", "\t", '"a"', "a@b", "\u0130"]
)
def test_badTokens(name: str) -> None:
    notSent(get(method=name))
    notSent(get(headers={**HOST, name: "x"}))
    notSent(WasiResponse(200, {name: "x"}))
    notSent(WasiResponse(200, {"Transfer-Encoding": "chunked"}, trailers={name: "x"}))


@pytest.mark.parametrize("text", ["\u0100", "\u20ac", "a\u2028b", "\U0001f600", "\ud800", "\uff23", "\u212a"])
def test_outsideLatin1(text: str) -> None:
    assert "latin-1" in notSent(WasiResponse(200, {"X": text}))
    assert "latin-1" in notSent(WasiResponse(200, {text: "x"}))
    assert "latin-1" in notSent(WasiResponse(200, reason=text))
    assert "latin-1" in notSent(get(headers={**HOST, "X": text}))
    assert "latin-1" in notSent(get(uri="/" + text))
    assert "latin-1" in notSent(get(method=text))
    notSent(get(headers={"Host": text}))
    notSent(get(headers={**HOST, "Content-Length": text}))
    notSent(get(version="HTTP/1." + text))


@pytest.mark.parametrize("value", [5, None, 1.5, True, ["a"], ("a",), object(), bytearray(b"a")])
def test_valuesThatAreNoStrings(value: Any) -> None:
    for headers in ({"X": value}, [("X", value)], {"Content-Length": value}, {"Transfer-Encoding": value}):
        assert "must be str" in notSent(WasiResponse(200, headers))
        assert "must be str" in notSent(
            get(headers=[("Host", "a"), *(headers.items() if isinstance(headers, dict) else headers)])
        )
    assert "must be str" in notSent(get(headers={"Host": value}))
    assert "must be str" in notSent(get(method=value))
    assert "must be str" in notSent(get(uri=value))
    assert "version" in notSent(get(version=value))
    if value is not None:
        assert "must be str" in notSent(WasiResponse(200, reason=value))
    later = WasiResponse()
    later.setHeader("X", value)
    notSent(later)


@pytest.mark.parametrize("value", [" a", "a ", "\ta", "a\t", " ", "\t"])
def test_whiteSpaceAroundValues(value: str) -> None:
    # The peer would take it off.
    assert "white space" in notSent(WasiResponse(200, {"X": value}))
    notSent(get(headers={**HOST, "X": value}))
    assert parsed(WasiResponse(200, {"X": "a \t b"})) == WasiResponse(200, {"X": "a \t b"}).framed()
    # These are no white space there.
    odd = WasiResponse(200, {"X": "\xa0a\x85"})
    assert parsed(odd) == odd.framed()


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "COOKIE", "Set-Cookie"])
@pytest.mark.parametrize("value", ["secret\n", "secret ", "secret\u2603", ["secret"]], ids=repr)
def test_errorsHaveNoSecrets(name: str, value: Any) -> None:
    """
    A token that was read from a file ends with a newline. The error goes to a log.
    """
    text = notSent(get(headers=[*HOST.items(), (name, value)]))
    assert name in text
    assert "secret" not in text
    assert "secret" in notSent(get(headers=[*HOST.items(), ("X", value)]))


@pytest.mark.parametrize(
    "uri", ["", " ", "/ a", "a", "/#a", "/\xe9", "*", "?a", "http:", "http://", "http://u@a/", "http:///", "a:1"]
)
def test_badTargets(uri: str) -> None:
    notSent(get(uri=uri))


@pytest.mark.parametrize("uri", ["", "/", "*", "a", "a:", ":1", "a:0", "a:65536", "http://a:1", "a:1/", "[::g]:1"])
def test_badTargetsOfConnect(uri: str) -> None:
    notSent(get(method="CONNECT", uri=uri))


@pytest.mark.parametrize(
    "version", ["", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "1.1", "HTTP/1.1 ", "HTTP/1.10"]
)
def test_badVersions(version: str) -> None:
    assert "version" in notSent(get(version=version))
    assert "version" in notSent(WasiResponse(version=version))


@pytest.mark.parametrize("status", [99, 600, 0, -200, 1000, 200.0, "200", None, True])
def test_badStatuses(status: Any) -> None:
    assert "status" in notSent(WasiResponse(status, reason="x"))
    for good in (100, 200, 599):
        assert WasiResponse(good, reason="x").encode().startswith(b"HTTP/1.1 %d x\r\n" % good)


def test_hostIsNeeded() -> None:
    assert "Host" in notSent(WasiRequest())
    assert "Host" in notSent(WasiRequest("GET", "http://a/"))
    assert "Host" in notSent(WasiRequest("CONNECT", "a:1"))
    assert "Host" in notSent(get(headers=[("Host", "a"), ("host", "a")]))
    for host in ("a b", "a, b", "[::1", "a/b", "u@a", "\xe9"):
        notSent(get(headers={"Host": host}))
        notSent(get(headers={"hOST": host}, version="HTTP/1.0"))
    assert WasiRequest(headers={"hOsT": "[::1]:8"}).encode() == b"GET / HTTP/1.1\r\nhOsT: [::1]:8\r\n\r\n"


@pytest.mark.parametrize("make", [get, WasiResponse])
def test_lengthAndBodyAgree(make: Callable[..., Message]) -> None:
    def build(length: str, body: bytes) -> Message:
        return make(headers=[("Host", "a"), ("Content-Length", length)], body=body)

    assert build("2", b"hi").encode().endswith(b"Content-Length: 2\r\n\r\nhi")
    for length, body in (("1", b"hi"), ("3", b"hi"), ("0", b"hi"), ("2", b"")):
        assert "Content-Length" in notSent(build(length, body))
    for bad in ("", "+2", "0x2", "2, 2", "-2", "2.0", "\xb2", "0" * 20, "2 2"):
        assert "Content-Length" in notSent(build(bad, b"hi"))
    notSent(make(headers=[("Host", "a"), ("Content-Length", "2"), ("content-length", "2")], body=b"hi"))


@pytest.mark.parametrize("make", [get, WasiResponse])
def test_codingsOfOutput(make: Callable[..., Message]) -> None:
    def build(*fields: tuple[str, str], **given: Any) -> Message:
        return make(headers=[("Host", "a"), *fields], **given)

    for body in (b"", b"hi"):
        for length in ("0", "2"):
            assert "beside" in notSent(build(("Transfer-Encoding", "chunked"), ("Content-Length", length), body=body))
            assert "beside" in notSent(build(("content-length", length), ("transfer-encoding", "chunked"), body=body))
    for coding in ("gzip", "identity", "", "gzip, chunked", "chunked, chunked", "chunked;a", "chun\u212aed"):
        notSent(build(("Transfer-Encoding", coding), body=b"hi"))
    notSent(build(("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")))
    notSent(build(("Transfer-Encoding", "chunked"), version="HTTP/1.0"))


@pytest.mark.parametrize("status", [100, 101, 103, 199, 204])
def test_statusesWithoutBodyOrLength(status: int) -> None:
    assert "body" in notSent(WasiResponse(status, body=b"a"))
    for value in ("0", "1"):
        assert "Content-Length" in notSent(WasiResponse(status, {"Content-Length": value}))
    notSent(WasiResponse(status, {"Transfer-Encoding": "chunked"}))
    assert "trailers" in notSent(WasiResponse(status, trailers={"X": "y"}))
    for method in ("GET", "HEAD"):
        assert b"ength" not in WasiResponse(status).encode(method)


def test_notModifiedAndResetContent() -> None:
    for status in (304, 205):
        assert "body" in notSent(WasiResponse(status, body=b"a"))
        assert "body" in notSent(WasiResponse(status, {"Content-Length": "1"}, body=b"a"))
    notSent(WasiResponse(304, {"Transfer-Encoding": "chunked"}))
    notSent(WasiResponse(304, trailers={"X": "y"}))
    notSent(WasiResponse(205, {"Content-Length": "1"}))
    assert parsed(WasiResponse(205)) == WasiResponse(205).framed()
    modified = WasiResponse(304, {"Content-Length": "5"})
    assert parsed(modified) == modified == modified.framed()


def test_connectHasNoBody() -> None:
    for given in (
        {"body": b"a"}, {"headers": {**HOST, "Content-Length": "0"}},
        {"headers": {**HOST, "Transfer-Encoding": "chunked"}},
        {"trailers": {"X": "y"}},
    ):  # fmt: skip
        notSent(get(method="CONNECT", uri="a:1", **given))


def test_trailersNeedChunks() -> None:
    for message in (get(trailers={"X": "y"}), get(body=b"a", trailers={"X": "y"}), WasiResponse(trailers={"X": "y"})):
        assert "trailers" in notSent(message)


@pytest.mark.parametrize(
    "name",
    ["Transfer-Encoding", "content-length", "HOST", "Connection", "Trailer", "TE", "Upgrade", "Expect", "Max-Forwards",
     "Range", "If-Match", "if-none-match", "Cache-Control", "Authorization", "Proxy-Authorization", "Cookie",
     "Set-Cookie", "Content-Type", "Content-Encoding", "Content-Range"],
)  # fmt: skip
def test_namesRefusedInTrailers(name: str) -> None:
    coded = {**HOST, "Transfer-Encoding": "chunked"}
    for message in (get(headers=coded, trailers={name: "0"}), WasiResponse(200, coded, trailers={"X": "y", name: "0"})):
        assert name in notSent(message)
    good = get(headers=coded, trailers=[("Digest", "x"), ("digest", "y")])
    assert parsed(good) == good


# Fields


def test_headerForms() -> None:
    pairs = [("Host", "a"), ("X", "1"), ("x", "\xe9")]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    for headers in (pairs, tuple(pairs), iter(pairs), raw, CIMultiDict(pairs), (pair for pair in raw)):
        message = WasiRequest(headers=headers)
        assert message.fields() == pairs
        assert message.encode() == b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: \xe9\r\n\r\n"
    assert WasiRequest(headers={b"Host": b"a", "X": b"1"}).fields() == [("Host", "a"), ("X", "1")]
    assert WasiResponse(trailers={b"X": b"\xff"}).trailers["x"] == "\xff"
    # What was given may change afterwards.
    given = {"Host": "a"}
    message = WasiRequest(headers=given)
    given["Host"] = "b"
    assert message.headers["Host"] == "a"


@pytest.mark.parametrize(
    "headers", [5, None, ["abc"], [("a",)], [("a", "b", "c")], "abc", [5], {5: "a"}, [(None, "a")]]
)
def test_badHeaders(headers: Any) -> None:
    assert "headers" in refusedBy(lambda: WasiRequest(headers=headers))
    assert "headers" in refusedBy(lambda: WasiResponse(200, headers))
    message = WasiResponse()
    with pytest.raises(LocalProtocolError):
        message.headers = headers
    if headers is not None:
        with pytest.raises(LocalProtocolError):
            WasiResponse(trailers=headers)


def test_headersAreAMultiMapping() -> None:
    message = get(headers=[("Host", "a"), ("Set-Cookie", "a=1"), ("set-COOKIE", "b=2")])
    assert message.headers["set-cookie"] == "a=1"
    assert message.headers.getall("SET-COOKIE") == ["a=1", "b=2"]
    assert message.getHeader("Set-cookie") == "a=1, b=2"
    assert message.getHeader("none") is None
    assert "HOST" in message.headers
    message.setHeader("set-cookie", b"c=\xe9")
    assert message.fields() == [("Host", "a"), ("set-cookie", "c=\xe9")]
    message.setHeader("X", "y")
    message.headers.add("x", "z")
    assert message.fields()[-2:] == [("X", "y"), ("x", "z")]
    del message.headers["X"]
    assert message.getHeader("x") is None
    message.headers = {"Host": b"b"}
    assert message.encode() == b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"
    copy = message.fields()
    copy.clear()
    assert message.fields() == [("Host", "b")]


def test_headersOfParsedMessages() -> None:
    buffer = Buffer()
    buffer.append(b"GET / HTTP/1.1\r\nhOST: a\r\nX: 1\r\nx:2\r\n\r\n")
    message = buffer.parseRequest()
    assert message is not None
    assert message.fields() == [("hOST", "a"), ("X", "1"), ("x", "2")]
    assert message.getHeader("x") == "1, 2"
    message.setHeader("X", "3")
    # Once somebody has asked for the mapping, it is the truth.
    assert message.fields() == [("hOST", "a"), ("X", "3")]
    assert message.encode() == b"GET / HTTP/1.1\r\nhOST: a\r\nX: 3\r\n\r\n"
    # Two messages never share it.
    buffer.append(b"GET / HTTP/1.1\r\nhOST: a\r\nX: 1\r\nx:2\r\n\r\n")
    other = buffer.parseRequest()
    assert other is not None
    assert other.getHeader("x") == "1, 2"


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        ("HTTP/1.1", None, True), ("HTTP/1.1", "close", False), ("HTTP/1.1", "Close", False),
        ("HTTP/1.1", "keep-alive", True),
        ("HTTP/1.1", "keep-alive, CLOSE", False), ("HTTP/1.1", "x,\tclose ,y", False), ("HTTP/1.1", "closed", True),
        ("HTTP/1.1", "upgrade", True), ("HTTP/1.1", "", True), ("HTTP/1.0", None, False),
        ("HTTP/1.0", "keep-alive", True),
        ("HTTP/1.0", "Keep-Alive", True), ("HTTP/1.0", "keep-alive, close", False), ("HTTP/1.0", "close", False),
        ("HTTP/1.0", "keepalive", False), ("HTTP/1.2", None, True), ("HTTP/1.1", "\xa0close", True),
    ],
)  # fmt: skip
def test_keepAlive(version: str, connection: str | None, stays: bool) -> None:
    fields = [] if connection is None else [("cONNECTION", connection)]
    assert WasiRequest(headers=fields, version=version).keepAlive is stays
    assert WasiResponse(headers=fields, version=version).keepAlive is stays
    # Over all its fields.
    assert not WasiRequest(headers=[*fields, ("X", "y"), ("Connection", "close")], version=version).keepAlive
    assert not WasiRequest(headers=[("Connection", "close"), *fields], version=version).keepAlive


@pytest.mark.parametrize(
    ("method", "uri", "fields", "host"),
    [
        ("GET", "/", {"hOST": "a:8"}, "a:8"), ("GET", "/", {"Host": ""}, ""), ("GET", "/", {}, None),
        ("GET", "http://b:8/x?y", HOST, "b:8"), ("GET", "http://b", HOST, "b"), ("GET", "http://b?x=/", HOST, "b"),
        ("GET", "HTTPS://[::1]:4/", HOST, "[::1]:4"), ("GET", "/http://b/", HOST, "a"), ("OPTIONS", "*", HOST, "a"),
        ("CONNECT", "b:443", HOST, "b:443"), ("GET", "http://b/://c", HOST, "b"),
    ],
)  # fmt: skip
def test_host(method: str, uri: str, fields: dict[str, str], host: str | None) -> None:
    assert WasiRequest(method, uri, fields).host == host


# Bodies, defaults, equality


@pytest.mark.parametrize("body", [b"\xc3\xa9", "\xe9", bytearray(b"\xc3\xa9"), memoryview(b"\xc3\xa9")])
def test_bodyForms(body: Any) -> None:
    for message in (get(body=body), WasiResponse(body=body), WasiResponse()):
        message.body = body
        assert message.body == b"\xc3\xa9"
        assert type(message.body) is bytes
        assert message.encode().endswith(b"\r\nContent-Length: 2\r\n\r\n\xc3\xa9")
    changing = bytearray(b"a")
    message = WasiResponse(body=changing)
    changing[:] = b"b"
    assert message.body == b"a"


@pytest.mark.parametrize("body", [5, None, ["a"], object(), 1.5, {"a": "b"}])
def test_badBodies(body: Any) -> None:
    assert "body" in refusedBy(lambda: WasiRequest(body=body))
    if body == ["a"]:
        # A server sends such a one piece by piece; as a message it is not there.
        message = WasiResponse(body=body)
        assert message.pieces == ["a"]
        for call in (message.encode, lambda: message.body):
            assert "pieces" in refusedBy(call)
    else:
        assert "body" in refusedBy(lambda: WasiResponse(body=body))
    message = WasiResponse()
    assert message.pieces is None
    with pytest.raises(LocalProtocolError, match="body"):
        message.body = body
    assert message.body == b""


def test_defaults() -> None:
    one = WasiRequest()
    assert (one.method, one.uri, one.version, one.fields(), one.body) == ("GET", "/", "HTTP/1.1", [], b"")
    assert list(one.trailers) == []
    other = WasiResponse()
    assert (other.status, other.reason, other.version, other.fields(), other.body) == (200, "OK", "HTTP/1.1", [], b"")
    assert list(other.trailers) == []
    assert WasiResponse(404).reason == "Not Found" == REASONS[404]
    assert WasiResponse(599).reason == ""
    assert WasiResponse(404, reason="").reason == ""
    # Nothing is shared between messages.
    one.headers["X"] = "y"
    one.trailers["X"] = "y"
    assert WasiRequest().fields() == []
    assert list(WasiRequest().trailers) == []


def test_messagesMayBeChanged() -> None:
    message = WasiRequest()
    message.method, message.uri, message.version = "PUT", "/x", "HTTP/1.0"
    message.body = "b"
    assert message.encode() == b"PUT /x HTTP/1.0\r\nContent-Length: 1\r\n\r\nb"
    other = WasiResponse()
    other.status, other.reason = 404, "x"
    other.setHeader("Transfer-Encoding", "chunked")
    other.trailers = {"X": "y"}
    assert other.encode() == b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n"
    with pytest.raises(AttributeError):
        other.statuss = 5  # type: ignore[attr-defined]


def test_equality() -> None:
    def one(**given: Any) -> WasiRequest:
        fields = {
            "method": "PUT",
            "uri": "/x",
            "headers": [("A", "1"), ("B", "2")],
            "body": b"b",
            "trailers": {"T": "t"},
        }
        return WasiRequest(**{**fields, **given})

    assert one() == one()
    assert (one() != one()) is False
    for change in (
        {"method": "put"}, {"uri": "/X"}, {"headers": [("B", "2"), ("A", "1")]}, {"headers": [("a", "1"), ("B", "2")]},
        {"headers": [("A", "1")]}, {"headers": [("A", "1"), ("B", "2"), ("B", "2")]}, {"body": b""},
        {"version": "HTTP/1.0"},
        {"trailers": {}}, {"trailers": {"t": "t"}},
    ):  # fmt: skip
        assert one() != one(**change), change
    assert WasiResponse() == WasiResponse()
    for other in (WasiResponse(201, reason="OK"), WasiResponse(200, reason=""), WasiResponse(body=b"a")):
        assert WasiResponse() != other
    assert WasiRequest() != WasiResponse()
    assert WasiRequest() != 5
    assert (WasiRequest() == "x") is False
    with pytest.raises(TypeError):
        hash(WasiRequest())
    # Whether the mapping has been asked for makes no difference.
    asked = parsed(one(headers=HOST, trailers={}))
    assert asked is not None
    assert asked.headers["Host"] == "a"
    assert asked == parsed(one(headers=HOST, trailers={}))


def test_repr() -> None:
    secret = get(headers={**HOST, "Authorization": "s3cr3t"}, uri="/x", body=b"s3cr3t")
    assert repr(secret) == "<WasiRequest GET /x HTTP/1.1>"
    assert repr(WasiResponse(404)) == "<WasiResponse 404 Not Found HTTP/1.1>"


# Chunks


def test_encodeChunk() -> None:
    assert encodeChunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert encodeChunk(bytearray(b"ab")) == encodeChunk(memoryview(b"ab")) == b"2\r\nab\r\n"
    assert encodeChunk(b"") == b""
    assert encodeChunk(b"", {"a": None}) == b""
    assert encodeChunk(b"x", {"a": "\xe9", "b": None}) == b'1;a="\xe9";b\r\nx\r\n'
    assert encodeChunk(b"x", [("a", "t"), ("a", 'q"\\')]) == b'1;a=t;a="q\\"\\\\"\r\nx\r\n'
    for bad in (
        {"": "a"},
        {"a b": "c"},
        {"a\r\n": "b"},
        {"a": "b\r\n"},
        {"a": "\0"},
        {"a": "\u20ac"},
        {"\u212a": "a"},
        {"a": 1},
    ):
        with pytest.raises(LocalProtocolError, match="chunk extension"):
            encodeChunk(b"x", bad)


def test_aChunkMustBeBytes() -> None:
    for bad in ("abc", 3, None, [1]):
        with pytest.raises(LocalProtocolError, match=f"a chunk must be bytes, not {type(bad).__name__}"):
            encodeChunk(bad)  # type: ignore[arg-type]


def test_encodeEnd() -> None:
    assert encodeEnd() == b"0\r\n\r\n"
    assert encodeEnd({"X-Sum": "1"}) == b"0\r\nX-Sum: 1\r\n\r\n"
    for bad in ({"Content-Length": "1"}, {"host": "a"}, {"If-Anything": "a"}, {"a": "b\r\nc: d"}):
        with pytest.raises(LocalProtocolError):
            encodeEnd(bad)


def test_streamedOutput() -> None:
    request = WasiRequest("POST", headers=HOST)
    wire = request.encodeHead() + encodeChunk(b"abc", {"n": "1"}) + encodeChunk(b"defg") + encodeEnd({"X-Sum": "7"})
    expected = WasiRequest(
        "POST", "/", [*HOST.items(), ("Transfer-Encoding", "chunked")], b"abcdefg", trailers={"X-Sum": "7"}
    )
    buffer = Buffer()
    buffer.append(wire)
    assert buffer.parseRequest() == expected
    assert request == WasiRequest("POST", headers=HOST)
    response = WasiResponse(headers={"Content-Length": "3"})
    assert response.encodeHead() == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    assert WasiResponse(version="HTTP/1.0").encodeHead() == b"HTTP/1.0 200 OK\r\n\r\n"
    assert WasiResponse().encodeHead() == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "message",
    [
        WasiRequest("POST", headers=HOST, body=b"x"),
        WasiRequest("POST", headers=HOST, version="HTTP/1.0"),
        WasiRequest("POST"),
        WasiRequest("CONNECT", "a:1", headers={**HOST, "Content-Length": "1"}),
        WasiResponse(body=b"x"),
        WasiResponse(trailers={"a": "b"}),
        WasiResponse(204),
        WasiResponse(100),
        WasiResponse(304),
        WasiResponse(205),
        WasiResponse(headers={"a": "b\r\nc"}),
    ],
    ids=repr,
)
def test_noStreamedOutput(message: WasiRequest | WasiResponse) -> None:
    with pytest.raises(LocalProtocolError):
        message.encodeHead()


# What the body says


def saying(contentType: str | None, body: bytes) -> WasiResponse:
    return WasiResponse(headers={} if contentType is None else {"Content-Type": contentType}, body=body)


@pytest.mark.parametrize(
    ("contentType", "body", "text"),
    [
        (None, "h\xe9".encode(), "h\xe9"),
        ("text/plain", "h\xe9".encode(), "h\xe9"),
        ("text/plain", b"\xef\xbb\xbfa", "a"),
        ("text/plain; charset=ISO-8859-1", b"h\xe9", "h\xe9"),
        ('text/plain;charset="utf-16le"', "h\xe9".encode("utf-16-le"), "h\xe9"),
        ('text/plain; x="; charset=latin-1"; CHARSET=utf-8', "h\xe9".encode(), "h\xe9"),
        ('text/plain; charset="ut\\f-8"', b"a", "a"),
        ("text/plain; ; charset=ascii", b"a", "a"),
        ("text/plain; charset=latin-1; charset=utf-8", b"h\xe9", "h\xe9"),
        ("no media type; charset=latin-1", "h\xe9".encode(), "h\xe9"),
        ("text/plain", b"", ""),
    ],
)
def test_text(contentType: str | None, body: bytes, text: str) -> None:
    assert saying(contentType, body).text() == text
    assert WasiRequest(headers=saying(contentType, body).headers, body=body).text() == text


@pytest.mark.parametrize(
    ("contentType", "body", "status"),
    [
        ("text/plain", b"\xff", 400),
        ("text/plain; charset=ascii", b"\xe9", 400),
        *(
            (f"text/plain; charset={name}", b"a", 415)
            for name in ("nonsense", "hex", "utf-7", "U7", "idna", "unicode_escape")
        ),
        ('text/plain; charset="a b"', b"a", 415),
    ],
)
def test_noText(contentType: str, body: bytes, status: int) -> None:
    with pytest.raises(ContentError) as caught:
        saying(contentType, body).text()
    assert caught.value.statusHint == status
    assert isinstance(caught.value, ValueError)


# What no peer has in mind: bytes to bytes, escapes of source code, host names, EBCDIC, systems' own, and what Apple
# had once.
NO_CHARSET = re.compile(
    "base|bz2|charmap|hex|quo|rot|uu|z|idna|punycode|raw_|undefined|unicode_escape|utf_?7|u7|unicode_1_1_utf_7|ansi$|dbcs|mbcs|oem"
    "|(cs)?(cp|ibm)?(037|039|1026|1140|1051|273|424|500|856|875|1006)$|ebcdic|cs(pc|ibm)|x_mac|mac_(arab|fars)|palmos"
    "|utf8_ucs"
)


def test_everyCharsetInUse() -> None:
    """
    What Python knows is known, and is what Python has it to be; so is what browsers know in addition.
    """
    modules = {module.name for module in pkgutil.iter_modules(encodings.__path__)} - {"aliases"}
    names = {*encodings.aliases.aliases, *encodings.aliases.aliases.values(), *modules}
    for name in sorted(names):
        if NO_CHARSET.match(name) or name != name.lower():
            continue
        for label in (name, name.upper(), name.replace("_", "-")):
            # IANA's names are such as ISO_8859-1:1987, where Python's have none but "_".
            label = re.sub("(?i)^(iso[-_](?:8859|646.irv).*)[-_]((?:19|20)[0-9]{2})$", r"\1:\2", label)
            found = codecOf(label)
            assert found is not None, label
            assert codecs.lookup(found).name == codecs.lookup(name).name.removesuffix("-sig"), label
    for label, name in (("x-cp1252", "cp1252"), ("x-sjis", "shift_jis"), ("x-gbk", "gbk"), ("dos-874", "cp874")):
        assert codecs.lookup(codecOf(label) or "").name == name


def test_charsetsThatNobodyKnowsLeaveNothing() -> None:
    """
    Python keeps each name that is looked up, for as long as the process runs.
    """
    before = set(encodings._cache)  # type: ignore[attr-defined]
    for name in ("x" * 30_000, "x" * 41, "nonsense-1", "utf-8" + "-" * 40, "utf 8", "base64", "\xfc", "cp037"):
        with pytest.raises(ContentError) as caught:
            saying(f'text/plain; charset="{name}"', b"a").text()
        assert caught.value.statusHint == 415
        assert len(str(caught.value)) < 200
    assert set(encodings._cache) == before  # type: ignore[attr-defined]
    # The bound is on what is asked for, not on what is known.
    assert codecOf("utf-8".ljust(LONGEST)) == "utf-8"
    assert codecOf("utf-8".ljust(LONGEST + 1)) is None


def test_json() -> None:
    assert saying("application/json", b'{"a": [1, 2.5, null, "h\xc3\xa9"]}').json() == {"a": [1, 2.5, None, "h\xe9"]}
    # RFC 8259 section 11: the parameter is not defined for it.
    assert saying("application/json; charset=latin-1", b'"h\xc3\xa9"').json() == "h\xe9"
    assert saying(None, b"\xef\xbb\xbf1").json() == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b"[-Infinity]", b"[" * 200_000, b"1" * 5000, b"'a'"])
def test_noJson(body: bytes) -> None:
    with pytest.raises(ContentError, match="no JSON"):
        saying("application/json", body).json()


def test_theStandardLibrarysStatus() -> None:
    assert WasiResponse(HTTPStatus.NOT_FOUND).encode() == b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    assert REASONS[413] == "Content Too Large"
