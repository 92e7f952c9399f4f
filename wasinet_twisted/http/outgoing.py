"""
What is sent: heads and bodies as bytes.

The counterpart of the parser. There is one encoder of heads, which remembers the
field lines that it has checked, and one writer of bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from .._fast import fastPath
from ..errors import LocalProtocolError
from . import grammar
from .asks import LONGEST_NAME, MOST_NAMES
from .checks import toWire
from .chunked import forbiddenInTrailers
from .events import HeadersLike, toHeaders
from .fields import Pair
from .framing import CHUNKED, UNTIL_CLOSE, FramingFields, hasBody

# The phrases that RFC 9110 section 15 gives, which the standard library has for all but these since Python 3.13 only.
REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}

# Field lines that have been checked: most messages have the same few fields. Bounded: emptied when full, so that ever
# different values don't fill the memory.
lines: dict[tuple[str, str], bytes] = {}
MOST_LINES = 1024
LONGEST_LINE = 256
# Names that have been found to be tokens, as bytes.
_names: dict[str, bytes] = {}
# The parser keeps lines that may hold a secret out of its cache, and so does this one. Errors, which are logged, don't
# show them.
_NEVER_CACHED = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))
# The fields that say how the connection goes on or how the body is framed, and Date: what the fast path finds among the
# lines is none of these.
_SPECIAL = frozenset(("connection", "content-length", "transfer-encoding", "date"))

CLOSE_LINE = b"Connection: close\r\n"
KEEP_ALIVE_LINE = b"Connection: keep-alive\r\n"


def encodeField(name: Any, value: Any) -> bytes:
    """
    One field line, its CRLF included. RFC 9112 section 5.

    @raise LocalProtocolError: it would not parse back as it is.
    """
    rawName = _names.get(name) if name.__class__ is str else None
    if rawName is None:
        rawName = _learnName(name)
    # Errors alone need the text.
    if isinstance(value, str) and value.isascii():
        rawValue = value.encode("ascii")
    else:
        rawValue = _valueToWire(name, value)
    if grammar.fieldValue(rawValue) is None:
        raise _unfit(name, value, "holds a control character")
    if rawValue != rawValue.strip(b" \t"):
        raise _unfit(name, value, "begins or ends with white space")
    return b"%b: %b\r\n" % (rawName, rawValue)


def _valueToWire(name: str, value: Any) -> bytes:
    if name.lower() not in _NEVER_CACHED:
        return toWire(f"the value of field {name}", value)
    try:
        return toWire("", value)
    except LocalProtocolError:
        raise LocalProtocolError(f"the value of field {name} must be str of latin-1's characters") from None


def _unfit(name: str, value: Any, why: str) -> LocalProtocolError:
    shown = "" if name.lower() in _NEVER_CACHED else f": {value!r}"
    return LocalProtocolError(f"the value of field {name} {why}{shown}")


def _learnName(name: Any) -> bytes:
    rawName = toWire("a field name", name)
    if grammar.token(rawName) is None:
        raise LocalProtocolError(f"a field name must be a token, not {name!r}")
    if name.__class__ is str and len(name) <= LONGEST_NAME:
        if len(_names) >= MOST_NAMES:
            _names.clear()
        _names[name] = rawName
    return rawName


def encodeFields(pairs: Iterable[tuple[Any, Any]]) -> bytes:
    """
    Field lines and the empty line that ends them.
    """
    try:
        known = lines.get
        return b"".join([known(pair) or _learnLine(*pair) for pair in pairs]) + b"\r\n"
    except TypeError:
        # One can't be looked up, so it is no pair of strings, and is refused here.
        return b"".join([_line(pair) for pair in pairs]) + b"\r\n"


def _line(pair: tuple[Any, Any]) -> bytes:
    try:
        known = lines.get(pair)
    except TypeError:
        # It can't be looked up, so it is no pair of strings, and is refused here.
        known = None
    return _learnLine(*pair) if known is None else known


def _learnLine(name: Any, value: Any) -> bytes:
    line = encodeField(name, value)
    lower = name.lower()
    if len(line) <= LONGEST_LINE and lower not in _NEVER_CACHED and lower not in _SPECIAL:
        if len(lines) >= MOST_LINES:
            lines.clear()
        lines[name, value] = line
    return line


def encodeStatusLine(version: str, status: int, reason: str) -> bytes:
    """
    RFC 9112 section 4.
    """
    return f"{version} {int(status)} {reason}\r\n".encode("latin-1")


def encodeAnswerHead(status: int, reason: str, pairs: list[tuple[Any, Any]], date: bytes, persistence: bytes) -> bytes:
    """
    The head of a server's response: its fields, and what the connection needs.

    @param date: the line of a Date field, which is left out where C{pairs} hold one; or C{b""}.
    @param persistence: L{CLOSE_LINE}, L{KEEP_ALIVE_LINE} or C{b""}. RFC 9110
        section 7.6.1: one more line is one more member of the list.
    """
    if date and any(isinstance(name, str) and name.lower() == "date" for name, _ in pairs):
        date = b""
    fields = b"".join([_line(pair) for pair in pairs])
    return b"%b%b%b%b\r\n" % (encodeStatusLine("HTTP/1.1", status, reason), date, fields, persistence)


def encodeChunk(data: bytes | bytearray | memoryview, extensions: HeadersLike = ()) -> bytes:
    """
    One chunk of a body that is sent with C{Transfer-Encoding: chunked}.

    @param data: what it holds; an empty one would end the body, so it gives C{b""}.
    @param extensions: names and values as a mapping or pairs; a value of
        L{None} is a name alone (RFC 9112 section 7.1.1).
    @raise LocalProtocolError: the data is not bytes, or an extension not valid.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise LocalProtocolError(f"a chunk must be bytes, not {type(data).__name__}")
    size = memoryview(data).nbytes
    if not size:
        return b""
    pairs = extensions.items() if isinstance(extensions, Mapping) else extensions
    rest = b"".join([_encodeExtension(name, value) for name, value in pairs])
    return b"%x%b\r\n%b\r\n" % (size, rest, bytes(data))


def _encodeExtension(name: Any, value: Any) -> bytes:
    rawName = toWire("the name of a chunk extension", name)
    if grammar.token(rawName) is None:
        raise LocalProtocolError(f"the name of a chunk extension must be a token, not {name!r}")
    if value is None:
        return b";" + rawName
    rawValue = toWire(f"the chunk extension {name}", value)
    if grammar.fieldValue(rawValue) is None:
        raise LocalProtocolError(f"the chunk extension {name} holds a control character: {value!r}")
    if grammar.token(rawValue) is None:
        # RFC 9110 section 5.6.4: quoted-string
        rawValue = b'"%b"' % rawValue.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b";%b=%b" % (rawName, rawValue)


def encodeEnd(trailers: HeadersLike = ()) -> bytes:
    """
    The end of a body that is sent with C{Transfer-Encoding: chunked}.

    @param trailers: fields to send after it; to a client only if it said C{TE:
        trailers} (RFC 9110 section 6.5.1).
    @raise LocalProtocolError: a field is not valid, or has no place there.
    """
    pairs = list(toHeaders(trailers).items())
    for name, _ in pairs:
        if forbiddenInTrailers(name):
            raise LocalProtocolError(f"the field {name} is not allowed in trailers (RFC 9110 section 6.5.1)")
    return b"0\r\n" + encodeFields(pairs)


def mayCarryBody(status: int, method: str = "GET") -> bool:
    """
    Return whether a response that we send may carry a body.

    As L{hasBody}, and not with 205, which is framed as others but has to be
    empty (RFC 9110 section 15.3.6).
    """
    return status != 205 and hasBody(status, method)


def framePieces(pairs: list[Pair], framing: FramingFields, version: str, isRequest: bool) -> int:
    """
    Settle how a body is framed that comes in pieces, in C{pairs}. RFC 9112 section 6.3.

    @param version: the version that the peer speaks.
    @return: its length, L{CHUNKED}, or L{UNTIL_CLOSE}.
    @raise LocalProtocolError: there is no framing that the peer would understand.
    """
    if framing.contentLength is not None:
        return framing.contentLength
    if framing.chunked:
        if version == "HTTP/1.0":
            raise LocalProtocolError("HTTP/1.0 knows no Transfer-Encoding: chunked; leave the field to the server")
        return CHUNKED
    if version != "HTTP/1.0":
        pairs.append(("Transfer-Encoding", "chunked"))
        return CHUNKED
    if isRequest:
        # RFC 9112 section 6.3 item 7: it would end where its head ends.
        raise LocalProtocolError("a request in HTTP/1.0 needs a Content-Length for its body")
    return UNTIL_CLOSE


def frameWhole(
    pairs: list[Pair],
    framing: FramingFields,
    body: bytes,
    trailers: list[Pair],
    wanted: bool,
    lengthOnly: bool = False,
) -> bytes:
    """
    Settle how a body is framed that is there, in C{pairs}.

    @param wanted: is a Content-Length added where there is none?
    @param lengthOnly: may a length be given that the body doesn't have (HEAD, 304)?
    @return: the body and what frames it.
    @raise LocalProtocolError: the fields contradict the body.
    """
    if framing.chunked:
        return encodeChunk(body) + encodeEnd(trailers)
    if trailers:
        raise LocalProtocolError("trailers need Transfer-Encoding: chunked (RFC 9112 section 7.1.2)")
    if framing.contentLength is not None:
        if framing.contentLength != len(body) and not (lengthOnly and not body):
            raise LocalProtocolError(f"Content-Length is {framing.contentLength}, but the body has {len(body)} bytes")
    elif wanted:
        pairs.append(("Content-Length", str(len(body))))
    return body


class BodyWriter:
    """
    Writes one body that comes in pieces.

    @ivar length: as L{framePieces} gives it.
    @ivar size: how many bytes of it have been written, without what frames them.
    """

    __slots__ = ("_silent", "length", "size")

    def __init__(self, length: int, silent: bool = False) -> None:
        """
        @param silent: nothing of it is sent: it answers a HEAD.
        """
        self.length = length
        self.size = 0
        self._silent = silent

    @property
    def untilClose(self) -> bool:
        """
        Is the end of the connection the end of the body?
        """
        return self.length == UNTIL_CLOSE

    def data(self, piece: bytes) -> bytes:
        """
        Encode a piece; an empty one gives C{b""}.

        @raise LocalProtocolError: it is more than the Content-Length.
        """
        size = self.size + len(piece)
        if 0 <= self.length < size:
            raise LocalProtocolError(f"Content-Length is {self.length}, but the pieces have more")
        self.size = size
        if self._silent:
            return b""
        return encodeChunk(piece) if self.length == CHUNKED else piece

    def end(self, trailers: HeadersLike = ()) -> bytes:
        """
        Encode the end.

        @param trailers: sent after a chunked body only.
        @raise LocalProtocolError: the pieces are less than the Content-Length, or a trailer is not valid.
        """
        if self._silent:
            return b""
        if self.length == CHUNKED:
            return encodeEnd(trailers)
        if 0 <= self.length != self.size:
            raise LocalProtocolError(f"Content-Length is {self.length}, but the pieces have {self.size} bytes")
        return b""


# The status lines of final responses that may have a body, with the phrases that everybody knows.
_statusLines = {
    status: (reason, encodeStatusLine("HTTP/1.1", status, reason))
    for status, reason in REASONS.items()
    if mayCarryBody(status)
}


@fastPath(
    "http.response",
    slow="WasiResponse._plan and encodeAnswerHead",
    why="a small GET received and answered with two fields: 2.5 us instead of 7.9",
)
def fastResponse(response: Any, method: str, date: bytes, persistence: bytes) -> bytes | None:
    """
    Encode the response of nearly every request: one whose body is there, and whose fields have been seen before.

    @param response: a C{WasiResponse}.
    @return: L{None}: take the slow path.
    """
    body = response._body
    status = response.status
    # 200.0 would be found, but is none.
    known = _statusLines.get(status) if status.__class__ is int else None
    if (
        known is None
        or known[0] != response.reason
        or body.__class__ is not bytes
        or response._trailers
        or response.version != "HTTP/1.1"
        or method == "HEAD"
        or method == "CONNECT"
    ):
        return None
    fields = []
    for pair in response._pairs if response._headers is None else response._headers.items():
        try:
            line = lines.get(pair)
        except TypeError:
            # It can't be looked up, nor sent.
            return None
        if line is None:
            line = _learnCommon(pair)
            if line is None:
                return None
        fields.append(line)
    return b"%b%b%bContent-Length: %d\r\n%b\r\n%b" % (known[1], date, b"".join(fields), len(body), persistence, body)


def _learnCommon(pair: tuple[Any, Any]) -> bytes | None:
    """
    @return: the line; L{None} if it is one for the slow path, which may refuse it.
    """
    name, value = pair
    if not isinstance(name, str) or not isinstance(value, str) or name.lower() in _SPECIAL:
        return None
    try:
        return _learnLine(name, value)
    except LocalProtocolError:
        return None
