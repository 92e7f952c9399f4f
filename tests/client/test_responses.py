"""
What a response's body is, who may read it, how much of it is in memory, and what becomes of its connection.
"""

from __future__ import annotations

import gc
import threading
from typing import Any

from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import deferLater
from twisted.python import threadable

from wasinet_twisted.client import Response
from wasinet_twisted.errors import (
    BusyError,
    ConnectionClosed,
    ContentError,
    IncompleteRead,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
)
from wasinet_twisted.http import Limits, ResponseHead
from wasinet_twisted.net.stream.outgoing import unsent

from .support import CONTINUE, OK, ClientCase, Outcome, answer, chunked, head

TUNNEL = head("Connection: upgrade", "Upgrade: test", status="101 Switching Protocols")
UPGRADE = {"Connection": "upgrade", "Upgrade": "test"}


async def collect(response: Response) -> list[bytes]:
    return [piece async for piece in response.stream()]


class BodyTests(ClientCase):
    def test_framings(self) -> None:
        for reply, body, kept in (
            (answer(b"body"), b"body", True),
            (chunked(b"bo", b"dy"), b"body", True),
            (answer(b""), b"", True),
            (chunked(), b"", True),
            (head(status="204 No Content"), b"", True),
            (head("Content-Length: 10", status="304 Not Modified"), b"", True),
            (answer(b"body", version="HTTP/1.0"), b"body", False),
            (answer(b"body", "Connection: keep-alive", version="HTTP/1.0"), b"body", True),
        ):
            self.listen()
            pool = self.pool()
            response = self.fetch(reply, pool=pool)
            self.assertEqual(self.body(response), body)
            self.assertPool(int(kept), int(kept), pool=pool)

    def test_untilClose(self) -> None:
        for version in ("HTTP/1.0", "HTTP/1.1"):
            response = self.fetch(head(version=version) + b"bo")
            reading = Outcome(response.bytes())
            self.peers[-1].send(b"dy")
            self.settle()
            self.assertTrue(reading.pending)
            self.peers[-1].close()
            self.settle()
            self.assertEqual(reading.value, b"body")
            self.assertTrue(self.peers[-1].wasClosed)
        self.assertPool(0, 0)

    def test_untilCloseAndReset(self) -> None:
        """
        A connection that was reset proves no end of a body.
        """
        response = self.fetch(head() + b"bo")
        self.peers[-1].reset()
        self.settle()
        self.failureResultOf(response.bytes(), ConnectionClosed)

    def test_headHasNone(self) -> None:
        for reply in (head("Content-Length: 100"), head("Transfer-Encoding: chunked"), head()):
            response = self.fetch(reply, method="HEAD")
            self.assertEqual(self.body(response), b"")
        self.assertEqual(len(self.peers), 1)

    def test_trailers(self) -> None:
        response = self.fetch(chunked(b"body", trailers=b"X-Sum: 1\r\n")[:-4])
        self.assertIsNone(response.trailers)
        self.peers[0].send(b"\r\n\r\n")
        self.assertEqual(self.body(response), b"body")
        self.assertEqual(dict(response.trailers or {}), {"X-Sum": "1"})
        self.assertEqual(dict(self.fetch(OK).trailers or {}), {})

    def test_head(self) -> None:
        response = self.fetch(answer(b"{}", "X: 1", "X: 2", status="201 Made"))
        self.assertEqual((response.status, response.reason, response.version), (201, "Made", "HTTP/1.1"))
        self.assertTrue(response.ok)
        self.assertEqual(response.headers.getall("x"), ["1", "2"])
        self.assertEqual((response.url, response.history, response.tls), ("http://origin.test/", (), None))
        self.assertEqual(self.now(response.json()), {})
        for status, ok in (("200 x", True), ("299 x", True), ("300 x", False), ("404 x", False), ("500 x", False)):
            self.assertIs(self.fetch(answer(status=status)).ok, ok, status)

    def test_text(self) -> None:
        response = self.fetch(answer("ü".encode("latin-1"), "Content-Type: text/plain; charset=iso-8859-1"))
        self.assertEqual(self.now(response.text()), "ü")
        for reply, method in ((answer(b"\xff"), "text"), (answer(b"{"), "json")):
            self.failureResultOf(getattr(self.fetch(reply), method)(), ContentError)

    def test_readAgain(self) -> None:
        for reply in (OK, chunked(b"o", b"k")):
            response = self.fetch(reply)
            for _ in range(2):
                self.assertEqual(self.body(response), b"ok")
                self.assertEqual(self.now(response.text()), "ok")
            self.assertEqual(self.now(ensureDeferred(collect(response))), [b"ok"])

    def test_readTwice(self) -> None:
        response = self.fetch(head("Content-Length: 4") + b"bo")
        first, second = Outcome(response.bytes()), Outcome(response.bytes())
        self.assertIsInstance(second.error, BusyError)
        self.peers[0].send(b"dy")
        self.settle()
        self.assertEqual(first.value, b"body")
        streamed = self.fetch(OK)
        self.assertEqual(self.now(ensureDeferred(collect(streamed))), [b"ok"])
        self.failureResultOf(streamed.bytes(), BusyError)

    def test_bound(self) -> None:
        for reply in (answer(b"body"), chunked(b"bo", b"dy")):
            self.assertEqual(self.now(self.fetch(reply).bytes(maxBytes=4)), b"body")
            self.failureResultOf(self.fetch(reply).bytes(maxBytes=3), MessageTooLarge)

    def test_boundOfThePool(self) -> None:
        self.pool(message=Limits(responseBody=3))
        self.assertEqual(self.body(self.fetch(answer(b"abc"))), b"abc")
        response = self.fetch(head("Content-Length: 1000000") + b"abcd")
        self.failureResultOf(response.bytes(), MessageTooLarge)
        self.settle()
        self.assertTrue(self.peers[0].wasReset, "the rest of it is not waited for")
        response = self.fetch(answer(b"abcd"))
        self.assertEqual(self.now(ensureDeferred(collect(response))), [b"abcd"], "a stream has no bound")


class BackPressureTests(ClientCase):
    def test_aReaderThatDoesNotRead(self) -> None:
        """
        The server has to wait: not more than the bound and what one read brings is in memory.
        """
        self.listen(window=10_000)
        pool = self.pool(buffered=20_000)
        response = self.fetch(head("Content-Length: 1000000"), pool=pool)
        for _ in range(100):
            self.peers[0].send(bytes(10_000))
            self.settle()
        waiting = unsent(self.link().serverTransport, 0)
        self.assertGreater(waiting, 900_000)
        self.assertEqual(len(self.body(response)), 1_000_000)
        self.assertPool(1, 1, pool=pool)

    def test_aReaderThatTakesItsTime(self) -> None:
        self.listen(window=10_000)
        pool = self.pool(buffered=0)
        response = self.fetch(head("Content-Length: 300000"), pool=pool)
        self.peers[0].send(bytes(300_000))

        async def slowly() -> int:
            size = 0
            async for piece in response.stream():
                size += len(piece)
                await deferLater(self.clock, 0.1)
            return size

        reading = Outcome(ensureDeferred(slowly()))
        self.advance(100)
        self.assertEqual(reading.value, 300_000)

    def test_aServerThatEndsWhileNobodyReads(self) -> None:
        for end in ("finish", "close"):
            self.listen(window=10_000)
            pool = self.pool(buffered=10_000)
            response = self.fetch(head(), pool=pool)
            self.peers[0].send(bytes(100_000))
            getattr(self.peers[0], end)()
            self.settle()
            self.assertEqual(len(self.body(response)), 100_000)
            self.assertPool(0, 0, pool=pool)

    def test_chunksOfOneByte(self) -> None:
        """
        They don't keep the reactor from its turn.
        """
        response = self.fetch(chunked(*[b"x"] * 1000)[:-5])
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            if reading.pending:
                self.clock.callLater(0, turn)

        reading = Outcome(response.bytes())
        turn()
        self.peers[0].send(b"0\r\n\r\n")
        self.settle()
        self.assertEqual(len(reading.value), 1000)
        self.assertGreater(turns, 10)


class EndTests(ClientCase):
    def test_close(self) -> None:
        response = self.fetch(head("Content-Length: 4") + b"bo")
        self.assertPool(1, 0)
        response.close()
        response.close()
        self.assertPool(0, 0)
        self.settle()
        self.assertTrue(self.peers[0].wasReset)
        self.failureResultOf(response.bytes(), ConnectionClosed)

    def test_closeAfterItsEnd(self) -> None:
        response = self.fetch(OK)
        response.close()
        self.assertPool(1, 1)
        self.assertEqual(self.body(response), b"ok")

    def test_asyncWith(self) -> None:
        async def use() -> int:
            async with self.fetch(head("Content-Length: 4") + b"bo") as response:
                return response.status

        self.assertEqual(self.now(ensureDeferred(use())), 200)
        self.assertPool(0, 0)

    def test_closeWhileSomebodyReads(self) -> None:
        response = self.fetch(head("Content-Length: 4") + b"bo")
        reading = Outcome(response.bytes())
        response.close()
        self.settle()
        self.assertIsInstance(reading.error, ConnectionClosed)

    def test_cancelTheReading(self) -> None:
        """
        It resets the connection; who reads on is told.
        """
        response = self.fetch(head("Content-Length: 4") + b"bo")
        reading = Outcome(response.bytes())
        reading.deferred.cancel()
        self.assertIsInstance(reading.error, CancelledError)
        self.settle()
        self.assertPool(0, 0)
        self.assertTrue(self.peers[0].wasReset)
        again = Outcome(response.bytes())
        self.assertIsInstance(again.error, ConnectionClosed)

    def test_cancelTheReadingInAnyTurn(self) -> None:
        """
        Also where it has just given way to others, with a piece in its hand.
        """
        for turns in range(40):
            self.listen()
            pool = self.pool()
            response = self.fetch(chunked(*[b"x"] * 300)[:-5], pool=pool)
            reading = Outcome(response.bytes())
            for _ in range(turns):
                self.clock.advance(0)
            if not reading.pending:
                break
            reading.deferred.cancel()
            self.settle()
            self.assertPool(0, 0, pool=pool)
            self.assertTrue(self.peers[0].wasReset)

    def test_forgotten(self) -> None:
        response: Any = self.fetch(head("Content-Length: 4") + b"bo")
        self.assertPool(1, 0)
        del response
        gc.collect()
        self.settle()
        self.assertPool(0, 0)
        self.assertTrue(self.peers[0].wasReset)

    def test_forgottenInACycle(self) -> None:
        response: Any = self.fetch(head("Content-Length: 4") + b"bo")
        cycle: list[Any] = [response]
        cycle.append(cycle)
        del response, cycle
        gc.collect()
        self.settle()
        self.assertPool(0, 0)

    def test_forgottenBeforeAnybodyHadIt(self) -> None:
        outcome: Any = self.begin()
        del outcome
        self.peers[0].send(head("Content-Length: 4") + b"bo")
        self.settle()
        gc.collect()
        self.settle()
        self.assertPool(0, 0)

    def test_forgottenWhileOthersAreGivenRoom(self) -> None:
        """
        The collector runs when it likes, and nothing happens from within it.
        """
        self.pool(perOrigin=1)
        response: Any = self.fetch(head("Content-Length: 4") + b"bo")
        waiting = self.begin()
        del response
        gc.collect()
        self.assertEqual(len(self.peers), 1)
        self.settle()
        self.peers[1].send(OK)
        self.settle()
        self.assertEqual(waiting.value.status, 200)

    def test_forgottenInAnotherThread(self) -> None:
        """
        The garbage collector runs in whichever thread it likes; the reactor is called from its own.
        """
        called: list[tuple[Any, ...]] = []
        self.clock.callFromThread = lambda *call: called.append(call)  # type: ignore[attr-defined]
        self.patch(threadable, "ioThread", threadable.getThreadID())
        held = [self.fetch(head("Content-Length: 4") + b"bo")]
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        self.assertPool(1, 0)
        ((function, *arguments),) = called
        function(*arguments)
        self.settle()
        self.assertPool(0, 0)

    def test_discard(self) -> None:
        """
        A little is read, and the connection kept; of much it is reset.
        """
        response = self.fetch(head("Content-Length: 4") + b"bo")
        discarding = Outcome(ensureDeferred(response.discard()))
        self.peers[0].send(b"dy")
        self.settle()
        self.assertFalse(discarding.pending)
        self.assertPool(1, 1)
        response = self.fetch(head("Content-Length: 100000000") + bytes(100_000))
        self.now(ensureDeferred(response.discard()))
        self.assertPool(0, 0)

    def test_failedOnce(self) -> None:
        """
        What ended a body is told to each who reads on.
        """
        response = self.fetch(head("Content-Length: 4") + b"bo")
        self.peers[0].close()
        self.settle()
        for _ in range(2):
            self.failureResultOf(response.bytes(), IncompleteRead)


class InterimTests(ClientCase):
    def test_theyAreTold(self) -> None:
        told: list[ResponseHead] = []
        outcome = self.begin(interim=told.append)
        self.peers[0].send(head("Link: </a>", status="103 Early Hints") + CONTINUE)
        self.settle()
        self.assertTrue(outcome.pending)
        self.assertEqual([each.status for each in told], [103, 100])
        self.assertEqual(told[0].headers["link"], "</a>")
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)

    def test_theBound(self) -> None:
        outcome = self.begin()
        self.peers[0].send(CONTINUE * 10)
        self.settle()
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        outcome = self.begin()
        self.peers[0].send(CONTINUE * 11 + OK)
        self.settle()
        self.assertIsInstance(outcome.error, RemoteProtocolError)
        self.assertTrue(self.peers[0].wasReset)

    def test_aCallbackThatFails(self) -> None:
        """
        Its failure is the fetch's, over a new connection and over a kept one.
        """

        def failing(_: object) -> None:
            raise ZeroDivisionError

        for first in (True, False):
            if not first:
                self.fetch(OK)
            outcome = self.begin(interim=failing)
            self.peers[-1].send(CONTINUE)
            self.settle()
            self.assertIsInstance(outcome.error, ZeroDivisionError)
            self.assertTrue(self.peers[-1].wasReset)
            self.assertPool(0, 0)

    def test_aCallbackThatCancels(self) -> None:
        for first in (True, False):
            if not first:
                self.fetch(OK)
            outcome = self.begin(interim=lambda _: self.cancel())
            self.cancel = outcome.deferred.cancel
            self.peers[-1].send(CONTINUE + OK)
            self.settle()
            self.assertIsInstance(outcome.error, CancelledError)
            self.assertPool(0, 0)


class UpgradeTests(ClientCase):
    def test_upgrade(self) -> None:
        """
        The connection is the caller's from then on: the pool neither counts nor closes it.
        """
        pool = self.pool(perOrigin=1, connections=1)
        response = self.fetch(TUNNEL + b"first", headers=UPGRADE)
        self.assertEqual(response.status, 101)
        conn = response.upgrade()
        self.assertPool(0, 0)
        self.assertEqual(self.now(conn.read()), b"first")
        conn.write(b"hello")
        self.settle()
        self.assertTrue(self.peers[0].got.endswith(b"\r\n\r\nhello"))
        self.assertRaises(LocalProtocolError, response.upgrade)
        self.fetch(OK)
        self.now(pool.close())
        reading = Outcome(conn.read())
        self.peers[0].send(b"still")
        self.settle()
        self.assertEqual(reading.value, b"still")
        self.advance(10_000)
        self.now(conn.close())
        self.assertTrue(self.peers[0].wasClosed)

    def test_whatCameBefore(self) -> None:
        """
        Bytes, and the end, that came before somebody asked for the connection.
        """
        response = self.fetch(TUNNEL + b"first", headers=UPGRADE)
        self.peers[0].send(b"second")
        self.peers[0].finish()
        self.settle()
        conn = response.upgrade()
        self.assertEqual(self.now(conn.readToEnd(100)), b"firstsecond")
        conn.write(b"bye")
        self.settle()
        self.assertTrue(self.peers[0].got.endswith(b"bye"))
        self.now(conn.close())

    def test_lostBefore(self) -> None:
        response = self.fetch(TUNNEL + b"first", headers=UPGRADE)
        self.peers[0].reset()
        self.settle()
        self.assertPool(0, 0)
        conn = response.upgrade()
        self.assertEqual(self.now(conn.read()), b"first")
        self.failureResultOf(conn.read(), ConnectionClosed)

    def test_notTaken(self) -> None:
        """
        A 101 has no body; who doesn't want its connection gives it up as any other.
        """
        for use in ("bytes", "close", "forget"):
            response: Any = self.fetch(TUNNEL + b"first", headers=UPGRADE)
            if use == "bytes":
                self.assertEqual(self.body(response), b"")
                self.assertEqual(self.now(response.upgrade().read()), b"first")
            elif use == "close":
                response.close()
            del response
            gc.collect()
            self.settle()
            self.assertPool(0, 0)

    def test_whoDoesNotAsk(self) -> None:
        for headers in ({}, {"Upgrade": "test"}):
            outcome = self.begin(headers=headers)
            self.peers[-1].send(TUNNEL)
            self.settle()
            self.assertIsInstance(outcome.error, RemoteProtocolError)
        response = self.fetch(OK, headers=UPGRADE)
        self.assertRaises(LocalProtocolError, response.upgrade)
