"""
The article's programs, as processes: they print what the article prints, and end when told to.
"""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from tests.certificates import Authority
from tests.processes import PATIENCE, ROOT, Client, freePort, run, running, script, takenPort, talk

SERVERS = ["net_echo", "net_timeout_echo", "http_echo"]


def example(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments]


def test_eachIsTested() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {
        *SERVERS,
        "fetch",
        "http_app",
        "http_client",
        "line_chat",
        "proxy",
        "side_by_side",
        "tls_echo",
        "upgrade_echo",
        "websocket_echo",
    }


def test_netEcho(tmp_path: Path) -> None:
    port = freePort()
    with running(example("net_echo", "--port", str(port)), tmp_path) as process:
        process.waitForPorts(port)
        with Client(port) as one, Client(port) as other:
            one.send(b"one")
            assert one.receive(8) == b"echo:one"
            other.send("späť".encode())
            assert other.receive(11).decode() == "echo:späť"
            one.send(b"again")
            assert one.receive(10) == b"echo:again"
        # Whoever ends its direction is closed, though nobody else connects.
        assert talk(port, b"WasmEdge") == b"echo:WasmEdge"


def test_netEchoEndsAfterAHundred(tmp_path: Path) -> None:
    port = freePort()
    with running(example("net_echo", "--port", str(port)), tmp_path) as process:
        process.waitForPorts(port)
        # The first was the one that found it listening.
        for i in range(99):
            assert talk(port, b"%d" % i) == b"echo:%d" % i
        assert process.wait() == 0
    assert (process.stdout(), process.stderr()) == ("", "")


def test_netTimeoutEcho(tmp_path: Path) -> None:
    """
    It waits for connections and for data, but not for long; after ten of either it ends.
    """
    port = freePort()
    with running(example("net_timeout_echo", "--port", str(port), "--timeout", "0.5"), tmp_path) as process:
        process.waitForOutput("listen")
        process.waitForPorts(port)
        with Client(port) as silent, Client(port) as client:
            client.send(b"WasmEdge")
            assert client.receive(13) == b"echo:WasmEdge"
            client.end()
            assert client.receiveAll() == b""
            # Nothing is sent, so it is closed by the other side.
            assert silent.receiveAll() == b""
        assert process.wait() == 0
    assert process.stderr() == ""
    lines = process.stdout().splitlines()
    assert lines[0] == f"listen {port} ..."
    assert "recv: WasmEdge" in lines
    assert any(line.startswith("handle_client err: timed out") for line in lines)
    peers = sum(line.startswith("127.0.0.1:") for line in lines)
    refused = sum(line.startswith("accept err: timed out") for line in lines)
    assert peers == lines.count("close") == 3
    assert refused == 7


def test_httpEcho(tmp_path: Path) -> None:
    port = freePort()
    with running(example("http_echo", "--port", str(port)), tmp_path) as process:
        process.waitForPorts(port)
        with Client(port) as client:
            client.send(b"POST /a?b=1 HTTP/1.1\r\nHost: here\r\nX-Test: 1\r\nContent-Length: 8\r\n\r\nWasm")
            client.send(b"Edge")
            # It closes by itself.
            answer = client.receiveAll()
        assert answer.partition(b"\r\n\r\n")[2] == b"echo:WasmEdge"
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert process.stdout().splitlines() == [
            f"listen {port} ...",
            "version= HTTP/1.1",
            "uri= /a?b=1",
            "method= POST",
            "headers= ['Host', 'X-Test', 'Content-Length']",
            "body= WasmEdge",
        ]
        answer = talk(port, b"nonsense\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
    assert process.stderr() == ""


def test_httpClient(tmp_path: Path) -> None:
    """
    Its two requests wait at the same time.
    """
    port = freePort()
    (tmp_path / "server").mkdir()
    server = [script("twistd"), "-n", "wasinet-echo", "--http", f"tcp:{port}:interface=127.0.0.1"]
    with running(server, tmp_path / "server") as process:
        process.waitForPorts(port)
        client = run(example("http_client", "--connect", f"127.0.0.1:{port}"), tmp_path)
    assert (client.process.returncode, client.stderr()) == (0, "")
    lines = client.stdout().splitlines()
    assert sorted(lines[:2]) == ["wait get", "wait post"]
    # Either may be first; but each answer is followed by its request's end.
    get, post = ["resp.body", "echo:", "get end"], ["resp.body", "echo:hello", "post end"]
    assert lines[2:] in (get + post, post + get)


@pytest.mark.parametrize("name", ["http_echo", "net_echo"])
def test_httpClientAndAServerOfTheArticle(tmp_path: Path, name: str) -> None:
    """
    The article's HTTP server answers its client; its TCP server answers what is no HTTP, and the client says so.
    """
    port = freePort()
    (tmp_path / "server").mkdir()
    with running(example(name, "--port", str(port)), tmp_path / "server") as process:
        process.waitForPorts(port)
        client = run(example("http_client", "--connect", f"127.0.0.1:{port}"), tmp_path)
    assert (client.process.returncode, client.stderr()) == (0, "")
    lines = client.stdout().splitlines()
    if name == "http_echo":
        assert {"get end", "post end", "echo:", "echo:hello"} <= set(lines)
    else:
        assert sum(line.startswith("catch: a status line must be ") for line in lines) == 2


def test_httpClientWithoutAServer(tmp_path: Path) -> None:
    port = freePort()
    client = run(example("http_client", "--connect", f"127.0.0.1:{port}"), tmp_path)
    assert client.stderr() == ""
    lines = client.stdout().splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"catch: can't connect to 127.0.0.1:{port}: ") for line in lines)


def test_httpClientAtNoAddress(tmp_path: Path) -> None:
    client = run(example("http_client", "--connect", "nowhere"), tmp_path)
    assert client.stderr() == ""
    assert "nowhere" in client.stdout()


@pytest.mark.parametrize("name", SERVERS)
def test_serversEndOnCtrlC(tmp_path: Path, name: str) -> None:
    """
    With connections open, and without a traceback.
    """
    port = freePort()
    with running(example(name, "--port", str(port)), tmp_path) as process:
        process.waitForPorts(port)
        if name == "http_echo":
            # It listens before the reactor runs, which takes care of the signal.
            assert talk(port, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        with Client(port) as idle, Client(port):
            idle.send(b"GET")
            if name != "http_echo":
                assert idle.receive(8) == b"echo:GET"
            assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
    assert process.stderr() == ""
    assert "Traceback" not in process.stdout()


def test_theClientEndsOnCtrlC(tmp_path: Path) -> None:
    """
    While it waits for a server that says nothing.
    """
    with takenPort() as port, running(example("http_client", "--connect", f"127.0.0.1:{port}"), tmp_path) as process:
        process.waitForOutput("wait get")
        process.waitForOutput("wait post")
        assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
    assert process.stderr() == ""
    assert "Traceback" not in process.stdout()


@pytest.mark.parametrize("name", [*SERVERS, "line_chat", "upgrade_echo"])
def test_portInUse(tmp_path: Path, name: str) -> None:
    with takenPort() as port:
        process = run(example(name, "--port", str(port)), tmp_path)
    assert process.process.returncode > 0
    assert process.stderr() == f"can't listen on tcp:{port}: Address already in use\n"


@pytest.mark.parametrize("name", [*SERVERS, "line_chat", "upgrade_echo"])
def test_noSuchPort(tmp_path: Path, name: str) -> None:
    process = run(example(name, "--port", "65536"), tmp_path)
    assert process.process.returncode > 0
    assert process.stderr() == "a port must be a whole number from 0 to 65535, not 65536\n"


@pytest.mark.parametrize(
    "name", [*SERVERS, "fetch", "http_app", "http_client", "line_chat", "proxy", "tls_echo", "upgrade_echo"]
)
def test_help(tmp_path: Path, name: str) -> None:
    process = run(example(name, "--help"), tmp_path)
    assert (process.process.returncode, process.stderr()) == (0, "")
    assert "usage: " in process.stdout()


def expect(client: Client, text: str) -> None:
    assert client.receive(len(text.encode())).decode() == text


def enter(client: Client, name: str, others: int) -> None:
    expect(client, "Your name?\n")
    client.send(f"{name}\n".encode())
    expect(client, f"* hello {name}, beside you there are {others}\n")


def test_lineChat(tmp_path: Path) -> None:
    port = freePort()
    with running(example("line_chat", "--port", str(port)), tmp_path) as process:
        process.waitForPorts(port)
        with Client(port) as eva, Client(port) as jan, Client(port) as ida:
            enter(eva, "Eva", 0)
            enter(jan, "Ján", 1)
            expect(eva, "* Ján is here\n")
            enter(ida, "Ida", 2)
            expect(eva, "* Ida is here\n")
            expect(jan, "* Ida is here\n")
            # A line in pieces, two lines at once, and one that is too long.
            eva.send(b"hel")
            eva.send(b"lo\r\nall\n")
            for other in (jan, ida):
                expect(other, "Eva: hello\nEva: all\n")
            ida.send(b"x" * 1001)
            expect(ida, "A line has 1000 bytes at the most: good bye.\n")
            for other in (eva, jan):
                expect(other, "* Ida has left\n")
            jan.end()
            expect(eva, "* Ján has left\n")
            assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
            assert eva.receiveAll() == b""
    assert process.stderr() == ""
    assert "Traceback" not in process.stdout()


def test_lineChatAsksTheSilentToLeave(tmp_path: Path) -> None:
    port = freePort()
    with running(example("line_chat", "--port", str(port), "--idle", "0.2"), tmp_path) as process:
        process.waitForPorts(port)
        with Client(port) as silent:
            assert silent.receiveAll().decode() == "Your name?\nYou have said nothing for long: good bye.\n"


def askByTls(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        example("tls_echo", *arguments), input="Wasm\nEdge\n", cwd=directory, capture_output=True, text=True, timeout=30
    )


def test_tlsEcho(tmp_path: Path) -> None:
    """
    With a certificate that it makes; and that goes with it.
    """
    port = freePort()
    with running(example("tls_echo", "--port", str(port)), tmp_path) as process:
        process.waitForOutput("listen")
        certificate = process.stdout().splitlines()[0].removeprefix("certificate ")
        answer = askByTls(tmp_path, "--connect", f"localhost:{port}", "--ca", certificate)
        assert (answer.stdout, answer.stderr, answer.returncode) == ("echo:Wasm\necho:Edge\n", "", 0)
        distrustful = askByTls(tmp_path, "--connect", f"localhost:{port}")
        assert (distrustful.stdout, distrustful.returncode) == ("", 1)
        assert distrustful.stderr.endswith("it is self-signed, and not among those that are trusted\n")
        parsed = load_pem_x509_certificate(Path(certificate).read_bytes())
        assert {(each.oid._name, each.critical) for each in parsed.extensions} == {
            ("authorityKeyIdentifier", False),
            ("basicConstraints", True),
            ("keyUsage", True),
            ("subjectAltName", False),
            ("subjectKeyIdentifier", False),
        }
        strict = ssl.create_default_context(cafile=certificate)
        strict.verify_flags |= ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection(("localhost", port), PATIENCE) as raw,
            strict.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            tls.sendall(b"strict")
            assert tls.recv(100) == b"echo:strict"
        mistaken = askByTls(tmp_path, "--connect", f"127.0.0.1:{port}", "--ca", certificate)
        assert mistaken.stderr.endswith("it is for localhost\n")
        process.waitForOutput("TLSv1.3")
        assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
    assert process.stderr() == ""
    assert "Traceback" not in process.stdout()
    assert not Path(certificate).exists()


def test_tlsEchoWithACertificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = str(authority.issue("localhost"))
    port = freePort()
    server = example("tls_echo", "--port", str(port), "--cert", certificate, "--key", certificate)
    with running(server, tmp_path) as process:
        process.waitForOutput("listen")
        answer = askByTls(tmp_path, "--connect", f"localhost:{port}", "--ca", str(authority.path))
        assert (answer.stdout, answer.stderr) == ("echo:Wasm\necho:Edge\n", "")
    process = run(example("tls_echo", "--cert", str(tmp_path / "none.pem")), tmp_path)
    assert process.process.returncode == 1
    assert "none.pem': No such file or directory\n" in process.stderr()
    with takenPort() as taken:
        process = run(example("tls_echo", "--port", str(taken), "--cert", certificate), tmp_path)
    assert "Address already in use" in process.stderr()
    assert process.stderr().count("\n") == 1
