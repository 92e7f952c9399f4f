"""
What the soak's app answers, made of the request alone: the app and the load both compute it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

# A path that is only asked for where no request is to be seen: inside of bodies, and behind what is not valid.
EVIL = "/evil"

# In each answer: the process that has given it.
WORKER = "X-Worker"


def page(method: str, target: str, cookie: str, size: int) -> bytes:
    """
    Return the body for a GET.

    @param size: in bytes.
    """
    line = hashlib.sha256(f"{method} {target} {cookie}".encode()).hexdigest().encode() + b"\n"
    return (line * (size // len(line) + 1))[:size]


def pieces(target: str, count: int, size: int) -> list[bytes]:
    """
    Return the pieces of a streamed body.

    @param size: of each one, in bytes.
    """
    return [page("piece", f"{target} {number}", "", size) for number in range(count)]


def digest(target: str, body: Iterable[bytes]) -> bytes:
    """
    Return the body for a POST.
    """
    summed = hashlib.sha256(target.encode())
    length = 0
    for piece in body:
        summed.update(piece)
        length += len(piece)
    return f"{length} {summed.hexdigest()}\n".encode()
