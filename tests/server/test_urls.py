"""
Where a server listens, as its log says it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import serve
from wasinet_twisted.server.urls import isLoopback, urlOf


@implementer(IListeningPort)
class Port:
    """
    It listens on an address.
    """

    def __init__(self, address: IAddress, factory: Any = None) -> None:
        self._address = address
        self.factory = factory

    def startListening(self) -> None:
        raise AssertionError

    def stopListening(self) -> None:
        raise AssertionError

    def getHost(self) -> IAddress:
        return self._address


def v4(host: str) -> IPv4Address:
    return IPv4Address("TCP", host, 8000)


def v6(host: str) -> IPv6Address:
    return IPv6Address("TCP", host, 8000)


class UrlTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        for address, expected in (
            (v4("127.0.0.1"), "http://127.0.0.1:8000"),
            (v4("192.0.2.1"), "http://192.0.2.1:8000"),
            (v6("::1"), "http://[::1]:8000"),
            (v4("0.0.0.0"), "http://127.0.0.1:8000 (all IPv4 addresses)"),
            (v6("::"), "http://[::1]:8000 (all addresses)"),
            (UNIXAddress(b"/run/x.sock"), "unix:/run/x.sock"),
            # A line break would forge a line.
            (UNIXAddress(b"/run/a b\n\x1b%\xff"), "unix:/run/a%20b%0A%1B%25%FF"),
            (UNIXAddress(b"\0abstract"), "unix:%00abstract"),
        ):
            self.assertEqual(urlOf(Port(address), "http"), expected)

    def test_tls(self) -> None:
        factory = TLSMemoryBIOFactory.__new__(TLSMemoryBIOFactory)
        self.assertEqual(urlOf(Port(v4("127.0.0.1"), factory), "http"), "https://127.0.0.1:8000")
        self.assertEqual(urlOf(Port(v4("127.0.0.1"), factory), "tcp"), "tls://127.0.0.1:8000")
        self.assertEqual(urlOf(Port(v4("127.0.0.1"), Factory()), "tcp"), "tcp://127.0.0.1:8000")

    def test_isLoopback(self) -> None:
        for address in (v4("127.0.0.1"), v4("127.9.9.9"), v6("::1")):
            self.assertTrue(isLoopback(Port(address)), address)
        for other in (v4("0.0.0.0"), v6("::"), v4("128.0.0.1"), v6("fe80::1%eth0"), UNIXAddress(b"/run/x")):
            self.assertFalse(isLoopback(Port(other)), other)

    def test_serve(self) -> None:
        """
        One line, also of a server that is part of another program.
        """
        with capturedLogs() as events:
            serve(lambda request: WasiResponse(), "tcp:8000", reactor=MemoryReactorClock())
        ours = [formatEvent(event) for event in events if event["log_namespace"].startswith("wasinet_twisted")]
        self.assertEqual(ours, ["listening on http://127.0.0.1:8000 (all IPv4 addresses)"])
