"""
What an app sends, checked and made a response.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import LocalProtocolError
from ..http import WasiResponse
from ..http.checks import shorten

Pair = tuple[str, str]

_LENGTH = "content-length"
_CODING = "transfer-encoding"


def kindOf(message: Any) -> str:
    """
    @raise LocalProtocolError: it is no message.
    """
    try:
        kind = message["type"]
    except (TypeError, KeyError, IndexError):
        kind = None
    if kind.__class__ is not str:
        raise LocalProtocolError(f"send() takes a dict with the str 'type', not {shorten(message)}")
    return kind


def responseOf(message: Any) -> tuple[WasiResponse, str | None]:
    """
    Make a response without a body of a C{http.response.start}. The framing is the server's: a Transfer-Encoding is left
    out, as the specification has it.

    @return: the response without its Content-Length, and that, if there is one.
    @raise LocalProtocolError: it has no status, or fields that are none. Values are judged when the response is sent.
    """
    status = message.get("status")
    # http.HTTPStatus is an int too; True is one that nobody means.
    if status.__class__ is not int and (not isinstance(status, int) or status is True):
        raise _notAStatus(message["type"], status)
    if not 200 <= status <= 599:
        raise _notAStatus(message["type"], status)
    response = WasiResponse(int(status))
    given = message.get("headers", ())
    pairs, length = response._pairs, None
    try:
        for rawName, rawValue in given:
            name, value = rawName.decode("latin-1"), rawValue.decode("latin-1").strip(" \t")
            size = len(name)
            if size == 14 and name.lower() == _LENGTH:
                if length is not None and length != value:
                    # Both, for the encoder to refuse.
                    pairs.append((name, value))
                length = length or value
            elif size != 17 or name.lower() != _CODING:
                pairs.append((name, value))
    except (TypeError, ValueError, AttributeError):
        raise _notPairs(message["type"], given) from None
    return response, length


def _notAStatus(kind: str, status: object) -> LocalProtocolError:
    return LocalProtocolError(f"the status of {kind} must be a whole number from 200 to 599, not {status!r}")


def fieldsOf(message: Any) -> list[Pair]:
    """
    The fields of a message. Names may have upper case, which Django's have; white space around a value, which is no
    part of it, is left out.

    @raise LocalProtocolError: they are no pairs of bytes.
    """
    given = message.get("headers", ())
    try:
        return [(name.decode("latin-1"), value.decode("latin-1").strip(" \t")) for name, value in given]
    except (TypeError, ValueError, AttributeError):
        raise _notPairs(message["type"], given) from None


def _notPairs(kind: str, given: Any) -> LocalProtocolError:
    what = given
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        what = next((each for each in given if not _isPair(each)), given)
    return LocalProtocolError(f"the headers of {kind} must be pairs of bytes; there is {shorten(what)}")


def _isPair(given: Any) -> bool:
    return isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(each, bytes) for each in given)


def bodyOf(message: Any) -> bytes:
    """
    @raise LocalProtocolError: the body is not bytes.
    """
    body = message.get("body", b"")
    if body.__class__ is bytes:
        return body
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise LocalProtocolError(f"the body of {message['type']} must be bytes, not {type(body).__name__}")


def withLength(response: WasiResponse, length: str | None) -> WasiResponse:
    """
    Give a response its Content-Length, if it has one.
    """
    if length is not None:
        response._pairs.append(("Content-Length", length))
    return response


def linksOf(message: Any) -> list[Pair]:
    """
    The Link fields of a C{http.response.early_hint}. RFC 8297.

    @raise LocalProtocolError: a link is not bytes.
    """
    links = message.get("links", ())
    if isinstance(links, Iterable) and not isinstance(links, str | bytes):
        links = list(links)
        if all(isinstance(link, bytes) for link in links):
            return [("Link", link.decode("latin-1")) for link in links]
    raise LocalProtocolError(f"the links of {message['type']} must be bytes, each; there is {shorten(links)}")
