"""
A chat of lines: what one says, all the others read.

    python examples/line_chat.py [--port 8000] [--idle 300]

Then, in several terminals:

    nc localhost 8000

The first line is your name. Lines are bounded, whoever says nothing for too long is asked to leave, and one who
doesn't read holds nobody up.
"""

import argparse
import contextlib

from twisted.internet.task import react

from wasinet_twisted import net

LONGEST = 1000


class Room:
    def __init__(self, idle):
        self.idle = idle
        self.people = {}

    def tell(self, text, but=None):
        for conn in list(self.people):
            if conn is not but:
                # Not awaited: who doesn't read has a queue with a bound of its own.
                with contextlib.suppress(net.ConnectionClosed):
                    conn.write(text)

    async def readText(self, conn):
        line = await conn.readLine(maxBytes=LONGEST, timeout=self.idle)
        return line.decode("utf-8", "replace").rstrip("\r\n") if line else None

    async def handle(self, conn):
        """
        One person, from coming to going. When this returns, the connection closes.
        """
        try:
            await conn.write("Your name?\n")
            name = await self.readText(conn)
            if not name:
                return
            await conn.write(f"* hello {name}, beside you there are {len(self.people)}\n")
            self.people[conn] = name
            self.tell(f"* {name} is here\n", but=conn)
            while (text := await self.readText(conn)) is not None:
                self.tell(f"{name}: {text}\n", but=conn)
        except net.TimedOut:
            await conn.write("You have said nothing for long: good bye.\n")
        except net.LimitExceeded:
            await conn.write(f"A line has {LONGEST} bytes at the most: good bye.\n")
        except net.ConnectionClosed:
            pass
        finally:
            if name := self.people.pop(conn, None):
                self.tell(f"* {name} has left\n")


async def main(reactor):
    parser = argparse.ArgumentParser(description="A chat of lines.")
    parser.add_argument("--port", type=int, default=8000, help="where to listen (8000)")
    parser.add_argument(
        "--idle", type=float, default=300.0, help="seconds of silence before one is asked to leave (300)"
    )
    args = parser.parse_args()
    try:
        server = net.WasiTcpServer(args.port)
    except (net.ListenFailed, net.InvalidArgument) as e:
        raise SystemExit(str(e)) from None
    print("listen", args.port, "...", flush=True)
    serving = server.serveForever(Room(args.idle).handle)
    # Ctrl-C: the people are asked to leave, what is queued for them is sent.
    reactor.addSystemEventTrigger("before", "shutdown", server.drain, 0)
    await serving


if __name__ == "__main__":
    react(main, [])
