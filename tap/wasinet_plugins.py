"""
What twistd and twist are told: which commands there are, and where they live.
"""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

wasinetEcho = ServiceMaker(
    "wasinet-echo",
    "wasinet_twisted.service.echo",
    "Echo over HTTP and over TCP, the article's two servers.",
    "wasinet-echo",
)

wasinetHttp = ServiceMaker(
    "wasinet-http",
    "wasinet_twisted.service.http",
    "Serve an app by HTTP/1.1.",
    "wasinet-http",
)

wasinetAsgi = ServiceMaker(
    "wasinet-asgi",
    "wasinet_twisted.service.asgi",
    "Serve an ASGI app by HTTP/1.1 and WebSocket.",
    "wasinet-asgi",
)

wasinetJs = ServiceMaker(
    "wasinet-js",
    "wasinet_twisted.service.javascript",
    "Run a JavaScript program, sandboxed, with sockets and HTTP.",
    "wasinet-js",
)

wasinetReactor = Reactor(
    "wasinet",
    "wasinet_twisted.reactor",
    "epoll, with writes gathered and sent without a turn of epoll.",
)

wasinetAsyncioReactor = Reactor(
    "wasinet-asyncio",
    "wasinet_twisted.reactor.asyncio",
    "The same for asyncio programs: it runs an asyncio event loop.",
)
