"""
twisted.web's Agent, treq on it, ours, and treq on ours. C{python -m benchmarks.clients.twistedclients CLIENT REACTOR
PORT ...}, as L{running.runTwisted} has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .requests import Ask
from .running import PARALLEL, Client, runTwisted


def _stockAgent(reactor: Any) -> Any:
    # With what closes its connections.
    from twisted.web.client import Agent, HTTPConnectionPool

    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost = PARALLEL
    return Agent(reactor, pool=pool), pool.closeCachedConnections


def _ourAgent(reactor: Any) -> Any:
    from wasinet_twisted.client import Agent, Pool

    pool = Pool(reactor=reactor)
    return Agent(reactor, pool=pool), pool.close


def agent(reactor: Any) -> Client:
    """
    An Agent alone.
    """
    from twisted.internet.defer import Deferred
    from twisted.internet.protocol import Protocol
    from twisted.web.client import readBody
    from twisted.web.http_headers import Headers

    class Counting(Protocol):
        def __init__(self) -> None:
            self.ended: Deferred[int] = Deferred()
            self._size = 0

        def dataReceived(self, data: bytes) -> None:
            self._size += len(data)

        def connectionLost(self, reason: Any = None) -> None:
            self.ended.callback(self._size)

    class Plain(Client):
        def __init__(self) -> None:
            self._agent, self._close = _stockAgent(reactor)

        async def _ask(self, ask: Ask) -> Any:
            fields = Headers({name: [value] for name, value in ask.fields.items()})
            return await self._agent.request(b"GET", ask.url.encode("ascii"), fields)

        async def get(self, ask: Ask) -> tuple[int, bytes]:
            response = await self._ask(ask)
            return response.code, await readBody(response)

        async def download(self, ask: Ask) -> int:
            response = await self._ask(ask)
            counting = Counting()
            response.deliverBody(counting)
            return await counting.ended

        async def close(self) -> None:
            await self._close()

    return Plain()


def _treq(reactor: Any, make: Callable[[Any], Any]) -> Client:
    from treq.client import HTTPClient
    from treq.content import collect, content

    class Treq(Client):
        def __init__(self) -> None:
            inner, self._close = make(reactor)
            self._client = HTTPClient(inner)

        async def get(self, ask: Ask) -> tuple[int, bytes]:
            response = await self._client.get(ask.url, headers=ask.fields)
            return response.code, await content(response)

        async def download(self, ask: Ask) -> int:
            size = 0

            def take(data: bytes) -> None:
                nonlocal size
                size += len(data)

            # Unbuffered, as treq's documentation has it for large bodies: it would keep all of it.
            response = await self._client.get(ask.url, headers=ask.fields, unbuffered=True)
            await collect(response, take)
            return size

        async def close(self) -> None:
            await self._close()

    return Treq()


def ours(reactor: Any) -> Client:
    """
    Ours: fetch, with a pool.
    """
    from wasinet_twisted.client import Pool, fetch

    class Ours(Client):
        def __init__(self) -> None:
            self._pool = Pool(reactor=reactor)

        async def get(self, ask: Ask) -> tuple[int, bytes]:
            response = await fetch(ask.url, headers=ask.fields, pool=self._pool)
            return response.status, await response.bytes()

        async def download(self, ask: Ask) -> int:
            size = 0
            async with await fetch(ask.url, headers=ask.fields, pool=self._pool) as response:
                async for piece in response.stream():
                    size += len(piece)
            return size

        async def close(self) -> None:
            await self._pool.close()

    return Ours()


CLIENTS: dict[str, Callable[[Any], Client]] = {
    "ours": ours,
    "agent": agent,
    "treq": lambda reactor: _treq(reactor, _stockAgent),
    "treq-ours": lambda reactor: _treq(reactor, _ourAgent),
}

if __name__ == "__main__":
    runTwisted(CLIENTS[sys.argv[1]], sys.argv[2], sys.argv[3:])
