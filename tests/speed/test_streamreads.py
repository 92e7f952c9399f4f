"""
Reads and writes that the twins do: what they return is a Deferred as any other. All of this holds for the Python too.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from copy import copy
from typing import Any

from twisted.internet.defer import CancelledError, DeferredList, ensureDeferred, inlineCallbacks, setDebugging
from twisted.internet.error import ConnectionLost

from tests.net.support import Case, turn
from wasinet_twisted.errors import BusyError, ConnectionClosed, TimedOut
from wasinet_twisted.net.stream.handle import WasiTcpConn
from wasinet_twisted.net.tasks.awaited import IMMEDIATE, Awaited


class ReadTests(Case):
    """
    In the common case and beside it.
    """

    def test_aDeferredAsAnyOther(self) -> None:
        self.assertIs(type(self.conn.read()), Awaited)
        self.protocol.dataReceived(b"1")
        told: list[Any] = []
        self.conn.read().addCallback(told.append)
        self.protocol.dataReceived(b"2")
        ensureDeferred(self.conn.__anext__()).addCallback(told.append)  # type: ignore[arg-type]
        self.protocol.dataReceived(b"3")

        @inlineCallbacks
        def generate() -> Any:
            told.append((yield self.conn.read()))
            told.append((yield self.conn.write(b"w")))

        generate()
        self.protocol.dataReceived(b"4")
        DeferredList([self.conn.read(), self.conn.write(b"w")]).addCallback(told.append)
        self.protocol.dataReceived(b"5")
        self.conn.write(b"w").addCallback(told.append)
        self.assertEqual(told, [b"2", b"3", b"4", None, [(True, b"5"), (True, None)], None])

    def test_withDebugging(self) -> None:
        setDebugging(True)
        self.addCleanup(setDebugging, False)
        reading = self.conn.read()
        assert reading._debugInfo is not None
        self.assertIn("creator", vars(reading._debugInfo))

    def test_callbacksComeAfterTheTask(self) -> None:
        told: list[Any] = []

        async def handler() -> None:
            told.append(await reading)

        reading = self.conn.read()
        self.conn.start(handler())
        reading.addCallback(told.append)
        self.protocol.dataReceived(b"abc")
        self.assertEqual(told, [b"abc", None])

    def test_aSecondReadIsRefused(self) -> None:
        reading = self.conn.read()
        self.failureResultOf(self.conn.read(), BusyError)
        self.failureResultOf(ensureDeferred(self.conn.__anext__()), BusyError)  # type: ignore[arg-type]
        self.protocol.dataReceived(b"abc")
        self.assertEqual(self.successResultOf(reading), b"abc")

    def test_noByteIsLost(self) -> None:
        late = self.conn.read(timeout=1)
        self.clock.advance(1)
        self.failureResultOf(late, TimedOut)
        self.protocol.dataReceived(b"abc")
        told = ensureDeferred(self._next())
        self.assertEqual(self.successResultOf(told), b"abc")
        child = self.conn.start(self._next())
        child.cancel()
        self.failureResultOf(child, CancelledError)
        self.protocol.dataReceived(b"def")
        reading = self.conn.read()
        self.assertEqual(self.successResultOf(reading), b"def")

    async def _next(self) -> bytes:
        return await self.conn.__anext__()

    def test_theEndEveryTime(self) -> None:
        self.protocol.dataReceived(b"abc")
        self.protocol.readConnectionLost()
        read: list[Any] = []

        async def handler() -> None:
            for _ in range(3):
                read.append([data async for data in self.conn])
                read.append(await self.conn.read())

        self.conn.start(handler())
        self.assertEqual(read, [[b"abc"], b"", [], b"", [], b""])

    def test_aResetIsRaisedOnce(self) -> None:
        read: list[Any] = []

        async def handler() -> None:
            try:
                async for data in self.conn:
                    read.append(data)
            except ConnectionClosed as error:
                read.append(type(error.__cause__))
            read.append([data async for data in self.conn])

        self.conn.start(handler())
        self.protocol.dataReceived(b"abc")
        self.lose(ConnectionLost)
        self.assertEqual(read, [b"abc", ConnectionLost, []])

    def test_theReactorGetsItsTurn(self) -> None:
        for step in (lambda: self.conn.write(b"x"), lambda: self.conn.read(1), self.conn.__anext__):
            count = 0

            async def handler(step: Callable[[], Any] = step) -> None:
                nonlocal count
                while count < 10 * IMMEDIATE:
                    await step()
                    count += 1
                    self.conn.unread(b"x")

            self.conn.unread(b"xyz")
            running = self.conn.start(handler())
            self.assertLessEqual(count, IMMEDIATE)
            turns = 0
            while not running.called:
                turn(self.clock)
                turns += 1
            self.assertGreaterEqual(turns, 9)
            self.protocol._incoming.discard()

    def test_backPressure(self) -> None:
        wrote: list[int] = []

        async def handler() -> None:
            for number in range(3):
                await self.conn.write(b"x")
                wrote.append(number)

        write = self.transport.write
        self.transport.write = lambda data: (write(data), self.protocol.pauseProducing())  # type: ignore[method-assign]
        self.conn.start(handler())
        self.assertEqual((wrote, self.protocol._queued), ([], 1))
        self.protocol.resumeProducing()
        self.assertEqual((wrote, self.protocol._queued), ([0], 1))
        self.protocol.resumeProducing()
        self.protocol.resumeProducing()
        self.assertEqual(wrote, [0, 1, 2])

    def test_contexts(self) -> None:
        name: ContextVar[str] = ContextVar("name", default="nobody's")
        seen: list[str] = []

        async def handler(mine: str) -> None:
            name.set(mine)
            async for _ in self.conn:
                seen.append(name.get())
                if len(seen) == 2:
                    break

        self.conn.start(handler("first"))
        for _ in range(2):
            self.protocol.dataReceived(b"x")
        self.conn.start(handler("second"))
        self.protocol.dataReceived(b"x")
        self.assertEqual((seen, name.get()), (["first", "first", "second"], "nobody's"))

    def test_whatCannotBeAwaited(self) -> None:
        async def handler() -> None:
            await self.conn.read()
            await asyncio.sleep(1)

        told: list[Any] = []
        self.conn.start(handler()).addErrback(told.append)
        self.protocol.dataReceived(b"x")
        self.assertIn("await it on a reactor for asyncio programs", str(told[0].value))

    def test_aCancellationThatCameWhileItRan(self) -> None:
        async def handler() -> None:
            await self.conn.read()
            child.cancel()
            await self.conn.read()

        child = self.conn.start(handler())
        self.protocol.dataReceived(b"x")
        self.failureResultOf(child, CancelledError)
        reading = self.conn.read()
        self.protocol.dataReceived(b"y")
        self.assertEqual(self.successResultOf(reading), b"y")

    def test_aCloseWhileOneWaits(self) -> None:
        told: list[str] = []

        async def handler() -> None:
            try:
                async for _ in self.conn:
                    pass
            finally:
                told.append("finally")

        self.conn.start(handler())
        self.protocol.dataReceived(b"x")
        self.conn.close()
        self.assertEqual(told, ["finally"])


class AnextTests(Case):
    """
    What C{__anext__} gives is used as the coroutine is for which it stands.
    """

    def test_byHand(self) -> None:
        step = self.conn.__anext__()
        self.assertFalse(self.protocol.waits())
        self.assertTrue(asyncio.iscoroutine(step))
        self.assertTrue(gc.is_tracked(step))
        with self.assertRaises(TypeError):
            step.send(1)
        awaited = step.send(None)
        self.assertIs(self.protocol._reader, awaited)
        with self.assertRaises(StopIteration) as ended:
            step.send(b"abc")
        self.assertEqual(ended.exception.value, b"abc")
        with self.assertRaises(RuntimeError):
            step.send(None)
        with self.assertRaises(BusyError):
            next(self.conn.read().__await__())

    def test_thrown(self) -> None:
        step = self.conn.__anext__()
        step.send(None)
        with self.assertRaises(KeyError):
            step.throw(KeyError("x"))
        self.assertTrue(self.protocol.waits())
        step.close()
        with self.assertRaises(RuntimeError):
            step.send(None)

    def test_whateverIsNoBytesIsTheEnd(self) -> None:
        step = self.conn.__anext__()
        step.send(None)
        with self.assertRaises(StopAsyncIteration):
            step.send(None)

    def test_thrownAfterItsEnd(self) -> None:
        step = self.conn.__anext__()
        step.close()
        with self.assertRaisesRegex(RuntimeError, "cannot reuse already awaited coroutine"):
            step.throw(KeyError("x"))

    def test_thereIsNoCopy(self) -> None:
        waiting: Awaited[None] = Awaited()
        for step in (self.conn.__anext__(), waiting.__await__()):
            with self.assertRaises(TypeError):
                copy(step)
            step.close()

    def test_inATask(self) -> None:
        told: list[bytes] = []
        self.conn.start(self.conn.__anext__()).addCallback(told.append)
        self.protocol.dataReceived(b"abc")
        self.assertEqual(told, [b"abc"])

    def test_aReadOfAnObject(self) -> None:
        class Open(WasiTcpConn):
            pass

        conn = Open(self.protocol)
        given: Awaited[bytes] = Awaited()
        given.begin(b"its own")
        conn.read = lambda *_: given  # type: ignore[method-assign]
        with self.assertRaises(StopIteration) as ended:
            conn.__anext__().send(None)
        self.assertEqual(ended.exception.value, b"its own")

    def test_neverAwaited(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.conn.__anext__()
            self.conn.__anext__().close()
        self.assertEqual(
            [str(each.message) for each in caught], ["coroutine 'WasiTcpConn.__anext__' was never awaited"]
        )
