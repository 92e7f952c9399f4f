"""
A Starlette app, as its documentation shows one.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def path(request: Request) -> PlainTextResponse:
    return PlainTextResponse("path:" + request.url.path)


app = Starlette(routes=[Route("/{path:path}", path)])
