"""
C{--workers}: as users run it.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import ssl
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.processes import (
    PATIENCE,
    Client,
    Daemon,
    bySystemd,
    freePort,
    listening,
    run,
    running,
    runs,
    script,
    takenPort,
    talk,
    waitUntil,
)
from tests.service.support import TWISTD, at, body, write
from tests.service.workers.support import APP, CLOSE, KEEP, Load, parentOf, serving
from wasinet_twisted.service.workers.crew import SIGNALLED

# twist's own log is JSON, if it is no terminal's.
TWIST = [sys.executable, "-m", "twisted", "--log-format=text", "wasinet-http"]


def quiet(text: str) -> None:
    assert "Traceback" not in text, text


def test_theLife(tmp_path: Path) -> None:
    """
    Two workers serve, each on its core; what each does is told and added up; one that is killed is started again;
    SIGTERM lets what is in flight be answered.
    """
    log = tmp_path / "access.log"
    with serving(tmp_path, "--access-log", str(log), "--pin") as (process, port, status):
        before = status.pids()
        assert sorted(before) == [1, 2]
        cores = sorted(os.sched_getaffinity(0))
        for number, pid in before.items():
            assert os.sched_getaffinity(pid) == {cores[(number - 1) % len(cores)]}
        answers = [body(talk(port, CLOSE)) for _ in range(40)]
        assert {int(each.split()[1]) for each in answers} <= set(before.values())
        status.waitForRequests(40)
        assert sum(row["requests"] for row in status.json()["workers"]) == 40
        metrics = status.read("/metrics")
        assert "wasinet_requests_total 40.0" in metrics
        each = re.findall(r'^wasinet_worker_requests_total\{worker="[12]"\} (\d+)', metrics, re.M)
        assert sum(map(int, each)) == 40
        assert status.read("/readyz") == "ready\n"

        # Of the one that dies the sums stay.
        os.kill(before[1], signal.SIGKILL)
        process.waitForOutput("worker 1: it has ended with SIGKILL; it is started again")
        assert talk(port, CLOSE)
        waitUntil(lambda: status.pids().get(1, before[1]) != before[1], "another worker 1")
        assert status.pids()[2] == before[2]
        status.waitForRequests(41)
        assert "wasinet_requests_total 41.0" in status.read("/metrics")

        # One that is sent SIGTERM ends when another one is ready.
        os.kill(before[2], signal.SIGTERM)
        process.waitForOutput(f"worker 2 (process {before[2]}) is replaced: SIGTERM")
        process.waitForOutput("worker 2's predecessor has ended")
        assert sorted(status.pids()) == [1, 2]

        # The traceback of an app is whole, and says whose it is.
        talk(port, CLOSE.replace(b"/", b"/failing", 1))
        process.waitForOutput("builtins.ValueError: it is broken")
        assert re.search(r"\[worker [12]\] the handler of .*\n\tTraceback .*\n(\t.*\n)+", process.stdout())

        with Client(port) as client:
            client.send(CLOSE.replace(b"/", b"/slow", 1))
            time.sleep(0.2)
            workers = status.pids().values()
            assert process.stop() == -signal.SIGTERM
            assert body(client.receiveAll()).startswith(b"one ")
        assert not any(map(runs, workers))
        assert not listening(port)
    assert process.stderr() == ""
    lines = log.read_text().splitlines()
    assert len(lines) == 43
    assert all(re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /\w* HTTP/1.1" \d+ .*', line) for line in lines)


BUSY = """
import time
from wasinet_twisted.http import WasiResponse

def work(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass

work(0.5)

def handler(request):
    work(0.05)
    return WasiResponse(200, {}, b"")
"""


@pytest.mark.reactorless
@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the system has no such scheduling")
def test_scheduling(tmp_path: Path) -> None:
    """
    Workers with much to do wait for their turn, unless they are to be as other programs. Their start doesn't count.
    """
    for options, expected in (
        ((), os.SCHED_BATCH),
        (("--preload",), os.SCHED_BATCH),
        (("--scheduling=normal",), os.SCHED_OTHER),
    ):
        with serving(tmp_path, *options, workers=1, app=BUSY) as (process, port, status):
            (pid,) = status.pids().values()
            assert os.sched_getscheduler(pid) == os.SCHED_OTHER
            until = time.monotonic() + (PATIENCE if expected == os.SCHED_BATCH else 2.5)
            while time.monotonic() < until and os.sched_getscheduler(pid) == os.SCHED_OTHER:
                talk(port, CLOSE)
            assert os.sched_getscheduler(pid) == expected, options
            assert process.stop() == -signal.SIGTERM


@pytest.mark.reactorless
def test_turns(tmp_path: Path) -> None:
    """
    The kernel wakes one of them for a connection. If one takes none, another one takes the whole burst.
    """
    with serving(tmp_path) as (process, port, status), ExitStack() as stack:
        pids = status.pids()
        for pid in pids.values():
            watched = [path.read_text() for path in Path(f"/proc/{pid}/fdinfo").iterdir()]
            # epoll_ctl(2): EPOLLEXCLUSIVE is the bit 1 << 28.
            assert re.findall(r"^tfd: +\d+ events: +1[0-9a-f]{7} ", "".join(watched), re.M), watched
        os.kill(pids[2], signal.SIGSTOP)
        try:
            clients = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) for _ in range(40)
            ]
            for client in clients:
                client.sendall(KEEP)
            for client in clients:
                assert client.recv(4096).endswith(b"one %d" % pids[1])
        finally:
            os.kill(pids[2], signal.SIGCONT)
        assert process.stop() == -signal.SIGTERM


def test_rolling(tmp_path: Path) -> None:
    """
    SIGHUP replaces the workers, one after the other, and nothing is lost; an app that doesn't load replaces none. The
    access log is opened anew, and its lines are whole.
    """
    log = tmp_path / "access.log"
    with serving(tmp_path, "--access-log", str(log)) as (process, port, status):
        before = status.pids()
        with Load(port) as load:
            waitUntil(lambda: len(load.seen()) == 2, "answers from both")
            write(tmp_path, "import nothing.of.this.name\n")
            process.process.send_signal(signal.SIGHUP)
            process.waitForOutput("worker 1 stays: its successor can't serve: ")
            line = process.stdout().partition("its successor can't serve: ")[2].splitlines()[0]
            assert "No module named 'nothing'" in line
            assert line.endswith("; no other worker is replaced")
            assert status.pids() == before

            write(tmp_path, APP.replace('"one"', '"two"'))
            log.rename(tmp_path / "old.log")
            process.process.send_signal(signal.SIGHUP)
            waitUntil(lambda: process.stdout().count("predecessor has ended") == 2, "the roll")
        after = status.pids()
        assert sorted(after) == [1, 2]
        assert not set(after.values()) & set(before.values())
        assert load.lost == []
        assert {each.partition(b" ")[0] for each in load.answers} == {b"one", b"two"}
        # All that was answered has been counted, by those that are gone, too.
        total = sum(load.answers.values())
        status.waitForRequests(total)
        assert process.stop() == -signal.SIGTERM
    lines = [*(tmp_path / "old.log").read_text().splitlines(), *log.read_text().splitlines()]
    assert len(lines) == total
    assert all(re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET / HTTP/1.1" 200 .*', line) for line in lines)
    quiet(process.stdout())


@pytest.mark.reactorless
@pytest.mark.parametrize(
    ("command", "text", "reason"),
    [
        (TWISTD, "this is no Python", "can't import the app app:handler: SyntaxError: invalid syntax"),
        (TWIST, "import os\nos._exit(3)", "worker [12]: it has ended with status 3"),
    ],
    ids=["twistd-error", "twist-exit"],
)
def test_anAppThatDoesNotLoad(tmp_path: Path, command: list[str], text: str, reason: str) -> None:
    """
    One line, and status 1.
    """
    write(tmp_path, text)
    process = run([*command, "--app=app:handler", "--listen", at(freePort()), "--workers=2"], tmp_path)
    assert process.process.returncode == 1
    (line,) = process.stderr().splitlines()
    assert re.match(f"wasinet-http: {reason}", line)
    quiet(process.stdout())


@pytest.mark.reactorless
def test_portInUse(tmp_path: Path) -> None:
    write(tmp_path)
    with takenPort() as port:
        process = run([*TWISTD, "--app=app:handler", "--listen", at(port), "--workers=2"], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == f"wasinet-http: can't listen on {at(port)}: Address already in use\n"


@pytest.mark.reactorless
def test_daemon(tmp_path: Path) -> None:
    """
    It serves; a start that fails later is in its log.
    """
    write(tmp_path, APP)
    port = freePort()
    daemon = Daemon("wasinet-http", tmp_path)
    assert daemon.start("--app=app:handler", "--listen", at(port), "--workers=1") == (0, "")
    assert body(talk(port, CLOSE)).startswith(b"one ")
    daemon.stop()
    write(tmp_path, "1 / 0")
    assert daemon.start("--app=app:handler", "--listen", at(port), "--workers=1")[0] == 0
    waitUntil(lambda: not daemon.pidFile.exists(), "the end of the daemon")
    assert "wasinet-http: can't import the app app:handler: ZeroDivisionError" in daemon.logFile.read_text()


@pytest.mark.reactorless
def test_theParentIsKilled(tmp_path: Path) -> None:
    """
    The workers answer what is in flight, and end.
    """
    with serving(tmp_path) as (process, port, status), Client(port) as client:
        workers = status.pids().values()
        client.send(CLOSE.replace(b"/", b"/slow", 1))
        time.sleep(0.2)
        process.process.kill()
        process.wait()
        assert body(client.receiveAll()).startswith(b"one ")
        waitUntil(lambda: not any(map(runs, workers)), "the workers' end")
        assert not listening(port)


def test_aSecondSignal(tmp_path: Path) -> None:
    """
    It ends all at once, whatever the app does. Ctrl-C comes to each process, and only the parent's counts.
    """
    with serving(tmp_path) as (process, port, status), Client(port) as client:
        workers = list(status.pids().values())
        client.send(CLOSE.replace(b"/", b"/blocked", 1))
        time.sleep(0.2)
        for number in (*workers, parentOf(workers[0]), process.process.pid):
            os.kill(number, signal.SIGINT)
            os.kill(number, signal.SIGHUP)
        process.waitForOutput("Received SIGINT")
        assert any(map(runs, workers))
        process.process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        waitUntil(lambda: not any(map(runs, workers)), "the workers' end")


@pytest.mark.reactorless
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_nobodyWaitsForAnEnd(tmp_path: Path, options: tuple[str, ...]) -> None:
    """
    While the last requests are answered, a new connection is refused: no process of the service holds the listening
    socket any more, in whose queue the connection would wait for nobody.
    """
    with serving(tmp_path, *options) as (process, port, _), Client(port) as client:
        client.send(CLOSE[:-2])
        process.process.send_signal(signal.SIGTERM)
        waitUntil(lambda: not listening(port), "the end of listening")
        client.send(CLOSE[-2:])
        assert body(client.receiveAll()).startswith(b"one ")
        assert process.wait() == -signal.SIGTERM


@pytest.mark.reactorless
def test_aSignalToAll(tmp_path: Path) -> None:
    """
    systemd sends SIGTERM to all processes of a service: what the parent does counts, --drain-delay too.
    """
    with serving(tmp_path, "--drain-delay=1.5") as (process, port, status):
        workers = list(status.pids().values())
        for number in (*workers, parentOf(workers[0]), process.process.pid):
            os.kill(number, signal.SIGTERM)
        process.waitForOutput("/readyz says draining")
        assert body(talk(port, CLOSE)).startswith(b"one ")
        time.sleep(SIGNALLED)
        assert sorted(status.pids().values()) == sorted(workers)
        assert process.wait() == -signal.SIGTERM
        assert not any(map(runs, workers))
    assert "is replaced" not in process.stdout()


def test_descriptors(tmp_path: Path) -> None:
    """
    A parent of many workers takes as many as it may have.
    """
    limited = ["/bin/sh", "-c", 'ulimit -Sn 100; exec "$@"', "sh", *TWISTD]
    with serving(tmp_path, workers=1, command=limited) as (process, _, _status):
        soft, hard = resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard != 100


def test_maxRequests(tmp_path: Path) -> None:
    """
    A worker that has served as many is replaced, without a loss.
    """
    with serving(tmp_path, "--max-requests=50:0", workers=1) as (process, port, status):
        with Load(port, [KEEP, CLOSE]) as load:
            process.waitForOutput("worker 1's predecessor has ended")
        assert re.search(r"worker 1 \(process \d+\) is replaced: it has served \d+ requests", process.stdout())
        assert load.lost == []
        assert len(load.seen()) >= 2
        status.waitForRequests(sum(load.answers.values()))


@pytest.mark.reactorless
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_nothingIsHandedToWhatTheAppStarts(tmp_path: Path, options: tuple[str, ...]) -> None:
    """
    Neither the channels nor the sockets nor the order, whether it is started when the app is imported or later.
    """
    app = (
        "import subprocess, sys\nfrom wasinet_twisted.http import WasiResponse\n"
        "CODE = \"import os; print(sorted(os.listdir('/proc/self/fd')), "
        "[name for name in os.environ if name.startswith('WASINET_W')])\"\n"
        "def output(): return subprocess.check_output([sys.executable, '-I', '-c', CODE], close_fds=False)\n"
        "EARLY = output()\n"
        "def handler(request): return WasiResponse(body=EARLY + output())\n"
    )
    with serving(tmp_path, *options, workers=1, app=app) as (_, port, _):
        # 3 is the listing's own.
        assert body(talk(port, CLOSE)) == b"['0', '1', '2', '3'] []\n" * 2


def test_unixSocketAndFifo(tmp_path: Path) -> None:
    """
    A Unix socket keeps its mode, and its file as long as the parent; lines in a FIFO are whole.
    """
    write(tmp_path, APP)
    path, fifo = tmp_path / "http.sock", tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    arguments = [*TWISTD, "--app=app:handler", f"--listen=unix:{path}", "--workers=2", f"--access-log={fifo}"]

    def answer() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(CLOSE)
            with client.makefile("rb") as file:
                return body(file.read())

    with running(arguments, tmp_path) as process:
        process.waitForOutput("listening on ")
        assert path.stat().st_mode & 0o777 == 0o660
        count = 300
        answers = {answer() for _ in range(count)}
        assert len(answers) == 2
        process.process.send_signal(signal.SIGHUP)
        waitUntil(lambda: process.stdout().count("predecessor has ended") == 2, "the roll")
        assert answer() not in answers
        assert path.stat().st_mode & 0o777 == 0o660
        assert process.stop() == -signal.SIGTERM
    assert not path.exists()
    reader.join(PATIENCE)
    lines = read[0].splitlines()
    assert len(lines) == count + 1
    assert all(re.fullmatch(rb'\S+ - - \[.*\] "GET / HTTP/1.1" 200 .*', line) for line in lines)


def test_tls(tmp_path: Path) -> None:
    """
    New workers have the new certificate.
    """
    write(tmp_path, APP)
    authority, served = Authority(tmp_path), tmp_path / "served.pem"
    served.write_bytes(authority.issue("localhost").read_bytes())
    port = freePort()
    endpoint = f"ssl:{port}:interface=127.0.0.1:certKey={served}:privateKey={served}"

    def ask() -> tuple[bytes, object]:
        context = ssl.create_default_context(cafile=str(authority.path))
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(CLOSE)
            with client.makefile("rb") as file:
                return body(file.read()), client.getpeercert()

    with running([*TWISTD, "--app=app:handler", f"--listen={endpoint}", "--workers=1"], tmp_path) as process:
        process.waitForOutput("listening on ")
        answer, certificate = ask()
        assert answer.startswith(b"one ")
        served.write_bytes(authority.issue("localhost").read_bytes())
        process.process.send_signal(signal.SIGHUP)
        process.waitForOutput("worker 1's predecessor has ended")
        later, another = ask()
        assert later.startswith(b"one ")
        assert later != answer
        assert another != certificate
        assert process.stop() == -signal.SIGTERM


def test_systemd(tmp_path: Path) -> None:
    """
    The workers have systemd's socket by way of the parent.
    """
    write(tmp_path, APP)
    endpoint = "systemd:domain=INET:name=socket"
    arguments = [*TWISTD, "--app=app:handler", f"--listen={endpoint}", "--workers=1"]
    with bySystemd(arguments, tmp_path) as (process, port):
        process.waitForOutput(f"listening on http://127.0.0.1:{port}")
        assert body(talk(port, CLOSE)).startswith(b"one ")
        assert process.stop() == -signal.SIGTERM
        quiet(process.stdout())


def test_echo(tmp_path: Path) -> None:
    """
    Both echoes, below twist.
    """
    tcp, http = freePort(), freePort()
    arguments = [*TWIST[:-1], "wasinet-echo", "--workers=1", "--tcp", at(tcp), "--http", at(http)]
    with running(arguments, tmp_path) as process:
        process.waitForOutput(f"listening on tcp://127.0.0.1:{tcp}")
        assert talk(tcp, b"hello") == b"echo:hello"
        answer = talk(http, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        assert body(answer) == b"echo:hi"
        process.process.send_signal(signal.SIGHUP)
        process.waitForOutput("worker 1's predecessor has ended")
        assert talk(tcp, b"hello") == b"echo:hello"
        assert process.stop() == -signal.SIGTERM


def test_asgi(tmp_path: Path) -> None:
    """
    A worker is ready when its app has started; one whose app can't start ends the service with the reason.
    """
    app = (
        "import os\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        await receive()\n"
        "        if os.path.exists('broken'):\n"
        "            await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
        "            return\n"
        "        await send({'type': 'lifespan.startup.complete'})\n"
        "        await receive()\n"
        "        open(f'stopped-{os.getpid()}', 'x').close()\n"
        "        await send({'type': 'lifespan.shutdown.complete'})\n"
        "        return\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'asgi'})\n"
    )
    write(tmp_path, app)
    port = freePort()
    arguments = [script("twistd"), "-n", "wasinet-asgi", "--app=app:app", "--lifespan=on", "--workers=2"]
    with running([*arguments, "--listen", at(port)], tmp_path) as process:
        process.waitForOutput("listening on ")
        assert body(talk(port, CLOSE)) == b"asgi"
        assert process.stop() == -signal.SIGTERM
    assert len(list(tmp_path.glob("stopped-*"))) == 2
    (tmp_path / "broken").touch()
    process = run([*arguments[:-1], "--workers=1", "--listen", at(port)], tmp_path)
    assert process.process.returncode == 1
    (line,) = process.stderr().splitlines()
    assert line.startswith("wasinet-asgi: ")
    assert "no database" in line
