"""
A WebSocket echo server, and its client.

    python examples/websocket_echo.py [--port 8000]

Then, in another terminal:

    python examples/websocket_echo.py --connect ws://localhost:8000/ "hello" "Wasm"
"""

import argparse

from twisted.internet.task import deferLater, react

from wasinet_twisted import http, net
from wasinet_twisted.client import WebSocketRefused, webSocket
from wasinet_twisted.server import isWebSocket, serve


async def handler(request):
    if not isWebSocket(request):
        return http.WasiResponse(426, {"Upgrade": "websocket", "Connection": "Upgrade"}, "this speaks WebSocket\n")
    ws = await request.webSocket()
    async for message in ws:
        await ws.send(message)


async def ask(url, messages):
    async with await webSocket(url, timeout=10) as ws:
        for message in messages:
            await ws.send(message)
            print(await ws.receive(), flush=True)


async def main(reactor):
    parser = argparse.ArgumentParser(description="A WebSocket echo server, and its client.")
    parser.add_argument("--port", type=int, default=8000, help="where to listen (8000)")
    parser.add_argument("--connect", metavar="URL", help="be a client: send the messages one by one")
    parser.add_argument("messages", nargs="*", metavar="MESSAGE")
    args = parser.parse_args()
    try:
        if args.connect is not None:
            await ask(args.connect, args.messages)
            return
        server = serve(handler, args.port)
    except (
        WebSocketRefused,
        net.ConnectFailed,
        net.ConnectionClosed,
        net.InvalidArgument,
        net.ListenFailed,
        net.NotSupported,
        net.TimedOut,
    ) as e:
        raise SystemExit(str(e)) from None
    print("listen", args.port, "...", flush=True)
    # Ctrl-C: those that are open are closed with 1012, and have a second for it.
    reactor.addSystemEventTrigger("before", "shutdown", server.drain, 1.0)
    await deferLater(reactor, 10**9)


if __name__ == "__main__":
    react(main, [])
