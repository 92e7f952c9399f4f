"""
Generated messages through h11, httptools and us: where we differ, reasons.py says why.

`python -m tests.fuzz.differential` does the same with as many as one likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.speed.forms import forget
from wasinet_twisted.http import chunked, fields, framing, grammar, head

from .disagreements import BOTH_READ, THEY_REFUSE, WE_REFUSE, Disagreement, disagreements
from .generator import Case, Generator
from .peers import OPEN, REFUSED, TUNNEL, readOurs, readWithH11, readWithHttptools
from .reasons import REASONS, explain


def unexplained(seed: int, count: int) -> Iterator[Disagreement]:
    for case in Generator(seed).cases(count):
        for it in disagreements(case):
            if explain(it) is None:
                yield it


@pytest.mark.parametrize("seed", range(1, 5))
def test_everyDisagreementHasItsReason(seed: int) -> None:
    for it in unexplained(seed, 1500):
        pytest.fail(f"unexplained: {it}")


def test_generatorRepeatsItself() -> None:
    assert list(Generator(5).cases(300)) == list(Generator(5).cases(300))
    assert list(Generator(5).cases(300)) != list(Generator(6).cases(300))


def test_generatorMakesBothKinds() -> None:
    # Were nearly all refused, or nearly none, little would be compared.
    for role in ("request", "response"):
        ends = [readOurs(case).end for case in Generator(7).cases(2000) if case.role == role]
        assert 0.4 < ends.count(REFUSED) / len(ends) < 0.7
        assert TUNNEL in ends


def test_readersAgreeOnWhatIsUsual() -> None:
    request = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET /"
    response = b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200"
    for role, data in (("request", request), ("response", response)):
        results = [read(Case(role, data)) for read in (readOurs, readWithH11, readWithHttptools)]
        for result in results:
            assert result.messages == results[0].messages
            assert result.end is OPEN
            assert result.messages[-1].body == b"abc"


def test_everyReasonNamesASection() -> None:
    for reason in REASONS:
        assert re.fullmatch(r"RFC (?:9110|9112|9113|3986) [1-9][0-9]?(?:\.[0-9]{1,2})*", reason.section), reason
        assert reason.kind in (WE_REFUSE, THEY_REFUSE, BOTH_READ)


# Bugs that parsers have had. Where what they do is explained away, the table is too wide.
_PLANTED: dict[str, tuple[Any, str, Any]] = {
    "a sign in Content-Length": (grammar, "contentLength", re.compile(rb"[+-]?[0-9]{1,19}").fullmatch),
    "a bare LF": (head, "lineContent", lambda line, most, tooLong: line.rstrip(b"\r\n")),
    "white space before a colon": (
        grammar,
        "fieldLine",
        re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[\t ]*([\t\x20-\x7e\x80-\xff]*)").fullmatch,
    ),
    "NUL in a value": (
        grammar,
        "fieldLine",
        re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([\0\t\x20-\x7e\x80-\xff]*)").fullmatch,
    ),
    "a sign in a chunk size": (grammar, "chunkSize", re.compile(rb"[+-]?[0-9A-Fa-f]{1,16}").match),
    "a chunk without its end": (chunked.ChunkedDecoder, "_takeChunkEnd", lambda self, queue: setattr(self, "_left", 0)),
    "Transfer-Encoding by its end": (
        framing,
        "fieldMeaning",
        lambda kind, value, really=framing.fieldMeaning: (
            0 if kind == framing.TRANSFER_ENCODING and value.lower().endswith(b"chunked") else really(kind, value)
        ),
    ),
    "a body after 204": (
        head,
        "bodyLength",
        lambda fields, method, status=None: framing.bodyLength(fields, method, 200 if status == 204 else status),
    ),
    "the first Content-Length counts": (framing.FramingFields, "add", lambda self, kind, meaning, value: None),
    "a target that ends the line": (
        grammar,
        "requestLine",
        re.compile(rb"([A-Z]+) ([^ ]+) (HTTP/[0-9]\.[0-9]) *").fullmatch,
    ),
}


@pytest.mark.parametrize("bug", _PLANTED)
def test_findsPlantedBugs(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, name, value = _PLANTED[bug]
    monkeypatch.setattr(target, name, value)
    if name == "fieldMeaning":
        monkeypatch.setattr(fields, name, value)
    # What a line means is remembered, the mistaken meaning too.
    fields.cache.clear()
    forget()
    try:
        assert next(unexplained(8, 6000), None) is not None
    finally:
        fields.cache.clear()
        forget()
