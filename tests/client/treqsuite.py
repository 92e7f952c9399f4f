"""
A test suite of trial's with an Agent of our choice. The lines are those of C{tests.reactor.twistedsuite}.

    python -m tests.client.treqsuite ours RESULTS treq.test

C{twisted.web.client.Agent} is replaced before anything that the tests need is imported: treq's module-level functions,
C{treq.testing} and the tests themselves take it from there.
"""

from __future__ import annotations

import sys

from tests.reactor import twistedsuite

REACTOR = "twisted.internet.epollreactor"


def main(agent: str, results: str, names: list[str]) -> None:
    """
    @param agent: C{"stock"} or C{"ours"}.
    """
    if agent == "ours":
        from twisted.web import client

        from wasinet_twisted.client import Agent

        client.Agent = Agent  # type: ignore[assignment,misc]
    twistedsuite.main(REACTOR, results, names)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
