"""
What the tests of the Agent share: requests by one whose connections all go to peers in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IPolicyForHTTPS
from zope.interface import implementer

from wasinet_twisted.client import Agent, Pool

from .support import ClientCase, Outcome

URI = b"http://origin.test/path?query=1"


class Body(Protocol):
    """
    Where a body is delivered.

    @ivar pieces: what has come.
    @ivar reason: why it is over; L{None}: it isn't.
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.reason: Any = None

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        assert self.reason is None
        self.reason = reason.value


@implementer(IBodyProducer)
class Producer:
    """
    Produces what a test says, when it says so.

    @ivar told: what it has been told.
    @ivar done: the end, for the test to tell.
    """

    def __init__(self, length: Any = UNKNOWN_LENGTH, data: bytes | None = None) -> None:
        """
        @param data: all of it, if it is written at once.
        """
        self.length = length if data is None else len(data)
        self._data = data
        self.told: list[str] = []
        self.done: Deferred[None] = Deferred()
        self.consumer: Any = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.told.append("start")
        self.consumer = consumer
        if self._data is not None:
            consumer.write(self._data)
            return succeed(None)
        return self.done

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@implementer(IPolicyForHTTPS)
class Policy:
    """
    Verifies as a test says.

    @ivar asked: for which origins it has been asked.
    """

    def __init__(self, creator: Any = None) -> None:
        self._creator = creator
        self.asked: list[tuple[bytes, int]] = []

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        self.asked.append((hostname, port))
        return self._creator


class AgentCase(ClientCase):
    """
    Requests by an Agent.
    """

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.newAgent(self.pool())

    def newAgent(self, pool: Pool, *arguments: Any) -> Agent:
        return Agent(self.clock, *arguments, pool=pool)

    def ask(
        self, method: bytes = b"GET", uri: bytes = URI, headers: Any = None, producer: Any = None, agent: Any = None
    ) -> Outcome:
        """
        Begin, and let happen what needs no time.
        """
        outcome = Outcome((agent or self.agent).request(method, uri, headers, producer))
        self.settle()
        return outcome

    def respond(self, reply: bytes, *arguments: Any, **keywords: Any) -> Any:
        """
        Ask; the latest connection's server says C{reply}.

        @return: the response.
        """
        outcome = self.ask(*arguments, **keywords)
        self.peers[-1].send(reply)
        self.settle()
        return outcome.value

    def deliver(self, response: Any) -> Body:
        body = Body()
        response.deliverBody(body)
        self.settle()
        return body

    def reasons(self, error: Any) -> list[type]:
        """
        The classes of the reasons of one of twisted.web's errors.
        """
        return [failure.type for failure in error.reasons]
