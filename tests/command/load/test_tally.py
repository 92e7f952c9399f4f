"""
What has come of requests: statuses, and errors by kind.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.command.load.tally import EXPLAINED, UNREACHABLE, Tally, kindOf
from wasinet_twisted.errors import (
    BusyError,
    CertificateError,
    ConnectFailed,
    ConnectionClosed,
    ConnectionRefused,
    HandshakeFailed,
    IncompleteRead,
    MessageTooLarge,
    RemoteProtocolError,
    TimedOut,
    UnknownHost,
)


class KindTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """
        Each error has the kind that says most, though its class is a kind of another one's.
        """
        kinds = {
            TimedOut("x"): "timeout",
            ConnectionRefused("x"): "connect",
            UnknownHost("x"): "connect",
            ConnectFailed("x"): "connect",
            HandshakeFailed("x"): "TLS",
            CertificateError("x"): "TLS",
            ConnectionClosed("x"): "closed",
            IncompleteRead(b"", 1): "incomplete",
            RemoteProtocolError("x"): "protocol",
            MessageTooLarge("x"): "protocol",
            BusyError("x"): "other",
        }
        self.assertEqual({error: kindOf(error) for error in kinds}, kinds)

    def test_eachIsExplained(self) -> None:
        self.assertLess(UNREACHABLE, set(EXPLAINED))


class TallyTests(SynchronousTestCase):
    def test_responses(self) -> None:
        """
        Whatever their status, they count, and so do their latencies.
        """
        tally = Tally()
        for status, size, seconds in ((200, 10, 0.1), (204, 0, 0.1), (404, 5, 0.1), (503, 0, 0.3), (200, 10, 0.2)):
            tally.answered(status, size, seconds)
        self.assertEqual(tally.statuses, {200: 2, 204: 1, 404: 1, 503: 1})
        self.assertEqual(tally.classes, {"2xx": 3, "4xx": 1, "5xx": 1})
        self.assertEqual((tally.received, tally.latencies.count, tally.latencies.most), (25, 5, 0.3))

    def test_errors(self) -> None:
        """
        They have no latency. The first of each kind is kept, to be shown.
        """
        tally = Tally()
        first, second, third = TimedOut("first"), TimedOut("second"), ConnectionClosed("third")
        for error in (first, second, third):
            tally.failed(error)
        self.assertEqual(tally.errors, {"timeout": 2, "closed": 1})
        self.assertEqual(tally.examples, {"timeout": first, "closed": third})
        self.assertEqual(tally.latencies.count, 0)
