"""
What the reactors of this room do with a transport beside the fast paths: send in Twisted's way, and call with its log
context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.main import CONNECTION_LOST
from twisted.python import log

_MAPPED = 1 << 20


def keepHeap() -> None:
    """
    Have glibc keep the memory that reads take.
    """
    # What is read lies at the top of the heap. glibc gives that back to the system when it is free, and asks for it
    # anew at the next read: a third of the time of a message of 16 KiB. It does so when as much is free as twice
    # the largest block that was ever mapped and freed (mallopt(3), M_MMAP_THRESHOLD): this one.
    bytes(_MAPPED)


def sendNow(reactor: Any, transport: Any) -> None:
    """
    Have C{transport} send what it has, in Twisted's way, and end it if it can't.
    """
    try:
        why = transport.sendNow()
        if why is CONNECTION_LOST and reactor.isReading(transport):
            # What had come before is for the protocol: as when the system tells of both.
            transport.doRead()
    except BaseException as error:
        log.err()
        why = error
    if why:
        reactor._disconnectSelectable(transport, why, False)


def callLogged(contexts: list[Any], transport: Any, do: Callable[..., object], *arguments: object) -> None:
    """
    Do what C{log.callWithLogger} does.

    @param contexts: Twisted's contexts of this thread, innermost last.
    """
    contexts.append(transport)
    try:
        do(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException:
        log.err(system=transport.logPrefix())
    finally:
        contexts.pop()
