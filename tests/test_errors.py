"""
The tree of exceptions: whose fault each is, and the status that answers a client's.
"""

from __future__ import annotations

import inspect

import pytest

from wasinet_twisted import errors

pytestmark = pytest.mark.reactorless

# What a server answers to the client that has caused it.
HINTS = {
    errors.RemoteProtocolError: 400,
    errors.MessageTooLarge: 400,
    errors.ContentError: 400,
    errors.InvalidHandshake: 400,
    errors.IncompleteRead: 400,
    errors.SlowBody: 408,
}


def test_statusHints() -> None:
    """
    An error that a client causes has one; no other has: nobody would be there to be answered, or it isn't to blame.
    """
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, Exception)]
    assert errors.HandshakeFailed in classes
    for kind in classes:
        hint = getattr(kind("x"), "statusHint", None)
        assert hint == HINTS.get(kind), kind


def test_hintsOfOnesOwn() -> None:
    for kind in (errors.RemoteProtocolError, errors.MessageTooLarge, errors.ContentError):
        assert kind("x", statusHint=431).statusHint == 431


def test_kin() -> None:
    assert issubclass(errors.InvalidResponse, errors.LocalProtocolError)
    assert issubclass(errors.SlowBody, errors.TimedOut)
    assert all(issubclass(kind, errors.WasinetError) for kind in HINTS)
