"""
The article's JavaScript, as it stands there, on this package's sockets and parser.

    wasinet run http_echo.js

QuickJS-ng runs the scripts, compiled to WebAssembly: they have sockets, timers
and the standard output, and nothing else of the machine. L{Program} is one of
them, on a Twisted reactor.

It needs the extra C{js} and the engine's binary, which
C{python -m wasinet_twisted.javascript.build} makes where a wheel hasn't brought it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .guestinterface import GuestLimits
    from .program import Program
    from .settings import Settings

__all__ = ["GuestLimits", "Program", "Settings"]


def __getattr__(name: str) -> Any:
    # Lazy (PEP 562): the engine is built where there is no Twisted yet.
    module = {"GuestLimits": "guestinterface", "Program": "program", "Settings": "settings"}.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
