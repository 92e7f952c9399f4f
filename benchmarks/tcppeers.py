"""
The candidates of L{benchmarks.tcp}. C{{writes}} and C{{nodelay}} stand for what a case asks of them.
"""

from __future__ import annotations

from .candidates import Candidate, bothForms, module
from .peers import BACKLOG
from .pingpong import COMPILER

OURS, PROTOCOL, CONN_STOCK, STOCK, UVLOOP, FLOOR = "conn", "protocol", "conn-epoll", "protocol-epoll", "uvloop", "c"

_ASKED = ("{port}", "{writes}", "{nodelay}")


def _twisted(title: str, reactor: str, kind: str, *packages: str) -> Candidate:
    return Candidate(title, module("benchmarks.peers.tcptwisted", reactor, kind, *_ASKED), ("twisted", *packages))


def _asyncio(title: str, loop: str, kind: str, *packages: str) -> Candidate:
    return Candidate(title, module("benchmarks.peers.tcpasyncio", loop, kind, *_ASKED), packages)


# The first is ours: the others are compared with it.
_CANDIDATES = {
    OURS: _twisted("awaitable conn, our reactor", "wasinet", "conn", "wasinet_twisted"),
    PROTOCOL: _twisted("Protocol, our reactor", "wasinet", "protocol", "wasinet_twisted"),
    CONN_STOCK: _twisted("awaitable conn, epoll reactor", "epoll", "conn", "wasinet_twisted"),
    STOCK: _twisted("Protocol, epoll reactor", "epoll", "protocol"),
    "protocol-asyncio": _twisted("Protocol, asyncio reactor", "asyncio", "protocol"),
    "protocol-uvloop": _twisted("Protocol, asyncio reactor on uvloop", "uvloop", "protocol", "uvloop"),
    "asyncio": _asyncio("asyncio Protocol", "asyncio", "protocol"),
    "asyncio-streams": _asyncio("asyncio streams", "asyncio", "streams"),
    UVLOOP: _asyncio("uvloop Protocol", "uvloop", "protocol", "uvloop"),
    "uvloop-streams": _asyncio("uvloop streams", "uvloop", "streams", "uvloop"),
    "trio": Candidate("trio streams", module("benchmarks.peers.tcptrio", *_ASKED), ("trio",)),
    FLOOR: Candidate(
        "C on epoll",
        ("{built}", "{port}", str(BACKLOG), "{writes}", "{nodelay}"),
        program=COMPILER,
        build=(COMPILER, "-O2", "-o", "{built}", "benchmarks/peers/tcpecho.c"),
    ),
}

# Ours in both forms.
CANDIDATES = bothForms(_CANDIDATES)
