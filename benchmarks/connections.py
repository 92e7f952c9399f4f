"""
How much memory a connection takes that does nothing but wait: ours, Twisted's and asyncio's.

    python -m benchmarks.connections [--count 10000] [--json FILE]

Each candidate is a server in a process of its own, with a task or a Protocol
that waits for bytes on every connection. A child process holds the clients.
Counted is what the server's resident memory grows by, after a first thousand
connections that warm it up; the kernel's own memory (some KiB for each socket)
is the same for all and not part of it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WARM_UP = 1000
PAGE = resource.getpagesize()
OURS = "wasinet_twisted, a handler that waits in read()"


def raiseLimit() -> int:
    """
    As many descriptors as the system lets this process have.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def resident() -> int:
    """
    The resident memory of this process, in bytes.
    """
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def answer(count: Callable[[], int]) -> None:
    """
    To each line on the standard input: how many connections there are, and how much memory.
    """
    sys.stdin.readline()
    print(count(), resident(), flush=True)


def serveTwisted(makeFactory: Callable[[], Any], count: Callable[[Any], int]) -> None:
    from twisted.internet import reactor as theReactor

    reactor: Any = theReactor
    factory = makeFactory()
    port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
    print(port.getHost().port, flush=True)

    class Asked:
        """
        The standard input, for the reactor.
        """

        def fileno(self) -> int:
            return 0

        def doRead(self) -> None:
            answer(lambda: count(factory))

        def connectionLost(self, reason: object) -> None:
            reactor.stop()

        def logPrefix(self) -> str:
            return "asked"

    reactor.addReader(Asked())
    reactor.run()


def serveOurs() -> None:
    from wasinet_twisted import net

    async def handler(conn: net.WasiTcpConn) -> None:
        while data := await conn.read():
            await conn.write(data)

    serveTwisted(lambda: net.ConnectionFactory(handler), lambda factory: len(factory.connections))


def serveBare() -> None:
    from twisted.internet.protocol import Factory, Protocol

    class Counted(Protocol):
        def connectionMade(self) -> None:
            self.factory.count += 1

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)  # type: ignore[union-attr]

    def make() -> Any:
        factory: Any = Factory.forProtocol(Counted)
        factory.noisy = False
        factory.count = 0
        return factory

    serveTwisted(make, lambda factory: factory.count)


async def _asyncioStreams() -> None:
    count = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    server = await asyncio.start_server(handler, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    asyncio.get_running_loop().add_reader(0, answer, lambda: count)
    await server.serve_forever()


async def _asyncioProtocol() -> None:
    count = 0

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            nonlocal count
            count += 1
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            self._transport.write(data)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(0, answer, lambda: count)
    await server.serve_forever()


def withUvloop(main: Callable[[], Any]) -> None:
    import uvloop

    uvloop.run(main())


CANDIDATES: dict[str, Callable[[], None]] = {
    OURS: serveOurs,
    "Twisted, a bare Protocol": serveBare,
    "asyncio streams": lambda: asyncio.run(_asyncioStreams()),
    "asyncio, a bare Protocol": lambda: asyncio.run(_asyncioProtocol()),
}
if find_spec("uvloop"):
    CANDIDATES["uvloop streams"] = lambda: withUvloop(_asyncioStreams)
    CANDIDATES["uvloop, a bare Protocol"] = lambda: withUvloop(_asyncioProtocol)

CLIENTS = """
import resource, socket, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
port = int(sys.argv[1])
held = []
for line in sys.stdin:
    held += [socket.create_connection(("127.0.0.1", port)) for _ in range(int(line))]
    print(len(held), flush=True)
"""


def measure(name: str, count: int) -> float:
    """
    @return: bytes a connection.
    """
    server = [sys.executable, "-m", "benchmarks.connections", "--serve", name]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(server, **pipes) as serving:
        assert serving.stdin is not None
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        with subprocess.Popen([sys.executable, "-c", CLIENTS, port], **pipes) as clients:
            assert clients.stdin is not None
            assert clients.stdout is not None
            figures = []
            connected = 0
            for more in (WARM_UP, count):
                connected += more
                print(more, file=clients.stdin, flush=True)
                clients.stdout.readline()
                there = 0
                while there < connected:
                    print(file=serving.stdin, flush=True)
                    there, memory = map(int, serving.stdout.readline().split())
                figures.append(memory)
            serving.kill()
            clients.kill()
    return (figures[1] - figures[0]) / count


def main() -> None:
    parser = argparse.ArgumentParser(description="The memory of idle connections.")
    parser.add_argument("--count", type=int, default=10_000, help="connections at a time (10000)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    limit = raiseLimit()
    if args.serve:
        CANDIDATES[args.serve]()
        return
    if not 1 <= args.count <= limit - WARM_UP - 100:
        raise SystemExit(f"--count must be from 1 to {limit - WARM_UP - 100}: there may be {limit} descriptors")
    figures: dict[str, float] = {}
    for name in CANDIDATES:
        figures[name] = measure(name, args.count)
        ratio = figures[name] / figures[OURS]
        print(f"{name:50} {figures[name]:7.0f} bytes a connection, {ratio:.2f} of ours", flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps({"count": args.count, "bytes": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
