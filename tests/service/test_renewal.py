"""
Certificates of C{ssl:} endpoints, and their renewal while the server runs.
"""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent

from tests.certificates import Authority
from tests.processes import PATIENCE, Process, freePort, run, running
from tests.service.support import POST, TWISTD, body, ended, write
from wasinet_twisted.net.server.endpoints import endpointFromString
from wasinet_twisted.service.certificates import withCertificates

KEEPING = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"


class Site:
    """
    What certbot keeps: the certificate, with those it rests on, and its key, in files that are replaced.
    """

    def __init__(self, directory: Path) -> None:
        self.root = Authority(directory, "root")
        self.intermediate = Authority(directory, "intermediate", self.root)
        self.chain = directory / "fullchain.pem"
        self.key = directory / "privkey.pem"
        self.renew()

    def renew(self) -> None:
        shutil.copy(self.intermediate.issue("localhost"), self.chain)
        shutil.copy(self.chain, self.key)

    def endpoint(self, port: int, more: str = "") -> str:
        return f"ssl:{port}:certKey={self.chain}:privateKey={self.key}:interface=127.0.0.1{more}"

    def connect(self, port: int) -> ssl.SSLSocket:
        """
        A client that trusts the root only.
        """
        context = ssl.create_default_context(cafile=str(self.root.path))
        context.set_alpn_protocols(["h2", "http/1.1"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        return context.wrap_socket(plain, server_hostname="localhost")


def serialOf(client: ssl.SSLSocket) -> str:
    certificate = client.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@contextmanager
def secure(site: Site, directory: Path, more: str = "") -> Iterator[tuple[Process, int]]:
    write(directory)
    port = freePort()
    with running([*TWISTD, "--app", "app:handler", "--listen", site.endpoint(port, more)], directory) as process:
        process.waitForPorts(port)
        yield process, port


def test_serves(site: Site, tmp_path: Path) -> None:
    """
    The certificate is sent with its chain, and HTTP/1.1 is agreed to.
    """
    with secure(site, tmp_path) as (process, port):
        with site.connect(port) as client:
            assert client.selected_alpn_protocol() == "http/1.1"
            client.sendall(POST)
            with client.makefile("rb") as answer:
                assert body(answer.read()) == b"one:WasmEdge"
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)


def test_renewal(site: Site, tmp_path: Path) -> None:
    """
    New connections have the new certificate; those that are there go on.
    """
    with secure(site, tmp_path) as (process, port), site.connect(port) as before:
        site.renew()
        process.process.send_signal(signal.SIGHUP)
        process.waitForOutput("the certificate is renewed, valid until ")
        with site.connect(port) as after:
            assert serialOf(after) != serialOf(before)
            for client in (before, after):
                client.sendall(KEEPING)
                assert client.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("breaking", "why"),
    [
        (lambda site: site.chain.write_text("nonsense"), "no PEM certificate in "),
        (lambda site: site.chain.unlink(), "can't read "),
        (lambda site: site.key.write_text("nonsense"), "no PEM private key in "),
        (lambda site: shutil.copy(site.root.issue("x"), site.chain), "the private key is not that of the certificate"),
    ],
    ids=["nonsense", "missing", "no-key", "another-key"],
)
def test_brokenRenewal(site: Site, tmp_path: Path, breaking: object, why: str) -> None:
    """
    The old certificate stays, one line says so, and the next renewal is taken.
    """
    with secure(site, tmp_path) as (process, port):
        with site.connect(port) as client:
            before = serialOf(client)
        breaking(site)
        process.process.send_signal(signal.SIGHUP)
        process.waitForOutput("the old certificate stays in use: ")
        (line,) = [line for line in process.stdout().splitlines() if "stays in use" in line]
        assert why in line
        assert "Traceback" not in process.stdout()
        with site.connect(port) as client:
            assert serialOf(client) == before
        site.renew()
        process.process.send_signal(signal.SIGHUP)
        process.waitForOutput("the certificate is renewed")
        with site.connect(port) as client:
            assert serialOf(client) != before


def test_aKeyOfAnother(site: Site, tmp_path: Path) -> None:
    """
    At the start that ends it, rather than each handshake later.
    """
    write(tmp_path)
    shutil.copy(site.root.issue("localhost"), site.key)
    process = run([*TWISTD, "--app", "app:handler", "--listen", site.endpoint(freePort())], tmp_path)
    assert process.process.returncode == 1
    assert "the private key is not that of the certificate 'CN=localhost'" in process.stderr()
    assert len(process.stderr().splitlines()) == 1


def test_aChainOfItsOwn(site: Site, tmp_path: Path) -> None:
    chain = shutil.copy(site.intermediate.path, tmp_path / "chain.pem")
    # The leaf alone.
    pem = site.chain.read_text()
    end = "-----END CERTIFICATE-----\n"
    site.chain.write_text(pem.partition(end)[0] + end)
    with secure(site, tmp_path, f":extraCertChain={chain}") as (_, port), site.connect(port) as client:
        client.sendall(KEEPING)
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_whatIsNotOurs(site: Site) -> None:
    """
    Other endpoints are left alone, and so is what only Twisted's TLS knows.
    """
    reactor = MemoryReactorClock()
    # Twisted doesn't look into this file before the first handshake.
    for text in ("tcp:0", "haproxy:tcp:0", site.endpoint(0, f":dhParameters={site.key}")):
        assert withCertificates(endpointFromString(reactor, text), text, []) is None


def test_everyWayToNameThem(site: Site) -> None:
    """
    By place, by name, one file for both, behind PROXY headers.
    """
    reactor = MemoryReactorClock()
    for text in (f"ssl:0:{site.key}:{site.chain}", f"ssl:0:{site.key}", f"haproxy:ssl:0:privateKey={site.key}"):
        certificates = withCertificates(endpointFromString(reactor, text), text, ["http/1.1"])
        assert certificates is not None
        with capturedLogs() as events:
            certificates.reload()
        (event,) = events
        assert formatEvent(event).startswith(f"{text}: the certificate is renewed, valid until 2")
