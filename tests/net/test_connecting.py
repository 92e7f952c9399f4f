"""
connect: with a reactor and a resolver in memory for what takes time or fails, then on loopback.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv6Address
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.processes import freePort
from wasinet_twisted.errors import ConnectFailed, ConnectionRefused, InvalidArgument, TimedOut, UnknownHost
from wasinet_twisted.net import WasiTcpConn, WasiTcpServer, connect, formatAddress
from wasinet_twisted.net.client.happyeyeballs import ATTEMPT_DELAY, MAX_ATTEMPTS
from wasinet_twisted.testing import Link

from .resolver import FakeResolver, addresses

reactor: Any = _reactor
LOCAL = "127.0.0.1"
# The order in which RFC 8305 has them is another one.
SIX, SIX2, FOUR, FOUR2 = HOSTS = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"]


def refused() -> Exception:
    return ConnectionRefusedError(111, "Connection refused")


def connected(clock: Any, protocol: Any) -> Link:
    """
    Connect a protocol to a peer in memory.
    """
    link = Link(clock)
    link.beginClient(protocol)
    return link


def aborted(link: Link) -> bool:
    return link.clientTransport._aborting


@implementer(IStreamClientEndpoint)
class StubbornEndpoint:
    """
    An endpoint that knows no cancelling, and may take its time after the connection is there.
    """

    factory: Any = None

    def connect(self, protocolFactory: Factory) -> Deferred[Any]:
        self.factory = protocolFactory
        self.answer: Deferred[Any] = Deferred()
        return self.answer.addErrback(self.recover)

    def recover(self, failure: Failure) -> Any:
        """
        What its cancelling gives.
        """
        return failure


@implementer(IStreamClientEndpoint)
class HopelessEndpoint:
    """
    An endpoint that fails at once, one way or the other.
    """

    def __init__(self, error: Exception, raises: bool = False) -> None:
        self._error = error
        self._raises = raises

    def __str__(self) -> str:
        return "nothing"

    def connect(self, protocolFactory: Factory) -> Deferred[Any]:
        if self._raises:
            raise self._error
        return fail(self._error)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.resolver = FakeResolver(example=HOSTS)
        self.reactor.installNameResolver(self.resolver)

    def connect(self, target: Any = "example:80", **arguments: Any) -> Deferred[WasiTcpConn]:
        return connect(target, reactor=self.reactor, **arguments)

    def tried(self) -> list[str]:
        """
        The hosts to which attempts have been begun.
        """
        return [client[0] for client in self.reactor.tcpClients]

    def stopped(self) -> list[bool]:
        """
        Of each attempt, was it cancelled?
        """
        return [connector.stoppedConnecting for connector in self.reactor.connectors]

    def refuse(self, number: int, error: Exception | None = None) -> None:
        """
        An attempt fails, if nothing else is said because nobody listens.
        """
        factory: Any = self.reactor.tcpClients[number][2]
        factory.clientConnectionFailed(self.reactor.connectors[number], Failure(error or refused()))
        self.reactor.advance(0)

    def succeed(self, number: int) -> Link:
        """
        An attempt succeeds.
        """
        factory: Any = self.reactor.tcpClients[number][2]
        return connected(self.reactor, factory.buildProtocol(None))

    def nothingLeft(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class RaceTests(Case):
    def test_theFamiliesInTurn(self) -> None:
        """
        RFC 8305 section 4, with the attempts a quarter of a second apart, as section 5 recommends.
        """
        self.connect()
        for count in range(1, 5):
            self.assertEqual(self.tried(), [SIX, FOUR, SIX2, FOUR2][:count])
            self.reactor.advance(0.24)
            self.assertEqual(len(self.tried()), count)
            self.reactor.advance(0.011)
        # Earlier attempts go on when later ones begin.
        self.assertEqual(self.stopped(), [False] * 4)
        self.assertEqual({client[1] for client in self.reactor.tcpClients}, {80})

    def test_theResolversFamilyIsFirst(self) -> None:
        self.resolver.known["four"] = [FOUR, SIX, SIX2]
        self.connect("four:80")
        self.reactor.pump([1] * 5)
        self.assertEqual(self.tried(), [FOUR, SIX, SIX2])

    def test_theNextBeginsAtOnceWhenOneFails(self) -> None:
        self.connect()
        self.reactor.advance(0.1)
        self.refuse(0)
        self.assertEqual(self.tried(), [SIX, FOUR])
        # From then on it is a quarter of a second again.
        self.reactor.advance(0.24)
        self.assertEqual(len(self.tried()), 2)
        self.reactor.advance(0.011)
        self.assertEqual(len(self.tried()), 3)

    def test_theFirstToConnectWins(self) -> None:
        connecting = self.connect()
        self.reactor.pump([ATTEMPT_DELAY] * 2)
        link = self.succeed(1)
        conn = self.successResultOf(connecting)
        self.assertEqual(self.stopped(), [True, False, True])
        self.nothingLeft()
        conn.write(b"x")
        self.reactor.advance(0)
        self.assertEqual(bytes(link.toServer.arrived), b"x")
        self.assertFalse(aborted(link))
        self.reactor.advance(60)
        self.assertEqual(len(self.tried()), 3)

    def test_aSlowOneMayWin(self) -> None:
        connecting = self.connect()
        self.reactor.pump([1] * 5)
        self.refuse(1)
        self.succeed(0)
        conn = self.successResultOf(connecting)
        self.assertEqual(self.stopped(), [False, False, True, True])
        self.nothingLeft()
        conn.abort()

    def test_allRefuse(self) -> None:
        connecting = self.connect()
        self.reactor.pump([ATTEMPT_DELAY] * 4)
        for number in (2, 0, 3):
            self.refuse(number)
            self.assertNoResult(connecting)
        self.refuse(1)
        error = self.failureResultOf(connecting, ConnectionRefused).value
        names = [f"[{SIX}]:80", f"{FOUR}:80", f"[{SIX2}]:80", f"{FOUR2}:80"]
        self.assertEqual([name for name, _ in error.attempts], names)
        for _, each in error.attempts:
            self.assertIsInstance(each, ConnectionRefusedError)
        told = "; ".join(f"{name}: Connection refused" for name in names)
        self.assertEqual(str(error), f"can't connect to example:80: {told}")
        self.assertIs(error.__cause__, error.attempts[-1][1])
        self.nothingLeft()

    def test_eachReason(self) -> None:
        connecting = self.connect()
        errors = [
            refused(),
            NoRouteError(101, "Network is unreachable"),
            TCPTimedOutError(110, "Connection timed out"),
            ConnectError(string="what\n nobody knows"),
        ]
        for number, each in enumerate(errors):
            self.refuse(number, each)
        error = self.failureResultOf(connecting, ConnectFailed).value
        self.assertIs(type(error), ConnectFailed)
        self.assertEqual([each for _, each in error.attempts], errors)
        self.assertEqual(
            str(error),
            f"can't connect to example:80: [{SIX}]:80: Connection refused; {FOUR}:80: Network is unreachable; "
            f"[{SIX2}]:80: Connection timed out; "
            f"{FOUR2}:80: An error occurred while connecting: what nobody knows",
        )

    def test_manyAddresses(self) -> None:
        self.resolver.known["many"] = [f"192.0.2.{number}" for number in range(MAX_ATTEMPTS + 8)]
        connecting = self.connect("many:80")
        for number in range(MAX_ATTEMPTS):
            self.assertNoResult(connecting)
            self.refuse(number)
        error = self.failureResultOf(connecting, ConnectionRefused).value
        self.assertEqual(len(error.attempts), MAX_ATTEMPTS)
        self.assertTrue(str(error).endswith("Connection refused; 8 more not tried"))

    def test_asManyAddressesAsAreTried(self) -> None:
        self.resolver.known["many"] = [f"192.0.2.{number}" for number in range(MAX_ATTEMPTS)]
        connecting = self.connect("many:80")
        for number in range(MAX_ATTEMPTS):
            self.refuse(number)
        self.assertNotIn("not tried", str(self.failureResultOf(connecting).value))

    def test_unknownHost(self) -> None:
        connecting = self.connect("nowhere.test:80")
        self.resolver.answer("nowhere.test")
        self.reactor.advance(0)
        error = self.failureResultOf(connecting, UnknownHost).value
        self.assertEqual(str(error), "can't connect to nowhere.test:80: unknown host")
        self.assertEqual(error.attempts, ())
        self.nothingLeft()

    def test_addressesAskNobody(self) -> None:
        for target, host in [(f"{FOUR}:80", FOUR), (f"[{SIX}]:80", SIX), ((SIX, 80), SIX)]:
            self.connect(target)
            self.assertEqual(self.tried()[-1], host)
        self.assertEqual(self.resolver.asked, [])

    def test_aLinkLocalAddressKeepsItsZone(self) -> None:
        connecting = self.connect("link.test:80")
        self.resolver.answer("link.test", IPv6Address("TCP", "fe80::1", 0, 0, 2))
        self.assertEqual(self.tried(), ["fe80::1%2"])
        self.refuse(0)
        self.assertIn("[fe80::1%2]:80: Connection refused", str(self.failureResultOf(connecting).value))

    def test_internationalNames(self) -> None:
        self.connect("b\xfccher.test:80")
        self.assertEqual(self.resolver.asked, ["xn--bcher-kva.test"])


class DeadlineTests(Case):
    def test_itCoversTheResolution(self) -> None:
        connecting = self.connect("slow.test:80", timeout=2)
        self.reactor.advance(1.9)
        self.assertNoResult(connecting)
        self.reactor.advance(0.11)
        error = self.failureResultOf(connecting, TimedOut).value
        self.assertEqual(str(error), "timed out: no connection with slow.test:80 in 2 s: the resolver has not answered")
        self.assertEqual(self.resolver.cancelled, ["slow.test"])
        self.nothingLeft()

    def test_anAnswerThatComesTooLate(self) -> None:
        self.resolver.uncancellable = True
        connecting = self.connect("slow.test:80", timeout=2)
        self.reactor.advance(2)
        self.failureResultOf(connecting, TimedOut)
        self.resolver.answer("slow.test", *addresses(FOUR))
        self.assertEqual(self.tried(), [])

    def test_itCoversAllAttempts(self) -> None:
        connecting = self.connect("slow.test:80", timeout=2)
        self.reactor.advance(1.5)
        self.resolver.answer("slow.test", *addresses(*HOSTS))
        self.refuse(0)
        self.reactor.advance(0.3)
        self.assertNoResult(connecting)
        self.reactor.advance(0.21)
        error = self.failureResultOf(connecting, TimedOut).value
        self.assertEqual(
            str(error),
            f"timed out: no connection with slow.test:80 in 2 s: [{SIX}]:80: Connection refused; "
            f"{FOUR}:80: no answer; [{SIX2}]:80: no answer; 1 more not tried",
        )
        self.assertEqual(self.stopped(), [False, True, True])
        self.nothingLeft()

    def test_inTime(self) -> None:
        connecting = self.connect(f"{FOUR}:80", timeout=2)
        self.reactor.advance(1.9)
        self.succeed(0)
        conn = self.successResultOf(connecting)
        self.nothingLeft()
        conn.abort()

    def test_halfAMinuteByDefault(self) -> None:
        connecting = self.connect(f"{FOUR}:80")
        self.reactor.advance(29.9)
        self.assertNoResult(connecting)
        self.reactor.advance(0.2)
        error = self.failureResultOf(connecting, TimedOut).value
        self.assertEqual(str(error), f"timed out: no connection with {FOUR}:80 in 30 s: no answer")

    def test_theEndpointsOwnDeadlineIsLater(self) -> None:
        """
        It tells less, and is 30 seconds if nobody says otherwise.
        """
        for target in ("example:80", f"tcp:{FOUR}:80", f"unix:{'/x'}"):
            for timeout in (0.4, 1.5, 100, 5000, float("inf")):
                self.connect(target, timeout=timeout)
        given = [client[3] for client in self.reactor.tcpClients] + [client[2] for client in self.reactor.unixClients]
        for later, timeout in zip(given, [0.4, 1.5, 100, 5000, 1e7] * 3, strict=True):
            self.assertGreater(later, timeout)

    def test_aTimeoutInTheEndpointString(self) -> None:
        self.connect(f"tcp:{FOUR}:80:timeout=7")
        self.assertEqual([client[3] for client in self.reactor.tcpClients], [7])

    def test_cancellation(self) -> None:
        connecting = self.connect("slow.test:80")
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(self.resolver.cancelled, ["slow.test"])
        self.nothingLeft()
        connecting = self.connect()
        self.reactor.advance(ATTEMPT_DELAY)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(self.stopped(), [True, True])
        self.nothingLeft()


class EndpointTests(Case):
    def test_oneThatConnectsTooLate(self) -> None:
        endpoint = StubbornEndpoint()
        connecting = self.connect(endpoint, timeout=2)
        self.reactor.advance(2)
        self.failureResultOf(connecting, TimedOut)
        protocol = endpoint.factory.buildProtocol(None)
        link = connected(self.reactor, protocol)
        endpoint.answer.callback(protocol)
        self.assertTrue(aborted(link))

    def test_oneThatIsNotDoneWithItsConnection(self) -> None:
        endpoint = StubbornEndpoint()
        connecting = self.connect(endpoint)
        link = connected(self.reactor, endpoint.factory.buildProtocol(None))
        self.assertNoResult(connecting)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(aborted(link))

    def test_oneThatSucceedsInSpiteOfCancelling(self) -> None:
        endpoint = StubbornEndpoint()
        made: list[Any] = []
        endpoint.recover = lambda failure: made[0]  # type: ignore[method-assign]
        connecting = self.connect(endpoint)
        made.append(endpoint.factory.buildProtocol(None))
        link = connected(self.reactor, made[0])
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(aborted(link))
        self.assertIsNone(self.successResultOf(endpoint.answer))

    def test_failuresAtOnce(self) -> None:
        """
        They are told in the reactor's next turn, lest a loop that tries again keep it from it.
        """
        for error, kind, reason in [
            (refused(), ConnectionRefused, "Connection refused"),
            (OSError(2, "No such file or directory"), ConnectFailed, "No such file or directory"),
            (DNSLookupError("no results"), UnknownHost, "DNS lookup failed: no results"),
            (ConnectBindError(99, "x"), ConnectFailed, "Cannot assign requested address"),
            (KeyError(), ConnectFailed, "KeyError"),
        ]:
            for raises in (False, True):
                connecting = self.connect(HopelessEndpoint(error, raises))
                self.assertNoResult(connecting)
                self.reactor.advance(0)
                failed = self.failureResultOf(connecting, ConnectFailed).value
                self.assertIs(type(failed), kind)
                self.assertEqual(str(failed), f"can't connect to nothing: {reason}")
                self.assertEqual(failed.attempts, (("nothing", error),))
                self.assertIs(failed.__cause__, error)
        self.nothingLeft()


class LocalAddressTests(Case):
    def bound(self) -> list[Any]:
        return [client[4] for client in self.reactor.tcpClients]

    def test_itsFamilyOnly(self) -> None:
        self.connect(localAddress="192.0.2.9")
        self.reactor.pump([1] * 5)
        self.assertEqual(self.tried(), [FOUR, FOUR2])
        self.assertEqual(self.bound(), [("192.0.2.9", 0)] * 2)
        self.connect(localAddress="2001:db8::9")
        self.reactor.pump([1] * 5)
        self.assertEqual(self.tried()[2:], [SIX, SIX2])
        self.assertEqual(self.bound()[2:], [("2001:db8::9", 0)] * 2)

    def test_noneOfItsFamily(self) -> None:
        self.resolver.known["four"] = [FOUR]
        connecting = self.connect("four:80", localAddress="2001:db8::9")
        self.reactor.advance(0)
        error = self.failureResultOf(connecting, ConnectFailed).value
        self.assertEqual(str(error), "can't connect to four:80 from 2001:db8::9: four has no IPv6 address")
        self.assertEqual(self.tried(), [])
        self.nothingLeft()

    def test_aPort(self) -> None:
        """
        Two attempts at once can't have the same one.
        """
        self.connect(localAddress=("192.0.2.9", 4000))
        self.reactor.pump([1] * 10)
        self.assertEqual(self.tried(), [FOUR])
        self.assertEqual(self.bound(), [("192.0.2.9", 4000)])
        self.refuse(0)
        self.assertEqual(self.tried(), [FOUR, FOUR2])

    def test_itIsNamed(self) -> None:
        for local, name in [("192.0.2.9", "192.0.2.9"), (("192.0.2.9", 4000), "192.0.2.9:4000")]:
            connecting = self.connect(f"{FOUR}:80", localAddress=local)
            self.refuse(-1, ConnectBindError(99, "Cannot assign requested address"))
            self.assertEqual(
                str(self.failureResultOf(connecting, ConnectFailed).value),
                f"can't connect to {FOUR}:80 from {name}: Cannot assign requested address",
            )

    def test_bad(self) -> None:
        for local in ["localhost", "", 5, ("127.0.0.1",), ("127.0.0.1", -1), ("127.0.0.1", "1"), ("127.0.0.1", 65536),
                      (None, 1), ("127.0.0.1", 1, 2), b"127.0.0.1", "127.0.0.1:80"]:  # fmt: skip
            self.assertRaises(InvalidArgument, self.connect, localAddress=local)
        for target, local in [(f"{FOUR}:80", "::1"), (f"[{SIX}]:80", ("127.0.0.1", 0))]:
            error = self.assertRaises(InvalidArgument, self.connect, target, localAddress=local)
            self.assertIn(repr(local), str(error))
        for target in (f"tcp:{FOUR}:80", "unix:/x", StubbornEndpoint()):
            error = self.assertRaises(InvalidArgument, self.connect, target, localAddress="127.0.0.1")
            self.assertIn("localAddress='127.0.0.1' goes with a host", str(error))
        self.assertEqual((self.tried(), self.resolver.asked), ([], []))
        self.nothingLeft()


@contextmanager
def hosts(**known: list[str]) -> Iterator[None]:
    """
    What the reactor's resolver knows, meanwhile: of localhost not every system knows both addresses.
    """
    before = reactor.installNameResolver(FakeResolver(**known))
    try:
        yield
    finally:
        reactor.installNameResolver(before)


@contextmanager
def silent(host: str, port: int = 0) -> Iterator[int]:
    """
    A port that is taken and refuses connections.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        # The kernel's own choice may be in use in the other family, by whatever else runs here.
        taken.bind((host, port or freePort()))
        yield taken.getsockname()[1]


@contextmanager
def full(host: str, port: int = 0) -> Iterator[int]:
    """
    A port that answers no handshake: a listener whose queue is full.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets = [socket.socket(family) for _ in range(5)]
    listener, *fillers = sockets
    try:
        listener.bind((host, port or freePort()))
        listener.listen(0)
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
    finally:
        for each in sockets:
            each.close()


@pytest_twisted.ensureDeferred
async def test_oneFamilyRefuses() -> None:
    for listening, refusing in [(LOCAL, "::1"), ("::1", LOCAL)]:
        with silent(refusing) as port, hosts(localhost=["::1", LOCAL]):
            async with WasiTcpServer(port, listening) as server:
                async with await connect(f"localhost:{port}", timeout=5) as conn:
                    assert conn.peer() == server.local()
                    other = await server.accept(timeout=5)
                    conn.write(b"x")
                    assert await other.read() == b"x"
                await other.close()


@pytest_twisted.ensureDeferred
async def test_bothFamiliesRefuse() -> None:
    with (
        silent("::1") as port,
        silent(LOCAL, port),
        hosts(localhost=["::1", LOCAL]),
        pytest.raises(ConnectionRefused) as caught,
    ):
        await connect(f"localhost:{port}")
    assert str(caught.value) == (
        f"can't connect to localhost:{port}: [::1]:{port}: Connection refused; {LOCAL}:{port}: Connection refused"
    )
    assert [name for name, _ in caught.value.attempts] == [f"[::1]:{port}", f"{LOCAL}:{port}"]


@pytest_twisted.ensureDeferred
async def test_oneFamilyDoesNotAnswer() -> None:
    with full("::1") as port, hosts(localhost=["::1", LOCAL]):
        await deferLater(reactor, 0.05)
        async with WasiTcpServer(port, LOCAL) as server:
            begun = reactor.seconds()
            async with await connect(f"localhost:{port}", timeout=5) as conn:
                assert ATTEMPT_DELAY <= reactor.seconds() - begun < 3
                assert conn.peer() == server.local()
                await (await server.accept(timeout=5)).close()


@pytest_twisted.ensureDeferred
async def test_theSystemsResolver() -> None:
    server = WasiTcpServer(0, LOCAL)
    port = server.local().port
    async with await connect("localhost", port, timeout=20) as conn:
        assert conn.peer() == server.local()
        await (await server.accept(timeout=5)).close()
    await server.close()
    # Longer than any name can be: no network is asked.
    with pytest.raises(UnknownHost, match=":80: unknown host$"):
        await connect(".".join(["a" * 60] * 5), 80, timeout=20)
    connecting = connect("localhost", port)
    connecting.cancel()
    with pytest.raises(CancelledError):
        await connecting
    reactor.getThreadPool().adjustPoolsize(0, 10)


@pytest_twisted.ensureDeferred
async def test_fromAnAddress() -> None:
    server = WasiTcpServer(0, LOCAL)
    with silent("127.0.0.3") as free:
        pass
    for local in ("127.0.0.2", ("127.0.0.3", free)):
        conn = await WasiTcpConn.connect(LOCAL, server.local().port, localAddress=local)
        other = await server.accept(timeout=5)
        assert conn.local() == other.peer()
        assert formatAddress(conn.local()).startswith("127.0.0.2:" if isinstance(local, str) else f"127.0.0.3:{free}")
        await DeferredList([conn.close(), other.close()])
    await server.close()


# Twisted leaves the socket that it couldn't bind to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest_twisted.ensureDeferred
async def test_fromAnAddressThatIsTaken() -> None:
    with silent(LOCAL) as taken, pytest.raises(ConnectFailed, match=f"from {LOCAL}:{taken}: Address already in use$"):
        await connect(LOCAL, 9, localAddress=(LOCAL, taken))


@pytest_twisted.ensureDeferred
async def test_unixSockets(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(ConnectFailed, match=f"^can't connect to unix:{path}: No such file or directory$"):
        await connect(f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(path))
        with pytest.raises(ConnectionRefused, match=f"^can't connect to unix:{path}: Connection refused$"):
            await connect(f"unix:{path}")


@pytest_twisted.ensureDeferred
async def test_aRefusedConnection() -> None:
    with silent(LOCAL) as port:
        for target in (f"{LOCAL}:{port}", f"tcp:{LOCAL}:{port}", TCP4ClientEndpoint(reactor, LOCAL, port)):
            with pytest.raises(ConnectionRefused, match="^can't connect to .*: Connection refused$") as caught:
                await connect(target)
            assert [name for name, _ in caught.value.attempts] == [str(target)]


@pytest_twisted.ensureDeferred
async def test_connectingTimesOutOrIsCancelled() -> None:
    with full(LOCAL) as port:
        await deferLater(reactor, 0.05)
        with pytest.raises(TimedOut, match=f"^timed out: no connection with {LOCAL}:{port} in 0.2 s: no answer$"):
            await connect((LOCAL, port), timeout=0.2)
        connecting = connect((LOCAL, port))
        reactor.callLater(0.05, connecting.cancel)
        with pytest.raises(CancelledError):
            await connecting


@pytest.mark.parametrize(
    "target",
    ["nohost", "host:", ":80", "host:port", "host:0", "host:70000", "host:\N{SUPERSCRIPT TWO}", "::1:80", "[x]:80",
     "tcp:a:b:c:d", "unix:", ("host", "80"), ("host", 0), (1, 2), 5, None, ("", 80), "two words:80", ("a:80", 80),
     ("[::1]", 80), "localhost\0.test:80", "a..b:80", ("::1", 80, 0, 0)],
)  # fmt: skip
def test_thereIsNoSuchTarget(target: Any) -> None:
    with pytest.raises(InvalidArgument):
        connect(target)


@pytest.mark.parametrize(("target", "port"), [("127.0.0.1:80", 5), (("127.0.0.1", 1), 2)])
def test_aPortThatGoesWithNoHost(target: Any, port: int) -> None:
    with pytest.raises(InvalidArgument, match=f"port={port}|timeout={port}"):
        connect(target, port)


def test_badTimeouts() -> None:
    for timeout in (-1, float("nan"), "5"):
        with pytest.raises(InvalidArgument, match=str(timeout)):
            connect("localhost:1", timeout=timeout)  # type: ignore[arg-type]
