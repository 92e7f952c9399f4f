"""
A server that is asked in many ways, and everything that can be seen of what it does, a line each.

    python -m tests.speed.served --seed 1 --count 500

The same seed gives the same lines, whether the compiled twins are used or not (C{WASINET_SPEED}): that is what the
tests compare. All is in memory, on a Clock.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import re
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, ensureDeferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.logger import globalLogBeginner

from tests.http.generator import Generator
from tests.support import MemoryPeer
from wasinet_twisted.errors import WasinetError
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import HttpServer, Request, ServerLimits, serving

from .forms import slotsOf


class Other(WasiResponse):
    """
    A response of a user's class.
    """


class Ends(BaseException):
    """
    No C{Exception}.
    """


class Log:
    """
    An access log.
    """

    def __init__(self) -> None:
        self.lines: list[Any] = []

    def answered(
        self, peer: str, request: Any, status: int, size: int, seconds: float, complete: bool = True, *more: Any
    ) -> None:
        """
        Keep what is told.
        """
        self.lines.append([peer, repr(request), status, size, seconds, complete, *more])


def kept(request: Request) -> list[str]:
    """
    Every field of a request that is set, but for the connection.
    """
    names = [name for name in slotsOf(type(request)) if name not in ("_protocol", "_headers")]
    return [f"{name}={getattr(request, name)!r}" for name in names if hasattr(request, name)]


async def yielding(*given: Any) -> AsyncIterator[Any]:
    for each in given:
        yield each


class Handlers:
    """
    One for each path. They are as careless as users are.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seen: list[Any] = []
        self.shared = WasiResponse(200, {"X-Shared": "1"}, b"shared")
        self.server: HttpServer | None = None
        self.paths = {name[1:]: getattr(self, name) for name in dir(self) if name.startswith("_") and name[1:2] != "_"}

    def handle(self, request: Request) -> Any:
        """
        Do what the path says.
        """
        self.seen.append(kept(request))
        name = request.path.strip("/")
        return self.paths.get(name, self._echo)(request)

    async def _echo(self, request: Request) -> Any:
        return WasiResponse(body=b"echo:" + await request.read())

    async def _plain(self, request: Request) -> Any:
        return WasiResponse(200, {"Content-Type": "text/plain"}, b"plain")

    def _function(self, request: Request) -> Any:
        return WasiResponse(404, {}, b"function")

    def _deferred(self, request: Request) -> Any:
        return succeed(WasiResponse(body=b"deferred"))

    def _ensured(self, request: Request) -> Any:
        return ensureDeferred(request.read()).addCallback(lambda body: WasiResponse(body=body))

    def _reading(self, request: Request) -> Any:
        return request.read()

    async def _returnsReading(self, request: Request) -> Any:
        return request.read()

    async def _readsTwice(self, request: Request) -> Any:
        await request.read()
        try:
            return WasiResponse(body=await request.read())
        except WasinetError as error:
            return WasiResponse(500, {}, str(error))

    async def _awaitsTwice(self, request: Request) -> Any:
        reading = request.read()
        await reading
        return WasiResponse(body=await reading)

    async def _little(self, request: Request) -> Any:
        return WasiResponse(body=await request.read(2))

    async def _littleForgiven(self, request: Request) -> Any:
        try:
            await request.read(maxBytes=1)
        except WasinetError as error:
            return WasiResponse(body=f"{error}")
        return WasiResponse(body=b"fits")

    async def _odd(self, request: Request) -> Any:
        return WasiResponse(body=await request.read("1"))  # type: ignore[arg-type]

    async def _neverRead(self, request: Request) -> Any:
        request.read()
        return WasiResponse(body=b"never")

    async def _thrown(self, request: Request) -> Any:
        reading = request.read()
        try:
            reading.throw(LookupError("thrown"))
        except LookupError:
            return WasiResponse(body=b"thrown")

    async def _stream(self, request: Request) -> Any:
        return WasiResponse(body=b"|".join([piece async for piece in request.stream()]))

    async def _text(self, request: Request) -> Any:
        return WasiResponse(body=await request.text())

    async def _json(self, request: Request) -> Any:
        return WasiResponse(body=repr(await request.json()))

    async def _waits(self, request: Request) -> Any:
        body = await request.read()
        await deferLater(self.clock, 1)
        return WasiResponse(201, {"X-Waited": "1"}, body)

    async def _waitsLong(self, request: Request) -> Any:
        await deferLater(self.clock, 30)
        return WasiResponse(body=b"long")

    async def _pieces(self, request: Request) -> Any:
        return WasiResponse(200, {}, yielding(b"a", b"", "bc"))

    async def _pieceList(self, request: Request) -> Any:
        return WasiResponse(200, {"Content-Length": "3"}, [b"a", b"bc"])

    async def _trailers(self, request: Request) -> Any:
        return WasiResponse(200, {"Transfer-Encoding": "chunked"}, b"abc", trailers={"X-Sum": "1"})

    async def _interim(self, request: Request) -> Any:
        request.informational(103, {"Link": "</a>"})
        return WasiResponse(body=b"after 103")

    async def _upgrade(self, request: Request) -> Any:
        conn = await request.upgrade("echo")
        conn.write(b"tunnel:")
        while data := await conn.read():
            conn.write(data)

    async def _raises(self, request: Request) -> Any:
        raise LookupError("secret")

    def _functionRaises(self, request: Request) -> Any:
        raise LookupError("secret")

    async def _ends(self, request: Request) -> Any:
        raise Ends("no Exception")

    async def _cancelled(self, request: Request) -> Any:
        raise CancelledError()

    def _stops(self, request: Request) -> Any:
        raise StopIteration(WasiResponse(body=b"stopped"))

    async def _stopsInside(self, request: Request) -> Any:
        raise StopIteration(WasiResponse(body=b"stopped"))

    async def _none(self, request: Request) -> Any:
        return None

    async def _str(self, request: Request) -> Any:
        return "a body"

    def _tuple(self, request: Request) -> Any:
        return 200, {}, b""

    def _generator(self, request: Request) -> Any:
        yield b"a"

    async def _subclass(self, request: Request) -> Any:
        return Other(200, {"X": "1"}, b"subclass")

    async def _shared(self, request: Request) -> Any:
        return self.shared

    async def _headers(self, request: Request) -> Any:
        response = WasiResponse(200, {"A": "1"}, b"headers")
        response.headers.add("A", "2")
        response.setHeader("B", b"3")
        return response

    async def _changed(self, request: Request) -> Any:
        response = WasiResponse(body=b"x")
        response.status, response.reason, response.body = 418, "Teapot", "changed"
        return response

    async def _strBody(self, request: Request) -> Any:
        return WasiResponse(body="str ü")

    async def _noBody(self, request: Request) -> Any:
        return WasiResponse(204)

    async def _notModified(self, request: Request) -> Any:
        return WasiResponse(304, {"ETag": '"x"'})

    async def _closes(self, request: Request) -> Any:
        return WasiResponse(200, {"Connection": "close"}, b"closes")

    async def _dated(self, request: Request) -> Any:
        return WasiResponse(200, {"Date": "today"}, b"dated")

    async def _splits(self, request: Request) -> Any:
        return WasiResponse(200, {"A": "b\r\nC: d"}, b"splits")

    async def _badStatus(self, request: Request) -> Any:
        return WasiResponse(99)

    async def _floatStatus(self, request: Request) -> Any:
        return WasiResponse(200.0, {}, b"float")  # type: ignore[arg-type]

    async def _badHeaders(self, request: Request) -> Any:
        return WasiResponse(200, {"A": 1}, b"number")

    async def _badBody(self, request: Request) -> Any:
        return WasiResponse(200, {}, request.read())

    async def _listed(self, request: Request) -> Any:
        return WasiResponse(200, [("A", "1"), ("A", "2")], b"listed", version="HTTP/1.1")

    async def _late(self, request: Request) -> Any:
        response = WasiResponse(body=b"x")
        del response.status
        return response

    async def _forgets(self, request: Request) -> Any:
        body = await request.read()
        del request._trailers
        return WasiResponse(body=body)

    async def _renames(self, request: Request) -> Any:
        request.method, request.version = "HEAD", "HTTP/1.0"
        return WasiResponse(body=b"renamed")

    async def _aborts(self, request: Request) -> Any:
        request.conn.abort()
        return WasiResponse(body=b"aborted")

    async def _large(self, request: Request) -> Any:
        return WasiResponse(body=bytes(70_000))

    async def _swaps(self, request: Request) -> Any:
        assert self.server is not None
        self.server.handler = self._swapped
        return WasiResponse(body=b"swaps")

    async def _swapped(self, request: Request) -> Any:
        assert self.server is not None
        self.server.handler = self.handle
        return WasiResponse(body=b"swapped")

    async def _drains(self, request: Request) -> Any:
        request._protocol.drain()  # type: ignore[attr-defined]
        return WasiResponse(body=b"drains")

    async def _outlives(self, request: Request) -> Any:
        request.keepAfterDisconnect()
        return WasiResponse(body=b"outlives")

    async def _respondsItself(self, request: Request) -> Any:
        protocol: Any = request._protocol
        protocol.transmit(protocol.connection.respond(WasiResponse(body=b"itself"), self.clock.seconds()))
        protocol.inFlight = None
        protocol.server.statistics.answered(200, 0.0, 0)
        return WasiResponse(body=b"twice")


# Where an object is in memory.
_ADDRESS = re.compile("0x[0-9a-f]{6,}")
_METHODS = (*("GET",) * 4, *("POST",) * 4, "HEAD", "PUT", "OPTIONS", "CONNECT")
_FIELDS = (
    *((),) * 12,
    ("Connection: close",),
    ("Connection: keep-alive",),
    ("Connection: Upgrade", "Upgrade: echo"),
    ("Expect: 100-continue",),
    ("Expect: more",),
    ("TE: trailers",),
    ("Content-Type: text/plain; charset=ascii", "Referer: x"),
)


def someRequest(rng: random.Random, paths: list[str]) -> bytes:
    """
    A valid request, for one of the handlers.
    """
    method, version = rng.choice(_METHODS), "HTTP/1.0" if rng.random() < 0.08 else "HTTP/1.1"
    body, fields = b"", list(rng.choice(_FIELDS))
    if method in ("POST", "PUT"):
        body = rng.choice((b"", b"12345678", b"{}", b"x" * 3000, b"y" * 70_000, b"\xff"))
        if rng.random() < 0.2 and version == "HTTP/1.1":
            fields.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        else:
            fields.append(f"Content-Length: {len(body)}")
    target = "b:443" if method == "CONNECT" else f"/{rng.choice(paths)}"
    return "\r\n".join((f"{method} {target} {version}", "Host: x", *fields, "", "")).encode("latin-1") + body


class Session:
    """
    A server, and who asks it.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.generator = Generator(seed)
        self.clock = Clock()
        self.handlers = Handlers(self.clock)
        self.log = Log()
        self.events: list[str] = []

    def serve(self) -> HttpServer:
        """
        Make a server.
        """
        rng = self.rng
        limits = ServerLimits(
            requests=rng.choice((None, None, None, 3)),
            handler=rng.choice((None, 5.0)),
            idle=rng.choice((75.0, 3.0)),
            bodyGrace=2.0,
            buffered=rng.choice((1, 4096, 262144)),
        )
        access: Any = self.log if rng.random() < 0.5 else None
        handler: Callable[[Request], Any] = self.handlers.handle
        self.handlers.server = HttpServer(handler, limits=limits, accessLog=access, reactor=self.clock)
        return self.handlers.server

    def data(self) -> bytes:
        """
        What a client sends: mostly valid, often several requests.
        """
        rng = self.rng
        if rng.random() < 0.15:
            return self.generator.request().data
        paths = list(self.handlers.paths)
        if rng.random() < 0.5:
            return b"".join(someRequest(rng, ["plain", "echo", "function"]) for _ in range(rng.choice((1, 2, 16, 70))))
        return b"".join(someRequest(rng, paths) for _ in range(rng.choice((1, 1, 1, 2, 5))))

    def told(self, event: dict[str, Any]) -> None:
        """
        Keep what is logged.
        """
        failure = event.get("log_failure")
        kind = None if failure is None else f"{failure.type.__name__}: {failure.getErrorMessage()}"
        self.events.append(f"{event.get('log_format')} {event.get('request')!r} {kind}")

    def warned(self, message: Any, category: type[Warning], *_: Any) -> None:
        """
        Keep what Python warns of.
        """
        self.events.append(f"{category.__name__}: {message}")

    def run(self, count: int) -> Iterator[dict[str, Any]]:
        """
        Ask a server many things.

        @return: what is seen after each.
        """
        server = self.serve()
        for number in range(count):
            if number % 20 == 0:
                server = self.serve()
            # One before may still be open: its tunnel is its handler's.
            before = server.connections
            peer = MemoryPeer(server, self.clock)
            (protocol,) = server.connections - before
            for _ in range(self.rng.choice((1, 1, 2, 4))):
                yield {"step": self.step(peer, protocol), **self.look(peer, protocol, server)}
            peer.reset()
            self.clock.advance(40)
            if number % 20 == 19:
                gc.collect()
            yield {"step": "over", **self.look(peer, protocol, server)}

    def step(self, peer: MemoryPeer, protocol: Any) -> str:
        """
        Something happens.
        """
        rng = self.rng
        kind = rng.random()
        if kind < 0.8:
            data = self.data()
            if rng.random() < 0.4:
                cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
                for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                    if start < end:
                        self.give(peer, data[start:end])
            else:
                self.give(peer, data)
            return f"{len(data)} bytes"
        if kind < 0.9:
            seconds = rng.choice((0.5, 1.5, 6.0))
            self.clock.pump([0.25] * int(seconds * 4))
            peer.settle()
            return f"{seconds} s"
        if kind < 0.95:
            peer.end()
            return "end"
        if not protocol.lost:
            protocol.pauseProducing()
            self.give(peer, self.data())
            if not protocol.lost:
                protocol.resumeProducing()
        peer.settle()
        return "paused"

    def give(self, peer: MemoryPeer, data: bytes) -> None:
        """
        Bytes come, or what becomes of them is an error that everybody would see.
        """
        if peer.conn._protocol.closing or peer.conn._protocol.finished:
            return
        try:
            peer.send(data)
        except WasinetError as error:
            self.events.append(repr(error))

    def look(self, peer: MemoryPeer, protocol: Any, server: HttpServer) -> dict[str, Any]:
        """
        All that can be seen.
        """
        connection = protocol.connection
        statistics = server.statistics
        seen, self.handlers.seen = self.handlers.seen, []
        lines, self.log.lines = self.log.lines, []
        events, self.events = self.events, []
        timed = sorted((call.getTime(), str(call.func.__qualname__)) for call in self.clock.getDelayedCalls())
        return {
            "sent": peer.take().decode("latin-1"),
            "gone": [peer.gone, peer.aborted, protocol.closing, protocol.lost, connection.closing.name],
            "seen": seen,
            "lines": lines,
            "events": events,
            "exchange": [getattr(connection.exchange, name) for name in slotsOf(type(connection.exchange))],
            "clock": [repr(getattr(connection.clock, name)) for name in ("since", "started", "finished", "touched")],
            "reader": [connection.reader.got, connection.reader.hungry, connection.reader.arrived.size],
            "queue": [connection.reader.arrived.appended, connection.reader.arrived.position],
            "protocol": [protocol._readPaused, protocol._immediate, protocol._pumpsLater, protocol._queued],
            "request": repr(connection.request),
            "inFlight": repr(protocol.inFlight),
            "deadline": repr(connection.deadline()),
            "statistics": [
                repr(getattr(statistics, name))
                for name in sorted(slotsOf(type(statistics)))
                if name not in ("startTime", "_started", "_clock")
            ],
            "timed": timed,
        }


def main(arguments: list[str]) -> int:
    """
    The command.
    """
    options = argparse.ArgumentParser(prog="python -m tests.speed.served")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--count", type=int, default=500)
    given = options.parse_args(arguments)
    # The time of day is the same for both forms.
    serving.dateLine = lambda now: b"Date: today\r\n"  # type: ignore[assignment]
    session = Session(given.seed)
    globalLogBeginner.beginLoggingTo([session.told], redirectStandardIO=False)
    warnings.simplefilter("always")
    warnings.showwarning = session.warned
    for number, seen in enumerate(session.run(given.count)):
        line = json.dumps({"number": number, **seen})
        sys.stdout.write(_ADDRESS.sub("0x", line) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
