"""
What an engine that runs scripts can do, and what it asks of its host. The sandbox is one; tests have another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ..errors import InvalidArgument


class Sign(Enum):
    """
    Answers that are no values of Python's: C{NULL} is JavaScript's. C{LEAVE} ends the script where it asked.
    """

    NULL = "null"
    LEAVE = "leave"


# None is undefined. Of a script, bytes come as an ArrayBuffer or a view of one; a script gets an ArrayBuffer, and an
# exception as an Error with its message. Two bytes are JSON of an array, and what becomes its last element.
Value = str | bytes | tuple[bytes, bytes] | float | bool | Sign | BaseException | None
# A text may have bytes with it.
Given = str | bytes | tuple[str, bytes] | None
# host(operation, a, b, data) of a script: an answer, or None for one that comes later, by settle().
Operation = Callable[[float, float, Given], Value]

_LEAST_MEMORY = 1 << 20
# What WebAssembly can address, but for the room beside the limit.
_MOST_MEMORY = (4 << 30) - (16 << 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestLimits:
    """
    What a script may take.

    @ivar memory: bytes of the script's objects; then it gets an InternalError: out of memory.
    @ivar turn: seconds for which a script may run on end. It is interrupted then, by an InternalError that it can't
        catch; after twice as long, in one call of the engine's own that can't be interrupted, the engine is ended.
    """

    memory: int = 64 << 20
    turn: float = 1.0

    def __post_init__(self) -> None:
        if type(self.memory) is not int or not _LEAST_MEMORY <= self.memory <= _MOST_MEMORY:
            raise InvalidArgument(
                f"GuestLimits.memory must be from {_LEAST_MEMORY} to {_MOST_MEMORY} bytes, not {self.memory!r}"
            )
        if not isinstance(self.turn, int | float) or not 0.01 <= self.turn <= 3600:
            raise InvalidArgument(f"GuestLimits.turn must be from 0.01 to 3600 seconds, not {self.turn!r}")


DEFAULT_GUEST_LIMITS = GuestLimits()


class Host(Protocol):
    """
    Whom the engine calls while a script runs. What it raises is thrown in the script, but for the last five, which
    raise nothing.
    """

    def call(self, operation: int, a: float, b: float, data: Given) -> Value:
        """
        Do what a script asks for.
        """

    def resolve(self, base: str, name: str) -> str:
        """
        Return the full name of the module that C{base} imports as C{name}.
        """

    def load(self, name: str) -> str:
        """
        Return the source of a module.

        @param name: its full name.
        """

    def messageOf(self, error: BaseException) -> str:
        """
        Return what the script is told of an exception.
        """

    def rejected(self, promise: float, text: str) -> None:
        """
        A promise was rejected, and nobody has asked for that yet.

        @param promise: which one, as long as it is there.
        @param text: the error, and in the lines after the first one where it was made.
        """

    def handled(self, promise: float) -> None:
        """
        Now somebody has.
        """

    def uncaught(self, text: str, interrupted: bool) -> None:
        """
        An exception has left the script.

        @param interrupted: it is the one of a turn that took too long.
        """

    def printed(self, text: str) -> None:
        """
        The script has printed that, with its line ends. After each entry, or before, when there is much of it.
        """

    def dropped(self, numbers: list[float]) -> None:
        """
        The script refers to these handles no more. After each entry, or before, when there are many.
        """


class Guest(Protocol):
    """
    An engine with one program in it. The calls that run a script return true if jobs are left after a slice of time:
    then L{jobs} is to be called soon.

    Whatever has ended the engine, all of them raise L{GuestEnded<wasinet_twisted.errors.GuestEnded>}.
    """

    def evaluate(self, name: str, source: str, module: bool = True) -> bool:
        """
        Run a source, as a module or as a script.
        """

    def settle(self, number: int, value: Value) -> bool:
        """
        Hand what an operation gives to the script, and run what comes of it.

        @param number: what the script gave the operation as C{b}.
        """

    def jobs(self) -> bool:
        """
        Go on with the jobs that are left.
        """

    def collect(self) -> bool:
        """
        Run the garbage collector.
        """

    def flush(self) -> None:
        """
        Tell the host what the script has printed so far, also while it runs.
        """

    def usage(self) -> int:
        """
        Return how many bytes the script's objects take.
        """

    def memory(self) -> int:
        """
        Return how many bytes the guest holds in all.
        """

    def close(self) -> None:
        """
        Give back all it holds. Not while a script runs.
        """
