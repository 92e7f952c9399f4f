"""
Ours: a handler for the server of wasinet_twisted.
"""

from __future__ import annotations

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request


async def handler(request: Request) -> WasiResponse:
    if request.method == "POST":
        body = b"echo:" + await request.read()
    else:
        body = b"path:" + request.uri.partition("?")[0].encode("ascii")
    return WasiResponse(headers={"Content-Type": "text/plain"}, body=body)
