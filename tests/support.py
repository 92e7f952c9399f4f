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
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.task import Clock

from wasinet_twisted.net import ConnectionFactory, WasiTcpConn
from wasinet_twisted.net.stream.protocol import ConnectionProtocol
from wasinet_twisted.testing import Link


def more(least: int, times: int) -> int:
    """
    How often something is tried: C{least} times, and so many C{times} as often where WASINET_LONG=1 says that there is
    an hour.
    """
    return least * times if os.environ.get("WASINET_LONG") == "1" else least


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


class MemoryPeer:
    """
    The far end of a connection over which a handler runs.

    @ivar link: what is between the two.
    @ivar transport: the handler's transport.
    @ivar conn: our end.
    """

    def __init__(
        self,
        handler: Callable[[WasiTcpConn], Awaitable[object]] | ConnectionFactory,
        clock: Clock,
        *,
        halfClose: bool = True,
    ) -> None:
        factory = handler if isinstance(handler, ConnectionFactory) else ConnectionFactory(handler, reactor=clock)
        self.link = Link(clock, halfClose=halfClose)
        ours = ConnectionProtocol(clock)
        self.link.beginClient(ours)
        self.conn = WasiTcpConn(ours)
        self.link.beginServer(factory.buildProtocol(self.link.clientAddress))
        self.transport = self.link.serverTransport
        self.settle()

    @property
    def gone(self) -> bool:
        """
        Is the handler's end of the connection gone, whatever the way?
        """
        return bool(self.transport.disconnected)

    @property
    def aborted(self) -> bool:
        """
        Has the handler's side reset it?
        """
        return self.transport._aborting

    def settle(self) -> None:
        """
        Let the reactor do what it can do without time passing.
        """
        self.link.settle()

    def send(self, data: bytes) -> None:
        """
        Bytes arrive, unless the near end has closed.
        """
        self.conn.write(data)
        self.settle()

    def end(self) -> None:
        """
        The far end ends its direction.
        """
        if IHalfCloseableDescriptor.providedBy(self.transport):
            if not self.gone:
                self.conn.finish()
        else:
            self.conn.close()
        self.settle()

    def reset(self) -> None:
        """
        The far end resets the connection.
        """
        self.conn.abort()
        self.settle()

    def stall(self) -> None:
        """
        The far end takes nothing more, and the handler's transport is full, as if it held 64 KiB.
        """
        self.link.toClient.window = 1
        self.link.clientTransport.pauseProducing()
        self.transport.producerPaused = True
        self.transport.producer.pauseProducing()

    def flow(self) -> None:
        """
        The far end takes everything again.
        """
        self.link.toClient.window = 256 * 1024
        self.link.clientTransport.resumeProducing()
        # Looks whether there is something to send; if not, the producer goes on all the same.
        self.transport.startWriting()
        self.settle()

    def take(self) -> bytes:
        """
        What has come since the last take.
        """
        taken = []
        while True:
            reading = self.conn.read()
            self.settle()
            if not reading.called:
                reading.cancel()
            results: list[object] = []
            reading.addBoth(results.append)
            (data,) = results
            if not isinstance(data, bytes) or not data:
                return b"".join(taken)
            taken.append(data)
