"""
The writing half of a connection: what is queued, how the peer takes it, and the end of our direction.
"""

from __future__ import annotations

import sys
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any

from twisted.internet.interfaces import IHalfCloseableDescriptor, IPushProducer, IReactorTime, ISSLTransport
from twisted.logger import Logger
from zope.interface import implementer

from ..errors import ConnectionClosed, LimitExceeded, NotSupported, WasinetError
from .receiving import IMMEDIATE, Receiving
from .waiting import Awaited, Done, again, failAll, succeedAll

log = Logger()

# What may wait to be sent by callers who never await their writes.
WRITE_BUFFER = 16 * 1024 * 1024


@implementer(IPushProducer)
class Sending(Receiving):
    """
    @ivar finished: has our side ended its direction?
    @ivar lost: is the connection gone?
    """

    __slots__ = ("_broken", "_finishers", "_queued", "_writePaused", "_writers", "finished", "lost")

    def __init__(self, reactor: IReactorTime) -> None:
        super().__init__(reactor)
        self.finished = False
        self.lost = False
        # The failure that awaiting writers get once the connection is gone.
        self._broken: WasinetError | None = None
        self._writePaused = False
        # How much has been queued since the transport took no more: at least what waits now.
        self._queued = 0
        self._writers: list[Awaited[None]] | None = None
        self._finishers: list[Awaited[None]] | None = None

    # IPushProducer: the transport tells how the peer takes what we write

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full.
        """
        self._writePaused = True

    def resumeProducing(self) -> None:
        """
        The transport's buffer is empty.
        """
        self._writePaused = False
        self._queued = 0
        writers, self._writers = self._writers, None
        succeedAll(writers)

    def stopProducing(self) -> None:
        """
        The connection is being lost; C{connectionLost} follows.
        """

    # IHalfCloseableProtocol, this direction

    def writeConnectionLost(self) -> None:
        """
        Our direction has been ended, everything before has been sent.
        """
        finishers, self._finishers = self._finishers, None
        self.resumeProducing()
        succeedAll(finishers)

    # The handle calls these

    def write(self, data: bytes) -> Awaited[None]:
        """
        See L{WasiTcpConn.write<wasinet_twisted.net.connection.WasiTcpConn.write>}.
        """
        if not (self.closing or self.finished or self._queued or self.lost):
            # What nearly always is so, in one go.
            self.transport.write(data)
            if not self._writePaused:
                self._immediate += 1
                if self._immediate <= IMMEDIATE and self._broken is None:
                    return Done()
            else:
                self._queued = len(data)
        else:
            self.send(data)
        written: Awaited[None] = Awaited()
        if self._broken is not None:
            self._soon(written, written.failQuietly, again(self._broken))
        elif self._writePaused:
            if self._writers is None:
                self._writers = []
            self._writers.append(written)
        else:
            self._soon(written, written.give, None)
        return written

    def send(self, data: bytes) -> None:
        """
        L{write}, for those who never await it.
        """
        if self.closing or self.finished:
            done = "closed" if self.closing else "finished"
            raise ConnectionClosed(
                f"write() of {len(data)} bytes after the connection with {self.peerName()} was {done}"
            )
        if not self.lost and not self._overflows(len(data)):
            self.transport.write(data)
            if self._writePaused:
                self._queued += len(data)

    def _overflows(self, size: int) -> bool:
        if not self._queued or self._queued + size <= WRITE_BUFFER:
            return False
        # Only those who don't await get here: await, and the queue is empty again.
        self._queued = unsent(self.transport, self._queued)
        if self._queued + size <= WRITE_BUFFER:
            return False
        self._broken = LimitExceeded(
            f"{self._queued + size} bytes wait to be sent to {self.peerName()}, the bound is {WRITE_BUFFER}"
        )
        self.byPeer(self._broken)
        log.error("{error}; the connection is reset", error=self._broken)
        self.abort()
        return True

    def abort(self) -> None:
        """
        Reset.
        """
        raise AssertionError("the protocol has its own")

    def finish(self) -> Awaited[None]:
        """
        See L{WasiTcpConn.finish<wasinet_twisted.net.connection.WasiTcpConn.finish>}.
        """
        transport = self.transport
        halfCloseable = IHalfCloseableDescriptor.providedBy(transport)
        if not halfCloseable or ISSLTransport.providedBy(transport):
            # A TLS transport passes the request on to TCP, whose end without a close_notify is a truncation.
            raise NotSupported(f"{type(transport).__name__} can't end one direction only")
        done: Awaited[None] = Awaited()
        if self.lost or self.closing:
            raise ConnectionClosed(f"finish() after the connection with {self.peerName()} was closed")
        if self.finished and self._finishers is None:
            self._soon(done, done.give, None)
            return done
        if self._finishers is None:
            self._finishers = []
        self._finishers.append(done)
        if not self.finished:
            self.finished = True
            # A paused producer would keep the transport from going on after its last byte.
            transport.unregisterProducer()
            transport.loseWriteConnection()
        return done

    def _endWriting(self, flushed: bool) -> None:
        """
        The connection is gone.

        @param flushed: has all that was queued been sent?
        """
        writers, finishers = self._writers, self._finishers
        self._writers = self._finishers = None
        for waiting in (writers, finishers):
            if flushed:
                succeedAll(waiting)
            else:
                assert self._broken is not None
                failAll(waiting, self._broken)


def unsent(transport: Any, atMost: int) -> int:
    """
    How many bytes a transport of Twisted's has that the kernel hasn't taken.

    @param atMost: what is said of a transport that doesn't tell.
    """
    beneath = getattr(transport, "beneath", None)
    if beneath is not None:
        # Over TLS: nearly all of it waits, encrypted, in the transport beneath.
        return unsent(beneath(), atMost)
    try:
        waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return waiting
    except AttributeError:
        return atMost


def unacknowledged(transport: Any) -> int:
    """
    Return how many bytes of what was written the peer's system has not acknowledged: those that wait in front of TLS,
    those that the kernel hasn't taken (L{unsent}), and those in the kernel's send queue.

    Over TLS, what is enciphered counts as it is on the wire. A FIN that was not
    acknowledged counts as a byte. What the kernel holds for a Unix socket is
    what the peer has not read, with the memory it takes: more than the bytes,
    and 0 only when there are none. A transport without a socket of the
    kernel's has what L{unsent} says, or 0 if it doesn't tell that either. Of a
    connection that is gone this tells what its transport was left with.

    A byte that is acknowledged may still wait, unread, in the peer's kernel.
    """
    count = 0
    plaintext = getattr(transport, "plaintext", None)
    if plaintext is not None:
        count, transport = plaintext()
    count += unsent(transport, 0)
    try:
        # SIOCOUTQ of tcp(7) and unix(7), by its other name.
        queued = ioctl(transport.socket.fileno(), TIOCOUTQ, b"\0\0\0\0")
    except (AttributeError, OSError, ValueError):
        # There is no socket, or it is one in memory, or it is closed.
        return count
    return count + int.from_bytes(queued, sys.byteorder)
