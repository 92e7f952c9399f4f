"""
The twins of the server's common request, beside the Python that they stand for.
"""

from __future__ import annotations

import asyncio
import collections.abc
import copy
import gc
import inspect
import os
import pickle
import random
import signal
import subprocess
import sys
import tracemalloc
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wasinet_twisted
from benchmarks.messages import browserFields, wire
from tests.support import MemoryPeer, more
from wasinet_twisted.errors import BusyError, MessageTooLarge
from wasinet_twisted.http import WasiResponse, exchange, machine, requestreceiver, serverconnection
from wasinet_twisted.server import HttpServer, Request, ServerLimits, handling, protocol, serving
from wasinet_twisted.server.protocol import HttpProtocol
from wasinet_twisted.server.statistics import Statistics

from .forms import slotsOf

COMPILED = not inspect.isfunction(HttpProtocol.dataReceived)
WHY_NOT = "server.request has no compiled twin in this process"
pytestmark = [pytest.mark.reactorless, pytest.mark.skipif(not COMPILED, reason=WHY_NOT)]

ROOT = Path(wasinet_twisted.__file__).parent
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\n12345678"
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def test_theSameWasSeen() -> None:
    """
    Everything that a client, a log and the statistics see is the same for both forms, for requests and handlers of
    every kind.
    """
    for seed in range(1, more(2, 20) + 1):
        ran = [
            subprocess.run(
                [sys.executable, "-m", "tests.speed.served", "--seed", str(seed), "--count", str(more(150, 10))],
                env={**os.environ, "WASINET_SPEED": setting, "WASINET_FAST": "yes", "PYTHONPATH": str(ROOT.parent)},
                cwd=ROOT.parent,
                capture_output=True,
                text=True,
                timeout=600,
                check=True,
            )
            for setting in ("no", "auto")
        ]
        python, twin = (each.stdout.splitlines() for each in ran)
        assert len(python) == len(twin) > 300
        for expected, found in zip(python, twin, strict=True):
            assert found == expected


# Is it the fast way?


class Nowhere:
    """
    A transport that keeps what is written.
    """

    dataBuffer = b""
    offset = 0
    _tempDataLen = 0

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.write = self.sent.append

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 1)

    def ignore(self, *_: object) -> None:
        """
        Whatever is asked for.
        """

    registerProducer = unregisterProducer = pauseProducing = resumeProducing = loseConnection = abortConnection = ignore


async def echo(request: Request) -> WasiResponse:
    return WasiResponse(headers={"Content-Type": "text/plain"}, body=await request.read())


def connection(handler: Any = echo, kind: type[HttpServer] = HttpServer, **limits: Any) -> tuple[Any, Nowhere]:
    """
    A connection of a new server, and where it writes.
    """
    server = kind(handler, limits=ServerLimits(**limits), reactor=Clock())
    made: Any = server.newProtocol()
    transport = Nowhere()
    made.makeConnection(transport)
    # Else it would be the time of day.
    server.dateLine = b"Date: today\r\n"
    return made, transport


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


def browser() -> bytes:
    return wire("GET", "/path?query=value", browserFields(random.Random(1)))


@pytest.mark.parametrize("data", [POST, GET, browser()])
def test_aRequestCallsNoPython(data: bytes) -> None:
    made, transport = connection()
    for _ in range(2):
        made.dataReceived(data)
    with pythonCalls() as called:
        made.dataReceived(data)
    assert called == []
    assert len(transport.sent) == 3
    assert made.server.statistics.statuses[200] == 3


def test_aFunctionAsHandlerCallsNoPython() -> None:
    response = WasiResponse(200, {"A": "1"}, b"x")
    made, transport = connection(lambda request: response)
    made.dataReceived(GET)
    with pythonCalls() as called:
        made.dataReceived(GET)
    assert called == []
    assert transport.sent[0] == transport.sent[1]


def test_pipelinedRequestsCallNoPythonEach() -> None:
    """
    Only what begins to keep bytes and what lets go of them is Python's.
    """
    made, transport = connection()
    made.dataReceived(POST * 16)
    with pythonCalls() as few:
        made.dataReceived(POST * 2)
    with pythonCalls() as many:
        made.dataReceived(POST * 16)
    assert len(many) == len(few) < 20
    assert len(transport.sent) == 34


@pytest.mark.parametrize("length", [2**31, 2**63 - 1, 2**63, 2**64, 10**30])
def test_aLengthBeyondAllBounds(length: int) -> None:
    data = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nabc" % length
    for before in (b"", POST):
        made, transport = connection()
        made.dataReceived(before + data)
        assert transport.sent[-1].startswith(b"HTTP/1.1 4")
        assert made.server.statistics.statuses[200] == bool(before)


def test_aReplacedHandlerIsCalledNext() -> None:
    made, transport = connection()
    made.dataReceived(GET)
    made.server.handler = lambda request: WasiResponse(404)
    made.dataReceived(GET)
    assert [sent[9:12] for sent in transport.sent] == [b"200", b"404"]


REPLACED: list[tuple[Any, str]] = [
    (HttpProtocol, "answer"),
    (HttpProtocol, "follow"),
    (HttpProtocol, "send"),
    (serverconnection.ServerConnection, "receive"),
    (serverconnection.ServerConnection, "respond"),
    (serverconnection, "fastResponse"),
    (requestreceiver, "fastRequestHead"),
    (machine, "fastRequestHead"),
    (exchange.Exchange, "move"),
    (Statistics, "answered"),
    (protocol, "handle"),
    (handling, "handled"),
    (handling, "failed"),
    (handling, "logAnswer"),
    (Request, "read"),
    (Request, "_endOfBody"),
    (WasiResponse, "__init__"),
]


@pytest.mark.parametrize(("where", "name"), REPLACED)
def test_aReplacedFunctionIsCalled(where: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As often as in Python; and when it is back, all is as before.
    """
    data = [POST, POST * 3, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]

    def count() -> tuple[int, list[bytes]]:
        calls = 0
        original = getattr(where, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return original(*args, **kwargs)

        made, transport = connection()
        with monkeypatch.context() as patch:
            patch.setattr(where, name, counted)
            for each in data:
                made.dataReceived(each)
        return calls, transport.sent

    found = count()
    with monkeypatch.context() as patch:
        # A change of the class sends everything to Python; so does this one, whatever is counted.
        patch.setattr(HttpProtocol, "_changed", None, raising=False)
        assert found == count()
    with pythonCalls() as called:
        connection()[0].dataReceived(GET)
    assert "receive" not in called


def test_aFunctionReplacedByAHandlerIsCalledNext(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Also while requests that came together are answered; what it gives may be of a class that nobody knows.
    """
    receive = serverconnection.ServerConnection.receive
    seen: list[Any] = []
    given: list[Any] = []

    class Request_(types.SimpleNamespace):
        _asks = 0

    def replaced(self: Any, data: bytes, now: float) -> Any:
        seen.append(receive(self, data, now))
        return seen[-1] and Request_(version="HTTP/1.1", method="GET")

    def handler(request: Any) -> WasiResponse:
        given.append(type(request))
        if len(given) == 2:
            monkeypatch.setattr(serverconnection.ServerConnection, "receive", replaced)
        return WasiResponse()

    made, transport = connection(handler)
    made.dataReceived(GET * 3)
    assert given == [Request, Request, Request_]
    assert len(seen) == 1
    assert len(transport.sent) == 2


def test_subclassesAreServed() -> None:
    """
    A subclass of the server may have its own idea of a handler, one of the protocol its own methods.
    """

    class Mine(HttpServer):
        handler = property(lambda self: lambda request: WasiResponse(202), lambda self, given: None)  # type: ignore[assignment]

    made, transport = connection(kind=Mine)
    made.dataReceived(GET)
    assert transport.sent[0].startswith(b"HTTP/1.1 202")

    class Own(HttpProtocol):
        __slots__ = ("answers",)

        def answer(self, data: bytes) -> None:
            self.answers = data
            super().answer(data)

    server = HttpServer(echo, reactor=Clock())
    own: Any = Own(server, server._timing)
    own.makeConnection(Nowhere())
    own.dataReceived(GET)
    assert own.answers.startswith(b"HTTP/1.1 200")


def test_aReplacedProtocolIsMade(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(HttpProtocol):
        __slots__ = ()

    for kind in (HttpProtocol, Own, HttpProtocol):
        monkeypatch.setattr(serving, "HttpProtocol", kind)
        made, transport = connection()
        made.dataReceived(GET)
        assert type(made) is kind
        assert transport.sent[0].startswith(b"HTTP/1.1 200")


def test_whatIsNotThereIsAnErrorAsInPython() -> None:
    """
    Slots that were never set, or are deleted.
    """
    with pytest.raises(AttributeError):
        HttpProtocol.__new__(HttpProtocol).dataReceived(b"x")
    with pytest.raises(AttributeError):
        HttpProtocol.__new__(HttpProtocol).pump()
    made, _ = connection()
    for name in ("server", "reactor", "connection"):
        kept = getattr(made, name)
        delattr(made, name)
        with pytest.raises(AttributeError):
            made.dataReceived(GET)
        setattr(made, name, kept)
    empty = object.__new__(Request)
    with pytest.raises(AttributeError):
        empty.read().send(None)
    with pytest.raises(AttributeError):
        handling.handled(made, empty, object.__new__(WasiResponse))


def test_eachHandlerHasItsContext() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="outside")
    seen = []

    async def handler(request: Request) -> WasiResponse:
        seen.append(variable.get())
        variable.set(request.uri)
        return WasiResponse(body=variable.get())

    made, transport = connection(handler)
    made.dataReceived(GET + POST)
    assert seen == ["outside", "outside"]
    assert variable.get() == "outside"
    assert all(sent.endswith(b"/a") for sent in transport.sent)


def test_theContextIsNotThatOfWhoCalls() -> None:
    """
    On an asyncio loop bytes come in the context of the handler that has let them flow again.
    """
    variable: ContextVar[str] = ContextVar("variable", default="outside")
    seen = []

    async def handler(request: Request) -> WasiResponse:
        seen.append(variable.get())
        return WasiResponse()

    def plain(request: Request) -> WasiResponse:
        seen.append(variable.get())
        variable.set("mine")
        return WasiResponse()

    def asAnother(made: Any) -> None:
        variable.set("another's")
        made.dataReceived(GET)
        assert variable.get() == "another's"

    for each in (handler, plain):
        made, _ = connection(each)
        copy_context().run(asAnother, made)
    assert seen == ["outside", "outside"]


def test_aSignalInTheHandler() -> None:
    """
    What its handler raises is raised in ours, as in Python.
    """

    def raises(*_: object) -> None:
        raise LookupError("by a signal")

    async def handler(request: Request) -> WasiResponse:
        try:
            signal.raise_signal(signal.SIGUSR1)
        except LookupError as error:
            return WasiResponse(body=str(error))
        return WasiResponse(500)

    before = signal.signal(signal.SIGUSR1, raises)
    try:
        made, transport = connection(handler)
        made.dataReceived(GET)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert transport.sent[0].endswith(b"by a signal")


class TracebackTests(SynchronousTestCase):
    """
    The traceback of a handler that raises.
    """

    def test_itLeadsToTheHandler(self) -> None:
        async def handler(request: Request) -> WasiResponse:
            raise LookupError("here")

        made, transport = connection(handler)
        made.dataReceived(GET)
        (failure,) = self.flushLoggedErrors(LookupError)
        self.assertIn("in handler", failure.getTraceback())
        self.assertTrue(transport.sent[0].startswith(b"HTTP/1.1 500"))
        self.assertEqual(made.inFlight, None)


# Memory


@pytest.mark.parametrize("data", [POST, POST * 16, GET, b"GET / HTTP/1.0\r\n\r\n", b"x\r\n\r\n"])
def test_nothingIsLeftOfRequests(data: bytes) -> None:
    """
    Neither objects nor references. The reference counts of what all requests share stay as they are, too.
    """
    made, transport = connection()

    def often(count: int) -> None:
        nonlocal made, transport
        for number in range(count):
            if number % 50 == 0 or made.closing:
                made.connectionLost()
                made, transport = connection()
            made.dataReceived(data)
            transport.sent.clear()
        made.connectionLost()
        gc.collect()

    often(more(500, 20))
    shared: list[Any] = [None, True, False, 0, 1, 3, Request, WasiResponse, HttpProtocol, echo, b"", "HTTP/1.1"]
    counts = [sys.getrefcount(each) for each in shared]
    tracemalloc.start()
    try:
        # Once more, seen by tracemalloc: what is kept for good, such as free lists, but was replaced since it began
        # to look, would count as growth.
        often(more(500, 20))
        before = tracemalloc.get_traced_memory()[0]
        often(more(2000, 250))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # Less than one small object for each.
    assert grown < 60_000
    for each, then, now in zip(shared, counts, map(sys.getrefcount, shared), strict=True):
        assert abs(now - then) < 200, each


def test_connectionsAreNotLarger() -> None:
    assert not hasattr(connection()[0], "__dict__")


# await request.read()


def requestOf(data: bytes = POST, **limits: Any) -> Request:
    """
    A request that waits for its response.
    """
    seen: list[Request] = []

    def handler(request: Request) -> Any:
        seen.append(request)
        return Deferred()

    made, _ = connection(handler, **limits)
    made.dataReceived(data)
    (request,) = seen
    return request


def drive(awaitable: Any) -> Any:
    """
    What awaiting it gives.
    """

    async def awaits() -> Any:
        return await awaitable

    with pytest.raises(StopIteration) as stopped:
        awaits().send(None)
    return stopped.value.value


class TestReading:
    """
    What C{request.read()} gives behaves as the coroutine that it stands for.
    """

    def test_itIsNoCoroutineOfPythons(self) -> None:
        reading = requestOf().read()
        assert not inspect.iscoroutine(reading)
        assert drive(reading) == b"12345678"

    def test_itIsTakenForOne(self) -> None:
        reading = requestOf().read()
        assert isinstance(reading, collections.abc.Coroutine)
        assert not isinstance(reading, collections.abc.Iterable)
        assert inspect.isawaitable(reading)
        assert asyncio.iscoroutine(reading)
        assert repr(reading).startswith("<coroutine object Request.read at 0x")
        assert type(reading).__name__ == "coroutine"
        reading.close()

    def test_itEndsWithItsBody(self) -> None:
        reading = requestOf().read()
        with pytest.raises(StopIteration) as stopped:
            reading.send(None)
        assert stopped.value.value == b"12345678"

    def test_twice(self) -> None:
        request = requestOf()
        reading = request.read()
        assert drive(reading) == b"12345678"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            reading.send(None)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            reading.throw(LookupError())
        reading.close()
        with pytest.raises(BusyError):
            request.read().send(None)

    def test_itLooksWhenItIsAwaited(self) -> None:
        request = requestOf()
        one, other = request.read(), request.read()
        assert drive(other) == b"12345678"
        with pytest.raises(BusyError):
            one.send(None)

    def test_itMustBeginWithNone(self) -> None:
        reading = requestOf().read()
        with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
            reading.send(1)
        assert drive(reading) == b"12345678"

    def test_thrown(self) -> None:
        request = requestOf()
        reading = request.read()
        with pytest.raises(LookupError, match="now"):
            reading.throw(LookupError("now"))
        with pytest.raises(RuntimeError):
            reading.send(None)
        assert drive(request.read()) == b"12345678"

    def test_closed(self) -> None:
        request = requestOf()
        reading = request.read()
        reading.close()
        reading.close()
        with pytest.raises(RuntimeError):
            reading.send(None)
        assert drive(request.read()) == b"12345678"

    def test_neverAwaited(self) -> None:
        request = requestOf()
        with pytest.warns(RuntimeWarning, match="coroutine 'Request.read' was never awaited"):
            request.read()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            request.read().close()
            drive(request.read())

    def test_neverAwaitedWhereWarningsAreErrors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []
        monkeypatch.setattr(sys, "unraisablehook", told.append)
        request = requestOf()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            request.read()
        assert [type(each.exc_value) for each in told] == [RuntimeWarning]

    def test_itsState(self) -> None:
        reading = requestOf().read()
        assert inspect.getcoroutinestate(reading) == inspect.CORO_CREATED
        assert reading.cr_frame is not None
        assert reading.cr_await is None
        assert (reading.__name__, reading.__qualname__) == ("read", "Request.read")
        assert drive(reading) == b"12345678"
        assert inspect.getcoroutinestate(reading) == inspect.CORO_CLOSED
        done = requestOf().read()
        drive(done)
        assert inspect.getcoroutinestate(done) == inspect.CORO_CLOSED
        with pytest.raises(AttributeError):
            done.nothing()

    def test_theBound(self) -> None:
        for most in (7, 8, 9, 10**30, True):
            reading = requestOf().read(most)
            if most in (7, True):
                with pytest.raises(MessageTooLarge):
                    reading.send(None)
            else:
                assert drive(reading) == b"12345678"
        with pytest.raises(TypeError):
            requestOf().read("8").send(None)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            requestOf().read(1, 2)  # type: ignore[call-arg]

    def test_ensureDeferred(self) -> None:
        found: list[bytes] = []
        ensureDeferred(requestOf().read()).addCallback(found.append)
        assert found == [b"12345678"]

    def test_asyncio(self) -> None:
        request = requestOf()

        async def main() -> list[bytes]:
            return [await asyncio.create_task(request.read())]

        assert asyncio.run(main()) == [b"12345678"]

    def test_theRestIsACoroutine(self) -> None:
        chunked = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        for data in (POST[:-1], b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" + bytes(90000)):
            reading = requestOf(data).read()
            assert inspect.iscoroutine(reading)
            reading.close()
        request = requestOf(chunked)
        assert drive(request.read()) == b"x"
        assert request.trailers == {}

    def test_itIsCollected(self) -> None:
        """
        A cycle through a request is found.
        """
        request = object.__new__(Request)
        request._body = b"abc"
        reading = request.read()
        assert gc.is_tracked(reading)
        gone: list[object] = []
        watched = weakref.ref(reading, gone.append)
        request._fault = [reading]  # type: ignore[assignment]
        del request, reading
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
        assert watched() is None
        assert gone

    def test_itIsNeitherCopiedNorPickled(self) -> None:
        reading = requestOf().read()
        for fails in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                fails(reading)
        reading.close()

    def test_ofSubclasses(self) -> None:
        class Mine(Request):
            __slots__ = ()

        mine = object.__new__(Mine)
        mine._body, mine._begun, mine._asks, mine._length = b"abc", False, 0, 3
        assert inspect.iscoroutine(reading := mine.read(5))
        assert drive(reading) == b"abc"


# WasiResponse(...)


def state(response: WasiResponse) -> dict[str, Any]:
    return {name: getattr(response, name, "unset") for name in slotsOf(type(response))}


GIVEN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((404,), {}),
    ((299,), {}),
    ((True,), {}),
    ((200.0,), {}),
    (([],), {}),
    ((200, {"A": "1", "b": "2"}, b"x"), {}),
    ((200, {"A": 1}), {}),
    ((200, {b"A": "1"}), {}),
    ((200, [("A", "1"), ("A", "2")]), {}),
    ((200, ()), {}),
    ((200, None), {}),
    ((), {"body": b"x"}),
    ((), {"body": "x"}),
    ((), {"body": "\ud800"}),
    ((), {"body": bytearray(b"x")}),
    ((), {"body": [b"x"]}),
    ((), {"body": 1}),
    ((), {"body": {"a": 1}}),
    ((), {"headers": {"A": "1"}, "body": b"x", "status": 201}),
    ((200,), {"status": 201}),
    ((200, {}), {"headers": {}}),
    ((), {"bogus": 1}),
    ((200, {}, b"", "Fine", "HTTP/1.0", {"T": "1"}), {}),
    ((200, {}, b"", "Fine", "HTTP/1.0", {"T": "1"}, 1), {}),
    ((), {"reason": "Fine", "trailers": {"T": "1"}}),
    ((10**30, {}, b""), {}),
]


@pytest.mark.parametrize(("args", "kwargs"), GIVEN)
def test_aResponseIsMadeAsInPython(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    def slow() -> WasiResponse:
        made = object.__new__(WasiResponse)
        WasiResponse.__init__(made, *args, **kwargs)
        return made

    def answer(make: Callable[[], WasiResponse]) -> Any:
        try:
            return state(make())
        except Exception as error:
            return type(error), str(error)

    expected, found = answer(slow), answer(lambda: WasiResponse(*args, **kwargs))
    assert found == expected
    if isinstance(found, dict):
        assert {name: type(value) for name, value in found.items()} == {
            name: type(value) for name, value in expected.items()
        }


def test_aNameThatIsNotInterned() -> None:
    name = "".join(["bo", "dy"])
    assert WasiResponse(**{name: b"x"}).body == b"x"


def test_subclassesOfResponsesAreMadeByPython() -> None:
    class Mine(WasiResponse):
        def __init__(self, text: str) -> None:
            super().__init__(201, {}, text)
            self.text_ = text

    made = Mine("abc")
    assert (made.status, made.body, made.text_) == (201, b"abc", "abc")


def test_aResponseIsCopiedAndPickled() -> None:
    made = WasiResponse(200, {"A": "1"}, b"x")
    for again in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert again == made


def test_itsFieldsAreItsOwn() -> None:
    fields = {"A": "1"}
    made = WasiResponse(headers=fields)
    fields["A"] = "2"
    made.headers.add("B", "3")
    assert made.fields() == [("A", "1"), ("B", "3")]
    assert fields == {"A": "2"}


# How it is switched


@pytest.mark.parametrize(
    ("environment", "compiled"),
    [
        ({}, True),
        ({"WASINET_SPEED": "no"}, False),
        ({"WASINET_FAST": "no"}, False),
        ({"WASINET_FAST": "-server.request"}, False),
        ({"WASINET_FAST": "-http.requestHead"}, False),
        ({"WASINET_FAST": "-http.response"}, False),
        ({"WASINET_FAST": "-server.direct"}, True),
    ],
)
def test_itIsSwitched(environment: dict[str, str], compiled: bool) -> None:
    program = (
        "import inspect\n"
        "from wasinet_twisted.server import Request, handling, protocol\n"
        "print(*map(inspect.isfunction, (protocol.HttpProtocol.dataReceived, protocol.HttpProtocol.pump, "
        "handling.handled, Request.read)))"
    )
    inherited = {name: value for name, value in os.environ.items() if name not in ("WASINET_SPEED", "WASINET_FAST")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, **environment, "PYTHONPATH": str(ROOT.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["False" if compiled else "True"] * 4


def test_overAWholeConnection() -> None:
    """
    A client, in memory, from the first byte to the last.
    """
    clock = Clock()
    server = HttpServer(echo, reactor=clock)
    peer = MemoryPeer(server, clock)
    peer.send(POST * 5 + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + POST)
    got = peer.take()
    assert got.count(b"HTTP/1.1 200") == 6
    assert b"Connection: close" in got
    peer.end()
    assert server.statistics.inFlight == 0
    assert server.statistics.openConnections == 0


def test_readIsDescribedAsInPython() -> None:
    assert str(inspect.signature(Request.read)) == "(self, maxBytes: 'int | None' = None) -> 'bytes'"
    assert str(Request.read.__doc__).strip().startswith("Read the whole body.")
    assert Request.read.__qualname__ == "Request.read"
    assert Request.read.__module__ == Request.__module__
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(Request.read)


def test_headersThatTheGarbageCollectorChanges() -> None:
    """
    Up to CPython 3.11 it may run while the pairs of a response are made, and what it ends may be anything.
    """
    headers: dict[str, str] = {}

    class Adds:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            headers.clear()

    before = gc.get_threshold()
    try:
        for threshold in range(1, 70):
            gc.disable()
            headers = {f"A-{number}": "b" for number in range(50)}
            Adds()
            gc.set_threshold(threshold, 1000, 1000)
            gc.enable()
            response = WasiResponse(200, headers)
            gc.disable()
            # All of them or none.
            assert len([*response.fields()]) in (0, 50)
            gc.collect()
    finally:
        gc.set_threshold(*before)
        gc.enable()
