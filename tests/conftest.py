"""
What every test is held to under pytest: it leaves nothing behind, and logs no error that it didn't expect.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import TestCase

import pytest
import pytest_twisted
from hypothesis import HealthCheck, settings
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.trial.unittest import TestCase as AsynchronousTestCase

from wasinet_twisted import speed

reactor: Any = _reactor

# What a reactor is asked for by whoever uses it.
_ASKED = (
    "addReader",
    "addWriter",
    "callFromThread",
    "callInThread",
    "callLater",
    "callWhenRunning",
    "connectTCP",
    "connectUNIX",
    "listenTCP",
    "listenUNIX",
    "run",
    "spawnProcess",
)

# The room whose tests need neither a reactor nor a Clock.
_HTTP = Path(__file__).parent / "http"

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def _runsOnAClock(item: pytest.Item) -> bool:
    """
    Is this a test in which nothing waits for the reactor? L{noReactor} holds it to that.
    """
    case = getattr(item, "cls", None) or object
    return issubclass(case, SynchronousTestCase) and not issubclass(case, AsynchronousTestCase)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark what need not be run on several reactors, and what is quick: neither starts programs nor waits for sockets.
    """
    for item in items:
        if _runsOnAClock(item):
            item.add_marker(pytest.mark.reactorless)
            item.add_marker(pytest.mark.quick)
        elif item.path.is_relative_to(_HTTP) and not getattr(item.obj, "is_hypothesis_test", False):
            item.add_marker(pytest.mark.quick)


def pytest_report_header() -> str:
    """
    Which form of the hot path is tested.
    """
    return f"speed: {speed()}"


def pytest_collection_finish() -> None:
    """
    Take what there is by now out of what a collection looks at: there is one after each test, and most of the tests'
    time would go there.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """
    The same after each file: some import as much as all others together.
    """
    if nextitem is not None and nextitem.path != item.path:
        pytest_collection_finish()


@pytest.fixture(autouse=True)
def noReactor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """
    Fail a test on a Clock that uses the real reactor: it would have to be run on each of them.
    """
    if not _runsOnAClock(request.node):
        yield
        return
    asked: list[str] = []

    def refuse(name: str) -> Callable[..., None]:
        def asking(*_: object, **__: object) -> None:
            asked.append(name)
            raise AssertionError(f"a SynchronousTestCase called reactor.{name}; give what it tests a Clock")

        return asking

    for name in _ASKED:
        monkeypatch.setattr(reactor, name, refuse(name))
    yield
    # Before the fixtures that use it themselves.
    monkeypatch.undo()
    if asked:
        pytest.fail(f"used the reactor, though it isn't to be run on several: {', '.join(asked)}")


def _sockets() -> dict[str, str]:
    """
    The open sockets of this process, by descriptor and identity.
    """
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:"):
            found[entry.name] = target
    return found


def _leftovers(calls: set[Any], selectables: set[Any], sockets: dict[str, str]) -> list[str]:
    found = [f"delayed call: {call}" for call in reactor.getDelayedCalls() if call not in calls]
    for what in (*reactor.getReaders(), *reactor.getWriters()):
        if what not in selectables:
            found.append(f"reader or writer: {what!r}")
    # The interpreter waits for such threads when it ends, for ever perhaps.
    if reactor.threadpool is not None and (working := len(reactor.threadpool.working)):
        found.append(f"{working} threads at work")
    found += [f"{target} (descriptor {fd})" for fd, target in _sockets().items() if sockets.get(fd) != target]
    return found


@pytest.fixture(scope="session", autouse=True)
def runningReactor() -> None:
    """
    Let the reactor make what it keeps for itself, before anybody counts.
    """
    pytest_twisted.blockon(deferLater(reactor, 0))


@pytest.fixture(autouse=True)
def nothingLeftBehind(runningReactor: None) -> Iterator[None]:
    """
    Fail a test that leaves a delayed call, a reader, a writer, a socket or a thread at work: tasks and connections
    hold some of these.
    """
    calls = set(reactor.getDelayedCalls())
    selectables = {*reactor.getReaders(), *reactor.getWriters()}
    sockets = _sockets()
    yield
    until = time.monotonic() + 3
    # What has been closed goes at the reactor's next turns; only what stays is left behind.
    while found := _leftovers(calls, selectables, sockets):
        if time.monotonic() > until:
            pytest.fail("left behind:\n  " + "\n  ".join(found))
        gc.collect()
        pytest_twisted.blockon(deferLater(reactor, 0.01))


@pytest.fixture(autouse=True)
def loggedErrors(request: pytest.FixtureRequest) -> Iterator[Callable[[], list[str]]]:
    """
    Fail a test during which an error was logged. A test that expects some asks for this and calls it: that gives the
    messages, and forgives them.
    """
    events: list[dict[str, Any]] = []

    def observe(event: Any) -> None:
        if event.get("isError") or event.get("log_level", LogLevel.info) in (LogLevel.error, LogLevel.critical):
            events.append(event)

    def take() -> list[str]:
        # An unhandled error is logged when its Deferred is collected.
        gc.collect()
        messages = [formatEvent(event) for event in events]
        events.clear()
        return messages

    globalLogPublisher.addObserver(observe)
    try:
        yield take
        if isinstance(request.instance, TestCase):
            # trial's own TestCase does the same, and has a say in which it expected.
            return
        if messages := take():
            pytest.fail("logged:\n  " + "\n  ".join(messages))
    finally:
        globalLogPublisher.removeObserver(observe)
