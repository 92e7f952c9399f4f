"""
The matching of reads to arrived bytes, as a state machine: whatever happens in whatever order, no byte is lost,
doubled or reordered.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import cycle
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.support import more
from wasinet_twisted.errors import ConnectionClosed, IncompleteRead, LimitExceeded
from wasinet_twisted.net.stream.incoming import Incoming
from wasinet_twisted.net.stream.wants import Exactly, Line, ToEnd, Until, Want

pytestmark = pytest.mark.reactorless

# Few kinds of bytes, so that separators and parts of them are frequent.
ALPHABET = b"a-\n"
WAIT = object()

# A want, and what it is to give: of the bytes that are there, and at the end of the stream.
Model = Callable[[bytes, bool], object]


def exactly(size: int) -> tuple[Want, Model]:
    def model(pending: bytes, ended: bool) -> object:
        return pending[:size] if len(pending) >= size else IncompleteRead if ended else WAIT

    return Exactly(size), model


def until(separator: bytes, most: int) -> tuple[Want, Model]:
    def model(pending: bytes, ended: bool) -> object:
        end = pending.find(separator) + len(separator)
        if separator in pending and end <= most:
            return pending[:end]
        if len(pending) >= most or separator in pending:
            return LimitExceeded
        return IncompleteRead if ended else WAIT

    return Until(separator, most), model


def line(most: int) -> tuple[Want, Model]:
    _, whole = until(b"\n", most)

    def model(pending: bytes, ended: bool) -> object:
        given = whole(pending, ended)
        return pending if given is IncompleteRead else given

    return Line(most), model


def toEnd(most: int) -> tuple[Want, Model]:
    def model(pending: bytes, ended: bool) -> object:
        return LimitExceeded if len(pending) > most else pending if ended else WAIT

    return ToEnd(most), model


def some(most: int) -> tuple[int, Model]:
    def model(pending: bytes, ended: bool) -> object:
        return pending[:most] if pending or ended else WAIT

    return most, model


SIZES = st.integers(1, 12)
ASKED = st.one_of(
    st.builds(some, SIZES),
    st.builds(some, SIZES),
    st.builds(exactly, st.integers(0, 12)),
    st.builds(until, st.sampled_from([b"\n", b"-\n", b"--", b"a-a\n"]), SIZES),
    st.builds(line, SIZES),
    st.builds(toEnd, st.integers(0, 30)),
)


class IncomingMachine(RuleBasedStateMachine):
    # How many have been made, by all of these.
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.incoming = Incoming()
        # What has arrived and has not been given to anybody, as it should be.
        self.pending = b""
        self.model: Model | None = None
        self.asked: Any = None
        self.untold: Exception | None = None

    def ask(self) -> bytes | None:
        return self.incoming.read(self.asked) if isinstance(self.asked, int) else self.incoming.ask(self.asked)

    def judge(self, call: Callable[[], bytes | None]) -> None:
        """
        See that what C{call} gives to the read is what it should get.
        """
        assert self.model is not None
        expected = self.model(self.pending, self.incoming.ended)
        if self.incoming.ended and self.untold is not None:
            # A failure comes before what only the end would give.
            early = self.model(self.pending, False)
            if early is WAIT:
                expected, self.untold = self.untold, None
            else:
                expected = early
        try:
            given: object = call()
        except IncompleteRead as error:
            assert expected is IncompleteRead
            assert error.partial == self.pending
            self.pending = b""
        except LimitExceeded:
            assert expected is LimitExceeded
        except ConnectionClosed as error:
            assert error is expected
        else:
            if given is None:
                assert expected is WAIT
                return
            assert given == expected
            assert isinstance(given, bytes)
            self.pending = self.pending[len(given) :]
        self.model = None

    @precondition(lambda self: not self.incoming.ended)
    @rule(data=st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=12).map(bytes))
    def arrive(self, data: bytes) -> None:
        self.pending += data
        if self.model is None:
            assert self.incoming.arrived(data) is None
        else:
            self.judge(lambda: self.incoming.arrived(data))

    @precondition(lambda self: self.model is None)
    @rule(asked=ASKED)
    def read(self, asked: tuple[Any, Model]) -> None:
        self.asked, self.model = asked
        self.judge(self.ask)

    @precondition(lambda self: self.model is not None)
    @rule()
    def cancel(self) -> None:
        self.incoming.cancel()
        self.model = None

    @precondition(lambda self: self.model is None)
    @rule(data=st.lists(st.sampled_from(ALPHABET), max_size=5).map(bytes))
    def unread(self, data: bytes) -> None:
        self.incoming.unread(data)
        self.pending = data + self.pending

    @rule(failing=st.booleans())
    def end(self, failing: bool) -> None:
        failure = ConnectionClosed("gone") if failing else None
        if not self.incoming.ended:
            self.untold = failure
        waited = self.incoming.end(failure)
        assert waited == (self.model is not None)
        if waited:
            self.judge(self.ask)

    @invariant()
    def nothingLost(self) -> None:
        IncomingMachine.steps += 1
        assert self.incoming.size == len(self.pending)
        assert (self.incoming.waiting > 0 or self.incoming.want is not None) == (self.model is not None)


IncomingMachine.TestCase.settings = settings(max_examples=more(200, 20), stateful_step_count=40, deadline=None)


class MachineTests(SynchronousTestCase):
    def test_manySteps(self) -> None:
        """
        Whatever happens in whatever order, and that in 4,000 steps at the least.
        """
        IncomingMachine.steps = 0
        run_state_machine_as_test(IncomingMachine, settings=IncomingMachine.TestCase.settings)
        self.assertGreater(IncomingMachine.steps, more(4000, 20))


class IncomingTests(SynchronousTestCase):
    def test_oneChunkIsGivenByReference(self) -> None:
        incoming = Incoming()
        data = b"x" * 1000
        incoming.arrived(data)
        self.assertIs(incoming.read(1000), data)

    def test_severalChunksAreJoinedUpToTheBound(self) -> None:
        incoming = Incoming()
        for piece in (b"abc", b"def", b"ghi"):
            incoming.arrived(piece)
        self.assertEqual([incoming.read(4), incoming.read(100)], [b"abcd", b"efghi"])

    def test_theFailureComesAfterTheBytesAndOnce(self) -> None:
        incoming = Incoming()
        incoming.arrived(b"last words")
        incoming.end(ConnectionClosed("reset"))
        incoming.end(ConnectionClosed("another"))
        self.assertEqual(incoming.read(100), b"last words")
        error = self.assertRaises(ConnectionClosed, incoming.read, 100)
        self.assertEqual(str(error), "reset")
        self.assertEqual([incoming.read(1), incoming.read(1)], [b"", b""])

    def test_discardedBytesAreGone(self) -> None:
        incoming = Incoming()
        incoming.arrived(b"abc")
        incoming.discard()
        self.assertEqual(incoming.size, 0)
        self.assertIsNone(incoming.read(10))

    def test_smallPiecesAreHeldInLittleMoreThanTheirSize(self) -> None:
        """
        As they come by TLS, in records of any size, while nobody reads, and while a read waits for all of them.
        """
        total = 256 * 1024
        for sizes in ((1,), (2,), (1, 511), (1, 512), (511,), (3, 3, 3, 600)):
            for waits in (False, True):
                incoming = Incoming()
                if waits:
                    self.assertIsNone(incoming.ask(Exactly(total + 1000)))
                turn = cycle(sizes)
                tracemalloc.start()
                try:
                    while incoming.size < total:
                        self.assertIsNone(incoming.arrived(bytes(next(turn))))
                    held = tracemalloc.get_traced_memory()[0]
                finally:
                    tracemalloc.stop()
                self.assertLess(held, 2 * total + 32 * 1024, sizes)

    def test_joinedPiecesAreReadAsTheyCame(self) -> None:
        """
        Whatever the sizes, of what comes and of what is asked for.
        """
        random = Random(1)
        for _ in range(50):
            incoming = Incoming()
            data = random.randbytes(60_000)
            came = went = 0
            while went < len(data):
                for _ in range(random.choice((0, 1, 50))):
                    size = random.choice((1, 2, 30, 511, 512, 600, 5000))
                    if came < len(data):
                        incoming.arrived(data[came : came + size])
                        came = min(came + size, len(data))
                if incoming.size:
                    given = incoming.read(random.choice((1, 100, 511, 4096, 20_000, 100_000)))
                    assert given is not None
                    self.assertIs(type(given), bytes)
                    self.assertEqual(given, data[went : went + len(given)])
                    went += len(given)
                    if random.random() < 0.1:
                        incoming.unread(given)
                        went -= len(given)
                self.assertEqual(incoming.size, came - went)

    def test_aWantSeesEachByteOnce(self) -> None:
        shown: list[bytes] = []

        class Watching(Exactly):
            def show(self, piece: bytes) -> int | None:
                shown.append(piece)
                return super().show(piece)

        incoming = Incoming()
        data = bytes(range(256)) * 4
        for byte in data[:500]:
            incoming.arrived(bytes([byte]))
        self.assertEqual(incoming.read(100), data[:100])
        self.assertIsNone(incoming.ask(Watching(900)))
        for byte in data[500:999]:
            self.assertIsNone(incoming.arrived(bytes([byte])))
        self.assertEqual(incoming.arrived(data[999:]), data[100:1000])
        self.assertEqual(b"".join(shown), data[100:])
        self.assertEqual({type(piece) for piece in shown}, {bytes})
