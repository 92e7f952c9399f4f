"""
Ours, with a handler that works: C{/N} takes CPU time in proportion to N, as an app's own work does.
"""

from __future__ import annotations

from hashlib import pbkdf2_hmac

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request


async def handler(request: Request) -> WasiResponse:
    pbkdf2_hmac("sha256", b"", b"", int(request.uri[1:]))
    return WasiResponse(body=b"done")
