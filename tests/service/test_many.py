"""
A thousand connections at once to each of the two ports.
"""

from __future__ import annotations

import re
import resource
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.processes import freePort, running, script
from tests.reactors import needsManyDescriptors

CONNECTIONS = 1000
# Seconds for all of them together.
BOUND = 60.0

# It differs from one answer to the next.
DATE = re.compile(rb"Date: [^\r]+ GMT\r\n")


@contextmanager
def manyFiles() -> Iterator[None]:
    """
    Allow this process, and those it starts, as many open files as they may have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Echoed:
    """
    One of the connections.
    """

    def __init__(self, port: int, question: bytes, answer: bytes) -> None:
        self.question = question
        self.expected = answer
        self.received = b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))


def drive(selector: selectors.BaseSelector, clients: list[Echoed], event: int, step: object, until: float) -> None:
    """
    Let each client take its steps, whenever its socket is ready, until it is done.
    """
    for client in clients:
        selector.register(client.socket, event, client)
    while selector.get_map():
        assert time.monotonic() < until, f"{len(selector.get_map())} of {len(clients)} are not done in time"
        for key, _ in selector.select(1):
            if step(key.data):
                selector.unregister(key.fileobj)


def connected(client: Echoed) -> bool:
    error = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert error == 0, error
    return True


def sent(client: Echoed) -> bool:
    assert client.socket.send(client.question) == len(client.question)
    return True


def received(client: Echoed) -> bool:
    data = client.socket.recv(4096)
    assert data, f"closed after {client.received!r}"
    client.received += data
    client.received = DATE.sub(b"", client.received)
    return len(client.received) >= len(client.expected)


def test_aThousandAtOnceToEachPort(tmp_path: Path) -> None:
    """
    All are connected before the first one sends, and stay until the last one is answered.
    """
    needsManyDescriptors()
    http, tcp = freePort(), freePort()
    endpoints = ["--http", f"tcp:{http}:interface=127.0.0.1", "--tcp", f"tcp:{tcp}:interface=127.0.0.1"]
    with (
        manyFiles(),
        running([script("twistd"), "-n", "wasinet-echo", *endpoints], tmp_path) as process,
        ExitStack() as stack,
        selectors.DefaultSelector() as selector,
    ):
        process.waitForPorts(http, tcp)
        until = time.monotonic() + BOUND
        clients = []
        for i in range(CONNECTIONS):
            number = b"%04d" % i
            request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n" + number
            head = (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                b"X-Content-Type-Options: nosniff\r\nContent-Length: 9\r\n\r\n"
            )
            for client in (Echoed(http, request, head + b"echo:" + number), Echoed(tcp, number, b"echo:" + number)):
                stack.callback(client.socket.close)
                clients.append(client)
        drive(selector, clients, selectors.EVENT_WRITE, connected, until)
        for _ in range(2):
            drive(selector, clients, selectors.EVENT_WRITE, sent, until)
            drive(selector, clients, selectors.EVENT_READ, received, until)
            for client in clients:
                assert client.received == client.expected
                client.received = b""
        # Nor do so many keep it from ending.
        assert process.stop() == -signal.SIGTERM
        assert "Traceback" not in process.stdout() + process.stderr()
