"""
The twins of the client's common request and response, beside the Python that they stand for.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wasinet_twisted
from tests.support import more
from wasinet_twisted.client import ClientLimits, Pool, call, fetching, places, planning
from wasinet_twisted.client import pool as poolModule
from wasinet_twisted.client import protocol as protocolModule
from wasinet_twisted.client.bodies import Body
from wasinet_twisted.client.protocol import HttpClientProtocol
from wasinet_twisted.client.response import Response
from wasinet_twisted.http import Limits, clientconnection, exchange, messages, outgoing
from wasinet_twisted.http.buffer import Buffer
from wasinet_twisted.http.bytequeue import ByteQueue

from .asked import COMPILED, PYTHON, TWIN, WHY_NOT, Endpoint, Form, compare
from .forms import growth, slotsOf

pytestmark = [pytest.mark.reactorless, pytest.mark.skipif(not COMPILED, reason=WHY_NOT)]

ROOT = Path(wasinet_twisted.__file__).parent
URL = "http://a.test/a?b=c"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FORMS = [TWIN, PYTHON]


def test_theSameWasSeen() -> None:
    """
    Everything that a server, a caller and an observer see is the same for both forms, and so is what is kept.
    """
    assert sum(compare(seed, 60) for seed in range(1, more(40, 20) + 1)) > 300


class Client:
    """
    A pool with one connection, which is free after a first request.
    """

    def __init__(self, clock: Clock | None = None, form: Form = TWIN, **limits: Any) -> None:
        self.form = form
        self.clock = Clock() if clock is None else clock
        self.made: list[Any] = []
        self.endpoint = endpoint = Endpoint(self.made)
        self.pool = Pool(limits=ClientLimits(**limits), endpoint=lambda _: endpoint, reactor=self.clock)
        # What makes a connection, what begins to keep one, and one more, so that all is known.
        for _ in range(2):
            self.ask()
            self.answer()

    def ask(self, url: Any = URL, **options: Any) -> Any:
        return self.form.fetch(url, pool=self.pool, **options)

    def answer(self, data: bytes = OK) -> None:
        self.form.received(self.protocol, data)

    @property
    def protocol(self) -> Any:
        return self.made[-1]

    @property
    def sent(self) -> list[Any]:
        """
        What has been written since the last time.
        """
        told: list[Any] = self.protocol.transport.told
        taken = [each for each in told if isinstance(each, bytes)]
        told.clear()
        return taken

    def close(self) -> None:
        for transport in self.endpoint.transports:
            transport.close()


@pytest.fixture
def clients() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(*arguments: Any, **keywords: Any) -> Client:
        made.append(Client(*arguments, **keywords))
        return made[-1]

    yield make
    for client in made:
        client.close()


def resultOf(waiting: Any) -> Any:
    """
    What a Deferred has given: an exception, if it failed.
    """
    results: list[Any] = []
    waiting.addCallbacks(results.append, lambda failure: results.append(failure.value))
    assert results, "it waits"
    return results[0]


@contextmanager
def pythonCalls() -> Iterator[list[str]]:
    """
    Which functions of the package's Python are called?
    """
    called: list[str] = []

    def profile(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call" and Path(frame.f_code.co_filename).is_relative_to(ROOT):
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        yield called
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"headers": {"Cookie": "a=b", "X-A": "1"}},
        {"method": "DELETE"},
        {"method": "POST", "body": b"abc", "headers": {"Content-Type": "text/plain"}},
        {"method": "PUT", "body": b"x" * 100_000},
        {"method": "PATCH"},
    ],
)
def test_aRequestCallsNoPython(clients: Callable[..., Client], options: dict[str, Any]) -> None:
    client = clients(idle=3600.0)
    # Another stays free, so that keeping one needs no asking.
    one, other = client.ask(), client.ask()
    for protocol in client.made:
        client.form.received(protocol, OK)
    assert resultOf(one).status == resultOf(other).status == 200
    for _ in range(2):
        with pythonCalls() as called:
            waiting = client.ask(**options)
            client.answer()
        assert resultOf(waiting).status == 200
    assert called == []


def test_aFieldThatMutates(clients: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is sent is what was given, whoever changes the mapping meanwhile; a redirect would send the same.
    """
    client = clients()
    client.sent.clear()
    given = {f"X-{number}": f"value {number}" for number in range(6)}
    expected = dict(given)
    encodeField = outgoing.encodeField

    def mutating(name: Any, value: Any) -> bytes:
        given.clear()
        given.update({f"Y-{number}": "y" for number in range(100)})
        gc.collect()
        return encodeField(name, value)

    from wasinet_twisted._speed import _asking

    _asking.forget()
    with monkeypatch.context() as patch:
        patch.setattr(outgoing, "encodeField", mutating)
        waiting = client.ask(headers=given)
    (sent,) = client.sent
    for name, value in expected.items():
        assert b"%b: %b\r\n" % (name.encode(), value.encode()) in sent
    assert b"Y-" not in sent
    assert client.protocol.call.fields == list(expected.items())
    client.answer()
    assert resultOf(waiting).status == 200


def test_otherDefaultsThatAreLearntMeanwhile(clients: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    client, other = clients(), clients()
    other.pool.plan.defaults = (("x-long", ("X-Long", "y" * 100_000)),)
    encodeField = outgoing.encodeField
    asked: list[Any] = []

    def asking(name: Any, value: Any) -> bytes:
        if not asked:
            asked.append(None)
            asked[0] = other.ask()
        return encodeField(name, value)

    from wasinet_twisted._speed import _asking

    _asking.forget()
    client.sent.clear()
    with monkeypatch.context() as patch:
        patch.setattr(outgoing, "encodeField", asking)
        client.ask(headers={"X-New": "1"})
    (sent,) = client.sent
    assert sent.startswith(b"GET /a?b=c HTTP/1.1\r\nHost: a.test\r\nX-New: 1\r\nUser-Agent: ")
    assert sent.endswith(b"\r\n\r\n")
    assert len(sent) < 300


class Moody(Clock):
    """
    A clock that does something when it is looked at next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.next: Callable[[], object] | None = None

    def seconds(self) -> float:
        mood, self.next = self.next, None
        if mood is not None:
            mood()
        return super().seconds()


def refuse() -> None:
    raise LookupError("no time")


@pytest.mark.parametrize("form", FORMS)
def test_aClockThatFails(clients: Callable[..., Client], form: Form) -> None:
    """
    Nothing is half done: the connection is still there for the next request.
    """
    clock = Moody()
    client = clients(clock, form)
    clock.next = refuse
    with pytest.raises(LookupError, match="no time"):
        client.ask()
    assert "1 connections, 1 free" in repr(client.pool)
    waiting = client.ask()
    client.answer()
    assert resultOf(waiting).status == 200


@pytest.mark.parametrize("form", FORMS)
def test_aClockThatAsks(clients: Callable[..., Client], form: Form) -> None:
    """
    Two requests never have one connection.
    """
    clock = Moody()
    client = clients(clock, form)
    waiting: list[Any] = []
    clock.next = lambda: waiting.append(client.ask())
    waiting.append(client.ask())
    assert len(client.made) == 2
    for protocol in client.made:
        form.received(protocol, OK)
    assert [resultOf(each).status for each in waiting] == [200, 200]
    assert "2 connections, 2 free" in repr(client.pool)


@pytest.mark.parametrize("form", FORMS)
def test_aClockThatCancels(clients: Callable[..., Client], form: Form) -> None:
    clock = Moody()
    client = clients(clock, form)
    waiting = client.ask()
    clock.next = waiting.cancel
    client.answer()
    assert type(resultOf(waiting)).__name__ == "CancelledError"
    assert client.protocol.closing
    assert "0 connections, 0 free" in repr(client.pool)


@pytest.mark.parametrize("form", FORMS)
def test_aTimerThatCanNotBeSet(clients: Callable[..., Client], form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever waits for the response is told.
    """
    client = clients(None, form, idle=1.0)
    waiting = client.ask()

    def callLater(*_: object) -> None:
        raise LookupError("no timer")

    monkeypatch.setattr(client.clock, "callLater", callLater)
    client.protocol._stopTimer()
    client.answer()
    assert isinstance(resultOf(waiting), LookupError)
    assert "0 connections, 0 free" in repr(client.pool)


@pytest.mark.parametrize("form", FORMS)
def test_aTransportThatAnswersAtOnce(clients: Callable[..., Client], form: Form) -> None:
    """
    A response that comes from within the write of its request.
    """
    client = clients(None, form)
    client.protocol.transport.write = lambda _: client.answer()
    assert isinstance(resultOf(client.ask()), Response)


@pytest.mark.parametrize("form", FORMS)
def test_theBoundOfThoseThatAreKept(clients: Callable[..., Client], form: Form) -> None:
    client = clients(None, form, kept=2)
    for _ in range(3):
        asked = [client.ask() for _ in range(4)]
        # Those that were made for this first: then as many are kept as may be.
        for protocol in reversed(client.made):
            if protocol.call is not None:
                form.received(protocol, OK)
        assert [resultOf(each).status for each in asked] == [200] * 4
        assert "2 connections, 2 free" in repr(client.pool)


@pytest.mark.parametrize("form", FORMS)
def test_aPlanThatHasAProxy(clients: Callable[..., Client], form: Form) -> None:
    """
    What the first request has found out holds, for both forms.
    """
    client = clients(None, form)
    client.pool.plan._proxy = "environment"
    client.pool.proxy = None
    with pythonCalls() as called:
        client.ask()
    assert "begin" in called


def test_deferredsThatSayWhereTheyWereMade(clients: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    client = clients()
    monkeypatch.setattr(Deferred, "debug", True)
    assert hasattr(client.ask()._debugInfo, "creator")


# What somebody has replaced


REPLACED: list[tuple[Any, str]] = [
    (Pool, "take"),
    (Pool, "keep"),
    (HttpClientProtocol, "ask"),
    (HttpClientProtocol, "release"),
    (HttpClientProtocol, "send"),
    (poolModule, "isStale"),
    (fetching, "parseUrl"),
    (planning.Plan, "begin"),
    (planning.Plan, "responseOf"),
    (planning.Hop, "request"),
    (planning.Hop, "respond"),
    (call.Call, "__init__"),
    (Response, "__init__"),
    (places.Place, "free"),
    (Body, "__init__"),
    (messages.WasiRequest, "encode"),
    (clientconnection.ClientConnection, "request"),
    (clientconnection.ClientConnection, "receive"),
    (exchange.Exchange, "move"),
    (Buffer, "nextEvent"),
    (ByteQueue, "append"),
    (protocolModule, "go"),
]


@pytest.mark.parametrize(("where", "name"), REPLACED)
def test_aReplacedFunctionIsCalled(
    clients: Callable[..., Client], where: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    As often as in Python; and when it is back, all is as before.
    """

    def count(form: Form) -> tuple[int, list[bytes]]:
        calls = 0
        original = getattr(where, name)

        def counted(*arguments: Any, **keywords: Any) -> Any:
            nonlocal calls
            calls += 1
            return original(*arguments, **keywords)

        client = clients(None, form)
        client.sent.clear()
        sent = []
        with monkeypatch.context() as patch:
            patch.setattr(where, name, counted)
            for options in ({}, {"method": "POST", "body": b"abc"}):
                waiting = client.ask(**options)
                client.answer()
                assert resultOf(waiting).status == 200
                sent += client.sent
        return calls, sent

    calls, sent = count(TWIN)
    assert calls
    assert (calls, sent) == count(PYTHON)


def test_theSwitches() -> None:
    """
    A fast path that the twins do themselves is switched off together with them.
    """
    program = (
        "from wasinet_twisted import speed\n"
        "from wasinet_twisted.client import fetch\n"
        "from wasinet_twisted.client.protocol import HttpClientProtocol\n"
        "print('fetching' in speed().parts, hasattr(fetch, '__wrapped__'), "
        "hasattr(HttpClientProtocol.dataReceived, '__wrapped__'))\n"
    )
    found = []
    for setting in ("yes", "-client.url", "-http.responseHead"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "WASINET_FAST": setting, "PYTHONPATH": str(ROOT.parent)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        found.append(done.stdout.split())
    assert found == [["True"] * 3, ["False"] * 3, ["False"] * 3]


# What is not there


def objectsOf(client: Client) -> dict[str, Any]:
    """
    Everything that a twin reads slots of.
    """
    protocol = client.protocol
    connection = protocol.connection
    found = {
        "protocol": protocol, "connection": connection, "exchange": connection.exchange, "clock": connection.clock,
        "parser": connection._parser, "queue": connection._parser._queue, "pool": client.pool,
        "place": next(iter(client.pool._places.values())), "plan": client.pool.plan,
    }  # fmt: skip
    if protocol.call is not None:
        found |= {"hop": protocol.call, "timings": protocol.call.timings, "waiter": protocol.waiter}
    return found


@pytest.mark.parametrize("asked", [False, True])
def test_whatIsNotThereIsAnErrorAsInPython(clients: Callable[..., Client], asked: bool) -> None:
    """
    Slots that were deleted, or hold something else.
    """
    example = clients()
    if asked:
        example.ask()
    for what, there in objectsOf(example).items():
        for name in slotsOf(type(there)):
            for wrong in (None, "deleted", 10**30, -1, [], ()):
                found = []
                if name == "_queued" and wrong == 10**30:
                    # The log tells of it.
                    continue
                for form in FORMS:
                    client = Client(form=form)
                    waiting: Any = client.ask() if asked else None
                    given = objectsOf(client)[what]
                    try:
                        if wrong == "deleted":
                            delattr(given, name)
                        else:
                            setattr(given, name, wrong)
                    except AttributeError:
                        client.close()
                        continue
                    try:
                        if asked:
                            client.answer()
                        else:
                            waiting = client.ask()
                    except Exception as error:
                        found.append(type(error).__name__)
                    else:
                        found.append("no error")
                    for each in (waiting, getattr(client.protocol, "waiter", None)):
                        if isinstance(each, Deferred) and hasattr(each, "_callbacks"):
                            with_errors(each)
                    client.close()
                # What a twin doesn't read, it can't miss.
                assert found[:1] == found[1:] or found[0] == "no error", f"{what}.{name} = {wrong!r}: {found}"


def with_errors(waiting: Deferred[Any]) -> None:
    """
    Nobody looks at what becomes of it.
    """
    try:
        waiting.addErrback(lambda _: None)
    except Exception:
        return


# Memory


class NothingLeftTests(SynchronousTestCase):
    """
    Neither objects nor references are left of requests.
    """

    def test_afterRequests(self) -> None:
        client = Client(idle=3600.0)
        self.addCleanup(client.close)
        shared: list[Any] = [None, True, False, 0, 200, Response, HttpClientProtocol, b"", "GET", (), client.pool.plan]
        options: list[dict[str, Any]] = [
            {"headers": {"X-A": "1"}},
            {"method": "POST", "body": b"abc"},
            {"headers": {"X-A": "\r\n"}},
            {"url": "http://a.test/%4"},
        ]

        def once() -> None:
            for given in options:
                waiting = client.ask(**given)
                if client.protocol.call is not None:
                    client.answer()
                waiting.addErrback(lambda _: None)
                # The connection over which nothing could be sent is free again.
                client.clock.advance(0)
            client.protocol.transport.told.clear()

        once()
        gc.collect()
        counts = [sys.getrefcount(each) for each in shared]
        grown, references = growth(once, more(2000, 25))
        self.assertLess(grown, 20_000)
        self.assertLess(references, 200)
        for each, then, now in zip(shared, counts, map(sys.getrefcount, shared), strict=True):
            self.assertLess(abs(now - then), 100, each)


def test_theLimitOfABody(clients: Callable[..., Client]) -> None:
    for most in (1, 2, 3):
        found = []
        for form in FORMS:
            client = clients(None, form, message=Limits(responseBody=most))
            waiting = client.ask()
            client.answer()
            response = resultOf(waiting)
            found.append((response._body, response._pieces, str(resultOf(response.bytes()))))
        assert found[0] == found[1]
