"""
C{deploy/nginx.conf} before two servers, under load: both are restarted in turn.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import PATIENCE, freePort, running, waitUntil
from tests.support import needsTool
from wasinet_twisted.server.limits import DEFAULT_SERVER_LIMITS

from .support import Load, Server, adapted, deployed, started

pytestmark = pytest.mark.reactorless


def configured(directory: Path, **changes: str) -> Path:
    """
    Write the configuration as it is, but for the files that nginx writes.
    """
    places = "".join(
        f"    {each}_temp_path {directory}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = adapted(
        deployed("nginx.conf"),
        {
            # Else its workers are somebody who may not write there.
            "user www-data;": "user root;" if os.geteuid() == 0 else "",
            "pid /run/nginx.pid;": f"pid {directory}/nginx.pid;\ndaemon off;",
            "/var/log/nginx/error.log": f"{directory}/error.log",
            "/var/log/nginx/access.log": f"{directory}/access.log",
            "worker_processes auto;": "worker_processes 1;",
            "worker_connections 10000;": "worker_connections 500;",
            "http {\n": f"http {{\n{places}",
            **changes,
        },
    )
    path = directory / "nginx.conf"
    path.write_text(text)
    return path


@contextmanager
def nginx(directory: Path, servers: list[Server]) -> Iterator[int]:
    """
    Run it.

    @return: its port.
    """
    port = freePort()
    changes = {"listen 80;": f"listen 127.0.0.1:{port};"}
    for number, server in enumerate(servers, 1):
        changes[f"server 10.0.0.1{number}:8080 max_fails=1 fail_timeout=2s;"] = (
            f"server 127.0.0.1:{server.port} max_fails=1 fail_timeout=1s;"
        )
    path = configured(directory, **changes)
    with running([needsTool("nginx"), "-c", str(path), "-e", str(directory / "error.log")], directory) as process:
        process.waitForPorts(port)
        yield port
        assert process.stop() == 0


def test_configuration(tmp_path: Path) -> None:
    """
    It is valid, and its times are those of the server's limits.
    """
    command = [needsTool("nginx"), "-t", "-q", "-c", str(configured(tmp_path)), "-e", str(tmp_path / "error.log")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (checked.returncode, checked.stderr) == (0, "")
    text = deployed("nginx.conf")
    seconds = {name: int(value) for name, value in re.findall(r"^ +(\w+) (\d+)s;$", text, re.MULTILINE)}
    limits = DEFAULT_SERVER_LIMITS
    assert seconds["client_header_timeout"] <= limits.head
    assert seconds["keepalive_timeout"] < limits.idle
    assert seconds["proxy_read_timeout"] < limits.idle
    (size,) = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(size) * 1024 * 1024 <= limits.message.body
    # What a POST has changed is not changed once more.
    assert "non_idempotent;" not in text


def test_restarts(tmp_path: Path) -> None:
    """
    nginx knows of a restart only by what fails. No request is lost: what comes on its idle connections meanwhile is
    still answered, and who is refused a connection has sent nothing yet.
    """
    needsTool("nginx")
    servers = [Server(tmp_path, name, "--limits=drainIdle=0.5", listen="tcp") for name in ("shop1", "shop2")]
    with started(*servers), nginx(tmp_path, servers) as port, Load(port, clients=4) as load:

        def serves(server: Server) -> None:
            before = load.by(server.name)
            waitUntil(lambda: load.by(server.name) > before, f"requests at {server.name}; lost: {load.lost}")

        for server in servers:
            serves(server)
        for server in servers:
            server.restart()
            serves(server)
    assert load.lost == []
    # By X-Forwarded-For.
    assert load.wrong == []
