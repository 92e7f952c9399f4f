"""
nsloopup: with a resolver in memory, and with the system's.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.errors import ConnectFailed, InvalidArgument, TimedOut, UnknownHost
from wasinet_twisted.net import formatAddress, nsloopup

from .resolver import FakeResolver, addresses

reactor: Any = _reactor


class LookupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.resolver = FakeResolver(example=["2001:db8::1", "192.0.2.1"])
        self.reactor.installNameResolver(self.resolver)

    def found(self, looking: Deferred[Any]) -> list[str]:
        self.reactor.advance(0)
        return [formatAddress(address) for address in self.successResultOf(looking)]

    def test_resolverOrderWithoutDuplicates(self) -> None:
        looking = nsloopup("host.test", 80, reactor=self.reactor)
        self.assertNoResult(looking)
        found = addresses("192.0.2.2", "2001:db8::1", "192.0.2.1", "2001:db8::1", "192.0.2.2")
        self.resolver.answer("host.test", *found, UNIXAddress(b"/no/address/of/a/host"))
        self.reactor.advance(0)
        expected = [
            IPv4Address("TCP", "192.0.2.2", 80),
            IPv6Address("TCP", "2001:db8::1", 80),
            IPv4Address("TCP", "192.0.2.1", 80),
        ]
        self.assertEqual(self.successResultOf(looking), expected)

    def test_services(self) -> None:
        for service, port in [(80, 80), ("80", 80), ("http", 80), ("https", 443), (0, 0), (65535, 65535), ("0", 0)]:
            looking = nsloopup("192.0.2.1", service, reactor=self.reactor)
            self.assertEqual(self.found(looking), [f"192.0.2.1:{port}"], service)

    def test_noSuchService(self) -> None:
        for service in ["nosuchservice", "", "65536", 65536, -1, "-1", None, 80.0, True, b"http", "\N{SUPERSCRIPT TWO}",
                        "http\0", "\udc80", "100000"]:  # fmt: skip
            error = self.assertRaises(InvalidArgument, nsloopup, "192.0.2.1", service, reactor=self.reactor)
            self.assertIn(repr(service).strip("'"), str(error))

    def test_anAddressIsItsOwnAnswer(self) -> None:
        for host, name in [("192.0.2.1", "192.0.2.1:7"), ("::1", "[::1]:7"), ("fe80::1%2", "[fe80::1%2]:7")]:
            self.assertEqual(self.found(nsloopup(host, 7, reactor=self.reactor)), [name])
        self.assertEqual(self.resolver.asked, [])

    def test_aLinkLocalAddressKeepsItsZone(self) -> None:
        looking = nsloopup("link.test", 80, reactor=self.reactor)
        self.resolver.answer(
            "link.test", IPv6Address("TCP", "fe80::1", 0, 0, 2), IPv6Address("TCP", "fe80::1", 0, 0, 3)
        )
        self.assertEqual(self.found(looking), ["[fe80::1%2]:80", "[fe80::1%3]:80"])

    def test_unknownHost(self) -> None:
        looking = nsloopup("nowhere.test", 80, timeout=5, reactor=self.reactor)
        self.resolver.answer("nowhere.test")
        self.reactor.advance(0)
        error = self.failureResultOf(looking, UnknownHost).value
        self.assertIsInstance(error, ConnectFailed)
        self.assertEqual(str(error), "unknown host: nowhere.test")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_noSuchHost(self) -> None:
        """
        Twisted's resolver would never answer for some of them, and look others up cut short.
        """
        for host in ["", "a..b", "a" * 64, "localhost\0.test", "two words", "127.0.0.1 x", "host:80", "[::1]", "\udc80",
                     "::1%x y", "\uff1a", None, 5, b"localhost"]:  # fmt: skip
            error = self.assertRaises(InvalidArgument, nsloopup, host, 80, reactor=self.reactor)
            self.assertIn(repr(host), str(error))
        self.assertEqual(self.resolver.asked, [])

    def test_internationalNames(self) -> None:
        nsloopup("b\xfccher.test", 80, reactor=self.reactor)
        self.assertEqual(self.resolver.asked, ["xn--bcher-kva.test"])

    def test_timeout(self) -> None:
        looking = nsloopup("slow.test", 80, timeout=2, reactor=self.reactor)
        self.reactor.advance(1.9)
        self.assertNoResult(looking)
        self.reactor.advance(0.2)
        error = self.failureResultOf(looking, TimedOut).value
        self.assertEqual(str(error), "timed out: the resolver gave no address of slow.test in 2 s")
        self.assertEqual(self.resolver.cancelled, ["slow.test"])
        error = self.assertRaises(InvalidArgument, nsloopup, "a", 80, timeout=-1, reactor=self.reactor)
        self.assertIn("-1", str(error))

    def test_inTime(self) -> None:
        looking = nsloopup("slow.test", 80, timeout=2, reactor=self.reactor)
        self.reactor.advance(1.9)
        self.resolver.answer("slow.test", *addresses("192.0.2.1"))
        self.assertEqual(self.found(looking), ["192.0.2.1:80"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_cancellation(self) -> None:
        looking = nsloopup("slow.test", 80, timeout=2, reactor=self.reactor)
        looking.cancel()
        self.failureResultOf(looking, CancelledError)
        self.assertEqual(self.resolver.cancelled, ["slow.test"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_aResolverThatKnowsNoCancelling(self) -> None:
        self.resolver.uncancellable = True
        looking = nsloopup("slow.test", 80, reactor=self.reactor)
        looking.cancel()
        self.failureResultOf(looking, CancelledError)
        # What it says later comes to nobody, and is no error.
        self.resolver.answer("slow.test", *addresses("192.0.2.1"))

    def test_theReactorHasItsTurn(self) -> None:
        """
        An answer may be there at once. It is given in the reactor's next turn, lest a loop keep it from it.
        """
        for host in ("example", "192.0.2.1"):
            looking = nsloopup(host, 80, reactor=self.reactor)
            self.assertNoResult(looking)
            self.reactor.advance(0)
            self.successResultOf(looking)


@pytest_twisted.ensureDeferred
async def test_theSystemsResolver() -> None:
    found = await nsloopup("localhost", "http", timeout=20)
    assert {formatAddress(address) for address in found} & {"127.0.0.1:80", "[::1]:80"}
    assert len(set(found)) == len(found)
    # Longer than any name can be: no network is asked.
    with pytest.raises(UnknownHost, match="^unknown host: aaa"):
        await nsloopup(".".join(["a" * 60] * 5), 80, timeout=20)
    reactor.getThreadPool().adjustPoolsize(0, 10)
