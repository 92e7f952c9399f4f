"""
The tests of the compiled twins, with each byte watched that they touch.

    python -m tests.speed.sanitized [--count 100000] [tests…]

Copies the checkout, compiles the twins there with gcc's AddressSanitizer and
UndefinedBehaviorSanitizer, runs the tests given (by default those of this folder that
are about twins, but none that compares times), and then L{tests.speed.differential}.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent
# About how twins are built, not about what they do.
_OTHERS = ("test_building.py", "test_switch.py")


def copied(root: Path) -> None:
    """
    Copy what is to be built and run, without what has been built.
    """
    without = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "built.*.json")
    for name in ("wasinet_twisted", "tap", "tests", "benchmarks", "examples"):
        shutil.copytree(_ROOT / name, root / name, ignore=without)
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(_ROOT / name, root)


def environment(root: Path) -> dict[str, str]:
    """
    What programs there are run with. The sanitizers have to be loaded before all else.
    """
    compiler = os.environ.get("CC") or "gcc"
    libraries = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return {
        **os.environ,
        "PYTHONPATH": str(root),
        "WASINET_SPEED": "yes",
        "LD_PRELOAD": " ".join(libraries),
        # Python's own allocator would hide what is beside an object.
        "PYTHONMALLOC": "malloc",
        # The interpreter never gives back all that it has taken.
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }


def run(root: Path, tests: Sequence[str], count: int) -> int:
    """
    @return: the exit status of what failed, or 0.
    """
    build = {**os.environ, "WASINET_EXTENSIONS": "yes", "WASINET_SANITIZE": "address,undefined"}
    done = subprocess.run([sys.executable, "hatch_build.py"], cwd=root, env=build, check=False)
    if done.returncode:
        return done.returncode
    watched = environment(root)
    for command in (
        ["pytest", "-n", "0", "-q", "-p", "no:cacheprovider", "-k", "not Costs", *tests],
        ["tests.speed.differential", "--count", str(count)],
    ):
        done = subprocess.run([sys.executable, "-m", *command], cwd=root, env=watched, check=False)
        if done.returncode:
            return done.returncode
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.speed.sanitized", description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="inputs of the differential test (%(default)s)")
    parser.add_argument("tests", nargs="*", help="files of tests, from the checkout's root")
    options = parser.parse_args(arguments)
    found = [path for path in sorted(Path(__file__).parent.glob("test_*.py")) if path.name not in _OTHERS]
    tests = options.tests or [str(path.relative_to(_ROOT)) for path in found]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        copied(root)
        return run(root, tests, options.count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
