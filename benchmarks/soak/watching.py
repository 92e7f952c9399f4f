"""
What the server's processes use, as the kernel tells it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_KIB = 1024


def used(pid: int) -> dict[str, Any] | None:
    """
    Return what a process has: resident and proportional memory in bytes, descriptors, CPU time in
    seconds, its own and that of its children that have ended; L{None} if it
    has none any more.
    """
    there = Path(f"/proc/{pid}")
    try:
        lines = (there / "smaps_rollup").read_text().splitlines()
        memory = {name: int(text.split()[0]) for name, _, text in (line.partition(":") for line in lines[1:])}
        fields = (there / "stat").read_text().rpartition(")")[2].split()
        return {
            "pid": pid,
            "rss": memory["Rss"] * _KIB,
            "pss": memory["Pss"] * _KIB,
            "descriptors": len(os.listdir(there / "fd")),
            "cpu": (int(fields[11]) + int(fields[12])) / _TICKS,
            "children": (int(fields[13]) + int(fields[14])) / _TICKS,
        }
    except (OSError, KeyError, ValueError):
        # It ends.
        return None


def childrenOf(pid: int) -> list[int]:
    """
    Return the processes that a process has started, those that nobody has waited for included.

    @raise OSError: it has ended.
    """
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pss(sample: dict[str, Any]) -> float:
    """
    Return the memory of all processes in bytes: what some share counts once.
    """
    return float(sum(each["pss"] for each in (sample["parent"], *sample["templates"], *sample["workers"])))


def descriptors(pid: int) -> list[str]:
    """
    Return what a process has open; nothing if it has ended.
    """
    found = []
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found.append(os.readlink(entry.path))
    return sorted(found)
