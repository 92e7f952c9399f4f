"""
Ours: a handler for the server of wasinet_twisted.
"""

from __future__ import annotations

from wasinet_twisted.http import WasiRequest, WasiResponse


def handler(request: WasiRequest) -> WasiResponse:
    if request.method == "POST":
        body = b"echo:" + request.body
    else:
        body = b"path:" + request.uri.partition("?")[0].encode("ascii")
    return WasiResponse(headers={"Content-Type": "text/plain"}, body=body)
