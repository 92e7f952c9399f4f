"""
What is sent as a request's body, how the server's answer stops it, and what a body that fails leaves behind.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from wasinet_twisted.client.sending import CONTINUE_TIMEOUT
from wasinet_twisted.errors import ConnectionClosed, InvalidArgument, LocalProtocolError

from .support import CONTINUE, OK, ClientCase, answer, head


class Steps:
    """
    An asynchronous iterator that gives a piece when the test says so.
    """

    def __init__(self) -> None:
        self.waiting: Deferred[Any] | None = None
        self.closed = False

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.waiting = Deferred()
                piece = await self.waiting
                if piece is None:
                    return
                yield piece
        finally:
            self.closed = True

    def give(self, piece: bytes | None) -> None:
        assert self.waiting is not None
        self.waiting.callback(piece)


class KindTests(ClientCase):
    def sent(self, **options: Any) -> tuple[bytes, dict[str, str]]:
        """
        The body and the fields of what the server gets.
        """
        outcome = self.begin(method="PUT", **options)
        self.settle()
        request = self.peers[-1].requests()[-1]
        self.peers[-1].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        return request.body, dict(request.headers)

    def test_whole(self) -> None:
        for body in (b"body", bytearray(b"body"), memoryview(b"body")):
            found, fields = self.sent(body=body)
            self.assertEqual((found, fields["Content-Length"]), (b"body", "4"))
            self.assertNotIn("Content-Type", fields)

    def test_text(self) -> None:
        found, fields = self.sent(body="grün")
        self.assertEqual((found, fields["Content-Type"]), ("grün".encode(), "text/plain;charset=UTF-8"))
        _, fields = self.sent(body="x", headers={"content-type": "text/css"})
        self.assertEqual(fields["content-type"], "text/css")
        self.assertNotIn("Content-Type", fields)

    def test_json(self) -> None:
        found, fields = self.sent(json={"a": [1, None, "ü"]})
        self.assertEqual(found, b'{"a":[1,null,"\\u00fc"]}')
        self.assertEqual(fields["Content-Type"], "application/json")
        for falsy in (0, False, "", [], {}):
            self.sent(json=falsy)

    def test_none(self) -> None:
        for body in (b"", "", None):
            if body is None:
                continue
            found, fields = self.sent(body=body)
            self.assertEqual((found, fields["Content-Length"]), (b"", "0"))
        self.begin()
        self.assertNotIn("Content-Length", dict(self.peers[0].requests()[-1].headers))

    def test_iterables(self) -> None:
        async def asynchronous() -> AsyncIterator[bytes | str]:
            yield b"ab"
            yield b""
            yield "c"

        def synchronous() -> Iterator[bytes]:
            yield b"ab"
            yield b""
            yield bytearray(b"c")

        for body in ([b"ab", b"", "c"], synchronous(), asynchronous(), (b"abc",), iter([memoryview(b"abc")])):
            found, fields = self.sent(body=body)
            self.assertEqual((found, fields["Transfer-Encoding"]), (b"abc", "chunked"))
        self.assertEqual(len(self.peers), 1)
        found, fields = self.sent(body=[b"ab", b"c"], headers={"Content-Length": "3"})
        self.assertEqual((found, fields.get("Transfer-Encoding")), (b"abc", None))

    def test_files(self) -> None:
        file = io.BytesIO(b"0123456789" * 20_000)
        file.seek(7)
        found, fields = self.sent(body=file)
        self.assertEqual(fields["Content-Length"], "199993")
        self.assertEqual(found, file.getvalue()[7:])
        with tempfile.TemporaryFile() as real:
            real.write(b"abc")
            real.seek(1)
            self.assertEqual(self.sent(body=real)[0], b"bc")
        self.assertEqual(self.sent(body=io.BytesIO())[1]["Content-Length"], "0")

    def test_aFileThatGrows(self) -> None:
        """
        What it had when it was given is sent, and the connection goes on.
        """
        file = io.BytesIO(b"abc")
        outcome = self.begin(method="PUT", body=file, expectContinue=True)
        file.seek(0, io.SEEK_END)
        file.write(b"more")
        self.peers[0].send(CONTINUE)
        self.settle()
        self.assertEqual(self.peers[0].requests()[0].body, b"abc")
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        self.assertPool(1, 1)

    def test_aFileThatShrinks(self) -> None:
        file = io.BytesIO(b"abc")
        outcome = self.begin(method="PUT", body=file, expectContinue=True)
        file.truncate(1)
        self.peers[0].send(CONTINUE)
        self.settle()
        self.assertIsInstance(outcome.error, LocalProtocolError)
        self.assertTrue(self.peers[0].wasReset)
        self.assertPool(0, 0)

    def test_aPipe(self) -> None:
        pieces = [b"ab", b"c", b""]

        class Pipe:
            def read(self, size: int) -> bytes:
                return pieces.pop(0)

        found, fields = self.sent(body=Pipe())
        self.assertEqual((found, fields["Transfer-Encoding"]), (b"abc", "chunked"))

    def test_whatCannotBeSent(self) -> None:
        for options in (
            {"body": 3},
            {"body": {"a": "b"}},
            {"body": None},
            {"body": b"x", "json": 1},
            {"json": float("nan")},
            {"json": object()},
            {"body": "\ud800"},
        ):
            self.assertRaises(InvalidArgument, self.begin, **options)
        self.assertEqual(self.peers, [])

    def test_piecesThatCannotBeSent(self) -> None:
        for body in ([b"ab", 3], iter([None]), io.StringIO("text")):
            outcome = self.begin(method="POST", body=body)
            self.assertIsInstance(outcome.error, InvalidArgument)
            self.assertTrue(self.peers[-1].wasReset, "half a request is no request")
        self.assertPool(0, 0)

    def test_wrongLengths(self) -> None:
        for body, length in (([b"abc"], "2"), ([b"abc"], "4"), ([], "1"), (io.BytesIO(b"abc"), "5")):
            outcome = self.begin(method="POST", body=body, headers={"Content-Length": length})
            self.assertIsInstance(outcome.error, LocalProtocolError)
            self.assertTrue(self.peers[-1].wasReset)
        for length in ("3", "5", "x"):
            outcome = self.begin(method="POST", body=b"abcd", headers={"Content-Length": length})
            self.assertIsInstance(outcome.error, LocalProtocolError)
        self.assertPool(1, 1)


class FailureTests(ClientCase):
    def test_raising(self) -> None:
        """
        What a body raises, the caller gets, and the server sees half a request as such.
        """

        def synchronous() -> Iterator[bytes]:
            yield b"ab"
            raise ZeroDivisionError

        async def asynchronous() -> AsyncIterator[bytes]:
            yield b"ab"
            raise ZeroDivisionError

        for body in (synchronous(), asynchronous()):
            outcome = self.begin(method="POST", body=body)
            self.assertIsInstance(outcome.error, ZeroDivisionError)
            self.assertTrue(self.peers[-1].wasReset)
            self.assertEqual(self.peers[-1].requests(), [])
        self.assertPool(0, 0)

    def test_cancelledByItself(self) -> None:
        """
        A body whose own Deferred is cancelled fails its request; it does not leave it waiting.
        """
        steps = Steps()
        outcome = self.begin(method="POST", body=steps.pieces())
        assert steps.waiting is not None
        steps.waiting.cancel()
        self.settle()
        self.assertIsInstance(outcome.error, CancelledError)
        self.assertTrue(self.peers[0].wasReset)
        self.assertPool(0, 0)

    def test_raisingWhileTheResponseIsRead(self) -> None:
        steps = Steps()
        outcome = self.begin(method="POST", body=steps.pieces())
        self.peers[0].send(head("Content-Length: 4") + b"ab")
        self.settle()
        reading = outcome.value.bytes()
        self.assertNoResult(reading)
        assert steps.waiting is not None
        steps.waiting.errback(ZeroDivisionError())
        self.settle()
        self.failureResultOf(reading)
        self.assertPool(0, 0)

    def test_cancelled(self) -> None:
        """
        With the request its body ends, and what has been opened for it is closed.
        """
        steps = Steps()
        outcome = self.begin(method="POST", body=steps.pieces())
        steps.give(b"ab")
        outcome.deferred.cancel()
        self.settle()
        self.assertIsInstance(outcome.error, CancelledError)
        self.assertTrue(steps.closed)
        self.assertTrue(self.peers[0].wasReset)
        self.assertPool(0, 0)

    def test_lost(self) -> None:
        steps = Steps()
        outcome = self.begin(method="POST", body=steps.pieces())
        self.peers[0].reset()
        self.settle()
        self.assertIsInstance(outcome.error, ConnectionClosed)
        self.assertTrue(steps.closed)

    def test_aBodyThatIgnoresItsEnd(self) -> None:
        """
        The response has come without it. What it still gives never gets among the bytes of the next request.
        """
        waiting: list[Deferred[bytes]] = []

        async def stubborn() -> AsyncIterator[bytes]:
            while True:
                waiting.append(Deferred())
                try:
                    piece = await waiting[-1]
                except Exception:
                    piece = b"GET /smuggled HTTP/1.1\r\n\r\n"
                yield piece

        first = self.begin(method="POST", body=stubborn(), headers={"Content-Length": "3"})
        waiting[-1].callback(b"abc")
        self.settle()
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(first.value.status, 200)
        second = self.begin(method="POST", body=iter([b"next"]))
        for each in waiting:
            if not each.called:
                each.callback(b"more")
        self.settle()
        for peer in self.peers:
            self.assertNotIn(b"smuggled", peer.got)
            self.assertNotIn(b"more", peer.got)
        self.peers[-1].send(OK)
        self.settle()
        self.assertEqual(second.value.status, 200)

    def test_aBodyThatFailsAtItsEnd(self) -> None:
        """
        Its response has come; the failure of its cleanup is nobody else's.
        """

        async def failing() -> AsyncIterator[bytes]:
            try:
                yield b"ab"
                await Deferred()
            finally:
                raise ZeroDivisionError

        outcome = self.begin(method="POST", body=failing())
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(self.body(outcome.value), b"ok")
        self.assertPool(0, 0)
        self.assertTrue(self.peers[0].wasClosed, "closed by FIN: the response was complete")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class EarlyAnswerTests(ClientCase):
    def test_aRefusal(self) -> None:
        """
        The server doesn't want the rest: it is not sent, the response is read, and the connection closed.
        """
        for status in ("413 Content Too Large", "401 Unauthorized", "302 Found", "500 Oops"):
            steps = Steps()
            outcome = self.begin(method="POST", body=steps.pieces(), redirects=0)
            steps.give(b"ab")
            self.settle()
            self.peers[-1].send(answer(b"no", status=status))
            self.settle()
            self.assertEqual(self.body(outcome.value), b"no")
            self.assertTrue(steps.closed)
            self.assertFalse(self.peers[-1].got.endswith(b"0\r\n\r\n"))
            self.assertTrue(self.peers[-1].wasClosed)
        self.assertPool(0, 0)

    def test_bothAtOnce(self) -> None:
        """
        A response of success goes on beside the request.
        """
        steps = Steps()
        outcome = self.begin(method="POST", body=steps.pieces())
        self.peers[0].send(head("Transfer-Encoding: chunked"))
        self.settle()
        response = outcome.value
        stream = response.stream()
        for piece in (b"one", b"two"):
            steps.give(piece)
            self.settle()
            self.assertTrue(self.peers[0].got.endswith(b"3\r\n" + piece + b"\r\n"))
            reading = self.begin_(stream.__anext__())
            self.peers[0].send(b"3\r\n" + piece + b"\r\n")
            self.settle()
            self.assertEqual(self.successResultOf(reading), piece)
        steps.give(None)
        self.settle()
        self.peers[0].send(b"0\r\n\r\n")
        self.settle()
        self.assertEqual(self.peers[0].requests()[0].body, b"onetwo")
        self.failureResultOf(self.begin_(stream.__anext__()), StopAsyncIteration)
        self.assertPool(1, 1)

    def begin_(self, awaitable: Any) -> Deferred[Any]:
        async def run() -> Any:
            return await awaitable

        return ensureDeferred(run())

    def test_aWholeAnswerBeforeTheBodyEnds(self) -> None:
        steps = Steps()
        outcome = self.begin(method="POST", body=steps.pieces())
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(self.body(outcome.value), b"ok")
        self.assertTrue(steps.closed)
        self.assertPool(0, 0)
        self.assertTrue(self.peers[0].wasClosed)

    def test_aServerThatReadsNothing(self) -> None:
        """
        Its early answer is read all the same, and no more is taken of the body than there is room for.
        """
        self.reads = False
        self.listen(window=10_000)
        taken = 0

        def endless() -> Iterator[bytes]:
            nonlocal taken
            while True:
                taken += 10_000
                yield bytes(10_000)

        pool = self.pool()
        outcome = self.begin(method="POST", body=endless(), pool=pool)
        self.assertLess(taken, 500_000)
        self.peers[0].send(answer(b"no", status="413 No"))
        self.settle()
        self.assertEqual(self.body(outcome.value), b"no")


class ExpectTests(ClientCase):
    def expecting(self, **options: Any) -> Any:
        outcome = self.begin(method="POST", body=b"body", expectContinue=True, **options)
        self.assertTrue(self.peers[-1].got.endswith(b"\r\n\r\n"), "the head alone")
        return outcome

    def test_continue(self) -> None:
        outcome = self.expecting()
        self.advance(CONTINUE_TIMEOUT / 2)
        self.peers[0].send(CONTINUE)
        self.settle()
        self.assertTrue(self.peers[0].got.endswith(b"\r\n\r\nbody"))
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        self.assertPool(1, 1)

    def test_withoutContinue(self) -> None:
        """
        A server that knows nothing of it gets the body after a second.
        """
        outcome = self.expecting()
        self.advance(CONTINUE_TIMEOUT - 0.01)
        self.assertTrue(self.peers[0].got.endswith(b"\r\n\r\n"))
        self.advance(0.02)
        self.assertTrue(self.peers[0].got.endswith(b"\r\n\r\nbody"))
        # A late one is no answer, and does no harm.
        self.peers[0].send(CONTINUE + OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        self.assertPool(1, 1)

    def test_aFinalAnswerFirst(self) -> None:
        """
        The body is never sent; the connection closes, as the server can't know that.
        """
        for status in ("200 OK", "401 No", "413 No", "500 No"):
            outcome = self.expecting()
            self.peers[-1].send(answer(b"x", status=status))
            self.settle()
            self.assertEqual(self.body(outcome.value), b"x")
            self.advance(2 * CONTINUE_TIMEOUT)
            self.assertTrue(self.peers[-1].got.endswith(b"\r\n\r\n"))
            self.assertTrue(self.peers[-1].wasClosed)
        self.assertPool(0, 0)

    def test_expectationFailed(self) -> None:
        """
        RFC 9110 section 10.1.1: the request is sent again without the expectation.
        """
        outcome = self.expecting()
        self.peers[0].send(answer(status="417 Expectation Failed"))
        self.settle()
        (request,) = self.peers[1].requests()
        self.assertEqual(request.body, b"body")
        self.assertNotIn("Expect", request.headers)
        self.peers[1].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        # Without an expectation it is an answer as any other.
        outcome = self.begin(method="POST", body=b"body")
        self.peers[1].send(answer(status="417 Expectation Failed"))
        self.settle()
        self.assertEqual(outcome.value.status, 417)

    def test_lostWhileWaiting(self) -> None:
        for end in ("reset", "close"):
            outcome = self.expecting()
            getattr(self.peers[-1], end)()
            self.settle()
            self.assertIsNotNone(outcome.error)
        outcome = self.expecting()
        outcome.deferred.cancel()
        self.settle()
        self.assertPool(0, 0)
