"""
The inputs that fuzzing found worth keeping, and the bugs that it found, through the same oracle.

They come from `python -m tests.fuzz.parser`, by way of `python -m tests.fuzz.corpus`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.oracle import Input, decode, judge
from wasinet_twisted import _fast
from wasinet_twisted.http import Buffer, grammar, machine, messages
from wasinet_twisted.http.bytequeue import ByteQueue
from wasinet_twisted.http.outgoing import encodeFields

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_judged(path: Path) -> None:
    judge(path.read_bytes())


def test_corpusIsSmallAndNamedByItsBytes() -> None:
    assert 30 <= len(CORPUS) <= 120
    assert sum(path.stat().st_size for path in CORPUS) < 100 * 1024
    for path in CORPUS:
        assert path.name == hashlib.sha1(path.read_bytes()).hexdigest()[:16]


def test_inputsAreReadAsTheyWereWritten() -> None:
    for role in ("request", "response"):
        for method in ("GET", "HEAD", "CONNECT", "POST"):
            for flags in range(8):
                given = Input(role, method, bool(flags & 1), bool(flags & 2), bool(flags & 4), b"x")
                assert decode(given.encode()) == given


@pytest.mark.parametrize(
    ("given", "complete"),
    [
        # len() counted all the bytes there had been once a second message had begun.
        (Input("request", "GET", False, False, False, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2), 2),
        (
            Input(
                "request", "GET", False, False, False,
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
            ),
            1,
        ),
        (
            Input(
                "response", "GET", False, False, False,
                b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 500 \r\nContent-Length: 5\r\n\r\nabc",
            ),
            1,
        ),
    ],
)  # fmt: skip
def test_found(given: Input, complete: int) -> None:
    assert len(judge(given.encode()).messages) == complete


# What the oracle is there to notice.
_PLANTED: dict[str, tuple[Any, str, Any]] = {
    "the fast path misreads requests": (machine, "fastRequestHead", lambda *given: _misread(_fastRequest(*given))),
    "the fast path misreads responses": (machine, "fastResponseHead", lambda *given: _misread(_fastResponse(*given))),
    "len() forgets what has begun": (Buffer, "__len__", lambda self: self._queue.size),
    "a line in pieces loses its first": (ByteQueue, "append", lambda self, data: _append(self, data)),
    "names are changed when sent": (
        messages,
        "encodeFields",
        lambda pairs: encodeFields((n.upper(), v) for n, v in pairs),
    ),
    "another exception": (grammar, "chunkExtensions", lambda content, start=0: 1 // len(content[start:])),
}

_fastRequest, _fastResponse = machine.fastRequestHead, machine.fastResponseHead


_PATHS = {
    "fastRequestHead": "http.requestHead",
    "fastResponseHead": "http.responseHead",
}


def _misread(found: Any) -> Any:
    if found is not None:
        found[0].version = "HTTP/1.0"
    return found


def _append(queue: ByteQueue, data: bytes) -> None:
    if queue._line:
        del queue._line[:1]
    _reallyAppend(queue, data)


_reallyAppend = ByteQueue.append


@pytest.mark.parametrize("bug", _PLANTED)
def test_noticesPlantedBugs(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, name, value = _PLANTED[bug]
    if name.startswith("fast") and not _fast.isOn(_PATHS[name]):
        pytest.skip("this fast path is switched off")
    monkeypatch.setattr(target, name, value)

    def isNoticed(raw: bytes) -> bool:
        try:
            judge(raw)
        except Exception:
            return True
        return False

    assert any(isNoticed(path.read_bytes()) for path in CORPUS)
