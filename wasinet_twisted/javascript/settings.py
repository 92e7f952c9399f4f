"""
What a program is started with, and what it may do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgument
from .guestinterface import DEFAULT_GUEST_LIMITS, GuestLimits

if TYPE_CHECKING:
    from ..server import HttpServer, ServerLimits


class Network:
    """
    What a program may connect to, and listen on.
    """

    def __init__(
        self,
        *,
        allowNet: Sequence[str] | None = None,
        allowListen: Sequence[int] | None = None,
        connectTo: Mapping[str, str] | None = None,
        listen: Mapping[int, str] | None = None,
        interface: str = "",
        caCertificates: Any = None,
    ) -> None:
        """
        @param allowNet: the addresses that may be connected to, as C{host}, C{host:port}, or C{*:port}; L{None}: all.
        @param allowListen: the ports that may be listened on; L{None}: all.
        @param connectTo: instead of which C{host:port} a program connects to which one.
        @param listen: instead of which port a program listens on which Twisted endpoint.
        @param interface: the address that other ports are listened on; all IPv4 addresses by default.
        @param caCertificates: whom to trust, as L{TlsClient<wasinet_twisted.net.TlsClient>} has it; the system's roots
            by default.
        """
        self.caCertificates = caCertificates
        self._allowed = None if allowNet is None else {_allowed(each) for each in allowNet}
        self._ports = None if allowListen is None else frozenset(allowListen)
        self._connectTo = {key.lower(): value for key, value in (connectTo or {}).items()}
        self._listen = dict(listen or {})
        self._interface = interface

    def target(self, host: str, port: int) -> str:
        """
        Return the address to connect to.

        @raise InvalidArgument: it isn't allowed.
        """
        named = host.lower().rstrip(".")
        allowed = self._allowed
        if allowed is not None and not allowed & {(named, port), (named, None), ("*", port)}:
            raise InvalidArgument(f"connecting to {joined(host, port)} is not allowed: see --allow-net")
        address = joined(host, port)
        return self._connectTo.get(joined(named, port), address)

    def mayLookUp(self, host: str) -> None:
        """
        @raise InvalidArgument: nothing of that name may be connected to.
        """
        named = host.lower().rstrip(".")
        if self._allowed is not None and not any(each in (named, "*") for each, _ in self._allowed):
            raise InvalidArgument(f"looking up {host} is not allowed: see --allow-net")

    def endpoint(self, port: int) -> tuple[int | str, str]:
        """
        Return what to listen on: a port or an endpoint, and the interface.

        @raise InvalidArgument: it isn't allowed.
        """
        if self._ports is not None and port not in self._ports:
            raise InvalidArgument(f"listening on port {port} is not allowed: see --allow-listen")
        endpoint = self._listen.get(port)
        return (port, self._interface) if endpoint is None else (endpoint, "")


def joined(host: str, port: int) -> str:
    """
    Return C{host:port}, an IPv6 address in brackets.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _allowed(text: str) -> tuple[str, int | None]:
    """
    @raise InvalidArgument: it is no C{host}, C{host:port} or C{*:port}.
    """
    host, colon, port = text.lower().rpartition(":")
    if not colon or (":" in host and not host.startswith("[")) or text.endswith("]"):
        host, port = text.lower(), ""
    host = host.removeprefix("[").removesuffix("]").rstrip(".")
    if not host or (colon and not port and text.endswith(":")):
        raise InvalidArgument(f"what may be connected to is host, host:port or *:port, not {text!r}")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise InvalidArgument(f"what may be connected to is host, host:port or *:port, not {text!r}")
    return host, int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What a program is started with.

    @ivar arguments: C{process.argv} from its third on.
    @ivar environment: C{process.env}.
    @ivar limits: what it may take.
    @ivar network: whom it may talk to.
    @ivar serverLimits: gives the bounds of its HTTP servers, when the first one is to listen.
    @ivar serving: called with each of these servers when it listens.
    @ivar failOnUnhandled: a rejection that nobody handles, and an exception that nobody catches, ends the program;
        else it is told, and the program goes on.
    """

    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: GuestLimits = DEFAULT_GUEST_LIMITS
    network: Network = field(default_factory=Network)
    serverLimits: Callable[[], ServerLimits] | None = None
    serving: Callable[[HttpServer], object] | None = None
    failOnUnhandled: bool = True
