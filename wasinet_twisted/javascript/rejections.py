"""
Errors that nobody has caught: rejected promises that nobody has asked for, and exceptions that have left a script.
"""

from __future__ import annotations

# What http.js names an error that is a client's doing, such as a reset.
_CLIENTS = "Unhandled rejection: ClientError"
# So many are kept in mind, and so many characters of each: a script can make them without end.
_MOST = 1000
_LONGEST = 10_000


class Rejections:
    """
    Those of one program.
    """

    __slots__ = ("_lost", "_new", "_old", "_told")

    def __init__(self) -> None:
        # By promise: those of this entry, and those that a whole slice of jobs has not handled.
        self._new: dict[float, str] = {}
        self._old: dict[float, str] = {}
        self._told: list[tuple[str, bool]] = []
        self._lost = 0

    def rejected(self, promise: float, text: str) -> None:
        """
        A promise was rejected, and nobody handles that yet.
        """
        for before in (self._new, self._old):
            if promise in before:
                # That one is gone, and another one has its place: nobody can handle it any more.
                self._certain(f"Unhandled rejection: {before.pop(promise)}", False)
        if len(self._new) < _MOST:
            self._new[promise] = text[:_LONGEST]
        else:
            self._lost += 1

    def handled(self, promise: float) -> None:
        """
        Now somebody does.
        """
        if self._new.pop(promise, None) is None:
            self._old.pop(promise, None)

    def uncaught(self, text: str, interrupted: bool) -> None:
        """
        An exception has left the script.
        """
        self._certain(f"Uncaught {text}", interrupted)

    def _certain(self, text: str, interrupted: bool) -> None:
        if len(self._told) < _MOST:
            self._told.append((text[:_LONGEST], interrupted))
        else:
            self._lost += 1

    def take(self, jobsLeft: bool) -> list[tuple[str, bool]]:
        """
        Return what is certain after an entry: messages, and whether each is that of a turn that was interrupted.

        @param jobsLeft: jobs of this entry are still to run, which may handle its rejections. Endless ones would put
            that off for ever: who hasn't handled a rejection in one more slice doesn't count.
        """
        if not (self._told or self._new or self._old):
            return []
        told, self._told = self._told, []
        certain, self._old = self._old, self._new
        self._new = {}
        if not jobsLeft:
            certain = {**certain, **self._old}
            self._old = {}
        told += [(f"Unhandled rejection: {text}", False) for text in certain.values()]
        if self._lost:
            told.append((f"and {self._lost} more errors that nobody has handled", False))
            self._lost = 0
        return told


def isOfAClient(text: str) -> bool:
    """
    Is a rejection that nobody handles a client's doing? That is told, and ends no program.
    """
    return text.startswith(_CLIENTS)
