"""
The proxy that the environment names by C{http_proxy} and the like, as curl and Go read them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from ..errors import InvalidArgument
from ..net.addresses import checkHost, checkPort
from .proxies import HTTP_SCHEMES, Proxy

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

# How long the prefix is behind which IPv6 has IPv4's addresses, in bits. RFC 4291 section 2.5.5.2.
_MAPPED = 96
_SEPARATORS = re.compile(r"[,\s]+")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](/[0-9]{1,3})?(?::([0-9]{1,5}))?")
_WITH_PORT = re.compile(r"([^:]*):([0-9]{1,5})")
_IN_NO_NAME = re.compile(r"[/*@?#%\\]")


def proxyFromEnvironment(scheme: str, host: str, port: int, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """
    Return the proxy by which the environment has requests for an origin go, or L{None} if they go there directly.

    C{http_proxy} is for http, C{https_proxy} for https, C{all_proxy} for both where the other is not set. Each may be
    in upper case, too; lower case comes first, and an empty variable is as one that is not set. A value is what
    L{Proxy.parse} takes. Under CGI, where C{REQUEST_METHOD} is set, C{HTTP_PROXY} is the Proxy field of somebody's
    request, and is not looked at (CVE-2016-5385).

    C{no_proxy} lists origins that are reached directly, with commas or spaces between them:

     - C{*}: all;
     - C{example.org}, C{.example.org} or C{*.example.org}: this host and all below it, whatever the case;
     - C{192.0.2.1}, C{2001:db8::1} or C{[2001:db8::1]}: this address. Names are not resolved for it;
     - C{192.0.2.0/24}, C{2001:db8::/32}: all addresses of the network. C{::ffff:192.0.2.1} is 192.0.2.1 wherever it
       stands;
     - one of these with a port, C{example.org:8080} or C{[2001:db8::1]:8080}: this port only.

    Nothing else is reached directly; C{localhost} neither, as curl has it. (Go never asks a proxy for it.)

    @param scheme: C{"http"} or C{"https"}.
    @param host: the origin's name in ASCII, or its IP address; IPv6 without brackets.
    @param port: the origin's port.
    @param environ: the variables; those of the process by default.
    @raise InvalidArgument: a variable's value can't be used; the message names the variable. Or C{scheme} is another.
    """
    if scheme not in HTTP_SCHEMES:
        raise InvalidArgument(f"scheme must be http or https, not {scheme!r}")
    names = [f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    if environ.get("REQUEST_METHOD"):
        names = [name for name in names if name != "HTTP_PROXY"]
    name = _firstOf(names, environ)
    if name is None:
        return None
    try:
        proxy = Proxy.parse(environ[name])
    except InvalidArgument as error:
        raise InvalidArgument(f"the environment variable {name}: {error}") from None
    return None if _isDirect(host, port, environ) else proxy


def _firstOf(names: list[str], environ: Mapping[str, str]) -> str | None:
    return next((name for name in names if environ.get(name)), None)


def _isDirect(host: str, port: int, environ: Mapping[str, str]) -> bool:
    name = _firstOf(["no_proxy", "NO_PROXY"], environ)
    if name is None:
        return False
    # All are read before one is asked: whether the variable can be used must not depend on the host.
    rules = []
    for entry in _SEPARATORS.split(environ[name]):
        try:
            if entry:
                rules.append(_parse(entry))
        except InvalidArgument as error:
            raise InvalidArgument(f"the environment variable {name}: {entry!r} in it is no host: {error}") from None
    address, hostName = _addressOf(host), host.lower().rstrip(".")
    return any(rule.covers(address, hostName, port) for rule in rules)


class _Rule(NamedTuple):
    """
    One entry of C{no_proxy}.

    @ivar what: the addresses that it is for; or a name, which is for itself and all below it; C{""} is for everybody.
    @ivar port: the one that it is for; L{None} is all.
    """

    what: _Network | str
    port: int | None

    def covers(self, address: _Address | None, name: str, port: int) -> bool:
        """
        Is an origin one of those that it is for?

        @param address: the origin's address; L{None} if it has a name.
        """
        if self.port not in (None, port):
            return False
        if not isinstance(self.what, str):
            return address is not None and address in self.what
        # The end of an address is no name's: "0.0.1" isn't for 127.0.0.1.
        return not self.what or (address is None and f".{name}".endswith(f".{self.what}"))


def _parse(entry: str) -> _Rule:
    if entry == "*":
        return _Rule("", None)
    what, port = entry, None
    if bracketed := _BRACKETED.fullmatch(entry):
        what, port = bracketed[1] + (bracketed[2] or ""), bracketed[3]
        if ":" not in what:
            raise InvalidArgument("an address in brackets must be IPv6")
    elif withPort := _WITH_PORT.fullmatch(entry):
        what, port = withPort.groups()
    number = None if port is None else checkPort(int(port), least=1)
    network = _networkOf(what)
    if network is not None:
        return _Rule(network, number)
    if bad := _IN_NO_NAME.search(what.removeprefix("*.")):
        raise InvalidArgument(f"there is a {bad[0]!r} in it")
    name = checkHost(what.removeprefix("*").strip(".")).lower()
    return _Rule(name, number)


def _networkOf(text: str) -> _Network | None:
    try:
        # Of 192.0.2.1/24, the address's last part doesn't matter.
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if "%" in text:
        # A zone would be ignored.
        return None
    first = network.network_address
    if isinstance(first, IPv6Address) and network.prefixlen >= _MAPPED and first.ipv4_mapped is not None:
        return IPv4Network((first.ipv4_mapped, network.prefixlen - _MAPPED))
    return network


def _addressOf(host: str) -> _Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def toProxy(given: Any) -> Any:
    """
    Return a L{Proxy}, C{"environment"}, C{""} for none, or L{None} where nothing is said.

    @raise InvalidArgument: C{given} is no proxy.
    """
    if given is None or isinstance(given, Proxy) or given in ("", "environment"):
        return given
    if not isinstance(given, str):
        # What it shows of itself may hold a password: yarl's URL does.
        raise InvalidArgument(f"proxy must be a URL as str, a Proxy, 'environment' or '', not {type(given).__name__}")
    return _parsed(given)


@lru_cache(maxsize=64)
def _parsed(given: str) -> Proxy:
    return Proxy.parse(given)
