"""
The programs of the original that need more than the article has, as scripts of ours, over real sockets.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.processes import PATIENCE, Client, freePort, run, running, talk
from tests.support import needsTool
from wasinet_twisted.http import Buffer

from .support import EXAMPLES, command, needsEngine, served

pytestmark = needsEngine

GET = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_timeoutEchoAnswers(tmp_path: Path) -> None:
    with served(EXAMPLES / "net_timeout_echo.js", tmp_path) as (_, port):
        assert talk(port, b"WasmEdge") == b"echo:WasmEdge"


def test_server(tmp_path: Path) -> None:
    curl = needsTool("curl")
    with served(EXAMPLES / "http_server.js", tmp_path, port=8001) as (process, port):

        def ask(*arguments: str) -> str:
            answer = subprocess.run(
                [curl, "-sS", "--noproxy", "*", *arguments], capture_output=True, timeout=PATIENCE, text=True
            )
            assert (answer.stderr, answer.returncode) == ("", 0)
            return answer.stdout

        assert ask("-d", "WasmEdge", f"http://127.0.0.1:{port}/echo") == "echo:WasmEdge"
        assert json.loads(ask("-A", "me", f"http://127.0.0.1:{port}/")) == {"answered": 2, "client": "me"}
        assert ask(f"http://127.0.0.1:{port}/x") == "404 Not Found\n"
        assert b"\r\nTransfer-Encoding: chunked\r\n" in talk(port, b"POST /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        process.waitForOutput("GET /x\nPOST /echo\n")
        assert process.stdout() == "listen 8001 ...\nPOST /echo\nGET /\nGET /x\nPOST /echo\n"
        # select() watches no descriptor from 1024 on, which is said.
        assert re.fullmatch(r"(wasinet run: at most 960 connections instead of 10000: .*\n)?", process.stderr())


def test_fetch(tmp_path: Path) -> None:
    """
    One program asks the other.
    """
    serving = tmp_path / "server"
    serving.mkdir()
    with served(EXAMPLES / "http_server.js", serving, port=8001) as (process, port):
        asking = run(command(EXAMPLES / "http_fetch.js", "--connect-to", f"localhost:8001=127.0.0.1:{port}"), tmp_path)
        assert (asking.process.returncode, asking.stderr()) == (0, "")
        said = asking.stdout()
        for expected in (
            "GET / 200 OK (application/json)\n",
            "GET /nowhere 404 Not Found (text/plain)\n404 Not Found\n",
            'POST /post 200 OK (no type)\necho:{"a":123}\n',
            "PUT /put 200 OK (no type)\necho:Hi\n",
        ):
            assert expected in said
        assert sorted(process.stdout().splitlines()[1:3]) == ["GET /", "GET /nowhere"]


def test_httpsFetch(tmp_path: Path) -> None:
    """
    The same engine serves by TLS, where the operator has it listen so.
    """
    authority = Authority(tmp_path)
    certificate = authority.issue("example.com")
    port = freePort()
    name = str(certificate).replace(":", "\\:")
    endpoint = f"8001=ssl:{port}:privateKey={name}:certKey={name}:interface=127.0.0.1"
    serving, asking = tmp_path / "server", tmp_path / "client"
    serving.mkdir()
    asking.mkdir()
    target = f"example.com:443=127.0.0.1:{port}"
    with running(command(EXAMPLES / "http_server.js", "--listen", endpoint), serving) as process:
        process.waitForPorts(port)
        done = run(
            command(EXAMPLES / "https_fetch.js", "--connect-to", target, "--cacert", str(authority.path)), asking
        )
        assert (done.process.returncode, done.stderr()) == (0, "")
        first, second = done.stdout().splitlines()
        assert first == "https://example.com/ 200 OK"
        assert second.endswith(" bytes")
        refused = run(command(EXAMPLES / "https_fetch.js", "--connect-to", target), asking)
        assert refused.process.returncode == 1
        assert "certificate" in refused.stderr()


def test_streamedPage(tmp_path: Path) -> None:
    """
    It arrives in pieces, each when it is there, and not in the order in which they were begun.
    """
    with served(EXAMPLES / "streamed_page.js", tmp_path, port=8002) as (process, port):
        with Client(port) as client:
            client.send(GET % b"/")
            arrived = []
            buffer = Buffer(role="response")
            while piece := client.socket.recv(65536):
                arrived.append(piece)
                buffer.append(piece)
                if b"0\r\n\r\n" in piece[-5:]:
                    break
        page = buffer.parseResponse()
        assert page is not None
        assert page.headers["Transfer-Encoding"] == "chunked"
        text = page.text()
        assert text.startswith("<!doctype html>")
        assert text.endswith("<p>end</p>\n")
        assert text.index("posts") < text.index("sidebar") < text.index("comments")
        # The frame comes before any part does.
        assert len(arrived) > 1
        assert b"section" not in arrived[0]
        assert process.stderr() == ""
        # Of a reader that goes meanwhile, the next one notices nothing.
        with Client(port) as client:
            client.send(GET % b"/")
            client.receive(20)
        assert talk(port, GET % b"/").endswith(b"0\r\n\r\n")
        assert process.process.poll() is None


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.js")))
def test_eachSaysHowToRunIt(name: str) -> None:
    """
    Each that is not the article's.
    """
    text = (EXAMPLES / name).read_text()
    if name not in ("http_client.js", "http_echo.js", "net_echo.js"):
        assert "//     wasinet run " in text
        assert name in text
