"""
A client that asks in many ways, in both forms, and everything that can be seen of what it does.

The connections are in memory, on a Clock; their transports have sockets all the same, which the twins look at. Both
forms run in one process: the Python is what the twins call where their conditions don't hold.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from wasinet_twisted.client import ClientLimits, Pool, Timeouts, fetching
from wasinet_twisted.client.call import Call
from wasinet_twisted.client.protocol import HttpClientProtocol
from wasinet_twisted.client.response import Response
from wasinet_twisted.http import Limits

from .forms import Difference, slotsOf
from .inputs import Inputs

ORIGINS = ("http://a.test", "http://a.test:8080", "http://[::1]", "http://A.TEST")


class Form:
    """
    One of the two forms.

    @ivar fetch: what C{fetch} is.
    @ivar received: what C{HttpClientProtocol.dataReceived} is.
    """

    def __init__(self, fetch: Callable[..., Any], received: Callable[..., Any]) -> None:
        self.fetch = fetch
        self.received = received


COMPILED = hasattr(fetching.fetch, "__wrapped__")
WHY_NOT = "the client has no compiled twins in this process"
TWIN = Form(fetching.fetch, HttpClientProtocol.dataReceived)
PYTHON = Form(
    getattr(fetching.fetch, "__wrapped__", fetching.fetch),
    getattr(HttpClientProtocol.dataReceived, "__wrapped__", HttpClientProtocol.dataReceived),
)


class Text(str):
    """
    A str of somebody's own.
    """

    __slots__ = ()


class Transport:
    """
    A transport that keeps what is written, and what else has been asked for.

    @ivar peer: the other end of its socket: what is sent there makes it stale.
    @ivar told: what has happened, as it came.
    @ivar fails: does the next C{write} raise?
    """

    disconnecting = False

    def __init__(self) -> None:
        self.socket, self.peer = socket.socketpair()
        self.told: list[Any] = []
        self.fails = False
        self.fills = False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        if self.fails:
            self.fails = False
            raise OSError("no write")
        self.told.append(data)
        if self.fills:
            self.fills = False
            self.protocol.pauseProducing()

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 80)

    getHost = getPeer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in (
            "registerProducer", "unregisterProducer", "pauseProducing", "resumeProducing", "loseConnection",
            "abortConnection", "loseWriteConnection", "setTcpNoDelay",
        ):  # fmt: skip
            raise AttributeError(name)
        return lambda *_: self.told.append(name)

    def close(self) -> None:
        self.socket.close()
        self.peer.close()


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    Where all connections go.
    """

    def __init__(self, made: list[Any]) -> None:
        self._made = made
        self.transports: list[Transport] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        protocol = factory.buildProtocol(None)
        if protocol is None:
            return fail(ConnectionLost())
        transport = Transport()
        transport.protocol = protocol
        self._made.append(protocol)
        self.transports.append(transport)
        protocol.makeConnection(transport)
        return succeed(protocol)


# What only the parser's next step would look at, after it has set it anew.
_PASSING = frozenset(("mark", "_handedOut", "_got"))
# Shown by themselves, or never the same.
_ELSEWHERE = frozenset(
    ("transport", "reactor", "_owner", "_canceller", "_pool", "pool", "plan", "_debugInfo", "task", "keeper")
)


@cache
def _namesOf(kind: type) -> tuple[str, ...]:
    if not kind.__module__.startswith("wasinet_twisted"):
        return ()
    return tuple(name for name in slotsOf(kind) if name not in _PASSING and name not in _ELSEWHERE)


def shown(given: Any, depth: int = 6) -> Any:
    """
    All that is in an object, and in those that it has.
    """
    if isinstance(given, str | bytes) and len(given) > 500:
        return f"{type(given).__name__} of {len(given)}, {hash(given)}: {given[:50]!r}"
    if given is None or isinstance(given, str | bytes | int | float | bool):
        return f"{type(given).__name__} {given!r}"
    if isinstance(given, list | tuple):
        return [shown(each, depth - 1) for each in given]
    # Which is an exception itself.
    if isinstance(given, Failure):
        return ["Failure", shown(given.value)]
    if isinstance(given, BaseException):
        return f"{type(given).__name__}: {given}"
    names = _namesOf(type(given))
    if depth > 0 and names:
        return [type(given).__name__, *((name, shown(getattr(given, name, "unset"), depth - 1)) for name in names)]
    return type(given).__name__


_METHODS = (
    *("GET",) * 8,
    "HEAD",
    "DELETE",
    "OPTIONS",
    "POST",
    "PUT",
    "PATCH",
    "get",
    "TRACE",
    "A B",
    "CONNECT",
    "QUERY",
)
_PATHS = (
    "/", "/a", "/a?b=c", "/a?b=/./c", "/%41%zz", "/%4", "/%", "/..", "/a/../b", "/.", "/a.b", "/a#f", "", "?q", "/\0",
    "/ü", "/\ud800", "/a b", "/" + "x" * 3000, "/a?b#", "/\x7f", "/a\\b", "/[", "/^", "/a%2e", "//", "///.",
)  # fmt: skip
_VALUES = ("1", "", "a b", " a", "a ", "\t", "a\tb", "a\r\nb", "ü", "\ud800", "x" * 300, "\x7f", "\0", b"1", 1, None)
_NAMES = (
    "X-A", "x-a", "Cookie", "Accept", "accept", "User-Agent", "user-agent", "ACCEPT-ENCODING", "Host", "host", "TE",
    "Connection", "Content-Length", "Content-Type", "Expect", "Upgrade", "Trailer", "Transfer-Encoding",
    "Authorization", "", "a b", "ü", "X" * 64, "X" * 65, b"X-B", "Keep-Alive", "K\u212a",
)  # fmt: skip
_STATUSES = (*(200,) * 8, 201, 204, 205, 206, 299, 300, 301, 302, 303, 304, 307, 308, 400, 404, 417, 500, 599)


class Session:
    """
    A pool, its connections, and what is done with them.
    """

    def __init__(self, form: Form, seed: int) -> None:
        self.form = form
        self.chance = chance = random.Random(seed)
        # How much is unusual.
        self.wild = chance.choice((0.02, 0.2, 1.0))
        self.heads = Inputs(seed).heads()
        self.clock = Clock()
        self.made: list[Any] = []
        self.told: list[Any] = []
        self.outcomes: list[list[Any]] = []
        self.waiting: list[Any] = []
        endpoint = Endpoint(self.made)
        self.pool = Pool(
            limits=ClientLimits(
                connections=chance.choice((256, 3)),
                perOrigin=chance.choice((64, 2)),
                kept=chance.choice((64, 64, 1, 0)),
                idle=chance.choice((30.0, 30, 5.0, 0)),
                buffered=chance.choice((65536, 8)),
                message=Limits(responseBody=chance.choice((10_000, 3, 0, (1 << 62) - 1))),
            ),
            timeouts=chance.choice((Timeouts(), Timeouts(), Timeouts(total=20), Timeouts(head=3, read=2))),
            endpoint=lambda _: endpoint,
            observer=self.told.append if chance.random() < 0.1 else None,
            reactor=self.clock,
        )

    def run(self, count: int) -> Iterator[tuple[str, Any]]:
        """
        Do many things.

        @return: each, and all that is seen then.
        """
        for _ in range(count):
            yield self.step(), self.look()
        self.pool.close()
        self.clock.advance(100)
        for protocol in self.made:
            self.lose(protocol, ConnectionDone())
        yield "over", self.look()
        for waiting in self.waiting:
            waiting.addErrback(lambda _: None)

    def step(self) -> str:
        """
        Something happens.
        """
        share = self.chance.random()
        if self.chance.random() > self.wild:
            share *= 0.9
        for most, do in (
            (0.40, self.ask),
            (0.85, self.answer),
            (0.90, self.read),
            (0.92, self.cancel),
            (0.94, self.wait),
            (0.96, self.spoil),
            (0.975, self.end),
            (1.0, self.replace),
        ):
            if share <= most:
                return do()
        raise AssertionError("there is no such share")

    def keep(self, waiting: Any) -> None:
        """
        Note what becomes of a Deferred.
        """
        results: list[Any] = []
        self.outcomes.append(results)
        self.waiting.append(waiting)

        def noted(result: Any) -> Any:
            results.append(result)
            return None if isinstance(result, Failure) else result

        waiting.addBoth(noted)

    def ask(self) -> str:
        """
        A request, often the plainest.
        """
        chance = self.chance
        odd = chance.choice((0.0, 0.0, 0.3)) if chance.random() < self.wild else 0.0

        def usually(usual: Any, others: tuple[Any, ...]) -> Any:
            return chance.choice(others) if chance.random() < odd else usual

        url = usually(ORIGINS[0], ORIGINS) + usually("/a?b=c", _PATHS)
        given: dict[str, Any] = {"method": usually("GET", _METHODS)}
        fields = [
            (usually(f"X-{chance.randrange(9)}", _NAMES), usually(f"{chance.random()}", _VALUES))
            for _ in range(chance.choice((0, 1, 2, usually(3, (32, 33)))))
        ]
        if fields or chance.random() < 0.1:
            given["headers"] = usually(dict(fields), (fields, (), {Text("a"): "b"}, {"a": Text("b")}))
        if given["method"] in ("POST", "PUT", "PATCH") or chance.random() < odd / 4:
            given["body"] = usually(b"abc", (b"", b"x" * 100, "text", bytearray(b"a"), [b"a", b"b"], Text("a")))
        for name, values in (
            ("decode", (False, 1)), ("redirects", (0, True, 3)), ("timeout", (5, 0.5, -1, "1")),
            ("expectContinue", (True, 1)), ("json", ({}, 1)), ("interim", (self.told.append,)),
        ):  # fmt: skip
            if chance.random() < odd / 8:
                given[name] = chance.choice(values)
        if chance.random() < odd / 4:
            url = chance.choice((url.upper(), Text(url), url.replace("//", "//u:p@"), url[:-1], b"http://a.test/", ""))
        return self.fetch(url, given)

    def fetch(self, url: Any, given: dict[str, Any]) -> str:
        what = f"fetch {url!r} { {**given, 'interim': 'interim' in given}!r}"
        try:
            self.keep(self.form.fetch(url, pool=self.pool, **given))
        except Exception as error:
            self.outcomes.append([error])
        return what

    def responseTo(self, method: str) -> bytes:
        """
        What a server may say.
        """
        chance = self.chance
        share = chance.random()
        if chance.random() > self.wild:
            body = chance.choice((b"", b"abc", b"x" * 3000))
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), b"" if method == "HEAD" else body)
        if share < 0.06:
            return next(self.heads)[0]
        body = chance.choice((b"", b"abc", b"abcd", b"x" * 9_999, b"x" * 10_001)) if share < 0.9 else b"x" * 70_000
        status = chance.choice(_STATUSES)
        fields = [f"Content-Length: {len(body)}"]
        framed = body
        odd = chance.random()
        if odd < 0.4:
            name, value = chance.choice(
                (
                    ("Connection", "close"), ("connection", "CLOSE"), ("CONNECTION", "keep-alive"),
                    ("Connection", "x, Close"), ("Content-Encoding", "gzip"), ("content-encoding", "identity"),
                    ("CONTENT-ENCODING", "nonsense"), ("Location", "/next"), ("Location", "http://a.test:8080/"),
                    ("Set-Cookie", "a=b"), ("X-Long", "y" * 300), ("Content-Length", "3"), ("Server", "\xe9"),
                    ("Keep-Alive", "timeout=5"), ("Upgrade", "x"),
                )
            )  # fmt: skip
            fields.append(f"{name}: {value}")
        elif odd < 0.5:
            fields[0] = "Transfer-Encoding: chunked"
            framed = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        elif odd < 0.53:
            del fields[0]
        elif odd < 0.56:
            framed += b"HTTP/1.1 200 OK\r\n\r\n"
        if method == "HEAD" or status in (204, 304):
            framed = b"" if chance.random() < 0.95 else framed
        version = "HTTP/1.1" if chance.random() < 0.95 else "HTTP/1.0"
        before = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" if chance.random() < 0.05 else b""
        head = "\r\n".join((f"{version} {status} {chance.choice(('OK', ''))}", *fields, "", ""))
        return before + head.encode("latin-1") + framed

    def answer(self) -> str:
        """
        A response comes, whole or in pieces, over a connection that waits for one.
        """
        chance = self.chance
        busy = [each for each in self.made if each.call is not None and not each.lost]
        if not busy or chance.random() < 0.02:
            busy = [each for each in self.made if not each.lost]
        if not busy:
            return "nothing to answer"
        protocol = chance.choice(busy)
        data = self.responseTo("" if protocol.call is None else protocol.call.method)
        count = chance.choice((0, 0, 0, 0, 1, 1, 3)) if chance.random() < max(self.wild, 0.2) else 0
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(count))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            if start < end and not protocol.lost:
                self.give(protocol, data[start:end])
        if chance.random() < 0.05 * self.wild and not protocol.lost:
            self.give(protocol, data[:40])
        return f"{self.made.index(protocol)}: {data[:200]!r} {len(data)} {cuts}"

    def give(self, protocol: Any, data: bytes) -> None:
        try:
            self.form.received(protocol, data)
        except Exception as error:
            self.told.append(repr(error))

    def responses(self) -> list[Response]:
        return [results[0] for results in self.outcomes if results and isinstance(results[0], Response)]

    def read(self) -> str:
        """
        A response is read, closed, or forgotten.
        """
        responses = self.responses()[-6:]
        if not responses:
            return "nothing to read"
        response = self.chance.choice(responses)
        how = self.chance.choice(("bytes", "bytes", "text", "few", "stream", "close", "discard"))
        if how in ("bytes", "text"):
            self.keep(getattr(response, how)())
        elif how == "few":
            self.keep(response.bytes(3))
        elif how == "close":
            response.close()
        elif how == "discard":
            self.keep(ensureDeferred(response.discard()))
        else:

            async def pieces() -> list[bytes]:
                return [piece async for piece in response.stream()]

            self.keep(ensureDeferred(pieces()))
        return f"{how} {response}"

    def cancel(self) -> str:
        """
        Somebody gives up.
        """
        waiting = [number for number, results in enumerate(self.outcomes) if not results and number < len(self.waiting)]
        if waiting:
            number = self.chance.choice(waiting)
            self.waiting[number].cancel()
            return f"cancel {number}"
        return "nothing to cancel"

    def wait(self) -> str:
        seconds = self.chance.choice((0, 0.1, 1, 4, 40, 100))
        self.clock.advance(seconds)
        return f"{seconds} s"

    def spoil(self) -> str:
        """
        The next write fails, or the transport is full, or bytes come that nobody has asked for.
        """
        alive = [each for each in self.made if not each.lost]
        if not alive:
            return "nothing to spoil"
        protocol = self.chance.choice(alive)
        how = self.chance.choice(("fails", "fills", "stale", "resume", "gone", "next"))
        if how == "stale":
            with suppress(OSError):
                protocol.transport.peer.send(b"x")
        elif how == "gone":
            protocol.transport.peer.close()
        elif how == "resume":
            protocol.resumeProducing()
        elif how == "next":
            self.clock.advance(0)
        else:
            setattr(protocol.transport, how, True)
        return f"{how} {self.made.index(protocol)}"

    def end(self) -> str:
        alive = [each for each in self.made if not each.lost]
        if not alive:
            return "nothing to end"
        protocol = self.chance.choice(alive)
        how = self.chance.choice(("half", "done", "lost"))
        if how == "half":
            protocol.readConnectionLost()
        else:
            self.lose(protocol, ConnectionDone() if how == "done" else ConnectionLost())
        return f"{how} {self.made.index(protocol)}"

    def lose(self, protocol: Any, reason: Exception) -> None:
        protocol.connectionLost(Failure(reason))
        protocol.transport.close()

    def replace(self) -> str:
        """
        Somebody changes what the pool has.
        """
        pool = self.pool
        how = self.chance.choice(("proxy", "observer", "plan", "plan", "free"))
        if how == "proxy":
            pool.proxy = None if pool.proxy else "environment"
        elif how == "observer":
            pool.observer = None if pool.observer else self.told.append
        elif how == "plan":
            pool.plan = None
        else:
            pool.closeFree()
        return how

    def look(self) -> Any:
        """
        All that can be seen.
        """
        pool, made, told = self.pool, self.made, self.told
        self.told = []
        if pool.observer is not None:
            pool.observer = self.told.append
        seen = {
            "told": [shown(each) for each in told],
            "made": [
                ([*protocol.transport.told], shown(protocol, 7), protocol.isFree, _deadline(protocol))
                for protocol in made
                if not protocol.lost or protocol.transport.told
            ],
            "outcomes": [[shown(result) for result in results] for results in self.outcomes[-12:]],
            "free": [made.index(protocol) for protocol in pool._free],
            "places": [
                (str(place.route), place.open, [made.index(each) for each in place.idle], len(place.waiting))
                for place in pool._places.values()
            ],
            "pool": repr(pool),
            "timed": sorted(
                (call.getTime(), str(getattr(call.func, "__qualname__", ""))) for call in self.clock.getDelayedCalls()
            ),
        }
        for protocol in made:
            protocol.transport.told.clear()
        return seen


def _deadline(protocol: Any) -> Any:
    connection, call = protocol.connection, protocol.call
    return None if connection is None else (connection.deadline(), call.until if isinstance(call, Call) else None)


def compare(seed: int, count: int) -> int:
    """
    Do the same in both forms.

    @return: how many responses there have been.
    @raise Difference: the two forms parted.
    """
    python, twin = Session(PYTHON, seed), Session(TWIN, seed)
    for number, ((what, expected), (did, found)) in enumerate(zip(python.run(count), twin.run(count), strict=True)):
        if what != did or expected != found:
            raise Difference(f"seed {seed}, step {number}, {what} or {did}: {_parted(expected, found)}")
    return len(twin.responses())


def _parted(expected: Any, found: Any, where: str = "") -> str:
    if type(expected) is type(found) and isinstance(expected, dict):
        pairs = [(name, expected[name], found[name]) for name in expected]
    elif type(expected) is type(found) and isinstance(expected, list | tuple) and len(expected) == len(found):
        names = [each[0] if isinstance(each, tuple) and each else number for number, each in enumerate(expected)]
        pairs = list(zip(names, expected, found, strict=True))
    else:
        return f"{where} is {found!r} instead of {expected!r}"
    return "; ".join(_parted(one, other, f"{where}.{name}") for name, one, other in pairs if one != other)
