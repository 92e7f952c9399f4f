"""
Others have their turn: a connection whose peer sends what is cheap to send and dear to read doesn't keep the reactor.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import PATIENCE
from tests.support import MemoryPeer
from wasinet_twisted import serve
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.http.chunked import ChunkedDecoder
from wasinet_twisted.server import HttpServer, Request, ServerLimits

from .support import get, message

reactor: Any = _reactor

# So many steps of the decoder one turn of the reactor's may have.
MOST = 600
CHUNKS = 17_000
BODY = b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n"
LIMITS = ServerLimits(unreadBody=1 << 20)


async def read(request: Request) -> WasiResponse:
    return WasiResponse(body=str(len(await request.read())))


async def stream(request: Request) -> WasiResponse:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return WasiResponse(body=str(size))


async def ignore(request: Request) -> WasiResponse:
    return WasiResponse()


async def mirror(request: Request) -> WasiResponse:
    """
    The answer begins before the body has come.
    """
    return WasiResponse(body=request.stream())


async def early(request: Request) -> WasiResponse:
    """
    One piece, and the rest is not wanted.
    """
    async for _ in request.stream():
        break
    return WasiResponse()


HANDLERS = [read, stream, ignore, mirror, early]


class TurnTests(SynchronousTestCase):
    """
    On a Clock each call is a turn.
    """

    def steps(self, handler: Any, *sent: bytes) -> tuple[list[int], bytes]:
        """
        @return: how many steps the decoder took in each turn that had any; and the answers.
        """
        steps = 0
        nextData = ChunkedDecoder.nextData

        def counted(decoder: ChunkedDecoder, queue: Any) -> bytes:
            nonlocal steps
            steps += 1
            return nextData(decoder, queue)

        self.patch(ChunkedDecoder, "nextData", counted)
        clock = Clock()
        peer = MemoryPeer(HttpServer(handler, limits=LIMITS, reactor=clock), clock)
        for data in sent:
            peer.conn.write(data)
        turns = []
        while due := [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]:
            call: Any = due[0]
            clock.calls.remove(call)
            call.called = 1
            steps = 0
            call.func(*call.args, **call.kw)
            turns.append(steps)
        answers = peer.take()
        peer.reset()
        return [turn for turn in turns if turn], answers

    def assertTurns(self, handler: Any, status: bytes = b"200 OK", *fields: str) -> None:
        turns, answers = self.steps(handler, message("POST", "/", "Transfer-Encoding: chunked", *fields) + BODY, get())
        self.assertLessEqual(max(turns), MOST)
        # All has been read, and the next request been answered.
        self.assertGreater(sum(turns), CHUNKS)
        self.assertEqual(answers.count(b"HTTP/1.1 " + status), 1 if status != b"200 OK" else 2)

    def test_read(self) -> None:
        self.assertTurns(read)

    def test_stream(self) -> None:
        self.assertTurns(stream)

    def test_ignored(self) -> None:
        self.assertTurns(ignore)

    def test_manyThatAreIgnored(self) -> None:
        """
        The bound is not one for each of many small bodies.
        """
        body = b"1\r\nx\r\n" * 500 + b"0\r\n\r\n"
        request = message("POST", "/", "Transfer-Encoding: chunked") + body
        turns, answers = self.steps(ignore, request * 34)
        self.assertLessEqual(max(turns), MOST)
        self.assertGreater(sum(turns), CHUNKS)
        self.assertEqual(answers.count(b"HTTP/1.1 200 OK"), 34)

    def test_mirror(self) -> None:
        self.assertTurns(mirror)

    def test_early(self) -> None:
        self.assertTurns(early)

    def test_upgrade(self) -> None:
        async def handler(request: Request) -> WasiResponse | None:
            if request.method == "GET":
                return WasiResponse()
            conn = await request.upgrade("echo")
            await conn.read()
            return None

        self.assertTurns(handler, b"101 Switching Protocols", "Connection: upgrade", "Upgrade: echo")


@pytest.mark.parametrize("handler", HANDLERS)
@pytest_twisted.ensureDeferred
async def test_othersAreAnsweredMeanwhile(handler: Any) -> None:
    """
    Their request, which comes when the long one's handler has begun, is answered before the one behind the long one.
    """
    order: list[str] = []

    async def handle(request: Request) -> WasiResponse:
        order.append(request.path)
        if request.path == "/long":
            other.sendall(get("/other"))
            result: WasiResponse = await handler(request)
            return result
        return WasiResponse()

    server = serve(handle, "tcp:0:interface=127.0.0.1", limits=LIMITS)
    address = ("127.0.0.1", server.local().port)
    with socket.create_connection(address, PATIENCE) as long, socket.create_connection(address, PATIENCE) as other:
        long.setblocking(False)
        data = message("POST", "/long", "Transfer-Encoding: chunked") + BODY + get("/behind")
        until = reactor.seconds() + PATIENCE
        while len(order) < 3:
            assert reactor.seconds() < until, order
            if data:
                with contextlib.suppress(BlockingIOError):
                    data = data[long.send(data) :]
            await deferLater(reactor, 0)
    await server.drain(0)
    assert order == ["/long", "/other", "/behind"]
