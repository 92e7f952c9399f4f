"""
The article's HTTP echo in Python: the same sockets, the same parser, one request a connection, the same lines printed.
python -m benchmarks.peers.jsnet PORT
"""

from __future__ import annotations

import sys

from wasinet_twisted.reactor import install

install()

from twisted.internet import reactor as _reactor  # noqa: E402
from twisted.internet.defer import ensureDeferred  # noqa: E402

from wasinet_twisted import http, net  # noqa: E402

from . import BACKLOG  # noqa: E402

_say = sys.stdout.write


def answer(conn: net.WasiTcpConn, request: http.WasiRequest) -> None:
    """
    Print a request's parts, and send it back.
    """
    body = request.body.decode("utf-8", "replace")
    _say(f"version= {request.version}\nuri= {request.uri}\nmethod= {request.method}\n")
    _say(f"headers= {','.join(request.headers)}\nbody= {body}\n")
    response = http.WasiResponse(200, (), f"echo:{body}".encode(), version="HTTP/1.0")
    conn.write(response.encode())


async def handle(conn: net.WasiTcpConn) -> None:
    """
    Answer the one request of a connection.
    """
    buffer = http.Buffer()
    while data := await conn.read():
        buffer.append(data)
        request = buffer.parseRequest()
        if request is not None:
            answer(conn, request)
            return


async def main(port: int) -> None:
    """
    Accept without end.
    """
    server = net.WasiTcpServer(f"tcp:{port}:interface=127.0.0.1:backlog={BACKLOG}")
    while True:
        # As in the script, the connection closes when nobody refers to it any more.
        ensureDeferred(handle(await server.accept()))


if __name__ == "__main__":
    ensureDeferred(main(int(sys.argv[1])))
    _reactor.run()
