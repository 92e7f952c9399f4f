"""
C{wasinet serve} as its users run it.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.processes import (
    Client,
    Process,
    freePort,
    listening,
    running,
    takenPort,
    talk,
    waitUntil,
)
from tests.support import needsTool

from .support import WASINET, wasinet

SIZE = 30_000_000


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    (site / "a.txt").write_text("hello")
    (site / ".hidden").write_text("hidden")
    (site / "out").symlink_to("../outside.txt")
    (tmp_path / "outside.txt").write_text("outside")
    return site


@contextmanager
def serving(site: Path, *options: str, listen: str = "127.0.0.1") -> Iterator[tuple[Process, int]]:
    port = freePort()
    with running([*WASINET, "serve", str(site), "--listen", f"{listen}:{port}", *options], site.parent) as process:
        process.waitForPorts(port)
        yield process, port


def get(port: int, path: str = "/a.txt", host: str = "localhost") -> tuple[int, bytes]:
    answer = talk(port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_serves(site: Path) -> None:
    """
    First it says where; then each request has a line; Ctrl-C ends it without another word.
    """
    with serving(site) as (process, port):
        assert get(port) == (200, b"hello")
        assert get(port, "/nothing")[0] == 404
        assert b'href="./a.txt"' in get(port, "/")[1]
        process.waitForOutput('"GET / HTTP/1.1" 200')
        assert process.stop(signal.SIGINT) == -signal.SIGINT
        first, *lines = process.stdout().splitlines()
        assert first == f"serving {site} at http://127.0.0.1:{port}"
        assert [re.sub(r'.*"GET (\S+) HTTP/1.1" (\d+).*', r"\1 \2", line) for line in lines] == [
            "/a.txt 200",
            "/nothing 404",
            "/ 200",
        ]
        assert process.stderr() == ""


def test_defaults(site: Path) -> None:
    """
    The current directory, at 127.0.0.1:8000; somebody else may listen there.
    """
    with running([*WASINET, "serve"], site) as process:
        waitUntil(lambda: process.stdout() or process.process.poll() is not None, "a line")
        if listening(8000) and process.process.poll() is not None:
            pytest.skip("somebody listens on port 8000")
        assert process.stdout() == f"serving {site} at http://127.0.0.1:8000\n"
        assert process.stop() == -signal.SIGTERM


def test_options(site: Path) -> None:
    with serving(site) as (_, port):
        assert [get(port, path)[0] for path in ("/.hidden", "/out", "/")] == [404, 404, 200]
    (site / "a.txt.gz").write_bytes(b"packed")
    options = ("--dot-files", "--no-listing", "--follow-symlinks", "--precompressed")
    with serving(site, *options) as (_, port):
        assert get(port, "/.hidden") == (200, b"hidden")
        assert get(port, "/out") == (200, b"outside")
        assert get(port, "/")[0] == 403
        answer = talk(port, b"GET /a.txt HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
        assert answer.endswith(b"\r\n\r\npacked")


def test_names(site: Path) -> None:
    """
    On loopback, a name that somebody on the web may have chosen is refused.
    """
    with serving(site, "--host", "files.example") as (_, port):
        for host, status in {
            "localhost": 200,
            f"127.0.0.1:{port}": 200,
            "[::1]": 200,
            "FILES.example:80": 200,
            "evil.example": 403,
            "localhost.evil.example": 403,
        }.items():
            assert get(port, host=host)[0] == status, host
        assert b"'evil.example'; ask for localhost, or use --host" in get(port, host="evil.example")[1]
    with serving(site, listen="0.0.0.0") as (_, port):
        assert get(port, host="any.example") == (200, b"hello")
    with serving(site, "--host", "files.example", listen="0.0.0.0") as (_, port):
        assert [get(port, host=host)[0] for host in ("files.example", "127.0.0.1", "evil.example")] == [200, 200, 403]


def test_aDirectoryWithAStrangeName(tmp_path: Path) -> None:
    """
    One that is no UTF-8, and one that would colour a terminal.
    """
    site = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[31m"))
    site.mkdir()
    (site / "a.txt").write_text("hello")
    with serving(site) as (process, port):
        assert get(port) == (200, b"hello")
        process.waitForOutput(r"\udcff\x1b[31m at http://")


def test_several(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(site, "--listen", f"unix:{path}") as (process, port):
        process.waitForOutput(str(path))
        assert process.stdout().splitlines() == [
            f"serving {site} at http://127.0.0.1:{port}",
            f"serving {site} at unix:{path}",
        ]
        curl = [needsTool("curl"), "-sS", "--unix-socket", str(path), "http://localhost/a.txt"]
        assert subprocess.run(curl, capture_output=True, check=True).stdout == b"hello"


def test_tls(site: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("localhost")
    port = freePort()
    endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
    with running([*WASINET, "serve", str(site), "--listen", endpoint], tmp_path) as process:
        process.waitForOutput(f"serving {site} at https://127.0.0.1:{port}\n")
        curl = [needsTool("curl"), "-sS", "--cacert", str(authority.path), f"https://localhost:{port}/a.txt"]
        assert subprocess.run(curl, capture_output=True, check=True).stdout == b"hello"


def test_portInUse(site: Path) -> None:
    with takenPort() as port:
        status, output, errors = wasinet("serve", str(site), "--listen", f"127.0.0.1:{port}")
    assert (status, output) == (1, b"")
    assert errors == f"wasinet serve: can't listen on tcp:{port}:interface=127.0.0.1: Address already in use\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_drains(site: Path, number: signal.Signals) -> None:
    """
    A signal lets a download in flight come to its end; nobody else is accepted.
    """
    (site / "big").write_bytes(bytes(SIZE))
    with serving(site) as (process, port), Client(port) as client:
        client.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        begun = client.receive(1000)
        process.process.send_signal(number)
        waitUntil(lambda: not listening(port), "the end of listening")
        rest = client.receiveAll()
        assert len((begun + rest).partition(b"\r\n\r\n")[2]) == SIZE
        assert process.wait() == -number
        assert f'"GET /big HTTP/1.1" 200 {SIZE}' in process.stdout()
        assert process.stderr() == ""


def test_aSecondSignalEndsIt(site: Path) -> None:
    (site / "big").write_bytes(bytes(SIZE))
    with serving(site) as (process, port), Client(port) as client:
        client.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.receive(1000)
        process.process.send_signal(signal.SIGINT)
        waitUntil(lambda: not listening(port), "the end of listening")
        begun = time.monotonic()
        assert process.stop(signal.SIGTERM) == -signal.SIGTERM
        assert time.monotonic() - begun < 5
        assert process.stderr() == ""


def test_ignoredSignals(site: Path) -> None:
    """
    A shell in the background has Ctrl-C ignored: that stays so.
    """
    port = freePort()
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", ignoring, *WASINET, "serve", str(site), "--listen", f"127.0.0.1:{port}"]
    with running(command, site.parent) as process:
        process.waitForPorts(port)
        process.process.send_signal(signal.SIGINT)
        assert get(port) == (200, b"hello")
        assert process.stop() == -signal.SIGTERM


def test_nobodyReadsTheLog(site: Path) -> None:
    """
    It serves all the same.
    """
    port = freePort()
    reading, writing = os.pipe()
    command = [*WASINET, "serve", str(site), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        try:
            assert os.read(reading, 1000).startswith(b"serving ")
            os.close(reading)
            assert [get(port) for _ in range(3)] == [(200, b"hello")] * 3
            time.sleep(0.7)
            assert get(port) == (200, b"hello")
            process.terminate()
            assert process.stderr is not None
            errors = process.stderr.read().decode()
        finally:
            process.kill()
    assert errors.startswith("wasinet serve: the access log can't be written, lines are lost: "), errors
    assert "Traceback" not in errors


@pytest.mark.reactorless
def test_itsReactor(site: Path) -> None:
    """
    It is this package's own.
    """
    code = (
        "import sys\nfrom wasinet_twisted.command.main import main\n"
        "from twisted.internet import epollreactor\n"
        "from wasinet_twisted.command import ending\n"
        "ending.output = lambda text: print(type(sys.modules['twisted.internet.reactor']), flush=True)\n"
        "sys.exit(main())\n"
    )
    with running([sys.executable, "-c", code, "serve", "--listen", "127.0.0.1:0"], site) as process:
        process.waitForOutput("wasinet_twisted.reactor.epoll.EPollReactor")


def test_asManyAsThereAreDescriptorsFor(site: Path) -> None:
    """
    Each connection may have a file open as well: with 100 descriptors, of which 64 are kept back, 18 are served at a
    time, and the others wait.
    """
    port = freePort()
    (site / "big").write_bytes(bytes(SIZE))
    limited = ["/bin/sh", "-c", 'ulimit -n 100; exec "$@"', "-"]
    command = [*limited, *WASINET, "serve", str(site), "--listen", f"127.0.0.1:{port}"]
    with running(command, site.parent) as process, ExitStack() as stack:
        process.waitForPorts(port)
        clients = [stack.enter_context(Client(port)) for _ in range(20)]
        for client in clients:
            client.send(b"GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for client in clients[:18]:
            assert client.receive(15) == b"HTTP/1.1 200 OK"
        for client in clients[18:]:
            assert select.select([client.socket], [], [], 0.3)[0] == []
        assert len(clients[0].receiveAll()) > SIZE
        assert clients[18].receive(15) == b"HTTP/1.1 200 OK"
        assert process.stderr() == ""
