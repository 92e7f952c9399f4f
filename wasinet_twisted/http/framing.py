"""
How long is this body? RFC 9112 section 6.3, decided in one place for both roles.

The fields that decide it are judged one by one, as their lines come, so that
the first offending line is the one refused; L{bodyLength} then decides.
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from . import asks, grammar

# What bodyLength answers where the length is no number.
CHUNKED = -1
UNTIL_CLOSE = -2
TUNNEL = -3

# The fields that say where a message ends and whom it is for.
PLAIN = 0
HOST = 1
CONTENT_LENGTH = 2
TRANSFER_ENCODING = 3
# Those that ask something of the connection (C{asks.py}): to the framing they are as plain as others.
CONNECTION = 4
EXPECT = 5
TE = 6
UPGRADE = 7
KINDS = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    asks.CONNECTION_FIELD: CONNECTION,
    asks.EXPECT_FIELD: EXPECT,
    asks.TE_FIELD: TE,
    asks.UPGRADE_FIELD: UPGRADE,
}
_ASKING = {kind: name for name, kind in KINDS.items() if kind >= CONNECTION}

# The codings RFC 9112 section 7.2 registers beside chunked.
_OTHER_CODINGS = frozenset((b"gzip", b"x-gzip", b"compress", b"x-compress", b"deflate"))


def fieldMeaning(kind: int, value: bytes) -> int:
    """
    Judge the value of a field of some C{kind}.

    @return: the length, for Content-Length; for Host whether it is valid, which
        only a request is judged by; for the kinds that ask something of the
        connection what that is, as C{asks.py} counts; else 0.
    @raise RemoteProtocolError: the value is not valid.
    """
    if kind == CONTENT_LENGTH:
        # RFC 9110 section 8.6: digits only. A list of equal values ("5, 5") could be repaired (RFC 9112
        # section 6.3 item 5); two parsers that repair differently are how requests are smuggled.
        if grammar.contentLength(value) is None:
            raise RemoteProtocolError(f"Content-Length must be 1 to 19 digits, not {show(value)}")
        return int(value)
    if kind == TRANSFER_ENCODING:
        # RFC 9112 section 6.1 and 7. bytes.lower() changes ASCII only: no look-alike becomes "chunked".
        codings = [coding.strip(b" \t") for coding in value.lower().split(b",")]
        if codings == [b"chunked"]:
            return 0
        if codings[-1] == b"chunked" and all(coding in _OTHER_CODINGS for coding in codings[:-1]):
            raise RemoteProtocolError(
                f"Transfer-Encoding {show(value)}: only chunked is implemented (RFC 9112 section 6.1)", statusHint=501
            )
        raise RemoteProtocolError(f"Transfer-Encoding must be chunked, not {show(value)}")
    if kind == HOST:
        return int(validHost(value))
    return asks.askedBy(_ASKING[kind], value) if kind in _ASKING else 0


def validHost(value: bytes) -> bool:
    """
    Is this C{uri-host [ ":" port ]} (RFC 9110 section 7.2)? An empty name is one.
    """
    match = grammar.host(value)
    return match is not None and validLiteral(match[1])


def validLiteral(name: bytes) -> bool:
    """
    Is the host, if it stands in brackets, an IPv6 address (RFC 3986 section 3.2.2)?
    """
    if not name.startswith(b"[") or name[1:2] in b"vV":
        return True
    # The shape is one thing, eight groups and one "::" at the most another. Rare, hence the late import.
    from ipaddress import IPv6Address

    try:
        IPv6Address(name[1:-1].decode("ascii"))
    except ValueError:
        return False
    return True


class FramingFields:
    """
    What a head's fields have said so far about its body, and whom it is for.

    @ivar contentLength: L{None} if no Content-Length has come.
    @ivar chunked: has C{Transfer-Encoding: chunked} come?
    @ivar host: has a Host come?
    """

    __slots__ = ("chunked", "contentLength", "host", "method", "version")

    def __init__(self, version: str, method: str | None) -> None:
        """
        @param method: the request's; L{None}: it is a response's head.
        """
        self.version = version
        self.method = method
        self.contentLength: int | None = None
        self.chunked = False
        self.host = False

    def add(self, kind: int, meaning: int, value: str) -> None:
        """
        A field of some C{kind} has come; may this message have it?

        @param meaning: what L{fieldMeaning} made of C{value}.
        @raise RemoteProtocolError: it contradicts those before it.
        """
        if kind == HOST:
            # In a response it means nothing.
            if self.method is not None:
                self._addHost(meaning, value)
        elif kind >= CONNECTION:
            # How the connection goes on is not the framing's.
            pass
        elif self.method == "CONNECT":
            # RFC 9110 section 9.3.6: a CONNECT has no content; one that announces some is a smuggling attempt.
            raise RemoteProtocolError("a CONNECT with a body (RFC 9110 section 9.3.6)")
        elif kind == CONTENT_LENGTH:
            if self.contentLength is not None:
                raise RemoteProtocolError("a second Content-Length (RFC 9112 section 6.3)")
            if self.chunked:
                raise RemoteProtocolError("Content-Length beside Transfer-Encoding (RFC 9112 section 6.3)")
            self.contentLength = meaning
        else:
            if self.chunked:
                raise RemoteProtocolError("a second Transfer-Encoding (RFC 9112 section 7)")
            if self.contentLength is not None:
                raise RemoteProtocolError("Transfer-Encoding beside Content-Length (RFC 9112 section 6.3)")
            if self.version == "HTTP/1.0":
                raise RemoteProtocolError("Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)")
            self.chunked = True

    def _addHost(self, valid: int, value: str) -> None:
        # RFC 9112 section 3.2: more than one Host line is refused, be they equal.
        if self.host:
            raise RemoteProtocolError("a second Host (RFC 9112 section 3.2)")
        if not valid:
            shown = show(value.encode("latin-1"))
            raise RemoteProtocolError(f"Host must be a host name with or without a port, not {shown}")
        self.host = True


def hasBody(status: int, method: str) -> bool:
    """
    Return whether a response can have a body, whatever its fields say. RFC 9112 section 6.3, items 1 and 2.

    @param method: of the request that it answers.
    """
    return method != "HEAD" and status >= 200 and status not in (204, 304) and not isTunnel(status, method)


def isTunnel(status: int, method: str) -> bool:
    """
    Return whether what follows a response is no HTTP any more. RFC 9110 sections 9.3.6 and 15.2.2.

    @param method: of the request that it answers.
    """
    return status == 101 or (method == "CONNECT" and 200 <= status < 300)


def isInterim(status: int) -> bool:
    """
    Return whether another response to the same request follows. RFC 9110 section 15.2.
    """
    return status < 200 and status != 101


def bodyLength(fields: FramingFields, method: str, status: int | None = None) -> int:
    """
    How long is the body that follows this head? RFC 9112 section 6.3.

    @param method: of the request; for a response, that of the request it answers.
    @param status: L{None} for a request.
    @return: a number of bytes, L{CHUNKED}, L{UNTIL_CLOSE}, or L{TUNNEL} where
        what follows is no HTTP any more.
    @raise RemoteProtocolError: the fields are not allowed on such a message.
    """
    if status is None:
        # RFC 9112 section 3.2; in HTTP/1.0 it may be missing.
        if not fields.host and fields.version != "HTTP/1.0":
            raise RemoteProtocolError("no Host (RFC 9112 section 3.2)")
        if method == "CONNECT":
            return TUNNEL
    else:
        # Items 1 and 2: whatever the fields say.
        if isTunnel(status, method):
            return TUNNEL
        if not hasBody(status, method):
            return 0
    # Item 4
    if fields.chunked:
        return CHUNKED
    # Item 6
    if fields.contentLength is not None:
        return fields.contentLength
    # Items 7 and 8
    return 0 if status is None else UNTIL_CLOSE


def show(value: bytes) -> str:
    """
    Some bytes from the wire as they may stand in an error message: short, ASCII, and harmless to a terminal.
    """
    return repr(value)[1:] if len(value) <= 60 else repr(value[:60])[1:] + "…"
