"""
A coverage-guided fuzz target for the compiled recogniser of heads.

    python -m tests.fuzz.compiled [--seconds 60] [corpusDir]

Compiles the twins in a copy of the checkout so that libFuzzer sees which way their C
takes, and gives each input to both forms. Stops by itself, with status 0 if neither
crashed and they never differed. The inputs are those of L{tests.fuzz.parser}.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from ctypes import CDLL, addressof, c_uint8, c_void_p, sizeof
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .parser import fill, options, seeds

_HEADER = Path(__file__).with_name("coverage.h")
# As it has them.
_PLACES = 16384
_kept: list[Any] = []


def judge(raw: bytes) -> None:
    """
    See that both forms say the same, with what is remembered and without.

    @raise AssertionError: they don't.
    """
    from tests.speed.forms import REQUEST, RESPONSE, forget, parted
    from wasinet_twisted.http import Limits, RequestHead, ResponseHead

    from .oracle import SMALL, decode

    given = decode(raw)
    limits = SMALL if given.tight else Limits()
    # One bit says whether it begins in the middle, one whether anything is remembered.
    start = min(1, len(given.data)) if given.accepts else 0
    if given.eof:
        forget()
    arguments: tuple[Any, ...]
    if given.role == "request":
        form, arguments = REQUEST, (given.data, start, limits, RequestHead)
    else:
        form, arguments = RESPONSE, (given.data, start, limits, ResponseHead, given.method)
    twin = form.twin(*arguments)
    python = form.python(*arguments)
    for found in (twin, form.twin(*arguments)):
        difference = parted(python, found)
        assert difference is None, f"{form.path} of {arguments!r}: {difference}"


def fuzz(seconds: int, corpus: Path, scratch: Path) -> None:
    """
    Never returns: libFuzzer ends the process.
    """
    import atheris

    with atheris.instrument_imports(include=["wasinet_twisted.http"], enable_loader_override=False):
        from tests.speed.forms import COMPILED, WHY_NOT

    if not COMPILED:
        raise SystemExit(WHY_NOT)

    def target(raw: bytes) -> None:
        try:
            judge(raw)
        except BaseException:
            print(f"\nfound by {raw!r}", file=sys.stderr, flush=True)
            raise

    for name in ("_heads", "_fields"):
        _count(f"wasinet_twisted._speed.{name}")
    if not any(corpus.iterdir()):
        fill(corpus, seeds())
    atheris.Setup([sys.argv[0], *options(seconds, scratch), str(corpus)], target)
    atheris.Fuzz()


def _count(module: str) -> None:
    """
    Let libFuzzer see what C{coverage.h} counts in a module.
    """
    libfuzzer = CDLL(_fileOf("atheris.core_with_libfuzzer"))
    counters = addressof(c_uint8.in_dll(CDLL(_fileOf(module)), "wasinet_counters"))
    libfuzzer.__sanitizer_cov_8bit_counters_init(c_void_p(counters), c_void_p(counters + _PLACES))
    # There are to be as many places, of two words each, as counters. What they are is never asked.
    places = (c_void_p * (2 * _PLACES))(*range(counters, counters + 2 * _PLACES))
    _kept.append(places)
    start = addressof(places)
    libfuzzer.__sanitizer_cov_pcs_init(c_void_p(start), c_void_p(start + sizeof(places)))


def _fileOf(module: str) -> str:
    found = find_spec(module)
    assert found is not None
    assert found.origin is not None
    return found.origin


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.compiled", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long (%(default)s)")
    parser.add_argument("corpusDir", nargs="?", type=Path, help="where inputs are read and kept (a temporary one)")
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("atheris is missing: pip install 'wasinet_twisted[fuzz]'", file=sys.stderr)
        return 2
    if given.scratch is not None:
        fuzz(given.seconds, given.corpusDir, given.scratch)
    from tests.speed.sanitized import copied

    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        corpus = given.corpusDir or scratch / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        root = scratch / "checkout"
        root.mkdir()
        copied(root)
        flags = f"-O1 -fsanitize-coverage=trace-pc -include {_HEADER}"
        build = {**os.environ, "WASINET_EXTENSIONS": "yes", "CFLAGS": flags}
        done = subprocess.run([sys.executable, "hatch_build.py"], cwd=root, env=build, check=False)
        if done.returncode:
            return done.returncode
        command: list[Any] = [sys.executable, "-m", "tests.fuzz.compiled", "--seconds", str(given.seconds)]
        ours = {**os.environ, "PYTHONPATH": str(root), "WASINET_SPEED": "yes"}
        return subprocess.run(
            [*command, "--scratch", scratch, corpus.absolute()], cwd=root, env=ours, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
