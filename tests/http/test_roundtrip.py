"""
What is encoded parses back, and what is damaged is refused in one way, whatever the cuts.
"""

from __future__ import annotations

from typing import Any

import h11
import httptools
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support import more
from wasinet_twisted.errors import IncompleteRead, MessageTooLarge, RemoteProtocolError
from wasinet_twisted.http import Limits, WasiRequest

from .strategies import Answer, Edit, answers, edits, requests
from .support import Outcome, check, describe, outcomes

# Time isn't what is tested here, and the same examples come each time: a failure in CI is one at home.
usual = settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=more(200, 20),
    suppress_health_check=[HealthCheck.too_slow],
)
few = settings(usual, max_examples=more(70, 20))

cuts = st.lists(st.floats(0, 1), max_size=8)


def cutAt(data: bytes, shares: list[float]) -> list[int]:
    return [int(share * len(data)) for share in shares]


def assertOutcome(outcome: Outcome, messages: list[Any], rest: bytes | None = None) -> None:
    assert outcome.failure is None
    assert outcome.messages == tuple(describe(message) for message in messages)
    assert outcome.rest == rest


@usual
@given(requests(), cuts)
def test_requestsParseBack(message: WasiRequest, shares: list[float]) -> None:
    data = message.encode()
    expected = message.framed()
    assertOutcome(check(data), [expected])
    assertOutcome(outcomes(data, cutAt(data, shares)), [expected])
    # What came has nothing to add, and may be sent on.
    assert expected.framed() == expected
    assert expected.encode() == data


@usual
@given(answers(), cuts)
def test_responsesParseBack(answer: Answer, shares: list[float]) -> None:
    data = answer.encode()
    expected = answer.framed()
    rest = b"" if answer.opensTunnel else None
    for eof in (False, True):
        assertOutcome(check(data, "response", answer.method, eof), [expected], rest)
    assertOutcome(outcomes(data, cutAt(data, shares), "response", answer.method), [expected], rest)


@few
@given(st.lists(requests(), max_size=5), requests(), cuts, st.integers(0, 4))
def test_pipelinedRequestsParseBack(
    messages: list[WasiRequest], last: WasiRequest, shares: list[float], emptyLines: int
) -> None:
    # A CONNECT stops the pipeline, so it may only be the last.
    messages = [message for message in messages if message.method != "CONNECT"] + [last]
    data = (b"\r\n" * emptyLines).join(message.encode() for message in messages)
    expected = [message.framed() for message in messages]
    assertOutcome(check(data), expected)
    assertOutcome(outcomes(data, cutAt(data, shares), events=True), expected)


@few
@given(st.lists(answers(), max_size=5), answers(), cuts)
def test_pipelinedResponsesParseBack(messages: list[Answer], last: Answer, shares: list[float]) -> None:
    messages = [answer for answer in messages if not answer.opensTunnel] + [last]
    # An interim response answers what the next one answers.
    methods: list[str] = []
    data = b""
    expected = []
    for answer in messages:
        if answer.isInterim:
            answer = Answer(answer.response, "GET")
        else:
            methods.append(answer.method)
        data += answer.encode()
        expected.append(answer.framed())
    rest = b"" if last.opensTunnel else None
    assertOutcome(check(data, "response", methods), expected, rest)
    assertOutcome(outcomes(data, cutAt(data, shares), "response", methods, events=True), expected, rest)


def assertDocumented(outcome: Outcome) -> None:
    failure = outcome.failure
    if failure is None:
        return
    assert failure.kind in (RemoteProtocolError, MessageTooLarge, IncompleteRead)
    assert failure.text.isprintable()
    if failure.kind is not IncompleteRead:
        assert failure.statusHint in (400, 413, 414, 431, 501, 505)
        assert failure.offset is not None
        assert failure.offset >= 0


small = Limits(
    requestLine=60, head=300, fields=5, body=70, responseBody=70, chunkExtensions=6, trailers=30, emptyLines=2
)


@usual
@given(requests(), requests(), st.lists(edits, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_damagedRequests(one: WasiRequest, two: WasiRequest, damage: list[Edit], eof: bool, tight: bool) -> None:
    data = one.encode() + two.encode()
    assume(len(data) < 3000)
    for edit in damage:
        data = edit.apply(data)
    assertDocumented(check(data, eof=eof, limits=small if tight else Limits()))


@usual
@given(answers(), answers(), st.lists(edits, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_damagedResponses(one: Answer, two: Answer, damage: list[Edit], eof: bool, tight: bool) -> None:
    data = one.encode() + two.encode()
    assume(len(data) < 3000)
    for edit in damage:
        data = edit.apply(data)
    methods = (one.method, two.method)
    assertDocumented(check(data, "response", methods, eof, small if tight else Limits()))


@few
@given(st.binary(max_size=200), st.sampled_from(("request", "response")), st.booleans())
def test_garbage(data: bytes, role: str, eof: bool) -> None:
    assertDocumented(check(data, role, eof=eof))


# Others read what we send


@few
@given(requests())
def test_h11ReadsRequests(message: WasiRequest) -> None:
    assume(message.version == "HTTP/1.1")
    framed = message.framed()
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(message.encode())
    head = peer.next_event()
    assert isinstance(head, h11.Request)
    assert (head.method, head.target) == (message.method.encode(), message.uri.encode())
    assert [value.decode("latin-1") for name, value in head.headers if name != b"transfer-encoding"] == [
        value for name, value in framed.fields() if name.lower() != "transfer-encoding"
    ]
    body, trailers = b"", []
    while not isinstance(event := peer.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += bytes(event.data)
    trailers = [value.decode("latin-1") for _, value in event.headers]
    assert body == framed.body
    assert trailers == [value for _, value in framed.trailers.items()]


class Collected:
    """
    What httptools calls.
    """

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.reason = b""
        self.complete = 0

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete += 1


@few
@given(answers())
def test_httptoolsReadsResponses(answer: Answer) -> None:
    # It can't be told of HEAD and CONNECT, and takes Upgrade for a tunnel.
    assume(answer.method not in ("HEAD", "CONNECT") and answer.response.status >= 200)
    assume(not any(name.lower() in ("upgrade", "connection") for name, _ in answer.response.fields()))
    framed = answer.framed()
    assume(not framed.trailers)
    collected = Collected()
    parser = httptools.HttpResponseParser(collected)
    parser.feed_data(answer.encode())
    assert collected.complete == 1
    assert parser.get_status_code() == framed.status
    assert collected.body == framed.body
    assert [
        (name.decode(), value.decode("latin-1").strip(" \t")) for name, value in collected.fields
    ] == framed.fields()
