"""
The reference: no framework, but a Protocol written for this one purpose, on uvloop and httptools. It keeps the fields,
as a server must for its handlers, and checks next to nothing. C{python -m benchmarks.peers.handwritten PORT [each]}

With C{each} every answer is a write of its own, as most such servers have it; without it, those to requests that came
in one read are joined.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httptools
import uvloop

from . import BACKLOG


class Server(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._answers: list[bytes] = []
        self._last = False

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()
            return
        if self._answers:
            # All that one read asked for goes out at once.
            self._transport.write(b"".join(self._answers))
            self._answers.clear()
        if self._last:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []

    def on_url(self, data: bytes) -> None:
        self._target += data

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        # Known only while this runs.
        self._last = not self._parser.should_keep_alive()
        if self._parser.get_method() == b"POST":
            body = b"echo:" + b"".join(self._pieces)
        else:
            body = b"path:" + httptools.parse_url(self._target).path
        closing = b"Connection: close\r\n" if self._last else b""
        self.answer(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%b\r\n%b"
            % (len(body), closing, body)
        )

    def answer(self, data: bytes) -> None:
        self._answers.append(data)


class EachServer(Server):
    def answer(self, data: bytes) -> None:
        self._transport.write(data)


async def main(port: int, kind: type[Server]) -> None:
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), EachServer if sys.argv[2:] == ["each"] else Server))
