"""
Fetch several URLs at once, and tell of each its status, its length, and where the time went.

    python examples/fetch.py https://example.org/ http://example.com/ http://127.0.0.1:8000/

A line is printed as soon as a response is complete; what could not be fetched has a line on the standard error, and
then the program ends with 1.
"""

import argparse
import sys

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import react

from wasinet_twisted import errors, fetch
from wasinet_twisted.client import Pool


async def show(url, pool, timeout):
    try:
        async with await fetch(url, pool=pool, timeout=timeout) as response:
            length = 0
            # Piece by piece: of a long body only one piece is in memory.
            async for piece in response.stream():
                length += len(piece)
    except errors.WasinetError as e:
        print(f"{url}: {e}", file=sys.stderr, flush=True)
        return False
    times = response.timings
    named = (("name", times.resolve), ("connect", times.connect), ("TLS", times.tls), ("first byte", times.firstByte))
    # A connection that was kept from another request, or an address instead of a name, has no such phase.
    phases = ", ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in named if seconds is not None)
    where = url if response.url == url else f"{url} -> {response.url}"
    print(f"{response.status} {length:10,} bytes {times.total * 1000:7.0f} ms ({phases})  {where}", flush=True)
    return True


async def main(reactor):
    parser = argparse.ArgumentParser(description="Fetch several URLs at once.")
    parser.add_argument("urls", metavar="URL", nargs="+", help="http://... or https://...")
    parser.add_argument("--timeout", metavar="S", type=float, default=30.0, help="seconds for each of them (30)")
    parser.add_argument("--ca", metavar="FILE", help="trust the certificates in this file instead of the system's")
    args = parser.parse_args()
    try:
        pool = Pool(caCertificates=args.ca)
    except errors.WasinetError as e:
        raise SystemExit(str(e)) from None
    async with pool:
        fetched = await gatherResults([ensureDeferred(show(url, pool, args.timeout)) for url in args.urls])
    if not all(fetched):
        raise SystemExit(1)


if __name__ == "__main__":
    react(main, [])
