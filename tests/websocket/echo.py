"""
The two sides that Autobahn's cases are run against: an echo server, and a client that runs the cases of a server.

    python -m tests.websocket.echo serve            # prints its port
    python -m tests.websocket.echo ask PORT COUNT   # asks ws://127.0.0.1:PORT/ for its cases, and runs COUNT at a time
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred, gatherResults
from twisted.internet.task import react

from wasinet_twisted.client import webSocket
from wasinet_twisted.errors import WasinetError, WebSocketClosed
from wasinet_twisted.server import Request, serve
from wasinet_twisted.websocket import WebSocket, WebSocketLimits

# Its longest messages have 16 MiB.
LIMITS = WebSocketLimits(message=16 * 1024 * 1024, frame=16 * 1024 * 1024)


async def echo(ws: WebSocket) -> None:
    """
    Send back what comes.
    """
    with suppress(WebSocketClosed):
        while True:
            await ws.send(await ws.receive())


async def handler(request: Request) -> None:
    """
    A server's.
    """
    await echo(await request.webSocket(limits=LIMITS))


async def ask(port: int, count: int) -> None:
    """
    Run all cases of a fuzzing server.
    """
    base = f"ws://127.0.0.1:{port}"
    async with await webSocket(f"{base}/getCaseCount", limits=LIMITS) as ws:
        cases = int(await ws.receive())

    async def case(number: int) -> None:
        try:
            async with await webSocket(f"{base}/runCase?case={number}&agent=wasinet_twisted", limits=LIMITS) as ws:
                await echo(ws)
        except WasinetError as error:
            print(f"case {number}: {error!r}", file=sys.stderr)

    together = DeferredSemaphore(count)
    await gatherResults([together.run(lambda n=n: ensureDeferred(case(n))) for n in range(1, cases + 1)])
    async with await webSocket(f"{base}/updateReports?agent=wasinet_twisted"):
        pass


async def main(reactor: Any, what: str, port: str = "0", count: str = "1") -> None:
    """
    As the module has it.
    """
    if what == "ask":
        await ask(int(port), int(count))
        return
    server = serve(handler, "tcp:0:interface=127.0.0.1")
    print(server.local().port, flush=True)
    # Until it is killed.
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor, *sys.argv[1:])))
