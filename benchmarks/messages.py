"""
The requests of which the benchmarks have several.
"""

from __future__ import annotations

import random

Fields = list[tuple[str, str]]

_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"


def wire(method: str, target: str, fields: Fields, body: bytes = b"") -> bytes:
    """
    The bytes of a request.

    @param body: as it is sent, with chunks if there are any.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def browserFields(rng: random.Random) -> Fields:
    """
    The 12 fields of a browser's GET; the cookie is one of many.
    """
    session, visitor = rng.randbytes(16).hex(), rng.randrange(10**9)
    return [
        ("Host", "www.example.com"),
        ("User-Agent", _AGENT),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Connection", "keep-alive"),
        ("Referer", "https://www.example.com/index.html"),
        ("Cookie", f"session={session}; theme=dark; lang=en; _ga=GA1.2.{visitor}.1700000000"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "same-origin"),
    ]


def postFields(length: int | None) -> Fields:
    """
    The fields of a POST.

    @param length: its Content-Length; L{None}: it is chunked.
    """
    framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
    return [("Host", "www.example.com"), ("Content-Type", "application/octet-stream"), framing]
