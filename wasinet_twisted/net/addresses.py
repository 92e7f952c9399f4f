"""
Addresses as people write them, and the checks of what users give.
"""

from __future__ import annotations

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from ..errors import InvalidArgument


def formatAddress(address: IAddress) -> str:
    """
    C{127.0.0.1:8000}, C{[::1]:8000}, the path of a Unix socket; else what the address says of itself.
    """
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, UNIXAddress):
        name = address.name
        return "an unnamed Unix socket" if name is None else name.decode("utf-8", "backslashreplace")
    return str(address)


def splitAddress(text: str) -> tuple[str, int]:
    """
    Take C{"host:port"} or C{"[ipv6]:port"} apart.

    @raise InvalidArgument: it is not of that form.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not isIPv6Address(host):
            raise InvalidArgument(f"an address in brackets must be IPv6: {text!r}")
    elif ":" in host:
        raise InvalidArgument(f"an IPv6 address needs brackets, as in [::1]:8000: {text!r}")
    if not colon or not host or not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise InvalidArgument(f"an address must be host:port, not {text!r}")
    return host, checkPort(int(port), least=1)


def checkPort(port: object, least: int = 0) -> int:
    """
    @param least: 0 where the system may choose a free port.
    @raise InvalidArgument: it is no port.
    """
    if type(port) is not int or not least <= port <= 65535:
        raise InvalidArgument(f"a port must be a whole number from {least} to 65535, not {port!r}")
    return port


def checkTimeout(timeout: object) -> None:
    """
    @raise InvalidArgument: it is neither L{None} nor a number of seconds.
    """
    if timeout is None or (isinstance(timeout, int | float) and timeout >= 0):
        return
    raise InvalidArgument(f"timeout must be a number of seconds, at least 0, not {timeout!r}")


def checkSize(what: str, size: object, least: int) -> int:
    """
    @param what: the argument's name.
    @raise InvalidArgument: it is no number of bytes, or too few.
    """
    if type(size) is not int or size < least:
        raise InvalidArgument(f"{what} must be a whole number of at least {least}, not {size!r}")
    return size
