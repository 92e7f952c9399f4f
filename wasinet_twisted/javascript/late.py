"""
L{Late}: a part of a program that is loaded when the script first needs it. Most have no server, and start sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, Protocol, TypeVar

from .guestinterface import Given, Operation, Value


class Part(Protocol):
    """
    What has operations.
    """

    def operations(self) -> dict[str, Operation]:
        """
        Return them by name.
        """


P = TypeVar("P", bound=Part)


class Late(Generic[P]):
    """
    Stands for a part.

    @ivar part: it, once it is loaded.
    """

    __slots__ = ("_load", "_names", "_operations", "part")

    def __init__(self, names: Iterable[str], load: Callable[[], P]) -> None:
        """
        @param names: those of the part's operations.
        @param load: makes it.
        """
        self._names = tuple(names)
        self._load = load
        self._operations: dict[str, Operation] = {}
        self.part: P | None = None

    def operations(self) -> dict[str, Operation]:
        """
        Return what loads the part and asks it, by name.
        """
        return {name: partial(self._ask, name) for name in self._names}

    def _ask(self, name: str, a: float, b: float, data: Given) -> Value:
        if self.part is None:
            self.part = self._load()
            self._operations = self.part.operations()
        return self._operations[name](a, b, data)
