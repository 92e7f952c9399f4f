"""
What a write returns, and how those who wait for it are told.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred


class _Writable(Protocol):
    def awaitWritable(self, written: Written) -> None: ...


class Written(Deferred[None]):
    """
    What a write returns. It asks how the peer takes the bytes only when
    somebody waits for it: a write that nobody awaits leaves nothing behind, and
    no failure that nobody handles.
    """

    def __init__(self, protocol: _Writable) -> None:
        super().__init__()
        self._protocol: _Writable | None = protocol

    def _ask(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None and not self.called:
            protocol.awaitWritable(self)

    # Each is the way in for somebody: coroutines come by addBoth.

    def addCallbacks(self, *args: Any, **kwargs: Any) -> Any:
        """
        As every Deferred's.
        """
        self._ask()
        return super().addCallbacks(*args, **kwargs)

    def addCallback(self, *args: Any, **kwargs: Any) -> Any:
        """
        As every Deferred's.
        """
        self._ask()
        return super().addCallback(*args, **kwargs)

    def addErrback(self, *args: Any, **kwargs: Any) -> Any:
        """
        As every Deferred's.
        """
        self._ask()
        return super().addErrback(*args, **kwargs)

    def addBoth(self, *args: Any, **kwargs: Any) -> Any:
        """
        As every Deferred's.
        """
        self._ask()
        return super().addBoth(*args, **kwargs)


def fire(waiting: list[Deferred[None]] | None) -> None:
    """
    Tell all who wait, but for those who have given up.
    """
    for deferred in waiting or ():
        if not deferred.called:
            deferred.callback(None)
