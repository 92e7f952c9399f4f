"""
Servers that mean harm, or are broken. Each ends with the documented error: nothing hangs, nothing is left, and no bytes
are taken for what they aren't.
"""

from __future__ import annotations

import gzip
import zlib
from typing import Any

from twisted.internet.defer import ensureDeferred

from wasinet_twisted.client import Timeouts
from wasinet_twisted.client.decoding import DecodingLimits, acceptEncoding
from wasinet_twisted.client.protocol import HttpClientProtocol
from wasinet_twisted.errors import (
    ConnectionClosed,
    ContentError,
    IncompleteRead,
    MessageTooLarge,
    RemoteProtocolError,
    TimedOut,
    TooManyRedirects,
    WasinetError,
)
from wasinet_twisted.http import ClientConnection, Limits
from wasinet_twisted.testing import Link

from .support import CONTINUE, OK, ClientCase, Outcome, Peer, answer, chunked, head

END = {"FIN": Peer.finish, "close": Peer.close, "RST": Peer.reset}


class NonsenseTests(ClientCase):
    def refused(self, reply: bytes, error: type[WasinetError] = RemoteProtocolError, **options: Any) -> str:
        outcome = self.begin(**options)
        self.peers[-1].send(reply)
        self.settle()
        self.assertIsInstance(outcome.error, error)
        self.assertTrue(self.peers[-1].wasReset)
        self.assertPool(0, 0)
        return str(outcome.error)

    def test_heads(self) -> None:
        for reply in (
            b"\0" * 100 + b"\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            self.refused(reply)

    def test_endlessHead(self) -> None:
        """
        Fields without end, one field without end, a status line without end, empty lines without end.
        """
        for begins, goesOn in (
            (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
            (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
            (b"HTTP/1.1 200 ", b"O"),
            (b"", b"\r\n"),
        ):
            outcome = self.begin()
            self.peers[-1].send(begins)
            sent = 0
            while outcome.pending and sent < 1_000_000:
                self.peers[-1].send(goesOn * (10_000 // len(goesOn)))
                sent += 10_000
                self.settle()
            self.assertIsInstance(outcome.error, RemoteProtocolError)
            self.assertLess(sent, 200_000)
        self.assertPool(0, 0)

    def test_endlessInterimResponses(self) -> None:
        """
        Fast or slow.
        """
        self.refused(CONTINUE * 100)
        outcome = self.begin(timeout=Timeouts(head=10))
        for _ in range(11):
            self.assertTrue(outcome.pending)
            self.peers[-1].send(CONTINUE)
            self.advance(5)
        self.assertIsInstance(outcome.error, RemoteProtocolError)

    def test_endlessTrailersAndChunkLines(self) -> None:
        for begins, goesOn in ((b"0\r\n", b"X: y\r\n"), (b"1;", b"x"), (b"1", b"0")):
            response = self.fetch(head("Transfer-Encoding: chunked") + begins)
            reading = Outcome(response.bytes())
            for _ in range(100):
                self.peers[-1].send(goesOn * (10_000 // len(goesOn)))
                self.settle()
                if not reading.pending:
                    break
            self.assertIsInstance(reading.error, RemoteProtocolError)
        self.assertPool(0, 0)

    def test_chunks(self) -> None:
        for body in (b"x\r\n", b"-1\r\n", b"0x1\r\na\r\n", b"1\r\nab\r\n", b"1\na\n", b"ffffffffffffffffff\r\n"):
            response = self.fetch(head("Transfer-Encoding: chunked") + body)
            self.failureResultOf(response.bytes(), RemoteProtocolError)
            self.settle()
            self.assertTrue(self.peers[-1].wasReset)
        self.assertPool(0, 0)

    def test_redirectLoops(self) -> None:
        for location in ("/", "http://origin.test/", "/again"):
            outcome = self.begin(redirects=5)
            for _ in range(6):
                self.assertTrue(outcome.pending)
                self.peers[-1].send(answer(b"", f"Location: {location}", status="302 Found"))
                self.settle()
            self.assertIsInstance(outcome.error, TooManyRedirects)
        self.assertEqual(len(self.peers[0].requests()), 18)
        self.assertPool(1, 1)

    def test_redirectsToNowhere(self) -> None:
        """
        Its body, which never ends, holds nothing.
        """
        for location in ("ftp://x/", "http://", "http://user:p@x/", "http://[/", "//x:99999/"):
            outcome = self.begin()
            reply = head("Content-Length: 100", f"Location: {location}", status="302 Found")
            self.peers[-1].send(reply + b"some")
            self.settle()
            self.assertIsInstance(outcome.error, RemoteProtocolError, location)
            self.assertPool(0, 0)
        outcome = self.begin()
        self.peers[-1].send(head("Content-Length: 100", "Location: /a", "Location: /b", status="302 Found"))
        self.settle()
        self.assertIsInstance(outcome.error, RemoteProtocolError)
        self.assertPool(0, 0)

    def test_theBodyOfARedirectIsCut(self) -> None:
        """
        The head has said all.
        """
        for end in END.values():
            outcome = self.begin()
            self.peers[-1].send(head("Content-Length: 100", "Location: /there", status="302 Found") + b"some")
            end(self.peers[-1])
            self.settle()
            self.peers[-1].send(OK)
            self.settle()
            self.assertEqual(outcome.value.status, 200)

    def test_slowDrip(self) -> None:
        """
        A byte now and then has no end of its own; the total time has.
        """
        for drip in (OK[:17], head("Content-Length: 1000000")):
            self.listen()
            pool = self.pool(Timeouts(head=None, read=50, total=1000))
            reading = self.whole(pool=pool)
            for position in range(200):
                self.peers[0].send(drip[position : position + 1] or b"x")
                self.advance(10)
            self.assertIsInstance(reading.error, TimedOut)
            self.assertEverythingIsGone(pool)


class UnaskedTests(ClientCase):
    """
    Bytes that answer nothing are never taken for an answer.
    """

    def test_beforeTheRequestIsSent(self) -> None:
        """
        The connection is refused, as nobody can say what the bytes answer. So is one that has ended.
        """
        for sent, error in ((OK, RemoteProtocolError), (b"", ConnectionClosed)):
            link = Link(self.clock)
            protocol, server = HttpClientProtocol(self.clock), Peer(sent)
            link.beginClient(protocol)
            link.beginServer(server)
            if not sent:
                server.finish()
            self.settle()
            self.assertRaises(error, protocol.speak, ClientConnection())
            self.settle()
            self.assertTrue(server.wasReset)

    def test_whileTheRequestIsSent(self) -> None:
        """
        An answer to its head, perhaps; it is the last on its connection.
        """
        outcome = self.begin(method="POST", body=b"body", expectContinue=True)
        self.peers[0].send(OK + answer(b"second"))
        self.settle()
        self.assertEqual(self.body(outcome.value), b"ok")
        self.assertPool(0, 0)

    def test_onAKeptConnection(self) -> None:
        for gap in (0.0, 0.01, 1.0):
            self.listen()
            pool = self.pool()
            self.assertEqual(self.body(self.fetch(answer(b"first"), pool=pool)), b"first")
            self.advance(gap)
            self.peers[0].send(answer(b"nobody asked"))
            self.settle()
            self.assertPool(0, 0, pool=pool)
            self.assertTrue(self.peers[0].wasReset)
            outcome = self.begin(pool=pool)
            self.peers[1].send(answer(b"second"))
            self.settle()
            self.assertEqual(self.body(outcome.value), b"second")

    def test_behindAnAnswer(self) -> None:
        """
        The answer is good; the connection isn't.
        """
        for reply in (answer(b"first"), chunked(b"first")):
            for more_ in (answer(b"second"), b"\r\n", b"x"):
                response = self.fetch(reply + more_)
                self.assertEqual(self.body(response), b"first")
                self.settle()
                self.assertTrue(self.peers[-1].wasReset)
                self.assertPool(0, 0)

    def test_behindAnAnswerForOneWhoWaits(self) -> None:
        self.pool(perOrigin=1)
        first, second = self.begin(), self.begin()
        self.peers[0].send(answer(b"first") + answer(b"for nobody"))
        self.settle()
        self.assertEqual(self.body(first.value), b"first")
        self.assertTrue(second.pending)
        self.peers[1].send(answer(b"second"))
        self.settle()
        self.assertEqual(self.body(second.value), b"second")

    def test_bodyOfAHead(self) -> None:
        """
        A server that sends one all the same.
        """
        response = self.fetch(answer(b"HTTP/1.1 200 OK\r\n\r\n"), method="HEAD")
        self.assertEqual(self.body(response), b"")
        self.settle()
        self.assertPool(0, 0)
        self.assertTrue(self.peers[0].wasReset)

    def test_afterACancelledRequest(self) -> None:
        """
        Its late answer meets a connection that is gone.
        """
        outcome = self.begin()
        outcome.deferred.cancel()
        self.peers[0].send(answer(b"late"))
        second = self.begin()
        self.peers[1].send(answer(b"second"))
        self.settle()
        self.assertEqual(self.body(second.value), b"second")


def packed(name: str, data: bytes) -> bytes:
    if name == "gzip":
        return gzip.compress(data)
    if name == "deflate":
        return zlib.compress(data)
    if name == "br":
        import brotli

        return bytes(brotli.compress(data))
    from backports import zstd

    return bytes(zstd.compress(data))


class BombTests(ClientCase):
    def test_eachCoding(self) -> None:
        """
        By the ratio, and by the size; streamed and whole.
        """
        zeros = bytes(20_000_000)
        for name in acceptEncoding().split(", "):
            reply = answer(packed(name, zeros), f"Content-Encoding: {name}")
            self.listen()
            self.failureResultOf(self.fetch(reply, pool=self.pool()).bytes(), MessageTooLarge)
            pool = self.pool(decoding=DecodingLimits(ratio=1e9, decoded=1_000_000))
            response = self.fetch(reply, pool=pool)
            size = 0

            async def stream(response: Any = response) -> None:
                nonlocal size
                async for piece in response.stream():
                    size += len(piece)

            self.failureResultOf(ensureDeferred(stream()), MessageTooLarge)
            self.assertLessEqual(size, 1_000_000)

    def test_aBombThatIsStillComing(self) -> None:
        """
        The rest of it is not waited for.
        """
        reply = answer(gzip.compress(bytes(20_000_000)), "Content-Encoding: gzip")
        response = self.fetch(reply[:-100])
        self.failureResultOf(response.bytes(), MessageTooLarge)
        self.settle()
        self.assertTrue(self.peers[0].wasReset)
        self.assertPool(0, 0)

    def test_stacked(self) -> None:
        """
        More codings than anybody needs are refused with the response; over a new connection and over a kept one.
        """
        for _ in range(2):
            outcome = self.begin()
            self.peers[-1].send(head("Content-Length: 1000", "Content-Encoding: " + ", ".join(["gzip"] * 10)) + b"x")
            self.settle()
            self.assertIsInstance(outcome.error, ContentError)
            self.assertTrue(self.peers[-1].wasReset)
            self.assertPool(0, 0)
            self.fetch(OK)

    def test_nonsense(self) -> None:
        for name in acceptEncoding().split(", "):
            whole = packed(name, b"body" * 100)
            for body, error in (
                (b"nonsense" * 10, ContentError),
                (whole[:-3], IncompleteRead),
                (whole + b"nonsense" * 10, ContentError),
            ):
                response = self.fetch(answer(body, f"Content-Encoding: {name}"))
                self.failureResultOf(response.bytes(), error)
        self.assertEqual(len(self.peers), 1, "the framing was good")


class MemoryTests(ClientCase):
    def test_aLargerBodyThanTheBound(self) -> None:
        self.pool(message=Limits(responseBody=100_000))
        for reply in (head("Content-Length: 100000000"), head(), head("Transfer-Encoding: chunked") + b"fffffff\r\n"):
            response = self.fetch(reply)
            reading = Outcome(response.bytes())
            for _ in range(5):
                self.peers[-1].send(bytes(50_000))
                self.settle()
            self.assertIsInstance(reading.error, MessageTooLarge)
            self.assertTrue(self.peers[-1].wasReset)
        self.assertPool(0, 0)
