"""
WebSocket (RFC 6455) over a connection, for both roles: messages are awaited, and sent with flow control.

    async for message in ws:
        await ws.send(message)

C{request.webSocket()} of the server and C{client.webSocket(url)} give a L{WebSocket}. Frames are judged, and messages
compressed, by the part of the C{websockets} package that does no I/O; it is imported when the first handshake is made.
"""

from ..errors import InvalidHandshake, WebSocketClosed, WebSocketRefused
from .handle import WebSocket
from .limits import WebSocketLimits

__all__ = ["InvalidHandshake", "WebSocket", "WebSocketClosed", "WebSocketLimits", "WebSocketRefused"]
