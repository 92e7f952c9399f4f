"""
L{TrustedProxies}: whose word on a request's client and scheme is taken.

A proxy appends the address that it has the request from to X-Forwarded-For; what
stands before was sent by that address, which may lie. So the list is read from its
end, as far as proxies that are trusted have written it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from ..errors import InvalidArgument

Client = tuple[str, int]

# So many proxies a request may pass, and more have never been seen. An address costs 2 us.
_MOST_HOPS = 32
_LONGEST_HOP = 64
_LAST_PORT = 65535

# Beside addresses and networks: whoever connects; whoever connects by a Unix socket.
ANYBODY = "*"
UNIX = "unix"


class TrustedProxies:
    """
    Addresses and networks of proxies.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        """
        @param trusted: addresses, networks such as C{"10.0.0.0/8"}, C{"unix"} for peers on Unix sockets, and C{"*"} for
            whoever connects.
        @raise InvalidArgument: one is none of these.
        """
        if isinstance(trusted, str):
            raise InvalidArgument(f"trusted proxies must be a list of addresses, not the str {trusted!r}")
        given = list(trusted)
        self._anybody = ANYBODY in given
        self._unix = UNIX in given
        networks = [_network(each) for each in given if each not in (ANYBODY, UNIX)]
        self._addresses = frozenset(each.network_address for each in networks if each.num_addresses == 1)
        self._networks = [each for each in networks if each.num_addresses > 1]
        # Of a proxy's requests each asks for its address.
        self._trusts = lru_cache(maxsize=1024)(self._trustsText)

    def __bool__(self) -> bool:
        return bool(self._anybody or self._unix or self._addresses or self._networks)

    def trustsPeer(self, host: str | None) -> bool:
        """
        Is the peer of a connection trusted?

        @param host: its address; L{None} on a Unix socket.
        """
        if self._anybody:
            return True
        return self._unix if host is None else self._trusts(host)

    def clientOf(self, peer: Client | None, forwarded: list[str]) -> Client | None:
        """
        Return who has sent a request, by the X-Forwarded-For fields that a trusted peer has passed on: the last address
        that no trusted proxy has, else the first. An entry that is no address ends the list.

        @param peer: who is connected.
        @param forwarded: the fields' values, in order.
        """
        client = peer
        entries = ",".join(forwarded).rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
        for entry in reversed(entries):
            found = _addressIn(entry.strip(" \t"))
            if found is None:
                break
            client = found
            if self._anybody or not self._trusts(found[0]):
                # Who trusts anybody trusts the peer, and nobody whom it has not seen.
                break
        return client

    def _trustsText(self, host: str) -> bool:
        address = _plain(host)
        if address is None:
            return False
        # Networks of the other version hold none.
        return address in self._addresses or any(address in network for network in self._networks)


def schemeOf(values: list[str]) -> str | None:
    """
    Return the scheme that X-Forwarded-Proto names, C{"http"} or C{"https"}; L{None} if it names neither. The last entry
    is the nearest proxy's.
    """
    if not values:
        return None
    scheme = values[-1].rpartition(",")[2].strip(" \t").lower()
    return {"http": "http", "https": "https", "ws": "http", "wss": "https"}.get(scheme)


def _network(text: Any) -> Any:
    try:
        # It would take numbers, too.
        network = ip_network(text if isinstance(text, str) else "")
    except ValueError as error:
        raise InvalidArgument(
            f"a trusted proxy must be an address, a network such as 10.0.0.0/8, unix or *, not {text!r}: {error}"
        ) from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise InvalidArgument(f"a trusted proxy is compared as IPv4, so write {text!r} without ::ffff:")
    return network


def _plain(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # As a socket for both versions has it.
        return address.ipv4_mapped
    return address


def _addressIn(entry: str) -> Client | None:
    """
    @param entry: an address, also as C{192.0.2.1:80}, C{[2001:db8::1]} or C{[2001:db8::1]:80}.
    """
    if len(entry) > _LONGEST_HOP or not entry.isascii() or "%" in entry:
        # A zone means something on the proxy's machine only, and nearly any text would be one.
        return None
    host, port = entry, ""
    if entry.startswith("["):
        host, bracket, rest = entry[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        port = rest[1:]
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    address = _plain(host)
    if address is None or (port and not (port.isdigit() and len(port) <= 5 and int(port) <= _LAST_PORT)):
        return None
    return str(address), int(port or 0)
