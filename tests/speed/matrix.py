"""
Every kind of package, built with a compiler and without: what it installs, how long that takes, how large it is.

    python -m tests.speed.matrix [--compiler gcc]

Each is built by pip in an environment of its own, as users do, and installed into a fresh one, where the command's
C{--version} and a parsed request show which form runs. The table goes to docs/dependencies.md. Needs a package index.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_NEEDED = ("twisted>=25.5", "zope.interface", "attrs", "multidict")
_PROGRAM = (
    "import wasinet_twisted.reactor, wasinet_twisted.server as server\n"
    "from wasinet_twisted import http, speed\n"
    "buffer = http.Buffer()\n"
    "buffer.append(b'GET /it HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
    "assert buffer.parseRequest().uri == '/it'\n"
    "print(speed())\n"
)


class Failed(Exception):
    """
    An installation isn't what it should be; the text says what it is.
    """


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """
    Run a command.

    @return: what it printed.
    @raise Failed: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WASINET_", "PYTHONPATH"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**environment, **variables}, capture_output=True, text=True
    )
    if done.returncode:
        raise Failed(f"{command}:\n{done.stdout}{done.stderr}")
    return done.stdout


def checkout(to: Path) -> Path:
    """
    Copy what packages are made of, and nothing that was compiled.
    """
    without = shutil.ignore_patterns("__pycache__", "*.so", "_*.c", "built*.json")
    for name in ("wasinet_twisted", "tap"):
        shutil.copytree(ROOT / name, to / name, ignore=without)
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, to)
    return to


def install(kind: str, compiler: str, folder: Path) -> tuple[str, float, float, int]:
    """
    Build and install one kind of package.

    @return: what C{speed()} says there, the seconds and the CPU seconds it took, and the bytes of the wheel that was
        made on the way, or 0.
    @raise Failed: it can't be done, or what is installed doesn't work.
    """
    source = checkout(folder / "checkout")
    run(sys.executable, "-m", "venv", folder / "there", cwd=folder)
    python = folder / "there" / "bin" / "python"
    # First, and not timed: these are the same for all.
    run(python, "-m", "pip", "install", "-q", *_NEEDED, cwd=folder)
    given: list[str | Path] = [source]
    if kind == "sdist":
        run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder / "dist", cwd=source)
        given = list((folder / "dist").glob("*.tar.gz"))
    elif kind == "editable":
        given = ["-e", source]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    size = 0
    if kind == "wheel":
        run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "dist", source, cwd=folder, CC=compiler)
        given = list((folder / "dist").glob("*.whl"))
        size = Path(given[0]).stat().st_size
    run(python, "-m", "pip", "install", "-q", "--no-deps", *given, cwd=folder, CC=compiler)
    took = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = run(python, "-c", _PROGRAM, cwd=folder).strip()
    version = run(python.with_name("twistd"), "wasinet-echo", "--version", cwd=folder)
    if f"({told};" not in version:
        raise Failed(f"--version tells {version!r}, speed() {told!r}")
    found = sorted(path.name for path in (folder / "there").rglob("*.so") if "wasinet_twisted" in path.parts)
    if bool(found) != (told == "compiled" and kind != "editable"):
        raise Failed(f"{told}, with {found}")
    return told, took, cpu, size


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    options = argparse.ArgumentParser(prog="python -m tests.speed.matrix", description="Every kind of package.")
    options.add_argument("--compiler", default="gcc", help="that which works (%(default)s)")
    given = options.parse_args(arguments)
    print("| | compiler | installs | s | CPU s | wheel, KiB |\n| --- | --- | --- | ---: | ---: | ---: |")
    failed = 0
    kinds = ("wheel", "sdist", "pip install .", "editable")
    for kind in kinds:
        for compiler in (given.compiler, "/bin/false"):
            with tempfile.TemporaryDirectory() as folder:
                expected = "compiled" if compiler == given.compiler else "pure Python: "
                try:
                    told, took, cpu, size = install(kind, compiler, Path(folder))
                    if not told.startswith(expected):
                        raise Failed(f"{told} instead of {expected}")
                except Failed as error:
                    failed += 1
                    print(f"{kind}, CC={compiler}: {error}", file=sys.stderr)
                    continue
            form, weight = told.partition(":")[0], f"{size / 1024:.0f}" if size else ""
            print(f"| {kind} | `CC={compiler}` | {form} | {took:.0f} | {cpu:.0f} | {weight} |", flush=True)
    print(f"\n{2 * len(kinds) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
