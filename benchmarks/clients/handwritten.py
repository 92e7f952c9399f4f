"""
The reference: no library, but a Protocol written for this one purpose, on uvloop and httptools. It keeps the fields of
an answer, as a client must for its caller, sends one request at a time on a connection and keeps connections alive.
C{python -m benchmarks.clients.handwritten PORT ...}, as L{running.runAsyncio} has it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import httptools

from .requests import Ask
from .running import Client, runAsyncio

Answer = tuple[int, list[tuple[bytes, bytes]], list[bytes]]


class Connection(asyncio.Protocol):
    """
    One connection, and the request that is under way on it.
    """

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[Answer] | None = None
        self._take: Callable[[bytes], None] | None = None
        self._lost: Exception | None = None
        self.reusable = True

    def ask(self, data: bytes, take: Callable[[bytes], None] | None = None) -> asyncio.Future[Answer]:
        self._answered = answered = asyncio.get_running_loop().create_future()
        self._take = take
        self._transport.write(data)
        return answered

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self._fail(error or ConnectionError("closed"))

    def _fail(self, error: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    def on_message_begin(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        if self._take is None:
            self._pieces.append(data)
        else:
            self._take(data)

    def on_message_complete(self) -> None:
        self.reusable = self._parser.should_keep_alive()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result((self._parser.get_status_code(), self._fields, self._pieces))

    def close(self) -> None:
        self._transport.close()


class Handwritten(Client):
    """
    Connections to one origin.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._before = f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        self._idle: list[Connection] = []

    async def _ask(self, ask: Ask, take: Callable[[bytes], None] | None = None) -> Answer:
        lines = "".join([f"{name}: {value}\r\n" for name, value in ask.fields.items()])
        data = f"GET {ask.target}{self._before}{lines}\r\n".encode("latin-1")
        while self._idle:
            conn = self._idle.pop()
            if conn.reusable:
                break
        else:
            _, conn = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self._port)
        answer = await conn.ask(data, take)
        if conn.reusable:
            self._idle.append(conn)
        else:
            conn.close()
        return answer

    async def get(self, ask: Ask) -> tuple[int, bytes]:
        status, _, pieces = await self._ask(ask)
        return status, pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def download(self, ask: Ask) -> int:
        size = 0

        def take(data: bytes) -> None:
            nonlocal size
            size += len(data)

        await self._ask(ask, take)
        return size

    async def close(self) -> None:
        for conn in self._idle:
            conn.close()


if __name__ == "__main__":
    runAsyncio(lambda: Handwritten(int(sys.argv[1])), "uvloop", sys.argv[1:])
