"""
C{wasinet-echo} as its users run it: a process, real sockets, signals.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import (
    PATIENCE,
    Client,
    Daemon,
    Process,
    bySystemd,
    freePort,
    listening,
    run,
    running,
    script,
    takenPort,
    talk,
    unixClient,
    waitUntil,
)
from tests.support import needsTool

TWISTD = [script("twistd"), "-n", "wasinet-echo"]
TWIST = [sys.executable, "-m", "twisted", "wasinet-echo"]
COMMANDS = pytest.mark.parametrize("command", [TWISTD, TWIST], ids=["twistd", "twist"])

POST = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8\r\n\r\nWasmEdge"


def at(port: int) -> str:
    return f"tcp:{port}:interface=127.0.0.1"


def httpEcho(port: int) -> bytes:
    """
    The body of the answer to a POST.
    """
    head, _, body = talk(port, POST).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
    return body


class Server:
    """
    Both echo servers.
    """

    def __init__(self, process: Process, http: int, tcp: int) -> None:
        self.process = process
        self.http = http
        self.tcp = tcp


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    One for all tests that don't stop it.
    """
    http, tcp = freePort(), freePort()
    with running([*TWISTD, "--http", at(http), "--tcp", at(tcp)], tmp_path_factory.mktemp("server")) as process:
        process.waitForPorts(http, tcp)
        yield Server(process, http, tcp)
        assert process.stop() == -signal.SIGTERM
        assert "Traceback" not in process.stdout() + process.stderr()


def test_httpEcho(server: Server) -> None:
    assert httpEcho(server.http) == b"echo:WasmEdge"


def test_httpKeepAlive(server: Server) -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d"
    with Client(server.http) as client:
        for i in range(20):
            client.send(request % i)
            answer = client.receive(len(b"HTTP/1.1 200 OK\r\n"))
            assert answer == b"HTTP/1.1 200 OK\r\n"
            while not answer.endswith(b"\r\n\r\n"):
                more = client.receive(1)
                assert more
                answer += more
            assert client.receive(7) == b"echo:%02d" % i


def test_tcpEcho(server: Server) -> None:
    with Client(server.tcp) as client:
        for _ in range(20):
            client.send(b"WasmEdge")
            assert client.receive(13) == b"echo:WasmEdge"
        client.end()
        assert client.receiveAll() == b""


def test_malformed(server: Server) -> None:
    with Client(server.http) as client:
        client.send(b"GET /one HTTP/1.1\r\nHost : x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = client.receiveAll()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_incompleteAtTheEnd(server: Server) -> None:
    assert talk(server.http, POST[:-1]).startswith(b"HTTP/1.1 400 ")


def test_aResetIsNoticedByNobodyElse(server: Server) -> None:
    with Client(server.http) as http, Client(server.tcp) as tcp:
        for port in (server.http, server.tcp):
            with Client(port) as client:
                client.send(b"GET / HTT")
                # With a linger of 0 s, close() resets.
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        http.send(POST)
        assert http.receiveAll().endswith(b"echo:WasmEdge")
        tcp.send(b"a")
        assert tcp.receive(6) == b"echo:a"


def test_curl(server: Server) -> None:
    answer = subprocess.run(
        [needsTool("curl"), "-sS", "--noproxy", "*", "-d", "WasmEdge", "-X", "POST", f"http://127.0.0.1:{server.http}"],
        capture_output=True,
        timeout=PATIENCE,
    )
    assert (answer.stdout, answer.stderr, answer.returncode) == (b"echo:WasmEdge", b"", 0)


def test_netcat(server: Server) -> None:
    answer = subprocess.run(
        [needsTool("nc"), "-q1", "127.0.0.1", str(server.tcp)], input=b"WasmEdge", capture_output=True, timeout=PATIENCE
    )
    assert (answer.stdout, answer.returncode) == (b"echo:WasmEdge", 0)


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"], ids=["expecting", "at-once"])
@pytest.mark.parametrize("coding", [["-H", "Transfer-Encoding: chunked"], []], ids=["chunked", "by-length"])
def test_hugeUpload(server: Server, tmp_path: Path, expect: str, coding: list[str]) -> None:
    """
    50 MB: the refusal arrives, though the upload is far from its end.
    """
    upload = tmp_path / "upload"
    with upload.open("wb") as file:
        file.truncate(50_000_000)
    answer = subprocess.run(
        [
            *(needsTool("curl"), "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"),
            *("-H", expect, *coding, "-T", str(upload), f"http://127.0.0.1:{server.http}/"),
        ],
        capture_output=True,
        timeout=PATIENCE,
    )
    assert answer.stdout == b"413", answer.stderr


def test_largestUpload(server: Server) -> None:
    """
    A body as large as the limit comes back whole.
    """
    body = os.urandom(1024 * 1024)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert talk(server.http, head + body).partition(b"\r\n\r\n")[2] == b"echo:" + body


@COMMANDS
def test_stopsBySigterm(tmp_path: Path, command: list[str]) -> None:
    """
    Idle connections of both kinds don't keep it from that.
    """
    http, tcp = freePort(), freePort()
    with running([*command, "--http", at(http), "--tcp", at(tcp)], tmp_path) as process:
        process.waitForPorts(http, tcp)
        with Client(http), Client(http) as used, Client(tcp), Client(tcp) as echoed:
            used.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTT")
            assert used.receive(12) == b"HTTP/1.1 200"
            echoed.send(b"a")
            assert echoed.receive(6) == b"echo:a"
            # A shell shows that of a signal as 128 more than its number: 143.
            assert process.stop() == -signal.SIGTERM
    assert "Traceback" not in process.stdout() + process.stderr()
    assert not list(tmp_path.glob("*.pid"))


@COMMANDS
def test_stopsByCtrlC(tmp_path: Path, command: list[str]) -> None:
    http = freePort()
    with running([*command, "--http", at(http)], tmp_path) as process:
        process.waitForPorts(http)
        with Client(http):
            # twist listens before it heeds signals: that it answers says that it does.
            assert httpEcho(http) == b"echo:WasmEdge"
            assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
    assert "Traceback" not in process.stdout() + process.stderr()
    assert not list(tmp_path.glob("*.pid"))


def test_onlyTcp(tmp_path: Path) -> None:
    """
    Several of one kind, none of the other.
    """
    ports = [freePort(), freePort()]
    arguments = [argument for port in ports for argument in ("--tcp", at(port))]
    with running([*TWISTD, *arguments], tmp_path) as process:
        process.waitForPorts(*ports)
        for port in ports:
            assert talk(port, b"a") == b"echo:a"
        assert process.stop() == -signal.SIGTERM
    # It says where it listens: there, and nowhere else.
    assert re.search(r":800[01]\b", process.stdout()) is None


def test_onlyHttp(tmp_path: Path) -> None:
    ports = [freePort(), freePort()]
    arguments = [argument for port in ports for argument in ("--http", at(port))]
    with running([*TWIST, *arguments], tmp_path) as process:
        process.waitForPorts(*ports)
        for port in ports:
            assert httpEcho(port) == b"echo:WasmEdge"


def test_unixSockets(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    with running([*TWISTD, "--tcp", f"unix:{path}"], tmp_path) as process:
        with unixClient(path) as client:
            client.sendall(b"a")
            assert client.recv(100) == b"echo:a"
        assert process.stop() == -signal.SIGTERM


@COMMANDS
def test_portInUse(tmp_path: Path, command: list[str]) -> None:
    with takenPort() as port:
        process = run([*command, "--http", at(freePort()), "--tcp", at(port)], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == f"wasinet-echo: can't listen on {at(port)}: Address already in use\n"
    assert "Traceback" not in process.stdout()
    assert not list(tmp_path.glob("*.pid"))


@COMMANDS
def test_badOption(tmp_path: Path, command: list[str]) -> None:
    process = run([*command, "--nonsense"], tmp_path)
    assert process.process.returncode > 0
    output = process.stdout() + process.stderr()
    assert "nonsense" in output
    assert "Traceback" not in output


@COMMANDS
@pytest.mark.parametrize("endpoint", ["tcp:eighty", "nonsense:1", "tcp:65536"])
def test_badEndpoint(tmp_path: Path, command: list[str], endpoint: str) -> None:
    process = run([*command, "--http", endpoint], tmp_path)
    assert process.process.returncode > 0
    output = process.stdout() + process.stderr()
    (line,) = [line for line in output.splitlines() if "--http: " in line]
    assert endpoint.partition(":")[2] in line
    assert "Traceback" not in output


@COMMANDS
def test_accessLogThatCannotBeWritten(tmp_path: Path, command: list[str]) -> None:
    process = run([*command, "--http", at(freePort()), "--access-log", "/no/such/directory/log"], tmp_path)
    assert process.process.returncode == 1
    expected = "wasinet-echo: can't write the access log /no/such/directory/log: No such file or directory\n"
    assert process.stderr() == expected
    assert "Traceback" not in process.stdout()
    assert not list(tmp_path.glob("*.pid"))


LINE = r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "POST / HTTP/1\.1" 200 13 "-" "-" \d+\.\d{6} - - -'


def test_accessLogFile(tmp_path: Path) -> None:
    """
    Each request has its line once the server has stopped, if not before.
    """
    http, log = freePort(), tmp_path / "access.log"
    with running([*TWISTD, "--http", at(http), "--access-log", str(log)], tmp_path) as process:
        process.waitForPorts(http)
        for _ in range(3):
            httpEcho(http)
        assert process.stop() == -signal.SIGTERM
    lines = log.read_text().splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(LINE, line) for line in lines), lines


@COMMANDS
def test_accessLogOnTheStandardOutput(tmp_path: Path, command: list[str]) -> None:
    """
    As it is, without the prefix of twistd's own log; and while the server runs.
    """
    http = freePort()
    with running([*command, "--http", at(http), "--access-log", "-"], tmp_path) as process:
        process.waitForPorts(http)
        httpEcho(http)
        process.waitForOutput('"POST / HTTP/1.1" 200')
        assert process.stop() == -signal.SIGTERM
    assert len(re.findall(f"^{LINE}$", process.stdout(), re.MULTILINE)) == 1


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon("wasinet-echo", tmp_path)
    yield made
    if made.pidFile.exists():
        os.kill(int(made.pidFile.read_text()), signal.SIGKILL)


def test_daemon(daemon: Daemon, tmp_path: Path) -> None:
    http, tcp = freePort(), freePort()
    log = tmp_path / "access.log"
    status, said = daemon.start("--http", at(http), "--tcp", at(tcp), "--access-log", str(log))
    assert (status, said) == (0, "")
    # twistd's parent ends once the ports are open: nobody has to wait for them.
    assert httpEcho(http) == b"echo:WasmEdge"
    assert talk(tcp, b"a") == b"echo:a"
    daemon.stop()
    assert not listening(http)
    assert "Traceback" not in daemon.logFile.read_text()
    assert len(log.read_text().splitlines()) == 1


def test_daemonPortInUse(daemon: Daemon) -> None:
    """
    The parent neither hangs nor keeps the cause to itself.
    """
    with takenPort() as port:
        status, said = daemon.start("--http", at(port))
    assert status == 1
    assert f"can't listen on {at(port)}: Address already in use" in said
    assert "Traceback" not in said
    waitUntil(lambda: not daemon.pidFile.exists(), "the removal of the PID file")
    log = daemon.logFile.read_text()
    assert f"wasinet-echo: can't listen on {at(port)}: Address already in use" in log
    assert "Traceback" not in log


def test_daemonAccessLog(daemon: Daemon) -> None:
    status, said = daemon.start("--http", at(freePort()), "--access-log", "/no/such/directory/log")
    assert status == 1
    assert "can't write the access log" in said
    assert "No such file or directory" in said
    waitUntil(lambda: not daemon.pidFile.exists(), "the removal of the PID file")
    assert "Traceback" not in daemon.logFile.read_text()


def test_daemonHasNoStandardOutput(daemon: Daemon) -> None:
    status, said = daemon.start("--http", at(freePort()), "--access-log", "-")
    assert status > 0
    assert "--access-log: a daemon has no standard output" in said
    assert not daemon.pidFile.exists()


def test_aSocketFromSystemd(tmp_path: Path) -> None:
    command = [*TWISTD, "--tcp", "systemd:domain=INET:index=0"]
    with bySystemd(command, tmp_path) as (process, port):
        assert talk(port, b"WasmEdge") == b"echo:WasmEdge"
        assert process.stop() == -signal.SIGTERM


def test_noSocketFromSystemd(tmp_path: Path) -> None:
    process = run([*TWISTD, "--tcp", "systemd:domain=INET:index=0"], tmp_path)
    assert process.process.returncode == 1
    assert (
        "no server endpoint: 'systemd:domain=INET:index=0': systemd has handed over no such socket" in process.stderr()
    )
