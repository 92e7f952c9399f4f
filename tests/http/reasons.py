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
from .peers import OPEN, REFUSED, TUNNEL, Pairs, readOurs


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

_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_controls = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
_absolute = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)").match
_authority = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::([0-9]*))?"
).fullmatch
_extensions = re.compile(
    rb"[0-9A-Fa-f]+(?:[ \t]*;[ \t]*[\w!#$%&'*+.^`|~-]+"
    rb"(?:[ \t]*=[ \t]*(?:[\w!#$%&'*+.^`|~-]+|\"(?:[^\"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*\"))?)*"
).fullmatch
_digits = re.compile(rb"[0-9A-Fa-f]+").match
_forbidden = re.compile(
    rb"transfer-encoding|content-(?:length|type|encoding|range)|host|connection|trailer|te|upgrade|expect|max-forwards"
    rb"|range|if-.*|cache-control|(?:proxy-)?authorization|cookie|set-cookie"
).fullmatch

# Those httptools has names for.
_methods = frozenset(
    b"DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK "
    b"UNLINK SOURCE PRI DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN GET_PARAMETER SET_PARAMETER REDIRECT RECORD FLUSH "
    b"QUERY".split()
)


# What the predicates ask


def _waits(it: Disagreement) -> bool:
    """
    Does the peer, which waits for more, refuse the line that we refuse once it has what it waits for?
    """
    if it.theirs.end is not OPEN:
        return False
    data = it.case.data[: it.ours.offset + len(it.line)]
    if it.place.part == "start" or (it.place.part == "field" and not _named(it, b"host")):
        # Else it would miss the Host.
        data += b"\r\nHost: a" if it.line == b"\n" else b"Host: a\r\n"
    theirs = it.peerReads(data + b"\r\n\r\n")
    return theirs.end is REFUSED and theirs.complete == it.index


def _named(it: Disagreement, name: bytes) -> bool:
    """
    Does a field of this name stand before the line that we refuse?
    """
    return any(line.partition(b":")[0].lower() == name for line in it.before[1:])


def _valueOf(it: Disagreement, name: bytes) -> bytes | None:
    """
    The raw value of the message's first field of this name, its white space included.
    """
    return next((line.partition(b":")[2] for line in it.head[1:] if line.partition(b":")[0].lower() == name), None)


def _is(name: bytes) -> Callable[[Disagreement], bool]:
    return lambda it: it.name == name


def _target(it: Disagreement) -> bytes:
    parts = it.content.split(b" ")
    return parts[1] if len(parts) == 3 else b""


def _badAuthority(authority: bytes, hostNeeded: bool) -> bool:
    match = _authority(authority)
    return match is None or (hostNeeded and authority[:1] in (b"", b":")) or _badLiteral(authority)


def _badLiteral(authority: bytes) -> bool:
    literal = re.match(rb"\[([^\]]*)\]", authority)
    if literal is None:
        return False
    groups = literal[1].split(b":")
    return not (2 < len(groups) < 9) or any(re.fullmatch(rb"[0-9A-Fa-f]{0,4}", group) is None for group in groups)


def _isAuthority(target: bytes) -> bool:
    return re.search(rb":[0-9]{1,5}\Z", target) is not None and not _badAuthority(target, True)


def _continues(it: Disagreement) -> bool:
    """
    Is the line that we refuse, or does it continue, a field that frames the body and is continued?
    """
    framing = (b"content-length", b"transfer-encoding")
    if it.name in framing:
        return it.message[it.size + len(it.line) :][:1] in (b" ", b"\t")
    last = next((line for line in reversed(it.before) if line and line[:1] not in (b" ", b"\t")), b"")
    return it.line[:1] in (b" ", b"\t") and last.partition(b":")[0].lower() in framing


def _isExtension(content: bytes) -> bool:
    return _extensions(content) is not None


def _otherCoding(it: Disagreement) -> bool:
    return it.name == b"transfer-encoding" and _codings(it) != [b"chunked"]


def _codings(it: Disagreement) -> list[bytes]:
    """
    All the message's transfer codings.
    """
    values = [
        line.partition(b":")[2] for line in it.head[1:] if line.partition(b":")[0].lower() == b"transfer-encoding"
    ]
    return [coding.strip(b" \t").lower() for coding in b",".join(values).split(b",")]


def _sizeLines(it: Disagreement) -> list[bytes]:
    """
    The lines with the sizes of a chunked body's chunks, the last of which may not be whole.
    """
    if _valueOf(it, b"transfer-encoding") is None:
        return []
    lines, at = [], 0
    while line := it.body[at:].partition(b"\r\n")[0]:
        if _digits(line) is None:
            break
        lines.append(line)
        if not _chunkOf(line):
            break
        at += len(line) + 2 + _chunkOf(line)
    return lines


def _chunkOf(line: bytes) -> int:
    """
    How many bytes follow a chunk's size line, the CRLF that ends them included?
    """
    size = int(_digits(line)[0], 16)  # type: ignore[index]
    return size + 2 if size else 0


def _spacedExtension(line: bytes) -> bool:
    """
    Is there white space around the semicolons and equals signs of valid chunk extensions?
    """
    return _isExtension(line) and re.search(rb"[ \t]", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line)) is not None


def _isKnownMethod(line: bytes) -> bool:
    method, space, _ = line.partition(b" ")
    return method in _methods if space else any(known.startswith(method) for known in _methods)


def _folded(it: Disagreement) -> bool:
    return any(line[:1] in (b" ", b"\t") for line in (*it.head[1:], *_trailerLines(it)))


def _trailerLines(it: Disagreement) -> list[bytes]:
    sizes = _sizeLines(it)
    if not sizes or _chunkOf(sizes[-1]):
        return []
    return it.body[sum(len(line) + 2 + _chunkOf(line) for line in sizes) :].partition(b"\r\n\r\n")[0].split(b"\r\n")


def _sameButWhiteSpace(it: Disagreement) -> bool:
    mine, other = it.mine, it.other
    if mine is None or other is None or mine._replace(fields=(), trailers=()) != other._replace(fields=(), trailers=()):
        return False
    return _words(mine.fields) == _words(other.fields) and _words(mine.trailers) == _words(other.trailers)


def _words(fields: Pairs) -> list[tuple[str, list[str]]]:
    return [(name, (value.lower() if name.lower() == "transfer-encoding" else value).split()) for name, value in fields]


def _upgrades(it: Disagreement, index: int) -> bool:
    """
    Does the peer skip the body of this request, because it would change the protocol?
    """
    if it.case.role != "request" or not 0 <= index < len(it.theirs.messages) or it.theirs.messages[index].body:
        return False
    fields = it.theirs.messages[index].fields
    tokens = {
        token.strip().lower() for name, value in fields if name.lower() == "connection" for token in value.split(",")
    }
    names = {name.lower() for name, _ in fields}
    return "upgrade" in tokens and "upgrade" in names and not names.isdisjoint(("content-length", "transfer-encoding"))


def _spacedCoding(it: Disagreement) -> bool:
    """
    Is there white space after the value of Transfer-Encoding?
    """
    return (_valueOf(it, b"transfer-encoding") or b"")[-1:] in (b" ", b"\t")


def _lineInPieces(it: Disagreement) -> bool:
    """
    Would we refuse the line that has begun, once it is complete?
    """
    data = it.case.data
    begin = max(data.rfind(b"\n") + 1, it.ours.starts[it.index])
    completed = readOurs(it.case._replace(data=data + (b"\n" if data.endswith(b"\r") else b"\r\n"), eof=False))
    return completed.end is REFUSED and completed.offset == begin and completed.complete == it.index


def _extensionsWith(it: Disagreement, pattern: bytes) -> bool:
    return re.search(rb"(?:^|\n)[0-9A-Fa-f]+" + pattern, it.body) is not None


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
    _we("judges a head or a trailer section when it is whole", "RFC 9112 2.2", _H11, _ANYWHERE, _waits),
    _we(
        "judges Transfer-Encoding when the head is whole",
        "RFC 9112 2.2",
        _HTTPTOOLS,
        _FIELD,
        lambda it: it.name == b"transfer-encoding" and _waits(it),
    ),
    _we(
        "skips a bare CR in front of a message",
        "RFC 9112 2.2",
        _HTTPTOOLS,
        _START,
        lambda it: it.content.startswith(b"\r"),
    ),
    _we("takes a bare LF", "RFC 9112 2.2", _BOTH, _ANYWHERE, lambda it: re.search(rb"(?<!\r)\n$", it.line)),
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
    _we("takes # in a target", "RFC 9112 3.2", _BOTH, _START, lambda it: b"#" in _target(it)),
    _we(
        "takes any target with CONNECT",
        "RFC 9112 3.2.3",
        _BOTH,
        _START,
        lambda it: it.content.startswith(b"CONNECT ") and not _isAuthority(_target(it)),
    ),
    _we(
        "takes the target * with any method",
        "RFC 9112 3.2.4",
        _BOTH,
        _START,
        lambda it: _target(it) == b"*" and not it.content.startswith(b"OPTIONS "),
    ),
    _we(
        "takes a target of no form",
        "RFC 9112 3.2",
        _BOTH,
        _START,
        lambda it: _target(it)[:1] not in (b"", b"/") and _target(it) != b"*" and not _absolute(_target(it)),
    ),
    _we(
        "takes an absolute target without a valid host",
        "RFC 9110 4.2",
        _BOTH,
        _START,
        lambda it: (match := _absolute(_target(it))) and _badAuthority(match[1], True),
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
        lambda it: re.match(rb"HTTP/1\.[0-9] [1-5][0-9][0-9] ", it.content) and _controls(it.content),
    ),
    # We refuse: fields
    _we(
        "takes a continued line in a request",
        "RFC 9112 5.2",
        _H11,
        _LINES,
        lambda it: it.case.role == "request" and it.line[:1] in (b" ", b"\t"),
    ),
    _we("takes a continued Content-Length or Transfer-Encoding", "RFC 9112 5.2", _H11, _LINES, _continues),
    _we(
        "takes control characters in a value",
        "RFC 9110 5.5",
        _H11,
        _LINES,
        lambda it: b":" in it.content and _controls(it.content.partition(b":")[2]),
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
        lambda it: not it.content and it.case.role == "request" and not _named(it, b"host"),
    ),
    _we(
        "takes a missing Host in HTTP/1.2 and up",
        "RFC 9112 2.3",
        _H11,
        _FIELD,
        lambda it: (
            not it.content
            and it.case.role == "request"
            and not _named(it, b"host")
            and re.search(rb" HTTP/1\.[2-9]\Z", it.before[0])
        ),
    ),
    _we("takes two Hosts", "RFC 9112 3.2", _HTTPTOOLS, _FIELD, lambda it: it.name == b"host" and _named(it, b"host")),
    _we(
        "takes any value of Host",
        "RFC 9112 3.2",
        _BOTH,
        _FIELD,
        lambda it: it.name == b"host" and it.case.role == "request" and _badAuthority(it.value, False),
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
        lambda it: it.name == b"content-length" and _named(it, b"content-length"),
    ),
    _we(
        "takes Content-Length beside Transfer-Encoding",
        "RFC 9112 6.3",
        _H11,
        _FIELD,
        lambda it: (
            {it.name} < {b"content-length", b"transfer-encoding"}
            and any(_named(it, name) for name in {b"content-length", b"transfer-encoding"} - {it.name})
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
        lambda it: it.name == b"transfer-encoding" and b"HTTP/1.0" in it.before[0],
    ),
    _we(
        "reads a response of other codings until the end",
        "RFC 9112 6.3",
        _HTTPTOOLS,
        _FIELD,
        lambda it: it.case.role == "response" and _otherCoding(it),
    ),
    _we(
        "takes other codings before chunked in a request",
        "RFC 9112 6.1",
        _HTTPTOOLS,
        _FIELD,
        lambda it: it.case.role == "request" and _otherCoding(it) and _codings(it)[-1] == b"chunked",
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
        lambda it: re.match(rb"[0-9A-Fa-f]{1,16}[ \t]*;", it.content) and not _isExtension(it.content),
    ),
    _we(
        "has no limit on chunk extensions",
        "RFC 9112 7.1.1",
        _BOTH,
        _SIZE,
        lambda it: it.place.extensions + len(it.content.lstrip(b"0123456789abcdefABCDEF")) > _limits.chunkExtensions,
    ),
    _we("takes any field in a trailer section", "RFC 9110 6.5.1", _BOTH, _TRAILER, lambda it: _forbidden(it.name)),
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
        lambda it: it.case.role == "response" and _spacedCoding(it),
    ),
    _we(
        "takes an Upgrade for accepted",
        "RFC 9110 7.8",
        _HTTPTOOLS,
        ("size", "data", "trailer"),
        lambda it: _upgrades(it, it.index),
    ),
    _we(
        "takes an Upgrade for accepted",
        "RFC 9110 7.8",
        _HTTPTOOLS,
        _FIELD,
        lambda it: _otherCoding(it) and _upgrades(it, it.index),
    ),
    # They refuse
    _they("judges a line as it comes", "RFC 9112 2.2", _BOTH, _lineInPieces),
    _they("takes no empty line before a request", "RFC 9112 2.2", _H11, lambda it: it.emptyLines and it.other is None),
    _they(
        "takes no white space around the ; and = of a chunk extension",
        "RFC 9112 7.1.1",
        _BOTH,
        lambda it: any(map(_spacedExtension, _sizeLines(it))),
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
        lambda it: it.other is None and it.case.role == "request" and not _isKnownMethod(it.head[0]),
    ),
    _they("takes PRI for the preface of HTTP/2", "RFC 9113 3.4", _HTTPTOOLS, lambda it: it.head[0].startswith(b"PRI ")),
    _they(
        "takes letters only in a scheme",
        "RFC 3986 3.1",
        _HTTPTOOLS,
        lambda it: it.other is None and re.match(rb"[^ ]+ [A-Za-z]+[0-9+.-]", it.head[0]),
    ),
    _they("takes an Upgrade for accepted", "RFC 9110 7.8", _HTTPTOOLS, lambda it: _upgrades(it, it.index - 1)),
    _they("takes white space after chunked for a part of it", "RFC 9112 5.1", _HTTPTOOLS, lambda it: _spacedCoding(it)),
    _they("takes no continued line", "RFC 9112 5.2", _HTTPTOOLS, lambda it: it.case.role == "response" and _folded(it)),
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
        lambda it: _folded(it) and _sameButWhiteSpace(it),
    ),
    _read(
        "takes an Upgrade for accepted",
        "RFC 9110 7.8",
        _HTTPTOOLS,
        lambda it: _upgrades(it, it.index) or _upgrades(it, it.index - 1),
    ),
    _read(
        "takes white space after chunked for a part of it",
        "RFC 9112 5.1",
        _HTTPTOOLS,
        lambda it: it.case.role == "response" and _spacedCoding(it),
    ),
)
