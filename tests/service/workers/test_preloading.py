"""
C{--preload}: one import, many workers.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.processes import freePort, run, runs, talk, waitUntil
from tests.service.support import TWISTD, at, body, write
from tests.service.workers.support import APP, CLOSE, Load, serving

pytestmark = pytest.mark.reactorless

COUNTING = APP + "open(f'imported-{os.getpid()}', 'x').close()\n"


def parentOf(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_theLife(tmp_path: Path) -> None:
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
