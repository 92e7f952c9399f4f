"""
The messages of a WebSocket. The time is a Clock's; the client is ours.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.asgi import AsgiApp
from wasinet_twisted.asgi.interfaces import Message, Receive, Scope, Send
from wasinet_twisted.client.websocket import webSocket
from wasinet_twisted.errors import ClientDisconnected, LocalProtocolError, WebSocketClosed, WebSocketRefused
from wasinet_twisted.testing import MemoryOrigin

from .support import AsgiCase

ACCEPT: Message = {"type": "websocket.accept"}

HANDSHAKE = (
    b"GET /a?b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: %b\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: one, two\r\n\r\n"
)


class WebSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[Any] = []
        self.origins: list[MemoryOrigin] = []

    def tearDown(self) -> None:
        for origin in self.origins:
            origin.close()

    def serve(self, app: Any) -> MemoryOrigin:
        origin = MemoryOrigin(lambda request: self.made(request), clock=None)
        self.made = AsgiApp(app, reactor=origin.clock)
        self.origins.append(origin)
        return origin

    def opened(self, app: Any, **options: Any) -> tuple[MemoryOrigin, Any]:
        origin = self.serve(app)
        return origin, origin.run(
            webSocket("ws://origin.test/a?b", pool=origin.pool(), reactor=origin.clock, **options)
        )

    async def echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.told.append(await receive())
        await send(ACCEPT)
        while True:
            message = await receive()
            self.told.append(message)
            if message["type"] == "websocket.disconnect":
                break
            await send({**message, "type": "websocket.send"})

    def test_messages(self) -> None:
        origin, ws = self.opened(self.echo)
        for each in ("text€", b"bytes\0", "", b""):
            origin.run(ws.send(each))
            self.assertEqual(origin.run(ws.receive()), each)
        origin.run(ws.close(4001, "enough"))
        self.assertEqual(
            self.told,
            [
                {"type": "websocket.connect"},
                {"type": "websocket.receive", "text": "text€"},
                {"type": "websocket.receive", "bytes": b"bytes\0"},
                {"type": "websocket.receive", "text": ""},
                {"type": "websocket.receive", "bytes": b""},
                {"type": "websocket.disconnect", "code": 4001, "reason": "enough"},
            ],
        )

    def test_subprotocolAndFields(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.told.append(scope)
            await receive()
            await send({**ACCEPT, "subprotocol": "two", "headers": [(b"x-a", b"b")]})
            await receive()

        _, ws = self.opened(app, subprotocols=["one", "two"])
        self.assertEqual(ws.subprotocol, "two")
        (scope,) = self.told
        self.assertNotIn("method", scope)
        self.assertEqual((scope["type"], scope["scheme"], scope["path"]), ("websocket", "ws", "/a"))
        self.assertEqual(
            (scope["subprotocols"], scope["extensions"]), (["one", "two"], {"websocket.http.response": {}})
        )
        ws.abort()

    def test_theAppCloses(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            await send({"type": "websocket.close", "code": 3000, "reason": "done"})
            self.told.append(await receive())
            try:
                await send({"type": "websocket.send", "text": "late"})
            except OSError as error:
                self.told.append(error)

        origin, ws = self.opened(app)
        origin.run(ws.whenClosed())
        self.assertEqual((ws.closeCode, ws.closeReason), (3000, "done"))
        self.assertEqual(self.told[0], {"type": "websocket.disconnect", "code": 3000, "reason": "done"})
        self.assertIsInstance(self.told[1], ClientDisconnected)

    def test_returns(self) -> None:
        """
        An app that ends closes its WebSocket: 1000 if it returns, 1011 if it raises.
        """

        async def returns(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)

        async def raises(scope: Scope, receive: Receive, send: Send) -> None:
            await returns(scope, receive, send)
            raise ValueError("boom")

        async def fails(scope: Scope, receive: Receive, send: Send) -> None:
            # It has sent to another one.
            await returns(scope, receive, send)
            raise ClientDisconnected("another one has gone")

        async def cancelsItself(scope: Scope, receive: Receive, send: Send) -> None:
            await returns(scope, receive, send)
            raise CancelledError

        for app, code, logged in ((returns, 1000, 0), (raises, 1011, 1), (fails, 1011, 1), (cancelsItself, 1011, 1)):
            origin, ws = self.opened(app)
            origin.run(ws.whenClosed())
            self.assertEqual(ws.closeCode, code)
            self.assertEqual(len(self.flushLoggedErrors()), logged)

    def test_theClientGoes(self) -> None:
        origin, ws = self.opened(self.echo)
        ws.abort()
        origin.run(ws.whenClosed())
        self.assertEqual(self.told[-1], {"type": "websocket.disconnect", "code": 1006, "reason": ""})

    def test_drain(self) -> None:
        origin, ws = self.opened(self.echo)
        drained = origin.server.drain(5)
        failure = self.assertRaises(WebSocketClosed, origin.run, ws.receive())
        self.assertEqual(failure.code, 1012)
        origin.run(drained)
        self.assertEqual((self.told[-1]["type"], self.told[-1]["code"]), ("websocket.disconnect", 1012))

    def denied(self, *messages: Message) -> WebSocketRefused:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            for message in messages:
                await send(message)
            self.told.append(await receive())

        origin = self.serve(app)
        opening = webSocket("ws://origin.test/", pool=origin.pool(), reactor=origin.clock)
        return self.assertRaises(WebSocketRefused, origin.run, opening)

    def test_closeBeforeAccept(self) -> None:
        self.assertEqual(self.denied({"type": "websocket.close"}).status, 403)
        self.assertEqual(self.told, [{"type": "websocket.disconnect", "code": 1006, "reason": ""}])

    def test_denialResponse(self) -> None:
        begin = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"b")]}
        for bodies in ([{"body": b"who?"}], [{"body": b"wh", "more_body": True}, {"body": b"o?"}]):
            messages = [{"type": "websocket.http.response.body", **each} for each in bodies]
            self.assertEqual(self.denied(begin, *messages).status, 401)


class WrongTests(AsgiCase):
    """
    What is refused before the handshake is done.
    """

    def answer(self, version: bytes, *messages: Message) -> int:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            for message in messages:
                try:
                    await send(message)
                except Exception as error:
                    self.told.append(error)
                    raise

        peer = self.ask(app, HANDSHAKE % version)
        head, _, _ = peer.take().partition(b"\r\n")
        return int(head.split()[1])

    def test_handshake(self) -> None:
        """
        It is the client's fault, so it is told, and nothing is logged.
        """
        self.assertEqual(self.answer(b"12", ACCEPT), 426)
        self.assertIsInstance(self.told[0], ClientDisconnected)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_messages(self) -> None:
        for messages, expected in (
            ([{"type": "websocket.send", "text": "a"}], "'websocket.send' has no place here: websocket.accept or"),
            ([{"type": "http.response.start", "status": 200}], "'http.response.start' has no place here"),
            ([{**ACCEPT, "subprotocol": "three"}], "the client doesn't offer the subprotocol 'three'"),
            ([{**ACCEPT, "headers": [(b"sec-websocket-protocol", b"one")]}], "sec-websocket-protocol"),
            ([{**ACCEPT, "headers": [(b"a", b"b\n")]}], "control character"),
            ([{"type": "websocket.http.response.start", "status": 99}], "from 200 to 599, not 99"),
            ([], "the app has returned without an answer; websocket.accept or websocket.close was to come"),
        ):
            self.assertEqual(self.answer(b"13", *messages), 500, expected)
            self.assertIn(expected, self.failed()[0])

    def test_whenOpen(self) -> None:
        for message, expected in (
            ({"type": "websocket.send"}, "has either text or bytes"),
            ({"type": "websocket.send", "text": "a", "bytes": b"b"}, "has either text or bytes"),
            ({"type": "websocket.send", "text": b"a"}, "the text of websocket.send must be str"),
            (ACCEPT, "'websocket.accept' has no place here: the WebSocket is open"),
        ):
            self.assertEqual(self.answer(b"13", ACCEPT, message), 101)
            self.assertIsInstance(self.told.pop(), LocalProtocolError)
            self.assertIn(expected, self.failed()[0])
            self.advance(10)

    def test_theClientGoesBefore(self) -> None:
        waits: Deferred[None] = Deferred()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.told += [await receive(), await receive()]
            await waits
            try:
                await send(ACCEPT)
            except OSError as error:
                self.told.append(error)

        peer = self.ask(app, HANDSHAKE % b"13")
        peer.reset()
        self.assertEqual(self.told[1], {"type": "websocket.disconnect", "code": 1006, "reason": ""})
        waits.callback(None)
        self.clock.advance(0)
        self.assertIsInstance(self.told[2], ClientDisconnected)
