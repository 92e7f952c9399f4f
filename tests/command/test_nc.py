"""
C{wasinet nc} as its users run it: beside plain sockets, and with files, pipes and a terminal as its standard input.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.certificates import Authority
from tests.processes import PATIENCE, freePort, waitUntil

from .support import started, wasinet

# What no buffer between the two holds, and a bound on all buffers together.
MUCH = 40_000_000
BUFFERS = 20_000_000


@contextmanager
def peer(talk: Callable[[socket.socket], object]) -> Iterator[str]:
    """
    A server for one connection.

    @return: its port.
    """
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            conn, _ = listening.accept()
            with conn:
                conn.settimeout(PATIENCE)
                talk(conn)
        except ConnectionResetError:
            # Some tests end it so.
            return
        except BaseException as error:
            failures.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        thread = Thread(target=serve)
        thread.start()
        try:
            yield str(listening.getsockname()[1])
        finally:
            thread.join(2 * PATIENCE)
    assert failures == []


def receiveAll(conn: socket.socket) -> bytes:
    return b"".join(iter(lambda: conn.recv(1 << 20), b""))


def test_theEndOfTheInputIsTold() -> None:
    """
    And the answer, which comes only then, is awaited.
    """

    def talk(conn: socket.socket) -> None:
        conn.sendall(b"got:" + receiveAll(conn))

    for input in (b"hello", b""):
        with peer(talk) as port:
            assert wasinet("nc", "127.0.0.1", port, input=input) == (0, b"got:" + input, "")


def test_afterTheEndOfThePeersDirection() -> None:
    """
    What comes from the standard input after that still arrives.
    """
    got = []

    def talk(conn: socket.socket) -> None:
        conn.sendall(b"bye")
        conn.shutdown(socket.SHUT_WR)
        got.append(receiveAll(conn))

    with peer(talk) as port, started("nc", "127.0.0.1", port) as nc:
        assert nc.stdin is not None
        assert nc.stdout is not None
        assert nc.stdout.read(3) == b"bye"
        time.sleep(0.3)
        nc.stdin.write(b"late")
        nc.stdin.close()
        assert nc.wait(PATIENCE) == 0
    assert got == [b"late"]


def test_muchInBothDirections() -> None:
    def talk(conn: socket.socket) -> None:
        while data := conn.recv(1 << 20):
            conn.sendall(data)

    data = os.urandom(MUCH)
    with peer(talk) as port:
        assert wasinet("nc", "127.0.0.1", port, input=data) == (0, data, "")


def test_files(tmp_path: Path) -> None:
    """
    Epoll takes neither a regular file nor /dev/null.
    """
    (tmp_path / "file").write_bytes(b"from a file")
    for path, expected in {tmp_path / "file": b"from a file", Path(os.devnull): b""}.items():
        with peer(lambda conn: conn.sendall(receiveAll(conn))) as port:
            with path.open("rb") as input, (tmp_path / "output").open("wb") as output:
                assert wasinet("nc", "127.0.0.1", port, stdin=input, stdout=output)[0] == 0
            assert (tmp_path / "output").read_bytes() == expected


def test_noFasterThanTheOutputIsRead() -> None:
    sent = 0

    def talk(conn: socket.socket) -> None:
        nonlocal sent
        piece = bytes(1 << 16)
        while sent < MUCH:
            conn.sendall(piece)
            sent += len(piece)

    def stalled() -> bool:
        before = sent
        time.sleep(0.4)
        return sent == before > 0

    with peer(talk) as port, started("nc", "127.0.0.1", port) as nc:
        waitUntil(stalled, "a stall")
        assert sent < BUFFERS
        assert nc.stdout is not None
        assert nc.stdin is not None
        nc.stdin.close()
        assert len(nc.stdout.read()) == sent >= MUCH


def test_noFasterThanThePeerReads() -> None:
    written = 0
    got = []

    def talk(conn: socket.socket) -> None:
        waitUntil(stalled, "a stall")
        got.append(written)
        got.append(len(receiveAll(conn)))

    def stalled() -> bool:
        before = written
        time.sleep(0.4)
        return written == before > 0

    with peer(talk) as port, started("nc", "127.0.0.1", port) as nc:
        assert nc.stdin is not None
        piece = bytes(1 << 16)
        while written < MUCH:
            nc.stdin.write(piece)
            written += len(piece)
        nc.stdin.close()
        assert nc.wait(PATIENCE) == 0
    assert got[0] < BUFFERS
    assert got[1] == written


def test_statuses(tmp_path: Path) -> None:
    """
    As curl has them, each with one line.
    """

    def check(status: int, text: str, *arguments: str) -> None:
        ended, output, errors = wasinet("nc", *arguments)
        assert (ended, output, errors.count("\n")) == (status, b"", 1), errors
        assert errors.startswith("wasinet nc: "), errors
        assert text in errors

    check(6, "unknown host", "nothing.invalid", "1")
    check(7, "refused", "127.0.0.1", str(freePort()))
    # Nobody accepts, so that the handshake is never answered.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        check(28, "timed out", "--tls", "--timeout", "0.5", "127.0.0.1", str(silent.getsockname()[1]))
    with peer(lambda conn: (conn.recv(1 << 16), conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))) as port:
        check(35, "", "--tls", "127.0.0.1", port)
    check(2, "can't read", "--tls", "--ca", str(tmp_path / "nothing.pem"), "localhost", "1")


def test_resetByThePeer() -> None:
    def talk(conn: socket.socket) -> None:
        conn.recv(5)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with peer(talk) as port:
        status, _, errors = wasinet("nc", "127.0.0.1", port, input=b"hello")
    assert (status, errors.count("\n")) == (56, 1), errors


def test_thePeerReadsNoMore() -> None:
    """
    What it has answered before is printed; that not all was taken is said.
    """

    def talk(conn: socket.socket) -> None:
        conn.recv(1)
        conn.sendall(b"enough")
        conn.shutdown(socket.SHUT_RDWR)

    with peer(talk) as port:
        status, output, errors = wasinet("nc", "127.0.0.1", port, input=bytes(MUCH))
    assert (status, errors.count("\n")) == (56, 1), errors
    assert output in (b"enough", b"")


class TlsPeer:
    """
    @ivar trusted: the authority's certificate.
    """

    def __init__(self, directory: Path, name: str = "localhost") -> None:
        authority = Authority(directory)
        self.trusted = str(authority.path)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority.issue(name))

    def talking(self, talk: Callable[[ssl.SSLSocket], object]) -> Callable[[socket.socket], None]:
        def begin(conn: socket.socket) -> None:
            try:
                over = self._context.wrap_socket(conn, server_side=True)
            except OSError:
                # The client has refused us.
                return
            with over:
                talk(over)

        return begin


def test_tls(tmp_path: Path) -> None:
    """
    There is no half-close: the input has ended, the peer is not told, and its answer is awaited until it closes.
    """
    server = TlsPeer(tmp_path)

    def talk(conn: ssl.SSLSocket) -> None:
        request = conn.recv(100)
        conn.setblocking(False)
        time.sleep(0.3)
        with pytest.raises(ssl.SSLWantReadError):
            conn.recv(1)
        conn.setblocking(True)
        conn.sendall(b"got:" + request)
        conn.unwrap()

    with peer(server.talking(talk)) as port:
        arguments = ("nc", "--tls", "--ca", server.trusted, "localhost", port)
        assert wasinet(*arguments, input=b"hello") == (0, b"got:hello", "")


def test_certificates(tmp_path: Path) -> None:
    """
    They are verified, always.
    """
    (tmp_path / "other").mkdir()
    server, other = TlsPeer(tmp_path), TlsPeer(tmp_path / "other", "other.example")
    for presented, trusted, text in (
        (server, None, ""),
        (server, other.trusted, ""),
        (other, other.trusted, "other.example"),
    ):
        options = () if trusted is None else ("--ca", trusted)
        with peer(presented.talking(lambda conn: None)) as port:
            status, output, errors = wasinet("nc", "--tls", *options, "localhost", port)
        assert (status, output, errors.count("\n")) == (60, b"", 1), errors
        assert text in errors


def test_listen() -> None:
    with started("nc", "--listen", "127.0.0.1", "0") as nc:
        assert nc.stdin is not None
        assert nc.stdout is not None
        assert nc.stderr is not None
        line = nc.stderr.readline().decode()
        assert line.startswith("wasinet nc: listening on 127.0.0.1:")
        address = ("127.0.0.1", int(line.rpartition(":")[2]))
        with socket.create_connection(address, timeout=PATIENCE) as conn:
            conn.sendall(b"hello")
            assert nc.stdout.read(5) == b"hello"
            # For one connection only.
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=PATIENCE)
            nc.stdin.write(b"bye")
            nc.stdin.close()
            assert receiveAll(conn) == b"bye"
        assert nc.wait(PATIENCE) == 0


def test_portInUse() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, _, errors = wasinet("nc", "--listen", "127.0.0.1", str(taken.getsockname()[1]))
    assert status == 1
    assert errors.endswith(": Address already in use\n"), errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(number: signal.Signals) -> None:
    """
    It ends at once and quietly, whatever it waits for.
    """
    connected = Event()

    def talk(conn: socket.socket) -> None:
        connected.set()
        conn.recv(1)

    with peer(talk) as port, started("nc", "127.0.0.1", port) as nc:
        assert connected.wait(PATIENCE)
        nc.send_signal(number)
        assert nc.wait(PATIENCE) == -number
        assert nc.stderr is not None
        assert nc.stderr.read() == b""
    with started("nc", "--listen", "127.0.0.1", "0") as nc:
        assert nc.stderr is not None
        assert nc.stderr.readline()
        nc.send_signal(number)
        assert nc.wait(PATIENCE) == -number
        assert nc.stderr.read() == b""


STUCK = """
import socket, sys, time
from wasinet_twisted.command.main import main
def getaddrinfo(*_, **__):
    print("looking", flush=True)
    time.sleep(60)
socket.getaddrinfo = getaddrinfo
sys.exit(main())
"""


@pytest.mark.reactorless
def test_resolverThatDoesNotAnswer() -> None:
    """
    Neither a deadline nor Ctrl-C waits for it, though its thread can't be ended.
    """
    command = [sys.executable, "-c", STUCK]
    begun = time.monotonic()
    with started("nc", "--timeout", "0.5", "name.example", "1", command=command) as nc:
        assert nc.wait(PATIENCE) == 28
        assert nc.stderr is not None
        assert b"timed out" in nc.stderr.read()
    with started("nc", "name.example", "1", command=command) as nc:
        assert nc.stdout is not None
        assert nc.stdout.readline() == b"looking\n"
        nc.send_signal(signal.SIGINT)
        assert nc.wait(PATIENCE) == -signal.SIGINT
    assert time.monotonic() - begun < PATIENCE


FINISHING = """
import sys
from threading import Event
from wasinet_twisted.command import ending, running
finish = Event()
async def body(reactor):
    reactor.callInThread(finish.wait)
    return 3
status = running.run("wasinet", body)
finish.set()
from twisted.internet import reactor
while reactor.threadpool.working:
    pass
sys.exit(ending.leave(status))
"""


@pytest.mark.reactorless
def test_threadThatFinishesAtTheEnd() -> None:
    """
    One that was still at work when the command was done, and is idle by the time that the process ends.
    """
    done = subprocess.run([sys.executable, "-c", FINISHING], capture_output=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (3, b"")


def test_nobodyReadsTheOutput() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with peer(lambda conn: (conn.sendall(b"hello"), conn.recv(1))) as port:
            status, _, errors = wasinet("nc", "127.0.0.1", port, stdout=writing)
    finally:
        os.close(writing)
    assert (status, errors) == (-signal.SIGPIPE, "")


def test_inputAndOutputThatFail(tmp_path: Path) -> None:
    """
    The connection is reset, so that the peer takes no part for the whole.
    """
    reset = []

    def resets(conn: socket.socket) -> None:
        try:
            # The reset may come before this.
            conn.sendall(b"hello")
            receiveAll(conn)
        except ConnectionResetError:
            reset.append(True)

    # Python itself would refuse a directory.
    unreadable = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        with peer(resets) as port:
            status, _, errors = wasinet("nc", "127.0.0.1", port, stdin=unreadable)
        assert (status, errors) == (26, "wasinet nc: can't read the standard input: Bad file descriptor\n")
    finally:
        os.close(unreadable)
    with open("/dev/full", "wb") as full, peer(resets) as port, started("nc", "127.0.0.1", port, stdout=full) as nc:
        assert nc.wait(PATIENCE) == 23
        assert nc.stderr is not None
        errors = nc.stderr.read().decode()
    assert errors == "wasinet nc: can't write to the standard output: No space left on device\n"
    assert reset == [True, True]


def test_terminal() -> None:
    """
    It is left as it was, blocking; and who sits there is told that the peer has ended.
    """
    ours, theirs = pty.openpty()
    try:
        flags = fcntl.fcntl(theirs, fcntl.F_GETFL)

        def talk(conn: socket.socket) -> None:
            assert conn.recv(100) == b"hello\n"
            conn.sendall(b"bye")
            conn.shutdown(socket.SHUT_WR)
            assert receiveAll(conn) == b"more\n"

        with peer(talk) as port, started("nc", "127.0.0.1", port, stdin=theirs) as nc:
            assert nc.stdout is not None
            assert nc.stderr is not None
            os.write(ours, b"hello\n")
            assert nc.stdout.read(3) == b"bye"
            assert nc.stderr.readline() == b"wasinet nc: the peer has ended its direction; Ctrl-D ends this one\n"
            assert fcntl.fcntl(theirs, fcntl.F_GETFL) == flags
            os.write(ours, b"more\n\x04")
            assert nc.wait(PATIENCE) == 0
        assert fcntl.fcntl(theirs, fcntl.F_GETFL) == flags
    finally:
        os.close(ours)
        os.close(theirs)


def test_nonBlockingPipes() -> None:
    """
    Another process may have made them so.
    """
    with peer(lambda conn: conn.sendall(receiveAll(conn))) as port:
        inputRead, inputWrite = os.pipe()
        outputRead, outputWrite = os.pipe()
        os.set_blocking(inputRead, False)
        os.set_blocking(outputWrite, False)
        with started("nc", "127.0.0.1", port, stdin=inputRead, stdout=outputWrite) as nc:
            os.close(inputRead)
            os.close(outputWrite)
            time.sleep(0.5)
            data = os.urandom(1_000_000)
            Thread(target=lambda: (os.write(inputWrite, data), os.close(inputWrite))).start()
            got = b""
            while select.select([outputRead], [], [], PATIENCE)[0] and (more := os.read(outputRead, 1 << 16)):
                got += more
                time.sleep(0.001)
            os.close(outputRead)
            assert nc.wait(PATIENCE) == 0
        assert got == data
