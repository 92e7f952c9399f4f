"""
The arithmetic of time: what a peer has earned by what it has taken, and what a L{Timing} takes.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from math import inf, nan

import pytest

from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.http.clientconnection import ClientTiming
from wasinet_twisted.http.timing import Clock, ServerClock, Taking, Timing

# What a peer takes

TIMING = Timing(bodyGrace=20.0, responseRate=500.0)


def earns(taking: Taking, seconds: float) -> None:
    """
    Check what a peer that has begun at 100 has earned, and what that means.
    """
    assert taking.earned(500.0) == seconds
    assert taking.deadline(TIMING) == 120.0 + seconds


def test_aPeerThatTakesNothingEarnsNothing() -> None:
    taking = Taking(10_000, 100.0)
    earns(taking, 0.0)
    taking.look(10_000, 110.0)
    earns(taking, 0.0)


def test_eachByteEarnsTime() -> None:
    taking = Taking(10_000, 100.0)
    taking.look(9_000, 110.0)
    earns(taking, 2.0)
    taking.look(8_000, 115.0)
    earns(taking, 4.0)
    assert taking.left == 8_000


def test_noMoreIsEarnedThanUntilThePeerTookSomeLast() -> None:
    """
    Two megabytes are worth more than an hour, but not to a peer that took them at once and then no more.
    """
    taking = Taking(2_000_000, 100.0)
    taking.look(10_000, 101.0)
    earns(taking, 1.0)
    # To look again changes nothing ...
    taking.look(10_000, 150.0)
    earns(taking, 1.0)
    # ... but the next byte does.
    taking.look(9_999, 118.0)
    earns(taking, 18.0)


def test_whatIsQueuedMeanwhileCostsNothingAndEarnsNothing() -> None:
    taking = Taking(10_000, 100.0)
    taking.look(9_000, 110.0)
    taking.look(50_000, 112.0)
    earns(taking, 2.0)
    assert taking.left == 50_000
    taking.look(49_500, 115.0)
    earns(taking, 3.0)


def test_moreThatIsQueuedIsNoProgress() -> None:
    taking = Taking(2_000, 100.0)
    taking.look(1_000, 101.0)
    taking.look(5_000, 110.0)
    earns(taking, 1.0)


@pytest.mark.parametrize(
    ("rate", "took", "seconds"),
    [(0.0, 1, 10.0), (0.5, 4, 8.0), (1.0, 8, 8.0), (1.0, 1_000, 10.0), (500.0, 1_000, 2.0), (inf, 1_000, 0.0)],
)
def test_theRate(rate: float, took: int, seconds: float) -> None:
    """
    Without one, whatever is taken is enough until then; with an infinite one, nothing is.
    """
    taking = Taking(10_000, 100.0)
    taking.look(10_000 - took, 110.0)
    assert taking.earned(rate) == seconds


def test_whatHasAllBeenTakenIsForgotten() -> None:
    clock = Clock(TIMING, 0.0)
    # It tells when the last of it has been taken, and only then.
    assert [clock.taken(left, now) for left, now in ((0, 1.0), (10, 2.0), (5, 3.0), (0, 4.0), (0, 5.0))] == [
        False, False, False, True, False,
    ]  # fmt: skip
    assert (clock.taking, clock.response(), clock.pieceAt) == (None, inf, 4.0)


def test_closingTakesWhatHasBeenEarned() -> None:
    clock = Clock(TIMING, 0.0)
    assert clock.closing() == inf
    clock.closeBy = 30.0
    assert clock.closing() == 30.0
    clock.taken(1_000, 0.0)
    assert clock.closing() == 30.0
    clock.taken(500, 10.0)
    assert clock.closing() == 31.0


# How long somebody waits for a body


def test_howLongABodyMayHaveTaken() -> None:
    timing = Timing(bodyGrace=20.0, bodyRate=500.0)
    assert [timing.slowest(amount) for amount in (0, 1, 500, 1_000_000)] == [20.0, 20.002, 21.0, 2020.0]
    # Without a rate any byte is enough, but there has to be one.
    assert Timing(bodyGrace=20.0, bodyRate=0).slowest(0) == 20.0
    assert Timing(bodyGrace=20.0, bodyRate=0).slowest(1) > 1e6
    assert Timing(bodyGrace=20.0, bodyRate=inf).slowest(1_000_000) == 20.0


def test_onlyTheTimeOfWaitingIsCounted() -> None:
    clock = ServerClock(Timing(bodyGrace=20.0), 0.0)
    assert clock.body(0) == inf
    clock.wait(10.0)
    assert clock.body(0) == 30.0
    clock.waitNoMore(13.0)
    # Whoever doesn't wait can't end a wait.
    clock.waitNoMore(50.0)
    assert (clock.waited, clock.body(0)) == (3.0, inf)
    clock.wait(60.0)
    assert clock.body(0) == 77.0
    clock.waitNoMore(61.0)
    clock.begin(70.0)
    assert clock.waited == 0.0


# What it takes


@pytest.mark.parametrize("kind", [Timing, ClientTiming])
def test_eachNumberIsChecked(kind: type[Timing]) -> None:
    for each in fields(kind):
        for value in (-1, -0.001, nan, "1", True, b"1", [], None):
            if value is None and each.default is None:
                assert getattr(kind(**{each.name: None}), each.name) is None
                continue
            with pytest.raises(InvalidArgument, match=rf"^{kind.__name__}\.{each.name} must be "):
                kind(**{each.name: value})


COUNTS = {"lingerBytes": 0, "buffered": 0, "unreadBody": 0, "requests": 1}


@pytest.mark.parametrize("name", [each.name for each in fields(ClientTiming) if each.name not in COUNTS])
def test_secondsAndRatesAreNumbers(name: str) -> None:
    for value in (0, 0.25, 7, inf):
        assert getattr(ClientTiming(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "least"), COUNTS.items())
def test_countsAreWholeNumbers(name: str, least: int) -> None:
    """
    No connection can bring two and a half requests, or none.
    """
    for value in (least, least + 1, 10**12):
        assert getattr(Timing(**{name: value}), name) == value
    for wrong in (least - 1, float(least), 2.5, inf):
        with pytest.raises(InvalidArgument, match=rf"must be a whole number of at least {least}, not {wrong}$"):
            Timing(**{name: wrong})


def test_manyConnectionsShareOne() -> None:
    """
    So that it doesn't change; and twelve numbers in a row say nothing.
    """
    with pytest.raises(FrozenInstanceError):
        Timing().head = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        Timing(1.0)  # type: ignore[misc]


def test_theDefaults() -> None:
    assert Timing() == Timing(
        head=10.0,
        idle=75.0,
        bodyRate=500.0,
        bodyGrace=20.0,
        responseRate=500.0,
        handler=None,
        halfClosed=5.0,
        flush=30.0,
        lingerSeconds=2.0,
        lingerBytes=64 * 2**20,
        buffered=256 * 1024,
        unreadBody=256 * 1024,
        requests=None,
    )
