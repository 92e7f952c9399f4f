"""
What the tests of loads have in common.
"""

from __future__ import annotations


def near(found: float, expected: float, within: float) -> bool:
    """
    Is a figure what it should be, but for so much?
    """
    return abs(found - expected) <= within
