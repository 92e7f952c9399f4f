"""
aiohttp's client and httpx's. C{python -m benchmarks.clients.asyncioclients CLIENT LOOP PORT ...}, as
L{running.runAsyncio} has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from .requests import Ask
from .running import PARALLEL, Client, runAsyncio


def aiohttpClient() -> Client:
    import aiohttp

    class Aiohttp(Client):
        def __init__(self) -> None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=PARALLEL))

        async def get(self, ask: Ask) -> tuple[int, bytes]:
            async with self._session.get(ask.url, headers=ask.fields) as response:
                return response.status, await response.read()

        async def download(self, ask: Ask) -> int:
            size = 0
            # Its default deadline, of 5 minutes in total, is left.
            async with self._session.get(ask.url, headers=ask.fields) as response:
                async for piece in response.content.iter_any():
                    size += len(piece)
            return size

        async def close(self) -> None:
            await self._session.close()

    return Aiohttp()


def httpxClient() -> Client:
    import httpx

    class Httpx(Client):
        def __init__(self) -> None:
            limits = httpx.Limits(max_connections=PARALLEL, max_keepalive_connections=PARALLEL)
            # Without proxies from the environment, which no other one of these looks for.
            self._client = httpx.AsyncClient(limits=limits, trust_env=False)

        async def get(self, ask: Ask) -> tuple[int, bytes]:
            response = await self._client.get(ask.url, headers=ask.fields)
            return response.status_code, response.content

        async def download(self, ask: Ask) -> int:
            size = 0
            async with self._client.stream("GET", ask.url, headers=ask.fields) as response:
                async for piece in response.aiter_bytes():
                    size += len(piece)
            return size

        async def close(self) -> None:
            await self._client.aclose()

    return Httpx()


CLIENTS: dict[str, Callable[[], Client]] = {"aiohttp": aiohttpClient, "httpx": httpxClient}

if __name__ == "__main__":
    runAsyncio(CLIENTS[sys.argv[1]], sys.argv[2], sys.argv[3:])
