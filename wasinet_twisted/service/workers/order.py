"""
What a parent orders from a worker.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

from attrs import Factory, asdict, evolve, frozen

# Where a worker finds it, as JSON; and the search path of Python's as the worker's children shall have it.
VARIABLE = "WASINET_WORKER"
_PATH = "PYTHONPATH"


@frozen
class Order:
    """
    What to serve, and by which descriptors.

    @ivar command: as twistd knows it.
    @ivar arguments: the command's.
    @ivar reactor: the module whose C{install} installs it.
    @ivar sockets: the descriptors of listening sockets, by endpoint.
    @ivar maxRequests: after how many requests the worker is replaced.
    @ivar core: the processor core to stay on; L{None}: any.
    @ivar givesWay: may the worker wait for a core that is in use, when it has much to do?
    @ivar preload: is the app imported before workers are forked?
    @ivar path: C{sys.path}.
    @ivar pythonPath: the environment's; L{None}: it has none.
    @ivar template: is the process to fork workers?
    @ivar channel: the descriptor of the channel to the parent.
    @ivar accessLog: the descriptor that access log lines are written to.
    """

    command: str
    arguments: list[str]
    reactor: str
    sockets: dict[str, int]
    maxRequests: int | None = None
    core: int | None = None
    givesWay: bool = True
    preload: bool = False
    path: list[str] = Factory(list)
    pythonPath: str | None = None
    template: bool = False
    channel: int = -1
    accessLog: int = -1

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """
        Return the environment of a worker's process: there it finds the order, and Python the same modules.
        """
        path = os.pathsep.join(self.path)
        order = evolve(self, pythonPath=given.get(_PATH))
        return {**given, _PATH: path, VARIABLE: json.dumps(asdict(order))}


def orderOf(command: str, arguments: Sequence[str], reactor: object, *, givesWay: bool, preload: bool) -> Order:
    """
    Return an order to serve the same as this process is asked to, on the same kind of reactor.
    """
    module, path = type(reactor).__module__, list(sys.path)
    return Order(command, list(arguments), module, {}, givesWay=givesWay, preload=preload, path=path)


def ordered() -> Order | None:
    """
    Return what this process is ordered to do, and leave no word of it for the processes that it starts. L{None}: it is
    no worker.
    """
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    order = Order(**json.loads(text))
    os.environ.pop(_PATH, None)
    if order.pythonPath is not None:
        os.environ[_PATH] = order.pythonPath
    sys.path[:] = order.path
    return order
