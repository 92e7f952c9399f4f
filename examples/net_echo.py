"""
The article's TCP echo server (wasi_net_echo.js).

    python examples/net_echo.py [--port 8000]

Then, in another terminal:

    printf WasmEdge | nc -q1 localhost 8000
"""

import argparse

from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.task import react

from wasinet_twisted import net


async def handleClient(cs):
    while True:
        try:
            d = await cs.read()
            if len(d) <= 0:
                break
            s = d.decode("utf-8", "replace")
            cs.write("echo:" + s)
        except Exception as e:
            print(e)
    # The article leaves this to the collector; but the program may end with its last client, and not before the answer
    # has been sent.
    await cs.close()


async def serverStart(port):
    s = net.WasiTcpServer(port)
    clients = []
    for _ in range(100):
        cs = await s.accept()
        clients.append(ensureDeferred(handleClient(cs)))
    # As in the original, a hundred connections are served to their end, and no more are taken.
    await s.close()
    await DeferredList(clients)


async def main(reactor):
    parser = argparse.ArgumentParser(description="The article's TCP echo server.")
    parser.add_argument("--port", type=int, default=8000, help="where to listen (8000)")
    args = parser.parse_args()
    try:
        await serverStart(args.port)
    except (net.InvalidArgument, net.ListenFailed) as e:
        raise SystemExit(str(e)) from None


if __name__ == "__main__":
    react(main, [])
