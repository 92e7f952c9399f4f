"""
How much of what was written waits to be sent.
"""

from __future__ import annotations

from typing import Any

from ..._privates import unsentBytes


def unsent(transport: Any, atMost: int) -> int:
    """
    How many bytes a transport of Twisted's has that the kernel hasn't taken.

    @param atMost: what is said of a transport that doesn't tell.
    """
    beneath = getattr(transport, "beneath", None)
    if beneath is not None:
        # Over TLS: nearly all of it waits, encrypted, in the transport beneath.
        return unsent(beneath(), atMost)
    waiting = unsentBytes(transport)
    return atMost if waiting is None else waiting
