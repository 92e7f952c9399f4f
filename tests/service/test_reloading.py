"""
C{--reload}: the worker is started anew when files change, and the sockets stay.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.processes import (
    PATIENCE,
    Client,
    Process,
    freePort,
    listening,
    run,
    running,
    runs,
    takenPort,
    talk,
    waitUntil,
)
from tests.service.support import APP, COMMANDS, POST, TWISTD, at, body, serving, write
from wasinet_twisted.service.reloading import commandAgain


def answers(port: int, expected: bytes) -> None:
    """
    Sooner or later it answers like this; in the meantime nobody is refused.
    """
    # A connection that was accepted a moment before the worker's end closes like any that is idle.
    waitUntil(lambda: (answer := talk(port, POST)) and body(answer) == expected, f"the answer {expected!r}")


def change(path: Path, text: str) -> None:
    """
    As editors do: the file is replaced.
    """
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def workerOf(process: Process) -> int:
    """
    The worker's process.
    """
    (number,) = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
    return int(number)


def quiet(process: Process) -> None:
    assert "Traceback" not in process.stdout() + process.stderr()


@COMMANDS
def test_aChange(tmp_path: Path, command: list[str]) -> None:
    """
    One line, and the new app answers, over the old socket.
    """
    with serving(tmp_path, "--reload", command=command) as (process, port):
        answers(port, b"one:WasmEdge")
        change(tmp_path / "app.py", APP.replace("one:", "another:"))
        answers(port, b"another:WasmEdge")
        # Then it stays as it is.
        time.sleep(1.2)
        assert process.stdout().count("has changed: restarting") == 1
        assert "app.py" in process.stdout()
        process.process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        quiet(process)
        assert not listening(port)


def test_anImportedModule(tmp_path: Path) -> None:
    """
    Also one that is imported late, and not what was never imported.
    """
    write(tmp_path, "", "shop/__init__.py")
    write(tmp_path, "WORD = b'early'", "shop/early.py")
    write(tmp_path, "WORD = b'late'", "shop/late.py")
    write(tmp_path, "", "other.py")
    write(
        tmp_path,
        "from wasinet_twisted.http import WasiResponse\nfrom shop.early import WORD\n"
        "def handler(request):\n    from shop import late\n    return WasiResponse(body=WORD + late.WORD)\n",
    )
    with serving(tmp_path, "--reload") as (process, port):
        answers(port, b"earlylate")
        change(tmp_path / "shop" / "early.py", "WORD = b'EARLY'")
        answers(port, b"EARLYlate")
        process.waitForOutput("shop/early.py has changed: restarting")
        # The worker looks at what it has imported twice a second.
        time.sleep(1.2)
        change(tmp_path / "shop" / "late.py", "WORD = b'LATE'")
        answers(port, b"EARLYLATE")
        change(tmp_path / "other.py", "a = 1")
        time.sleep(1.2)
        assert process.stdout().count("has changed: restarting") == 2


def test_aChangeOfTheSameSecondAndLength(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Python's own cache of bytecode takes it for none.
    """
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    source = "def handler(request):\n    return WasiResponse(body=b'%s')\n"
    texts = ["from wasinet_twisted.http import WasiResponse\n" + source % word for word in ("one", "two")]
    second = int(time.time()) * 10**9
    os.utime(write(tmp_path, "from shop import handler\n"), ns=(second, second))
    os.utime(write(tmp_path, texts[0], "shop.py"), ns=(second, second))
    with serving(tmp_path, "--reload") as (process, port):
        answers(port, b"one")
        new = write(tmp_path, texts[1], "shop.new")
        os.utime(new, ns=(second + 1, second + 1))
        new.replace(tmp_path / "shop.py")
        answers(port, b"two")
        process.waitForOutput("shop.py has changed: restarting")


def test_importErrors(tmp_path: Path) -> None:
    """
    They are said, and the next change is waited for; so are the clients that come in the meantime.
    """
    with serving(tmp_path, "--reload") as (process, port):
        answers(port, b"one:WasmEdge")
        change(tmp_path / "app.py", "this is no Python")
        process.waitForOutput("the worker has ended with status 1; it is started again when a file changes")
        line = (
            f"wasinet-http: can't import the app app:handler: SyntaxError: invalid syntax ({tmp_path}/app.py, line 1)"
        )
        assert process.stderr() == f"{line}\n"
        with Client(port) as client:
            client.send(POST)
            change(tmp_path / "app.py", "import helper" + APP)
            waitUntil(lambda: "No module named 'helper'" in process.stderr(), "the second error")
            # What it lacks, not what it has, is changed.
            write(tmp_path, "", "helper.py")
            assert body(client.receiveAll()) == b"one:WasmEdge"
        quiet(process)


def test_anAppThatIsNotThereYet(tmp_path: Path) -> None:
    port = freePort()
    with running([*TWISTD, "--app", "app:handler", "--listen", at(port), "--reload"], tmp_path) as process:
        process.waitForOutput("it is started again when a file changes")
        write(tmp_path)
        answers(port, b"one:WasmEdge")


def test_aWorkerThatDies(tmp_path: Path) -> None:
    with serving(tmp_path, "--reload") as (process, port):
        answers(port, b"one:WasmEdge")
        os.kill(workerOf(process), signal.SIGSEGV)
        process.waitForOutput("the worker has ended with SIGSEGV")
        change(tmp_path / "app.py", APP.replace("one:", "another:"))
        answers(port, b"another:WasmEdge")


def test_aWorkerThatWillNotEnd(tmp_path: Path) -> None:
    """
    It is killed.
    """
    with serving(tmp_path, "--reload") as (_, port), Client(port) as client:
        answers(port, b"one:WasmEdge")
        client.send(b"GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
        change(tmp_path / "app.py", APP.replace("one:", "another:"))
        answers(port, b"another:WasmEdge")


@pytest.mark.parametrize("group", [True, False], ids=["ctrl-c", "parent-only"])
def test_theEnd(tmp_path: Path, group: bool) -> None:
    """
    Ctrl-C comes to both, a signal of others to the parent only.
    """
    with serving(tmp_path, "--reload") as (process, port):
        answers(port, b"one:WasmEdge")
        worker = workerOf(process)
        numbers = [worker, process.process.pid] if group else [process.process.pid]
        for number in numbers:
            os.kill(number, signal.SIGINT)
        assert process.wait() in (0, -signal.SIGINT)
        assert not runs(worker)
        quiet(process)
    assert not list(tmp_path.glob("*.pid"))


def test_theParentIsKilled(tmp_path: Path) -> None:
    """
    The worker doesn't outlive it.
    """
    with serving(tmp_path, "--reload") as (process, port):
        answers(port, b"one:WasmEdge")
        worker = workerOf(process)
        process.process.kill()
        process.wait()
        waitUntil(lambda: not runs(worker), "the worker's end")
        assert not listening(port)


def test_anyFreePort(tmp_path: Path) -> None:
    """
    It stays the same.
    """
    write(tmp_path)
    with running([*TWISTD, "--app=app:handler", "--listen=tcp:0:interface=127.0.0.1", "--reload"], tmp_path) as process:
        process.waitForOutput("HttpServer starting on ")
        found = re.search(r"HttpServer starting on (\d+)", process.stdout())
        assert found is not None
        port = int(found[1])
        answers(port, b"one:WasmEdge")
        change(tmp_path / "app.py", APP.replace("one:", "another:"))
        answers(port, b"another:WasmEdge")


def test_unixSocket(tmp_path: Path) -> None:
    """
    Such a socket is the worker's, which listens anew.
    """
    write(tmp_path)
    path = tmp_path / "http.sock"
    with running([*TWISTD, "--app=app:handler", f"--listen=unix:{path}", "--reload"], tmp_path) as process:

        def answer() -> bytes:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                # Whoever connects as the old worker ends has nobody to answer it: its listener goes with it.
                try:
                    client.connect(str(path))
                    client.sendall(POST)
                    with client.makefile("rb") as file:
                        got = file.read()
                    return body(got) if got else b""
                except TimeoutError:
                    raise
                except OSError:
                    return b""

        waitUntil(lambda: answer() == b"one:WasmEdge", "the first answer")
        change(tmp_path / "app.py", APP.replace("one:", "another:"))
        waitUntil(lambda: answer() == b"another:WasmEdge", "the second answer")
        assert process.stop() == -signal.SIGTERM
    assert not path.exists()


def test_portInUse(tmp_path: Path) -> None:
    write(tmp_path)
    with takenPort() as port:
        process = run([*TWISTD, "--app", "app:handler", "--listen", at(port), "--reload"], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == f"wasinet-http: can't listen on {at(port)}: Address already in use\n"


def test_nothingIsHandedToWhatTheAppStarts(tmp_path: Path) -> None:
    """
    Neither the pipes nor the sockets nor the word that it is a worker.
    """
    write(
        tmp_path,
        "import os, subprocess, sys\nfrom wasinet_twisted.http import WasiResponse\n"
        "CODE = \"import os; print(sorted(os.listdir('/proc/self/fd')), 'WASINET_RELOAD' in os.environ)\"\n"
        "OUTPUT = subprocess.run([sys.executable, '-I', '-c', CODE], stdout=subprocess.PIPE, close_fds=False).stdout\n"
        "def handler(request): return WasiResponse(body=OUTPUT)\n",
    )
    with serving(tmp_path, "--reload") as (_, port):
        # 3 is the listing's own.
        answers(port, b"['0', '1', '2', '3'] False\n")


def test_commandAgain(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The worker of twistd has no PID file, wherever the options stand.
    """
    monkeypatch.setattr(
        sys, "orig_argv", ["python", "/bin/twistd", "-n", "--pidfile=x", "wasinet-http", "--app", "a:b"]
    )
    assert commandAgain(["--app", "a:b"], pidFile=True) == [
        *(sys.executable, "/bin/twistd", "-n", "--pidfile=x", "--pidfile=", "wasinet-http", "--app", "a:b"),
    ]
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "twisted", "wasinet-http"])
    assert commandAgain([], pidFile=False) == [sys.executable, "-m", "twisted", "wasinet-http"]
