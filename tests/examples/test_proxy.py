"""
The proxy, as a process between plain sockets: what either side does is what the other one sees, and nothing of it piles
up in between.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import PATIENCE, ROOT, Client, Process, freePort, run, running, takenPort, talk, waitUntil

LOCAL = "127.0.0.1"
MEBIBYTE = 1 << 20
# The sides of the proxy, by name.
SIDES = ["client", "target"]


def proxy(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / "proxy.py"), *arguments]


class World:
    """
    A proxy that runs, and the target behind it.
    """

    def __init__(self, process: Process, port: int, target: socket.socket) -> None:
        self.process = process
        self.port = port
        self.target = target

    @contextmanager
    def pair(self) -> Iterator[dict[str, socket.socket]]:
        """
        A connection's two far ends, by side.
        """
        with socket.create_connection((LOCAL, self.port), timeout=PATIENCE) as client:
            far, _ = self.target.accept()
            far.settimeout(PATIENCE)
            with far:
                yield {"client": client, "target": far}


@contextmanager
def world(directory: Path, *arguments: str) -> Iterator[World]:
    port = freePort()
    with socket.create_server((LOCAL, 0)) as target:
        target.settimeout(PATIENCE)
        to = f"{LOCAL}:{target.getsockname()[1]}"
        with running(proxy("--listen", str(port), "--to", to, *arguments), directory) as process:
            process.waitForOutput("listen")
            yield World(process, port, target)


def other(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


def receive(sock: socket.socket, count: int) -> bytes:
    """
    So many bytes, unless the stream ends before.
    """
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


def receiveAll(sock: socket.socket) -> int:
    """
    @return: how many bytes came until the end of the stream.
    """
    received = 0
    while more := sock.recv(MEBIBYTE):
        received += len(more)
    return received


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def ended(process: Process) -> None:
    assert process.stop(signal.SIGINT) in (0, -signal.SIGINT)
    assert process.stderr() == ""
    assert "Traceback" not in process.stdout()


def test_echo(tmp_path: Path) -> None:
    with world(tmp_path) as there:
        with there.pair() as one, there.pair() as two:
            for ends, text in ((one, b"one"), (two, b"two"), (one, b"again")):
                ends["client"].sendall(text)
                assert receive(ends["target"], len(text)) == text
                ends["target"].sendall(b"echo:" + text)
                assert receive(ends["client"], 5 + len(text)) == b"echo:" + text
        ended(there.process)
        # Nobody was reset, so nobody was told of.
        assert there.process.stdout() == f"listen {there.port} ...\n"


@pytest.mark.parametrize("first", SIDES)
def test_halfClose(tmp_path: Path, first: str) -> None:
    """
    The end of one direction is seen at once, and leaves the other alone, however much that has to say.
    """
    second = other(first)
    answer = os.urandom(3 * MEBIBYTE)
    with world(tmp_path) as there:
        with there.pair() as ends:
            ends[first].sendall(b"question")
            ends[first].shutdown(socket.SHUT_WR)
            assert receive(ends[second], 9) == b"question"
            sender = threading.Thread(target=ends[second].sendall, args=(answer,))
            sender.start()
            assert receive(ends[first], len(answer)) == answer
            sender.join()
            # It stays open until the other side has ended its direction too.
            assert select.select([ends[first]], [], [], 0.1)[0] == []
            ends[second].shutdown(socket.SHUT_WR)
            assert ends[first].recv(1) == b""
        ended(there.process)
        assert there.process.stdout().count("\n") == 1


@pytest.mark.parametrize("side", SIDES)
def test_aResetIsPassedOn(tmp_path: Path, side: str) -> None:
    with world(tmp_path) as there:
        with there.pair() as ends, there.pair() as others:
            ends[side].sendall(b"x")
            assert receive(ends[other(side)], 1) == b"x"
            reset(ends[side])
            with pytest.raises(ConnectionResetError):
                ends[other(side)].recv(1)
            # That is no matter of anybody else's.
            others[side].sendall(b"y")
            assert receive(others[other(side)], 1) == b"y"
        there.process.waitForOutput("ConnectionClosed")
        ended(there.process)
        assert there.process.stdout().count("\n") == 2


@pytest.mark.parametrize("side", SIDES)
def test_aResetAtOnce(tmp_path: Path, side: str) -> None:
    """
    Perhaps before the other side is connected, or before anything is passed on.
    """
    with world(tmp_path) as there:
        for _ in range(20):
            client = socket.create_connection((LOCAL, there.port), timeout=PATIENCE)
            if side == "client":
                reset(client)
            far, _ = there.target.accept()
            far.settimeout(PATIENCE)
            if side == "target":
                reset(far)
            with client, far:
                try:
                    assert (far if side == "client" else client).recv(1) == b""
                except ConnectionResetError:
                    continue
                # It came so soon that the target could not be reached, which closes the client.
                assert side == "target"
                there.process.waitForOutput(f"{client.getsockname()[1]} can't connect to")
        waitUntil(lambda: there.process.stdout().count("\n") == 21, "a line for each")
        ended(there.process)


@pytest.mark.parametrize("side", SIDES)
def test_aResetAfterTheOtherSideHasEnded(tmp_path: Path, side: str) -> None:
    """
    Then there is one task left to tell it, the one that reads what is reset.
    """
    with world(tmp_path) as there:
        with there.pair() as ends:
            ends[other(side)].shutdown(socket.SHUT_WR)
            assert ends[side].recv(1) == b""
            ends[side].sendall(b"x")
            assert receive(ends[other(side)], 1) == b"x"
            reset(ends[side])
            with pytest.raises(ConnectionResetError):
                ends[other(side)].recv(1)
        ended(there.process)


def sendUntilHeldBack(sock: socket.socket) -> None:
    sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        sock.sendall(bytes(256 * MEBIBYTE))
    sock.settimeout(PATIENCE)


@pytest.mark.parametrize("side", SIDES)
def test_aReceiverThatResetsWhileItIsStalled(tmp_path: Path, side: str) -> None:
    """
    The one who is held back is told.
    """
    with world(tmp_path) as there:
        with there.pair() as ends:
            sendUntilHeldBack(ends[other(side)])
            reset(ends[side])
            # What they are told first depends on whether they are sending at that moment.
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                ends[other(side)].sendall(bytes(256 * MEBIBYTE))
        ended(there.process)


@pytest.mark.parametrize("side", SIDES)
def test_aSenderThatResetsWhileItIsHeldBack(tmp_path: Path, side: str) -> None:
    """
    The receiver is told when it comes to that point of the stream, or before; it is never shown an end.
    """
    with world(tmp_path) as there:
        with there.pair() as ends:
            sendUntilHeldBack(ends[side])
            reset(ends[side])
            with pytest.raises(ConnectionResetError):
                receiveAll(ends[other(side)])
        ended(there.process)


def test_theTargetRefuses(tmp_path: Path) -> None:
    """
    One line for each who comes, and none of them waits; the proxy goes on.
    """
    port = freePort()
    target = freePort()
    with running(proxy("--listen", str(port), "--to", f"{LOCAL}:{target}"), tmp_path) as process:
        process.waitForOutput("listen")
        for count in (1, 2):
            with Client(port) as client:
                assert client.receiveAll() == b""
            waitUntil(lambda count=count: process.stdout().count("\n") > count, "a line")
        for line in process.stdout().splitlines()[1:]:
            assert line.endswith(f" can't connect to {LOCAL}:{target}: Connection refused")
        with socket.create_server((LOCAL, target)) as late, Client(port) as client:
            far, _ = late.accept()
            with far:
                far.sendall(b"here now")
                assert client.receive(8) == b"here now"
        ended(process)


def test_endpointStrings(tmp_path: Path) -> None:
    """
    From TCP to a UNIX socket and back: two of them, one behind the other.
    """
    first, last = freePort(), freePort()
    (tmp_path / "other").mkdir()
    path = tmp_path / "s"
    inner = proxy("--listen", f"unix:{path}", "--to", f"tcp:{LOCAL}:{last}")
    outer = proxy("--listen", f"tcp:{first}:interface={LOCAL}", "--to", f"unix:{path}")
    with (
        socket.create_server((LOCAL, last)) as target,
        running(inner, tmp_path) as one,
        running(outer, tmp_path / "other") as two,
    ):
        one.waitForOutput("listen unix:")
        two.waitForOutput("listen tcp:")

        def answer() -> None:
            far, _ = target.accept()
            with far:
                # Not before the end of the question has come through both of them.
                far.sendall(receive(far, 1 << 20).upper())

        answering = threading.Thread(target=answer)
        answering.start()
        assert talk(first, b"Wasm") == b"WASM"
        answering.join()
        ended(two)
        ended(one)
    assert not path.exists()


def test_maxConnections(tmp_path: Path) -> None:
    """
    Who comes after them waits, and is let in when one has gone.
    """
    with world(tmp_path, "--max-connections", "1") as there:
        there.target.settimeout(0.3)
        with there.pair() as ends, socket.create_connection((LOCAL, there.port), timeout=PATIENCE) as waiting:
            waiting.sendall(b"x")
            with pytest.raises(TimeoutError):
                there.target.accept()
            there.target.settimeout(PATIENCE)
            for end in ends.values():
                end.close()
            far, _ = there.target.accept()
            with far:
                assert receive(far, 1) == b"x"
        ended(there.process)


def test_portInUse(tmp_path: Path) -> None:
    with takenPort() as port:
        process = run(proxy("--listen", str(port), "--to", f"{LOCAL}:1"), tmp_path)
    assert process.process.returncode > 0
    assert process.stderr() == f"can't listen on tcp:{port}: Address already in use\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: --to"),
        (["--to", "a:1", "--listen", "65536"], "a port must be a whole number from 0 to 65535, not 65536"),
        (["--to", "a:1", "--listen", "nonsense"], "no server endpoint: 'nonsense'"),
        (["--to", "a:1", "--max-connections", "0"], "maxConnections must be a whole number"),
        (["--to", "a:1", "--max-connections", "x"], "invalid int value: 'x'"),
        (["--to", "a:1", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_wrongOptions(tmp_path: Path, arguments: list[str], says: str) -> None:
    process = run(proxy(*arguments), tmp_path)
    assert process.process.returncode > 0
    assert process.stdout() == ""
    # argparse puts its usage before the line.
    assert says in process.stderr().splitlines()[-1]
    assert "Traceback" not in process.stderr()


def test_noSuchTarget(tmp_path: Path) -> None:
    """
    It is found out with the first who comes.
    """
    port = freePort()
    with running(proxy("--listen", str(port), "--to", "nowhere"), tmp_path) as process:
        process.waitForOutput("listen")
        with Client(port) as client:
            assert client.receiveAll() == b""
        process.waitForOutput("nowhere")
        ended(process)
    assert process.stdout().count("\n") == 2


def test_ctrlCWithConnectionsOpen(tmp_path: Path) -> None:
    """
    Those that come to their end within a few seconds do so; the others are reset, lest half a stream look like a whole
    one. Nobody new is let in.
    """
    with world(tmp_path) as there:
        with there.pair() as ends, there.pair() as idle:
            ends["client"].sendall(b"ques")
            assert receive(ends["target"], 4) == b"ques"
            there.process.process.send_signal(signal.SIGINT)
            waitUntil(lambda: not accepts(there.port), "the end of listening")
            ends["client"].sendall(b"tion")
            ends["client"].shutdown(socket.SHUT_WR)
            assert receive(ends["target"], 5) == b"tion"
            ends["target"].sendall(b"answer")
            ends["target"].shutdown(socket.SHUT_WR)
            assert receive(ends["client"], 7) == b"answer"
            for end in idle.values():
                with pytest.raises(ConnectionResetError):
                    end.recv(1)
        assert there.process.wait() in (0, -signal.SIGINT)
        assert there.process.stderr() == ""
        assert "Traceback" not in there.process.stdout()


def test_ctrlCWithNobodyThere(tmp_path: Path) -> None:
    """
    Then there is nothing to wait for.
    """
    with world(tmp_path) as there:
        with there.pair() as ends:
            for end in ends.values():
                end.shutdown(socket.SHUT_WR)
            assert [end.recv(1) for end in ends.values()] == [b"", b""]
        begun = time.monotonic()
        ended(there.process)
        assert time.monotonic() - begun < 2.5


def accepts(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex((LOCAL, port)) == 0


# The bound on its memory

# Prime, so that no buffer's size divides it: a piece that is lost, doubled or out of order doesn't match.
PATTERN = os.urandom(1_000_003)
TOTAL = 1000 * len(PATTERN)
# What the proxy may grow by, in bytes, whatever passes through it.
GROWTH = 2 * MEBIBYTE


def resident(process: Process) -> int:
    pages = int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Sender:
    """
    Sends the pattern over and over, in a thread, and ends its direction.

    @ivar sent: how many bytes the kernel has taken so far.
    """

    def __init__(self, sock: socket.socket, total: int) -> None:
        self.sent = 0
        self._socket = sock
        self._total = total
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        view = memoryview(PATTERN)
        while self.sent < self._total:
            self.sent += self._socket.send(view[self.sent % len(view) :])
        self._socket.shutdown(socket.SHUT_WR)

    def waitUntilHeldBack(self) -> None:
        before = -1
        while before != self.sent:
            before = self.sent
            time.sleep(0.4)

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def take(sock: socket.socket, total: int, watch: Callable[[], object]) -> None:
    """
    Receive the pattern over and over until the end, and compare.

    @param watch: called after each.
    """
    buffer = bytearray(len(PATTERN))
    view = memoryview(buffer)
    received = 0
    while count := sock.recv_into(view[received % len(buffer) :]):
        received += count
        if received % len(buffer) == 0:
            assert buffer == PATTERN, f"not what was sent, before byte {received}"
            watch()
    assert received == total


@pytest.mark.parametrize("receiver", SIDES)
def test_aStalledReceiverHoldsBackTheSender(tmp_path: Path, receiver: str) -> None:
    """
    A gigabyte is offered to somebody who doesn't read, and then does. The proxy's memory doesn't notice.
    """
    with world(tmp_path) as there:
        with there.pair() as ends:
            warming = Sender(ends[other(receiver)], 100 * len(PATTERN))
            take(ends[receiver], 100 * len(PATTERN), lambda: None)
            warming.join()
        before = most = resident(there.process)

        def watch() -> None:
            nonlocal most
            most = max(most, resident(there.process))

        with there.pair() as ends:
            sender = Sender(ends[other(receiver)], TOTAL)
            sender.waitUntilHeldBack()
            heldBack = sender.sent
            watch()
            # In the kernel's buffers, on both sides of the proxy.
            assert 0 < heldBack < TOTAL / 4
            assert most - before < GROWTH
            stalled = most - before
            take(ends[receiver], TOTAL, watch)
            sender.join()
            assert sender.sent == TOTAL
        print(f"{receiver} receives: held back after {heldBack} bytes")
        print(f"growth: {stalled} bytes while it was stalled, {most - before} in all")
        assert most - before < GROWTH
        ended(there.process)
