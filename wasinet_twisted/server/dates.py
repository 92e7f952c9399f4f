"""
Dates in fields: the Date field, and those that clients send.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import datetime
from email.utils import formatdate
from time import gmtime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"

# RFC 9110 section 5.6.7: the form that is sent, and two obsolete ones that a recipient has to know.
_FORMS = tuple(
    re.compile(form)
    for form in (
        f"(?:{'|'.join(_DAYS)}), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        f"(?:{'|'.join(_LONG_DAYS)}), (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        f"(?:{'|'.join(_DAYS)}) {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)


def dateLine(now: float) -> bytes:
    """
    Return the Date field's line (RFC 9110 section 6.6.1).

    @param now: seconds since 1970.
    """
    return f"Date: {formatdate(int(now), usegmt=True)}\r\n".encode("ascii")


def formatDate(seconds: int) -> str | None:
    """
    Return a date as a field has it (RFC 9110 section 5.6.7); L{None} if its year can't be written.

    @param seconds: since 1970.
    """
    try:
        return formatdate(seconds, usegmt=True)
    except (OverflowError, ValueError, OSError):
        return None


def parseDate(text: str, now: float | None = None) -> int | None:
    """
    Return the seconds since 1970 of a date in one of the three forms that RFC 9110 section 5.6.7 has; L{None}: it is
    none. The day of the week is not compared with the date.

    @param now: seconds since 1970, for a year of two digits: one more than 50 years ahead is a past one.
    """
    match = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if match is None:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        present = gmtime(now).tm_year
        year += present // 100 * 100
        if year > present + 50:
            year -= 100
    numbers = [int(match[each]) for each in ("day", "hour", "minute", "second")]
    day, hour, minute, second = numbers
    try:
        # A leap second is the next minute's first.
        moment = datetime(year, _MONTHS.index(match["month"]) + 1, day, hour, minute, min(second, 59))
    except ValueError:
        return None
    if second > 60:
        return None
    return timegm(moment.timetuple()) + (second == 60)
