"""
C{load.c}: the load that the benchmarks bring with them.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from .candidates import PATIENCE, Failed, Server, compileWith

COMPILER = "cc"
HINT = "a C compiler is needed for the load: apt-get install gcc libc6-dev"

_SOURCE = Path(__file__).with_name("load.c")


class Load:
    """
    Connections that send a message each, wait for the answer and send the next one.
    """

    def __init__(self, folder: Path) -> None:
        """
        Compile it.

        @param folder: where to.
        @raise Failed: that can't be done.
        """
        self._program = folder / "load"
        compileWith([COMPILER, "-O2", "-o", str(self._program), str(_SOURCE)])

    def run(
        self, server: Server, connections: int, kind: str, what: object, warmUp: float, seconds: float
    ) -> dict[str, Any]:
        """
        One run. The CPU time is that of the messages which are counted, and of nothing else.

        @param kind: C{"echo"}, C{"websocket"} or C{"http"}.
        @param what: the size of messages in bytes, or the file of requests.
        @return: see L{ServerBenchmark.measure<benchmarks.rounds.ServerBenchmark.measure>}.
        @raise Failed: an answer is wrong or doesn't come.
        """
        server.connect().close()
        load = subprocess.Popen(
            [str(part) for part in (self._program, server.port, connections, warmUp, seconds, kind, what)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A Ctrl-C in the terminal is for us.
            start_new_session=True,
        )
        assert load.stdin is not None
        assert load.stdout is not None
        try:
            ready = load.stdout.readline()
            before = server.cpu()
            if ready:
                load.stdin.write(b"\n")
                load.stdin.flush()
            # It doesn't wait for ever for an answer.
            line = load.stdout.readline()
            taken = server.cpu() - before
            # Ending its input ends it.
            _, errors = load.communicate(timeout=PATIENCE)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            raise Failed("the load doesn't do its work") from None
        finally:
            load.kill()
            load.wait()
        server.check()
        if not line:
            raise server.failure(errors.decode(errors="replace").strip())
        counted = json.loads(line)
        return {
            "rate": counted["messages"] / counted["us"] * 1e6,
            "cpu": taken * 1e6 / counted["messages"],
            "busy": taken * 1e6 / counted["us"],
            "loadBusy": counted["busy"],
            "p50": counted["p50"],
            "p99": counted["p99"],
        }
