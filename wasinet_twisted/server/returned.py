"""
What a handler has returned instead of a response.
"""

from __future__ import annotations

from collections.abc import Coroutine
from types import AsyncGeneratorType, GeneratorType

from ..errors import InvalidResponse
from ..http.checks import shorten

# What those who write a handler forget, by what it gives then.
_HINTS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((str, bytes, bytearray, memoryview), "return WasiResponse(body=...)"),
    ((dict, list), "return WasiResponse(headers={'Content-Type': 'application/json'}, body=json.dumps(...))"),
    (tuple, "return WasiResponse(status, headers, body)"),
    (int, "return WasiResponse(status)"),
    (type(None), "is a return missing?"),
    (Coroutine, "is an await missing?"),
    ((GeneratorType, AsyncGeneratorType), "return WasiResponse(body=...) to send what it yields, piece by piece"),
)


def invalid(given: object) -> InvalidResponse:
    """
    Make the error for what a handler has given instead of a response.
    """
    hint = next((f"; {hint}" for kinds, hint in _HINTS if isinstance(given, kinds)), "")
    if isinstance(given, Coroutine):
        # Nobody will await it, and Python would say so a second time.
        given.close()
    return InvalidResponse(f"a handler must return a WasiResponse, not {shorten(given)}{hint}")
