"""
Endpoints as a command line gives them: what may be left out, and what is safe where nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import quoteStringArgument
from twisted.python.usage import UsageError

from .._privates import endpointArguments, interfaceOf
from ..errors import InvalidArgument, NotSupported
from ..net.server.endpoints import endpointFromString
from ..net.server.proxyprotocol import innermost

# Who may connect to a Unix socket unless the endpoint says otherwise: its owner and its group. Twisted's is 666.
UNIX_MODE = "660"

_PORT = re.compile(r"[0-9]{1,10}")
_ADDRESS = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+)):([0-9]{1,10})")
_EXAMPLES = "an endpoint is a port (8080), an address and a port (127.0.0.1:8080), or like tcp:8080 or unix:/run/x.sock"


def checkEndpoint(option: str, given: str) -> str:
    """
    Complete an endpoint, without a reactor: options are parsed before one is installed.

    @param given: a port, C{address:port}, or a Twisted endpoint string.
    @return: a Twisted endpoint string; a Unix socket's has a mode.
    @raise UsageError: C{given} is none of these.
    """
    text = _spelledOut(given)
    try:
        endpointFromString(None, text)
    except InvalidArgument as error:
        hint = "" if ":" in given or given.isdigit() else f"; {_EXAMPLES}"
        raise UsageError(f"--{option}: {error}{hint}") from None
    arguments, named = endpointArguments(text)
    if "unix" in arguments[:2] and "mode" not in named and len(arguments) - arguments.index("unix") < 3:
        text += f":mode={UNIX_MODE}"
    return text


def _spelledOut(given: str) -> str:
    """
    Make an endpoint string of a bare port, and of an IP address with a port.
    """
    if _PORT.fullmatch(given):
        return f"tcp:{given}"
    match = _ADDRESS.fullmatch(given)
    if match is None:
        return given
    ipv6, ipv4, port = match.groups()
    if ipv6 is not None and isIPv6Address(ipv6):
        return f"tcp6:{port}:interface={quoteStringArgument(ipv6)}"
    if ipv4 is not None and isIPAddress(ipv4):
        return f"tcp:{port}:interface={ipv4}"
    return given


def onLoopback(option: str, text: str) -> str:
    """
    The same endpoint; if it is of TCP and names no interface, on the loopback one only.

    @param text: as L{checkEndpoint} gives it.
    @raise UsageError: nobody can tell which interface it would listen on.
    """
    if "interface" in endpointArguments(text)[1]:
        return text
    try:
        interface = interfaceOf(innermost(endpointFromString(None, text)))
    except NotSupported:
        raise UsageError(
            f"--{option}: can't find out which interface {text} listens on; name it, as in :interface=127.0.0.1"
        ) from None
    if interface not in ("", "::"):
        return text
    return text + (r":interface=\:\:1" if text.removeprefix("haproxy:").startswith("tcp6:") else ":interface=127.0.0.1")


def namesOf(texts: Iterable[str]) -> Iterator[str]:
    """
    The host names, such as C{localhost}, that endpoints are told to listen on.
    """
    for text in texts:
        try:
            interface = interfaceOf(innermost(endpointFromString(None, text)))
        except NotSupported:
            continue
        if interface and not isIPAddress(interface) and not isIPv6Address(interface):
            yield interface
