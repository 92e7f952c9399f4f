"""
twisted.web: a Resource of its own. C{python -m benchmarks.peers.twistedweb PORT}
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as theReactor
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from . import BACKLOG


class Answers(Resource):
    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain")
        return b"path:" + request.path

    def render_POST(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain")
        return b"echo:" + request.content.read()


def main(port: int) -> None:
    reactor: Any = theReactor
    reactor.listenTCP(port, Site(Answers()), backlog=BACKLOG, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
