"""
The same bytes through our Buffer, through h11 and through httptools, told in the same words.

Each reader gives a L{Result}: the messages in order, the last of which may be
unfinished, and how it ended. What a peer merely spells differently is brought
to one spelling here; what it reads differently is left to reasons.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import h11
import httptools

from wasinet_twisted.errors import IncompleteRead, RemoteProtocolError
from wasinet_twisted.http import Buffer, Data, EndOfMessage, RequestHead

from .generator import Case

Pairs = tuple[tuple[str, str], ...]

# How a reader ended. A stream that ends inside a message is refused too.
OPEN = "open"
REFUSED = "refused"
TUNNEL = "tunnel"


class Message(NamedTuple):
    """
    What came of one message.

    @ivar start: method, target, version; or status, reason, version.
    @ivar body: as much as has come.
    """

    start: tuple[Any, ...]
    fields: Pairs
    body: bytes
    trailers: Pairs
    complete: bool


@dataclass
class Result:
    """
    What a reader made of some bytes.

    @ivar end: C{OPEN}: it waits for more; C{REFUSED}; or C{TUNNEL}: what follows is no HTTP.
    @ivar rest: of a tunnel.
    @ivar starts: ours only: where each message began, and where the one after the last would.
    @ivar offset: ours only: where the line begins that was refused.
    @ivar error: why it was refused.
    """

    messages: list[Message]
    end: str
    rest: bytes = b""
    starts: tuple[int, ...] = ()
    offset: int = 0
    error: str = ""
    cut: bool = False

    @property
    def complete(self) -> int:
        """
        How many messages are complete?
        """
        return len(self.messages) - (1 if self.messages and not self.messages[-1].complete else 0)


def readOurs(case: Case) -> Result:
    """
    By C{nextEvent}, the bytes whole.
    """
    data = case.data
    buffer = Buffer(case.role)
    messages: list[Message] = []
    starts = [0]
    start: tuple[Any, ...] | None = None
    fields: Pairs = ()
    body = b""
    isResponse = case.role == "response"
    if isResponse:
        buffer.expectResponse(case.method)
    buffer.append(data)
    if case.eof:
        buffer.eof()
    end, error, offset, cut = OPEN, "", 0, False
    try:
        while (event := buffer.nextEvent()) is not None:
            if isinstance(event, Data):
                body += event.data
            elif isinstance(event, EndOfMessage):
                assert start is not None
                messages.append(Message(start, fields, body, tuple(event.trailers.items()), True))
                starts.append(len(data) - len(buffer))
                if isResponse and start[0] >= 200:
                    buffer.expectResponse(case.method)
                start = None
            else:
                if isinstance(event, RequestHead):
                    start = (event.method, event.uri, event.version)
                else:
                    start = (event.status, event.reason, event.version)
                fields = tuple(event.fields())
                body = b""
    except RemoteProtocolError as failure:
        end, error, offset = REFUSED, str(failure), failure.offset
    except IncompleteRead as failure:
        end, error, cut = REFUSED, str(failure), True
    if end is OPEN and messages and start is None and (buffer.isTunnel or messages[-1].start[0] == "CONNECT"):
        if not isResponse:
            buffer.acceptTunnel()
        return Result(messages, TUNNEL, buffer.takeRest(), tuple(starts))
    if start is not None:
        messages.append(Message(start, fields, body, (), False))
    return Result(messages, end, b"", tuple(starts), offset, error, cut)


def _text(pairs: Any) -> Pairs:
    return tuple([(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in pairs])


def _startOfH11(head: h11.Request | h11.Response | h11.InformationalResponse) -> tuple[Any, ...]:
    version = "HTTP/" + bytes(head.http_version).decode("ascii")
    if isinstance(head, h11.Request):
        return (bytes(head.method).decode("ascii"), bytes(head.target).decode("ascii"), version)
    return (head.status_code, bytes(head.reason).decode("latin-1"), version)


def _connectionOfH11(case: Case) -> h11.Connection:
    """
    One that waits for a request, or for the answer to one that has been sent.
    """
    # A bound of its own on what waits would only get in the way.
    if case.role == "request":
        return h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 30)
    peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 30)
    # With an Upgrade, for it takes no 101 else.
    peer.send(h11.Request(method=case.method, target="a:1", headers=[("Host", "a"), ("Upgrade", "x")]))
    peer.send(h11.EndOfMessage())
    return peer


def readWithH11(case: Case) -> Result:
    """
    By h11, with a connection for each message: whether one may follow the other is not the parser's affair.
    """
    messages: list[Message] = []
    start: tuple[Any, ...] | None = None
    fields: Pairs = ()
    body = bytearray()
    end, error = OPEN, ""
    rest = case.data
    try:
        while rest:
            peer = _connectionOfH11(case)
            peer.receive_data(rest)
            if case.eof:
                peer.receive_data(b"")
            start = None
            while not isinstance(event := peer.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.Request | h11.Response):
                    start, fields, body = _startOfH11(event), _text(event.headers.raw_items()), bytearray()
                    if isinstance(event, h11.Response) and case.method == "CONNECT" and event.status_code < 300:
                        return Result([*messages, Message(start, fields, b"", (), True)], TUNNEL, peer.trailing_data[0])
                elif isinstance(event, h11.InformationalResponse):
                    messages.append(Message(_startOfH11(event), _text(event.headers.raw_items()), b"", (), True))
                    if event.status_code == 101:
                        return Result(messages, TUNNEL, peer.trailing_data[0])
                    if case.eof and not peer.trailing_data[0]:
                        # That the final answer is missing is for the client to say.
                        return Result(messages, OPEN)
                else:
                    # NEED_DATA, PAUSED or ConnectionClosed
                    rest = b""
                    break
            else:
                assert start is not None
                messages.append(Message(start, fields, bytes(body), _text(event.headers.raw_items()), True))
                rest = peer.trailing_data[0]
                if start[0] == "CONNECT":
                    return Result(messages, TUNNEL, rest)
                start = None
    except h11.RemoteProtocolError as failure:
        end, error = REFUSED, str(failure)
    if start is not None:
        messages.append(Message(start, fields, bytes(body), (), False))
    return Result(messages, end, error=error)


class _Collector:
    """
    What httptools calls.
    """

    def __init__(self, isRequest: bool) -> None:
        self.isRequest = isRequest
        self.messages: list[Message] = []
        self.parser: Any = None
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.first = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.start: tuple[Any, ...] | None = None
        self.trailers: list[tuple[bytes, bytes]] = []
        self.body = b""

    def on_url(self, piece: bytes) -> None:
        self.first += piece

    on_status = on_url

    def on_header(self, name: bytes, value: bytes) -> None:
        # It leaves the white space after a value, RFC 9112 section 5.1. And it can't say "trailer".
        pair = (name, value.strip(b" \t"))
        (self.fields if self.start is None else self.trailers).append(pair)

    def on_headers_complete(self) -> None:
        version = "HTTP/" + self.parser.get_http_version()
        if self.isRequest:
            self.start = (self.parser.get_method().decode("ascii"), self.first.decode("latin-1"), version)
        else:
            self.start = (self.parser.get_status_code(), self.first.decode("latin-1"), version)

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.messages.append(self.message(True))
        self.start = None

    def message(self, complete: bool) -> Message:
        assert self.start is not None
        trailers = _text(self.trailers) if complete else ()
        return Message(self.start, _text(self.fields), self.body, trailers, complete)


def readWithHttptools(case: Case) -> Result:
    """
    By httptools. It can't be told what a response answers, nor of the end of the stream.
    """
    isRequest = case.role == "request"
    collector = _Collector(isRequest)
    parser = (httptools.HttpRequestParser if isRequest else httptools.HttpResponseParser)(collector)
    collector.parser = parser
    # Whether the connection goes on is not the parser's affair.
    parser.set_dangerous_leniencies(lenient_keep_alive=True)
    end, error, data = OPEN, "", case.data
    while True:
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            last = collector.messages[-1].start
            if last[0] == "CONNECT" or not isRequest:
                return Result(collector.messages, TUNNEL, rest)
            # Whether an Upgrade is accepted is for the answer to say; until then the next request is one.
            data = rest
            continue
        except httptools.HttpParserError as failure:
            end, error = REFUSED, str(failure)
        break
    if collector.start is not None:
        collector.messages.append(collector.message(False))
    return Result(collector.messages, end, error=error)
