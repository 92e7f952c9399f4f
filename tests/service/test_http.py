"""
C{wasinet-http} as its users run it: a process, an app of theirs, real sockets, signals.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes import (
    PATIENCE,
    Client,
    Daemon,
    bySystemd,
    freePort,
    listening,
    run,
    running,
    takenPort,
    talk,
    unixClient,
    waitUntil,
)
from tests.service.support import APP, COMMANDS, POST, TWIST, TWISTD, at, body, ended, serving, statusOf, write


@COMMANDS
def test_serves(tmp_path: Path, command: list[str]) -> None:
    with serving(tmp_path, command=command) as (process, port):
        answer = talk(port, POST)
        assert body(answer) == b"one:WasmEdge"
        assert re.search(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", answer)
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)
    assert not list(tmp_path.glob("*.pid"))


def test_theDefaultPort(tmp_path: Path) -> None:
    if listening(8080):
        pytest.skip("somebody else has the port")
    write(tmp_path)
    with running([*TWISTD, "--app", "app:handler"], tmp_path) as process:
        process.waitForPorts(8080)
        assert body(talk(8080, POST)) == b"one:WasmEdge"


def test_severalEndpoints(tmp_path: Path) -> None:
    other = freePort()
    with serving(tmp_path, "--listen", at(other)) as (_, port):
        for each in (port, other):
            assert body(talk(each, POST)) == b"one:WasmEdge"


@pytest.mark.parametrize(
    "text",
    [
        "def handler(request): return WasiResponse(body=b'x')",
        "def handler(request): return succeed(WasiResponse(body=b'x'))",
        "class A:\n    async def __call__(self, request): return WasiResponse(body=b'x')\nhandler = A()",
    ],
    ids=["function", "deferred", "object"],
)
def test_handlersOfEachKind(tmp_path: Path, text: str) -> None:
    imports = "from twisted.internet.defer import succeed\nfrom wasinet_twisted.http import WasiResponse\n"
    write(tmp_path, imports + text)
    with serving(tmp_path) as (_, port):
        assert body(talk(port, POST)) == b"x"


def test_aPackage(tmp_path: Path) -> None:
    """
    A module of a package, and a name within a name.
    """
    write(tmp_path, "", "shop/__init__.py")
    write(tmp_path, f"from . import helper\n{APP}\nclass api:\n    v1 = handler", "shop/web.py")
    write(tmp_path, "", "shop/helper.py")
    port = freePort()
    with running([*TWISTD, "--app", "shop.web:api.v1", "--listen", at(port)], tmp_path) as process:
        process.waitForPorts(port)
        assert body(talk(port, POST)) == b"one:WasmEdge"


# Apps that can't be served

FAILING = {
    "no-module": (
        "",
        "nonsense:handler",
        "can't import the app nonsense:handler: ModuleNotFoundError: No module named 'nonsense'",
    ),
    "import": ("\nimport nonsense", "app:handler", "ModuleNotFoundError: No module named 'nonsense' ({app}, line 2)"),
    "syntax": ("a = 1\nb = = 2\n", "app:handler", "SyntaxError: invalid syntax ({app}, line 2)"),
    "raises": ("def f():\n    raise ValueError('a\\nb')\nf()", "app:handler", "ValueError: a b ({app}, line 2)"),
    "exits": ("import sys\nsys.exit(7)", "app:handler", "SystemExit: 7 ({app}, line 2)"),
    "empty-message": ("raise KeyError", "app:handler", "can't import the app app:handler: KeyError ({app}, line 1)"),
    "no-attribute": ("", "app:handler", "there is no app app:handler: module 'app' has no attribute 'handler' ({app})"),
    "no-inner": ("class a: b = 1", "app:a.c", "there is no app app:a.c: type object 'a' has no attribute 'c' ({app})"),
    "no-function": ("handler = 5", "app:handler", "the app app:handler must be a function that takes a request, not 5"),
    "no-colon": ("", "app", "--app must be like package.module:handler, not 'app'"),
    "a-path": ("", "./app.py:handler", "--app must be like package.module:handler, not './app.py:handler'"),
    "no-name": ("", "app:", "--app must be like package.module:handler, not 'app:'"),
}


@pytest.mark.parametrize("case", FAILING)
def test_appErrors(tmp_path: Path, case: str) -> None:
    """
    One line, status 1.
    """
    text, app, expected = FAILING[case]
    path = write(tmp_path, text)
    process = run([*TWISTD, "--app", app, "--listen", at(freePort())], tmp_path)
    assert process.process.returncode == 1
    (line,) = process.stderr().splitlines()
    assert line.startswith("wasinet-http: ")
    assert line.endswith(expected.format(app=path)), line
    assert process.stdout() == ""
    assert not list(tmp_path.glob("*.pid"))


def test_appErrorsUnderTwist(tmp_path: Path) -> None:
    path = write(tmp_path, "import nonsense")
    process = run([*TWIST, "--app", "app:handler", "--listen", at(freePort())], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == (
        "wasinet-http: can't import the app app:handler: ModuleNotFoundError: No module named 'nonsense' "
        f"({path}, line 1)\n"
    )
    assert process.stdout() == ""


@COMMANDS
def test_portInUse(tmp_path: Path, command: list[str]) -> None:
    write(tmp_path)
    with takenPort() as port:
        process = run([*command, "--app", "app:handler", "--listen", at(port)], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == f"wasinet-http: can't listen on {at(port)}: Address already in use\n"
    assert "Traceback" not in process.stdout()
    assert not list(tmp_path.glob("*.pid"))


@COMMANDS
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "--app: it must be named"),
        (["--app=app:handler", "--listen=tcp:eighty"], "--listen: no server endpoint: 'tcp:eighty'"),
        (
            ["--app=app:handler", "--limits=head=-1"],
            "--limits head=-1: ServerLimits.head must be a number of at least 0",
        ),
        (["--app=app:handler", "--access-log=x", "--access-log-format=xml"], "there are combined and json, not 'xml'"),
    ],
    ids=["no-app", "listen", "limits", "format"],
)
def test_badOptions(tmp_path: Path, command: list[str], options: list[str], expected: str) -> None:
    process = run([*command, *options], tmp_path)
    assert process.process.returncode > 0
    output = process.stdout() + process.stderr()
    assert expected in output
    assert "Traceback" not in output


# Limits, descriptors


def test_limits(tmp_path: Path) -> None:
    options = [f"--limits={text}" for text in ("head=0.5", "message.body=10", "handler=0.5")]
    with serving(tmp_path, *options) as (_, port):
        with Client(port) as client:
            client.send(b"GET / HTT")
            assert statusOf(client.receiveAll()) == 408
        assert body(talk(port, POST)) == b"one:WasmEdge"
        assert statusOf(talk(port, POST.replace(b"8\r\n", b"11\r\n") + b"123")) == 413
        with Client(port) as client:
            client.send(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
            assert statusOf(client.receiveAll()) == 503


def test_descriptors(tmp_path: Path) -> None:
    """
    As many as there may be; the bound of connections is kept below that.
    """
    launch = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    with serving(tmp_path, command=[sys.executable, "-c", launch, *TWISTD]) as (process, port):
        limits = Path(f"/proc/{process.process.pid}/limits").read_text()
        assert re.search(r"^Max open files +300 +300 ", limits, re.MULTILINE)
        process.waitForOutput("at most 236 connections instead of 10000: the process may have 300 file descriptors")
        assert body(talk(port, POST)) == b"one:WasmEdge"


# Logs


@COMMANDS
def test_accessLogOnTheStandardOutput(tmp_path: Path, command: list[str]) -> None:
    with serving(tmp_path, "--access-log", "-", command=command) as (process, port):
        talk(port, POST)
        process.waitForOutput('"POST / HTTP/1.1" 200 12 "-" "-" 0.0')


def test_accessLogAsJson(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with serving(tmp_path, "--access-log", str(log), "--access-log-format", "json") as (process, port):
        talk(port, POST)
        talk(port, b'GET /"a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: caf\xe9\r\n\r\n')
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)
    first, second = (json.loads(line) for line in log.read_text("ascii").splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("time"))
    assert 0 < first.pop("seconds") < PATIENCE
    assert first == {
        "peer": "127.0.0.1",
        "method": "POST",
        "target": "/",
        "version": "HTTP/1.1",
        "status": 200,
        "bytes": 12,
        "referer": None,
        "userAgent": None,
        "complete": True,
        "aborted": False,
        "tls": None,
        "requestId": None,
        "traceId": None,
    }
    assert (second["target"], second["userAgent"]) == ('/"a', "caf\xe9")


@COMMANDS
def test_rotatedLog(tmp_path: Path, command: list[str]) -> None:
    """
    As logrotate does it: the file is moved, then SIGHUP.
    """
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with serving(tmp_path, "--access-log", str(log), command=command) as (process, port):
        talk(port, POST)
        log.rename(old)
        talk(port, POST)
        process.process.send_signal(signal.SIGHUP)
        waitUntil(log.exists, "the new file")
        talk(port, POST)
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)
    assert (len(old.read_text().splitlines()), len(log.read_text().splitlines())) == (2, 1)


def test_logThatCannotBeReopened(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    log = directory / "access.log"
    with serving(tmp_path, "--access-log", str(log)) as (process, port):
        moved = directory.rename(tmp_path / "moved")
        process.process.send_signal(signal.SIGHUP)
        process.waitForOutput(f"the access log {log} can't be opened anew, the old file goes on: No such file")
        talk(port, POST)
        assert process.stop() == -signal.SIGTERM
    assert len((moved / "access.log").read_text().splitlines()) == 1


# The status pages


def test_status(tmp_path: Path) -> None:
    """
    On a port of its own, which is reached from this machine only; what is asked there is not logged.
    """
    status, log = freePort(), tmp_path / "access.log"
    with serving(tmp_path, f"--status=tcp:{status}", "--access-log", str(log)) as (process, port):
        process.waitForPorts(status)
        talk(port, POST)
        figures = json.loads(body(talk(status, b"GET /status.json HTTP/1.0\r\n\r\n")))
        assert '"message.head": 32768' in json.dumps(figures)
        with socket.socket() as elsewhere:
            assert elsewhere.connect_ex(("127.0.0.2", status)) != 0
        assert process.stop() == -signal.SIGTERM
    assert len(log.read_text().splitlines()) == 1


# Sockets of other kinds


def test_aSocketFromSystemd(tmp_path: Path) -> None:
    write(tmp_path)
    command = [*TWISTD, "--app", "app:handler", "--listen", "systemd:domain=INET:index=0"]
    with bySystemd(command, tmp_path) as (process, port):
        assert body(talk(port, POST)) == b"one:WasmEdge"
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)


def test_aSocketFromSystemdByName(tmp_path: Path) -> None:
    write(tmp_path)
    with bySystemd([*TWISTD, "--app=app:handler", "--listen=systemd:domain=INET:name=socket"], tmp_path) as (_, port):
        assert body(talk(port, POST)) == b"one:WasmEdge"


def test_unixSocket(tmp_path: Path) -> None:
    write(tmp_path)
    path, log = tmp_path / "http.sock", tmp_path / "access.log"
    command = [*TWISTD, "--app", "app:handler", "--listen", f"unix:{path}", "--access-log", str(log)]
    with running(command, tmp_path) as process:
        with unixClient(path) as client:
            client.sendall(POST)
            with client.makefile("rb") as answer:
                assert body(answer.read()) == b"one:WasmEdge"
        assert process.stop() == -signal.SIGTERM
    assert not path.exists()
    assert log.read_text().startswith("- - - [")


def test_behindHaproxy(tmp_path: Path) -> None:
    """
    The log has the client's address.
    """
    write(tmp_path)
    port, log = freePort(), tmp_path / "access.log"
    command = [*TWISTD, "--app", "app:handler", "--listen", f"haproxy:{at(port)}", "--access-log", str(log)]
    with running(command, tmp_path) as process:
        process.waitForPorts(port)
        assert body(talk(port, b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n" + POST)) == b"one:WasmEdge"
        assert process.stop() == -signal.SIGTERM
    assert log.read_text().startswith("192.0.2.7 - - [")


# The end


def test_requestsInFlightAreAnswered(tmp_path: Path) -> None:
    """
    Also one whose body has come by half, and one whose head has; idle connections close, and no new ones come.
    """
    with serving(tmp_path, "--limits=drain=15") as (process, port), ExitStack() as stack:
        slow, upload, head, idle = (stack.enter_context(Client(port)) for _ in range(4))
        idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.receive(12) == b"HTTP/1.1 200"
        slow.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        upload.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nWasm")
        head.send(b"GET / HTTP/1.1\r\nHo")
        time.sleep(0.2)
        process.process.send_signal(signal.SIGTERM)
        process.waitForOutput("connections with requests in flight: 3; at most 15 s; a second signal ends them")
        idle.receiveAll()
        waitUntil(lambda: not listening(port), "the end of listening")
        upload.send(b"Edge")
        head.send(b"st: x\r\n\r\n")
        for client, expected in ((slow, b"one:"), (upload, b"one:WasmEdge"), (head, b"one:")):
            answer = client.receiveAll()
            assert body(answer) == expected
            assert b"\r\nConnection: close\r\n" in answer
        ended(process, -signal.SIGTERM)


def test_theDeadlineOfTheEnd(tmp_path: Path) -> None:
    """
    What then still runs is cut off.
    """
    with serving(tmp_path, "--limits=drain=0.5") as (process, port), Client(port) as never, Client(port) as upload:
        never.send(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        upload.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nWasm")
        time.sleep(0.2)
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)
        assert 0.4 < time.monotonic() - began < 5


@COMMANDS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_theSecondSignal(tmp_path: Path, command: list[str], number: signal.Signals) -> None:
    """
    It ends the process at once.
    """
    with serving(tmp_path, command=command) as (process, port), Client(port) as client:
        client.send(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
        process.process.send_signal(signal.SIGTERM)
        process.waitForOutput("connections with requests in flight")
        began = time.monotonic()
        process.process.send_signal(number)
        ended(process, -number)
        assert time.monotonic() - began < 2
    assert not list(tmp_path.glob("*.pid"))


def test_theSecondSignalWhileTheAppBlocks(tmp_path: Path) -> None:
    """
    Even if the reactor doesn't get to run.
    """
    with serving(tmp_path) as (process, port), Client(port) as client:
        client.send(b"GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.5)
        process.process.send_signal(signal.SIGTERM)
        process.waitForOutput("Received SIGTERM")
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)


@COMMANDS
def test_stopsByCtrlC(tmp_path: Path, command: list[str]) -> None:
    with serving(tmp_path, command=command) as (process, port), Client(port):
        # twist listens before it heeds signals: that it answers says that it does.
        talk(port, POST)
        process.process.send_signal(signal.SIGINT)
        assert process.wait() in (0, -signal.SIGINT)
    assert "Traceback" not in process.stdout() + process.stderr()


# Daemons


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon("wasinet-http", tmp_path)
    yield made
    if made.pidFile.exists():
        os.kill(int(made.pidFile.read_text()), signal.SIGKILL)


def test_daemon(daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path)
    port, log = freePort(), tmp_path / "access.log"
    status, said = daemon.start("--app", "app:handler", "--listen", at(port), "--access-log", str(log))
    assert (status, said) == (0, "")
    assert body(talk(port, POST)) == b"one:WasmEdge"
    os.kill(int(daemon.pidFile.read_text()), signal.SIGHUP)
    assert body(talk(port, POST)) == b"one:WasmEdge"
    daemon.stop()
    assert not listening(port)
    assert "Traceback" not in daemon.logFile.read_text()
    assert len(log.read_text().splitlines()) == 2


def test_daemonWithoutItsApp(daemon: Daemon) -> None:
    status, said = daemon.start("--app", "app:handler")
    assert status == 1
    assert said == "wasinet-http: can't import the app app:handler: ModuleNotFoundError: No module named 'app'\n"
    assert not daemon.pidFile.exists()


def test_daemonPortInUse(daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path)
    with takenPort() as port:
        status, said = daemon.start("--app", "app:handler", "--listen", at(port))
    assert status == 1
    assert f"can't listen on {at(port)}: Address already in use" in said
    waitUntil(lambda: not daemon.pidFile.exists(), "the removal of the PID file")
    log = daemon.logFile.read_text()
    assert f"wasinet-http: can't listen on {at(port)}: Address already in use" in log
    assert "Traceback" not in log


def test_daemonsDoNotReload(daemon: Daemon) -> None:
    status, said = daemon.start("--app", "app:handler", "--reload")
    assert status == 1
    assert "--reload: it is for development, not for a daemon; run twistd with -n" in said


def test_help(tmp_path: Path) -> None:
    answer = subprocess.run([*TWISTD, "--help"], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path)
    assert answer.returncode == 0
    for option in ("app", "listen", "access-log", "access-log-format", "limits", "status", "reload"):
        assert f"--{option}" in answer.stdout
