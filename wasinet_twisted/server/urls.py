"""
Where a server listens, as a URL for the log.
"""

from __future__ import annotations

import sys
from ipaddress import ip_address
from urllib.parse import quote

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IListeningPort

from ..net import formatAddress

# Addresses that stand for all of a host: browsers don't open these everywhere.
_ALL = {"0.0.0.0": ("127.0.0.1", "all IPv4 addresses"), "::": ("::1", "all addresses")}


def urlOf(port: IListeningPort, scheme: str) -> str:
    """
    Return where C{port} listens, such as C{http://127.0.0.1:8000}.

    @param scheme: C{"http"} or C{"tcp"}; over TLS it becomes C{"https"} or C{"tls"}.
    @return: for a Unix socket C{unix:} and its path, percent-encoded. A port on
        all addresses gives the loopback one, which can be clicked, and says so.
    """
    address = port.getHost()
    if isinstance(address, UNIXAddress):
        return f"unix:{quote(address.name or b'', safe='/@')}"
    if not isinstance(address, IPv4Address | IPv6Address):
        return ascii(str(address))[1:-1]
    if speaksTls(port):
        scheme = {"http": "https"}.get(scheme, "tls")
    if address.host not in _ALL:
        return f"{scheme}://{formatAddress(address)}"
    host, which = _ALL[address.host]
    return f"{scheme}://{formatAddress(type(address)('TCP', host, address.port))} ({which})"


def speaksTls(port: IListeningPort) -> bool:
    """
    Does Twisted put TLS on each connection of C{port}?
    """
    tls = sys.modules.get("twisted.protocols.tls")
    # Where nobody has imported it, nobody speaks it.
    return tls is not None and isinstance(getattr(port, "factory", None), tls.TLSMemoryBIOFactory)


def isLoopback(port: IListeningPort) -> bool:
    """
    Can only this machine reach C{port} by IP?
    """
    address = port.getHost()
    return isinstance(address, IPv4Address | IPv6Address) and ip_address(address.host.partition("%")[0]).is_loopback
