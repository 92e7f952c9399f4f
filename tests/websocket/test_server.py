"""
The server's side, in memory: the handshake, messages, the close, limits and hostile peers.
"""

from __future__ import annotations

import gc
import sys
import weakref
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from tests.server.support import parse
from tests.support import MemoryPeer
from wasinet_twisted.client import webSocket
from wasinet_twisted.errors import BusyError, InvalidArgument, InvalidHandshake, NotSupported, WebSocketClosed
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request, isWebSocket
from wasinet_twisted.websocket import WebSocket, WebSocketLimits, deflate

from .support import ACCEPT, FIELDS, KEY, WebSocketCase, close, frame, handshake, text

CLOSE, PING, PONG = 8, 9, 10
# No pings, where they would disturb.
QUIET = WebSocketLimits(pingInterval=None)


class HandshakeTests(WebSocketCase):
    def test_accepted(self) -> None:
        peer = self.open(
            None, text("early"), subprotocols=["b", "a"], headers={"X": "y"}, fields=("Sec-WebSocket-Protocol: a, c",)
        )
        self.assertTrue(self.head.startswith("HTTP/1.1 101 "))
        for line in (f"Sec-WebSocket-Accept: {ACCEPT}", "Sec-WebSocket-Protocol: a", "X: y", "Upgrade: websocket"):
            self.assertIn(f"\r\n{line}", self.head)
        self.assertNotIn("Extensions", self.head)
        self.assertEqual(self.opened[0].subprotocol, "a")
        self.assertEqual(self.take(peer), [(1, b"early")])

    def refused(self, data: bytes, **options: Any) -> WasiResponse:
        seen: list[bool] = []

        async def handle(request: Request) -> None:
            seen.append(isWebSocket(request))
            with self.assertRaises(InvalidHandshake):
                await request.webSocket(**options)
            await request.webSocket(**options)

        self.serve(handle)
        peer = self.connect(data)
        (response,) = parse(peer.take(), "GET")
        self.clock.advance(5)
        self.assertTrue(peer.gone)
        self.isAsked = seen[0]
        return response

    def test_refused(self) -> None:
        """
        RFC 6455 section 4.2.1, each of its points.
        """
        upgrade, connection, key, version = FIELDS
        for asks, fields in (
            ((upgrade, connection, version), ()),
            ((upgrade, connection, version), ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ==",)),
            ((upgrade, connection, version), ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",)),
            ((upgrade, connection, version), (f"Sec-WebSocket-Key: {KEY[:-4]}!Q==",)),
            (FIELDS, (key,)),
            (FIELDS, ("Sec-WebSocket-Protocol: a b",)),
            (FIELDS, ("Sec-WebSocket-Protocol: a,",)),
            (FIELDS, ("Sec-WebSocket-Protocol: a, a",)),
            (FIELDS, ("Sec-WebSocket-Extensions: ;",)),
            (FIELDS, ("Sec-WebSocket-Extensions: x" + " " * 500, "Sec-WebSocket-Extensions: x" + ",y" * 512)),
            (FIELDS, ("Sec-WebSocket-Extensions: permessage-deflate; a=",)),
            (FIELDS, ("Origin: https://a.example", "Origin: https://b.example")),
        ):
            response = self.refused(handshake(*fields, asks=asks))
            self.assertEqual(response.status, 400, fields)
            self.assertTrue(self.isAsked)

    def test_refusedShortly(self) -> None:
        """
        The answer doesn't say again all that was sent.
        """
        upgrade, connection, key, version = FIELDS
        long = "x" * 20_000
        for asks in (
            (upgrade, connection, key, f"Sec-WebSocket-Version: {long}"),
            (upgrade, connection, version, f"Sec-WebSocket-Key: {long}"),
            (*FIELDS, f"Sec-WebSocket-Protocol: ,{long}"),
            (*FIELDS, f"Sec-WebSocket-Protocol: x, x, {long}"),
            (*FIELDS, f"Sec-WebSocket-Extensions: {long}"),
            (*FIELDS, f"Origin: {long}"),
        ):
            self.assertLess(len(self.refused(handshake(asks=asks), origins=[]).body), 300)

    def test_refusedVersion(self) -> None:
        upgrade, connection, key, version = FIELDS
        for versions in ((), ("Sec-WebSocket-Version: 8",), (version, version), ("Sec-WebSocket-Version: 13, 8",)):
            response = self.refused(handshake(asks=(upgrade, connection, key, *versions)))
            self.assertEqual((response.status, response.headers["Sec-WebSocket-Version"]), (426, "13"))

    def test_refusedRequest(self) -> None:
        """
        It asks for something else.
        """
        for asks, status in (
            ((), 426),
            (FIELDS[1:], 426),
            (("Upgrade: h2c", *FIELDS[1:]), 426),
            ((FIELDS[0], "Connection: close", *FIELDS[2:]), 426),
        ):
            response = self.refused(handshake(asks=asks))
            self.assertEqual((response.status, response.headers["Upgrade"]), (status, "websocket"))
            self.assertFalse(self.isAsked)
        self.assertEqual(self.refused(handshake("Content-Length: 0", method="POST")).status, 400)
        self.assertEqual(self.refused(handshake(version="HTTP/1.0")).status, 400)

    def test_origins(self) -> None:
        """
        A page of another site may not; who sends no Origin is no browser.
        """
        origins = ["https://Example.org"]
        self.assertEqual(self.refused(handshake("Origin: https://evil.example"), origins=origins).status, 403)
        self.assertEqual(self.refused(handshake("Origin: null"), origins=origins).status, 403)
        for fields in ((), ("Origin: https://example.ORG",)):
            self.open(fields=fields, origins=origins)

    def test_arguments(self) -> None:
        errors: list[Exception] = []

        async def handle(request: Request) -> WasiResponse:
            for options in (
                {"subprotocols": "chat"},
                {"subprotocols": ["a b"]},
                {"subprotocols": ["a", "a"]},
                {"origins": "https://example.org"},
                {"limits": 5},
                {"headers": {"Sec-WebSocket-Accept": "x"}},
            ):
                try:
                    await request.webSocket(**options)  # type: ignore[arg-type]
                except InvalidArgument as error:
                    errors.append(error)
            return WasiResponse(body="none")

        self.serve(handle)
        peer = self.connect(handshake())
        self.assertEqual(parse(peer.take())[0].body, b"none")
        self.assertEqual(len(errors), 6)

    def test_cuts(self) -> None:
        """
        Byte by byte, it is the same; cut off anywhere, it leaves nothing behind.
        """
        self.open().reset()
        data = handshake() + text("a") + frame(PING, b"b") + text("c" * 200) + close(1000)
        peer = self.connect()
        for number in range(len(data)):
            peer.send(data[number : number + 1])
        self.assertTrue(peer.take().endswith(close(1000, masked=False)))
        self.assertEqual(self.heard, ["a", "c" * 200])
        for ends in ("end", "reset"):
            for at in range(len(data)):
                peer = self.connect()
                peer.send(data[:at])
                getattr(peer, ends)()
                if at < len(data) - 1:
                    peer.take()
                self.clock.advance(11)
                self.assertTrue(peer.gone, at)
        self.assertEqual(self.server.webSockets, {})


class MissingTests(WebSocketCase):
    def test_missing(self) -> None:
        """
        Without the extra, it is said what to install.
        """

        async def handle(request: Request) -> WasiResponse:
            with patch.dict(sys.modules, {"websockets.frames": None}):
                error = self.failureResultOf(request.webSocket(), NotSupported).value
                self.assertRaises(NotSupported, webSocket, "ws://x/")
            return WasiResponse(body=str(error))

        self.serve(handle)
        peer = self.connect(handshake())
        self.assertIn(b"pip install 'wasinet_twisted[ws]'", parse(peer.take())[0].body)


class MessageTests(WebSocketCase):
    def test_messages(self) -> None:
        peer = self.open()
        for opcode, payload, message in (
            (1, "é".encode(), "é"),
            (2, b"\xff", b"\xff"),
            (1, b"", ""),
            (2, b"", b""),
            (1, b"a" * 125, "a" * 125),
            (1, b"a" * 126, "a" * 126),
            (2, b"a" * 65535, b"a" * 65535),
            (2, b"a" * 65536, b"a" * 65536),
        ):
            peer.send(frame(opcode, payload))
            self.assertEqual(self.take(peer), [(opcode, payload)])
            self.assertEqual(self.heard.pop(), message)

    def test_fragments(self) -> None:
        """
        Control frames may come between them.
        """
        peer = self.open()
        peer.send(frame(1, b"\xc3", fin=False) + frame(PING, b"p") + frame(0, b"", fin=False) + frame(0, b"\xa9"))
        self.assertEqual(self.take(peer), [(PONG, b"p"), (1, "é".encode())])
        peer.send(frame(2, b"a", fin=False) + close(1000, "enough"))
        self.assertEqual(self.take(peer), [(CLOSE, b"\x03\xe8enough")])
        self.assertEqual((self.opened[0].closeCode, self.opened[0].closeReason), (1000, "enough"))

    def failed(self, code: int, *sent: bytes, limits: WebSocketLimits = QUIET, fields: tuple[str, ...] = ()) -> str:
        """
        What is not valid is answered with a Close frame, and the connection ends: from then on nothing is read.
        """
        peer = self.open(limits=limits, fields=fields)
        before = len(self.heard)
        peer.send(b"".join(sent) + text("never read"))
        opcode, payload = self.take(peer)[-1]
        self.assertEqual((opcode, int.from_bytes(payload[:2], "big")), (CLOSE, code))
        peer.send(text("nor this"))
        self.assertEqual(len(self.heard), before)
        self.assertIsInstance(self.ended[-1], WebSocketClosed)
        self.assertEqual(self.opened[-1].closeCode, code)
        peer.end()
        self.assertTrue(peer.gone)
        return payload[2:].decode()

    def test_notValid(self) -> None:
        for sent in (
            text("unmasked", masked=False),
            frame(3),
            frame(11),
            text("", rsv=4),
            text("", rsv=2),
            frame(PING, rsv=1),
            frame(PING, fin=False),
            frame(PING, b"a" * 126),
            frame(0, b"continues nothing"),
            text("a", fin=False) + text("b"),
            frame(CLOSE, b"\x03"),
            close(999),
            close(1005),
            close(1006),
            close(2999),
        ):
            self.failed(1002, sent)
        for sent in (
            frame(1, b"\xff"),
            frame(1, b"\xc3", fin=False) + frame(0, b"("),
            frame(1, b"\xc3"),
            close(1000)[:-2] + b"",
        ):
            if sent[0] & 15 == 1:
                self.failed(1007, sent)
        self.failed(1007, frame(CLOSE, b"\x03\xe8\xff"))

    def test_limits(self) -> None:
        """
        From both sides; what a head says counts, before the rest comes.
        """
        limits = WebSocketLimits(message=10, frame=6, pingInterval=None)
        peer = self.open(limits=limits)
        peer.send(text("a" * 6) + text("b" * 6, fin=False) + frame(PING, b"longer than all") + frame(0, b"c" * 4))
        self.assertEqual([payload for _, payload in self.take(peer)], [b"aaaaaa", b"longer than all", b"bbbbbbcccc"])
        for sent in (text("a" * 7), text("a" * 6, fin=False) + frame(0, b"b" * 5), text("a" * 7)[:2]):
            self.assertIn("10", self.failed(1009, sent, limits=limits))
        self.failed(1009, b"\x82\xff" + (2**62).to_bytes(8, "big"))

    def test_bomb(self) -> None:
        """
        What it would decompress to counts.
        """
        packing = zlib.compressobj(wbits=-12)
        bomb = packing.compress(bytes(1024 * 1024 + 1)) + packing.flush(zlib.Z_SYNC_FLUSH)
        self.assertLess(len(bomb), 3000)
        offer = ("Sec-WebSocket-Extensions: permessage-deflate",)
        self.failed(1009, frame(2, bomb[:-4], rsv=4), fields=offer)
        self.failed(1009, frame(2, bomb[:-4], rsv=4, fin=False), frame(0, b""), fields=offer)
        self.failed(1002, frame(2, b"no deflate", rsv=4), fields=offer)

    def test_compressed(self) -> None:
        peer = self.open(fields=("Sec-WebSocket-Extensions: x, permessage-deflate; nonsense, permessage-deflate",))
        self.assertIn("Sec-WebSocket-Extensions: permessage-deflate", self.head)
        self.assertNotIn("nonsense", self.head)
        packing, unpacking = zlib.compressobj(wbits=-12), zlib.decompressobj(wbits=-15)
        for _ in range(2):
            packed = (packing.compress(b"hello" * 50) + packing.flush(zlib.Z_SYNC_FLUSH))[:-4]
            peer.send(frame(1, packed, rsv=4))
            ((opcode, payload),) = self.take(peer)
            self.assertEqual((opcode, unpacking.decompress(payload + b"\0\0\xff\xff")), (1, b"hello" * 50))
        # Each message says whether it is compressed.
        peer.send(text("plain"))
        self.assertEqual(self.heard[-1], "plain")
        peer = self.open(fields=("Sec-WebSocket-Extensions: permessage-deflate",), compression=False)
        self.assertNotIn("Extensions", self.head)

    def test_windows(self) -> None:
        """
        An offer with a window that zlib can't make is declined, also where C{websockets} would take it, as 13 does.
        """
        asked = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8"
        taken = SimpleNamespace(
            remote_no_context_takeover=False,
            local_no_context_takeover=True,
            remote_max_window_bits=12,
            local_max_window_bits=8,
        )
        for options in (
            {},
            {"return_value": ([], taken)},
            {"side_effect": ValueError("Invalid initialization option")},
        ):
            with patch.object(deflate._server, "process_request_params", **options) if options else nullcontext():
                peer = self.open(fields=(asked,))
            self.assertNotIn("Extensions", self.head)
            peer.send(text("a"))
            self.assertEqual(self.take(peer), [(1, b"a")])

    def test_cuts(self) -> None:
        """
        However they are cut, the same messages come.
        """
        sent = text("a") + frame(2, b"b" * 300) + text("c", fin=False) + frame(PING) + frame(0, b"d" * 70) + text("e")
        for size in (1, 2, 3, 5, 7, 64, 1000):
            self.heard.clear()
            peer = self.open()
            for at in range(0, len(sent), size):
                peer.send(sent[at : at + size])
            self.assertEqual(self.heard, ["a", b"b" * 300, "c" + "d" * 70, "e"])

    def test_backpressure(self) -> None:
        """
        While nobody receives, the peer is held back; nothing is lost, and the order is kept.
        """
        gate: Deferred[None] = Deferred()

        async def late(ws: WebSocket) -> None:
            await gate
            await self.echo(ws)

        peer = self.open(late, limits=WebSocketLimits(queue=4, pingInterval=None))
        for number in range(3000):
            peer.send(text(f"{number:>100}"))
        held = self.opened[0]._session
        self.assertEqual(len(held._messages._queue or ()), 4)
        self.assertLessEqual(held._protocol.unreadBytes(), 2 * 65536)
        self.assertTrue(held._protocol._readPaused)
        gate.callback(None)
        peer.settle()
        self.clock.pump([0] * 100)
        peer.settle()
        self.assertEqual([int(message) for message in self.heard], list(range(3000)))

    def test_turns(self) -> None:
        """
        Many small frames that come together leave others their turn.
        """
        turns: list[object] = []
        callLater = self.clock.callLater
        self.patch(self.clock, "callLater", lambda *asked: turns.append(asked[1]) or callLater(*asked))
        for sent in (frame(PING, b"x"), frame(0, b"", fin=False), text("a")):
            peer = self.open(limits=QUIET)
            peer.send(text("", fin=False) if sent[0] == 0 else b"")
            before = len(turns)
            peer.send(sent * 4000)
            self.assertGreaterEqual(len(turns) - before, 4000 // 256)
            peer.take()

    def test_turnsWhileClosing(self) -> None:
        """
        The same for messages that nobody will receive, 400 KiB from 400 bytes each: they are decompressed all the same.
        """
        turns: list[object] = []
        callLater = self.clock.callLater
        peer = self.open(limits=QUIET, fields=("Sec-WebSocket-Extensions: permessage-deflate",))
        self.opened[0].close()
        self.patch(self.clock, "callLater", lambda *asked: turns.append(asked[1]) or callLater(*asked))
        deflate = zlib.compressobj(wbits=-15)
        packed = [deflate.compress(bytes(400 * 1024)) + deflate.flush(zlib.Z_SYNC_FLUSH) for _ in range(40)]
        peer.send(b"".join(frame(2, each[:-4], rsv=4) for each in packed))
        peer.settle()
        self.assertEqual(self.opened[0]._session.state, 1)
        self.assertGreaterEqual(len(turns), 40 // 3)

    def test_pongsAreBounded(self) -> None:
        """
        A peer that pings and reads nothing gets one pong for those that wait.
        """
        peer = self.open(limits=QUIET)
        peer.stall()
        for number in range(1000):
            peer.send(frame(PING, b"%d" % number))
        peer.flow()
        self.assertEqual(self.take(peer), [(PONG, b"999")])

    def test_sending(self) -> None:
        """
        Awaited, it waits for the peer. What can't be sent is refused.
        """
        waits: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            for wrong in (5, None, "\ud800", ["a"]):
                self.assertRaises(InvalidArgument, ws.send, wrong)
            waits.append(ws.receive())
            self.failureResultOf(ws.receive(), BusyError)
            waits.pop().addErrback(lambda failure: None).cancel()
            await ws.send(bytearray(b"a"))
            await ws.send(memoryview(b"b"))
            self.assertEqual(await ws.receive(), "go")
            peer.stall()
            sending = ws.send("c" * 100_000)
            self.assertFalse(sending.called)
            waits.append(sending)
            await sending

        peer = self.open(handler)
        for wait in waits:
            wait.addErrback(lambda _: None)
        self.assertEqual(self.take(peer), [(2, b"a"), (2, b"b")])
        peer.send(text("go"))
        self.assertEqual(self.ended, [])
        peer.flow()
        self.assertEqual(self.ended, [None])


class CloseTests(WebSocketCase):
    def test_byPeer(self) -> None:
        for sent, code, reason in (
            (close(1000, "bye"), 1000, "bye"),
            (close(4999), 4999, ""),
            (frame(CLOSE), 1005, ""),
        ):
            peer = self.open()
            peer.send(text("a") + sent)
            self.assertEqual([opcode for opcode, _ in self.take(peer)], [1, CLOSE])
            error = self.ended.pop()
            assert isinstance(error, WebSocketClosed)
            self.assertEqual((error.code, error.reason), (code, reason))
            self.assertTrue(peer.gone)
            self.assertEqual(self.server.webSockets, {})

    def test_accessLog(self) -> None:
        """
        A WebSocket has its line when it has ended, with the time that it was open. Without a Close frame it was
        aborted.
        """

        def drain(peer: MemoryPeer) -> None:
            self.server.drain(5)
            peer.send(close(1012))

        def abort(peer: MemoryPeer) -> None:
            self.opened[-1].abort()
            peer.settle()

        ways: tuple[tuple[Callable[[MemoryPeer], object], bool], ...] = (
            (lambda peer: peer.send(close(1000)), True),
            (drain, True),
            (MemoryPeer.end, False),
            (MemoryPeer.reset, False),
            (abort, False),
        )
        for end, complete in ways:
            lines: list[tuple[Any, ...]] = []
            log: Any = SimpleNamespace(answered=lambda *told: lines.append(told[2:6]), flush=lambda: None)  # noqa: B023
            serve = self.serve
            with patch.object(self, "serve", lambda handler: setattr(serve(handler), "accessLog", log)):  # noqa: B023
                peer = self.open()
            peer.send(text("a"))
            peer.link.advance(2.5)
            self.assertEqual(lines, [])
            end(peer)
            peer.link.advance(0)
            self.assertEqual(lines, [(101, 0, 2.5, complete)])

    def test_handlerEnds(self) -> None:
        """
        It returns: 1000. It raises: 1011, and that is logged.
        """

        async def returns(ws: WebSocket) -> None:
            await ws.receive()

        async def fails(ws: WebSocket) -> None:
            await ws.receive()
            raise ZeroDivisionError

        for handler, code in ((returns, 1000), (fails, 1011)):
            peer = self.open(handler)
            peer.send(text("a"))
            self.assertEqual(self.take(peer), [(CLOSE, code.to_bytes(2, "big"))])
            self.assertFalse(peer.gone)
            peer.send(text("too late") + close(code))
            self.assertTrue(peer.gone)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), code == 1011)

    def test_byUs(self) -> None:
        """
        Those who go on with it are told.
        """
        done: list[str] = []

        async def handler(ws: WebSocket) -> None:
            for wrong in (999, 1004, 1005, 1006, 1015, 2000, 5000, True, "1000"):
                self.assertRaises(InvalidArgument, ws.close, wrong)
            self.assertRaises(InvalidArgument, ws.close, 1000, "a" * 124)
            receiving = ws.receive()
            closed = ws.close(3000, "a" * 123)
            self.failureResultOf(receiving, WebSocketClosed)
            self.assertRaises(WebSocketClosed, ws.send, "late")
            self.assertRaises(WebSocketClosed, ws.ping)
            async for _ in ws:
                done.append("received")
            for _ in range(200):
                with self.assertRaises(WebSocketClosed):
                    await ws.receive()
            await closed
            done.append("closed")

        peer = self.open(handler)
        ((opcode, payload),) = self.take(peer)
        self.assertEqual((opcode, payload), (CLOSE, b"\x0b\xb8" + b"a" * 123))
        self.assertEqual(done, [])
        peer.send(close(3000))
        self.assertEqual(done, ["closed"])
        self.assertEqual((self.opened[0].closeCode, self.opened[0].closeReason), (3000, "a" * 123))

    def test_neverAnswered(self) -> None:
        """
        A close has a deadline.
        """

        async def handler(ws: WebSocket) -> None:
            await ws.close()

        peer = self.open(handler, limits=WebSocketLimits(closeTimeout=3))
        self.clock.advance(2.9)
        self.assertFalse(peer.gone)
        self.clock.advance(0.2)
        self.assertTrue(peer.gone and peer.aborted)
        # The same of a peer that goes on sending after it has failed.
        peer = self.open(limits=WebSocketLimits(closeTimeout=3))
        peer.send(frame(3))
        for _ in range(31):
            peer.send(text("a"))
            self.clock.advance(0.1)
        self.assertTrue(peer.gone)

    def test_vanishes(self) -> None:
        for ends in ("end", "reset"):
            for halfClose in (True, False):
                peer = self.open(halfClose=halfClose)
                peer.send(text("a", fin=False))
                getattr(peer, ends)()
                error = self.ended.pop()
                assert isinstance(error, WebSocketClosed)
                self.assertEqual((error.code, self.opened[-1].closeCode), (1006, 1006))
                self.clock.advance(0.1)
                self.assertTrue(peer.gone)

    def test_halfOpen(self) -> None:
        """
        A peer that is gone without a word is found by a ping; one that answers stays.
        """
        peer = self.open(limits=WebSocketLimits(pingInterval=10, pingTimeout=5, closeTimeout=1))
        for _ in range(4):
            self.clock.advance(10)
            for opcode, payload in self.take(peer):
                self.assertEqual(opcode, PING)
                peer.send(frame(PONG, payload))
        self.assertEqual(self.ended, [])
        self.take(peer)
        peer.link.vanish()
        self.clock.pump([1] * 26)
        error = self.ended.pop()
        assert isinstance(error, WebSocketClosed)
        self.assertEqual(error.code, 1011)
        self.assertTrue(peer.gone)

    def test_ping(self) -> None:
        results: list[float] = []

        async def handler(ws: WebSocket) -> None:
            first, second = ws.ping(), ws.ping()
            third = ws.ping()
            first.addCallback(results.append)
            second.addCallback(results.append)
            third.addErrback(lambda failure: failure.trap(WebSocketClosed) and results.append(-1.0))
            await ws.receive()

        peer = self.open(handler)
        _, (_, second), _ = self.take(peer)
        self.clock.advance(0.5)
        peer.send(frame(PONG, b"unasked") + frame(PONG, second))
        self.assertEqual(results, [0.5, 0.5])
        peer.send(close(1000))
        self.assertEqual(results, [0.5, 0.5, -1.0])

    def test_pingWhileNobodyReceives(self) -> None:
        """
        A peer that is held back, and goes: whoever waits for its pong is told, and whoever asks for the next one.
        """
        results: list[object] = []

        async def handler(ws: WebSocket) -> None:
            ws.ping().addErrback(lambda failure: failure.trap(WebSocketClosed) and results.append(-1.0))
            await waits
            with self.assertRaises(WebSocketClosed):
                await ws.ping()

        waits: Deferred[None] = Deferred()
        peer = self.open(handler, *[text("x")] * 40, limits=QUIET)
        peer.reset()
        self.clock.advance(1)
        self.assertEqual(results, [-1.0])
        waits.callback(None)
        self.assertEqual(self.ended, [None])

    def test_pingsThatNobodyAnswers(self) -> None:
        """
        A peer that sends now and then, and no pong, doesn't make them gather.
        """
        peer = self.open(limits=WebSocketLimits(pingInterval=10, pingTimeout=20))
        pings = self.opened[0]._session._pings
        for _ in range(50):
            self.clock.advance(10)
            peer.send(frame(PONG, b"unasked"))
            self.clock.advance(10)
        self.assertGreater(pings._count, 10)
        self.assertEqual(len(pings._waiting or ()), 1)

    def test_sendWhileNobodyReceives(self) -> None:
        """
        What waits to be sent is too much, which resets the connection: a send() that is not awaited doesn't raise.
        """
        waits: Deferred[None] = Deferred()
        peer = self.open(lambda ws: waits, *[text("x")] * 40, limits=QUIET)
        peer.stall()
        for _ in range(18):
            sent = self.opened[0].send(bytes(1024 * 1024))
        self.failureResultOf(sent, WebSocketClosed)
        self.flushLoggedErrors()
        waits.callback(None)

    def test_goneWhileHeldBack(self) -> None:
        """
        A peer may go while so many of its messages wait that nothing is read. That the next send() fails is no failure
        of the handler's: the log has one line, which names the peer.
        """
        waits: Deferred[None] = Deferred()

        async def handler(ws: WebSocket) -> None:
            await waits
            await self.echo(ws)

        peer = self.open(handler, *[text("x")] * 40, limits=QUIET)
        peer.reset()
        with capturedLogs() as events:
            waits.callback(None)
        (error,) = self.ended
        self.assertIsInstance(error, WebSocketClosed)
        (line,) = map(formatEvent, events)
        self.assertRegex(
            line, "^the handler of the WebSocket with 192.0.2.1:[0-9]+ ended: the WebSocket is closed with code 1006"
        )
        self.assertEqual((self.server.webSockets, self.opened[0].closeCode), ({}, 1006))

    def test_abort(self) -> None:
        async def handler(ws: WebSocket) -> None:
            await ws.receive()
            ws.abort()
            with self.assertRaises(WebSocketClosed):
                await ws.receive()

        peer = self.open(handler)
        peer.send(text("a"))
        self.assertTrue(peer.gone and peer.aborted)
        self.assertEqual((self.ended, self.opened[0].closeCode), ([None], 1006))

    def test_unawaited(self) -> None:
        """
        What waits to be sent is bounded.
        """

        peer = self.open(lambda ws: ws.receive())
        peer.stall()
        for _ in range(16):
            self.opened[0].send(bytes(1024 * 1024 - 16))
        self.assertFalse(peer.gone)
        sending = self.opened[0].send(bytes(1024 * 1024))
        self.failureResultOf(sending, WebSocketClosed)
        peer.settle()
        self.assertTrue(peer.gone)

    def test_drain(self) -> None:
        """
        They are closed with 1012, and their handlers are told.
        """
        peer = self.open()
        drained = self.server.drain(5)
        self.assertEqual(self.take(peer), [(CLOSE, b"\x03\xf4service restart")])
        error = self.ended.pop()
        assert isinstance(error, WebSocketClosed)
        self.assertEqual(error.code, 1012)
        self.assertNoResult(drained)
        peer.send(close(1012))
        self.clock.advance(0)
        self.successResultOf(drained)

    def test_openedWhileDraining(self) -> None:
        """
        A request for a WebSocket that was in flight opens one that is closed with 1012 at once.
        """
        waits: Deferred[None] = Deferred()
        codes: list[int | None] = []

        async def handle(request: Request) -> None:
            await waits
            ws = await request.webSocket()
            async for _ in ws:
                self.fail("it is closed")
            codes.append(ws.closeCode)

        self.serve(handle)
        peer = self.connect(handshake())
        drained = self.server.drain(20)
        waits.callback(None)
        self.assertEqual(codes, [1012])
        self.assertTrue(peer.take().endswith(b"\x88\x11\x03\xf4service restart"))
        peer.send(close(1012))
        self.clock.advance(0)
        self.successResultOf(drained)

    def test_drainDeadline(self) -> None:
        """
        A peer that doesn't answer, and a handler that takes no notice, are not waited for.
        """

        async def handler(ws: WebSocket) -> None:
            await Deferred()

        peer = self.open(handler)
        drained = self.server.drain(5)
        self.clock.pump([1] * 8)
        self.successResultOf(drained)
        self.assertTrue(peer.gone)

    def test_forgotten(self) -> None:
        """
        A WebSocket that nobody holds is closed.
        """
        waits: Deferred[None] = Deferred()

        async def handle(request: Request) -> None:
            await request.webSocket()
            await waits

        self.serve(handle)
        peer = self.connect(handshake())
        peer.settle()
        self.assertTrue(peer.take().endswith(close(1001, masked=False)))
        waits.callback(None)

    def test_forgetsCompression(self) -> None:
        """
        What compression takes goes with the connection, whatever keeps the handle, and without the garbage collector.
        """
        self.addCleanup(gc.enable)
        gc.disable()
        for end in (
            lambda peer: peer.send(close(1000)),
            lambda peer: peer.reset(),
            lambda peer: self.opened[-1].abort(),
        ):
            peer = self.open(fields=("Sec-WebSocket-Extensions: permessage-deflate",))
            peer.send(text("a"))
            kept = weakref.ref(self.opened[-1]._session._writer._deflate.extensions()[0])  # type: ignore[union-attr]
            end(peer)
            self.clock.advance(0.1)
            # The traceback of the exception has the frames in it.
            self.ended.clear()
            self.assertIsNone(kept())

    def test_statistics(self) -> None:
        peer = self.open()
        self.assertEqual(self.server.statistics.inFlight, 0)
        self.assertEqual(self.server.statistics.statuses[101], 1)
        peer.send(close(1000))
