"""
The upgrade, as processes: the server, its client, and others.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.test_examples import example
from tests.processes import Client, Process, freePort, run, running

UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: %b\r\n\r\n"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """
    The server's; it ends without a word on its standard error.
    """
    port = freePort()
    (tmp_path / "server").mkdir()
    with running(example("upgrade_echo", "--port", str(port)), tmp_path / "server") as process:
        process.waitForOutput(f"listen {port} ...")
        yield port
        ended(process)


def ended(process: Process) -> None:
    assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
    assert process.stderr() == ""
    assert "Traceback" not in process.stdout()


def ask(port: int, lines: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = example("upgrade_echo", "--connect", f"127.0.0.1:{port}")
    return subprocess.run(command, input=lines, cwd=directory, capture_output=True, text=True, timeout=30)


def until(client: Client, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end) and (byte := client.receive(1)):
        data += byte
    assert data.endswith(end), data
    return data


def test_client(port: int, tmp_path: Path) -> None:
    for lines, echo in (("Wasm\nEdge\n", "Wasm\nEdge\n"), ("no end", "no end\n"), ("", ""), ("ťažké\n", "ťažké\n")):
        done = ask(port, lines, tmp_path)
        assert (done.stdout, done.stderr, done.returncode) == (echo, "", 0)


def test_plainly(port: int) -> None:
    """
    What comes behind the request, in the same segment, is the other protocol already.
    """
    with Client(port) as client:
        client.send(UPGRADE % b"h2c, Line-Echo" + b"one\ntw")
        head = until(client, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"\r\nUpgrade: line-echo\r\n" in head
        assert client.receive(4) == b"one\n"
        client.send(b"o\n")
        assert client.receive(4) == b"two\n"
        client.send(b"x" * 1001)
        assert b"1000" in until(client, b"\n")
        assert client.receiveAll() == b""


def test_othersAreDeclined(port: int) -> None:
    """
    The connection goes on, and may still upgrade.
    """
    with Client(port) as client:
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", UPGRADE % b"websocket"):
            client.send(request)
            answer = until(client, b"this speaks line-echo only\n")
            assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
            assert b"\r\nUpgrade: line-echo\r\n" in answer
        client.send(UPGRADE % b"line-echo")
        assert until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")


def test_aServerThatDoesNotUpgrade(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for answer, says in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", " answers 200 OK\n"),
            (b"nonsense\r\n\r\n", "a status line must be "),
            (b"HTTP/1.1 ", " closes without an answer\n"),
        ):

            def serve(answer: bytes = answer) -> None:
                conn, _ = listening.accept()
                with conn:
                    conn.recv(1000)
                    conn.sendall(answer)

            serving = threading.Thread(target=serve)
            serving.start()
            done = ask(listening.getsockname()[1], "a\n", tmp_path)
            serving.join()
            assert (done.stdout, done.returncode) == ("", 1)
            assert says in done.stderr
            assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "says"), [("nowhere", "an address must be host:port"), ("127.0.0.1:1", "Connection refused")]
)
def test_noServer(tmp_path: Path, address: str, says: str) -> None:
    process = run(example("upgrade_echo", "--connect", address), tmp_path)
    assert process.process.returncode == 1
    assert says in process.stderr()
    assert process.stderr().count("\n") == 1


def test_ctrlC(tmp_path: Path) -> None:
    """
    One who is there has a second more.
    """
    port = freePort()
    with running(example("upgrade_echo", "--port", str(port)), tmp_path) as process:
        process.waitForOutput("listen")
        with Client(port) as client:
            client.send(UPGRADE % b"line-echo")
            until(client, b"\r\n\r\n")
            ended(process)
