"""
A test suite of trial's on one reactor. A line for each test: its name and how it ended; why it failed
follows, indented.

    python -m tests.reactor.twistedsuite twisted.internet.epollreactor RESULTS [NAME …]

The reactor is the process's own, and the only one that C{ReactorBuilder} builds. Without names, Twisted's own reactor
tests are run.
"""

from __future__ import annotations

import os
import sys
import tempfile
import textwrap
from typing import Any, TextIO

from tests.reactor.building import choose

# Of twisted.internet.test: what asks something of a reactor, in a moment.
MODULES = (
    *("core", "fdset", "newtls", "process", "sigchld", "socket", "stdio"),
    *("tcp", "threads", "time", "tls", "udp", "unix"),
)


def main(reactor: str, results: str, names: list[str]) -> None:
    """
    @param reactor: the module that has C{install} and C{EPollReactor} or C{AsyncioSelectorReactor}; the latter with
        C{:uvloop} behind runs on a loop of uvloop's.
    @param results: the file that gets the lines. Tests may print what they like.
    """
    built = choose(reactor)

    # What imports the reactor comes after it.
    from twisted.internet import reactor as installed
    from twisted.internet.test import reactormixins
    from twisted.trial import reporter, runner

    class Lines(reporter.Reporter):
        """
        Writes how each test ends, and nothing else.
        """

        def _say(self, test: Any, end: str, why: object = "") -> None:
            print(test.id(), end, file=lines)
            if why:
                print(textwrap.indent(str(why), "\t"), file=lines)
            lines.flush()

        def addSuccess(self, test: Any) -> None:
            super().addSuccess(test)
            self._say(test, "passed")

        def addFailure(self, test: Any, failure: Any) -> None:
            super().addFailure(test, failure)
            self._say(test, "failed", failure)

        def addError(self, test: Any, failure: Any) -> None:
            super().addError(test, failure)
            self._say(test, "failed", failure)

        def addSkip(self, test: Any, reason: Any) -> None:
            super().addSkip(test, reason)
            self._say(test, "skipped")

        def addExpectedFailure(self, test: Any, failure: Any, todo: Any = None) -> None:
            super().addExpectedFailure(test, failure, todo)
            self._say(test, "skipped")

        def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
            super().addUnexpectedSuccess(test, todo)
            self._say(test, "passed")

    assert type(installed).__module__.startswith(reactor.partition(":")[0]), installed
    reactormixins.ReactorBuilder._reactors = [built]  # type: ignore[attr-defined]
    suite = runner.TestLoader().loadByNames(
        names or [f"twisted.internet.test.test_{module}" for module in MODULES], recurse=True
    )
    lines: TextIO
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory,
        open(results, "a") as lines,
        open(os.devnull, "w") as nowhere,
    ):
        runner.TrialRunner(Lines, workingDirectory=os.path.join(directory, "trial"), stream=nowhere).run(suite)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
