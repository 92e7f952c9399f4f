"""
The table of states: what is in it, what isn't, and the steps that take it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from tests.http import exchangediagram
from wasinet_twisted.errors import LocalProtocolError
from wasinet_twisted.http.exchange import (
    ASKED,
    ASKING,
    CLOSED,
    CLOSES,
    EVENTS,
    HEAD,
    IDLE,
    OVER,
    REQUEST_ENDS,
    STATES,
    SWITCHED,
    TRANSITIONS,
    TUNNEL,
    UNREAD,
    Exchange,
)

ALL_STATES = range(len(STATES))
ALL_EVENTS = range(len(EVENTS))
GOES_ON = (True, False)

Said = tuple[object, ...]


def made(state: int, goesOn: bool = True, method: str = "GET") -> Exchange:
    exchange = Exchange()
    exchange.state = state
    exchange.goesOn = goesOn
    exchange.method = method
    exchange.count = 3
    return exchange


def said(exchange: Exchange) -> Said:
    """
    All that an exchange knows, comparable.
    """
    return (STATES[exchange.state], exchange.method, exchange.goesOn, exchange.count)


def after(state: int, goesOn: bool, steps: Callable[[Exchange], None]) -> Said | None:
    """
    What an exchange says after some steps; L{None}: one of them was refused.
    """
    exchange = made(state, goesOn)
    try:
        steps(exchange)
    except LocalProtocolError:
        return None
    return said(exchange)


@pytest.mark.parametrize(("state", "event"), list(product(ALL_STATES, ALL_EVENTS)))
def test_eachEventInEachState(state: int, event: int) -> None:
    exchange = made(state)
    before = said(exchange)
    if (state, event) in TRANSITIONS:
        exchange.move(event)
        assert exchange.state == TRANSITIONS[state, event]
        assert said(exchange)[1:] == before[1:]
    else:
        with pytest.raises(LocalProtocolError, match=f"{EVENTS[event]} in the state {STATES[state]} "):
            exchange.move(event)
        assert said(exchange) == before


def test_everyStateIsReached() -> None:
    reached = {IDLE}
    while more := {to for (state, _), to in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(ALL_STATES)


def test_closedIsFinal() -> None:
    assert not [event for state, event in TRANSITIONS if state == CLOSED]
    # Every other state leads there, and those without another exchange lead nowhere else.
    for state in ALL_STATES:
        if state != CLOSED:
            assert TRANSITIONS[state, CLOSES] == CLOSED
    for state in (OVER, TUNNEL):
        assert [event for each, event in TRANSITIONS if each == state] == [CLOSES]


@pytest.mark.parametrize(("asks", "answers"), list(product(GOES_ON, GOES_ON)))
def test_theConnectionGoesOnWhenBothLetIt(asks: bool, answers: bool) -> None:
    for early, ends in ((False, IDLE), (True, UNREAD)):
        exchange = Exchange()
        exchange.request("GET", asks)
        if not early:
            exchange.move(REQUEST_ENDS)
        exchange.response(answers)
        exchange.responseEnds()
        assert exchange.state == (ends if asks and answers else OVER)


@pytest.mark.parametrize(
    ("status", "method", "opens"),
    [
        (101, "GET", True),
        (200, "CONNECT", True),
        (299, "CONNECT", True),
        (100, "GET", False),
        (200, "GET", False),
        (300, "CONNECT", False),
    ],
)
def test_whatOpensATunnel(status: int, method: str, opens: bool) -> None:
    exchange = made(ASKED, method=method)
    if opens:
        exchange.switch(status)
        assert exchange.state == TUNNEL
        return
    with pytest.raises(LocalProtocolError):
        exchange.switch(status)
    assert exchange.state == ASKED


def test_aTunnelIsOpenedAfterTheRequestOnly() -> None:
    assert [state for state, event in TRANSITIONS if event == SWITCHED] == [ASKED]


def test_whatIsAskedOfTheStates() -> None:
    def those(asks: Callable[[Exchange], bool]) -> set[str]:
        return {STATES[state] for state in ALL_STATES if asks(made(state))}

    assert those(Exchange.isOpen) == {"IDLE", "HEAD", "ASKING", "ASKED", "EARLY", "ANSWERING", "UNREAD"}
    assert those(Exchange.isRequestComplete) == {"ASKED", "ANSWERING"}
    assert those(Exchange.isAnswered) == {STATES[each] for each in ALL_STATES if each not in (HEAD, ASKING, ASKED)}


def test_thePageAndThePictureShowTheTable() -> None:
    """
    C{python -m tests.http.exchangediagram} draws them anew.
    """
    page = (exchangediagram.DOCS / "exchange.md").read_text(encoding="utf-8")
    assert page == exchangediagram.page(page)
    assert (exchangediagram.DOCS / "exchange.svg").read_text(encoding="utf-8") == exchangediagram.svg()
    meanings = page.partition("| state |")[2].partition("\n\n")[0]
    assert [line.split("`")[1] for line in meanings.splitlines() if line.startswith("| `")] == list(STATES)
