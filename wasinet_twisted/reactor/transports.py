"""
Transports that don't ask epoll before they write.

Twisted's C{write} queues, and asks the reactor to be told when the socket takes
something, which it nearly always does: two C{epoll_ctl} and a turn for nothing.
Here C{startWriting} only marks the transport as dirty. When some are, or a
turn's events have been dispatched, the reactor has each dirty transport send,
once, whatever has gathered; only what the kernel then doesn't take waits for
epoll. All the rest (partial writes, producers, TLS, half-close, the end of a
connection) is Twisted's own.

A C{send} from within C{write} would be simpler and wrong: two writes an answer
would be two segments, and Nagle's algorithm holds the second one until the
first is acknowledged, which the peer delays for 40 ms.
"""

from __future__ import annotations

import socket
from typing import Any, Self

from twisted.internet import tcp, unix
from twisted.python.log import ILogContext

from .._fast import fastPath


class _Fields:
    """
    What is asked for at each event, ours and Twisted's: faster in slots than in the dict that all else stands in.

    Not C{fileno}: when it has been deleted, the class's answers.
    """

    __slots__ = (
        "_peerAddress", "_plain", "_tempDataBuffer", "_tempDataLen",
        "bufferSize", "dirty", "protocol", "reactor", "socket",
    )  # fmt: skip

    # What the factory was told of the peer, where compiled code has accepted the connection.
    _peerAddress: Any
    _plain: bool
    _tempDataBuffer: list[bytes]
    _tempDataLen: int
    bufferSize: int
    dirty: bool
    protocol: Any
    reactor: Any
    socket: Any


# A subclass may have a bufferSize of its own; it hides the slot, which is set nevertheless.
_setBufferSize = _Fields.__dict__["bufferSize"].__set__


class Gathering(_Fields):
    """
    To be mixed into a subclass of C{twisted.internet.tcp.Connection}.

    Nearly always there is little to send, to a peer that takes it, on a
    connection that goes on: C{write} and L{sendPlain} are a fast path for that.
    What is queued stands in Twisted's own queue all the while, so that at any
    moment the rest can be left to Twisted.

    @cvar readSize: how much can be read at once at no cost but for what comes, in bytes. Whoever expects much may set
        C{bufferSize} to that.
    @ivar dirty: does it stand in the reactor's list of those that are to send?
    """

    readSize = 64 * 1024

    # Of Twisted's transports.
    TLS: bool
    producer: Any
    producerPaused: bool
    streamingProducer: bool
    connected: int
    disconnecting: int
    dataBuffer: bytes
    offset: int
    _aborting: bool
    _writeDisconnecting: bool
    _writeDisconnected: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """
        Twisted's constructors call some of what is below before they are through.
        """
        self = super().__new__(cls)
        # As Twisted's classes have it now.
        _setBufferSize(self, super(_Fields, cls).bufferSize)  # type: ignore[misc]
        self.dirty = False
        # Is all as L{sendPlain} takes it? L{write} finds out; whatever may change it says so.
        self._plain = False
        return self

    def write(self, data: bytes) -> None:
        """
        See C{ITransport.write}.
        """
        if not self._plain:
            self._plain = bool(self._isPlain())
        if self._plain and data and data.__class__ is bytes:
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            if self._tempDataLen > self.bufferSize:
                self._maybePauseProducer()
            if not self.dirty:
                self.dirty = True
                self.reactor.dirty.append(self)
        else:
            super().write(data)  # type: ignore[misc]

    def sendPlain(self) -> bool:
        """
        Send what has gathered, if the transport is as the fast path takes it. Calls nobody.

        @return: has all been done? Else L{sendNow} is to be called.
        """
        if not self._plain:
            return False
        queue = self._tempDataBuffer
        data = queue[0] if len(queue) == 1 else b"".join(queue)
        try:
            sent = self.socket.send(data)
        except OSError:
            # Twisted will meet it again, and knows what to do.
            return False
        queue.clear()
        self._tempDataLen = 0
        self.dirty = False
        if sent < len(data):
            self._sentInPart(data, sent)
        return True

    def _sentInPart(self, data: bytes, sent: int) -> None:
        """
        Leave the rest of what has gathered to Twisted, which waits until the kernel takes more.
        """
        self._plain = False
        self.dataBuffer = data
        self.offset = sent
        super().startWriting()  # type: ignore[misc]

    def doWrite(self) -> Any:
        """
        See C{IWriteDescriptor.doWrite}.
        """
        # It may leave something in the other queue: after L{sendPlain} has failed; or when epoll has told that the
        # socket takes something, but since then all was sent, and L{write} called.
        self._plain = False
        return super().doWrite()  # type: ignore[misc]

    def sendNow(self) -> Any:
        """
        Send what has gathered, in Twisted's way.

        @return: as C{doWrite}: why the connection is lost, if it is.
        """
        self.dirty = False
        why = self.doWrite()
        if not why and self.connected and (self.dataBuffer or self._tempDataLen) and not self.dirty:
            # The kernel takes no more for now.
            super().startWriting()  # type: ignore[misc]
        return why

    def startWriting(self) -> None:
        """
        There is something to send, or to end.
        """
        if not self.connected:
            # A client that connects waits for the socket to become writable: that is what epoll is for.
            super().startWriting()  # type: ignore[misc]
        elif not self.dirty:
            self.dirty = True
            self.reactor.dirty.append(self)

    def stopWriting(self) -> None:
        """
        There is nothing to send any more.
        """
        self.dirty = False
        if self.reactor.isWriting(self):
            super().stopWriting()  # type: ignore[misc]

    @fastPath(
        "reactor.write",
        slow="FileDescriptor.write and Gathering.sendNow",
        why="an event read, written and sent, without the kernel: 0.73 us instead of 2.95",
    )
    def _isPlain(self) -> bool:
        return not (
            self.TLS
            or not self.connected
            or self.disconnecting
            or self.dataBuffer
            or self.producerPaused
            or (self.producer is not None and not self.streamingProducer)
            or self._writeDisconnecting
            or self._writeDisconnected
            or self._aborting
            # A subclass may have its own way.
            or self.__class__ not in LEAN
        )

    # What may end that it is plain

    def startTLS(self, *args: Any, **kwargs: Any) -> Any:
        """
        See C{ITLSTransport.startTLS}.
        """
        self._plain = False
        return super().startTLS(*args, **kwargs)  # type: ignore[misc]

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer.registerProducer}.
        """
        self._plain = False
        super().registerProducer(producer, streaming)  # type: ignore[misc]

    def loseConnection(self, *args: Any, **kwargs: Any) -> None:
        """
        See C{ITransport.loseConnection}.
        """
        self._plain = False
        super().loseConnection(*args, **kwargs)  # type: ignore[misc]

    def loseWriteConnection(self) -> None:
        """
        See C{IHalfCloseableDescriptor.loseWriteConnection}.
        """
        self._plain = False
        super().loseWriteConnection()  # type: ignore[misc]

    def abortConnection(self) -> None:
        """
        See C{IAbortingTransport.abortConnection}.
        """
        self._plain = False
        super().abortConnection()  # type: ignore[misc]

    def connectionLost(self, reason: Any) -> None:
        """
        It is gone.
        """
        self._plain = False
        super().connectionLost(reason)  # type: ignore[misc]

    def _maybePauseProducer(self) -> None:
        super()._maybePauseProducer()  # type: ignore[misc]
        if self.producerPaused:
            # To be resumed when all is sent.
            self._plain = False

    # The log context of its events: a mapping of which nothing is made as long as nobody logs anything

    def __getitem__(self, key: Any) -> Any:
        """
        As the innermost of Twisted's contexts.
        """
        if key is not ILogContext:
            raise KeyError(key)
        return {**self.reactor.logContext, "system": self.logPrefix()}  # type: ignore[attr-defined]


class Server(Gathering, tcp.Server):
    """
    The server's side of a TCP connection.
    """


class Client(Gathering, tcp.Client):
    """
    The client's side of a TCP connection.
    """


class Descriptors(Gathering):
    """
    To be mixed into the transports over Unix sockets, which send descriptors as well.
    """

    _sendmsgQueue: list[int]

    def sendFileDescriptor(self, fileno: int) -> None:
        """
        See C{IUNIXTransport.sendFileDescriptor}.
        """
        self._plain = False
        super().sendFileDescriptor(fileno)  # type: ignore[misc]

    def sendNow(self) -> Any:
        """
        See L{Gathering.sendNow}.
        """
        if len(self._sendmsgQueue) > len(self.dataBuffer) - self.offset + self._tempDataLen:
            # The bytes that they are to go with may be written before epoll tells.
            self.dirty = False
            super(Gathering, self).startWriting()  # type: ignore[misc]
            return None
        return super().sendNow()

    def _isPlain(self) -> bool:
        return not self._sendmsgQueue and bool(super()._isPlain())


class UNIXServer(Descriptors, unix.Server):
    """
    The server's side of a connection over a Unix socket.
    """


class UNIXClient(Descriptors, unix.Client):
    """
    The client's side of a connection over a Unix socket.
    """


# Those whose methods are as they stand here or in Twisted: subclasses are others.
LEAN: frozenset[type[Any]] = frozenset((Server, Client, UNIXServer, UNIXClient))


class Listening(socket.socket):
    """
    A listening socket whose C{accept}, Python's own, finds its family and kind as the kernel has them. To look up the
    members of an enumeration for them costs each accept 0.9 us.
    """

    __slots__ = ()

    family = socket.SocketType.family  # type: ignore[assignment]
    type = socket.SocketType.type  # type: ignore[assignment]


class Port(tcp.Port):
    """
    A listening TCP socket.
    """

    transport = Server

    def startListening(self) -> None:
        """
        See C{IListeningPort.startListening}.
        """
        super().startListening()
        _acceptsLean(self.socket)


class UNIXPort(unix.Port):
    """
    A listening Unix socket.
    """

    transport = UNIXServer

    def startListening(self) -> None:
        """
        See C{IListeningPort.startListening}.
        """
        super().startListening()
        _acceptsLean(self.socket)


def _acceptsLean(listening: socket.socket) -> None:
    if listening.__class__ is socket.socket:
        listening.__class__ = Listening


class Connector(tcp.Connector):
    """
    An attempt to connect by TCP.
    """

    def _makeTransport(self) -> Client:
        return Client(self.host, self.port, self.bindAddress, self, self.reactor)


class UNIXConnector(unix.Connector):
    """
    An attempt to connect to a Unix socket.
    """

    def _makeTransport(self) -> Any:
        return UNIXClient(self.address, self, self.reactor, self.checkPID)
