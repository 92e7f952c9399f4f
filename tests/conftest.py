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

reactor: Any = _reactor

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


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
