"""
A server for tests that abuse it, as a program: it prints its port, and ends by SIGTERM when it has drained.

    python -m tests.server.abused '{"head": 2, "body": 65536}'
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.logger import globalLogBeginner, textFileLogObserver

from wasinet_twisted.http import Limits, WasiResponse
from wasinet_twisted.server import HttpServer, Request, ServerLimits

reactor: Any = _reactor


async def handler(request: Request) -> WasiResponse:
    path = request.path
    if path == "/stats":
        return WasiResponse(body=json.dumps(server.statistics.snapshot()))
    if path == "/big":
        return WasiResponse(body=bytes(200_000))
    if path == "/stream":
        return WasiResponse(body=(bytes(10_000) for _ in range(100)))
    if path == "/wait":
        await deferLater(reactor, 3600)
    if path == "/read":
        return WasiResponse(body=str(len(await request.read())))
    return WasiResponse(body=request.uri)


def main() -> None:
    """
    Run until SIGTERM.
    """
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    options = json.loads(sys.argv[1])
    body = options.pop("body", Limits().body)
    sendBuffer = options.pop("sendBuffer", None)
    global server
    server = HttpServer(handler, limits=ServerLimits(message=Limits(body=body), **options))

    def end(*_: object) -> None:
        reactor.callFromThread(lambda: server.drain(2).addCallback(lambda _: reactor.stop()))

    def listening(port: Any) -> None:
        if sendBuffer is not None:
            # Connections inherit it.
            port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sendBuffer)
        signal.signal(signal.SIGTERM, end)
        print(port.getHost().port, flush=True)

    server.listenOn("tcp:0:interface=127.0.0.1:backlog=1024").addCallback(listening)
    # The signal handlers are ours.
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
