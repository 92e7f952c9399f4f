"""
TLS on real sockets: between our own ends, and with OpenSSL's tools and Python's ssl module at the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.protocols.haproxy import proxyEndpoint
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import DAY, Authority
from tests.processes import PATIENCE, ROOT, freePort, listening, waitUntil
from tests.support import MemoryPeer, needsTool
from wasinet_twisted.net import (
    BusyError,
    CertificateError,
    CertificateExpired,
    CertificateNameMismatch,
    ConnectFailed,
    ConnectionClosed,
    ConnectionFactory,
    HandshakeFailed,
    InvalidArgument,
    NotSupported,
    TimedOut,
    TlsClient,
    TlsServer,
    UnknownCertificateAuthority,
    UnreadPlaintext,
    WasiTcpConn,
    WasiTcpServer,
    WasiTlsConn,
    connect,
    formatAddress,
)
from wasinet_twisted.net.stream.protocol import ConnectionProtocol

# Twisted's own way of making a context, in the tests of its endpoints.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

reactor: Any = _reactor
LOCAL = "127.0.0.1"
VERSIONS = ["TLSv1.2", "TLSv1.3"]
MEBIBYTE = 1 << 20


class World:
    """
    One authority, and what it has issued for this host.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.certificate = self.authority.issue("localhost", LOCAL)
        self.server = TlsServer(self.certificate)

    @property
    def ca(self) -> Path:
        return self.authority.path

    def listen(self, settings: Any = None) -> WasiTcpServer:
        return WasiTcpServer(SSL4ServerEndpoint(reactor, 0, settings or self.server, interface=LOCAL))

    def connect(self, port: int, **options: Any) -> Deferred[WasiTlsConn]:
        return WasiTlsConn.connect(LOCAL, port, **{"timeout": 5, "caCertificates": self.ca, **options})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("certificates"))


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


async def closeAll(*things: Any) -> None:
    await DeferredList([thing.close() for thing in things])


async def plainPair() -> tuple[WasiTcpServer, WasiTcpConn, WasiTcpConn]:
    """
    A server, and the server's and the client's end of a connection.
    """
    server = WasiTcpServer(0, LOCAL)
    accepting = server.accept(timeout=5)
    ours = await connect(LOCAL, server.local().port)
    return server, await accepting, ours


async def tlsPair(world: World, settings: Any = None, **options: Any) -> tuple[WasiTcpServer, WasiTcpConn, WasiTlsConn]:
    server = world.listen(settings)
    connecting = world.connect(server.local().port, **options)
    theirs = await server.accept(timeout=5)
    await theirs.handshake()
    return server, theirs, await connecting


async def refused(world: World, settings: Any, **options: Any) -> tuple[BaseException, ConnectionClosed]:
    """
    What both ends of a connection are told that can't be.
    """
    server = world.listen(settings)
    connecting = world.connect(server.local().port, **options)
    theirs = await server.accept(timeout=5)
    with pytest.raises(ConnectionClosed) as told:
        await theirs.handshake(timeout=5)
    with pytest.raises(ConnectFailed) as failed:
        await connecting
    # Nothing more comes of it: told once, and then the end.
    with pytest.raises(ConnectionClosed):
        await theirs.read(timeout=5)
    assert await theirs.read() == b""
    await server.close()
    return failed.value, told.value


# Both ends ours


@pytest_twisted.ensureDeferred
async def test_bothEnds(world: World) -> None:
    server, theirs, ours = await tlsPair(world, serverName="localhost")
    assert isinstance(ours, WasiTlsConn)
    assert ours.tls is not None
    assert theirs.tls is not None
    assert (ours.tls.version, ours.tls.alpn) == ("TLSv1.3", None)
    assert ours.tls.cipher == theirs.tls.cipher != ""
    assert (theirs.tls.serverName, theirs.tls.peerCertificate) == ("localhost", None)
    assert ours.tls.peerCertificate is not None
    assert ours.tls.peerCertificate.subject.rfc4514_string() == "CN=localhost"
    # Again, and it is there at once.
    await ours.handshake()
    ours.write("question")
    assert await theirs.read(timeout=5) == b"question"
    data = bytes(range(256)) * 4096 * 3
    writing = theirs.write(data)
    assert await ours.readExactly(len(data), timeout=20) == data
    await writing
    for end in (ours, theirs):
        with pytest.raises(NotSupported):
            end.finish()
    closing = ours.close()
    assert await theirs.read(timeout=5) == b""
    await closing
    await closeAll(theirs, server)


@pytest_twisted.ensureDeferred
async def test_aPlainConnectionHasNoTls() -> None:
    server, theirs, ours = await plainPair()
    assert ours.tls is None
    with pytest.raises(NotSupported, match="not over TLS"):
        ours.handshake()
    await closeAll(theirs, ours, server)


@pytest_twisted.ensureDeferred
async def test_anAddressIsNotSentAsAName(world: World) -> None:
    server, theirs, ours = await tlsPair(world)
    assert theirs.tls is not None
    assert theirs.tls.serverName is None
    await closeAll(ours, theirs, server)


@pytest_twisted.ensureDeferred
async def test_theHandlerStartsBeforeTheHandshake(world: World) -> None:
    """
    What it writes waits for it; L{WasiTcpConn.tls} tells nothing before.
    """
    server = world.listen()
    raw = await connect(LOCAL, server.local().port)
    theirs = await server.accept(timeout=5)
    assert theirs.tls is None
    writing = theirs.write("early")
    with pytest.raises(TimedOut, match="no TLS with 127.0.0.1:"):
        await theirs.handshake(timeout=0.05)
    cancelled = theirs.handshake()
    cancelled.cancel()
    with pytest.raises(CancelledError):
        await cancelled
    assert not writing.called
    # Nothing is lost by either.
    await raw.startTLS(TlsClient("localhost", caCertificates=world.ca))
    await theirs.handshake()
    await writing
    assert await raw.read(timeout=5) == b"early"
    await closeAll(raw, theirs, server)


@pytest_twisted.ensureDeferred
async def test_closedBeforeTheHandshake(world: World) -> None:
    """
    What was written still arrives.
    """
    server = world.listen()
    connecting = world.connect(server.local().port)
    theirs = await server.accept(timeout=5)
    theirs.write("good bye")
    closing = theirs.close()
    ours = await connecting
    assert await ours.read(timeout=5) == b"good bye"
    assert await ours.read(timeout=5) == b""
    await closing
    await theirs.handshake()
    await closeAll(ours, server)
    # If there was nothing, it is over at once.
    server = world.listen()
    raw = await connect(LOCAL, server.local().port)
    theirs = await server.accept(timeout=5)
    shaking = theirs.handshake()
    await theirs.close()
    for _ in range(2):
        with pytest.raises(ConnectionClosed, match="closed by this side"):
            await shaking
        shaking = theirs.handshake()
    with pytest.raises(ConnectionClosed):
        await raw.read(timeout=5)
    await closeAll(raw, server)


@pytest_twisted.ensureDeferred
async def test_twistedsTlsEndpoints(world: World) -> None:
    """
    C{ssl:} and C{tls:} as Twisted has them: the connection comes first, then the handshake.
    """
    listen = f"ssl:0:privateKey={world.certificate}:certKey={world.certificate}:interface={LOCAL}"
    server = WasiTcpServer(listen)
    roots = world.directory / "roots"
    roots.mkdir()
    (roots / "authority.pem").write_bytes(world.authority.pem)
    ours = await connect(
        f"tls:localhost:{server.local().port}:trustRoots={roots}:endpoint=tcp\\:{LOCAL}\\:{server.local().port}"
    )
    theirs = await server.accept(timeout=5)
    await DeferredList([ours.handshake(), theirs.handshake()], fireOnOneErrback=True)
    assert ours.tls is not None
    ours.write("x")
    assert await theirs.read(timeout=5) == b"x"
    await closeAll(ours, theirs)
    # Twisted puts something between TLS and us there.
    ours = await connect(f"ssl:localhost:{server.local().port}:caCertsDir={roots}:hostname=localhost")
    theirs = await server.accept(timeout=5)
    await ours.handshake(timeout=5)
    ours.write("x")
    assert await theirs.read(timeout=5) == b"x"
    await closeAll(ours, theirs)
    port = server.local().port
    ours = await connect(f"tls:wrong.example:{port}:trustRoots={roots}:endpoint=tcp\\:{LOCAL}\\:{port}")
    theirs = await server.accept(timeout=5)
    with pytest.raises(ConnectionClosed):
        await ours.handshake()
    with pytest.raises(ConnectionClosed):
        await theirs.handshake()
    await server.close()


# Certificates that are not accepted


@pytest_twisted.ensureDeferred
async def test_expired(world: World) -> None:
    error, told = await refused(world, TlsServer(world.authority.issue(LOCAL, start=-3 * DAY, end=-2 * DAY)))
    assert isinstance(error, CertificateExpired)
    assert "127.0.0.1:" in str(error)
    assert "has expired: it was valid until 20" in str(error)
    assert str(error).endswith(" UTC")
    assert error.attempts[0][0].startswith("127.0.0.1:")
    assert isinstance(told.__cause__, HandshakeFailed)
    assert "certificate expired" in str(told)


@pytest_twisted.ensureDeferred
async def test_notYetValid(world: World) -> None:
    error, _ = await refused(world, TlsServer(world.authority.issue(LOCAL, start=DAY, end=2 * DAY)))
    assert type(error) is CertificateError
    assert "is not valid yet: it will be from 20" in str(error)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("asked", ["wrong.example", "127.0.0.2", "a.b.good.example"])
async def test_wrongName(world: World, asked: str) -> None:
    settings = TlsServer(world.authority.issue("good.example", "*.good.example", "127.0.0.9"))
    error, _ = await refused(world, settings, serverName=asked)
    assert isinstance(error, CertificateNameMismatch)
    assert f"for {asked!r} was not accepted: it is for good.example, *.good.example, 127.0.0.9" in str(error)
    assert error.names == ("good.example", "*.good.example", "127.0.0.9")


@pytest_twisted.ensureDeferred
async def test_noNameAtAll(world: World) -> None:
    """
    The subject's common name is none (RFC 9525 section 2).
    """
    error, _ = await refused(world, TlsServer(world.authority.issue()), serverName="nobody")
    assert isinstance(error, CertificateNameMismatch)
    assert "it is for nobody: it has no subjectAltName" in str(error)


@pytest_twisted.ensureDeferred
async def test_thousandsOfNames(world: World) -> None:
    settings = TlsServer(world.authority.issue(*(f"{i}.example" for i in range(1000))))
    error, _ = await refused(world, settings)
    assert str(error).endswith("it is for 0.example, 1.example, 2.example, 3.example, 4.example and 995 more")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", ["good.example", "GOOD.example.", "any.good.example"])
async def test_theRightName(world: World, name: str) -> None:
    settings = TlsServer(world.authority.issue("good.example", "*.good.example"))
    server, theirs, ours = await tlsPair(world, settings, serverName=name)
    assert theirs.tls is not None
    assert theirs.tls.serverName == name.rstrip(".").lower()
    await closeAll(ours, theirs, server)


@pytest_twisted.ensureDeferred
async def test_aNameOutsideAscii(world: World) -> None:
    settings = TlsServer(world.authority.issue("xn--bcher-kva.example"))
    server, theirs, ours = await tlsPair(world, settings, serverName="bücher.example")
    await closeAll(ours, theirs, server)


@pytest_twisted.ensureDeferred
async def test_unknownAuthority(world: World, tmp_path: Path) -> None:
    other = Authority(tmp_path, "somebody else")
    error, told = await refused(world, TlsServer(other.issue(LOCAL)))
    assert isinstance(error, UnknownCertificateAuthority)
    assert "CN=somebody else" in str(error)
    assert "unknown ca" in str(told)
    # The system's roots don't hold ours either.
    error, _ = await refused(world, None, caCertificates=None)
    assert isinstance(error, UnknownCertificateAuthority)


@pytest_twisted.ensureDeferred
async def test_selfSigned(world: World) -> None:
    path = world.authority.selfSigned(LOCAL)
    error, _ = await refused(world, TlsServer(path))
    assert isinstance(error, UnknownCertificateAuthority)
    assert "it is self-signed, and not among those that are trusted" in str(error)
    # Whoever names it trusts it; for its names only.
    server, theirs, ours = await tlsPair(world, TlsServer(path), caCertificates=path)
    await closeAll(ours, theirs, server)
    error, _ = await refused(world, TlsServer(path), caCertificates=path, serverName="localhost")
    assert isinstance(error, CertificateNameMismatch)


@pytest_twisted.ensureDeferred
async def test_aChain(world: World, tmp_path: Path) -> None:
    middle = Authority(tmp_path, "the one between", world.authority)
    server, theirs, ours = await tlsPair(world, TlsServer(middle.issue(LOCAL)))
    await closeAll(ours, theirs, server)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("form", ["bytes", "path", "twisted", "several"])
async def test_waysToSayWhomToTrust(world: World, tmp_path: Path, form: str) -> None:
    pem = world.authority.pem
    given: Any = {
        "bytes": pem,
        "path": str(world.ca),
        "twisted": Certificate.loadPEM(pem),
        "several": [Authority(tmp_path, "another").path, pem],
    }[form]
    server, theirs, ours = await tlsPair(world, caCertificates=given)
    await closeAll(ours, theirs, server)


# Certificates of clients


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("form", ["one file", "two files", "twisted"])
async def test_aClientsCertificate(world: World, form: str) -> None:
    path = world.authority.issue("a client")
    given: Any = {
        "one file": path,
        "two files": (path, path),
        "twisted": PrivateCertificate.loadPEM(path.read_bytes()),
    }[form]
    settings = TlsServer(world.certificate, clientCAs=world.ca)
    server, theirs, ours = await tlsPair(world, settings, clientCertificate=given)
    assert theirs.tls is not None
    assert theirs.tls.peerCertificate is not None
    assert theirs.tls.peerCertificate.subject.rfc4514_string() == "CN=a client"
    await closeAll(ours, theirs, server)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("shown", ["none", "expired", "unknown"])
async def test_aClientsCertificateIsRefused(world: World, tmp_path: Path, shown: str) -> None:
    """
    With TLS 1.3 the client's handshake is over before the server has seen its certificate: its first read tells.
    """
    given = {
        "none": None,
        "expired": world.authority.issue("a client", start=-3 * DAY, end=-2 * DAY),
        "unknown": Authority(tmp_path, "somebody else").issue("a client"),
    }[shown]
    server = world.listen(TlsServer(world.certificate, clientCAs=world.ca))
    ours = await world.connect(server.local().port, clientCertificate=given)
    theirs = await server.accept(timeout=5)
    with pytest.raises(ConnectionClosed) as told:
        await theirs.handshake(timeout=5)
    cause = told.value.__cause__
    if shown == "none":
        assert type(cause) is HandshakeFailed
        assert "peer did not return a certificate" in str(told.value)
    else:
        assert isinstance(cause, CertificateExpired if shown == "expired" else UnknownCertificateAuthority)
        assert str(cause).startswith("the certificate of 127.0.0.1:")
    assert theirs.tls is None
    with pytest.raises(ConnectionClosed, match="certificate required|certificate expired|unknown ca"):
        await ours.read(timeout=5)
    assert await ours.read() == b""
    await closeAll(ours, server)


# What isn't TLS, or not ours


@pytest_twisted.ensureDeferred
async def test_aPeerThatDoesNotSpeakTls(world: World) -> None:
    server = WasiTcpServer(0, LOCAL)
    connecting = world.connect(server.local().port)
    theirs = await server.accept(timeout=5)
    theirs.write("220 mail.example\r\n")
    with pytest.raises(HandshakeFailed, match=r"no TLS with 127.0.0.1:\d+: (wrong version number|packet length)"):
        await connecting
    await closeAll(theirs, server)


@pytest_twisted.ensureDeferred
async def test_aPeerThatHangsUp(world: World) -> None:
    server = WasiTcpServer(0, LOCAL)
    connecting = world.connect(server.local().port)
    theirs = await server.accept(timeout=5)
    await theirs.read()
    await theirs.close()
    with pytest.raises(HandshakeFailed, match="the peer has ended the connection"):
        await connecting
    await server.close()


@pytest_twisted.ensureDeferred
async def test_aPeerThatSaysNothing(world: World) -> None:
    server = WasiTcpServer(0, LOCAL)
    port = server.local().port
    connecting = world.connect(port, timeout=0.2)
    theirs = await server.accept(timeout=5)
    with pytest.raises(TimedOut, match=f"no TLS with 127.0.0.1:{port} in 0.2 s"):
        await connecting
    with pytest.raises(ConnectionClosed):
        await theirs.readToEnd(100000, timeout=5)
    # Nor does it hang when given up.
    connecting = world.connect(port)
    theirs = await server.accept(timeout=5)
    await theirs.read(timeout=5)
    connecting.cancel()
    with pytest.raises(CancelledError):
        await connecting
    with pytest.raises(ConnectionClosed):
        await theirs.read(timeout=5)
    await server.close()
    with pytest.raises(ConnectFailed, match=f"127.0.0.1:{port}"):
        await world.connect(port)


@pytest_twisted.ensureDeferred
async def test_aClientThatDoesNotSpeakTls(world: World) -> None:
    server = world.listen()
    ours = await connect(LOCAL, server.local().port)
    theirs = await server.accept(timeout=5)
    ours.write("GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ConnectionClosed, match="http request") as told:
        await theirs.read(timeout=5)
    assert isinstance(told.value.__cause__, HandshakeFailed)
    assert await theirs.read() == b""
    await closeAll(ours, server)


# Application protocols


@pytest_twisted.ensureDeferred
async def test_alpn(world: World) -> None:
    settings = TlsServer(world.certificate, alpn=["h2", "http/1.1"])
    for offered, agreed in [(["http/1.1"], "http/1.1"), (["http/1.1", "h2"], "h2"), ([], None)]:
        server, theirs, ours = await tlsPair(world, settings, alpn=offered)
        assert ours.tls is not None
        assert theirs.tls is not None
        assert ours.tls.alpn == theirs.tls.alpn == agreed
        await closeAll(ours, theirs, server)
    error, told = await refused(world, settings, alpn=["smtp"])
    assert type(error) is HandshakeFailed
    assert "no application protocol" in str(error)
    assert "'smtp' offered, not 'h2', 'http/1.1'" in str(told)


async def greet(conn: WasiTcpConn) -> None:
    with contextlib.suppress(ConnectionClosed):
        await conn.handshake()
        await conn.write("hello")


@pytest_twisted.ensureDeferred
async def test_whoNamesNoApplicationProtocolTakesAnyClient(world: World) -> None:
    """
    Over Twisted's C{ssl:} endpoints too, and whoever else uses their context is answered as before.
    """
    listen = f"ssl:0:privateKey={world.certificate}:certKey={world.certificate}:interface={LOCAL}"
    private = PrivateCertificate.loadPEM(world.certificate.read_bytes()).options()
    for _ in range(2):
        for endpoint in (
            serverFromString(reactor, listen),
            SSL4ServerEndpoint(reactor, 0, private, interface=LOCAL),
            SSL4ServerEndpoint(reactor, 0, world.server, interface=LOCAL),
        ):
            port = await endpoint.listen(ConnectionFactory(greet))
            ours = await world.connect(port.getHost().port, alpn=["h2"])
            assert ours.tls is not None
            assert ours.tls.alpn is None
            assert await ours.readExactly(5, timeout=5) == b"hello"
            await ours.close()
            await port.stopListening()
    server = WasiTcpServer(listen)
    ours = await world.connect(server.local().port, alpn=["h2"])
    theirs = await server.accept()
    await closeAll(ours, theirs, server)
    # The same context, with names.
    port = await SSL4ServerEndpoint(reactor, 0, private, interface=LOCAL).listen(ConnectionFactory(greet, alpn=["a"]))
    ours = await world.connect(port.getHost().port, alpn=["b", "a"])
    assert ours.tls is not None
    assert ours.tls.alpn == "a"
    await ours.close()
    with pytest.raises(HandshakeFailed):
        await world.connect(port.getHost().port, alpn=["b"])
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_namesOfTheContextStay(world: World) -> None:
    """
    They need not be the factory's.
    """
    private = PrivateCertificate.loadPEM(world.certificate.read_bytes())
    options = CertificateOptions(
        privateKey=private.privateKey.original, certificate=private.original, acceptableProtocols=[b"h2"]
    )
    port = await SSL4ServerEndpoint(reactor, 0, options, interface=LOCAL).listen(ConnectionFactory(greet))
    ours = await world.connect(port.getHost().port, alpn=["smtp", "h2"])
    assert ours.tls is not None
    assert ours.tls.alpn == "h2"
    await ours.close()
    with pytest.raises(HandshakeFailed):
        await world.connect(port.getHost().port, alpn=["smtp"])
    await port.stopListening()


# From plain to TLS


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("exchanged", [False, True])
async def test_startTLS(world: World, exchanged: bool) -> None:
    """
    Either side may be TLS's client, whoever has connected; and what was written before goes first, as it is.
    """
    server, accepted, connected = await plainPair()
    client, host = (accepted, connected) if exchanged else (connected, accepted)
    client.write("STARTTLS\n")
    assert await host.readLine(timeout=5) == b"STARTTLS\n"
    host.write("go ahead\n")
    shaking = host.startTLS(TlsServer(world.certificate, alpn=["smtp"]))
    assert host.tls is None
    assert await client.readLine(timeout=5) == b"go ahead\n"
    await client.startTLS(TlsClient("localhost", caCertificates=world.ca, alpn=["smtp"]))
    await shaking
    assert client.tls is not None
    assert host.tls is not None
    assert (client.tls.alpn, host.tls.alpn, host.tls.serverName) == ("smtp", "smtp", "localhost")
    assert type(client) is WasiTcpConn
    client.write("secret")
    assert await host.read(timeout=5) == b"secret"
    with pytest.raises(NotSupported):
        client.finish()
    closing = client.close()
    assert await host.read(timeout=5) == b""
    await closing
    with pytest.raises(ConnectionClosed):
        client.startTLS(TlsClient("localhost"))
    await closeAll(host, server)


@pytest_twisted.ensureDeferred
async def test_whatWasNotSentYetGoesFirst(world: World) -> None:
    """
    However much it is, and whoever waits for it.
    """
    server, host, client = await plainPair()
    data = bytes(range(256)) * 63 * 1024
    writing = host.write(data)
    assert not writing.called
    shaking = host.startTLS(world.server)
    late = host.write("secret")
    await sleep(0.05)
    assert not late.called
    assert await client.readExactly(len(data), timeout=20) == data
    await client.startTLS(TlsClient(LOCAL, caCertificates=world.ca))
    await shaking
    await writing
    await late
    assert await client.read(timeout=5) == b"secret"
    # And flow control goes on, in both directions.
    for end, other in ((host, client), (client, host)):
        writing = end.write(data)
        await sleep(0.05)
        assert not writing.called
        assert await other.readExactly(len(data), timeout=20) == data
        await writing
    await closeAll(host, client, server)


@pytest_twisted.ensureDeferred
async def test_overAUnixSocket(world: World, tmp_path: Path) -> None:
    server = WasiTcpServer(f"unix:{tmp_path}/s")
    client = await connect(f"unix:{tmp_path}/s")
    host = await server.accept(timeout=5)
    shaking = host.startTLS(world.server)
    await client.startTLS(TlsClient("localhost", caCertificates=world.ca))
    await shaking
    client.write("x")
    assert await host.read(timeout=5) == b"x"
    await closeAll(client, host, server)


@pytest_twisted.ensureDeferred
async def test_plaintextIsNotTakenOver(world: World) -> None:
    """
    What somebody on the way has put behind the command doesn't come to be read as if it had been enciphered.
    """
    server, host, client = await plainPair()
    client.write("STARTTLS\nMAIL FROM:<mallory@example>\n")
    assert await host.readLine(timeout=5) == b"STARTTLS\n"
    with pytest.raises(UnreadPlaintext, match="28 bytes have come in the clear from 127.0.0.1:"):
        host.startTLS(world.server)
    # It is still there, and the connection is what it was.
    assert host.tls is None
    assert await host.readLine(timeout=5) == b"MAIL FROM:<mallory@example>\n"
    host.unread(b"x")
    with pytest.raises(UnreadPlaintext, match="1 bytes"):
        host.startTLS(world.server)
    await host.read()
    # What comes after the switch is no TLS.
    shaking = host.startTLS(world.server)
    client.write("MAIL FROM:<mallory@example>\n")
    with pytest.raises(HandshakeFailed):
        await shaking
    with pytest.raises(ConnectionClosed):
        await host.read()
    assert await host.read() == b""
    await closeAll(client, host, server)


@pytest_twisted.ensureDeferred
async def test_startTLSIsRefused(world: World) -> None:
    server, host, client = await plainPair()
    reading = host.read()
    with pytest.raises(BusyError, match="while a read"):
        host.startTLS(world.server)
    client.write("x")
    assert await reading == b"x"
    with pytest.raises(InvalidArgument, match="a TlsClient or a TlsServer, not 'localhost'"):
        host.startTLS("localhost")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="timeout"):
        host.startTLS(world.server, timeout=-1)
    await client.finish()
    assert await host.read(timeout=5) == b""
    for end in (host, client):
        with pytest.raises(ConnectionClosed, match="after the connection with .* was closed"):
            end.startTLS(world.server)
    await closeAll(client, host, server)


@pytest_twisted.ensureDeferred
async def test_startTLSWithACertificateThatIsNotAccepted(world: World) -> None:
    server, host, client = await plainPair()
    shaking = host.startTLS(TlsServer(world.authority.issue("good.example")))
    with pytest.raises(CertificateNameMismatch, match="it is for good.example"):
        await client.startTLS(TlsClient("wrong.example", caCertificates=world.ca))
    with pytest.raises(ConnectionClosed, match="it is for good.example") as told:
        await client.read()
    assert isinstance(told.value.__cause__, CertificateNameMismatch)
    with pytest.raises(HandshakeFailed):
        await shaking
    await closeAll(client, host, server)


@pytest_twisted.ensureDeferred
async def test_startTLSThatDoesNotComeToAnEnd(world: World) -> None:
    """
    Neither plaintext nor TLS can go on then.
    """
    for cancels in (False, True):
        server, host, client = await plainPair()
        shaking = host.startTLS(world.server, timeout=5 if cancels else 0.1)
        if cancels:
            shaking.cancel()
        with pytest.raises(CancelledError if cancels else TimedOut):
            await shaking
        with pytest.raises(ConnectionClosed):
            await client.read(timeout=5)
        await closeAll(client, host, server)


@pytest_twisted.ensureDeferred
async def test_aHandleThatNobodyHolds(world: World) -> None:
    """
    Dropped after the handshake, it closes; during one, it is held by who waits.
    """
    server, theirs, ours = await tlsPair(world)
    ours.write("last words")
    del ours
    assert await theirs.read(timeout=5) == b"last words"
    assert await theirs.read(timeout=5) == b""
    raw = await connect(LOCAL, server.local().port)
    dropped = await server.accept(timeout=5)
    shaking = dropped.handshake()
    del dropped
    await raw.startTLS(TlsClient(LOCAL, caCertificates=world.ca))
    await shaking
    del shaking
    assert await raw.read(timeout=5) == b""
    await closeAll(theirs, raw, server)


# Flow control


def queued(conn: WasiTcpConn) -> int:
    """
    How many bytes of a connection's output are in our memory.
    """
    tls: Any = conn._protocol.tls
    beneath = tls._tls.transport
    held = sum(len(piece) for piece in (tls._held or [])) + sum(len(piece) for piece in tls._tls._appSendBuffer)
    small = sum(len(piece) for piece in tls._tls._aggregator._buffer)
    return held + small + len(beneath.dataBuffer) - beneath.offset + beneath._tempDataLen


async def pour(conn: WasiTcpConn, size: int, total: int, most: list[int]) -> None:
    for _ in range(total // size):
        await conn.write(bytes(size))
        most.append(queued(conn))


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("early", [False, True])
async def test_aStalledReceiverHoldsBackTheSender(world: World, size: int, early: bool) -> None:
    """
    Whether the first write was made before the handshake has ended or after it.
    """
    server = world.listen()
    connecting = world.connect(server.local().port)
    theirs = await server.accept(timeout=5)
    first = b"x" * (8 * MEBIBYTE)
    if early:
        writing = theirs.write(first)
        ours = await connecting
    else:
        ours = await connecting
        await theirs.handshake()
        writing = theirs.write(first)
    await theirs.handshake()
    await sleep(0.1)
    # The peer's side has taken what it buffers; the rest is with us, and nobody is told otherwise.
    assert not writing.called
    assert queued(theirs) > MEBIBYTE
    assert await ours.readExactly(len(first), timeout=20) == first
    await writing
    most = [0]
    pouring = ensureDeferred(pour(theirs, size, 32 * MEBIBYTE, most))
    await sleep(0.3)
    assert not pouring.called
    assert max(most) < MEBIBYTE
    left = 32 * MEBIBYTE // size * size
    while left:
        left -= len(await ours.read(timeout=5))
    await pouring
    assert max(most) < MEBIBYTE
    await closeAll(ours, theirs, server)


@pytest_twisted.ensureDeferred
async def test_unawaitedWritesAreBounded(world: World, loggedErrors: Callable[[], list[str]]) -> None:
    """
    Before the handshake as after it: else a client that never begins one would have us keep all.
    """
    server = world.listen()
    raw = await connect(LOCAL, server.local().port)
    theirs = await server.accept(timeout=5)
    for _ in range(16):
        theirs.write(bytes(MEBIBYTE))
    theirs.write(b"x")
    with pytest.raises(ConnectionClosed):
        await raw.read(timeout=5)
    assert "the bound is 16777216" in " ".join(loggedErrors())
    await closeAll(theirs, raw, server)


@pytest_twisted.ensureDeferred
async def test_aFastSenderIsHeldBack(world: World) -> None:
    server, theirs, ours = await tlsPair(world)
    writing = ours.write(bytes(32 * MEBIBYTE))
    await sleep(0.2)
    assert not writing.called
    assert theirs._protocol.unreadBytes() < MEBIBYTE
    await theirs.readExactly(32 * MEBIBYTE, timeout=20)
    await writing
    await closeAll(ours, theirs, server)


@pytest_twisted.ensureDeferred
async def test_aStalledReceiverThatEnds(world: World) -> None:
    """
    Its close_notify comes while we are held back. When it takes what is on its way, the connection ends; it doesn't
    stay for ever, and swallow what is written.
    """
    server = world.listen()
    port = server.local().port
    context = ssl.create_default_context(cafile=str(world.ca))

    def peer() -> int:
        with socket.create_connection((LOCAL, port), PATIENCE) as raw:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.unwrap()
            time.sleep(0.3)
            raw.sendall(outgoing.read())
            time.sleep(0.3)
            taken = 0
            while data := raw.recv(65536):
                taken += len(data)
            return taken

    talking = deferToThread(peer)
    theirs = await server.accept(timeout=5)
    writing = theirs.write(bytes(16 * MEBIBYTE))
    assert await talking > 16 * MEBIBYTE
    await theirs.whenClosed()
    assert writing.called
    assert await theirs.read(timeout=5) == b""
    await server.close()


# Somebody else at the other end


class Tool:
    """
    A program of openssl's that is talked to by its standard input and output.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [needsTool("openssl"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    async def printed(self, until: bytes) -> bytes:
        """
        What it prints, up to something.
        """
        assert self.process.stdout is not None
        read = self.process.stdout.fileno()

        def gather() -> bytes:
            got = b""
            while until not in got and (more := os.read(read, 65536)):
                got += more
            return got

        got = await deferToThread(gather).addTimeout(PATIENCE, reactor)
        assert until in got, got
        return got

    def __enter__(self) -> Tool:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def flag(version: str) -> str:
    return "-" + version.replace("TLSv", "tls").replace(".", "_")


async def ended(conn: WasiTcpConn, properly: bool) -> None:
    """
    Hold a connection to how its stream has ended: close_notify is an end, TCP's alone is none.
    """
    if not properly:
        with pytest.raises(ConnectionClosed, match="without TLS's close_notify"):
            await conn.read(timeout=5)
    assert await conn.read(timeout=5) == b""
    assert await conn.read(timeout=5) == b""


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("properly", [True, False])
async def test_anOpensslClient(world: World, version: str, properly: bool) -> None:
    server = world.listen(TlsServer(world.certificate, alpn=["echo"]))
    where = f"{LOCAL}:{server.local().port}"
    verify = [
        "-verify_return_error",
        "-CAfile",
        str(world.ca),
        "-servername",
        "localhost",
        "-verify_hostname",
        "localhost",
    ]
    with Tool("s_client", "-connect", where, flag(version), "-alpn", "other,echo", *verify) as client:
        conn = await server.accept(timeout=5)
        await conn.handshake(timeout=5)
        assert conn.tls is not None
        assert (conn.tls.version, conn.tls.alpn, conn.tls.serverName) == (version, "echo", "localhost")
        client.send(b"hello\n")
        assert await conn.readLine(timeout=5) == b"hello\n"
        await conn.write("from us\n")
        assert b"ALPN protocol: echo" in await client.printed(b"from us\n")
        if properly:
            client.send(b"Q\n")
        else:
            client.process.kill()
        await ended(conn, properly)
    await closeAll(conn, server)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("properly", [True, False])
async def test_anOpensslServer(world: World, version: str, properly: bool) -> None:
    port = freePort()
    identity = ["-cert", str(world.certificate), "-key", str(world.certificate)]
    listen = ["-accept", f"{LOCAL}:{port}", flag(version), "-alpn", "echo", *identity]
    # Of its modes this is the one that ends with a close_notify.
    with Tool("s_server", *listen, "-rev") as server:
        await deferToThread(waitUntil, lambda: listening(port), "listening")
        conn = await world.connect(port, alpn=["other", "echo"])
        assert conn.tls is not None
        assert (conn.tls.version, conn.tls.alpn) == (version, "echo")
        await conn.write("hello\n")
        assert await conn.readLine(timeout=5) == b"olleh\n"
        if properly:
            await conn.write("CLOSE\n")
        else:
            server.process.kill()
        await ended(conn, properly)
    await conn.close()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("version", VERSIONS)
async def test_closeNotifyIsSent(world: World, version: str) -> None:
    """
    By close(), which doesn't wait for an answer any longer than it has been told to.
    """
    port = freePort()
    identity = ["-cert", str(world.certificate), "-key", str(world.certificate)]
    with Tool("s_server", "-accept", f"{LOCAL}:{port}", flag(version), "-msg", *identity) as server:
        await server.printed(b"ACCEPT")
        conn = await world.connect(port)
        await conn.close(timeout=5)
        await server.printed(b"close_notify")
        conn = await world.connect(port)
        await conn.write("x\n")
        await server.printed(b"x\n")
        server.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        await conn.close(timeout=0.3)
        assert 0.2 < time.monotonic() - started < 3


@pytest_twisted.ensureDeferred
async def test_noVersionInCommon(world: World) -> None:
    server = world.listen()
    old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    with Tool("s_client", "-connect", f"{LOCAL}:{server.local().port}", *old):
        conn = await server.accept(timeout=5)
        with pytest.raises(ConnectionClosed, match="unsupported protocol") as told:
            await conn.handshake(timeout=5)
        assert isinstance(told.value.__cause__, HandshakeFailed)
    await server.close()


@pytest_twisted.ensureDeferred
async def test_startTLSWithAnOpensslClient(world: World) -> None:
    """
    As mail servers have it (RFC 3207).
    """
    server = WasiTcpServer(0, LOCAL)
    with Tool(
        "s_client", "-connect", f"{LOCAL}:{server.local().port}", "-starttls", "smtp", "-CAfile", str(world.ca)
    ) as client:
        conn = await server.accept(timeout=5)
        conn.write("220 mail.example ESMTP\r\n")
        assert (await conn.readLine(timeout=5)).startswith(b"EHLO ")
        conn.write("250-mail.example\r\n250 STARTTLS\r\n")
        assert await conn.readLine(timeout=5) == b"STARTTLS\r\n"
        conn.write("220 go ahead\r\n")
        await conn.startTLS(world.server, timeout=5)
        assert b"Verify return code: 0 (ok)" in await client.printed(b"Verify return code: 0")
        client.send(b"NOOP\n")
        assert (await conn.readLine(timeout=5)).rstrip() == b"NOOP"
        client.send(b"Q\n")
        assert await conn.readToEnd(1000, timeout=5) == b""
    await closeAll(conn, server)


@pytest_twisted.ensureDeferred
async def test_anAsyncioClient(world: World) -> None:
    server = world.listen(TlsServer(world.certificate, clientCAs=world.ca))
    port = server.local().port
    context = ssl.create_default_context(cafile=str(world.ca))
    # Python 3.13's default.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(world.authority.issue("asyncio"))
    data = os.urandom(MEBIBYTE)

    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection(LOCAL, port, ssl=context, server_hostname="localhost")
        writer.write(data)
        await writer.drain()
        answer = await reader.readexactly(len(data))
        writer.close()
        await writer.wait_closed()
        return answer

    talking = deferToThread(asyncio.run, talk())
    conn = await server.accept(timeout=5)
    try:
        received = await conn.readExactly(len(data), timeout=20)
        await conn.write(received)
        assert await conn.read(timeout=5) == b""
    finally:
        # Ends the client's thread too, should it still wait for us.
        conn.abort()
        got = await talking
    assert got == data
    assert conn.tls is not None
    assert conn.tls.peerCertificate is not None
    assert conn.tls.peerCertificate.subject.rfc4514_string() == "CN=asyncio"
    await closeAll(conn, server)


@pytest_twisted.ensureDeferred
async def test_anAsyncioServer(world: World) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(world.ca))
    context.load_cert_chain(world.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    port = freePort()
    listens = threading.Event()
    # Ends the server's thread: the interpreter would wait for it at its own end.
    stops: list[Callable[[], object]] = []

    async def serve() -> None:
        done = asyncio.Event()
        stops.append(partial(asyncio.get_running_loop().call_soon_threadsafe, done.set))

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            done.set()

        async with await asyncio.start_server(echo, LOCAL, port, ssl=context):
            listens.set()
            await done.wait()

    serving = deferToThread(asyncio.run, serve())
    await deferToThread(listens.wait, PATIENCE)
    try:
        conn = await world.connect(port, clientCertificate=world.authority.issue("wasinet"))
        try:
            data = os.urandom(MEBIBYTE)
            writing = conn.write(data)
            assert await conn.readExactly(len(data), timeout=20) == data
            await writing
            await conn.close(timeout=5)
        finally:
            conn.abort()
    finally:
        # The loop is closed once it has ended by itself.
        with contextlib.suppress(RuntimeError):
            stops[0]()
        await serving


# What can't be used


def test_settingsThatCantBeUsed(world: World, tmp_path: Path) -> None:
    missing, empty, locked = tmp_path / "missing.pem", tmp_path / "empty.pem", tmp_path / "locked.pem"
    empty.write_text("nothing")
    key = load_pem_private_key(world.certificate.read_bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    other = world.authority.issue("other")
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: TlsServer(missing), "certificate: can't read '.*missing.pem': No such file or directory"),
        (lambda: TlsServer(empty), "certificate: no PEM certificate in '.*empty.pem'"),
        (lambda: TlsServer(world.ca), "certificate: no PEM private key in .*authority.pem"),
        (lambda: TlsServer(world.certificate, locked), "the private key in '.*locked.pem' needs a passphrase"),
        (lambda: TlsServer(world.certificate, other), "the private key is not that of the certificate 'CN=localhost'"),
        (lambda: TlsServer(world.certificate, clientCAs=[]), r"clientCAs must be a path, .*, not \[\]"),
        (lambda: TlsServer(world.certificate, alpn="h2"), "alpn must be a sequence of names .*, not 'h2'"),
        (lambda: TlsServer(world.certificate, alpn=[""]), "must be 1 to 255 ASCII characters, not ''"),
        (lambda: TlsServer(17), "certificate must be the path of a PEM file, not 17"),
        (lambda: TlsClient("x", alpn=["x" * 256]), "must be 1 to 255 ASCII characters"),
        (lambda: TlsClient("x", caCertificates=empty), "caCertificates: no PEM certificate in '.*empty.pem'"),
        (lambda: TlsClient("x", caCertificates=b""), "caCertificates: no PEM certificate in what was given"),
        (lambda: TlsClient("x", clientCertificate=world.ca), "clientCertificate: no PEM private key"),
        (lambda: TlsClient(""), "serverName must be a host's name or IP address, not ''"),
        (lambda: TlsClient("a b"), "serverName 'a b' is no host's name"),
        (lambda: TlsClient("x:1"), "serverName 'x:1' is no host's name"),
        (lambda: WasiTlsConn.connect("", 1), "serverName must be"),
        (lambda: WasiTlsConn.connect("x", 0), "a port must be a whole number from 1 to 65535, not 0"),
        (lambda: WasiTlsConn.connect("x", 1, -1), "timeout must be"),
    ]
    for use, message in cases:
        with pytest.raises(InvalidArgument, match=message):
            use()


def test_withoutTheExtra() -> None:
    """
    All else works, and what needs it says in one line what to install.
    """
    code = """
import sys
for name in ("OpenSSL", "service_identity", "cryptography"):
    sys.modules[name] = None
from wasinet_twisted import net
for use in (
    lambda: net.WasiTlsConn.connect("localhost", 1),
    lambda: net.TlsClient("localhost"),
    lambda: net.TlsServer("certificate.pem"),
):
    try:
        use()
    except net.NotSupported as error:
        print(error)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    line = "TLS needs the extra: pip install 'wasinet_twisted[tls]'\n"
    assert (answer.stdout, answer.stderr) == (line * 3, "")


def test_nothingOfOursLoadsOpenssl() -> None:
    """
    Twisted's endpoints do where it is installed; but we ask for nothing before TLS is used.
    """
    code = """
import sys
import twisted.internet.endpoints
def loaded():
    return [name for name in sys.modules if name.split(".")[0] in ("OpenSSL", "service_identity", "cryptography")]
for name in loaded():
    del sys.modules[name]
import wasinet_twisted.net
print(loaded())
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (answer.stdout, answer.stderr) == ("[]\n", "")


def test_theDocumentationsProgram(world: World) -> None:
    page = (ROOT / "docs" / "sockets.md").read_text(encoding="utf-8")
    (program,) = [block for block in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S) if "startTLS" in block]
    command = [sys.executable, "-c", program, str(world.certificate)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert answer.stderr == ""
    assert answer.stdout == "TLSv1.3\n"


@pytest_twisted.ensureDeferred
async def test_behindAProxyHeaderThatIsEncryptedToo(world: World) -> None:
    """
    C{haproxy:ssl:} in Twisted: the header comes by TLS. What is known of TLS is known here as well.
    """

    async def handler(conn: WasiTcpConn) -> None:
        seen.append((formatAddress(conn.peer()), conn.tls))
        await conn.handshake(timeout=5)
        await conn.write(bytes(3_000_000))

    seen: list[Any] = []
    endpoint = proxyEndpoint(SSL4ServerEndpoint(reactor, 0, world.server, interface=LOCAL))
    server = WasiTcpServer(endpoint, maxConnections=1)
    serving = server.serveForever(handler)
    conn = await world.connect(server.local().port)
    conn.write(b"PROXY TCP4 203.0.113.9 198.51.100.1 40001 443\r\n")
    assert len(await conn.readToEnd(4_000_000, timeout=10)) == 3_000_000
    assert seen[0][0] == "203.0.113.9:40001"
    assert seen[0][1].version == "TLSv1.3"
    await conn.close()
    await server.close()
    await serving


@pytest_twisted.ensureDeferred
async def test_exactlySoManyAreAccepted(world: World) -> None:
    """
    The gate stands before the socket, whatever is spoken behind it.
    """
    seen = []

    async def handler(conn: WasiTcpConn) -> None:
        seen.append(conn)
        async for data in conn:
            await conn.write(data)

    endpoint = SSL4ServerEndpoint(reactor, 0, world.server, backlog=1024, interface=LOCAL)
    server = WasiTcpServer(endpoint, maxConnections=3)
    serving = server.serveForever(handler)
    port = server.local().port
    waiting = [world.connect(port) for _ in range(6)]
    conns = [await each for each in waiting[:3]]
    for conn in conns:
        await conn.write(b"x")
        assert await conn.read(timeout=5) == b"x"
    await sleep(0.1)
    assert len(seen) == 3
    assert not any(each.called for each in waiting[3:])
    await conns[0].close()
    conns.append(await waiting[3])
    await sleep(0.1)
    assert len(seen) == 4
    for conn in conns:
        await conn.close()
    for each in waiting[4:]:
        await (await each).close()
    await server.close()
    await serving


class TimeTests(SynchronousTestCase):
    """
    Against a peer that says nothing, with a clock.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.conns: list[WasiTcpConn] = []

    async def _keep(self, conn: WasiTcpConn) -> None:
        self.conns.append(conn)
        await conn.whenClosed()

    def _conn(self) -> tuple[WasiTcpConn, MemoryPeer]:
        peer = MemoryPeer(self._keep, self.clock)
        return self.conns.pop(), peer

    def test_timeout(self) -> None:
        """
        30 seconds, or what it is told; then the connection is reset.
        """
        for given, seconds in ((None, 30), (3, 3), (0, 0)):
            conn, peer = self._conn()
            shaking = conn.startTLS(TlsClient("localhost"), timeout=given)
            hello = peer.take()
            self.assertEqual(hello[:2], b"\x16\x03")
            if seconds:
                self.clock.advance(seconds - 0.01)
                self.assertNoResult(shaking)
            self.clock.advance(0.01)
            self.assertEqual(
                str(self.failureResultOf(shaking, TimedOut).value),
                f"timed out: no TLS with 192.0.2.1:40000 in {seconds} s",
            )
            self.assertTrue(peer.aborted)
            self.assertIn(peer.take(), (b"", hello))
            peer.reset()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theTransportCant(self) -> None:
        protocol = ConnectionProtocol(self.clock)
        transport = StringTransport()
        protocol.makeConnection(transport)
        conn = WasiTcpConn(protocol)
        with self.assertRaisesRegex(NotSupported, "StringTransport can't switch to TLS"):
            conn.startTLS(TlsClient("localhost"))
        conn.write("plain")
        self.assertEqual(transport.value(), b"plain")
        protocol.connectionLost()

    def test_waitersMayEndEachOther(self) -> None:
        conn, peer = self._conn()
        shaking = conn.startTLS(TlsClient("localhost"))
        first, second = conn.handshake(), conn.handshake()
        first.addErrback(lambda _: second.cancel())
        shaking.addErrback(lambda _: None)
        gone = conn.whenClosed()
        peer.reset()
        self.failureResultOf(second, CancelledError)
        self.successResultOf(gone)

    def test_lostDuringTheHandshake(self) -> None:
        conn, peer = self._conn()
        shaking, other = conn.startTLS(TlsClient("localhost")), conn.handshake()
        peer.reset()
        self.failureResultOf(shaking, HandshakeFailed)
        self.assertIsInstance(self.failureResultOf(other, ConnectionClosed).value.__cause__, HandshakeFailed)
        self.failureResultOf(conn.handshake(), ConnectionClosed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
