"""
A request's body that an C{IBodyProducer} makes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.interfaces import IConsumer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from .._privates import wrongBodyLength
from ..errors import InvalidArgument, LimitExceeded, LocalProtocolError
from ..net.stream.transportprotocol import WRITE_BUFFER
from ..net.tasks.awaited import Awaited
from .bodies import Body

log = Logger()

# More than so many bytes wait: the producer is paused. As Twisted's transports have it.
_ENOUGH = 64 * 1024


class ProducerBody(Body):
    """
    What a body producer makes. It comes once.

    @ivar complete: has all of it been sent?
    """

    __slots__ = ("_producer", "complete")

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
        self._producer = producer
        self.complete = self.replayable = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """
        Have it produced.

        @raise RequestGenerationFailed: the producer has failed, or has made more or less than it had announced.
        """
        feed = _Feed(self._producer, self.length)
        try:
            feed.begin()
            while (piece := await feed.next()) is not None:
                yield piece
            self.complete = True
        finally:
            feed.stop()


@implementer(IConsumer)
class _Feed:
    """
    What a producer writes to.
    """

    __slots__ = (
        "_complete",
        "_excess",
        "_failure",
        "_left",
        "_over",
        "_paused",
        "_pieces",
        "_producer",
        "_size",
        "_started",
        "_waiter",
    )

    def __init__(self, producer: IBodyProducer, length: int | None) -> None:
        self._producer: Any = producer
        # How much is still to come, in bytes; None: nobody knows.
        self._left = length
        # What has come and hasn't been taken, and how much that is.
        self._pieces: list[bytes] = []
        self._size = 0
        # How much has come since the producer was paused.
        self._excess = 0
        self._waiter: Awaited[None] | None = None
        self._started = self._paused = False
        # Is nothing more taken? And is that because the producer has told that this was all?
        self._over = self._complete = False
        self._failure: Failure | None = None

    # Whoever sends calls these

    def begin(self) -> None:
        """
        Let the producer begin.
        """
        try:
            done = self._producer.startProducing(self)
        except Exception:
            self._end(Failure())
            return
        self._started = True
        done.addCallbacks(self._made, self._end)
        self._pauseIfEnough()

    async def next(self) -> bytes | None:
        """
        Take what there is, or wait for it.

        @return: L{None} at the end.
        """
        if not self._pieces and not self._over:
            self._waiter = Awaited()
            await self._waiter
        if self._pieces:
            piece = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            if self._paused and not self._over:
                self._paused = False
                self._producer.resumeProducing()
            return piece
        if self._failure is not None:
            raise RequestGenerationFailed([self._failure])
        return None

    def stop(self) -> None:
        """
        Take no more.
        """
        if not self._over:
            self._over = True
            self._stopProducer()

    # The producer calls these

    def write(self, data: bytes) -> None:
        """
        Take some.

        @raise LocalProtocolError: the producer has told before that this was all.
        """
        if self._over:
            if self._complete:
                self._stopProducer()
                raise LocalProtocolError(f"{self._producer!r} has written {len(data)} bytes after the end of the body")
            # Nobody takes it any more.
            return
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self._stopProducer()
                self._end(Failure(wrongBodyLength()("too many bytes written")))
                return
        if self._paused:
            self._excess += len(data)
            if self._excess > WRITE_BUFFER:
                self._stopProducer()
                bound = f"the bound is {WRITE_BUFFER}"
                error = LimitExceeded(f"{self._producer!r} has written {self._excess} bytes while paused, {bound}")
                self._end(Failure(error))
                return
        if data:
            self._size += len(data)
            self._pieces.append(bytes(data))
            self._wake()
            self._pauseIfEnough()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """
        @raise RuntimeError: always. There is one already.
        """
        raise RuntimeError(f"{self._producer!r} produces already; {producer!r} can't")

    def unregisterProducer(self) -> None:
        """
        Nothing: the Deferred of C{startProducing} tells the end.
        """

    # What comes of it

    def _made(self, _: object) -> None:
        """
        The producer has written all.
        """
        if self._left:
            self._end(Failure(wrongBodyLength()("too few bytes written")))
        elif not self._over:
            self._over = self._complete = True
            self._wake()

    def _end(self, failure: Failure) -> None:
        if not self._over:
            self._over = True
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.called:
            waiter.give(None)

    def _pauseIfEnough(self) -> None:
        # Not before it has begun: one that writes all at once need not know how to pause.
        if self._size > _ENOUGH and self._started and not (self._paused or self._over):
            self._paused = True
            self._excess = 0
            self._producer.pauseProducing()

    def _stopProducer(self) -> None:
        try:
            self._producer.stopProducing()
        except Exception:
            log.failure("stopProducing() of {producer!r} failed", producer=self._producer)
