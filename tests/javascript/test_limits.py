"""
Each limit, over real sockets: what a script gets that passes one, and that the program's other connections are served.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import PATIENCE, Client, Process, freePort, run, running
from wasinet_twisted import http

from .support import command, needsEngine, served

pytestmark = [needsEngine, pytest.mark.reactorless]

HOSTILE = Path(__file__).parent / "hostile.js"
TURN = 0.3
MEMORY = 64 << 20
# Beside the guest: Python, Twisted, wasmtime, and what compiling takes.
OURS = 200 << 20


class Server:
    """
    The program with hostile handlers.
    """

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    def send(self, uri: str, body: bytes = b"") -> Client:
        """
        Ask for something on a connection of its own.
        """
        client = Client(self.port)
        request = http.WasiRequest("POST", uri, body=body, version="HTTP/1.0")
        client.send(request.encode())
        return client

    def ask(self, uri: str, body: bytes = b"") -> bytes | None:
        """
        Return the body of an answer, None if the connection was closed instead.
        """
        with self.send(uri, body) as client:
            return answered(client)


def answered(client: Client) -> bytes | None:
    try:
        data = client.receiveAll()
    except ConnectionResetError:
        return None
    if not data:
        return None
    buffer = http.Buffer()
    buffer.append(data)
    response = buffer.parseResponse()
    assert response is not None
    return response.body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    with served(HOSTILE, folder, "--turn", str(TURN), "--memory-limit", "64M") as (process, port):
        yield Server(process, port)


def rss(process: Process) -> int:
    """
    Return how much memory it has had at most.
    """
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) << 10


@pytest.mark.parametrize("uri", ["/loop", "/catch", "/regexp"])
def test_interrupted(server: Server, uri: str) -> None:
    """
    Nobody can catch it, and its connection closes. Others, older and newer, are served.
    """
    before = server.process.stderr().count("InternalError: interrupted")
    with Client(server.port) as older, server.send(uri) as hostile:
        newer = server.send("/")
        assert answered(newer) == b"fine"
        assert answered(hostile) is None
        older.send(b"GET /older HTTP/1.0\r\n\r\n")
        assert answered(older) == b"fine"
        newer.socket.close()
    assert server.process.stderr().count("InternalError: interrupted") == before + 1


@pytest.mark.parametrize("uri", ["/recursion", "/parentheses", "/proxies", "/join"])
def test_tooDeep(server: Server, uri: str) -> None:
    """
    It is an error that the handler catches.
    """
    assert server.ask(uri) == b"caught RangeError: Maximum call stack size exceeded"
    assert server.ask("/") == b"fine"


def test_nestedJson(server: Server) -> None:
    """
    What a peer sends can't end the program, neither when it is parsed, nor when that is written.
    """
    deep = b"[" * 5000 + b"]" * 5000
    assert server.ask("/echo", deep) == deep
    for uri in ("/parse", "/echo"):
        for body in (b"[" * 200_000, b"[" + deep + b"]", b'{"a":' * 5001 + b"1" + b"}" * 5001):
            assert server.ask(uri, body) == b"caught RangeError: JSON is nested deeper than 5000"
    # What is in strings isn't nested.
    text = b'["' + b"[" * 6000 + b'\\"' + b"{" * 6000 + b'"]'
    assert server.ask("/echo", text) == text


@pytest.mark.parametrize("uri", ["/arrays", "/strings", "/buffers", "/large"])
def test_memory(server: Server, uri: str) -> None:
    answer = server.ask(uri)
    assert answer in (b"caught InternalError: out of memory", b"caught InternalError: string too long")
    assert server.ask("/") == b"fine"
    assert rss(server.process) < MEMORY + (8 << 20) + OURS


def test_handlersThatThrow(server: Server) -> None:
    assert server.ask("/throws") == b"caught TypeError: no"


def test_endlessJobs(tmp_path: Path) -> None:
    """
    They take the time that is left over.
    """
    with served(HOSTILE, tmp_path) as (process, port):
        server = Server(process, port)
        with Client(port) as older, server.send("/await"), server.send("/jobs"), server.send("/ticks"):
            for _ in range(5):
                assert server.ask("/") == b"fine"
            older.send(b"GET / HTTP/1.0\r\n\r\n")
            assert answered(older) == b"fine"
        assert process.process.poll() is None
        assert process.stderr() == ""


def test_nativeCalls(tmp_path: Path) -> None:
    """
    A call that can't be interrupted ends the guest, and the program with a line that says why; our process ends in
    its own way.
    """
    with served(HOSTILE, tmp_path, "--turn", "0.1") as (process, port):
        with Client(port) as older, Server(process, port).send("/native") as hostile:
            assert answered(hostile) is None
            assert answered(older) is None
        assert process.wait() == 1
        assert process.stderr() == (
            "wasinet run: the program was ended: it took more than twice the time of a turn: wasm trap: interrupt\n"
        )


def test_fullMemory(tmp_path: Path) -> None:
    """
    Where a script keeps what fills its memory, nothing of ours breaks.
    """
    script = tmp_path / "full.js"
    script.write_text(
        "const kept = []\n"
        "let left = 50\n"
        "function fill() {\n"
        "    try { for (;;) kept.push(new Array(100).fill(kept)) } catch { kept.length -= 10 }\n"
        "    if (--left) setTimeout(fill, 0)\n"
        "    else { kept.length = 0; print('done') }\n"
        "}\n"
        "fill()\n"
    )
    process = run(command(script, "--memory-limit", "4M", "--turn", "10"), tmp_path)
    assert (process.process.returncode, process.stdout(), process.stderr()) == (0, "done\n", "")


def test_largeStrings(tmp_path: Path) -> None:
    """
    NUL, lone surrogates, and what is larger than the stage between the two arrive whole.
    """
    size = 8 << 20
    script = tmp_path / "large.js"
    script.write_text(
        "import * as net from 'wasi_net'\n"
        f"const text = '\\0ž' + 'x'.repeat({size})\n"
        "const server = new net.WasiTcpServer(8000)\n"
        "const cs = await server.accept()\n"
        "await cs.write(text)\n"
        "print('written', (text + '\\ud800').length)\n"
    )
    port = freePort()
    listen = ("--listen", f"8000=tcp:{port}:interface=127.0.0.1", "--memory-limit", "256M")
    with running(command(script, *listen), tmp_path) as process:
        with _connected(port) as client:
            assert client.receiveAll() == b"\0" + "ž".encode() + b"x" * size
        assert process.wait() == 0
        assert (process.stdout(), process.stderr()) == (f"written {size + 3}\n", "")


def _connected(port: int) -> Client:
    """
    Connect as soon as somebody listens.
    """
    import time

    until = time.monotonic() + PATIENCE
    while True:
        try:
            return Client(port)
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_scarceAddresses(tmp_path: Path) -> None:
    """
    With C{ulimit -v}, less is reserved.
    """
    script = tmp_path / "small.js"
    script.write_text("let a = []; try { for (;;) a.push(new Array(1000).fill(1)) } catch (e) { a = null; print(e) }")
    limit = 1 << 30
    code = (
        "import os, resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    process = run([sys.executable, "-c", code, *command(script)], tmp_path)
    assert (process.process.returncode, process.stdout(), process.stderr()) == (
        0,
        "InternalError: out of memory\n",
        "",
    )


def test_stackThatCannotGrow(tmp_path: Path) -> None:
    """
    With a hard limit of 8 MiB, there are fewer calls in one another; and no trap.
    """
    script = tmp_path / "deep.js"
    script.write_text(
        "let n = 0\n"
        "try { (function f() { n++; f() })() } catch (e) { print(e.name, n > 700) }\n"
        "try { '' + [...'x'.repeat(1e5)].reduce(a => [a], []) } catch (e) { print(e.name) }\n"
        "try { eval('('.repeat(1e5)) } catch (e) { print(e.name) }\n"
    )
    soft = resource.getrlimit(resource.RLIMIT_STACK)[0]
    assert soft == resource.RLIM_INFINITY or soft >= 8 << 20
    code = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    process = run([sys.executable, "-c", code, *command(script)], tmp_path)
    assert (process.process.returncode, process.stderr()) == (0, "")
    assert process.stdout() == "RangeError true\nRangeError\nRangeError\n"
