"""
twistd's C{--uid} with C{--workers}: who the processes are.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from pwd import getpwnam
from tempfile import TemporaryDirectory

import pytest

from tests.processes import ROOT, freePort, running, talk
from tests.service.support import TWISTD, at, body, write
from tests.service.workers.support import CLOSE, Status
from tests.support import needsTool

# Only root may become somebody else.
pytestmark = [pytest.mark.reactorless, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

# It answers with its parent, and who it is.
APP = """
import os
from wasinet_twisted.http import WasiResponse

def handler(request):
    who = [*os.getresuid(), *os.getresgid(), *os.getgroups()]
    return WasiResponse(200, {}, repr((os.getppid(), who)))
"""

# Python itself may be in root's home: there, in a mount namespace of its own, is nothing but Python then.
SHOWN = """
mount --bind "$1" "$2" && mount -t tmpfs -o mode=755 none "$0" && mkdir -p "$1" && mount --bind "$2" "$1" &&
shift 2 && exec "$@"
"""


def prefix(directory: Path, uid: int, gid: int) -> list[str]:
    """
    Return what a command begins with for another user to find Python.
    """
    hidden = [each for each in Path(sys.base_prefix).parents if not each.stat().st_mode & 0o001]
    command: list[str] = []
    if hidden:
        (directory / "python").mkdir()
        command = [needsTool("unshare"), "-m", "sh", "-c", SHOWN, str(hidden[-1]), sys.base_prefix]
        command.append(str(directory / "python"))
    look = [sys.executable, "-c", "import wasinet_twisted.service"]
    code = f"import os; os.setgid({gid}); os.setuid({uid}); os.execv({sys.executable!r}, {look})"
    looked = subprocess.run([*command, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    if looked.returncode:
        pytest.skip(f"nobody can't read this checkout, or its Python: {looked.stderr}")
    return command


def privilegedPort() -> int:
    """
    Return a free port that only root may listen on.
    """
    # Another test may look for one at the same time.
    for port in random.sample(range(601, 1024), 100):
        with socket.socket() as trying:
            try:
                trying.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_privilegesAreDropped(options: tuple[str, ...]) -> None:
    """
    The parent opens a port that is root's, and is root no more when it starts workers; those it starts later are not
    root either.
    """
    nobody = getpwnam("nobody")
    uid, gid = nobody.pw_uid, nobody.pw_gid
    # pytest's own directories are for root alone.
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        write(directory, APP)
        port, status = privilegedPort(), freePort()
        command = [*prefix(directory, uid, gid), TWISTD[0], "-n", "--pidfile=", "--uid=nobody", f"--gid={gid}"]
        command += [*TWISTD[2:], "--app=app:handler", "--listen", at(port), "--workers=1", f"--status={status}"]
        with running([*command, *options], directory) as process:
            process.waitForOutput(f"listening on http://127.0.0.1:{port}")

            def ask() -> None:
                parent, who = literal_eval(body(talk(port, CLOSE)).decode())
                assert set(who) == {uid, gid}
                # Its parent is the service, or the template.
                for number in (parent, process.process.pid):
                    found = re.findall(r"^([UG]id):\t(.*)$", Path(f"/proc/{number}/status").read_text(), re.M)
                    assert found == [("Uid", "\t".join([str(uid)] * 4)), ("Gid", "\t".join([str(gid)] * 4))]

            ask()
            before = Status(status).pids()
            process.process.send_signal(signal.SIGHUP)
            process.waitForOutput("worker 1's predecessor has ended")
            assert Status(status).pids() != before
            ask()
            assert process.stop() == -signal.SIGTERM
