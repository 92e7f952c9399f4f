"""
L{Report}: what an observer of requests is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from .timings import Timings


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a L{Pool<wasinet_twisted.client.Pool>}'s observer is told of a request: the head of its response has come, or
    it has failed. Each request of a chain of redirects has a report of its own.

    @ivar method: the method of the request.
    @ivar url: the URL of the request, without user and password.
    @ivar status: the status of the response; L{None}: there was no response.
    @ivar error: the exception, if there was no response.
    @ivar kept: did the request go over a connection that had been used before?
    @ivar timings: how long the phases have taken, in seconds. C{total} is set once the body has come to its end.
    """

    method: str
    url: str
    status: int | None
    error: BaseException | None
    kept: bool
    timings: Timings
