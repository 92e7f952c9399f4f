"""
C{wasinet-js} as its users run it: a process, real sockets, signals.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from tests.javascript.support import needsEngine
from tests.processes import Client, Daemon, freePort, listening, run, running, script, takenPort, talk, waitUntil
from wasinet_twisted.service.javascript import Options

pytestmark = needsEngine

TWISTD = [script("twistd"), "--pidfile=", "-n", "wasinet-js"]
GET = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

PROGRAM = """
import { createServer } from 'http'
import { argv, env } from 'process'

createServer(async (req, resp) => {
    if (req.url === '/slow') {
        print('slow')
        await new Promise(resolve => setTimeout(resolve, 400))
    }
    if (req.url === '/fail') throw new Error('of the handler')
    if (req.url === '/exit') setTimeout(() => { throw new Error('late') })
    resp.end(JSON.stringify([argv.slice(2), env]))
}).listen(8000, () => { print('ready') })
"""


def at(port: int) -> str:
    return f"8000=tcp:{port}:interface=127.0.0.1"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.js"
    path.write_text(PROGRAM)
    return path


def test_serves(program: Path, tmp_path: Path) -> None:
    """
    What it prints, and what its handlers throw, is in the log; requests are in the access log; and at SIGTERM, what is
    in flight is answered.
    """
    port, accessLog = freePort(), tmp_path / "access.log"
    options = ["--listen", at(port), "--env", "HOME", "--env", "NOWHERE", "--access-log", str(accessLog)]
    with running([*TWISTD, *options, str(program), "one", "--two"], tmp_path) as process:
        process.waitForPorts(port)
        process.waitForOutput("ready")
        arguments, environment = json.loads(talk(port, GET % b"/").partition(b"\r\n\r\n")[2])
        assert arguments == ["one", "--two"]
        assert list(environment) == ["HOME"]
        assert talk(port, GET % b"/fail").startswith(b"HTTP/1.1 500 ")
        process.waitForOutput("the handler of 'GET /fail' failed: Error: of the handler")
        with Client(port) as client:
            client.send(GET % b"/slow")
            process.waitForOutput("slow")
            process.process.send_signal(signal.SIGTERM)
            waitUntil(lambda: not listening(port), "the end of listening")
            assert client.receiveAll().endswith(b"]")
        assert process.wait() == -signal.SIGTERM
        assert process.stderr() == ""
        assert "Traceback" not in process.stdout()
    assert [line.split('"')[1].split()[1] for line in accessLog.read_text().splitlines()] == ["/", "/fail", "/slow"]


def test_goesOnUnlessToldOtherwise(program: Path, tmp_path: Path) -> None:
    """
    A daemon's program outlives an error that nobody has caught, unless C{--unhandled fail}.
    """
    port = freePort()
    with running([*TWISTD, "--listen", at(port), str(program)], tmp_path) as process:
        process.waitForPorts(port)
        for _ in range(3):
            talk(port, GET % b"/exit")
        process.waitForOutput("Uncaught Error: late")
        assert talk(port, GET % b"/").startswith(b"HTTP/1.1 200 ")
    with running([*TWISTD, "--listen", at(port), "--unhandled", "fail", str(program)], tmp_path) as process:
        process.waitForPorts(port)
        talk(port, GET % b"/exit")
        assert process.wait() == 1
        assert process.stderr() == "wasinet-js: the program has ended with 1: Uncaught Error: late\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("throw new Error('at once')", "Unhandled rejection: Error: at once"),
        ("let let = 1", "Uncaught SyntaxError: "),
        ("import 'fs'", "there is no module 'fs'"),
    ],
)
def test_aStartThatFails(tmp_path: Path, source: str, said: str) -> None:
    path = tmp_path / "failing.js"
    path.write_text(source)
    process = run([*TWISTD, str(path)], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr().startswith("wasinet-js: ")
    assert process.stderr().count("\n") == 1
    assert said in process.stderr()
    assert "Traceback" not in process.stdout()


def test_aPortInUse(program: Path, tmp_path: Path) -> None:
    with takenPort() as port:
        process = run([*TWISTD, "--listen", at(port), str(program)], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr() == "wasinet-js: Unhandled rejection: Error: Address in use\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "a script must be named"),
        (["--listen", "8000", "x.js"], "--listen: it is like THIS=THAT, not '8000'"),
        (["--listen", "8000=nowhere:1", "x.js"], "--listen: no server endpoint"),
        (["--connect-to", "a:1", "x.js"], "--connect-to: it is like THIS=THAT, not 'a:1'"),
        (["--allow-net", "*:x", "x.js"], "what may be connected to is host, host:port or *:port"),
        (["--allow-listen", "x", "x.js"], "--allow-listen: ports are numbers"),
        (["--memory-limit", "1", "x.js"], "GuestLimits.memory must be from"),
        (["--turn", "0", "x.js"], "GuestLimits.turn must be from"),
        (["--turn", "nan", "x.js"], "--turn: seconds are a number"),
        (["--unhandled", "no", "x.js"], "--unhandled: there are warn and fail, not 'no'"),
        (["--cacert", "nowhere.pem", "x.js"], "--cacert nowhere.pem: "),
        (["--limits", "heads=1", "x.js"], "there is no limit 'heads'"),
        # A program is one process.
        (["--workers", "2", "x.js"], "workers not recognized"),
        (["--pin", "x.js"], "pin not recognized"),
    ],
)
def test_wrongOptions(options: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        Options().parseOptions(options)


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--turn", "0", "x.js"], "GuestLimits.turn must be from"), (["nowhere.js"], "can't read the script")],
)
def test_oneLine(tmp_path: Path, options: list[str], said: str) -> None:
    process = run([*TWISTD, *options], tmp_path)
    assert process.process.returncode == 1
    assert process.stderr().startswith("wasinet-js: ")
    assert process.stderr().count("\n") == 1
    assert said in process.stderr()


@pytest.mark.parametrize("code", [0, 3])
def test_itEndsWithItsProgram(tmp_path: Path, code: int) -> None:
    path = tmp_path / "short.js"
    path.write_text(f"import {{ exit }} from 'process'; setTimeout(() => {{ print('over'); exit({code}) }}, 20)")
    process = run([*TWISTD, str(path)], tmp_path)
    assert process.process.returncode == code
    assert process.stderr() == ("wasinet-js: the program has ended with 3\n" if code else "")
    assert "over" in process.stdout()


def test_daemon(program: Path, tmp_path: Path) -> None:
    """
    The engine's clock is a thread, which starts behind the fork: a loop without an end is interrupted.
    """
    program.write_text(PROGRAM.replace("print('slow')", "for (;;);"))
    daemon, port = Daemon("wasinet-js", tmp_path), freePort()
    status, said = daemon.start("--listen", at(port), "--turn", "0.1", program.name)
    assert (status, said) == (0, "")
    try:
        waitUntil(lambda: listening(port), "listening")
        assert talk(port, GET % b"/slow").startswith(b"HTTP/1.1 500 ")
        assert talk(port, GET % b"/").startswith(b"HTTP/1.1 200 ")
    finally:
        daemon.stop()
    program.write_text("throw new Error('at once')")
    status, said = daemon.start(program.name)
    assert status == 1
    assert "Error: at once" in said
    # The parent may tell of the failure before the child has tidied up.
    waitUntil(lambda: not daemon.pidFile.exists(), "without a pid file")
