"""
Transports that don't ask epoll before they write.

Twisted's C{write} queues, and asks the reactor to be told when the socket takes
something, which it nearly always does: two C{epoll_ctl} and a turn for nothing.
Here C{startWriting} only marks the transport as dirty. After the event that
wrote, the reactor has each dirty transport send, once, whatever has gathered;
only what the kernel then doesn't take waits for epoll. All the rest (partial
writes, producers, TLS, half-close, the end of a connection) is Twisted's own.

A C{send} from within C{write} would be simpler and wrong: two writes an answer
would be two segments, and Nagle's algorithm holds the second one until the
first is acknowledged, which the peer delays for 40 ms.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix


class Gathering:
    """
    To be mixed into a subclass of C{twisted.internet.tcp.Connection}.

    @ivar dirty: does it stand in the reactor's list of those that are to send?
    """

    dirty = False

    # Of Twisted's transports.
    reactor: Any
    connected: int
    dataBuffer: bytes
    _tempDataLen: int

    def startWriting(self) -> None:
        """
        There is something to send, or to end.
        """
        if not self.connected:
            # A client that connects waits for the socket to become writable: that is what epoll is for.
            super().startWriting()  # type: ignore[misc]
        elif not self.dirty:
            self.dirty = True
            self.reactor.dirty(self)

    def stopWriting(self) -> None:
        """
        There is nothing to send any more.
        """
        self.dirty = False
        if self.reactor.isWriting(self):
            super().stopWriting()  # type: ignore[misc]

    def sendNow(self) -> Any:
        """
        Send what has gathered. The reactor calls this, after the event that wrote.

        @return: as C{doWrite}: why the connection is lost, if it is.
        """
        self.dirty = False
        why = self.doWrite()  # type: ignore[attr-defined]
        if why is None and self.connected and (self.dataBuffer or self._tempDataLen) and not self.dirty:
            # The kernel takes no more for now.
            super().startWriting()  # type: ignore[misc]
        return why


class Server(Gathering, tcp.Server):
    """
    The server's side of a TCP connection.
    """


class Client(Gathering, tcp.Client):
    """
    The client's side of a TCP connection.
    """


class UNIXServer(Gathering, unix.Server):
    """
    The server's side of a connection over a Unix socket.
    """


class UNIXClient(Gathering, unix.Client):
    """
    The client's side of a connection over a Unix socket.
    """


class Port(tcp.Port):
    """
    A listening TCP socket.
    """

    transport = Server


class UNIXPort(unix.Port):
    """
    A listening Unix socket.
    """

    transport = UNIXServer


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
