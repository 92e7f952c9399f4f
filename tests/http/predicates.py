"""
What the predicates of reasons.py ask of a L{Disagreement}.

With patterns of their own, never the parser's: it is what is being judged.
"""

from __future__ import annotations

import re
import socket

from .disagreements import Disagreement
from .peers import OPEN, REFUSED, Pairs, readOurs

controls = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
absolute = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)").match
_authority = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::([0-9]*))?"
).fullmatch
_extensions = re.compile(
    rb"[0-9A-Fa-f]+(?:[ \t]*;[ \t]*[\w!#$%&'*+.^`|~-]+"
    rb"(?:[ \t]*=[ \t]*(?:[\w!#$%&'*+.^`|~-]+|\"(?:[^\"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*\"))?)*"
).fullmatch
_digits = re.compile(rb"[0-9A-Fa-f]+").match
forbidden = re.compile(
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


def waits(it: Disagreement) -> bool:
    """
    Does the peer, which waits for more, refuse the line that we refuse once it has what it waits for?
    """
    if it.theirs.end is not OPEN:
        return False
    data = it.case.data[: it.ours.offset + len(it.line)]
    if it.place.part == "start" or (it.place.part == "field" and not named(it, b"host")):
        # Else it would miss the Host.
        data += b"\r\nHost: a" if it.line == b"\n" else b"Host: a\r\n"
    theirs = it.peerReads(data + b"\r\n\r\n")
    return theirs.end is REFUSED and theirs.complete == it.index


def named(it: Disagreement, name: bytes) -> bool:
    """
    Does a field of this name stand before the line that we refuse?
    """
    return any(line.partition(b":")[0].lower() == name for line in it.before[1:])


def _valueOf(it: Disagreement, name: bytes) -> bytes | None:
    """
    The raw value of the message's first field of this name, its white space included.
    """
    return next((line.partition(b":")[2] for line in it.head[1:] if line.partition(b":")[0].lower() == name), None)


def target(it: Disagreement) -> bytes:
    parts = it.content.split(b" ")
    return parts[1] if len(parts) == 3 else b""


def badAuthority(authority: bytes, hostNeeded: bool) -> bool:
    match = _authority(authority)
    return match is None or (hostNeeded and authority[:1] in (b"", b":")) or _badLiteral(authority)


def _badLiteral(authority: bytes) -> bool:
    literal = re.match(rb"\[([^\]]*)\]", authority)
    if literal is None:
        return False
    try:
        socket.inet_pton(socket.AF_INET6, literal[1].decode("ascii"))
    except OSError:
        return True
    return False


def isAuthority(target: bytes) -> bool:
    return re.search(rb":[0-9]{1,5}\Z", target) is not None and not badAuthority(target, True)


def continues(it: Disagreement) -> bool:
    """
    Is the line that we refuse, or does it continue, a field that frames the body and is continued?
    """
    framing = (b"content-length", b"transfer-encoding")
    if it.name in framing:
        return it.message[it.size + len(it.line) :][:1] in (b" ", b"\t")
    last = next((line for line in reversed(it.before) if line and line[:1] not in (b" ", b"\t")), b"")
    return it.line[:1] in (b" ", b"\t") and last.partition(b":")[0].lower() in framing


def isExtension(content: bytes) -> bool:
    return _extensions(content) is not None


def otherCoding(it: Disagreement) -> bool:
    return it.name == b"transfer-encoding" and codings(it) != [b"chunked"]


def codings(it: Disagreement) -> list[bytes]:
    """
    All the message's transfer codings.
    """
    values = [
        line.partition(b":")[2] for line in it.head[1:] if line.partition(b":")[0].lower() == b"transfer-encoding"
    ]
    return [coding.strip(b" \t").lower() for coding in b",".join(values).split(b",")]


def lengths(it: Disagreement) -> set[bytes]:
    """
    All that the message's Content-Lengths say, up to the line that we refuse.
    """
    lines = [line for line in (*it.before[1:], it.content) if line.partition(b":")[0].lower() == b"content-length"]
    return {value.strip(b" \t") for line in lines for value in line.partition(b":")[2].split(b",")}


def sizeLines(it: Disagreement) -> list[bytes]:
    """
    The lines with the sizes of a chunked body's chunks, the last of which may not be whole.
    """
    if _valueOf(it, b"transfer-encoding") is None:
        return []
    lines, at = [], 0
    while line := it.body[at:].partition(b"\r\n")[0].removesuffix(b"\r"):
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


def spacedExtension(line: bytes) -> bool:
    """
    Is there white space around the semicolons and equals signs of valid chunk extensions?
    """
    return isExtension(line) and re.search(rb"[ \t]", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line)) is not None


def isKnownMethod(line: bytes) -> bool:
    method, space, _ = line.partition(b" ")
    return method in _methods if space else any(known.startswith(method) for known in _methods)


def folded(it: Disagreement) -> bool:
    return any(line[:1] in (b" ", b"\t") for line in (*it.head[1:], *_trailerLines(it)))


def _trailerLines(it: Disagreement) -> list[bytes]:
    sizes = sizeLines(it)
    if not sizes or _chunkOf(sizes[-1]):
        return []
    return it.body[sum(len(line) + 2 + _chunkOf(line) for line in sizes) :].partition(b"\r\n\r\n")[0].split(b"\r\n")


def sameButWhiteSpace(it: Disagreement) -> bool:
    mine, other = it.mine, it.other
    if mine is None or other is None or mine._replace(fields=(), trailers=()) != other._replace(fields=(), trailers=()):
        return False
    return _words(mine.fields) == _words(other.fields) and _words(mine.trailers) == _words(other.trailers)


def _words(fields: Pairs) -> list[tuple[str, list[str]]]:
    return [(name, (value.lower() if name.lower() == "transfer-encoding" else value).split()) for name, value in fields]


def upgrades(it: Disagreement, index: int) -> bool:
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


def spacedCoding(it: Disagreement) -> bool:
    """
    Is there white space after the value of Transfer-Encoding?
    """
    return (_valueOf(it, b"transfer-encoding") or b"")[-1:] in (b" ", b"\t")


def lineInPieces(it: Disagreement) -> bool:
    """
    Would we refuse the line that has begun, once it is complete?
    """
    data = it.case.data
    begin = max(data.rfind(b"\n") + 1, it.ours.starts[it.index])
    completed = readOurs(it.case._replace(data=data + (b"\n" if data.endswith(b"\r") else b"\r\n"), eof=False))
    return completed.end is REFUSED and completed.offset == begin and completed.complete == it.index
