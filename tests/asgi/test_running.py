"""
What runs apps on an asyncio loop, on one of its own.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from wasinet_twisted.asgi.running import AsyncioRunner

# It makes its loop itself.
pytestmark = pytest.mark.reactorless


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_cancelled(steps: int) -> None:
    """
    A coroutine that is cancelled tells its end, even if it has not made its first step.
    """
    loop = asyncio.new_event_loop()
    told: list[str] = []

    class Owner:
        def ended(self) -> None:
            told.append("ended")

    async def app() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            told.append("cancelled")
        owner.ended()

    async def main() -> None:
        run = runner.run(app(), owner)
        assert run is not None
        for _ in range(steps):
            await asyncio.sleep(0)
        runner.cancel(run)
        for _ in range(3):
            await asyncio.sleep(0)

    owner = Owner()
    runner = AsyncioRunner(loop)
    try:
        # A reactor that runs a loop runs in this thread.
        with ThreadPoolExecutor(1) as threads:
            threads.submit(loop.run_until_complete, main()).result()
    finally:
        loop.close()
    assert told == ["cancelled", "ended"]
