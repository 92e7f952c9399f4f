"""
From what names a peer to a connection with it: addresses and endpoints, whichever answers first, within one time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, clientFromString
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater

from ...errors import ConnectFailed, ConnectionRefused, InvalidArgument, TimedOut, UnknownHost
from ..addresses import checkHost, checkPort, checkTimeout, formatAddress, literal, scopedHost, splitAddress
from ..reactors import theReactor
from ..stream.protocol import ConnectionProtocol
from .happyeyeballs import ATTEMPT_DELAY, Race, interleave
from .resolve import InternetAddress, lookup

Target = str | tuple[str, int] | IStreamClientEndpoint
LocalAddress = str | tuple[str, int]
Contestants = list[tuple[str, IStreamClientEndpoint]]

# In seconds, for those who name none.
CONNECT_TIMEOUT = 30.0
# What Twisted's endpoints get beyond it, in seconds: ours comes first, and tells more.
_MARGIN = 1.0
_PREFIXES = ("tcp:", "tcp6:", "tls:", "ssl:", "unix:")


def dial(
    target: Target,
    port: int | None = None,
    timeout: float | None = None,
    *,
    localAddress: LocalAddress | None = None,
    addresses: Sequence[InternetAddress] | None = None,
    build: type[ConnectionProtocol] = ConnectionProtocol,
    called: str | None = None,
    reactor: Any = None,
) -> Deferred[ConnectionProtocol]:
    """
    Connect, as L{connect<wasinet_twisted.net.client.connect.connect>} has it.

    @param addresses: those of the host, if somebody has looked them up already.
    @param build: the class of the connection's Protocol.
    @param called: what messages call an endpoint that is given as an object.
    @return: fires with the Protocol of the connection; the handle is for the caller to make.
    """
    reactor = theReactor(reactor)
    checkTimeout(timeout)
    if timeout is None:
        timeout = CONNECT_TIMEOUT
    address = _address(target, port)
    contestants: Awaitable[Contestants]
    if address is None:
        if localAddress is not None:
            raise InvalidArgument(f"localAddress={localAddress!r} goes with a host and a port, not with {target!r}")
        name = where = str(target) if called is None else called
        contestants = succeed([(where, _endpoint(reactor, target, timeout))])
        race = Race(reactor, build=build)
    else:
        host, number = address
        name = where = f"[{host}]:{number}" if isIPv6Address(host) else f"{host}:{number}"
        local = None
        if localAddress is not None:
            local = _localAddress(localAddress, host)
            name += f" from {formatAddress(local) if local.port else local.host}"
        contestants = _contestants(reactor, name, checkHost(host), number, local, timeout, addresses)
        race = Race(reactor, None if local is not None and local.port else ATTEMPT_DELAY, build)

    def expired(_: object, seconds: float) -> ConnectionProtocol:
        report = race.report(where) or "the resolver has not answered"
        raise TimedOut(f"timed out: no connection with {name} in {seconds:g} s: {report}")

    return ensureDeferred(_dial(reactor, name, where, contestants, race)).addTimeout(timeout, reactor, expired)


async def _dial(
    reactor: Any, name: str, where: str, contestants: Awaitable[Contestants], race: Race
) -> ConnectionProtocol:
    """
    @param name: the target and the local address.
    @param where: the target alone.
    """
    try:
        protocol = await race.run(await contestants)
        if protocol is None:
            raise _failed(name, where, race)
    except ConnectFailed:
        # It may have failed at once; a loop that tries again must not keep the reactor from its turn.
        await deferLater(reactor, 0)
        raise
    return protocol


def _failed(name: str, where: str, race: Race) -> ConnectFailed:
    attempts = [(tried, error) for tried, error in race.attempts.items() if error is not None]
    errors = [error for _, error in attempts]
    kind = ConnectFailed
    if all(isinstance(error, ConnectionRefusedError) for error in errors):
        kind = ConnectionRefused
    elif all(isinstance(error, DNSLookupError) for error in errors):
        # An endpoint's own lookup.
        kind = UnknownHost
    failed = kind(f"can't connect to {name}: {race.report(where)}", attempts)
    failed.__cause__ = errors[-1]
    return failed


async def _contestants(
    reactor: Any,
    name: str,
    host: str,
    port: int,
    local: InternetAddress | None,
    timeout: float,
    known: Sequence[InternetAddress] | None,
) -> Contestants:
    """
    An endpoint for each address of a host.
    """
    addresses = await lookup(reactor, host, port) if known is None else known
    if not addresses:
        raise UnknownHost(f"can't connect to {name}: unknown host")
    bind = None
    if local is not None:
        bind = (local.host, local.port)
        addresses = [address for address in addresses if type(address) is type(local)]
        if not addresses:
            raise ConnectFailed(f"can't connect to {name}: {host} has no {_family(local)} address")
    timeout += _MARGIN
    return [
        (
            formatAddress(address),
            TCP6ClientEndpoint(reactor, scopedHost(address), port, timeout, bind)
            if isinstance(address, IPv6Address)
            else TCP4ClientEndpoint(reactor, address.host, port, timeout, bind),
        )
        for address in interleave(addresses)
    ]


def _address(target: Target, port: int | None) -> tuple[str, int] | None:
    """
    @return: the host and the port; L{None} if C{target} is an endpoint or the string of one.
    @raise InvalidArgument: C{target} is none.
    """
    if port is not None:
        if not isinstance(target, str):
            raise InvalidArgument(f"port={port!r} goes with a host, not with {target!r}")
        if ":" in target and not isIPv6Address(target):
            raise InvalidArgument(f"{target!r} is no host; to give a timeout, write timeout={port!r}")
        target = (target, port)
    elif isinstance(target, str):
        # An address has one colon outside brackets; an endpoint string a known prefix, and two colons or a path.
        if target.startswith("unix:/") or (target.startswith(_PREFIXES) and target.count(":") > 1):
            return None
        target = splitAddress(target)
    if isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], str):
        host, number = target
        checkHost(host)
        return host, checkPort(number, least=1)
    if IStreamClientEndpoint.providedBy(target):
        return None
    raise InvalidArgument(f"can't connect to {target!r}: give host:port, (host, port) or an endpoint")


def _endpoint(reactor: Any, target: Target, timeout: float) -> IStreamClientEndpoint:
    if not isinstance(target, str):
        assert not isinstance(target, tuple)
        return target
    # Twisted's own timeout would end it after 30 s. An endpoint string takes whole seconds; a year is as good as ever.
    own = "" if ":timeout=" in target else f":timeout={min(timeout, 3e7) + _MARGIN:.0f}"
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, target + own)
    except Exception as error:
        raise InvalidArgument(f"no client endpoint: {target!r}: {type(error).__name__}: {error}") from error
    return endpoint


def _localAddress(given: object, host: str) -> InternetAddress:
    """
    @param host: the target's.
    @raise InvalidArgument: it is no address that can be bound to, or none that could reach C{host}.
    """
    address, port = given if isinstance(given, tuple) and len(given) == 2 else (given, 0)
    # A name would be looked up while everybody waits.
    local = literal(checkHost(address), checkPort(port))
    if local is None:
        raise InvalidArgument(f"localAddress must be an IP address, or a pair of one and a port, not {given!r}")
    remote = literal(host, 0)
    if remote is not None and type(remote) is not type(local):
        raise InvalidArgument(
            f"localAddress={given!r} is an {_family(local)} address, and never reaches {host}, an {_family(remote)} one"
        )
    return local


def _family(address: InternetAddress) -> str:
    return "IPv4" if isinstance(address, IPv4Address) else "IPv6"
