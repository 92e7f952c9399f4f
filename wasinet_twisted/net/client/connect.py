"""
L{connect}: make a connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ..stream.handle import WasiTcpConn
from .dial import LocalAddress, Target, dial


def connect(
    target: Target,
    port: int | None = None,
    timeout: float | None = None,
    *,
    localAddress: LocalAddress | None = None,
    reactor: Any = None,
) -> Deferred[WasiTcpConn]:
    """
    Connect. Of a host with several addresses, the first that answers is taken:
    IPv6 and IPv4 are tried in turn, a quarter of a second apart (RFC 8305).

    @param target: C{"host:port"}, C{"[ipv6]:port"}, a host (then C{port} is
        needed), a (host, port) pair, a Twisted client endpoint string such as
        C{"unix:/run/x.sock"} or C{"tcp:host:80"}, or an endpoint object.
    @param timeout: seconds for all of it, the name's resolution included; 30 by default.
    @param localAddress: the IP address to connect from, or a pair of one and a
        port. Addresses of the other family are not tried then; with a port, the
        attempts are made one after the other, as they can't share it.
    @return: fires with the connection, which is then the caller's to close.
        Cancelling it gives up.
    @raise UnknownHost: the name has no address.
    @raise ConnectionRefused: every address refused.
    @raise ConnectFailed: no connection could be made; C{attempts} and the
        message say what was tried and why it failed.
    @raise TimedOut: not within the time; the message tells as much.
    @raise InvalidArgument: C{target} is none, or C{localAddress} can't go with it.
    """
    return dial(target, port, timeout, localAddress=localAddress, reactor=reactor).addCallback(WasiTcpConn)
