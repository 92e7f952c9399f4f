"""
The article's HTTP echo server (wasi_http_echo.js): sockets and the Buffer, nothing between.

    python examples/http_echo.py [--port 8000]

Then, in another terminal:

    curl -d "WasmEdge" -X POST http://localhost:8000
"""

import argparse

from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.task import react

from wasinet_twisted import http, net


async def handleClient(cs, handlerReq):
    buffer = http.Buffer()

    while True:
        try:
            d = await cs.read()
            if len(d) <= 0:
                break
            buffer.append(d)
            req = buffer.parseRequest()
            if isinstance(req, http.WasiRequest):
                handlerReq(cs, req)
                break
        except http.ProtocolError as e:
            print(e)
            cs.write(http.WasiResponse(e.statusHint, {"Connection": "close"}).encode())
            break
        except net.ConnectionClosed as e:
            print(e)
            break
    # The article leaves this to the collector; but the program may end with its last client, and not before the answer
    # has been sent.
    await cs.close()


def handlerReq(cs, req):
    print("version=", req.version)
    print("uri=", req.uri)
    print("method=", req.method)
    print("headers=", list(req.headers))
    print("body=", req.body.decode("utf-8", "replace"))

    resp = http.WasiResponse()
    # One request a connection, as in the original; HTTP/1.1 wants it said.
    resp.headers = {"Connection": "close"}
    resp.body = "echo:" + req.body.decode("utf-8", "replace")
    r = resp.encode(req.method)
    cs.write(r)


async def serverStart(port):
    print("listen", port, "...")
    s = net.WasiTcpServer(port)
    clients = []
    for _ in range(100):
        cs = await s.accept()
        clients.append(ensureDeferred(handleClient(cs, handlerReq)))
    await s.close()
    await DeferredList(clients)


async def main(reactor):
    parser = argparse.ArgumentParser(description="The article's HTTP echo server.")
    parser.add_argument("--port", type=int, default=8000, help="where to listen (8000)")
    args = parser.parse_args()
    try:
        await serverStart(args.port)
    except (net.InvalidArgument, net.ListenFailed) as e:
        raise SystemExit(str(e)) from None


if __name__ == "__main__":
    react(main, [])
