"""
Whether a server wants requests: what C{/readyz} tells load balancers.
"""

from __future__ import annotations

from typing import Literal

State = Literal["starting", "ready", "draining"]


class Readiness:
    """
    Whoever starts and stops the server says so here; the status page asks.

    @ivar state: C{"starting"}: it does not listen yet, or its app has not started. C{"ready"}: send requests.
        C{"draining"}: send no more, it is about to end; what comes all the same is still served.
    """

    __slots__ = ("state",)

    def __init__(self, state: State = "starting") -> None:
        self.state = state

    def isReady(self) -> bool:
        """
        Return whether requests are wanted.
        """
        return self.state == "ready"
