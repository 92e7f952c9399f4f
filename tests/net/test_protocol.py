"""
Connections on a transport in memory and a clock: what time, faults and cancellation do.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, inlineCallbacks, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
)
from twisted.internet.testing import StringTransport
from zope.interface.verify import verifyObject

from tests.net.support import HOST, PEER, Case, turn
from wasinet_twisted.errors import (
    BusyError,
    ConnectionClosed,
    IncompleteRead,
    InvalidArgument,
    LimitExceeded,
    NotSupported,
    TimedOut,
    WasinetError,
)
from wasinet_twisted.net import IConnection, WasiTcpConn
from wasinet_twisted.net.stream.protocol import READ_BUFFER, ConnectionProtocol
from wasinet_twisted.net.stream.transportprotocol import WRITE_BUFFER
from wasinet_twisted.net.tasks.awaited import IMMEDIATE


class ReadTests(Case):
    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(IConnection, self.conn))
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.protocol))
        self.assertTrue(verifyObject(IPushProducer, self.protocol))

    def test_bytesThatCameBefore(self) -> None:
        self.protocol.dataReceived(b"abc")
        self.assertEqual(self.successResultOf(self.conn.read()), b"abc")

    def test_bytesThatComeLater(self) -> None:
        reading = self.conn.read()
        self.assertNoResult(reading)
        self.protocol.dataReceived(b"abc")
        self.assertEqual(self.successResultOf(reading), b"abc")

    def test_atMostMaxBytes(self) -> None:
        reading = self.conn.read(2)
        self.protocol.dataReceived(b"abcde")
        self.assertEqual(self.successResultOf(reading), b"ab")
        self.assertEqual(self.successResultOf(self.conn.read(2)), b"cd")
        self.assertEqual(self.successResultOf(self.conn.read(2)), b"e")

    def test_endOfStreamEveryTime(self) -> None:
        self.protocol.dataReceived(b"abc")
        self.protocol.readConnectionLost()
        self.assertEqual(self.successResultOf(self.conn.read()), b"abc")
        for _ in range(3):
            self.assertEqual(self.successResultOf(self.conn.read()), b"")

    def test_endOfStreamWhileWaiting(self) -> None:
        reading = self.conn.read()
        self.lose()
        self.assertEqual(self.successResultOf(reading), b"")

    def test_resetIsRaisedOnce(self) -> None:
        self.protocol.dataReceived(b"abc")
        self.lose(ConnectionLost)
        self.assertEqual(self.successResultOf(self.conn.read()), b"abc")
        error = self.failureResultOf(self.conn.read(), ConnectionClosed).value
        self.assertIn("192.0.2.1:54321", str(error))
        self.assertIsInstance(error.__cause__, ConnectionLost)
        self.assertEqual(self.successResultOf(self.conn.read()), b"")

    def test_resetWhileWaiting(self) -> None:
        reading = self.conn.read()
        self.lose(ConnectionLost)
        self.failureResultOf(reading, ConnectionClosed)
        self.assertEqual(self.successResultOf(self.conn.read()), b"")

    def test_timeoutFromBothSides(self) -> None:
        reading = self.conn.read(timeout=5)
        self.clock.advance(4.9)
        self.assertNoResult(reading)
        self.protocol.dataReceived(b"abc")
        self.assertEqual(self.successResultOf(reading), b"abc")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        reading = self.conn.read(timeout=5)
        self.clock.advance(5)
        error = self.failureResultOf(reading, TimedOut, TimeoutError).value
        self.assertEqual(str(error), "timed out: nothing came from 192.0.2.1:54321 in 5 s")

    def test_afterATimeoutNothingIsLost(self) -> None:
        reading = self.conn.read(timeout=1)
        self.clock.advance(1)
        self.failureResultOf(reading, TimedOut)
        self.protocol.dataReceived(b"late")
        self.assertEqual(self.successResultOf(self.conn.read(timeout=1)), b"late")

    def test_afterACancellationNothingIsLost(self) -> None:
        reading = self.conn.read(timeout=9)
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.protocol.dataReceived(b"late")
        self.assertEqual(self.successResultOf(self.conn.read()), b"late")

    def test_twoReadsAtOnce(self) -> None:
        first = self.conn.read()
        error = self.failureResultOf(self.conn.read(), BusyError).value
        self.assertIn("192.0.2.1:54321", str(error))
        self.protocol.dataReceived(b"abc")
        self.assertEqual(self.successResultOf(first), b"abc")

    def test_badArguments(self) -> None:
        for arguments, named in (
            ((0,), "maxBytes"),
            ((-1,), "maxBytes"),
            ((1.5,), "maxBytes"),
            ((1, -1), "timeout"),
            ((1, "5"), "timeout"),
        ):
            error = self.assertRaises(InvalidArgument, self.conn.read, *arguments)
            self.assertIn(named, str(error))
            self.assertIn(repr(arguments[-1]), str(error))

    def test_readAfterClose(self) -> None:
        self.protocol.dataReceived(b"unread")
        self.conn.close()
        self.assertIn("closed by this side", str(self.failureResultOf(self.conn.read(), ConnectionClosed).value))
        self.assertEqual(self.successResultOf(self.conn.read()), b"")

    def test_closeWhileWaiting(self) -> None:
        reading = self.conn.read()
        self.conn.close()
        self.failureResultOf(reading, ConnectionClosed)

    def test_asyncFor(self) -> None:
        async def collect() -> list[bytes]:
            return [data async for data in self.conn]

        collecting = ensureDeferred(collect())
        self.protocol.dataReceived(b"ab")
        self.protocol.dataReceived(b"cd")
        self.assertNoResult(collecting)
        self.protocol.readConnectionLost()
        self.assertEqual(self.successResultOf(collecting), [b"ab", b"cd"])

    def test_inlineCallbacks(self) -> None:
        @inlineCallbacks
        def twice() -> Any:
            first = yield self.conn.read()
            second = yield self.conn.read()
            return first + second

        result = twice()
        self.protocol.dataReceived(b"ab")
        self.protocol.dataReceived(b"cd")
        self.assertEqual(self.successResultOf(result), b"abcd")

    def test_aLoopAtTheEndOfTheStreamYields(self) -> None:
        rounds = 0

        async def forEver() -> None:
            nonlocal rounds
            while True:
                await self.conn.read()
                rounds += 1

        self.protocol.readConnectionLost()
        spinning = ensureDeferred(forEver())
        self.assertEqual(rounds, IMMEDIATE)
        turn(self.clock)
        self.assertEqual(rounds, 2 * IMMEDIATE + 1)
        spinning.cancel()
        self.failureResultOf(spinning, CancelledError)

    def test_smallReadsOfMuchDataYieldAndLoseNothing(self) -> None:
        got = b""

        async def reader() -> None:
            nonlocal got
            while data := await self.conn.read(1):
                got += data

        sent = bytes(range(256)) * 2
        self.protocol.dataReceived(sent)
        self.protocol.readConnectionLost()
        reading = ensureDeferred(reader())
        self.assertNoResult(reading)
        while not reading.called:
            turn(self.clock)
        self.assertEqual(got, sent)


class ParticularReadTests(Case):
    """
    Reads of something particular. What they give is settled in test_incoming; here is what time and faults do.
    """

    def reads(self) -> list[Callable[..., Deferred[bytes]]]:
        conn = self.conn
        return [
            lambda **more: conn.readExactly(4, **more),
            lambda **more: conn.readUntil(b"--", **more),
            lambda **more: conn.readLine(**more),
            lambda **more: conn.readToEnd(100, **more),
        ]

    def test_inPieces(self) -> None:
        for read, rest, given in zip(self.reads(), (b"cd", b"--", b"\n"), (b"abcd", b"ab--", b"ab\n"), strict=False):
            reading = read()
            self.protocol.dataReceived(b"a")
            self.protocol.dataReceived(b"b")
            self.assertNoResult(reading)
            self.protocol.dataReceived(rest + b"more")
            self.assertEqual(self.successResultOf(reading), given)
            self.assertEqual(self.successResultOf(self.conn.read()), b"more")

    def test_timedOutTheyTakeNothing(self) -> None:
        for read in self.reads():
            reading = read(timeout=3)
            self.protocol.dataReceived(b"ab")
            self.clock.advance(3)
            self.failureResultOf(reading, TimedOut)
            self.assertEqual(self.successResultOf(self.conn.read()), b"ab")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelledTheyTakeNothing(self) -> None:
        for read in self.reads():
            reading = read()
            self.protocol.dataReceived(b"ab")
            reading.cancel()
            self.failureResultOf(reading, CancelledError)
            self.assertEqual(self.successResultOf(self.conn.read()), b"ab")

    def test_overTheirLimitTheyTakeNothing(self) -> None:
        for reading in (self.conn.readUntil(b"x", 3), None):
            reading = reading or self.conn.readToEnd(3)
            self.protocol.dataReceived(b"ab")
            self.protocol.dataReceived(b"cd")
            self.assertIn("3 bytes", str(self.failureResultOf(reading, LimitExceeded).value))
            self.assertEqual(self.successResultOf(self.conn.read()), b"abcd")
        self.protocol.dataReceived(b"abcd")
        self.failureResultOf(self.conn.readLine(3), LimitExceeded)
        self.assertEqual(self.successResultOf(self.conn.readExactly(4)), b"abcd")

    def test_theStreamEnds(self) -> None:
        reading = self.conn.readExactly(10)
        self.protocol.dataReceived(b"abc")
        self.protocol.readConnectionLost()
        error = self.failureResultOf(reading, IncompleteRead).value
        self.assertEqual((error.partial, error.expected), (b"abc", 10))
        self.assertEqual(str(error), "the stream ended after 3 of 10 bytes")
        self.assertEqual(self.successResultOf(self.conn.readLine()), b"")
        self.assertEqual(self.successResultOf(self.conn.readToEnd(0)), b"")
        self.failureResultOf(self.conn.readUntil(b"x"), IncompleteRead)

    def test_aResetComesFirstAndTakesNothing(self) -> None:
        reading = self.conn.readToEnd(100)
        self.protocol.dataReceived(b"abc")
        self.lose(ConnectionLost)
        self.failureResultOf(reading, ConnectionClosed)
        self.assertEqual(self.successResultOf(self.conn.readToEnd(100)), b"abc")

    def test_moreThanTheBoundMayBeWaitedFor(self) -> None:
        self.protocol.dataReceived(b"x" * (READ_BUFFER + 1))
        self.assertEqual(self.transport.producerState, "paused")
        reading = self.conn.readExactly(3 * READ_BUFFER)
        self.assertEqual(self.transport.producerState, "producing")
        self.protocol.dataReceived(b"x" * READ_BUFFER)
        self.assertEqual(self.transport.producerState, "producing")
        self.protocol.dataReceived(b"x" * READ_BUFFER)
        self.assertEqual(len(self.successResultOf(reading)), 3 * READ_BUFFER)
        self.protocol.dataReceived(b"x" * READ_BUFFER * 2)
        self.assertEqual(self.transport.producerState, "paused")

    def test_nothingIsThereAtOnce(self) -> None:
        self.assertEqual(self.successResultOf(self.conn.readExactly(0)), b"")

    def test_manyInARowYieldAndKeepTheirTimeout(self) -> None:
        self.protocol.dataReceived(b"x" * (IMMEDIATE + 1))
        for _ in range(IMMEDIATE):
            self.assertEqual(self.successResultOf(self.conn.readExactly(1)), b"x")
        reading = self.conn.readExactly(2, timeout=5)
        turn(self.clock)
        self.assertNoResult(reading)
        self.clock.advance(5)
        self.failureResultOf(reading, TimedOut)
        self.assertEqual(self.successResultOf(self.conn.read()), b"x")

    def test_unread(self) -> None:
        self.protocol.dataReceived(b"abcdef")
        self.assertEqual(self.successResultOf(self.conn.readExactly(4)), b"abcd")
        self.conn.unread(memoryview(b"cd"))
        self.assertEqual(self.successResultOf(self.conn.readExactly(4)), b"cdef")
        self.protocol.readConnectionLost()
        self.conn.unread(b"again")
        self.assertEqual(self.successResultOf(self.conn.read()), b"again")
        self.assertEqual(self.successResultOf(self.conn.read()), b"")

    def test_unreadAtTheWrongTime(self) -> None:
        self.assertRaises(InvalidArgument, self.conn.unread, "text")
        reading = self.conn.read()
        self.assertRaises(BusyError, self.conn.unread, b"x")
        self.conn.close()
        self.failureResultOf(reading, ConnectionClosed)
        self.assertRaises(ConnectionClosed, self.conn.unread, b"x")

    def test_badArguments(self) -> None:
        conn = self.conn
        for call, arguments in (
            (conn.readExactly, (-1,)),
            (conn.readExactly, ("1",)),
            (conn.readUntil, (b"",)),
            (conn.readUntil, ("x",)),
            (conn.readUntil, (b"x", 0)),
            (conn.readLine, (0,)),
            (conn.readToEnd, (-1,)),
            (conn.readToEnd, (1, "x")),
        ):
            error = self.assertRaises(InvalidArgument, call, *arguments)
            self.assertIn(repr(arguments[-1]), str(error))


class FlowControlTests(Case):
    def test_aFastPeerIsPausedAndResumed(self) -> None:
        self.protocol.dataReceived(b"x" * READ_BUFFER)
        self.assertEqual(self.transport.producerState, "producing")
        self.protocol.dataReceived(b"x")
        self.assertEqual(self.transport.producerState, "paused")
        self.successResultOf(self.conn.read(1000))
        self.assertEqual(self.transport.producerState, "paused")
        self.successResultOf(self.conn.read(READ_BUFFER))
        self.assertEqual(self.transport.producerState, "producing")

    def test_notResumedAfterTheEnd(self) -> None:
        self.protocol.dataReceived(b"x" * (READ_BUFFER + 1))
        self.protocol.readConnectionLost()
        self.successResultOf(self.conn.read(READ_BUFFER * 2))
        self.assertEqual(self.transport.producerState, "paused")

    def test_anAwaitedWriteWaitsForThePeer(self) -> None:
        self.successResultOf(self.conn.write(b"abc"))
        self.protocol.pauseProducing()
        writing = self.conn.write(b"def")
        self.assertNoResult(writing)
        self.protocol.resumeProducing()
        self.successResultOf(writing)
        self.assertEqual(self.transport.value(), b"abcdef")

    def test_allKindsOfData(self) -> None:
        for data in ("hé", b"a", bytearray(b"b"), memoryview(b"c")):
            self.conn.write(data)
        self.assertEqual(self.transport.value(), b"h\xc3\xa9abc")
        self.assertIn("int", str(self.assertRaises(InvalidArgument, self.conn.write, 5)))

    def test_anUnawaitedWriteToAGonePeerIsSilent(self) -> None:
        self.protocol.pauseProducing()
        self.conn.write(b"abc")
        self.lose(ConnectionLost)
        self.conn.write(b"def")
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_anAwaitedWriteToAGonePeerIsToldSo(self) -> None:
        self.protocol.pauseProducing()
        writing = self.conn.write(b"abc")
        self.assertNoResult(writing)
        self.lose(ConnectionLost)
        self.failureResultOf(writing, ConnectionClosed)
        self.failureResultOf(self.conn.write(b"def"), ConnectionClosed)

    def test_everyWayToWaitForAWrite(self) -> None:
        self.protocol.pauseProducing()
        results: list[Any] = []
        self.conn.write(b"a").addCallback(results.append)
        self.conn.write(b"b").addBoth(results.append)
        self.conn.write(b"c").addCallbacks(results.append, results.append)
        self.conn.write(b"d").addErrback(results.append).addCallback(results.append)
        self.assertEqual(results, [])
        self.protocol.resumeProducing()
        self.assertEqual(results, [None] * 4)

    def test_aWriteMayBeReturnedFromACallback(self) -> None:
        results: list[Any] = []
        succeed(None).addCallback(lambda _: self.conn.write(b"a")).addCallback(results.append)
        self.protocol.pauseProducing()
        succeed(None).addCallback(lambda _: self.conn.write(b"b")).addCallback(results.append)
        self.assertEqual(results, [None])
        self.protocol.resumeProducing()
        self.assertEqual(results, [None, None])

    def test_aWaitingWriteSucceedsWhenCloseHasSentIt(self) -> None:
        self.protocol.pauseProducing()
        writing = self.conn.write(b"abc")
        self.conn.close()
        self.assertNoResult(writing)
        self.lose()
        self.successResultOf(writing)

    def test_aWaitingWriteFailsWhenCloseHasNotSentIt(self) -> None:
        self.protocol.pauseProducing()
        writing = self.conn.write(b"abc")
        self.conn.close()
        self.lose(ConnectionLost)
        self.failureResultOf(writing, ConnectionClosed)

    def test_aGivenUpWriteIsForgotten(self) -> None:
        self.protocol.pauseProducing()
        for end in (self.protocol.resumeProducing, lambda: self.lose(ConnectionLost)):
            writing = self.conn.write(b"abc")
            writing.cancel()
            self.failureResultOf(writing, CancelledError)
            end()
            self.protocol.pauseProducing()

    def test_textWithoutUtf8(self) -> None:
        self.assertIn("UTF-8", str(self.assertRaises(InvalidArgument, self.conn.write, "\ud800")))

    def test_aWriteAfterCloseRaisesAtOnce(self) -> None:
        self.conn.close()
        error = self.assertRaises(ConnectionClosed, self.conn.write, b"abc")
        self.assertIn("write() of 3 bytes", str(error))

    def test_theBoundOfAnUnawaitedQueue(self) -> None:
        self.protocol.pauseProducing()
        self.conn.write(bytes(WRITE_BUFFER))
        self.assertFalse(self.transport.aborted)
        self.conn.write(b"x")
        self.assertTrue(self.transport.aborted)
        self.failureResultOf(self.conn.read(), LimitExceeded)
        self.assertEqual(self.successResultOf(self.conn.read()), b"")
        self.assertRaises(ConnectionClosed, self.conn.write, b"y")

    def test_aLoopOfWritesYields(self) -> None:
        rounds = 0

        async def forEver() -> None:
            nonlocal rounds
            while True:
                await self.conn.write(b"")
                rounds += 1

        spinning = ensureDeferred(forEver())
        self.assertEqual(rounds, IMMEDIATE)
        turn(self.clock)
        self.assertGreater(rounds, IMMEDIATE)
        self.assertLess(rounds, 3 * IMMEDIATE)
        spinning.cancel()
        self.failureResultOf(spinning, CancelledError)


class LoopTests(Case):
    """
    No loop keeps the reactor from its turn, whatever its calls raise.
    """

    def roundsOf(self, call: Callable[[], Deferred[Any]]) -> int:
        rounds = 0

        async def forEver() -> None:
            nonlocal rounds
            while True:
                with contextlib.suppress(WasinetError):
                    await call()
                rounds += 1

        spinning = ensureDeferred(forEver())
        self.assertNoResult(spinning)
        turn(self.clock)
        self.assertNoResult(spinning)
        spinning.cancel()
        self.failureResultOf(spinning, CancelledError)
        return rounds

    def test_writesToAGonePeer(self) -> None:
        self.lose(ConnectionLost)
        self.assertLess(self.roundsOf(lambda: self.conn.write(b"x")), 3 * IMMEDIATE)

    def test_readsWhileAnotherWaits(self) -> None:
        reading = self.conn.read()
        self.assertLess(self.roundsOf(self.conn.read), 3 * IMMEDIATE)
        self.protocol.dataReceived(b"abc")
        self.assertEqual(self.successResultOf(reading), b"abc")

    def test_callsThatHaveNothingToWaitFor(self) -> None:
        async def nothing() -> None:
            """
            Done at once.
            """

        for call in (
            lambda: self.conn.start(nothing()),
            lambda: self.conn.readExactly(0),
            lambda: self.conn.sendFile(BytesIO()),
        ):
            self.assertLess(self.roundsOf(call), 3 * IMMEDIATE)
        self.conn.finish()
        self.protocol.writeConnectionLost()
        self.assertLess(self.roundsOf(self.conn.finish), 3 * IMMEDIATE)
        self.lose(ConnectionLost)
        for call in (self.conn.whenClosed, self.conn.close):
            self.assertLess(self.roundsOf(call), 3 * IMMEDIATE)

    def test_anErrorIsNoOneElses(self) -> None:
        self.lose(ConnectionLost)
        errors = [self.failureResultOf(self.conn.write(b"x"), ConnectionClosed).value for _ in range(2)]
        self.assertIsNot(errors[0], errors[1])
        self.assertEqual(str(errors[0]), str(errors[1]))
        self.assertIsInstance(errors[1].__cause__, ConnectionLost)


class CloseTests(Case):
    def test_closeWaitsForTheEnd(self) -> None:
        closing = self.conn.close()
        again = self.conn.close()
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.assertNoResult(closing)
        self.lose()
        self.successResultOf(closing)
        self.successResultOf(again)
        self.successResultOf(self.conn.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeResetsWhenThePeerTakesNothing(self) -> None:
        closing = self.conn.close(timeout=7)
        self.clock.advance(6.9)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.transport.aborted)
        self.lose(ConnectionLost)
        self.successResultOf(closing)
        self.assertRaises(InvalidArgument, self.conn.close, -1)

    def test_theEarlierDeadlineHolds(self) -> None:
        self.conn.close(timeout=30)
        self.conn.close(timeout=3)
        self.conn.close(timeout=20)
        self.clock.advance(3)
        self.assertTrue(self.transport.aborted)

    def test_evenNoTimeIsATurn(self) -> None:
        self.conn.close(timeout=0)
        turn(self.clock)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(1)
        self.assertTrue(self.transport.aborted)

    def test_aPausedPeerIsHeardWhileClosing(self) -> None:
        self.protocol.dataReceived(b"x" * (READ_BUFFER + 1))
        self.assertEqual(self.transport.producerState, "paused")
        self.conn.close()
        self.assertEqual(self.transport.producerState, "producing")
        self.protocol.dataReceived(b"late")
        self.failureResultOf(self.conn.read(), ConnectionClosed)
        self.assertEqual(self.successResultOf(self.conn.read()), b"")

    def test_finishThenClose(self) -> None:
        finishing = self.conn.finish()
        self.conn.close()
        self.lose()
        self.successResultOf(finishing)

    def test_anUnawaitedFinishIsSilent(self) -> None:
        self.conn.finish()
        self.lose(ConnectionLost)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_abort(self) -> None:
        reading = self.conn.read()
        self.conn.abort()
        self.assertTrue(self.transport.aborted)
        self.assertIn("aborted by this side", str(self.failureResultOf(reading, ConnectionClosed).value))
        self.lose(ConnectionLost)
        self.conn.abort()

    def test_finish(self) -> None:
        self.protocol.pauseProducing()
        writing = self.conn.write(b"abc")
        self.assertNoResult(writing)
        finishing = self.conn.finish()
        again = self.conn.finish()
        self.assertTrue(self.transport.halfClosed)
        self.assertNoResult(finishing)
        self.protocol.writeConnectionLost()
        for deferred in (finishing, again, writing, self.conn.finish()):
            self.successResultOf(deferred)
        self.assertIn("finished", str(self.assertRaises(ConnectionClosed, self.conn.write, b"x")))
        self.protocol.dataReceived(b"still reading")
        self.assertEqual(self.successResultOf(self.conn.read()), b"still reading")

    def test_finishOfALostConnection(self) -> None:
        finishing = self.conn.finish()
        self.lose(ConnectionLost)
        self.failureResultOf(finishing, ConnectionClosed)
        self.assertRaises(ConnectionClosed, self.conn.finish)

    def test_finishIsNotSupportedEverywhere(self) -> None:
        protocol = ConnectionProtocol(self.clock)
        protocol.makeConnection(StringTransport(peerAddress=PEER))
        self.assertIn("StringTransport", str(self.assertRaises(NotSupported, WasiTcpConn(protocol).finish)))

    def test_whenClosed(self) -> None:
        first, second = self.conn.whenClosed(), self.conn.whenClosed()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(first)
        self.lose(ConnectionLost)
        self.successResultOf(first)
        self.successResultOf(self.conn.whenClosed())

    def test_asyncWithCloses(self) -> None:
        async def use() -> None:
            async with self.conn as conn:
                conn.write(b"bye")

        using = ensureDeferred(use())
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.successResultOf(using)
        self.assertEqual(self.transport.value(), b"bye")

    def test_asyncWithResetsAfterAnException(self) -> None:
        async def use() -> None:
            async with self.conn:
                raise KeyError("x")

        self.failureResultOf(ensureDeferred(use()), KeyError)
        self.assertTrue(self.transport.aborted)

    def test_itClosesWhenNobodyHoldsIt(self) -> None:
        del self.conn
        self.assertTrue(self.transport.disconnecting)

    def test_aWaitingReadHoldsIt(self) -> None:
        reading = self.conn.read()
        del self.conn
        self.assertFalse(self.transport.disconnecting)
        self.protocol.dataReceived(b"abc")
        self.assertEqual(self.successResultOf(reading), b"abc")

    def test_addresses(self) -> None:
        self.assertEqual(self.conn.peer(), PEER)
        self.assertEqual(self.conn.local(), HOST)
        self.lose()
        self.assertEqual(self.conn.local(), HOST)

    def test_theLocalAddressOfALostConnection(self) -> None:
        self.lose()
        self.assertIn("local()", str(self.assertRaises(ConnectionClosed, self.conn.local)))

    def test_repr(self) -> None:
        self.assertEqual(repr(self.conn), "<WasiTcpConn with 192.0.2.1:54321, open>")
        self.conn.close()
        self.assertEqual(repr(self.conn), "<WasiTcpConn with 192.0.2.1:54321, closing>")
        self.lose()
        self.assertEqual(repr(self.conn), "<WasiTcpConn with 192.0.2.1:54321, gone>")

    def test_otherAddresses(self) -> None:
        for address, name in ((UNIXAddress(b"/run/x"), "/run/x"), (UNIXAddress(None), "an unnamed Unix socket")):
            protocol = ConnectionProtocol(self.clock)
            protocol.makeConnection(StringTransport(peerAddress=address))
            self.assertEqual(protocol.peerName(), name)
