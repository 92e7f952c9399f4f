"""
A request's body that an C{IBodyProducer} makes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IConsumer, IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from .._privates import wrongBodyLength
from ..errors import ConnectionClosed, InvalidArgument, LocalProtocolError
from ..http import ClientConnection
from .bodies import Body
from .sending import CONTINUE_TIMEOUT, Carrier

log = Logger()


@implementer(IConsumer)
class ProducerSender:
    """
    Sends what a body producer makes, and pauses it while the server doesn't take that.
    """

    __slots__ = (
        "_body",
        "_carrier",
        "_connection",
        "_expects",
        "_left",
        "_over",
        "_paused",
        "_producer",
        "_started",
        "_timer",
    )

    def __init__(self, carrier: Carrier, connection: ClientConnection, body: ProducerBody, expects: bool) -> None:
        """
        @param expects: does it wait for a 100 (Continue)?
        """
        self._carrier = carrier
        self._connection = connection
        self._body = body
        self._producer: Any = body.producer
        # How much is still to come, in bytes; None: nobody knows.
        self._left = body.length
        self._expects = expects
        self._started = self._paused = self._over = False
        self._timer: IDelayedCall | None = None

    # The connection calls these

    def begin(self) -> None:
        """
        Begin to send it.
        """
        if self._expects:
            self._timer = self._carrier.reactor.callLater(CONTINUE_TIMEOUT, self.goOn)
        else:
            self.goOn()

    def goOn(self) -> None:
        """
        The server has said 100, or the wait for that has been long enough.
        """
        self._stopTimer()
        if self._started or self._over:
            return
        self._started = True
        try:
            done = self._producer.startProducing(self)
        except Exception:
            self._fail(Failure())
            return
        done.addCallbacks(self._made, self._fail)

    def stop(self) -> None:
        """
        Send no more.
        """
        self._stopTimer()
        if not self._over:
            self._over = True
            self._stopProducer()

    # The producer calls these

    def write(self, data: bytes) -> None:
        """
        Send some of it.

        @raise LocalProtocolError: the producer has told before that this was all.
        """
        if self._body.complete:
            self._stopProducer()
            raise LocalProtocolError(f"{self._producer!r} has written {len(data)} bytes behind the end of the body")
        if self._over:
            # Nobody takes it any more.
            return
        if self._left is not None:
            if len(data) > self._left:
                self._stopProducer()
                self._fail(Failure(wrongBodyLength()("too many bytes written")))
                return
            self._left -= len(data)
        if not data:
            return
        carrier = self._carrier
        try:
            taken = carrier.write(self._connection.data(bytes(data), carrier.reactor.seconds()))
        except ConnectionClosed:
            # Whoever waits for the response knows.
            return
        if not (taken.called or self._paused or self._over):
            self._paused = True
            taken.addCallbacks(self._taken, lambda _: None)
            self._producer.pauseProducing()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """
        @raise RuntimeError: always. The body producer is the one.
        """
        raise RuntimeError(f"{self._producer!r} produces already, {producer!r} can't")

    def unregisterProducer(self) -> None:
        """
        Nothing: the Deferred of C{startProducing} tells the end.
        """

    # What comes of it

    def _taken(self, _: object) -> None:
        self._paused = False
        if not self._over:
            self._producer.resumeProducing()

    def _made(self, _: object) -> None:
        """
        The producer has written all.
        """
        if self._over:
            return
        if self._left:
            self._fail(Failure(wrongBodyLength()("too few bytes written")))
            return
        self._over = self._body.complete = True
        carrier = self._carrier
        try:
            carrier.write(self._connection.end(carrier.reactor.seconds()))
        except ConnectionClosed:
            return
        carrier.sent(None)

    def _fail(self, failure: Failure) -> None:
        if not self._over:
            self._over = True
            self._carrier.sent(RequestGenerationFailed([failure]))

    def _stopProducer(self) -> None:
        if self._started:
            try:
                self._producer.stopProducing()
            except Exception:
                log.failure("stopProducing() of {producer!r} failed", producer=self._producer)

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


class ProducerBody(Body):
    """
    What a body producer makes. It comes once.

    @ivar complete: has it been sent?
    """

    __slots__ = ("complete", "producer")

    sender = ProducerSender

    def __init__(self, producer: IBodyProducer) -> None:
        """
        @raise InvalidArgument: its length is neither a number of bytes nor C{UNKNOWN_LENGTH}.
        """
        super().__init__(None)
        length: Any = producer.length
        if length != UNKNOWN_LENGTH:
            if type(length) is not int or length < 0:
                raise InvalidArgument(
                    f"the length of a body producer must be a number of bytes or UNKNOWN_LENGTH, not {length!r}"
                )
            self.length = length
        self.producer = producer
        self.complete = self.replayable = False
