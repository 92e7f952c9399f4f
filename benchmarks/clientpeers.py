"""
The candidates of L{benchmarks.client} and of L{benchmarks.download}, and the origin that answers them.
"""

from __future__ import annotations

from .candidates import Candidate, bothForms, module

OURS, STOCK, TREQ, TREQ_OURS = "ours", "epoll", "treq", "treq-ours"
# What C{curl} and C{nginx} need beside PyPI.
NEEDED = {"nginx": "apt-get install nginx-light"}


def _asyncio(title: str, name: str, loop: str) -> Candidate:
    command = module("benchmarks.clients.asyncioclients", name, loop, "{port}")
    return Candidate(title, command, (name, *(("uvloop",) if loop == "uvloop" else ())))


def _twisted(title: str, name: str, reactor: str, *packages: str) -> Candidate:
    return Candidate(title, module("benchmarks.clients.twistedclients", name, reactor, "{port}"), packages)


# The first is ours: the others are compared with it.
_CANDIDATES = {
    OURS: _twisted("wasinet_twisted", "ours", "wasinet", "wasinet_twisted", "twisted"),
    STOCK: _twisted("wasinet_twisted, Twisted's epoll", "ours", "epoll", "wasinet_twisted", "twisted"),
    TREQ_OURS: _twisted("treq on our Agent", "treq-ours", "wasinet", "wasinet_twisted", "twisted", "treq"),
    TREQ: _twisted("treq on twisted.web's Agent", "treq", "epoll", "twisted", "treq"),
    "agent": _twisted("twisted.web's Agent", "agent", "epoll", "twisted"),
    "aiohttp": _asyncio("aiohttp, uvloop", "aiohttp", "uvloop"),
    "aiohttp-asyncio": _asyncio("aiohttp, asyncio", "aiohttp", "asyncio"),
    "httpx": _asyncio("httpx, uvloop", "httpx", "uvloop"),
    "httpx-asyncio": _asyncio("httpx, asyncio", "httpx", "asyncio"),
    "handwritten": Candidate(
        "uvloop + httptools, by hand", module("benchmarks.clients.handwritten", "{port}"), ("uvloop", "httptools")
    ),
}

# Ours in both forms.
CANDIDATES = bothForms(_CANDIDATES)

# A program, and so not one of those that make many requests.
DOWNLOADERS = {
    **CANDIDATES,
    "curl": Candidate("curl", module("benchmarks.clients.curl", "{port}"), program="curl"),
}

ORIGIN = Candidate(
    "nginx", module("benchmarks.clients.nginx", "{port}", "{folder}", "{huge}"), program="nginx", told="-v"
)
