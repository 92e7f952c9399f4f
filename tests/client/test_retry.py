"""
A request over a kept connection that the server has just closed: when it is sent once more, and when it never is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from wasinet_twisted.client import Report
from wasinet_twisted.errors import ConnectionClosed, IncompleteRead, LocalProtocolError, WasinetError

from .support import CONTINUE, OK, ClientCase, answer

ENDS = ("finish", "close", "reset")


class RetryTests(ClientCase):
    def stale(self, end: str, sent: bytes = b"", **options: Any) -> Any:
        """
        A request over a kept connection, which is ended before its answer.
        """
        self.listen()
        self.pools.append(self.pool())
        pool = self.pools[-1]
        self.fetch(OK, pool=pool)
        outcome = self.begin(pool=pool, **options)
        self.assertEqual(len(self.peers), 1)
        if sent:
            self.peers[0].send(sent)
            self.settle()
        getattr(self.peers[0], end)()
        self.settle()
        return outcome

    def test_whatIsSafeToRepeat(self) -> None:
        for end in ENDS:
            for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"):
                outcome = self.stale(end, method=method)
                self.assertTrue(outcome.pending, (end, method))
                self.assertEqual(len(self.peers), 2)
                self.peers[1].send(OK)
                self.settle()
                self.assertEqual(outcome.value.status, 200)

    def test_whatIsNot(self) -> None:
        for end in ENDS:
            for method in ("POST", "PATCH", "get", "PROPFIND"):
                outcome = self.stale(end, method=method)
                self.assertIsInstance(outcome.error, (ConnectionClosed, IncompleteRead), (end, method))
                self.assertEqual(len(self.peers), 1)

    def test_once(self) -> None:
        for end in ENDS:
            outcome = self.stale(end)
            getattr(self.peers[1], end)()
            self.settle()
            self.assertIsInstance(outcome.error, (ConnectionClosed, IncompleteRead))
            self.assertEqual(len(self.peers), 2)

    def test_neverOverANewConnection(self) -> None:
        for end in ENDS:
            outcome = self.begin()
            getattr(self.peers[-1], end)()
            self.settle()
            self.assertIsInstance(outcome.error, (ConnectionClosed, IncompleteRead))
        self.assertEqual(len(self.peers), 3)
        self.assertPool(0, 0)

    def test_neverAfterBytesOfAResponse(self) -> None:
        for end in ENDS:
            for sent in (b"H", OK[:-1].partition(b"\r\n")[0], CONTINUE):
                outcome = self.stale(end, sent)
                self.assertIsInstance(outcome.error, WasinetError)
                self.assertEqual(len(self.peers), 1)

    def test_bodies(self) -> None:
        """
        A body that comes only once can't be sent again.
        """

        def once() -> Iterator[bytes]:
            yield b"body"

        file = io.BytesIO(b".body")
        file.seek(1)
        for body in (b"body", "body", [b"bo", b"dy"], file):
            outcome = self.stale("close", method="PUT", body=body)
            self.assertEqual(self.peers[1].requests()[0].body, b"body")
            self.peers[1].send(OK)
            self.settle()
            self.assertEqual(outcome.value.status, 200)
        outcome = self.stale("close", method="PUT", body=once())
        self.assertIsInstance(outcome.error, (ConnectionClosed, IncompleteRead))
        self.assertEqual(len(self.peers), 1)

    def test_whileTheBodyIsSent(self) -> None:
        """
        What was sent of it is sent anew, from its beginning.
        """
        self.reads = False
        outcome = None
        self.listen(window=1000)
        self.reads = True
        pool = self.pool()
        first = self.begin(pool=pool)
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(first.value.status, 200)
        outcome = self.begin(pool=pool, method="PUT", body=io.BytesIO(bytes(1_000_000)))
        self.peers[0].reset()
        self.settle()
        self.assertEqual(len(self.peers), 2)
        transport: Any = self.peers[1].transport
        transport.resumeProducing()
        self.settle()
        self.assertEqual(len(self.peers[1].requests()[0].body), 1_000_000)
        self.peers[1].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)

    def test_theOthersAreGivenUpFirst(self) -> None:
        """
        With as many connections as may be, one that was kept longer makes room.
        """
        pool = self.pool(perOrigin=2)
        outcomes = [self.begin(), self.begin()]
        for peer in self.peers:
            peer.send(OK)
        self.settle()
        self.assertEqual([outcome.value.status for outcome in outcomes], [200, 200])
        outcome = self.begin()
        self.peers[1].close()
        self.settle()
        self.peers[2].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        self.assertLessEqual(pool._open, 2)

    def test_aPoolThatIsClosedMeanwhile(self) -> None:
        outcome = self.stale("finish")
        self.assertTrue(outcome.pending)
        self.pools[-1].close()
        self.settle()
        self.assertIsInstance(outcome.error, ConnectionClosed)
        self.fetchedFromAClosedOne()

    def fetchedFromAClosedOne(self) -> None:
        self.assertIsInstance(self.begin(pool=self.pools[-1]).error, ConnectionClosed)

    def test_cancelled(self) -> None:
        outcome = self.stale("close")
        outcome.deferred.cancel()
        self.settle()
        self.assertIsNotNone(outcome.error)
        self.assertPool(0, 0, pool=self.pools[-1])

    def test_waitersGoOnWithANewOne(self) -> None:
        """
        Whoever waited for a connection that has had its last response makes one.
        """
        self.pool(perOrigin=1)
        first, second, third = self.begin(), self.begin(), self.begin()
        self.peers[0].send(answer(b"", "Connection: close"))
        self.settle()
        self.assertEqual(first.value.status, 200)
        for peer in (1, 1):
            self.peers[peer].send(OK)
            self.settle()
        self.assertEqual((second.value.status, third.value.status), (200, 200))


class ObserverTests(ClientCase):
    def test_reports(self) -> None:
        reports: list[Report] = []
        self.pool(observer=reports.append)
        self.fetch(OK)
        outcome = self.begin()
        self.peers[0].send(answer(b"", "Location: /there", status="302 Found"))
        self.settle()
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        self.begin("http://user:secret@origin.test/lost")
        self.peers[-1].send(b"nonsense\r\n\r\n")
        self.settle()
        self.assertEqual(
            [(each.method, each.url, each.status, each.kept) for each in reports],
            [
                ("GET", "http://origin.test/", 200, False),
                ("GET", "http://origin.test/", 302, True),
                ("GET", "http://origin.test/there", 200, True),
                ("GET", "http://origin.test/lost", None, True),
            ],
        )
        self.assertIsNone(reports[0].error)
        self.assertIsInstance(reports[-1].error, WasinetError)
        self.assertIsNotNone(reports[0].timings.firstByte)
        # What was sent, and by what it was answered.
        first = reports[0]
        self.assertIsNotNone(first.peer)
        self.assertEqual((first.tls, first.proxy), (None, None))
        assert first.head is not None
        self.assertEqual(first.head.status, 200)
        self.assertTrue(first.sentHead().startswith(b"GET / HTTP/1.1\r\nHost: origin.test\r\n"))
        self.assertTrue(first.sentHead().endswith(b"\r\n\r\n"))
        self.assertIn(b"\r\nAuthorization: Basic ", reports[-1].sentHead())
        self.assertIsNone(reports[-1].head)

    def test_reportsOfBodies(self) -> None:
        """
        The head says how the body was framed.
        """
        reports: list[Report] = []
        self.pool(observer=reports.append)
        self.fetch(OK, method="POST", body=b"four")
        self.fetch(OK, method="POST", body=iter([b"four"]))
        self.assertIn(b"\r\nContent-Length: 4\r\n", reports[0].sentHead())
        self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", reports[1].sentHead())
        nothing = Report("GET", "http://x/", None, ValueError("why"), False, reports[0].timings)
        self.assertRaises(LocalProtocolError, nothing.sentHead)

    def test_oneThatFails(self) -> None:
        """
        It is logged, and no request's affair.
        """

        def failing(_: Report) -> None:
            raise ZeroDivisionError

        self.pool(observer=failing)
        self.assertEqual(self.body(self.fetch(OK)), b"ok")
        outcome = self.begin()
        outcome.deferred.cancel()
        self.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertPool(0, 0)


class TimingsTests(ClientCase):
    def test_phases(self) -> None:
        self.listen(delay=0.5)
        pool = self.pool()
        outcome = self.begin(pool=pool)
        self.advance(2)
        self.peers[0].send(OK[:-1])
        self.advance(1)
        timings = outcome.value.timings
        self.assertEqual((timings.resolve, timings.connect, timings.tls), (None, 1.0, None))
        self.assertEqual((timings.firstByte, timings.total), (2.5, None))
        self.peers[0].send(OK[-1:])
        self.advance(1)
        self.assertEqual(self.body(outcome.value), b"ok")
        self.assertEqual(timings.total, 4.0)
        self.assertIn("firstByte 2500.0 ms", repr(timings))
        outcome = self.begin(pool=pool)
        self.advance(1)
        self.peers[0].send(OK)
        self.advance(1)
        self.assertIsNone(outcome.value.timings.connect)
        self.assertEqual(timings.asDict()["connect"], 1.0)
