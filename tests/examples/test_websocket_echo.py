"""
The WebSocket echo, as processes: the server and its client.
"""

from __future__ import annotations

import signal
from pathlib import Path

from tests.examples.test_examples import example
from tests.processes import freePort, run, running, talk


def test_echo(tmp_path: Path) -> None:
    port = freePort()
    for name in ("server", "client"):
        (tmp_path / name).mkdir()
    with running(example("websocket_echo", "--port", str(port)), tmp_path / "server") as server:
        server.waitForOutput(f"listen {port} ...")
        client = run(
            example("websocket_echo", "--connect", f"ws://127.0.0.1:{port}/", "hello", "späť"), tmp_path / "client"
        )
        assert (client.stdout(), client.stderr()) == ("hello\nspäť\n", "")
        answer = talk(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 426 "), answer
        assert server.stop(signal.SIGINT) in (0, -signal.SIGINT)
        assert server.stderr() == ""
