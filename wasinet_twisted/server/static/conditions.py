"""
Validators of a file, and what the conditions of a request say of them. RFC 9110 section 13.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ...http import RequestHead
from ..dates import formatDate, parseDate

# An element of a list of entity tags, which may be empty, and the comma behind it. RFC 9110 section 5.6.1 and 8.8.3
_ELEMENT = re.compile(r'[ \t]*(?:((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|\Z)')


class Validators(NamedTuple):
    """
    By what a file is known again.

    @ivar etag: strong: with quotes, without C{W/}.
    @ivar modified: seconds since 1970.
    """

    etag: str
    modified: int

    @classmethod
    def of(cls, status: os.stat_result, coding: str = "") -> Validators:
        """
        @param coding: in which the file is another file's representation.
        """
        suffix = f"-{coding}" if coding else ""
        return cls(f'"{status.st_mtime_ns:x}-{status.st_size:x}{suffix}"', status.st_mtime_ns // 1_000_000_000)

    def fields(self, now: float) -> dict[str, str]:
        """
        The fields that tell a client.

        @param now: seconds since 1970. No time of modification is later (RFC 9110 section 8.8.2.1).
        """
        date = formatDate(min(self.modified, int(now)))
        return {"ETag": self.etag} if date is None else {"ETag": self.etag, "Last-Modified": date}


def statusBy(request: RequestHead, validators: Validators) -> int | None:
    """
    Return what the conditions of a GET or HEAD make of its answer: 304, 412, or L{None}: they hold, or there are none.

    The order is that of RFC 9110 section 13.2.2. A date that is none is ignored. A list of entity tags that is none
    has none that match.
    """
    match = request.getHeader("If-Match")
    if match is not None:
        if not _matches(match, validators.etag, weakly=False):
            return 412
    elif (date := _date(request, "If-Unmodified-Since")) is not None and validators.modified > date:
        return 412
    match = request.getHeader("If-None-Match")
    if match is not None:
        return 304 if _matches(match, validators.etag, weakly=True) else None
    if (date := _date(request, "If-Modified-Since")) is not None and validators.modified <= date:
        return 304
    return None


def rangeHolds(request: RequestHead, validators: Validators, now: float) -> bool:
    """
    Is a Range to be honoured? RFC 9110 section 13.1.5: if there is an If-Range, it must be the very entity tag or date.

    @param now: seconds since 1970. A file of the present second may still change without another date.
    """
    given = request.getHeader("If-Range")
    if given is None:
        return True
    if given == validators.etag:
        return True
    return parseDate(given, now) == validators.modified and validators.modified < int(now)


def _date(request: RequestHead, name: str) -> int | None:
    value = request.getHeader(name)
    return None if value is None else parseDate(value)


def _matches(given: str, etag: str, weakly: bool) -> bool:
    """
    @param given: C{*}, or a list of entity tags.
    @param weakly: does a weak tag match as well? RFC 9110 section 8.8.3.2
    """
    if given == "*":
        return True
    found = False
    at = 0
    while at < len(given):
        element = _ELEMENT.match(given, at)
        if element is None:
            return False
        at = element.end()
        tag = element[1]
        found = found or tag == etag or (weakly and tag == f"W/{etag}")
    return found
