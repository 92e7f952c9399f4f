"""
Twisted's own reactor tests against one reactor. A line for each test: its name and how it ended.

    python -m tests.reactor.twistedsuite twisted.internet.epollreactor.EPollReactor
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from twisted.internet.test import reactormixins
from twisted.trial import reporter, runner

MODULES = (
    *("core", "fdset", "newtls", "process", "sigchld", "socket", "stdio"),
    *("tcp", "threads", "time", "tls", "udp", "unix"),
)


class Lines(reporter.Reporter):
    """
    Prints how each test ends, and nothing else.
    """

    def _say(self, test: Any, end: str) -> None:
        print(test.id(), end, file=sys.stdout, flush=True)

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._say(test, "passed")

    def addFailure(self, test: Any, failure: Any) -> None:
        super().addFailure(test, failure)
        self._say(test, "failed")

    def addError(self, test: Any, failure: Any) -> None:
        super().addError(test, failure)
        self._say(test, "failed")

    def addSkip(self, test: Any, reason: Any) -> None:
        super().addSkip(test, reason)
        self._say(test, "skipped")


def main(name: str) -> None:
    reactormixins.ReactorBuilder._reactors = [name]  # type: ignore[attr-defined]
    suite = runner.TestLoader().loadByNames([f"twisted.internet.test.test_{module}" for module in MODULES])
    with tempfile.TemporaryDirectory() as directory, open(os.devnull, "w") as nowhere:
        runner.TrialRunner(Lines, workingDirectory=os.path.join(directory, "trial"), stream=nowhere).run(suite)


if __name__ == "__main__":
    main(sys.argv[1])
