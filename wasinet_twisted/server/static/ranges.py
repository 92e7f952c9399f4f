"""
Ranges of a file. RFC 9110 section 14.

Several ranges are sent as multipart/byteranges. A client could ask for the same
bytes again and again (CVE-2011-3192), so that there are two bounds: L{MOST}
ranges, which together are no longer than the file. Beyond these, the Range is
ignored and the whole file sent, as section 14.2 allows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

Range = tuple[int, int]

# How many ranges are honoured at a time.
MOST = 16

_SPEC = re.compile(r"(?:([0-9]+)-([0-9]*)|-([0-9]+))")
# A file has no more bytes than this. Python refuses to make numbers of very many digits.
_DIGITS = 19


def rangesOf(value: str, size: int) -> list[Range] | None:
    """
    Return the ranges to send, each as its first byte and the byte after its last one.

    @param value: of the field Range.
    @param size: the file's, in bytes.
    @return: an empty list: none of them lies in the file (416); L{None}: the field is to be ignored.
    """
    unit, equals, specs = value.partition("=")
    if not equals or not unit.isascii() or unit.lower() != "bytes":
        return None
    elements = [each.strip(" \t") for each in specs.split(",")]
    elements = [each for each in elements if each]
    if not 0 < len(elements) <= MOST:
        return None
    found = []
    for each in elements:
        match = _SPEC.fullmatch(each)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if first is None:
            start, stop = max(size - _number(suffix), 0), size
        else:
            start, stop = _number(first), min(_number(last) + 1, size) if last else size
            if last and _number(last) < start:
                return None
        if start < stop:
            found.append((start, stop))
    if sum(stop - start for start, stop in found) > size:
        return None
    return found


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return 10**_DIGITS if len(digits) > _DIGITS else int(digits or "0")


def contentRange(each: Range, size: int) -> str:
    """
    The value of Content-Range. RFC 9110 section 14.4
    """
    return f"bytes {each[0]}-{each[1] - 1}/{size}"


def multipart(ranges: Sequence[Range], size: int, contentType: str) -> tuple[str, list[bytes | Range]]:
    """
    Several ranges in one body. RFC 9110 section 14.6

    @return: its Content-Type, and what it is made of: bytes, and ranges of the file.
    """
    # By chance, and so in no file that somebody has made for it.
    boundary = os.urandom(16).hex()
    parts: list[bytes | Range] = []
    for each in ranges:
        head = f"--{boundary}\r\nContent-Type: {contentType}\r\nContent-Range: {contentRange(each, size)}\r\n\r\n"
        parts += [(("\r\n" if parts else "") + head).encode("ascii"), each]
    parts.append(f"\r\n--{boundary}--\r\n".encode("ascii"))
    return f"multipart/byteranges; boundary={boundary}", parts
