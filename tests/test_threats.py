"""
Attacks that belong to no room alone, and that each test that C{docs/threats.md} names is there.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEventAsClassicLogText
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.server.support import MemoryServerCase, get
from tests.support import MemoryPeer, temporaryDirectory
from wasinet_twisted.errors import RemoteProtocolError
from wasinet_twisted.http import Buffer, WasiResponse
from wasinet_twisted.net import ConnectionFactory, TlsClient, TlsServer, WasiTcpConn
from wasinet_twisted.net.server.proxyprotocol import ProxiedFactory
from wasinet_twisted.net.stream.protocol import ConnectionProtocol
from wasinet_twisted.server import Request
from wasinet_twisted.service.jsonlog import jsonLine
from wasinet_twisted.service.workers.messages import packed, unpacked
from wasinet_twisted.testing import Link

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "threats.md"
_NAMED = re.compile(r"`((?:[a-z]+/)*test_\w+)((?:::\w+)+)`")


def defined(path: Path) -> set[str]:
    """
    Return the tests of a file, as C{test_it} and C{SomeTests::test_it}.
    """
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            functions = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {node.name, *(f"{node.name}::{each.name}" for each in functions)}
    return found


def test_eachNamedTestExists() -> None:
    """
    Each row of attacks names a test, and each is one.
    """
    page = PAGE.read_text(encoding="utf-8")
    named = _NAMED.findall(page)
    assert len(named) > 200
    tests: dict[str, set[str]] = {}
    for file, name in named:
        path = ROOT / "tests" / f"{file}.py"
        assert path.is_file(), file
        assert name.removeprefix("::") in tests.setdefault(file, defined(path)), f"{file}{name}"
    # Nothing that looks like a test's name is left out by the pattern.
    assert page.count("::") == sum(name.count("::") for _, name in named)
    attacks = page.partition("## Attacks\n")[2].partition("\n## ")[0]
    rows = [row for row in attacks.splitlines() if row.startswith("| ") and not row.startswith(("| attack", "| ---"))]
    assert len(rows) > 90
    for row in rows:
        assert row.count("|") == 4, row
        assert _NAMED.search(row.split("|")[3]), row


def test_theReportersPage() -> None:
    """
    It says how to report, names no address that nobody has given, and the versions it supports are those there are.
    """
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    import wasinet_twisted

    major, minor, *_ = wasinet_twisted.__version__.split(".")
    assert f"| {major}.{minor}.x |" in page
    assert "To be filled in by the maintainers" in page
    assert not re.search(r"https?://|mailto:|\w@\w", page)


class LogTests(MemoryServerCase):
    """
    What a peer sends makes no lines of its own in the service's log, and nothing that a terminal obeys.
    """

    EVIL = b"\x1b[2J\r\n2026-01-01T00:00:00+0000 [-] forged\r\n"

    def test_malformed(self) -> None:
        """
        What the parser refuses, in a program that lets its error through.
        """

        async def handler(conn: WasiTcpConn) -> None:
            buffer = Buffer("request")
            while data := await conn.read():
                buffer.append(data)
                buffer.parseRequest()

        for data in (
            b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % self.EVIL,
            b"GET / HTTP/1.1\r\nHost: x%b\r\n\r\n" % self.EVIL,
            b"GET / HTTP/1.1\r\nHost: x\r\nA%b: b\r\n\r\n" % self.EVIL,
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: %b\r\n\r\n" % self.EVIL,
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + self.EVIL,
            self.EVIL,
        ):
            with capturedLogs() as events:
                MemoryPeer(handler, self.clock).send(data)
            self.assertEqual(len(self.flushLoggedErrors(RemoteProtocolError)), 1, data)
            self.assertClean(events)

    def test_noProxyHeader(self) -> None:
        async def handler(conn: WasiTcpConn) -> None:
            raise AssertionError("nobody has been let in")

        link = Link(self.clock)
        client = ConnectionProtocol(self.clock)
        link.beginClient(client)
        factory = ProxiedFactory(ConnectionFactory(handler, reactor=self.clock), self.clock)
        link.beginServer(factory.buildProtocol(link.clientAddress))
        with capturedLogs() as events:
            WasiTcpConn(client).write(b"PROXY TCP4 " + self.EVIL)
            link.settle()
        self.assertTrue([each for each in events if "PROXY header" in str(each.get("log_format"))], events)
        self.assertClean(events)

    def test_anErrorOfTheHandlers(self) -> None:
        """
        The target, which the log names, is as the parser lets it pass: printable, without spaces.
        """

        async def handler(request: Request) -> WasiResponse:
            raise RuntimeError("by purpose")

        self.serve(handler)
        with capturedLogs() as events:
            self.assertEqual(self.status(self.connect(get("/%1b%5b2J%0d%0aforged"))), 500)
        self.assertTrue(events)
        self.flushLoggedErrors(RuntimeError)
        self.assertClean(events)

    def assertClean(self, events: list[Any]) -> None:
        """
        As text, as the parent of workers has it, and as JSON.
        """
        for event in events:
            sent = json.loads(json.dumps(packed(event)))
            for each in ({**event, "log_failure": None}, unpacked(sent, "worker 1")):
                text = formatEventAsClassicLogText(each) or ""
                self.assertNotIn("\x1b", text)
                # What continues an entry is indented.
                for line in text.splitlines()[1:]:
                    self.assertTrue(line.startswith("\t"), text)
            line = jsonLine(event)
            self.assertTrue(line.isascii() and line[:-1].isprintable(), line)
            self.assertIn("message", json.loads(line))
            if "log_failure" in event:
                # The last line of a traceback, which is indented as a whole.
                self.assertTrue(event["log_failure"].getErrorMessage().isprintable())


def test_hashFlooding() -> None:
    """
    Names whose hashes would collide can't be made up in advance: each process has hashes of its own. And of fields,
    which have names by the peer, there are 100 at the most.
    """
    program = "print(hash('X-Some-Field'), hash(b'X-Some-Field'))"
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    told = {
        subprocess.run([sys.executable, "-c", program], env=kept, capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(told) == 3


class TlsTests(SynchronousTestCase):
    """
    What a peer may ask of TLS that costs or weakens it.
    """

    def test_renegotiation(self) -> None:
        """
        TLS 1.2 lets a client ask for handshakes again and again on one connection, each for less than it costs the
        server. OpenSSL 3 refuses them unless it is told otherwise.
        """
        SSL = pytest.importorskip("OpenSSL.SSL")
        pem = Authority(temporaryDirectory(self)).issue("localhost")
        server = TlsServer(pem.read_bytes()).serverConnectionForTLS(SimpleNamespace())
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client = SSL.Connection(context, None)
        client.set_connect_state()
        server.set_accept_state()
        self.shake(client, server)
        self.assertEqual(client.get_protocol_version_name(), "TLSv1.2")
        self.assertTrue(client.renegotiate())
        with self.assertRaises(SSL.WantReadError):
            client.do_handshake()
        self.carry(client, server)
        with self.assertRaises(SSL.WantReadError):
            server.recv(1)
        self.carry(server, client)
        with self.assertRaises(SSL.Error) as caught:
            client.do_handshake()
        self.assertIn("no renegotiation", str(caught.exception))
        self.assertEqual(server.total_renegotiations(), 0)

    def test_oldVersions(self) -> None:
        """
        TLS 1.1 is refused by a bound of ours, also where OpenSSL's security level would let it pass.
        """
        SSL = pytest.importorskip("OpenSSL.SSL")
        authority = Authority(temporaryDirectory(self))
        path = authority.issue("localhost")
        for most, expected in (
            (SSL.TLS1_1_VERSION, None),
            (SSL.TLS1_2_VERSION, "TLSv1.2"),
            (SSL.TLS1_3_VERSION, "TLSv1.3"),
        ):
            for settings in (TlsServer(path), TlsClient("localhost", caCertificates=authority.path)):
                theirs = SSL.Context(SSL.TLS_METHOD)
                theirs.use_certificate_chain_file(str(path))
                theirs.use_privatekey_file(str(path))
                theirs.set_min_proto_version(SSL.TLS1_VERSION)
                theirs.set_max_proto_version(most)
                for context in (theirs, settings._context):
                    context.set_cipher_list(b"ALL:@SECLEVEL=0")
                client = server = SSL.Connection(theirs, None)
                if isinstance(settings, TlsServer):
                    server = settings.serverConnectionForTLS(SimpleNamespace())
                else:
                    client = settings.clientConnectionForTLS(SimpleNamespace())
                client.set_connect_state()
                server.set_accept_state()
                if expected is None:
                    with self.assertRaises(SSL.Error) as caught:
                        self.shake(client, server)
                    self.assertIn("unsupported protocol", str(caught.exception))
                else:
                    self.shake(client, server)
                    self.assertEqual(server.get_protocol_version_name(), expected)

    def carry(self, side: Any, other: Any) -> None:
        """
        Hand over what a side has sent.
        """
        from OpenSSL import SSL

        with contextlib.suppress(SSL.WantReadError):
            while data := side.bio_read(65536):
                other.bio_write(data)

    def shake(self, client: Any, server: Any) -> None:
        """
        Let both shake hands.
        """
        from OpenSSL import SSL

        for _ in range(4):
            for side, other in ((client, server), (server, client)):
                with contextlib.suppress(SSL.WantReadError):
                    side.do_handshake()
                self.carry(side, other)
