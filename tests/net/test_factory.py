"""
Factories: handlers that own their connections, what stops them, and the tasks that connections own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.net.support import Case, Transport
from wasinet_twisted.errors import (
    BusyError,
    ConnectionClosed,
    IncompleteRead,
    InvalidArgument,
    LimitExceeded,
    TimedOut,
)
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn
from wasinet_twisted.net.server.factory import CANCEL_GRACE
from wasinet_twisted.net.stream.protocol import ConnectionProtocol
from wasinet_twisted.net.tasks.awaited import IMMEDIATE


class FactoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def start(self, handler: Callable[[WasiTcpConn], Any]) -> tuple[ConnectionFactory, ConnectionProtocol, Transport]:
        factory = ConnectionFactory(handler, reactor=self.clock)
        protocol = factory.buildProtocol(None)
        transport = Transport()
        protocol.makeConnection(transport)
        return factory, protocol, transport

    def observe(self, level: Any) -> list[str]:
        """
        What is logged at a level, from now on.
        """
        messages: list[str] = []

        def observe(event: Any) -> None:
            if event.get("log_level") is level:
                messages.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return messages

    def test_aHandlerThatReturnsClosesItsConnection(self) -> None:
        async def handler(conn: WasiTcpConn) -> None:
            conn.write(await conn.read())

        factory, protocol, transport = self.start(handler)
        self.assertEqual(len(factory.tasks), 1)
        protocol.dataReceived(b"abc")
        self.assertEqual(transport.value(), b"abc")
        self.assertTrue(transport.disconnecting)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(factory.tasks), 0)

    def test_aHandlerThatRaisesResetsItsConnectionAndIsLoggedOnce(self) -> None:
        async def handler(conn: WasiTcpConn) -> None:
            await conn.read()
            raise KeyError("x")

        _, protocol, transport = self.start(handler)
        protocol.dataReceived(b"abc")
        self.assertTrue(transport.aborted)
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_whatThePeerHasCausedIsOneLine(self) -> None:
        """
        A handler that lets pass what its reads have raised: its connection is reset, and the log has no traceback.
        """

        async def early(conn: WasiTcpConn) -> None:
            conn.write(b"half an answer")
            await conn.readExactly(10)

        async def long(conn: WasiTcpConn) -> None:
            await conn.readLine(10)

        async def late(conn: WasiTcpConn) -> None:
            await conn.read(timeout=3)

        async def block(conn: WasiTcpConn) -> None:
            async with conn:
                await conn.readLine(10)

        async def child(conn: WasiTcpConn) -> None:
            conn.start(long(conn))
            await Deferred()

        cases: list[tuple[Any, bytes, str]] = [
            (early, b"abc", "IncompleteRead: the stream ended after 3 of 10 bytes"),
            (long, bytes(11), "LimitExceeded: no b'\\n' within 10 bytes"),
            (late, b"", "TimedOut: timed out: nothing came from 192.0.2.1:54321 in 3 s"),
            (block, bytes(11), "LimitExceeded: no b'\\n' within 10 bytes"),
            (child, bytes(11), "LimitExceeded: no b'\\n' within 10 bytes"),
        ]
        messages = self.observe(LogLevel.info)
        for handler, data, line in cases:
            messages.clear()
            _, protocol, transport = self.start(handler)
            if data:
                protocol.dataReceived(data)
            if handler is early:
                self.assertFalse(transport.aborted)
                protocol.readConnectionLost()
            self.clock.advance(3)
            self.assertTrue(transport.aborted)
            protocol.connectionLost(Failure(ConnectionLost()))
            (message,) = messages
            self.assertTrue(message.endswith(f" of the connection with 192.0.2.1:54321 ended: {line}"), message)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_whatIsNotThePeersDoingHasATraceback(self) -> None:
        """
        Errors of the same kinds that this connection's reads haven't raised: the handler's own, and another
        connection's.
        """
        other = ConnectionProtocol(self.clock)
        other.makeConnection(Transport())
        upstream = WasiTcpConn(other)

        async def own(conn: WasiTcpConn) -> None:
            await conn.read()
            raise IncompleteRead("of my own")

        async def others(conn: WasiTcpConn) -> None:
            await upstream.read(timeout=3)

        async def busy(conn: WasiTcpConn) -> None:
            waiting = conn.read()
            try:
                await conn.read()
            finally:
                waiting.addErrback(lambda _: None)

        async def wrapped(conn: WasiTcpConn) -> None:
            try:
                await conn.readLine(1)
            except LimitExceeded as error:
                raise TimedOut("something else") from error

        for handler, kind in ((own, IncompleteRead), (others, TimedOut), (busy, BusyError), (wrapped, TimedOut)):
            _, protocol, transport = self.start(handler)
            protocol.dataReceived(b"abc")
            self.clock.advance(3)
            self.assertTrue(transport.aborted)
            protocol.connectionLost(Failure(ConnectionLost()))
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1, handler)
        upstream.abort()
        other.connectionLost()

    def test_stoppingCancelsAndWaits(self) -> None:
        seen: list[str] = []

        async def handler(conn: WasiTcpConn) -> None:
            try:
                await conn.read()
            except CancelledError:
                seen.append("cancelled")
                raise
            finally:
                seen.append("finally")

        factory, protocol, transport = self.start(handler)
        stopping = factory.stop(5)
        self.assertEqual(seen, ["cancelled", "finally"])
        # What is queued may still be sent, within the deadline.
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.aborted)
        self.assertNoResult(stopping)
        self.clock.advance(5)
        self.assertTrue(transport.aborted)
        protocol.connectionLost(Failure(ConnectionLost()))
        self.successResultOf(stopping)

    def test_stoppingKeepsItsDeadline(self) -> None:
        async def handler(conn: WasiTcpConn) -> None:
            conn.write(b"x")

        factory, protocol, transport = self.start(handler)
        self.assertTrue(transport.disconnecting)
        stopping = factory.stop(5)
        self.clock.advance(5)
        self.assertTrue(transport.aborted)
        protocol.connectionLost(Failure(ConnectionLost()))
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stoppingCancelsHandlersWhoseConnectionIsGone(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def handler(conn: WasiTcpConn) -> None:
            await waiting

        factory, protocol, _ = self.start(handler)
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((len(factory.connections), len(factory.tasks)), (0, 1))
        self.successResultOf(factory.stop(5))
        self.assertTrue(waiting.called)
        self.assertEqual(factory.tasks, set())

    def test_stoppingDoesNotWaitForEver(self) -> None:
        forEver: Deferred[None] = Deferred()

        async def handler(conn: WasiTcpConn) -> None:
            try:
                await conn.read()
            except CancelledError:
                await forEver

        factory, protocol, _ = self.start(handler)
        stopping = factory.stop(5)
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertNoResult(stopping)
        self.clock.advance(6)
        self.successResultOf(stopping)
        forEver.callback(None)
        self.assertEqual(factory.tasks, set())

    def test_stoppingWithNothingToStop(self) -> None:
        self.successResultOf(ConnectionFactory(None, reactor=self.clock).stop(5))  # type: ignore[arg-type]

    def test_applicationProtocols(self) -> None:
        factory = ConnectionFactory(None, alpn=["http/1.1"], reactor=self.clock)  # type: ignore[arg-type]
        self.assertTrue(verifyObject(IProtocolNegotiationFactory, factory))
        self.assertEqual(factory.acceptableProtocols(), [b"http/1.1"])
        plain = ConnectionFactory(None, reactor=self.clock)  # type: ignore[arg-type]
        self.assertFalse(IProtocolNegotiationFactory.providedBy(plain))

    def test_aHandlerThatSwallowsItsCancellationIsClosed(self) -> None:
        seen = []

        async def handler(conn: WasiTcpConn) -> None:
            try:
                await conn.read()
            except CancelledError:
                try:
                    await Deferred()
                finally:
                    seen.append("finally")

        warnings = self.observe(LogLevel.warn)
        factory, _, transport = self.start(handler)
        stopping = factory.stop(5)
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.aborted)
        self.clock.advance(5)
        self.assertTrue(transport.aborted)
        self.assertEqual((seen, len(factory.tasks)), ([], 1))
        self.assertNoResult(stopping)
        # The transport hasn't said that it's over; nobody waits for that for ever.
        self.clock.advance(1)
        self.assertEqual((seen, factory.tasks), (["finally"], set()))
        self.successResultOf(stopping)
        self.assertTrue(any("192.0.2.1:54321" in each and "closed" in each for each in warnings))

    def test_aPeerThatVanishesIsNoFailure(self) -> None:
        """
        A handler that lets pass what a read or a write has told it is a line in the log, without a traceback.
        """
        infos = self.observe(LogLevel.info)

        async def reads(conn: WasiTcpConn) -> None:
            await waiting
            await conn.read()

        async def writes(conn: WasiTcpConn) -> None:
            await waiting
            await conn.write(b"x")

        for handler in (reads, writes):
            waiting: Deferred[None] = Deferred()
            factory, protocol, _ = self.start(handler)
            protocol.connectionLost(Failure(ConnectionLost()))
            waiting.callback(None)
            self.assertEqual(len(factory.tasks), 0)
        self.assertEqual(len([each for each in infos if "192.0.2.1:54321 is gone" in each]), 2)

    def test_itsOwnClosingDoesNotReset(self) -> None:
        """
        What is queued when a handler closes, and then goes on, is still to be sent.
        """
        infos = self.observe(LogLevel.info)

        async def handler(conn: WasiTcpConn) -> None:
            conn.close()
            conn.write(b"x")

        _, _, transport = self.start(handler)
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.aborted)
        self.assertTrue(any("write() of 1 bytes after" in each for each in infos))

    def test_aTaskThatReadsDoesNotResetWhatIsClosed(self) -> None:
        async def readsOn(conn: WasiTcpConn) -> None:
            while True:
                await conn.read()

        async def handler(conn: WasiTcpConn) -> None:
            conn.start(readsOn(conn))
            conn.write(b"bye")

        async def closes(conn: WasiTcpConn) -> None:
            await waiting
            conn.write(b"bye")
            await conn.close()

        async def other(conn: WasiTcpConn) -> None:
            conn.start(closes(conn))
            await readsOn(conn)

        for each in (handler, other):
            waiting: Deferred[None] = Deferred()
            factory, protocol, transport = self.start(each)
            waiting.callback(None)
            self.assertTrue(transport.disconnecting)
            self.assertFalse(transport.aborted)
            self.assertEqual(transport.value(), b"bye")
            protocol.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(factory.connections, set())

    def test_idleWaitersMayEndEachOther(self) -> None:
        factory, protocol, _ = self.start(lambda conn: conn.read())
        first, second = factory.whenIdle(), factory.whenIdle()
        first.addCallback(lambda _: second.cancel())
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_otherKindsOfHandlers(self) -> None:
        waiting: Deferred[None] = Deferred()
        _, _, transport = self.start(lambda conn: waiting)
        self.assertFalse(transport.disconnecting)
        waiting.callback(None)
        self.assertTrue(transport.disconnecting)

        def raises(conn: WasiTcpConn) -> Any:
            raise KeyError("x")

        for handler, kind in ((raises, KeyError), (lambda conn: None, InvalidArgument)):
            factory, _, transport = self.start(handler)
            self.assertTrue(transport.aborted)
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
            self.assertEqual(factory.tasks, set())

    def test_draining(self) -> None:
        """
        Handlers that end in time are left alone.
        """
        factory, protocol, transport = self.start(lambda conn: conn.read())
        draining = factory.drain(5)
        self.clock.advance(4.9)
        self.assertFalse(transport.disconnecting)
        protocol.dataReceived(b"x")
        self.assertTrue(transport.disconnecting)
        self.assertNoResult(draining)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(draining)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drainingCancelsThoseWhoDontEnd(self) -> None:
        seen = []

        async def handler(conn: WasiTcpConn) -> None:
            try:
                await conn.read()
            except CancelledError:
                seen.append(self.clock.seconds())
                await Deferred()

        factory, _, transport = self.start(handler)
        draining = factory.drain(5)
        self.clock.advance(5)
        self.assertEqual(seen, [5])
        self.assertNoResult(draining)
        self.clock.advance(CANCEL_GRACE + 0.2)
        self.assertTrue(transport.aborted)
        self.successResultOf(draining)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drainingWithNothingToDrain(self) -> None:
        self.successResultOf(ConnectionFactory(None, reactor=self.clock).drain(5))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobodyIsTold(self) -> None:
        """
        Whoever gives up waiting is not told, and leaves nothing.
        """
        factory, protocol, _ = self.start(lambda conn: conn.read())
        for waiting in (factory.whenIdle(), factory.drain(5), factory.stop(5)):
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_badBounds(self) -> None:
        error = self.assertRaises(InvalidArgument, ConnectionFactory, None, maxConnections=0, reactor=self.clock)
        self.assertIn("maxConnections must be a whole number of at least 1, not 0", str(error))


async def quick() -> int:
    return 5


class ChildTests(Case):
    """
    Tasks that a connection owns.
    """

    def test_theResult(self) -> None:
        waiting: Deferred[str] = Deferred()

        async def work() -> str:
            return await waiting

        result = self.conn.start(work())
        self.assertNoResult(result)
        waiting.callback("done")
        self.assertEqual(self.successResultOf(result), "done")

    def test_aFailureIsToldToWhoeverAwaitsIt(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def fails() -> None:
            await waiting
            raise KeyError("x")

        async def waits() -> str:
            try:
                await self.conn.start(fails())
            except KeyError:
                return "caught"
            return "not raised"

        result = ensureDeferred(waits())
        waiting.callback(None)
        self.assertEqual(self.successResultOf(result), "caught")
        self.assertFalse(self.transport.aborted)

    def test_aFailureThatNobodyAwaitsIsLoggedAndResetsTheConnection(self) -> None:
        messages = []

        def observe(event: Any) -> None:
            if event.get("log_failure") is not None:
                messages.append(f"{event['what']} {event['peer']}")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

        async def fails() -> None:
            await self.conn.read()
            raise KeyError("x")

        result = self.conn.start(fails())
        self.protocol.dataReceived(b"x")
        self.assertTrue(self.transport.aborted)
        self.assertEqual(messages, ["a task 192.0.2.1:54321"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        # Whoever asks later is told as well, and it isn't logged again.
        self.failureResultOf(result, KeyError)

    def test_aFailureAtOnceIsToldToWhoeverAwaitsIt(self) -> None:
        """
        It may fail before anybody could await it.
        """

        async def fails() -> None:
            raise KeyError("x")

        async def waits() -> str:
            try:
                await self.conn.start(fails())
            except KeyError:
                return "caught"
            return "not raised"

        self.assertEqual(self.successResultOf(ensureDeferred(waits())), "caught")
        self.clock.advance(0)
        self.assertFalse(self.transport.aborted)
        self.conn.start(fails())
        self.clock.advance(0)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_oneThatIsCancelledBeforeItsTurn(self) -> None:
        async def work() -> None:
            raise AssertionError

        results = [self.conn.start(quick()) for _ in range(IMMEDIATE)]
        late = self.conn.start(work())
        late.cancel()
        self.failureResultOf(late, CancelledError)
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(each) for each in results], [5] * IMMEDIATE)

    def test_givenUpItIsCancelled(self) -> None:
        seen = []

        async def stubborn() -> None:
            try:
                await Deferred()
            except CancelledError:
                seen.append("cancelled")
                await waiting
            raise KeyError("x")

        waiting: Deferred[None] = Deferred()
        result = self.conn.start(stubborn())
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual(seen, ["cancelled"])
        # Nobody waits for it any more, so its failure is logged.
        waiting.callback(None)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_itEndsWithTheConnection(self) -> None:
        def lose() -> None:
            self.lose(ConnectionLost)

        for end in (lambda: self.conn.close(), lambda: self.conn.abort(), lose):
            self.setUp()
            seen = []

            async def work(seen: list[str] = seen) -> None:
                try:
                    await Deferred()
                finally:
                    seen.append("finally")

            result = self.conn.start(work())
            end()
            self.assertEqual(seen, ["finally"])
            self.failureResultOf(result, CancelledError)
            self.lose()

    def test_theOneThatClosesSeesItThrough(self) -> None:
        seen = []

        async def closes() -> None:
            await self.conn.read()
            await self.conn.close()
            seen.append("closed")

        result = self.conn.start(closes())
        self.protocol.dataReceived(b"x")
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.successResultOf(result)
        self.assertEqual(seen, ["closed"])

    def test_whatItHasToEndIsNotDisturbedTwice(self) -> None:
        seen = []
        cleaning: Deferred[None] = Deferred()

        async def work() -> None:
            try:
                await Deferred()
            finally:
                await cleaning
                seen.append("clean")

        self.conn.start(work())
        self.conn.close()
        self.lose()
        cleaning.callback(None)
        self.assertEqual(seen, ["clean"])

    def test_aVanishedPeerIsNoFailure(self) -> None:
        async def writes() -> None:
            await waiting
            await self.conn.write(b"x")

        waiting: Deferred[None] = Deferred()
        # Whoever swallows the cancellation may come to this.
        result = self.conn.start(writes())
        self.protocol.lost = True
        self.protocol._broken = ConnectionClosed("gone")
        waiting.callback(None)
        self.failureResultOf(result, ConnectionClosed)
        self.assertFalse(self.transport.aborted)

    def test_stoppingEndsThemByForce(self) -> None:
        clock = Clock()
        seen = []

        async def stubborn() -> None:
            while True:
                try:
                    await Deferred()
                except CancelledError:
                    seen.append("cancelled")
                except GeneratorExit:
                    seen.append("killed")
                    raise

        async def handler(conn: WasiTcpConn) -> None:
            conn.start(stubborn())
            await conn.read()

        factory = ConnectionFactory(handler, reactor=clock)
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(Transport())
        stopping = factory.stop(5)
        clock.advance(6)
        self.assertEqual(seen, ["cancelled", "killed"])
        self.successResultOf(stopping)

    def test_atTheWrongTime(self) -> None:
        async def work() -> None:
            """
            Never run, and nobody warns that it wasn't.
            """

        self.assertIn("start()", str(self.assertRaises(InvalidArgument, self.conn.start, work)))
        self.conn.close()
        self.assertRaises(ConnectionClosed, self.conn.start, work())
        self.lose()
        self.assertRaises(ConnectionClosed, self.conn.start, work())
