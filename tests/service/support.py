"""
Running C{wasinet-http} with an app.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import Process, freePort, running, script

TWISTD = [script("twistd"), "-n", "wasinet-http"]
TWIST = [sys.executable, "-m", "twisted", "wasinet-http"]
COMMANDS = pytest.mark.parametrize("command", [TWISTD, TWIST], ids=["twistd", "twist"])

APP = """
import time
from twisted.internet import defer, reactor, task
from wasinet_twisted.http import WasiResponse

async def handler(request):
    if request.path == "/slow":
        await task.deferLater(reactor, 1.0)
    elif request.path == "/never":
        await defer.Deferred()
    elif request.path == "/blocked":
        time.sleep(60)
    return WasiResponse(200, {}, b"one:" + await request.read())
"""

POST = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8\r\n\r\nWasmEdge"


def at(port: int) -> str:
    return f"tcp:{port}:interface=127.0.0.1"


def write(directory: Path, text: str = APP, name: str = "app.py") -> Path:
    """
    Write a module.
    """
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@contextmanager
def serving(directory: Path, *options: str, command: list[str] = TWISTD) -> Iterator[tuple[Process, int]]:
    """
    Serve C{app:handler} of a directory.

    @return: the process, and its port.
    """
    if not (directory / "app.py").exists():
        write(directory)
    port = freePort()
    with running([*command, "--app", "app:handler", "--listen", at(port), *options], directory) as process:
        process.waitForPorts(port)
        yield process, port


def ended(process: Process, status: int) -> None:
    """
    It ends with this status, and without a traceback.
    """
    assert process.wait() == status
    assert "Traceback" not in process.stdout() + process.stderr()


def body(answer: bytes) -> bytes:
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
    return rest


def statusOf(answer: bytes) -> int:
    return int(answer.split()[1])
