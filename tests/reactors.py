"""
On which reactor the tests run: C{pytest --reactor=wasinet}, C{wasinet-asyncio}, C{epoll}, C{poll} or C{select} beside
what pytest-twisted knows, C{default} and C{asyncio}.

A plugin of pytest's, named in pyproject.toml's C{addopts}: so it is loaded before pytest-twisted's options are made.

The programs that tests start run on the same reactor, whatever they would choose, except with C{default}. To twistd
that is as if it had been given C{--reactor}.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import pytest
import pytest_twisted

# By the names that twistd knows them by.
MODULES = {
    "asyncio": "twisted.internet.asyncioreactor",
    "epoll": "twisted.internet.epollreactor",
    "poll": "twisted.internet.pollreactor",
    "select": "twisted.internet.selectreactor",
    "wasinet": "wasinet_twisted.reactor",
    "wasinet-asyncio": "wasinet_twisted.reactor.asyncio",
}

# What C{startup/sitecustomize.py} looks for.
_VARIABLE = "WASINET_TEST_REACTOR"
_STARTUP = str(Path(__file__).with_name("startup"))


def needsManyDescriptors() -> None:
    """
    Skip a test that can't do with fewer than a thousand.
    """
    if os.environ.get(_VARIABLE) == MODULES["select"]:
        pytest.skip("select() takes no descriptor from 1024 on")


def _installed() -> None:
    """
    Have pytest-twisted run the reactor that is installed by then.
    """
    pytest_twisted._install_reactor(lambda: None, object)


pytest_twisted.reactor_installers.update(dict.fromkeys(MODULES, _installed))


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """
    Install it, before C{conftest.py} imports it: pytest-twisted would come too late.
    """
    name = early_config.known_args_namespace.reactor
    if name in MODULES:
        if os.environ.get(_VARIABLE) != MODULES[name]:
            # Among several processes that share a run, it was the first: the others are programs that tests start.
            import_module(MODULES[name]).install()
        os.environ[_VARIABLE] = MODULES[name]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_STARTUP, os.environ.get("PYTHONPATH"))))


@pytest.fixture(autouse=True)
def reactorOfPrograms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The programs of a test that is marked as C{reactorless} choose for themselves.
    """
    if request.node.get_closest_marker("reactorless") is not None:
        monkeypatch.delenv(_VARIABLE, raising=False)
