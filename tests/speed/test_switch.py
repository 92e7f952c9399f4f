"""
WASINET_SPEED and WASINET_FAST: which twins are used, and what tells so.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

import wasinet_twisted
from wasinet_twisted import _fast, _speed

from .checkout import Checkout

# The programs choose their own setting.
pytestmark = pytest.mark.reactorless

ASKED = "from wasinet_twisted import _speed\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """
    A checkout with a twin that was compiled, and one of methods that counts how often it is installed.
    """
    checkout = Checkout(tmp_path_factory.mktemp("built") / "checkout")
    (checkout.speed / "_methods.pyx").write_text(
        "installed = 0\ndef install():\n    global installed\n    installed += 1\n"
    )
    (checkout.speed / "_broken.pyx").write_text("raise ImportError('a slot has moved')\n")
    done = checkout.build("wheel:editable", WASINET_EXTENSIONS="yes")
    assert done.returncode == 0, done.stderr
    return checkout


@pytest.fixture
def bare(tmp_path: Path) -> Checkout:
    """
    One in which nothing was built.
    """
    return Checkout(tmp_path / "checkout")


@pytest.mark.parametrize("setting", ["", "auto", "yes"])
def test_aTwinIsUsed(built: Checkout, setting: str) -> None:
    assert built.spoken(WASINET_SPEED=setting) == ("compiled", "compiled")


def test_noneIsUsed(built: Checkout) -> None:
    assert built.spoken(WASINET_SPEED="no") == ("None", "pure Python: WASINET_SPEED=no")
    assert built.spoken(WASINET_FAST="no") == ("None", "pure Python: WASINET_FAST=no")


@pytest.mark.parametrize("setting", ["1", "off", "YES"])
def test_anInvalidSetting(built: Checkout, setting: str) -> None:
    done = built.run(ASKED, WASINET_SPEED=setting)
    assert done.returncode != 0
    told = f"ImportError: WASINET_SPEED must be auto, yes or no, not {setting!r}"
    assert done.stderr.splitlines()[-1] == told


def test_yesWithoutTwins(bare: Checkout, built: Checkout) -> None:
    """
    A library's user gets an ImportError that says why.
    """
    prefix = "ImportError: WASINET_SPEED=yes, but the compiled twins can't be used: "
    done = bare.run("import wasinet_twisted.http", WASINET_SPEED="yes")
    assert done.stderr.splitlines()[-1] == f"{prefix}no build has left a record (in a checkout: python hatch_build.py)"
    done = built.run("import wasinet_twisted.http", WASINET_SPEED="yes", WASINET_FAST="no")
    assert done.stderr.splitlines()[-1] == f"{prefix}WASINET_FAST=no"
    done = built.run(ASKED + "_speed.install('_broken')", WASINET_SPEED="yes")
    assert done.stderr.splitlines()[-1] == f"{prefix}broken: a slot has moved"


@pytest.mark.parametrize("command", ["wasinet-echo", "wasinet-http"])
@pytest.mark.parametrize(
    ("variable", "told"),
    [
        (
            {"WASINET_SPEED": "yes"},
            "WASINET_SPEED=yes, but the compiled twins can't be used: "
            "no build has left a record (in a checkout: python hatch_build.py)",
        ),
        ({"WASINET_SPEED": "1"}, "WASINET_SPEED must be auto, yes or no, not '1'"),
        (
            {"WASINET_FAST": "1"},
            "WASINET_FAST must be yes, no, or names of fast paths, each after a -, not '1'",
        ),
    ],
)
def test_aCommandSaysItInOneLine(bare: Checkout, command: str, variable: dict[str, str], told: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", command],
        cwd=bare.root.parent,
        env=bare.environment(PYTHONPATH=str(bare.root), **variable),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"wasinet_twisted: {told}\n")


def test_aFastPathThatIsOffHasNoTwin(built: Checkout) -> None:
    program = (
        "from wasinet_twisted import _fast\n"
        "@_fast.fastPath('http.requestHead', slow='', why='')\n"
        "def fast(): return 'Python'\n"
        "print(fast(), _fast.paths['http.requestHead'].on, _fast.paths['http.requestHead'].twin)\n"
        "@_fast.fastPath('test.other', slow='', why='')\n"
        "def fast(): return 'Python'\n"
        "print(fast(), _fast.paths['test.other'].twin)\n"
    )
    assert built.run(program).stdout == "compiled True True\nPython False\n"
    assert built.run(program, WASINET_FAST="-http.requestHead").stdout == "None False False\nPython False\n"
    assert built.run(program, WASINET_SPEED="no").stdout == "Python True False\nPython False\n"


def test_aFastPathOfHasATwinToo(built: Checkout) -> None:
    program = (
        "from wasinet_twisted import _fast\n"
        "def slow(): return 'slow'\n"
        "@_fast.fastPathOf(slow, name='http.requestHead', why='')\n"
        "def fast(): return 'Python'\n"
        "print(fast(), _fast.paths['http.requestHead'].twin)\n"
    )
    assert built.run(program).stdout == "compiled True\n"
    assert built.run(program, WASINET_FAST="-http.requestHead").stdout == "slow False\n"


def test_twinsOfMethods(built: Checkout) -> None:
    """
    They aren't installed if one of the fast paths that they do is switched off.
    """
    program = (
        ASKED
        + "_speed.install('_methods', 'http.requestHead', 'http.response')\n"
        + "print(_speed.speed().parts)\n"
        + "from wasinet_twisted._speed import _methods\n"
        + "print(_methods.installed)\n"
    )
    assert built.run(program).stdout == "('methods',)\n1\n"
    for variables in (
        {"WASINET_FAST": "no"},
        {"WASINET_FAST": "-http.response,-net.resume"},
        {"WASINET_SPEED": "no"},
    ):
        assert built.run(program, **variables).stdout == "()\n0\n"
    assert built.run(program, WASINET_FAST="-net.resume").stdout == "('methods',)\n1\n"


def test_oneThatCanNotBeLoaded(built: Checkout) -> None:
    """
    The Python runs in its place, and the rest is compiled all the same.
    """
    program = (
        ASKED
        + "_speed.install('_broken')\n_speed.install('_broken')\nprint(_speed.speed())\n"
        + "_speed.install('_methods')\nprint(_speed.speed())\n"
    )
    done = built.run(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("pure Python: no broken: a slot has moved\ncompiled in part: no broken: a slot has moved\n")


def test_itIsToldBeforeAnythingIsImported(built: Checkout) -> None:
    program = "import sys, wasinet_twisted\nprint(wasinet_twisted.speed(), 'twisted' in sys.modules)"
    assert built.run(program).stdout == "compiled False\n"


def test_aRecordOfIt() -> None:
    """
    Small, frozen, and a line.
    """
    speed = wasinet_twisted.speed()
    assert isinstance(speed, _speed.Speed)
    assert re.fullmatch(r"compiled|(compiled in part|pure Python): \S.*", str(speed))
    assert speed.compiled is (not str(speed).startswith("pure"))
    with pytest.raises(FrozenInstanceError):
        speed.compiled = False  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(speed)) == speed
    assert str(replace(speed, compiled=True, reason=None)) == "compiled"
    assert {name for name, path in _fast.paths.items() if path.twin} <= set(_speed._TWINS)
