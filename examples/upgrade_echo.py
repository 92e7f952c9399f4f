"""
From HTTP to another protocol on the same connection: an echo of lines, and its client.

    python examples/upgrade_echo.py [--port 8000]

Then, in another terminal:

    echo WasmEdge | python examples/upgrade_echo.py --connect localhost:8000
    curl -i localhost:8000
"""

import argparse
import sys

from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread

from wasinet_twisted import http, net
from wasinet_twisted.server import serve

PROTOCOL = "line-echo"
LONGEST = 1000


async def handler(request):
    try:
        conn = await request.upgrade(PROTOCOL)
    except http.LocalProtocolError:
        # The client doesn't offer it. RFC 9110 section 15.5.22
        headers = {"Content-Type": "text/plain", "Connection": "Upgrade", "Upgrade": PROTOCOL}
        return http.WasiResponse(426, headers, f"this speaks {PROTOCOL} only\n")
    # The 101 has been sent, and the bytes are ours. When this returns, the connection closes.
    try:
        while line := await conn.readLine(maxBytes=LONGEST, timeout=60):
            await conn.write(line)
    except (net.LimitExceeded, net.TimedOut) as e:
        await conn.write(f"{e}\n")


async def ask(address):
    async with await net.connect(address, timeout=10) as conn:
        headers = {"Host": address, "Connection": "Upgrade", "Upgrade": PROTOCOL}
        await conn.write(http.WasiRequest("GET", "/", headers).encode())
        buffer = http.Buffer("response")
        buffer.expectResponse("GET")
        while (head := buffer.nextEvent()) is None:
            if not (data := await conn.read(timeout=10)):
                raise SystemExit(f"{address} closes without an answer")
            buffer.append(data)
        if head.status != 101:
            raise SystemExit(f"{address} answers {head.status} {head.reason}")
        # The end of the 101; what came behind it is no HTTP any more.
        buffer.nextEvent()
        conn.unread(buffer.takeRest())
        while line := await deferToThread(sys.stdin.readline):
            await conn.write(line.rstrip("\n") + "\n")
            print((await conn.readLine(timeout=10)).decode("utf-8", "replace"), end="", flush=True)


async def main(reactor):
    parser = argparse.ArgumentParser(description="A server that upgrades to an echo of lines, and its client.")
    parser.add_argument("--port", type=int, default=8000, help="where to listen (8000)")
    parser.add_argument("--connect", metavar="HOST:PORT", help="be a client: send the standard input line by line")
    args = parser.parse_args()
    try:
        if args.connect is not None:
            await ask(args.connect)
            return
        server = serve(handler, args.port)
    except (
        http.ProtocolError,
        net.ConnectFailed,
        net.ConnectionClosed,
        net.InvalidArgument,
        net.ListenFailed,
        net.TimedOut,
    ) as e:
        raise SystemExit(str(e)) from None
    print("listen", args.port, "...", flush=True)
    # Ctrl-C: those who have upgraded have a second to come to their end.
    reactor.addSystemEventTrigger("before", "shutdown", server.drain, 1.0)
    await deferLater(reactor, 10**9)


if __name__ == "__main__":
    react(main, [])
