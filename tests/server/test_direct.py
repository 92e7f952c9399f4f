"""
Answers that are sent at once: nothing is lost, doubled or out of order, whatever the socket says.
"""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet import tcp
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.threads import deferToThread

from tests.certificates import Authority
from wasinet_twisted import _fast
from wasinet_twisted._privates import sendDirectly
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import HttpServer
from wasinet_twisted.server.direct import sendsDirectly

reactor: Any = _reactor


class Socket:
    """
    Takes so many bytes, or raises an error.
    """

    def __init__(self, says: int | OSError) -> None:
        self.says = says
        self.taken = b""

    def send(self, data: bytes) -> int:
        if isinstance(self.says, OSError):
            raise self.says
        self.taken += data[: self.says]
        return len(data[: self.says])


class Transport:
    """
    What of one of Twisted's is asked for.
    """

    dataBuffer = b""
    _tempDataLen = 0
    disconnecting = 0
    connected = 1
    TLS = False

    def __init__(self, says: int | OSError = 100) -> None:
        self.socket = Socket(says)
        self.queued = b""

    def write(self, data: bytes) -> None:
        self.queued += data


@pytest.mark.parametrize("takes", [0, 1, 5, 6, 100])
def test_whatTheSocketDoesntTakeIsQueued(takes: int) -> None:
    transport = Transport(takes)
    assert sendDirectly(transport, b"answer")
    assert transport.socket.taken == b"answer"[:takes]
    assert transport.queued == b"answer"[takes:]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EPIPE, errno.ENOBUFS])
def test_anErrorIsLeftToTheTransport(number: int) -> None:
    transport = Transport(OSError(number, "no"))
    assert not sendDirectly(transport, b"answer")
    assert transport.queued == b""


@pytest.mark.parametrize(
    ("name", "value"),
    [("dataBuffer", b"before"), ("_tempDataLen", 1), ("disconnecting", 1), ("connected", 0), ("TLS", True)],
)
def test_notBeforeWhatWaits(name: str, value: Any) -> None:
    transport = Transport()
    setattr(transport, name, value)
    assert not sendDirectly(transport, b"answer")
    assert transport.socket.taken == transport.queued == b""


@pytest.mark.skipif(not _fast.isOn("server.direct"), reason="WASINET_FAST switches off what is asked for")
def test_onlyTransportsThatWeKnow() -> None:
    class Other(tcp.Server):
        pass

    known, other = object.__new__(tcp.Server), object.__new__(Other)
    assert sendsDirectly(known)
    assert not sendsDirectly(other)
    assert not sendsDirectly(Transport())


@pytest_twisted.ensureDeferred
async def test_theOrderOnARealSocket() -> None:
    """
    Written, sent, written, and more than the socket takes: what the peer reads is in this order.
    """
    big = bytes(range(256)) * 40_000
    parts = [b"a" * 10, b"b" * 10, big, b"c" * 10, big, b"d" * 10]

    class Sender(Protocol):
        def connectionMade(self) -> None:
            transport: Any = self.transport
            for number, part in enumerate(parts):
                if number % 2 == 0 or not (sendsDirectly(transport) and sendDirectly(transport, part)):
                    transport.write(part)
            # With nothing waiting.
            transport.loseConnection()

    port = reactor.listenTCP(0, Factory.forProtocol(Sender), interface="127.0.0.1")

    def receive() -> bytes:
        got = bytearray()
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as sock:
            while data := sock.recv(1 << 20):
                got += data
        return bytes(got)

    assert await deferToThread(receive) == b"".join(parts)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_whatGoesOverToTlsByItselfIsNotPassedBy(tmp_path: Path) -> None:
    """
    By STARTTLS, in a protocol of somebody else's, who then lets the server have the connection.
    """
    authority = Authority(tmp_path)
    certificate = str(authority.issue("localhost"))
    context = DefaultOpenSSLContextFactory(certificate, certificate)
    server = HttpServer(lambda request: WasiResponse(body=b"secret"))

    class Starting(Protocol):
        def dataReceived(self, data: bytes) -> None:
            transport: Any = self.transport
            transport.write(b"OK\r\n")
            http = server.buildProtocol(None)
            transport.protocol = http
            transport.startTLS(context)
            http.makeConnection(transport)

    port = reactor.listenTCP(0, Factory.forProtocol(Starting), interface="127.0.0.1")

    def ask() -> list[bytes]:
        trusting = ssl.create_default_context(cafile=str(authority.path))
        with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=5) as plain:
            plain.sendall(b"STARTTLS\r\n")
            assert plain.recv(10) == b"OK\r\n"
            with trusting.wrap_socket(plain, server_hostname="localhost") as sock:
                answers = []
                for _ in range(3):
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    answers.append(sock.recv(1000)[-6:])
                return answers

    assert await deferToThread(ask) == [b"secret"] * 3
    await port.stopListening()
    await server.drain(0)
