"""
Any number of heads and responses, mutated, to the compiled twins and to the Python that they stand for; and clients
that ask in many ways.

    python -m tests.speed.differential --count 1000000 --seed 1

Compares every field of every object and every byte; ends with status 1 at the first
difference, which is printed. Inputs follow from the seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from typing import Any

from wasinet_twisted.http import fields, outgoing

from . import asked
from .forms import ANSWER, COMPILED, REQUEST, RESPONSE, WHY_NOT, Difference, Form, answer, forget, parted
from .inputs import METHODS, REQUESTS, RESPONSES, Inputs

# After so many inputs a client makes some requests.
_SESSIONS = 1000
_STEPS = 60


def run(count: int, seed: int, quiet: bool = True) -> Counter[str]:
    """
    Compare.

    @return: what was given, how often.
    @raise Difference: the two forms parted.
    """
    inputs = Inputs(seed)
    chance = inputs.chance
    allHeads, answers = inputs.heads(), inputs.answers()
    tally: Counter[str] = Counter()
    begun = shown = time.monotonic()
    for number in range(count):
        share = chance.random()
        if share < 0.25:
            _compare(ANSWER, next(answers), tally)
        else:
            data, start, limits = next(allHeads)
            if data.startswith(b"HTTP", start) or share > 0.98:
                _compare(RESPONSE, (data, start, limits, chance.choice(RESPONSES), chance.choice(METHODS)), tally)
            else:
                _compare(REQUEST, (data, start, limits, chance.choice(REQUESTS)), tally)
        if chance.random() < 0.001:
            # So that it matters neither what is remembered nor where.
            forget()
        if chance.random() < 0.001:
            fields.cache.clear()
            fields._names.clear()
            outgoing.lines.clear()
        if number % _SESSIONS == 0 and asked.COMPILED:
            tally["client, Response"] += asked.compare(chance.getrandbits(32), _STEPS)
        now = time.monotonic()
        if not quiet and now - shown > 5:
            shown = now
            print(f"{number} inputs, {number / (now - begun):.0f} a second", flush=True)
    return tally


def _compare(form: Form, given: tuple[Any, ...], tally: Counter[str]) -> None:
    # The twin first, so that it doesn't find what the Python has learnt; then the Python; and again, with all known.
    twin = answer(form.twin, given)
    python = answer(form.python, given)
    again = answer(form.twin, given)
    for found in (twin, again):
        difference = parted(python, found)
        if difference is not None:
            raise Difference(f"{form.path} of {given!r}: {difference}")
    tally[f"{form.path}, {'left to the slow path' if python is None else type(python).__name__}"] += 1


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.speed.differential", description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=200_000, help="how many inputs (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what they follow from (%(default)s)")
    options = parser.parse_args(arguments)
    if not COMPILED:
        print(WHY_NOT, file=sys.stderr)
        return 2
    try:
        tally = run(options.count, options.seed, quiet=False)
    except Difference as error:
        print(error)
        return 1
    for what, times in sorted(tally.items()):
        print(f"{times:8} {what}")
    print(f"{options.count} inputs, seed {options.seed}: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
