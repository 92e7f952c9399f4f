"""
What an operator sees: where the commands listen, who can read the status page, which sockets are taken, and what is
said of what is wrong.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import twisted

import wasinet_twisted
from tests.certificates import Authority
from tests.processes import PATIENCE, Process, freePort, listening, run, running, script, takenPort, talk, waitUntil
from tests.service.support import APP, COMMANDS, POST, TWISTD, body, ended, serving, write

ECHO = [*TWISTD[:-1], "wasinet-echo"]
SHUTDOWN = (
    APP.replace("await task", "print('a request in flight', flush=True); await task")
    + """
from twisted.internet import task
async def stop():
    print("closing the pool", flush=True)
    await task.deferLater(reactor, 0.1)
    print("closed the pool", flush=True)
"""
)


def oneLine(process: Process, expected: str) -> None:
    """
    It has ended with status 1 and nothing but this line.
    """
    assert process.process.returncode == 1
    assert process.stderr() == f"{expected}\n"
    assert process.stdout() == ""


# Where it listens


def test_saysWhere(tmp_path: Path) -> None:
    """
    As a URL to click, for each endpoint.
    """
    http, tcp, path = freePort(), freePort(), tmp_path / "a b.sock"
    arguments = ["--http", str(http), "--tcp", f"127.0.0.1:{tcp}", "--http", f"unix:{path}"]
    with running([*ECHO, *arguments], tmp_path) as process:
        process.waitForPorts(http, tcp)
        process.waitForOutput("a%20b.sock\n")
        for url in (
            f"http://127.0.0.1:{http} (all IPv4 addresses)",
            f"tcp://127.0.0.1:{tcp}",
            f"unix:{tmp_path}/a%20b.sock",
        ):
            assert f" listening on {url}\n" in process.stdout()
        assert process.stop() == -signal.SIGTERM


def test_saysWhereOverTls(tmp_path: Path) -> None:
    write(tmp_path)
    pem = Authority(tmp_path).issue("localhost")
    port = freePort()
    endpoint = f"ssl:{port}:privateKey={pem}:interface=127.0.0.1"
    with running([*TWISTD, "--app", "app:handler", "--listen", endpoint], tmp_path) as process:
        process.waitForOutput(f" listening on https://127.0.0.1:{port}\n")
        assert process.stop() == -signal.SIGTERM


def test_aBarePort(tmp_path: Path) -> None:
    write(tmp_path)
    port = freePort()
    with running([*TWISTD, "--app", "app:handler", "--listen", str(port)], tmp_path) as process:
        process.waitForPorts(port)
        assert body(talk(port, POST)) == b"one:WasmEdge"


# The status page


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_saysHowTheStatusPageIsProtected(tmp_path: Path, address: str) -> None:
    status = freePort()
    given = {"127.0.0.1": str(status), "0.0.0.0": f"0.0.0.0:{status}", "::1": f"tcp6:{status}"}[address]
    with serving(tmp_path, f"--status={given}") as (process, _):
        process.waitForOutput("the status page is at ")
        (line,) = [line for line in process.stdout().splitlines() if "the status page" in line]
        expected = {
            "127.0.0.1": f"http://127.0.0.1:{status}; it has no authentication; it listens on 127.0.0.1 only",
            "0.0.0.0": f"http://127.0.0.1:{status} (all IPv4 addresses); it has no authentication; "
            "everybody who reaches it can read it",
            "::1": f"http://[::1]:{status}; it has no authentication; it listens on ::1 only",
        }[address]
        assert line.endswith(f"the status page is at {expected}")
        # Whether it's so.
        host = "127.0.0.2" if address != "::1" else "127.0.0.1"
        with socket.socket() as elsewhere:
            assert (elsewhere.connect_ex((host, status)) == 0) == (address == "0.0.0.0")


def test_dnsRebinding(tmp_path: Path) -> None:
    """
    The app answers to any name, the status page to few.
    """
    status = freePort()
    request = "GET /status.json HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"
    with serving(tmp_path, f"--status={status}", "--status-host=box.example") as (process, port):
        process.waitForPorts(status)
        for host, expected in (
            *((f"localhost:{status}", b"200"), (f"127.0.0.1:{status}", b"200"), ("box.example", b"200")),
            *((f"evil.example:{status}", b"403"), ("box.example.evil", b"403")),
        ):
            answer = talk(status, request.format(host).encode())
            assert answer.startswith(b"HTTP/1.1 " + expected), host
            assert (b"--status-host" in answer) == (expected == b"403")
        assert talk(port, POST.replace(b"Host: x", b"Host: evil.example")).startswith(b"HTTP/1.1 200")


# Unix sockets


@pytest.mark.parametrize(("mode", "expected"), [("", 0o660), (":mode=666", 0o666), (":mode=600", 0o600)])
def test_modesOfUnixSockets(tmp_path: Path, mode: str, expected: int) -> None:
    paths = [tmp_path / name for name in ("listen", "status", "tcp", "http")]
    write(tmp_path)
    listen, status, tcp, http = (f"unix:{path}{mode}" for path in paths)
    (tmp_path / "echo").mkdir()
    with (
        running([*TWISTD, "--app=app:handler", f"--listen={listen}", f"--status={status}"], tmp_path) as process,
        running([*ECHO, f"--tcp={tcp}", f"--http={http}"], tmp_path / "echo") as echo,
    ):
        # Between its bind() and its chmod(), a socket has the mode of the umask.
        process.waitForOutput(
            f"the status page is at unix:{paths[1]}; it has no authentication; the mode of the socket"
        )
        echo.waitForOutput(f"unix:{paths[2]}\n")
        echo.waitForOutput(f"unix:{paths[3]}\n")
        for path in paths:
            assert stat.S_IMODE(path.stat().st_mode) == expected, path
        for each in (process, echo):
            assert each.stop() == -signal.SIGTERM


# Sockets that systemd hands over

LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="socket")
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("kind", ["datagrams", "not-listening", "family", "pipe"])
def test_aSocketThatDoesNotListen(tmp_path: Path, kind: str) -> None:
    family = socket.AF_INET6 if kind == "family" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM) as found:
        found.bind(("::1" if kind == "family" else "127.0.0.1", 0))
        if kind == "family":
            found.listen()
        reading, writing = os.pipe()
        descriptor = reading if kind == "pipe" else os.dup(found.fileno())
        command = [sys.executable, "-c", LAUNCH, str(descriptor), *ECHO, "--tcp=systemd:domain=INET:index=0"]
        try:
            with running(command, tmp_path, [descriptor]) as process:
                process.wait()
        finally:
            for each in {reading, writing, descriptor}:
                os.close(each)
    why = {
        "datagrams": "is no stream socket but SOCK_DGRAM",
        "not-listening": "is a socket that nobody listens on",
        "family": "is a socket of AF_INET6, and the endpoint is for AF_INET",
        "pipe": "is no socket: Socket operation on non-socket",
    }[kind]
    oneLine(
        process,
        f"wasinet-echo: --tcp: no server endpoint: 'systemd:domain=INET:index=0': descriptor 3 {why} "
        "(see wasinet-echo --help)",
    )


# What is wrong


@COMMANDS
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--nonsense"], "option --nonsense not recognized (see wasinet-http --help)"),
        (["--app"], "option --app requires argument (see wasinet-http --help)"),
        ([], "--app: it must be named, as package.module:handler (see wasinet-http --help)"),
        (
            ["--app=app:handler", "--listen=http"],
            "--listen: no server endpoint: 'http': ValueError: Unknown endpoint type: 'http'; an endpoint is a port "
            "(8080), an address and a port (127.0.0.1:8080), or like tcp:8080 or unix:/run/x.sock "
            "(see wasinet-http --help)",
        ),
        (
            ["--app=app:handler", "--listen=65536"],
            "--listen: no server endpoint: 'tcp:65536': a port must be a whole number from 0 to 65535, not 65536 "
            "(see wasinet-http --help)",
        ),
        (["--app=nothere:x"], "can't import the app nothere:x: ModuleNotFoundError: No module named 'nothere'"),
        (["--app=app:handler", "--shutdown=app:nothere"], None),
    ],
    ids=["option", "value", "no-app", "endpoint", "port", "app", "shutdown"],
)
def test_oneLine(tmp_path: Path, command: list[str], arguments: list[str], expected: str | None) -> None:
    app = write(tmp_path)
    if expected is None:
        expected = f"there is no shutdown app:nothere: module 'app' has no attribute 'nothere' ({app})"
    process = run([*command, *arguments], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == f"wasinet-http: {expected}\n"
    assert "Traceback" not in process.stdout()


@COMMANDS
def test_aBarePortInUse(tmp_path: Path, command: list[str]) -> None:
    write(tmp_path)
    with takenPort() as port:
        process = run([*command, "--app=app:handler", f"--listen={port}"], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == f"wasinet-http: can't listen on tcp:{port}: Address already in use\n"


def test_aDaemonSaysItToo(tmp_path: Path) -> None:
    command = [script("twistd"), "--pidfile=x.pid", "wasinet-http", "--nonsense"]
    oneLine(run(command, tmp_path), "wasinet-http: option --nonsense not recognized (see wasinet-http --help)")


@pytest.mark.parametrize("name", ["wasinet-http", "wasinet-echo"])
def test_version(tmp_path: Path, name: str) -> None:
    process = run([script("twistd"), name, "--version"], tmp_path)
    assert process.process.returncode == 0
    expected = (
        rf"wasinet_twisted {wasinet_twisted.__version__} "
        rf"\((compiled|pure Python: .+); Twisted {twisted.__version__}, Python 3\.\d+\.\d+\S*\)\n"
    )
    assert re.fullmatch(expected, process.stdout())
    assert process.stderr() == ""


@pytest.mark.reactorless
def test_withoutTheExtraTls(tmp_path: Path) -> None:
    """
    It says what to install.
    """
    code = (
        "import sys\n"
        "for name in ('OpenSSL', 'service_identity', 'cryptography'):\n"
        "    sys.modules[name] = None\n"
        "from twisted.scripts.twistd import run\n"
        "sys.argv = ['twistd', '-n', 'wasinet-http', '--app=app:handler', '--listen=ssl:443']\n"
        "run()\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, check=False
    )
    assert answer.returncode == 1
    assert answer.stderr == (
        "wasinet-http: --listen: no server endpoint: 'ssl:443': TLS needs the extra: "
        "pip install 'wasinet_twisted[tls]' (see wasinet-http --help)\n"
    )


# The app's end


@COMMANDS
def test_shutdown(tmp_path: Path, command: list[str]) -> None:
    """
    An C{async def} of the app's, after the request in flight has been answered.
    """
    write(tmp_path, SHUTDOWN)
    with serving(tmp_path, "--shutdown=app:stop", command=command) as (process, port):
        # twist listens before it honours signals: that it answers says that it does.
        assert body(talk(port, POST)) == b"one:WasmEdge"
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(POST.replace(b"POST /", b"POST /slow"))
            process.waitForOutput("a request in flight")
            process.process.send_signal(signal.SIGTERM)
            with client.makefile("rb") as answer:
                assert body(answer.read()) == b"one:WasmEdge"
        ended(process, -signal.SIGTERM)
    said = process.stdout()
    assert said.index("closing the pool") < said.index("closed the pool")
    assert not listening(port)


def test_shutdownOfAReloadedApp(tmp_path: Path) -> None:
    write(tmp_path, SHUTDOWN)
    with serving(tmp_path, "--shutdown=app:stop", "--reload") as (process, port):
        waitUntil(lambda: talk(port, POST), "the worker")
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)
    assert process.stdout().count("closed the pool") == 1
    # The parent listens as well, but it's the worker who serves.
    assert process.stdout().count(" listening on http://") == 1
