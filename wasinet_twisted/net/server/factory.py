"""
L{ConnectionFactory}: a plain Twisted Factory whose connections are run by a coroutine each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from inspect import iscoroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    IProtocolNegotiationFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import alsoProvides

from ...errors import InvalidArgument
from ..addresses import checkSize, checkTimeout
from ..reactors import theReactor
from ..stream.handle import WasiTcpConn
from ..stream.lifecycle import CLOSE_TIMEOUT
from ..stream.protocol import ConnectionProtocol
from ..stream.transportprotocol import TransportProtocol
from ..tasks.awaited import Awaited, succeedAll
from ..tasks.task import Task
from .acceptgate import Gate
from .proxyprotocol import withPatience

log = Logger()

Handler = Callable[[WasiTcpConn], Awaitable[object]]

# What a reset takes, after the deadline.
_GRACE = 0.1
# How long handlers that have been cancelled may take to end, in seconds.
CANCEL_GRACE = 1.0

# How long the handshake of an accepted TLS connection may take, in seconds: ample for its two round trips.
HANDSHAKE_TIMEOUT = 10.0

# The factories that have connections. They may stand in none of the reactor's tables; see stream/lifecycle.py.
_serving: set[ConnectionFactory] = set()


class Served(Task[object]):
    """
    One run of a handler over one connection.

    When the handler returns, its connection closes. When it raises, that is
    logged once, with the peer, and the connection is reset.
    """

    __slots__ = ("_factory", "protocol")

    def __init__(self, coroutine: Coroutine[Any, Any, object], protocol: TransportProtocol, factory: Any) -> None:
        super().__init__(coroutine, protocol.reactor)
        self.protocol = protocol
        self._factory = factory

    def succeeded(self, result: object) -> None:
        """
        The handler has returned.
        """
        self.protocol.close(CLOSE_TIMEOUT)

    def failed(self, error: BaseException) -> None:
        """
        The handler has raised C{error}.
        """
        # Who cancels a handler ends its connection.
        if not self.wasCancelledBy(error):
            self.protocol.taskFailed("the handler", error)

    def ended(self) -> None:
        """
        It has ended, whatever the way.
        """
        self._factory.handled(self.protocol)


class ConnectionFactory(Factory):
    """
    Runs C{handler(conn)} for each connection, in a task that the connection owns.

    For any endpoint, service or C{listenTCP}::

        endpoint.listen(ConnectionFactory(handler))
    """

    noisy = False

    def __init__(
        self,
        handler: Handler | None,
        *,
        maxConnections: int | None = None,
        alpn: Sequence[str] = (),
        handshakeTimeout: float | None = HANDSHAKE_TIMEOUT,
        reactor: Any = None,
    ) -> None:
        """
        @param handler: an C{async def} that takes a L{WasiTcpConn}.
        @param maxConnections: how many connections may be open at a time; others
            wait in the kernel's queue. It holds for ports that L{listen} has
            opened. L{None}: as many as there are descriptors.
        @param alpn: the application protocols to agree to over TLS, such as C{"http/1.1"} (RFC 7301).
        @param handshakeTimeout: how many seconds the TLS handshake of an accepted
            connection may take; then the connection is reset. L{None}: no bound.
        """
        checkTimeout(handshakeTimeout)
        if maxConnections is not None:
            checkSize("maxConnections", maxConnections, 1)
        # Those that are open, or whose handler still runs; with the handler's task, once there is one.
        self._served: dict[TransportProtocol, Task[object] | None] = {}
        self._handler = handler
        # Lifecycle and ProxiedProtocol ask for it.
        self.handshakeTimeout = handshakeTimeout
        self._maxConnections = maxConnections
        self._open = 0
        # From drain() or stop() on; those whose PROXY header comes as late as that find nobody.
        self._stopping = False
        self._reactor = theReactor(reactor)
        self._idle: list[Awaited[None]] = []
        self.gate = Gate(self._reactor)
        self._alpn = [name.encode("ascii") for name in alpn]
        if self._alpn:
            # Twisted asks those that provide this, and takes part in ALPN only then.
            alsoProvides(self, IProtocolNegotiationFactory)

    @property
    def connections(self) -> set[TransportProtocol]:
        """
        Those that are open.
        """
        return {protocol for protocol in self._served if not protocol.lost}

    @property
    def tasks(self) -> set[Task[object]]:
        """
        The handlers that run.
        """
        return {task for task in self._served.values() if task is not None and not task.done}

    def listen(self, endpoint: IStreamServerEndpoint) -> Deferred[IListeningPort]:
        """
        Listen on C{endpoint} with the bounds that a Factory alone can't keep:
        C{maxConnections}, and patience when there are no more file descriptors.
        """
        listening: Deferred[IListeningPort] = withPatience(endpoint, self._reactor).listen(self)

        def attach(port: IListeningPort) -> IListeningPort:
            self.gate.attach(port)
            return port

        return listening.addCallback(attach)

    def acceptableProtocols(self) -> list[bytes]:
        """
        Twisted asks for the application protocols, in the order of preference.
        """
        return self._alpn

    def buildProtocol(self, addr: IAddress | None) -> TransportProtocol:  # type: ignore[override]
        """
        Twisted asks for the Protocol of a new connection.
        """
        if self.count(1):
            self.full()
        return self.newProtocol()

    def count(self, more: int) -> bool:
        """
        There is a connection more, or one less.

        @return: are there as many as may be?
        """
        self._open += more
        full = self.isFull()
        if full:
            self.gate.hold("full")
        elif not self.gate.isOpen():
            self.gate.release("full")
        return full

    def isFull(self) -> bool:
        """
        Are there as many connections as may be?
        """
        return self._maxConnections is not None and self._open >= self._maxConnections

    def newProtocol(self) -> TransportProtocol:
        """
        For subclasses with a Protocol of their own.
        """
        return ConnectionProtocol(self._reactor, self)

    def full(self) -> None:
        """
        There are as many connections as may be. Subclasses may know one that can go.
        """

    def connected(self, protocol: TransportProtocol) -> bool:
        """
        Run the handler over a connection.

        @return: yes, this keeps it until it is gone.
        """
        if self._stopping:
            protocol.abort()
            return False
        # Those of subclasses run something else.
        assert isinstance(protocol, ConnectionProtocol)
        self.run(WasiTcpConn(protocol))
        return True

    def run(self, conn: WasiTcpConn) -> None:
        """
        Run the handler over a connection that is open.
        """
        protocol = conn._protocol
        self.keep(protocol, None)
        assert self._handler is not None
        try:
            coroutine = _asCoroutine(self._handler(conn), conn)
        except Exception as error:
            protocol.taskFailed("the handler", error)
            return
        task = Served(coroutine, protocol, self)
        self.keep(protocol, task)
        task.start()

    def keep(self, protocol: TransportProtocol, task: Task[object] | None) -> None:
        """
        Keep a connection, and what runs for it, until both have ended.
        """
        self._served[protocol] = task
        _serving.add(self)

    def release(self, protocol: TransportProtocol, task: Task[object]) -> None:
        """
        What ran for a connection has ended.
        """
        if self._served.get(protocol) is task:
            self._served[protocol] = None
            self.handled(protocol)

    def taskOf(self, protocol: TransportProtocol) -> Task[object] | None:
        """
        What runs for a connection.
        """
        return self._served.get(protocol)

    def idle(self) -> None:
        """
        No connection is open, and no handler runs. For subclasses.
        """

    def connectionGone(self, protocol: TransportProtocol) -> None:
        """
        A connection is gone, or could not be made after all.
        """
        self.count(-1)
        self.gate.feed()
        task = self._served.get(protocol)
        if task is None or task.done:
            self._forget(protocol)

    def handled(self, protocol: TransportProtocol) -> None:
        """
        The handler has ended.
        """
        if protocol.lost:
            self._forget(protocol)

    def _forget(self, protocol: TransportProtocol) -> None:
        if protocol not in self._served:
            return
        del self._served[protocol]
        if not self._served:
            _serving.discard(self)
            self.idle()
            idle, self._idle = self._idle, []
            succeedAll(idle)

    def whenIdle(self) -> Deferred[None]:
        """
        Fires when no connection is open and no handler runs.
        """
        idle: Awaited[None] = Awaited(self._forgetIdle)
        if self._served:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def drain(self, deadline: float) -> Deferred[None]:
        """
        Let the handlers end; those that still run after C{deadline} seconds are
        cancelled, as L{stop} has it, with a second to do so. It is for whoever
        listens to see to it that no new connections come.

        @return: fires when all is over. Cancelling it leaves the handlers alone.
        """
        self._stopping = True
        drained: Awaited[None] = Awaited()

        def expire() -> None:
            count = len(self.tasks)
            if count:
                log.warn("{count} handlers run after {deadline} s: cancelled", count=count, deadline=deadline)
            self.stop(CANCEL_GRACE)

        timer: IDelayedCall = self._reactor.callLater(deadline, expire)

        def over(_: object) -> None:
            if timer.active():
                timer.cancel()
            if not drained.called:
                drained.give(None)

        self.whenIdle().addCallback(over)
        return drained

    def stop(self, deadline: float) -> Deferred[None]:
        """
        Cancel every handler and close every connection. After C{deadline} seconds
        connections that are still open are reset, and handlers that still run are
        closed: C{GeneratorExit} is raised where they wait.

        @return: fires when all is over, soon after the deadline at the latest.
        """
        self._stopping = True
        stopped: Awaited[None] = Awaited()
        timer: IDelayedCall = self._reactor.callLater(deadline + _GRACE, self._force)

        def over(_: object) -> None:
            if timer.active():
                timer.cancel()
            if not stopped.called:
                stopped.give(None)

        idle = self.whenIdle()
        for task in self.tasks:
            task.cancel()
        for protocol in self.connections:
            protocol.close(deadline)
        idle.addCallback(over)
        return stopped

    def _force(self) -> None:
        for protocol, task in list(self._served.items()):
            protocol.killChildren()
            if task is not None and not task.done:
                log.warn(
                    "the handler of the connection with {peer} did not end when it was cancelled; it is closed",
                    peer=protocol.peerName(),
                )
                task.kill()
            if not protocol.lost:
                # Its close() has reset it a moment ago, and the transport has said nothing: it is left behind.
                protocol.abort()
                self._forget(protocol)

    def _forgetIdle(self, idle: Any) -> None:
        if idle in self._idle:
            self._idle.remove(idle)
        idle.fail(CancelledError())


def _asCoroutine(handling: Any, conn: WasiTcpConn) -> Coroutine[Any, Any, object]:
    """
    @raise InvalidArgument: the handler gave nothing that can be awaited.
    """
    if iscoroutine(handling):
        return handling
    if isinstance(handling, Awaitable):
        return _wait(handling, conn)
    raise InvalidArgument(f"a handler must be an async def, or give a Deferred, not {handling!r}")


async def _wait(handling: Awaitable[object], conn: WasiTcpConn) -> object:
    # Its frame holds the handle, as that of an async def does: without it the connection would close.
    return await handling
