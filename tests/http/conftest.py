"""
This room has no reactor, so it can leave nothing behind in one, nor log to Twisted. What the other rooms are held to
costs a collection a test; over the many small tests here that is most of the time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.speed.forms import compareEverywhere

# Every case here is given to both forms of what is compiled, where something is.
compareEverywhere()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    None of these need be run on several reactors.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.reactorless)


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
