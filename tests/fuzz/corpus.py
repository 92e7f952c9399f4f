"""
Make a small corpus of a large one.

    python -m tests.fuzz.corpus fromDir [toDir]

Keeps, shortest first, the inputs that take the parser through something the
shorter ones didn't: a line of code after another, an error, a kind of outcome.
L{tests.http.test_corpus} runs what is kept in tests/http/corpus.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Hashable
from pathlib import Path
from types import FrameType
from typing import Any

import wasinet_twisted.http
from tests.http.support import coldCache

from .oracle import decode, run
from .parser import fill

KEPT = Path(__file__).parent.parent / "http" / "corpus"
# Together they stay well below what anybody would mind in a repository.
_MOST = 110

_WATCHED = str(Path(wasinet_twisted.http.__file__).parent)


def features(raw: bytes) -> set[Hashable]:
    """
    What an input does in the parser.
    """
    found: set[Hashable] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(_WATCHED):
            return None
        name, last = frame.f_code.co_filename, frame.f_lineno

        def lines(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            nonlocal last
            found.add((name, last, frame.f_lineno, event))
            last = frame.f_lineno
            return lines

        return lines

    given = decode(raw)
    each = range(1, len(given.data))
    sys.settrace(trace)
    try:
        with coldCache():
            outcome = run(given, ()).finish()
        run(given, each, "events")
    finally:
        sys.settrace(None)
    # Which error it was: its text without what it shows of the input.
    text = re.sub(r"(['\"]).*\1|[0-9]+", "", outcome.failure[1]) if outcome.failure else ""
    found.add((given.role, text, outcome.rest is not None, len(outcome.messages) > 1))
    return found


def choose(raw: list[bytes]) -> list[bytes]:
    """
    The shortest that together do all that all of them do, or the first of those.
    """
    known: set[Hashable] = set()
    kept = []
    for one in sorted(raw, key=lambda one: (len(one), one)):
        new = features(one)
        if not new <= known:
            known |= new
            kept.append(one)
    # Backwards: what later ones do besides needs no input of its own.
    known.clear()
    needed = []
    for one in reversed(kept):
        new = features(one)
        if not new <= known:
            known |= new
            needed.append(one)
    return needed[:_MOST]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.corpus", description=__doc__.split("\n\n")[0])
    parser.add_argument("fromDir", type=Path)
    parser.add_argument("toDir", type=Path, nargs="?", default=KEPT)
    options = parser.parse_args(arguments)
    raw = [path.read_bytes() for path in options.fromDir.iterdir()]
    chosen = choose(raw)
    fill(options.toDir, chosen)
    print(f"{len(chosen)} of {len(raw)} inputs, {sum(map(len, chosen))} bytes, in {options.toDir}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
