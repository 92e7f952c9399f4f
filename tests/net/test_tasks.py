"""
Tasks: what resumes, cancels and ends a coroutine, and what its owners are told.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import ROOT
from wasinet_twisted.errors import ConnectionClosed, NotSupported
from wasinet_twisted.net.tasks.awaited import Awaited, again
from wasinet_twisted.net.tasks.task import Task

variable: ContextVar[str] = ContextVar("variable", default="the default")


def runAsyncio(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """
    Run a loop of asyncio's, in a thread of its own: a reactor that is one runs in this thread.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result(60)


class Observed(Task[Any]):
    """
    A task whose owner writes down what it is told.
    """

    __slots__ = ("seen",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any], clock: Clock) -> None:
        super().__init__(coroutine, clock)
        self.seen: list[Any] = []

    def succeeded(self, result: Any) -> None:
        self.seen.append(result)

    def failed(self, error: BaseException) -> None:
        self.seen.append(error)

    def ended(self) -> None:
        self.seen.append("ended")


class Bare:
    """
    An awaitable that yields whatever it was given.
    """

    def __init__(self, what: object) -> None:
        self._what = what

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._what)


class TaskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Observed:
        task = Observed(coroutine, self.clock)
        task.start()
        return task

    def test_whatItWaitsFor(self) -> None:
        """
        Our own kind, Twisted's, and those that have fired already.
        """
        ours: Awaited[str] = Awaited()
        plain: Deferred[str] = Deferred()

        async def work() -> list[str]:
            return [await ours, await plain, await succeed("fired"), await Bare(succeed("yielded"))]

        task = self.start(work())
        self.assertEqual(task.seen, [])
        self.assertTrue(task.isWaiting())
        ours.give("ours")
        plain.callback("plain")
        self.assertEqual(task.seen, [["ours", "plain", "fired", "yielded"], "ended"])
        self.assertTrue(task.done)

    def test_failuresAreRaisedWhereItWaits(self) -> None:
        ours: Awaited[None] = Awaited()
        plain: Deferred[None] = Deferred()
        caught = []

        async def work() -> None:
            for each in (ours, plain, fail(KeyError("fired")), Bare(fail(KeyError("yielded")))):
                try:
                    await each
                except KeyError as error:
                    caught.append(error.args[0])
            raise ValueError("the end")

        task = self.start(work())
        ours.fail(KeyError("ours"))
        plain.errback(KeyError("plain"))
        self.assertEqual(caught, ["ours", "plain", "fired", "yielded"])
        self.assertIsInstance(task.seen[0], ValueError)
        self.assertEqual(task.seen[1:], ["ended"])

    def test_aFailureKeepsItsTraceback(self) -> None:
        plain: Deferred[None] = Deferred()

        async def work() -> None:
            await plain

        def culprit(_: object) -> None:
            raise KeyError("x")

        plain.addCallback(culprit)
        task = self.start(work())
        plain.callback(None)
        text = "".join(traceback.format_exception(task.seen[0]))
        self.assertIn("in culprit", text)
        self.assertIn("in work", text)

    def test_whoeverComesLaterFindsWhatAnAwaitLeaves(self) -> None:
        """
        As with Twisted's own driver: the first who waits gets the result, the others what it left.
        """
        for ours in (Awaited[str](), Deferred[str]()):
            seen: list[Any] = []

            async def work(ours: Deferred[str] = ours) -> str:
                return await ours

            task = self.start(work())
            ours.addCallback(seen.append)
            gathered: Deferred[Any] = DeferredList([ours])
            ours.give("x") if isinstance(ours, Awaited) else ours.callback("x")
            ours.addCallback(seen.append)
            self.assertEqual(task.seen, ["x", "ended"])
            self.assertEqual(seen, [None, None])
            self.assertEqual(self.successResultOf(gathered), [(True, None)])

    def test_whoeverCameBeforeIsFirst(self) -> None:
        ours: Awaited[str] = Awaited()
        ours.addCallback(str.upper)

        async def work() -> str:
            return await ours

        task = self.start(work())
        ours.give("x")
        self.assertEqual(task.seen, ["X", "ended"])

    def test_twistedsDriver(self) -> None:
        ours: Awaited[str] = Awaited()
        failing: Awaited[str] = Awaited()

        async def work() -> list[str]:
            first = await ours
            try:
                await failing
            except KeyError:
                return [first, "caught"]
            return []

        result = ensureDeferred(work())
        ours.give("x")
        failing.fail(KeyError("y"))
        self.assertEqual(self.successResultOf(result), ["x", "caught"])

    def test_cancelling(self) -> None:
        for waitsFor in (Awaited[None](), Deferred[None]()):
            seen = []

            async def work(waitsFor: Deferred[None] = waitsFor, seen: list[str] = seen) -> None:
                try:
                    await waitsFor
                finally:
                    seen.append("finally")

            task = self.start(work())
            self.assertFalse(task.isCancelled())
            task.cancel()
            self.assertEqual(seen, ["finally"])
            self.assertIsInstance(task.seen[0], CancelledError)
            self.assertTrue(task.wasCancelledBy(task.seen[0]))
            self.assertFalse(task.wasCancelledBy(KeyError()))
            # It does no harm afterwards.
            task.cancel()
            task.kill()
            self.assertEqual(len(task.seen), 2)

    def test_aCancellationThatComesFromWithinIsToldAtTheNextAwait(self) -> None:
        reached = []
        waitsFor: Awaited[None] = Awaited()

        async def work() -> None:
            task.cancel()
            await succeed(None)
            reached.append("an await that doesn't wait")
            await waitsFor
            reached.append("never")

        task = Observed(work(), self.clock)
        task.start()
        self.assertEqual(reached, ["an await that doesn't wait"])
        self.assertIsInstance(task.seen[0], CancelledError)

    def test_someoneElsesCancellationIsAFailure(self) -> None:
        waitsFor: Deferred[None] = Deferred()

        async def work() -> None:
            await waitsFor

        task = self.start(work())
        waitsFor.cancel()
        self.assertFalse(task.wasCancelledBy(task.seen[0]))

    def test_killing(self) -> None:
        """
        It ends one that waits after its cancellation; what it waited for is given up.
        """
        for later in (Awaited[None](), Deferred[None]()):
            seen = []

            async def work(later: Deferred[None] = later, seen: list[str] = seen) -> None:
                try:
                    await Awaited()
                except CancelledError:
                    try:
                        await later
                    finally:
                        seen.append("finally")

            task = self.start(work())
            task.cancel()
            self.assertFalse(task.done)
            task.kill()
            self.assertEqual((task.done, seen, task.seen), (True, ["finally"], ["ended"]))
            self.assertTrue(later.called)
            self.successResultOf(later.addErrback(lambda _: None))

    def test_killingOneThatEndsWhatItWaitsFor(self) -> None:
        later: Awaited[None] = Awaited()

        async def work() -> None:
            try:
                await later
            finally:
                later.failQuietly(KeyError("ended"))

        task = self.start(work())
        task.kill()
        self.assertEqual(task.seen, ["ended"])
        self.assertTrue(later.called)

    def test_manyThatHaveFiredAlready(self) -> None:
        async def work() -> int:
            return sum([await Bare(succeed(1)) for _ in range(5000)])

        self.assertEqual(self.start(work()).seen, [5000, "ended"])

    def test_killingOneThatGoesOn(self) -> None:
        async def work() -> None:
            try:
                await Deferred()
            finally:
                await Deferred()

        task = self.start(work())
        task.kill()
        self.assertEqual((task.done, task.seen), (True, ["ended"]))
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertIn("GeneratorExit", str(failure.value))

    def test_eachHasAContextOfItsOwn(self) -> None:
        gates: list[Awaited[None]] = [Awaited(), Awaited()]
        variable.set("the starter's")

        async def work(name: str, gate: Awaited[None]) -> list[str]:
            before = variable.get()
            variable.set(name)
            await gate
            return [before, variable.get()]

        tasks = [self.start(work(name, gate)) for name, gate in zip("ab", gates, strict=True)]
        # Resumed in the other order, and one from within the other's context.
        gates[1].give(None)
        gates[0].give(None)
        self.assertEqual([task.seen[0] for task in tasks], [["the starter's", "a"], ["the starter's", "b"]])
        self.assertEqual(variable.get(), "the starter's")

    def test_aBareYieldIsATurn(self) -> None:
        async def work() -> str:
            await asyncio.sleep(0)
            return "done"

        task = self.start(work())
        self.assertEqual(task.seen, [])
        self.clock.advance(0)
        self.assertEqual(task.seen, ["done", "ended"])
        task = self.start(work())
        task.cancel()
        self.assertIsInstance(task.seen[0], CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_whatCantBeAwaited(self) -> None:
        async def work() -> None:
            await Bare(5)

        error = self.start(work()).seen[0]
        self.assertIsInstance(error, NotSupported)
        self.assertIn("not 5", str(error))

    def test_anAsyncioFutureWithoutItsLoop(self) -> None:
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        async def work() -> None:
            await loop.create_future()

        error = self.start(work()).seen[0]
        self.assertIsInstance(error, NotSupported)
        self.assertIn("--reactor=wasinet-asyncio", str(error))

    def test_asyncioFuturesOnTheirLoop(self) -> None:
        async def work() -> list[Any]:
            loop = asyncio.get_running_loop()
            failing = loop.create_future()
            loop.call_soon(failing.set_exception, KeyError("x"))
            results: list[Any] = [await asyncio.sleep(0.001, "slept")]
            try:
                await failing
            except KeyError as error:
                results.append(error.args[0])
            return results

        async def main() -> tuple[list[Any], list[Any], bool]:
            task = self.start(work())
            forEver = asyncio.get_running_loop().create_future()

            async def wait() -> None:
                await forEver

            cancelled = self.start(wait())
            cancelled.cancel()
            while not task.done:
                await asyncio.sleep(0.001)
            return task.seen, cancelled.seen, forEver.cancelled()

        seen, cancelled, forEver = runAsyncio(main())
        self.assertEqual(seen, [["slept", "x"], "ended"])
        self.assertIsInstance(cancelled[0], CancelledError)
        self.assertTrue(forEver)

    def test_aCancelledAsyncioFuture(self) -> None:
        async def main() -> Any:
            future = asyncio.get_running_loop().create_future()

            async def work() -> None:
                await future

            task = self.start(work())
            future.cancel()
            await asyncio.sleep(0.001)
            return task.seen[0]

        self.assertIsInstance(runAsyncio(main()), CancelledError)

    @pytest.mark.reactorless
    def test_aHandlerOnTheAsyncioReactor(self) -> None:
        """
        The same in a program, with connections.
        """
        program = """
import asyncio
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet.task import react
from wasinet_twisted import net

async def handler(conn):
    data = await conn.readExactly(3)
    await asyncio.sleep(0.01)
    conn.write(data.upper())

async def main(reactor):
    server = net.WasiTcpServer(0, "127.0.0.1")
    serving = server.serveForever(handler)
    conn = await net.connect("127.0.0.1", server.local().port)
    conn.write("abc")
    print(await conn.readToEnd(10))
    await conn.close()
    await server.close()
    await serving

react(main, [])
"""
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT)
        self.assertEqual((ran.stdout, ran.stderr), ("b'ABC'\n", ""))


class AwaitedTests(SynchronousTestCase):
    def test_cancelling(self) -> None:
        ours: Awaited[None] = Awaited()
        ours.cancel()
        self.failureResultOf(ours, CancelledError)

    def test_aQuietFailureIsToldToThoseWhoAsk(self) -> None:
        ours: Awaited[None] = Awaited()
        ours.failQuietly(KeyError("x"))
        self.failureResultOf(ours, KeyError)
        forgotten: Awaited[None] = Awaited()
        forgotten.failQuietly(KeyError("y"))
        del forgotten
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_aLoudFailureThatNobodyAsksForIsLogged(self) -> None:
        forgotten: Awaited[None] = Awaited()
        forgotten.fail(KeyError("y"))
        del forgotten
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_whoWaits(self) -> None:
        ours: Awaited[None] = Awaited()
        self.assertTrue(ours.isFree())
        self.assertFalse(ours.isAwaited())
        ours.addCallback(lambda _: None)
        self.assertTrue(ours.isAwaited())
        self.assertFalse(ours.isFree())
        ours.give(None)
        self.assertFalse(ours.isAwaited())
        self.assertFalse(ours.isFree())

    def test_theSameErrorForAnother(self) -> None:
        error = ConnectionClosed("gone")
        error.__cause__ = KeyError("why")
        another = again(error)
        self.assertIsNot(another, error)
        self.assertEqual((type(another), str(another)), (ConnectionClosed, "gone"))
        self.assertIs(another.__cause__, error.__cause__)
