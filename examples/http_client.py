"""
The article's HTTP client (wasi_http_client.js): a GET and a POST at the same time.

    python examples/http_client.py [--connect 127.0.0.1:8000]

It needs a server, such as C{twistd -n wasinet-echo}.
"""

import argparse

from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.task import react

from wasinet_twisted import http, net


async def handleResponse(s):
    buf = http.Buffer()
    while True:
        d = await s.read()
        if len(d) <= 0:
            # Without this, a server that hangs up in the middle would be waited for in vain.
            buf.eof()
        buf.append(d)
        resp = buf.parseResponse()
        if isinstance(resp, http.WasiResponse):
            print("resp.body")
            print(resp.body.decode("utf-8", "replace"))
            break
        if len(d) <= 0:
            raise net.ConnectionClosed("the server closed the connection without an answer")


async def getTest(address):
    try:
        ss = await net.connect(address)
        req = http.WasiRequest()
        req.headers = {"Host": address}
        req.uri = "/get?a=123"
        req.method = "GET"
        ss.write(req.encode())
        print("wait get")
        await handleResponse(ss)
        print("get end")
    except Exception as e:
        print("catch:", e)


async def postTest(address):
    try:
        ss = await net.connect(address)
        req = http.WasiRequest()
        req.headers = {"Host": address}
        req.uri = "/post?a=123"
        req.method = "POST"
        req.body = "hello"
        ss.write(req.encode())
        print("wait post")
        await handleResponse(ss)
        print("post end")
    except Exception as e:
        print("catch:", e)


async def main(reactor):
    parser = argparse.ArgumentParser(description="The article's HTTP client.")
    parser.add_argument("--connect", metavar="HOST:PORT", default="127.0.0.1:8000", help="the server (127.0.0.1:8000)")
    address = parser.parse_args().connect
    await DeferredList([ensureDeferred(getTest(address)), ensureDeferred(postTest(address))])


if __name__ == "__main__":
    react(main, [])
