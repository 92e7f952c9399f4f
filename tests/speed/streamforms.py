"""
The two forms of an awaited read and write: the compiled twins, and the Python that they stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wasinet_twisted.net.stream.handle import WasiTcpConn
from wasinet_twisted.net.stream.protocol import ConnectionProtocol
from wasinet_twisted.net.tasks.awaited import Awaited, Done
from wasinet_twisted.net.tasks.task import Task

COMPILED = hasattr(WasiTcpConn.read, "__wrapped__")
WHY_NOT = "the twins of net's streams are not compiled, or switched off by WASINET_SPEED=no"

_TWINS: list[tuple[type, str]] = [
    (WasiTcpConn, "read"),
    (WasiTcpConn, "__anext__"),
    (WasiTcpConn, "write"),
    (ConnectionProtocol, "dataReceived"),
    (Task, "resume"),
    (Awaited, "__await__"),
    (Awaited, "__iter__"),
    (Done, "__await__"),
    (Done, "__iter__"),
]


@contextmanager
def python() -> Iterator[None]:
    """
    Use the Python meanwhile.
    """
    from wasinet_twisted._speed import _streams  # type: ignore[attr-defined]

    compiled: list[tuple[type, str, Any]] = [(kind, name, kind.__dict__[name]) for kind, name in _TWINS]
    for kind, name, twin in compiled:
        setattr(kind, name, getattr(twin, "__wrapped__", twin))
    try:
        yield
    finally:
        for kind, name, twin in compiled:
            setattr(kind, name, twin.__wrapped__ if hasattr(twin, "__wrapped__") else twin)
        _streams.install()
