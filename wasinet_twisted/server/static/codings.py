"""
Files that have been compressed beforehand and lie beside those that they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...errors import InvalidArgument

# Each coding's ending. RFC 9110 section 8.4.1, RFC 7932, RFC 8878
ENDINGS = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}

# RFC 9110 section 12.5.3 and 12.4.2; further parameters there are none.
_CODING = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")


def checkCodings(given: Sequence[str]) -> tuple[str, ...]:
    """
    @raise InvalidArgument: one of them is unknown.
    """
    if isinstance(given, str) or any(each not in ENDINGS for each in given):
        raise InvalidArgument(f"precompressed must be a sequence of {', '.join(ENDINGS)}, not {given!r}")
    return tuple(given)


def acceptable(value: str | None, codings: Sequence[str]) -> list[str]:
    """
    Return which of these codings a client accepts, the one that it likes best first. Of those it likes as much, the
    order is that of C{codings}.

    @param value: of Accept-Encoding. One that is malformed accepts none.
    """
    if value is None:
        return []
    weights: dict[str, float] = {}
    for element in value.split(","):
        element = element.strip(" \t")
        if not element:
            continue
        match = _CODING.fullmatch(element)
        if match is None:
            return []
        name = match[1].lower()
        weights["gzip" if name == "x-gzip" else name] = 1.0 if match[2] is None else float(match[2])
    other = weights.get("*", 0.0)
    wanted = [(weights.get(each, other), each) for each in codings]
    return [each for weight, each in sorted(wanted, key=lambda pair: -pair[0]) if weight > 0]
