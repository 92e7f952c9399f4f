"""
An echo of WebSocket messages: ours.
"""

from __future__ import annotations

from wasinet_twisted.server import Request


async def handler(request: Request) -> None:
    """
    Send back what comes.
    """
    ws = await request.webSocket()
    async for message in ws:
        await ws.send(message)
