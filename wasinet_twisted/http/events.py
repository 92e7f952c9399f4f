"""
What a L{Buffer<wasinet_twisted.http.Buffer>} tells: heads, data, ends. The streaming view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict

from ..errors import LocalProtocolError
from .asks import asksOf, persists
from .fields import Pair

# What users may give as fields; str or bytes, checked when they are encoded.
HeadersLike = Mapping[Any, Any] | Iterable[tuple[Any, Any]]


def _text(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def toHeaders(given: HeadersLike) -> CIMultiDict[str]:
    """
    Make the multi-mapping that messages hold. Bytes are read as latin-1, as they stand on the wire.

    @param given: a mapping or pairs.
    @raise LocalProtocolError: a name is neither str nor bytes. Values are judged when they are encoded.
    """
    if isinstance(given, str | bytes):
        raise LocalProtocolError(f"headers must be a mapping or pairs, not {type(given).__name__}; is it the body?")
    pairs = given.items() if isinstance(given, Mapping) else given
    try:
        return CIMultiDict([(_text(name), _text(value)) for name, value in pairs])
    except (TypeError, ValueError) as error:
        raise LocalProtocolError(f"headers must be a mapping or pairs of str or bytes: {error}") from None


class Head:
    """
    What a request's and a response's head have in common.

    @ivar version: C{"HTTP/1.1"} or C{"HTTP/1.0"}, as on the wire.
    """

    # The body and the trailers are the messages', which are heads with a body: Python can't join two bases that both
    # have slots. The parser's record of what the head asks: the length as framing.py counts, the rest as asks.py does.
    __slots__ = ("_headers", "_pairs", "version", "_body", "_trailers", "_length", "_asks")  # noqa: RUF023

    version: str
    # The fields, in order; once somebody has asked for headers, these are the truth.
    _pairs: list[Pair]
    _headers: CIMultiDict[str] | None
    _body: bytes
    _trailers: CIMultiDict[str] | None
    _length: int
    _asks: int

    @property
    def headers(self) -> CIMultiDict[str]:
        """
        The fields: a case-insensitive mapping that keeps order, case and
        duplicates. May be set to a mapping or to pairs.
        """
        headers = self._headers
        if headers is None:
            # Made when first asked for: whoever only looks at the path doesn't pay for it.
            headers = self._headers = CIMultiDict(self._pairs)
        return headers

    @headers.setter
    def headers(self, given: HeadersLike) -> None:
        self._headers = toHeaders(given)

    def fields(self) -> list[Pair]:
        """
        The fields as a list of (name, value), in order.
        """
        return list(self._pairs) if self._headers is None else list(self._headers.items())

    def getHeader(self, name: str) -> str | None:
        """
        The value of a field, its lines joined with C{", "} (RFC 9110 section
        5.3; not for Set-Cookie: use C{headers.getall}); L{None} if there is none.
        """
        values = self.headers.getall(name, None)
        return None if values is None else ", ".join(values)

    def setHeader(self, name: str, value: str | bytes) -> None:
        """
        Set a field, in place of all there are of that name.
        """
        self.headers[_text(name)] = _text(value)

    @property
    def keepAlive(self) -> bool:
        """
        May the connection go on after this message? RFC 9112 section 9.3.

        True in HTTP/1.1 without C{Connection: close}, and in HTTP/1.0 with
        C{Connection: keep-alive} and without C{close}.
        """
        return persists(asksOf(self.fields()), self.version)


class RequestHead(Head):
    """
    A request's head has come, RFC 9112 section 3.

    @ivar method: as on the wire; methods are case-sensitive.
    @ivar uri: the raw request target: C{"/path?query"}, C{"http://host/path"}, C{"*"} or C{"host:port"}.
    """

    __slots__ = ("method", "uri")

    method: str
    uri: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.uri} {self.version}>"

    @property
    def host(self) -> str | None:
        """
        Whom the request is for, C{"host"} or C{"host:port"}: the authority of
        an absolute-form target, which overrules Host (RFC 9112 section 3.2.2),
        the target of a CONNECT, else the Host field; L{None} if there is none.
        """
        if self.method == "CONNECT":
            return self.uri
        if not self.uri.startswith("/") and "://" in self.uri:
            rest = self.uri.partition("://")[2]
            return rest.partition("/")[0].partition("?")[0]
        return self.headers.get("Host")


class ResponseHead(Head):
    """
    A response's head has come, RFC 9112 section 4. Those with a status of 1xx
    are interim: another follows, but for 101.

    @ivar status: 100 to 599.
    @ivar reason: the reason phrase, as on the wire; often empty.
    """

    __slots__ = ("reason", "status")

    status: int
    reason: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.reason} {self.version}>"


@dataclass(frozen=True, slots=True)
class Data:
    """
    Some of the body has come, decoded, cut as it came.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class EndOfMessage:
    """
    The message is complete.

    @ivar trailers: the trailer section's fields; never merged into the head's.
    """

    trailers: CIMultiDict[str]


Event = RequestHead | ResponseHead | Data | EndOfMessage
