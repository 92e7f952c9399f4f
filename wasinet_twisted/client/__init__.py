"""
An HTTP/1.1 client: C{fetch}, and the pool of connections behind it.

    response = await fetch("http://example.org/")
    text = await response.text()

L{webSocket} opens a WebSocket. L{Agent} is fetch() with the face of C{twisted.web}'s, for treq.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import ProxyFailed, TooManyRedirects, WebSocketRefused
from .decoding import DecodingLimits
from .fetching import fetch
from .limits import ClientLimits, Timeouts
from .pool import Pool
from .proxies import Proxy
from .report import Report
from .response import Response
from .timings import Timings
from .websocket import webSocket

if TYPE_CHECKING:
    from .agent import Agent

__all__ = [
    "Agent",
    "ClientLimits",
    "DecodingLimits",
    "Pool",
    "Proxy",
    "ProxyFailed",
    "Report",
    "Response",
    "Timeouts",
    "Timings",
    "TooManyRedirects",
    "WebSocketRefused",
    "fetch",
    "webSocket",
]


def __getattr__(name: str) -> Any:
    # Lazy (PEP 562): it loads twisted.web, which fetch() does without.
    if name == "Agent":
        return import_module(f"{__name__}.agent").Agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
