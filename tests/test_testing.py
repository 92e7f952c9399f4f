"""
Connections in memory: what they do, on a clock, and that they do what real ones do.

Some of it is a SynchronousTestCase and some plain functions, because users write both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoProtocol,
)
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    IListeningPort,
    IPushProducer,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from wasinet_twisted import net, testing
from wasinet_twisted.errors import ConnectFailed, ConnectionClosed, InvalidArgument, NotSupported, TimedOut
from wasinet_twisted.net.server.listener import WAITING

reactor: Any = _reactor


class Recorder(Protocol):
    """
    A plain Protocol, not half-closeable, that notes what it is told.
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.reasons: list[type] = []

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.reasons.append(reason.type)  # type: ignore[arg-type]


class Pushing:
    """
    A push producer that notes what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Case(SynchronousTestCase):
    """
    A link between two plain protocols.
    """

    def link(self, **knobs: Any) -> testing.Link:
        self.client, self.server = Recorder(), Recorder()
        link = testing.Link(Clock(), **knobs)
        link.beginClient(self.client)
        link.beginServer(self.server)
        return link


class TransportTests(Case):
    def test_interfaces(self) -> None:
        transport = self.link().clientTransport
        for interface in (ITCPTransport, IConsumer, IPushProducer, IHalfCloseableDescriptor):
            self.assertTrue(verifyObject(interface, transport))
        transport = self.link(halfClose=False).clientTransport
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            self.assertTrue(verifyObject(interface, transport))
        self.assertFalse(IHalfCloseableDescriptor.providedBy(transport))

    def test_addresses(self) -> None:
        link = self.link()
        self.assertEqual(link.clientTransport.getPeer(), link.serverTransport.getHost())
        self.assertEqual(link.serverTransport.getPeer(), link.clientTransport.getHost())
        self.assertEqual(link.clientTransport.getPeer(), IPv4Address("TCP", "192.0.2.2", 8000))

    def test_options(self) -> None:
        transport = self.link().clientTransport
        self.assertFalse(transport.getTcpNoDelay() or transport.getTcpKeepAlive())
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self.assertTrue(transport.getTcpNoDelay() and transport.getTcpKeepAlive())
        self.assertTrue(testing.pair().serverTransport.getTcpNoDelay())

    def test_nothingHappensFromWithin(self) -> None:
        """
        Neither bytes nor ends are told from within the calls that cause them.
        """
        link = self.link()
        link.clientTransport.write(b"abc")
        link.clientTransport.loseConnection()
        link.serverTransport.abortConnection()
        self.assertEqual((self.server.pieces, self.server.reasons, self.client.reasons), ([], [], []))
        link.clock.advance(0)
        self.assertEqual(self.server.reasons, [ConnectionAborted])
        self.assertEqual(len(self.client.reasons), 1)

    def test_advanceAlone(self) -> None:
        link = self.link()
        link.clientTransport.write(b"abc")
        link.clock.advance(0)
        self.assertEqual(self.server.pieces, [b"abc"])

    def test_delay(self) -> None:
        link = self.link(delay=2)
        link.toClient.delay = 0.5
        link.clientTransport.write(b"a")
        link.serverTransport.write(b"b")
        link.advance(0.5)
        self.assertEqual((self.server.pieces, self.client.pieces), ([], [b"b"]))
        link.advance(1.25)
        self.assertEqual(self.server.pieces, [])
        link.advance(0.25)
        self.assertEqual(self.server.pieces, [b"a"])

    def test_aShorterDelayDoesNotOvertake(self) -> None:
        link = self.link(delay=2)
        link.clientTransport.write(b"a")
        link.settle()
        link.toServer.delay = 0
        link.clientTransport.write(b"b")
        link.settle()
        self.assertEqual(self.server.pieces, [])
        link.advance(2)
        self.assertEqual(b"".join(self.server.pieces), b"ab")

    def test_chunkSize(self) -> None:
        link = self.link(chunkSize=2)
        link.clientTransport.write(b"abcde")
        link.settle()
        self.assertEqual(self.server.pieces, [b"ab", b"cd", b"e"])
        link.toServer.chunkSize = 1
        link.clientTransport.write(b"fg")
        link.settle()
        self.assertEqual(self.server.pieces[3:], [b"f", b"g"])
        link.toServer.chunkSize = None
        link.clientTransport.write(b"hi")
        link.settle()
        self.assertEqual(self.server.pieces[5:], [b"hi"])

    def test_rate(self) -> None:
        # Ten times a second, rounded to whole bytes: six at a time here.
        link = self.link(rate=64)
        link.clientTransport.write(bytes(160))
        for received in (60, 126, 160, 160):
            link.advance(1)
            self.assertEqual(len(b"".join(self.server.pieces)), received)
        link.toServer.rate = None
        link.clientTransport.write(bytes(160))
        link.settle()
        self.assertEqual(len(b"".join(self.server.pieces)), 320)

    def test_theProducerIsPausedAbove64KiB(self) -> None:
        link = self.link(window=1000)
        link.serverTransport.pauseProducing()
        producer = Pushing()
        link.clientTransport.registerProducer(producer, True)
        link.clientTransport.write(bytes(65536))
        self.assertEqual(producer.told, [])
        link.clientTransport.write(b"x")
        self.assertEqual(producer.told, ["pause"])
        link.settle()
        self.assertEqual(producer.told, ["pause"])
        link.serverTransport.resumeProducing()
        link.settle()
        self.assertEqual(producer.told, ["pause", "resume"])
        self.assertEqual(len(b"".join(self.server.pieces)), 65537)

    def test_theWindow(self) -> None:
        """
        What is not read counts, even on its way; a wider window lets more through.
        """
        link = self.link(window=10, delay=1)
        link.serverTransport.pauseProducing()
        link.clientTransport.write(bytes(100))
        link.settle()
        buffered = link.clientTransport
        self.assertEqual(len(buffered.dataBuffer) - buffered.offset, 90)
        link.advance(5)
        self.assertEqual(len(buffered.dataBuffer) - buffered.offset, 90)
        link.toServer.window = 30
        link.settle()
        self.assertEqual(len(buffered.dataBuffer) - buffered.offset, 70)

    def test_closeFlushesFirst(self) -> None:
        link = self.link(window=10)
        link.serverTransport.pauseProducing()
        link.clientTransport.write(bytes(100))
        link.clientTransport.loseConnection()
        link.settle()
        self.assertEqual(self.client.reasons, [])
        link.serverTransport.resumeProducing()
        link.settle()
        self.assertEqual(len(b"".join(self.server.pieces)), 100)
        self.assertEqual((self.client.reasons, self.server.reasons), ([ConnectionDone], [ConnectionDone]))

    def test_closeWaitsForTheProducer(self) -> None:
        link = self.link(window=10)
        producer = Pushing()
        link.clientTransport.registerProducer(producer, True)
        link.clientTransport.write(bytes(100_000))
        link.clientTransport.loseConnection()
        link.settle()
        self.assertEqual(producer.told, ["pause", "resume"])
        link.clientTransport.unregisterProducer()
        link.settle()
        self.assertEqual(self.client.reasons, [ConnectionDone])

    def test_anUnreadByteMakesACloseAReset(self) -> None:
        """
        The one that closes doesn't see it; who wrote is told at the next write.
        """
        link = self.link()
        link.serverTransport.pauseProducing()
        link.clientTransport.write(b"unread")
        link.settle()
        link.clientTransport.pauseProducing()
        link.serverTransport.loseConnection()
        link.settle()
        self.assertEqual(self.server.reasons, [ConnectionDone])
        self.assertEqual(self.client.reasons, [])
        link.clientTransport.write(b"more")
        link.settle()
        self.assertEqual(self.client.reasons, [ConnectionLost])

    def test_bytesForAClosedEnd(self) -> None:
        link = self.link(delay=1)
        link.serverTransport.loseConnection()
        link.clientTransport.pauseProducing()
        link.settle()
        link.clientTransport.write(b"too late")
        link.advance(1)
        link.clientTransport.write(b"and still not known")
        link.settle()
        self.assertEqual(self.client.reasons, [])
        link.advance(1)
        link.clientTransport.write(b"more")
        link.settle()
        self.assertEqual(self.client.reasons, [ConnectionLost])

    def test_abort(self) -> None:
        """
        What the kernel has is sent; what the transport holds is lost.
        """
        link = self.link(window=10, delay=1)
        link.clientTransport.write(bytes(100))
        link.settle()
        link.clientTransport.abortConnection()
        link.settle()
        self.assertEqual((self.client.reasons, self.server.reasons), ([ConnectionAborted], []))
        link.advance(1)
        self.assertEqual((self.server.pieces, self.server.reasons), ([bytes(10)], [ConnectionLost]))

    def test_resetOfOneEnd(self) -> None:
        link = self.link()
        link.toServer.reset()
        link.settle()
        self.assertEqual((self.client.reasons, self.server.reasons), ([], [ConnectionLost]))
        link.clientTransport.write(b"?")
        link.settle()
        self.assertEqual(self.client.reasons, [ConnectionLost])

    def test_aResetOfAStalledEnd(self) -> None:
        """
        It is told although it doesn't read and there is no room to write.
        """
        link = self.link(window=10)
        link.serverTransport.pauseProducing()
        link.clientTransport.pauseProducing()
        link.clientTransport.write(bytes(100))
        link.settle()
        link.toClient.reset()
        link.settle()
        self.assertEqual(self.client.reasons, [ConnectionLost])

    def test_whatComesAfterAReset(self) -> None:
        """
        It is not received, but answered with a reset.
        """
        link = self.link()
        link.serverTransport.pauseProducing()
        link.toServer.reset()
        link.clientTransport.write(b"late")
        link.settle()
        self.assertEqual(self.client.reasons, [ConnectionLost])
        link.serverTransport.resumeProducing()
        link.settle()
        self.assertEqual((self.server.pieces, self.server.reasons), ([], [ConnectionLost]))

    def test_lose(self) -> None:
        link = self.link(delay=1)
        link.clientTransport.write(b"before")
        link.settle()
        link.lose()
        link.advance(1)
        self.assertEqual(self.server.pieces, [b"before"])
        self.assertEqual((self.client.reasons, self.server.reasons), ([ConnectionLost], [ConnectionLost]))

    def test_vanish(self) -> None:
        link = self.link(delay=1, window=1000)
        link.clientTransport.write(b"on its way")
        link.settle()
        link.vanish()
        producer = Pushing()
        link.clientTransport.registerProducer(producer, True)
        link.clientTransport.write(bytes(65536))
        link.clientTransport.write(bytes(991))
        link.serverTransport.abortConnection()
        link.advance(100)
        self.assertEqual((self.server.pieces, self.client.reasons), ([], []))
        self.assertEqual(producer.told, ["pause"])

    def test_aProtocolThatFails(self) -> None:
        link = self.link()
        self.server.dataReceived = lambda data: 1 / 0  # type: ignore[assignment, method-assign, return-value]
        link.clientTransport.write(b"abc")
        link.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.client.reasons, self.server.reasons), ([ConnectionDone], [ZeroDivisionError]))

    def test_badKnobs(self) -> None:
        link = testing.pair()
        for name, value in (
            ("delay", -1),
            ("delay", "1"),
            ("delay", float("nan")),
            ("chunkSize", 0),
            ("window", 0),
            ("window", None),
            ("rate", 0),
        ):
            error = self.assertRaises(InvalidArgument, testing.pair, **{name: value})
            self.assertIn(name, str(error))
            self.assertIn(repr(value), str(error))
            self.assertRaises(InvalidArgument, setattr, link.toClient, name, value)
            self.assertRaises(InvalidArgument, testing.MemoryListener, **{name: value})
        self.assertRaises(AttributeError, setattr, link.toClient, "chunksize", 1)


class TimeTests(SynchronousTestCase):
    def test_aLoopThatSpins(self) -> None:
        clock = Clock()

        def spin() -> None:
            clock.callLater(0, spin)

        spin()
        error = self.assertRaises(AssertionError, testing.settle, clock)
        self.assertIn("10001 calls in a row that moved no byte at 0 s", str(error))
        self.assertIn("spin", str(error))

    def test_twoThatEchoEachOther(self) -> None:
        """
        They move bytes for ever.
        """
        self.patch(testing.time, "MOST_CALLS", 1000)
        link = testing.pair()

        async def echo(conn: net.WasiTcpConn) -> None:
            async for data in conn:
                await conn.write(data)

        for conn in link:
            ensureDeferred(echo(conn))
        link.client.write(b"x")
        error = self.assertRaises(AssertionError, link.settle)
        self.assertIn("1001 calls at 0 s", str(error))
        link.vanish()

    def test_manyBytesOneByOne(self) -> None:
        """
        Many calls that do something are no loop that spins.
        """
        link = testing.pair(chunkSize=1)
        link.client.write(bytes(30_000))
        self.assertEqual(len(link.run(link.server.readExactly(30_000), atMost=0)), 30_000)

    def test_settleLeavesTheFutureAlone(self) -> None:
        clock = Clock()
        called: list[int] = []
        clock.callLater(1, called.append, 1)
        clock.callLater(0, called.append, 0)
        testing.settle(clock)
        self.assertEqual((called, clock.seconds()), ([0], 0))

    def test_runGivesTheResult(self) -> None:
        clock = Clock()

        async def slow() -> int:
            await deferLater(clock, 2)
            return 3

        self.assertEqual(testing.run(clock, slow()), 3)
        self.assertEqual(clock.seconds(), 2)
        self.assertEqual(testing.run(clock, deferLater(clock, 60, int)), 0)

    def test_runRaisesTheFailure(self) -> None:
        link = testing.pair()
        self.assertRaises(TimedOut, link.run, link.client.read(timeout=60))
        self.assertEqual(link.clock.seconds(), 60)

    def test_notInTime(self) -> None:
        clock = Clock()
        waiting = deferLater(clock, 60.5)
        error = self.assertRaises(AssertionError, testing.run, clock, waiting)
        self.assertIn("not after 60 s of the clock's time", str(error))
        self.assertIn("due at 60.5 s", str(error))
        self.assertEqual(clock.seconds(), 60)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_never(self) -> None:
        error = self.assertRaises(AssertionError, testing.run, Clock(), Deferred(), 1.5)
        self.assertIn("not after 1.5 s", str(error))
        self.assertIn("nothing is due any more", str(error))
        self.assertRaises(InvalidArgument, testing.run, Clock(), Deferred(), -1)

    def test_theCoroutineIsCancelled(self) -> None:
        link = testing.pair()
        ended: list[str] = []

        async def wait() -> None:
            try:
                await link.client.read()
            finally:
                ended.append("finally")

        self.assertRaises(AssertionError, link.run, wait())
        self.assertEqual(ended, ["finally"])


# Plain functions from here: nothing of it needs a test case.


def test_pairUnpacks() -> None:
    clock = Clock()
    link = testing.pair(clock)
    client, server = link
    assert (client, server, clock) == (link.client, link.server, link.clock)
    client.write(b"abc")
    assert link.run(server.read()) == b"abc"
    assert client.peer() == server.local()
    assert server.peer() == client.local()


def test_withoutHalfClose() -> None:
    link = testing.pair(halfClose=False)
    with pytest.raises(NotSupported):
        link.client.finish()
    link.client.write(b"last")
    link.client.close()
    assert link.run(link.server.readToEnd(10)) == b"last"
    # Whole: the other direction is gone with it.
    with pytest.raises(ConnectionClosed):
        link.run(ensureDeferred(_write(link.server, b"x")))


async def _write(conn: net.WasiTcpConn, data: bytes) -> None:
    await conn.write(data)


def test_closeAfterHalfCloseIsToldAtOnce() -> None:
    """
    Twisted's transport, once its own direction is ended, tells its end from within loseConnection().
    """
    link = testing.pair()
    link.run(link.client.finish())
    closed = link.client.close()
    assert closed.called
    assert link.run(link.server.read()) == b""


def _serve(listener: testing.MemoryListener, handler: Callable[[net.WasiTcpConn], Awaitable[object]]) -> Any:
    return listener.run(listener.listen(net.ConnectionFactory(handler, reactor=listener.clock)))


async def _echo(conn: net.WasiTcpConn) -> None:
    async for data in conn:
        await conn.write(data)


async def _idle(conn: net.WasiTcpConn) -> None:
    await conn.whenClosed()


def test_listenerInterfaces() -> None:
    listener = testing.MemoryListener()
    port = _serve(listener, _echo)
    assert verifyObject(IStreamServerEndpoint, listener)
    assert verifyObject(IStreamClientEndpoint, listener.endpoint)
    assert verifyObject(IListeningPort, port)
    assert port.getHost() == IPv4Address("TCP", "192.0.2.2", 8000)


def test_handlersOverAListener() -> None:
    listener = testing.MemoryListener(chunkSize=1, delay=0.5)
    port = _serve(listener, _echo)
    clients = [listener.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.write(b"number %d" % number)
    for number, client in enumerate(clients):
        assert listener.run(client.readExactly(8)) == b"number %d" % number
        assert listener.run(client.close()) is None
    assert [link.clientTransport.getHost().port for link in listener.links] == [40000, 40001, 40002]
    stopped = port.stopListening()
    assert not stopped.called
    assert listener.run(stopped) is None
    assert listener.run(port.stopListening()) is None


def test_aServerAndConnect() -> None:
    listener = testing.MemoryListener(delay=0.5)
    server = net.WasiTcpServer(listener, reactor=listener.clock)
    client = listener.run(net.connect(listener.endpoint, reactor=listener.clock))
    assert listener.clock.seconds() == 1.0
    other = listener.run(server.accept())
    client.write(b"abc")
    listener.links[0].toClient.reset()
    assert listener.run(other.read()) == b"abc"
    with pytest.raises(ConnectionClosed):
        listener.run(client.read())
    assert server.local() == client.peer()
    listener.run(server.close())
    with pytest.raises(ConnectFailed, match="nobody listens"):
        listener.connect()
    with pytest.raises(ConnectFailed) as caught:
        listener.run(net.connect(listener.endpoint, reactor=listener.clock))
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_aConnectThatTakesTooLong() -> None:
    listener = testing.MemoryListener(delay=10)
    server = net.WasiTcpServer(listener, reactor=listener.clock)
    with pytest.raises(TimedOut):
        listener.run(net.connect(listener.endpoint, timeout=15, reactor=listener.clock))
    # The server has it, and is told that it's gone.
    accepted = listener.run(server.accept())
    with pytest.raises(ConnectionClosed):
        listener.run(accepted.read())
    connecting = listener.endpoint.connect(Factory.forProtocol(Protocol))
    connecting.cancel()
    with pytest.raises(ConnectingCancelledError):
        listener.run(connecting)
    assert listener.clock.getDelayedCalls() == []


def test_oneListensAtATime() -> None:
    listener = testing.MemoryListener()
    port = _serve(listener, _idle)
    with pytest.raises(CannotListenError):
        _serve(listener, _idle)
    listener.run(port.stopListening())
    _serve(listener, _idle)


def test_stopReadingIsExact() -> None:
    """
    Not one more is made, even of those that came together.
    """
    listener = testing.MemoryListener()
    made: list[object] = []

    class Stopping(Protocol):
        def connectionMade(self) -> None:
            made.append(self)
            if len(made) in (2, 3):
                port.stopReading()

    port: Any = listener.run(listener.listen(Factory.forProtocol(Stopping)))
    clients = [listener.connect() for _ in range(5)]
    listener.settle()
    assert len(made) == 2
    clients[4].write(b"in the kernel's queue")
    listener.settle()
    port.startReading()
    listener.settle()
    assert len(made) == 3
    stopped = port.stopListening()
    listener.run(stopped)
    # Those that were accepted go on; those that waited are reset.
    assert not clients[0].read(timeout=1).called
    for client in clients[3:]:
        with pytest.raises(ConnectionClosed):
            listener.run(client.read())


def test_waitingConnectionsHaveABound() -> None:
    listener = testing.MemoryListener()
    server = net.WasiTcpServer(listener, reactor=listener.clock)
    clients = [listener.connect() for _ in range(WAITING + 50)]
    listener.settle()
    accepted = [link for link in listener.links if hasattr(link, "serverTransport")]
    assert len(accepted) == WAITING
    for client in clients:
        assert listener.run(server.accept(timeout=1)).peer() == client.local()


def test_factoriesThatMakeNoProtocol() -> None:
    class Refusing(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> None:
            return None

    listener = testing.MemoryListener()
    listener.run(listener.listen(Refusing()))
    client = listener.connect()
    assert listener.run(client.read()) == b""
    with pytest.raises(NoProtocol):
        listener.run(listener.endpoint.connect(Refusing()))


def test_aClientsFactoryThatFails() -> None:
    """
    The server has a connection already, and is told that it is gone.
    """

    class Failing(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> None:
            raise LookupError("nothing there")

    listener = testing.MemoryListener()
    server = net.WasiTcpServer(listener, reactor=listener.clock)
    with pytest.raises(LookupError):
        listener.run(listener.endpoint.connect(Failing()))
    accepted = listener.run(server.accept())
    with pytest.raises(ConnectionClosed):
        listener.run(accepted.read())


def test_aServerThatStopsMeanwhile() -> None:
    listener = testing.MemoryListener(delay=1)
    port = _serve(listener, _echo)
    client = listener.connect()
    listener.run(port.stopListening())
    with pytest.raises(ConnectionClosed):
        listener.run(client.read())
    assert listener.clock.seconds() == 2.0


def test_advanceRunsEachCallAtItsOwnTime() -> None:
    clock = Clock()
    times: list[float] = []
    clock.callLater(1, lambda: clock.callLater(1, lambda: times.append(clock.seconds())))
    testing.advance(clock, 1.5)
    assert times == []
    testing.advance(clock, 1.5)
    assert (times, clock.seconds()) == ([2.0], 3.0)
    with pytest.raises(InvalidArgument):
        testing.advance(clock, -1)


def test_aFactoryThatFails(loggedErrors: Callable[[], list[str]]) -> None:
    class Failing(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> None:
            raise LookupError("nothing there")

    listener = testing.MemoryListener()
    listener.run(listener.listen(Failing()))
    assert listener.run(listener.connect().read()) == b""
    assert all("factory failed" in message for message in loggedErrors())


# Whatever the knobs: the same bytes in the same order.

KNOBS = st.fixed_dictionaries(
    {},
    optional={
        "delay": st.sampled_from([0.0, 0.001, 1.5]),
        "chunkSize": st.one_of(st.none(), st.integers(1, 20)),
        "window": st.integers(1, 100),
        "rate": st.one_of(st.none(), st.floats(5, 1000)),
    },
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.booleans(), st.binary(max_size=100)),
        st.tuples(st.just("pause"), st.booleans(), st.booleans()),
        st.tuples(st.just("knobs"), st.booleans(), KNOBS),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.001, 0.7, 2.0]), st.none()),
    ),
    max_size=25,
)


@given(KNOBS, STEPS)
def test_theBytesComeOutAsTheyWentIn(knobs: dict[str, Any], steps: list[Any]) -> None:
    link = testing.Link(Clock(), **knobs)
    ends = (Recorder(), Recorder())
    link.beginClient(ends[0])
    link.beginServer(ends[1])
    transports = (link.clientTransport, link.serverTransport)
    directions = (link.toClient, link.toServer)
    sent = [b"", b""]
    for what, end, value in steps:
        if what == "write":
            transports[end].write(value)
            sent[end] += value
        elif what == "pause":
            (transports[end].pauseProducing if value else transports[end].resumeProducing)()
        elif what == "knobs":
            for name, each in value.items():
                setattr(directions[end], name, each)
        else:
            link.advance(end)
        for end in (0, 1):
            got = b"".join(ends[1 - end].pieces)
            assert sent[end].startswith(got)
            waiting = transports[end]
            buffered = len(waiting.dataBuffer) - waiting.offset + waiting._tempDataLen
            assert buffered + len(got) <= len(sent[end])
    for transport in transports:
        transport.resumeProducing()
    # The slowest takes 2500 bytes at 5 a second.
    link.advance(900)
    assert [b"".join(ends[1].pieces), b"".join(ends[0].pieces)] == sent
    for transport in transports:
        transport.loseConnection()
    link.advance(10)
    assert [end.reasons for end in ends] == [[ConnectionDone]] * 2
    assert link.clock.getDelayedCalls() == []


# The same scenario over memory and over a real socket.

Sleep = Callable[[float], Awaitable[object]]
Scenario = Callable[[net.WasiTcpConn, net.WasiTcpConn, Sleep], Awaitable[object]]


async def outcome(what: Awaitable[object]) -> object:
    """
    What came of it, and for failures, why.
    """
    try:
        return await what
    except net.ConnectionClosed as error:
        return type(error), type(error.__cause__)


async def echoes(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    handling = ensureDeferred(_echo(server))
    await client.write(b"hello")
    first = await client.readExactly(5)
    await client.write(b"bye")
    await client.finish()
    rest = await client.readExactly(3)
    await handling
    await server.close()
    return first, rest, await client.read()


async def halfCloses(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    await client.finish()
    end = await server.read()
    # The other direction goes on.
    await server.write(b"answer")
    answer = await client.read()
    server.close()
    return end, answer, await client.read()


async def stalls(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    data = bytes(range(256)) * 64 * 1024
    writing = client.write(data)
    await sleep(0.05)
    stalled = not writing.called
    digest = hashlib.sha256()
    size = 0
    while size < len(data):
        piece = await server.read()
        size += len(piece)
        digest.update(piece)
    await writing
    return stalled, size, digest.hexdigest()


async def closesWithMuchQueued(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    client.write(bytes(16_000_000))
    closing = client.close(timeout=20)
    await sleep(0.05)
    open = not closing.called
    received = len(await server.readToEnd(20_000_000))
    return open, received, await closing


async def resets(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    await client.write(b"before")
    await sleep(0.05)
    client.abort()
    found = [await outcome(client.read()), await outcome(client.read())]
    await sleep(0.05)
    found += [await outcome(server.read()), await outcome(server.read()), await outcome(server.read())]
    return found, await outcome(server.write(b"x")), await server.whenClosed()


async def resetsWhileTheOtherWrites(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    writing = server.write(bytes(16_000_000))
    await sleep(0.05)
    client.abort()
    return await outcome(writing), await outcome(server.read()), await outcome(server.read())


async def closesWithUnreadBytes(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    # More than the server's handle takes before it pauses: the rest is left in the kernel.
    writing = client.write(bytes(300_000))
    await server.write(b"answer")
    await sleep(0.05)
    await server.close()
    found = [await outcome(client.read()), await outcome(client.read())]
    await outcome(writing)
    await sleep(0.05)
    found.append(await outcome(client.write(b"x")))
    await sleep(0.05)
    return found, await outcome(client.write(b"x"))


async def writesToAClosedEnd(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    await server.close()
    await sleep(0.05)
    found = [await outcome(client.read())]
    # The first is answered with a reset, the second finds it.
    for _ in range(3):
        found.append(await outcome(client.write(b"x")))
        await sleep(0.05)
    return found, await client.whenClosed()


async def bothClose(client: net.WasiTcpConn, server: net.WasiTcpConn, sleep: Sleep) -> object:
    client.write(b"a")
    server.write(b"b")
    await sleep(0.05)
    closing = [client.close(), server.close()]
    return [await each for each in closing], await outcome(client.read()), await outcome(client.read())


SCENARIOS: list[Scenario] = [
    echoes,
    halfCloses,
    stalls,
    closesWithMuchQueued,
    resets,
    resetsWhileTheOtherWrites,
    closesWithUnreadBytes,
    writesToAClosedEnd,
    bothClose,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest_twisted.ensureDeferred
async def test_asOnARealSocket(scenario: Scenario) -> None:
    link = testing.pair()
    inMemory = link.run(ensureDeferred(scenario(link.client, link.server, partial(deferLater, link.clock))))
    link.lose()
    link.settle()
    async with net.WasiTcpServer(0, "127.0.0.1") as listening:
        client = await net.connect("127.0.0.1", listening.local().port)
        server = await listening.accept()
        try:
            assert await scenario(client, server, partial(deferLater, reactor)) == inMemory
        finally:
            client.abort()
            server.abort()
