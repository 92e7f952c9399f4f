"""
Programs in this process, on a Clock.
"""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.support import temporaryDirectory
from wasinet_twisted.javascript import GuestLimits, Program, Settings


class Ran:
    """
    A program that has been started, and what has come of it so far.

    @ivar printed: what it has printed.
    @ivar said: what it has complained of, and what was complained of it.
    @ivar code: its exit code, once it has ended.
    """

    def __init__(self, case: TestCase, source: str, reactor: Any = None, call: str = "", **settings: Any) -> None:
        self.clock: Any = reactor or Clock()
        self._written: list[str] = []
        self.said: list[str] = []
        self.code: int | Failure | None = None
        folder = temporaryDirectory(case)
        for name, text in settings.pop("files", {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.script = folder / settings.pop("name", "main.js")
        self.script.write_text(source)
        limits = GuestLimits(turn=settings.pop("turn", 1.0))
        chosen = {"limits": limits, **settings}
        self.program = Program(
            self.script, Settings(**chosen), output=self._print, complain=self.said.append, reactor=self.clock
        )
        case.addCleanup(self.stop)
        done = self.program.callFunction(call) if call else self.program.run()
        done.addBoth(self._ended)

    def _print(self, text: str) -> None:
        self._written.append(text)

    def _ended(self, code: Any) -> None:
        self.code = code

    def stop(self) -> None:
        if self.code is None:
            self.program.stop()

    def end(self) -> Ran:
        """
        Let the reactor have some turns.
        """
        for _ in range(20):
            if self.code is not None:
                break
            self.clock.advance(0)
        return self

    @property
    def printed(self) -> str:
        # As the reactor's next turn would have it.
        self.program._output.flush()
        return "".join(self._written)

    @property
    def lines(self) -> list[str]:
        return self.printed.splitlines()
