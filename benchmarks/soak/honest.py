"""
The soak's honest clients. Whatever they ask for must be answered, byte for byte.
"""

from __future__ import annotations

import asyncio
import random
import struct
from dataclasses import dataclass
from itertools import count

from .client import BINARY, CLOSE, FAILURES, PATIENCE, TEXT, Ask, Attempt, Connection, Wrong, frame, trusting
from .content import EVIL, WORKER, digest, page, pieces
from .ledger import Ledger

# A worker that is replaced keeps an idle connection for 2 seconds. A client that has been idle for less must not lose a
# request; one that has been for longer must expect that the connection ends, and asks again.
_IDLE = 1.9

# What stands in bodies that are framed as they should be.
_EVIL = f"GET {EVIL} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@dataclass
class Certificates:
    """
    Which certificates, DER, a server may show.

    @ivar current: the one that all workers have.
    @ivar coming: the one that some may have already.
    @ivar since: since when all have the current one, in the loop's seconds.
    @ivar checked: how many connections have shown the current one after a renewal.
    """

    current: bytes
    coming: bytes = b""
    since: float = 0.0
    checked: int = 0
    renewals: int = 0

    def judge(self, conn: Connection) -> bool:
        """
        Is this one that may be shown?
        """
        if conn.certificate == self.current:
            self.checked += self.renewals > 0
            return True
        # The connection may have been accepted before the renewal was over.
        return conn.certificate == self.coming or conn.opened < self.since

    def renewed(self) -> None:
        """
        All workers have the coming one.
        """
        self.current, self.coming = self.coming, b""
        self.since = asyncio.get_running_loop().time()
        self.renewals += 1


class Honest:
    """
    The clients.

    @ivar ending: do those end that ask one request after the other?
    """

    def __init__(
        self, ports: tuple[int, int], certificates: Certificates, ledger: Ledger, chance: random.Random
    ) -> None:
        """
        @param ports: the plain one, and that of TLS.
        """
        self._ports = ports
        self._certificates = certificates
        self._ledger = ledger
        self._chance = chance
        self._numbers = count(1)
        self._tls = trusting()
        self.ending = False

    # What is asked for

    def size(self, least: int, most: int) -> int:
        """
        Return one of these sizes, in bytes.
        """
        return self._chance.randint(least, most)

    def _named(self, kind: str, words: str = "") -> tuple[str, str]:
        name = f"{kind}-{next(self._numbers)}"
        return name, f"/{kind}/{words}?id={name}"

    def page(self, *, close: bool = False) -> Ask:
        """
        A GET, with a path and a cookie of its own.
        """
        chance = self._chance
        name, target = self._named("page", "%2F".join(chance.choices(("a", "caf%C3%A9", "b~c", "1;x=2"), k=3)))
        size = chance.choice((0, 12, 300, 4000, 4000, 30_000))
        target += f"&size={size}"
        fields = []
        cookie = ""
        if chance.random() < 0.6:
            cookie = f"session={chance.getrandbits(128):x}; theme=dark"
            fields = [f"Cookie: {cookie}", "Accept: text/html, */*;q=0.1", "User-Agent: soak/1 (honest)"]
        return Ask("GET", name, "GET", target, page("GET", target, cookie, size), fields, close=close)

    def post(self, size: int | None = None, *, close: bool = False) -> Ask:
        """
        A POST, with a fixed length or chunked.
        """
        chance = self._chance
        size = chance.choice((0, 1, 100, 5000)) if size is None else size
        body = (_EVIL * (size // len(_EVIL) + 1))[:size] if chance.random() < 0.5 else chance.randbytes(size)
        step = chance.choice((97, 8192)) if size < 10_000 else 32_768
        parts = [body[start : start + step] for start in range(0, size, step)]
        chunked = chance.random() < 0.5
        kind = chance.choice(("digest", "sum", "mirror"))
        name, target = self._named(kind)
        expected = body if kind == "mirror" else digest(target, parts)
        what = "POST, large" if size > 10_000 else "POST"
        return Ask(what, name, "POST", target, expected, body=parts, chunked=chunked, close=close)

    def stream(self) -> Ask:
        """
        A response that comes in pieces.
        """
        many, size, pause = self._chance.choice(((10, 2000, 0.1), (4, 50_000, 0.5), (30, 10, 0.05)))
        name, target = self._named("stream")
        target += f"&pieces={many}&size={size}&pause={pause}"
        return Ask("stream", name, "GET", target, b"".join(pieces(target, many, size)))

    # How

    async def open(self, tls: bool, name: str) -> Connection | None:
        """
        Connect, and look at the certificate.
        """
        attempt = Attempt(asyncio.get_running_loop().time())
        try:
            conn = await Connection.open(self._ports[tls], self._tls if tls else None, attempt)
        except FAILURES as error:
            self._ledger.lose("connecting", name, error, attempt)
            return None
        if tls and not self._certificates.judge(conn):
            self._ledger.fault("a connection was shown a certificate that had been replaced before it began")
        return conn

    async def exchange(self, conn: Connection, ask: Ask) -> bool:
        """
        Ask, and tell what becomes of it.

        @return: may the connection be used again?
        """
        now = asyncio.get_running_loop().time
        began = now()
        idle = began - conn.since
        try:
            head = await conn.ask(ask)
        except (Wrong, *FAILURES) as error:
            conn.abort()
            if conn.answers and not conn.begun and idle > _IDLE and not isinstance(error, TimeoutError):
                # The connection's end and the request have crossed.
                self._ledger.others["asked again"] += 1
                return await self.once(ask, tls=bool(conn.certificate))
            self._ledger.lose(ask.kind, ask.name, error, conn)
            return False
        quick = None if ask.kind in {"stream", "POST, large"} else now() - began
        self._ledger.answer(ask.kind, ask.name, int(head.fields.get(WORKER.lower(), 0)), quick)
        return not ask.close and head.fields.get("connection") != "close"

    async def once(self, ask: Ask, *, tls: bool) -> bool:
        """
        Ask on a connection of its own.
        """
        if (conn := await self.open(tls, ask.name)) is not None:
            await self.exchange(conn, ask)
            await conn.close()
        return False

    async def session(self, tls: bool) -> None:
        """
        Ask one request after the other on a kept connection; then on the next one.
        """
        conn: Connection | None = None
        left = 0
        while not self.ending:
            ask = self.page() if self._chance.random() < 0.75 else self.post()
            if conn is not None and (not left or conn.hasEnded()):
                await conn.close()
                conn = None
            if conn is None:
                left = self._chance.randrange(1, 100)
                conn = await self.open(tls, ask.name)
            if conn is not None:
                left -= 1
                if not await self.exchange(conn, ask):
                    await conn.close()
                    conn = None
            await asyncio.sleep(self._chance.uniform(0, 0.8))
        if conn is not None:
            await conn.close()

    async def webSocket(self, tls: bool) -> None:
        """
        Send messages, and take their echoes; then on the next WebSocket.
        """
        while not self.ending:
            name, target = self._named("socket")
            conn = await self.open(tls, name)
            if conn is None:
                continue
            try:
                head = await conn.upgrade(target)
                await self._echoes(conn, name, int(head.fields.get(WORKER.lower(), 0)))
            except (Wrong, *FAILURES) as error:
                self._ledger.lose("WebSocket", name, error, conn)
                conn.abort()
            await conn.close()

    async def _echoes(self, conn: Connection, name: str, worker: int) -> None:
        now = asyncio.get_running_loop().time
        chance = self._chance
        for number in range(chance.randrange(1, 100)):
            if self.ending:
                break
            data = chance.randbytes(chance.choice((0, 5, 125, 126, 3000, 70_000)))
            kind = BINARY
            if len(data) < 3000 and chance.random() < 0.5:
                data, kind = data.hex().encode(), TEXT
            began = now()
            if chance.random() < 0.2:
                half = len(data) // 2
                conn.write(frame(kind, data[:half], final=False) + frame(9, b"?") + frame(0, data[half:]))
            else:
                conn.write(frame(kind, data))
            got, taken = await conn.message()
            if got == CLOSE:
                # The worker is replaced; what has crossed that is the client's to send again.
                self._restarted(conn, taken)
                return
            if (got, taken) != (kind, data):
                raise Wrong(f"the echo is {len(taken)} bytes of kind {got} instead of {len(data)} of kind {kind}")
            self._ledger.answer("WebSocket", f"{name}.{number}", worker, now() - began)
            await asyncio.sleep(chance.uniform(0, 0.8))
        conn.write(frame(CLOSE, struct.pack(">H", 1000)))
        got, taken = await conn.message()
        if got != CLOSE or taken[:2] not in {struct.pack(">H", 1000), struct.pack(">H", 1012)}:
            raise Wrong(f"a Close frame is answered with {taken!r:.50}")
        await conn.ended()

    def _restarted(self, conn: Connection, taken: bytes) -> None:
        if taken[:2] != struct.pack(">H", 1012):
            raise Wrong(f"the server closes with {taken!r:.50}")
        conn.write(frame(CLOSE, taken[:2]))
        self._ledger.others["WebSockets closed with 1012"] += 1

    async def slowReader(self) -> None:
        """
        Take a large answer slowly: through a small window, some 80 KB a second.
        """
        loop = asyncio.get_running_loop()
        name, target = self._named("page", "slow")
        target += "&size=400000"
        expected = page("GET", target, "", 400_000)
        attempt = Attempt(loop.time())
        taken = b""
        try:
            with await attempt.connect(self._ports[0], 4096) as sock:
                ask = Ask("slow reader", name, "GET", target, expected, close=True)
                await loop.sock_sendall(sock, ask.head())
                while data := await asyncio.wait_for(loop.sock_recv(sock, 8192), PATIENCE):
                    taken += data
                    await asyncio.sleep(0.1)
            head, _, body = taken.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 ") or body != expected:
                raise Wrong(f"{head!r:.50}, {len(body)} bytes instead of {len(expected)}")
        except (Wrong, *FAILURES) as error:
            self._ledger.lose("slow reader", name, error, attempt)
            return
        worker = next(line for line in head.decode().split("\r\n") if line.lower().startswith(WORKER.lower()))
        self._ledger.answer("slow reader", name, int(worker.partition(":")[2]))
