"""
C{deploy/haproxy.cfg} before three servers, under load: one is taken out, one is killed, all are restarted in turn.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import PATIENCE, Process, freePort, running, waitUntil
from tests.support import needsTool
from wasinet_twisted.server.limits import DEFAULT_SERVER_LIMITS

from .support import Load, Server, adapted, command, deployed, get, started

# haproxy and the servers are processes of their own.
pytestmark = pytest.mark.reactorless

# The tests' time is short: what takes seconds there takes tenths of them here.
CHECKS = "inter 1s fastinter 250ms downinter 500ms rise 2 fall 2"
QUICKLY = "inter 50ms fastinter 50ms downinter 50ms rise 2 fall 2"


class Balancer:
    """
    A HAProxy that runs.
    """

    def __init__(self, process: Process, port: int, stats: int, control: Path) -> None:
        self.process = process
        self.port = port
        self.stats = stats
        self._control = control

    def say(self, text: str) -> None:
        """
        Change something by the runtime socket.
        """
        assert command(self._control, text).strip() == ""

    def states(self) -> dict[str, str]:
        """
        How each server is, as C{show stat} has it.
        """
        rows = csv.DictReader(command(self._control, "show stat").removeprefix("# ").splitlines())
        return {row["svname"]: row["status"] for row in rows if row["pxname"] == "app" and row["svname"] != "BACKEND"}

    def waitFor(self, *states: str) -> None:
        """
        Wait until the servers are like this.
        """
        waitUntil(lambda: tuple(self.states().values()) == states, f"{states}, not {self.states()}")


@contextmanager
def haproxy(directory: Path, servers: list[Server]) -> Iterator[Balancer]:
    """
    Run it with the configuration as it is, but for addresses and the times of checks.
    """
    program = needsTool("haproxy")
    port, stats, control = freePort(), freePort(), directory / "admin.sock"
    changes = {
        "bind :80 ": f"bind 127.0.0.1:{port} ",
        "stats socket /run/haproxy/admin.sock": f"stats socket {control}",
        "bind 127.0.0.1:8404": f"bind 127.0.0.1:{stats}",
        "check port 9000 ": "check ",
        CHECKS: QUICKLY,
        # The machine may have fewer descriptors.
        "    maxconn 18000": "    maxconn 500",
    }
    for number, server in enumerate(servers, 1):
        changes[f"server shop{number} 10.0.0.1{number}:8080"] = (
            f"server shop{number} 127.0.0.1:{server.port} port {server.status}"
        )
    text = adapted(deployed("haproxy.cfg"), changes)
    if os.geteuid() != 0:
        text = re.sub(r"^    (user|group) haproxy\n", "", text, flags=re.MULTILINE)
    path = directory / "haproxy.cfg"
    path.write_text(text)
    with running([program, "-db", "-f", str(path)], directory) as process:
        process.waitForPorts(port)
        yield Balancer(process, port, stats, control)


def test_configuration(tmp_path: Path) -> None:
    """
    As it is, it is valid, and its times are those of the server's limits.
    """
    program = needsTool("haproxy")
    path = tmp_path / "haproxy.cfg"
    path.write_text(deployed("haproxy.cfg"))
    checked = subprocess.run([program, "-c", "-f", str(path)], capture_output=True, text=True, timeout=PATIENCE)
    assert (checked.returncode, checked.stderr) == (0, "")
    text = path.read_text()
    seconds = {name: int(value) for name, value in re.findall(r"^    timeout (\S+) (\d+)s$", text, re.MULTILINE)}
    limits = DEFAULT_SERVER_LIMITS
    assert seconds["http-request"] <= limits.head
    assert seconds["http-keep-alive"] < limits.idle
    assert seconds["server"] < limits.idle
    servers = len(re.findall(r"^    server shop", text, re.MULTILINE))
    (bound,) = re.findall(r"^    maxconn (\d+)", text, re.MULTILINE)
    assert int(bound) < (servers - 1) * limits.connections
    # From the first check that fails to the last, and what each may take, is less than the delay that the file names.
    (delay,) = re.findall(r"--drain-delay (\d+)", text)
    assert CHECKS in text
    assert int(delay) / 2 > 1 + 1 * 0.25


def test_rollingRestart(tmp_path: Path) -> None:
    """
    No request is lost when a server is drained, by the runtime socket or by SIGTERM; when one is killed, only those
    that it held and that are not safe to repeat.
    """
    needsTool("haproxy")
    options = ("--drain-delay=0.4", "--limits=drainIdle=0.2")
    servers = [Server(tmp_path, f"shop{number}", *options) for number in (1, 2, 3)]
    with started(*servers), haproxy(tmp_path, servers) as balancer:
        balancer.waitFor("UP", "UP", "UP")
        with Load(balancer.port) as load:

            def more(count: int = 60) -> None:
                """
                Wait for more answers.
                """
                until = load.total() + count
                waitUntil(lambda: load.total() >= until, f"{count} answers more; lost: {load.lost}")

            def serves(server: Server) -> None:
                """
                Wait until a server answers.
                """
                before = load.by(server.name)
                waitUntil(lambda: load.by(server.name) > before, f"requests at {server.name}; lost: {load.lost}")

            for server in servers:
                serves(server)

            balancer.say("set server app/shop1 state maint")
            # What had been sent to it before is answered.
            more()
            before = load.by("shop1")
            more()
            assert load.by("shop1") == before
            balancer.say("set server app/shop1 state ready")
            balancer.waitFor("UP", "UP", "UP")
            serves(servers[0])
            assert load.lost == []

            for server in servers:
                server.restart()
                balancer.waitFor("UP", "UP", "UP")
                serves(server)
            assert load.lost == []

            servers[1].kill()
            waitUntil(lambda: balancer.states()["shop2"] == "DOWN", "shop2 is DOWN")
            more()
            lost = list(load.lost)
            servers[1].start()
            balancer.waitFor("UP", "UP", "UP")
            more()
        assert load.lost == lost
        # Whoever was killed had them: no other server has seen them, so none was lost there, or repeated.
        assert {method for method, _, _ in lost} <= {"POST"}, lost
        assert not {path for _, path, _ in lost} & (servers[0].asked() | servers[2].asked())
        # Each client waits for one answer at a time.
        assert len(lost) <= 6
        # Each peer's address was the client's.
        assert load.wrong == []
        status, metrics = get(balancer.stats, "/metrics")
        assert status == 200
        assert b"haproxy_server_status" in metrics
