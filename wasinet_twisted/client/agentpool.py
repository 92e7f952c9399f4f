"""
What an Agent is given, as this room has it: a pool, and a policy for HTTPS.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS

from ..errors import InvalidArgument
from .limits import ClientLimits, Timeouts
from .pool import Pool
from .urls import Origin

# twisted.web opens any number of connections.
_CONNECTIONS = 16_384
# Nor does it bound how long a response takes.
_TIMEOUTS = Timeouts(head=None, read=None)


class AgentPolicy:
    """
    How an Agent makes connections, where it has been told that.
    """

    __slots__ = ("_endpoints", "_given", "_https", "localAddress")

    def __init__(
        self,
        https: IPolicyForHTTPS | None = None,
        localAddress: Any = None,
        endpoints: IAgentEndpointFactory | None = None,
    ) -> None:
        self._https = https
        self._endpoints = endpoints
        self.localAddress = localAddress
        # For each origin the endpoint that the last request to it was given.
        self._given: dict[Origin, IStreamClientEndpoint] = {}

    def prepare(self, origin: Origin, uri: bytes) -> None:
        """
        Ask for an endpoint for a request, lest that raise only later.
        """
        if self._endpoints is not None:
            self._given[origin] = self._endpoints.endpointForURI(URI.fromBytes(uri))

    def endpoint(self, origin: Origin) -> IStreamClientEndpoint | None:
        """
        See L{Policy<wasinet_twisted.client.dialing.Policy>}.
        """
        if self._endpoints is None:
            return None
        given = self._given.pop(origin, None)
        if given is None:
            scheme, host, port = origin
            uri = f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
            given = self._endpoints.endpointForURI(URI.fromBytes(uri.encode("ascii")))
        return given

    def tls(self, origin: Origin) -> Any:
        """
        See L{Policy<wasinet_twisted.client.dialing.Policy>}.
        """
        if self._https is None:
            return None
        return self._https.creatorForNetloc(origin.host.encode("ascii"), origin.port)

    def __eq__(self, other: object) -> bool:
        # Agents that verify in the same way, and in no other, may use each other's connections.
        return isinstance(other, AgentPolicy) and (
            self._https is other._https
            and self._endpoints is other._endpoints
            and self.localAddress == other.localAddress
        )

    def __hash__(self) -> int:
        return hash((id(self._https), id(self._endpoints), self.localAddress))


def policyOf(https: Any, bindAddress: Any) -> AgentPolicy | None:
    """
    Return the policy that an Agent's arguments make; L{None}: the pool's own way.

    @raise InvalidArgument: C{https} is no C{IPolicyForHTTPS}.
    """
    if https is not None and not IPolicyForHTTPS.providedBy(https):
        raise InvalidArgument(f"contextFactory must be an IPolicyForHTTPS, not {https!r}")
    if https is None and bindAddress is None:
        return None
    host, *port = bindAddress if isinstance(bindAddress, tuple) else (bindAddress,)
    if isinstance(host, bytes):
        host = host.decode("ascii")
    return AgentPolicy(https, (host, *port) if port else host)


class _Closing:
    """
    What closes the free connections of one of Twisted's pools, and ours that stands in for it.

    @ivar pool: ours.
    """

    def __init__(self, theirs: HTTPConnectionPool, pool: Pool) -> None:
        self.pool = pool
        self._theirs: Any = theirs.closeCachedConnections

    def __call__(self) -> Deferred[None]:
        theirs: Deferred[None] = self._theirs()
        return DeferredList([theirs, self.pool.closeFree()]).addCallback(lambda _: None)


def poolOf(given: Any, reactor: Any) -> Pool | None:
    """
    Return the pool that an Agent uses.

    @param given: a pool of ours; a C{HTTPConnectionPool}, in whose place one of
        ours stands from now on, with its settings; or L{None}, for one that keeps no connection.
    @return: L{None} if C{given} makes connections in its own way.
    @raise InvalidArgument: it is no pool, or one of another reactor.
    """
    if isinstance(given, Pool):
        if given.reactor is not reactor:
            raise InvalidArgument("the pool belongs to another reactor")
        return given
    if given is None:
        return _newPool(reactor, idle=0.0, kept=0)
    getConnection = getattr(given, "getConnection", None)
    if getConnection is None:
        raise InvalidArgument(f"pool must be a client.Pool or an HTTPConnectionPool, not {given!r}")
    if getattr(getConnection, "__func__", None) is not HTTPConnectionPool.getConnection:
        return None
    closing = given.closeCachedConnections
    if not isinstance(closing, _Closing):
        # In its place, so that who closes it closes ours; and there it is found again.
        idle = float(given.cachedConnectionTimeout) if given.persistent else 0.0
        closing = _Closing(given, _newPool(reactor, idle=idle, kept=given.maxPersistentPerHost))
        given.closeCachedConnections = closing
    return closing.pool


def _newPool(reactor: Any, *, idle: float, kept: int) -> Pool:
    limits = ClientLimits(connections=_CONNECTIONS, perOrigin=_CONNECTIONS, kept=kept, idle=idle)
    return Pool(limits=limits, timeouts=_TIMEOUTS, reactor=reactor)
