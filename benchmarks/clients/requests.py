"""
What the clients ask for, and what they are to get.
"""

from __future__ import annotations

import random
from typing import NamedTuple

# The answer to a small request: some 100 bytes, of the same length each.
SMALL_BODY = "path:{target} is one of many that this origin answers with a line of text like this one.\n"
# The answer to a large one, in bytes.
LARGE = 64 * 1024
# Enough that remembering whole requests would help nobody.
_COUNT = 4096


class Ask(NamedTuple):
    """
    A GET.

    @ivar url: all of it, for clients that take one.
    @ivar target: the part after the authority.
    @ivar fields: those that the caller gives, beside what a client adds of its own accord.
    """

    url: str
    target: str
    fields: dict[str, str]


def asks(port: int, case: str) -> list[Ask]:
    """
    Return the requests of a case, each with its own path, query, cookies and ID.

    @param case: C{"small"} or C{"large"}.
    """
    rng = random.Random(case)
    found = []
    for _ in range(_COUNT):
        target = f"/{case}/{rng.randrange(10**5):05d}?page={rng.randrange(100, 1000)}"
        cookie = f"session={rng.randbytes(16).hex()}; theme=dark; visitor={rng.randrange(10**9)}"
        fields = {
            "User-Agent": "benchmark/1.0",
            "Accept": "text/plain, application/octet-stream;q=0.9, */*;q=0.1",
            "Cookie": cookie,
            "X-Request-Id": rng.randbytes(8).hex(),
        }
        found.append(Ask(f"http://127.0.0.1:{port}{target}", target, fields))
    return found


def smallBody(ask: Ask) -> bytes:
    """
    Return the body of the answer to a small request.
    """
    return SMALL_BODY.format(target=ask.target).encode("ascii")
