"""
C{wasinet bench} as its users run it, against a server of ours and against servers that do wrong, in another process or
thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.processes import PATIENCE, freePort, run, running, takenPort, waitUntil
from tests.service.support import serving, write
from wasinet_twisted.command.parsers import makeParser

BENCH = [sys.executable, "-m", "wasinet_twisted", "bench"]

APP = """
import time
from twisted.internet import defer, reactor, task
from wasinet_twisted.http import WasiResponse

count = inFlight = most = 0

async def handler(request):
    global count, inFlight, most
    count += 1
    path = request.path
    if path == "/slow":
        inFlight += 1
        most = max(most, inFlight)
        await task.deferLater(reactor, 0.05)
        inFlight -= 1
    elif path == "/never":
        await defer.Deferred()
    elif path == "/count":
        count -= 1
        return WasiResponse(body=str(count))
    elif path == "/most":
        return WasiResponse(body=str(most))
    elif path == "/busy":
        return WasiResponse(503)
    elif path == "/moved":
        return WasiResponse(302, {"Location": "/busy"})
    elif path == "/close":
        return WasiResponse(200, {"Connection": "close"}, "hello")
    elif path == "/large":
        return WasiResponse(200, {}, b"x" * 300_000)
    elif path == "/stands-still" and count == 30:
        time.sleep(0.6)
    elif path == "/given":
        right = request.method == "PUT" and request.headers.getall("X-Key") == ["1", "2"]
        return WasiResponse(200 if right and await request.read() == b"abc" else 400)
    return WasiResponse(body="hello")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """
    The URL of a server.
    """
    directory = tmp_path_factory.mktemp("server")
    write(directory, APP)
    with serving(directory) as (_, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def ownServer(tmp_path: Path) -> Iterator[str]:
    """
    The URL of a server that has answered nobody.
    """
    write(tmp_path, APP)
    with serving(tmp_path) as (_, port):
        yield f"http://127.0.0.1:{port}"


def bench(directory: Path, *arguments: str) -> tuple[int, str, str]:
    """
    Run it to its end.

    @return: its status, its standard output, its standard error.
    """
    done = run([*BENCH, *arguments], directory)
    assert "Traceback" not in done.stderr()
    return done.process.returncode, done.stdout(), done.stderr()


def found(directory: Path, *arguments: str, status: int = 0) -> Any:
    """
    Run it to its end.

    @param status: what it is to end with.
    @return: what it has found.
    """
    ended, output, errors = bench(directory, *arguments, "--json")
    assert (ended, errors) == (status, ""), output
    return json.loads(output)


def number(url: str) -> int:
    with urlopen(url, timeout=PATIENCE) as response:
        return int(response.read())


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """
    A server that gives each connection this answer to its first request, and closes.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    conn, _ = listening.accept()
                except OSError:
                    return
                # It may be reset at any time.
                with conn, contextlib.suppress(OSError):
                    conn.recv(65536)
                    conn.sendall(answer)
                    conn.shutdown(socket.SHUT_WR)
                    # Until it has been read: else it may be lost with a reset.
                    while conn.recv(65536):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            # Closing alone would leave accept() as it is.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def test_text(server: str, tmp_path: Path) -> None:
    """
    What is printed, from its first line to the histogram's last.
    """
    status, output, errors = bench(tmp_path, f"{server}/", "-c", "4", "-d", "0.5")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0].startswith(f"GET {server}/: 4 connections, 0.")
    for beginning in ("requests    ", "received    ", "statuses    200: ", "errors      none", "latency", "  99.9 % "):
        assert any(line.startswith(beginning) for line in lines), beginning
    assert lines[-1].endswith(" %")
    assert "█" in output


def test_asciiWhereThereIsNoMore(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    status, output, errors = bench(tmp_path, f"{server}/", "-c", "4", "-d", "0.3")
    assert (status, errors) == (0, "")
    assert "#" in output


def test_json(server: str, tmp_path: Path) -> None:
    figures = found(tmp_path, f"{server}/", "-c", "4", "-d", "0.5")
    count = figures["requests"]
    assert count > 10
    assert figures["statuses"] == {"200": count}
    assert (figures["errors"], figures["received"]) == ({}, count * len("hello"))
    assert 0.5 <= figures["seconds"] < PATIENCE
    assert figures["requestsPerSecond"] == pytest.approx(count / figures["seconds"])
    latency = figures["latency"]
    assert 0 < latency["min"] <= latency["percentiles"]["50"] <= latency["percentiles"]["99.99"] <= latency["max"]
    assert sum(each["count"] for each in latency["histogram"]) == count
    # Each connection had one under way when it ended, or was just between two.
    assert figures["unanswered"] <= 4


def test_asManyAtATimeAsThereAreConnections(ownServer: str, tmp_path: Path) -> None:
    found(tmp_path, f"{ownServer}/slow", "-c", "7", "-d", "0.5")
    assert number(f"{ownServer}/most") == 7


def test_theRequestIsTheOneThatWasGiven(server: str, tmp_path: Path) -> None:
    """
    The method, fields of the same name, the body, also from a file.
    """
    (tmp_path / "body").write_bytes(b"abc")
    for data in ("abc", "@body"):
        figures = found(
            tmp_path,
            *(
                f"{server}/given",
                "-c",
                "2",
                "-d",
                "0.3",
                "-m",
                "PUT",
                "-H",
                "X-Key: 1",
                "-H",
                "X-Key:2",
                "--data",
                data,
            ),
        )
        assert list(figures["statuses"]) == ["200"]


def test_withDataItIsAPost(server: str, tmp_path: Path) -> None:
    assert found(tmp_path, f"{server}/", "-c", "1", "-d", "0.1", "--data", "abc")["method"] == "POST"


def test_aLargeBody(server: str, tmp_path: Path) -> None:
    figures = found(tmp_path, f"{server}/large", "-c", "2", "-d", "0.3")
    assert figures["received"] == 300_000 * figures["requests"] > 0


@pytest.mark.parametrize(("path", "status"), [("/busy", "503"), ("/moved", "302")])
def test_statusesAreNoErrors(server: str, tmp_path: Path, path: str, status: str) -> None:
    """
    They are counted, and redirects not followed.
    """
    figures = found(tmp_path, f"{server}{path}", "-c", "2", "-d", "0.3")
    assert list(figures["statuses"]) == [status]
    assert figures["statusClasses"] == {f"{status[0]}xx": figures["requests"]}
    assert figures["errors"] == {}


def test_aNewConnectionForEachRequest(server: str, tmp_path: Path) -> None:
    figures = found(tmp_path, f"{server}/close", "-c", "3", "-d", "0.3")
    assert figures["requests"] > 5
    assert figures["errors"] == {}


def test_overTls(tmp_path: Path) -> None:
    """
    By the certificates that it is told to trust, and not without.
    """
    authority = Authority(tmp_path)
    pem = authority.issue("localhost")
    port = freePort()
    write(tmp_path, APP)
    server = [sys.executable, "-m", "twisted", "wasinet-http", "--app", "app:handler"]
    endpoint = f"ssl:{port}:privateKey={pem}:interface=127.0.0.1"
    with running([*server, "--listen", endpoint], tmp_path) as process:
        process.waitForPorts(port)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        url = f"https://localhost:{port}/"
        figures = found(elsewhere, url, "-c", "2", "-d", "0.5", "--ca", str(authority.path))
        assert (list(figures["statuses"]), figures["errors"]) == (["200"], {})
        status, output, errors = bench(elsewhere, url, "-c", "2", "-d", "0.5")
        assert (status, output) == (60, "")
        assert errors.startswith("wasinet bench: ")


# A constant rate


def test_atARate(ownServer: str, tmp_path: Path) -> None:
    """
    No more requests than are due, and as many where the server keeps up.
    """
    figures = found(tmp_path, f"{ownServer}/", "-c", "5", "-d", "1", "-R", "50")
    assert figures["rateAsked"] == 50.0
    asked = figures["requests"] + figures["unanswered"] + figures["unsent"]
    # Those due at 0, 1/50 … 49/50, and a few more where the end of the second came late.
    assert 50 <= asked <= 50 * figures["seconds"] + 2
    assert figures["requests"] >= 40


def test_aServerThatStandsStillIsNotLeftOut(ownServer: str, tmp_path: Path) -> None:
    """
    For 0.6 of 1.5 s. Of 150 requests that are due, some 60 are due meanwhile; one alone was sent.
    """
    figures = found(tmp_path, f"{ownServer}/stands-still", "-c", "1", "-d", "1.5", "-R", "100")
    latency = figures["latency"]
    assert latency["correctedForCoordinatedOmission"]
    assert latency["max"] >= 0.6
    assert latency["percentiles"]["75"] > 0.1


# What goes wrong


def test_nobodyListens(tmp_path: Path) -> None:
    status, output, errors = bench(tmp_path, f"http://127.0.0.1:{freePort()}/", "-d", "5")
    assert (status, output) == (7, "")
    assert len(errors.splitlines()) == 1
    assert errors.startswith("wasinet bench: can't connect to 127.0.0.1:")


def test_timeouts(server: str, tmp_path: Path) -> None:
    figures = found(tmp_path, f"{server}/never", "-c", "2", "-d", "0.7", "--timeout", "0.2", status=28)
    assert list(figures["errors"]) == ["timeout"]
    assert "timed out" in figures["errorExamples"]["timeout"]
    assert (figures["requests"], figures["latency"]) == (0, None)


def test_nothingIsAnswered(tmp_path: Path) -> None:
    """
    Of a server that accepts and says nothing, not even an error is told before the deadline.
    """
    with takenPort() as port:
        figures = found(tmp_path, f"http://127.0.0.1:{port}/", "-c", "3", "-d", "0.3", status=28)
    assert (figures["errors"], figures["unanswered"]) == ({}, 3)


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", "protocol", 8),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "incomplete", 18),
        (b"", "incomplete", 18),
    ],
)
def test_answersThatAreWrong(tmp_path: Path, answer: bytes, kind: str, status: int) -> None:
    with answering(answer) as url:
        figures = found(tmp_path, f"{url}/", "-c", "1", "-d", "0.3", status=status)
    assert list(figures["errors"]) == [kind]
    assert (figures["requests"], figures["statuses"]) == (0, {})


def test_errorsAreToldInText(tmp_path: Path) -> None:
    with answering(b"nonsense\r\n\r\n") as url:
        status, output, _ = bench(tmp_path, f"{url}/", "-c", "1", "-d", "0.2")
    assert status == 8
    [told] = [line for line in output.splitlines() if line.startswith("errors ")]
    assert "malformed response, such as: " in told


def test_theReportHasNoPassword(tmp_path: Path) -> None:
    """
    Reports are pasted.
    """
    with answering(b"nonsense\r\n\r\n") as url:
        secret = url.replace("://", "://user:secret@")
        for options in ((), ("--json",)):
            _, output, errors = bench(tmp_path, f"{secret}/path?a=b", "-c", "1", "-d", "0.2", *options)
            assert f"{url}/path?a=b" in output
            assert "secret" not in output + errors


@pytest.mark.parametrize(
    "arguments", [["-m", "NO METHOD"], ["-m", "CONNECT"], ["-H", "A B: c"], ["--data", "@nosuchfile"]], ids=str
)
def test_aRequestThatMakesNoSense(server: str, tmp_path: Path, arguments: list[str]) -> None:
    status, output, errors = bench(tmp_path, f"{server}/", "-d", "5", *arguments)
    assert (status, output) == (2, "")
    assert len(errors.splitlines()) == 1


def test_moreConnectionsThanDescriptors(server: str, tmp_path: Path) -> None:
    command = f"ulimit -n 100; exec {' '.join(BENCH)} {server}/ -c 50"
    done = run(["/bin/sh", "-c", command], tmp_path)
    assert done.process.returncode == 2
    assert "-c 50 needs 114 file descriptors, and the process may have 100" in done.stderr()


# The terminal


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted(ownServer: str, tmp_path: Path, ending: signal.Signals) -> None:
    """
    What there is is printed, and the process ends by the signal.
    """
    directory = tmp_path / "client"
    directory.mkdir()
    with running([*BENCH, f"{ownServer}/", "-c", "2", "-d", "100"], directory) as process:
        waitUntil(lambda: number(f"{ownServer}/count") > 20, "requests")
        assert process.stop(ending) == -ending
        lines = process.stdout().splitlines()
        assert process.stderr() == ""
    assert lines[0].endswith(" s, interrupted")
    assert any(line.startswith("statuses    200: ") for line in lines)


def test_progressOnATerminal(server: str, tmp_path: Path) -> None:
    """
    On the standard error, if that is one; the line is gone in the end.
    """
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            [*BENCH, f"{server}/", "-c", "2", "-d", "2.5"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            timeout=PATIENCE,
            env={**os.environ, "COLUMNS": "80"},
            check=True,
        )
        told = os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert "1 of 2.5 s: " in told
    assert "requests/s, 0 errors" in told
    assert told.endswith("\r\x1b[K")
    assert b"\x1b" not in done.stdout


class ArgumentTests(SynchronousTestCase):
    def refused(self, *arguments: str) -> None:
        with open(os.devnull, "w") as null, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", null)
            error = self.assertRaises(SystemExit, makeParser().parse_args, ["bench", "http://x/", *arguments])
        self.assertEqual(error.code, 2)

    def test_bounds(self) -> None:
        """
        From both sides.
        """
        for option, good, bad in (
            ("-c", ("1", "60000"), ("0", "60001", "-1", "1.5", "x", "")),
            ("-d", ("0.1", "3600"), ("0", "-1", "nan", "inf", "x")),
            ("-R", ("0.5", "1000000"), ("0", "1000001", "-1", "nan", "inf", "x")),
            ("--timeout", ("0.1", "60"), ("0", "-1", "nan", "x")),
            ("-H", ("A: b", "A:", "A:b:c"), ("A", ": b", "")),
        ):
            for value in good:
                makeParser().parse_args(["bench", "http://x/", option, value])
            for value in bad:
                self.refused(option, value)

    def test_fields(self) -> None:
        parsed = makeParser().parse_args(["bench", "http://x/", "-H", "A:  b c ", "-H", "A:"])
        self.assertEqual(parsed.header, [("A", "b c"), ("A", "")])
