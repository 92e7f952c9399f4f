"""
One connection of the server, over transports in memory and by a Clock.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support import MemoryPeer, temporaryDirectory
from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.http import Buffer, Limits, WasiRequest, WasiResponse
from wasinet_twisted.server import AccessLog, HttpServer, Request, ServerLimits
from wasinet_twisted.server.serving import TICK

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def echo(request: WasiRequest) -> WasiResponse:
    return WasiResponse(body=b"echo:" + request.body)


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


class ServerCase(SynchronousTestCase):
    """
    A server in memory.

    @ivar handler: makes the responses.
    @ivar seen: the requests that reached it.
    """

    limits = Limits(body=1000)
    accessLog: AccessLog | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = echo
        self.seen: list[WasiRequest] = []
        limits = ServerLimits(message=self.limits)
        self.factory = HttpServer(self.answer, limits=limits, accessLog=self.accessLog, reactor=self.clock)

    async def answer(self, request: Request) -> WasiResponse:
        """
        Read the body, and hand the whole message to the handler.
        """
        body = await request.read()
        message = WasiRequest(
            request.method, request.uri, request.headers, body, request.version, request.trailers or ()
        )
        self.seen.append(message)
        return self.handler(message)

    def connect(self, *sent: bytes, halfClose: bool = True) -> MemoryPeer:
        peer = MemoryPeer(self.factory, self.clock, halfClose=halfClose)
        # What is left waiting would be woken by the garbage collector, in the midst of another test.
        self.addCleanup(peer.reset)
        for data in sent:
            peer.send(data)
        return peer

    def responses(self, data: bytes, *methods: str) -> list[WasiResponse]:
        """
        The responses that C{data} holds, and nothing but them.
        """
        buffer = Buffer("response")
        buffer.append(data)
        found = []
        left = list(methods)
        while (response := buffer.parseResponse(left.pop(0) if left else None)) is not None:
            found.append(response)
        self.assertEqual(len(buffer), 0)
        return found

    def assertClosed(self, peer: MemoryPeer) -> None:
        self.assertTrue(peer.gone)
        self.assertFalse(peer.aborted, "reset, not closed")
        self.assertEqual(self.factory.tasks, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def assertOpen(self, peer: MemoryPeer) -> None:
        self.assertFalse(peer.gone or peer.transport.disconnecting)

    def assertRefused(self, peer: MemoryPeer, status: int) -> WasiResponse:
        """
        The one answer is an error that announces the close, and what comes after it is not served.
        """
        (response,) = self.responses(peer.take())
        self.assertEqual(response.status, status)
        self.assertEqual(response.headers["Connection"], "close")
        served = len(self.seen)
        peer.send(b"GET /after HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(peer.take(), b"")
        self.assertEqual(len(self.seen), served)
        peer.end()
        self.assertClosed(peer)
        return response


class AnswerTests(ServerCase):
    def test_echo(self) -> None:
        peer = self.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nWasmEdge")
        answer = b"HTTP/1.1 200 OK\r\n%bContent-Length: 13\r\n\r\necho:WasmEdge" % self.factory.dateLine
        self.assertEqual(peer.take(), answer)

    def test_theHandlerSeesTheRequest(self) -> None:
        self.connect(
            b"PUT /a?b HTTP/1.1\r\nHost: x\r\nA: 1\r\nA: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ab")
        )
        (request,) = self.seen
        self.assertEqual((request.method, request.uri, request.version), ("PUT", "/a?b", "HTTP/1.1"))
        self.assertEqual(request.headers.getall("a"), ["1", "2"])
        self.assertEqual(request.body, b"ab")

    def test_byteByByte(self) -> None:
        text = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"Wasm", b"Edge")
        peer = self.connect(*(text[i : i + 1] for i in range(len(text))))
        (response,) = self.responses(peer.take())
        self.assertEqual(response.body, b"echo:WasmEdge")
        self.assertOpen(peer)

    def test_pipelinedInOrder(self) -> None:
        texts = [b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % (i, i) for i in range(9)]
        peer = self.connect(b"".join(texts))
        self.assertEqual(
            [response.body for response in self.responses(peer.take())], [b"echo:%d" % i for i in range(9)]
        )
        self.assertOpen(peer)

    def test_manyPipelined(self) -> None:
        """
        More than are answered in one turn of the reactor.
        """
        peer = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        for _ in range(20):
            peer.settle()
        self.assertEqual(len(self.responses(peer.take())), 1000)
        self.assertOpen(peer)

    def test_head(self) -> None:
        """
        The fields of a GET without its body, and the next answer follows at once.
        """
        peer = self.connect(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = peer.take()
        begin = b"HTTP/1.1 200 OK\r\n%bContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n" % self.factory.dateLine
        self.assertTrue(data.startswith(begin), data)
        self.assertEqual([r.body for r in self.responses(data, "HEAD", "GET")], [b"", b"echo:"])

    def test_aPeerThatTakesNothing(self) -> None:
        """
        Requests aren't answered beyond what the peer takes.
        """
        peer = self.connect()
        peer.stall()
        peer.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.seen, [])
        peer.flow()
        self.assertEqual([request.uri for request in self.seen], ["/1", "/2"])

    def test_aPeerThatEndsItsDirectionIsAnswered(self) -> None:
        peer = self.connect()
        peer.stall()
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        peer.end()
        self.assertFalse(peer.gone)
        peer.flow()
        self.assertEqual(len(self.responses(peer.take())), 2)
        self.assertClosed(peer)

    def test_aPeerThatResets(self) -> None:
        """
        There is nobody to answer, and nothing to log.
        """
        for sent in (b"", b"GET / HTTP", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"):
            peer = self.connect(sent)
            peer.reset()
            self.assertEqual(peer.take(), b"")
            self.assertEqual(self.factory.tasks, set())

    def test_aPeerThatResetsBeforeItHasTakenTheAnswer(self) -> None:
        for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n"):
            peer = self.connect()
            peer.stall()
            peer.send(sent)
            peer.reset()
            self.assertEqual(self.factory.tasks, set())
            self.assertEqual(self.clock.getDelayedCalls(), [])


class KeepAliveTests(ServerCase):
    def keeps(self, version: str, connection: str | None) -> bool:
        """
        Does the connection go on after such a request? The answer has to say what then happens.
        """
        field = "" if connection is None else f"Connection: {connection}\r\n"
        text = f"GET / {version}\r\nHost: x\r\n{field}\r\n".encode()
        peer = self.connect(text)
        (response,) = self.responses(peer.take())
        peer.send(text)
        again = self.responses(peer.take())
        if again:
            self.assertNotEqual(response.headers.get("Connection"), "close")
            self.assertOpen(peer)
            peer.end()
            self.assertEqual(peer.take(), b"")
        else:
            self.assertEqual(response.headers.get("Connection"), "close")
        self.assertClosed(peer)
        if again and version == "HTTP/1.0":
            self.assertEqual(response.headers["Connection"], "keep-alive")
        return bool(again)

    def test_http11(self) -> None:
        self.assertTrue(self.keeps("HTTP/1.1", None))
        self.assertTrue(self.keeps("HTTP/1.1", "keep-alive"))
        self.assertTrue(self.keeps("HTTP/1.1", "upgrade, closer"))

    def test_http11Close(self) -> None:
        for token in ("close", "Close", "upgrade, close", "keep-alive,\tCLOSE "):
            self.assertFalse(self.keeps("HTTP/1.1", token), token)

    def test_http10(self) -> None:
        self.assertFalse(self.keeps("HTTP/1.0", None))
        self.assertFalse(self.keeps("HTTP/1.0", "upgrade"))
        self.assertFalse(self.keeps("HTTP/1.0", "keep-alive, close"))

    def test_http10KeepAlive(self) -> None:
        self.assertTrue(self.keeps("HTTP/1.0", "keep-alive"))
        self.assertTrue(self.keeps("HTTP/1.0", "x, Keep-Alive"))

    def test_theHandlersCloseIsRespected(self) -> None:
        self.handler = lambda request: WasiResponse(headers={"Connection": "close"})
        for version in ("HTTP/1.1", "HTTP/1.0"):
            self.assertFalse(self.keeps(version, "keep-alive"))

    def test_nothingIsServedAfterAClose(self) -> None:
        peer = self.connect(
            b"GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        self.assertEqual(len(self.responses(peer.take())), 1)
        self.assertEqual([request.uri for request in self.seen], ["/1"])
        # What came after it might make the kernel reset the connection before the answer is read.
        self.assertOpen(peer)
        peer.end()
        self.assertClosed(peer)

    def test_theEndBetweenTwoRequests(self) -> None:
        """
        No error: not before the first, not after one, not after an empty line that some clients send.
        """
        for sent in (b"", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n"):
            peer = self.connect(sent)
            answers = len(self.responses(peer.take()))
            self.assertEqual(answers, int(b"GET" in sent))
            self.assertOpen(peer)
            peer.end()
            self.assertEqual(peer.take(), b"")
            self.assertClosed(peer)


class ExpectTests(ServerCase):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"

    def test_beforeTheBody(self) -> None:
        peer = self.connect(self.head + b"Content-Length: 2\r\n\r\n")
        self.assertEqual(peer.take(), CONTINUE)
        peer.send(b"ab")
        (response,) = self.responses(peer.take())
        self.assertEqual(response.body, b"echo:ab")

    def test_chunked(self) -> None:
        peer = self.connect(self.head + b"Transfer-Encoding: chunked\r\n\r\n")
        self.assertEqual(peer.take(), CONTINUE)
        peer.send(chunked(b"ab"))
        (response,) = self.responses(peer.take())
        self.assertEqual(response.body, b"echo:ab")

    def test_caseDoesNotMatter(self) -> None:
        peer = self.connect(b"POST / HTTP/1.1\r\nHost: x\r\nexpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
        self.assertEqual(peer.take(), CONTINUE)

    def test_notIfTheBodyHasBegun(self) -> None:
        peer = self.connect(self.head + b"Content-Length: 2\r\n\r\na")
        self.assertEqual(peer.take(), b"")
        peer.send(b"b")
        (response,) = self.responses(peer.take())
        self.assertEqual((response.status, response.body), (200, b"echo:ab"))

    def test_notWithoutABody(self) -> None:
        for framing in (b"", b"Content-Length: 0\r\n", b"Content-Length: 00\r\n"):
            peer = self.connect(self.head + framing + b"\r\n")
            (response,) = self.responses(peer.take())
            self.assertEqual(response.status, 200)

    def test_http10DidNotKnowIt(self) -> None:
        for expectation in (b"100-continue", b"the best"):
            peer = self.connect(b"POST / HTTP/1.0\r\nExpect: %b\r\nContent-Length: 2\r\n\r\n" % expectation)
            self.assertEqual(peer.take(), b"")
            peer.send(b"ab")
            (response,) = self.responses(peer.take())
            self.assertEqual(response.body, b"echo:ab")

    def test_otherExpectations(self) -> None:
        for expectation in (b"the best", b"100-continue, the best", b"", b"100-continue\r\nExpect: 100-continue"):
            peer = self.connect(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: %b\r\nContent-Length: 2\r\n\r\n" % expectation)
            self.assertRefused(peer, 417)
        self.assertEqual(self.seen, [])

    def test_forTheSecondRequestToo(self) -> None:
        peer = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + self.head + b"Content-Length: 2\r\n\r\n")
        self.assertTrue(peer.take().endswith(CONTINUE))


class RefusalTests(ServerCase):
    def test_malformed(self) -> None:
        for sent in (
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ):
            self.assertRefused(self.connect(sent), 400)
        self.assertEqual(self.seen, [])

    def test_theParsersStatus(self) -> None:
        for sent, status in (
            (b"GET / HTTP/2.0\r\n\r\n", 505),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40000, 431),
            (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ):
            self.assertRefused(self.connect(sent), status)

    def test_theReasonIsInTheBody(self) -> None:
        response = self.assertRefused(self.connect(b"GET  / HTTP/1.1\r\n\r\n"), 400)
        self.assertEqual(response.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertIn(b"request line", response.body)

    def test_afterGoodOnes(self) -> None:
        """
        Those before are answered first.
        """
        peer = self.connect(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + b"nonsense\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        self.assertEqual([response.status for response in self.responses(peer.take())], [200, 200, 400])
        self.assertEqual(len(self.seen), 2)

    def test_incompleteAtTheEnd(self) -> None:
        for sent in (
            b"GET",
            b"GET / HTTP/1.1\r\nHost: x\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcd",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
        ):
            peer = self.connect(sent)
            self.assertEqual(peer.take(), b"")
            peer.end()
            (response,) = self.responses(peer.take())
            self.assertEqual((response.status, response.headers["Connection"]), (400, "close"))
            self.assertClosed(peer)
        self.assertEqual(self.seen, [])

    def test_headWithoutABody(self) -> None:
        """
        A refusal to HEAD has no body either.
        """
        peer = self.connect(b"HEAD / HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n")
        (response,) = self.responses(peer.take(), "HEAD")
        self.assertEqual(response.status, 417)

    def test_connect(self) -> None:
        peer = self.connect(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n\x16\x03\x01")
        self.assertRefused(peer, 501)
        self.assertEqual([request.method for request in self.seen], ["CONNECT"])
        # Any other answer is the handler's affair.
        self.handler = lambda request: WasiResponse(403)
        peer = self.connect(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n")
        self.assertEqual(self.responses(peer.take())[0].status, 403)
        self.assertClosed(peer)

    def test_connectWithA101(self) -> None:
        """
        That is a mistake of the handler's, as it is for any other method.
        """
        self.handler = lambda request: WasiResponse(101)
        for method, target in ((b"CONNECT", b"x:1"), (b"GET", b"/")):
            peer = self.connect(b"%b %b HTTP/1.1\r\nHost: x\r\n\r\n" % (method, target))
            (response,) = self.responses(peer.take())
            self.assertEqual(response.status, 500)
            self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)

    def test_largestBody(self) -> None:
        body = b"a" * 1000
        for framed in (b"Content-Length: 1000\r\n\r\n" + body, b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body)):
            peer = self.connect(b"POST / HTTP/1.1\r\nHost: x\r\n" + framed)
            (response,) = self.responses(peer.take())
            self.assertEqual((response.status, response.body), (200, b"echo:" + body))

    def test_tooLargeByItsLength(self) -> None:
        """
        Before any of the body has come, expected or not.
        """
        for expect in (b"", b"Expect: 100-continue\r\n"):
            peer = self.connect(b"POST / HTTP/1.1\r\nHost: x\r\n" + expect + b"Content-Length: 1001\r\n\r\n")
            self.assertRefused(peer, 413)
        self.assertEqual(self.seen, [])

    def test_tooLargeWhileStreaming(self) -> None:
        peer = self.connect(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(2):
            peer.send(b"1f4\r\n" + b"a" * 500 + b"\r\n")
            self.assertEqual(peer.take(), b"")
        peer.send(b"1\r\na\r\n")
        self.assertRefused(peer, 413)
        self.assertEqual(self.seen, [])

    def test_tooLargeInsideOneChunk(self) -> None:
        """
        A chunk that never ends isn't waited for.
        """
        peer = self.connect(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n" + b"a" * 1001
        )
        self.assertRefused(peer, 413)


class FailingHandlerTests(ServerCase):
    def fail(
        self, handler: object, sent: bytes = b"POST /secret HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    ) -> str:
        """
        A request whose handler fails is answered with 500, closed, and logged once.

        @return: what was logged.
        """
        self.handler = handler
        with capturedLogs() as events:
            peer = self.connect(sent + b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        data = peer.take()
        (response,) = self.responses(data, sent.split()[0].decode())
        body = b"" if sent.startswith(b"HEAD") else b"Internal Server Error\n"
        self.assertEqual((response.status, response.body, response.headers["Connection"]), (500, body, "close"))
        self.assertNotIn(b"hunter2", data)
        self.assertEqual(len(self.seen), 1)
        peer.end()
        self.assertClosed(peer)
        (event,) = events
        return formatEvent(event)

    def test_raises(self) -> None:
        def handler(request: WasiRequest) -> WasiResponse:
            raise LookupError("hunter2")

        message = self.fail(handler)
        self.assertIn("POST /secret HTTP/1.1", message)
        self.assertIn("192.0.2.1", message)
        (failure,) = self.flushLoggedErrors(LookupError)
        self.assertEqual(str(failure.value), "'hunter2'" if "'" in str(failure.value) else "hunter2")

    def test_raisesForHead(self) -> None:
        def handler(request: WasiRequest) -> WasiResponse:
            raise LookupError("hunter2")

        self.fail(handler, b"HEAD /secret HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_givesWhatCannotBeSent(self) -> None:
        """
        A response that can't be encoded is the handler's failure; nothing of it has been sent.
        """
        for response in (WasiResponse(204, body=b"hunter2"), WasiResponse(headers={"A": "hunter2\r\n"})):
            self.seen.clear()
            self.assertIn("POST /secret", self.fail(lambda request, given=response: given))
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_givesNoResponse(self) -> None:
        for given in (None, b"hunter2"):
            self.seen.clear()
            self.fail(lambda request, given=given: given)
            self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)

    def test_othersDoNotNotice(self) -> None:
        def handler(request: WasiRequest) -> WasiResponse:
            if request.uri == "/bad":
                raise LookupError
            return echo(request)

        self.handler = handler
        good = self.connect(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
        self.connect(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        good.send(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual([response.status for response in self.responses(good.take())], [200, 200])
        self.assertOpen(good)


class LingerTests(ServerCase):
    """
    After a refusal the peer is let finish, so that it reads the answer before it finds the connection reset.
    """

    def refused(self, halfClose: bool = True) -> MemoryPeer:
        peer = self.connect(b"nonsense\r\n\r\n", halfClose=halfClose)
        self.assertEqual(len(self.responses(peer.take())), 1)
        return peer

    def test_ourDirectionIsEndedAtOnce(self) -> None:
        peer = self.refused()
        self.assertEqual(self.successResultOf(peer.conn.read()), b"")
        self.assertOpen(peer)

    def test_whatComesIsThrownAway(self) -> None:
        peer = self.refused()
        for _ in range(100):
            peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(peer.link.toServer.arrived, b"")
        self.assertEqual(peer.take(), b"")
        self.assertEqual(self.seen, [])
        peer.end()
        self.assertClosed(peer)

    def test_closesAfterTwoSeconds(self) -> None:
        peer = self.refused()
        peer.link.advance(1.9)
        self.assertOpen(peer)
        peer.link.advance(0.1 + TICK)
        self.assertClosed(peer)

    def test_thePeersBytesProlongNothing(self) -> None:
        for halfClose in (True, False):
            with self.subTest(halfClose=halfClose):
                self.trickle(self.refused(halfClose=halfClose))

    def trickle(self, peer: MemoryPeer) -> None:
        for _ in range(18):
            peer.link.advance(0.1)
            peer.send(b"more")
        self.assertOpen(peer)
        for _ in range(8):
            peer.link.advance(0.1)
            peer.send(b"more")
        self.assertClosed(peer)

    def test_thePeersBytesHaveABound(self) -> None:
        peer = self.refused()
        piece = bytes(1024 * 1024)
        for _ in range(63):
            peer.send(piece)
        self.assertOpen(peer)
        for _ in range(32):
            peer.send(piece)
        self.assertClosed(peer)

    def test_withoutHalfClose(self) -> None:
        """
        Over TLS the answer goes first, and the close comes when the peer is done or the time has passed.
        """
        peer = self.refused(halfClose=False)
        self.assertOpen(peer)
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(peer.take(), b"")
        peer.link.advance(2 + TICK)
        self.assertClosed(peer)

    def test_withoutHalfCloseThePeerEndsIt(self) -> None:
        peer = self.refused(halfClose=False)
        peer.end()
        self.assertEqual(self.factory.tasks, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_thePeerResets(self) -> None:
        peer = self.refused()
        peer.reset()
        self.assertEqual(self.factory.tasks, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_aPeerThatTakesNothing(self) -> None:
        """
        The time is bounded for a peer, too, that never reads the answer: then the connection is reset.
        """

        peer = self.connect()
        peer.stall()
        peer.send(b"nonsense\r\n\r\n")
        peer.link.advance(40)
        self.assertTrue(peer.gone)
        self.assertTrue(peer.aborted)
        self.assertEqual(self.factory.tasks, set())


class LoggedRequestTests(ServerCase):
    """
    What the access log is told.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = temporaryDirectory(self) / "file"
        self.accessLog = self.factory.accessLog = AccessLog(str(self.path), reactor=self.clock)

    def lines(self) -> list[str]:
        """
        The lines without host and time.
        """
        assert self.accessLog is not None
        self.accessLog.close()
        lines = self.path.read_text().splitlines()
        for line in lines:
            self.assertTrue(line.startswith("192.0.2.1 - - ["), line)
        return [line.partition("] ")[2] for line in lines]

    def test_answers(self) -> None:
        self.connect(
            b"POST /1 HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\nContent-Length: 2\r\n\r\nab",
            b"HEAD /2 HTTP/1.1\r\nHost: x\r\nReferer: there\r\n\r\n",
            b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        ).reset()
        self.assertEqual(
            self.lines(),
            [
                '"POST /1 HTTP/1.1" 200 7 "-" "me" 0.000000 - - -',
                '"HEAD /2 HTTP/1.1" 200 - "there" "-" 0.000000 - - -',
                '"CONNECT x:1 HTTP/1.1" 501 27 "-" "-" 0.000000 - - -',
            ],
        )

    def test_refusals(self) -> None:
        """
        A head that couldn't be read leaves none in the log; what came after a good one is logged with it.
        """
        self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n").reset()
        self.connect(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").reset()
        lines = self.lines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[0].startswith('"GET / HTTP/1.1" 200 '), lines[0])
        self.assertTrue(lines[1].startswith('"-" 400 '), lines[1])
        self.assertTrue(lines[2].startswith('"POST / HTTP/1.1" 400 '), lines[2])

    def test_failures(self) -> None:
        """
        One line, with the status that was sent.
        """
        self.handler = lambda request: WasiResponse(204, body=b"no")
        self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.flushLoggedErrors()
        self.assertEqual(self.lines(), ['"GET / HTTP/1.1" 500 22 "-" "-" 0.000000 - - -'])

    def test_durations(self) -> None:
        """
        From the head to the answer, or for a head that can't be read from its first byte.
        """
        peer = self.connect(b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        peer.link.advance(1.5)
        peer.send(b"ab")
        peer.link.advance(7)
        peer.send(b"GET / HTTP/1.1\r\nHost")
        peer.link.advance(0.25)
        peer.send(b"\r\n\r\n")
        self.connect(b"nonsense\r\n").reset()
        self.assertEqual(
            [line.split(" ")[-4:-2] for line in self.lines()], [["1.500000", "-"], ["0.250000", "-"], ["0.000000", "-"]]
        )

    def brokenOff(self, *pieces: bytes | Exception | None, length: int | None = None) -> MemoryPeer:
        """
        Ask for an answer in pieces; C{None} never comes.
        """

        async def give() -> AsyncIterator[bytes]:
            for piece in pieces:
                if isinstance(piece, Exception):
                    raise piece
                if piece is None:
                    await Deferred()
                else:
                    yield piece

        headers = {} if length is None else {"Content-Length": str(length)}
        self.handler = lambda request: WasiResponse(200, headers, give())
        peer = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.link.advance(0.5)
        return peer

    def test_thePeerGoesAway(self) -> None:
        """
        The line has what has been sent of the body.
        """
        self.brokenOff(b"abc", b"de", None).reset()
        self.assertEqual(self.lines(), ['"GET / HTTP/1.1" 200 5 "-" "-" 0.500000 X - -'])

    def test_thePeerGoesAwayUnheeded(self) -> None:
        """
        What gives the pieces ends as if nothing had happened.
        """

        async def give() -> AsyncIterator[bytes]:
            yield b"abc"
            with contextlib.suppress(CancelledError):
                await Deferred()

        self.handler = lambda request: WasiResponse(200, {}, give())
        self.connect(b"GET / HTTP/1.0\r\n\r\n").reset()
        self.assertEqual(self.lines(), ['"GET / HTTP/1.0" 200 3 "-" "-" 0.000000 X - -'])

    def test_theHandlerRaisesHalfway(self) -> None:
        self.brokenOff(b"abc", ValueError("no"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.lines(), ['"GET / HTTP/1.1" 200 3 "-" "-" 0.000000 X - -'])

    def test_theLengthIsAnother(self) -> None:
        for pieces in ((b"abc",), (b"abc", b"de")):
            self.brokenOff(*pieces, length=4)
        self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 2)
        self.assertEqual(self.lines(), ['"GET / HTTP/1.1" 200 3 "-" "-" 0.000000 X - -'] * 2)

    def test_aSlowReader(self) -> None:
        """
        It does not take an answer in pieces, and is dropped.
        """
        peer = self.brokenOff(b"abc", None)
        peer.stall()
        peer.link.advance(60)
        self.assertTrue(peer.aborted)
        (line,) = self.lines()
        self.assertRegex(line, r'^"GET / HTTP/1.1" 200 3 "-" "-" \d\d\.\d{6} X - -$')

    def test_noAnswerHasBegun(self) -> None:
        """
        There is no status that has been sent: it is nginx's for this case.
        """
        self.factory.handler = lambda request: Deferred()
        peer = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.link.advance(2)
        peer.reset()
        self.assertEqual(self.lines(), ['"GET / HTTP/1.1" 499 - "-" "-" 2.000000 X - -'])

    def test_drained(self) -> None:
        """
        The last lines have been written when the drain is over.
        """
        self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").reset()
        over: list[None] = []
        self.factory.drain().addCallback(over.append)
        for _ in range(110):
            if not over:
                time.sleep(0.01)
                self.clock.advance(0.01)
        self.assertEqual(over, [None])
        self.assertEqual(len(self.path.read_text().splitlines()), 1)
