"""
C{wasinet run}: its options, and how it ends.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.command.support import started, wasinet
from tests.processes import PATIENCE, Client, freePort, run, running, unixClient, waitUntil
from wasinet_twisted.command import script as theCommand
from wasinet_twisted.command.main import main
from wasinet_twisted.javascript import guest, wasm

from .support import ARTICLE, command, needsEngine, served

pytestmark = needsEngine


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "main.js"


@pytest.mark.reactorless
def test_argumentsAndEnvironment(script: Path) -> None:
    """
    What follows the script is its own, options too; of the environment it has what it was given.
    """
    script.write_text("import { argv, env } from 'process'; print(JSON.stringify([argv, env]))")
    environment = {**os.environ, "GIVEN": "ž", "KEPT": "x"}
    options = ["--env", "GIVEN", "--env", "MISSING_ALTOGETHER"]
    status, output, errors = wasinet("run", *options, str(script), "--turn", "-x", "--", "y", env=environment)
    assert (status, errors) == (0, "")
    assert output.decode() == '[["wasinet","main.js","--turn","-x","--","y"],{"GIVEN":"ž"}]\n'


@pytest.mark.reactorless
@pytest.mark.parametrize(
    ("source", "options", "status", "errors"),
    [
        ("null.x", [], 1, "wasinet run: Unhandled rejection: TypeError: cannot read property 'x' of null\n    at "),
        (
            "import { exit } from 'process'; console.error('\\x1b[1mbold', '\\u202e'); exit(42)",
            [],
            42,
            "wasinet run: \\x1b[1mbold \\u202e\n",
        ),
    ],
)
def test_ends(script: Path, source: str, options: list[str], status: int, errors: str) -> None:
    script.write_text(source)
    found, output, said = wasinet("run", *options, str(script))
    assert found == status, said
    assert said.startswith(errors)
    assert bool(said) == bool(errors)
    assert output == b""


@pytest.mark.reactorless
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the following arguments are required: SCRIPT, ARG"),
        (["--listen", "8000", "x.js"], "argument --listen: it is like THIS=THAT, not '8000'"),
        (["--listen", "x=8000", "x.js"], "argument --listen: ports are numbers from 0 to 65535"),
        (["--listen", "8000=tcp:x", "x.js"], "--listen: no server endpoint: 'tcp:x'"),
        (["--connect-to", "a:1=b", "x.js"], "an address must be host:port, not 'b'"),
        (["--allow-listen", "1,x", "x.js"], "argument --allow-listen: ports are numbers"),
        (["--allow-net", "a:x", "x.js"], "what may be connected to is host, host:port or *:port, not 'a:x'"),
        (["--turn", "0", "x.js"], "argument --turn: a time is a number of seconds above 0"),
        (["--turn", "0.001", "x.js"], "GuestLimits.turn must be from 0.01 to 3600 seconds, not 0.001"),
        (["--memory-limit", "64X", "x.js"], "argument --memory-limit: a size is a number of bytes, or like 64M"),
        (["--memory-limit", "1K", "x.js"], "GuestLimits.memory must be from 1048576 to "),
        (["--unhandled", "no", "x.js"], "argument --unhandled: invalid choice: 'no'"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_wrongOptions(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    One line, and status 2, before there is a reactor.
    """
    try:
        status: object = main(["run", *options])
    except SystemExit as error:
        status = error.code
    output, errors = capsys.readouterr()
    assert (status, output, errors.count("\n")) == (2, "", 1), errors
    assert errors.startswith(f"wasinet run: {message}"), errors


@pytest.mark.reactorless
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none.js"], "can't read the script '"),
        (["--call", "f()", str(ARTICLE / "net_echo.js")], "a function to call is one name, not 'f()'"),
    ],
)
def test_wrongScripts(options: list[str], message: str, noReactorYet: None, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["run", *options])
    output, errors = capsys.readouterr()
    assert (status, output, errors.count("\n")) == (2, "", 1), errors
    assert errors.startswith(f"wasinet run: {message}"), errors


@pytest.fixture
def noReactorYet(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is wrong is found before anything waits for the reactor.
    """

    def begun(name: str, begin: Callable[[Any], Coroutine[Any, Any, int]]) -> int:
        begin(Clock()).send(None)
        raise AssertionError("it waits")

    monkeypatch.setattr(theCommand, "runOnReactor", begun)
    monkeypatch.setattr(theCommand, "raiseStack", lambda: None)


@pytest.mark.reactorless
def test_notBuilt(
    tmp_path: Path,
    script: Path,
    noReactorYet: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    A checkout without the engine says the one command that makes it.
    """
    script.write_text("1")
    monkeypatch.setattr(guest, "BESIDE", tmp_path)
    monkeypatch.setattr(wasm, "_compiled", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["run", str(script)]) == 4
    assert capsys.readouterr() == (
        "",
        "wasinet run: the JavaScript engine is not built; this builds it: python -m wasinet_twisted.javascript.build\n",
    )


def test_signals(tmp_path: Path) -> None:
    """
    It ends by the signal, and its connections with it.
    """
    with served(ARTICLE / "net_echo.js", tmp_path) as (process, port), Client(port) as client:
        client.send(b"x")
        assert client.receive(6) == b"echo:x"
        assert process.stop(signal.SIGINT) == -signal.SIGINT
        # Some reactors end before they have reset it.
        with suppress(ConnectionResetError):
            assert client.receiveAll() == b""
        assert process.stderr() == ""


def test_signalDuringALoop(tmp_path: Path, script: Path) -> None:
    """
    A script that never stops keeps a signal from ending the program for a turn at most.
    """
    script.write_text("print('begun'); setTimeout(() => { for (;;); }); for (;;) await null")
    with running(command(script, "--turn", "0.2"), tmp_path) as process:
        process.waitForOutput("begun")
        process.process.send_signal(signal.SIGTERM)
        process.process.send_signal(signal.SIGTERM)
        waitUntil(lambda: process.process.poll() is not None, "its end")


def test_nobodyReadsTheOutput(script: Path) -> None:
    script.write_text("setInterval(() => print('x'), 1)")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        status, _, errors = wasinet("run", str(script), stdout=writing)
    finally:
        os.close(writing)
    assert (status, errors) == (-signal.SIGPIPE, "")


@pytest.mark.reactorless
def test_aReaderThatWaits(tmp_path: Path, script: Path) -> None:
    """
    While a pager shows the first page, or a terminal is held, it is not the script that takes long.
    """
    script.write_text(
        "function go(n) { for (let i = 0; i < 100; i++) print('x'.repeat(999))\n"
        "    console.error('between')\n"
        "    if (n) setTimeout(go, 0, n - 1) }\n"
        "go(3)"
    )
    reading, writing = os.pipe()
    with started("run", "--turn", "0.1", str(script), stdout=writing, stderr=writing) as process:
        os.close(writing)
        with open(reading, "rb") as output:
            assert output.read(1) == b"x"
            time.sleep(0.5)
            lines = (b"x" + output.read()).splitlines()
        assert process.wait(PATIENCE) == 0
    assert [line for line in lines if line != b"x" * 999] == [b"wasinet run: between"] * 4
    assert lines.index(b"wasinet run: between") == 100


@pytest.mark.reactorless
def test_fullDisk(script: Path) -> None:
    script.write_text("setInterval(() => print('x'), 1)")
    with open("/dev/full", "wb") as full:
        status, _, errors = wasinet("run", str(script), stdout=full)
    assert (status, errors) == (23, "wasinet run: can't write the output: No space left on device\n")


def test_whatIsWrittenArrives(tmp_path: Path, script: Path) -> None:
    """
    A program ends when what it has written has been sent, however slow the peer is.
    """
    script.write_text(
        "import * as net from 'wasi_net'\n"
        "const s = new net.WasiTcpServer(8000)\n"
        "await s.accept()\n"
        "const cs = await s.accept()\n"
        "cs.write('x'.repeat(8e6))\n"
        "print('written')\n"
    )
    with served(script, tmp_path) as (process, port), Client(port) as client:
        process.waitForOutput("written")
        assert process.process.poll() is None
        assert len(client.receiveAll()) == 8_000_000
        assert process.wait() == 0


def test_unixSocket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with running(command(ARTICLE / "net_echo.js", "--listen", f"8000=unix:{path}"), tmp_path) as process:
        with unixClient(path) as client:
            client.sendall(b"x")
            assert client.recv(10) == b"echo:x"
        assert process.stderr() == ""


@pytest.mark.reactorless
def test_allowed(tmp_path: Path, script: Path) -> None:
    script.write_text(
        "import * as net from 'wasi_net'\n"
        "await net.connect('localhost:1').catch(e => print(e.message.includes('not allowed')))\n"
        "await net.connect('localhost:2').catch(e => print(e.message.includes('not allowed')))\n"
        f"for (const p of [{freePort()}, 8000]) try {{ new net.WasiTcpServer(p) }} catch (e) {{ print(e.message) }}\n"
    )
    options = ("--allow-net", "example.org:443,localhost:1", "--allow-listen", "80,443")
    process = run(command(script, *options), tmp_path)
    assert process.stdout().splitlines()[:2] == ["false", "true"]
    assert process.stdout().count("is not allowed: see --allow-listen") == 2
