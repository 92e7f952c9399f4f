"""
What a transport beneath TLS has for its producer.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


class Ending(Protocol):
    """
    TLS, which may have ended while the peer takes nothing.
    """

    def ends(self) -> bool:
        """
        Return whether a transport beneath closes as soon as it has no producer.
        """

    def unregisterOutput(self) -> None:
        """
        Take the producer away from what is beneath.
        """


@implementer(IPushProducer)
class Output:
    """
    Passes on to the connection how the peer takes what is written.
    """

    __slots__ = ("_producer", "_tls", "paused")

    def __init__(self, tls: Ending, producer: Any) -> None:
        self.paused = False
        self._tls = tls
        self._producer = producer

    def pauseProducing(self) -> None:
        self.paused = True
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        if self._tls.ends():
            # TLS has ended, and the transport beneath waits for its producer before it closes.
            self._tls.unregisterOutput()
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._producer.stopProducing()
