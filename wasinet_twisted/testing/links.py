"""
Two connected transports, and the handle that steers what is between them.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock

from ..net.stream.handle import WasiTcpConn
from ..net.stream.protocol import ConnectionProtocol
from .time import Timed
from .transports import MemoryTransport, WholeTransport
from .wires import WINDOW, Direction, MemorySocket

# Of the network that RFC 5737 keeps for documentation.
CLIENT = IPv4Address("TCP", "192.0.2.1", 40000)
SERVER = IPv4Address("TCP", "192.0.2.2", 8000)


class Link(Timed):
    """
    What is between two ends, and how it behaves.

    @ivar toServer: the direction from the client to the server.
    @ivar toClient: the other one.
    @ivar clientTransport: the client's transport, as Twisted's TCP.
    @ivar serverTransport: the server's, from when it has accepted.
    """

    serverTransport: MemoryTransport

    def __init__(
        self,
        clock: Clock,
        *,
        delay: float = 0.0,
        chunkSize: int | None = None,
        window: int = WINDOW,
        rate: float | None = None,
        halfClose: bool = True,
        clientAddress: IPv4Address = CLIENT,
    ) -> None:
        """
        The kernels have connected; the protocols follow by L{beginClient} and L{beginServer}.

        @param delay: as all that follow, for both directions, and described at L{Direction}.
        @param halfClose: can one direction be ended without the other, as over TCP? Over TLS it can't.
        """
        self.clock = clock
        self.toServer = Direction(clock, delay, chunkSize, window, rate)
        self.toClient = Direction(clock, delay, chunkSize, window, rate)
        self.clientAddress = clientAddress
        self._kind = MemoryTransport if halfClose else WholeTransport
        self.serverSocket = MemorySocket(self.toServer, self.toClient)
        clientSocket = MemorySocket(self.toClient, self.toServer)
        self.clientTransport = self._kind(clock, clientSocket, clientAddress, SERVER)

    def beginClient(self, protocol: IProtocol) -> None:
        """
        Connect the client's protocol.
        """
        self.clientTransport.begin(protocol)

    def beginServer(self, protocol: IProtocol) -> None:
        """
        Connect the server's protocol.
        """
        self.serverTransport = self._kind(self.clock, self.serverSocket, SERVER, self.clientAddress)
        self.serverTransport.begin(protocol)

    def refuse(self) -> None:
        """
        The server's kernel resets a connection that nobody has accepted.
        """
        self.serverSocket.abort()

    def lose(self) -> None:
        """
        The network breaks the connection: both ends are told that it was reset. For one of them see
        L{Direction.reset}.
        """
        self.toServer.reset()
        self.toClient.reset()

    def vanish(self) -> None:
        """
        The network is gone without a word: nothing arrives any more, in neither direction, and nobody is told.
        """
        self.toServer.vanish()
        self.toClient.vanish()


class Pair(Link):
    """
    Two connected L{WasiTcpConn}, and what is between them. C{client, server = pair()} works too.

    @ivar client: one end.
    @ivar server: the other.
    """

    client: WasiTcpConn
    server: WasiTcpConn

    def __iter__(self) -> Iterator[WasiTcpConn]:
        return iter((self.client, self.server))


def pair(
    clock: Clock | None = None,
    *,
    delay: float = 0.0,
    chunkSize: int | None = None,
    window: int = WINDOW,
    rate: float | None = None,
    halfClose: bool = True,
) -> Pair:
    """
    Make two connected connections in memory.

    @param clock: by default a new one; the result has it as C{clock}.
    @param delay: how many seconds bytes are on their way.
    @param chunkSize: of how many bytes the pieces are that arrive, at the most. 1 is byte by byte.
    @param window: how many bytes may be sent and not read; then the sender's transport keeps the rest.
    @param rate: how many bytes a second pass.
    @param halfClose: C{False} for transports that can't end one direction only, as TLS.
    @raise InvalidArgument: one of them can't be.
    """
    clock = Clock() if clock is None else clock
    link = Pair(clock, delay=delay, chunkSize=chunkSize, window=window, rate=rate, halfClose=halfClose)
    client, server = ConnectionProtocol(clock), ConnectionProtocol(clock)
    link.beginClient(client)
    link.beginServer(server)
    link.client, link.server = WasiTcpConn(client), WasiTcpConn(server)
    return link
