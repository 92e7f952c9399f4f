"""
What the tests of several rooms share: the far end of a connection in memory, and tools that may be missing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest import TestCase

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from wasinet_twisted.net import ConnectionFactory, WasiTcpConn


def needsTool(name: str) -> str:
    """
    The path of a program that a test needs. Without it the test is skipped; where WASINET_REQUIRE_TOOLS=1 says
    that everything is installed, it fails.
    """
    path = shutil.which(name)
    if path is None:
        if os.environ.get("WASINET_REQUIRE_TOOLS") == "1":
            pytest.fail(f"{name} is not installed, though WASINET_REQUIRE_TOOLS=1")
        pytest.skip(f"needs {name}")
    return path


def temporaryDirectory(case: TestCase) -> Path:
    """
    A directory that goes with the test. trial's mktemp() would, under pytest, leave it in the checkout.
    """
    directory = tempfile.TemporaryDirectory()
    case.addCleanup(directory.cleanup)
    return Path(directory.name)


class MemoryTransport(StringTransport):
    """
    A transport without half-close, as TLS is. As in a real one, the end of the connection is told later, not from
    within the call that asks for it.
    """

    def __init__(self, clock: Clock, protocol: Protocol, peer: IPv4Address) -> None:
        super().__init__(peerAddress=peer)
        self.aborted = False
        self.gone = False
        self._clock = clock
        self._protocol = protocol

    def unregisterProducer(self) -> None:
        # A real one doesn't mind if there is none.
        self.producer = None
        self.streaming = None

    def loseConnection(self) -> None:
        super().loseConnection()
        self._clock.callLater(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self._clock.callLater(0, self.lose, ConnectionAborted())

    def lose(self, reason: Exception) -> None:
        """
        The connection is gone.
        """
        if not self.gone:
            self.gone = True
            self._protocol.connectionLost(Failure(reason))


@implementer(IHalfCloseableDescriptor)
class HalfCloseableTransport(MemoryTransport):
    """
    A transport as TCP's.

    @ivar ended: has our direction been ended?
    """

    ended = False

    def loseWriteConnection(self) -> None:
        self.ended = True
        self._clock.callLater(0, self._protocol.writeConnectionLost)


class MemoryPeer:
    """
    The far end of a connection over which a handler runs.
    """

    def __init__(
        self,
        handler: Callable[[WasiTcpConn], Awaitable[object]] | ConnectionFactory,
        clock: Clock,
        transport: type[MemoryTransport] = HalfCloseableTransport,
    ) -> None:
        factory = handler if isinstance(handler, ConnectionFactory) else ConnectionFactory(handler, reactor=clock)
        self._clock = clock
        self._protocol = factory.buildProtocol(None)
        self.transport = transport(clock, self._protocol, IPv4Address("TCP", "192.0.2.7", 40000))
        self._protocol.makeConnection(self.transport)
        self.settle()

    def settle(self) -> None:
        """
        Let the reactor do what it can do without time passing.
        """
        self._clock.pump([0] * 8)

    def send(self, data: bytes) -> None:
        """
        Bytes arrive, unless the near end has closed.
        """
        if data and not self.transport.gone:
            self._protocol.dataReceived(data)
        self.settle()

    def end(self) -> None:
        """
        The far end ends its direction.
        """
        if IHalfCloseableDescriptor.providedBy(self.transport):
            self._protocol.readConnectionLost()
        else:
            self.transport.lose(ConnectionDone())
        self.settle()

    def reset(self) -> None:
        """
        The far end resets the connection.
        """
        self.transport.lose(ConnectionLost())
        self.settle()

    def take(self) -> bytes:
        """
        What has come since the last take.
        """
        data = self.transport.value()
        self.transport.clear()
        return data
