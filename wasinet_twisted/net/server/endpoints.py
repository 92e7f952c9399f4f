"""
Server endpoints: as strings and objects, and what to say when they can't be listened on.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

from ..._privates import portOf
from ...errors import InvalidArgument, ListenFailed, NotSupported
from ..addresses import checkPort
from ..tls.certificates import NEEDS_TLS
from .adopted import checkAdopted
from .proxyprotocol import ProxiedEndpoint, innermost, withPatience

# How many connections the kernel keeps for us.
BACKLOG = 1024

_WITH_BACKLOG = ("tcp:", "tcp6:", "ssl:", "unix:", "haproxy:tcp:", "haproxy:tcp6:", "haproxy:ssl:", "haproxy:unix:")


def endpointFromString(reactor: Any, text: str) -> IStreamServerEndpoint:
    """
    The server endpoint that Twisted makes of a string, with our backlog unless it names one.

    @raise InvalidArgument: it is none. Twisted's parsers raise whatever they happen to.
    """
    backlog = f":backlog={BACKLOG}" if text.startswith(_WITH_BACKLOG) and ":backlog=" not in text else ""
    try:
        endpoint = withPatience(serverFromString(reactor, text + backlog), reactor)
        if text.startswith("haproxy:") and not isinstance(endpoint, ProxiedEndpoint):
            raise NotSupported("this version of Twisted makes another endpoint of haproxy:, without a deadline")
        checkAdopted(endpoint)
        if (port := portOf(innermost(endpoint))) is not None:
            checkPort(port)
    except Exception as error:
        ours = isinstance(error, InvalidArgument | NotSupported)
        why = str(error) if ours else f"{type(error).__name__}: {error}"
        if "systemd:" in text and isinstance(error, LookupError):
            why = "systemd has handed over no such socket"
        if isinstance(error, ImportError) and "ssl:" in text:
            why = NEEDS_TLS
        raise InvalidArgument(f"no server endpoint: {text!r}: {why}") from error
    return endpoint


def endpointOf(reactor: Any, given: int | str | IStreamServerEndpoint, interface: str = "") -> IStreamServerEndpoint:
    """
    @param given: a port, an endpoint string, or an endpoint.
    @param interface: with a port, the address to listen on.
    @raise InvalidArgument: it is none.
    @raise NotSupported: it may take PROXY headers, and there is no telling.
    """
    if isinstance(given, int):
        kind = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
        return kind(reactor, checkPort(given), BACKLOG, interface)
    if interface:
        raise InvalidArgument(f"interface={interface!r} goes with a port, not with the endpoint {given!r}")
    if isinstance(given, str):
        return endpointFromString(reactor, given)
    if IStreamServerEndpoint.providedBy(given):
        endpoint = withPatience(given, reactor)
        checkAdopted(endpoint)
        return endpoint
    raise InvalidArgument(f"an endpoint must be a port, an endpoint string or an endpoint, not {given!r}")


def listenFailed(name: str, error: BaseException | None) -> ListenFailed:
    """
    The one line that says which endpoint can't be listened on, and why.
    """
    cause = getattr(error, "socketError", error)
    failed = ListenFailed(f"can't listen on {name}: {getattr(cause, 'strerror', None) or cause}")
    failed.__cause__ = error
    return failed
