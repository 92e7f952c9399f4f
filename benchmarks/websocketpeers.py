"""
The candidates of L{benchmarks.websocket}: each sends back the WebSocket messages that come.
"""

from __future__ import annotations

from .candidates import Candidate, bothForms, module, script
from .peers import BACKLOG

OURS, STOCK, ASGI = "ours", "epoll", "asgi"
# uvicorn has three implementations; C{--ws websockets} names the first one.
UVICORN, UVICORN_SANSIO, UVICORN_WSPROTO = "uvicorn", "uvicorn-sansio", "uvicorn-wsproto"
AUTOBAHN = "autobahn"

_LISTEN = ("--listen", f"tcp:{{port}}:interface=127.0.0.1:backlog={BACKLOG}")
# uvicorn pings in the midst of traffic, too, and the load expects echoes alone: longer than any run, in seconds.
_NO_PING = "3600"


def _ours(title: str, reactor: str) -> Candidate:
    return Candidate(
        title,
        (
            *(script("twistd"), f"--reactor={reactor}", "--nodaemon", "--pidfile=", "wasinet-http"),
            *("--app", "benchmarks.peers.wsours:handler", *_LISTEN),
        ),
        ("wasinet_twisted", "twisted", "websockets"),
    )


def _asgi(title: str, app: str, *packages: str) -> Candidate:
    return Candidate(
        title,
        (
            *(script("twistd"), "--nodaemon", "--pidfile=", "wasinet-asgi"),
            *("--app", app, "--lifespan", "off", *_LISTEN),
        ),
        ("wasinet_twisted", "twisted", "websockets", *packages),
    )


def _uvicorn(implementation: str, package: str) -> Candidate:
    return Candidate(
        f"uvicorn, {implementation}",
        module(
            *("uvicorn", "benchmarks.peers.wsasgi:app", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
            *("--loop", "uvloop", "--ws", implementation, "--ws-ping-interval", _NO_PING, "--lifespan", "off"),
            *("--backlog", str(BACKLOG), "--log-level", "warning"),
        ),
        ("uvicorn", "uvloop", package),
    )


# The first is ours: the others are compared with it.
_CANDIDATES = {
    OURS: _ours("wasinet_twisted", "wasinet"),
    STOCK: _ours("wasinet_twisted, Twisted's epoll", "epoll"),
    ASGI: _asgi("wasinet_twisted, a bare ASGI app", "benchmarks.peers.wsasgi:app"),
    "asgi-starlette": _asgi("wasinet_twisted, Starlette", "benchmarks.peers.wsstarlette:app", "starlette"),
    UVICORN: _uvicorn("websockets", "websockets"),
    UVICORN_SANSIO: _uvicorn("websockets-sansio", "websockets"),
    UVICORN_WSPROTO: _uvicorn("wsproto", "wsproto"),
    AUTOBAHN: Candidate(
        "autobahn, Twisted's epoll", module("benchmarks.peers.wsautobahn", "{port}"), ("autobahn", "twisted")
    ),
}

# Ours in both forms.
CANDIDATES = bothForms(_CANDIDATES)
