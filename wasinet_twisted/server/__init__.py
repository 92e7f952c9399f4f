"""
An HTTP/1.1 server: handlers in, connections, bounds, draining and an access log around them.

    async def handler(request):
        return WasiResponse(body=b"echo:" + await request.read())

    server = serve(handler, 8080)
"""

from .accesslog import AccessLog
from .limits import ServerLimits
from .readiness import Readiness
from .request import Request
from .serving import HttpServer, serve
from .static.handler import files
from .statistics import Statistics
from .status import StatusApp
from .websocket import isWebSocket

__all__ = [
    "AccessLog",
    "HttpServer",
    "Readiness",
    "Request",
    "ServerLimits",
    "Statistics",
    "StatusApp",
    "files",
    "isWebSocket",
    "serve",
]
