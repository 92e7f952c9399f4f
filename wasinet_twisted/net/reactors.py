"""
Which reactor a call uses.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime


def theReactor(given: Any) -> IReactorTime | Any:
    """
    The reactor to use: the one given, else the global one, imported as late as this.
    """
    if given is not None:
        return given
    from twisted.internet import reactor

    return reactor
