"""
A server for tests that abuse it, as a program: it prints its port, and ends by SIGTERM when it has drained.

    python -m tests.server.abused '{"head": 2, "body": 65536}'
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.logger import globalLogBeginner, textFileLogObserver

from wasinet_twisted.http import Limits, WasiResponse
from wasinet_twisted.net import WasiTcpConn
from wasinet_twisted.server import AccessLog, HttpServer, Request, ServerLimits

reactor: Any = _reactor


def breaking() -> Iterator[bytes]:
    yield b"half a body"
    raise LookupError("hunter2")


async def echo(conn: WasiTcpConn) -> None:
    while data := await conn.read():
        await conn.write(data)
    await conn.write(b"bye")


async def handler(request: Request) -> WasiResponse | None:
    if request.method == "CONNECT":
        await echo(await request.acceptTunnel())
        return None
    path = request.path
    if path == "/stats":
        return WasiResponse(body=json.dumps(server.statistics.snapshot()))
    if path == "/big":
        return WasiResponse(body=bytes(200_000))
    if path == "/stream":
        return WasiResponse(body=(bytes(10_000) for _ in range(100)))
    if path == "/wait":
        await deferLater(reactor, 3600)
    if path == "/sleep":
        await deferLater(reactor, 0.5)
    if path == "/upgrade":
        await echo(await request.upgrade("echo"))
        return None
    if path == "/close":
        return WasiResponse(headers={"Connection": "close"}, body=request.uri)
    if path == "/raise":
        raise LookupError("hunter2")
    if path == "/break":
        return WasiResponse(body=breaking())
    if path == "/split":
        return WasiResponse(headers={"X-Query": unquote(request.uri.partition("?")[2])})
    if path == "/reason":
        return WasiResponse(reason=unquote(request.uri.partition("?")[2]))
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
    certificate = options.pop("certificate", None)
    accessLog = options.pop("accessLog", None)
    if descriptors := options.pop("descriptors", None):
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    global server
    server = HttpServer(
        handler,
        limits=ServerLimits(message=Limits(body=body), **options),
        accessLog=None if accessLog is None else AccessLog(accessLog),
    )

    def end(*_: object) -> None:
        reactor.callFromThread(lambda: server.drain(2).addCallback(ended))

    def ended(_: object) -> None:
        if server.accessLog is not None:
            server.accessLog.close()
        print(json.dumps(server.statistics.snapshot()), flush=True)
        reactor.stop()

    def listening(port: Any) -> None:
        if sendBuffer is not None:
            # Connections inherit it.
            port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sendBuffer)
        signal.signal(signal.SIGTERM, end)
        print(port.getHost().port, flush=True)

    endpoint = "tcp:0:interface=127.0.0.1:backlog=1024"
    if certificate is not None:
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
    server.listenOn(endpoint).addCallback(listening)
    # The signal handlers are ours.
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
