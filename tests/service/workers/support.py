"""
Running commands with workers.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Process, freePort, running, waitUntil
from tests.service.support import TWISTD, at, write

# It answers with its process.
APP = """
import os, time
from twisted.logger import Logger
from wasinet_twisted.http import WasiResponse

VERSION = b"one"

async def handler(request):
    if request.path == "/slow":
        from twisted.internet import reactor, task
        await task.deferLater(reactor, 0.5)
    elif request.path == "/failing":
        raise ValueError("it is broken")
    elif request.path == "/blocked":
        time.sleep(60)
    return WasiResponse(200, {}, VERSION + b" %d" % os.getpid())
"""

# Between an answer and the next request of a client, in seconds.
PAUSE = 0.002

CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
KEEP = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def serving(
    directory: Path, *options: str, workers: int = 2, app: str = APP, command: Sequence[str] = TWISTD
) -> Iterator[tuple[Process, int, Status]]:
    """
    Serve C{app:handler} of a directory by workers, with a status page.

    @return: the process, its port, and what the page tells. All workers are ready.
    """
    if not (directory / "app.py").exists():
        write(directory, app)
    port, status = freePort(), freePort()
    arguments = [*command, "--app=app:handler", "--listen", at(port), f"--workers={workers}", f"--status={status}"]
    with running([*arguments, *options], directory) as process:
        process.waitForOutput(f"listening on http://127.0.0.1:{port}")
        yield process, port, Status(status)


def parentOf(pid: int) -> int:
    """
    Which process has started this one.
    """
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Status:
    """
    What a status page tells.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def read(self, path: str) -> str:
        """
        What is there.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return str(answer.read().decode())

    def json(self) -> dict[str, Any]:
        """
        Its figures.
        """
        return dict(json.loads(self.read("/status.json")))

    def pids(self) -> dict[int, int]:
        """
        The processes that serve, by worker.
        """
        return {row["worker"]: row["pid"] for row in self.json()["workers"] if row["state"] == "ready"}

    def waitForRequests(self, count: int) -> None:
        """
        Wait until the sums say that there were so many.
        """
        waitUntil(lambda: self.json()["requests"]["total"] >= count, f"{count} requests")
        assert self.json()["requests"]["total"] == count


class Load:
    """
    Clients in threads, each of which asks over and over.

    @ivar answers: how often each body has come.
    @ivar lost: what has come instead of an answer.
    """

    def __init__(self, port: int, kinds: Sequence[bytes] = (KEEP, KEEP, KEEP, CLOSE, CLOSE)) -> None:
        self._port = port
        self.answers: Counter[bytes] = Counter()
        self.lost: list[object] = []
        self._stopped = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(kind,)) for kind in kinds]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def seen(self) -> set[bytes]:
        """
        All bodies so far.
        """
        with self._lock:
            return set(self.answers)

    def _run(self, request: bytes) -> None:
        connection: socket.socket | None = None
        while not self._stopped:
            try:
                if connection is None:
                    connection = socket.create_connection(("127.0.0.1", self._port), timeout=20)
                connection.sendall(request)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    data = connection.recv(4096)
                    if not data:
                        raise ConnectionError(f"closed after {answer!r}")
                    answer += data
                head, _, body = answer.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200"), head
                with self._lock:
                    self.answers[body] += 1
                # New workers start meanwhile, on the same cores.
                time.sleep(PAUSE)
                if b"onnection: close" in head:
                    connection.close()
                    connection = None
            except (OSError, AssertionError) as error:
                self.lost.append(error)
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.01)
        if connection is not None:
            connection.close()
