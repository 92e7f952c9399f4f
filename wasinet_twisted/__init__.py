"""
An HTTP/1.1 server and client, awaitable TCP sockets, and a strict, incremental parser for Twisted.

    from wasinet_twisted import fetch, http, net, serve

L{wasinet_twisted.http} stands alone: importing it loads no Twisted.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._speed import speed
    from .client import fetch
    from .server import serve

__version__ = "0.2.0"

__all__ = ["__version__", "fetch", "http", "net", "serve", "speed"]

_ROOMS = frozenset({"http", "net"})
_FUNCTIONS = {"fetch": "client", "serve": "server", "speed": "_speed"}


def __getattr__(name: str) -> Any:
    # Lazy (PEP 562), so that whoever wants the parser alone doesn't pay for the reactor.
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
