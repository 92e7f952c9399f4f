"""
trio's streams. C{python -m benchmarks.peers.tcptrio PORT WRITES NODELAY}
"""

from __future__ import annotations

import socket
import sys
from functools import partial

import trio

from . import BACKLOG, pieces


async def serve(port: int, writes: int, nodelay: bool) -> None:
    async def echo(stream: trio.SocketStream) -> None:
        if not nodelay:
            # It is set for every connection.
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        async for data in stream:
            if writes == 1:
                await stream.send_all(data)
            else:
                for piece in pieces(data, writes):
                    await stream.send_all(piece)

    await trio.serve_tcp(echo, port, host="127.0.0.1", backlog=BACKLOG)


if __name__ == "__main__":
    trio.run(partial(serve, *map(int, sys.argv[1:3]), sys.argv[3] == "1"))
