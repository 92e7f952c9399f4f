"""
What a head that is to be sent must be: the parser's own grammar, asked beforehand.

Whatever would not parse back to the same message, or could split it in two, is
refused before a byte is made of it (RFC 9112 section 11.1, response splitting).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import LocalProtocolError, RemoteProtocolError
from . import grammar
from .asks import LONGEST_NAME, MOST_NAMES
from .framing import CONNECTION, KINDS, PLAIN, FramingFields, fieldMeaning, validLiteral

# What is known of names, as they are given: which kind of field each is.
_kinds: dict[str, int] = {}


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


def checkVersion(version: Any) -> None:
    """
    @raise LocalProtocolError: it is neither HTTP/1.0 nor HTTP/1.1, the two we speak.
    """
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise LocalProtocolError(f"the version must be HTTP/1.1 or HTTP/1.0, not {version!r}")


def checkStatus(status: Any) -> None:
    """
    @raise LocalProtocolError: it is not a whole number from 100 to 599.
    """
    # HTTPStatus is an int. bool is one too, and so True is refused as 1 is.
    if not isinstance(status, int) or not 100 <= status <= 599:
        # Who gives one argument alone nearly always means the body.
        hint = "" if isinstance(status, int | float) else "; the body is given as body=..."
        raise LocalProtocolError(f"the status must be a whole number from 100 to 599, not {shorten(status)}{hint}")


def shorten(value: object) -> str:
    """
    Return how a value looks, for an error: at most 100 characters of it.
    """
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


def framingOf(pairs: Iterable[tuple[Any, Any]], version: str, method: str | None) -> FramingFields:
    """
    What the fields say of the body, judged as the parser would.

    @param method: the request's; L{None}: it is a response's head.
    @raise LocalProtocolError: they contradict each other.
    """
    framing = FramingFields(version, method)
    for name, value in pairs:
        if not isinstance(name, str):
            continue
        kind = _kinds.get(name)
        if kind is None:
            kind = _learn(name)
        if PLAIN < kind < CONNECTION:
            try:
                framing.add(kind, fieldMeaning(kind, toWire(f"the value of field {name}", value)), value)
            except RemoteProtocolError as error:
                raise LocalProtocolError(str(error)) from None
    return framing


def _learn(name: str) -> int:
    kind = KINDS.get(name.lower().encode("latin-1", "replace"), PLAIN)
    if len(name) <= LONGEST_NAME:
        if len(_kinds) >= MOST_NAMES:
            _kinds.clear()
        _kinds[name] = kind
    return kind


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
