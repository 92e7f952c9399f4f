"""
The frameworks that people use, by real sockets: Starlette, FastAPI, Quart, Django with Channels.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import PATIENCE, Client, waitUntil
from tests.service.support import ended

from .apps import DJANGO, FASTAPI, QUART, STARLETTE
from .served import answerOf, ask, goesInTheMidst, memoryOf, receiveUntil, request, serving, upload

# The programs choose their reactor.
pytestmark = pytest.mark.reactorless


def webSocket(port: int, path: str, **options: Any) -> Any:
    from websockets.sync.client import connect

    return connect(f"ws://127.0.0.1:{port}{path}", open_timeout=PATIENCE, **options)


def refusedWith(port: int, path: str) -> int:
    """
    @return: the status of the response to a handshake.
    """
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as caught:
        webSocket(port, path)
    status: int = caught.value.response.status_code
    return status


def closedWith(ws: Any) -> int | None:
    """
    Wait for the close of a WebSocket.

    @return: the code of the server's.
    """
    from websockets.exceptions import ConnectionClosed

    with pytest.raises(ConnectionClosed) as caught:
        ws.recv(PATIENCE)
    return None if caught.value.rcvd is None else caught.value.rcvd.code


def test_starlette(tmp_path: Path) -> None:
    with serving(tmp_path, text=STARLETTE) as (process, port):
        for path in ("/state", "/below/state"):
            assert json.loads(ask(port, path)[1]) == [7, f"http://x{path}", True]
        assert ask(port, "/threaded") == (200, b"threaded")
        assert ask(port, "/stream") == (200, b"0\n1\n2\n")
        assert ask(port, "/file") == (200, STARLETTE.encode())
        assert ask(port, "/file", "Range: bytes=1-6") == (206, b"import")
        assert ask(port, "/nothing")[0] == 404
        with webSocket(port, "/echo", subprotocols=["other", "chat"]) as ws:
            assert ws.subprotocol == "chat"
            ws.send("abc")
            assert ws.recv() == "cba"
        process.waitForOutput("closed")

        # 200 MB to an app that reads slowly at first: what it hasn't read stays with the client.
        assert upload(port, "/upload", 1_000_000) == (200, b"1000000")
        process.waitForOutput("behind")
        before = memoryOf(process)
        assert upload(port, "/upload", 200_000_000) == (200, b"200000000")
        assert memoryOf(process) - before < 2048

        goesInTheMidst(process, port, "/endless", "told: stream")
        goesInTheMidst(process, port, "/silent", "told: silence")
        goesInTheMidst(process, port, "/polling", "told: is_disconnected")

        # What is under way is answered, and then the app is told.
        with webSocket(port, "/codes") as ws, Client(port) as client:
            client.send(request("/held"))
            process.waitForOutput("held")
            process.process.send_signal(signal.SIGTERM)
            assert closedWith(ws) == 1012
            process.waitForOutput("code 1012")
            assert "stopped" not in process.stdout()
            (tmp_path / "go").touch()
            assert answerOf(client.receiveAll()) == (200, b"let go")
        ended(process, -signal.SIGTERM)
        assert "stopped" in process.stdout()


def test_drainsUntilItsDeadline(tmp_path: Path) -> None:
    """
    A stream without an end is cancelled, and so is an app that never reads that its WebSocket is closed.
    """
    deaf = """
async def deaf(websocket):
    await websocket.accept()
    try:
        await asyncio.sleep(1000)
    finally:
        print("told: deaf")
routes.append(WebSocketRoute("/deaf", deaf))
app = Starlette(routes=routes)
"""
    with (
        serving(tmp_path, "--limits", "drain=0.5", text=STARLETTE + deaf) as (process, port),
        webSocket(port, "/deaf") as ws,
        Client(port) as client,
    ):
        client.send(request("/silent"))
        receiveUntil(client, b"first")
        begun = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        assert closedWith(ws) == 1012
        ended(process, -signal.SIGTERM)
        took = time.monotonic() - begun
        assert "told: silence" in process.stdout()
        assert "told: deaf" in process.stdout()
        assert 0.5 <= took < 5


def test_fastapi(tmp_path: Path) -> None:
    """
    Behind a proxy that has taken off a part of the path.
    """
    options = ("--access-log", "-", "--root-path", "/shop", "--proxy-headers")
    with serving(tmp_path, *options, text=FASTAPI) as (process, port):
        assert ask(port, "/items/5?q=7") == (200, b'{"item":5,"q":7}')
        assert ask(port, "/items/0") == (404, b'{"detail":"no such item"}')
        assert ask(port, "/items/x")[0] == 422
        kind = "Content-Type: application/json"
        assert ask(port, "/items", kind, method="POST", body=b'{"name": "a"}') == (201, b'{"name":"a","price":1.5}')
        process.waitForOutput("behind a")
        assert ask(port, "/boom") == (500, b"Internal Server Error")
        process.waitForOutput("ValueError: boom")
        process.waitForOutput('"GET /boom HTTP/1.1" 500')

        # The page for people, and what it loads.
        assert b"url: '/shop/openapi.json'" in ask(port, "/docs")[1]
        assert json.loads(ask(port, "/openapi.json")[1])["servers"] == [{"url": "/shop"}]
        forwarded = ("X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https")
        where = ["https://x/shop/where", "https://x/shop/items/5", "1.1.1.1"]
        assert json.loads(ask(port, "/where", *forwarded)[1]) == where

        with webSocket(port, "/items/5/ws?q=7") as ws:
            assert json.loads(ws.recv()) == {"item": 5, "q": 7, "url": f"ws://127.0.0.1:{port}/shop/items/5/ws?q=7"}
            ws.send(b"x" * 100_000)
            assert ws.recv() == b"x" * 100_000
        process.waitForOutput("told: WebSocket")
        assert refusedWith(port, "/items/0/ws") == 403
        assert refusedWith(port, "/nothing") == 403
        goesInTheMidst(process, port, "/events", "told: events")
        assert process.stop() == -signal.SIGTERM


def test_quart(tmp_path: Path) -> None:
    with serving(tmp_path, text=QUART) as (process, port):
        assert json.loads(ask(port, "/state")[1]) == {"number": 7, "url": "http://x/state"}
        assert ask(port, "/stream") == (200, b"0\n1\n2\n")
        assert upload(port, "/upload", 5_000_000) == (200, b"5000000")
        assert ask(port, "/nothing")[0] == 404
        assert ask(port, "/boom")[0] == 500
        waitUntil(lambda: "ValueError: boom" in process.stdout() + process.stderr(), "the error in the log")
        assert refusedWith(port, "/no") == 403
        goesInTheMidst(process, port, "/endless", "told: stream")
        with webSocket(port, "/echo") as ws:
            for message in ("text", b"bytes"):
                ws.send(message)
                assert ws.recv() == message
            process.process.send_signal(signal.SIGTERM)
            assert closedWith(ws) == 1012
        assert process.wait() == -signal.SIGTERM
        assert "told: WebSocket" in process.stdout()
        assert "stopped" in process.stdout()


def test_django(tmp_path: Path) -> None:
    """
    With Channels' consumers, those that run in threads too.
    """
    with serving(tmp_path, text=DJANGO) as (process, port):
        status, answer = ask(port, "/sync/?a=%C3%A4")
        assert status == 200
        assert json.loads(answer) == {
            "path": "/sync/",
            "query": {"a": "\N{LATIN SMALL LETTER A WITH DIAERESIS}"},
            "host": "x",
        }
        assert ask(port, "/view/", method="POST", body=bytes(100_000)) == (200, b"POST 100000")
        assert upload(port, "/upload/", 5_000_000) == (200, b"5000000")
        assert ask(port, "/nothing/")[0] == 404
        assert ask(port, "/boom/")[0] == 500
        goesInTheMidst(process, port, "/endless/", "told: stream")
        assert refusedWith(port, "/no/") == 403
        with webSocket(port, "/echo/") as ws:
            for message in ("text", b"bytes", "\N{SNOWMAN}" * 20_000):
                ws.send(message)
                assert ws.recv() == message
            ws.send("close")
            assert closedWith(ws) == 4001
        with webSocket(port, "/room/a/", subprotocols=["chat"]) as one, webSocket(port, "/room/a/") as two:
            assert (one.subprotocol, two.subprotocol) == ("chat", None)
            one.send("hello")
            assert (one.recv(), two.recv()) == ("hello", "hello")
            two.close(4002)
            process.waitForOutput("code 4002")
            process.process.send_signal(signal.SIGTERM)
            assert closedWith(one) == 1012
        assert process.wait() == -signal.SIGTERM
        assert "code 1012" in process.stdout()
