"""
Tests of a reactor's contract are run on each stock reactor and on ours that takes its place: what the stock one does is
the contract.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet import asyncioreactor, epollreactor

from tests.reactor.harness import World, asyncioReactor
from wasinet_twisted.reactor import EPollReactor
from wasinet_twisted.reactor.asyncio import AsyncioSelectorReactor

REACTORS = {
    "stock": epollreactor.EPollReactor,
    "ours": EPollReactor,
    "stockAsyncio": asyncioReactor(asyncioreactor.AsyncioSelectorReactor),
    "oursAsyncio": asyncioReactor(AsyncioSelectorReactor),
}


# On the reactors that aren't run so often, unless there is time.
FEW_KINDS = (None, "tcpServer", "unixClient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Of the asyncio reactors run ours only, and not each kind of connection. WASINET_LONG=1 runs everything.
    """
    if os.environ.get("WASINET_LONG") != "1":
        items[:] = [item for item in items if _isRun(getattr(getattr(item, "callspec", None), "params", {}))]


def _isRun(params: dict[str, object]) -> bool:
    if params.get("world") == "stockAsyncio":
        return False
    return params.get("world") != "oursAsyncio" or params.get("kind") in FEW_KINDS


@pytest.fixture(params=REACTORS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """
    A reactor, and what is done with it in a test.
    """
    world = World(REACTORS[request.param], tmp_path)
    try:
        yield world
    finally:
        world.close()
