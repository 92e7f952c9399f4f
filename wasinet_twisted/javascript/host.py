"""
L{ProgramHost}: what the guest is answered, by a table of operations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from ..errors import InvalidArgument
from .guestinterface import Given, Operation, Value
from .handles import messageOf
from .modules import Modules
from .rejections import Rejections


class ProgramHost:
    """
    A L{Host<wasinet_twisted.javascript.guestinterface.Host>}. A script's modules know operations by their names, and
    ask operation 0 for their numbers.
    """

    __slots__ = ("_modules", "_names", "_operations", "_rejections", "dropped", "printed")

    def __init__(
        self,
        modules: Modules,
        rejections: Rejections,
        parts: Sequence[Mapping[str, Operation]],
        printed: Callable[[str], None],
        dropped: Callable[[list[float]], None],
    ) -> None:
        """
        @param parts: operations by name.
        @param printed: called with what the script prints.
        @param dropped: called with the handles that it has let go of.
        """
        self.printed = printed
        self.dropped = dropped
        self._modules = modules
        self._rejections = rejections
        named = {name: operation for part in parts for name, operation in part.items()}
        self._names = json.dumps({name: number for number, name in enumerate(named, 1)})
        self._operations: list[Operation] = [self._list, *named.values()]

    def call(self, operation: int, a: float, b: float, data: Given) -> Value:
        """
        Do what a script asks for.
        """
        operations = self._operations
        if operation >= len(operations):
            raise InvalidArgument(f"there is no operation {operation}")
        return operations[operation](a, b, data)

    def _list(self, a: float, b: float, data: Given) -> Value:
        return self._names

    def resolve(self, base: str, name: str) -> str:
        """
        Return the full name of a module.
        """
        return self._modules.resolve(base, name)

    def load(self, name: str) -> str:
        """
        Return the source of a module.
        """
        return self._modules.load(name)

    def messageOf(self, error: BaseException) -> str:
        """
        Return what a script is told of an exception.
        """
        return messageOf(error)

    def rejected(self, promise: float, text: str) -> None:
        """
        A promise was rejected, and nobody handles that yet.
        """
        self._rejections.rejected(promise, text)

    def handled(self, promise: float) -> None:
        """
        Now somebody does.
        """
        self._rejections.handled(promise)

    def uncaught(self, text: str, interrupted: bool) -> None:
        """
        An exception has left the script.
        """
        self._rejections.uncaught(text, interrupted)
