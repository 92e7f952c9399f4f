"""
Running C{wasinet-asgi} with an app, and asking it by real sockets.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import Client, Process, freePort, running, script
from tests.service.support import at, statusOf, write

TWISTD = [script("twistd"), "-n", "wasinet-asgi"]
TWIST = [sys.executable, "-m", "twisted", "wasinet-asgi"]

# How soon an app is told that its client has gone, in seconds.
SOON = 1.0


@contextmanager
def serving(
    directory: Path, *options: str, text: str, app: str = "app:app", command: list[str] = TWISTD
) -> Iterator[tuple[Process, int]]:
    """
    Serve an app of a directory, once it listens.

    @param text: the module C{app}.
    @return: the process, and its port.
    """
    write(directory, text)
    port = freePort()
    with running([*command, "--app", app, "--listen", at(port), *options], directory) as process:
        process.waitForPorts(port)
        yield process, port


def request(path: str = "/", *fields: str, method: str = "GET", size: int = 0) -> bytes:
    """
    The head of a request that closes its connection.

    @param size: of its body.
    """
    lines = (f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {size}", *fields)
    return "\r\n".join((*lines, "", "")).encode()


def ask(port: int, path: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
    """
    @return: the status, and the body.
    """
    with Client(port) as client:
        client.send(request(path, *fields, method=method, size=len(body)) + body)
        return answerOf(client.receiveAll())


def answerOf(answer: bytes) -> tuple[int, bytes]:
    """
    @param answer: the whole of one.
    @return: the status, and the body.
    """
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        rest = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", rest, re.DOTALL))
    return statusOf(answer), rest


def receiveUntil(client: Client, expected: bytes) -> None:
    """
    Wait for the beginning of a response.
    """
    received = b""
    while expected not in received:
        more = client.socket.recv(1000)
        assert more, received
        received += more


def goesInTheMidst(process: Process, port: int, path: str, expected: str) -> None:
    """
    Ask for a response, and go when it has begun: the app says so soon.

    @param expected: what the app prints then.
    """
    assert expected not in process.stdout()
    with Client(port) as client:
        client.send(request(path))
        receiveUntil(client, b"first")
    gone = time.monotonic()
    process.waitForOutput(expected)
    assert time.monotonic() - gone < SOON


def memoryOf(process: Process) -> int:
    """
    The most memory that a process has had, in KiB.
    """
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1])


def upload(port: int, path: str, size: int) -> tuple[int, bytes]:
    """
    Send a body as fast as it is taken.

    @return: the status, and the body.
    """
    piece = bytes(1_000_000)
    with Client(port) as client:
        client.send(request(path, method="POST", size=size))
        for _ in range(size // len(piece)):
            client.send(piece)
        return answerOf(client.receiveAll())
