"""
asyncio's Protocol or streams, on its own loop or on uvloop.
C{python -m benchmarks.peers.tcpasyncio LOOP KIND PORT WRITES NODELAY}
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

from . import BACKLOG, pieces


def _setNodelay(transport: Any, nodelay: bool) -> None:
    # Both loops set it for every connection.
    if not nodelay:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)


async def protocol(port: int, writes: int, nodelay: bool) -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            _setNodelay(transport, nodelay)

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    class InPieces(Echo):
        def data_received(self, data: bytes) -> None:
            for piece in pieces(data, writes):
                self.transport.write(piece)

    kind = Echo if writes == 1 else InPieces
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


async def streams(port: int, writes: int, nodelay: bool) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _setNodelay(writer.transport, nodelay)
        try:
            while data := await reader.read(65536):
                if writes == 1:
                    writer.write(data)
                else:
                    for piece in pieces(data, writes):
                        writer.write(piece)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


KINDS = {"protocol": protocol, "streams": streams}


def main(loop: str, kind: str, port: int, writes: int, nodelay: bool) -> None:
    serve = KINDS[kind](port, writes, nodelay)
    if loop == "uvloop":
        import uvloop

        uvloop.run(serve)
    else:
        asyncio.run(serve)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), sys.argv[5] == "1")
