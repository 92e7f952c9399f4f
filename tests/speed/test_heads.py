"""
The compiled recogniser of heads beside the Python that it stands for: the same of every input, faster, and no more.
"""

from __future__ import annotations

import copy
import gc
import pickle
import random
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.messages import browserFields, postFields, wire
from tests.http.generator import Generator
from tests.http.support import coldCache
from tests.support import more
from wasinet_twisted import _fast
from wasinet_twisted.errors import RemoteProtocolError
from wasinet_twisted.http import Buffer, Limits, RequestHead, ResponseHead, WasiRequest, fasthead, fields
from wasinet_twisted.http.bytequeue import ByteQueue
from wasinet_twisted.http.head import HeadReader
from wasinet_twisted.server import Request

from . import differential
from .forms import (
    COMPILED,
    MOST_FIELDS,
    REQUEST,
    RESPONSE,
    WHY_NOT,
    Form,
    differences,
    growth,
    heads,
    parted,
    remembered,
)
from .inputs import METHODS, REQUESTS, RESPONSES, SEEDS, Dictful, Slotted, Watching, corpus

pytestmark = [pytest.mark.reactorless, pytest.mark.skipif(not COMPILED, reason=WHY_NOT)]

LIMITS = Limits()
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"
BROWSER = wire("GET", "/path/to/some/resource?query=value", browserFields(random.Random(1)))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """
    Each test begins with nothing remembered, and leaves nothing.
    """
    heads().forget()
    yield
    heads().forget()


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    Which lines have been given to the Python that judges them.
    """
    seen: list[str] = []

    for form in (REQUEST, RESPONSE):
        path = _fast.paths[form.path]

        def watched(*given: Any, form: Form = form) -> Any:
            seen.append(form.path)
            return form.python(*given)

        monkeypatch.setitem(_fast.paths, form.path, replace(path, python=watched))
    return seen


def agree(data: bytes, limits: Limits = LIMITS, start: int = 0) -> None:
    """
    See that both forms say the same of some bytes: twice, as the first time teaches.
    """
    for _ in range(2):
        for kind in (RequestHead, WasiRequest):
            assert differences(REQUEST, data, start, limits, kind) is None, data
        for method in ("GET", "HEAD", "CONNECT"):
            assert differences(RESPONSE, data, start, limits, ResponseHead, method) is None, data


def taken(data: bytes, limits: Limits = LIMITS, kind: type[RequestHead] = RequestHead) -> RequestHead:
    """
    The head that the twin makes.
    """
    found = REQUEST.twin(data, 0, limits, kind)
    assert found is not None, data
    return found[0]  # type: ignore[no-any-return]


# The same of every input


def test_theSeedsAndTheCorpus() -> None:
    for data in (*SEEDS, *corpus()):
        agree(data)
        for end in range(0, min(len(data), 700), 7):
            agree(data[:end])


@pytest.mark.parametrize("seed", range(4))
def test_generatedMessages(seed: int) -> None:
    for case in Generator(seed, damage=0.3).cases(more(400, 20)):
        agree(case.data)


@pytest.mark.parametrize("seed", range(4))
def test_mutatedInputs(seed: int) -> None:
    """
    What C{python -m tests.speed.differential} does with a million.
    """
    tally = differential.run(more(2500, 20), seed)
    # Neither nearly all nor nearly none is taken.
    for form in (REQUEST, RESPONSE):
        took, left = tally[f"{form.path}, tuple"], tally[f"{form.path}, left to the slow path"]
        assert 0.2 < took / (took + left) < 0.8


def test_everyByteInEveryPlaceOfALine() -> None:
    for where in range(len(b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: zz\r\n\r\n")):
        for byte in range(256):
            data = bytearray(b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: zz\r\n\r\n")
            data[where] = byte
            assert differences(REQUEST, bytes(data), 0, LIMITS, RequestHead) is None, data
    for where in range(len(b"HTTP/1.1 200 OK\r\nX-Y: zz\r\n\r\n")):
        for byte in range(256):
            data = bytearray(b"HTTP/1.1 200 OK\r\nX-Y: zz\r\n\r\n")
            data[where] = byte
            assert differences(RESPONSE, bytes(data), 0, LIMITS, ResponseHead, "GET") is None, data


@pytest.mark.parametrize("length", [*range(1, 20), 31, 32, 33, 127, 128, 129])
def test_everyByteInEveryPlaceOfAValueAndATarget(length: int) -> None:
    """
    Eight bytes are looked at at a time, and the last eight perhaps twice.
    """
    agree(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"v" * length + b"\r\n\r\n")
    for where in range(length):
        for byte in (0, 9, 0x1F, 0x20, 0x21, 0x23, 0x7E, 0x7F, 0x80, 0xFF):
            text = bytearray(b"v" * length)
            text[where] = byte
            agree(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + text + b"\r\n\r\n")
            agree(b"GET /" + text + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            agree(b"HTTP/1.1 200 " + text + b"\r\n\r\n")


@pytest.mark.parametrize(
    "digits", ["", "0", "007", "5" * 18, "9" * 19, "1" + "0" * 18, "1" * 20, "0" * 19, "+1", "1 ", "1a"]
)
def test_lengths(digits: str) -> None:
    for name in (b"Content-Length", b"content-length"):
        # The second one's name is known.
        for before in (b"", b"%b: 3\r\n\r\n" % name):
            agree(before and b"POST / HTTP/1.1\r\nHost: a\r\n" + before)
            agree(b"POST / HTTP/1.1\r\nHost: a\r\n%b: %b\r\n\r\n" % (name, digits.encode()))
            agree(b"HTTP/1.1 200 OK\r\n%b:%b\r\n\r\n" % (name, digits.encode()))


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.0", b"GET http://a/b?c HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT a:1 HTTP/1.1",
        b"CONNECT a:1 HTTP/1.0", b"QUERY /x HTTP/1.1", b"GET / HTTP/1.2", b"GET / HTTP/2.0", b"GET  HTTP/1.1",
        b"GET HTTP/1.1", b"OPTIONS HTTP/1.1", b"GET /HTTP/1.1", b"GET / / HTTP/1.1", b"GET x HTTP/1.1",
        b"get / HTTP/1.1", b"GET /\xe9 HTTP/1.1",
    ],
)  # fmt: skip
def test_requestLines(line: bytes) -> None:
    for rest in (b"Host: a\r\n", b"", b"Host: a\r\nHost: a\r\n", b"Host: a b\r\n", b"Host: a\r\nContent-Length: 1\r\n"):
        agree(line + b"\r\n" + rest + b"\r\n")
    agree(line + b"\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    agree(line + b"\r\n\r\n")


@pytest.mark.parametrize("name", ["head", "requestLine", "fields"])
@pytest.mark.parametrize("data", [GET, BROWSER, OK, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 \r\n\r\n"])
def test_limitsFromBothSides(name: str, data: bytes) -> None:
    exact = {
        "head": data.index(b"\r\n\r\n") + 2,
        "requestLine": data.index(b"\r\n"),
        "fields": data.count(b"\r\n") - 2,
    }[name]
    for other in (b"", b"body", GET):
        for bound in range(max(exact - 2, 0), exact + 3):
            agree(data + other, Limits(**{name: bound}))
            agree(other + data, Limits(**{name: bound}), len(other))
    form: Form = RESPONSE if data.startswith(b"HTTP") else REQUEST
    given = (ResponseHead, "GET") if form is RESPONSE else (RequestHead,)
    assert form.twin(data, 0, Limits(**{name: exact}), *given) is not None
    if exact and (form is REQUEST or name != "requestLine"):
        assert form.twin(data, 0, Limits(**{name: exact - 1}), *given) is None


def test_soManyFieldsAreReadAtMost() -> None:
    limits = Limits(fields=1000)
    for count in (MOST_FIELDS, MOST_FIELDS + 1):
        data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * (count - 1) + b"\r\n"
        agree(data, limits)
        assert (REQUEST.twin(data, 0, limits, RequestHead) is None) == (count > MOST_FIELDS)
        buffer = Buffer("request", limits)
        buffer.append(data)
        request = buffer.parseRequest()
        assert request is not None
        assert len(request.fields()) == count


# Faster


def test_theFastWayIsTaken(python: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What nearly all peers send is not given to the Python, whatever str and bytes it comes in.
    """
    post = wire("POST", "/items/1", postFields(8), b"12345678")
    old = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    fields.cache.clear()
    for data in (GET, BROWSER, post, old):
        taken(data)
    entered: list[str] = []
    fields.cache.clear()
    with monkeypatch.context() as patch:
        patch.setattr(fields, "fieldMeaning", lambda *given: entered.append("fieldMeaning"))
        for data in (GET, BROWSER, post, old):
            taken(bytes(bytearray(data)))
        assert RESPONSE.twin(OK.replace(b"200", b"404"), 0, LIMITS, ResponseHead, "".join(("GE", "T"))) is not None
    # Nothing was judged in Python, where it would have been remembered.
    assert not fields.cache.keys() - {b"Server: x"}
    assert not entered
    assert not python


def test_namesThatAreKnownNeedNoPython(python: list[str]) -> None:
    """
    Neither do values that are never the same twice: cookies, lengths, paths.
    """
    line = b"POST /%d HTTP/1.1\r\nHost: a\r\nCookie: a=%d\r\nX-Id: %d\r\nContent-Length: %d\r\n\r\n"
    taken(line % (1, 1, 1, 1))
    fields.cache.clear()
    for number in range(2, 50):
        head = taken(line % ((number,) * 4))
        assert (head.uri, head._length) == (f"/{number}", number)
    assert not fields.cache
    assert not python


@pytest.mark.parametrize("kind", [RequestHead, WasiRequest, Request, Dictful, Slotted])
def test_itIsTakenForSubclasses(kind: type[RequestHead], python: list[str]) -> None:
    assert type(taken(GET, kind=kind)) is kind
    assert not python


@pytest.mark.parametrize(
    "data",
    [
        GET, BROWSER, wire("POST", "/", postFields(8)), b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: \xe9\t%d\r\n" % (n, n) for n in range(98)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"\xe9" * 32000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"Cookie: " + b"a=b; " * 6000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"Connection: " + b"," * 300 + b"\r\n") * 95 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"N%d%b: v\r\n" % (n, b"n" * 300) for n in range(95)) + b"\r\n",
        GET[:-2] + b"A: b\r\n" * 98, GET[:-2] + b"A: \xe9\r\n" * 98, b"x" * 32000,
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: \r" + b"\r" * 32000,
    ],
    ids=range(15),
)  # fmt: skip
def test_noHeadCostsMuchMoreThanInPython(data: bytes) -> None:
    """
    Whole or not: at most some 1.5 times, and that only where the Python judges the lines.
    """

    def seconds(function: Callable[..., Any]) -> float:
        times = []
        for _ in range(15):
            fields.cache.clear()
            fields._names.clear()
            heads().forget()
            before = time.process_time()
            for _ in range(20):
                function(data, 0, LIMITS, RequestHead)
            times.append(time.process_time() - before)
        return min(times)

    assert seconds(REQUEST.twin) < 1.6 * seconds(REQUEST.python) + 20e-6


def test_linesOfOneHashCostNoMoreThanAMiss() -> None:
    """
    An attacker may drive lines out of the cache; then each is judged anew, and that is all.
    """

    def distinct(number: int) -> bytes:
        return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X: %06d\r\n" % (number + n) for n in range(90)) + b"\r\n"

    heads().forget()
    taken(distinct(0))
    for number in range(0, 100_000, 90):
        taken(distinct(number))
    lines, names = remembered()
    assert 900 < len(lines) <= 1024
    assert sorted(names) == ["Host", "X"]
    # What was driven out is found again.
    agree(distinct(0))


# Nothing more


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "Cookie", "SET-COOKIE"])
def test_noSecretIsRemembered(name: str) -> None:
    for number in range(3):
        data = b"GET / HTTP/1.1\r\nHost: a\r\n%b: secret%d\r\n\r\n" % (name.encode(), number)
        assert taken(data).fields()[1] == (name, f"secret{number}")
    lines, names = remembered()
    assert lines == [b"Host: a"]
    assert sorted(names) == sorted(["Host", name])


@pytest.mark.parametrize(("length", "kept"), [(fields.CACHED_LINE, True), (fields.CACHED_LINE + 1, False)])
def test_howLongALineAndANameAreRemembered(length: int, kept: bool) -> None:
    line = b"X: " + b"v" * (length - 3)
    # Judged in Python first, and then by what is known of the name.
    for data in (line, line.replace(b"vv", b"ww", 1)):
        taken(GET[:-2] + data + b"\r\n\r\n")
        assert (data in remembered()[0]) is kept
    taken(GET[:-2] + b"n" * length + b": v\r\n\r\n")
    assert ("n" * length in remembered()[1]) is kept


def test_itIsBounded() -> None:
    for number in range(0, 5000, 50):
        data = b"".join(b"N%d: %d\r\n" % (number + n, n) for n in range(50))
        taken(GET[:-2] + data + b"\r\n")
    lines, names = remembered()
    assert 900 < len(lines) <= 1024
    assert 450 < len(names) <= 512


def test_whatIsRememberedIsForgottenWithThePython() -> None:
    """
    With a cache that keeps nothing, this one keeps nothing either.
    """
    with coldCache():
        taken(BROWSER)
        assert remembered() == ([], [])


def test_theHeadsAreWhatTheReaderMakes() -> None:
    """
    What the twin takes, the slow path takes, with the same result.
    """
    for case in Generator(11, damage=0.1).cases(more(600, 10)):
        found: Any
        if case.role == "request":
            found = REQUEST.twin(case.data, 0, LIMITS, RequestHead)
        else:
            found = RESPONSE.twin(case.data, 0, LIMITS, ResponseHead, case.method)
        if found is None:
            continue
        queue = ByteQueue()
        queue.append(case.data)
        kind: Any = RequestHead if case.role == "request" else ResponseHead
        slow = HeadReader(case.role == "request", LIMITS).read(queue, kind, case.method)
        assert slow is not None
        assert parted((slow, queue.taken), found) is None


# Odd arguments


@pytest.mark.parametrize(
    "data", [bytearray(GET), memoryview(GET), GET.decode(), None, 5, type("B", (bytes,), {})(GET), b"", GET]
)
@pytest.mark.parametrize("start", [0, 1, -1, len(GET), len(GET) + 1, 1 << 80, -(1 << 80), True, None, 0.0, "0"])
@pytest.mark.parametrize("limits", [LIMITS, None, 5])
def test_arguments(data: Any, start: Any, limits: Any) -> None:
    assert differences(REQUEST, data, start, limits, RequestHead) is None
    assert differences(RESPONSE, data, start, limits, ResponseHead, "GET") is None


@pytest.mark.parametrize("kind", [None, int, object, RequestHead(), "RequestHead", ResponseHead, type])
def test_kindsThatAreNone(kind: Any) -> None:
    assert differences(REQUEST, GET, 0, LIMITS, kind) is None
    if kind is not ResponseHead:
        assert differences(RESPONSE, OK, 0, LIMITS, kind, "GET") is None


@pytest.mark.parametrize(
    "method", [None, b"GET", 5, type("S", (str,), {"__eq__": lambda *_: True, "__hash__": None})("x")]
)
def test_methodsThatAreNone(method: Any) -> None:
    assert differences(RESPONSE, OK, 0, LIMITS, ResponseHead, method) is None


def test_limitsThatSomebodyHasChanged() -> None:
    for value in (None, -1, "8", 2.5, True, 1 << 70):
        for name in ("head", "requestLine", "fields"):
            limits = Limits()
            object.__setattr__(limits, name, value)
            assert differences(REQUEST, GET, 0, limits, RequestHead) is None
    for name in ("head", "requestLine", "fields"):
        limits = Limits()
        object.__delattr__(limits, name)
        assert differences(REQUEST, GET, 0, limits, RequestHead) is None

    class Mine(Limits):
        """
        Somebody's own.
        """

        @property
        def fields(self) -> int:  # type: ignore[override]
            return 0

        @fields.setter
        def fields(self, given: int) -> None:
            pass

    assert differences(REQUEST, GET, 0, object.__new__(Mine), RequestHead) is None


def test_argumentsByName() -> None:
    assert REQUEST.twin(data=GET, start=0, limits=LIMITS, kind=RequestHead)[1] == len(GET)
    with pytest.raises(TypeError):
        REQUEST.twin(GET, 0, LIMITS)
    found = RESPONSE.twin(data=OK, start=0, limits=LIMITS, kind=ResponseHead, method="GET")
    assert found[1] == len(OK)


# Classes of all kinds


@pytest.mark.parametrize("kind", REQUESTS)
def test_requestClasses(kind: type[RequestHead]) -> None:
    for data in SEEDS:
        assert differences(REQUEST, data, 0, LIMITS, kind) is None


@pytest.mark.parametrize("kind", RESPONSES)
@pytest.mark.parametrize("method", METHODS)
def test_responseClasses(kind: type[ResponseHead], method: str) -> None:
    for data in SEEDS:
        assert differences(RESPONSE, data, 0, LIMITS, kind, method) is None


def test_aClassThatLooksAtWhatIsSet() -> None:
    seen = [name for name, _ in taken(GET, kind=Watching).set]  # type: ignore[attr-defined]
    assert seen[:3] == ["method", "uri", "version"]


def test_aClassThatChangesAfterItHasBeenSeen() -> None:
    class Changing(RequestHead):
        """
        With a dict, so that bases may be changed too.
        """

    class Base:
        """
        Another base.
        """

        version = property(lambda self: "mine", lambda self, given: None)

    assert taken(GET, kind=Changing).uri == "/"
    Changing.uri = property(lambda self: "mine", lambda self, given: None)  # type: ignore[assignment, method-assign]
    assert taken(GET, kind=Changing).uri == "mine"
    del Changing.uri
    assert taken(GET, kind=Changing).uri == "/"
    Changing.__bases__ = (Base, RequestHead)
    assert taken(GET, kind=Changing).version == "mine"
    Changing.__bases__ = (RequestHead,)
    assert taken(GET, kind=Changing).version == "HTTP/1.1"
    Changing.__setattr__ = lambda self, name, value: None  # type: ignore[assignment, method-assign]
    assert not hasattr(taken(GET, kind=Changing), "uri")


def test_classesThatComeAndGo() -> None:
    """
    None is kept, and none is taken for one that was there before it.
    """
    for number in range(200):
        shadows = number % 2

        class Passing(RequestHead):
            """
            One of many.
            """

            if shadows:
                uri = property(lambda self: "mine", lambda self, given: None)  # type: ignore[assignment]

        assert taken(GET, kind=Passing).uri == ("mine" if shadows else "/")
        gone = weakref.ref(Passing)
        del Passing
        gc.collect()
        assert gone() is None


def test_itIsTheObjectThatThePythonMakes() -> None:
    """
    It is copied, pickled, referred to weakly, and its attributes go and come back.
    """
    head: Any = taken(BROWSER, kind=Dictful)
    assert weakref.ref(head)() is head
    for other in (copy.copy(head), copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert parted((other, 0), (head, 0)) is None
    head.more = 1
    assert head.__dict__ == {"more": 1}
    assert not hasattr(head, "_body")
    del head.uri
    with pytest.raises(AttributeError):
        assert head.uri
    head.uri = "/again"
    assert head.headers["host"]
    assert gc.is_tracked(head)


def test_whatIsSharedDoesNotChange() -> None:
    """
    Two heads of the same lines have lists of their own.
    """
    one, two = taken(GET), taken(GET)
    assert one._pairs == two._pairs
    assert one._pairs is not two._pairs
    one._pairs.clear()
    assert two.fields() == [("Host", "a")]


# Errors and references


def test_anErrorThatIsNoRefusalIsRaised(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Only what the grammar refuses is left to the slow path.
    """

    def broken(*given: object) -> Any:
        raise MemoryError("none left")

    monkeypatch.setattr(fields, "_remember", broken)
    fields._names.clear()
    fields.cache.clear()
    for form, data, given in ((REQUEST, GET, (RequestHead,)), (RESPONSE, OK, (ResponseHead, "GET"))):
        for function in (form.twin, form.python):
            with pytest.raises(MemoryError, match="none left"):
                function(data, 0, LIMITS, *given)
    with pytest.raises(RemoteProtocolError):
        fields.parseFieldLine(b"a b")


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("data", [SEEDS[1], SEEDS[8], SEEDS[12]], ids=["browser", "absolute", "response"])
def test_whereverMemoryEnds(data: bytes, warm: bool) -> None:
    """
    The one allocation after another fails: that is a MemoryError, or nothing was lost.
    """
    testcapi = pytest.importorskip("_testcapi", reason="this Python comes without its own tests")
    response = data.startswith(b"HTTP")
    twin = RESPONSE.twin if response else REQUEST.twin
    given = (data, 0, LIMITS, *((ResponseHead, "GET") if response else (Dictful,)))
    ends = []
    for number in range(100):
        heads().forget()
        expected = twin(*given)
        if not warm:
            heads().forget()
        testcapi.set_nomemory(number, number + 1)
        try:
            found = twin(*given)
        except MemoryError:
            found = None
        finally:
            testcapi.remove_mem_hooks()
        ends.append(found is None)
        assert found is None or parted(expected, found) is None
        # What is remembered is whole.
        assert parted(expected, twin(*given)) is None
    assert ends.count(True) > 3
    assert not ends[-1]


def test_noMemoryIsLost() -> None:
    """
    However heads end: taken, left, in the middle of their fields, or with an error.
    """
    inputs = [*SEEDS, *corpus(), BROWSER, BROWSER[:-2] + b"X y: z\r\n\r\n", BROWSER[:-3], GET * 3]
    kinds = [*REQUESTS]

    def round() -> None:
        for number, data in enumerate(inputs):
            REQUEST.twin(data, 0, LIMITS, kinds[number % len(kinds)])
            RESPONSE.twin(data, 0, LIMITS, ResponseHead, "GET")

    grown, references = growth(round, more(100, 20))
    assert grown < 20_000
    assert references < 500


def test_theReferencesOfWhatItHandsOut() -> None:
    data = bytes(bytearray(BROWSER))
    before = sys.getrefcount(data), sys.getrefcount(LIMITS), sys.getrefcount(RequestHead)
    kept = [taken(data) for _ in range(50)]
    fields.cache.clear()
    pair, name = kept[0]._pairs[0], kept[0]._pairs[0][0]
    # 50 lists, the cache, the one here and the argument.
    assert sys.getrefcount(pair) == 53
    made = REQUEST.python(data, 0, LIMITS, RequestHead)[0]
    for slot in ("_pairs", "uri"):
        assert sys.getrefcount(getattr(kept[0], slot)) == sys.getrefcount(getattr(made, slot)), slot
    del kept, made
    assert sys.getrefcount(pair) == 3
    assert sys.getrefcount(name) < 20
    del pair, name
    assert sys.getrefcount(data) == before[0]
    assert sys.getrefcount(LIMITS) == before[1]
    assert abs(sys.getrefcount(RequestHead) - before[2]) < 3


def test_theComparisonNotices() -> None:
    """
    Each field, were it another one, would be a difference.
    """
    for name in ("method", "uri", "version", "_pairs", "_headers", "_trailers", "_length", "_asks"):
        head = taken(GET)
        setattr(head, name, ("x", "y"))
        assert parted((taken(GET), 0), (head, 0)) is not None
        delattr(head, name)
        assert parted((taken(GET), 0), (head, 0)) is not None
    assert parted((taken(GET), 0), (taken(GET), 1)) is not None
    assert parted((taken(GET), 0), None) is not None
    assert parted(None, (taken(GET), 0)) is not None
    assert parted(None, None) is None


def test_fastheadHasTheTwin() -> None:
    assert fasthead.fastRequestHead is heads().fastRequestHead
    assert fasthead.fastResponseHead is heads().fastResponseHead
