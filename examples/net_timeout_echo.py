"""
The article's TCP echo server with timeouts (wasi_net_timeout_echo.js): it waits five seconds for each
connection, and on each connection five seconds for each piece of data. After ten of either it ends.

    python examples/net_timeout_echo.py [--port 8000] [--timeout 5]
"""

import argparse

from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.task import react

from wasinet_twisted import net


async def handleClient(cs, timeout):
    print(net.formatAddress(cs.peer()))
    while True:
        try:
            d = await cs.read(timeout=timeout)
            if len(d) <= 0:
                break
            s = d.decode("utf-8", "replace")
            print("recv:", s)
            cs.write("echo:" + s)
        except Exception as e:
            print("handle_client err:", e)
            break
    print("close")
    # The article leaves this to the collector; but the program may end with its last client, and not before the answer
    # has been sent.
    await cs.close()


async def serverStart(port, timeout):
    print("listen", port, "...")
    s = net.WasiTcpServer(port)
    clients = []
    for _ in range(10):
        try:
            cs = await s.accept(timeout=timeout)
            clients.append(ensureDeferred(handleClient(cs, timeout)))
        except net.TimedOut as e:
            print("accept err:", e)
    await s.close()
    await DeferredList(clients)


async def main(reactor):
    parser = argparse.ArgumentParser(description="The article's TCP echo server with timeouts.")
    parser.add_argument("--port", type=int, default=8000, help="where to listen (8000)")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for a connection and for data (5)")
    args = parser.parse_args()
    try:
        await serverStart(args.port, args.timeout)
    except (net.InvalidArgument, net.ListenFailed) as e:
        raise SystemExit(str(e)) from None


if __name__ == "__main__":
    react(main, [])
