"""
The candidates of L{benchmarks.asgi}: each serves the app that stands for C{{app}} in its command.
"""

from __future__ import annotations

from .candidates import Candidate, bothForms, module, script
from .peers import BACKLOG, KEEP_ALIVE, MOST

OURS, STOCK = "ours", "epoll"


def _ours(title: str, *reactor: str) -> Candidate:
    return Candidate(
        title,
        (
            *(script("twistd"), *reactor, "--nodaemon", "--pidfile=", "wasinet-asgi", "--app", "{app}"),
            *("--lifespan", "off", "--listen", f"tcp:{{port}}:interface=127.0.0.1:backlog={BACKLOG}"),
        ),
        ("wasinet_twisted", "twisted"),
    )


# The first is ours: the others are compared with it.
_CANDIDATES = {
    OURS: _ours("wasinet_twisted"),
    STOCK: _ours("wasinet_twisted, Twisted's asyncio reactor", "--reactor=asyncio"),
    "uvicorn": Candidate(
        "uvicorn",
        module(
            *("uvicorn", "{app}", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
            *("--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--backlog", str(BACKLOG)),
            *("--timeout-keep-alive", str(KEEP_ALIVE), "--no-access-log", "--log-level", "warning"),
        ),
        ("uvicorn", "uvloop", "httptools"),
    ),
    "granian": Candidate(
        "granian",
        module(
            *("granian", "{app}", "--interface", "asginl", "--http", "1", "--no-ws", "--host", "127.0.0.1"),
            *("--port", "{port}", "--workers", "1", "--loop", "uvloop", "--backpressure", str(MOST)),
            *("--backlog", str(BACKLOG), "--no-access-log", "--log-level", "warning"),
        ),
        ("granian", "uvloop"),
    ),
    "hypercorn": Candidate(
        "hypercorn",
        module(
            *("hypercorn", "{app}", "--bind", "127.0.0.1:{port}", "--workers", "0", "--worker-class", "uvloop"),
            *("--backlog", str(BACKLOG), "--keep-alive", str(KEEP_ALIVE), "--log-level", "warning"),
        ),
        ("hypercorn", "uvloop"),
    ),
    "daphne": Candidate(
        "daphne",
        module("daphne", "--bind", "127.0.0.1", "--port", "{port}", "--verbosity", "0", "{app}"),
        ("daphne", "twisted"),
    ),
}

# Ours in both forms.
CANDIDATES = bothForms(_CANDIDATES)
