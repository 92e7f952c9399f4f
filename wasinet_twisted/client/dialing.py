"""
How a connection for requests is made: the name looked up, TCP or a Unix socket, a proxy, TLS; each within its time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from ..errors import ConnectionClosed, TimedOut
from ..http import ClientConnection
from ..http.clientconnection import ClientTiming
from ..net.client.dial import Target as ConnectTarget
from ..net.client.dial import dial
from ..net.client.resolve import lookupWithin, nsloopup
from ..net.stream.handle import WasiTcpConn
from ..net.stream.owner import Owner
from ..net.tasks.awaited import Awaited
from ..net.tls.contexts import TlsClient
from .limits import ClientLimits, Timeouts
from .protocol import HttpClientProtocol
from .proxies import HTTP_SCHEMES, Proxy, hostPort
from .timings import Timings
from .tunnels import throughHttp, throughSocks5
from .urls import Origin

T = TypeVar("T")

ALPN = ("http/1.1",)
# Where there is no deadline for connecting, in seconds: a year. The system gives up before.
FOREVER = 365 * 86400.0


class Policy(Protocol):
    """
    How connections are made, where that isn't as the pool has it.

    @ivar localAddress: where they come from, as L{connect<wasinet_twisted.net.connect>} has it; L{None}: anywhere.
    """

    localAddress: Any

    def endpoint(self, origin: Origin) -> IStreamClientEndpoint | None:
        """
        Return what connects to an origin. TLS is its affair, too. L{None}: the pool connects.
        """

    def tls(self, origin: Origin) -> Any:
        """
        Return an C{IOpenSSLClientConnectionCreator} for an origin; L{None}: the pool has one.
        """


class Route(NamedTuple):
    """
    What requests must have in common to go over one connection.

    @ivar proxy: a L{Proxy<wasinet_twisted.client.Proxy>}; L{None}: directly.
    @ivar unixSocket: the path of the Unix socket where the origin is; L{None}: it is found by its name.
    @ivar policy: how the connection is made, and its server verified; L{None}: as the pool has it.
    """

    origin: Origin
    proxy: Proxy | None = None
    unixSocket: str | None = None
    policy: Policy | None = None

    def __str__(self) -> str:
        origin = f"{self.origin.scheme}://{hostPort(self.origin.host, self.origin.port)}"
        through = f" through {self.proxy}" if self.proxy is not None else ""
        return f"{origin}{through}" if self.unixSocket is None else f"{origin} at {self.unixSocket}"


class _UnixSocket(UNIXClientEndpoint):
    """
    An endpoint that errors can name.
    """

    def __init__(self, reactor: Any, path: str) -> None:
        super().__init__(reactor, path)  # type: ignore[no-untyped-call]
        self._named = f"the Unix socket {path!r}"

    def __str__(self) -> str:
        return self._named


class LentConn(WasiTcpConn):
    """
    A handle of a connection that belongs to somebody else: it doesn't close when it is forgotten.
    """

    __slots__ = ()

    def __del__(self) -> None:
        """
        Nothing: the connection's owner closes it.
        """


class Dialing:
    """
    Makes the connections of one pool.

    @ivar inTheClear: is C{https} spoken without TLS, to a server in memory?
    """

    def __init__(
        self,
        reactor: Any,
        caCertificates: Any,
        clientCertificate: Any,
        endpoint: Callable[[Origin], ConnectTarget] | None,
    ) -> None:
        self._reactor = reactor
        self._caCertificates = caCertificates
        self._clientCertificate = clientCertificate
        self._endpoint = endpoint
        self.inTheClear = False
        # What is waited for, to be given up when the pool is closed.
        self._running: set[Deferred[Any]] = set()
        self._over = False
        # Bounded: emptied when full.
        self._settings: dict[str, Any] = {}

    def connection(self, limits: ClientLimits, timing: ClientTiming) -> ClientConnection:
        """
        Return HTTP's view of a new connection.
        """
        return ClientConnection(limits.message, timing, self._reactor.seconds())

    def cancel(self) -> None:
        """
        Give up all attempts, and make no other.
        """
        self._over = True
        for running in list(self._running):
            running.cancel()

    async def dial(
        self, route: Route, timeouts: Timeouts, timings: Timings, until: float, owner: Owner
    ) -> HttpClientProtocol:
        """
        Connect.

        @param until: when all of it must be over.
        @param owner: is told when there is a connection, before TLS and all else, and when it is lost.
        @raise ConnectFailed: no connection could be made.
        @raise TimedOut: one of the phases took too long.
        @raise ConnectionClosed: the pool was closed.
        """
        policy = route.policy
        own = None if policy is None or route.proxy is not None else policy.endpoint(route.origin)
        try:
            protocol = await self._connect(route, own, timeouts, timings, until)
            protocol._owner = owner
            owner.connected(protocol)
            try:
                if own is None:
                    await self._secure(protocol, route, timeouts, timings, until)
            except BaseException:
                protocol.abort()
                raise
            _readMuch(protocol.transport if protocol.tls is None else protocol.tls.beneath())
        except CancelledError:
            if self._over:
                raise ConnectionClosed("the pool was closed") from None
            raise
        return protocol

    async def _connect(
        self, route: Route, own: IStreamClientEndpoint | None, timeouts: Timeouts, timings: Timings, until: float
    ) -> HttpClientProtocol:
        seconds = self._reactor.seconds
        origin, proxy, unixSocket, policy = route
        target: Any
        addresses: Any = None
        local: Any = None
        if own is not None:
            target = own
        elif unixSocket is not None:
            target = _UnixSocket(self._reactor, unixSocket)
        elif self._endpoint is not None and proxy is None:
            target = self._endpoint(origin)
        else:
            target = (origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)
            begun = seconds()
            # If there is none, dial() says so.
            looking = lookupWithin(self._reactor, target[0], target[1], self._left(timeouts.resolve, until))
            addresses = await self._step(looking)
            local = None if policy is None else policy.localAddress
            timings.resolve = seconds() - begun
        begun = seconds()
        timeout = self._left(timeouts.connect, until)
        protocol = await self._step(
            dial(
                target,
                timeout=FOREVER if timeout is None else timeout,
                localAddress=local,
                addresses=addresses,
                build=HttpClientProtocol,
                reactor=self._reactor,
            )
        )
        assert isinstance(protocol, HttpClientProtocol)
        timings.connect = seconds() - begun
        return protocol

    async def _secure(
        self, protocol: HttpClientProtocol, route: Route, timeouts: Timeouts, timings: Timings, until: float
    ) -> None:
        seconds = self._reactor.seconds
        origin, proxy, _, _ = route
        if proxy is not None:
            begun = seconds()
            await self._throughProxy(protocol, origin, proxy, timeouts, until)
            timings.connect = (timings.connect or 0.0) + seconds() - begun
        if origin.scheme == "https" and not self.inTheClear:
            begun = seconds()
            settings = None if route.policy is None else route.policy.tls(origin)
            if settings is None:
                settings = self._tlsOf(origin.host)
            await self.startTls(protocol, settings, self._left(timeouts.tls, until))
            timings.tls = seconds() - begun

    async def _throughProxy(
        self, protocol: HttpClientProtocol, origin: Origin, proxy: Proxy, timeouts: Timeouts, until: float
    ) -> None:
        conn = LentConn(protocol)
        if proxy.scheme == "https":
            await self.startTls(protocol, proxy.tls(), self._left(timeouts.tls, until))
        if proxy.scheme in HTTP_SCHEMES:
            if origin.scheme == "http":
                # The proxy forwards each request.
                return
            tunnel = throughHttp(conn, origin.host, origin.port, proxy)
        else:
            host = origin.host
            if proxy.scheme == "socks5":
                looking = nsloopup(
                    host, origin.port, timeout=self._left(timeouts.resolve, until), reactor=self._reactor
                )
                host = (await self._step(looking))[0].host
            tunnel = throughSocks5(conn, host, origin.port, proxy)
        through = ensureDeferred(tunnel)
        timeout = self._left(timeouts.connect, until)
        if timeout is not None:

            def late(_: object, seconds: float) -> None:
                raise TimedOut(f"timed out: {proxy} has not connected to {origin.host} in {seconds:g} s")

            through.addTimeout(timeout, self._reactor, late)
        await self._step(through)

    async def startTls(self, protocol: HttpClientProtocol, settings: Any, timeout: float | None) -> None:
        """
        Agree on TLS.
        """

        def giveUp(_: object) -> None:
            done.fail(CancelledError())
            protocol.abort()

        done: Awaited[None] = Awaited(giveUp)
        protocol.startTLS(settings, done, timeout)
        await self._step(done)

    def _tlsOf(self, host: str) -> Any:
        settings = self._settings.get(host)
        if settings is None:
            settings = TlsClient(
                host, caCertificates=self._caCertificates, clientCertificate=self._clientCertificate, alpn=ALPN
            )
            if len(self._settings) >= 256:
                self._settings.clear()
            self._settings[host] = settings
        return settings

    def _left(self, timeout: float | None, until: float) -> float | None:
        """
        Return how many seconds a phase may take.
        """
        if until == inf:
            return timeout
        left: float = until - self._reactor.seconds()
        if left <= 0:
            raise TimedOut("timed out: no time is left for a connection")
        return left if timeout is None else min(timeout, left)

    async def _step(self, waiting: Deferred[T]) -> T:
        if self._over:
            waiting.cancel()
        self._running.add(waiting)
        try:
            return await waiting
        finally:
            self._running.discard(waiting)


def _readMuch(transport: Any) -> None:
    """
    Let a transport read as much at once as it can at no cost: many responses are larger than 64 KiB.
    """
    size = getattr(transport, "readSize", 0)
    if size > getattr(transport, "bufferSize", size):
        transport.bufferSize = size
