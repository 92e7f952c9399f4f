"""
C{wasinet-asgi} as its users run it: a process, an app of theirs, real sockets, signals.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.asgi.served import TWIST, TWISTD, answerOf, ask, goesInTheMidst, request, serving
from tests.processes import Client, freePort, run, script, takenPort, talk, waitUntil
from tests.service.support import at, ended, write
from wasinet_twisted.service.app import AppFailed
from wasinet_twisted.service.asgi import loadAsgiApp

# The programs choose their reactor, as their apps need it.
pytestmark = pytest.mark.reactorless

# Needs nothing but asyncio.
BARE = """
import asyncio, json, os

async def until(name):
    while not os.path.exists(name):
        await asyncio.sleep(0.01)

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
    path, said = scope["path"].removeprefix(scope["root_path"]), ""
    if path == "/held":
        print("held")
        await until("let")
    elif path == "/upload":
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        said = str(size)
    elif path == "/scope":
        shown = ("client", "scheme", "path", "root_path", "state")
        said = json.dumps({name: scope[name] for name in shown})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if path == "/stream":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await receive()
        print("told:", (await receive())["type"])
        return
    await send({"type": "http.response.body", "body": (said or path).encode()})

def make():
    return app

async def old(scope):
    pass

def wsgi(environ, start_response):
    pass

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "OSError: no database"})
"""


def test_startsAndStops(tmp_path: Path) -> None:
    """
    Who connects before the app has started waits, and is answered then; who asks before it stops is answered, too.
    """
    text = BARE.replace("await asyncio.sleep(0)\n", "await until('go')\n")
    with serving(tmp_path, text=text) as (process, port):
        with Client(port) as client:
            client.send(request("/scope"))
            process.waitForOutput("app starts")
            assert "listening on" not in process.stdout()
            (tmp_path / "go").touch()
            status, answer = answerOf(client.receiveAll())
        assert status == 200
        assert json.loads(answer)["state"] == {"number": 5}
        process.waitForOutput(f"listening on http://127.0.0.1:{port}")
        assert talk(port, b"GET /a HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n/a")
        assert ask(port, "/a", method="HEAD") == (200, b"")
        with Client(port) as client:
            # As curl sends a large body.
            client.send(request("/upload", "Expect: 100-continue", method="POST", size=5))
            answer = client.receive(len(b"HTTP/1.1 100 Continue\r\n\r\n"))
            assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"12345")
            assert answerOf(client.receiveAll()) == (200, b"5")
        goesInTheMidst(process, port, "/stream", "told: http.disconnect")
        with Client(port) as client:
            client.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            process.waitForOutput("held")
            process.process.send_signal(signal.SIGTERM)
            process.waitForOutput("requests in flight: 1")
            assert "app stops" not in process.stdout()
            (tmp_path / "let").touch()
            assert client.receiveAll().endswith(b"\r\n\r\n/held")
        ended(process, -signal.SIGTERM)
        assert "app stops" in process.stdout()


def test_factoryAndProxies(tmp_path: Path) -> None:
    """
    And twist, Ctrl-C, and another reactor's name.
    """
    options = ("--factory", "--root-path", "/shop", "--proxy-headers", "--trusted-hosts", "127.0.0.0/8,10.0.0.1")
    command = [*TWIST[:-1], "--reactor=asyncio", TWIST[-1]]
    with serving(tmp_path, *options, text=BARE, app="app:make", command=command) as (process, port):
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
        assert "app stops" in process.stdout()


# Apps that can't be served

FAILING = {
    "asgi 2": ("old", False, "this one takes a scope alone, as in ASGI 2: asgiref.compatibility"),
    "wsgi": ("wsgi", False, "this one takes two, as WSGI's do: asgiref.wsgi.WsgiToAsgi(app) wraps it"),
    "a factory": ("make", False, "this one takes none: is it a factory, which makes the app?"),
    "no factory": ("app", True, "missing 3 required positional arguments"),
    "no name": ("nonsense", False, "there is no app given:nonsense: module 'given' has no attribute 'nonsense'"),
}


@pytest.mark.parametrize("case", FAILING)
def test_unusable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """
    One line says why.
    """
    write(tmp_path, BARE, "given.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name, factory, expected = FAILING[case]
    try:
        with pytest.raises(AppFailed) as caught:
            loadAsgiApp(f"given:{name}", factory)
    finally:
        sys.modules.pop("given", None)
    assert expected in str(caught.value)
    assert ("it looks like an app itself, which is served without --factory" in str(caught.value)) == factory


def test_failing(tmp_path: Path) -> None:
    """
    One line, status 1.
    """
    write(tmp_path, BARE)
    process = run([*TWISTD, "--app", "app:failing", "--listen", at(freePort())], tmp_path)
    ended(process, 1)
    assert process.stderr() == "wasinet-asgi: the app's startup failed: OSError: no database\n"


def test_noApp(tmp_path: Path) -> None:
    process = run([*TWISTD, "--app", "nonsense:app", "--listen", at(freePort())], tmp_path)
    ended(process, 1)
    (line,) = process.stderr().splitlines()
    assert line.startswith("wasinet-asgi: can't import the app nonsense:app: ModuleNotFoundError")


def test_portInUse(tmp_path: Path) -> None:
    write(tmp_path, BARE)
    with takenPort() as port:
        process = run([*TWISTD, "--app", "app:app", "--listen", at(port)], tmp_path)
    ended(process, 1)
    assert "Address already in use" in process.stderr()
    # It has not been started for nothing.
    assert "app starts" not in process.stdout()


def test_stoppedWhileItStarts(tmp_path: Path) -> None:
    text = BARE.replace("await asyncio.sleep(0)\n", "await asyncio.sleep(60)\n")
    with serving(tmp_path, text=text) as (process, _):
        process.waitForOutput("app starts")
        process.process.send_signal(signal.SIGINT)
        ended(process, -signal.SIGINT)


def test_reload(tmp_path: Path) -> None:
    with serving(tmp_path, "--reload", text=BARE) as (process, port):
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
        "asyncio.sleep(0)\n", "task.deferLater(reactor, 0)\n"
    )
    command = [script("twistd"), "-n", "--reactor=wasinet", "wasinet-asgi"]
    with serving(tmp_path, text=text, command=command) as (process, port):
        assert ask(port, "/a") == (200, b"/a")
        assert ask(port, "/held")[0] == 500
        process.waitForOutput("no running event loop; await it on")


# Its startup takes until there is a file.
STARTS = BARE.replace('print("app starts")', 'await until("let")')


def test_readyWhenItHasStarted(tmp_path: Path) -> None:
    """
    Who has connected before waits, and no load balancer sends anybody.
    """
    status = freePort()
    ready = b"GET /readyz HTTP/1.1\r\nHost: balancer.example\r\n\r\n"
    with serving(tmp_path, f"--status={status}", text=STARTS) as (process, port):
        process.waitForPorts(status)
        with Client(status) as balancer, Client(port) as early:
            early.send(request())
            balancer.send(ready)
            assert balancer.socket.recv(4096).endswith(b"\r\n\r\nstarting\n")
            (tmp_path / "let").touch()
            assert answerOf(early.receiveAll())[0] == 200
            balancer.send(ready)
            assert balancer.socket.recv(4096).endswith(b"\r\n\r\nready\n")
        assert process.stop() == -signal.SIGTERM
