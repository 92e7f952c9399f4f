"""
The article's scripts, byte for byte, as C{wasinet run} runs them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from tests.processes import PATIENCE, Client, freePort, run, talk
from tests.support import needsTool
from wasinet_twisted import http
from wasinet_twisted.javascript import Program

from .support import ARTICLE, EXAMPLES, command, needsEngine, served

pytestmark = needsEngine

# An address that no test may ask.
PUBLIC = "152.136.235.225:80"
HEADERS = "Host,User-Agent,Accept,Content-Length,Content-Type"


def test_examplesAreTheArticles() -> None:
    """
    The examples of the article's names are its code as printed.
    """
    names = {path.name for path in ARTICLE.glob("*.js")}
    assert names == {"http_client.js", "http_echo.js", "net_echo.js"}
    for name in names:
        assert (EXAMPLES / name).read_bytes() == (ARTICLE / name).read_bytes()


def test_httpEcho(tmp_path: Path) -> None:
    curl = needsTool("curl")
    with served(ARTICLE / "http_echo.js", tmp_path) as (process, port):
        answer = subprocess.run(
            [curl, "-sS", "-d", "WasmEdge", "-X", "POST", f"http://127.0.0.1:{port}"],
            capture_output=True,
            timeout=PATIENCE,
        )
        assert (answer.stdout, answer.stderr, answer.returncode) == (b"echo:WasmEdge", b"", 0)
        process.waitForOutput("body= WasmEdge\n")
        assert process.stdout() == (
            f"listen 8000 ...\nversion= HTTP/1.1\nuri= /\nmethod= POST\nheaders= {HEADERS}\nbody= WasmEdge\n"
        )
        # As the original has them.
        request = b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx"
        assert talk(port, request) == b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\necho:x"
        assert process.stderr() == ""


def test_netEcho(tmp_path: Path) -> None:
    """
    After a hundred its loop ends and the listener closes; when the last connection is gone, the program ends.
    """
    with served(ARTICLE / "net_echo.js", tmp_path) as (process, port):
        assert talk(port, b"WasmEdge") == b"echo:WasmEdge"
        with Client(port) as one, Client(port) as other:
            for client in (one, other, one):
                client.send("späť".encode())
                assert client.receive(11).decode() == "echo:späť"
        # One was made to see that it listens.
        for _ in range(95):
            assert talk(port, b"x") == b"echo:x"
        with Client(port) as last:
            last.send(b"last")
            assert last.receive(9) == b"echo:last"
            with pytest.raises(ConnectionRefusedError):
                Client(port)
            assert process.process.poll() is None
        assert process.wait() == 0
        assert (process.stdout(), process.stderr()) == ("", "")


# In a network of its own, where the article's ports are free.
NETWORK = """
ip link set lo up
"$@" >printed 2>&1 &
program=$!
until nc -z localhost 8000; do kill -0 $program || exit 9; sleep 0.05; done
printf WasmEdge | nc -q1 localhost 8000
echo
curl -sS -d WasmEdge -X POST http://localhost:8000
kill $program
wait $program
"""


@pytest.mark.parametrize(
    ("name", "answers", "printed"),
    [
        (
            "http_echo",
            "\necho:WasmEdge",
            f"listen 8000 ...\nversion= HTTP/1.1\nuri= /\nmethod= POST\nheaders= {HEADERS}\nbody= WasmEdge\n",
        ),
        # curl refuses an answer without a head, as it does the original's.
        ("net_echo", "echo:WasmEdge\n", ""),
    ],
)
def test_portsAsPrinted(tmp_path: Path, name: str, answers: str, printed: str) -> None:
    """
    The article's command lines.
    """
    for tool in ("curl", "ip", "nc", "unshare"):
        needsTool(tool)
    apart = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this system allows no network of one's own")
    done = subprocess.run(
        [*apart, "sh", "-c", NETWORK, "sh", *command(ARTICLE / f"{name}.js")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == answers
    assert ("HTTP/0.9" in done.stderr) == (name == "net_echo"), done.stderr
    assert (tmp_path / "printed").read_text() == printed


@pytest.fixture(scope="module")
def standIn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """
    The port of a stand-in of the public server, written for the same engine.
    """
    directory = tmp_path_factory.mktemp("standin")
    script = directory / "standin.js"
    script.write_text(STAND_IN)
    with served(script, directory) as (_, port):
        yield port


# It answers what the article prints; a GET a little later than a POST.
STAND_IN = """
import * as net from 'wasi_net'
import * as http from 'wasi_http'

async function client(cs) {
    const buffer = new http.Buffer()
    let request
    while (request === undefined) {
        const data = await cs.read()
        if (data.byteLength === 0) return
        buffer.append(data)
        request = buffer.parseRequest()
    }
    if (request.method === 'GET') await new Promise(resolve => setTimeout(resolve, 300))
    const response = new http.WasiResponse()
    response.headers = { 'Content-Type': 'application/json' }
    response.body = JSON.stringify({
        args: { a: '123' }, data: newStringFromUTF8(request.body), headers: request.headers,
        url: `http://${request.headers.Host}${request.uri}`,
    })
    cs.write(response.encode())
}

const server = new net.WasiTcpServer(8000)
for (;;) client(await server.accept())
"""


def test_clientExcerpt(standIn: int, tmp_path: Path) -> None:
    """
    The first block has no imports and no call.
    """
    options = ("--connect-to", f"{PUBLIC}=127.0.0.1:{standIn}", "--call", "get_test")
    process = run(command(ARTICLE / "http_client.js", *options), tmp_path)
    assert (process.process.returncode, process.stderr()) == (0, "")
    first, second, body, last = process.stdout().splitlines()
    assert (first, second, last) == ("wait get", "resp.body", "get end")
    answer = json.loads(body)
    assert answer["url"] == "http://152.136.235.225/get?a=123"
    assert answer["headers"] == {"Host": "152.136.235.225"}


def test_client(standIn: int, tmp_path: Path) -> None:
    """
    The excerpt stands whole in an example of ours, whose GET and POST interleave.
    """
    process = run(command(EXAMPLES / "http_client_both.js", "--connect-to", f"{PUBLIC}=127.0.0.1:{standIn}"), tmp_path)
    assert (process.process.returncode, process.stderr()) == (0, "")
    lines = process.stdout().splitlines()
    # Which of the two connects first is the reactor's affair.
    assert sorted(lines[:2]) == ["wait get", "wait post"]
    assert lines.index("post end") < lines.index("get end")
    bodies = [json.loads(line) for line in lines if line.startswith("{")]
    assert [each["data"] for each in bodies] == ["hello", ""]
    excerpt = (ARTICLE / "http_client.js").read_text()
    whole = (EXAMPLES / "http_client_both.js").read_text()
    for function in re.split(r"\n(?=async)", excerpt):
        assert function.strip() in whole


def test_timeoutEcho(tmp_path: Path) -> None:
    """
    The original's net echo with timeouts: nobody comes.
    """
    script = tmp_path / "short.js"
    script.write_text((EXAMPLES / "net_timeout_echo.js").read_text().replace("5000", "50"))
    port = freePort()
    process = run(command(script, "--listen", f"8000=tcp:{port}:interface=127.0.0.1"), tmp_path)
    assert (process.process.returncode, process.stderr()) == (0, "")
    assert process.stdout() == "accept err: Error: timed out\n"


def test_encodedAsTheOriginal(tmp_path: Path) -> None:
    """
    Byte for byte, but for what no parser of ours takes: an empty target, and a response without a length.
    """
    script = tmp_path / "encode.js"
    script.write_text(
        """
        import { WasiRequest, WasiResponse } from 'wasi_http'
        const show = bytes => print(JSON.stringify(newStringFromUTF8(bytes)))
        show(new WasiRequest().encode())
        const request = new WasiRequest()
        Object.assign(request, { method: 'POST', uri: '/get?a=123', headers: { X: 1, Host: 'h' }, body: 'hé' })
        show(request.encode())
        show(new WasiResponse().encode())
        const response = new WasiResponse()
        response.body = 'echo:x'
        show(response.encode())
        """
    )
    printed: list[str] = []
    program = Program(script, output=printed.append, complain=printed.append, reactor=Clock())
    program.run()
    program.stop()
    lines = "".join(printed).splitlines()
    assert [json.loads(line) for line in lines] == [
        "GET / HTTP/1.0\r\n\r\n",
        "POST /get?a=123 HTTP/1.0\r\nX: 1\r\nHost: h\r\nContent-Length: 3\r\n\r\nhé",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\necho:x",
    ]
    buffer = http.Buffer()
    buffer.append(json.loads(lines[1]).encode())
    request = buffer.parseRequest()
    assert request is not None
    assert request.body == "hé".encode()
