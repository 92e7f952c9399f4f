"""
The soak's app, as a handler and for ASGI.

Each path is one kind of traffic; see L{benchmarks.soak.honest}.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from twisted.internet import reactor
from twisted.internet.task import deferLater

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request

from .content import EVIL, WORKER, digest, page, pieces

_PID = str(os.getpid())


async def handler(request: Request) -> WasiResponse | None:
    """
    Answer.
    """
    fields = {WORKER: _PID, "Content-Type": "application/octet-stream"}
    kind = request.path.split("/")[1]
    query = request.query
    if kind == "page":
        body = page(request.method, request.uri, request.headers.get("Cookie", ""), int(query["size"]))
        return WasiResponse(200, fields, body)
    if kind == "stream":
        count, size, pause = int(query["pieces"]), int(query["size"]), float(query["pause"])
        return WasiResponse(200, fields, _streamed(request.uri, count, size, pause))
    if kind == "digest":
        return WasiResponse(200, fields, digest(request.uri, [await request.read()]))
    if kind == "sum":
        summed, length = hashlib.sha256(request.uri.encode()), 0
        async for piece in request.stream():
            summed.update(piece)
            length += len(piece)
        return WasiResponse(200, fields, f"{length} {summed.hexdigest()}\n")
    if kind == "mirror":
        return WasiResponse(200, fields, request.stream())
    if kind == "socket":
        ws = await request.webSocket(headers={WORKER: _PID})
        async for message in ws:
            await ws.send(message)
        return None
    assert request.path != EVIL, "a request was smuggled"
    return WasiResponse(404, fields, b"not here\n")


async def _streamed(target: str, count: int, size: int, pause: float) -> AsyncIterator[bytes]:
    for piece in pieces(target, count, size):
        yield piece
        await deferLater(reactor, pause)  # type: ignore[arg-type]


_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


async def application(scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
    """
    The same for ASGI.
    """
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    else:
        await _answer(scope, receive, send)


async def _echo(receive: _Receive, send: _Send) -> None:
    await receive()
    await send({"type": "websocket.accept", "headers": [(WORKER.lower().encode(), _PID.encode())]})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})


async def _answer(scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
    raw = scope["query_string"].decode()
    target = scope["raw_path"].decode() + (f"?{raw}" if raw else "")
    query = dict(parse_qsl(raw))
    kind = scope["path"].split("/")[1]
    fields = [(WORKER.lower().encode(), _PID.encode())]
    begun = False

    async def give(data: bytes, *, more: bool = False, status: int = 200) -> None:
        nonlocal begun
        if not begun:
            begun = True
            length = [] if more else [(b"content-length", b"%d" % len(data))]
            await send({"type": "http.response.start", "status": status, "headers": fields + length})
        await send({"type": "http.response.body", "body": data, "more_body": more})

    assert scope["path"] != EVIL, "a request was smuggled"
    if kind == "page":
        cookie = dict(scope["headers"]).get(b"cookie", b"").decode()
        await give(page(scope["method"], target, cookie, int(query["size"])))
    elif kind == "stream":
        for piece in pieces(target, int(query["pieces"]), int(query["size"])):
            await give(piece, more=True)
            await asyncio.sleep(float(query["pause"]))
        await give(b"")
    elif kind in {"digest", "sum"}:
        body = [piece async for piece in _body(receive)]
        if body[-1] is not None:
            await give(digest(target, [piece for piece in body if piece is not None]))
    elif kind == "mirror":
        async for piece in _body(receive):
            if piece is None:
                return
            await give(piece, more=True)
        await give(b"")
    else:
        await give(b"not here\n", status=404)


async def _body(receive: _Receive) -> AsyncIterator[bytes | None]:
    """
    Yield the pieces of a body; L{None} at the end if the client has gone before.
    """
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            yield None
            return
        yield event.get("body", b"")
        if not event.get("more_body"):
            return
