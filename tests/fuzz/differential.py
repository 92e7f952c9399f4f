"""
Any number of generated messages through h11, httptools and us.

    python -m tests.fuzz.differential --count 200000 --seed 1

Prints how often the readers parted, by reason; ends with status 1 if they did
without one. Inputs follow from the seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.http.disagreements import disagreements
from tests.http.generator import Generator
from tests.http.reasons import REASONS, explain

# So many unexplained ones are shown.
_SHOWN = 20


def run(count: int, seed: int, quiet: bool = False) -> tuple[Counter[tuple[str, str, str]], int]:
    """
    Compare.

    @return: how often each reason held, by who refused, peer and reason; and how many disagreements had none.
    """
    reasons: Counter[tuple[str, str, str]] = Counter()
    unexplained = 0
    begun = shown = time.monotonic()
    for number, case in enumerate(Generator(seed).cases(count), 1):
        for it in disagreements(case):
            reason = explain(it)
            if reason is not None:
                reasons[it.kind, it.peer, str(reason)] += 1
                continue
            unexplained += 1
            if unexplained <= _SHOWN:
                print(f"unexplained, input {number}, {it.peer}, message {it.index}:\n  {it.case!r}")
                print(f"  ours:   {it.ours}\n  theirs: {it.theirs}", flush=True)
        now = time.monotonic()
        if not quiet and now - shown > 5:
            shown = now
            print(f"{number} inputs, {number / (now - begun):.0f} a second, {unexplained} unexplained", flush=True)
    return reasons, unexplained


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.differential", description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=200_000, help="how many inputs (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what they follow from (%(default)s)")
    options = parser.parse_args(arguments)
    reasons, unexplained = run(options.count, options.seed)
    for (kind, peer, reason), times in sorted(reasons.items()):
        print(f"{times:8} {kind:11} {peer:9} {reason}")
    for one in REASONS:
        for peer in one.peers:
            if not reasons[one.kind, peer, str(one)]:
                print(f"{0:8} {one.kind:11} {peer:9} {one}")
    print(f"{options.count} inputs, seed {options.seed}: {reasons.total()} explained, {unexplained} unexplained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
