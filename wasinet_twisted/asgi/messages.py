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


def kindOf(message: Any) -> str:
    """
    @raise LocalProtocolError: it is no message.
    """
    try:
        kind = message["type"]
    except (TypeError, KeyError, IndexError):
        kind = None
    if not isinstance(kind, str):
        raise LocalProtocolError(f"send() takes a dict with the str 'type', not {shorten(message)}")
    return kind


def responseOf(message: Any) -> WasiResponse:
    """
    Make a response without a body of a C{http.response.start}. The framing is the server's: a Transfer-Encoding is left
    out, as the specification has it, and a Content-Length where there can be none.

    @raise LocalProtocolError: it has no status, or fields that are none. Values are judged when the response is sent.
    """
    kind, status = message["type"], message.get("status")
    # http.HTTPStatus is an int too; True is one that nobody means.
    if not isinstance(status, int) or status is True or not 200 <= status <= 599:
        raise LocalProtocolError(f"the status of {kind} must be a whole number from 200 to 599, not {status!r}")
    response = WasiResponse(int(status))
    pairs = fieldsOf(message)
    for name, _ in pairs:
        # Nearly always there is none of the two.
        if len(name) == 17 and name.lower() == "transfer-encoding":
            pairs = [pair for pair in pairs if pair[0].lower() != "transfer-encoding"]
            break
    if status == 204:
        # RFC 9110 section 8.6. Django sets one.
        pairs = [pair for pair in pairs if pair[0].lower() != _LENGTH or pair[1] != "0"]
    response._pairs = pairs
    return response


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


def framedBySize(response: WasiResponse, size: int) -> None:
    """
    Leave out a Content-Length that says what the encoder would: most apps set one. One that says something else stays,
    for the encoder to refuse.
    """
    pairs = response._pairs
    for index, (name, value) in enumerate(pairs):
        if len(name) == 14 and name.lower() == _LENGTH:
            if value == str(size):
                del pairs[index]
            return


def hasLength(response: WasiResponse) -> bool:
    """
    Does it have a Content-Length?
    """
    return any(name.lower() == _LENGTH for name, _ in response._pairs)


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
