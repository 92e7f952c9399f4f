"""
What a WebSocket message costs a server that sends it back, ours and its peers': processor time, and the memory of one
that is idle.

    python -m benchmarks.websocket [--rounds 3] [--seconds 3] [--connections 50] [--size 64] [--idle 1000]
                                   [--candidates NAME ...]

Each server is a process of its own. So many connections, without compression, have one message in flight each; counted
is the processor time of the server's process, as the kernel has it. The candidates take turns. Memory is what the
resident set grows by.
"""

from __future__ import annotations

import argparse
import select
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .candidates import Candidate, Server, module, script, serving
from .command import say

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_MASK = b"\x12\x34\x56\x78"
_WARM_UP = 0.5


def _uvicorn(implementation: str) -> Candidate:
    command = ("uvicorn", "benchmarks.peers.wsasgi:app", "--host", "127.0.0.1", "--port", "{port}", "--loop", "uvloop")
    return Candidate(
        f"uvicorn, {implementation}",
        module(*command, "--ws", implementation, "--lifespan", "off", "--log-level", "warning"),
        ("uvicorn", "uvloop", "wsproto" if implementation == "wsproto" else "websockets"),
    )


def _ours(title: str, reactor: str) -> Candidate:
    listen = ("--app", "benchmarks.peers.wsours:handler", "--listen", "tcp:{port}:interface=127.0.0.1")
    command = (*script("twistd"), f"--reactor={reactor}", "--nodaemon", "--pidfile=", "wasinet-http", *listen)
    return Candidate(title, command, ("wasinet_twisted", "twisted", "websockets"))


# The first is ours: the others are compared with it.
CANDIDATES = {
    "ours": _ours("wasinet_twisted", "wasinet"),
    "epoll": _ours("wasinet_twisted, Twisted's epoll", "epoll"),
    "uvicorn": _uvicorn("websockets"),
    "uvicorn-sansio": _uvicorn("websockets-sansio"),
    "uvicorn-wsproto": _uvicorn("wsproto"),
    "autobahn": Candidate(
        "autobahn, Twisted's epoll", module("benchmarks.peers.wsautobahn", "{port}"), ("autobahn", "twisted")
    ),
}


def message(size: int) -> bytes:
    """
    A masked frame of text.
    """
    assert size < 126
    payload = b"a" * size
    return bytes((0x81, 0x80 | size)) + _MASK + bytes(byte ^ _MASK[at % 4] for at, byte in enumerate(payload))


def connected(port: int) -> socket.socket:
    """
    One that has made its handshake.
    """
    conn = socket.create_connection(("127.0.0.1", port))
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    conn.sendall(HANDSHAKE)
    head = b""
    while b"\r\n\r\n" not in head:
        head += conn.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return conn


@contextmanager
def _all(port: int, count: int) -> Iterator[list[socket.socket]]:
    conns: list[socket.socket] = []
    try:
        for _ in range(count):
            conns.append(connected(port))
        yield conns
    finally:
        for conn in conns:
            conn.close()


def cost(server: Server, port: int, connections: int, size: int, seconds: float) -> tuple[float, float]:
    """
    Send messages for so many seconds.

    @return: the server's processor time a message, in seconds, and messages a second.
    """
    sent, due = message(size), size + 2
    with _all(port, connections) as conns, select.epoll() as polling:
        byFile = {conn.fileno(): conn for conn in conns}
        for conn in conns:
            polling.register(conn.fileno(), select.EPOLLIN)
            conn.sendall(sent)

        def run(seconds: float) -> int:
            count, end = 0, time.perf_counter() + seconds
            while time.perf_counter() < end:
                for number, _ in polling.poll(1.0):
                    assert len(byFile[number].recv(4096)) == due
                    byFile[number].sendall(sent)
                    count += 1
            return count

        run(_WARM_UP)
        before = server.cpu()
        count = run(seconds)
        return (server.cpu() - before) / count, count / seconds


def idle(server: Server, port: int, count: int) -> float:
    """
    Return how many bytes a connection takes that has had a message and waits for the next.
    """
    sent = message(8)
    with _all(port, 50) as conns:
        for conn in conns:
            conn.sendall(sent)
            conn.recv(100)
        time.sleep(0.5)
        before = server.resident()
        with _all(port, count) as more:
            for conn in more:
                conn.sendall(sent)
                conn.recv(100)
            time.sleep(1.0)
            return (server.resident() - before) / count


def main(arguments: Sequence[str] | None = None) -> int:
    """
    As the module has it.
    """
    parser = argparse.ArgumentParser(description="What a WebSocket message costs a server.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--idle", type=int, default=1000, help="how many idle ones; 0 leaves that out")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES), metavar="NAME")
    options = parser.parse_args(arguments)
    chosen = {}
    for name in options.candidates:
        missing = CANDIDATES[name].missing()
        if missing is None:
            chosen[name] = CANDIDATES[name]
        else:
            say(f"{name} is left out: {missing}")
    costs: dict[str, list[float]] = {name: [] for name in chosen}
    memory: dict[str, float] = {}
    for number in range(options.rounds):
        for name, candidate in chosen.items():
            with serving(candidate, 0) as server:
                server.connect().close()
                each, rate = cost(server, server.port, options.connections, options.size, options.seconds)
                costs[name].append(each)
                say(f"{name}, round {number + 1}: {each * 1e6:.1f} us of CPU a message, {rate:,.0f} messages a second")
                if options.idle and name not in memory:
                    memory[name] = idle(server, server.port, options.idle)
    print("| server | CPU a message, us | times ours | an idle one, bytes |\n| --- | ---: | ---: | ---: |")
    ours = statistics.median(next(iter(costs.values())))
    for name, candidate in chosen.items():
        middle = statistics.median(costs[name])
        held = f"{memory[name]:,.0f}" if name in memory else ""
        print(f"| {candidate.title} | {middle * 1e6:.1f} | {middle / ours:.2f} | {held} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
