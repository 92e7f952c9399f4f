"""
What this room needs that may be missing.
"""

from __future__ import annotations

from ..errors import NotSupported

NEEDS_WEBSOCKETS = "WebSocket needs the extra: pip install 'wasinet_twisted[ws]'"


def needWebsockets() -> None:
    """
    @raise NotSupported: the C{websockets} package is not installed.
    """
    try:
        import websockets.frames  # noqa: F401
    except ImportError as error:
        raise NotSupported(NEEDS_WEBSOCKETS) from error
