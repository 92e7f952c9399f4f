"""
What a handler returns that is no response: the log says what to return, the client gets a 500 without a word of why.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed

from wasinet_twisted.errors import (
    ContentError,
    IncompleteRead,
    InvalidResponse,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
)
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request

from .support import MemoryServerCase, chunked, get, parse, post

SECRET = "hunter2"


async def coroutine() -> WasiResponse:
    return WasiResponse(body=SECRET)


def generator() -> Iterator[str]:
    yield SECRET


async def asynchronousGenerator() -> AsyncIterator[str]:
    yield SECRET


class ReturnTests(MemoryServerCase):
    def assertHint(self, give: Callable[[], Any], hint: str, error: type[Exception] = InvalidResponse) -> None:
        """
        The same for a plain function, an C{async def}, and a Deferred.
        """

        async def asynchronous(request: Request) -> Any:
            return give()

        async def later(request: Request) -> Any:
            await self.sleep(1)
            return give()

        def plain(request: Request) -> Any:
            return give()

        def deferred(request: Request) -> Deferred[Any]:
            return succeed(None).addCallback(lambda _: Deferred.fromCoroutine(later(request)))

        for handler in (plain, asynchronous, later, deferred):
            if handler is plain and give is coroutine:
                # It is awaited.
                continue
            self.serve(handler)
            peer = self.connect(get())
            self.advance(1)
            (failure,) = self.flushLoggedErrors()
            self.assertIsInstance(failure.value, error)
            self.assertIn(hint, str(failure.value))
            self.assertLess(len(str(failure.value)), 300)
            got = peer.take()
            self.assertNotIn(SECRET.encode(), got)
            (response,) = parse(got, ended=True)
            self.assertEqual((response.status, response.body), (500, b"Internal Server Error\n"))
            self.assertEqual(response.headers["Connection"], "close")
            self.assertClosed(peer)
            self.assertEqual(self.server.statistics.statuses[500], 1)

    def test_text(self) -> None:
        for text in (SECRET, SECRET.encode(), bytearray(b"x"), SECRET * 100_000):
            self.assertHint(lambda text=text: text, "; return WasiResponse(body=...)")

    def test_json(self) -> None:
        for data in ({"a": SECRET}, [SECRET], {}, [1] * 100_000):
            self.assertHint(lambda data=data: data, "body=json.dumps(...))")

    def test_nothing(self) -> None:
        self.assertHint(lambda: None, "; is a return missing?")

    def test_aCoroutine(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertHint(coroutine, "; is an await missing?")
            gc.collect()

    def test_generators(self) -> None:
        for give in (generator, asynchronousGenerator):
            self.assertHint(give, "; return WasiResponse(body=...) to send what it yields, piece by piece")

    def test_others(self) -> None:
        self.assertHint(lambda: (SECRET, 200), "; return WasiResponse(status, headers, body)")
        self.assertHint(lambda: 404, "; return WasiResponse(status)")
        self.assertHint(object, "a handler must return a WasiResponse, not <object object at 0x")

    def test_theBodyForTheStatus(self) -> None:
        for body in (SECRET, SECRET.encode(), {"a": 1}, None, [SECRET], coroutine):
            self.assertHint(
                lambda body=body: WasiResponse(body), "; the body is given as body=...", error=LocalProtocolError
            )
        for status in (99, 600, 200.0, True):
            self.assertHint(
                lambda status=status: WasiResponse(status), f"from 100 to 599, not {status}", error=LocalProtocolError
            )

    def test_theBodyForTheHeaders(self) -> None:
        for body in (SECRET, SECRET.encode()):
            self.assertHint(lambda body=body: WasiResponse(200, body), "; is it the body?", error=LocalProtocolError)

    def test_aMappingForTheBody(self) -> None:
        self.assertHint(lambda: WasiResponse(body={"a": 1}), "; json.dumps() makes JSON", error=LocalProtocolError)


class ContextTests(MemoryServerCase):
    """
    PEP 567: what a handler has set is seen by itself alone.
    """

    def test_pipelined(self) -> None:
        """
        A request is answered by what another handler calls, in its context; so the next one on the connection comes.
        """
        variable: ContextVar[str] = ContextVar("variable", default="nobody")
        waits: Deferred[None] = Deferred()
        seen: list[str] = []

        async def handler(request: Request) -> WasiResponse:
            seen.append(variable.get())
            variable.set(request.uri)
            if request.uri == "/waits":
                await waits
                seen.append(variable.get())
            elif request.uri == "/fires":
                waits.callback(None)
            return WasiResponse()

        self.serve(handler)
        first = self.connect(get("/waits") + get("/next"))
        second = self.connect(get("/fires"))
        self.assertEqual(seen, ["nobody", "nobody", "/waits", "nobody"])
        self.assertEqual([len(parse(peer.take())) for peer in (first, second)], [2, 1])

    def test_plainFunctions(self) -> None:
        variable: ContextVar[str] = ContextVar("variable", default="nobody")
        seen: list[str] = []

        async def inner(request: Request) -> WasiResponse:
            seen.append(variable.get())
            return WasiResponse()

        def plain(request: Request) -> Any:
            seen.append(variable.get())
            variable.set(request.uri)
            return {"/a": WasiResponse, "/b": lambda: inner(request), "/c": lambda: Wrapped(inner(request))}[
                request.uri
            ]()

        class Wrapped:
            def __init__(self, coroutine: Any) -> None:
                self.coroutine = coroutine

            def __await__(self) -> Any:
                return self.coroutine.__await__()

        self.serve(plain)
        peer = self.connect(get("/a") + get("/b") + get("/c"))
        self.assertEqual(seen, ["nobody", "nobody", "/b", "nobody", "/c"])
        self.assertEqual(len(parse(peer.take())), 3)


class LateTests(MemoryServerCase):
    def test_whatFailsWhenItIsCancelled(self) -> None:
        """
        It is no longer the time that is at fault: the log has the failure.
        """

        async def handler(request: Request) -> WasiResponse:
            try:
                await self.sleep(100)
            except CancelledError:
                raise LookupError("no") from None
            return WasiResponse()

        self.serve(handler, handler=5)
        peer = self.connect(get())
        self.twoSides(5, lambda: self.assertOpen(peer), lambda: self.assertEqual(self.status(peer), 500))
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_whoClosesWhenItIsCancelled(self) -> None:
        """
        The connection closes, as the handler has asked for: there is no 503, and no reset either.
        """

        async def handler(request: Request) -> WasiResponse:
            try:
                await self.sleep(100)
            finally:
                request.conn.close()
            return WasiResponse()

        self.serve(handler, handler=5)
        peer = self.connect(get())
        self.twoSides(5, lambda: self.assertOpen(peer), lambda: self.assertClosed(peer))
        self.assertEqual(peer.take(), b"")


class BlameTests(MemoryServerCase):
    """
    Errors as the parser of the request raises them, but of somebody else's: of an upstream's answer, say.
    """

    ERRORS = (
        RemoteProtocolError("no HTTP"),
        IncompleteRead("cut", b"", 3),
        ContentError("no JSON"),
        MessageTooLarge("too much"),
    )
    REQUESTS = (get(), post("/", 3, body=b"abc"), post("/", 3, body=b"a"))

    def test_beforeTheAnswer(self) -> None:
        """
        The client isn't blamed, and gets an answer; the log has the traceback.
        """
        for error in self.ERRORS:

            async def handler(request: Request, error: Exception = error) -> WasiResponse:
                raise error

            for sent in self.REQUESTS:
                self.serve(handler)
                peer = self.connect(sent)
                self.assertEqual(self.status(peer), 500, error)
                self.assertEqual([failure.value for failure in self.flushLoggedErrors()], [error])

    def test_afterIt(self) -> None:
        """
        The answer is broken off; the log has the traceback all the same.
        """
        for error in self.ERRORS:

            async def pieces(error: Exception = error) -> AsyncIterator[bytes]:
                yield b"half"
                raise error

            for sent in self.REQUESTS:
                self.serve(lambda request, pieces=pieces: WasiResponse(body=pieces()))
                peer = self.connect(sent)
                self.assertReset(peer)
                self.assertEqual([failure.value for failure in self.flushLoggedErrors()], [error])

    def test_theClientsOwn(self) -> None:
        """
        It is told, and the log has no traceback.
        """

        async def handler(request: Request) -> WasiResponse:
            return WasiResponse(body=str(await request.json()))

        for sent, status in (
            (post("/", 3, body=b"abc"), 400),
            (chunked("/", b"1") + b"nonsense\r\n", 400),
            (post("/", 2_000_000), 413),
        ):
            self.serve(handler)
            self.assertEqual(self.status(self.connect(sent)), status)
        peer = self.connect(post("/", 3, body=b"a"))
        peer.end()
        self.assertEqual(self.status(peer), 400)
