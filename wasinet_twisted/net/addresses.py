"""
Addresses as people write them, and the checks of what users give.
"""

from __future__ import annotations

import re

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from ..errors import InvalidArgument

# What no name has, and C libraries take amiss: some end it at a NUL, some an IPv4 address at a space. A colon or a
# bracket is an address that somebody forgot to take apart.
_IN_NO_NAME = re.compile(r"[\x00-\x20\x7f:\[\]]")
_IN_NO_ADDRESS = re.compile(r"[\x00-\x20\x7f\[\]]")


def formatAddress(address: IAddress) -> str:
    """
    C{127.0.0.1:8000}, C{[::1]:8000}, the path of a Unix socket; else what the address says of itself.
    """
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{scopedHost(address)}]:{address.port}"
    if isinstance(address, UNIXAddress):
        name = address.name
        return "an unnamed Unix socket" if name is None else name.decode("utf-8", "backslashreplace")
    return str(address)


def scopedHost(address: IPv6Address) -> str:
    """
    With the zone behind a percent sign, as RFC 4007 section 11 writes it: a link-local address is none without it.
    """
    if address.scopeID and "%" not in address.host:
        return f"{address.host}%{address.scopeID}"
    return address.host


def literal(host: str, port: int) -> IPv4Address | IPv6Address | None:
    """
    The address that C{host} is; L{None} if it is a name.
    """
    if isIPAddress(host):
        return IPv4Address("TCP", host, port)
    if isIPv6Address(host):
        return IPv6Address("TCP", host, port)
    return None


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


def checkHost(host: object) -> str:
    """
    @return: an address as it is, a name as the DNS has it: in ASCII (RFC 3490
        section 4, the IDNA of Python's own resolver calls).
    @raise InvalidArgument: it can be neither. Twisted's resolver never answers to such.
    """
    if not isinstance(host, str) or not host:
        raise InvalidArgument(f"a host must be a name or an IP address, not {host!r}")
    if isIPv6Address(host):
        name, bad = host, _IN_NO_ADDRESS
    else:
        try:
            name, bad = host.encode("idna").decode("ascii"), _IN_NO_NAME
        except UnicodeError as error:
            raise InvalidArgument(f"a host must be a name or an IP address, not {host!r}: {error}") from error
    if found := bad.search(name):
        raise InvalidArgument(f"a host must be a name or an IP address, not {host!r}: there is a {found[0]!r} in it")
    return name


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
