"""
What the tests of WebSocket share: frames by hand, and a server in memory that a peer speaks to by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.server.support import MemoryServerCase
from tests.support import MemoryPeer
from wasinet_twisted.server import Request
from wasinet_twisted.websocket import WebSocket, WebSocketLimits

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# RFC 6455 section 1.3.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"\x01\x02\x03\x04"

FIELDS = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")


def handshake(*fields: str, asks: tuple[str, ...] = FIELDS, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join((f"{method} /ws {version}", "Host: x", *asks, *fields, "", "")).encode("latin-1")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """
    A frame by hand.
    """
    size = len(payload)
    first = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    bit = 0x80 if masked else 0
    if size < 126:
        length = bytes((bit | size,))
    elif size < 65536:
        length = bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((bit | 127,)) + size.to_bytes(8, "big")
    if not masked:
        return first + length + payload
    return first + length + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def text(payload: str, **options: Any) -> bytes:
    return frame(1, payload.encode(), **options)


def close(code: int, reason: str = "", **options: Any) -> bytes:
    return frame(8, code.to_bytes(2, "big") + reason.encode(), **options)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """
    The frames that a server has sent, none of them masked: opcodes and payloads.
    """
    found = []
    while data:
        size, at = data[1], 2
        assert size < 0x80
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        assert len(data) >= at + size, data
        found.append((data[0] & 0x0F, data[at : at + size]))
        data = data[at + size :]
    return found


class WebSocketCase(MemoryServerCase):
    """
    A server whose handler opens a WebSocket, and a peer that speaks by hand.

    @ivar opened: those that are open, or have been.
    @ivar heard: what has been received.
    @ivar ended: how the handlers have ended.
    """

    def setUp(self) -> None:
        super().setUp()
        self.opened: list[WebSocket] = []
        self.heard: list[str | bytes] = []
        self.ended: list[object] = []

    def tearDown(self) -> None:
        for peer in self.peers:
            peer.reset()
        # The references would close them.
        self.opened.clear()
        super().tearDown()

    async def echo(self, ws: WebSocket) -> None:
        while True:
            message = await ws.receive()
            self.heard.append(message)
            await ws.send(message)

    def open(
        self,
        handler: Callable[[WebSocket], Any] | None = None,
        *sent: bytes,
        limits: WebSocketLimits | None = None,
        fields: tuple[str, ...] = (),
        halfClose: bool = True,
        **options: Any,
    ) -> MemoryPeer:
        """
        Serve, connect, and make the handshake.
        """
        settings = dict(options)
        if limits is not None:
            settings["limits"] = limits

        async def handle(request: Request) -> None:
            ws = await request.webSocket(**settings)
            self.opened.append(ws)
            try:
                await (handler or self.echo)(ws)
            except BaseException as error:
                self.ended.append(error)
                raise
            self.ended.append(None)

        self.serve(handle)
        peer = self.connect(handshake(*fields) + b"".join(sent), halfClose=halfClose)
        head, end, self.rest = peer.take().partition(b"\r\n\r\n")
        assert end, head
        self.head = head.decode("latin-1")
        return peer

    def take(self, peer: MemoryPeer) -> list[tuple[int, bytes]]:
        """
        The frames that have come.
        """
        rest, self.rest = self.rest, b""
        return frames(rest + peer.take())
