"""
Why h11, httptools and we may read the same bytes differently: every reason there is, with the RFC section that
decides it.

The predicates look at the bytes where the readers part, with patterns of their
own: what our parser says of them proves nothing. They are as narrow as they
could be made. What no reason explains is a bug, here or there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from wasinet_twisted.http import Limits

from .disagreements import BOTH_READ, THEY_REFUSE, WE_REFUSE, Disagreement
from .peers import TUNNEL
from .predicates import (
    absolute,
    badAuthority,
    codings,
    continues,
    controls,
    folded,
    forbidden,
    isAuthority,
    isExtension,
    isKnownMethod,
    lengths,
    lineInPieces,
    named,
    otherCoding,
    sameButWhiteSpace,
    sizeLines,
    spacedCoding,
    spacedExtension,
    target,
    upgrades,
    waits,
)


@dataclass(frozen=True)
class Reason:
    """
    Why a peer and we may part.

    @ivar section: which decides that we are right, or that both are.
    @ivar kind: who refuses.
    @ivar peers: whom it is true of.
    @ivar parts: where our refusal may lie; none: anywhere.
    """

    name: str
    section: str
    kind: str
    peers: tuple[str, ...]
    parts: tuple[str, ...]
    predicate: Callable[[Disagreement], object]

    def holds(self, it: Disagreement) -> bool:
        if self.kind != it.kind or it.peer not in self.peers or (self.parts and it.place.part not in self.parts):
            return False
        return bool(self.predicate(it))

    def __str__(self) -> str:
        return f"{self.name}: {self.section}"


def explain(it: Disagreement) -> Reason | None:
    """
    The first reason that holds.
    """
    return next((one for one in REASONS if one.holds(it)), None)


_limits = Limits()

_H11 = ("h11",)
_HTTPTOOLS = ("httptools",)
_BOTH = ("h11", "httptools")

_START = ("start",)
_FIELD = ("field",)
_SIZE = ("size",)
_TRAILER = ("trailer",)
_LINES = ("field", "trailer")
_ANYWHERE = ()


def _we(
    name: str, section: str, peers: tuple[str, ...], parts: tuple[str, ...], predicate: Callable[[Disagreement], object]
) -> Reason:
    return Reason(name, section, WE_REFUSE, peers, parts, predicate)


def _they(name: str, section: str, peers: tuple[str, ...], predicate: Callable[[Disagreement], object]) -> Reason:
    return Reason(name, section, THEY_REFUSE, peers, _ANYWHERE, predicate)


def _read(name: str, section: str, peers: tuple[str, ...], predicate: Callable[[Disagreement], object]) -> Reason:
    return Reason(name, section, BOTH_READ, peers, _ANYWHERE, predicate)


REASONS = (
    # We refuse: lines
    _we("judges a head or a trailer section when it is whole", "RFC 9112 2.2", _H11, _ANYWHERE, waits),
    _we(
        "judges fields that frame the body when the head is whole",
        "RFC 9112 2.2",
        _HTTPTOOLS,
        _FIELD,
        lambda it: it.name in (b"content-length", b"transfer-encoding") and waits(it),
    ),
    _we(
        "skips a bare CR or LF in front of a message",
        "RFC 9112 2.2",
        _HTTPTOOLS,
        _START,
        lambda it: it.line[:1] in (b"\r", b"\n"),
    ),
    _we("takes a bare LF", "RFC 9112 2.2", _H11, _ANYWHERE, lambda it: re.search(rb"(?<!\r)\n$", it.line)),
    # We refuse: the request line
    _we(
        "has no limit on the request line",
        "RFC 9110 15.5.15",
        _BOTH,
        _START,
        lambda it: it.case.role == "request" and len(it.content) > _limits.requestLine,
    ),
    _we(
        "has no limit on empty lines", "RFC 9112 2.2", _HTTPTOOLS, _START, lambda it: it.emptyLines > _limits.emptyLines
    ),
    _we(
        "takes other white space than one SP in a request line",
        "RFC 9112 3",
        _HTTPTOOLS,
        _START,
        lambda it: it.case.role == "request" and re.search(rb"  | \Z|\A ", it.content),
    ),
    _we(
        "takes HTTP/0.9",
        "RFC 9112 2.3",
        _HTTPTOOLS,
        _START,
        lambda it: it.case.role == "request" and len(it.content.split(b" ")) == 2,
    ),
    _we(
        "takes another major version",
        "RFC 9110 2.5",
        _BOTH,
        _START,
        lambda it: re.search(rb"\AHTTP/[02-9]\.[0-9]|HTTP/[02-9]\.[0-9]\Z", it.content),
    ),
    _we(
        "takes the versions of RTSP and ICE",
        "RFC 9112 2.3",
        _HTTPTOOLS,
        _START,
        lambda it: re.search(rb"(?:\A| )(?:RTSP|ICE)/[0-9]\.[0-9](?: |\Z)", it.content),
    ),
    _we("takes # in a target", "RFC 9112 3.2", _BOTH, _START, lambda it: b"#" in target(it)),
    _we(
        "takes any target with CONNECT",
        "RFC 9112 3.2.3",
        _BOTH,
        _START,
        lambda it: it.content.startswith(b"CONNECT ") and not isAuthority(target(it)),
    ),
    _we(
        "takes the target * with any method",
        "RFC 9112 3.2.4",
        _BOTH,
        _START,
        lambda it: target(it) == b"*" and not it.content.startswith(b"OPTIONS "),
    ),
    _we(
        "takes a target of no form",
        "RFC 9112 3.2",
        _BOTH,
        _START,
        lambda it: target(it)[:1] not in (b"", b"/") and target(it) != b"*" and not absolute(target(it)),
    ),
    _we(
        "takes an absolute target without a valid host",
        "RFC 9110 4.2",
        _BOTH,
        _START,
        lambda it: (match := absolute(target(it))) and badAuthority(match[1], True),
    ),
    # We refuse: the status line
    _we(
        "takes an empty line before a response",
        "RFC 9112 2.2",
        _HTTPTOOLS,
        _START,
        lambda it: it.case.role == "response" and not it.content,
    ),
    _we(
        "takes a status below 100 or above 599",
        "RFC 9110 15",
        _BOTH,
        _START,
        lambda it: re.match(rb"HTTP/1\.[0-9] [06-9][0-9][0-9](?: |\Z)", it.content),
    ),
    _we(
        "takes control characters in a reason",
        "RFC 9112 4",
        _BOTH,
        _START,
        lambda it: re.match(rb"HTTP/1\.[0-9] [1-5][0-9][0-9] ", it.content) and controls(it.content),
    ),
    # We refuse: fields
    _we(
        "takes a continued line in a request",
        "RFC 9112 5.2",
        _H11,
        _LINES,
        lambda it: it.case.role == "request" and it.line[:1] in (b" ", b"\t"),
    ),
    _we("takes a continued Content-Length or Transfer-Encoding", "RFC 9112 5.2", _H11, _LINES, continues),
    _we(
        "takes control characters in a value",
        "RFC 9110 5.5",
        _H11,
        _LINES,
        lambda it: controls(it.content if it.line[:1] in (b" ", b"\t") else it.content.partition(b":")[2]),
    ),
    _we(
        "has no limit on the head",
        "RFC 9110 5.4",
        _BOTH,
        ("start", "field"),
        lambda it: 2 * it.emptyLines + max(it.size, 0) + len(it.content) > _limits.head - 2,
    ),
    _we(
        "has no limit on the number of fields",
        "RFC 9110 5.4",
        _BOTH,
        _FIELD,
        lambda it: len(it.before) - 2 >= _limits.fields and it.content,
    ),
    _we(
        "takes a missing Host",
        "RFC 9112 3.2",
        _HTTPTOOLS,
        _FIELD,
        lambda it: not it.content and it.case.role == "request" and not named(it, b"host"),
    ),
    _we(
        "takes a missing Host in HTTP/1.2 and up",
        "RFC 9112 2.3",
        _H11,
        _FIELD,
        lambda it: (
            not it.content
            and it.case.role == "request"
            and not named(it, b"host")
            and re.search(rb" HTTP/1\.[2-9]\Z", it.before[0])
        ),
    ),
    _we("takes two Hosts", "RFC 9112 3.2", _HTTPTOOLS, _FIELD, lambda it: it.name == b"host" and named(it, b"host")),
    _we(
        "takes any value of Host",
        "RFC 9112 3.2",
        _BOTH,
        _FIELD,
        lambda it: it.name == b"host" and it.case.role == "request" and badAuthority(it.value, False),
    ),
    _we(
        "takes fields that announce a body of a CONNECT",
        "RFC 9110 9.3.6",
        _BOTH,
        _FIELD,
        lambda it: it.before[0].startswith(b"CONNECT ") and it.name in (b"content-length", b"transfer-encoding"),
    ),
    # We refuse: how long the body is
    _we(
        "repairs a list of equal Content-Lengths",
        "RFC 9112 6.3",
        _H11,
        _FIELD,
        lambda it: it.name == b"content-length" and re.fullmatch(rb"[0-9]+(?:[ \t]*,[ \t]*[0-9]+)+", it.value),
    ),
    _we(
        "takes a second, equal Content-Length",
        "RFC 9112 6.3",
        _H11,
        _FIELD,
        lambda it: it.name == b"content-length" and named(it, b"content-length") and len(lengths(it)) == 1,
    ),
    _we(
        "takes Content-Length beside Transfer-Encoding",
        "RFC 9112 6.3",
        _H11,
        _FIELD,
        lambda it: (
            {it.name} < {b"content-length", b"transfer-encoding"}
            and any(named(it, name) for name in {b"content-length", b"transfer-encoding"} - {it.name})
        ),
    ),
    _we(
        "takes a Content-Length of 20 digits",
        "RFC 9110 8.6",
        _BOTH,
        _FIELD,
        lambda it: it.name == b"content-length" and re.fullmatch(rb"[0-9]{20,}", it.value),
    ),
    _we(
        "takes Transfer-Encoding in HTTP/1.0",
        "RFC 9112 6.1",
        _BOTH,
        _FIELD,
        lambda it: it.name == b"transfer-encoding" and re.search(rb"\AHTTP/1\.0| HTTP/1\.0\Z", it.before[0]),
    ),
    _we(
        "reads a response of other codings until the end",
        "RFC 9112 6.3",
        _HTTPTOOLS,
        _FIELD,
        lambda it: it.case.role == "response" and otherCoding(it),
    ),
    _we(
        "takes other codings before chunked in a request",
        "RFC 9112 6.1",
        _HTTPTOOLS,
        _FIELD,
        lambda it: it.case.role == "request" and otherCoding(it) and codings(it)[-1] == b"chunked",
    ),
    # We refuse: chunked
    _we(
        "takes a chunk size of more than 16 digits",
        "RFC 9112 7.1",
        _BOTH,
        _SIZE,
        lambda it: re.match(rb"[0-9A-Fa-f]{17,}", it.content),
    ),
    _we(
        "takes white space after a chunk size",
        "RFC 9112 7.1",
        _BOTH,
        _SIZE,
        lambda it: re.fullmatch(rb"[0-9A-Fa-f]{1,16}[ \t]+", it.content),
    ),
    _we(
        "takes anything for a chunk extension",
        "RFC 9112 7.1.1",
        _BOTH,
        _SIZE,
        lambda it: re.match(rb"[0-9A-Fa-f]{1,16}[ \t]*;", it.content) and not isExtension(it.content),
    ),
    _we(
        "has no limit on chunk extensions",
        "RFC 9112 7.1.1",
        _BOTH,
        _SIZE,
        lambda it: it.place.extensions + len(it.content.lstrip(b"0123456789abcdefABCDEF")) > _limits.chunkExtensions,
    ),
    _we("takes any field in a trailer section", "RFC 9110 6.5.1", _BOTH, _TRAILER, lambda it: forbidden(it.name)),
    _we(
        "has no limit on the trailers",
        "RFC 9110 5.4",
        _BOTH,
        _TRAILER,
        lambda it: (
            it.size - it.place.trailers + len(it.line) > _limits.trailers
            or it.message[it.place.trailers : it.size].count(b"\n") >= _limits.fields
        ),
    ),
    # We refuse: what the peer doesn't take for a chunked body
    _we(
        "takes white space after chunked for a part of it",
        "RFC 9112 5.1",
        _HTTPTOOLS,
        ("size", "data", "trailer"),
        lambda it: it.case.role == "response" and spacedCoding(it),
    ),
    _we(
        "takes an Upgrade for accepted",
        "RFC 9110 7.8",
        _HTTPTOOLS,
        ("size", "data", "trailer"),
        lambda it: upgrades(it, it.index),
    ),
    _we(
        "takes an Upgrade for accepted",
        "RFC 9110 7.8",
        _HTTPTOOLS,
        _FIELD,
        lambda it: otherCoding(it) and upgrades(it, it.index),
    ),
    # They refuse
    _they("judges a line as it comes", "RFC 9112 2.2", _BOTH, lineInPieces),
    _they(
        "takes no empty line before a request",
        "RFC 9112 2.2",
        _H11,
        lambda it: (it.emptyLines or it.message == b"\r") and it.other is None,
    ),
    _they(
        "takes no white space around the ; and = of a chunk extension",
        "RFC 9112 7.1.1",
        _BOTH,
        lambda it: any(map(spacedExtension, sizeLines(it))),
    ),
    _they(
        "knows no version beyond HTTP/1.1",
        "RFC 9112 2.3",
        _HTTPTOOLS,
        lambda it: it.other is None and re.search(rb"\AHTTP/1\.[2-9]| HTTP/1\.[2-9]", it.head[0]),
    ),
    _they(
        "knows some methods only",
        "RFC 9110 9.1",
        _HTTPTOOLS,
        lambda it: it.other is None and it.case.role == "request" and not isKnownMethod(it.head[0]),
    ),
    _they("takes PRI for the preface of HTTP/2", "RFC 9113 3.4", _HTTPTOOLS, lambda it: it.head[0].startswith(b"PRI ")),
    _they(
        "takes letters only in a scheme",
        "RFC 3986 3.1",
        _HTTPTOOLS,
        lambda it: it.other is None and re.match(rb"[^ ]+ [A-Za-z]+[0-9+.-]", it.head[0]),
    ),
    _they("takes an Upgrade for accepted", "RFC 9110 7.8", _HTTPTOOLS, lambda it: upgrades(it, it.index - 1)),
    _they("takes white space after chunked for a part of it", "RFC 9112 5.1", _HTTPTOOLS, spacedCoding),
    _they("takes no continued line", "RFC 9112 5.2", _HTTPTOOLS, lambda it: it.case.role == "response" and folded(it)),
    _they(
        "takes no 101 without Upgrade",
        "RFC 9110 15.2.2",
        _HTTPTOOLS,
        lambda it: it.ours.end is TUNNEL and it.ours.messages[-1].start[0] == 101 and len(it.ours.messages) == it.index,
    ),
    # Both read it
    _read(
        "joins continued lines with other white space",
        "RFC 9112 5.2",
        _H11,
        lambda it: folded(it) and sameButWhiteSpace(it),
    ),
    _read(
        "takes an Upgrade for accepted",
        "RFC 9110 7.8",
        _HTTPTOOLS,
        lambda it: upgrades(it, it.index) or upgrades(it, it.index - 1),
    ),
    _read(
        "takes white space after chunked for a part of it",
        "RFC 9112 5.1",
        _HTTPTOOLS,
        lambda it: it.case.role == "response" and spacedCoding(it),
    ),
)
