"""
A site of twisted.web and our server in one process: one reactor, one log, one end.

    twistd -ny examples/side_by_side.py

Then, in another terminal:

    curl localhost:8080         # twisted.web
    curl localhost:8081/hello   # ours

SITE_PORT and API_PORT in the environment are for other ports.
"""

import os

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application, Service
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.python import log
from twisted.web.resource import Resource
from twisted.web.server import Site

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import HttpServer


async def handler(request):
    return WasiResponse(body=f"this is {request.path}\n")


class Front(Resource):
    """
    With Klein, C{Klein().resource()} stands in its place.
    """

    isLeaf = True

    def __init__(self, statistics):
        super().__init__()
        self.statistics = statistics

    def render_GET(self, request):
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return f"the other one has had {self.statistics.requests} requests\n".encode()


class Api(Service):
    """
    Starts and drains a server with the application.
    """

    def __init__(self, server, endpoint):
        self.server = server
        self.endpoint = endpoint

    def startService(self):
        super().startService()
        # One that can't listen is logged, and leaves the other alone: so does Twisted with the site.
        self.server.listenOn(self.endpoint).addErrback(log.err)

    def stopService(self):
        super().stopService()
        return self.server.drain(3.0)


server = HttpServer(handler)
application = Application("side by side")
site = TCP4ServerEndpoint(reactor, int(os.environ.get("SITE_PORT", "8080")), interface="127.0.0.1")
api = TCP4ServerEndpoint(reactor, int(os.environ.get("API_PORT", "8081")), interface="127.0.0.1")
StreamServerEndpointService(site, Site(Front(server.statistics))).setServiceParent(application)
Api(server, api).setServiceParent(application)
