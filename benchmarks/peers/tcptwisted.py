"""
A bare Protocol, or ours as an awaitable connection, on one of the reactors.
C{python -m benchmarks.peers.tcptwisted REACTOR KIND PORT WRITES NODELAY}
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from . import BACKLOG, pieces


def _onLoop(module: str, loop: str) -> Callable[[], Any]:
    """
    What installs an asyncio reactor on a new loop.
    """

    def install() -> Any:
        made = import_module(loop).new_event_loop()
        asyncio.set_event_loop(made)
        return import_module(module).install(made)

    return install


_STOCK, _OURS = "twisted.internet.asyncioreactor", "wasinet_twisted.reactor.asyncio"

REACTORS: dict[str, Callable[[], Any]] = {
    "wasinet": lambda: import_module("wasinet_twisted.reactor").install(),
    "epoll": lambda: import_module("twisted.internet.epollreactor").install(),
    "asyncio": _onLoop(_STOCK, "asyncio"),
    "uvloop": _onLoop(_STOCK, "uvloop"),
    "wasinet-asyncio": _onLoop(_OURS, "asyncio"),
    "wasinet-uvloop": _onLoop(_OURS, "uvloop"),
}


def bare(writes: int, nodelay: bool) -> Any:
    from twisted.internet.protocol import Factory, Protocol

    class Echo(Protocol):
        transport: Any

        def connectionMade(self) -> None:
            self.transport.setTcpNoDelay(nodelay)

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    class InPieces(Echo):
        def dataReceived(self, data: bytes) -> None:
            for piece in pieces(data, writes):
                self.transport.write(piece)

    factory = Factory.forProtocol(Echo if writes == 1 else InPieces)
    factory.noisy = False
    return factory


def awaitable(writes: int, nodelay: bool) -> Any:
    from wasinet_twisted import net

    async def echo(conn: net.WasiTcpConn) -> None:
        async for data in conn:
            await conn.write(data)

    async def inPieces(conn: net.WasiTcpConn) -> None:
        # It is set for every connection, and the public calls can't take it back.
        conn._protocol.transport.setTcpNoDelay(nodelay)
        async for data in conn:
            for piece in pieces(data, writes):
                written = conn.write(piece)
            await written

    return net.ConnectionFactory(echo if writes == 1 and nodelay else inPieces)


KINDS = {"protocol": bare, "conn": awaitable}


def main(name: str, kind: str, port: int, writes: int, nodelay: bool) -> None:
    REACTORS[name]()
    from twisted.internet import reactor as theReactor

    reactor: Any = theReactor
    reactor.listenTCP(port, KINDS[kind](writes, nodelay), backlog=BACKLOG, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), sys.argv[5] == "1")
