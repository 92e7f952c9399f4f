"""
What may be sent: the checks every head passes on its way out.

The counterpart of the parser, with the same grammar. Whatever would not parse
back to the same message, or could split it in two, is refused before a byte is
made of it (RFC 9112 section 11.1, response splitting).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import LocalProtocolError, RemoteProtocolError
from . import grammar
from .chunked import forbiddenInTrailers
from .events import HeadersLike, toHeaders
from .framing import KINDS, PLAIN, FramingFields, fieldMeaning, validLiteral


def toWire(what: str, value: Any) -> bytes:
    """
    Encode a string as latin-1.

    @raise LocalProtocolError: it is no string or holds other characters.
    """
    if not isinstance(value, str):
        raise LocalProtocolError(f"{what} must be str, not {type(value).__name__}: {value!r}")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{what} holds characters outside latin-1: {value!r}") from None


def encodeField(name: Any, value: Any) -> bytes:
    """
    One field line, its CRLF included. RFC 9112 section 5.

    @raise LocalProtocolError: it would not parse back as it is.
    """
    rawName = toWire("a field name", name)
    if grammar.token(rawName) is None:
        raise LocalProtocolError(f"a field name must be a token, not {name!r}")
    rawValue = toWire(f"the value of field {name}", value)
    if grammar.fieldValue(rawValue) is None:
        raise LocalProtocolError(f"the value of field {name} holds a control character: {value!r}")
    if rawValue != rawValue.strip(b" \t"):
        raise LocalProtocolError(f"the value of field {name} begins or ends with white space: {value!r}")
    return b"%b: %b\r\n" % (rawName, rawValue)


def encodeFields(pairs: Iterable[tuple[Any, Any]]) -> bytes:
    """
    Field lines and the empty line that ends them.
    """
    return b"".join([encodeField(name, value) for name, value in pairs]) + b"\r\n"


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


def checkVersion(version: Any) -> None:
    """
    @raise LocalProtocolError: it is neither HTTP/1.0 nor HTTP/1.1, the two we speak.
    """
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise LocalProtocolError(f"the version must be HTTP/1.1 or HTTP/1.0, not {version!r}")


def framingOf(pairs: Iterable[tuple[Any, Any]], version: str, method: str | None) -> FramingFields:
    """
    What the fields say of the body, judged as the parser would.

    @param method: the request's; L{None}: it is a response's head.
    @raise LocalProtocolError: they contradict each other.
    """
    framing = FramingFields(version, method)
    for name, value in pairs:
        kind = KINDS.get(name.lower().encode("latin-1", "replace"), PLAIN) if isinstance(name, str) else PLAIN
        if kind:
            try:
                framing.add(kind, fieldMeaning(kind, toWire(f"the value of field {name}", value)), value)
            except RemoteProtocolError as error:
                raise LocalProtocolError(str(error)) from None
    return framing


def targetFault(method: str, target: bytes) -> str | None:
    """
    Which form has this request target, and may the method have it? RFC 9112 section 3.2.

    @param target: visible ASCII already.
    @return: what is wrong with it, or L{None}.
    """
    if method == "CONNECT":
        match = grammar.authorityTarget(target)
        if match is None or not match[1] or not validLiteral(match[1]) or not 0 < int(match[2]) < 65536:
            return "the target of CONNECT must be host:port (RFC 9112 section 3.2.3)"
    elif target == b"*":
        if method != "OPTIONS":
            return f"the target * is for OPTIONS, not for {method} (RFC 9112 section 3.2.4)"
    elif not target.startswith(b"/"):
        match = grammar.absoluteTarget(target)
        if match is None:
            return "the target must begin with / or be an absolute URI (RFC 9112 section 3.2)"
        host = grammar.host(match[1])
        if host is None or not host[1] or not validLiteral(host[1]):
            # RFC 9110 section 4.2.1 and 4.2.4: an empty host is invalid, and so is user information.
            return "the target's authority must be host or host:port (RFC 9110 section 4.2)"
    return None
