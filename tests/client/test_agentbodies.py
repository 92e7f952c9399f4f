"""
The Agent: bodies that an C{IBodyProducer} makes.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Cooperator
from twisted.web.client import FileBodyProducer, RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed
from twisted.web.http_headers import Headers

from wasinet_twisted._privates import wrongBodyLength
from wasinet_twisted.errors import InvalidArgument, LimitExceeded, LocalProtocolError
from wasinet_twisted.net.stream.transportprotocol import WRITE_BUFFER

from .agents import URI, AgentCase, Producer
from .support import CONTINUE, OK, Outcome, answer, head

HEAD = b"POST /path?query=1 HTTP/1.1\r\nHost: origin.test\r\n"


class BodyTests(AgentCase):
    def post(self, producer: Any, headers: Any = None) -> Outcome:
        return self.ask(b"POST", URI, headers, producer)

    def finish(self, outcome: Outcome) -> None:
        """
        The server answers, and the connection is free.
        """
        self.assertTrue(outcome.pending)
        self.peers[-1].send(head("Content-Length: 0"))
        self.settle()
        self.assertEqual(outcome.value.code, 200)

    def failed(self, outcome: Outcome, reason: type) -> None:
        """
        The request could not be made, and the server can't take what has come for a whole one.
        """
        error: Any = outcome.error
        self.assertIsInstance(error, RequestGenerationFailed)
        self.assertEqual(self.reasons(error), [reason])
        self.settle()
        self.assertTrue(self.peers[-1].wasReset)
        self.assertPool(0, 0)

    def test_aLength(self) -> None:
        producer = Producer(5)
        outcome = self.post(producer)
        self.assertEqual(self.peers[0].got, HEAD + b"Content-Length: 5\r\n\r\n")
        for data in (b"ab", b"", b"cde"):
            producer.consumer.write(data)
            self.settle()
        self.assertEqual(self.peers[0].got, HEAD + b"Content-Length: 5\r\n\r\nabcde")
        producer.done.callback(None)
        self.finish(outcome)
        self.assertEqual(producer.told, ["start"])
        self.assertPool(1, 1)

    def test_noLength(self) -> None:
        producer = Producer()
        outcome = self.post(producer)
        producer.consumer.write(b"ab")
        self.settle()
        self.assertEqual(self.peers[0].got, HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        producer.consumer.write(bytearray(b"cde"))
        producer.done.callback(None)
        self.settle()
        self.assertEqual(self.peers[0].requests()[0].body, b"abcde")
        self.finish(outcome)
        self.assertPool(1, 1)

    def test_allAtOnce(self) -> None:
        """
        Its length is more than any bound, and it knows no pausing.
        """
        producer = Producer(data=bytes(WRITE_BUFFER + 100))
        outcome = self.post(producer)
        self.advance(10)
        self.assertEqual(
            len(self.peers[0].got), len(HEAD) + len(b"Content-Length: 16777316\r\n\r\n") + WRITE_BUFFER + 100
        )
        self.finish(outcome)
        self.assertEqual(producer.told, ["start"])

    def test_empty(self) -> None:
        producer = Producer(data=b"")
        outcome = self.post(producer)
        self.assertEqual(self.peers[0].got, HEAD + b"Content-Length: 0\r\n\r\n")
        self.finish(outcome)

    def test_aFile(self) -> None:
        cooperator = Cooperator(scheduler=lambda call: self.clock.callLater(0, call))
        outcome = self.post(FileBodyProducer(BytesIO(b"content"), cooperator=cooperator))
        self.advance(0.1)
        self.assertEqual(self.peers[0].requests()[0].body, b"content")
        self.finish(outcome)

    def test_paused(self) -> None:
        """
        A server that doesn't take it: the producer is paused, and goes on when the server does.
        """
        self.listen(window=1000)
        producer = Producer()
        outcome = self.post(producer)
        self.peers[0].transport.pauseProducing()  # type: ignore[union-attr]
        sent = 0
        while producer.told == ["start"]:
            producer.consumer.write(bytes(10_000))
            sent += 10_000
            self.settle()
            self.assertLess(sent, 1_000_000)
        self.assertGreater(sent, 50_000)
        self.assertEqual(producer.told, ["start", "pause"])
        self.peers[0].transport.resumeProducing()  # type: ignore[union-attr]
        self.advance(5)
        self.assertEqual(producer.told, ["start", "pause", "resume"])
        producer.done.callback(None)
        self.advance(5)
        self.assertEqual(len(self.peers[0].requests()[0].body), sent)
        self.finish(outcome)

    def test_notPaused(self) -> None:
        """
        A producer that writes on while it is paused is stopped at a bound.
        """
        self.listen(window=1 << 20)
        producer = Producer()
        outcome = self.post(producer)
        self.peers[0].transport.pauseProducing()  # type: ignore[union-attr]
        while "pause" not in producer.told:
            producer.consumer.write(bytes(100_000))
            self.settle()
        producer.consumer.write(bytes(WRITE_BUFFER))
        self.assertNotIn("stop", producer.told)
        producer.consumer.write(b"x")
        self.assertEqual(producer.told, ["start", "pause", "stop"])
        self.peers[0].transport.resumeProducing()  # type: ignore[union-attr]
        self.advance(5)
        self.failed(outcome, LimitExceeded)

    def test_tooMuch(self) -> None:
        producer = Producer(3)
        outcome = self.post(producer)
        producer.consumer.write(b"abc")
        producer.consumer.write(b"d")
        self.settle()
        self.assertEqual(producer.told, ["start", "stop"])
        self.failed(outcome, wrongBodyLength())

    def test_tooLittle(self) -> None:
        producer = Producer(3)
        outcome = self.post(producer)
        producer.consumer.write(b"ab")
        producer.done.callback(None)
        self.settle()
        self.failed(outcome, wrongBodyLength())

    def test_failing(self) -> None:
        producer = Producer(3)
        outcome = self.post(producer)
        producer.consumer.write(b"ab")
        producer.done.errback(ZeroDivisionError())
        self.settle()
        self.failed(outcome, ZeroDivisionError)
        self.assertEqual(producer.told, ["start"])

    def test_failingAtOnce(self) -> None:
        class Failing(Producer):
            def startProducing(self, consumer: Any) -> Any:
                raise ZeroDivisionError

        self.failed(self.post(Failing(3)), ZeroDivisionError)

    def test_afterTheEnd(self) -> None:
        producer = Producer()
        outcome = self.post(producer)
        producer.done.callback(None)
        self.settle()
        self.assertRaises(LocalProtocolError, producer.consumer.write, b"more")
        self.assertEqual(producer.told, ["start", "stop"])
        self.finish(outcome)

    def test_aSecondProducer(self) -> None:
        producer = Producer()
        outcome = self.post(producer)
        self.assertRaises(RuntimeError, producer.consumer.registerProducer, Producer(), True)
        producer.consumer.unregisterProducer()
        producer.done.callback(None)
        self.settle()
        self.finish(outcome)

    def test_aWrongLength(self) -> None:
        for length in (-1, 1.5, None, "7"):
            error: Any = self.post(Producer(length)).error
            self.assertIsInstance(error, RequestGenerationFailed)
            self.assertEqual(self.reasons(error), [InvalidArgument])
        self.assertEqual(self.peers, [])

    def test_fieldsThatSayTheSame(self) -> None:
        for length, name, value in ((2, "Content-Length", "2"), (None, "Transfer-Encoding", "chunked")):
            producer = Producer(data=b"ab")
            if length is None:
                producer = Producer()
            outcome = self.post(producer, Headers({name: [value]}))
            if length is None:
                producer.consumer.write(b"ab")
                producer.done.callback(None)
                self.settle()
            self.assertEqual(self.peers[-1].got.count(name.encode()), 1)
            self.assertEqual(self.peers[-1].requests()[-1].body, b"ab")
            self.finish(outcome)
            self.pools[0].closeFree()
            self.settle()

    def test_fieldsThatContradict(self) -> None:
        for producer, name, value in (
            (Producer(2), "Content-Length", "3"),
            (Producer(), "Content-Length", "3"),
            (Producer(2), "Transfer-Encoding", "chunked"),
            (Producer(), "Transfer-Encoding", "gzip"),
        ):
            error: Any = self.post(producer, Headers({name: [value]})).error
            self.assertIsInstance(error, RequestGenerationFailed)
            self.assertEqual(self.reasons(error), [LocalProtocolError])
            self.assertEqual(producer.told, [])

    def test_refused(self) -> None:
        """
        The server answers before it has the whole: the producer is stopped, and the connection closes.
        """
        producer = Producer(1000)
        outcome = self.post(producer)
        producer.consumer.write(b"ab")
        self.settle()
        self.peers[0].send(answer(b"no", status="413 Content Too Large"))
        self.settle()
        self.assertEqual(outcome.value.code, 413)
        self.assertEqual(producer.told, ["start", "stop"])
        producer.consumer.write(b"ignored")
        self.assertEqual(self.deliver(outcome.value).data, b"no")
        self.assertPool(0, 0)

    def test_lost(self) -> None:
        producer = Producer(1000)
        outcome = self.post(producer)
        producer.consumer.write(b"ab")
        self.settle()
        self.peers[0].reset()
        self.settle()
        self.assertIsInstance(outcome.error, RequestTransmissionFailed)
        self.assertEqual(producer.told, ["start", "stop"])

    def test_cancelled(self) -> None:
        producer = Producer(1000)
        outcome = self.post(producer)
        outcome.deferred.cancel()
        error: Any = outcome.error
        self.assertIsInstance(error, RequestTransmissionFailed)
        self.assertEqual(self.reasons(error), [CancelledError])
        self.settle()
        self.assertEqual(producer.told, ["start", "stop"])
        self.assertTrue(self.peers[0].wasReset)

    def test_stopProducingFails(self) -> None:
        class Failing(Producer):
            def stopProducing(self) -> None:
                raise ZeroDivisionError

        outcome = self.post(Failing(1000))
        self.peers[0].reset()
        self.settle()
        self.assertIsInstance(outcome.error, RequestTransmissionFailed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failingAfterTheHead(self) -> None:
        """
        The response has begun, and can't go on.
        """
        producer = Producer(1000)
        outcome = self.post(producer)
        self.peers[0].send(head("Content-Length: 10"))
        self.settle()
        body = self.deliver(outcome.value)
        producer.done.errback(ZeroDivisionError())
        self.settle()
        self.assertIsInstance(body.reason, ResponseFailed)
        self.assertTrue(self.peers[0].wasReset)

    def test_expect(self) -> None:
        """
        With Expect, the producer begins when the server wants it, or after a second.
        """
        headers = Headers({"Expect": ["100-continue"]})
        for wait in (False, True):
            producer = Producer(2)
            outcome = self.post(producer, headers)
            self.assertEqual(producer.told, [])
            if wait:
                self.advance(0.99)
                self.assertEqual(producer.told, [])
                self.advance(0.02)
            else:
                self.peers[-1].send(CONTINUE)
                self.settle()
            self.assertEqual(producer.told, ["start"])
            producer.consumer.write(b"ab")
            producer.done.callback(None)
            self.settle()
            self.finish(outcome)

    def test_expectRefused(self) -> None:
        producer = Producer(2)
        outcome = self.post(producer, Headers({"Expect": ["100-continue"]}))
        self.peers[-1].send(head("Content-Length: 0", status="417 Expectation Failed"))
        self.settle()
        self.assertEqual(outcome.value.code, 417)
        self.advance(2)
        self.assertEqual(producer.told, [])

    def test_notRepeated(self) -> None:
        """
        What has been produced is gone.
        """
        self.deliver(self.respond(OK))
        self.assertPool(1, 1)
        producer = Producer(data=b"ab")
        outcome = self.ask(b"PUT", URI, None, producer)
        self.peers[0].reset()
        self.settle()
        self.assertIsInstance(outcome.error, ResponseFailed)
        self.assertEqual(len(self.peers), 1)
