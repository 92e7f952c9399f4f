"""
The matching of reads to arrived bytes, as a state machine: whatever happens in whatever order, no byte is lost,
doubled or reordered.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.errors import ConnectionClosed
from wasinet_twisted.net.reading import Incoming


class IncomingMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.incoming = Incoming()
        self.sent = b""
        self.received = b""
        self.count = 0
        self.waiting = 0
        self.untold: Exception | None = None

    @precondition(lambda self: not self.incoming.ended)
    @rule(size=st.integers(1, 12))
    def arrive(self, size: int) -> None:
        data = bytes((self.count + index) % 251 for index in range(size))
        self.count += size
        self.sent += data
        given = self.incoming.arrived(data)
        assert (given is not None) == bool(self.waiting)
        if given is not None:
            assert 0 < len(given) <= self.waiting
            self.received += given
            self.waiting = 0

    @precondition(lambda self: not self.waiting)
    @rule(most=st.integers(1, 15))
    def read(self, most: int) -> None:
        pending = len(self.sent) - len(self.received)
        try:
            given = self.incoming.read(most)
        except ConnectionClosed as error:
            assert not pending
            assert error is self.untold
            self.untold = None
            return
        if given is None:
            assert not pending
            assert not self.incoming.ended
            self.waiting = most
        elif given:
            assert len(given) == min(most, pending)
            self.received += given
        else:
            assert self.incoming.ended
            assert not pending
            assert self.untold is None

    @precondition(lambda self: self.waiting)
    @rule()
    def cancel(self) -> None:
        self.incoming.waiting = self.waiting = 0

    @rule(failing=st.booleans())
    def end(self, failing: bool) -> None:
        failure = ConnectionClosed("gone") if failing else None
        if not self.incoming.ended:
            self.untold = failure
        waited = self.incoming.end(failure)
        assert waited == bool(self.waiting)
        self.waiting = 0

    @invariant()
    def nothingLost(self) -> None:
        assert self.sent.startswith(self.received)
        assert self.incoming.size == len(self.sent) - len(self.received)
        assert self.incoming.waiting == self.waiting


TestIncomingMachine = IncomingMachine.TestCase
TestIncomingMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


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
