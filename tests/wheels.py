"""
The packages of a release: are all there, and does each hold what it should?

    python -m tests.wheels FOLDER

Expected are an sdist, the pure wheel, and a compiled wheel for each Python and architecture that C{pyproject.toml}
names for cibuildwheel, each for glibc (manylinux) and for musl (musllinux). All are of one version.
"""

from __future__ import annotations

import re
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# wasinet_twisted-0.2.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl
_WHEEL = re.compile(r"wasinet_twisted-([^-]+)-(\w+)-(\w+)-(.+)\.whl")
_PLATFORM = re.compile(r"(manylinux|musllinux)\w*?_(x86_64|aarch64)")


def settings() -> dict[str, Any]:
    """
    Return those of cibuildwheel.
    """
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    return found


def expected() -> set[str]:
    """
    Return what a release has, as C{cp311-manylinux_x86_64}.
    """
    pythons = [each.removesuffix("-*") for each in settings()["build"]]
    return {
        f"{python}-{libc}_{arch}"
        for python in pythons
        for libc in ("manylinux", "musllinux")
        for arch in settings()["linux"]["archs"]
    } | {"pure", "sdist"}


def kindOf(path: Path) -> tuple[str, str]:
    """
    Return a package's version, and its kind as L{expected} names it.

    @raise ValueError: it is none of ours.
    """
    if found := re.fullmatch(r"wasinet_twisted-([^-]+)\.tar\.gz", path.name):
        return found[1], "sdist"
    found = _WHEEL.fullmatch(path.name)
    if found is None:
        raise ValueError(f"{path.name} is no package of wasinet_twisted")
    version, python, abi, platforms = found.groups()
    if (python, abi, platforms) == ("py3", "none", "any"):
        return version, "pure"
    kinds = {"_".join(each.groups()) if (each := _PLATFORM.fullmatch(one)) else one for one in platforms.split(".")}
    if python != abi or len(kinds) != 1:
        raise ValueError(f"{path.name} is for {python}, {abi} and {', '.join(sorted(kinds))}")
    return version, f"{python}-{kinds.pop()}"


def twins(path: Path) -> set[str]:
    """
    Return the names of the compiled modules that a wheel holds.
    """
    with zipfile.ZipFile(path) as held:
        return {Path(name).name.partition(".")[0] for name in held.namelist() if name.endswith(".so")}


def engine(path: Path) -> set[str]:
    """
    Return the files of the JavaScript engine that a wheel holds.
    """
    with zipfile.ZipFile(path) as held:
        return {Path(name).name for name in held.namelist() if "qjs.wasm" in name}


def faults(folder: Path) -> list[str]:
    """
    Return what is wrong with a folder's packages.
    """
    told, versions, kinds = [], set(), set()
    sources = {path.stem for path in (ROOT / "wasinet_twisted" / "_speed").glob("_*.pyx")}
    for path in sorted(folder.iterdir()):
        try:
            version, kind = kindOf(path)
        except ValueError as error:
            told.append(str(error))
            continue
        versions.add(version)
        kinds.add(kind)
        if path.suffix == ".whl" and twins(path) != (set() if kind == "pure" else sources):
            told.append(f"{path.name} holds the compiled modules {', '.join(sorted(twins(path))) or 'none'}")
        if path.suffix == ".whl" and engine(path) != {"qjs.wasm", "qjs.wasm.LICENSE"}:
            told.append(f"{path.name} has no JavaScript engine, or not its licence")
    told += [f"there is no {kind}" for kind in sorted(expected() - kinds)]
    told += [f"nobody asked for {kind}" for kind in sorted(kinds - expected())]
    if len(versions) > 1:
        told.append(f"several versions: {', '.join(sorted(versions))}")
    return told


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    if len(arguments) != 1:
        print(__doc__)
        return 2
    found = faults(Path(arguments[0]))
    print("\n".join(found) or f"all {len(expected())} packages are there")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
