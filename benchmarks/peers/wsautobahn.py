"""
An echo of WebSocket messages: autobahn on Twisted's own epoll reactor.

    python -m benchmarks.peers.wsautobahn PORT
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol  # noqa: E402
from twisted.internet import reactor  # noqa: E402


class Echo(WebSocketServerProtocol):
    """
    Sends back what comes.
    """

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


if __name__ == "__main__":
    factory: Any = WebSocketServerFactory()
    factory.protocol = Echo
    listening: Any = reactor
    listening.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
    listening.run()
