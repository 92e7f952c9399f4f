"""
The Date field.
"""

from __future__ import annotations

from email.utils import formatdate


def dateLine(now: float) -> bytes:
    """
    Return the Date field's line (RFC 9110 section 6.6.1).

    @param now: seconds since 1970.
    """
    return f"Date: {formatdate(int(now), usegmt=True)}\r\n".encode("ascii")
