"""
aiohttp's server on uvloop. C{python -m benchmarks.peers.aiohttpweb PORT}
"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web

from . import BACKLOG


async def get(request: web.Request) -> web.Response:
    return web.Response(body=b"path:" + request.path.encode("ascii"), content_type="text/plain")


async def post(request: web.Request) -> web.Response:
    return web.Response(body=b"echo:" + await request.read(), content_type="text/plain")


def main(port: int) -> None:
    app = web.Application()
    app.router.add_get("/{path:.*}", get)
    app.router.add_post("/{path:.*}", post)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, backlog=BACKLOG, loop=loop)


if __name__ == "__main__":
    main(int(sys.argv[1]))
