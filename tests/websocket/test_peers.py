"""
Beside peers that nobody here wrote, by real sockets: C{websockets}' own client and server.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
import pytest_twisted
import websockets.sync.client
import websockets.sync.server
from twisted.internet.threads import deferToThread

from tests.certificates import Authority
from wasinet_twisted.client import Pool, webSocket
from wasinet_twisted.server import HttpServer, Request, serve
from wasinet_twisted.websocket import WebSocketLimits

MESSAGES = ("hello", b"bytes", "", "é" * 100, bytes(200_000))


async def echo(request: Request) -> None:
    ws = await request.webSocket(subprotocols=["chat"])
    async for message in ws:
        await ws.send(message)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_theirClient(compression: Any) -> None:
    def talk(port: int) -> tuple[Any, Any]:
        with websockets.sync.client.connect(
            f"ws://127.0.0.1:{port}",
            compression=compression,
            subprotocols=["chat"],
            max_size=None,  # type: ignore[list-item]
        ) as ws:
            for message in MESSAGES:
                ws.send(message)
                assert ws.recv(timeout=10) == message
            ws.send([b"in ", b"fragments"])
            assert ws.recv(timeout=10) == b"in fragments"
            assert ws.ping().wait(10)
            ws.close(4001, "bye")
            return ws.subprotocol, ws.close_code

    server = serve(echo, "tcp:0:interface=127.0.0.1")
    try:
        assert await deferToThread(talk, server.local().port) == ("chat", 4001)
    finally:
        await server.drain(1)


@pytest_twisted.ensureDeferred
async def test_theirClientAtDrain() -> None:
    def wait(port: int) -> tuple[Any, Any]:
        with websockets.sync.client.connect(f"ws://127.0.0.1:{port}") as ws:
            ws.send("ready")
            ws.recv(timeout=10)
            with pytest.raises(websockets.ConnectionClosedError):
                ws.recv(timeout=10)
            return ws.close_code, ws.close_reason

    drained: list[Any] = []

    async def handler(request: Request) -> None:
        ws = await request.webSocket()
        async for message in ws:
            await ws.send(message)
            drained.append(server.drain(5))

    server: HttpServer = serve(handler, "tcp:0:interface=127.0.0.1")
    assert await deferToThread(wait, server.local().port) == (1012, "service restart")
    await drained[0]


def _echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


class _Theirs:
    """
    Their server, in a thread.
    """

    def __init__(self, handler: Callable[[Any], None], **options: Any) -> None:
        self._server = websockets.sync.server.serve(handler, "127.0.0.1", 0, **options)
        self.port = self._server.socket.getsockname()[1]
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_theirServer(tls: bool, compression: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    options: dict[str, Any] = {"compression": compression, "max_size": None, "subprotocols": ["chat"]}
    pool = Pool()
    if tls:
        authority = Authority(tmp_path_factory.mktemp("tls"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue("localhost"))
        options["ssl"] = context
        pool = Pool(caCertificates=authority.pem)
    theirs = _Theirs(_echo, **options)
    try:
        url = f"{'wss' if tls else 'ws'}://localhost:{theirs.port}/"
        ws = await webSocket(url, subprotocols=["chat"], pool=pool, timeout=10)
        assert (ws.subprotocol, ws.tls is not None) == ("chat", tls)
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.receive() == message
        assert await ws.ping() < 10
        await ws.close(4002, "bye")
        assert (ws.closeCode, ws.closeReason) == (4002, "bye")
    finally:
        await deferToThread(theirs.stop)
        await pool.close()


@pytest_twisted.ensureDeferred
async def test_theirServerCloses() -> None:
    def closes(ws: Any) -> None:
        ws.send("last")
        ws.close(4003, "enough")

    theirs = _Theirs(closes)
    pool = Pool()
    try:
        ws = await webSocket(
            f"ws://127.0.0.1:{theirs.port}", pool=pool, limits=WebSocketLimits(closeTimeout=5), timeout=10
        )
        assert [message async for message in ws] == ["last"]
        await ws.whenClosed()
        assert (ws.closeCode, ws.closeReason) == (4003, "enough")
    finally:
        await deferToThread(theirs.stop)
        await pool.close()
