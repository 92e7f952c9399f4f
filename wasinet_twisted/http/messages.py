"""
Whole messages: L{WasiRequest}, L{WasiResponse}, and their encoding.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Self

from multidict import CIMultiDict

from ..errors import LocalProtocolError
from . import grammar
from .checks import checkStatus, checkVersion, framingOf, targetFault, toWire
from .content import decodeJson, decodeText
from .events import Head, HeadersLike, RequestHead, ResponseHead, toHeaders
from .fields import Pair
from .framing import FramingFields, hasBody, isInterim, isTunnel
from .outgoing import REASONS, encodeFields, encodeStatusLine, framePieces, frameWhole, mayCarryBody

# RFC 9110 section 8.6: user agents send Content-Length: 0 with these.
_EXPECTS_BODY = frozenset(("POST", "PUT", "PATCH"))
# Tokens, all of them.
_METHODS = ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS")


def toBody(given: object) -> bytes:
    """
    Make bytes of what users give as a body: bytes-like, or str as UTF-8.

    @raise LocalProtocolError: it is neither.
    """
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        try:
            return given.encode("utf-8")
        except UnicodeEncodeError as error:
            raise LocalProtocolError(f"a body of str that has no UTF-8: {error}") from None
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    hint = "; json.dumps() makes JSON of it" if isinstance(given, Mapping) else ""
    raise LocalProtocolError(f"a body must be bytes or str, not {type(given).__name__}{hint}")


class _Message(Head):
    """
    What requests and responses have in common beside their heads: a body and trailers.
    """

    __slots__ = ()

    def _set(self, version: str, headers: HeadersLike, body: object, trailers: HeadersLike) -> None:
        self.version = version
        # The multi-mapping is made when somebody asks for it: most only send it.
        self._headers = None
        self._pairs = []
        if headers.__class__ is dict:
            self._pairs = list(headers.items())
            for name, value in self._pairs:
                if name.__class__ is not str or value.__class__ is not str:
                    self._headers = toHeaders(headers)
                    break
        elif headers != ():
            self._headers = toHeaders(headers)
        self._body = body if body.__class__ is bytes else toBody(body)
        self._trailers = toHeaders(trailers) if trailers else None

    @property
    def body(self) -> bytes:
        """
        The body, decoded of its transfer coding. May be set to bytes or to str (UTF-8).

        @raise LocalProtocolError: it is not there: it is to be sent piece by piece.
        """
        if not isinstance(self._body, bytes):
            raise LocalProtocolError("the body of this response comes in pieces")
        return self._body

    @body.setter
    def body(self, given: object) -> None:
        self._body = toBody(given)

    @property
    def trailers(self) -> CIMultiDict[str]:
        """
        The fields that came, or go, after a chunked body. RFC 9112 section 7.1.2.
        """
        if self._trailers is None:
            self._trailers = CIMultiDict()
        return self._trailers

    @trailers.setter
    def trailers(self, given: HeadersLike) -> None:
        self._trailers = toHeaders(given)

    def text(self) -> str:
        """
        The body as text, by the charset its Content-Type names, else as UTF-8.

        @raise ContentError: nobody knows that charset, or the body isn't in it.
        """
        return decodeText(self._body, self.getHeader("Content-Type"))

    def json(self) -> Any:
        """
        The body as JSON, which is UTF-8 whatever the Content-Type says (RFC 8259 section 8.1).

        @raise ContentError: it is none.
        """
        return decodeJson(self._body)

    def _key(self) -> tuple[object, ...]:
        return (self.version, self.fields(), self._body, list(self.trailers.items()))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, _Message)
        return self._key() == other._key()

    __hash__ = None  # type: ignore[assignment]  # mutable, so not hashable; mypy knows no other way to say it

    def _frame(self, pairs: list[Pair], framing: FramingFields, wanted: bool, lengthOnly: bool = False) -> bytes:
        trailers = list(self.trailers.items()) if self._trailers else []
        return frameWhole(pairs, framing, self._body, trailers, wanted, lengthOnly)

    def _framePieces(self, pairs: list[Pair], framing: FramingFields) -> None:
        if self._body or self._trailers:
            raise LocalProtocolError("encodeHead() is for a body that is sent by and by, but there is one already")
        framePieces(pairs, framing, self.version, isinstance(self, RequestHead))


class WasiRequest(_Message, RequestHead):
    """
    A request.

    @ivar method: C{"GET"}, C{"POST"}, any token.
    @ivar uri: the request target, C{"/"} by default.
    """

    __slots__ = ()

    def __init__(
        self,
        method: str = "GET",
        uri: str = "/",
        headers: HeadersLike = (),
        body: bytes | bytearray | memoryview | str = b"",
        version: str = "HTTP/1.1",
        trailers: HeadersLike = (),
    ) -> None:
        self.method = method
        self.uri = uri
        self._set(version, headers, body, trailers)

    def _key(self) -> tuple[object, ...]:
        return (self.method, self.uri, *super()._key())

    def encode(self) -> bytes:
        """
        The request as it goes to the wire. RFC 9112 section 3.

        @raise LocalProtocolError: it would not parse back as the same request. Nothing is repaired.
        """
        pairs, rest = self._plan()
        return self._startLine() + encodeFields(pairs) + rest

    def encodeHead(self) -> bytes:
        """
        The head of a request whose body is sent by and by: in pieces that add up
        to its Content-Length, or, if it has none, chunked, by C{encodeChunk} and C{encodeEnd}.

        @raise LocalProtocolError: it would not parse back, or the body is there already.
        """
        if self.method == "CONNECT":
            raise LocalProtocolError("a CONNECT has no body that could be sent by and by (RFC 9110 section 9.3.6)")
        pairs, framing = self._check()
        self._framePieces(pairs, framing)
        return self._startLine() + encodeFields(pairs)

    def _startLine(self) -> bytes:
        return f"{self.method} {self.uri} {self.version}\r\n".encode("ascii")

    def framed(self) -> Self:
        """
        The request as it will be sent, with the fields that L{encode} adds: what
        the peer's parser gives.
        """
        pairs, _ = self._plan()
        return type(self)(self.method, self.uri, pairs, self._body, self.version, self.trailers)

    def _plan(self) -> tuple[list[Pair], bytes]:
        pairs, framing = self._check()
        wanted = bool(self._body) or self.method in _EXPECTS_BODY
        return pairs, self._frame(pairs, framing, wanted)

    def _check(self) -> tuple[list[Pair], FramingFields]:
        checkVersion(self.version)
        if self.method not in _METHODS and grammar.token(toWire("the method", self.method)) is None:
            raise LocalProtocolError(f"the method must be a token, not {self.method!r}")
        target = toWire("the uri", self.uri)
        if grammar.target(target) is None:
            raise LocalProtocolError(f"the uri must be visible ASCII without #, and not empty: {self.uri!r}")
        # The form that all but proxies are sent.
        fault = None if target[0] == 47 and self.method != "CONNECT" else targetFault(self.method, target)
        if fault is not None:
            raise LocalProtocolError(f"{fault}: {self.uri!r}")
        pairs = self.fields()
        framing = framingOf(pairs, self.version, self.method)
        if not framing.host and self.version == "HTTP/1.1":
            raise LocalProtocolError("a request in HTTP/1.1 needs a Host (RFC 9112 section 3.2)")
        if self.method == "CONNECT" and self._body:
            raise LocalProtocolError("a CONNECT has no body (RFC 9110 section 9.3.6)")
        return pairs, framing


# A body that is there. A mapping is none, and would be taken for its keys.
_WHOLE = (bytes, str, bytearray, memoryview, Mapping)

PieceSource = Iterable[bytes | bytearray | memoryview | str] | AsyncIterable[bytes | bytearray | memoryview | str]


class WasiResponse(_Message, ResponseHead):
    """
    A response.

    @ivar status: 200 by default.
    @ivar reason: the phrase of the status by default.
    """

    __slots__ = ()

    def __init__(
        self,
        status: int = 200,
        headers: HeadersLike = (),
        body: bytes | bytearray | memoryview | str | PieceSource = b"",
        reason: str | None = None,
        version: str = "HTTP/1.1",
        trailers: HeadersLike = (),
    ) -> None:
        """
        @param body: bytes, or str as UTF-8; or an iterable or asynchronous
            iterable of these, which a server sends piece by piece.
        """
        self.status = status
        try:
            self.reason = REASONS.get(status, "") if reason is None else reason
        except TypeError:
            # It can't be looked up, nor sent: encode() says so.
            self.reason = ""
        if body.__class__ is bytes or isinstance(body, _WHOLE) or not isinstance(body, Iterable | AsyncIterable):
            self._set(version, headers, body, trailers)
        else:
            self._set(version, headers, b"", trailers)
            self._body = body  # type: ignore[assignment]

    @property
    def pieces(self) -> PieceSource | None:
        """
        The body, if it is to be sent piece by piece; L{None} if it is there.
        """
        return None if isinstance(self._body, bytes) else self._body

    def _key(self) -> tuple[object, ...]:
        return (self.status, self.reason, *super()._key())

    def encode(self, requestMethod: str = "GET") -> bytes:
        """
        The response as it goes to the wire. RFC 9112 section 4.

        @param requestMethod: what it answers. To HEAD, the fields are those of a
            GET, without the body; to CONNECT, a 2xx has neither length nor body.
        @raise LocalProtocolError: it would not parse back as the same response. Nothing is repaired.
        """
        pairs, rest = self._plan(requestMethod)
        if requestMethod == "HEAD":
            rest = b""
        return self._startLine() + encodeFields(pairs) + rest

    def encodeHead(self) -> bytes:
        """
        The head of a response whose body is sent by and by: in pieces that add
        up to its Content-Length, or, if it has none, chunked, by C{encodeChunk}
        and C{encodeEnd}; in HTTP/1.0 until the connection is closed.

        @raise LocalProtocolError: it would not parse back, the body is there
            already, or a response of this status has none.
        """
        pairs, framing = self._check()
        self._checkCarries()
        self._framePieces(pairs, framing)
        return self._startLine() + encodeFields(pairs)

    def _startLine(self) -> bytes:
        return encodeStatusLine(self.version, self.status, self.reason)

    def _checkCarries(self) -> None:
        if not mayCarryBody(self.status):
            raise LocalProtocolError(f"a {self.status} has no body that could be sent by and by")

    def framed(self, requestMethod: str = "GET") -> Self:
        """
        The response as it will be sent, with the fields that L{encode} adds: what
        the peer's parser gives.
        """
        pairs, _ = self._plan(requestMethod)
        bodiless = requestMethod == "HEAD"
        return type(self)(
            self.status,
            pairs,
            b"" if bodiless else self._body,
            self.reason,
            self.version,
            () if bodiless else self.trailers,
        )

    def _check(self) -> tuple[list[Pair], FramingFields]:
        checkVersion(self.version)
        checkStatus(self.status)
        if grammar.reason(toWire("the reason", self.reason)) is None:
            raise LocalProtocolError(f"the reason holds a control character: {self.reason!r}")
        pairs = self.fields()
        return pairs, framingOf(pairs, self.version, None)

    def _plan(self, requestMethod: str) -> tuple[list[Pair], bytes]:
        if self.pieces is not None:
            raise LocalProtocolError("encode() is for a body that is there; this one comes in pieces")
        pairs, framing = self._check()
        status = self.status
        if isTunnel(status, requestMethod) or isInterim(status) or status == 204:
            # RFC 9110 section 8.6 and 9.3.6, RFC 9112 section 6.1
            what = f"a {status} to CONNECT" if requestMethod == "CONNECT" else f"a {status}"
            if framing.contentLength is not None or framing.chunked:
                raise LocalProtocolError(f"{what} has neither Content-Length nor Transfer-Encoding")
            if self._body or self._trailers:
                raise LocalProtocolError(f"{what} has no body and no trailers")
            return pairs, b""
        if self._body and not mayCarryBody(status):
            # RFC 9110 section 15.3.6 and 15.4.5
            raise LocalProtocolError(f"a {status} has no body")
        if status == 304 and framing.chunked:
            raise LocalProtocolError("a 304 has no body, so it is not chunked")
        lengthOnly = not hasBody(status, requestMethod)
        return pairs, self._frame(pairs, framing, status != 304, lengthOnly)
