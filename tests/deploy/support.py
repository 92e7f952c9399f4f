"""
What the tests of C{deploy/} share: its files with this machine's addresses in them, servers, and clients.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Lock, Thread

from tests.processes import PATIENCE, ROOT, Process, freePort, script, unixClient

# Between a client's requests, in seconds: the servers have to start beside them.
PAUSE = 0.002

DEPLOY = ROOT / "deploy"

# What a proxy has to take away.
FORGED = {"X-Forwarded-For": "198.51.100.66"}

# It names itself, the client, and what was asked; and keeps what it has been asked, even when it is killed.
APP = """
import os
from twisted.internet import reactor, task
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import formatAddress

NAME = os.path.basename(os.getcwd())
ASKED = os.open("asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

async def handler(request):
    os.write(ASKED, f"{request.path}\\n".encode())
    await request.read()
    await task.deferLater(reactor, 0.005)
    told = request.headers.get("X-Forwarded-For") or formatAddress(request.peer)
    return WasiResponse(headers={"X-Server": NAME, "X-Peer": told}, body=request.path)
"""


def deployed(name: str) -> str:
    """
    The text of a file of C{deploy/}.
    """
    return (DEPLOY / name).read_text(encoding="utf-8")


def adapted(text: str, changes: Mapping[str, str]) -> str:
    """
    Change lines of a file, each of which has to be there once.
    """
    for before, after in changes.items():
        assert text.count(before) == 1, f"{before!r} stands there {text.count(before)} times"
        text = text.replace(before, after)
    return text


class Server:
    """
    One of ours, which can be started again and again at the same ports.

    @ivar name: its directory's, and what it calls itself.
    """

    def __init__(self, directory: Path, name: str, *options: str, listen: str = "haproxy:tcp") -> None:
        self.name = name
        self.port, self.status = freePort(), freePort()
        self._directory = directory / name
        self._directory.mkdir()
        (self._directory / "shop.py").write_text(APP)
        self._command = [
            *(script("twistd"), "-n", "--pidfile=", "wasinet-http", "--app=shop:handler"),
            f"--listen={listen}:{self.port}:interface=127.0.0.1",
            f"--status=0.0.0.0:{self.status}",
            *options,
        ]
        self.process: Process | None = None

    def start(self) -> None:
        """
        Start it. It may take a moment until it listens.
        """
        self.process = Process(self._command, self._directory)

    def asked(self) -> set[str]:
        """
        The paths of all requests that it has seen so far.
        """
        return set((self._directory / "asked").read_text().split())

    def restart(self) -> None:
        """
        SIGTERM, wait for the end, and start it again.
        """
        assert self.process is not None
        assert self.process.stop() == -signal.SIGTERM, self.process.stdout()
        self.start()

    def kill(self) -> None:
        """
        The process ends at once.
        """
        assert self.process is not None
        self.process.stop(signal.SIGKILL)


@contextmanager
def started(*servers: Server) -> Iterator[None]:
    """
    Run these, and end them.
    """
    try:
        for server in servers:
            server.start()
        for server in servers:
            assert server.process is not None
            server.process.waitForPorts(server.status)
        yield
    finally:
        for server in servers:
            if server.process is not None and server.process.process.poll() is None:
                server.kill()


class Load:
    """
    Clients that ask all the time, each from an address of its own: two of three keep their connection, the third makes
    one for each request. Every second request is a POST. Each claims to come from elsewhere.

    @ivar lost: the methods and paths of requests that got no answer, or one with an error, and what came instead.
    @ivar wrong: what answers should not have been.
    @ivar answers: how many each server has given.
    """

    def __init__(self, port: int, clients: int = 6) -> None:
        self.lost: list[tuple[str, str, str]] = []
        self.wrong: list[str] = []
        self.answers: dict[str, int] = {}
        self._port = port
        self._lock = Lock()
        self._over = Event()
        self._threads = [Thread(target=self._ask, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(PATIENCE)

    def total(self) -> int:
        """
        How many answers there were.
        """
        with self._lock:
            return sum(self.answers.values())

    def by(self, name: str) -> int:
        """
        How many of them a server has given.
        """
        return self.answers.get(name, 0)

    def _ask(self, number: int) -> None:
        address, count = f"127.0.0.{number + 10}", 0
        connection: HTTPConnection | None = None
        while not self._over.is_set():
            method, path = ("GET", "POST")[count % 2], f"/{number}-{count}"
            count += 1
            if connection is None:
                connection = HTTPConnection("127.0.0.1", self._port, PATIENCE, source_address=(address, 0))
            try:
                connection.request(method, path, b"0123456789" if method == "POST" else None, FORGED)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, HTTPException) as error:
                self._tell(method, path, repr(error))
                connection.close()
                connection = None
                self._over.wait(PAUSE)
                continue
            if answer.status != 200:
                self._tell(method, path, f"status {answer.status}")
            else:
                # Of the connection that the answer has come on.
                self._answered(answer.getheader("X-Server", ""), answer.getheader("X-Peer", ""), address, path, body)
            if number % 3 == 2 or connection.sock is None:
                connection.close()
                connection = None
            self._over.wait(PAUSE)
        if connection is not None:
            connection.close()

    def _tell(self, method: str, path: str, what: str) -> None:
        with self._lock:
            self.lost.append((method, path, what))

    def _answered(self, server: str, peer: str, address: str, path: str, body: bytes) -> None:
        with self._lock:
            self.answers[server] = self.answers.get(server, 0) + 1
            if body.decode() != path or peer.partition(":")[0] != address:
                self.wrong.append(f"{path} from {address}: {body!r} to {peer}")


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, bytes]:
    """
    @return: the status, and the body.
    """
    connection = HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def command(path: Path, text: str) -> str:
    """
    Ask a runtime socket of HAProxy's.
    """
    with unixClient(path) as client:
        client.sendall(text.encode() + b"\n")
        with client.makefile() as answer:
            return answer.read()
