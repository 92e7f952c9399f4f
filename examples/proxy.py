"""
A TCP proxy: who connects to it is connected with a target.

    python examples/proxy.py --to example.com:80 [--listen 8000] [--max-connections 100]

Then, in another terminal:

    printf 'GET / HTTP/1.0\\r\\nHost: example.com\\r\\n\\r\\n' | nc localhost 8000

Both options take Twisted's endpoint strings too: C{--listen unix:/run/proxy.sock --to tcp:localhost:80}. Each side's
pace, the end of each direction and a reset are passed on. TLS can't end one direction only, so it is for neither side.
"""

import argparse
from functools import partial

from twisted.internet.defer import FirstError, gatherResults
from twisted.internet.task import react

from wasinet_twisted import net


async def forward(source, target):
    async for data in source:
        # Until the target has taken it, nothing more is read: that is all the flow control there is.
        await target.write(data)
    await target.finish()


async def proxy(to, client):
    try:
        async with await net.connect(to) as server:
            # Each is owned by the connection it reads from: when that is reset, it ends even while it waits to write.
            there = client.start(forward(client, server))
            back = server.start(forward(server, client))
            await gatherResults([there, back], consumeErrors=True)
    except FirstError as e:
        print(net.formatAddress(client.peer()), repr(e.subFailure.value), flush=True)
        # Leaving the block has reset the other one.
        client.abort()
    except (net.ConnectFailed, net.ConnectionClosed, net.InvalidArgument, net.TimedOut) as e:
        print(net.formatAddress(client.peer()), e, flush=True)


async def main(reactor):
    parser = argparse.ArgumentParser(description="A TCP proxy.")
    parser.add_argument("--listen", metavar="PORT", default="8000", help="a port, or a server endpoint string (8000)")
    parser.add_argument("--to", metavar="HOST:PORT", required=True, help="the target, or a client endpoint string")
    parser.add_argument("--max-connections", metavar="N", type=int, help="others wait (no bound)")
    args = parser.parse_args()
    try:
        listen = int(args.listen) if args.listen.isdecimal() else args.listen
        server = net.WasiTcpServer(listen, maxConnections=args.max_connections)
    except (net.InvalidArgument, net.ListenFailed) as e:
        raise SystemExit(str(e)) from None
    print("listen", args.listen, "...", flush=True)
    # Ctrl-C: nobody new is let in, and those who are have three seconds to come to their end.
    reactor.addSystemEventTrigger("before", "shutdown", server.drain, 3.0)
    await server.serveForever(partial(proxy, args.to))


if __name__ == "__main__":
    react(main, [])
