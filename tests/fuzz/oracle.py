"""
What has to hold for any bytes whatever: the judge of the fuzz target and of its corpus.

L{judge} feeds one input to the parser in many ways and raises AssertionError if
two of them differ, if an exception comes out that is not documented, if len()
doesn't add up, or if a message doesn't survive its own encoding.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, NamedTuple

from tests.http.support import coldCache, slowPath, takenAtOnce
from wasinet_twisted.errors import IncompleteRead, LocalProtocolError, MessageTooLarge, RemoteProtocolError
from wasinet_twisted.http import Buffer, Data, EndOfMessage, Limits, RequestHead, WasiRequest, WasiResponse

_METHODS = ("GET", "HEAD", "CONNECT", "POST")
SMALL = Limits(
    requestLine=40, head=120, fields=4, body=20, responseBody=20, chunkExtensions=6, trailers=20, emptyLines=1
)
# A message may gain a field when it is encoded.
_LARGE = Limits(requestLine=1 << 20, head=1 << 21, fields=1000, trailers=1 << 20)
# How long a body may be that a server is given with its head.
_SERVED = 64
_STATUS_HINTS = (400, 413, 414, 431, 501, 505)


class Input(NamedTuple):
    """
    What the bytes of a fuzzer mean. The first of them chooses all but C{data}.

    @ivar method: which method the responses answer.
    @ivar eof: does the stream end after C{data}?
    @ivar tight: are the limits small?
    @ivar accepts: is a CONNECT accepted, or declined?
    """

    role: str
    method: str
    eof: bool
    tight: bool
    accepts: bool
    data: bytes

    def encode(self) -> bytes:
        """
        As a file of the corpus.
        """
        flags = (
            (self.role == "response")
            | _METHODS.index(self.method) << 1
            | self.eof << 3
            | self.tight << 4
            | self.accepts << 5
        )
        return bytes((flags | 0x40,)) + self.data


def decode(raw: bytes) -> Input:
    """
    Read the bytes of a fuzzer; no byte at all is a request without any.
    """
    flags = raw[0] if raw else 0
    role = "response" if flags & 1 else "request"
    return Input(role, _METHODS[flags >> 1 & 3], bool(flags & 8), bool(flags & 16), bool(flags & 32), raw[1:])


class Outcome(NamedTuple):
    """
    What a Buffer made of an input.

    @ivar failure: kind, text, status hint and offset, or partial and expected.
    @ivar rest: of a tunnel.
    @ivar held: len() at the end.
    """

    messages: tuple[tuple[Any, ...], ...]
    failure: tuple[Any, ...] | None
    rest: bytes | None
    held: int


class _Reader:
    """
    One Buffer that is fed and emptied, and checked at every step.

    @ivar view: C{"parse"}, C{"events"}, C{"mixed"} (these two by turns, a message each), or C{"server"}.
    @ivar objects: the messages C{parse…} gave.
    """

    def __init__(self, given: Input, view: str) -> None:
        self.given = given
        self.view = view
        self.buffer = Buffer(given.role, SMALL if given.tight else Limits())  # type: ignore[arg-type]
        self.messages: list[tuple[Any, ...]] = []
        self.objects: list[WasiRequest | WasiResponse] = []
        self.failure: tuple[Any, ...] | None = None
        self.rest: bytes | None = None
        # Of the message that is being streamed.
        self.head: tuple[Any, ...] | None = None
        self.pieces: list[bytes] = []
        self._expect()

    def feed(self, piece: bytes) -> None:
        before = len(self.buffer)
        if self.view == "server" and self.head is None and self.failure is None and not self.buffer.isTunnel:
            try:
                head = takenAtOnce(self.buffer, piece, RequestHead, _SERVED)
            except RemoteProtocolError as error:
                # In a chunked body that has come with its head.
                self.failure = self._describe(error)
                self._assertStaysFailed(error)
                return
            if head is not None:
                assert before == 0, "a request was taken at once, but something else was there"
                self._gotHead(head)
                return
        self.buffer.append(piece)
        after = 0 if self.failure else before + len(piece)
        assert len(self.buffer) == after, f"len() is {len(self.buffer)} after {len(piece)} more than {before}"

    def drain(self) -> None:
        """
        Take until there is nothing more.
        """
        while self.failure is None:
            before = len(self.buffer)
            try:
                took = self._take()
            except (RemoteProtocolError, IncompleteRead) as error:
                self.failure = self._describe(error)
                self._assertStaysFailed(error)
                return
            after = len(self.buffer)
            if took is None:
                # In the events view what only frames the data counts as handed out with it.
                same = after <= before if self._streams() else after == before
                assert same, f"nothing was handed out, but len() went from {before} to {after}"
                return
            assert after <= before - took, f"{took} bytes were handed out, but len() went from {before} to {after}"

    def finish(self) -> Outcome:
        return Outcome(tuple(self.messages), self.failure, self.rest, len(self.buffer))

    def _expect(self) -> None:
        if self.given.role == "response":
            self.buffer.expectResponse(self.given.method)

    def _streams(self) -> bool:
        return self.view in ("events", "server") or (self.view == "mixed" and len(self.messages) % 2 == 1)

    def _take(self) -> int | None:
        if self.view == "server" and self.head is None and not self.buffer.isTunnel:
            head = self.buffer.nextRequest(RequestHead, _SERVED)
            if head is None:
                return self._tunnel()
            return self._gotHead(head)
        return self._takeEvent() if self._streams() else self._takeMessage()

    def _gotHead(self, head: RequestHead) -> int:
        """
        A server has been given a head; with its body, if that has come.
        """
        start = (*startOf(head), tuple(head.fields()))
        body: bytes | None = head._body
        if body is None:
            self.head = start
            return 10
        self._got((*start, body, ()))
        return len(body) + 10

    def _takeMessage(self) -> int | None:
        """
        @return: how many bytes were handed out at least; L{None}: none, and nothing else either.
        """
        message: WasiRequest | WasiResponse | None
        message = self.buffer.parseRequest() if self.given.role == "request" else self.buffer.parseResponse()
        if message is None:
            return self._tunnel()
        self.objects.append(message)
        trailers = tuple(message.trailers.items())
        self._got((*startOf(message), tuple(message.fields()), message.body, trailers))
        return len(message.body) + 10

    def _takeEvent(self) -> int | None:
        event = self.buffer.nextEvent()
        if event is None:
            return self._tunnel()
        if isinstance(event, Data):
            assert self.head is not None, "Data without a head"
            assert event.data, "an empty Data"
            self.pieces.append(event.data)
            return len(event.data)
        if isinstance(event, EndOfMessage):
            assert self.head is not None, "an end without a head"
            head, self.head = self.head, None
            self._got((*head, b"".join(self.pieces), tuple(event.trailers.items())))
            self.pieces = []
            return 0
        assert self.head is None, "a head inside a message"
        self.head = (*startOf(event), tuple(event.fields()))
        return 10

    def _got(self, message: tuple[Any, ...]) -> None:
        self.messages.append(message)
        if self.given.role == "response":
            if message[0] >= 200:
                self._expect()
        elif message[0] == "CONNECT":
            # Until somebody answers there is nothing to take.
            before = len(self.buffer)
            assert self.buffer.nextEvent() is None
            assert self.buffer.parseRequest() is None
            assert len(self.buffer) == before
            if self.given.accepts:
                self.buffer.acceptTunnel()
            else:
                self.buffer.declineTunnel()

    def _tunnel(self) -> int | None:
        if not self.buffer.isTunnel:
            return None
        rest = self.buffer.takeRest()
        assert not len(self.buffer), "takeRest() left something"
        self.rest = (self.rest or b"") + rest
        return len(rest) or None

    def _describe(self, error: RemoteProtocolError | IncompleteRead) -> tuple[Any, ...]:
        text = str(error)
        assert text.isprintable(), "an error message that a terminal would obey"
        if isinstance(error, IncompleteRead):
            return (type(error), text, b"".join(self.pieces) + error.partial, error.expected)
        assert type(error) in (RemoteProtocolError, MessageTooLarge), type(error)
        assert error.statusHint in _STATUS_HINTS, error.statusHint
        assert 0 <= error.offset <= len(self.given.data), error.offset
        return (type(error), text, error.statusHint, error.offset)

    def _assertStaysFailed(self, error: Exception) -> None:
        assert len(self.buffer) == 0, "a Buffer that failed kept bytes"
        for take in (self._takeEvent, self._takeMessage):
            try:
                take()
            except type(error) as again:
                assert again is error, "another failure"
            else:
                raise AssertionError("a failure was forgotten")


def startOf(head: Any) -> tuple[Any, ...]:
    if isinstance(head, RequestHead):
        return (head.method, head.uri, head.version)
    return (head.status, head.reason, head.version)


def run(given: Input, cuts: Sequence[int], view: str = "parse", late: bool = False) -> _Reader:
    """
    Feed an input to a fresh Buffer.

    @param cuts: where it is cut, in order.
    @param late: take nothing before all is there and the end has been told.
    """
    reader = _Reader(given, view)
    for start, end in pairwise((0, *cuts, len(given.data))):
        reader.feed(given.data[start:end])
        if not late:
            reader.drain()
    if given.eof:
        reader.buffer.eof()
    reader.drain()
    return reader


def _afterMessages(data: bytes) -> list[int]:
    """
    Where, perhaps, messages without a body end.
    """
    return [end for place in range(len(data)) if data.startswith(b"\r\n\r\n", place) and (end := place + 4) < len(data)]


def cutsOf(data: bytes) -> list[int]:
    """
    Some places to cut, which follow from the bytes.
    """
    chance = random.Random(zlib.crc32(data))
    return sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 5)))


def judge(raw: bytes) -> Outcome:
    """
    Run an input all ways.

    @return: what came of it.
    @raise AssertionError: the parser has a bug.
    """
    given = decode(raw)
    data = given.data
    with coldCache():
        first = run(given, ())
    expected = first.finish()
    each = range(1, len(data))
    some = cutsOf(data)
    # Between CR and LF.
    lines = [place for place in each if data[place] == 0x0A]
    ways: tuple[tuple[str, Sequence[int], str, bool, bool, bool], ...] = (
        # name, cuts, view, late, plain, cold
        ("whole, warm cache", (), "parse", False, False, False),
        ("whole, the slow path", (), "parse", False, True, True),
        ("byte by byte", each, "parse", False, False, True),
        ("cut", some, "parse", False, False, False),
        ("cut at line ends, late", lines, "parse", True, True, False),
        ("whole, events", (), "events", False, False, False),
        ("byte by byte, events", each, "events", False, True, True),
        ("cut at line ends, events", lines, "events", False, False, False),
        ("cut, events, late", some, "events", True, False, True),
        ("cut, mixed", some, "mixed", False, False, False),
    )
    if given.role == "request":
        ways += (
            ("whole, server", (), "server", False, False, False),
            ("cut, server", some, "server", False, False, True),
            ("cut after messages, server", _afterMessages(data), "server", False, False, False),
        )
    for name, cuts, view, late, plain, cold in ways:
        with ExitStack() as stack:
            if plain:
                stack.enter_context(slowPath())
            if cold:
                stack.enter_context(coldCache())
            outcome = run(given, cuts, view, late).finish()
        # In the other views, how much of a message has been handed out by the end is for the cuts to say.
        if view == "parse":
            assert outcome == expected, f"{name}: {outcome} instead of {expected}"
        _assertSameMessages(expected, outcome, name)
    _assertPrefixAlone(given, expected)
    for message in first.objects:
        _assertRoundTrip(given, message)
    return expected


def _assertSameMessages(expected: Outcome, outcome: Outcome, name: str) -> None:
    failure = expected.failure
    if failure is not None and failure[0] is MessageTooLarge and failure[2] == 413:
        # A streamed body has no bound: what follows is its own affair.
        same = outcome.messages[: len(expected.messages)] == expected.messages
    else:
        same = outcome[:3] == expected[:3]
    assert same, f"{name}: {outcome} instead of {expected}"


def _assertPrefixAlone(given: Input, expected: Outcome) -> None:
    """
    See that the bytes of the complete messages give them without the rest, and leave nothing.
    """
    if expected.failure is not None or expected.rest is not None or not expected.messages:
        return
    size = len(given.data) - expected.held
    alone = run(given._replace(data=given.data[:size]), ()).finish()
    assert alone == expected._replace(held=0), f"the first {size} bytes alone: {alone} instead of {expected}"


def _assertRoundTrip(given: Input, message: WasiRequest | WasiResponse) -> None:
    buffer = Buffer(given.role, _LARGE)  # type: ignore[arg-type]
    try:
        if isinstance(message, WasiRequest):
            data, framed = message.encode(), message.framed()
        else:
            data, framed = message.encode(given.method), message.framed(given.method)
            buffer.expectResponse(given.method)
    except LocalProtocolError as error:
        # We don't speak HTTP/1.2, and send neither a length nor a coding where there is no body; all else that is
        # read may be sent on.
        response = isinstance(message, WasiResponse)
        assert message.version not in ("HTTP/1.0", "HTTP/1.1") or response, f"can't be sent on: {message}: {error}"
        return
    buffer.append(data)
    back = buffer.parseRequest() if isinstance(message, WasiRequest) else buffer.parseResponse()
    assert back == framed, f"{back} instead of {framed} from {data!r}"
    assert len(buffer) == 0, f"{len(buffer)} bytes left of {data!r}"
