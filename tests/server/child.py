"""
A server in a process of its own, C{abused.py}, and the plain sockets that it is talked to by.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import PATIENCE, ROOT, Client, waitUntil

from .support import get, parse

LOCAL = "127.0.0.1"


class Abused:
    """
    The server.
    """

    def __init__(self, directory: Path, **options: Any) -> None:
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.server.abused", json.dumps(options)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def ask(self, path: str = "/stats") -> bytes:
        """
        An honest request.
        """
        with Client(self.port) as client:
            client.send(get(path, "Connection: close"))
            (response,) = parse(client.receiveAll())
            assert response.status == 200
            return response.body

    def statistics(self) -> Any:
        return json.loads(self.ask())

    def resident(self) -> int:
        """
        How much memory it has, in bytes.
        """
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def warmUp(self) -> None:
        """
        Let it import and allocate what it does only once.
        """
        for path in ("/x", "/big", "/stream", "/read", "/stats"):
            for _ in range(5):
                self.ask(path)
        with Client(self.port) as client:
            client.send(get() * 2000)
            client.end()
            client.receiveAll()

    def waitUntilAlone(self) -> Any:
        """
        Wait until only who asks is connected.
        """
        waitUntil(lambda: self.statistics()["connections"]["open"] == 1, "all connections gone")
        statistics = self.statistics()
        # Who asks is in flight.
        assert statistics["requests"]["inFlight"] == 1, statistics
        return statistics

    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def serving(directory: Path, *, failures: int = 0, warm: bool = True, **options: Any) -> Iterator[Abused]:
    """
    A server that in the end drains, has logged no failure, and whose figures add up.

    @param failures: so many it has logged.
    """
    server = Abused(directory, **options)
    try:
        if warm:
            server.warmUp()
        yield server
        server.process.terminate()
        last, _ = server.process.communicate(timeout=PATIENCE)
        assert server.process.returncode == 0
        statistics = json.loads(last)
        assert statistics["connections"]["open"] == statistics["requests"]["inFlight"] == 0, statistics
    finally:
        server.process.kill()
        server.process.communicate()
    assert server.log().count("Traceback") == failures, server.log()


def connect(port: int, receiveBuffer: int | None = None) -> socket.socket:
    client = socket.socket()
    if receiveBuffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
    client.settimeout(PATIENCE)
    try:
        client.connect((LOCAL, port))
    except OSError:
        client.close()
        raise
    return client


def drain(client: socket.socket) -> None:
    """
    Take all until the end.
    """
    while client.recv(1 << 16):
        pass


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
