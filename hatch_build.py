"""
Compiles the twins of the hot path, C{wasinet_twisted/_speed/_*.pyx}, when the package is built.

This is a build hook of hatchling's. C{WASINET_EXTENSIONS} says what it does:

    auto    compile where that is possible; else the wheel is the pure one, and knows the reason (the default)
    yes     compile, or fail
    no      don't compile

C{WASINET_JAVASCRIPT=yes} has the wheel carry the JavaScript engine's binary, which C{python -m
wasinet_twisted.javascript.build} has built before, and its terms. The binary is WebAssembly, so that the wheel's tag is
the same.

C{CC}, C{CFLAGS}, C{CPPFLAGS} and C{LDFLAGS} are used as usual. C{WASINET_SANITIZE=address} compiles with gcc's
AddressSanitizer; several sanitizers are separated by commas.

A wheel takes its modules from a temporary folder, never from the checkout. An editable install has them beside their
sources, and compiles only what isn't up to date. So does this command, for those who change the sources:

    python hatch_build.py
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:
    # The command does without.
    BuildHookInterface = object

ROOT = Path(__file__).parent
PACKAGE = "wasinet_twisted/_speed"
SPEED = ROOT / PACKAGE
_GUEST = "wasinet_twisted/javascript/guest"
# The package itself isn't imported: its dependencies aren't there yet.
records = SimpleNamespace(**run_path(str(SPEED / "record.py")))

PYTHONS = ((3, 11), (3, 14))
FLAGS = "-O3 -g0"
# Of a line of the compiler's, as much as --version can show.
_SHOWN = 200
# What tells most of a failure: where Cython refused something, what the compiler said, which program failed.
_TELLING = (r"^\S+\.p(?:yx|xd):\d+:\d+: .+", r"^.*\berror: .+", r"^[\w.]*Error: .+")
_FAILED = re.compile(r"[Cc]ommand '(?:\[')?([^']+)'.* exit (?:status|code) (\d+)")


class CannotCompile(Exception):
    """
    @ivar reason: why, in one line.
    @ivar output: all that the compilers printed.
    """

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.reason = reason[:_SHOWN]
        self.output = output


def wanted() -> str:
    """
    Return C{auto}, C{yes} or C{no}.

    @raise ValueError: the variable holds something else.
    """
    setting = os.environ.get("WASINET_EXTENSIONS") or "auto"
    if setting not in ("auto", "yes", "no"):
        raise ValueError(f"WASINET_EXTENSIONS must be auto, yes or no, not {setting!r}")
    return setting


def javascript() -> dict[str, str]:
    """
    Return what a wheel carries of the JavaScript engine: where it is here, and where it is there.

    @raise ValueError: the variable holds something that there is not.
    @raise OSError: the engine isn't built, or it is of another version.
    """
    setting = os.environ.get("WASINET_JAVASCRIPT") or "no"
    if setting not in ("yes", "no"):
        raise ValueError(f"WASINET_JAVASCRIPT must be yes or no, not {setting!r}")
    if setting == "no":
        return {}
    # Neither of these imports anything but the standard library.
    sys.path.insert(0, str(ROOT))
    try:
        from wasinet_twisted.javascript import guest
    finally:
        sys.path.remove(str(ROOT))
    for folder in (guest.BESIDE, guest.cache()):
        if guest.isIt(folder / guest.NAME) and (folder / guest.LICENSE).is_file():
            return {str(folder / name): f"{_GUEST}/{name}" for name in (guest.NAME, guest.LICENSE)}
    raise OSError(f"WASINET_JAVASCRIPT=yes, but the JavaScript engine is not built; this builds it: {guest.COMMAND}")


def environment() -> dict[str, str]:
    """
    Return what the compilers are run with. Our flags come before the user's, which win.
    """
    given = dict(os.environ)
    flags = [FLAGS]
    if kinds := given.get("WASINET_SANITIZE"):
        flags = [f"-O1 -g -fno-omit-frame-pointer -fsanitize={kinds}"]
    given["CFLAGS"] = " ".join([*flags, given.get("CFLAGS", "")]).strip()
    return given


def compiler() -> str:
    """
    Return the command of the C compiler.
    """
    return os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"


def howCompiled() -> dict[str, str]:
    """
    Return all that decides what is compiled from the sources.
    """
    given = environment()
    try:
        cython = version("Cython")
    except PackageNotFoundError:
        cython = ""
    return {
        "python": str(sysconfig.get_config_var("SOABI")),
        "cython": cython,
        "compiler": compiler(),
        "flags": " ".join(given.get(name, "") for name in ("CFLAGS", "CPPFLAGS", "LDFLAGS")).strip(),
        "hook": records.hashOf(Path(__file__)),
    }


def refuse() -> None:
    """
    @raise CannotCompile: it is known beforehand that nothing can be compiled here.
    """
    if wanted() == "no":
        raise CannotCompile("WASINET_EXTENSIONS=no when it was built")
    if sys.platform != "linux" or sys.implementation.name != "cpython":
        raise CannotCompile(f"it was built by {sys.implementation.name} on {sys.platform}, not by CPython on Linux")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise CannotCompile("it was built for a free-threaded Python, which has no twins yet")
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        least, most = (".".join(map(str, each)) for each in PYTHONS)
        raise CannotCompile(
            f"it was built by Python {sys.version_info[0]}.{sys.version_info[1]}, not {least} to {most}"
        )
    for package in ("Cython", "setuptools"):
        try:
            version(package)
        except PackageNotFoundError:
            raise CannotCompile(f"no {package} when it was built") from None
    command = shlex.split(compiler())
    if not command or shutil.which(command[0]) is None:
        raise CannotCompile(f"no C compiler ({compiler()}) when it was built")
    if not any(Path(sysconfig.get_path(each), "Python.h").exists() for each in ("include", "platinclude")):
        raise CannotCompile("no Python.h (Debian's python3-dev) when it was built")


def compileInto(folder: Path) -> dict[str, Path]:
    """
    Compile all modules.

    @param folder: where to. All that is made on the way goes there too.
    @return: the file of each module.
    @raise CannotCompile: it can't be done.
    """
    refuse()
    # A process of its own: only so all that the compilers print can be kept, and told as the reason.
    done = subprocess.run(
        [sys.executable, __file__, "--into", str(folder)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise CannotCompile(f"compiling failed when it was built: {_telling(done.stdout)}", done.stdout)
    made = {path.name.partition(".")[0]: path for path in sorted((folder / "lib" / PACKAGE).glob("*.so"))}
    if not made:
        raise CannotCompile("there were no sources of twins when it was built")
    return made


def _telling(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern in _TELLING:
        for line in lines:
            if re.search(pattern, line):
                if failed := _FAILED.search(line):
                    return f"{failed[1]} ended with status {failed[2]}"
                return line.replace(f"{ROOT}{os.sep}", "")
    return lines[-1] if lines else "nothing was printed"


def _compile(folder: Path) -> None:
    """
    What the process does that compiles.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    package = PACKAGE.replace("/", ".")
    extensions = [
        Extension(f"{package}.{path.stem}", [f"{PACKAGE}/{path.name}"], include_dirs=[str(SPEED)])
        for path in sorted(SPEED.glob("_*.pyx"))
    ]
    made = cythonize(extensions, build_dir=str(folder), language_level=3, quiet=True, nthreads=os.cpu_count() or 1)
    for extension in made:
        extension.sources = [os.path.relpath(path, folder) for path in extension.sources]
    # A module holds the name of its C source as the compiler is given it. Named from here, that is without the folder,
    # which is another one in each build: the same sources give the same bytes.
    os.chdir(folder)
    command = build_ext(Distribution({"name": package, "ext_modules": made}))
    command.build_temp, command.build_lib = "temporary", "lib"
    command.parallel = os.cpu_count() or 1
    command.ensure_finalized()
    command.run()


def upToDate(record: Any) -> bool:
    """
    Are the files beside the sources those that would be made now?
    """
    return (
        record is not None
        and record.reason is None
        and record.sources == records.sourcesIn(SPEED)
        and record.how == howCompiled()
        and all((SPEED / name).is_file() and records.hashOf(SPEED / name) == its for name, its in record.files.items())
    )


def recordOf(made: dict[str, Path], sources: dict[str, str], reason: str | None = None) -> Any:
    """
    Return the record of a build.
    """
    files = {path.name: records.hashOf(path) for path in made.values()}
    return records.Record(reason, sorted(made), sources, howCompiled(), files)


def buildInPlace() -> None:
    """
    Compile beside the sources, for this Python, unless that has been done.

    @raise CannotCompile: it can't be done. The record says so.
    """
    path = SPEED / records.nameFor(checkout=True)
    if wanted() != "no" and upToDate(records.read(SPEED)):
        return
    # As they are before they are read: if they change meanwhile, the record doesn't hold.
    sources = records.sourcesIn(SPEED)
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = compileInto(Path(folder))
            record = recordOf(made, sources)
            for file in made.values():
                records.put(SPEED / file.name, file.read_bytes(), 0o755)
        records.write(path, record)
    except OSError as error:
        raise CannotCompile(f"the twins can't be put beside their sources: {error}") from error
    except CannotCompile as error:
        # Without a record no twins are used either.
        with suppress(OSError):
            records.write(path, recordOf({}, sources, error.reason))
        raise


class SpeedBuildHook(BuildHookInterface):
    """
    What hatchling calls for each wheel, and for each editable install.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """
        Compile, and say what goes into the wheel.

        @param version: C{standard} or C{editable}.
        """
        try:
            setting = wanted()
            if version != "editable":
                build_data["force_include"].update(javascript())
        except (ValueError, OSError) as error:
            self.app.abort(str(error))
        try:
            if version == "editable":
                buildInPlace()
            else:
                self._buildWheel(build_data)
        except CannotCompile as error:
            told = f"{error.output.rstrip()}\n{error.reason}".lstrip("\n")
            if setting == "yes":
                self.app.abort(f"{told}\nWASINET_EXTENSIONS=yes, so there is no wheel without compiled modules")
            elif setting == "auto":
                self.app.display_warning(f"{told}\nIt is built without compiled modules: slower, else the same.")

    def _buildWheel(self, build_data: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        made: dict[str, Path] = {}
        sources = records.sourcesIn(SPEED)
        reason = None
        try:
            made = compileInto(folder)
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
        except CannotCompile as error:
            reason = error.reason
            raise
        finally:
            record = folder / records.nameFor(checkout=False)
            records.write(record, recordOf(made, sources, reason))
            for path in (record, *made.values()):
                build_data["force_include"][str(path)] = f"{PACKAGE}/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """
        The wheel has been written.
        """
        if version != "editable":
            self._folder.cleanup()


def main(arguments: list[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    if arguments[:1] == ["--into"]:
        _compile(Path(arguments[1]))
        return 0
    if arguments:
        print(__doc__)
        return 2
    try:
        buildInPlace()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    except CannotCompile as error:
        print(f"{error.output}{error.reason}", file=sys.stderr)
        return 1
    print(f"compiled: {', '.join(records.read(SPEED).modules)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
