"""
L{Report}: what an observer of requests is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from .timings import Timings


@dataclass(frozen=True, slots=True)
class Report:
    """
    A request is over: the head of its response has come, or it has failed.

    One that is redirected is reported as often as it was sent.

    @ivar method: the request's.
    @ivar url: the request's, without user and password.
    @ivar status: the response's; L{None}: there was none.
    @ivar error: why not.
    @ivar kept: did it go over a connection that had been used before?
    @ivar timings: how long the phases have taken.
    """

    method: str
    url: str
    status: int | None
    error: BaseException | None
    kept: bool
    timings: Timings
