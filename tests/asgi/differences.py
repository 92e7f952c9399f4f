"""
Why a test of another server's suite ends with ours in another way, by suite and by a pattern of the tests' names.
"""

from __future__ import annotations

DIFFERENCES: dict[str, dict[str, str]] = {}
