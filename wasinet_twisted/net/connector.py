"""
L{connect}: make a connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, clientFromString
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ..errors import ConnectFailed, InvalidArgument, TimedOut
from .addresses import checkPort, checkTimeout, splitAddress
from .connection import WasiTcpConn, theReactor
from .protocol import ConnectionProtocol

Target = str | tuple[str, int] | IStreamClientEndpoint

# Longer than anybody waits, so that the timeout is the one that the caller gave, or the kernel's.
_ENDPOINT_TIMEOUT = 3600.0
_CONNECT_TIMEOUT = 30.0
_PREFIXES = ("tcp:", "tcp6:", "tls:", "ssl:", "unix:")


class _ConnectFactory(Factory):
    noisy = False

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def buildProtocol(self, addr: object) -> ConnectionProtocol:
        return ConnectionProtocol(self._reactor, _made)


def _made(protocol: ConnectionProtocol) -> bool:
    """
    Nothing to do: whoever awaits the endpoint is told.
    """
    return False


def connect(
    target: Target, port: int | None = None, timeout: float | None = None, *, reactor: Any = None
) -> Deferred[WasiTcpConn]:
    """
    Connect.

    @param target: C{"host:port"}, C{"[ipv6]:port"}, a host (then C{port} is
        needed), a (host, port) pair, a Twisted client endpoint string such as
        C{"unix:/run/x.sock"} or C{"tcp:host:80"}, or an endpoint object.
    @param timeout: seconds to wait, 30 by default.
    @return: fires with the connection, which is then the caller's to close.
        Cancelling it gives up.
    @raise ConnectFailed: no connection could be made; its message says why.
    @raise TimedOut: not within the time.
    @raise InvalidArgument: C{target} is none.
    """
    reactor = theReactor(reactor)
    checkTimeout(timeout)
    if timeout is None:
        timeout = _CONNECT_TIMEOUT
    name, endpoint = _endpoint(reactor, target, port)
    connecting = endpoint.connect(_ConnectFactory(reactor))
    cancelled = False

    def cancel(_: object) -> None:
        nonlocal cancelled
        cancelled = True
        connecting.cancel()

    result: Deferred[WasiTcpConn] = Deferred(cancel)
    timer: IDelayedCall = reactor.callLater(timeout, connecting.cancel)

    def connected(protocol: Any) -> None:
        timer.cancel()
        result.callback(WasiTcpConn(protocol))

    def failed(failure: Failure) -> None:
        expired = not timer.active()
        if not expired:
            timer.cancel()
        error = failure.value
        assert error is not None
        if cancelled:
            # Endpoints have various exceptions for it.
            result.errback(CancelledError())
        elif expired:
            result.errback(TimedOut(f"timed out: no connection with {name} in {timeout:g} s"))
        else:
            failed = ConnectFailed(f"can't connect to {name}: {error}", [(name, error)])
            failed.__cause__ = error
            result.errback(failed)

    connecting.addCallbacks(connected, failed)
    return result


def _endpoint(reactor: Any, target: Target, port: int | None) -> tuple[str, IStreamClientEndpoint]:
    if port is None and isinstance(target, str):
        # An address has one colon outside brackets; an endpoint string a known prefix, and two colons or a path.
        if target.startswith("unix:/") or (target.startswith(_PREFIXES) and target.count(":") > 1):
            try:
                own = "" if ":timeout=" in target else f":timeout={_ENDPOINT_TIMEOUT:.0f}"
                return target, clientFromString(reactor, target + own)
            except Exception as error:
                raise InvalidArgument(f"no client endpoint: {target!r}: {type(error).__name__}: {error}") from error
        target = splitAddress(target)
    elif port is not None:
        if not isinstance(target, str):
            raise InvalidArgument(f"port={port!r} goes with a host, not with {target!r}")
        if ":" in target and not isIPv6Address(target):
            raise InvalidArgument(f"{target!r} is no host; to give a timeout, write timeout={port!r}")
        target = (target, port)
    if isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], str):
        host, number = target[0], checkPort(target[1], least=1)
        if isIPAddress(host):
            return f"{host}:{number}", TCP4ClientEndpoint(reactor, host, number, _ENDPOINT_TIMEOUT)
        if isIPv6Address(host):
            return f"[{host}]:{number}", TCP6ClientEndpoint(reactor, host, number, _ENDPOINT_TIMEOUT)
        if not host:
            raise InvalidArgument("a host must not be empty")
        return f"{host}:{number}", HostnameEndpoint(reactor, host, number, _ENDPOINT_TIMEOUT)
    if IStreamClientEndpoint.providedBy(target):
        return str(target), target
    raise InvalidArgument(f"can't connect to {target!r}: give host:port, (host, port) or an endpoint")
