"""
The registry of fast paths: what is in it, and how it is switched.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wasinet_twisted import _fast
from wasinet_twisted.http import Buffer

# The programs choose their own setting.
pytestmark = pytest.mark.reactorless

ROOMS = "import wasinet_twisted.http\nfrom wasinet_twisted import _fast\n"
ON = ROOMS + "print(*sorted(name for name, path in _fast.paths.items() if path.on))"


def run(setting: str | None, program: str) -> subprocess.CompletedProcess[str]:
    """
    Run a program of Python under C{WASINET_FAST=setting}.
    """
    environment = {name: value for name, value in os.environ.items() if name != "WASINET_FAST"}
    if setting is not None:
        environment["WASINET_FAST"] = setting
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def on(setting: str | None) -> set[str]:
    """
    Which fast paths are on under that setting?
    """
    done = run(setting, ON)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


# What the room registers when it is imported.
assert Buffer is not None
NAMES = {name for name in _fast.paths if name.startswith("http.")}


def test_eachSaysWhatItMustEqualAndWhatItSaves() -> None:
    assert 0 < len(_fast.paths) <= _fast.MOST == 14
    for name, path in _fast.paths.items():
        assert path.name == name
        room, dot, function = name.partition(".")
        assert (bool(room), dot, bool(function)) == (True, ".", True)
        assert path.slow
        assert path.why


@pytest.mark.parametrize("setting", [None, "", "yes"])
def test_allAreOnUnlessToldOtherwise(setting: str | None) -> None:
    assert on(setting) == NAMES


def test_allAreSwitchedOff() -> None:
    assert on("no") == set()


def test_someAreSwitchedOff() -> None:
    assert on("-http.response") == NAMES - {"http.response"}
    assert on("-http.response,-http.requestHead") == NAMES - {"http.response", "http.requestHead"}


@pytest.mark.parametrize(
    "setting", ["off", "0", "http.response", "-http.response,http.requestHead", "no,-http.response"]
)
def test_anInvalidSettingSaysWhatIsAllowed(setting: str) -> None:
    done = run(setting, ROOMS)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: WASINET_FAST must be yes, no, or names of fast paths, each after a -, not {setting!r}"
    )


def test_oneThatIsOffKnowsNothing() -> None:
    done = run(
        "no",
        ROOMS
        + "from wasinet_twisted.http.outgoing import fastResponse\n"
        + "print(fastResponse(wasinet_twisted.http.WasiResponse(), 'GET', b'', b''))\n"
        + "def slow(): return 'slow'\n"
        + "@_fast.fastPathOf(slow, name='test.it', why='')\ndef fast(): return 'fast'\n"
        + "print(fast(), fast is slow, _fast.paths['test.it'].slow, _fast.isOn('test.it'))",
    )
    assert (done.stdout, done.stderr) == ("None\nslow True slow False\n", "")


def test_theSameIsAnsweredWithAllOfThemOff() -> None:
    """
    The documented exchange, on and off.
    """
    program = (
        "from wasinet_twisted.http import ClientConnection, ServerConnection, WasiRequest, WasiResponse\n"
        "server, client = ServerConnection(), ClientConnection()\n"
        "for body in (b'', b'abc'):\n"
        "    sent = client.request(WasiRequest('POST', '/', {'Host': 'a'}, body), 0.0)\n"
        "    request = server.receive(sent, 0.0)\n"
        "    while server.nextEvent() is not None:\n"
        "        pass\n"
        "    answer = server.respond(WasiResponse(headers={'A': '1'}, body=body), 0.0)\n"
        "    client.receive(answer, 0.0)\n"
        "    while client.nextEvent(0.0) is not None:\n"
        "        pass\n"
        "    print(sent, request, answer, client.isFree)\n"
    )
    with_, without = run("yes", program), run("no", program)
    assert with_.stderr == without.stderr == ""
    assert with_.stdout == without.stdout
    assert with_.stdout.count("True") == 2


def test_aNameIsTakenOnce() -> None:
    with pytest.raises(AssertionError):
        _fast.fastPath("http.response", slow="", why="")(len)
    with pytest.raises(KeyError):
        _fast.isOn("http.none")
