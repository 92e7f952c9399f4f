"""
C{deploy/systemd/}: the units are valid and hardened, and what they run takes the socket that systemd hands over.
"""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PATIENCE, freePort, running, script, waitUntil
from tests.service.test_operating import LAUNCH
from tests.support import needsTool

from .support import DEPLOY, adapted, deployed, get

pytestmark = pytest.mark.reactorless

SERVICE = "systemd/wasinet-http.service"
SOCKET = "systemd/wasinet-http.socket"

# What --shutdown may take, in seconds.
SHUTDOWN = 6


def setting(unit: str, name: str) -> str:
    """
    The one value of a setting.
    """
    (value,) = re.findall(rf"^{name}=(.+)$", deployed(unit), re.MULTILINE)
    return str(value)


def start(directory: Path, status: int) -> list[str]:
    """
    What the service runs, with the paths of this environment.
    """
    (directory / "shop.py").write_bytes((DEPLOY / "shop.py").read_bytes())
    text = adapted(
        setting(SERVICE, "ExecStart"),
        {"/srv/shop/.venv/bin/twistd": script("twistd"), "127.0.0.1:9000": f"127.0.0.1:{status}"},
    )
    return shlex.split(text)


def test_theUnitsAreValid(tmp_path: Path) -> None:
    program = needsTool("systemd-analyze")
    service = adapted(
        deployed(SERVICE),
        {
            "/srv/shop/.venv/bin/twistd": script("twistd"),
            "WorkingDirectory=/srv/shop\n": f"WorkingDirectory={tmp_path}\n",
        },
    )
    (tmp_path / "wasinet-http.service").write_text(service)
    (tmp_path / "wasinet-http.socket").write_text(deployed(SOCKET))
    units = [str(tmp_path / name) for name in ("wasinet-http.service", "wasinet-http.socket")]
    checked = subprocess.run([program, "verify", *units], capture_output=True, text=True, timeout=PATIENCE)
    assert (checked.returncode, checked.stderr) == (0, "")
    # What the service listens on is what the socket is called.
    assert f"systemd:domain=INET6:name={setting(SOCKET, 'FileDescriptorName')} " in setting(SERVICE, "ExecStart")


@pytest.mark.parametrize("addresses", ["some", "all"])
def test_hardened(tmp_path: Path, addresses: str) -> None:
    """
    Below 2.0, also when everybody may connect.
    """
    program = needsTool("systemd-analyze")
    text = deployed(SERVICE)
    if addresses == "all":
        text, count = re.subn(r"^IPAddress\w+=.*\n", "", text, flags=re.MULTILINE)
        assert count == 2
    path = tmp_path / "wasinet-http.service"
    path.write_text(text)
    command = [program, "security", "--offline=true", "--no-pager", "--threshold=20", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert checked.returncode == 0, checked.stdout
    (level,) = re.findall(r"Overall exposure level for wasinet-http.service: (\d+\.\d)", checked.stdout)
    assert float(level) < 2.0


def test_itsStopTakesAsLongAsADrain() -> None:
    options = setting(SERVICE, "ExecStart")
    (drain,) = re.findall(r"--limits drain=(\d+)", options)
    (delay,) = re.findall(r"--drain-delay (\d+)", options) or [0]
    assert int(setting(SERVICE, "TimeoutStopSec")) > int(delay) + int(drain) + SHUTDOWN
    assert setting(SERVICE, "ExecReload") == "/bin/kill -HUP $MAINPID"


def test_socketActivation(tmp_path: Path) -> None:
    """
    It is started when somebody connects, is asked by that connection, and ends as it is told to.
    """
    program = needsTool("systemd-socket-activate")
    port, status = freePort(), freePort()
    name = setting(SOCKET, "FileDescriptorName")
    command = [program, f"--listen=[::1]:{port}", f"--fdname={name}", *start(tmp_path, status)]
    with running(command, tmp_path) as process:
        process.waitForPorts()
        with socket.socket(socket.AF_INET6) as waiting:
            waiting.settimeout(PATIENCE)
            waitUntil(lambda: waiting.connect_ex(("::1", port)) == 0, "somebody listens")
            waiting.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with waiting.makefile("rb") as answer:
                assert answer.read().endswith(b"\r\n\r\nhello, [::1]:%d\n" % waiting.getsockname()[1])
        assert get(status, "/readyz") == (200, b"ready\n")
        process.process.send_signal(signal.SIGHUP)
        assert get(status, "/healthz") == (200, b"ok\n")
        assert process.stop() == -signal.SIGTERM


def test_whoConnectsDuringARestartWaits(tmp_path: Path) -> None:
    """
    As the socket unit says: systemd keeps it open. Here the test does.
    """
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as kept:
        status = freePort()
        launch = LAUNCH.replace('LISTEN_FDNAMES="socket"', 'LISTEN_FDNAMES="http"')
        command = [sys.executable, "-c", launch, str(kept.fileno()), *start(tmp_path, status)]
        with running(command, tmp_path, [kept.fileno()]) as process:
            process.waitForPorts(status)
            assert get(kept.getsockname()[1], "/", "::1")[0] == 200
            assert process.stop() == -signal.SIGTERM
        with socket.create_connection(kept.getsockname()[:2], timeout=PATIENCE) as waiting:
            waiting.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with running(command, tmp_path, [kept.fileno()]) as process, waiting.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 200 OK\r\n")
                assert process.stop() == -signal.SIGTERM
