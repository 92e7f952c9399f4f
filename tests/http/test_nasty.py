"""
What costs a peer little to send, and how many steps a connection takes for it: lines of Python run, which are the same
on every machine, however busy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import wasinet_twisted.http
from wasinet_twisted.http import ClientConnection, Data, RequestHead, ServerConnection, WasiRequest, WasiResponse
from wasinet_twisted.http import fields as fieldsModule
from wasinet_twisted.http.connection import KEEP

ROOM = str(Path(wasinet_twisted.http.__file__).parent)
POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def steps(call: Callable[[], object]) -> int:
    """
    How many lines of the room's modules does a call run?
    """
    count = 0

    def inside(frame: FrameType, event: str, given: object) -> Any:
        nonlocal count
        count += event == "line"
        return inside

    def entered(frame: FrameType, event: str, given: object) -> Any:
        return inside if frame.f_code.co_filename.startswith(ROOM) else None

    # What a line means is remembered: each call begins with nothing.
    fieldsModule.cache.clear()
    before = sys.gettrace()
    sys.settrace(entered)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def isLinear(made: Callable[[int], Callable[[], object]], size: int) -> None:
    """
    Four times as much takes no more than some four times the steps.
    """
    once, fourTimes = steps(made(size)), steps(made(4 * size))
    assert fourTimes < 5 * once, (once, fourTimes)


def served(data: bytes, cut: int) -> None:
    """
    Give a server some requests in pieces, and answer each one without reading its body.
    """
    connection: ServerConnection[RequestHead] = ServerConnection()
    for start in range(0, len(data), cut):
        request = connection.receive(data[start : start + cut], 0.0)
        while request is not None or connection.needsTurn:
            if request is not None:
                connection.respond(WasiResponse(), 0.0)
            request = connection.receive(b"", 0.0)
    assert connection.closing is KEEP
    assert connection.isBetween()


SHAPES: dict[str, Callable[[int], bytes]] = {
    "a head": lambda size: b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * size),
    "many fields": lambda size: b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (b"A: 1\r\n" * (size // 16)),
    "chunks of one byte": lambda size: POST + b"1\r\na\r\n" * size + b"0\r\n\r\n",
    "chunks with extensions": lambda size: POST + b"1;a=b\r\na\r\n" * size + b"0\r\n\r\n",
    "trailers": lambda size: POST + b"0\r\n" + b"T: 1\r\n" * (size // 16) + b"\r\n",
    "small requests": lambda size: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * (size // 8),
    "an unread body": lambda size: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size,
}


@pytest.mark.parametrize("cut", [1, 7, 1_000_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_aServersStepsAreLinear(shape: str, cut: int) -> None:
    isLinear(lambda size: lambda: served(SHAPES[shape](size), cut), 200)


LISTS = {
    "Connection": b",",
    "Cookie": b"a=b; ",
    "TE": b"trailers;q=1,",
    "Expect": b"100-continue,",
    "Upgrade": b"x,",
}


@pytest.mark.parametrize("name", LISTS)
def test_98LinesOfAListAreLinear(name: str) -> None:
    """
    Each line is looked at once, and not once more for each line after it.
    """

    def made(lines: int) -> Callable[[], object]:
        # Long enough not to be remembered, and each a different one.
        line = (LISTS[name] * 300)[:300]
        head = b"".join(b"%b: %b%d\r\n" % (name.encode(), line, number) for number in range(lines))
        return lambda: served(b"GET / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n", 1_000_000)

    assert steps(made(98)) < 98 / 24 * 1.3 * steps(made(24))


@pytest.mark.parametrize("name", LISTS)
def test_whatALineOfCommasCosts(name: str) -> None:
    """
    The same few steps a member, however long the list is.
    """

    def made(size: int) -> Callable[[], object]:
        return lambda: served(
            b"GET / HTTP/1.1\r\nHost: a\r\n%b: %b\r\n\r\n" % (name.encode(), LISTS[name] * size), 1 << 20
        )

    isLinear(made, 200)


def test_whatATurnCosts() -> None:
    """
    A megabyte of chunks of one byte is read in turns, each of the same few steps.
    """
    connection: ServerConnection[RequestHead] = ServerConnection()
    connection.receive(POST, 0.0)
    connection.respond(WasiResponse(), 0.0)
    connection.keep(b"1\r\na\r\n" * 20_000, 0.0)
    turns = [steps(lambda: connection.receive(b"", 0.0))]
    while connection.needsTurn:
        turns.append(steps(lambda: connection.receive(b"", 0.0)))
    assert len(turns) > 30
    assert max(turns) < 1.2 * turns[0]


@pytest.mark.parametrize("cut", [1, 1_000_000])
def test_aClientsStepsAreLinear(cut: int) -> None:
    def made(size: int) -> Callable[[], object]:
        data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * size + b"0\r\n\r\n"

        def run() -> None:
            connection = ClientConnection()
            connection.request(WasiRequest(headers={"Host": "a"}), 0.0)
            got = 0
            for start in range(0, len(data), cut):
                connection.receive(data[start : start + cut], 0.0)
                while (event := connection.nextEvent(0.0)) is not None:
                    got += len(event.data) if isinstance(event, Data) else 0
            assert (got, connection.isFree) == (size, True)

        return run

    isLinear(made, 200)
