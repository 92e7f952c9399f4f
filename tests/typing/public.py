"""
What a type checker makes of each public call of C{wasinet_twisted.net}, and of serving HTTP.

Checked by tests/test_typing.py, never run.
"""

from __future__ import annotations

from io import BytesIO
from typing import assert_type

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.internet.task import Clock

from wasinet_twisted import http, net, serve, testing
from wasinet_twisted.client import webSocket
from wasinet_twisted.errors import InvalidResponse, SlowBody, WasinetError
from wasinet_twisted.server import HttpServer, Request
from wasinet_twisted.websocket import WebSocket, WebSocketLimits


async def reads(conn: net.WasiTcpConn) -> None:
    assert_type(conn.read(), Deferred[bytes])
    assert_type(await conn.read(), bytes)
    assert_type(await conn.read(10, timeout=1.5), bytes)
    assert_type(await conn.readExactly(10), bytes)
    assert_type(await conn.readUntil(b"\n", 100), bytes)
    assert_type(await conn.readLine(), bytes)
    assert_type(await conn.readToEnd(100), bytes)
    conn.unread(b"x")
    async for data in conn:
        assert_type(data, bytes)


async def writes(conn: net.WasiTcpConn) -> None:
    assert_type(conn.write("text"), Deferred[None])
    await conn.write(b"bytes")
    await conn.write(bytearray(b"bytes"))
    await conn.write(memoryview(b"bytes"))
    await conn.writeLines([b"bytes", "text"])
    assert_type(await conn.sendFile(BytesIO(b"x"), print), int)
    await conn.finish()
    await conn.close(timeout=5)
    conn.abort()
    await conn.whenClosed()
    assert_type(await conn.whenPeerFinished(), None)


async def child() -> int:
    return 5


async def others(conn: net.WasiTcpConn) -> None:
    assert_type(await conn.start(child()), int)
    assert_type(conn.peer(), IAddress)
    assert_type(conn.local(), IAddress)
    assert_type(net.formatAddress(conn.peer()), str)
    assert_type(conn.tls, net.TlsInfo | None)
    await conn.handshake(timeout=5)
    await conn.startTLS(net.TlsClient("example.org", alpn=["http/1.1"]))
    await conn.startTLS(net.TlsServer("server.pem"), timeout=5)
    async with conn as same:
        assert_type(same, net.WasiTcpConn)


async def handler(conn: net.WasiTcpConn) -> None:
    """
    As users write them.
    """


async def connects() -> None:
    assert_type(await net.connect("localhost:80"), net.WasiTcpConn)
    assert_type(await net.connect("localhost", 80, timeout=5, localAddress="127.0.0.1"), net.WasiTcpConn)
    assert_type(await net.connect(("::1", 80)), net.WasiTcpConn)
    assert_type(await net.WasiTcpConn.connect("localhost", 80), net.WasiTcpConn)
    assert_type(await net.WasiTlsConn.connect("localhost", 443, alpn=["h2"]), net.WasiTlsConn)
    addresses = await net.nsloopup("localhost", "http")
    assert_type(addresses[0].port, int)


async def serves(endpoint: IStreamServerEndpoint) -> None:
    server = net.WasiTcpServer(8000, "::1", maxConnections=10)
    assert_type(await server.accept(timeout=5), net.WasiTcpConn)
    async for conn in server:
        assert_type(conn, net.WasiTcpConn)
    await server.serveForever(handler)
    await server.drain(5)
    await server.close()
    assert_type(server.local(), IPv4Address | IPv6Address)
    port: int = server.local().port
    net.WasiTcpServer(port)
    factory = net.ConnectionFactory(handler, maxConnections=10, alpn=["http/1.1"])
    assert_type(await factory.listen(endpoint), IListeningPort)
    await factory.drain(5)
    await factory.stop(5)


async def answer(request: Request) -> http.WasiResponse:
    """
    As users write them.
    """
    return http.WasiResponse(body=await request.read())


async def servesHttp(endpoint: IStreamServerEndpoint) -> None:
    server = serve(answer, 8080)
    assert_type(server, HttpServer)
    assert_type(server.local(), IPv4Address | IPv6Address)
    port: int = server.local().port
    assert_type(await server.listenOn(endpoint), IListeningPort)
    await net.connect("127.0.0.1", port)
    await server.drain(5)
    errors: list[type[WasinetError]] = [InvalidResponse, SlowBody]
    assert_type(SlowBody.statusHint, int)
    print(errors)


async def opensWebSockets(request: Request) -> None:
    ws = await request.webSocket(subprotocols=["chat"], limits=WebSocketLimits(message=1000))
    assert_type(ws, WebSocket)
    async for message in ws:
        assert_type(message, str | bytes)
        await ws.send(message)
    assert_type(ws.closeCode, int | None)
    asked = await webSocket("ws://x/", headers={"Origin": "https://x"})
    assert_type(await asked.receive(), str | bytes)
    assert_type(await asked.ping(), float)
    await asked.close(1000, "bye")


def tests() -> None:
    link = testing.pair(Clock(), delay=0.1)
    assert_type(link.client, net.WasiTcpConn)
    assert_type(link.run(link.client.read()), bytes)
    for conn in link:
        assert_type(conn, net.WasiTcpConn)
    listener = testing.MemoryListener()
    net.WasiTcpServer(listener, reactor=listener.clock)
    assert_type(listener.connect(), net.WasiTcpConn)
