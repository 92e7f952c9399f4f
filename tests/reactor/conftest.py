"""
Tests of a reactor's contract are run on the stock reactor and on ours: what the first one does is the contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor as Stock

from tests.reactor.harness import World
from wasinet_twisted.reactor import EPollReactor as Ours


@pytest.fixture(params=[Stock, Ours], ids=["stock", "ours"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """
    A reactor, and what is done with it in a test.
    """
    world = World(request.param, tmp_path)
    try:
        yield world
    finally:
        world.close()
