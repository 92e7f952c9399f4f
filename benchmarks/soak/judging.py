"""
A soak's verdicts, and what they are made of: samples, the access logs and the server's log.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import rules
from .content import EVIL
from .ledger import Ledger
from .rules import Series, Verdict
from .run import CALM, KILL, Soak

# A process' memory is looked at from this age on, in parts of the whole time.
_AGED = 0.1
# Workers of the same age are compared from this age to twice this, in parts of the whole time and at least so many
# seconds: most are replaced when they are young.
_SAME_AGE = 1 / 60
_SAME_AGE_LEAST = 5.0
_NAME = re.compile(r"[?&]id=([a-z]+-[0-9]+)(?:&|$)")
_ERRORS = re.compile(r"Traceback \(most recent call last\)|Unhandled|#(?:error|critical)\]")


def verdicts(soak: Soak, status: int, logs: Sequence[Path], output: Path, seconds: float) -> list[Verdict]:
    """
    Judge.

    @param status: what the server has ended with.
    @param logs: the access logs.
    @param output: the server's log.
    """
    ledger = soak.ledger
    found = [
        rules.none("no honest request is lost, but for those held by a killed worker", ledger.lost, ledger.losses),
        rules.none("the server does nothing wrong", ledger.faulty, ledger.faults),
        *memories(soak.samples, seconds),
        *(rules.back(name, soak.base[name], soak.left[name]) for name in ("parent", "template", "worker")),
        rules.none("no process is left over", soak.left["processes"] - soak.base["processes"]),
        logged(ledger, logs),
        said(output),
        Verdict("SIGTERM ends the server", status == -15, f"status {status}"),
        *_reached(soak),
    ]
    return found


def _reached(soak: Soak) -> Iterator[Verdict]:
    done = Counter(event["what"] for event in soak.events)
    yield rules.some("workers were killed", done[KILL])
    yield rules.some("workers were replaced", done.total() - done[KILL])
    yield rules.some("new certificates were shown after a renewal", soak.certificates.checked)
    kinds = soak.ledger.kinds
    yield rules.some("each kind of honest request was answered", min(kinds.values()) if len(kinds) >= 6 else 0)


def memories(samples: Sequence[dict[str, Any]], seconds: float) -> Iterator[Verdict]:
    """
    Judge the parent's memory, that of the workers that live longest, and that of workers of the same age.
    """
    warm = _AGED * seconds
    found = [
        rules.memory(
            "the parent's memory", [(each["at"], each["parent"]["rss"]) for each in samples if each["at"] > warm]
        )
    ]
    lives = livesOf(samples)
    for number, life in enumerate(lives.values()):
        age = life[-1][0] - life[0][0]
        if age > (CALM - 0.02) * seconds - 2:
            aged = [point for point in life if point[0] - life[0][0] > warm]
            found.append(rules.memory(f"the memory of worker process {number + 1}, over {age:.0f} s", aged))
    found.append(
        rules.memory("the memory of workers of the same age", sameAge(lives, max(_SAME_AGE_LEAST, _SAME_AGE * seconds)))
    )
    yield from (each for each in found if each is not None)


def livesOf(samples: Sequence[dict[str, Any]]) -> dict[int, list[tuple[float, float]]]:
    """
    Return the memory of each worker over time, by process, in the order of their starts.
    """
    lives: dict[int, list[tuple[float, float]]] = {}
    for each in samples:
        for worker in each["workers"]:
            lives.setdefault(worker["pid"], []).append((each["at"], worker["rss"]))
    return lives


def sameAge(lives: dict[int, list[tuple[float, float]]], least: float) -> Series:
    """
    Return the memory of each worker when it was from C{least} to twice as many seconds old, by when it was started.
    Those that haven't become so old are left out.
    """
    found = []
    for life in lives.values():
        start = life[0][0]
        values = [value for at, value in life if least <= at - start <= 2 * least]
        if values and life[-1][0] - start >= 2 * least:
            found.append((start, rules.low(values)))
    return found


def logged(ledger: Ledger, logs: Sequence[Path]) -> Verdict:
    """
    Compare the access logs with what was answered: a whole line for each request, and one only.
    """
    counts: Counter[str] = Counter()
    wrong = []
    lines = 0
    for path in logs:
        with path.open("rb") as log:
            for line in log:
                lines += 1
                try:
                    entry = json.loads(line)
                    target = entry["target"] or ""
                except (ValueError, KeyError):
                    wrong.append(f"{path.name}: {line!r:.200}")
                    continue
                if target.startswith(EVIL):
                    wrong.append(f"{path.name}: a request was smuggled: {line!r:.200}")
                if match := _NAME.search(target):
                    counts[match[1]] += 1
    asked = [name for name in ledger.answered if "." not in name]
    wrong += [f"{name}: {counts[name]} lines" for name in asked if counts[name] > 1]
    missing = [name for name in asked if not counts[name]]
    untold = sum(map(ledger.mayBeUntold, missing))
    wrong += [f"{name}: no line" for name in missing if not ledger.mayBeUntold(name)]
    verdict = rules.none("the access log has one whole line for each answer", len(wrong), wrong)
    told = f"{verdict.told} of {lines} lines in {len(logs)} files wrong; {untold} went with a killed worker"
    return Verdict(verdict.rule, verdict.holds, told if verdict.holds else f"{told}; {verdict.told}")


def said(output: Path) -> Verdict:
    """
    Look for errors in the server's log.
    """
    lines = output.read_text(errors="replace").splitlines()
    places = [at for at, line in enumerate(lines) if _ERRORS.search(line)]
    shown = ["\n        ".join(lines[at : at + 25]) for at in places[:3]]
    return rules.none("the server logs no error", len(places), shown)
