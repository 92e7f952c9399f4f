"""
What the tests of the client share: a server in memory whose every byte is the test's to say.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from wasinet_twisted.client import ClientLimits, Pool, Response, Timeouts, fetch
from wasinet_twisted.http import Buffer, WasiRequest
from wasinet_twisted.testing import Link, MemoryListener

T = TypeVar("T")

URL = "http://origin.test/"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def answer(body: bytes = b"", *fields: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """
    A response with a Content-Length, as it is on the wire.
    """
    lines = (f"{version} {status}", f"Content-Length: {len(body)}", *fields, "", "")
    return "\r\n".join(lines).encode("latin-1") + body


def head(*fields: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """
    The head of a response.
    """
    return "\r\n".join((f"{version} {status}", *fields, "", "")).encode("latin-1")


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    """
    A response in chunks.
    """
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head("Transfer-Encoding: chunked") + body + b"0\r\n" + trailers + b"\r\n"


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """
    The server's end of one connection.

    @ivar got: what has come.
    @ivar finished: has the client ended its direction?
    @ivar reason: why the connection is gone; L{None}: it isn't.
    @ivar greeting: what is sent as soon as there is a connection.
    @ivar reads: does it read what comes?
    """

    def __init__(self, greeting: bytes = b"", reads: bool = True) -> None:
        self.got = b""
        self.finished = False
        self.reason: type | None = None
        self.greeting = greeting
        self.reads = reads
        self._taken = 0

    def connectionMade(self) -> None:
        if not self.reads:
            transport: Any = self.transport
            transport.pauseProducing()
        if self.greeting:
            self.send(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def readConnectionLost(self) -> None:
        self.finished = True

    def writeConnectionLost(self) -> None:
        """
        Our direction has ended.
        """

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.reason = reason.type

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def finish(self) -> None:
        """
        End our direction.
        """
        transport: Any = self.transport
        transport.loseWriteConnection()

    def close(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def reset(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def take(self) -> bytes:
        """
        What has come since the last time.
        """
        taken, self._taken = self.got[self._taken :], len(self.got)
        return taken

    def requests(self) -> list[WasiRequest]:
        """
        All requests that have come whole.
        """
        buffer = Buffer("request")
        buffer.append(self.got)
        found = []
        while (request := buffer.parseRequest()) is not None:
            found.append(request)
        return found

    @property
    def wasReset(self) -> bool:
        return self.reason is not None and self.reason is not ConnectionDone

    @property
    def wasClosed(self) -> bool:
        """
        Has the client ended the connection regularly?
        """
        return self.reason is ConnectionDone or (self.reason is None and self.finished)


class Outcome:
    """
    What has become of a Deferred.
    """

    def __init__(self, waiting: Deferred[Any]) -> None:
        self.deferred = waiting
        self.results: list[Any] = []
        waiting.addBoth(self.results.append)

    @property
    def pending(self) -> bool:
        return not self.results

    @property
    def error(self) -> BaseException | None:
        result = self.results[0] if self.results else None
        return result.value if isinstance(result, Failure) else None

    @property
    def value(self) -> Any:
        (result,) = self.results
        if isinstance(result, Failure):
            result.raiseException()
        return result


class ClientCase(SynchronousTestCase):
    """
    Pools on a Clock. In the end each is closed, and nothing may be left: no connection, no place, no timer.

    @ivar peers: the server's ends of all connections, in the order in which they came.
    """

    greeting = b""
    reads = True

    def setUp(self) -> None:
        self.clock = Clock()
        self.pools: list[Pool] = []
        self._everyPeer: list[Peer] = []
        self.listen()

    def listen(self, **knobs: Any) -> None:
        """
        Begin anew, on a network that is so.
        """
        self.listener = MemoryListener(self.clock, **knobs)
        self.peers: list[Peer] = []
        peers = self.peers

        def build(_: object) -> Peer:
            peers.append(Peer(self.greeting, self.reads))
            self._everyPeer.append(peers[-1])
            return peers[-1]

        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = build
        self.successResultOf(self.listener.listen(factory))

    def tearDown(self) -> None:
        for pool in self.pools:
            closing = Outcome(pool.close())
            self.advance(10)
            self.assertFalse(closing.pending, f"not closed: {pool!r}")
            self.assertEverythingIsGone(pool)
        for peer in self._everyPeer:
            if peer.reason is None:
                peer.close()
        self.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def assertEverythingIsGone(self, pool: Pool) -> None:
        """
        Each count has gone down as often as up.
        """
        self.assertEqual(repr(pool), "<Pool: 0 connections, 0 free, 0 requests wait>")
        self.assertEqual((pool._places, pool._free, pool._all), ({}, {}, set()))
        self.assertEqual(pool._dialing._running, set())

    def pool(self, timeouts: Timeouts | None = None, observer: Any = None, **limits: Any) -> Pool:
        """
        A pool of which all connections go to the peers.
        """
        pool = Pool(
            limits=ClientLimits(**limits),
            timeouts=Timeouts() if timeouts is None else timeouts,
            endpoint=lambda _: self.listener.endpoint,
            observer=observer,
            reactor=self.clock,
        )
        self.pools.append(pool)
        return pool

    def begin(self, url: str = URL, *, pool: Pool | None = None, **options: Any) -> Outcome:
        """
        Begin to fetch, and let happen what needs no time.
        """
        if pool is None:
            pool = self.pools[0] if self.pools else self.pool()
        outcome = Outcome(fetch(url, pool=pool, **options))
        self.settle()
        return outcome

    def fetch(self, reply: bytes, url: str = URL, **options: Any) -> Response:
        """
        Fetch; the latest connection's server says C{reply}.
        """
        outcome = self.begin(url, **options)
        self.peers[-1].send(reply)
        self.settle()
        response: Response = outcome.value
        return response

    def whole(self, url: str = URL, **options: Any) -> Outcome:
        """
        Begin to fetch, and to read the whole body.
        """
        pool = options.pop("pool", None) or (self.pools[0] if self.pools else self.pool())

        async def read() -> bytes:
            response = await fetch(url, pool=pool, **options)
            return await response.bytes()

        outcome = Outcome(ensureDeferred(read()))
        self.settle()
        return outcome

    def body(self, response: Response) -> bytes:
        """
        The whole body, which needs no time to come.
        """
        return self.now(response.bytes())

    def now(self, waiting: Deferred[T]) -> T:
        """
        What a Deferred gives without time passing.
        """
        outcome = Outcome(waiting)
        self.settle()
        value: T = outcome.value
        return value

    def settle(self) -> None:
        self.listener.settle()

    def advance(self, seconds: float) -> None:
        self.listener.advance(seconds)

    def link(self, index: int = -1) -> Link:
        return self.listener.links[index]

    def assertPool(self, open: int, free: int, waiting: int = 0, pool: Pool | None = None) -> None:
        """
        So many connections are open, so many of them free, and so many requests wait.
        """
        expected = f"<Pool: {open} connections, {free} free, {waiting} requests wait>"
        self.assertEqual(repr(self.pools[0] if pool is None else pool), expected)

    def twoSides(self, seconds: float, outcome: Outcome, error: type[BaseException]) -> str:
        """
        C{outcome} fails with C{error} in so many seconds, and not before.

        @return: the message.
        """
        self.advance(seconds - 0.01)
        self.assertTrue(outcome.pending, f"before its time: {outcome.results}")
        self.advance(0.02)
        self.assertIsInstance(outcome.error, error)
        return str(outcome.error)
