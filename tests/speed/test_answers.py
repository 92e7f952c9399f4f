"""
The compiled encoder of responses beside the Python that it stands for: the same bytes of every response, faster.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from multidict import CIMultiDict

from tests.support import more
from wasinet_twisted import _fast
from wasinet_twisted.http import WasiResponse, outgoing
from wasinet_twisted.http.outgoing import CLOSE_LINE, MOST_LINES, lines

from .forms import ANSWER, COMPILED, WHY_NOT, answer, answers, differences, forget, growth, parted
from .inputs import Inputs, Subclass, Text

pytestmark = [pytest.mark.reactorless, pytest.mark.skipif(not COMPILED, reason=WHY_NOT)]

DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """
    Which responses have been given to the Python.
    """
    seen: list[Any] = []
    path = _fast.paths[ANSWER.path]

    def watched(response: Any, *given: Any) -> Any:
        seen.append(response)
        return ANSWER.python(response, *given)

    monkeypatch.setitem(_fast.paths, ANSWER.path, replace(path, python=watched))
    return seen


def encoded(response: WasiResponse) -> bytes:
    """
    The bytes, on which both forms agree.
    """
    assert differences(ANSWER, response, "GET", DATE, b"") is None
    found = ANSWER.twin(response, "GET", DATE, b"")
    assert found is not None
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", range(4))
def test_responsesOfAllKinds(seed: int) -> None:
    inputs = Inputs(seed).answers()
    for number in range(more(1500, 50)):
        given = next(inputs)
        if number % 50 == 0:
            lines.clear()
            forget()
        # The twin first, which finds nothing that the Python has learnt meanwhile.
        twin = answer(ANSWER.twin, given)
        known = dict(lines)
        python = answer(ANSWER.python, given)
        assert parted(python, twin) is None, given
        # What it has learnt, the Python would have.
        if len(known) < MOST_LINES:
            assert known.items() <= lines.items()


@pytest.mark.parametrize("size", [0, 1, 9, 10, 99, 100, 12345, 1_000_000])
def test_lengths(size: int) -> None:
    assert b"\r\nContent-Length: %d\r\n\r\n" % size in encoded(WasiResponse(body=b"x" * size))


def test_theFastWayIsTaken(python: list[Any]) -> None:
    """
    Whatever str the fields, the reason and the version come in: interned, made at run time, or read from a mapping.
    """
    text = "".join(("text", "/plain"))
    for headers in ({}, {"Content-Type": text}, [("A", "1"), ("A", "2")], CIMultiDict({"Content-Type": text})):
        for status in (200, 201, 404, 500, int("503")):
            response = WasiResponse(status, headers, b"abc")  # type: ignore[arg-type]
            ANSWER.twin(response, "GET", DATE, b"")
            response.version = "".join(("HTTP", "/1.1"))
            response.reason = "".join((response.reason[:1], response.reason[1:]))
            assert response.headers is not None
            assert ANSWER.twin(response, "".join(("PO", "ST")), DATE, CLOSE_LINE) is not None
    # Values that are never the same twice: their name is learnt, in Python, and no more.
    ANSWER.twin(WasiResponse(headers={"ETag": '"0"', "Set-Cookie": "a=0"}), "GET", DATE, b"")
    known = dict(lines)
    for number in range(1, 50):
        response = WasiResponse(headers={"ETag": f'"{number}"', "Set-Cookie": f"a={number}"})
        found = ANSWER.twin(response, "GET", DATE, b"")
        assert b'\r\nETag: "%d"\r\nSet-Cookie: a=%d\r\n' % (number, number) in found
    assert known == lines
    assert ANSWER.twin(WasiResponse(headers={"Set-Cookie": "a=b"}), "GET", DATE, b"") is not None
    # Somebody has looked whether there are trailers.
    response = WasiResponse()
    assert not response.trailers
    assert ANSWER.twin(response, "GET", DATE, b"") is not None
    assert not python


@pytest.mark.parametrize(
    "method", ["HEAD", "CONNECT", "".join(("HE", "AD")), Text("HEAD"), Text("GET"), None, 5, b"GET"]
)
def test_methods(method: Any) -> None:
    for _ in range(2):
        assert differences(ANSWER, WasiResponse(body=b"abc"), method, DATE, b"") is None


@pytest.mark.parametrize("date", [b"", DATE, bytearray(DATE), memoryview(DATE), None, "Date", 5])
@pytest.mark.parametrize("persistence", [b"", CLOSE_LINE, bytearray(CLOSE_LINE), None, "", 5])
def test_arguments(date: Any, persistence: Any) -> None:
    assert differences(ANSWER, WasiResponse(headers={"A": "b"}), "GET", date, persistence) is None


@pytest.mark.parametrize(
    "response", [None, 5, "response", object(), WasiResponse, Subclass(), Subclass(404, {"A": "b"}, "x")]
)
def test_whatIsNoResponse(response: Any) -> None:
    assert differences(ANSWER, response, "GET", DATE, b"") is None


def test_aSubclassWithItsOwnIdeas(python: list[Any]) -> None:
    class Mine(WasiResponse):
        """
        Its status and its fields are its own.
        """

        status = property(lambda self: 404, lambda self, given: None)  # type: ignore[assignment]
        _pairs = property(lambda self: [("A", "mine")], lambda self, given: None)  # type: ignore[assignment]

    response = Mine(200, reason="Not Found")
    assert ANSWER.twin(response, "GET", b"", b"") == (b"HTTP/1.1 404 Not Found\r\nA: mine\r\nContent-Length: 0\r\n\r\n")
    assert python == [response]


@pytest.mark.parametrize(
    "name", ["status", "reason", "version", "_body", "_headers", "_pairs", "_trailers", "_length", "_asks"]
)
def test_attributesThatAreGone(name: str) -> None:
    for headers in ({"A": "b"}, [("A", "b")]):
        response = WasiResponse(headers=headers)
        if hasattr(response, name):
            delattr(response, name)
        assert differences(ANSWER, response, "GET", DATE, b"") is None


@pytest.mark.parametrize("name", ["status", "reason", "version", "_body", "_headers", "_pairs", "_trailers"])
@pytest.mark.parametrize(
    "value",
    [
        None, 5, 200.0, True, "OK", Text("OK"), b"", b"abc", bytearray(b"x"), [], [("A", "b")], (("A", "b"),), [("A",)],
        [5], [("A", [])], [("A", "b", "c")], [["A", "b"]], {}, {"A": "b"}, CIMultiDict({"A": "b"}), 1 << 70,
        [("A", "b")] * 200,
    ],
)  # fmt: skip
def test_attributesOfAnotherKind(name: str, value: object) -> None:
    response = WasiResponse(headers={"B": "c"})
    setattr(response, name, value)
    for _ in range(2):
        assert differences(ANSWER, response, "GET", DATE, b"") is None


@pytest.mark.parametrize("count", [63, 64, 65, 300])
def test_manyFields(count: int, python: list[Any]) -> None:
    response = WasiResponse(headers=[(f"A{number}", "b") for number in range(count)])
    assert encoded(response).count(b"\r\n") == count + 4
    assert bool(python) is (count > 64)


@pytest.mark.parametrize("name", ["Connection", "Content-Length", "transfer-encoding", "Date"])
def test_whatFramesOrEndsIsLeftToTheSlowPath(name: str) -> None:
    value = {"Content-Length": "0", "transfer-encoding": "chunked"}.get(name, "close")
    for headers in ({name: value}, CIMultiDict({name: value})):
        assert ANSWER.twin(WasiResponse(headers=headers), "GET", b"", b"") is None


class Field(NamedTuple):
    """
    A pair as somebody may have it.
    """

    name: str
    value: str


@pytest.mark.parametrize("pair", [Field("X-Named", "v"), "ab", ("X-Plain", "v")])
def test_pairsOfAnyKind(pair: Any) -> None:
    response = WasiResponse(200, body=b"x")
    response._pairs = [pair]
    response._headers = None
    # When it is learned, and when it is known.
    for _ in range(2):
        assert differences(ANSWER, response, "GET", DATE, b"") is None


class Meddling(str):
    """
    A field's name that changes its response, and what is remembered, while it is looked up.
    """

    response: WasiResponse

    def __hash__(self) -> int:
        self._meddle()
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        self._meddle()
        return str.__eq__(self, other)

    def _meddle(self) -> None:
        response = getattr(self, "response", None)
        if response is not None:
            # Once: not while it is remembered, too.
            del self.response
            response._body = b"changed" * 100
            response.reason = "".join(("Chan", "ged"))
            del response._pairs[:]
            lines.clear()
            gc.collect()


def test_whatChangesWhileItIsEncoded() -> None:
    """
    The body is the one that was there at first, and nothing is looked at that has gone.
    """

    def made() -> WasiResponse:
        body = b"x" * 5000
        response = WasiResponse(200, [("A", "b"), ("Meddling", "c"), ("D", "e")], body[:-1] + b"y")
        name = Meddling("Meddling")
        response._headers = None
        response._pairs = [("A", "b"), (name, "c"), ("D", "e")]
        lines[name, "c"] = b"Meddling: c\r\n"
        name.response = response
        return response

    found = []
    for function in (ANSWER.twin, ANSWER.python):
        response = made()
        found.append(answer(function, (response, "GET", DATE, b"")))
        assert response._body == b"changed" * 100
    assert found[0] == found[1]
    lines.clear()


@pytest.mark.parametrize(
    "value", ["", "a", " a", "a ", "a b", "\t", "a\tb", "a\x1f", "a\x7f", "\xe9", "\u20ac", "a\r\nb", "a" * 300]
)
def test_valuesOfANameThatIsKnown(value: str) -> None:
    for _ in range(2):
        ANSWER.twin(WasiResponse(headers={"Known": "x", "": "y"}), "GET", b"", b"")
        ANSWER.twin(WasiResponse(headers={"Known": "x"}), "GET", b"", b"")
        for name in ("Known", "known", "".join(("Kno", "wn")), Text("Known")):
            for text in (value, Text(value)):
                lines.clear()
                assert differences(ANSWER, WasiResponse(headers={name: text}), "GET", b"", b"") is None


def test_whatIsRememberedIsBounded() -> None:
    for number in range(3000):
        ANSWER.twin(WasiResponse(headers={f"N{number}": "x"}), "GET", b"", b"")
        assert len(answers().remembered()) <= 256
    ANSWER.twin(WasiResponse(headers={"N" * 128: "x", "N" * 129: "y"}), "GET", b"", b"")
    assert "N" * 128 in answers().remembered()
    assert "N" * 129 not in answers().remembered()
    for number in range(2 * MOST_LINES + 5):
        ANSWER.twin(WasiResponse(headers={"X": str(number)}), "GET", b"", b"")
        assert len(lines) <= MOST_LINES


def test_anErrorThatIsNoRefusalIsRaised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> Any:
        raise MemoryError("none left")

    monkeypatch.setattr(outgoing, "_learnLine", broken)
    for function in (ANSWER.twin, ANSWER.python):
        with pytest.raises(MemoryError, match="none left"):
            function(WasiResponse(headers={"Never": "seen"}), "GET", b"", b"")


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Content-Type": "text/plain"}, [("Content-Type", "text/plain")], {"X y": "z"}, {"A": "\u20ac"},
        {"Date": "x"}, {"A": "b" * 32_000}, [("A", "b")] * 300, [("A", "\xe9" * 100)] * 64,
    ],
    ids=range(9),
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_noResponseCostsMuchMoreThanInPython(headers: Any, method: str) -> None:
    response = WasiResponse(headers=headers)

    def seconds(function: Callable[..., Any]) -> float:
        times = []
        for _ in range(15):
            lines.clear()
            before = time.process_time()
            for _ in range(20):
                function(response, method, DATE, b"")
            times.append(time.process_time() - before)
        return min(times)

    # What neither knows, both may look at.
    assert seconds(ANSWER.twin) < 2.2 * seconds(ANSWER.python) + 20e-6


def test_noMemoryIsLost() -> None:
    inputs = Inputs(3)
    every = inputs.answers()
    given = [next(every) for _ in range(300)]

    def round() -> None:
        for one in given:
            answer(ANSWER.twin, one)

    grown, references = growth(round, more(30, 20))
    assert grown < 20_000
    assert references < 500


def test_theReferencesOfWhatItUses() -> None:
    forget()
    lines.clear()
    response = WasiResponse(404, {"A": "b", "C": "d"}, bytes(bytearray(b"abc")))
    ANSWER.twin(response, "GET", DATE, b"")
    line, body, reason = lines["A", "b"], response._body, response.reason
    before = [sys.getrefcount(one) for one in (line, body, reason, response, DATE)]
    for _ in range(100):
        ANSWER.twin(response, "GET", DATE, b"")
        ANSWER.twin(response, "HEAD", DATE, b"")
    assert [sys.getrefcount(one) for one in (line, body, reason, response, DATE)] == before


def test_outgoingHasTheTwin() -> None:
    assert outgoing.fastResponse is answers().fastResponse
