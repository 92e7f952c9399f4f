"""
Two servers in one process of twistd.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import PATIENCE, ROOT, Client, Process, freePort, listening, running, script, takenPort, waitUntil
from tests.support import needsTool


@contextmanager
def both(directory: Path, site: int, api: int) -> Iterator[Process]:
    ports = {"SITE_PORT": str(site), "API_PORT": str(api)}
    command = [script("twistd"), "-n", "--pidfile=", "-y", str(ROOT / "examples" / "side_by_side.py")]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ports.items():
            patch.setenv(name, value)
        with running(command, directory) as process:
            yield process


def curl(port: int, path: str = "/") -> str:
    command = [needsTool("curl"), "-sS", f"http://127.0.0.1:{port}{path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def test_both(tmp_path: Path) -> None:
    site, api = freePort(), freePort()
    with both(tmp_path, site, api) as process:
        process.waitForPorts(site, api)
        assert curl(api, "/hello") == "this is /hello\n"
        assert curl(api, "/again") == "this is /again\n"
        assert curl(site) == "the other one has had 2 requests\n"
        with Client(api) as idle:
            idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"this is /\n" in idle.socket.recv(1000)
            # A connection that waits for its next request keeps nobody.
            assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
            assert idle.receiveAll() == b""
    assert process.stderr() == ""
    assert "Traceback" not in process.stdout()
    assert "Server Shut Down" in process.stdout()


def test_portInUse(tmp_path: Path) -> None:
    """
    It is logged, and the other one serves.
    """
    site = freePort()
    with takenPort() as api, both(tmp_path, site, api) as process:
        process.waitForOutput("Address already in use")
        process.waitForPorts(site)
        assert curl(site) == "the other one has had 0 requests\n"
        assert process.stop() in (0, -signal.SIGTERM)


def test_aRequestInFlight(tmp_path: Path) -> None:
    """
    At the end, the one that has half come is answered.
    """
    site, api = freePort(), freePort()
    with both(tmp_path, site, api) as process:
        process.waitForPorts(site, api)
        with Client(api) as client:
            client.send(b"GET /last HTTP/1.1\r\n")
            # Another one, so that the first has surely come.
            assert curl(api) == "this is /\n"
            process.process.send_signal(signal.SIGINT)
            waitUntil(lambda: not listening(api), "the end of listening")
            client.send(b"Host: x\r\n\r\n")
            answer = client.receiveAll()
            assert answer.endswith(b"this is /last\n")
            assert b"\r\nConnection: close\r\n" in answer
        assert process.wait() in (0, -signal.SIGINT)
