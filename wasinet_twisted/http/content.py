"""
What a body's bytes say: as text, as JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from ..errors import ContentError
from . import grammar
from .charsets import codecOf


def charsetOf(contentType: str | None) -> str:
    """
    The charset that a Content-Type names; UTF-8 if it names none. RFC 9110 section 8.3.2.
    """
    raw = (contentType or "").encode("latin-1", "replace")
    match = grammar.mediaType(raw)
    while match is not None and (match := grammar.parameter(raw, match.end())) is not None:
        name, value = match.groups()
        if name is not None and name.lower() == b"charset":
            if value.startswith(b'"'):
                value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
            charset: str = value.decode("latin-1")
            return charset
    return "utf-8"


def decodeText(body: bytes, contentType: str | None) -> str:
    """
    @raise ContentError: nobody knows the charset, or the body isn't in it.
    """
    charset = charsetOf(contentType)
    codec = codecOf(charset)
    if codec is None:
        raise ContentError(f"the charset {charset[:60]!r} is not known", statusHint=415)
    try:
        # A BOM at the beginning is no part of the text.
        return body.decode("utf-8-sig" if codec == "utf-8" else codec)
    except UnicodeError as error:
        raise ContentError(f"the body is not in {charset[:60]}: {error}") from None


def decodeJson(body: bytes) -> Any:
    """
    @raise ContentError: the body is no JSON. RFC 8259.
    """
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_noConstant)
    except (ValueError, RecursionError) as error:
        # Of the depth of nesting nothing is said but that it may be limited (section 9).
        raise ContentError(f"the body is no JSON: {error}") from None


def _noConstant(name: str) -> NoReturn:
    # NaN and Infinity are Python's own.
    raise ValueError(f"{name} is no number")
