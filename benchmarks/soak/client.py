"""
The soak's client: as little of HTTP/1.1 and of WebSocket as it needs, and nothing of ours.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

# How long anything may take that an honest client waits for, in seconds; beyond, a request is lost.
PATIENCE = 60.0

# What an exchange may fail with.
FAILURES = (OSError, EOFError, TimeoutError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)

_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

# What makes a close reset the connection: no lingering.
LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Wrong(Exception):
    """
    An answer that isn't what it has to be.
    """


@dataclass(frozen=True)
class Ask:
    """
    A request, and what its answer has to be.

    @ivar kind: what figures are kept by.
    @ivar name: a token that no other request has, in the target.
    @ivar body: the pieces that are sent; L{None}: there is none.
    """

    kind: str
    name: str
    method: str
    target: str
    expected: bytes
    fields: Sequence[str] = ()
    body: Sequence[bytes] | None = None
    chunked: bool = False
    close: bool = False

    def head(self) -> bytes:
        """
        Return it as it is sent.
        """
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: soak.example", *self.fields]
        if self.close:
            lines.append("Connection: close")
        if self.body is not None:
            length = sum(map(len, self.body))
            lines.append("Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class Head:
    """
    An answer's head.
    """

    status: int
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Attempt:
    """
    What the ledger asks of a connection, of one that isn't made yet, too.

    @ivar port: the client's; 0 if it isn't connected.
    @ivar opened: when connecting began, in the loop's seconds.
    """

    opened: float
    port: int = 0
    answers: int = 0
    begun: bool = False

    async def connect(self, port: int, window: int = 0) -> socket.socket:
        """
        Connect.

        @param window: the size of its receive buffer, in bytes; 0: the system's.
        """
        sock = socket.socket()
        try:
            sock.setblocking(False)
            if window:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port)), PATIENCE)
        except BaseException:
            sock.close()
            raise
        self.port = sock.getsockname()[1]
        return sock


class Connection:
    """
    A client's connection.

    @ivar port: its port, by which the server's processes know it.
    @ivar opened: when connecting began, in the loop's seconds.
    @ivar since: when the last answer ended.
    @ivar answers: how many there were.
    @ivar begun: has a byte of the answer come that is waited for?
    @ivar certificate: the server's, DER; empty without TLS.
    """

    def __init__(self, opened: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened = self.since = opened
        self._reader, self._writer = reader, writer
        self.port: int = writer.get_extra_info("sockname")[1]
        self.answers = 0
        self.begun = False
        tls: Any = writer.get_extra_info("ssl_object")
        self.certificate: bytes = tls.getpeercert(binary_form=True) if tls is not None else b""

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None, attempt: Attempt | None = None) -> Connection:
        """
        Connect.

        @param attempt: is told how far this has come.
        """
        attempt = attempt or Attempt(asyncio.get_running_loop().time())
        sock = await attempt.connect(port)
        more: dict[str, Any] = {"ssl": tls, "server_hostname": "", "ssl_handshake_timeout": PATIENCE} if tls else {}
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 20, **more)
        except BaseException:
            sock.close()
            raise
        return cls(attempt.opened, reader, writer)

    def hasEnded(self) -> bool:
        """
        Is the server known to have ended it?
        """
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()

    async def ask(self, ask: Ask) -> Head:
        """
        Send a request, and compare the answer.

        @raise Wrong: it is another one.
        """
        self.begun = False
        async with asyncio.timeout(PATIENCE):
            sending = asyncio.ensure_future(self._send(ask))
            try:
                head = await self.head()
                body = await self._body(head)
                await sending
            finally:
                if not sending.done():
                    sending.cancel()
                with suppress(asyncio.CancelledError, *FAILURES):
                    await sending
        if head.status != 200 or body != ask.expected:
            raise Wrong(f"{head.status}, {len(body)} bytes ({body[:80]!r}) instead of {len(ask.expected)}")
        self.answers += 1
        self.since = asyncio.get_running_loop().time()
        return head

    async def _send(self, ask: Ask) -> None:
        self._writer.write(ask.head())
        for piece in ask.body or ():
            if ask.chunked:
                self._writer.write(b"%x\r\n" % len(piece))
            self._writer.write(piece + b"\r\n" if ask.chunked else piece)
            await self._writer.drain()
        if ask.body is not None and ask.chunked:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def head(self) -> Head:
        """
        Receive a head.
        """
        first = await self._reader.readexactly(1)
        self.begun = True
        text = (first + await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = text[:-4].split("\r\n")
        if not line.startswith("HTTP/1.1 "):
            raise Wrong(f"no answer begins with {line!r:.100}")
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        return Head(int(line[9:12]), fields)

    async def _body(self, head: Head) -> bytes:
        if head.fields.get("transfer-encoding") != "chunked":
            length = head.fields.get("content-length", "")
            if not length.isdecimal():
                raise Wrong(f"an answer has {length!r} as its length")
            return await self._reader.readexactly(int(length))
        taken: list[bytes] = []
        while True:
            size = int((await self._reader.readuntil(b"\r\n"))[:-2], 16)
            data = await self._reader.readexactly(size + 2)
            if not data.endswith(b"\r\n"):
                raise Wrong("a chunk is longer than it says")
            if not size:
                return b"".join(taken)
            taken.append(data[:-2])

    async def close(self) -> None:
        """
        End it, and wait until it has ended.
        """
        self._writer.close()
        with suppress(TimeoutError, *FAILURES):
            async with asyncio.timeout(5):
                await self._writer.wait_closed()

    def abort(self) -> None:
        """
        Reset it.
        """
        # It has none any more when the peer has ended it.
        raw: Any = self._writer.get_extra_info("socket")
        with suppress(OSError, AttributeError):
            raw.setsockopt(*LINGER)
        self._writer.transport.abort()

    # WebSocket

    async def upgrade(self, target: str) -> Head:
        """
        Make it a WebSocket.
        """
        key = base64.b64encode(os.urandom(16))
        self._writer.write(handshake(target, key))
        async with asyncio.timeout(PATIENCE):
            head = await self.head()
        accepted = base64.b64encode(hashlib.sha1(key + _KEY_SUFFIX).digest()).decode()
        if head.status != 101 or head.fields.get("sec-websocket-accept") != accepted:
            raise Wrong(f"the handshake is answered with {head.status}")
        return head

    def write(self, data: bytes) -> None:
        """
        Send bytes.
        """
        self._writer.write(data)

    async def message(self) -> tuple[int, bytes]:
        """
        Receive a whole message, or a Close frame, and answer pings.

        @return: its opcode, and what it holds.
        """
        kind, taken = 0, b""
        async with asyncio.timeout(PATIENCE):
            while True:
                first, second = await self._reader.readexactly(2)
                if second & 0x80 or first & 0x70:
                    raise Wrong(f"a frame from the server begins with {first:#x} {second:#x}")
                length = second
                if second == 126:
                    length = int.from_bytes(await self._reader.readexactly(2), "big")
                elif second == 127:
                    length = int.from_bytes(await self._reader.readexactly(8), "big")
                data = await self._reader.readexactly(length)
                opcode = first & 0x0F
                if opcode == PING:
                    self.write(frame(PONG, data))
                elif opcode == CLOSE:
                    return CLOSE, data
                elif opcode != PONG:
                    kind, taken = kind or opcode, taken + data
                    if first & 0x80:
                        return kind, taken

    async def ended(self) -> bool:
        """
        Wait for the end of the stream.
        """
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(1) == b""


def handshake(target: str, key: bytes = b"dGhlIHNhbXBsZSBub25jZQ==") -> bytes:
    """
    Return the request for a WebSocket.
    """
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: soak.example",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(opcode: int, data: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """
    Return a frame; the server's rules are broken where that is asked for.
    """
    length = len(data)
    marked = 0x80 if masked else 0
    head = bytes([(0x80 if final else 0) | reserved | opcode])
    if length < 126:
        head += bytes([marked | length])
    elif length < 1 << 16:
        head += bytes([marked | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([marked | 127]) + length.to_bytes(8, "big")
    if not masked:
        return head + data
    mask = os.urandom(4)
    stream = int.from_bytes((mask * (length // 4 + 1))[:length], "big") ^ int.from_bytes(data, "big")
    return head + mask + stream.to_bytes(length, "big")


def trusting() -> ssl.SSLContext:
    """
    Return a context that takes any certificate: which one it is gets compared, byte for byte.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
