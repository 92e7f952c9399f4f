"""
Feeding a Buffer in every way there is, and comparing what comes of it.

The contract is that the outcome never depends on how the bytes were cut, on the
fast path, on what the field cache remembers, or on the view. So each case of
this folder goes through L{check}, which runs it all ways.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import pytest

from tests.speed.forms import forget
from wasinet_twisted.errors import IncompleteRead, MessageTooLarge, RemoteProtocolError
from wasinet_twisted.http import (
    Buffer,
    Data,
    EndOfMessage,
    Limits,
    RequestHead,
    ResponseHead,
    WasiRequest,
    WasiResponse,
)
from wasinet_twisted.http import fields as fieldsModule
from wasinet_twisted.http import machine as machineModule
from wasinet_twisted.http.asks import asksOf

DEFAULTS = Limits()

# Beyond these sizes a case isn't fed byte by byte in all ways, or at all.
SHORT = 4 * 1024
LONG = 64 * 1024


class Message(NamedTuple):
    """
    All that a message says, comparable.
    """

    start: tuple[Any, ...]
    fields: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        return [value for given, value in self.fields if given.lower() == name.lower()]


class Failure(NamedTuple):
    """
    An error, comparable.
    """

    kind: type[Exception]
    text: str
    statusHint: int | None
    offset: int | None
    partial: bytes | None
    expected: int | None


@dataclass(frozen=True)
class Outcome:
    """
    What a Buffer made of its bytes: the complete messages, then an error, the rest of a tunnel, or nothing.
    """

    messages: tuple[Message, ...]
    failure: Failure | None
    rest: bytes | None


def describe(message: WasiRequest | WasiResponse) -> Message:
    return Message(startOf(message), tuple(message.fields()), message.body, tuple(message.trailers.items()))


def startOf(head: RequestHead | ResponseHead) -> tuple[Any, ...]:
    if isinstance(head, RequestHead):
        return (head.method, head.uri, head.version)
    return (head.status, head.reason, head.version)


def outcomes(
    data: bytes,
    cuts: Iterable[int] | None = None,
    role: str = "request",
    method: str | Sequence[str] | None = None,
    eof: bool = False,
    limits: Limits = DEFAULTS,
    events: bool = False,
    late: bool = False,
    server: bool = False,
) -> Outcome:
    """
    Feed a fresh Buffer and take what it gives until it gives nothing, or fails.

    @param cuts: where C{data} is cut; L{None}: before every byte.
    @param method: what the responses answer: one for all of them, or one for each.
    @param eof: does the stream end after C{data}?
    @param events: take events, and put the messages together again.
    @param late: append every piece (and tell the end) before the first call.
    @param server: take requests as a server does: with their bodies where these have come, else by events.
    """
    buffer = Buffer(role, limits)  # type: ignore[arg-type]
    methods: Iterator[str] = iter(())
    if role == "response":
        methods = iter(() if method is None or isinstance(method, str) else method)
    kind = ServerTaker if server else EventTaker if events else MessageTaker
    taker: Taker = kind(buffer, role, method, methods)
    where = range(len(data)) if cuts is None else sorted(cuts)
    bounds = [0, *where, len(data)]
    pieces = [data[start:end] for start, end in pairwise(bounds) if start < end]
    for piece in pieces:
        taker.feed(piece)
        if not late:
            taker.drain()
    if eof:
        if not late:
            taker.drain()
        buffer.eof()
    taker.drain()
    rest = buffer.takeRest() if buffer.isTunnel and taker.failure is None else None
    return Outcome(tuple(taker.messages), taker.failure, rest)


class Taker:
    """
    Takes from a Buffer all that it gives.
    """

    def __init__(self, buffer: Buffer, role: str, method: Any, methods: Iterator[str]) -> None:
        self.buffer = buffer
        self.role = role
        self.method = method
        self.methods = methods
        self.messages: list[Message] = []
        self.failure: Failure | None = None
        # Of the message that has begun, in the events' view.
        self.pieces: list[bytes] = []
        self.expect()

    def expect(self) -> None:
        """
        Say what the next response answers.
        """
        if self.role != "response":
            return
        method = self.method if isinstance(self.method, str) else next(self.methods, None)
        if method is not None:
            self.buffer.expectResponse(method)

    def got(self, message: Message) -> None:
        self.messages.append(message)
        status = message.start[0]
        if self.role == "response" and (status >= 200 or status == 101):
            self.expect()

    def feed(self, piece: bytes) -> None:
        self.buffer.append(piece)

    def take(self) -> bool:
        """
        Take one thing; was there one?
        """
        raise AssertionError("each view has its own")

    def drain(self) -> None:
        if self.failure is not None:
            return
        try:
            while self.take():
                pass
        except (RemoteProtocolError, IncompleteRead) as error:
            self.failure = self.describe(error)
            assert len(self.buffer) == 0, "a Buffer that failed kept bytes"
            with pytest.raises(type(error)) as again:
                self.take()
            assert again.value is error, "a failure was forgotten"

    def describe(self, error: Exception) -> Failure:
        partial = expected = hint = offset = None
        if isinstance(error, IncompleteRead):
            partial = b"".join(self.pieces) + error.partial
            expected = error.expected
        else:
            assert isinstance(error, RemoteProtocolError)
            hint, offset = error.statusHint, error.offset
        return Failure(type(error), str(error), hint, offset, partial, expected)


class MessageTaker(Taker):
    """
    By C{parseRequest} and C{parseResponse}.
    """

    def take(self) -> bool:
        parse: Callable[[], WasiRequest | WasiResponse | None]
        parse = self.buffer.parseRequest if self.role == "request" else self.buffer.parseResponse
        message = parse()
        if message is None:
            return False
        self.got(describe(message))
        return True


class EventTaker(Taker):
    """
    By C{nextEvent}.
    """

    start: tuple[Any, ...]
    fields: tuple[tuple[str, str], ...]

    def take(self) -> bool:
        event = self.buffer.nextEvent()
        if event is None:
            return False
        if isinstance(event, Data):
            assert event.data, "an empty Data"
            self.pieces.append(event.data)
        elif isinstance(event, EndOfMessage):
            self.got(Message(self.start, self.fields, b"".join(self.pieces), tuple(event.trailers.items())))
            self.pieces = []
        else:
            self.start = startOf(event)
            self.fields = tuple(event.fields())
        return True


class ServerHead(RequestHead):
    """
    As a server has its own.
    """

    __slots__ = ()


_Head = TypeVar("_Head", bound=RequestHead)


def takenAtOnce(buffer: Buffer, data: bytes, kind: type[_Head], most: int) -> _Head | None:
    """
    What C{ServerConnection} does with bytes before which nothing has been kept.

    @return: the request; L{None}: nothing has been done.
    """
    if len(buffer) or not buffer._open or buffer._state is not machineModule.BETWEEN:
        return None
    found = machineModule.fastRequestHead(data, 0, buffer._limits, kind)
    return None if found is None else buffer.goOnAfter(*found, data, most)


class ServerTaker(EventTaker):
    """
    By C{goOnAfter}, C{nextRequest}, and C{nextEvent} for the bodies that come later.
    """

    inside = False

    def feed(self, piece: bytes) -> None:
        if not self.inside and self.failure is None:
            head = takenAtOnce(self.buffer, piece, ServerHead, SHORT)
            if head is not None:
                self.gotHead(head)
                return
        super().feed(piece)

    def take(self) -> bool:
        if self.inside:
            taken = super().take()
            self.inside = not taken or bool(self.pieces)
            return taken
        head = self.buffer.nextRequest(ServerHead, SHORT)
        if head is None:
            return False
        self.gotHead(head)
        return True

    def gotHead(self, head: ServerHead) -> None:
        assert head._asks == asksOf(head.fields())
        self.start = startOf(head)
        self.fields = tuple(head.fields())
        if head._body is None:
            self.inside = True
        else:
            self.got(Message(self.start, self.fields, head._body, ()))


@contextmanager
def slowPath() -> Iterator[None]:
    """
    Without the fast paths.
    """
    # Each module that has them, by name, and what they are when switched off.
    places: list[tuple[Any, str, Any]] = [
        (fieldsModule, "_FAST_LINE", False),
        (machineModule, "fastChunkedBody", lambda *given: None),
        (machineModule, "fastRequestHead", lambda *given: None),
        (machineModule, "fastResponseHead", lambda *given: None),
    ]
    kept = [getattr(module, name) for module, name, _ in places]
    for module, name, off in places:
        setattr(module, name, off)
    try:
        yield
    finally:
        for (module, name, _), on in zip(places, kept, strict=True):
            setattr(module, name, on)


@contextmanager
def coldCache() -> Iterator[None]:
    """
    With a field cache that is empty and stays so.
    """
    module: Any = fieldsModule
    kept = module.CACHED_LINE
    module.cache.clear()
    module._names.clear()
    forget()
    module.CACHED_LINE = -1
    try:
        yield
        assert not module.cache
        assert not module._names
    finally:
        module.CACHED_LINE = kept


def check(
    data: bytes,
    role: str = "request",
    method: str | Sequence[str] | None = None,
    eof: bool = False,
    limits: Limits = DEFAULTS,
) -> Outcome:
    """
    Run a case all ways, see that they agree, and return what came.
    """

    def run(cuts: Iterable[int] | None, **ways: bool) -> Outcome:
        return outcomes(data, cuts, role, method, eof, limits, **ways)

    with coldCache():
        expected = run(())
    # Twice with a cache: the first fills it.
    for name in ("filling", "warm"):
        assertSame(expected, run(()), f"whole, {name} cache")
    with slowPath():
        assertSame(expected, run(()), "whole, the slow path")
        with coldCache():
            assertSame(expected, run(()), "whole, the slow path, cold cache")
    assertSame(expected, run((), late=True), "whole, late")
    assertSame(expected, run((), events=True), "whole, events")
    if role == "request":
        for name in ("cold", "warm"):
            assertSame(expected, run((), server=True), f"whole, a server's events, {name}")
        with slowPath():
            assertSame(expected, run((), server=True), "whole, a server's events, the slow path")
    if len(data) <= LONG:
        assertSame(expected, run(None), "byte by byte")
    if len(data) <= SHORT:
        assertSame(expected, run(None, late=True), "byte by byte, late")
        assertSame(expected, run(None, events=True), "byte by byte, events")
    for seed in range(3):
        cuts = someCuts(data, seed)
        assertSame(expected, run(cuts), f"cut at {cuts}")
        with slowPath(), coldCache():
            assertSame(expected, run(cuts, events=True), f"cut at {cuts}, events, the slow path")
        assertSame(expected, run(cuts, events=True, late=True), f"cut at {cuts}, events, late")
        if role == "request":
            assertSame(expected, run(cuts, server=True), f"cut at {cuts}, a server's events")
    if role == "request":
        # Each message whole, as from a client that sends and waits.
        ends = [end for end in _ends(expected, data) if end <= len(data)]
        assertSame(expected, run(ends, server=True), f"cut at {ends}, a server's events")
    return expected


def _ends(outcome: Outcome, data: bytes) -> Iterator[int]:
    """
    Where, perhaps, messages end: after an empty line, and as many bytes as the body has.
    """
    end = 0
    for message in outcome.messages:
        end = data.find(b"\r\n\r\n", end) + 4 + len(message.body)
        yield end


def someCuts(data: bytes, seed: int) -> list[int]:
    chance = random.Random(f"{seed} {len(data)}")
    return sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 6)))


def assertSame(expected: Outcome, given: Outcome, way: str) -> None:
    """
    @raise AssertionError: two ways gave different outcomes.
    """
    if given == expected:
        return
    assert isBodyTooLarge(expected.failure), f"{way}: {given} instead of {expected}"
    if "events" not in way:
        raise AssertionError(f"{way}: {given} instead of {expected}")
    # A streamed body has no bound: what comes after the place where the other view stopped is its own affair.
    assert given.messages[: len(expected.messages)] == expected.messages, way


def isBodyTooLarge(failure: Failure | None) -> bool:
    return failure is not None and failure.kind is MessageTooLarge and failure.statusHint == 413


def checkPrefixes(data: bytes, **how: Any) -> None:
    """
    See that for every prefix of C{data} it is all the same whether it comes whole or byte by byte.
    """
    for end in range(len(data) + 1):
        prefix = data[:end]
        for eof in (False, True):
            whole = outcomes(prefix, (), eof=eof, **how)
            assertSame(whole, outcomes(prefix, None, eof=eof, **how), f"byte by byte up to {end}, eof {eof}")
            assertSame(whole, outcomes(prefix, None, eof=eof, events=True, **how), f"events up to {end}, eof {eof}")


def refusedAt(data: bytes, **how: Any) -> int | None:
    """
    How long is the shortest prefix that is refused?
    """
    for end in range(len(data) + 1):
        failure = outcomes(data[:end], (), **how).failure
        if failure is not None:
            return end
    return None


def accepted(data: bytes, **how: Any) -> tuple[Message, ...]:
    """
    The messages of valid bytes, which have to be complete.
    """
    outcome = check(data, **how)
    assert outcome.failure is None, outcome.failure
    return outcome.messages


def acceptedOne(data: bytes, **how: Any) -> Message:
    messages = accepted(data, **how)
    assert len(messages) == 1, messages
    return messages[0]


def refused(data: bytes, status: int = 400, before: int = 0, **how: Any) -> Failure:
    """
    See that bytes are refused.

    @param status: with which status.
    @param before: how many messages come before that.
    """
    outcome = check(data, **how)
    failure = outcome.failure
    assert failure is not None, outcome
    assert failure.statusHint == status, failure
    assert failure.kind in (RemoteProtocolError, MessageTooLarge), failure
    assert len(outcome.messages) == before, outcome
    return failure


def request(line: bytes = b"GET / HTTP/1.1", *fields: bytes, body: bytes = b"", host: bytes | None = b"a") -> bytes:
    """
    A request from its lines, given without CRLF. A Host is put in front of the fields.
    """
    first = () if host is None else (b"Host: " + host,)
    return b"".join(part + b"\r\n" for part in (line, *first, *fields)) + b"\r\n" + body


def response(line: bytes = b"HTTP/1.1 200 OK", *fields: bytes, body: bytes = b"") -> bytes:
    """
    A response from its lines, given without CRLF.
    """
    return b"".join(part + b"\r\n" for part in (line, *fields)) + b"\r\n" + body


def chunked(body: bytes, role: str = "request") -> bytes:
    """
    A message with a chunked body, which is given as on the wire.
    """
    if role == "request":
        return request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=body)
    return response(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=body)


def headOf(role: str, *fields: bytes, body: bytes = b"") -> bytes:
    """
    A message of either role with some fields.
    """
    if role == "request":
        return request(b"GET / HTTP/1.1", *fields, body=body)
    return response(b"HTTP/1.1 200 OK", *fields, body=body)
