"""
What is said of a coroutine that needs asyncio's event loop where none runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from tests.support import MemoryPeer
from wasinet_twisted.errors import NotSupported
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import WasiTcpConn
from wasinet_twisted.net.tasks.hints import HINT, withAsyncioHint
from wasinet_twisted.server import HttpServer

pytestmark = pytest.mark.reactorless


def withoutALoop(function: Callable[[], Any]) -> Any:
    """
    Run it where certainly no loop of asyncio's runs: a reactor that is one runs in this thread.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result(60)


async def sleeps() -> None:
    await asyncio.sleep(1)


async def hasATimeout() -> None:
    async with asyncio.timeout(1):
        pass


async def looksForTheLoop() -> None:
    asyncio.get_running_loop()


async def toThread() -> None:
    await asyncio.to_thread(print)


def logged(serve: Callable[[Clock], object]) -> list[str]:
    """
    @return: what the log says of a failure: its last line, as it stands under the traceback.
    """

    def run() -> list[str]:
        with capturedLogs() as events:
            serve(Clock())
        failures: list[Failure] = [event["log_failure"] for event in events if "log_failure" in event]
        assert failures, [formatEvent(event) for event in events]
        return [failure.getTraceback().strip().splitlines()[-1] for failure in failures]

    return list(withoutALoop(run))


@pytest.fixture
def expected(loggedErrors: Callable[[], list[str]]) -> Iterator[None]:
    """
    What is logged is looked at, and forgiven.
    """
    yield
    loggedErrors()


EXPECTED = pytest.mark.usefixtures("expected")
CASES = pytest.mark.parametrize("awaits", [sleeps, hasATimeout, looksForTheLoop, toThread])
FIRST_AND_LATER = pytest.mark.parametrize("later", [False, True], ids=["first-step", "later-step"])


@EXPECTED
@CASES
@FIRST_AND_LATER
def test_inAHandlerOfAConnection(awaits: Callable[[], Any], later: bool) -> None:
    async def handler(conn: WasiTcpConn) -> None:
        if later:
            await conn.read()
        await awaits()

    def serve(clock: Clock) -> None:
        MemoryPeer(handler, clock).send(b"x")

    (line,) = logged(serve)
    assert line == f"builtins.RuntimeError: no running event loop; {HINT}"


@EXPECTED
@CASES
@FIRST_AND_LATER
def test_inAHandlerOfARequest(awaits: Callable[[], Any], later: bool) -> None:
    async def handler(request: Any) -> WasiResponse:
        if later:
            await request.read()
        await awaits()
        return WasiResponse()

    def serve(clock: Clock) -> None:
        peer = MemoryPeer(HttpServer(handler, reactor=clock), clock)
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        peer.send(b"x")
        assert b" 500 " in peer.take()
        peer.reset()

    (line,) = logged(serve)
    assert line == f"builtins.RuntimeError: no running event loop; {HINT}"


@EXPECTED
def test_gatherGetsTheSame() -> None:
    """
    It gives a Future, whose loop doesn't run; or from Python 3.14 on, none at all.
    """

    async def handler(conn: WasiTcpConn) -> None:
        await asyncio.gather(asyncio.Future(loop=loop))

    loop = asyncio.new_event_loop()
    try:
        (line,) = logged(lambda clock: MemoryPeer(handler, clock))
    finally:
        loop.close()
    assert line.endswith(f"; {HINT}")
    assert NotSupported.__name__ in line


def test_once() -> None:
    error = withoutALoop(lambda: withAsyncioHint(withAsyncioHint(RuntimeError("no running event loop"))))
    assert str(error) == f"no running event loop; {HINT}"


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), RuntimeError(), KeyError("no running event loop"), SystemExit(1)]
)
def test_othersStayAsTheyAre(error: BaseException) -> None:
    before = error.args
    assert withoutALoop(lambda: withAsyncioHint(error)) is error
    assert error.args == before


def test_whereALoopRuns() -> None:
    """
    Who raises this there means something else.
    """

    async def main() -> BaseException:
        return withAsyncioHint(RuntimeError("no running event loop"))

    assert str(withoutALoop(lambda: asyncio.run(main()))) == "no running event loop"
