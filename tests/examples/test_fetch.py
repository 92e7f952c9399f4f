"""
Several URLs at once.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.client.servers import HELLO, LARGE, Server, nginx, python
from tests.examples.test_examples import example
from tests.processes import Process, freePort, run, running, takenPort, waitUntil

# What may take how long, nobody knows.
LINE = re.compile(r"(\d{3}) +([\d,]+) bytes +\d+ ms \(((?:[a-zA-Z ]+ \d+(?:, )?)*)\)  (.*)").fullmatch


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with python(tmp_path_factory.mktemp("python"), "HTTP/1.1") as found:
        yield found


def lines(process: Process) -> set[tuple[str, int, str]]:
    """
    Status, length and URL of each line.
    """
    found = set()
    for line in process.stdout().splitlines():
        match = LINE(line)
        assert match is not None, line
        assert "first byte" in match[3]
        found.add((match[1], int(match[2].replace(",", "")), match[4]))
    return found


def test_all(server: Server, tmp_path: Path) -> None:
    """
    An error status is a response; a redirect is followed.
    """
    hello, large, folder = server.url("/hello.txt"), server.url("/large.bin"), server.url("/folder")
    process = run(example("fetch", hello, large, folder, server.url("/missing"), hello), tmp_path)
    assert (process.process.returncode, process.stderr()) == (0, "")
    assert process.stdout().count("\n") == 5
    found = lines(process)
    assert {("200", len(HELLO), hello), ("200", len(LARGE), large)} <= found
    assert ("200", len("<p>a folder</p>\n"), f"{folder} -> {folder}/") in found
    assert {line[0] for line in found if line[2].endswith("/missing")} == {"404"}


def test_errors(server: Server, tmp_path: Path) -> None:
    """
    A line each, and the others are fetched all the same.
    """
    nobody = f"http://127.0.0.1:{freePort()}/"
    wrong = [nobody, "nonsense", "http://nowhere.invalid/", server.url("/").replace("http", "https")]
    process = run(example("fetch", *wrong, server.url("/hello.txt")), tmp_path)
    assert process.process.returncode == 1
    assert lines(process) == {("200", len(HELLO), server.url("/hello.txt"))}
    told = dict(line.split(": ", 1) for line in process.stderr().splitlines())
    assert set(told) == set(wrong)
    assert told[nobody].endswith("Connection refused")
    assert told["http://nowhere.invalid/"] == "can't connect to nowhere.invalid:80: unknown host"


def test_aServerThatSaysNothing(tmp_path: Path) -> None:
    with takenPort() as port:
        process = run(example("fetch", "--timeout", "0.3", f"http://127.0.0.1:{port}/"), tmp_path)
    assert process.process.returncode == 1
    assert process.stderr().count("\n") == 1
    assert "not complete in 0.3 s" in process.stderr()


def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("localhost")
    port = freePort()
    files = f'ssl_certificate "{certificate}"; ssl_certificate_key "{certificate}";'
    (tmp_path / "nginx").mkdir()
    with nginx(tmp_path / "nginx", f"server {{ listen 127.0.0.1:{port} ssl; {files} }}", port):
        url = f"https://localhost:{port}/hello.txt"
        process = run(example("fetch", "--ca", str(authority.path), url), tmp_path)
        assert (process.process.returncode, process.stderr()) == (0, "")
        assert lines(process) == {("200", len(HELLO), url)}
        assert "TLS" in process.stdout()
        distrustful = run(example("fetch", url), tmp_path)
        assert (distrustful.process.returncode, distrustful.stdout()) == (1, "")
        assert distrustful.stderr().count("\n") == 1


def test_ctrlC(tmp_path: Path) -> None:
    """
    While it waits for a server that says nothing.
    """
    with takenPort() as port, takenPort() as other:
        urls = [f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{other}/"]
        nobody = f"http://127.0.0.1:{freePort()}/"
        with running(example("fetch", *urls, nobody), tmp_path) as process:
            waitUntil(lambda: nobody in process.stderr(), "a line about what can't be reached")
            assert process.stop(signal.SIGINT) in (1, -signal.SIGINT)
        assert "Traceback" not in process.stderr()
        assert process.stderr().count("\n") <= 3
