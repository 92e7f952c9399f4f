"""
The fast paths of frames must equal the slow paths, whatever comes and however it is cut.
"""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import more
from wasinet_twisted import _fast
from wasinet_twisted.websocket import WebSocketLimits, frames

from .support import frame

pytestmark = pytest.mark.reactorless

LIMITS = WebSocketLimits(message=300, frame=200)

_payloads = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=8).map(str.encode),
    st.sampled_from((125, 126, 127, 199, 200, 201)).map(bytes),
)
_one = st.builds(
    lambda opcode, payload, fin, masked, rsv: frame(opcode, payload, fin=fin, masked=masked, rsv=rsv),
    st.sampled_from((1, 2, 1, 2, 0, 8, 9, 10, 3)),
    _payloads,
    st.sampled_from((True, True, True, False)),
    st.sampled_from((True, True, True, True, False)),
    st.sampled_from((0, 0, 0, 0, 0, 0, 4)),
)
_sent = st.one_of(st.lists(_one, max_size=6).map(b"".join), st.binary(max_size=20))


def slowly() -> object:
    """
    Without the fast paths.
    """
    return patch.multiple(frames, plainMessage=lambda *_: None, encodeSmall=lambda *_: None)


def events(data: bytes, cuts: list[int], whole: bool = False) -> list[object]:
    """
    What a server reads of C{data}.
    """
    reader = frames.FrameReader(True, None, LIMITS)
    found: list[object] = []
    pieces = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    for piece in pieces:
        if not piece:
            continue
        message = reader.whole(piece) if whole else None
        if message is not None:
            found.append(message)
            continue
        reader.feed(piece)
        while reader.more:
            event = reader.next()
            if event is not None:
                found.append(event)
    return found


@settings(max_examples=more(60, 50))
# What is not masked, and then what is, in another piece.
@example(b"\x81\x01\x00" + b"\x81\x80\x01\x02\x03\x04", [3], False)
@example(b"\x81\x01\x00" + b"\x81\x80\x01\x02\x03\x04", [3], True)
@given(_sent, st.lists(st.integers(0, 400), max_size=5), st.booleans())
def test_read(data: bytes, cuts: list[int], whole: bool) -> None:
    cuts = sorted(min(cut, len(data)) for cut in cuts)
    with slowly():  # type: ignore[attr-defined]
        expected = events(data, [])
    read = events(data, cuts, whole)
    if expected and isinstance(expected[-1], frames.Failed):
        # After a failure the rest is not read.
        assert read[: len(expected)] == expected
    else:
        assert read == expected
    assert [type(each) for each in read] == [type(each) for each in expected]


@given(
    st.one_of(st.text(st.characters(exclude_categories=("Cs",)), max_size=200), st.binary(max_size=200)), st.booleans()
)
def test_written(message: str | bytes, isServer: bool) -> None:
    mask = b"\x09\x08\x07\x06"
    with (
        patch("wasinet_twisted.websocket.fastframes.urandom", lambda _: mask),
        patch("secrets.token_bytes", lambda _: mask),
    ):
        fast = frames.FrameWriter(isServer, None).message(message)
        with slowly():  # type: ignore[attr-defined]
            assert frames.FrameWriter(isServer, None).message(message) == fast


def test_registered() -> None:
    assert {"websocket.message", "websocket.frame"} <= set(_fast.paths)


@pytest.mark.parametrize("piece", [b"", b"a"])
def test_manyFragments(piece: bytes) -> None:
    """
    Their cost is linear, and so is what is kept: counted in calls, not in time.
    """
    limits = WebSocketLimits(message=1 << 20)
    reader = frames.FrameReader(True, None, limits)
    reader.feed(frame(1, b"", fin=False) + frame(0, piece, fin=False) * 5000)
    calls = 0
    while reader.more:
        assert reader.next() is None
        calls += 1
    assert calls == 5001
    reader.feed(frame(0, b"b"))
    assert reader.next() == (piece * 5000).decode() + "b"
