"""
Much at a time, and much one after the other.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.processes import Client, Process, waitUntil
from tests.support import more

from .support import ARTICLE, needsEngine, served

pytestmark = needsEngine

# How many connections, and messages on each: the article's net echo takes a hundred.
CONNECTIONS = 99
ROUNDS = 100
# What may come on top, in bytes: allocators keep some of what they had. Of 100,000 sockets it would be 1 byte each.
SLACK = 1 << 20


def resident(process: Process) -> int:
    """
    Return how much memory it has.
    """
    return int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.process.pid}/fd"))


def test_manyEchoes(tmp_path: Path) -> None:
    """
    Nothing is lost, and memory is flat after the first rounds.
    """
    chosen = random.Random(7)
    with served(ARTICLE / "net_echo.js", tmp_path) as (process, port):
        clients = [Client(port) for _ in range(CONNECTIONS)]
        after = 0
        for round in range(ROUNDS):
            sent = [f"{round}.{i} ".encode() + b"y" * chosen.randrange(1500) for i in range(CONNECTIONS)]
            for client, data in zip(clients, sent, strict=True):
                client.send(data)
            for client, data in zip(clients, sent, strict=True):
                # A message that comes in two pieces is echoed in two.
                received = client.receive(5 + len(data))
                while len(received.replace(b"echo:", b"")) < len(data):
                    received += client.receive(1)
                assert received.replace(b"echo:", b"") == data
            # How much comes at a time is the scheduler's: allocators have seen most of it by then.
            if round == ROUNDS // 5:
                after = resident(process)
        assert resident(process) - after < SLACK
        for client in clients:
            client.socket.close()
        assert process.wait() == 0
        assert (process.stdout(), process.stderr()) == ("", "")


def test_manyRequests(tmp_path: Path) -> None:
    """
    Memory and descriptors after thousands of requests are what they were after the first hundreds.
    """
    script = tmp_path / "endless.js"
    source = (ARTICLE / "http_echo.js").read_text()
    script.write_text(source.replace("i<100", "true"))
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nWasmEdge"
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\necho:WasmEdge"
    with served(script, tmp_path) as (process, port):

        def ask(times: int) -> None:
            for _ in range(times):
                with Client(port) as client:
                    client.send(request)
                    assert client.receiveAll() == answer

        # Until the closes that are remembered have been looked at, and allocators have what they keep.
        ask(600)
        before, open = resident(process), descriptors(process)
        ask(more(1000, 9))
        assert resident(process) - before < SLACK
        waitUntil(lambda: descriptors(process) <= open, "all descriptors closed")
        assert process.stderr() == ""
