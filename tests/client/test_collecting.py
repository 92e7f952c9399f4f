"""
C{response.bytes()} of a body that comes after its head, on a Clock.
"""

from __future__ import annotations

import gzip

from twisted.internet.defer import CancelledError

from tests.client.support import ClientCase, Outcome, chunked, head
from wasinet_twisted.client import Response
from wasinet_twisted.errors import BusyError, ConnectionClosed, IncompleteRead, MessageTooLarge, TimedOut

HEAD = head("Content-Length: 6")


class CollectingTests(ClientCase):
    def collect(self, response: Response, maxBytes: int | None = None) -> Outcome:
        return Outcome(response.bytes(maxBytes))

    def send(self, data: bytes) -> None:
        self.peers[-1].send(data)
        self.settle()

    def test_pieceByPiece(self) -> None:
        response = self.fetch(HEAD)
        outcome = self.collect(response)
        for piece in (b"a", b"bc", b"def"):
            self.assertTrue(outcome.pending)
            self.send(piece)
        self.assertEqual(outcome.value, b"abcdef")
        self.assertEqual(self.body(response), b"abcdef")
        self.assertPool(1, 1)

    def test_theBound(self) -> None:
        for most, kind in ((6, None), (5, MessageTooLarge)):
            outcome = self.collect(self.fetch(HEAD + b"ab"), most)
            self.send(b"cdef")
            if kind is None:
                self.assertEqual(outcome.value, b"abcdef")
            else:
                self.assertIsInstance(outcome.error, kind)
        self.assertTrue(self.peers[-1].wasReset)
        self.assertPool(0, 0)

    def test_aBoundThatIsNone(self) -> None:
        response = self.fetch(HEAD)
        outcome = self.collect(response, "5")  # type: ignore[arg-type]
        self.send(b"abcdef")
        self.assertIsInstance(outcome.error, TypeError)
        response.close()

    def test_cancelled(self) -> None:
        """
        The connection is reset; who asks later is told that it was closed.
        """
        response = self.fetch(HEAD + b"ab")
        outcome = self.collect(response)
        outcome.deferred.cancel()
        self.settle()
        self.assertIsInstance(outcome.error, CancelledError)
        self.assertTrue(self.peers[-1].wasReset)
        self.assertIsInstance(self.collect(response).error, ConnectionClosed)

    def test_aTurnForOthers(self) -> None:
        """
        A body in many chunks that came together is taken in several turns, in each of which it can be cancelled.
        """
        data = chunked(*[b"x"] * 500)
        for cancelled in (False, True):
            response = self.fetch(data[:60])
            outcome = self.collect(response)
            self.peers[-1].send(data[60:])
            while outcome.pending and not any("_take" in str(call.func) for call in self.clock.getDelayedCalls()):
                self.clock.advance(0)
            self.assertTrue(outcome.pending)
            if cancelled:
                outcome.deferred.cancel()
                self.assertIsInstance(outcome.error, CancelledError)
                self.settle()
                self.assertPool(0, 0)
            else:
                self.settle()
                self.assertEqual(outcome.value, b"x" * 500)
                self.assertPool(1, 1)

    def test_twice(self) -> None:
        response = self.fetch(HEAD)
        first, second = self.collect(response), self.collect(response)
        self.assertIsInstance(second.error, BusyError)
        self.send(b"abcdef")
        self.assertEqual(first.value, b"abcdef")
        self.assertEqual(self.body(response), b"abcdef")

    def test_cut(self) -> None:
        response = self.fetch(HEAD + b"ab")
        outcome = self.collect(response)
        self.peers[-1].close()
        self.settle()
        self.assertIsInstance(outcome.error, IncompleteRead)
        self.assertIs(type(self.collect(response).error), IncompleteRead)

    def test_late(self) -> None:
        outcome = self.collect(self.fetch(HEAD + b"ab"))
        self.twoSides(60.0, outcome, TimedOut)

    def test_coded(self) -> None:
        coded = gzip.compress(b"abcdef" * 100)
        response = self.fetch(head(f"Content-Length: {len(coded)}", "Content-Encoding: gzip"))
        outcome = self.collect(response)
        self.send(coded[:20])
        self.send(coded[20:])
        self.assertEqual(outcome.value, b"abcdef" * 100)

    def test_codedAndCut(self) -> None:
        coded = gzip.compress(b"abcdef" * 100)[:-4]
        outcome = self.collect(self.fetch(head(f"Content-Length: {len(coded)}", "Content-Encoding: gzip")))
        self.send(coded)
        self.assertIsInstance(outcome.error, IncompleteRead)

    def test_codedTooLong(self) -> None:
        coded = gzip.compress(b"abcdef" * 100)
        for most, kind in ((600, None), (599, MessageTooLarge)):
            response = self.fetch(head(f"Content-Length: {len(coded)}", "Content-Encoding: gzip"))
            outcome = self.collect(response, most)
            self.send(coded)
            self.assertEqual(type(outcome.error), type(None) if kind is None else kind)
