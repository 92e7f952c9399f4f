"""
The template: workers are forked from it; with C{--preload} it has imported the app as well, once for all of them.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.processes import freePort, run, runs, talk, waitUntil
from tests.service.support import TWISTD, at, body, write
from tests.service.workers.support import APP, CLOSE, Load, parentOf, serving

pytestmark = pytest.mark.reactorless

COUNTING = APP + "open(f'imported-{os.getpid()}', 'x').close()\n"


def test_preload(tmp_path: Path) -> None:
    """
    The app is imported once, by the process that forks the workers; one that is killed is forked again; SIGHUP imports
    it anew, without a loss; one that doesn't load changes nothing.
    """
    with serving(tmp_path, "--preload", app=COUNTING) as (process, port, status):
        before = status.pids()
        (template,) = {parentOf(pid) for pid in before.values()}
        assert [path.name for path in tmp_path.glob("imported-*")] == [f"imported-{template}"]
        assert body(talk(port, CLOSE)).startswith(b"one ")

        os.kill(before[1], signal.SIGKILL)
        process.waitForOutput("worker 1: it has ended with SIGKILL; it is started again")
        waitUntil(lambda: status.pids().get(1, before[1]) != before[1], "another worker 1")
        assert parentOf(status.pids()[1]) == template

        before = status.pids()
        with Load(port) as load:
            waitUntil(lambda: len(load.seen()) == 2, "answers from both")
            write(tmp_path, "1 / 0")
            process.process.send_signal(signal.SIGHUP)
            process.waitForOutput("worker 1 stays: its successor can't serve: can't import the app app:handler: Zero")
            assert status.pids() == before
            write(tmp_path, COUNTING.replace('"one"', '"two"'))
            process.process.send_signal(signal.SIGHUP)
            waitUntil(lambda: process.stdout().count("predecessor has ended") == 2, "the roll")
        assert load.lost == []
        assert {each.partition(b" ")[0] for each in load.answers} == {b"one", b"two"}
        waitUntil(lambda: not runs(template), "the template's end")
        (other,) = {parentOf(pid) for pid in status.pids().values()}
        assert len(list(tmp_path.glob("imported-*"))) == 2

        # Workers do without the template, and with another one.
        workers = status.pids()
        os.kill(other, signal.SIGKILL)
        waitUntil(lambda: not runs(other), "the template's end")
        assert status.pids() == workers
        os.kill(workers[2], signal.SIGKILL)
        waitUntil(lambda: status.pids().get(2, workers[2]) != workers[2], "another worker 2")
        assert parentOf(status.pids()[2]) != other
        workers = status.pids()
        assert process.stop() == -signal.SIGTERM
        # Of worker 1, whose template was killed, only the end of its channels is waited for.
        waitUntil(lambda: not any(map(runs, workers.values())), "the workers' end")
    assert process.stderr() == ""
    assert "Traceback" not in process.stdout()


def test_whatTheAppPrints(tmp_path: Path) -> None:
    """
    It is printed once, though Python keeps it for a while.
    """
    app, command = APP + "print('imported now', end='')\n", ["/usr/bin/env", "-u", "PYTHONUNBUFFERED", *TWISTD]
    with serving(tmp_path, "--preload", app=app, command=command) as (process, _, _status):
        assert process.stop() == -signal.SIGTERM
    assert process.stdout().count("imported now") == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("from twisted.internet import reactor\n", "the app can't be preloaded: it imports twisted.internet.reactor"),
        (
            "import threading as t\nt.Thread(target=t.Event().wait, name='mine', daemon=True).start()\n",
            "the app can't be preloaded: it starts threads when it is imported (mine)",
        ),
        ("handler = 1 / 0", "can't import the app app:handler: ZeroDivisionError"),
        ("import os\nos._exit(3)\n", "the template process has ended with status 3"),
    ],
    ids=["reactor", "thread", "error", "exit"],
)
def test_anAppThatCanNotBe(tmp_path: Path, text: str, reason: str) -> None:
    """
    One line, and status 1.
    """
    write(tmp_path, text + "def handler(request): pass\n" if "1 / 0" not in text else text)
    process = run([*TWISTD, "--app=app:handler", "--listen", at(freePort()), "--workers=2", "--preload"], tmp_path)
    assert process.process.returncode == 1
    (line,) = process.stderr().splitlines()
    assert line.startswith(f"wasinet-http: {reason}")


def test_theParentIsKilled(tmp_path: Path) -> None:
    """
    The template goes too.
    """
    with serving(tmp_path, "--preload") as (process, _, status):
        workers = list(status.pids().values())
        everybody = [parentOf(workers[0]), *workers]
        process.process.kill()
        process.wait()
        waitUntil(lambda: not any(map(runs, everybody)), "the workers' end")


def mapped(pid: int) -> set[str]:
    """
    Where in a process's memory the libraries are.
    """
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {f"{line.split()[0]} {line.split()[-1]}" for line in lines if ".so" in line and " r-xp " in line}


def test_withoutTheApp(tmp_path: Path) -> None:
    """
    Each worker imports the app by itself, all else is shared, and at the same addresses. SIGHUP brings another
    template, and the one before it ends.
    """
    with serving(tmp_path, app=COUNTING) as (process, port, status):
        pids = status.pids()
        (template,) = {parentOf(pid) for pid in pids.values()}
        assert parentOf(template) == process.process.pid
        assert {path.name for path in tmp_path.glob("imported-*")} == {f"imported-{pid}" for pid in pids.values()}
        assert mapped(pids[1]) == mapped(pids[2])
        assert mapped(pids[1]) >= mapped(template)

        # It is the parent's to say that it ends.
        os.kill(template, signal.SIGTERM)
        os.kill(pids[1], signal.SIGKILL)
        process.waitForOutput("worker 1: it has ended with SIGKILL; it is started again")
        waitUntil(lambda: status.pids().get(1, pids[1]) != pids[1], "another worker 1")
        assert parentOf(status.pids()[1]) == template

        with Load(port) as load:
            process.process.send_signal(signal.SIGHUP)
            waitUntil(lambda: process.stdout().count("predecessor has ended") == 2, "the roll")
            waitUntil(lambda: not runs(template), "the template's end")
        assert load.lost == []
        (other,) = {parentOf(pid) for pid in status.pids().values()}
        assert process.stop() == -signal.SIGTERM
        assert not runs(other)
    assert "Traceback" not in process.stdout()


@pytest.fixture
def threaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A Python that starts a thread whenever it starts, as some tools that watch programs have it do.
    """
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(
        "import threading as t\nt.Thread(target=t.Event().wait, name='watching', daemon=True).start()\n"
    )
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(directory), *([before] if before else [])]))


# What a parent says to a template, and a signal for each worker as soon as it is known.
_SIGNALS = """
import json, os, signal, socket, sys, time
from wasinet_twisted.service.workers.order import Order
from wasinet_twisted.service.workers.template import Forking

ours, theirs = socket.socketpair()
if not os.fork():
    ours.close()
    nowhere = os.open(os.devnull, os.O_RDWR)
    Forking(Order("wasinet-http", [], "", {}, channel=theirs.detach(), accessLog=nowhere)).run(lambda: None)
    time.sleep(5)
    os._exit(7)
theirs.close()
said = ours.makefile("rb")
assert json.loads(said.readline())[0] == "ready"
for number in range(20):
    pair = socket.socketpair()
    socket.send_fds(ours, [json.dumps(["fork", [number, None, None]]).encode()], [each.fileno() for each in pair])
    kind, (_, pid) = json.loads(said.readline())
    os.kill(pid, signal.SIGTERM)
    kind, (_, status) = json.loads(said.readline())
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM, (number, status)
"""


def test_aSignalAtOnce(tmp_path: Path) -> None:
    """
    It is for the worker, however young that is.
    """
    process = run([sys.executable, "-c", _SIGNALS], tmp_path)
    assert (process.stderr(), process.process.returncode) == ("", 0)


def test_aPythonThatCanNotFork(tmp_path: Path, threaded: None) -> None:
    """
    Each worker is started by itself, again and again.
    """
    with serving(tmp_path) as (process, port, status):
        pids = status.pids()
        assert {parentOf(pid) for pid in pids.values()} == {process.process.pid}
        assert body(talk(port, CLOSE)).startswith(b"one ")

        os.kill(pids[1], signal.SIGKILL)
        process.waitForOutput("worker 1: it has ended with SIGKILL; it is started again")
        waitUntil(lambda: status.pids().get(1, pids[1]) != pids[1], "another worker 1")

        before = status.pids()
        write(tmp_path, APP.replace('"one"', '"two"'))
        with Load(port) as load:
            process.process.send_signal(signal.SIGHUP)
            waitUntil(lambda: process.stdout().count("predecessor has ended") == 2, "the roll")
        assert load.lost == []
        assert body(talk(port, CLOSE)).startswith(b"two ")
        after = status.pids()
        assert not set(after.values()) & set(before.values())
        assert {parentOf(pid) for pid in after.values()} == {process.process.pid}
        assert process.stop() == -signal.SIGTERM
    said = re.findall(r"workers share no memory: (.*)", process.stdout())
    assert said == ["this Python starts threads when it starts (watching), which a fork leaves behind"]
    assert "Traceback" not in process.stdout()


def test_noPreloadThere(tmp_path: Path, threaded: None) -> None:
    """
    Whoever wants the app's memory to be shared is told that it can't be, also if Python knows nothing of the threads.
    """
    write(tmp_path, APP)
    write(tmp_path, "import _thread, time\n_thread.start_new_thread(time.sleep, (60,))\n", "site/sitecustomize.py")
    process = run([*TWISTD, "--app=app:handler", "--listen", at(freePort()), "--workers=2", "--preload"], tmp_path)
    assert process.process.returncode == 1
    (line,) = process.stderr().splitlines()
    assert line.startswith(
        "wasinet-http: the app can't be preloaded: this Python starts threads when it starts (none of Python's), which "
        "a fork leaves behind; "
    )
