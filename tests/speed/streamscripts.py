"""
Random lives of a connection: what a handler awaits, and what happens meanwhile. All follows from a seed, so that two
forms of the same code can be compared.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, inlineCallbacks
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from tests.net.support import PEER, Transport, turn
from wasinet_twisted.net import ConnectionFactory, WasiTcpConn
from wasinet_twisted.net.stream.protocol import READ_BUFFER, ConnectionProtocol

# How many bytes a transport takes before it pauses its producer.
_FULL = 300
_SIZES = (1, 3, 64, 512, 5000)
_STATE = ("_immediate", "_queued", "_readPaused", "_writePaused", "closing", "finished", "peerFinished", "lost")


class Filling(Transport):
    """
    A transport that pauses its producer while more than so much has been written.
    """

    room = _FULL

    def write(self, data: bytes) -> None:
        super().write(data)
        self.room -= len(data)
        if self.room < 0 and self.producer is not None and not self.disconnecting:
            self.producer.pauseProducing()

    def drain(self) -> None:
        """
        The peer has taken all.
        """
        self.room = _FULL
        if self.producer is not None:
            self.producer.resumeProducing()


class Life:
    """
    One connection, from its beginning to its end.

    @ivar story: all that anybody has been told, and the state after each event.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.story: list[Any] = []
        self.clock = Clock()
        self.transport = Filling()
        self.made: list[Deferred[Any]] = []
        how = self.chance.choice(("owned", "child", "ensureDeferred", "inlineCallbacks"))
        self.factory = ConnectionFactory(self.handle, reactor=self.clock)
        self.protocol: ConnectionProtocol
        if how == "owned":
            self.protocol = self.factory.buildProtocol(PEER)  # type: ignore[assignment]
            self.protocol.makeConnection(self.transport)
        else:
            self.protocol = ConnectionProtocol(self.clock)
            self.protocol.makeConnection(self.transport)
            conn = WasiTcpConn(self.protocol)
            if how == "child":
                running = conn.start(self.handle(conn))
            elif how == "ensureDeferred":
                running = ensureDeferred(self.handle(conn))
            else:
                running = self.generate(conn)
            self.note(running, "ended")

    def run(self) -> list[Any]:
        """
        Live it. The collector comes when it is called only: it would not find the same garbage each time.
        """
        gc.disable()
        try:
            return self._run()
        finally:
            gc.enable()

    def _run(self) -> list[Any]:
        for _ in range(self.chance.randint(5, 100)):
            self.happen()
            self.story.append(self.state())
        self.lose()
        for _ in range(200):
            turn(self.clock)
        self.clock.advance(100)
        self.story.append((self.transport.value(), self.transport.aborted, self.transport.disconnecting))
        # What is not over is so whenever the collector comes.
        return list(self.story)

    def state(self) -> tuple[Any, ...]:
        """
        What the connection is like.
        """
        incoming, asked = self.protocol._incoming, self.protocol._asked
        return (
            asked if isinstance(asked, int) else type(asked).__name__,
            *(getattr(self.protocol, name) for name in _STATE),
            self.protocol.waits(),
            (incoming.size, incoming.waiting, incoming.want is None, incoming.ended),
            self.transport.producerState,
            len(self.transport.value()),
            len(self.clock.getDelayedCalls()),
        )

    # What happens

    def happen(self) -> None:
        """
        One event from outside.
        """
        chance = self.chance.random()
        transport, protocol = self.transport, self.protocol
        if chance < 0.55:
            if not (protocol.lost or protocol.peerFinished):
                self.arrive(self.chance.choice(_SIZES))
        elif chance < 0.6:
            if not (protocol.lost or protocol.peerFinished):
                self.arrive(READ_BUFFER + 1)
        elif chance < 0.75:
            transport.drain()
        elif chance < 0.93:
            self.clock.advance(self.chance.choice((0, 0, 0.5, 2)))
        elif chance < 0.95:
            if transport.producer is not None:
                transport.producer.pauseProducing()
        elif chance < 0.97:
            for task in self.factory.tasks:
                task.cancel()
        elif chance < 0.98:
            if not (protocol.lost or protocol.peerFinished):
                protocol.readConnectionLost()
        elif chance < 0.985:
            protocol.close(5)
        elif chance < 0.993:
            for task in self.factory.tasks:
                task.kill()
        else:
            self.lose()

    def arrive(self, size: int) -> None:
        """
        Bytes arrive.
        """
        self.protocol.dataReceived(self.chance.randbytes(size))

    def lose(self) -> None:
        """
        The connection is lost.
        """
        if not self.protocol.lost:
            self.protocol.connectionLost(Failure(self.chance.choice((ConnectionDone, ConnectionLost))()))

    # Who awaits

    def note(self, deferred: Deferred[Any], what: str) -> None:
        """
        Write down what a Deferred fires with.
        """

        def told(result: Any) -> None:
            self.story.append((what, self.name(result)))

        deferred.addBoth(told)
        self.made.append(deferred)

    def name(self, result: Any) -> Any:
        """
        A result, to be compared.
        """
        if isinstance(result, Failure):
            result = result.value
        return (type(result).__name__, str(result)) if isinstance(result, BaseException) else result

    async def handle(self, conn: WasiTcpConn) -> str:
        """
        What a handler may do.
        """
        over = 0
        try:
            for _ in range(self.chance.randint(1, 200)):
                over += conn._protocol.peerFinished
                if over > 8:
                    break
                what = self.chance.choice(_STEPS)
                try:
                    self.story.append((what, self.name(await getattr(self, what)(conn))))
                except StopAsyncIteration:
                    self.story.append((what, "end"))
                except Exception as error:
                    self.story.append((what, self.name(error)))
        except BaseException as error:
            self.story.append(("handler", self.name(error)))
            raise
        if self.chance.random() < 0.3:
            await conn.close(5)
        return "done"

    @inlineCallbacks
    def generate(self, conn: WasiTcpConn) -> Generator[Deferred[Any], Any, str]:
        """
        The same for inlineCallbacks.
        """
        for _ in range(self.chance.randint(1, 100)):
            try:
                if self.chance.random() < 0.5:
                    self.story.append(("read", (yield conn.read(self.chance.choice(_SIZES)))))
                else:
                    self.story.append(("write", (yield conn.write(b"y" * self.chance.choice(_SIZES)))))
            except Exception as error:
                self.story.append(self.name(error))
        return "done"

    async def next(self, conn: WasiTcpConn) -> bytes:
        return await conn.__anext__()

    async def rounds(self, conn: WasiTcpConn) -> int:
        most = self.chance.randint(1, 80)
        count = 0
        async for data in conn:
            count += len(data)
            await conn.write(data[:7])
            most -= 1
            if not most:
                break
        return count

    async def read(self, conn: WasiTcpConn) -> bytes:
        return await conn.read()

    async def readSome(self, conn: WasiTcpConn) -> bytes:
        return await conn.read(self.chance.choice(_SIZES))

    async def readLate(self, conn: WasiTcpConn) -> bytes:
        return await conn.read(timeout=1)

    async def readExactly(self, conn: WasiTcpConn) -> bytes:
        return await conn.readExactly(self.chance.choice(_SIZES), timeout=1)

    async def readTwice(self, conn: WasiTcpConn) -> bytes:
        first = conn.read()
        try:
            await conn.read()
        except Exception as error:
            self.story.append(("second", self.name(error)))
        return await first

    async def readCancelled(self, conn: WasiTcpConn) -> bytes:
        reading = conn.read()
        self.note(reading, "cancelled")
        reading.cancel()
        return await conn.read(2)

    async def readWithCallbacks(self, conn: WasiTcpConn) -> Any:
        reading = conn.read()
        self.note(reading, "before")
        return await reading

    async def readPaused(self, conn: WasiTcpConn) -> Any:
        reading = conn.read()
        reading.pause()
        self.clock.callLater(0.5, reading.unpause)
        return await reading

    async def readStrange(self, conn: WasiTcpConn) -> bytes:
        return await conn.read(self.chance.choice((0, -1, True, 2**80, "5")))  # type: ignore[arg-type]

    async def unread(self, conn: WasiTcpConn) -> None:
        conn.unread(b"again")

    async def write(self, conn: WasiTcpConn) -> None:
        await conn.write(b"x" * self.chance.choice(_SIZES))

    async def writeOther(self, conn: WasiTcpConn) -> None:
        await conn.write(self.chance.choice((b"", "text", bytearray(b"ba"), memoryview(b"mv"), 5)))  # type: ignore[arg-type]

    async def writeOften(self, conn: WasiTcpConn) -> None:
        for _ in range(self.chance.randint(1, 100)):
            conn.write(b".")

    async def writeWithCallbacks(self, conn: WasiTcpConn) -> Any:
        writing = conn.write(b"z")
        writing.addCallback(lambda _: self.chance.choice((None, "other")))
        return await writing

    async def sleep(self, conn: WasiTcpConn) -> None:
        await deferLater(self.clock, self.chance.choice((0, 0.5)), lambda: None)

    async def finish(self, conn: WasiTcpConn) -> None:
        if self.chance.random() < 0.05:
            conn.finish()

    async def collect(self, conn: WasiTcpConn) -> None:
        if self.chance.random() < 0.02:
            gc.collect()


_STEPS = [name for name in vars(Life) if name not in vars(object) and not name.startswith("_")]
for _name in ("run", "state", "happen", "arrive", "lose", "note", "name", "handle", "generate"):
    _STEPS.remove(_name)
_STEPS += ["next", "rounds", "read", "write"] * 3
