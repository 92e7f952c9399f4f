"""
What the parser accepts, refuses and bounds: row by row.

C{ROWS} names, for each rule, the tests that hold it. Each case is run all ways
(see L{support.check}).
"""

from __future__ import annotations

import sys
from dataclasses import asdict

import pytest

from wasinet_twisted.errors import IncompleteRead, InvalidArgument, MessageTooLarge
from wasinet_twisted.http import Buffer, Limits
from wasinet_twisted.http.limits import MOST

from .support import (
    accepted,
    acceptedOne,
    check,
    checkPrefixes,
    chunked,
    headOf,
    outcomes,
    refused,
    refusedAt,
    request,
    response,
)

ROLES = ("request", "response")
bothRoles = pytest.mark.parametrize("role", ROLES)

ROWS = {
    "The head": {
        "a few empty lines before the request line are skipped, and counted": (
            "test_emptyLinesBeforeARequest",
            "test_tooManyEmptyLines",
            "test_emptyLinesCountAsPartOfTheHead",
            "test_noEmptyLineBeforeAResponse",
        ),
        "white space before the first field": ("test_whiteSpaceBeforeTheFirstField",),
        "bare LF as a line end, bare CR anywhere": ("test_bareLf", "test_bareCr"),
        "request line: single SP between three parts": ("test_requestLineSpacing",),
        "method: a token, nothing folded": ("test_validMethods", "test_badMethods"),
        "target: visible ASCII without #": ("test_validTargets", "test_badTargets"),
        "target form: origin, absolute, * for OPTIONS, authority for CONNECT": (
            "test_validTargetForms",
            "test_badTargetForms",
        ),
        "version: exactly HTTP/ DIGIT . DIGIT": (
            "test_badVersions",
            "test_otherMajorVersions",
            "test_laterMinorVersions",
        ),
        "the preface of HTTP/2": ("test_http2Preface",),
        "field name: a token right before the colon": ("test_validFieldNames", "test_badFieldNames"),
        "field value: no control character, obs-text kept": ("test_controlCharactersInValues", "test_obsText"),
        "white space around a value: SP and HTAB only": ("test_whiteSpaceAroundValues",),
        "obs-fold": ("test_obsFoldInRequests", "test_obsFoldInResponses", "test_obsFoldThatFrames"),
        "Host": ("test_validHosts", "test_badHosts", "test_howManyHosts", "test_hostInResponses"),
        "an absolute target beside another Host": ("test_absoluteTargetWins",),
        "status line": ("test_validStatusLines", "test_badStatusLines"),
        "which fault decides": (
            "test_firstOffendingLineDecides",
            "test_limitBeforeGrammar",
            "test_refusedWhenTheLineIsComplete",
        ),
    },
    "How long the body is": {
        "Content-Length beside Transfer-Encoding": ("test_lengthBesideCoding",),
        "Content-Length: 1 to 19 digits": ("test_validLengths", "test_badLengths"),
        "several Content-Lengths": ("test_severalLengths",),
        "Transfer-Encoding in HTTP/1.0": ("test_codingInOldVersion",),
        "Transfer-Encoding: chunked, alone": ("test_validCodings", "test_badCodings", "test_otherCodings"),
        "no body: 1xx, 204, 304, to HEAD, 2xx to CONNECT, 101": (
            "test_bodilessStatuses",
            "test_answersToHead",
            "test_answersToConnect",
            "test_switchingProtocols",
            "test_badFramingOfBodilessResponses",
        ),
        "CONNECT requests": ("test_connectWithABody", "test_connectPauses"),
        "a response with neither ends with the stream": ("test_untilClose", "test_requestWithoutLength"),
        "the stream ends inside a body": ("test_cutBodies",),
    },
    "Chunked": {
        "size: 1 to 16 hex digits": ("test_validChunkSizes", "test_badChunkSizes"),
        "extensions": ("test_validExtensions", "test_badExtensions"),
        "chunk data is followed by CRLF": ("test_chunkEnds",),
        "trailers: kept apart, some names refused": (
            "test_trailers",
            "test_badTrailers",
            "test_namesRefusedInTrailers",
            "test_namesAllowedInTrailers",
            "test_foldedTrailers",
        ),
    },
    "Limits": {
        "the defaults": ("test_defaultLimits", "test_limitsAreWholeNumbers", "test_theLargestLimitsAreNone"),
        "request line": ("test_requestLineLimit", "test_requestLineLimitByDefault"),
        "head": ("test_headLimit", "test_headLimitOfResponses", "test_headLimitByDefault"),
        "fields": ("test_fieldsLimit", "test_fieldsLimitByDefault"),
        "request bodies": ("test_bodyLimit", "test_bodyLimitByDefault", "test_streamedBodiesHaveNoLimit"),
        "response bodies": ("test_responseBodyLimit", "test_responseBodyLimitByDefault"),
        "chunk extensions": ("test_extensionsLimit", "test_extensionsLimitByDefault"),
        "trailers": ("test_trailersLimit", "test_trailersLimitByDefault", "test_trailerFieldsLimit"),
        "leading empty lines": ("test_tooManyEmptyLines",),
        "as soon as a bound is passed": ("test_refusedAsSoonAsABoundIsPassed",),
        "never by the cuts": ("test_everyPrefix",),
    },
}


def test_everyRowHasItsTests() -> None:
    named = {name for section in ROWS.values() for names in section.values() for name in names}
    module = vars(sys.modules[__name__])
    here = {name for name, value in module.items() if name.startswith("test_") and callable(value)}
    assert named == here - {"test_everyRowHasItsTests"}


# The head


@pytest.mark.parametrize("count", range(5))
def test_emptyLinesBeforeARequest(count: int) -> None:
    one = b"\r\n" * count + request()
    assert acceptedOne(one).start == ("GET", "/", "HTTP/1.1")
    # They are counted for each message anew.
    assert len(accepted(one * 3)) == 3


@pytest.mark.parametrize("most", [0, 1, 4])
def test_tooManyEmptyLines(most: int) -> None:
    limits = Limits(emptyLines=most)
    acceptedOne(b"\r\n" * most + request(), limits=limits)
    failure = refused(b"\r\n" * (most + 1) + request(), limits=limits)
    assert failure.kind is MessageTooLarge
    assert failure.offset == 2 * most
    assert refusedAt(b"\r\n" * 10, limits=limits) == 2 * (most + 1)
    # After a message too.
    refused(request() + b"\r\n" * (most + 1), before=1, limits=limits)


def test_emptyLinesCountAsPartOfTheHead() -> None:
    one = request()
    size = len(one) - 2
    acceptedOne(b"\r\n\r\n" + one, limits=Limits(head=size + 4))
    refused(b"\r\n\r\n" + one, 431, limits=Limits(head=size + 3))


def test_noEmptyLineBeforeAResponse() -> None:
    assert refused(b"\r\n" + response(), role="response").offset == 0


@bothRoles
@pytest.mark.parametrize("space", [b" ", b"\t", b" \t"])
def test_whiteSpaceBeforeTheFirstField(role: str, space: bytes) -> None:
    if role == "request":
        refused(b"GET / HTTP/1.1\r\n" + space + b"Host: a\r\n\r\n")
        refused(b"GET / HTTP/1.1\r\n" + space + b"\r\nHost: a\r\n\r\n")
    else:
        refused(b"HTTP/1.1 200 OK\r\n" + space + b"A: a\r\n\r\n", role=role)


VALID_HEADS = {
    "request": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
    "response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: y\r\n\r\n",
}


@bothRoles
def test_bareLf(role: str) -> None:
    valid = VALID_HEADS[role]
    acceptedOne(valid, role=role)
    for line in range(valid.count(b"\r\n")):
        parts = valid.split(b"\r\n")
        damaged = b"\r\n".join(parts[: line + 1]) + b"\n" + b"\r\n".join(parts[line + 1 :])
        failure = refused(damaged, role=role)
        assert failure.offset == len(b"\r\n".join([*parts[:line], b""]))
        assert "bare LF" in failure.text
    refused(valid.replace(b"\r\n", b"\n"), role=role)
    # LF inside a line is the end of two of them.
    refused(valid.replace(b"X: y", b"X: y\nZ: z"), role=role)


@bothRoles
def test_bareCr(role: str) -> None:
    valid = VALID_HEADS[role]
    for place in range(len(valid) - 1):
        refused(valid[:place] + b"\r" + valid[place:], role=role)
    refused(valid.replace(b"\r\n", b"\r") + b"\r\n", role=role)


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET\t/ HTTP/1.1",
        b"GET /\tHTTP/1.1", b"GET / HTTP/1.1\t", b"GET /", b"GET", b"GET HTTP/1.1", b"/ HTTP/1.1", b"GET / ",
        b" / HTTP/1.1", b"GET  HTTP/1.1", b"GET / x HTTP/1.1", b"GET /\x0bHTTP/1.1", b"GET /\xa0HTTP/1.1", b" ", b"\t",
    ],
)  # fmt: skip
def test_requestLineSpacing(line: bytes) -> None:
    refused(request(line))


@pytest.mark.parametrize("method", ["GET", "get", "Get", "BREW", "M-SEARCH", "!#$%&'*+-.^_`|~09azAZ", "X" * 100])
def test_validMethods(method: str) -> None:
    assert acceptedOne(request(b"%b / HTTP/1.1" % method.encode())).start == (method, "/", "HTTP/1.1")


@pytest.mark.parametrize("byte", [bytes([byte]) for byte in b'"(),/:;<=>?@[\\]{}\x00\x01\x7f\x80\xe9\xff'])
def test_badMethods(byte: bytes) -> None:
    refused(request(b"GE" + byte + b"T / HTTP/1.1"))
    refused(request(byte + b" / HTTP/1.1"))


@pytest.mark.parametrize(
    "target",
    ["/", "/a", "/|{}?q=[]^", "//a", "/%", "/%zz", "/a?b?c", "/\\", '/"<>', "/~`", "/*", "/:80", "/!$&'()*+,;=:@"],
)
def test_validTargets(target: str) -> None:
    assert acceptedOne(request(b"GET %b HTTP/1.1" % target.encode())).start == ("GET", target, "HTTP/1.1")


@pytest.mark.parametrize("byte", [bytes([byte]) for byte in (*range(0x21), ord("#"), 0x7F, *range(0x80, 0x100, 9))])
def test_badTargets(byte: bytes) -> None:
    refused(request(b"GET /a" + byte + b" HTTP/1.1"))
    refused(request(b"GET /a" + byte + b"b HTTP/1.1"))
    refused(request(b"GET " + byte + b"/ HTTP/1.1"))


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("OPTIONS", "*"), ("OPTIONS", "/"), ("OPTIONS", "http://a"), ("GET", "http://a"), ("GET", "http://a/"),
        ("GET", "http://a:80/b?c"), ("GET", "http://a?b"), ("GET", "HTTP://A/"), ("GET", "https://[::1]:8/x"),
        ("GET", "coap+tcp.x-1://a/"), ("GET", "http://1.2.3.4"), ("POST", "http://a:/"), ("GET", "http://a_b/"),
        ("CONNECT", "a:1"), ("CONNECT", "a.example:443"), ("CONNECT", "1.2.3.4:65535"), ("CONNECT", "[::1]:80"),
        ("CONNECT", "[2001:db8::1]:80"), ("GET", "/a:1"), ("connect", "/"),
    ],
)  # fmt: skip
def test_validTargetForms(method: str, target: str) -> None:
    line = f"{method} {target} HTTP/1.1".encode()
    assert acceptedOne(request(line)).start == (method, target, "HTTP/1.1")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "*"), ("POST", "*"), ("options", "*"), ("OPTIONS", "**"), ("OPTIONS", "*/"), ("GET", "a"),
        ("GET", "a/b"), ("GET", "a:80"), ("OPTIONS", "a:80"), ("GET", "?a"), ("GET", "http:"), ("GET", "http:/a"),
        ("GET", "http://"), ("GET", "http:///a"), ("GET", "http://?a"), ("GET", "http://:80/"), ("GET", "://a/"),
        ("GET", "1http://a/"), ("GET", "http://u@a/"), ("GET", "http://u:p@a/"), ("GET", "http://a:b/"),
        ("GET", "http://[::1/"), ("GET", "http://[::g]/"), ("GET", "http://[:::]/"), ("GET", "http://a\\b/"),
        ("GET", "http://[1::2::3]/"), ("GET", "urn:a"), ("GET", "h_t://a/"), ("CONNECT", "/"), ("CONNECT", "*"),
        ("CONNECT", "a"), ("CONNECT", "a:"), ("CONNECT", ":80"), ("CONNECT", "a:0"), ("CONNECT", "a:65536"),
        ("CONNECT", "a:x"), ("CONNECT", "a:1/"), ("CONNECT", "http://a:80/"), ("CONNECT", "u@a:80"),
        ("CONNECT", "::1:80"), ("CONNECT", "[::1]"), ("CONNECT", "[1::2::3]:80"), ("CONNECT", "a:+80"),
        ("CONNECT", "a:000080"),
    ],
)  # fmt: skip
def test_badTargetForms(method: str, target: str) -> None:
    refused(request(f"{method} {target} HTTP/1.1".encode()))


@bothRoles
@pytest.mark.parametrize(
    "version",
    [
        b"http/1.1", b"Http/1.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1.01", b"HTTP/11.1", b"HTTP/1", b"HTTP/1.",
        b"HTTP/.1", b"HTTP/", b"HTTP", b"HTTP1.1", b"HTTP/1,1", b"HTTP/1 1", b"HTTP/1.1.1", b"HTTP/-1.1", b"HTTP/+1.1",
        b"HTTP/1.x", b"HTTP/1.1x", b"xHTTP/1.1", b"HTTPS/1.1", b"ICY", b"HTTP\\1.1", b"HTTP/1.\xb2",
        b"\xef\xbc\xb1/1.1",
    ],
)  # fmt: skip
def test_badVersions(role: str, version: bytes) -> None:
    if role == "request":
        refused(request(b"GET / " + version))
    else:
        refused(response(version + b" 200 OK"), role=role)


@bothRoles
@pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/0.0", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/2.1", b"HTTP/9.9"])
def test_otherMajorVersions(role: str, version: bytes) -> None:
    if role == "request":
        refused(request(b"GET / " + version), 505)
    else:
        refused(response(version + b" 200 OK"), 505, role=role)


@pytest.mark.parametrize("minor", range(2, 10))
def test_laterMinorVersions(minor: int) -> None:
    version = f"HTTP/1.{minor}"
    line = f"POST / {version}".encode()
    data = request(line, b"Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\n\r\n")
    message = acceptedOne(data)
    assert (message.start, message.body) == (("POST", "/", version), b"a")
    refused(request(line, host=None))
    status = f"{version} 200 OK".encode()
    message = acceptedOne(response(status, b"Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\n\r\n"), role="response")
    assert (message.start, message.body) == ((200, "OK", version), b"a")


def test_http2Preface() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    refused(preface, 505)
    assert refusedAt(preface) == len(b"PRI * HTTP/2.0\r\n")
    # Nor with another version.
    refused(preface.replace(b"2.0", b"1.1"))


@bothRoles
@pytest.mark.parametrize("name", ["a", "A-b", "!#$%&'*+-.^_`|~09azAZ", "0", "x" * 200])
def test_validFieldNames(role: str, name: str) -> None:
    message = acceptedOne(headOf(role, name.encode() + b": v"), role=role, eof=True)
    assert message.fields[-1] == (name, "v")


@bothRoles
@pytest.mark.parametrize(
    "line",
    [
        b": v", b":", b"a", b"a b: v", b"a : v", b"a\t: v", b"a \t: v", b"a\x00: v", b"a\x0b: v", b"\xe9: v",
        b"a\xa0: v", b"a(b): v", b'"a": v', b"a,b: v", b"a/b: v", b"a;b: v", b"a=b: v", b"a@b: v", b"a[b]: v",
        b"a\\b: v", b"a{b}: v", b"a?b: v", b"a<b>: v", b"a\x7f: v", b"HTTP/1.1 200 OK", b"GET / HTTP/1.1", b"\x00",
        b"Host : a", b"Content-Length : 0", b"Transfer-Encoding : chunked", b"Transfer-Encoding\x0b: chunked",
    ],
)  # fmt: skip
def test_badFieldNames(role: str, line: bytes) -> None:
    refused(headOf(role, line), role=role)
    refused(headOf(role, b"X: y", line, b"Z: z"), role=role)


@bothRoles
@pytest.mark.parametrize("byte", [bytes([byte]) for byte in (*range(0x20), 0x7F) if byte != 0x09])
def test_controlCharactersInValues(role: str, byte: bytes) -> None:
    for value in (byte, b"a" + byte + b"b", byte + b"b", b"a" + byte):
        refused(headOf(role, b"X: " + value), role=role)


@bothRoles
def test_obsText(role: str) -> None:
    every = bytes([0x09, *range(0x21, 0x7F), *range(0x80, 0x100)])
    message = acceptedOne(headOf(role, b"X: a" + every), role=role, eof=True)
    assert message.values("X") == ["a" + every.decode("latin-1")]


@bothRoles
@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"X:v", "v"), (b"X: v", "v"), (b"X:\tv", "v"), (b"X: \t v \t ", "v"), (b"X:", ""), (b"X: ", ""),
        (b"X: \t ", ""), (b"X: a b", "a b"), (b"X: a \t b", "a \t b"), (b"X:\xa0v\xa0", "\xa0v\xa0"),
        (b"X: \x85v\x85 ", "\x85v\x85"), (b"X: :v:", ":v:"), (b"X:: v", ": v"), (b"X: \xa0 ", "\xa0"),
    ],
)  # fmt: skip
def test_whiteSpaceAroundValues(role: str, line: bytes, value: str) -> None:
    assert acceptedOne(headOf(role, line), role=role, eof=True).values("X") == [value]


@pytest.mark.parametrize("space", [b" ", b"\t", b"  \t"])
def test_obsFoldInRequests(space: bytes) -> None:
    refused(request(b"GET / HTTP/1.1", b"X: a", space + b"b"))
    refused(request(b"GET / HTTP/1.1", b"X: a", space))
    refused(request(b"GET / HTTP/1.1", b"X: a", space + b"Y: z"))


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ((b"X: a", b" b"), "a b"), ((b"X: a", b"\tb"), "a b"), ((b"X: a  ", b" \t b  "), "a b"),
        ((b"X: a", b" b", b"\tc"), "a b c"), ((b"X:", b" b"), "b"), ((b"X: a", b" "), "a"), ((b"X:", b" ", b" "), ""),
        ((b"X: a", b" Y: b"), "a Y: b"), ((b"X: a", b" \xe9"), "a \xe9"), ((b"Host: a", b" b"), None),
    ],
)  # fmt: skip
def test_obsFoldInResponses(lines: tuple[bytes, ...], value: str | None) -> None:
    message = acceptedOne(response(b"HTTP/1.1 200 OK", *lines, b"Z: z"), role="response", eof=True)
    assert message.values("Z") == ["z"]
    assert len(message.fields) == 2
    assert message.fields[0][1] == ("a b" if value is None else value)
    refused(response(b"HTTP/1.1 200 OK", *lines, b" \x00"), role="response")


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 1", b" 2"), (b"Content-Length:", b" 2"), (b"Content-Length: 1", b" "),
        (b"Transfer-Encoding: chunked", b" , gzip"), (b"Transfer-Encoding:", b" chunked"),
        (b"Transfer-Encoding: gzip,", b" chunked"), (b"Transfer-Encoding: chunked", b" "),
    ],
)  # fmt: skip
def test_obsFoldThatFrames(lines: tuple[bytes, ...]) -> None:
    refused(response(b"HTTP/1.1 200 OK", *lines), role="response")


@pytest.mark.parametrize(
    "host",
    [
        "", "a", "A.example", "a:80", "a:", "a:0", ":80", ":", "1.2.3.4", "1.2.3.4:80", "[::1]", "[::1]:80", "[::1]:",
        "[2001:db8::ffff:1.2.3.4]", "[v1.a:b]", "a_b", "_", "a-b.c~d!$&'()*+,;=", "%41%7e", "999.999.999.999",
    ],
)  # fmt: skip
def test_validHosts(host: str) -> None:
    assert acceptedOne(request(host=host.encode())).values("host") == [host]


@pytest.mark.parametrize(
    "host",
    [
        b"a b", b"a, b", b"a:b", b"a:80:80", b"a:-1", b"a:+1", b"a:8 0", b"a/", b"/", b"a?b", b"a#b", b"u@a",
        b"http://a", b"[::1", b"::1", b"[::g]", b"[:::]", b"[1::2::3]", b"[1:2:3:4:5:6:7:8:9]", b"[]", b"[::1]a",
        b"[::1%25en0]", b"[v.a]", b"[v1]", b"%4", b"%zz", b"%", b"\xe9", b"a\\b", b'"a"', b"a|b", b"a<b", b"a^b",
        b"a`b", b"{a}", b"[1.2.3.4]", b"a:\xb2", b"[[::1]]", b"a[::1]",
    ],
)  # fmt: skip
def test_badHosts(host: bytes) -> None:
    refused(request(host=host))
    # In HTTP/1.0 it may be missing, not be wrong.
    refused(request(b"GET / HTTP/1.0", host=host))


def test_howManyHosts() -> None:
    refused(request(host=None))
    refused(request(b"GET / HTTP/1.1", b"host: a"))
    refused(request(b"GET / HTTP/1.1", b"HOST: b"))
    refused(request(b"GET / HTTP/1.1", b"X: y", b"Host:", host=b""))
    refused(request(b"GET / HTTP/1.1", b"Host2: a", host=None))
    acceptedOne(request(b"GET / HTTP/1.0", host=None))
    acceptedOne(request(b"GET / HTTP/1.0"))
    refused(request(b"GET / HTTP/1.0", b"Host: a"))
    refused(request(b"GET http://a/ HTTP/1.1", host=None))
    refused(request(b"CONNECT a:1 HTTP/1.1", host=None))


def test_hostInResponses() -> None:
    lines = (b"Host: a b", b"Host: a", b"Host: [::g]")
    message = acceptedOne(response(b"HTTP/1.1 200 OK", *lines), role="response", eof=True)
    assert message.values("Host") == ["a b", "a", "[::g]"]
    # What a response has taught the cache doesn't help a request.
    refused(request(host=b"a b"))


def test_absoluteTargetWins() -> None:
    buffer = Buffer()
    buffer.append(request(b"GET http://b.example:8080/x?y HTTP/1.1", host=b"a"))
    message = buffer.parseRequest()
    assert message is not None
    assert message.host == "b.example:8080"
    assert message.headers["Host"] == "a"
    assert acceptedOne(request(b"GET http://b/ HTTP/1.1")).values("Host") == ["a"]


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, "OK"), (b"HTTP/1.1 200 ", 200, ""), (b"HTTP/1.1 200", 200, ""),
        (b"HTTP/1.0 200 OK", 200, "OK"), (b"HTTP/1.1 299 x y  z", 299, "x y  z"), (b"HTTP/1.1 404 \xe9", 404, "\xe9"),
        (b"HTTP/1.1 200  OK", 200, " OK"), (b"HTTP/1.1 200 OK ", 200, "OK "), (b"HTTP/1.1 599 \t", 599, "\t"),
        (b"HTTP/1.1 200 201 202", 200, "201 202"), (b"HTTP/1.1 500 :", 500, ":"),
    ],
)  # fmt: skip
def test_validStatusLines(line: bytes, status: int, reason: str) -> None:
    message = acceptedOne(response(line), role="response", eof=True)
    assert message.start == (status, reason, line[:8].decode())
    # The first and the last there are; 100 is an interim one.
    acceptedOne(response(b"HTTP/1.1 100"), role="response")
    acceptedOne(response(b"HTTP/1.1 599"), role="response", eof=True)


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1  200 OK", b"HTTP/1.1 20", b"HTTP/1.1 2000", b"HTTP/1.1 20x",
        b"HTTP/1.1 099 x", b"HTTP/1.1 000", b"HTTP/1.1 600 x", b"HTTP/1.1 999", b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 +20 x", b"HTTP/1.1 -20 x", b"HTTP/1.1 2 0", b"HTTP/1.1 200 a\x00", b"HTTP/1.1 200 \x7f",
        b"HTTP/1.1 200 a\x1bb", b" HTTP/1.1 200 OK", b"200 OK", b"HTTP/1.1 OK", b"HTTP/1.1 \xb2\xb2\xb2 x",
        b"GET / HTTP/1.1", b"HTTP/1.1 0x1 x", b"HTTP/1.1 200OK",
    ],
)  # fmt: skip
def test_badStatusLines(line: bytes) -> None:
    refused(response(line), role="response")


@pytest.mark.parametrize(
    ("lines", "number", "status"),
    [
        # A second fault after the first changes nothing.
        ((b"GET / HTTP/2.0", b"bad", b"Content-Length: x"), 0, 505),
        ((b"GET / HTTP/1.1", b"Transfer-Encoding: gzip, chunked", b"bad"), 1, 501),
        ((b"GET / HTTP/1.1", b"bad", b"Transfer-Encoding: gzip, chunked"), 1, 400),
        ((b"GET / HTTP/1.1", b"Content-Length: x", b"Transfer-Encoding: gzip, chunked"), 1, 400),
        ((b"GET / HTTP/1.1", b"Content-Length: 1", b"Transfer-Encoding: chunked", b"bad"), 2, 400),
        ((b"GET / HTTP/1.1", b"Host: a", b"Host: a", b"Transfer-Encoding: gzip, chunked"), 2, 400),
        ((b"GET / HTTP/1.1", b"Host: a b", b"Transfer-Encoding: gzip, chunked"), 1, 400),
        ((b"CONNECT a:1 HTTP/1.1", b"Content-Length: 0", b"Transfer-Encoding: gzip, chunked"), 1, 400),
        ((b"CONNECT a:1 HTTP/1.1", b"Transfer-Encoding: chunked", b"bad"), 1, 400),
        ((b"GET / HTTP/1.0", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked"), 1, 400),
        # That there is no Host shows at the end only.
        ((b"GET / HTTP/1.1", b"Transfer-Encoding: gzip, chunked"), 1, 501),
        ((b"GET / HTTP/1.1", b"X: y"), 2, 400),
        # The head's faults before the body's size.
        ((b"GET / HTTP/1.1", b"Content-Length: 9999999", b"bad"), 2, 400),
    ],
)
def test_firstOffendingLineDecides(lines: tuple[bytes, ...], number: int, status: int) -> None:
    data = request(lines[0], *lines[1:], host=None, body=b"\x00\x00")
    assert refused(data, status).offset == sum(len(line) + 2 for line in lines[:number])
    checkPrefixes(data)


def test_limitBeforeGrammar() -> None:
    # A line that is both too long and malformed.
    refused(b"\x00" * 9 + b"\r\n\r\n", 414, limits=Limits(requestLine=8))
    refused(b"\x00" * 8 + b"\r\n\r\n", limits=Limits(requestLine=8))
    refused(b"\x00" * 8 + b"\n\n", limits=Limits(requestLine=8))
    refused(b"\x00" * 9 + b"\n\n", 414, limits=Limits(requestLine=8))
    start = b"GET / HTTP/1.1\r\n"
    refused(start + b"bad\r\n\r\n", 431, limits=Limits(head=len(start) + 2))
    refused(start + b"bad\r\n\r\n", limits=Limits(head=len(start) + 3))
    refused(request(b"GET / HTTP/1.1", b"bad"), 431, limits=Limits(fields=1))
    refused(request(b"GET / HTTP/1.1", b"bad"), limits=Limits(fields=2))
    refused(request()[:-2] + b"\n", 431, limits=Limits(head=len(request()) - 3))
    refused(request()[:-2] + b"\n", limits=Limits(head=len(request()) - 2))
    # Of a request line and a head, what is passed first.
    refused(b"G" * 20, 431, limits=Limits(requestLine=8, head=7))
    refused(b"G" * 20, 414, limits=Limits(requestLine=8, head=8))
    refused(chunked(b"x;aaaa\r\n"), limits=Limits(chunkExtensions=2))
    refused(chunked(b"1;,,,,\r\n"), limits=Limits(chunkExtensions=5))


@pytest.mark.parametrize(
    ("lines", "bad"),
    [
        ((b"GET /", b"Host: a"), 1), ((b"GET / HTTP/2.0", b"Host: a"), 1), ((b"GET / HTTP/1.1", b"a", b"b: c"), 2),
        ((b"GET / HTTP/1.1", b"Host: a", b"Host: a", b"X: y"), 3),
        ((b"GET / HTTP/1.1", b"Content-Length: x", b"X: y"), 2),
        ((b"GET / HTTP/1.1", b"Content-Length: 1", b"Content-Length: 1", b"X: y"), 3),
        ((b"GET / HTTP/1.1", b"Host: a", b" folded", b"X: y"), 3), ((b"GET / HTTP/1.1", b"Host: a b", b"X: y"), 2),
        ((b"GET / HTTP/1.0", b"Transfer-Encoding: chunked", b"X: y"), 2),
        ((b"CONNECT a:1 HTTP/1.1", b"Content-Length: 1", b"X: y"), 2),
    ],
)  # fmt: skip
def test_refusedWhenTheLineIsComplete(lines: tuple[bytes, ...], bad: int) -> None:
    data = b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    assert refusedAt(data) == sum(len(line) + 2 for line in lines[:bad])


# How long the body is


@bothRoles
@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 1", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: chunked", b"Content-Length: 1"),
        (b"content-length: 0", b"X: y", b"transfer-encoding: CHUNKED"),
        (b"TRANSFER-ENCODING:chunked", b"CONTENT-LENGTH:5"),
    ],
)  # fmt: skip
def test_lengthBesideCoding(role: str, lines: tuple[bytes, ...]) -> None:
    refused(headOf(role, *lines, body=b"0\r\n\r\n"), role=role)


@bothRoles
@pytest.mark.parametrize("length", [b"0", b"1", b"5", b"05", b"0" * 18 + b"5", b" \t5\t "])
def test_validLengths(role: str, length: bytes) -> None:
    size = int(length)
    data = headOf(role, b"Content-Length: " + length, body=b"hello"[:size])
    message = acceptedOne(data, role=role)
    assert message.body == b"hello"[:size]
    assert len(accepted(data * 3, role=role)) == 3


@bothRoles
@pytest.mark.parametrize(
    "length",
    [
        b"", b"+5", b"-0", b"-5", b"0x5", b"1_0", b"5 5", b"\xef\xbc\x95", b"\xb2", b"5.0", b"5e0", b"five", b"5;",
        b"5a",
        b"a5", b"5\x0b", b"\x0c5", b"\xa05", b"5, 5", b"5,5", b"5,", b",5", b"5, 6", b'"5"', b"0" * 20,
        b"1" + b"0" * 19,
        b"9" * 5000, b"\xd9\xa5",
    ],
)  # fmt: skip
def test_badLengths(role: str, length: bytes) -> None:
    refused(headOf(role, b"Content-Length: " + length, body=b"hello"), role=role)


@bothRoles
@pytest.mark.parametrize("second", [b"5", b"6", b"05", b"0"])
def test_severalLengths(role: str, second: bytes) -> None:
    refused(headOf(role, b"Content-Length: 5", b"Content-Length: " + second, body=b"hello"), role=role)
    refused(headOf(role, b"Content-Length: 5", b"X: y", b"content-length: " + second, body=b"hello"), role=role)


@bothRoles
def test_codingInOldVersion(role: str) -> None:
    field = b"Transfer-Encoding: chunked"
    body = b"0\r\n\r\n"
    if role == "request":
        refused(request(b"POST / HTTP/1.0", field, body=body))
        acceptedOne(request(b"POST / HTTP/1.1", field, body=body))
    else:
        refused(response(b"HTTP/1.0 200 OK", field, body=body), role=role)
        acceptedOne(response(b"HTTP/1.1 200 OK", field, body=body), role=role)


@bothRoles
@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED", b"cHuNkEd", b" \tchunked \t"])
def test_validCodings(role: str, coding: bytes) -> None:
    data = headOf(role, b"Transfer-Encoding:" + coding, body=b"5\r\nhello\r\n0\r\n\r\n")
    assert acceptedOne(data, role=role).body == b"hello"


@bothRoles
@pytest.mark.parametrize(
    "coding",
    [
        b"", b"identity", b"gzip", b"chunked, gzip", b"chunked, chunked", b"chunked,", b",chunked", b", chunked", b",",
        b"chunked, identity", b"identity, chunked", b"chunked;a=b", b"chunked ;a", b"gzip;q=1, chunked", b"x chunked",
        b"chunked x", b"xchunked", b"chunkedx", b'"chunked"', b"chun\xe2\x84\xaaed", b"chun\xc4\xb1ked", b"chunked\xa0",
        b"\x0bchunked", b"chunked\x00", b"trailers", b"chunked, chunked, chunked", b"foo, chunked", b"gzip, , chunked",
        b"gzip chunked", b"c\xc8\x87unked", b"\xef\xbd\x83hunked", b"gzip, chunked, chunked",
    ],
)  # fmt: skip
def test_badCodings(role: str, coding: bytes) -> None:
    refused(headOf(role, b"Transfer-Encoding: " + coding, body=b"0\r\n\r\n"), role=role)
    # Two fields, whatever the second holds.
    refused(headOf(role, b"Transfer-Encoding: chunked", b"Transfer-Encoding: " + coding, body=b"0\r\n\r\n"), role=role)
    refused(headOf(role, b"Transfer-Encoding: chunked", b"transfer-encoding: chunked", body=b"0\r\n\r\n"), role=role)


@bothRoles
@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"deflate,chunked", b"x-gzip , CHUNKED", b"compress, gzip, chunked", b"GZip, chunked"]
)
def test_otherCodings(role: str, coding: bytes) -> None:
    refused(headOf(role, b"Transfer-Encoding: " + coding, body=b"0\r\n\r\n"), 501, role=role)


FRAMINGS = (
    (), (b"Content-Length: 5",), (b"Transfer-Encoding: chunked",), (b"Content-Length: 99999999999",),
    (b"Content-Length: 0",),
)  # fmt: skip
NEXT = response(b"HTTP/1.1 200 Next", b"Content-Length: 1", body=b"n")


@pytest.mark.parametrize("status", [100, 102, 103, 199, 204, 304])
@pytest.mark.parametrize("fields", FRAMINGS)
def test_bodilessStatuses(status: int, fields: tuple[bytes, ...]) -> None:
    data = response(b"HTTP/1.1 %d x" % status, *fields)
    messages = accepted(data + NEXT, role="response")
    assert [(message.start[0], message.body) for message in messages] == [(status, b""), (200, b"n")]
    # So it is to HEAD and to CONNECT.
    assert len(accepted(data + response(b"HTTP/1.1 404 x", *fields), role="response", method="HEAD")) == 2
    if status != 204:
        assert len(accepted(data, role="response", method="CONNECT")) == 1


@pytest.mark.parametrize("fields", FRAMINGS)
def test_answersToHead(fields: tuple[bytes, ...]) -> None:
    for status in (200, 206, 404, 500):
        data = response(b"HTTP/1.1 %d x" % status, *fields)
        messages = accepted(data + NEXT, role="response", method=("HEAD", "GET"))
        assert [message.body for message in messages] == [b"", b"n"]
        # A 1xx before it isn't the answer.
        messages = accepted(response(b"HTTP/1.1 103") + data + NEXT, role="response", method=("HEAD", "GET"))
        assert [message.start[0] for message in messages] == [103, status, 200]


@pytest.mark.parametrize("fields", FRAMINGS)
def test_answersToConnect(fields: tuple[bytes, ...]) -> None:
    for status in (200, 201, 204, 299):
        data = response(b"HTTP/1.1 %d x" % status, *fields, body=b"raw\r\n\x00")
        outcome = check(data, role="response", method="CONNECT")
        assert ([message.body for message in outcome.messages], outcome.rest) == ([b""], b"raw\r\n\x00")
    for status in (300, 407, 500):
        data = response(b"HTTP/1.1 %d x" % status, b"Content-Length: 1", body=b"a")
        messages = accepted(data + NEXT, role="response", method=("CONNECT", "GET"))
        assert [message.body for message in messages] == [b"a", b"n"]


@pytest.mark.parametrize("method", [None, "GET", "HEAD", "CONNECT"])
@pytest.mark.parametrize("fields", FRAMINGS)
def test_switchingProtocols(method: str | None, fields: tuple[bytes, ...]) -> None:
    data = response(b"HTTP/1.1 101 x", b"Upgrade: y", *fields, body=b"\x00\r\nHTTP/1.1 200 OK\r\n\r\n")
    outcome = check(data, role="response", method=method)
    assert [message.start[0] for message in outcome.messages] == [101]
    assert outcome.rest == b"\x00\r\nHTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("status", [100, 101, 204, 304])
@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: x",), (b"Content-Length: 1", b"Content-Length: 1"), (b"Transfer-Encoding: gzip",),
        (b"Content-Length: 1", b"Transfer-Encoding: chunked"),
    ],
)  # fmt: skip
def test_badFramingOfBodilessResponses(status: int, lines: tuple[bytes, ...]) -> None:
    # No body whatever the fields say; but a response that contradicts itself is malformed.
    refused(response(b"HTTP/1.1 %d x" % status, *lines), role="response")


@pytest.mark.parametrize("field", [b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_connectWithABody(field: bytes) -> None:
    refused(request(b"CONNECT a:1 HTTP/1.1", field))
    acceptedOne(request(b"connect / HTTP/1.1", b"Content-Length: 0"))


def test_connectPauses() -> None:
    # What follows may be anything: it isn't looked at.
    for rest in (b"", b"\x16\x03\x01", request(), b"\n"):
        messages = accepted(request() + request(b"CONNECT a:1 HTTP/1.1") + rest)
        assert [message.start[0] for message in messages] == ["GET", "CONNECT"]


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize("body", [b"", b"a", b"a" * 100 + b"\r\n\r\n", NEXT])
def test_untilClose(version: bytes, body: bytes) -> None:
    data = response(version + b" 200 OK", b"X: y", body=body)
    assert accepted(data, role="response") == ()
    assert acceptedOne(data, role="response", eof=True).body == body


def test_requestWithoutLength() -> None:
    messages = accepted(request(b"POST / HTTP/1.1") + request(b"GET /b HTTP/1.1"))
    assert [(message.start[1], message.body) for message in messages] == [("/", b""), ("/b", b"")]
    assert acceptedOne(request(b"POST / HTTP/1.0"), eof=True).body == b""


@bothRoles
@pytest.mark.parametrize(
    ("field", "whole", "body", "expected"),
    [
        (b"Content-Length: 5", b"hello", b"hello", 5),
        (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0;a=b\r\nX: y\r\n\r\n", b"hello", None),
    ],
)
def test_cutBodies(role: str, field: bytes, whole: bytes, body: bytes, expected: int | None) -> None:
    assert acceptedOne(headOf(role, field, body=whole), role=role, eof=True).body == body
    for end in range(len(whole)):
        data = headOf(role, field, body=whole[:end])
        assert accepted(data, role=role) == ()
        failure = check(data, role=role, eof=True).failure
        assert failure is not None
        came = whole[:end] if expected else whole[3:8][: max(end - 3, 0)]
        assert (failure.kind, failure.partial, failure.expected) == (IncompleteRead, came, expected)


# Chunked


@bothRoles
@pytest.mark.parametrize("size", [b"5", b"05", b"0" * 15 + b"5"])
def test_validChunkSizes(role: str, size: bytes) -> None:
    assert acceptedOne(chunked(size + b"\r\nhello\r\n0\r\n\r\n", role), role=role).body == b"hello"
    body = b"a" * 0xABC
    for digits in (b"abc", b"ABC", b"aBc"):
        assert acceptedOne(chunked(digits + b"\r\n" + body + b"\r\n0\r\n\r\n", role), role=role).body == body
    assert acceptedOne(chunked(b"0" * 16 + b"\r\n\r\n", role), role=role).body == b""
    # The largest there is can be waited for, streaming; nobody collects so much.
    huge = chunked(b"f" * 16 + b"\r\nhello", role)
    assert outcomes(huge, (), role=role, events=True).failure is None
    refused(huge, 413, role=role)
    several = chunked(b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n", role)
    assert [message.body for message in accepted(several * 2, role=role)] == [b"abcdef"] * 2


@bothRoles
@pytest.mark.parametrize(
    "size",
    [
        b"0x5", b"0X5", b"1_0", b"+5", b"-5", b" 5", b"\t5", b"", b"5 ", b"5\t", b"5 5", b"5h", b"g", b"\xef\xbc\x95",
        b"5\x0b",
        b"0" * 17, b"0" * 16 + b"5", b"1" + b"0" * 16, b"f" * 17, b"0" * 100, b"5,", b"5.0", b"\x00", b"5\x00", b"five",
        b"\xb2",
        b";a", b" ;a", b"5\r", b"5_", b"_5",
    ],
)  # fmt: skip
def test_badChunkSizes(role: str, size: bytes) -> None:
    start = chunked(b"", role)
    failure = refused(start + size + b"\r\nhello\r\n0\r\n\r\n", role=role)
    assert failure.offset == len(start)
    # As a later one, and as what ought to be the last.
    refused(start + b"1\r\na\r\n" + size + b"\r\n\r\n", role=role)


@bothRoles
@pytest.mark.parametrize(
    "extension",
    [
        b";a", b";a=b", b";a=b;c=d", b'; a = "b"', b" ;a", b"\t;\ta\t=\tb", b';a=""', b';a="\\"\\\\"', b';a="b;c\t d"',
        b';a="\xe9"', b';a="\\\xe9"', b";a;b;c", b"  ;a  ;b", b";!#$%&'*+-.^_`|~=0", b';a="b" ;c',
    ],
)  # fmt: skip
def test_validExtensions(role: str, extension: bytes) -> None:
    data = chunked(b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n", role)
    assert acceptedOne(data, role=role).body == b"hello"


@bothRoles
@pytest.mark.parametrize(
    "extension",
    [
        b";", b"; ", b";;", b";;a", b";a;", b";=", b";=b", b";a=", b";a= ", b";a=b=c", b";a b", b";a=b c", b";a ",
        b";a=b ",
        b';a="', b';a="b', b';a="b"c', b';a="\\"', b';a="\x00"', b';a="\x7f"', b';a="\\\x00"', b";a\x00", b";\x01",
        b";a\rb",
        b";a\r", b'"a"', b"g", b"=a", b",a", b":a", b";a=[b]", b";a@", b";\xe9", b";a=\xe9", b"\x0b;a", b";a='b c'",
        b';a=b"c"',
        b';"a"=b', b";a\xa0=b",
    ],
)  # fmt: skip
def test_badExtensions(role: str, extension: bytes) -> None:
    refused(chunked(b"5" + extension + b"\r\nhello\r\n0\r\n\r\n", role), role=role)
    refused(chunked(b"5\r\nhello\r\n0" + extension + b"\r\n\r\n", role), role=role)
    # A bare LF ends a line no more than it stands in one.
    refused(chunked(b"5;a\n\r\nhello\r\n0\r\n\r\n", role), role=role)
    refused(chunked(b'5;a="\n"\r\nhello\r\n0\r\n\r\n', role), role=role)
    refused(chunked(b"5\nhello\r\n0\r\n\r\n", role), role=role)


@bothRoles
@pytest.mark.parametrize(
    ("end", "offset"),
    [(b"\n", 0), (b"\n\n", 0), (b"\r\r\n", 1), (b"", 0), (b"!\r\n", 0), (b"\r0", 1), (b"  \r\n", 0), (b"\x00\n", 0)],
)
def test_chunkEnds(role: str, end: bytes, offset: int) -> None:
    start = chunked(b"5\r\nhello", role)
    failure = refused(start + end + b"0\r\n\r\n", role=role)
    assert failure.offset == len(start) + offset
    refused(start + b"\r\n1\r\na" + end + b"0\r\n\r\n", role=role)
    refused(chunked(b"0\r\n\n", role), role=role)
    refused(chunked(b"0\r\n\r\r\n", role), role=role)


@bothRoles
def test_trailers(role: str) -> None:
    data = chunked(b"1\r\na\r\n0\r\nX: y\r\nx:\t\xe9 \r\nEmpty:\r\n\r\n", role)
    one, two = accepted(data + chunked(b"0\r\n\r\n", role), role=role)
    assert one.trailers == (("X", "y"), ("x", "\xe9"), ("Empty", ""))
    assert one.values("X") == []
    assert (two.trailers, two.values("X"), two.body) == ((), [], b"")


@bothRoles
@pytest.mark.parametrize(
    "line",
    [
        b": v", b"a", b"a : v", b"a b: v", b"a: \x00", b"a: \r", b"a: b\rc", b"\xe9: v", b"a: \x7f", b" a: b",
        b"\ta: b",
        b" ", b"a: b\n", b"\n",
    ],
)  # fmt: skip
def test_badTrailers(role: str, line: bytes) -> None:
    start = chunked(b"1\r\na\r\n0\r\n", role)
    assert refused(start + line + b"\r\n\r\n", role=role).offset == len(start)
    if line[:1] not in b" \t":
        refused(start + b"X: y\r\n" + line + b"\r\n\r\n", role=role)


FORBIDDEN_IN_TRAILERS = (
    "Transfer-Encoding", "Content-Length", "Host", "Connection", "Trailer", "TE", "Upgrade", "Expect", "Max-Forwards",
    "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "If-Anything",
    "Cache-Control", "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "Content-Type", "Content-Encoding",
    "Content-Range",
)  # fmt: skip


@bothRoles
@pytest.mark.parametrize("name", FORBIDDEN_IN_TRAILERS)
def test_namesRefusedInTrailers(role: str, name: str) -> None:
    for given in (name, name.lower(), name.upper()):
        # A value that would be valid, and one that wouldn't.
        for value in ("0", "chunked", "a b"):
            line = f"{given}: {value}\r\n".encode()
            refused(chunked(b"0\r\n" + line + b"\r\n", role), role=role)
            refused(chunked(b"0\r\nX: y\r\n" + line + b"\r\n", role), role=role)


@bothRoles
@pytest.mark.parametrize(
    "name", ["Digest", "ETag", "Server-Timing", "Content-MD5", "If", "Iff-Match", "Hosts", "X-If-A"]
)
def test_namesAllowedInTrailers(role: str, name: str) -> None:
    assert acceptedOne(chunked(f"0\r\n{name}: v\r\n\r\n".encode(), role), role=role).trailers == ((name, "v"),)


def test_foldedTrailers() -> None:
    body = b"0\r\nX: a\r\n b\r\nY: z\r\n\r\n"
    assert acceptedOne(chunked(body, "response"), role="response").trailers == (("X", "a b"), ("Y", "z"))
    refused(chunked(body))


# Limits


def test_defaultLimits() -> None:
    assert asdict(Limits()) == {
        "requestLine": 8192,
        "head": 32768,
        "fields": 100,
        "body": 1048576,
        "responseBody": 67108864,
        "chunkExtensions": 4096,
        "trailers": 8192,
        "emptyLines": 4,
    }


def test_limitsAreWholeNumbers() -> None:
    for name in asdict(Limits()):
        assert asdict(Limits(**{name: 0}))[name] == 0
        for value in (-1, 1.5, "1", None, True):
            with pytest.raises(InvalidArgument, match=name):
                Limits(**{name: value})  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match=rf"^Limits.{name} must be at most {MOST}, not {MOST + 1}$"):
            Limits(**{name: MOST + 1})


def test_theLargestLimitsAreNone() -> None:
    limits = Limits(**dict.fromkeys(asdict(Limits()), MOST))
    assert len(accepted(request(b"GET / HTTP/1.1", *[b"A: b"] * 300, body=b"\r\n" * 50), limits=limits)) == 1


def lineOf(size: int) -> bytes:
    """
    A request line of a size.
    """
    return b"GET /" + b"a" * (size - 14) + b" HTTP/1.1"


@pytest.mark.parametrize("size", [14, 15, 40])
def test_requestLineLimit(size: int) -> None:
    for limits in (Limits(requestLine=size), Limits(requestLine=size, head=100)):
        acceptedOne(request(lineOf(size)), limits=limits)
        failure = refused(request(lineOf(size + 1)), 414, limits=limits)
        assert (failure.kind, failure.offset) == (MessageTooLarge, 0)
        assert refused(request() + request(lineOf(size + 1)), 414, 1, limits=limits).offset == len(request())
    # The next line is no request line.
    acceptedOne(request(lineOf(size), b"X: " + b"y" * 100), limits=Limits(requestLine=size))


def test_requestLineLimitByDefault() -> None:
    acceptedOne(request(lineOf(8192)))
    refused(request(lineOf(8193)), 414)
    # Without an end, too.
    assert check(lineOf(8192) + b"\r").failure is None
    refused(b"G" * 8194, 414)


@pytest.mark.parametrize("value", [0, 1, 30])
def test_headLimit(value: int) -> None:
    one = request(b"GET / HTTP/1.1", b"X: " + b"y" * value)
    size = len(one) - 2
    acceptedOne(one, limits=Limits(head=size))
    for bound in range(16, size):
        assert refused(one, 431, limits=Limits(head=bound)).kind is MessageTooLarge
    # Bodies don't count, nor does the message before.
    with_ = request(b"POST / HTTP/1.1", b"Content-Length: 100", body=b"b" * 100)
    assert len(accepted(with_ * 3, limits=Limits(head=len(with_) - 102))) == 3


def test_headLimitOfResponses() -> None:
    one = response(b"HTTP/1.1 200 OK", b"Content-Length: 0", b"X: y")
    size = len(one) - 2
    assert len(accepted(one * 2, role="response", limits=Limits(head=size, requestLine=1))) == 2
    for bound in range(size):
        refused(one, 431, role="response", limits=Limits(head=bound))
    # Folded lines count.
    folded = response(b"HTTP/1.1 204 OK", b"X: y", b" z")
    acceptedOne(folded, role="response", limits=Limits(head=len(folded) - 2))
    refused(folded, 431, role="response", limits=Limits(head=len(folded) - 3))


@bothRoles
def test_headLimitByDefault(role: str) -> None:
    spare = 32768 - (len(headOf(role, b"X: ")) - 2)
    acceptedOne(headOf(role, b"X: " + b"y" * spare), role=role, eof=True)
    refused(headOf(role, b"X: " + b"y" * (spare + 1)), 431, role=role)


@bothRoles
@pytest.mark.parametrize("most", [1, 2, 5])
def test_fieldsLimit(role: str, most: int) -> None:
    limits = Limits(fields=most)
    lines = [b"X-%d: y" % number for number in range(most)]
    one = b"GET / HTTP/1.1" if role == "request" else b"HTTP/1.1 200 OK"
    if role == "request":
        lines[0] = b"Host: a"
    data = response(one, *lines)
    acceptedOne(data, role=role, eof=True, limits=limits)
    failure = refused(response(one, *lines, b"Z: z"), 431, role=role, limits=limits)
    assert (failure.kind, failure.offset) == (MessageTooLarge, len(data) - 2)
    if role == "response":
        # A folded line is no field.
        acceptedOne(response(one, *lines, b" z", b" z"), role=role, eof=True, limits=limits)


@bothRoles
def test_fieldsLimitByDefault(role: str) -> None:
    lines = [b"X-%d: y" % number for number in range(99 if role == "request" else 100)]
    acceptedOne(headOf(role, *lines), role=role, eof=True)
    refused(headOf(role, *lines, b"Z:"), 431, role=role)


@pytest.mark.parametrize("most", [0, 1, 10])
def test_bodyLimit(most: int) -> None:
    limits = Limits(body=most, responseBody=0)
    body = b"b" * most
    checkBodyLimit("request", most, limits)
    head = b"POST / HTTP/1.1"
    # Refused before any of it has come.
    refused(request(head, b"Content-Length: %d" % (most + 1)), 413, limits=limits)
    refused(chunked(b"%x\r\n" % (most + 1)), 413, limits=limits)
    if most:
        refused(chunked(b"1\r\na\r\n%x\r\n" % most), 413, limits=limits)
        assert acceptedOne(chunked(b"1\r\nb\r\n" * most + b"0\r\n\r\n"), limits=limits).body == body


def checkBodyLimit(role: str, most: int, limits: Limits) -> None:
    body = b"b" * most
    for size, given in ((most, body), (most + 1, body + b"b")):
        for data in (
            headOf(role, b"Content-Length: %d" % size, body=given),
            chunked((b"%x\r\n%b\r\n" % (size, given) if size else b"") + b"0\r\n\r\n", role),
        ):
            if size == most:
                assert acceptedOne(data, role=role, limits=limits).body == given
            else:
                assert refused(data, 413, role=role, limits=limits).kind is MessageTooLarge
                # Streamed, it has no bound.
                outcome = outcomes(data, (), role=role, limits=limits, events=True)
                assert [message.body for message in outcome.messages] == [given]


def test_bodyLimitByDefault() -> None:
    body = b"b" * (1 << 20)
    post = b"POST / HTTP/1.1"
    assert acceptedOne(request(post, b"Content-Length: 1048576", body=body)).body == body
    refused(request(post, b"Content-Length: 1048577", body=body), 413)
    assert acceptedOne(chunked(b"100000\r\n" + body + b"\r\n0\r\n\r\n")).body == body
    refused(chunked(b"100001\r\n" + body), 413)
    refused(request(post, b"Content-Length: 9999999999999999999"), 413)


def test_streamedBodiesHaveNoLimit() -> None:
    body = b"b" * (1 << 21)
    for data in (
        request(b"POST / HTTP/1.1", b"Content-Length: 2097152", body=body),
        chunked(b"200000\r\n" + body + b"\r\n0\r\n\r\n"),
    ):
        outcome = outcomes(data, (100, 5000), events=True)
        assert [message.body for message in outcome.messages] == [body]


@pytest.mark.parametrize("most", [0, 1, 10])
def test_responseBodyLimit(most: int) -> None:
    limits = Limits(body=0, responseBody=most)
    checkBodyLimit("response", most, limits)
    body = b"b" * most
    assert acceptedOne(response(body=body), role="response", eof=True, limits=limits).body == body
    refused(response(body=body + b"b"), 413, role="response", limits=limits)
    # What has no body has none that is too long.
    acceptedOne(response(b"HTTP/1.1 200 OK", b"Content-Length: 99"), role="response", method="HEAD", limits=limits)
    acceptedOne(response(b"HTTP/1.1 304 OK", b"Content-Length: 99"), role="response", limits=limits)


def test_responseBodyLimitByDefault() -> None:
    assert check(response(b"HTTP/1.1 200 OK", b"Content-Length: 67108864"), role="response").failure is None
    refused(response(b"HTTP/1.1 200 OK", b"Content-Length: 67108865"), 413, role="response")
    assert check(chunked(b"4000000\r\n", "response"), role="response").failure is None
    refused(chunked(b"4000001\r\n", "response"), 413, role="response")


@bothRoles
@pytest.mark.parametrize("most", [2, 3, 10])
def test_extensionsLimit(role: str, most: int) -> None:
    limits = Limits(chunkExtensions=most)
    exact = b";" + b"a" * (most - 1)
    one = chunked(b"1" + exact + b"\r\na\r\n0\r\n\r\n", role)
    # For each message anew.
    assert len(accepted(one * 2, role=role, limits=limits)) == 2
    failure = refused(chunked(b"1" + exact + b"a\r\na\r\n0\r\n\r\n", role), role=role, limits=limits)
    assert failure.kind is MessageTooLarge
    # All extensions of one message count, those of the last chunk too; white space counts.
    refused(chunked(b"1" + exact + b"\r\na\r\n0;a\r\n\r\n", role), role=role, limits=limits)
    refused(chunked(b"1 " + exact + b"\r\na\r\n0\r\n\r\n", role), role=role, limits=limits)
    acceptedOne(chunked(b"0" * 15 + b"1" + exact + b"\r\na\r\n0\r\n\r\n", role), role=role, limits=limits)
    refused(chunked(b"1;a\r\na\r\n" * (most // 2 + 1) + b"0\r\n\r\n", role), role=role, limits=limits)
    acceptedOne(chunked(b"1;a\r\na\r\n" * (most // 2) + b"0\r\n\r\n", role), role=role, limits=limits)
    # Sizes alone never do.
    acceptedOne(chunked(b"1\r\na\r\n" * 20 + b"0\r\n\r\n", role), role=role, limits=Limits(chunkExtensions=0))


def test_extensionsLimitByDefault() -> None:
    acceptedOne(chunked(b"1;" + b"a" * 4095 + b"\r\na\r\n0\r\n\r\n"))
    refused(chunked(b"1;" + b"a" * 4096 + b"\r\na\r\n0\r\n\r\n"))
    refused(chunked(b"1;" + b"a" * 4200))


@bothRoles
@pytest.mark.parametrize("value", [0, 1, 20])
def test_trailersLimit(role: str, value: int) -> None:
    section = b"X: " + b"y" * value + b"\r\n"
    for trailers in (section, section * 2, b"A:\r\n" + section):
        one = chunked(b"0\r\n" + trailers + b"\r\n", role)
        assert len(accepted(one * 2, role=role, limits=Limits(trailers=len(trailers)))) == 2
        for bound in range(len(trailers)):
            assert refused(one, 431, role=role, limits=Limits(trailers=bound)).kind is MessageTooLarge
    acceptedOne(chunked(b"0\r\n\r\n", role), role=role, limits=Limits(trailers=0))


def test_trailersLimitByDefault() -> None:
    acceptedOne(chunked(b"0\r\nX:" + b"y" * 8188 + b"\r\n\r\n"))
    refused(chunked(b"0\r\nX:" + b"y" * 8189 + b"\r\n\r\n"), 431)


@bothRoles
def test_trailerFieldsLimit(role: str) -> None:
    limits = Limits(fields=2)
    lines = b"X: y\r\n" * 2
    assert len(acceptedOne(chunked(b"0\r\n" + lines + b"\r\n", role), role=role, limits=limits).trailers) == 2
    refused(chunked(b"0\r\n" + lines + b"Z: z\r\n\r\n", role), 431, role=role, limits=limits)


@pytest.mark.parametrize(
    ("data", "role", "limits", "bound"),
    [
        (b"G" * 100, "request", Limits(requestLine=20), 20),
        (b"G" * 100, "request", Limits(head=20), 20),
        (b"H" * 100, "response", Limits(head=20), 20),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100, "request", Limits(head=40), 40),
        (chunked(b"1;" + b"a" * 100), "request", Limits(chunkExtensions=20), len(chunked(b"")) + 16 + 20),
        (chunked(b"f" * 100), "request", Limits(chunkExtensions=20), len(chunked(b"")) + 16 + 20),
        (chunked(b"0\r\nX: " + b"y" * 100), "request", Limits(trailers=20), len(chunked(b"0\r\n")) + 20),
    ],
)
def test_refusedAsSoonAsABoundIsPassed(data: bytes, role: str, limits: Limits, bound: int) -> None:
    # Two bytes more may yet turn out to be the line's end.
    assert refusedAt(data, role=role, limits=limits) == bound + 2
    checkPrefixes(data, role=role, limits=limits)


@pytest.mark.parametrize(
    ("data", "role", "method"),
    [
        (b"\r\n" + request() + b"\r\n\r\n" + request(b"PUT / HTTP/1.1", b"Content-Length: 3", body=b"abc"),
        "request", None),
        (chunked(b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n") + b"\r\nbad", "request", None),
        (request(b"CONNECT a:1 HTTP/1.1") + b"\x00\r\n", "request", None),
        (b"\r\n" * 7, "request", None),
        (response(b"HTTP/1.1 103") + response(b"HTTP/1.1 200 OK", b"X: a", b" b", body=b"abc"), "response", None),
        (response(b"HTTP/1.1 200 OK", b"Content-Length: 3") + NEXT + b"HTTP/2.0 2", "response", ("HEAD", "GET")),
        (response(b"HTTP/1.1 101 x") + b"raw", "response", None),
        (response(b"HTTP/1.1 100") + response(b"HTTP/1.1 200") + b"raw", "response", "CONNECT"),
        (chunked(b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n", "response") + b"\r\n", "response", None),
    ],
)  # fmt: skip
def test_everyPrefix(data: bytes, role: str, method: str | None) -> None:
    checkPrefixes(data, role=role, method=method)
    check(data, role=role, method=method)
