"""
Fields of messages, as they cross to a script and back.
"""

from __future__ import annotations

from collections.abc import Iterable


def arePairs(given: object) -> bool:
    """
    Is it a list of pairs of text, as fields are given?
    """
    if not isinstance(given, list):
        return False
    for pair in given:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], str)):
            return False
    return True


def fieldsAsObject(fields: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """
    Make of fields what a script has: an object. Fields of one name are joined, as RFC 9110 section 5.3 has it, but for
    Set-Cookie, of which there is an array then.
    """
    made: dict[str, str | list[str]] = {}
    names: dict[str, str] = {}
    for name, value in fields:
        lower = name.lower()
        known = names.setdefault(lower, name)
        before = made.get(known)
        if before is None:
            made[known] = value
        elif lower == "set-cookie":
            made[known] = [*([before] if isinstance(before, str) else before), value]
        else:
            made[known] = f"{before}, {value}"
    return made


def inChunks(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """
    Return fields without what says how long the body is, for one that is sent in chunks, whatever its length.
    """
    return [(name, value) for name, value in pairs if name.lower() not in ("content-length", "transfer-encoding")]


def withoutChunked(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """
    Return fields without C{Transfer-Encoding: chunked}: the server says so itself, to clients that know chunks.
    """
    return [pair for pair in pairs if (pair[0].lower(), pair[1].lower()) != ("transfer-encoding", "chunked")]
