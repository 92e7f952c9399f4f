"""
What procmon starts workers by.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from zope.interface import implementer

from .child import Child, Logged, Said, adopt
from .executing import cannotStart
from .order import Order
from .templates import Templates


@implementer(IReactorProcess, IReactorTime)
class Spawner:
    """
    The reactor that procmon has: it gives each process a channel and a way for its access log.
    """

    def __init__(
        self,
        reactor: Any,
        order: Order,
        launcher: Templates,
        make: Callable[[ProcessProtocol, Order], tuple[Child, Order]],
    ) -> None:
        """
        @param order: what each worker does.
        @param launcher: starts its process.
        @param make: makes a L{Child} of procmon's protocol, and the order that is its own.
        """
        self._reactor = reactor
        self._order = order
        self._launcher = launcher
        self._make = make

    def spawnProcess(  # type: ignore[override]
        self, processProtocol: ProcessProtocol, executable: Any, args: Any = (), **_: Any
    ) -> Any:
        """
        Start a worker. If that can't be, C{processProtocol} is told of its end.
        """
        child, order = self._make(processProtocol, self._order)
        with ExitStack() as stack:
            pairs = []
            try:
                for _kind in ("channel", "access log"):
                    pairs.append(pair := socket.socketpair())
                    for each in pair:
                        stack.enter_context(each)
                (channel, theirChannel), (accessLog, theirAccessLog) = pairs
                adopt(self._reactor, channel, Said(child))
                adopt(self._reactor, accessLog, Logged(child))
                self._launcher.start(child, order, theirChannel, theirAccessLog)
            except OSError as error:
                child.notStarted(cannotStart(error))
        return child

    def seconds(self) -> float:
        return self._reactor.seconds()  # type: ignore[no-any-return]

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        return self._reactor.callLater(delay, callable, *args, **kwargs)

    def getDelayedCalls(self) -> Any:
        return self._reactor.getDelayedCalls()
