"""
What C{ReactorBuilder} of Twisted's tests builds: the one kind of reactor that L{choose} was told of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any

_chosen: Any = None
_newLoop: Callable[[], Any] = asyncio.new_event_loop


def choose(which: str) -> str:
    """
    Install a reactor, and have C{ReactorBuilder} build others of its kind.

    @param which: the module that has C{install}; with C{:uvloop} behind, on a loop of uvloop's.
    @return: what C{ReactorBuilder._reactors} is to hold.
    """
    global _chosen, _newLoop
    module, _, loop = which.partition(":")
    _chosen = import_module(module)
    if hasattr(_chosen, "EPollReactor"):
        _chosen.install()
        return f"{module}.EPollReactor"
    if loop:
        _newLoop = import_module(loop).new_event_loop
    made = _newLoop()
    # As it is where a reactor makes its loop itself.
    asyncio.set_event_loop(made)
    _chosen.install(made)
    return f"{__name__}.AsyncioSelectorReactor"


def AsyncioSelectorReactor(case: Any) -> Any:
    """
    As C{twisted.internet.test.reactormixins.asyncioSelectorReactor}, by whose name tests go: on a loop of its own.
    """
    original = asyncio.get_event_loop()
    loop = _newLoop()
    asyncio.set_event_loop(loop)

    def cleanUp() -> None:
        loop.close()
        asyncio.set_event_loop(original)

    case.addCleanup(cleanUp)
    return _chosen.AsyncioSelectorReactor(loop)
