"""
The soak's verdict: nothing grows, nothing is lost. Nothing of it asks how fast something was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIB = 1024 * 1024

# How much memory may grow by, from the first third of what is looked at to the last: so much of it, and so many bytes.
SHARE = 0.03
ALLOWANCE = 2 * MIB
# How many points each third must have, lest chance speaks.
_LEAST = 3

Series = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Verdict:
    """
    Whether a rule holds.

    @ivar rule: what has to be so.
    @ivar told: what was found.
    """

    rule: str
    holds: bool
    told: str

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'BROKEN'}: {self.rule}: {self.told}"


def low(values: Sequence[float]) -> float:
    """
    Return the lower quartile: load lifts a process' memory for a while, a leak lifts its floor.
    """
    return sorted(values)[len(values) // 4]


def grown(series: Series, share: float = SHARE, allowance: float = ALLOWANCE) -> tuple[bool, str] | None:
    """
    Compare the last third of a series with its first one.

    @param series: moments, in seconds, and values, in bytes; what belongs to a warm-up is not in it.
    @return: does it grow by more than it may, and what was found; L{None} if these are too few points to tell.
    """
    third = len(series) // 3
    if third < _LEAST:
        return None
    first = low([value for _, value in series[:third]])
    last = low([value for _, value in series[-third:]])
    bound = share * first + allowance
    told = f"{first / MIB:.1f} MiB, then {last / MIB:.1f} MiB ({(last - first) / MIB:+.1f}, at most {bound / MIB:+.1f})"
    return last - first > bound, told


def memory(name: str, series: Series, share: float = SHARE, allowance: float = ALLOWANCE) -> Verdict | None:
    """
    Judge the memory of one process, or of processes of the same age.

    @return: L{None} if these are too few points to tell.
    """
    found = grown(series, share, allowance)
    if found is None:
        return None
    rule = f"{name} doesn't grow (last third by first, lower quartiles, {share:.0%} + {allowance / MIB:g} MiB)"
    return Verdict(rule, not found[0], found[1])


def back(name: str, before: int, after: int) -> Verdict:
    """
    Judge descriptors, when all clients have gone.
    """
    return Verdict(f"{name}: descriptors are back where they began", after <= before, f"{before}, then {after}")


def none(rule: str, count: int, examples: Sequence[object] = ()) -> Verdict:
    """
    Judge what must not happen.
    """
    shown = "".join(f"\n    {each}" for each in examples[:10])
    return Verdict(rule, count == 0, f"{count}{shown}")


def some(rule: str, count: int) -> Verdict:
    """
    Judge what must have happened, lest the others judge nothing.
    """
    return Verdict(rule, count > 0, str(count))
