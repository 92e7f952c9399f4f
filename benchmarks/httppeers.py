"""
The candidates of L{benchmarks.http}.
"""

from __future__ import annotations

from .candidates import Candidate, bothForms, module, script
from .peers import BACKLOG, KEEP_ALIVE, MOST

OURS, STOCK = "ours", "epoll"


def _ours(title: str, reactor: str) -> Candidate:
    return Candidate(
        title,
        (
            *(script("twistd"), f"--reactor={reactor}", "--nodaemon", "--pidfile=", "wasinet-http"),
            *("--app", "benchmarks.peers.ours:handler"),
            *("--listen", f"tcp:{{port}}:interface=127.0.0.1:backlog={BACKLOG}"),
        ),
        ("wasinet_twisted", "twisted"),
    )


# The first is ours: the others are compared with it.
_CANDIDATES = {
    OURS: _ours("wasinet_twisted", "wasinet"),
    STOCK: _ours("wasinet_twisted, Twisted's epoll", "epoll"),
    "twisted.web": Candidate("twisted.web", module("benchmarks.peers.twistedweb", "{port}"), ("twisted",)),
    "uvicorn": Candidate(
        "uvicorn",
        module(
            *("uvicorn", "benchmarks.peers.asgi:app", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
            *("--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--backlog", str(BACKLOG)),
            *("--timeout-keep-alive", str(KEEP_ALIVE), "--no-access-log", "--log-level", "warning"),
        ),
        ("uvicorn", "uvloop", "httptools"),
    ),
    "aiohttp": Candidate("aiohttp", module("benchmarks.peers.aiohttpweb", "{port}"), ("aiohttp", "uvloop")),
    "granian": Candidate(
        "granian",
        module(
            # asginl: ASGI without its lifespan messages, as for uvicorn.
            *("granian", "benchmarks.peers.asgi:app", "--interface", "asginl", "--http", "1", "--no-ws"),
            *("--host", "127.0.0.1", "--port", "{port}", "--workers", "1", "--loop", "uvloop"),
            # It takes no more connections than that, idle ones included.
            *("--backpressure", str(MOST)),
            *("--backlog", str(BACKLOG), "--no-access-log", "--log-level", "warning"),
        ),
        ("granian", "uvloop"),
    ),
    "node": Candidate(
        "Node's http",
        ("node", "benchmarks/peers/node.js", "{port}", str(BACKLOG), str(KEEP_ALIVE)),
        program="node",
    ),
    "go": Candidate(
        "Go's net/http",
        ("{built}", "{port}"),
        program="go",
        told="version",
        build=("go", "build", "-o", "{built}", "benchmarks/peers/gohttp.go"),
    ),
    "handwritten": Candidate(
        "uvloop + httptools, by hand", module("benchmarks.peers.handwritten", "{port}"), ("uvloop", "httptools")
    ),
    "handwritten-each": Candidate(
        "uvloop + httptools, each answer a write",
        module("benchmarks.peers.handwritten", "{port}", "each"),
        ("uvloop", "httptools"),
    ),
}

# Ours in both forms.
CANDIDATES = bothForms(_CANDIDATES)
