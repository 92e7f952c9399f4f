"""
The Agent: what it sends, what it gives, and how a body is delivered.
"""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestGenerationFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
    readBody,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IClientRequest, IResponse
from zope.interface import implementer
from zope.interface.verify import verifyObject

from wasinet_twisted.client import Agent, Pool, Timeouts
from wasinet_twisted.client.agentrequest import Destinations
from wasinet_twisted.errors import (
    ConnectionClosed,
    ConnectionRefused,
    IncompleteRead,
    InvalidArgument,
    LocalProtocolError,
    NotSupported,
    RemoteProtocolError,
    TimedOut,
)

from .agents import URI, AgentCase, Body
from .support import OK, Outcome, answer, chunked, head


class RequestTests(AgentCase):
    def test_whatIsSent(self) -> None:
        verifyObject(IAgent, self.agent)
        self.ask(b"OPTIONS", headers=Headers({"accept": ["a", "b"], "X-Caf\u00e9".encode("latin-1")[:3]: [b"caf\xe9"]}))
        self.assertEqual(
            self.peers[0].got,
            b"OPTIONS /path?query=1 HTTP/1.1\r\nHost: origin.test\r\nAccept: a\r\nAccept: b\r\nX-C: caf\xe9\r\n\r\n",
        )

    def test_targets(self) -> None:
        for uri, target, host in (
            (b"http://origin.test", b"/", b"origin.test"),
            (b" HTTP://Origin.Test:80/a;b?c#d ", b"/a;b?c", b"origin.test"),
            (b"http://origin.test:8080?x", b"/?x", b"origin.test:8080"),
            (b"http://[::1]:81/", b"/", b"[::1]:81"),
            (b"ws://origin.test/chat", b"/chat", b"origin.test"),
        ):
            self.ask(uri=uri)
            self.assertEqual(self.peers[-1].got, b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host), uri)

    def test_aHostOfTheCallers(self) -> None:
        headers = Headers({"Host": ["other.test"]})
        response = self.respond(OK, headers=headers)
        self.assertEqual(self.peers[0].got, b"GET /path?query=1 HTTP/1.1\r\nHost: other.test\r\n\r\n")
        self.assertEqual(response.request.headers, headers)

    def test_aPostWithoutABody(self) -> None:
        self.ask(b"POST")
        self.assertIn(b"\r\nContent-Length: 0\r\n", self.peers[0].got)

    def test_whatIsRefusedAtOnce(self) -> None:
        for method, uri in (
            (b"GE T", URI),
            (b"", URI),
            (b"CONNECT", URI),
            (b"GET", b"http://origin.test/a b"),
            (b"GET", b"http://origin.test/\xe9"),
            (b"GET", b"http://origin.test/\r\nX: y"),
            (b"GET", b"http://origin.test:0/"),
            (b"GET", b"http://origin.test:65536/"),
            (b"GET", b"http://origin.test:a/"),
            (b"GET", b"http://user:password@origin.test/"),
            (b"GET", b"http://"),
            (b"GET", b""),
        ):
            self.assertRaises(ValueError, self.agent.request, method, uri)
        not_bytes: Any = "GET"
        self.assertRaises(TypeError, self.agent.request, not_bytes, URI)
        for uri in (b"ftp://origin.test/", b"mailto:somebody", b"nothing"):
            self.assertIsInstance(self.ask(uri=uri).error, SchemeNotSupported)
        self.assertEqual(self.peers, [])

    def test_whatCantBeSent(self) -> None:
        """
        The connection that was made for it is free.
        """
        # Headers make one line of this, but let control characters pass.
        error: Any = self.ask(headers=Headers({"X": ["a\0b"]})).error
        self.assertIsInstance(error, RequestGenerationFailed)
        self.assertEqual(self.reasons(error), [LocalProtocolError])
        self.assertPool(1, 1)
        self.assertEqual(self.peers[0].got, b"")

    def test_manyOrigins(self) -> None:
        """
        What an Agent remembers of them is bounded.
        """
        destinations = Destinations(None, anyScheme=False)
        for number in range(600):
            found, target = destinations.find(b"http://origin%d.test/a" % number)
            self.assertEqual((found.host, target), (f"origin{number}.test", "/a"))
        self.assertLessEqual(len(destinations._remembered), 256)


class ResponseTests(AgentCase):
    def test_aResponse(self) -> None:
        response = self.respond(
            b"HTTP/1.1 404 Caf\xe9\r\nSet-Cookie: a=1\r\nx-y: z\r\nset-cookie: b=2\r\nConnection: keep-alive\r\n"
            b"Keep-Alive: 5\r\nContent-Length: 5\r\n\r\nhello"
        )
        verifyObject(IResponse, response)
        verifyObject(IClientRequest, response.request)
        self.assertEqual(response.version, (b"HTTP", 1, 1))
        self.assertEqual((response.code, response.phrase, response.length), (404, b"Caf\xe9", 5))
        # As twisted.web has it, without those of the connection.
        self.assertEqual(response.headers, Headers({"Set-Cookie": ["a=1", "b=2"], "X-Y": ["z"]}))
        self.assertEqual(response.request.method, b"GET")
        self.assertEqual(response.request.absoluteURI, URI)
        self.assertEqual(response.request.headers, Headers({"Host": ["origin.test"]}))
        self.assertIsNone(response.previousResponse)
        response.setPreviousResponse(response)
        self.assertIs(response.previousResponse, response)
        response.setPreviousResponse(None)
        # The body has come with the head.
        self.assertPool(1, 1)
        self.assertEqual(self.now(readBody(response)), b"hello")

    def test_theCallersHeadersStay(self) -> None:
        headers = Headers({"A": ["b"]})
        response = self.respond(OK, headers=headers)
        self.assertEqual(response.request.headers, Headers({"A": ["b"], "Host": ["origin.test"]}))
        self.assertEqual(headers, Headers({"A": ["b"]}))

    def test_kinds(self) -> None:
        for method, reply, length, body in (
            (b"GET", answer(b"", status="204 No Content").replace(b"Content-Length: 0\r\n", b""), 0, b""),
            (b"GET", head("Content-Length: 7", status="304 Not Modified"), 0, b""),
            (b"HEAD", head("Content-Length: 7"), 0, b""),
            (b"GET", answer(b"abc"), 3, b"abc"),
            (b"GET", answer(), 0, b""),
            (b"GET", chunked(b"ab", b"c"), UNKNOWN_LENGTH, b"abc"),
            (b"GET", head(status="103 Early Hints") + answer(b"abc"), 3, b"abc"),
        ):
            response = self.respond(reply, method)
            self.assertEqual(response.length, length, reply)
            delivered = self.deliver(response)
            self.assertEqual((delivered.data, type(delivered.reason)), (body, ResponseDone), reply)
        self.assertEqual(len(self.peers), 1)
        self.assertEqual(self.respond(head("Content-Length: 7"), b"HEAD").headers, Headers({"Content-Length": ["7"]}))

    def test_version10(self) -> None:
        response = self.respond(answer(b"a", version="HTTP/1.0"))
        self.assertEqual(response.version, (b"HTTP", 1, 0))
        self.assertPool(0, 0)

    def test_switchingProtocols(self) -> None:
        headers = Headers({"Upgrade": ["x"], "Connection": ["Upgrade"]})
        outcome = self.ask(headers=headers)
        self.peers[0].send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        self.settle()
        error: Any = outcome.error
        self.assertIsInstance(error, ResponseFailed)
        self.assertEqual(self.reasons(error), [NotSupported])
        self.assertTrue(self.peers[0].wasReset)

    def test_manyNames(self) -> None:
        """
        What is remembered of fields' names is bounded.
        """
        from wasinet_twisted.client import agentresponse

        for number in range(1000):
            response = self.respond(answer(b"", f"X-{number}: {number}"))
            self.assertEqual(response.headers.getRawHeaders(f"x-{number}"), [str(number)])
        self.assertLessEqual(len(agentresponse._names), 512)


class DeliveryTests(AgentCase):
    def begin(self, reply: bytes) -> tuple[Any, Body]:  # type: ignore[override]
        response = self.respond(reply)
        return response, self.deliver(response)

    def send(self, data: bytes) -> None:
        self.peers[-1].send(data)
        self.settle()

    def test_asItComes(self) -> None:
        response, body = self.begin(head("Content-Length: 6") + b"ab")
        self.assertEqual((body.pieces, body.reason), ([b"ab"], None))
        self.send(b"cd")
        self.assertEqual((body.pieces, body.reason), ([b"ab", b"cd"], None))
        self.assertPool(1, 0)
        self.send(b"ef")
        self.assertEqual((body.data, type(body.reason)), (b"abcdef", ResponseDone))
        self.assertPool(1, 1)
        self.assertRaises(RuntimeError, response.deliverBody, Body())

    def test_onlyOnce(self) -> None:
        response, _ = self.begin(head("Content-Length: 6") + b"ab")
        self.assertRaises(RuntimeError, response.deliverBody, Body())

    def test_untilTheEnd(self) -> None:
        _, body = self.begin(head() + b"ab")
        self.send(b"cd")
        self.peers[0].close()
        self.settle()
        self.assertEqual((body.data, type(body.reason)), (b"abcd", PotentialDataLoss))

    def test_untilAReset(self) -> None:
        _, body = self.begin(head() + b"ab")
        self.peers[0].reset()
        self.settle()
        self.assertIsInstance(body.reason, PotentialDataLoss)
        self.assertIsInstance(body.reason.__cause__, ConnectionClosed)

    def test_cut(self) -> None:
        for cut, reasons in (
            ("close", [ConnectionDone, IncompleteRead]),
            ("reset", [ConnectionLost, ConnectionClosed]),
        ):
            response, body = self.begin(head("Content-Length: 6") + b"ab")
            getattr(self.peers[-1], cut)()
            self.settle()
            self.assertEqual(body.data, b"ab")
            self.assertIsInstance(body.reason, ResponseFailed)
            self.assertEqual(self.reasons(body.reason), reasons)
            self.assertIs(body.reason.response, response)

    def test_cutBeforeAnybodyReads(self) -> None:
        response = self.respond(head("Content-Length: 6") + b"ab")
        self.peers[0].close()
        self.settle()
        body = self.deliver(response)
        self.assertEqual(body.data, b"ab")
        self.assertIsInstance(body.reason, ResponseFailed)

    def test_malformed(self) -> None:
        _, body = self.begin(head("Transfer-Encoding: chunked") + b"2\r\nab\r\nx\r\n")
        self.assertEqual(body.data, b"ab")
        self.assertIsInstance(body.reason, ResponseFailed)
        self.assertEqual(self.reasons(body.reason), [RemoteProtocolError])
        self.assertTrue(self.peers[0].wasReset)

    def test_tooSlow(self) -> None:
        pool = self.pool(timeouts=Timeouts(read=5))
        response = self.respond(head("Content-Length: 6") + b"ab", agent=self.newAgent(pool))
        body = self.deliver(response)
        self.advance(4.9)
        self.assertIsNone(body.reason)
        self.advance(0.2)
        self.assertIsInstance(body.reason, ResponseFailed)
        self.assertEqual(self.reasons(body.reason), [TimeoutError, TimedOut])

    def test_paused(self) -> None:
        """
        A body's protocol that doesn't take it lets the server wait, and nothing is lost.
        """
        self.listen(window=10_000)
        response = self.respond(head("Content-Length: 1000000"))
        body = self.deliver(response)
        assert body.transport is not None
        transport: Any = body.transport
        transport.pauseProducing()
        self.send(bytes(1_000_000))
        self.advance(1)
        self.assertLessEqual(len(body.data), 0)
        # What is held: the parser's bound, one piece, and the network's window.
        held = 1_000_000 - len(self.peers[0].transport.dataBuffer) - self.peers[0].transport._tempDataLen  # type: ignore[union-attr]
        self.assertLess(held, 300_000)
        transport.resumeProducing()
        self.advance(10)
        self.assertEqual((body.data, type(body.reason)), (bytes(1_000_000), ResponseDone))

    def test_pausedByEachPiece(self) -> None:
        """
        Not one more is delivered, nor the end.
        """

        class Pausing(Body):
            def connectionMade(self) -> None:
                self.transport.pauseProducing()  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.pauseProducing()  # type: ignore[union-attr]

        body = Pausing()
        response = self.respond(head("Content-Length: 4"))
        response.deliverBody(body)
        for data in (b"ab", b"cd"):
            self.send(data)
        self.assertEqual(body.pieces, [])
        transport: Any = body.transport
        transport.resumeProducing()
        self.settle()
        self.assertEqual(len(body.pieces), 1)
        while body.reason is None:
            count = len(body.pieces)
            transport.resumeProducing()
            self.settle()
            self.assertLessEqual(len(body.pieces), count + 1)
        self.assertEqual(body.data, b"abcd")

    def test_ended(self) -> None:
        """
        The three ways in which the body's protocol ends it: the connection is reset, and it is told in another turn.
        """
        for way, reason in (
            ("loseConnection", ConnectionDone),
            ("stopProducing", ConnectionDone),
            ("abortConnection", ConnectionAborted),
        ):
            _, body = self.begin(head("Content-Length: 6") + b"ab")
            getattr(body.transport, way)()
            self.assertIsNone(body.reason)
            getattr(body.transport, way)()
            self.settle()
            self.assertIsInstance(body.reason, ResponseFailed)
            self.assertEqual(self.reasons(body.reason)[0], reason, way)
            self.assertTrue(self.peers[-1].wasReset)
            # Now there is nothing to end.
            getattr(body.transport, way)()
        self.assertPool(0, 0)

    def test_endedWhilePaused(self) -> None:
        _, body = self.begin(head("Content-Length: 6") + b"ab")
        transport: Any = body.transport
        transport.pauseProducing()
        transport.loseConnection()
        self.settle()
        self.assertIsInstance(body.reason, ResponseFailed)

    def test_endedAfterTheConnection(self) -> None:
        """
        The connection is lost while the protocol is paused, and then the protocol wants no more.
        """
        _, body = self.begin(head("Content-Length: 6") + b"ab")
        transport: Any = body.transport
        transport.pauseProducing()
        self.send(b"cd")
        self.peers[0].reset()
        self.settle()
        self.assertIsNone(body.reason)
        transport.loseConnection()
        self.settle()
        self.advance(1)
        self.assertIsInstance(body.reason, ResponseFailed)

    def test_readBodyCancelled(self) -> None:
        response = self.respond(head("Content-Length: 6") + b"ab")
        reading = readBody(response)
        outcome = Outcome(reading)
        self.settle()
        reading.cancel()
        self.assertIsInstance(outcome.error, CancelledError)
        self.settle()
        self.assertTrue(self.peers[0].wasReset)
        self.assertEqual(self.flushWarnings(), [])

    def test_aProtocolThatFails(self) -> None:
        class Failing(Body):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                raise ZeroDivisionError

        body = Failing()
        response = self.respond(head("Content-Length: 6") + b"ab")
        response.deliverBody(body)
        self.settle()
        self.assertEqual(body.pieces, [b"ab"])
        self.assertIsInstance(body.reason, ResponseFailed)
        self.assertEqual(self.reasons(body.reason), [ZeroDivisionError])
        self.assertTrue(self.peers[0].wasReset)

    def test_aProtocolThatFailsInTheEnd(self) -> None:
        class Failing(Body):
            def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
                raise ZeroDivisionError

        self.respond(OK).deliverBody(Failing())
        self.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertPool(1, 1)

    def test_lines(self) -> None:
        """
        What looks at its transport's C{disconnecting} works.
        """
        lines = []

        class Lines(LineOnlyReceiver):
            delimiter = b"\n"

            def lineReceived(self, line: bytes) -> None:
                lines.append(line)

        self.respond(answer(b"a\nb\n")).deliverBody(Lines())
        self.settle()
        self.assertEqual(lines, [b"a", b"b"])

    def test_tinyChunks(self) -> None:
        """
        The reactor has its turn between them.
        """
        response = self.respond(head("Transfer-Encoding: chunked"))
        body = Body()
        response.deliverBody(body)
        self.peers[0].send(b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n")
        self.settle()
        self.advance(1)
        self.assertEqual((body.data, type(body.reason)), (b"x" * 5000, ResponseDone))

    def test_forgotten(self) -> None:
        """
        A response of which nobody wants the body doesn't hold its connection.
        """
        self.respond(head("Content-Length: 6") + b"ab")
        gc.collect()
        self.settle()
        self.assertTrue(self.peers[0].wasReset)
        self.assertPool(0, 0)

    def test_noCycles(self) -> None:
        """
        Nothing waits for the garbage collector.
        """
        self.now(readBody(self.respond(OK)))
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                self.now(readBody(self.respond(OK)))
            # Those that a test's own tools make are the same, with however many requests.
            few = gc.collect()
            for _ in range(50):
                self.now(readBody(self.respond(OK)))
            self.assertLessEqual(gc.collect(), few + 10)
        finally:
            gc.enable()


class FailureTests(AgentCase):
    def test_refused(self) -> None:
        self.listener.port.stopListening()
        outcome = self.ask()
        self.advance(1)
        self.assertIsInstance(outcome.error, ConnectionRefusedError)
        self.assertIsInstance(outcome.error.__cause__, ConnectionRefused)  # type: ignore[union-attr]

    def test_unknownHost(self) -> None:
        class Reactor(Clock):
            class nameResolver:
                @staticmethod
                def resolveHostName(receiver: Any, name: str, portNumber: int = 0) -> Any:
                    receiver.resolutionBegan(None)
                    receiver.resolutionComplete()

        reactor: Any = Reactor()
        pool = Pool(reactor=reactor)
        outcome = Outcome(Agent(reactor, pool=pool).request(b"GET", URI))
        reactor.advance(0)
        self.assertIsInstance(outcome.error, DNSLookupError)
        self.successResultOf(pool.close())

    def test_connectTimeout(self) -> None:
        @implementer(IStreamClientEndpoint)
        class Never:
            def connect(self, factory: Any) -> Deferred[Any]:
                return Deferred()

        pool = Pool(endpoint=lambda _: Never(), reactor=self.clock)
        self.pools.append(pool)
        outcome = self.ask(agent=self.newAgent(pool, None, 3.0))
        self.twoSides(3, outcome, TimeoutError)
        self.assertIsInstance(outcome.error.__cause__, TimedOut)  # type: ignore[union-attr]
        # Nor does a cancelled one wait for that.
        outcome = self.ask(agent=self.newAgent(pool, None, 3.0))
        self.assertPool(1, 0, pool=pool)
        outcome.deferred.cancel()
        self.assertIsInstance(outcome.error, CancelledError)
        self.assertPool(0, 0, pool=pool)

    def test_neverAnswered(self) -> None:
        for cut, reasons in (
            ("close", [ConnectionDone, IncompleteRead]),
            ("reset", [ConnectionLost, ConnectionClosed]),
        ):
            outcome = self.ask()
            getattr(self.peers[-1], cut)()
            self.settle()
            error: Any = outcome.error
            self.assertIs(type(error), ResponseNeverReceived)
            self.assertEqual(self.reasons(error), reasons)

    def test_halfAHead(self) -> None:
        outcome = self.ask()
        self.peers[0].send(b"HTTP/1.1 200")
        self.settle()
        self.peers[0].close()
        self.settle()
        error: Any = outcome.error
        self.assertIs(type(error), ResponseFailed)
        self.assertEqual(self.reasons(error), [ConnectionDone, IncompleteRead])

    def test_malformed(self) -> None:
        outcome = self.ask()
        self.peers[0].send(b"HTTP/1.1 2000 OK\r\n\r\n")
        self.settle()
        error: Any = outcome.error
        self.assertIs(type(error), ResponseFailed)
        self.assertEqual(self.reasons(error), [RemoteProtocolError])

    def test_tooLate(self) -> None:
        pool = self.pool(timeouts=Timeouts(head=5))
        outcome = self.ask(agent=self.newAgent(pool))
        self.twoSides(5, outcome, ResponseNeverReceived)
        error: Any = outcome.error
        self.assertEqual(self.reasons(error), [TimeoutError, TimedOut])

    def test_cancelled(self) -> None:
        outcome = self.ask()
        outcome.deferred.cancel()
        error: Any = outcome.error
        self.assertIs(type(error), ResponseNeverReceived)
        self.assertEqual(self.reasons(error), [CancelledError])
        self.settle()
        self.assertTrue(self.peers[0].wasReset)

    def test_cancelledBeforeTheConnection(self) -> None:
        waiting = self.agent.request(b"GET", URI)
        outcome = Outcome(waiting)
        waiting.cancel()
        self.assertIsInstance(outcome.error, CancelledError)
        self.settle()
        self.assertPool(0, 0)

    def test_cancelledInTheQueue(self) -> None:
        agent = self.newAgent(self.pool(perOrigin=1))
        first, second = self.ask(agent=agent), self.ask(agent=agent)
        second.deferred.cancel()
        self.assertIsInstance(second.error, CancelledError)
        self.peers[-1].send(OK)
        self.settle()
        self.assertEqual(first.value.code, 200)

    def test_aClosedPool(self) -> None:
        self.pools[0].close()
        error = self.ask().error
        self.assertIsInstance(error, Exception)
        self.assertIsInstance(error.__cause__, ConnectionClosed)  # type: ignore[union-attr]

    def test_anotherReactor(self) -> None:
        self.assertRaises(InvalidArgument, Agent, Clock(), pool=self.pools[0])


class RepeatTests(AgentCase):
    """
    A kept connection that the server has closed.
    """

    def keep(self) -> None:
        self.now(readBody(self.respond(OK)))
        self.assertPool(1, 1)

    def test_repeated(self) -> None:
        for method in (b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"):
            self.keep()
            outcome = self.ask(method)
            self.peers[-1].reset()
            self.settle()
            self.assertTrue(outcome.pending)
            self.peers[-1].send(head("Content-Length: 0"))
            self.settle()
            self.assertEqual(outcome.value.code, 200)
            self.pools[0].closeFree()
            self.settle()

    def test_onlyOnce(self) -> None:
        self.keep()
        outcome = self.ask()
        for _ in range(2):
            self.peers[-1].reset()
            self.settle()
        self.assertIsInstance(outcome.error, ResponseNeverReceived)
        self.assertEqual(len(self.peers), 2)

    def test_onlyOnceAlsoOverAnotherKeptOne(self) -> None:
        """
        The second attempt gets a connection that another request has used, and that one fails as well.
        """
        agent = self.newAgent(self.pool(perOrigin=1))
        self.now(readBody(self.respond(OK, agent=agent)))
        outcome, other = self.ask(agent=agent), self.ask(agent=agent)
        self.peers[0].reset()
        self.settle()
        self.peers[1].send(OK)
        self.settle()
        self.now(readBody(other.value))
        self.assertEqual(len(self.peers[1].requests()), 2)
        self.peers[1].reset()
        self.settle()
        self.assertIsInstance(outcome.error, ResponseNeverReceived)
        self.assertEqual(len(self.peers), 2)

    def test_notRepeated(self) -> None:
        for method, sent in ((b"POST", b""), (b"GET", b"H")):
            self.keep()
            count = len(self.peers)
            outcome = self.ask(method)
            self.peers[-1].send(sent)
            self.settle()
            self.peers[-1].reset()
            self.settle()
            self.assertIsInstance(outcome.error, ResponseFailed)
            self.assertEqual(len(self.peers), count)
