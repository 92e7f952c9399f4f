"""
The soak's clients that vanish, and the hostile ones.

Each that breaks a rule must be refused, or its connection ended, in time: neither may it be served nor stay open.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from .client import FAILURES, LINGER, Connection, frame, handshake, trusting
from .content import EVIL
from .ledger import Ledger

# How long the server may take to end a connection that is to be ended, in seconds; its own bounds are 5 to 20.
_ENDED = 90.0

_FIELDS = "Host: soak.example\r\n"
_EVIL = f"GET {EVIL} HTTP/1.1\r\n{_FIELDS}\r\n".encode()
_CHUNKED = "Transfer-Encoding: chunked\r\n"


def _head(line: str, *fields: str, rest: bytes = b"") -> bytes:
    return f"{line}\r\n{_FIELDS}{''.join(fields)}\r\n".encode("latin-1") + rest


# Heads that are not valid. Behind each stands a request that must not be served.
MALFORMED = tuple(
    text + _EVIL
    for text in (
        b"nonsense\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    )
)

# Shapes by which a request is smuggled past another hop.
SMUGGLING = (
    _head("POST /digest/?id=x HTTP/1.1", "Content-Length: 5\r\n", _CHUNKED, rest=b"0\r\n\r\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.1", "Content-Length: 0\r\nContent-Length: 50\r\n", rest=_EVIL),
    _head("POST /digest/?id=x HTTP/1.1", "Content-Length: +5\r\n", rest=_EVIL),
    _head("POST /digest/?id=x HTTP/1.1", "Content-Length: 5, 6\r\n", rest=_EVIL),
    _head("POST /digest/?id=x HTTP/1.1", "Transfer-Encoding : chunked\r\n", rest=b"0\r\n\r\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.1", "Transfer-Encoding: xchunked\r\n", rest=b"0\r\n\r\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n", rest=b"0\r\n\r\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.0", _CHUNKED, rest=b"0\r\n\r\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.1", _CHUNKED, rest=b"0x0\r\n\r\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.1", _CHUNKED, rest=b"ffffffffffffffffff\r\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.1", _CHUNKED, rest=b"1\r\nabc\r\n0\r\n\r\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.1", _CHUNKED, rest=b"0\n\n" + _EVIL),
    _head("POST /digest/?id=x HTTP/1.1", _CHUNKED, rest=b"0\r\nContent-Length : 5\r\n\r\n" + _EVIL),
)

# More than the bounds allow.
OVERSIZED = (
    _head(f"GET /{'a' * 20_000} HTTP/1.1"),
    _head("GET / HTTP/1.1", f"A: {'a' * 60_000}\r\n"),
    _head("GET / HTTP/1.1", *("A: b\r\n" for _ in range(500))),
    _head("POST /digest/?id=x HTTP/1.1", _CHUNKED, rest=b"1;" + b"e" * 20_000 + b"\r\na\r\n0\r\n\r\n"),
    _head("POST /digest/?id=x HTTP/1.1", _CHUNKED, rest=b"0\r\n" + b"T: u\r\n" * 3000 + b"\r\n"),
    _head("POST /digest/?id=x HTTP/1.1", "Content-Length: 99999999999\r\n", rest=b"x" * 1000),
    b"\r\n" * 1000,
)

_HUGE = struct.pack(">BBQ", 0x82, 0xFF, (1 << 63) - 1) + b"mask"
FRAMES = (
    frame(1, b"not masked", masked=False),
    frame(3, b"reserved opcode"),
    frame(2, b"reserved bits", reserved=0x30),
    frame(9, b"?" * 126),
    frame(9, b"?", final=False),
    frame(0, b"goes on with nothing"),
    frame(1, b"\xff\xfe no UTF-8"),
    frame(8, b"\x03"),
    frame(8, struct.pack(">H", 1005)),
    frame(1, b"one", final=False) + frame(1, b"two"),
    _HUGE,
)

# What is no TLS, or stops in the middle of a ClientHello.
GARBAGE = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    bytes(range(256)) * 8,
    b"\x16\x03\x01\x40\x01" + b"\x01" * 0x4001,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 40,
    b"\x15\x03\x03\x00\x02\x02\x28",
)


class Hostile:
    """
    The clients.
    """

    def __init__(self, ports: tuple[int, int], ledger: Ledger, chance: random.Random) -> None:
        """
        @param ports: the plain one, and that of TLS.
        """
        self._plain, self._tls = ports
        self._ledger = ledger
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._context = trusting()

    async def _connect(self, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await self._loop.sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _send(self, sock: socket.socket, data: bytes, step: int = 0, pause: float = 0.0) -> None:
        """
        @param step: how many bytes are sent at a time; 0: all.
        """
        step = step or max(1, len(data))
        for start in range(0, len(data), step):
            await self._loop.sock_sendall(sock, data[start : start + step])
            if pause:
                await asyncio.sleep(pause)

    async def _taken(self, sock: socket.socket) -> bytes:
        """
        Return what comes until the connection ends.

        @raise TimeoutError: it doesn't.
        """
        taken = b""
        async with asyncio.timeout(_ENDED):
            try:
                while data := await self._loop.sock_recv(sock, 65_536):
                    taken += data
            except OSError:
                pass
        return taken

    async def _refused(
        self, what: str, port: int, data: bytes, before: bytes = b"", step: int = 0, pause: float = 0.0
    ) -> bytes | None:
        """
        Send what is to be refused.

        @param before: sent first; its answer is not awaited.
        @return: all that has come; L{None} if the connection failed before.
        """
        try:
            sock = await self._connect(port)
        except OSError as error:
            self._ledger.fault(f"{what}: no connection: {error}")
            return None
        with sock:
            sending = asyncio.ensure_future(self._send(sock, before + data, step, pause))
            try:
                taken = await self._taken(sock)
            except TimeoutError:
                self._ledger.fault(f"{what}: the connection is open after {_ENDED:g} s: {data[:80]!r}")
                return None
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        self._ledger.current().hostile += 1
        self._ledger.others[what] += 1
        return taken

    async def heads(self) -> None:
        """
        A head that is not valid, a shape that smuggles, or one that is too large.
        """
        what, texts = self._chance.choice(
            (("malformed heads", MALFORMED), ("smuggling", SMUGGLING), ("oversized", OVERSIZED))
        )
        data = self._chance.choice(texts)
        step = self._chance.choice((0, 0, 0, 7, 500)) if len(data) < 1000 else 0
        taken = await self._refused(what, self._plain, data, step=step)
        if taken and (not taken.startswith(b"HTTP/1.1 ") or taken[9:10] not in b"45"):
            self._ledger.fault(f"{what}: {data[:80]!r} is answered with {taken[:80]!r}")

    async def slowly(self) -> None:
        """
        A head, or a body, that comes one byte after the other (slowloris).
        """
        if self._chance.random() < 0.7:
            data = _head("GET /page/?id=slow&size=9 HTTP/1.1", f"A: {'a' * 200}\r\n")
        else:
            data = _head("POST /digest/?id=slow HTTP/1.1", "Content-Length: 100000\r\n", rest=b"x" * 200)
        taken = await self._refused("slowloris", self._plain, data, step=1, pause=0.3)
        if taken and not taken.startswith(b"HTTP/1.1 408 "):
            self._ledger.fault(f"slowloris: it is answered with {taken[:80]!r}")

    async def flood(self) -> None:
        """
        A hundred connections that never send a byte. They end at once, half of them by a reset.
        """
        socks = await asyncio.gather(
            *(self._connect(self._chance.choice((self._plain, self._tls))) for _ in range(100)), return_exceptions=True
        )
        await asyncio.sleep(self._chance.uniform(1, 8))
        for sock in socks:
            if isinstance(sock, BaseException):
                self._ledger.fault(f"flood: no connection: {sock}")
                continue
            if self._chance.random() < 0.5:
                sock.setsockopt(*LINGER)
            sock.close()
        self._ledger.current().hostile += 100
        self._ledger.others["silent connections"] += 100

    async def frames(self) -> None:
        """
        A WebSocket frame that breaks the rules.
        """
        data = self._chance.choice(FRAMES)
        taken = await self._refused("bad frames", self._plain, data, handshake("/socket/?id=bad"))
        if taken and (not taken.startswith(b"HTTP/1.1 101 ") or b"\r\n\r\n\x81" in taken):
            self._ledger.fault(f"bad frames: {data[:20]!r} is answered with {taken[:80]!r}")

    async def garbage(self) -> None:
        """
        No TLS where TLS is spoken.
        """
        taken = await self._refused("TLS garbage", self._tls, self._chance.choice(GARBAGE))
        if taken and taken.startswith(b"HTTP/"):
            self._ledger.fault(f"TLS garbage is answered with {taken[:80]!r}")

    async def pipeline(self) -> None:
        """
        Hundreds of requests at once whose answers nobody reads; then a reset.
        """
        data = b"".join(_head(f"GET /page/?id=many&size={size} HTTP/1.1") for size in range(0, 4000, 10))
        await self._vanish([data], self._plain, pause=1.0, reset=True)

    async def vanish(self) -> None:
        """
        Go away in the middle of a request or of its answer, by FIN or by RST.
        """
        chance = self._chance
        get = _head("GET /page/?id=gone&size=900000 HTTP/1.1")
        stream = _head("GET /stream/?id=gone&pieces=50&size=20000&pause=0.1 HTTP/1.1")
        post = _head(
            f"POST /{chance.choice(('digest', 'sum', 'mirror'))}/?id=gone HTTP/1.1", "Content-Length: 90000\r\n"
        )
        chunks = _head("POST /mirror/?id=gone HTTP/1.1", _CHUNKED, rest=b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        texts = chance.choice(
            (
                [b""],
                [get[:20]],
                [get],
                [stream],
                [post, b"x" * 40_000],
                [chunks, b"10\r\nxx"],
                [handshake("/socket/?id=gone"), frame(2, b"x" * 60_000)[:50_000]],
                [handshake("/socket/?id=gone"), frame(1, b"hello")],
            )
        )
        if chance.random() < 0.2:
            await self._vanishTls(texts)
            return
        await self._vanish(texts, self._plain, chance.choice((0.0, 0.05, 0.4)), chance.random() < 0.5)

    async def _vanishTls(self, texts: Sequence[bytes]) -> None:
        """
        Reset a TLS connection, without a close_notify.
        """
        with suppress(*FAILURES):
            conn = await Connection.open(self._tls, self._context)
            for text in texts:
                conn.write(text)
                await asyncio.sleep(0.05)
            conn.abort()
        self._vanished()

    def _vanished(self) -> None:
        self._ledger.current().vanished += 1
        self._ledger.others["vanished"] += 1

    async def _vanish(self, texts: Sequence[bytes], port: int, pause: float, reset: bool) -> None:
        try:
            with await self._connect(port) as sock:
                async with asyncio.timeout(5):
                    for text in texts:
                        await self._send(sock, text)
                        await asyncio.sleep(pause)
                    if self._chance.random() < 0.5 and texts[0]:
                        await self._loop.sock_recv(sock, 1000)
                    if reset:
                        sock.setsockopt(*LINGER)
                    elif self._chance.random() < 0.5:
                        sock.shutdown(socket.SHUT_WR)
                        await asyncio.sleep(0.1)
        except FAILURES:
            # Resets on the way are the point of it.
            pass
        self._vanished()
