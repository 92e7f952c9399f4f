"""
Anything at any time: handlers of all kinds, and peers that cut, stall, half-close, reset and wait as chance has it.

Whatever happens, each request is answered at most once, in order and with its
own answer, what stands in a body is never served, and in the end the figures
add up and nothing is left.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.support import MemoryPeer, more
from wasinet_twisted.errors import BusyError, IncompleteRead, LocalProtocolError, WasinetError
from wasinet_twisted.http import Buffer, Data, WasiResponse
from wasinet_twisted.http.events import EndOfMessage, ResponseHead
from wasinet_twisted.server import Request

from .support import MemoryServerCase, chunked, get, message, post

EVIL = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"


class Handlers(MemoryServerCase):
    """
    One for each path. Each says in a field which request it answers.
    """

    def answer(self, request: Request, body: object = b"", status: int = 200, **fields: str) -> WasiResponse:
        return WasiResponse(status, {"X-Id": request.query["id"], **fields}, body)  # type: ignore[arg-type]

    async def handle(self, request: Request) -> WasiResponse | None:
        assert request.uri != "/evil"
        self.served.append(request.query["id"])
        result: WasiResponse | None = await getattr(self, "by" + request.path[1:])(request)
        self.old.append(request)
        return result

    async def byPlain(self, request: Request) -> WasiResponse:
        return self.answer(request, b"x" * 3000)

    async def bySleep(self, request: Request) -> WasiResponse:
        await self.sleep(1)
        return self.answer(request)

    async def byLong(self, request: Request) -> WasiResponse:
        await self.sleep(20)
        return self.answer(request)

    async def byStubborn(self, request: Request) -> WasiResponse:
        with contextlib.suppress(CancelledError):
            await self.sleep(20)
        return self.answer(request)

    async def byRead(self, request: Request) -> WasiResponse:
        return self.answer(request, await request.read())

    async def byPart(self, request: Request) -> WasiResponse:
        async for _ in request.stream():
            break
        return self.answer(request)

    async def byMirror(self, request: Request) -> WasiResponse:
        return self.answer(request, request.stream())

    async def byMeanwhile(self, request: Request) -> WasiResponse:
        """
        Somebody else goes on reading after the answer.
        """
        reading = Deferred.fromCoroutine(request.read())
        reading.addErrback(lambda failure: failure.trap(WasinetError))
        await self.sleep(0.5)
        return self.answer(request)

    async def byStream(self, request: Request) -> WasiResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"y" * 30_000
                await self.sleep(0.3)

        return self.answer(request, pieces())

    async def byLate(self, request: Request) -> WasiResponse:
        """
        A stream that begins when the peer may have gone.
        """
        await self.sleep(0.5)
        return await self.byStream(request)

    async def byEvents(self, request: Request) -> WasiResponse:
        """
        One that has nothing to say for long. A peer that has ended its direction and then resets is not heard.
        """

        async def pieces() -> AsyncIterator[bytes]:
            yield b"event"
            await self.sleep(20)

        return self.answer(request, pieces())

    async def byAborting(self, request: Request) -> WasiResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"12"
            request.conn.abort()

        return self.answer(request, pieces(), **{"Content-Length": "2"})

    async def byBriefUpgrade(self, request: Request) -> WasiResponse | None:
        try:
            conn = await request.upgrade("echo")
        except LocalProtocolError:
            return self.answer(request, status=400)
        self.tunnels += 1
        await conn.write(b"bye")
        return None

    async def byLength(self, request: Request) -> WasiResponse:
        def pieces() -> Iterator[bytes]:
            for _ in range(10):
                yield b"z" * 10_000

        return self.answer(request, pieces(), **{"Content-Length": "100000"})

    async def byEarly(self, request: Request) -> WasiResponse:
        request.informational(103, {"Link": "</a>"})
        await self.sleep(0.1)
        return self.answer(request)

    async def byAbort(self, request: Request) -> WasiResponse:
        request.conn.abort()
        return self.answer(request)

    async def byClose(self, request: Request) -> WasiResponse:
        return self.answer(request, Connection="close")

    async def byOld(self, request: Request) -> WasiResponse:
        """
        Uses requests that have been answered.
        """
        for each in self.old:
            with contextlib.suppress(LocalProtocolError):
                each.informational(103)
                raise AssertionError("an answered request was answered")
            with contextlib.suppress(WasinetError):
                await each.upgrade("echo")
                raise AssertionError("an answered request was upgraded")
            with contextlib.suppress(WasinetError):
                await each.read()
        return self.answer(request)

    async def byUpgrade(self, request: Request) -> WasiResponse | None:
        try:
            conn = await request.upgrade("echo")
        except LocalProtocolError:
            return self.answer(request, status=400)
        self.tunnels += 1
        async with conn:
            while data := await conn.read():
                await conn.write(data)
        return None

    async def byBusy(self, request: Request) -> WasiResponse:
        first = Deferred.fromCoroutine(request.read())
        with contextlib.suppress(BusyError):
            await request.read()
        return self.answer(request, await first)


class AttackTests(Handlers):
    def setUp(self) -> None:
        super().setUp()
        self.served: list[str] = []
        self.old: list[Request] = []
        self.tunnels = 0

    def requests(self, chance: random.Random, count: int) -> bytes:
        """
        Requests with numbers; all that stands in a body would be evil.
        """
        names = [name[2:] for name in dir(Handlers) if name.startswith("by") and name[2:3].isupper()]
        found = []
        for number in range(count):
            path = f"/{chance.choice(names)}?id={number}"
            fields = chance.choice(((), (), (), ("Connection: Upgrade", "Upgrade: echo"), ("Connection: close",)))
            if fields and chance.random() < 0.5:
                fields = ()
            body = EVIL * chance.choice((1, 10, 3000))
            expect = ("Expect: 100-continue",) if chance.random() < 0.2 else ()
            kind = chance.randrange(6)
            if kind < 3:
                text = get(path, *fields)
            elif kind == 3:
                text = post(path, len(body), *fields, *expect, body=body)
            elif kind == 4:
                pieces = [body[start : start + 7000] for start in range(0, len(body), 7000)]
                text = chunked(path, *pieces, b"", fields=(*fields, *expect))
            else:
                text = message(chance.choice(("GET", "HEAD")), path, *fields, version="HTTP/1.0")
                text = text if b"HEAD" not in text else get(path)
            found.append(text)
        if chance.random() < 0.1:
            found.insert(chance.randrange(count), b"nonsense\r\n\r\n")
        return b"".join(found)

    def play(self, seed: int) -> None:
        chance = random.Random(seed)
        self.served.clear()
        self.old.clear()
        self.tunnels = 0
        server = self.serve(
            self.handle,
            head=3,
            idle=5,
            bodyGrace=3,
            bodyRate=1000,
            responseRate=1000,
            handler=chance.choice((None, 4)),
            requests=chance.choice((None, None, 3)),
            buffered=chance.choice((1000, 256 * 1024)),
            unreadBody=chance.choice((0, 1000, 256 * 1024)),
            drain=5,
        )
        peer = self.connect(halfClose=chance.random() < 0.8)
        text = self.requests(chance, chance.randrange(1, 8))
        took = b""
        sent = 0
        drained = None
        while sent < len(text) and not peer.gone:
            action = chance.random()
            if action < 0.7:
                size = chance.choice((1, 20, 500, 5000, 100_000))
                peer.send(text[sent : sent + size])
                sent += size
            elif action < 0.85:
                self.advance(chance.choice((0.01, 0.4, 1, 2.9)))
            elif action < 0.9:
                took += peer.take()
            elif action < 0.92:
                peer.link.toClient.window = chance.choice((1, 5000, 256 * 1024))
            elif action < 0.93 and drained is None:
                drained = server.drain(chance.choice((0, 1, 5)))
            elif action < 0.935:
                break
        end = chance.randrange(4)
        if end == 0:
            peer.reset()
        elif end == 1:
            peer.end()
        for _ in range(chance.choice((0, 40))):
            took += peer.take()
            self.advance(0.5)
        if end != 0:
            took += peer.take()
            self.check(took)
        self.finish(peer)
        if drained is not None:
            self.successResultOf(drained)

    def check(self, took: bytes) -> None:
        """
        What the peer has got: each served request's answer at most once, in order.
        """
        buffer = Buffer("response")
        buffer.append(took)
        numbers = []
        with contextlib.suppress(IncompleteRead):
            while not buffer.isTunnel and (event := buffer.nextEvent()) is not None:
                if isinstance(event, ResponseHead) and event.status >= 200:
                    number = event.headers.get("X-Id")
                    if number is None:
                        self.assertIn(event.status, (400, 408, 413, 417, 500, 503))
                    else:
                        numbers.append(number)
                elif not isinstance(event, Data | EndOfMessage | ResponseHead):
                    raise AssertionError(event)
        self.assertEqual(numbers, [number for number in self.served if number in numbers])
        self.assertEqual(len(set(numbers)), len(numbers))

    def finish(self, peer: MemoryPeer) -> None:
        peer.reset()
        # Those who sleep, and whose peer has gone.
        self.advance(200)
        self.assertEqual(self.server.tasks, set())

    def test_anything(self) -> None:
        for seed in range(more(200, 50)):
            with capturedLogs() as events:
                try:
                    self.play(seed)
                except BaseException as error:
                    error.add_note(f"seed {seed}")
                    raise
            bad = [formatEvent(event) for event in events if event["log_level"] > LogLevel.warn]
            self.assertEqual(bad, [], f"seed {seed}")
