"""
A small application: pages, JSON, uploads to disk, downloads, and events that the server sends.

    python examples/http_app.py [--port 8000] [--interface 127.0.0.1]

or, from the directory examples, as a service:

    twistd -n wasinet-http --app http_app:handler --listen tcp:8000:interface=127.0.0.1

Then, in another terminal:

    curl localhost:8000
    curl -d '{"numbers": [1, 2, 3]}' localhost:8000/sum
    curl -T FILE 'localhost:8000/file?name=film'
    curl -O -J 'localhost:8000/file?name=film'
    curl -N localhost:8000/events

Uploads are kept in the directory "uploads". Ctrl-C: requests in flight have three seconds to come to their end.
"""

import argparse
import json
import os
import re
import tempfile
import time
from itertools import count
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.task import deferLater

from wasinet_twisted import net
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import AccessLog, serve

UPLOADS = Path("uploads")
LARGEST = 100 * 1024 * 1024
MEBIBYTE = 1024 * 1024
DRAIN = 3.0
# What a float holds without rounding.
MOST = 2**53


def text(status, line, headers=()):
    return WasiResponse(status, {"Content-Type": "text/plain; charset=utf-8", **dict(headers)}, f"{line}\n")


def answerJson(status, value):
    return WasiResponse(status, {"Content-Type": "application/json"}, json.dumps(value) + "\n")


async def index(request):
    return text(200, "\n".join(sorted(f"{method} {path}" for method, path in ROUTES)))


async def addUp(request):
    # What is no JSON raises here, and is answered with 400.
    match await request.json():
        # Python's JSON takes numbers of any size: 1e999 is infinite, and no float is as large as some integers.
        case {"numbers": [*numbers]} if all(type(each) in (int, float) and abs(each) <= MOST for each in numbers):
            return answerJson(200, {"sum": sum(numbers)})
    return answerJson(400, {"error": 'this takes {"numbers": [1, 2.5]}, each up to 2**53'})


def pathOf(request):
    """
    Where the file of a request is kept; None if that is no name for one.
    """
    name = request.query.get("name", "")
    # Of ASCII only: others are too long for some file systems, and need more than this in Content-Disposition.
    path = UPLOADS / name if re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII) else None
    return None if path is None or path.is_dir() else path


async def upload(request):
    path = pathOf(request)
    if path is None:
        return text(400, "a name for the file, please: ?name=film")
    expected = int(request.headers.get("Content-Length", 0))
    if expected > LARGEST:
        # Nothing has been read: a client that asked with "Expect: 100-continue" doesn't even send it.
        return text(413, f"at most {LARGEST} bytes")
    UPLOADS.mkdir(exist_ok=True)
    received = 0
    descriptor, part = tempfile.mkstemp(dir=UPLOADS, prefix=".")
    try:
        with open(descriptor, "wb") as file:
            # One piece is in memory at a time; a client that is faster than the disk has to wait.
            async for piece in request.stream():
                before, received = received, received + len(piece)
                if received > LARGEST:
                    return text(413, f"at most {LARGEST} bytes")
                file.write(piece)
                if before // MEBIBYTE != received // MEBIBYTE:
                    print(f"{path.name}: {received} of {expected or 'unknown'} bytes", flush=True)
        # Whole: from now on others see it.
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)
    return answerJson(201, {"name": path.name, "bytes": received})


async def piecesOf(path):
    with path.open("rb") as file:
        while piece := file.read(64 * 1024):
            yield piece


async def download(request):
    path = pathOf(request)
    if path is None or not path.is_file():
        return text(404, "no such file")
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(path.stat().st_size),
        "Content-Disposition": f'attachment; filename="{path.name}"',
    }
    # To a HEAD, the server sends the head of this alone; nobody opens the file.
    return WasiResponse(200, headers, piecesOf(path))


async def ticks(who):
    print(who, "listens", flush=True)
    try:
        for number in count(1):
            yield f"id: {number}\ndata: {time.strftime('%H:%M:%S')}\n\n"
            await deferLater(reactor, 1)
    finally:
        # The client has gone, or we are about to end.
        print(who, "has gone", flush=True)


async def events(request):
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    return WasiResponse(200, headers, ticks(net.formatAddress(request.peer)))


ROUTES = {
    ("GET", "/"): index,
    ("POST", "/sum"): addUp,
    ("PUT", "/file"): upload,
    ("GET", "/file"): download,
    ("GET", "/events"): events,
}


async def handler(request):
    method = "GET" if request.method == "HEAD" else request.method
    function = ROUTES.get((method, request.path))
    if function is not None:
        return await function(request)
    allowed = {method for method, path in ROUTES if path == request.path}
    if not allowed:
        return text(404, "not found")
    if "GET" in allowed:
        allowed.add("HEAD")
    return text(405, "not allowed", {"Allow": ", ".join(sorted(allowed))})


def main():
    parser = argparse.ArgumentParser(description="A small application.")
    parser.add_argument("--port", type=int, default=8000, help="where to listen (8000)")
    parser.add_argument("--interface", default="127.0.0.1", help="at which address (127.0.0.1)")
    args = parser.parse_args()
    accessLog = AccessLog("-")
    try:
        server = serve(handler, f"tcp:{args.port}:interface={quoteStringArgument(args.interface)}", accessLog=accessLog)
    except (net.InvalidArgument, net.ListenFailed) as e:
        raise SystemExit(str(e)) from None
    print("listen", args.port, "...", flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", server.drain, DRAIN)
    reactor.run()
    accessLog.close()


if __name__ == "__main__":
    main()
