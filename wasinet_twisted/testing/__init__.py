"""
Connections in memory, on a L{Clock<twisted.internet.task.Clock>}: for tests that need no reactor and no waiting.

    link = testing.pair()
    serving = ensureDeferred(handler(link.server))
    link.client.write(b"hello")
    assert link.run(link.client.read()) == b"hello"

Below the connections all is Twisted's own TCP transport, but for the socket:
that is a model of what a kernel and a network do, and how they do it is the
test's to say. It works in plain functions under pytest and in trial's
SynchronousTestCase alike.
"""

from .links import Link, Pair, pair
from .listening import MemoryListener
from .origins import MemoryOrigin
from .time import advance, run, settle
from .wires import Direction

__all__ = ["Direction", "Link", "MemoryListener", "MemoryOrigin", "Pair", "advance", "pair", "run", "settle"]
