"""
Autobahn's cases, but for those that take long: see L{tests.websocket.autobahn} for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from .autobahn import Result, ofClient, ofServer, unexplained

# All but the performance of long messages (9) and most of compression (12, 13).
QUICK = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.7.1", "9.8.6", "10.*", "12.1.1", "13.3.1", "13.7.1"]
# Where the cases have names of three parts.
COUNT = 252


@pytest.mark.parametrize("run", [ofServer, ofClient])
def test_quickOnes(run: Callable[[Sequence[str]], list[Result]]) -> None:
    results = run(QUICK)
    assert len(results) == COUNT
    assert unexplained(results) == []
