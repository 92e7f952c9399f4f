"""
L{nsloopup}: the addresses of a name. The article's spelling is kept.
"""

from __future__ import annotations

from socket import getservbyname
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.internet.task import deferLater
from zope.interface import implementer

from ...errors import InvalidArgument, TimedOut, UnknownHost
from ..addresses import checkHost, checkPort, checkTimeout, literal
from ..reactors import theReactor

InternetAddress = IPv4Address | IPv6Address


def nsloopup(
    host: str, service: int | str, *, timeout: float | None = None, reactor: Any = None
) -> Deferred[list[InternetAddress]]:
    """
    Look a name up.

    It is the reactor's resolver that does; nothing blocks.

    @param host: a name, or an IPv4 or IPv6 address, which is its own answer.
    @param service: a port number, as a number or in decimal digits, or the name
        of a TCP service such as C{"http"}, which the system looks up in a local file.
    @param timeout: seconds to wait; L{None} waits as long as the resolver does.
    @return: fires with the addresses, each once, in the resolver's order (by
        RFC 6724 with most). Cancelling it gives up.
    @raise UnknownHost: there is none.
    @raise TimedOut: the resolver didn't answer within the time.
    @raise InvalidArgument: C{host} can be no host, or there is no such service.
    """
    reactor = theReactor(reactor)
    checkTimeout(timeout)
    return _within(
        ensureDeferred(_nsloopup(reactor, host, checkHost(host), servicePort(service))), reactor, host, timeout
    )


def lookupWithin(reactor: Any, host: str, port: int, timeout: float | None) -> Deferred[list[InternetAddress]]:
    """
    Look up a name's addresses, as L{lookup} has it, within some seconds. It may have fired already.

    @raise TimedOut: the resolver didn't answer within the time.
    @raise InvalidArgument: C{host} can be no host.
    """
    return _within(ensureDeferred(lookup(reactor, checkHost(host), port)), reactor, host, timeout)


def _within(
    looking: Deferred[list[InternetAddress]], reactor: Any, host: str, timeout: float | None
) -> Deferred[list[InternetAddress]]:
    if timeout is None:
        return looking

    def expired(_: object, seconds: float) -> list[InternetAddress]:
        raise TimedOut(f"timed out: the resolver gave no address of {host} in {seconds:g} s")

    return looking.addTimeout(timeout, reactor, expired)


async def _nsloopup(reactor: Any, given: str, host: str, port: int) -> list[InternetAddress]:
    addresses = await lookup(reactor, host, port)
    # An answer may be there at once; a loop of such must not keep the reactor from its turn.
    await deferLater(reactor, 0)
    if not addresses:
        raise UnknownHost(f"unknown host: {given}")
    return addresses


def servicePort(service: object) -> int:
    """
    @raise InvalidArgument: there is no such service.
    """
    if isinstance(service, str) and service.isascii() and service.isdigit() and len(service) <= 5:
        return checkPort(int(service))
    if not isinstance(service, str):
        return checkPort(service)
    try:
        return getservbyname(service, "tcp")
    except (OSError, ValueError):
        raise InvalidArgument(f"unknown service: {service!r} is neither a port nor a TCP service") from None


async def lookup(reactor: Any, host: str, port: int) -> list[InternetAddress]:
    """
    @param host: as L{checkHost} gives it.
    @return: the addresses, each once, in the resolver's order; none if the name
        is unknown. They come together: to begin with one family's while the
        other's are awaited, as in RFC 8305 section 3, is left to a resolver that
        asks for them apart; getaddrinfo() doesn't.
    """
    if (address := literal(host, port)) is not None:
        return [address]
    receiver = _Lookup(port)
    reactor.nameResolver.resolveHostName(receiver, host, portNumber=port)
    return await receiver.answer


@implementer(IResolutionReceiver)
class _Lookup:
    """
    What the resolver answers.
    """

    def __init__(self, port: int) -> None:
        self.answer: Deferred[list[InternetAddress]] = Deferred(self._cancel)
        self._port = port
        self._found: dict[InternetAddress, None] = {}
        self._resolution: IHostResolution | None = None
        self._cancelled = False

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        # Made anew: some resolvers leave the port out, and one may come as for UDP and for TCP.
        if isinstance(address, IPv6Address):
            self._found[IPv6Address("TCP", address.host, self._port, address.flowInfo, address.scopeID)] = None
        elif isinstance(address, IPv4Address):
            self._found[IPv4Address("TCP", address.host, self._port)] = None

    def resolutionComplete(self) -> None:
        if not self._cancelled:
            self.answer.callback(list(self._found))

    def _cancel(self, answer: object) -> None:
        self._cancelled = True
        try:
            if self._resolution is not None:
                self._resolution.cancel()
        except NotImplementedError:
            # That of getaddrinfo() in a thread: it goes on, and its answer comes to nobody.
            pass
