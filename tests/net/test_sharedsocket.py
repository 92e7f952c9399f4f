"""
Listening sockets that several processes accept from: each leaves the others their part.
"""

from __future__ import annotations

import select
import socket
import time
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import PATIENCE
from wasinet_twisted.net.server.acceptgate import Gate
from wasinet_twisted.net.server.sharedsocket import SharedSocket
from wasinet_twisted.net.server.turns import BATCH, MEMORY, MORE, MOST, REST, STAY, Turns


class Waiting:
    """
    A reactor that waits by epoll, as far as matters.
    """

    def __init__(self) -> None:
        self._poller = select.epoll()


class Port:
    """
    A listening port of Twisted's, as far as matters, on a socket that it shares.
    """

    connected = True

    def __init__(self, listening: socket.socket, clock: Clock) -> None:
        self.reactor = Waiting()
        self.socket: Any = listening.dup()
        self.socket.setblocking(False)
        self.numberAccepts = 100
        self.accepted: list[socket.socket] = []
        self.gate = Gate(clock)
        self.gate.share(SharedSocket)
        self.startReading()
        self.gate.attach(self)  # type: ignore[arg-type]

    def fileno(self) -> int:
        return int(self.socket.fileno())

    def startReading(self) -> None:
        self.reactor._poller.register(self.fileno(), select.EPOLLIN)

    def stopReading(self) -> None:
        self.reactor._poller.unregister(self.fileno())

    def isWoken(self) -> bool:
        return bool(self.reactor._poller.poll(0))

    def doRead(self) -> int:
        """
        As Twisted's.
        """
        accepted = 0
        while accepted < self.numberAccepts:
            try:
                self.accepted.append(self.socket.accept()[0])
            except BlockingIOError:
                break
            accepted += 1
        self.numberAccepts = self.numberAccepts + 20 if accepted == self.numberAccepts else max(1, accepted)
        return accepted

    def close(self) -> None:
        self.reactor._poller.close()
        self.socket.close()
        for each in self.accepted:
            each.close()


@pytest.mark.skipif(not hasattr(select, "EPOLLEXCLUSIVE"), reason="the system has no epoll")
class SharedSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.addCleanup(self.listening.close)
        self.clock = Clock()
        self.ports = [Port(self.listening, self.clock) for _ in range(2)]
        for port in self.ports:
            self.addCleanup(port.close)

    def connect(self, count: int = 1) -> None:
        for _ in range(count):
            self.addCleanup(socket.create_connection(self.listening.getsockname()).close)

    def test_batches(self) -> None:
        """
        Of a burst each takes a few, and leaves the others to the other one for a moment.
        """
        self.connect(4 * BATCH)
        one, two = self.ports
        self.assertEqual(one.doRead(), BATCH)
        self.assertFalse(one.isWoken())
        self.assertTrue(two.isWoken())
        self.assertEqual(two.doRead(), BATCH)
        self.clock.advance(REST)
        self.assertTrue(one.isWoken())
        # What Twisted learns of the batches before is no matter here.
        one.numberAccepts = two.numberAccepts = 100
        self.assertEqual(one.doRead(), BATCH + MORE)
        self.assertEqual(two.doRead(), BATCH - MORE)

    def test_theOthersAreBusy(self) -> None:
        """
        A process takes more each time if connections wait even so, until nobody does.
        """
        one, _ = self.ports
        self.connect(3 * BATCH + 3 * MORE)
        for count in (BATCH, BATCH + MORE, BATCH + 2 * MORE, 0):
            one.numberAccepts = 100
            self.assertEqual(one.doRead(), count)
            self.clock.advance(REST)
        self.connect(BATCH + 1)
        one.numberAccepts = 100
        self.assertEqual(one.doRead(), BATCH)

    def test_thoseThatEnd(self) -> None:
        """
        Connections that end as fast as they come are accepted without a pause.
        """
        one, _ = self.ports
        for _ in range(3 * BATCH):
            self.connect()
            self.assertEqual(one.doRead(), 1)
            one.gate.feed()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain(self) -> None:
        """
        Who waits when a process ends is accepted by it, whoever's turn it is; the rest is none of its business then.
        """
        one, _ = self.ports
        self.connect(5 * BATCH)
        self.assertEqual(one.doRead(), BATCH)
        one.gate.takeQueued(one)  # type: ignore[arg-type]
        self.assertEqual(len(one.accepted), 5 * BATCH)
        one.gate.detach(one)  # type: ignore[arg-type]
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_numberAccepts(self) -> None:
        """
        Twisted's own bound may end a batch; that is no reason to leave out the next one.
        """
        (one, _) = self.ports
        for _ in range(6):
            one.numberAccepts = 1
            self.connect()
            self.assertEqual(one.doRead(), 1)

    def test_stillReadable(self) -> None:
        """
        Who comes while a process takes its turn, or whom it has left, is told of again.
        """
        one, two = self.ports
        self.connect(3)
        one.numberAccepts = 2
        one.doRead()
        self.assertTrue(one.isWoken())
        two.doRead()
        self.assertFalse(one.isWoken())

    def test_turns(self) -> None:
        """
        One that waits is woken, not all, and then it is another one's turn.
        """
        woken: SimpleQueue[int] = SimpleQueue()
        stop = [False]

        def wait(index: int) -> None:
            if self.ports[index].reactor._poller.poll(PATIENCE) and not stop[0]:
                woken.put(index)

        def start(*indexes: int) -> None:
            for index in indexes:
                thread = Thread(target=wait, args=(index,))
                thread.start()
                self.addCleanup(thread.join)
            # Until they wait. Those who come too late are woken all the same, and the test is none.
            time.sleep(0.1)

        def accept(index: int) -> None:
            self.assertEqual(self.ports[index].doRead(), 1)
            self.ports[index].doRead()
            start(index)
            self.connect()

        start(0, 1)
        self.connect()
        first = woken.get(timeout=PATIENCE)
        self.assertRaises(Empty, woken.get, timeout=0.2)
        accept(first)
        self.assertEqual(woken.get(timeout=PATIENCE), 1 - first)
        # If a connection has ended meanwhile, it stays this one's turn.
        self.ports[1 - first].gate.feed()
        accept(1 - first)
        self.assertEqual(woken.get(timeout=PATIENCE), 1 - first)
        stop[0] = True
        # Nobody has accepted it, so that who waits is told again.
        self.ports[first].socket.watched()

    def test_theGate(self) -> None:
        """
        Shut, it is not watched; open again, it is.
        """
        one, _ = self.ports
        one.gate.hold("full")
        self.connect()
        self.assertFalse(one.isWoken())
        self.assertEqual(one.doRead(), 0)
        one.gate.release("full")
        self.assertTrue(one.isWoken())
        self.assertEqual(one.doRead(), 1)
        # It may be shut by the connection that is accepted.
        one.gate.hold("full")
        one.socket.watched()
        self.connect()
        self.assertFalse(one.isWoken())

    def test_otherReactors(self) -> None:
        """
        They are woken as ever.
        """
        one, _ = self.ports
        plain = SharedSocket(self.listening, one.gate, type("Port", (), {"reactor": Clock(), "numberAccepts": 9}))
        plain.watched()
        self.listening.setblocking(False)
        self.connect()
        plain.accept()[0].close()


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.turns = Turns(lambda: self.told.append("rest"), lambda: self.told.append("go on"), self.clock)

    def take(self, count: int) -> None:
        for _ in range(count):
            self.turns.took()

    def test_alone(self) -> None:
        """
        A process whose others take nobody, or that has none, accepts more each time, and soon as many as it can.
        """
        batches = 0
        accepted = 0
        while accepted < 1000:
            before = len(self.told)
            while len(self.told) == before:
                self.take(1)
                accepted += 1
            batches += 1
            self.clock.advance(REST)
        self.assertEqual(self.told, ["rest", "go on"] * batches)
        self.assertLess(batches, 26)
        self.take(MOST - 1)
        self.assertEqual(len(self.told), 2 * batches)
        self.take(1)
        self.assertEqual(self.told[2 * batches :], ["rest"])
        self.clock.advance(REST)
        self.turns.nobody()
        self.take(BATCH)
        self.assertEqual(self.told[2 * batches + 2 :], ["rest"])

    def test_restsAreShort(self) -> None:
        """
        One ends before its time when connections end, but not with each of them; and where they do, rests become rare.
        """
        self.take(BATCH)
        for _ in range(BATCH // 2 - 1):
            self.turns.ended()
        self.assertEqual(self.told, ["rest"])
        self.turns.ended()
        self.assertEqual(self.told, ["rest", "go on"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.take(2 * BATCH - BATCH // 2 - 1)
        self.assertEqual(len(self.told), 2)
        self.take(1)
        self.assertEqual(self.told[2:], ["rest"])
        self.clock.advance(REST)
        self.assertEqual(self.told[3:], ["go on"])

    def test_theyComeAndGo(self) -> None:
        """
        Of many that come and go in batches, soon none waits for another process.
        """
        for _ in range(20):
            self.take(MOST - 1)
            for _ in range(MOST - 1):
                self.turns.ended()
        # After 8, 16 and 32; 64 are never there.
        self.assertEqual(self.told, ["rest", "go on"] * 3)

    def test_theyAreRemembered(self) -> None:
        """
        That they end as fast as they come holds for a while, though nobody may wait now and then.
        """
        self.take(BATCH)
        for _ in range(BATCH):
            self.turns.ended()
        self.turns.woken()
        self.clock.advance(MEMORY)
        self.turns.nobody()
        self.turns.woken()
        self.take(2 * BATCH - 1)
        self.assertEqual(self.told, ["rest", "go on"])
        self.take(1)
        self.assertEqual(self.told[2:], ["rest"])
        self.clock.advance(REST)
        self.turns.nobody()
        self.turns.woken()
        self.take(BATCH)
        self.assertEqual(self.told[2:], ["rest", "go on", "rest"])

    def test_first(self) -> None:
        """
        A process stays first only where its connections end: for some that it accepts, and for a while.
        """
        self.assertFalse(self.turns.woken())
        self.take(1)
        self.assertFalse(self.turns.woken())
        for _ in range(2):
            for _ in range(STAY):
                self.turns.ended()
                self.assertTrue(self.turns.woken())
                self.take(1)
            self.turns.ended()
            self.assertFalse(self.turns.woken())
        self.clock.advance(MEMORY)
        self.assertTrue(self.turns.woken())
        self.clock.advance(MEMORY / 10)
        self.assertFalse(self.turns.woken())

    def test_slowGrowth(self) -> None:
        """
        Those that ended before count for nothing, and no more than there were.
        """
        for _ in range(5):
            self.turns.ended()
        self.take(BATCH - 1)
        self.assertEqual(self.told, [])
        self.take(1)
        self.assertEqual(self.told, ["rest"])
