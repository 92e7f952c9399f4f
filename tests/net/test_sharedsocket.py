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
from wasinet_twisted.net.server.sharedsocket import BATCH, SharedSocket


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
        self.gate.wrap = SharedSocket
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
        clock = Clock()
        self.ports = [Port(self.listening, clock) for _ in range(2)]
        for port in self.ports:
            self.addCleanup(port.close)

    def connect(self, count: int = 1) -> None:
        for _ in range(count):
            self.addCleanup(socket.create_connection(self.listening.getsockname()).close)

    def test_batches(self) -> None:
        """
        Of a burst each takes a few in its turn, and no turn is lost for nothing.
        """
        self.connect(5 * BATCH)
        one, two = self.ports
        self.assertEqual(one.doRead(), BATCH)
        self.assertEqual(two.doRead(), BATCH)
        self.assertEqual([one.doRead() for _ in range(3)], [BATCH] * 3)
        self.assertEqual(one.doRead(), 0)

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
        self.connect(BATCH + 1)
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

        start(0, 1)
        self.connect()
        first = woken.get(timeout=PATIENCE)
        self.assertRaises(Empty, woken.get, timeout=0.2)
        self.assertEqual(self.ports[first].doRead(), 1)
        self.ports[first].doRead()
        start(first)
        self.connect()
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
