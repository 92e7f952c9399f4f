"""
C{twistd wasinet-http} is told to stop while it has a lot to do.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tests.processes import Client, waitUntil
from tests.service.support import body, ended, serving
from tests.support import needsTool

UPLOADS = 20
CLIENTS = 4
DRAIN = 15


class Asking(threading.Thread):
    """
    A client that sends one request after the other until it is told that there is an end.

    @ivar answered: how many answers it got, each whole.
    @ivar cut: an answer that was not.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.answered = 0
        self.cut: bytes | None = None

    def run(self) -> None:
        with Client(self._port) as client:
            while True:
                text = b"%d" % self.answered
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
                answer = b""
                while b"\r\n\r\n" not in answer:
                    try:
                        more = client.socket.recv(65536)
                    except ConnectionError:
                        more = b""
                    if not more:
                        # Closed before it began to answer, as any idle connection may be: to be asked again elsewhere.
                        self.cut = answer or None
                        return
                    answer += more
                expected = b"one:" + text
                head, _, rest = answer.partition(b"\r\n\r\n")
                rest += client.receive(len(expected) - len(rest))
                if rest != expected:
                    self.cut = answer
                    return
                self.answered += 1
                if b"\r\nConnection: close" in head:
                    assert client.receiveAll() == b""
                    return


def test_sigtermUnderLoad(tmp_path: Path) -> None:
    """
    No answer is cut, uploads that are half-sent are answered, and it ends before its deadline.
    """
    wrk = needsTool("wrk")
    with serving(tmp_path, f"--limits=drain={DRAIN}") as (process, port), ExitStack() as stack:
        uploads = [stack.enter_context(Client(port)) for _ in range(UPLOADS)]
        for each in uploads:
            each.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nWasm")
        load = subprocess.Popen(
            [wrk, "-t1", "-c30", "-d20", f"http://127.0.0.1:{port}/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            asking = [Asking(port) for _ in range(CLIENTS)]
            for client in asking:
                client.start()
            waitUntil(lambda: all(client.answered > 20 for client in asking), "answers")
            began = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            for client in asking:
                client.join(DRAIN)
                assert not client.is_alive()
                assert client.cut is None
            for each in uploads:
                each.send(b"Edge")
            for each in uploads:
                answer = each.receiveAll()
                assert body(answer) == b"one:WasmEdge"
                assert b"\r\nConnection: close\r\n" in answer
            ended(process, -signal.SIGTERM)
            assert time.monotonic() - began < DRAIN
        finally:
            load.kill()
            load.wait()
