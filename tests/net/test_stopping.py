"""
A process that is told to stop does, whatever its handlers do about it.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from tests.processes import Client, running

PROGRAM = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react
from wasinet_twisted import net

async def stubborn(conn):
    while True:
        try:
            await conn.write(b"here")
            await Deferred()
        except CancelledError:
            print("cancelled", flush=True)
        except GeneratorExit:
            print("closed", flush=True)
            raise

async def main(reactor):
    server = net.WasiTcpServer(0, "127.0.0.1")
    serving = server.serveForever(stubborn)
    reactor.addSystemEventTrigger("before", "shutdown", server.drain, 0.1)
    print("listening", server.local().port, flush=True)
    await serving

react(main, [])
"""


def test_aHandlerThatSwallowsItsCancellation(tmp_path: Path) -> None:
    with running([sys.executable, "-c", PROGRAM], tmp_path) as process:
        process.waitForOutput("listening")
        with Client(int(process.stdout().split()[1])) as client:
            assert client.receive(4) == b"here"
            began = time.monotonic()
            assert process.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
            # A second after the drain's deadline; the rest is for a slow machine.
            assert time.monotonic() - began < 15
    assert process.stdout().split()[2:] == ["cancelled", "closed"]
    assert "Traceback" not in process.stderr()
