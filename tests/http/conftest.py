"""
This room has no reactor, so it can leave nothing behind in one, nor log to Twisted. What the other rooms are held to
costs a collection a test; over the many small tests here that is most of the time.
"""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def nothingLeftBehind() -> None:
    """
    Not looked for here.
    """


@pytest.fixture(autouse=True)
def loggedErrors() -> None:
    """
    Not looked for here.
    """
