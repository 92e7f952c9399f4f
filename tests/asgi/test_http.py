"""
The messages of an HTTP request: their order, what they hold, and what becomes of wrong ones. The time is a Clock's.
"""

from __future__ import annotations

import gc
import weakref
from asyncio import CancelledError as AsyncioCancelledError
from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater

from tests.server.support import CONTINUE, chunked, get, message, parse, post
from tests.support import temporaryDirectory
from wasinet_twisted.asgi.interfaces import Receive, Scope, Send
from wasinet_twisted.errors import ClientDisconnected, LocalProtocolError

from .support import AsgiCase, body, start


class ResponseTests(AsgiCase):
    """
    What an app sends, as it is on the wire.
    """

    def test_whole(self) -> None:
        app = self.sending(
            start(201, (b"content-type", b"text/plain"), (b"Set-Cookie", b"a"), (b"set-cookie", b"b")), body(b"x")
        )
        (response,) = parse(self.ask(app, get()).take())
        self.assertEqual((response.status, response.body), (201, b"x"))
        found = [pair for pair in response.fields() if pair[0] != "Date"]
        self.assertEqual(
            found, [("content-type", "text/plain"), ("Set-Cookie", "a"), ("set-cookie", "b"), ("Content-Length", "1")]
        )

    def test_inPieces(self) -> None:
        app = self.sending(start(), body(b"ab", True), body(b"", True), body(b"cd"))
        peer = self.ask(app, get())
        (response,) = parse(peer.take())
        self.assertEqual(response.getHeader("Transfer-Encoding"), "chunked")
        self.assertEqual(response.body, b"abcd")

    def test_aLengthInPieces(self) -> None:
        app = self.sending(start(200, (b"content-length", b"4")), body(b"ab", True), body(b"cd"))
        (response,) = parse(self.ask(app, get()).take())
        self.assertEqual((response.getHeader("Content-Length"), response.body), ("4", b"abcd"))

    def test_theLastOfItsConnection(self) -> None:
        """
        The app's own Connection: close is sent once.
        """
        for sent in ((body(b"x"),), (body(b"x", True), body())):
            peer = self.ask(self.sending(start(200, (b"connection", b"close")), *sent), get())
            (response,) = parse(peer.take())
            self.assertEqual(response.headers.getall("Connection"), ["close"])
            self.assertClosed(peer)

    def test_theServersFraming(self) -> None:
        """
        By the specification, a Transfer-Encoding of the app's is ignored.
        """
        app = self.sending(start(200, (b"transfer-encoding", b"chunked")), body(b"x"))
        (response,) = parse(self.ask(app, get()).take())
        self.assertEqual((response.getHeader("Transfer-Encoding"), response.getHeader("Content-Length")), (None, "1"))

    def test_withoutABody(self) -> None:
        """
        A 204 has no length either, though Django gives it one.
        """
        for status, fields in ((204, [(b"content-length", b"0")]), (204, []), (304, [(b"etag", b'"a"')])):
            (response,) = parse(self.ask(self.sending(start(status, *fields), body(b"", True), body()), get()).take())
            self.assertEqual((response.status, response.getHeader("Content-Length")), (status, None))

    def test_head(self) -> None:
        """
        The fields are those of a GET; of a length that nobody knows nothing is said.
        """
        for fields, expected in (([(b"content-length", b"7")], "7"), ([], None)):
            peer = self.ask(self.sending(start(200, *fields), body()), message("HEAD"))
            (response,) = parse(peer.take(), "HEAD")
            self.assertEqual((response.getHeader("Content-Length"), response.body), (expected, b""))
        peer = self.ask(self.sending(start(), body(b"body", True), body(b"more")), message("HEAD"))
        (response,) = parse(peer.take(), "HEAD")
        self.assertEqual(response.body, b"")
        self.assertGoesOnEmpty(peer)

    def assertGoesOnEmpty(self, peer: Any) -> None:
        peer.send(message("HEAD"))
        self.assertEqual(self.status(peer, "HEAD"), 200)

    def test_oldClients(self) -> None:
        peer = self.ask(self.sending(start(), body(b"ab", True), body(b"cd")), message("GET", version="HTTP/1.0"))
        (response,) = parse(peer.take(), ended=True)
        self.assertEqual((response.getHeader("Transfer-Encoding"), response.body), (None, b"abcd"))
        self.assertClosed(peer)

    def test_trailers(self) -> None:
        """
        To those who take them only; in several messages.
        """
        messages = (
            start(200, trailers=True),
            body(b"x"),
            {"type": "http.response.trailers", "headers": [(b"a", b"1")], "more_trailers": True},
            {"type": "http.response.trailers", "headers": [(b"b", b"2")]},
        )
        for fields, expected in ((("TE: trailers", "Connection: TE"), [("a", "1"), ("b", "2")]), ((), [])):
            (response,) = parse(self.ask(self.sending(*messages), get("/", *fields)).take())
            self.assertEqual((response.body, list(response.trailers.items())), (b"x", expected))

    def test_earlyHints(self) -> None:
        """
        Before the head is sent, so also after the start; later it is too late.
        """
        hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]}
        peer = self.ask(self.sending(hint, start(), hint, body(b"a", True), hint, body()), get())
        first, second, response = parse(peer.take(), "GET")
        for each in (first, second):
            self.assertEqual((each.status, each.headers.getall("Link")), (103, ["</a.css>; rel=preload", "</b.js>"]))
        self.assertEqual(response.body, b"a")

    def test_aFile(self) -> None:
        path = temporaryDirectory(self) / "file"
        path.write_bytes(b"0123456789" * 50_000)
        send = {"type": "http.response.pathsend", "path": str(path)}
        for fields in ([(b"content-length", b"500000")], []):
            (response,) = parse(self.ask(self.sending(start(200, *fields), send), get()).take())
            self.assertEqual(response.body, path.read_bytes())
        (response,) = parse(
            self.ask(self.sending(start(200, (b"content-length", b"500000")), send), message("HEAD")).take(), "HEAD"
        )
        self.assertEqual((response.getHeader("Content-Length"), response.body), ("500000", b""))

    def test_noFile(self) -> None:
        """
        It is no OSError: that would say that the client has gone.
        """
        for path in ("/nonsense/file", "relative", None, b"/etc/hostname", "/etc", "/a\0b"):
            peer = self.ask(self.sending(start(), {"type": "http.response.pathsend", "path": path}), get())
            self.assertEqual(self.status(peer), 500)
            self.assertIn("http.response.pathsend", self.failed()[0])
            self.assertIsInstance(self.told.pop(), LocalProtocolError)

    def test_ignoredAfterTheEnd(self) -> None:
        app = self.sending(start(), body(b"a"), body(b"b"), start(500))
        (response,) = parse(self.ask(app, get()).take())
        self.assertEqual(response.body, b"a")

    def test_statistics(self) -> None:
        peer = self.ask(self.sending(start(404), body(b"a", True), body()), get(), get())
        self.assertEqual([each.status for each in parse(peer.take())], [404, 404])
        self.assertEqual(self.server.statistics.statuses[404], 2)


# What an app may not send, and what it is told: before anything has been sent, so that the client gets a 500.
WRONG: dict[str, tuple[list[Any], str]] = {
    "no message": ([5], "send() takes a dict with the str 'type', not 5"),
    "no type": ([{}], "send() takes a dict with the str 'type'"),
    "a type of bytes": ([{"type": b"http.response.start"}], "send() takes a dict with the str 'type'"),
    "another type": ([{"type": "http.nonsense"}], "'http.nonsense' has no place here: http.response.start was to come"),
    "no start": ([body()], "'http.response.body' has no place here: http.response.start was to come"),
    "two starts": ([start(), start()], "'http.response.start' has no place here: http.response.body was to come"),
    "trailers nobody was told of": (
        [start(), {"type": "http.response.trailers", "headers": []}],
        "'http.response.trailers' has no place here: http.response.body was to come",
    ),
    "no status": ([{"type": "http.response.start"}], "must be a whole number from 200 to 599, not None"),
    "a status of str": ([start("200")], "must be a whole number from 200 to 599, not '200'"),  # type: ignore[arg-type]
    "True": ([start(True)], "must be a whole number from 200 to 599, not True"),
    "101": ([start(101)], "must be a whole number from 200 to 599, not 101"),
    "600": ([start(600)], "must be a whole number from 200 to 599, not 600"),
    "headers of str": ([start(200, ("a", "b"))], "must be pairs of bytes; there is ('a', 'b')"),  # type: ignore[arg-type]
    "headers that are none": (
        [{"type": "http.response.start", "status": 200, "headers": 5}],
        "pairs of bytes; there is 5",
    ),
    "a header of three": ([start(200, (b"a", b"b", b"c"))], "must be pairs of bytes"),  # type: ignore[arg-type]
    "CR": ([start(200, (b"a", b"b\rc")), body()], "the value of field a holds a control character"),
    "LF": ([start(200, (b"a", b"b\nc: d")), body()], "the value of field a holds a control character"),
    "NUL": ([start(200, (b"a", b"\0")), body()], "the value of field a holds a control character"),
    "LF in a name": ([start(200, (b"a\nb", b"c")), body()], "a field name must be a token, not 'a\\nb'"),
    "a space in a name": ([start(200, (b"a ", b"c")), body(b"", True)], "a field name must be a token, not 'a '"),
    "a pseudo header": ([start(200, (b":status", b"200")), body()], "a field name must be a token, not ':status'"),
    "a body of str": ([start(), {"type": "http.response.body", "body": "x"}], "must be bytes, not str"),
    "too long": ([start(200, (b"content-length", b"1")), body(b"ab")], "Content-Length is 1, but the body has 2 bytes"),
    "too short": (
        [start(200, (b"content-length", b"3")), body(b"ab")],
        "Content-Length is 3, but the body has 2 bytes",
    ),
    "two lengths": ([start(200, (b"content-length", b"1"), (b"content-length", b"2")), body(b"a")], "Content-Length"),
    "a length that is none": ([start(200, (b"content-length", b"+1")), body(b"a")], "Content-Length"),
    "a 204 with a body": ([start(204), body(b"x")], "a 204 has no body, and this one has 1 bytes"),
    "a 304 with a body": ([start(304), body(b"x", True)], "a 304 has no body, and this one has 1 bytes"),
    "links of str": ([{"type": "http.response.early_hint", "links": ["a"]}], "must be bytes, each; there is ['a']"),
    "LF in a link": ([{"type": "http.response.early_hint", "links": [b"a\nb"]}], "Link holds a control character"),
}


class WrongTests(AsgiCase):
    def test_each(self) -> None:
        for name, (messages, expected) in WRONG.items():
            peer = self.ask(self.sending(*messages), get())
            self.assertEqual(self.status(peer), 500, name)
            (error,) = self.failed()
            self.assertIn(expected, error, name)
            self.assertIsInstance(self.told.pop(), LocalProtocolError, name)

    def test_anotherResponse(self) -> None:
        """
        An app that catches what it was told may start anew.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(start(200, (b"a", b"\n")))
                await send(body())
            except LocalProtocolError:
                await send(start(503))
                await send(body(b"sorry"))

        (response,) = parse(self.ask(app, get()).take())
        self.assertEqual((response.status, response.body), (503, b"sorry"))

    def test_inTheMidst(self) -> None:
        """
        A part of a body has been sent: a reset alone says that it isn't whole.
        """
        length = (b"content-length", b"3")
        for messages, expected in (
            ([start(200, length), body(b"a", True), body(b"bcd")], "Content-Length is 3, but the pieces have more"),
            ([start(200, length), body(b"a", True), body(b"b")], "Content-Length is 3, but the pieces have 2 bytes"),
            ([start(), body(b"a", True), start()], "'http.response.start' has no place here: http.response.body was"),
            ([start(), body(b"a", True)], "returned without a whole response; http.response.body was to come"),
            ([start(200, trailers=True), body(b"a")], "returned without a whole response; http.response.trailers was"),
        ):
            peer = self.ask(self.sending(*messages), get())
            self.assertIn(expected, self.failed()[0])
            self.assertReset(peer)

    def test_anEndThatIsNone(self) -> None:
        """
        A last piece that is too short is not counted as sent: what the app sends then would pass for the whole, and the
        next response for the rest of this one.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start(200, (b"content-length", b"6")))
            await send(body(b"abc", more=True))
            with self.assertRaises(LocalProtocolError):
                await send(body(b"de"))
            await send(body(last))

        for last in (b"def", b"f"):
            peer = self.ask(app, get(), get())
            if len(last) == 3:
                self.assertEqual([each.body for each in parse(peer.take())], [b"abcdef", b"abcdef"])
            else:
                self.assertIn("Content-Length is 6", self.failed()[0])
                self.assertReset(peer)

    def test_returnsWithoutAResponse(self) -> None:
        for messages in ([], [start()]):
            peer = self.ask(self.sending(*messages), get())
            self.assertEqual(self.status(peer), 500)
            self.assertIn("the app has returned without a whole response", self.failed()[0])

    def test_raises(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise ValueError("boom")

        self.assertEqual(self.status(self.ask(app, get())), 500)
        self.assertEqual(self.failed(), ["boom"])

    def test_raisesCancelledError(self) -> None:
        """
        One that nobody has cancelled is a failure like any other: it has awaited what it has cancelled itself.
        """
        for kind in (CancelledError, AsyncioCancelledError):

            async def app(scope: Scope, receive: Receive, send: Send, kind: type[BaseException] = kind) -> None:
                raise kind("mine")

            self.assertEqual(self.status(self.ask(app, get())), 500)
            self.assertEqual(self.failed(), ["mine"])

    def test_leavesNoCycle(self) -> None:
        """
        What a request has taken goes with it, and doesn't wait for the garbage collector.
        """
        variable: ContextVar[object] = ContextVar("variable")

        class Kept:
            pass

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            # The app's context goes with what has run it.
            kept = Kept()
            variable.set(kept)
            self.told.append(weakref.ref(kept))
            await deferLater(self.clock, 1)
            await send(start())
            await send(body())

        self.addCleanup(gc.enable)
        gc.disable()
        peer = self.ask(app, get())
        self.advance(1)
        self.assertEqual(self.status(peer), 200)
        (kept,) = self.told
        self.assertIsNone(kept())

    def test_isNoCoroutine(self) -> None:
        self.assertEqual(self.status(self.ask(lambda scope, receive, send: None, get())), 500)  # type: ignore[arg-type, return-value]
        self.failed()

    def test_connect(self) -> None:
        peer = self.ask(self.sending(start(), body()), b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        self.assertEqual(self.status(peer, "CONNECT"), 501)


class RequestTests(AsgiCase):
    """
    What an app receives.
    """

    async def collect(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.told.append(await receive())
        while self.told[-1].get("more_body"):
            self.told.append(await receive())
        await send(start())
        await send(body(b"".join(each.get("body", b"") for each in self.told)))
        self.told.append(await receive())

    def test_withItsHead(self) -> None:
        for request in (post("/", 3, body=b"abc"), chunked("/", b"abc", b"")):
            self.told.clear()
            (response,) = parse(self.ask(self.collect, request).take())
            self.assertEqual(response.body, b"abc")
            self.assertEqual(self.told[0]["body"], b"abc")
            self.assertEqual(self.told[-1], {"type": "http.disconnect"})

    def test_none(self) -> None:
        self.ask(self.collect, get())
        self.assertEqual(
            self.told, [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
        )

    def test_inPieces(self) -> None:
        peer = self.ask(self.collect, post("/", 6))
        peer.send(b"ab")
        peer.send(b"cd")
        self.assertEqual([each["body"] for each in self.told], [b"ab", b"cd"])
        peer.send(b"ef")
        self.assertEqual(parse(peer.take())[0].body, b"abcdef")

    def test_expected(self) -> None:
        """
        100 Continue is sent when the app first asks.
        """
        waits: Deferred[None] = Deferred()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await waits
            await self.collect(scope, receive, send)

        peer = self.ask(app, post("/", 2, "Expect: 100-continue"))
        self.assertEqual(peer.take(), b"")
        waits.callback(None)
        self.assertEqual(peer.take(), CONTINUE)
        peer.send(b"ab")
        self.assertEqual(parse(peer.take())[0].body, b"ab")

    def test_backPressure(self) -> None:
        """
        What nobody receives stays with the client.
        """
        waits: Deferred[None] = Deferred()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await waits
            await self.collect(scope, receive, send)

        peer = self.ask(app, post("/", 2_001_000, body=b"x" * 1000), limits={"buffered": 10_000})
        peer.conn.write(b"x" * 2_000_000)
        peer.settle()
        self.assertLess(self.server.statistics.bytesReceived, 500_000)
        waits.callback(None)
        peer.settle()
        self.advance(1)
        self.assertEqual(sum(len(each.get("body", b"")) for each in self.told), 2_000_000)

    def test_malformed(self) -> None:
        """
        The client is told, and to the app it has gone.
        """
        peer = self.ask(self.collect, chunked("/", b"abc") + b"nonsense\r\n")
        self.assertEqual(self.status(peer), 400)
        self.assertEqual(self.told[-1], {"type": "http.disconnect"})

    def test_tooSlow(self) -> None:
        peer = self.ask(self.collect, post("/", 10, body=b"x"), limits={"bodyGrace": 5.0})
        self.advance(4)
        self.assertEqual(peer.take(), b"")
        self.advance(3)
        self.assertEqual(self.status(peer), 408)
        self.assertEqual(self.told[-1], {"type": "http.disconnect"})

    def test_unread(self) -> None:
        """
        The connection goes on behind a body that the app hasn't read.
        """
        peer = self.ask(self.sending(start(), body(b"a")), post("/", 5000, body=b"x"))
        self.assertEqual(self.status(peer), 200)
        peer.send(b"x" * 4999 + get())
        self.assertEqual(self.status(peer), 200)

    def test_contextvars(self) -> None:
        variable: ContextVar[int] = ContextVar("variable", default=0)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.told.append(variable.get())
            variable.set(5)
            await deferLater(self.clock, 1)
            self.told.append(variable.get())
            await send(start())
            await send(body())

        self.ask(app, get())
        self.connect(get())
        self.advance(1)
        self.assertEqual(self.told, [0, 0, 5, 5])

    def test_contextvarsOfAPipelinedRequest(self) -> None:
        """
        The second request is answered from within the first app's C{send()}, and sees nothing of that app's context.
        """
        variable: ContextVar[int] = ContextVar("variable", default=0)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.told.append(variable.get())
            variable.set(5)
            await deferLater(self.clock, 1)
            await send(start())
            await send(body())

        self.ask(app, get() + get())
        self.advance(1)
        self.advance(1)
        self.assertEqual(self.told, [0, 0])


class DisconnectTests(AsgiCase):
    """
    A client that goes is told to the app at once.
    """

    async def wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.told.append(await receive())

    def test_whileTheAppWaits(self) -> None:
        for go in ("end", "reset"):
            peer = self.ask(self.wait, get())
            self.assertEqual(self.told, [])
            getattr(peer, go)()
            self.assertEqual(self.told.pop(), {"type": "http.disconnect"}, go)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_inTheBody(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.told += [await receive(), await receive()]

        for go in ("end", "reset"):
            self.told.clear()
            peer = self.ask(app, post("/", 5, body=b"x"))
            getattr(peer, go)()
            self.assertEqual(self.told[1:], [{"type": "http.disconnect"}], go)

    def test_receiveIsToldFirst(self) -> None:
        """
        Before C{send} raises, which has waited for the client to take enough: who listens may end who sends.
        """
        waits: Deferred[None] = Deferred()

        async def listen(receive: Receive) -> None:
            await receive()
            self.told.append(await receive())

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            ensureDeferred(listen(receive))
            await send(start())
            await waits
            try:
                while True:
                    await send(body(bytes(100_000), True))
            except OSError as error:
                self.told.append(error)

        peer = self.ask(app, get())
        peer.stall()
        waits.callback(None)
        self.assertEqual(self.told, [])
        peer.reset()
        self.assertEqual([type(each) for each in self.told], [dict, ClientDisconnected])

    def test_sendRaises(self) -> None:
        """
        An OSError, by the specification; and an app that lets it pass has not failed.
        """
        waits: Deferred[None] = Deferred()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(body(b"a", True))
            await waits
            try:
                await send(body(b"b", True))
            except OSError as error:
                self.told.append(error)
                raise RuntimeError("what a framework makes of it") from error

        peer = self.ask(app, get())
        peer.reset()
        waits.callback(None)
        self.assertEqual(self.told, [])
        self.clock.advance(0)
        self.assertIsInstance(self.told[0], ClientDisconnected)
        self.assertIn("has gone", str(self.told[0]))
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_whoGoesOnAsking(self) -> None:
        """
        An app that receives, or sends to where everything is taken, on and on keeps nobody from their turn.
        """

        async def receives(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await receive()
            self.clock.callLater(0, self.told.append, "others")
            for _ in range(1000):
                self.told.append(await receive())

        async def sends(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            self.clock.callLater(0, self.told.append, "others")
            for _ in range(1000):
                await send(body(b"x", True))
                self.told.append("sent")

        async def goesOn(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(body())
            self.clock.callLater(0, self.told.append, "others")
            for _ in range(1000):
                await send(body())
                self.told.append("sent")

        for app, method in ((receives, "GET"), (sends, "HEAD"), (goesOn, "GET")):
            self.told.clear()
            peer = self.ask(app)
            peer.send(message(method))
            if app is receives:
                peer.reset()
            self.clock.advance(0)
            self.assertLess(self.told.index("others"), 100)
        self.failed()

    def test_whileSending(self) -> None:
        """
        The client takes nothing, and goes.
        """

        waits: Deferred[None] = Deferred()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await waits
            await send(start())
            try:
                while True:
                    await send(body(b"x" * 60_000, True))
                    self.told.append("sent")
            except OSError as error:
                self.told.append(error)

        peer = self.ask(app, get())
        peer.stall()
        waits.callback(None)
        # Some pieces are taken before it is known.
        self.assertLess(len(self.told), 5)
        count = len(self.told)
        self.advance(3)
        self.assertEqual(len(self.told), count)
        peer.reset()
        self.assertIsInstance(self.told[-1], ClientDisconnected)

    def test_anErrorOfTheApps(self) -> None:
        """
        What has nothing to do with the client is logged.
        """
        waits: Deferred[None] = Deferred()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await waits
            raise ValueError("boom")

        self.ask(app, get()).reset()
        waits.callback(None)
        self.assertEqual(self.failed(), ["boom"])

    def test_halfClosed(self) -> None:
        """
        A client that has only ended its direction gets its response.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.wait(scope, receive, send)
            await send(start())
            await send(body(b"late"))

        peer = self.ask(app, get())
        peer.end()
        self.assertEqual(parse(peer.take())[0].body, b"late")
        self.assertClosed(peer)


class LifeTests(AsgiCase):
    """
    How long an app runs.
    """

    def setUp(self) -> None:
        super().setUp()
        self.waits: Deferred[None] = Deferred()

    async def behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Go on after the response.
        """
        await send(start())
        await send(body(scope["path"].encode()))
        if scope["path"] == "/first":
            try:
                await self.waits
            finally:
                self.told.append("ended")

    def test_goesOn(self) -> None:
        """
        The next requests on the connection are answered meanwhile.
        """
        peer = self.ask(self.behind, get("/first"))
        peer.send(get("/second") + get("/third"))
        self.assertEqual([each.body for each in parse(peer.take())], [b"/first", b"/second", b"/third"])
        self.assertEqual(self.told, [])
        self.waits.callback(None)
        self.assertEqual(self.told, ["ended"])

    def test_failsBehind(self) -> None:
        peer = self.ask(self.behind, get("/first"))
        self.waits.errback(ValueError("boom"))
        self.assertEqual(self.status(peer), 200)
        self.assertEqual(self.failed(), ["boom"])
        self.assertOpen(peer)

    def test_drainWaits(self) -> None:
        drained: list[object] = []
        peer = self.ask(self.behind, get("/first"), get("/second"), limits={"drain": 10.0})
        self.server.drain().addCallback(drained.append)
        self.advance(5)
        self.assertClosed(peer)
        self.assertEqual(drained, [])
        self.waits.callback(None)
        self.assertEqual(drained, [None])

    def test_drainCancels(self) -> None:
        """
        Those apart from their connection, too.
        """
        peer = self.ask(self.behind, get("/first"), limits={"drain": 10.0})
        peer.send(get("/first"))
        self.assertEqual(len(self.server.tasks), 2)
        drained: list[object] = []
        self.server.drain().addCallback(drained.append)
        self.advance(9.9)
        self.assertEqual(self.told, [])
        self.advance(0.2)
        self.assertEqual(self.told, ["ended", "ended"])
        self.assertEqual(drained, [None])

    def test_drainEndsByForce(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while True:
                try:
                    await Deferred()
                except GeneratorExit:
                    self.told.append("closed")
                    raise
                except BaseException:
                    self.told.append("ignored")

        self.ask(app, get(), limits={"drain": 1.0})
        drained: list[object] = []
        self.server.drain().addCallback(drained.append)
        self.advance(1.1)
        self.assertEqual(self.told, ["ignored"])
        self.advance(2)
        self.assertEqual(self.told, ["ignored", "closed"])
        self.assertEqual(drained, [None])

    def test_counts(self) -> None:
        """
        Who asks and never reads could have any number run: each that goes on counts as a connection.
        """
        self.app(self.behind, limits={"connections": 2})
        peer = self.connect(get("/first"), get("/second"))
        self.assertFalse(self.server.isFull())
        peer.send(get("/first") + get("/second"))
        self.assertTrue(self.server.isFull())
        self.waits.callback(None)

    def test_countsOnOneConnection(self) -> None:
        """
        When there are as many as may be, the connection that brings more is closed.
        """
        for pipelined in (True, False):
            self.told.clear()
            self.waits = Deferred()
            self.app(self.behind, limits={"connections": 5})
            peer = self.connect(*[get("/first") * 20] if pipelined else ())
            for _ in range(0 if pipelined else 20):
                if not peer.gone:
                    peer.send(get("/first"))
                    self.advance(0.1)
            self.advance(5)
            self.assertClosed(peer)
            self.assertEqual(len(self.server.tasks), len(parse(peer.take())))
            self.assertLessEqual(len(self.server.tasks), 7)
            self.assertFalse(self.server.gate.isOpen())
            self.waits.callback(None)
            self.assertEqual(len(self.server.tasks), 0)
            self.assertTrue(self.server.gate.isOpen())

    def test_deadline(self) -> None:
        """
        C{ServerLimits.handler} holds for apps as well.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self.waits
            finally:
                self.told.append("ended")

        peer = self.ask(app, get(), limits={"handler": 5.0})
        self.advance(4.9)
        self.assertEqual(peer.take(), b"")
        self.advance(1)
        self.assertEqual(self.status(peer), 503)
        self.assertEqual(self.told, ["ended"])

    def test_pipelined(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/slow":
                await deferLater(self.clock, 1)
            await send(start())
            await send(body(scope["path"].encode()))

        peer = self.ask(app, get("/slow") + get("/a") + get("/slow") + get("/b"))
        self.assertEqual(peer.take(), b"")
        self.advance(2)
        self.assertEqual([each.body for each in parse(peer.take())], [b"/slow", b"/a", b"/slow", b"/b"])
