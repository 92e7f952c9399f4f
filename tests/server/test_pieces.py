"""
The pieces of a response's body, whichever way they come; and the Date field.
"""

from __future__ import annotations

import pytest

from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.server.dates import dateLine
from wasinet_twisted.server.pieces import inPieces


def test_date() -> None:
    """
    The example of RFC 9110 section 5.6.7.
    """
    assert dateLine(784111777) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


async def _collect(pieces: object) -> list[bytes]:
    return [piece async for piece in inPieces(pieces)]  # type: ignore[arg-type]


def collect(pieces: object) -> list[bytes]:
    coroutine = _collect(pieces)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        found: list[bytes] = stop.value
        return found
    raise AssertionError("it waits")


def test_pieces() -> None:
    closed = []

    def plain() -> object:
        try:
            yield "é"
            yield b""
            yield bytearray(b"x")
        finally:
            closed.append("plain")

    async def later() -> object:
        try:
            yield b"a"
            yield memoryview(b"b")
        finally:
            closed.append("later")

    assert collect(plain()) == [b"\xc3\xa9", b"x"]
    assert collect(later()) == [b"a", b"b"]
    assert collect([b"a", "b"]) == [b"a", b"b"]
    assert closed == ["plain", "later"]
    with pytest.raises(LocalProtocolError, match="int"):
        collect([5])
