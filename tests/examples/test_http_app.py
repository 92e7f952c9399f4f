"""
The application, as a process, asked by curl and by plain sockets.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.test_examples import example
from tests.processes import Client, Process, freePort, run, running, takenPort, waitUntil
from tests.support import needsTool

MEBIBYTE = 1024 * 1024


class App:
    """
    The application at a port.

    @ivar uploads: where it keeps what is sent.
    """

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.uploads = process.directory / "uploads"

    def curl(self, path: str, *arguments: str) -> str:
        url = f"http://127.0.0.1:{self.port}{path}"
        done = subprocess.run(
            [needsTool("curl"), "-sS", *arguments, url], capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    def status(self, path: str, *arguments: str) -> int:
        return int(self.curl(path, "-o", os.devnull, "-w", "%{http_code}", *arguments))

    def kept(self) -> list[str]:
        """
        The names of all that is in the directory.
        """
        return sorted(os.listdir(self.uploads))

    def ends(self) -> None:
        """
        Ctrl-C ends it without a word on its standard error.
        """
        assert self.process.stop(signal.SIGINT) == 0
        assert self.process.stderr() == ""
        assert "Traceback" not in self.process.stdout()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    port = freePort()
    with running(example("http_app", "--port", str(port)), tmp_path) as process:
        process.waitForOutput(f"listen {port} ...\n")
        yield App(process, port)


def until(client: Client, end: bytes) -> bytes:
    """
    Receive up to and including C{end}.
    """
    data = b""
    while not data.endswith(end) and (byte := client.receive(1)):
        data += byte
    assert data.endswith(end), data
    return data


def test_index(app: App) -> None:
    assert app.curl("/").splitlines() == ["GET /", "GET /events", "GET /file", "POST /sum", "PUT /file"]
    app.ends()
    assert '"GET / HTTP/1.1" 200 48 ' in app.process.stdout()


def test_json(app: App) -> None:
    assert json.loads(app.curl("/sum", "-d", '{"numbers": [1, 2, 3.5]}')) == {"sum": 6.5}
    for wrong in ("[]", '{"numbers": ["1"]}', '{"numbers": [true]}', '{"numbers": 1}', "{}"):
        assert app.status("/sum", "-d", wrong) == 400, wrong
        assert json.loads(app.curl("/sum", "-d", wrong))["error"].startswith("this takes")
    assert app.curl("/sum", "-d", "nonsense").startswith("the body is no JSON: ")
    app.ends()


def test_othersAreRefused(app: App) -> None:
    assert app.status("/nowhere") == 404
    assert app.status("/nowhere", "-X", "POST") == 404
    for path, method, allow in (
        ("/", "DELETE", "GET, HEAD"),
        ("/sum", "GET", "POST"),
        ("/sum", "HEAD", "POST"),
        ("/file", "POST", "GET, HEAD, PUT"),
    ):
        arguments = ["-I"] if method == "HEAD" else ["-i", "-X", method]
        head = app.curl(path, *arguments)
        assert head.startswith("HTTP/1.1 405 ")
        assert f"\nAllow: {allow}\n" in head
    app.ends()


def test_upAndDown(app: App, tmp_path: Path) -> None:
    """
    Some megabytes there and back; progress is told, and nothing is left of what was there in between.
    """
    film = tmp_path / "film"
    film.write_bytes(os.urandom(5 * MEBIBYTE + 7))
    size = film.stat().st_size
    answer = app.curl("/file?name=a.film", "-T", str(film))
    assert json.loads(answer) == {"name": "a.film", "bytes": size}
    assert (app.uploads / "a.film").read_bytes() == film.read_bytes()
    assert app.kept() == ["a.film"]
    lines = [line for line in app.process.stdout().splitlines() if line.startswith("a.film: ")]
    assert len(lines) == 5
    assert all(line.endswith(f" of {size} bytes") for line in lines)

    head = app.curl("/file?name=a.film", "-I")
    back = tmp_path / "back"
    got = app.curl("/file?name=a.film", "-o", str(back), "-D", "-")
    assert back.read_bytes() == film.read_bytes()
    for each in (head, got):
        assert each.startswith("HTTP/1.1 200 ")
        assert "\nContent-Type: application/octet-stream\n" in each
        assert f"\nContent-Length: {size}\n" in each
    app.ends()


def test_chunkedUpload(app: App, tmp_path: Path) -> None:
    """
    Nobody says how long it will be; it takes the place of an older one.
    """
    film = tmp_path / "film"
    for size in (1, 2 * MEBIBYTE):
        film.write_bytes(os.urandom(size))
        answer = app.curl("/file?name=film", "-T", str(film), "-H", "Transfer-Encoding: chunked")
        assert json.loads(answer)["bytes"] == size
        assert (app.uploads / "film").read_bytes() == film.read_bytes()
    assert " of unknown bytes\n" in app.process.stdout()
    app.ends()


@pytest.mark.parametrize("name", ["%F0%9D%94%84" * 100, "%ED%A0%80", "%"])
def test_namesThatNoFileCanHave(app: App, name: str) -> None:
    """
    Four bytes a character, a lone surrogate, half an escape: the client's doing, and no traceback.
    """
    assert app.status(f"/file?name={name}", "-T", __file__) == 400
    for head in ([], ["-I"]):
        assert app.status(f"/file?name={name}", *head) == 404
    app.ends()


def test_aDirectoryIsNoFile(app: App) -> None:
    (app.uploads / "there").mkdir(parents=True)
    assert app.status("/file?name=there", "-T", __file__) == 400
    assert app.status("/file?name=there") == 404
    assert app.kept() == ["there"]
    app.ends()


# A body, and what the answer begins with.
ODD = {
    "empty": (b"", "the body is no JSON: "),
    "no-number": (b'{"numbers": [NaN]}', "the body is no JSON: NaN is no number"),
    "not-utf-8": (b"\xff\xfe", "the body is no JSON: "),
    "surrogates-in-utf-8": (b'"\xed\xa0\x80"', "the body is no JSON: "),
    "nested": (b"[" * 100_000, "the body is no JSON: "),
    "nested-objects": (b'{"a":' * 100_000, "the body is no JSON: "),
    "too-many-digits": (b'{"numbers": [%s]}' % (b"9" * 5000), "the body is no JSON: "),
    "half": (b'{"numbers": [1', "the body is no JSON: "),
    "surrogates": (b'{"numbers": ["\\ud800"]}', '{"error": "this takes '),
    "surrogate-name": (b'{"\\ud800": 1}', '{"error": "this takes '),
    "infinite": (b'{"numbers": [1e999]}', '{"error": "this takes '),
    "minus-infinite": (b'{"numbers": [-1e999, 1e999]}', '{"error": "this takes '),
    "no-float-so-large": (b'{"numbers": [1.5, %s]}' % (b"9" * 400), '{"error": "this takes '),
    "sum-of-too-many-digits": (b'{"numbers": [%s]}' % b",".join([b"9" * 4300] * 2), '{"error": "this takes '),
    "just-too-large": (b'{"numbers": [9007199254740993]}', '{"error": "this takes '),
}


@pytest.mark.parametrize("case", ODD)
def test_oddBodies(app: App, case: str, tmp_path: Path) -> None:
    """
    The client is told, whatever it says that it sends; the log has no traceback.
    """
    content, expected = ODD[case]
    file = tmp_path / "content"
    file.write_bytes(content)
    for kind in ("application/json", "application/json; charset=nonsense", "text/plain; charset="):
        arguments = ["--data-binary", f"@{file}", "-H", f"Content-Type: {kind}"]
        assert app.status("/sum", *arguments) == 400, kind
        assert app.curl("/sum", *arguments).startswith(expected), kind
    app.ends()


def test_largestNumbers(app: App) -> None:
    assert json.loads(app.curl("/sum", "-d", '{"numbers": [9007199254740992, -9007199254740992, 0.5]}')) == {"sum": 0.5}
    app.ends()


def test_oddRanges(app: App) -> None:
    """
    There are none here: the whole is sent. RFC 9110 section 14.2.
    """
    app.uploads.mkdir()
    (app.uploads / "film").write_bytes(b"WasmEdge")
    for value in ("bytes=9-1", "bytes=0-0,-1", "x", "bytes=99999999999999999999-"):
        assert app.curl("/file?name=film", "-H", f"Range: {value}", "-H", 'If-Range: "x"') == "WasmEdge"
    app.ends()


def test_headIsFollowedByTheNext(app: App) -> None:
    """
    On one connection: the HEAD of a streamed response sends no byte of its body.
    """
    app.uploads.mkdir()
    (app.uploads / "film").write_bytes(b"WasmEdge")
    with Client(app.port) as client:
        for method, body in ((b"HEAD", b""), (b"GET", b"WasmEdge"), (b"HEAD", b"")):
            client.send(method + b" /file?name=film HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"\r\nContent-Length: 8\r\n" in until(client, b"\r\n\r\n")
            assert client.receive(len(body)) == body
    app.ends()


@pytest.mark.parametrize(
    "name",
    ["", "..", ".hidden", "a/b", "../x", "%00", "a%0Ab", "x" * 101, "%CE%A9", "%C3%A9", "%D9%A1", "%ff", "%zz", "%"],
)
def test_namesThatAreNone(app: App, name: str, tmp_path: Path) -> None:
    assert app.status(f"/file?name={name}", "-T", __file__) == 400
    assert app.status(f"/file?name={name}") == 404
    assert not app.uploads.exists()


def test_tooLarge(app: App) -> None:
    """
    Refused before it is sent where its length is told; else as soon as it is known.
    """
    with Client(app.port) as client:
        client.send(
            b"PUT /file?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 104857601\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.receiveAll().startswith(b"HTTP/1.1 413 ")
    with Client(app.port) as client:
        client.send(b"PUT /file?name=a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6400001\r\n")
        piece = bytes(MEBIBYTE)
        for _ in range(100):
            client.send(piece)
        client.send(b"x")
        assert until(client, b" bytes\n").startswith(b"HTTP/1.1 413 ")
    waitUntil(lambda: app.kept() == [], "the part to be removed")
    app.ends()


def test_aClientThatGoesInTheMidstOfItsUpload(app: App) -> None:
    with Client(app.port) as client:
        client.send(b"PUT /file?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n" + bytes(2 * MEBIBYTE))
        waitUntil(lambda: app.uploads.exists() and len(app.kept()) == 1, "the part")
    waitUntil(lambda: app.kept() == [], "the part to be removed")
    app.ends()


def listen(client: Client) -> bytes:
    client.send(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    return until(client, b"\r\n\r\n")


def test_events(app: App) -> None:
    """
    They come one by one, as they happen; that a client goes is noticed.
    """
    with Client(app.port) as client, Client(app.port) as other:
        head = listen(client)
        assert b"\r\nContent-Type: text/event-stream\r\n" in head
        listen(other)
        begun = time.monotonic()
        for number in (1, 2):
            event = until(client, b"\n\n\r\n")
            assert b"id: %d\ndata: " % number in event
        assert 0.5 < time.monotonic() - begun < 10
        host, port = client.socket.getsockname()
        app.process.waitForOutput(f"{host}:{port} listens\n")
        client.socket.close()
        app.process.waitForOutput(f"{host}:{port} has gone\n")
        # The other one doesn't notice.
        assert b"id: 3\n" in until(other, b"id: 3\n")
    waitUntil(lambda: app.process.stdout().count(" has gone\n") == 2, "the other one's end")
    app.ends()


def test_headOfEvents(app: App) -> None:
    head = app.curl("/events", "-I")
    assert "\nContent-Type: text/event-stream\n" in head
    app.ends()
    assert "listens" not in app.process.stdout()


def test_ctrlCWithClients(app: App) -> None:
    """
    An upload in flight is answered; one who listens to events is cut off after three seconds, and cleaned up after.
    """
    with Client(app.port) as listener, Client(app.port) as idle, Client(app.port) as client:
        listen(listener)
        idle.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        until(idle, b"not found\n")
        client.send(b"PUT /file?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        waitUntil(lambda: app.uploads.exists() and len(app.kept()) == 1, "the part")
        begun = time.monotonic()
        app.process.process.send_signal(signal.SIGINT)
        assert idle.receiveAll() == b""
        client.send(b"b")
        answer = client.receiveAll()
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert b"\r\nConnection: close\r\n" in answer
        with pytest.raises(ConnectionResetError):
            listener.receiveAll()
        assert app.process.wait() == 0
        assert 2 < time.monotonic() - begun < 10
    assert app.process.stderr() == ""
    assert " has gone\n" in app.process.stdout()
    assert "Traceback" not in app.process.stdout()


def test_anotherInterface(tmp_path: Path) -> None:
    port = freePort()
    with running(example("http_app", "--port", str(port), "--interface", "0.0.0.0"), tmp_path) as process:
        process.waitForOutput("listen")
        app = App(process, port)
        assert app.status("/") == 200
        app.ends()


def test_portInUse(tmp_path: Path) -> None:
    with takenPort() as port:
        process = run(example("http_app", "--port", str(port)), tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == f"can't listen on tcp:{port}:interface=127.0.0.1: Address already in use\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "65536"], "a port must be a whole number from 0 to 65535, not 65536"),
        (["--port", "x"], "invalid int value: 'x'"),
        (["--interface", "no.such.host.test"], "can't listen on tcp:8000:interface=no.such.host.test: "),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_wrongOptions(tmp_path: Path, arguments: list[str], says: str) -> None:
    process = run(example("http_app", *arguments), tmp_path)
    assert process.process.returncode > 0
    assert process.stdout() == ""
    assert says in process.stderr().splitlines()[-1]
    assert "Traceback" not in process.stderr()
