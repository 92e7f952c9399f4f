"""
What a server has to bear: as a process, with clients that mean no good. Each test prints its figures (pytest -s).
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import PATIENCE, waitUntil
from tests.support import more

from .child import connect, reset, serving
from .support import get, post

Figure = Callable[[str, object], None]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """
    Print what a test has measured.
    """
    return lambda name, value: print(f"{request.node.name}: {name}: {value}")


def pour(client: socket.socket, data: bytes, stuck: float = 1.0) -> int:
    """
    Send until all is sent, the server takes nothing any more, or is gone.

    @return: how much was sent.
    """
    client.setblocking(False)
    view = memoryview(data)
    sent = 0
    with suppress(ConnectionError):
        while sent < len(data):
            if not select.select([], [client], [], stuck)[1]:
                break
            sent += client.send(view[sent : sent + (1 << 20)])
    client.settimeout(PATIENCE)
    return sent


def test_slowloris(tmp_path: Path, figure: Figure) -> None:
    """
    A thousand heads that come byte by byte: each is refused at its deadline, whatever comes meanwhile.
    """
    with serving(tmp_path, head=2) as server:
        clients = [connect(server.port) for _ in range(1000)]
        poll = select.epoll()
        begun: dict[int, float] = {}
        byFd = {}
        for client in clients:
            client.setblocking(False)
            byFd[client.fileno()] = client
            client.send(b"G")
            begun[client.fileno()] = time.monotonic()
            poll.register(client, select.EPOLLIN)
        took, honest = [], []
        until = time.monotonic() + 10
        text = get("/", "A: " + "a" * 1000)[1:]
        for byte in text:
            assert time.monotonic() < until, f"{len(byFd)} are left"
            asked = time.monotonic()
            assert server.ask("/honest") == b"/honest"
            honest.append(time.monotonic() - asked)
            for fd, _ in poll.poll(0.1):
                data = byFd[fd].recv(1000)
                assert data.startswith(b"HTTP/1.1 408 "), data
                took.append(time.monotonic() - begun[fd])
                poll.unregister(fd)
                byFd.pop(fd).close()
            if not byFd:
                break
            for client in byFd.values():
                with suppress(ConnectionError):
                    client.send(bytes((byte,)))
        assert not byFd
        # Their deadline, and how often it is looked at.
        assert min(took) >= 2
        figure("refused after, s", f"{min(took):.2f} to {max(took):.2f}")
        figure("slowest honest answer, ms", f"{max(honest) * 1000:.0f}")
        assert max(took) < 2 + 0.5 + 1.5
        assert max(honest) < 1
        statistics = server.waitUntilAlone()
        assert {"status": 408, "reason": "too slow", "count": 1000} in statistics["refused"]


# How much a process may grow by: Python takes memory by 1 MiB, and may just have needed some more.
ROOM = 2 << 20


def test_pipelinedAndNeverRead(tmp_path: Path, figure: Figure) -> None:
    """
    What isn't taken isn't answered, and not read from the kernel beyond a bound.
    """
    with serving(tmp_path, bodyGrace=3, responseRate=100_000, sendBuffer=16384) as server:
        before = server.resident()
        client = connect(server.port, 4096)
        sent = pour(client, get("/0123456789") * 200_000)
        grown = server.resident() - before
        figure("sent, of 200,000", sent // len(get("/0123456789")))
        figure("grown, KiB", grown // 1024)
        assert grown < ROOM
        statistics = server.waitUntilAlone()
        assert statistics["dropped"] == {"slow reader": 1}
        client.close()


def test_pipelinedAndReadInTheEnd(tmp_path: Path) -> None:
    """
    A peer that comes to take them gets them all.
    """
    with serving(tmp_path, sendBuffer=16384) as server:
        client = connect(server.port, 4096)
        text = get("/0123456789") * 50_000
        sent = pour(client, text, 0.3)
        client.setblocking(False)
        answers, end = 0, b""
        while answers < 50_000:
            readable, writable, _ = select.select([client], [client] if sent < len(text) else [], [], 5)
            assert readable or writable, f"stuck: {sent} of {len(text)} bytes sent, {answers} answers"
            if writable:
                sent += client.send(text[sent : sent + 65536])
            if readable:
                data = end + client.recv(1 << 20)
                answers += data.count(b"\r\n\r\n/0123456789")
                # What may be the beginning of the next one that is counted.
                end = data[data.rfind(b"\r\n\r\n/0123456789") + 1 :][-14:]
        assert answers == 50_000
        client.close()


MEGABYTE = b"100000\r\n" + bytes(1 << 20) + b"\r\n"


@pytest.mark.parametrize(("path", "status"), [("/wait", None), ("/ignored", 200), ("/read", 413)])
def test_aBodyThatNobodyWants(path: str, status: int | None, tmp_path: Path, figure: Figure) -> None:
    """
    200 MB, chunked, for a handler that waits for something else, that answers without reading, that takes less.
    """
    with serving(tmp_path, body=65536, handler=4) as server:
        before = server.resident()
        client = connect(server.port)
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        grown = 0
        # Memory that is had only for a moment counts as well.
        for _ in range(200):
            size = pour(client, MEGABYTE)
            sent += size
            grown = max(grown, server.resident() - before)
            if size < len(MEGABYTE):
                break
        figure("sent, MB", sent // 1_000_000)
        figure("grown, KiB", grown // 1024)
        assert grown < ROOM
        assert sent < 190 << 20
        if status is not None:
            # The answer is there, or the kernel has thrown it away with a reset: the client went on beyond all bounds.
            with suppress(ConnectionError):
                assert client.recv(12) == b"HTTP/1.1 %d" % status
        client.close()
        server.waitUntilAlone()


def test_readersThatNeverRead(tmp_path: Path, figure: Figure) -> None:
    """
    200 answers of 200 KB that nobody takes.
    """
    with serving(tmp_path, bodyGrace=3, responseRate=100_000, sendBuffer=16384) as server:
        before = server.resident()
        began = time.monotonic()
        clients = [connect(server.port, 4096) for _ in range(200)]
        for client in clients:
            client.sendall(get("/big"))
        waitUntil(lambda: server.statistics()["statuses"]["200"] >= 200, "all answered")
        each = (server.resident() - before) // 200
        figure("for each, KiB", each // 1024)
        assert each < 300 * 1024
        statistics = server.waitUntilAlone()
        took = time.monotonic() - began
        figure("dropped after, s", f"{took:.1f}")
        assert statistics["dropped"] == {"slow reader": 200}
        assert took >= 3
        for client in clients:
            client.close()


def test_resets(tmp_path: Path, figure: Figure) -> None:
    """
    Thousands of connections that are reset in whatever state: none is kept, nothing is logged as a failure.
    """
    with serving(tmp_path) as server:
        before, memory = server.descriptors(), server.resident()
        states = (
            b"",
            b"GET / HT",
            get(),
            get("/big"),
            get("/stream"),
            get("/wait"),
            post("/read", 100_000, body=bytes(50_000)),
            post("/ignored", 1_000_000, body=bytes(5000)),
            get() * 50 + b"nonsense\r\n\r\n",
            b"nonsense\r\n\r\n",
        )
        began = time.monotonic()
        for number in range(more(3000, 30)):
            client = connect(server.port, 4096)
            client.sendall(states[number % len(states)])
            if number % 3 == 0 and number % len(states) in (2, 3, 4, 8, 9):
                # Once the answer is on its way.
                client.recv(10)
            reset(client)
        figure("seconds", f"{time.monotonic() - began:.1f}")
        # Those that wait for something else than their peer go on; there are hundreds.
        waitUntil(lambda: server.statistics()["connections"]["open"] == 1, "all connections gone")
        waitUntil(lambda: server.descriptors() <= before, "all descriptors closed")
        statistics = server.statistics()
        assert statistics["requests"]["inFlight"] == 1, statistics
        figure("grown, KiB", (server.resident() - memory) // 1024)
        assert "Unhandled" not in server.log()
