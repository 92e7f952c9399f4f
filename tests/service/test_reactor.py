"""
Which reactor the commands run on: ours, unless another was asked for, or the system has no epoll.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from tests.processes import freePort, listening, run, running, script, talk, waitUntil
from tests.service.support import COMMANDS, POST, TWIST, TWISTD, at, body, ended, serving, write

# Each chooses one, or leaves that to the command.
pytestmark = pytest.mark.reactorless

# It tells which reactor it runs on.
APP = """
from wasinet_twisted.http import WasiResponse

def handler(request):
    from twisted.internet import reactor
    return WasiResponse(body=type(reactor).__module__)
"""

OURS = "wasinet_twisted.reactor.epoll"
FOR_ASYNCIO = "wasinet_twisted.reactor.asyncio"
BY_NAME = {
    "epoll": "twisted.internet.epollreactor",
    "select": "twisted.internet.selectreactor",
    "asyncio": "twisted.internet.asyncioreactor",
    "wasinet": OURS,
    "wasinet-asyncio": FOR_ASYNCIO,
}

WITHOUT_EPOLL = "import runpy, select, sys; del select.epoll; "


def asking(directory: Path, command: list[str], *options: str) -> str:
    """
    The module of the reactor that a command runs an app on.
    """
    write(directory, APP)
    with serving(directory, *options, command=command) as (process, port):
        answer = body(talk(port, POST)).decode()
        assert "Traceback" not in process.stdout() + process.stderr()
    return answer


def withReactor(command: list[str], name: str) -> list[str]:
    """
    The same, given as an option of twistd's or twist's, which stand before the command's name.
    """
    return [*command[:-1], f"--reactor={name}", command[-1]]


@COMMANDS
def test_ours(tmp_path: Path, command: list[str]) -> None:
    assert asking(tmp_path, command) == OURS


@COMMANDS
@pytest.mark.parametrize("name", BY_NAME)
def test_theOneThatIsNamed(tmp_path: Path, command: list[str], name: str) -> None:
    assert asking(tmp_path, withReactor(command, name)) == BY_NAME[name]


@COMMANDS
def test_theDefaultThatIsNamed(tmp_path: Path, command: list[str]) -> None:
    """
    Twisted's, then.
    """
    assert asking(tmp_path, withReactor(command, "default")) == BY_NAME["epoll"]


@COMMANDS
def test_forAsyncio(tmp_path: Path, command: list[str]) -> None:
    """
    What twistd or twist has been told before the command's name holds all the same.
    """
    assert asking(tmp_path, command, "--asyncio") == FOR_ASYNCIO
    assert asking(tmp_path, withReactor(command, "select"), "--asyncio") == BY_NAME["select"]


def test_anAppThatAwaitsAsyncio(tmp_path: Path) -> None:
    """
    It is served with --asyncio; without, the log says how.
    """
    app = (
        "import asyncio\nfrom wasinet_twisted.http import WasiResponse\nasync def handler(request):\n"
        "    return WasiResponse(body=await asyncio.sleep(0.001, 'slept'))\n"
    )
    write(tmp_path, app)
    with serving(tmp_path, "--asyncio", command=TWISTD) as (process, port):
        assert body(talk(port, POST)) == b"slept"
    with serving(tmp_path, command=TWISTD) as (process, port):
        assert b" 500 " in talk(port, POST)
        process.waitForOutput("wasinet-http --asyncio")


def test_aDaemonForAsyncio(tmp_path: Path) -> None:
    """
    It forks after the reactor and its loop were made.
    """
    port = freePort()
    pidFile = tmp_path / "pid"
    options = [f"--pidfile={pidFile}", f"--logfile={tmp_path / 'log'}"]
    command = [script("twistd"), *options, "wasinet-echo", "--asyncio", "--tcp", at(port)]
    started = run(command, tmp_path)
    ended(started, 0)
    waitUntil(lambda: listening(port), "listening")
    try:
        for _ in range(3):
            assert talk(port, b"WasmEdge") == b"echo:WasmEdge"
    finally:
        os.kill(int(pidFile.read_text()), signal.SIGTERM)
        waitUntil(lambda: not pidFile.exists(), "its end")
    assert f"reactor class: {FOR_ASYNCIO}.AsyncioSelectorReactor." in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-c", WITHOUT_EPOLL + "from twisted.scripts.twistd import run; run()", *TWISTD[1:]],
        [sys.executable, "-c", WITHOUT_EPOLL + "runpy.run_module('twisted', run_name='__main__')", *TWIST[3:]],
    ],
    ids=["twistd", "twist"],
)
def test_noEpoll(tmp_path: Path, command: list[str]) -> None:
    """
    Not on Linux.
    """
    assert asking(tmp_path, command) == "twisted.internet.pollreactor"
    assert asking(tmp_path, command, "--asyncio") == BY_NAME["asyncio"]


@COMMANDS
def test_whileDeveloping(tmp_path: Path, command: list[str]) -> None:
    """
    The worker that C{--reload} starts runs on the same.
    """
    assert asking(tmp_path, command, "--reload") == OURS
    assert asking(tmp_path, command, "--reload", "--asyncio") == FOR_ASYNCIO
    assert asking(tmp_path, withReactor(command, "select"), "--reload") == BY_NAME["select"]


@pytest.mark.parametrize(
    ("options", "reactor"),
    [([], f"{OURS}.EPollReactor"), (["--reactor=select"], "twisted.internet.selectreactor.SelectReactor")],
    ids=["ours", "select"],
)
def test_echo(tmp_path: Path, options: list[str], reactor: str) -> None:
    """
    twistd says which it is.
    """
    port = freePort()
    with running([script("twistd"), "-n", *options, "wasinet-echo", "--tcp", at(port)], tmp_path) as process:
        process.waitForPorts(port)
        assert talk(port, b"WasmEdge") == b"echo:WasmEdge"
        assert f"reactor class: {reactor}." in process.stdout()
        assert process.stdout().count("reactor class") == 1


def test_selectsDescriptors(tmp_path: Path) -> None:
    """
    It gets no more than select() takes; so it has no more connections either.
    """
    program = (
        "import resource\nfrom wasinet_twisted.http import WasiResponse\n"
        "def handler(request): return WasiResponse(body=str(resource.getrlimit(resource.RLIMIT_NOFILE)))\n"
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for command, soft in ((TWISTD, hard), (withReactor(TWISTD, "select"), 1024)):
        write(tmp_path, program)
        with serving(tmp_path, command=command) as (process, port):
            assert body(talk(port, POST)).decode() == str((soft, hard))
            assert ("at most 960 connections instead of 10000" in process.stdout()) == (soft == 1024)


@COMMANDS
def test_aNameThatIsNone(tmp_path: Path, command: list[str]) -> None:
    """
    That is twistd's and twist's to say.
    """
    process = run([*withReactor(command, "nonsense"), "--app", "app:handler"], tmp_path)
    assert "nonsense" in process.stdout() + process.stderr()
    assert process.process.returncode != 0
    assert "Traceback" not in process.stdout() + process.stderr()


def test_optionsThatNobodyIsAbove(tmp_path: Path) -> None:
    """
    Whoever parses them in a program of their own has the reactor to choose.
    """
    program = (
        "import sys\nfrom wasinet_twisted.service.echo import Options\nOptions().parseOptions(['--tcp', 'tcp:0'])\n"
        "print('twisted.internet.reactor' in sys.modules)"
    )
    process = run([sys.executable, "-c", program], tmp_path)
    ended(process, 0)
    assert process.stdout() == "False\n"
