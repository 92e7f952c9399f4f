"""
A connection on a transport that does nothing by itself: what units of the room are tested on.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from wasinet_twisted.net import WasiTcpConn
from wasinet_twisted.net.stream.protocol import ConnectionProtocol

HOST = IPv4Address("TCP", "192.0.2.2", 8000)
PEER = IPv4Address("TCP", "192.0.2.1", 54321)


@implementer(IHalfCloseableDescriptor)
class Transport(StringTransport):
    """
    A transport whose peer takes what the test lets it take.
    """

    aborted = False
    halfClosed = False

    def __init__(self) -> None:
        super().__init__(hostAddress=HOST, peerAddress=PEER)

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def loseWriteConnection(self) -> None:
        self.halfClosed = True


def turn(clock: Clock) -> None:
    """
    One turn of the reactor. Clock.advance() goes on until no call is due, as no reactor does.
    """
    for call in clock.getDelayedCalls():
        if call.active() and call.getTime() <= clock.seconds():
            clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.protocol = ConnectionProtocol(self.clock)
        self.protocol.makeConnection(self.transport)
        self.conn = WasiTcpConn(self.protocol)

    def lose(self, kind: type[Exception] = ConnectionDone) -> None:
        self.protocol.connectionLost(Failure(kind()))
