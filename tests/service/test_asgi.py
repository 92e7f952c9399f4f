"""
C{wasinet-asgi} as its users run it: a process, an app of theirs, real sockets, signals.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import Client, Process, freePort, listening, run, running, script, takenPort, talk, waitUntil
from tests.service.support import at, ended, statusOf, write

TWISTD = [script("twistd"), "-n", "wasinet-asgi"]
TWIST = [sys.executable, "-m", "twisted", "wasinet-asgi"]

# Needs nothing but asyncio.
BARE = """
import asyncio, json, os, sys, time

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("app starts")
        await asyncio.sleep(0)
        scope["state"]["number"] = 5
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("app stops")
        await send({"type": "lifespan.shutdown.complete"})
        return
    path, said = scope["path"].removeprefix(scope["root_path"]), b""
    if path == "/slow":
        await asyncio.sleep(1)
    elif path == "/upload":
        size = count = 0
        while (message := await receive()).get("more_body"):
            size += len(message["body"])
            count += 1
            if count < 5:
                await asyncio.sleep(0.05)
        said = str(size)
    elif path == "/memory":
        said = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
    elif path == "/scope":
        shown = ("client", "scheme", "path", "root_path", "state")
        said = json.dumps({name: scope[name] for name in shown})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if path == "/stream":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await receive()
        print((await receive())["type"])
        return
    await send({"type": "http.response.body", "body": (said or path).encode()})

def make():
    return app

async def old(scope):
    pass

async def noPart(scope, receive, send):
    pass

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "OSError: no database"})
"""


@contextmanager
def serving(
    directory: Path, *options: str, text: str = BARE, app: str = "app:app", command: list[str] = TWISTD
) -> Iterator[tuple[Process, int]]:
    """
    Serve an app of a directory, once it has started.
    """
    write(directory, text)
    port = freePort()
    with running([*command, "--app", app, "--listen", at(port), *options], directory) as process:
        process.waitForPorts(port)
        yield process, port


def ask(port: int, path: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
    """
    @return: the status, and the body.
    """
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *fields,
        "",
        "",
    )
    with Client(port) as client:
        client.send("\r\n".join(lines).encode() + body)
        answer = client.receiveAll()
    answered, _, rest = answer.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in answered:
        rest = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", rest, re.DOTALL))
    return statusOf(answer), rest


@pytest.mark.parametrize("command", [TWISTD, TWIST], ids=["twistd", "twist"])
def test_serves(tmp_path: Path, command: list[str]) -> None:
    """
    The app has started before the first answer, and stops behind the last one.
    """
    with serving(tmp_path, command=command) as (process, port):
        status, answer = ask(port, "/scope")
        assert status == 200
        assert json.loads(answer)["state"] == {"number": 5}
        assert "app starts" in process.stdout()
        # SIGTERM in the midst of a request, which is answered.
        with Client(port) as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.3)
            process.process.send_signal(signal.SIGTERM)
            assert client.receiveAll().endswith(b"\r\n\r\n/slow")
        ended(process, -signal.SIGTERM)
        assert "app stops" in process.stdout()


def test_factoryAndProxies(tmp_path: Path) -> None:
    """
    And Ctrl-C, and another reactor's name.
    """
    options = ("--factory", "--root-path", "/shop", "--proxy-headers", "--trusted-hosts", "127.0.0.0/8,10.0.0.1")
    command = [script("twistd"), "-n", "--reactor=asyncio", "wasinet-asgi"]
    with serving(tmp_path, *options, app="app:make", command=command) as (process, port):
        fields = ("X-Forwarded-For: 6.6.6.6, 1.1.1.1, 10.0.0.1", "X-Forwarded-Proto: https")
        _, answer = ask(port, "/scope", *fields)
        assert json.loads(answer) == {
            "client": ["1.1.1.1", 0],
            "scheme": "https",
            "path": "/shop/scope",
            "root_path": "/shop",
            "state": {"number": 5},
        }
        process.process.send_signal(signal.SIGINT)
        ended(process, -signal.SIGINT)


def test_largeUpload(tmp_path: Path) -> None:
    """
    200 MB to an app that reads slowly at first: what it hasn't read stays with the client.
    """
    size = 200_000_000
    piece = bytes(1_000_000)
    with serving(tmp_path) as (_, port):
        ask(port, "/upload", method="POST", body=piece)
        before = int(ask(port, "/memory")[1])
        with Client(port) as client:
            client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(piece)):
                client.send(piece)
            assert client.receiveAll().endswith(str(size).encode())
        assert int(ask(port, "/memory")[1]) - before < 2048


def test_theClientGoes(tmp_path: Path) -> None:
    """
    In the midst of a response; the app is told within a second.
    """
    with serving(tmp_path) as (process, port):
        with Client(port) as client:
            client.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            while b"first" not in client.socket.recv(1000):
                pass
        gone = time.monotonic()
        process.waitForOutput("http.disconnect")
        assert time.monotonic() - gone < 1


STARLETTE = """
import anyio, asyncio
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

@asynccontextmanager
async def lifespan(app):
    async with anyio.create_task_group() as group:
        yield {"number": 7}
    print("stopped")

async def state(request):
    await anyio.sleep(0.001)
    return JSONResponse([request.state.number, str(request.url), asyncio.current_task() is not None])

def threaded(request):
    return PlainTextResponse("threaded")

async def stream(request):
    async def pieces():
        for number in range(3):
            await asyncio.sleep(0.001)
            yield f"{number}\\n"
    return StreamingResponse(pieces())

async def upload(request):
    form = await request.body()
    return PlainTextResponse(str(len(form)), background=BackgroundTask(print, "behind"))

async def echo(websocket):
    await websocket.accept(subprotocol="chat")
    async for text in websocket.iter_text():
        await websocket.send_text(text[::-1])
    print("closed")

routes = [
    Route("/state", state), Route("/threaded", threaded), Route("/stream", stream),
    Route("/upload", upload, methods=["POST"]), Route("/file", lambda request: FileResponse(__file__)),
    Mount("/below", routes=[Route("/state", state)]), WebSocketRoute("/echo", echo),
]
app = Starlette(routes=routes, lifespan=lifespan)
"""


def test_starlette(tmp_path: Path) -> None:
    from websockets.sync.client import connect

    with serving(tmp_path, text=STARLETTE) as (process, port):
        for path in ("/state", "/below/state"):
            assert json.loads(ask(port, path)[1]) == [7, f"http://x{path}", True]
        assert ask(port, "/threaded") == (200, b"threaded")
        assert ask(port, "/stream") == (200, b"0\n1\n2\n")
        assert ask(port, "/upload", method="POST", body=b"x" * 100_000) == (200, b"100000")
        assert ask(port, "/file") == (200, STARLETTE.encode())
        assert ask(port, "/file", "Range: bytes=1-6") == (206, b"import")
        assert ask(port, "/nothing")[0] == 404
        with connect(f"ws://127.0.0.1:{port}/echo", subprotocols=["other", "chat"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "chat"
            ws.send("abc")
            assert ws.recv() == "cba"
        process.waitForOutput("closed")
        process.waitForOutput("behind")
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)
        assert "stopped" in process.stdout()


FASTAPI = """
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI()

class Item(BaseModel):
    name: str
    price: float = 1.5

def number(q: int = 2):
    return q

@app.get("/items/{item}")
def read(item: int, q: int = Depends(number)):
    if item == 0:
        raise HTTPException(404, "no such item")
    return {"item": item, "q": q}

@app.post("/items", status_code=201)
async def create(item: Item, tasks: BackgroundTasks):
    tasks.add_task(print, "behind", item.name)
    return item

@app.get("/boom")
async def boom():
    raise ValueError("boom")
"""


def test_fastapi(tmp_path: Path) -> None:
    with serving(tmp_path, "--access-log", "-", text=FASTAPI) as (process, port):
        assert ask(port, "/items/5?q=7") == (200, b'{"item":5,"q":7}')
        assert ask(port, "/items/0") == (404, b'{"detail":"no such item"}')
        assert ask(port, "/items/x")[0] == 422
        kind = "Content-Type: application/json"
        assert ask(port, "/items", kind, method="POST", body=b'{"name": "a"}') == (201, b'{"name":"a","price":1.5}')
        process.waitForOutput("behind a")
        assert ask(port, "/openapi.json")[0] == 200
        assert ask(port, "/boom") == (500, b"Internal Server Error")
        process.waitForOutput("ValueError: boom")
        process.waitForOutput('"GET /boom HTTP/1.1" 500')


# Apps that can't be served

FAILING = {
    "lifespan": (["--app", "app:failing"], "the app's startup failed: OSError: no database"),
    "no part": (
        ["--app", "app:noPart", "--lifespan", "on"],
        "the app's startup failed: it has returned without an answer",
    ),
    "asgi 2": (["--app", "app:old"], "this one takes a scope alone, as in ASGI 2: asgiref.compatibility"),
    "no factory": (["--app", "app:app", "--factory"], "the factory app:app failed: TypeError"),
    "no module": (["--app", "nonsense:app"], "can't import the app nonsense:app: ModuleNotFoundError"),
}


@pytest.mark.parametrize("case", FAILING)
def test_failing(tmp_path: Path, case: str) -> None:
    """
    One line, status 1.
    """
    options, expected = FAILING[case]
    write(tmp_path, BARE)
    process = run([*TWISTD, *options, "--listen", at(freePort())], tmp_path)
    ended(process, 1)
    (line,) = process.stderr().splitlines()
    assert line.startswith("wasinet-asgi: ")
    assert expected in line


def test_portInUse(tmp_path: Path) -> None:
    write(tmp_path, BARE)
    with takenPort() as port:
        process = run([*TWISTD, "--app", "app:app", "--listen", at(port)], tmp_path)
    ended(process, 1)
    assert "Address already in use" in process.stderr()
    # It has not been started for nothing.
    assert "app starts" not in process.stdout()


def test_acceptsAfterTheStartup(tmp_path: Path) -> None:
    """
    Who connects before waits, and is answered then.
    """
    text = BARE.replace("await asyncio.sleep(0)\n", "await asyncio.sleep(1)\n")
    write(tmp_path, text)
    port = freePort()
    with running([*TWISTD, "--app", "app:app", "--listen", at(port)], tmp_path) as process:
        waitUntil(lambda: listening(port), "listening")
        assert "listening on" not in process.stdout()
        assert ask(port, "/a") == (200, b"/a")
        process.waitForOutput(f"listening on http://127.0.0.1:{port}")


def test_stoppedWhileItStarts(tmp_path: Path) -> None:
    text = BARE.replace("await asyncio.sleep(0)\n", "await asyncio.sleep(60)\n")
    with serving(tmp_path, text=text) as (process, _):
        process.waitForOutput("app starts")
        process.process.send_signal(signal.SIGINT)
        ended(process, -signal.SIGINT)


def test_reload(tmp_path: Path) -> None:
    with serving(tmp_path, "--reload") as (process, port):
        assert ask(port, "/a") == (200, b"/a")
        write(tmp_path, BARE.replace("(said or path)", "('new:' + path)"))
        waitUntil(lambda: ask(port, "/a") == (200, b"new:/a"), "the new answer")
        process.process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM)


def test_ourReactor(tmp_path: Path) -> None:
    """
    For apps that need no asyncio: those that do are told how to get it.
    """
    text = "from twisted.internet import reactor, task\n" + BARE.replace(
        "asyncio.sleep(0)", "task.deferLater(reactor, 0)"
    )
    command = [script("twistd"), "-n", "--reactor=wasinet", "wasinet-asgi"]
    with serving(tmp_path, text=text, command=command) as (process, port):
        assert ask(port, "/a") == (200, b"/a")
        assert ask(port, "/slow")[0] == 500
        process.waitForOutput("no running event loop; await it on")
        assert talk(port, b"GET /a HTTP/1.0\r\n\r\n").endswith(b"/a")
