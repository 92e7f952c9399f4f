"""
What a build compiles, what it does where it can't, and that nothing gets where it doesn't belong.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from .checkout import RECORD, ROOT, SUFFIX, TWIN, Checkout

# Nothing here runs a reactor.
pytestmark = pytest.mark.reactorless

MODULE = f"wasinet_twisted/_speed/_tiny{SUFFIX}"
IN_PLACE = {MODULE, f"wasinet_twisted/_speed/{RECORD}"}
COMPILED = ("compiled", "compiled")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """
    One in which nothing was built.
    """
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """
    One with an editable install.
    """
    checkout = Checkout(tmp_path_factory.mktemp("original") / "checkout")
    before = checkout.files()
    done = checkout.build("wheel:editable", WASINET_EXTENSIONS="yes")
    assert done.returncode == 0, done.stderr
    assert withoutDist(checkout) == before | IN_PLACE
    shutil.rmtree(checkout.root / "dist")
    return checkout


@pytest.fixture
def installed(original: Checkout, tmp_path: Path) -> Checkout:
    """
    The same, for one test alone.
    """
    shutil.copytree(original.root, tmp_path / "installed")
    return original.at(tmp_path / "installed")


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """
    The hook's file, as a module of its own.
    """
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("WASINET_EXTENSIONS", "WASINET_JAVASCRIPT", "WASINET_SANITIZE", "CC", "LDFLAGS"):
        # As it was, afterwards.
        monkeypatch.setenv(name, "")
    return module


def withoutDist(checkout: Checkout) -> set[str]:
    """
    All files but for the packages that were built.
    """
    return {name for name in checkout.files() if not name.startswith("dist/")}


def wheel(checkout: Checkout) -> zipfile.ZipFile:
    """
    The one that was built.
    """
    (path,) = (checkout.root / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def unpacked(checkout: Checkout, to: Path) -> Checkout:
    """
    What the wheel installs.
    """
    wheel(checkout).extractall(to)
    return checkout.at(to)


def assertPure(checkout: Checkout, tmp_path: Path, reason: str) -> None:
    """
    The wheel that was built is the pure one, and what it installs knows why.
    """
    held = wheel(checkout)
    assert Path(str(held.filename)).name.endswith("-py3-none-any.whl")
    assert [name for name in held.namelist() if name.endswith((".so", ".pyx", ".pxd", ".pxi", ".h", ".c"))] == []
    assert unpacked(checkout, tmp_path / "from a wheel").spoken() == ("None", f"pure Python: {reason}")


def test_aWheel(checkout: Checkout, tmp_path: Path) -> None:
    """
    It holds the compiled module and no sources, is for this Python alone, and leaves nothing in the checkout.
    """
    before = checkout.files()
    done = checkout.build(WASINET_EXTENSIONS="yes")
    assert done.returncode == 0, done.stderr
    held = wheel(checkout)
    assert "-py3-none-any" not in str(held.filename)
    assert MODULE in held.namelist()
    assert [name for name in held.namelist() if name.endswith((".pyx", ".pxd", ".pxi", ".h", ".c"))] == []
    assert "twisted/plugins/wasinet_plugins.py" in held.namelist()
    assert withoutDist(checkout) == before
    installed = unpacked(checkout, tmp_path / "from a wheel")
    assert installed.spoken() == COMPILED
    assert installed.spoken(WASINET_SPEED="yes") == COMPILED
    assert installed.spoken(WASINET_SPEED="no") == ("None", "pure Python: WASINET_SPEED=no")


def test_anSdist(installed: Checkout) -> None:
    """
    It holds what a wheel is compiled from, and nothing that was compiled.
    """
    (installed.speed / "_tiny.c").write_text("")
    assert installed.build("sdist").returncode == 0
    (path,) = (installed.root / "dist").glob("*.tar.gz")
    with tarfile.open(path) as held:
        names = {name.partition("/")[2] for name in held.getnames()}
    speed = {name.rpartition("/")[2] for name in names if name.startswith("wasinet_twisted/_speed/")}
    kinds = (".py", ".pyx", ".pxd", ".pxi", ".h")
    assert speed == {path.name for path in installed.speed.iterdir() if path.suffix in kinds} > {"_tiny.pyx"}
    assert "hatch_build.py" in names


def test_theSameBytes(checkout: Checkout, tmp_path: Path) -> None:
    """
    Where it is built, and when, is no part of a package.
    """
    shutil.copytree(checkout.root, tmp_path / "another folder" / "checkout")
    another = checkout.at(tmp_path / "another folder" / "checkout")
    for path in another.root.rglob("*"):
        os.utime(path, (0, 10**9))
    for what, extensions in (("sdist", "no"), ("wheel:standard", "no"), ("wheel:standard", "yes")):
        for each in (checkout, another):
            done = each.build(what, WASINET_EXTENSIONS=extensions, SOURCE_DATE_EPOCH="1700000000")
            assert done.returncode == 0, done.stderr
    made = {path.name: path.read_bytes() for path in (checkout.root / "dist").iterdir()}
    again = {path.name: path.read_bytes() for path in (another.root / "dist").iterdir()}
    assert len(made) == 3
    assert {name for name, content in made.items() if again[name] != content} == set()


def test_aPureWheelHoldsNothingOfTheCheckouts(installed: Checkout, tmp_path: Path) -> None:
    assert installed.build(WASINET_EXTENSIONS="no").returncode == 0
    assertPure(installed, tmp_path, "WASINET_EXTENSIONS=no when it was built")
    assert installed.spoken() == COMPILED


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("/bin/false", "compiling failed when it was built: /bin/false ended with status 1"),
        ("no-such-compiler -x", "no C compiler (no-such-compiler -x) when it was built"),
    ],
)
def test_withoutACompiler(checkout: Checkout, tmp_path: Path, compiler: str, reason: str) -> None:
    before = checkout.files()
    done = checkout.build(CC=compiler)
    assert done.returncode == 0, done.stderr
    assert reason in done.stderr
    assertPure(checkout, tmp_path, reason)
    assert withoutDist(checkout) == before


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def twin(:\n", "wasinet_twisted/_speed/_tiny.pyx:1:9: "),
        ('cdef extern from "none.h":\n    int twin()\n', "none.h: No such file"),
    ],
)
def test_aSourceThatCanNotBeCompiled(checkout: Checkout, tmp_path: Path, source: str, reason: str) -> None:
    """
    Cython's word, or the compiler's, is what C{speed()} tells, in one line.
    """
    checkout.source.write_text(source)
    assert checkout.build("wheel:editable").returncode == 0
    twin, speed = checkout.spoken()
    assert twin == "None"
    assert speed.startswith("pure Python: compiling failed when it was built: ")
    assert reason in speed
    done = checkout.run("import wasinet_twisted.http", WASINET_SPEED="yes")
    assert reason in done.stderr.splitlines()[-1]


def test_compilingCanBeDemanded(checkout: Checkout) -> None:
    for what in ("wheel:standard", "wheel:editable"):
        done = checkout.build(what, WASINET_EXTENSIONS="yes", CC="/bin/false")
        assert done.returncode != 0
        assert done.stderr.splitlines()[-1] == ("WASINET_EXTENSIONS=yes, so there is no wheel without compiled modules")
        assert "Traceback" not in done.stderr.partition("/bin/false ended")[2]
    assert list((checkout.root / "dist").glob("*")) == []


def test_aSettingThatThereIsNot(checkout: Checkout) -> None:
    done = checkout.build(WASINET_EXTENSIONS="maybe")
    assert done.returncode != 0
    assert done.stderr.strip() == "WASINET_EXTENSIONS must be auto, yes or no, not 'maybe'"


def test_theJavaScriptEngine(checkout: Checkout, tmp_path: Path) -> None:
    """
    A wheel carries it if told to, with its terms, and is for the same systems.
    """
    folder = checkout.root / "wasinet_twisted" / "javascript" / "guest"
    for name in ("qjs.wasm", "qjs.wasm.LICENSE"):
        (folder / name).unlink(missing_ok=True)
    nowhere = {"XDG_CACHE_HOME": str(tmp_path)}
    done = checkout.build(WASINET_EXTENSIONS="no", WASINET_JAVASCRIPT="yes", **nowhere)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        "WASINET_JAVASCRIPT=yes, but the JavaScript engine is not built; this builds it: "
        "python -m wasinet_twisted.javascript.build"
    )
    module = folder / "__init__.py"
    (folder / "qjs.wasm").write_bytes(b"engine")
    (folder / "qjs.wasm.LICENSE").write_text("terms")
    source = module.read_text()
    module.write_text(re.sub('SHA256 = "[0-9a-f]+"', f'SHA256 = "{sha256(b"engine").hexdigest()}"', source))
    assert checkout.build(WASINET_EXTENSIONS="no", WASINET_JAVASCRIPT="yes", **nowhere).returncode == 0
    held = wheel(checkout)
    assert str(held.filename).endswith("-py3-none-any.whl")
    assert {name.rpartition("/")[2] for name in held.namelist() if "qjs" in name} == {"qjs.wasm", "qjs.wasm.LICENSE"}


def test_noJavaScriptEngine(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("", "no"):
        monkeypatch.setenv("WASINET_JAVASCRIPT", setting)
        assert hook.javascript() == {}
    monkeypatch.setenv("WASINET_JAVASCRIPT", "perhaps")
    with pytest.raises(ValueError, match="^WASINET_JAVASCRIPT must be yes or no, not 'perhaps'$"):
        hook.javascript()


def test_anEditableInstall(installed: Checkout) -> None:
    """
    The module stands beside its source, and is compiled again only when something has changed.
    """
    module = installed.root / MODULE
    assert installed.spoken() == COMPILED
    made = module.stat().st_ino
    assert installed.build("wheel:editable").returncode == 0
    assert module.stat().st_ino == made
    # Of a build that was ended, or of somebody else's.
    module.write_bytes(b"")
    (installed.speed / "more.h").write_text("")
    assert installed.build("wheel:editable").returncode == 0
    # Replaced, not written over: a process that has it mapped goes on with the old one.
    assert module.stat().st_ino != made
    assert installed.spoken() == COMPILED


@pytest.mark.parametrize(
    "change",
    [
        lambda installed: installed.source.write_text(TWIN + "# changed\n"),
        lambda installed: (installed.speed / "more.h").write_text(""),
        lambda installed: (installed.root / MODULE).write_bytes(b""),
        lambda installed: (installed.speed / RECORD).write_text("[]"),
        lambda installed: (installed.root / MODULE).unlink(),
        lambda installed: os.environ.update(LDFLAGS="-O0"),
        lambda installed: os.environ.update(WASINET_SANITIZE="address"),
    ],
)
def test_whatIsUpToDate(installed: Checkout, change: Callable[[Checkout], object], hook: Any) -> None:
    """
    Nothing is, if a source, a compiled file or a flag is another one.
    """
    hook.SPEED = installed.speed
    record = hook.records.read(installed.speed)._replace(how=hook.howCompiled())
    hook.records.write(installed.speed / RECORD, record)
    assert hook.upToDate(hook.records.read(installed.speed))
    change(installed)
    assert not hook.upToDate(hook.records.read(installed.speed))


def test_aSourceThatHasChanged(installed: Checkout) -> None:
    """
    What was compiled before is not used until it is compiled anew.
    """
    installed.source.write_text(TWIN.replace("compiled", "anew"))
    told = "_tiny.pyx has changed since it was compiled (python hatch_build.py compiles it)"
    assert installed.spoken() == ("None", f"pure Python: {told}")
    assert told in installed.run("import wasinet_twisted.http", WASINET_SPEED="yes").stderr.splitlines()[-1]
    done = installed.command("hatch_build.py")
    assert (done.stdout, done.stderr) == ("compiled: _tiny\n", "")
    assert installed.spoken() == ("anew", "compiled")


def test_theCommand(installed: Checkout) -> None:
    done = installed.command("hatch_build.py", WASINET_EXTENSIONS="no")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "WASINET_EXTENSIONS=no when it was built\n")
    assert installed.spoken() == ("None", "pure Python: WASINET_EXTENSIONS=no when it was built")
    done = installed.command("hatch_build.py", CC="/bin/false")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "compiling failed when it was built: /bin/false ended with status 1"
    done = installed.command("hatch_build.py", WASINET_EXTENSIONS="maybe")
    assert (done.returncode, done.stderr) == (1, "WASINET_EXTENSIONS must be auto, yes or no, not 'maybe'\n")


def test_anotherPythonsRecordIsNotOurs(installed: Checkout) -> None:
    os.rename(installed.speed / RECORD, installed.speed / "built.cpython-399-x86_64-linux-gnu.json")
    twin, speed = installed.spoken()
    assert (twin, speed) == (
        "None",
        "pure Python: no build has left a record (in a checkout: python hatch_build.py)",
    )


@pytest.mark.parametrize("content", ["", "[]", '{"reason": null}', '{"reason": null, "more": 1}'])
def test_aRecordThatIsNone(installed: Checkout, content: str) -> None:
    (installed.speed / RECORD).write_text(content)
    assert installed.spoken()[0] == "None"


def test_aModuleThatNobodyRecordedIsNotUsed(installed: Checkout) -> None:
    record = installed.record()
    record["modules"] = []
    (installed.speed / RECORD).write_text(json.dumps(record))
    assert installed.spoken() == ("None", "pure Python: no tiny: it wasn't compiled")


def test_aSanitizer(checkout: Checkout) -> None:
    """
    The module asks for the sanitizer's library, and the record tells.
    """
    assert checkout.build("wheel:editable", WASINET_SANITIZE="address").returncode == 0
    assert "-fsanitize=address" in checkout.record()["how"]["flags"]
    assert b"libasan.so" in (checkout.root / MODULE).read_bytes()


def test_aFolderThatCanNotBeWrittenTo(checkout: Checkout) -> None:
    """
    The install goes on, and without a record nothing is used.
    """
    path = checkout.speed / RECORD
    # As good as a folder that can't be written to, which root can.
    path.mkdir()
    done = checkout.build("wheel:editable")
    assert done.returncode == 0, done.stderr
    assert "the twins can't be put beside their sources" in done.stderr
    assert checkout.spoken()[0] == "None"
    assert checkout.build("wheel:editable", WASINET_EXTENSIONS="yes").returncode != 0


def refused(hook: ModuleType) -> str:
    with pytest.raises(hook.CannotCompile) as caught:
        hook.refuse()
    return str(caught.value.reason)


def test_nothingSpeaksAgainstIt(hook: ModuleType) -> None:
    assert hook.refuse() is None


@pytest.mark.parametrize("missing", ["Cython", "setuptools"])
def test_withoutCython(hook: ModuleType, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def version(name: str) -> str:
        if name == missing:
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(hook, "version", version)
    assert refused(hook) == f"no {missing} when it was built"


def test_withoutHeaders(hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hook.sysconfig, "get_path", lambda name: str(tmp_path))
    assert refused(hook) == "no Python.h (Debian's python3-dev) when it was built"


def test_aFreeThreadedPython(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook.sysconfig, "get_config_var", lambda name: 1)
    assert refused(hook) == "it was built for a free-threaded Python, which has no twins yet"


def test_elsewhere(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def sysLike(platform: str, implementation: str, version: tuple[int, ...]) -> None:
        there = SimpleNamespace(
            platform=platform, implementation=SimpleNamespace(name=implementation), version_info=version
        )
        monkeypatch.setattr(hook, "sys", there)

    sysLike("darwin", "cpython", (3, 13))
    assert refused(hook) == "it was built by cpython on darwin, not by CPython on Linux"
    sysLike("linux", "pypy", (3, 11))
    assert refused(hook) == "it was built by pypy on linux, not by CPython on Linux"
    for version in ((3, 10, 9), (3, 15, 0)):
        sysLike("linux", "cpython", version)
        assert refused(hook) == f"it was built by Python 3.{version[1]}, not 3.11 to 3.14"
    for version in ((3, 11, 0), (3, 14, 2)):
        sysLike("linux", "cpython", version)
        assert hook.refuse() is None
