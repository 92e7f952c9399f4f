"""
How many workers, and how they are kept: what the command line says of it.
"""

from __future__ import annotations

import os
import random
import re
from math import ceil
from pathlib import Path

from twisted.python.usage import UsageError

from ..adopting import TCP

# A worker costs a process, its memory and its descriptors; more than so many are a slip of the finger.
MOST = 256

# --max-requests N: each worker may serve up to a tenth more, so that not all of them are replaced at the same time.
_JITTER = 10

_COUNT = re.compile("[0-9]{1,3}")
_REQUESTS = re.compile("([0-9]{1,12})(?::([0-9]{1,12}))?")
_PERIODS = re.compile("([0-9]{1,12}) ([0-9]{1,12})\n?")

# What the parent can open and hand on.
_SHARED = (*TCP, "unix:", "haproxy:unix:", "systemd:", "haproxy:systemd:")


def checkCount(text: str) -> int:
    """
    Return how many workers C{--workers} asks for.

    @raise UsageError: C{text} is neither C{auto} nor a number from 1 to L{MOST}.
    """
    if text == "auto":
        return min(processors(), MOST)
    count = int(text) if _COUNT.fullmatch(text) else 0
    if not 1 <= count <= MOST:
        raise UsageError(f"--workers: it must be auto, or a number from 1 to {MOST}, not {text!r:.100}")
    return count


def checkMaxRequests(text: str) -> tuple[int, int]:
    """
    Return after how many requests a worker is replaced, and how many more this may be.

    @param text: C{N}, or C{N:JITTER}.
    @raise UsageError: it is neither.
    """
    match = _REQUESTS.fullmatch(text)
    if match is None or not int(match[1]):
        raise UsageError(
            f"--max-requests: it must be a number from 1 on, or with its jitter as in 10000:500, not {text!r:.100}"
        )
    return int(match[1]), int(match[1]) // _JITTER if match[2] is None else int(match[2])


def drawn(asked: tuple[int, int] | None) -> int | None:
    """
    Return after how many requests this worker is replaced. L{None}: never.
    """
    return None if asked is None else asked[0] + random.randint(0, asked[1])


def checkShared(option: str, endpoint: str) -> None:
    """
    @raise UsageError: the parent can't hand the socket of C{endpoint} on.
    """
    if not endpoint.startswith(_SHARED):
        raise UsageError(
            f"--workers: the socket of --{option} {endpoint} can't be handed on; there are tcp, tcp6, ssl, unix and "
            "systemd, and haproxy: before these"
        )


def cores() -> list[int]:
    """
    Return the numbers of the processor cores that this process may run on; none where the system doesn't tell.
    """
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def processors(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """
    Return how many processors this process may use: of its cores, no more than a container's quota lets run.

    @param quota: where cgroup v2 tells it.
    """
    count = len(cores()) or os.cpu_count() or 1
    try:
        match = _PERIODS.fullmatch(quota.read_text("ascii"))
    except (OSError, UnicodeDecodeError):
        return count
    # "max" is no bound.
    return count if match is None or not int(match[2]) else max(1, min(count, ceil(int(match[1]) / int(match[2]))))
