"""
The contracts of Buffer.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest

from wasinet_twisted.errors import IncompleteRead, LocalProtocolError, MessageTooLarge, RemoteProtocolError
from wasinet_twisted.http import (
    Buffer,
    Data,
    EndOfMessage,
    Event,
    Limits,
    RequestHead,
    ResponseHead,
    WasiRequest,
    WasiResponse,
)
from wasinet_twisted.http.bytequeue import ByteQueue

from .support import (
    accepted,
    acceptedOne,
    check,
    checkPrefixes,
    chunked,
    headOf,
    outcomes,
    refused,
    request,
    response,
)

GET = request()
POST = request(b"POST /p HTTP/1.1", b"Content-Length: 5", body=b"hello")
CONNECT = request(b"CONNECT a:1 HTTP/1.1")
OK = response(b"HTTP/1.1 200 OK", b"Content-Length: 2", body=b"ok")


def fed(data: bytes, role: Any = None, limits: Limits | None = None) -> Buffer:
    buffer = Buffer(role, limits or Limits())
    buffer.append(data)
    return buffer


def allEvents(buffer: Buffer) -> list[Event]:
    events = []
    while (event := buffer.nextEvent()) is not None:
        events.append(event)
    return events


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


def taken(message: WasiRequest | None) -> WasiRequest:
    assert message is not None
    return message


def answer(message: WasiResponse | None) -> WasiResponse:
    assert message is not None
    return message


def peakOf(work: Callable[[], object]) -> int:
    """
    How many bytes did C{work} hold at most, beyond those there were?
    """
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# What goes in


def test_noTwisted() -> None:
    code = "import sys, wasinet_twisted.http; print([name for name in sys.modules if name.split('.')[0] == 'twisted'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_bytesAreKeptByReference() -> None:
    body = b"b" * 100_000
    buffer = fed(request(b"POST / HTTP/1.1", b"Content-Length: 100000"), "request")
    buffer.append(body)
    data = [event.data for event in allEvents(buffer) if isinstance(event, Data)]
    assert len(data) == 1
    assert data[0] is body


@pytest.mark.parametrize("convert", [bytearray, lambda data: memoryview(bytearray(data))])
def test_mutableBytesAreCopied(convert: Callable[[bytes], Any]) -> None:
    given = convert(POST)
    buffer = Buffer()
    buffer.append(given)
    given[:] = b"x" * len(given)
    message = taken(buffer.parseRequest())
    assert (message.method, message.body) == ("POST", b"hello")
    assert type(message.body) is bytes


def test_memoryviewSlices() -> None:
    buffer = Buffer()
    view = memoryview(b"xx" + POST + b"yy")
    buffer.append(view[2:-2])
    assert taken(buffer.parseRequest()).body == b"hello"
    buffer.append(memoryview(b"".join(bytes([byte, 0]) for byte in GET))[::2])
    assert taken(buffer.parseRequest()).method == "GET"


@pytest.mark.parametrize("bad", ["GET", "", 5, None, [71], ("a",), 0.5])
def test_appendRefusesOthers(bad: Any) -> None:
    buffer = Buffer()
    with pytest.raises(LocalProtocolError, match=type(bad).__name__):
        buffer.append(bad)
    assert len(buffer) == 0
    buffer.append(GET)
    assert taken(buffer.parseRequest()).method == "GET"


def test_strInTheMiddleOfAChunk() -> None:
    data = chunked(b"5\r\nhello\r\n0\r\n\r\n")
    for place in range(len(data)):
        buffer = fed(data[:place])
        assert buffer.parseRequest() is None
        with pytest.raises(LocalProtocolError, match="str"):
            buffer.append("llo")  # type: ignore[arg-type]
        assert len(buffer) == place
        buffer.append(data[place:])
        assert taken(buffer.parseRequest()).body == b"hello"


def test_emptyAppends() -> None:
    buffer = Buffer()
    for byte in POST:
        buffer.append(b"")
        assert buffer.parseRequest() is None
        buffer.append(bytes([byte]))
        buffer.append(b"")
    assert taken(buffer.parseRequest()).body == b"hello"
    buffer.append(b"")
    assert buffer.parseRequest() is None
    assert len(buffer) == 0


# One message after the other


def test_pipelining() -> None:
    messages = accepted(GET + POST + chunked(b"1\r\na\r\n0\r\n\r\n") + GET)
    assert [(message.start[0], message.body) for message in messages] == [
        ("GET", b""), ("POST", b"hello"), ("POST", b"a"), ("GET", b""),
    ]  # fmt: skip
    answers = accepted(OK + response(b"HTTP/1.1 204 No") + OK, role="response")
    assert [message.body for message in answers] == [b"ok", b"", b"ok"]


def test_oneAtATime() -> None:
    buffer = fed(GET + POST + b"GE")
    first = buffer.parseRequest()
    assert len(buffer) == len(POST) + 2
    second = buffer.parseRequest()
    assert (taken(first).method, taken(second).method) == ("GET", "POST")
    assert buffer.parseRequest() is None
    assert len(buffer) == 2
    buffer.append(GET[2:])
    assert taken(buffer.parseRequest()).method == "GET"
    assert buffer.parseRequest() is None


def test_lengthOfCollected() -> None:
    buffer = Buffer()
    assert len(buffer) == 0
    assert bool(buffer)
    for count, byte in enumerate(chunked(b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n")):
        assert len(buffer) == count
        assert buffer.parseRequest() is None
        assert len(buffer) == count
        buffer.append(bytes([byte]))
    assert buffer.parseRequest() is not None
    assert len(buffer) == 0


def test_lengthOfStreamed() -> None:
    head = request(b"POST / HTTP/1.1", b"Content-Length: 5")
    buffer = fed(head + b"hel" + b"", "request")
    assert len(buffer) == len(head) + 3
    assert isinstance(buffer.nextEvent(), RequestHead)
    assert len(buffer) == 3
    assert buffer.nextEvent() == Data(b"hel")
    assert len(buffer) == 0
    buffer.append(b"loGET")
    assert buffer.nextEvent() == Data(b"lo")
    assert len(buffer) == 3
    assert isinstance(buffer.nextEvent(), EndOfMessage)
    assert buffer.nextEvent() is None
    assert len(buffer) == 3


# The role


@pytest.mark.parametrize("bad", ["", "server", "Request", 1, b"request"])
def test_badRoles(bad: Any) -> None:
    with pytest.raises(LocalProtocolError, match="role"):
        Buffer(bad)


def test_roleByArgument() -> None:
    for role, other in (("request", "parseResponse"), ("response", "parseRequest")):
        buffer = fed(GET if role == "request" else OK, role)
        with pytest.raises(LocalProtocolError, match=f"reads {role}s"):
            getattr(buffer, other)()
        # It goes on unharmed.
        assert isinstance(buffer.nextEvent(), RequestHead if role == "request" else ResponseHead)


def test_roleByFirstParse() -> None:
    buffer = Buffer()
    assert buffer.parseRequest() is None
    for call in (buffer.parseResponse, lambda: buffer.expectResponse("GET")):
        with pytest.raises(LocalProtocolError, match="reads requests"):
            call()
    buffer.append(GET)
    assert buffer.parseRequest() is not None
    other = fed(OK)
    assert answer(other.parseResponse()).status == 200
    for refusedCall in (other.parseRequest, other.acceptTunnel):
        with pytest.raises(LocalProtocolError, match="reads responses"):
            refusedCall()


def test_roleByExpectation() -> None:
    buffer = fed(OK)
    buffer.expectResponse("HEAD")
    assert isinstance(buffer.nextEvent(), ResponseHead)
    assert isinstance(buffer.nextEvent(), EndOfMessage)
    with pytest.raises(LocalProtocolError, match="reads responses"):
        buffer.parseRequest()


def test_eventsNeedARole() -> None:
    buffer = fed(GET)
    with pytest.raises(LocalProtocolError, match="nextEvent"):
        buffer.nextEvent()
    assert buffer.parseRequest() is not None
    # Now it has one.
    buffer.append(GET)
    assert kinds(allEvents(buffer)) == [RequestHead, EndOfMessage]


# Failures stay


@pytest.mark.parametrize("role", ["request", "response"])
def test_failureStays(role: Any) -> None:
    buffer = fed((GET if role == "request" else OK) + b"bad\r\n\r\n" + GET, role)
    parse: Callable[[], object] = buffer.parseRequest if role == "request" else buffer.parseResponse
    assert parse() is not None
    with pytest.raises(RemoteProtocolError) as first:
        parse()
    assert first.value.statusHint == 400
    assert len(buffer) == 0
    for _ in range(3):
        buffer.append(GET)
        assert len(buffer) == 0
        for call in (parse, buffer.nextEvent):
            with pytest.raises(RemoteProtocolError) as again:
                call()
            assert again.value is first.value
    buffer.eof()
    with pytest.raises(RemoteProtocolError) as last:
        parse()
    assert last.value is first.value
    # The traceback doesn't grow by a frame a call.
    depth, frame = 0, last.value.__traceback__
    while frame is not None:
        depth, frame = depth + 1, frame.tb_next
    assert depth < 10


def test_failureInsideABody() -> None:
    buffer = fed(chunked(b"5\r\nhello\r\nwrong\r\n"), "request")
    assert isinstance(buffer.nextEvent(), RequestHead)
    assert buffer.nextEvent() == Data(b"hello")
    with pytest.raises(RemoteProtocolError) as first:
        buffer.nextEvent()
    # Neither view has anything else to say.
    with pytest.raises(RemoteProtocolError) as again:
        buffer.parseRequest()
    assert again.value is first.value


def test_offsets() -> None:
    # Counted over all the Buffer was given.
    for count in range(3):
        before = POST * count
        assert refused(before + b"bad\r\n", before=count).offset == len(before)
        assert refused(before + GET[:-2] + b"bad\r\n", before=count).offset == len(before + GET) - 2
        start = before + chunked(b"1\r\na\r\n")
        assert refused(start + b"wrong\r\n", before=count).offset == len(start)
    # Too large a body is found where it begins.
    head = request(b"POST / HTTP/1.1", b"Content-Length: 9")
    assert refused(GET + head + b"123456789", 413, 1, limits=Limits(body=8)).offset == len(GET + head)
    head = response()
    failure = refused(OK + head + b"123456789", 413, 1, role="response", limits=Limits(responseBody=8))
    assert failure.offset == len(OK + head)


# The end of the stream


@pytest.mark.parametrize("role", ["request", "response"])
def test_eofBetweenMessages(role: Any) -> None:
    for data in (b"", GET if role == "request" else OK):
        outcome = check(data, role=role, eof=True)
        assert outcome.failure is None
        assert len(outcome.messages) == bool(data)
    # A response may still be due after an interim one, but none has begun.
    assert check(response(b"HTTP/1.1 100"), role="response", eof=True).failure is None


def test_eofAfterEmptyLines() -> None:
    for count in range(5):
        assert check(b"\r\n" * count, eof=True).failure is None
        assert check(GET + b"\r\n" * count, eof=True).failure is None
        failure = check(GET + b"\r\n" * count + b"\r", eof=True).failure
        assert failure is not None
        assert failure.kind is IncompleteRead


@pytest.mark.parametrize(("role", "data"), [("request", GET), ("response", OK[:-2])])
def test_eofInsideAHead(role: Any, data: bytes) -> None:
    for end in range(1, len(data)):
        failure = check(data[:end], role=role, eof=True).failure
        assert failure is not None
        assert (failure.kind, failure.expected) == (IncompleteRead, None)
        # Of a head, the line that was cut is left.
        assert failure.partial == data[:end].rpartition(b"\n")[2]


def test_eofInsideBodies() -> None:
    for view in ("parseRequest", "nextEvent"):
        buffer = fed(POST[:-2], "request")
        while getattr(buffer, view)() is not None:
            pass
        buffer.eof()
        with pytest.raises(IncompleteRead, match="3 of 5") as caught:
            getattr(buffer, view)()
        # What has been handed out isn't handed out again.
        assert caught.value.partial == (b"hel" if view == "parseRequest" else b"")
        assert caught.value.expected == 5
        assert len(buffer) == 0
        with pytest.raises(IncompleteRead) as again:
            getattr(buffer, view)()
        assert again.value is caught.value


def test_eofBeforeParsing() -> None:
    buffer = fed(GET + POST)
    buffer.eof()
    assert taken(buffer.parseRequest()).method == "GET"
    assert taken(buffer.parseRequest()).method == "POST"
    assert buffer.parseRequest() is None
    assert buffer.parseRequest() is None


def test_appendAfterEof() -> None:
    buffer = fed(GET)
    buffer.eof()
    buffer.eof()
    buffer.append(b"")
    with pytest.raises(LocalProtocolError, match="eof"):
        buffer.append(b"a")
    assert taken(buffer.parseRequest()).method == "GET"


def test_readUntilClose() -> None:
    buffer = fed(response(b"HTTP/1.0 200 OK", body=b"one"))
    assert buffer.parseResponse() is None
    buffer.append(b"two")
    assert buffer.parseResponse() is None
    buffer.eof()
    assert answer(buffer.parseResponse()).body == b"onetwo"
    assert buffer.parseResponse() is None


def test_readUntilCloseStreamed() -> None:
    buffer = fed(response(body=b"one"), "response")
    assert kinds(allEvents(buffer)) == [ResponseHead, Data]
    buffer.append(b"two")
    assert allEvents(buffer) == [Data(b"two")]
    buffer.eof()
    assert kinds(allEvents(buffer)) == [EndOfMessage]
    assert buffer.nextEvent() is None


def test_eofInTunnels() -> None:
    buffer = fed(CONNECT)
    assert buffer.parseRequest() is not None
    buffer.eof()
    assert buffer.parseRequest() is None
    buffer.acceptTunnel()
    assert buffer.parseRequest() is None
    assert buffer.takeRest() == b""


# Responses and what they answer


def test_interimResponses() -> None:
    data = response(b"HTTP/1.1 100 Continue") + response(b"HTTP/1.1 103 Early", b"Link: x") + OK + OK
    messages = accepted(data, role="response")
    assert [message.start[0] for message in messages] == [100, 103, 200, 200]
    assert [message.body for message in messages] == [b"", b"", b"ok", b"ok"]


def test_requestMethodArgument() -> None:
    head = OK[:-2]
    buffer = fed(head + OK + head + OK)
    assert answer(buffer.parseResponse("HEAD")).body == b""
    # It is for one response.
    assert answer(buffer.parseResponse()).body == b"ok"
    assert answer(buffer.parseResponse("HEAD")).body == b""
    assert answer(buffer.parseResponse("GET")).body == b"ok"


def test_requestMethodWhileIncomplete() -> None:
    buffer = Buffer()
    for byte in response(b"HTTP/1.1 100") + OK[:-2]:
        message = buffer.parseResponse("HEAD")
        assert message is None or message.status == 100
        buffer.append(bytes([byte]))
    assert answer(buffer.parseResponse()).status == 200
    # Once the head has come, it changes nothing for this response, nor for the next.
    buffer.append(OK[:-1])
    assert buffer.parseResponse("GET") is None
    assert buffer.parseResponse("HEAD") is None
    buffer.append(OK[-1:] + OK)
    assert answer(buffer.parseResponse()).body == b"ok"
    assert answer(buffer.parseResponse()).body == b"ok"


def test_expectResponse() -> None:
    data = response(b"HTTP/1.1 100") + OK[:-2] + OK
    messages = accepted(data, role="response", method=("HEAD", "GET"))
    assert [(message.start[0], message.body) for message in messages] == [(100, b""), (200, b""), (200, b"ok")]
    # parseResponse() without an argument goes by it, too.
    buffer = fed(data)
    buffer.expectResponse("HEAD")
    assert [answer(buffer.parseResponse()).body for _ in range(3)] == [b"", b"", b"ok"]


def test_expectTheNextWhileOneIsStreamed() -> None:
    buffer = fed(OK + OK[:-2], "response")
    assert isinstance(buffer.nextEvent(), ResponseHead)
    # A client that pipelines knows already.
    buffer.expectResponse("HEAD")
    assert kinds(allEvents(buffer)) == [Data, EndOfMessage, ResponseHead, EndOfMessage]


def test_postIsFramedAsGet() -> None:
    for method in ("GET", "POST", "PUT", "head", "connect"):
        assert acceptedOne(OK, role="response", method=method).body == b"ok"


# Tunnels


@pytest.mark.parametrize("events", [False, True])
def test_connectAccepted(events: bool) -> None:
    buffer = fed(CONNECT + b"raw")
    if events:
        buffer = fed(CONNECT + b"raw", "request")
        assert kinds(allEvents(buffer)) == [RequestHead, EndOfMessage]
    else:
        assert taken(buffer.parseRequest()).uri == "a:1"
    assert buffer.parseRequest() is None
    assert not buffer.isTunnel
    with pytest.raises(LocalProtocolError, match="tunnel"):
        buffer.takeRest()
    buffer.append(b"\n\x00")
    assert buffer.parseRequest() is None
    buffer.acceptTunnel()
    assert buffer.isTunnel
    assert buffer.parseRequest() is None
    assert len(buffer) == 5
    assert buffer.takeRest() == b"raw\n\x00"
    assert len(buffer) == 0
    buffer.append(GET)
    assert buffer.parseRequest() is None
    assert buffer.nextEvent() is None
    assert buffer.takeRest() == GET
    assert buffer.takeRest() == b""


def test_connectDeclined() -> None:
    buffer = fed(CONNECT + GET + CONNECT + GET)
    for _ in range(2):
        assert taken(buffer.parseRequest()).method == "CONNECT"
        assert buffer.parseRequest() is None
        assert buffer.parseRequest() is None
        buffer.declineTunnel()
        assert taken(buffer.parseRequest()).method == "GET"
    assert not buffer.isTunnel


def test_tunnelCallsOutOfPlace() -> None:
    buffer = Buffer("request")
    with pytest.raises(LocalProtocolError, match="CONNECT"):
        buffer.declineTunnel()
    with pytest.raises(LocalProtocolError, match="tunnel"):
        buffer.takeRest()
    buffer.append(POST[:-1])
    for end in (5, 0):
        inside = fed(POST[: end - 1])
        assert inside.parseRequest() is None
        with pytest.raises(LocalProtocolError, match="inside"):
            inside.acceptTunnel()
        inside.append(POST[end - 1 :])
        assert taken(inside.parseRequest()).body == b"hello"
    streamed = fed(CONNECT, "request")
    assert isinstance(streamed.nextEvent(), RequestHead)
    for call in (streamed.acceptTunnel, streamed.declineTunnel, streamed.takeRest):
        with pytest.raises(LocalProtocolError):
            call()
    assert isinstance(streamed.nextEvent(), EndOfMessage)
    streamed.acceptTunnel()
    with pytest.raises(LocalProtocolError, match="CONNECT"):
        streamed.declineTunnel()
    assert streamed.isTunnel


def test_tunnelBytesAreNeverLost() -> None:
    # Whoever looks for a request where a tunnel begins is told, before empty lines are taken for none.
    upgrade = request(b"GET / HTTP/1.1", b"Upgrade: x", b"Connection: upgrade")
    buffer = fed(upgrade + b"\r\n")
    assert buffer.parseRequest() is not None
    assert buffer.parseRequest() is None
    with pytest.raises(LocalProtocolError, match="inside"):
        buffer.acceptTunnel()
    buffer = fed(upgrade + b"\r\n")
    assert buffer.parseRequest() is not None
    buffer.acceptTunnel()
    assert buffer.takeRest() == b"\r\n"


def test_upgradeRequest() -> None:
    body = b"hello"
    upgrade = request(b"POST / HTTP/1.1", b"Upgrade: x", b"Connection: upgrade", b"Content-Length: 5", body=body)
    buffer = fed(upgrade + b"raw")
    message = taken(buffer.parseRequest())
    assert (message.body, message.headers["upgrade"]) == (body, "x")
    buffer.acceptTunnel()
    assert buffer.takeRest() == b"raw"
    # Not taken up, it is a request as any other.
    buffer = fed(upgrade + GET)
    assert taken(buffer.parseRequest()).body == body
    assert taken(buffer.parseRequest()).method == "GET"


def test_responseTunnels() -> None:
    for start, method in ((b"HTTP/1.1 101 x", "GET"), (b"HTTP/1.1 200 OK", "CONNECT")):
        buffer = Buffer("response")
        buffer.expectResponse(method)
        for byte in response(start) + b"raw":
            assert not buffer.isTunnel or buffer.takeRest() in (b"", b"r", b"a", b"w")
            buffer.append(bytes([byte]))
            buffer.parseResponse()
        assert buffer.isTunnel
        assert buffer.takeRest() == b"w"
        assert buffer.parseResponse() is None
        buffer.append(OK)
        assert buffer.parseResponse() is None
        assert len(buffer) == len(OK)


def test_takeRestOfAFailedBuffer() -> None:
    buffer = fed(b"bad\r\n")
    with pytest.raises(RemoteProtocolError) as first:
        buffer.parseRequest()
    with pytest.raises(RemoteProtocolError) as again:
        buffer.takeRest()
    assert again.value is first.value


# The two views


def test_events() -> None:
    buffer = fed(chunked(b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\nX: z\r\n\r\n") + GET, "request")
    head, one, two, end, head2, end2 = allEvents(buffer)
    assert isinstance(head, RequestHead)
    assert not isinstance(head, WasiRequest)
    assert (head.method, head.uri, head.version, head.host) == ("POST", "/", "HTTP/1.1", "a")
    assert head.headers["transfer-ENCODING"] == "chunked"
    assert (one, two) == (Data(b"abc"), Data(b"de"))
    assert isinstance(end, EndOfMessage)
    assert list(end.trailers.items()) == [("X", "y"), ("X", "z")]
    assert isinstance(head2, RequestHead)
    assert head2.method == "GET"
    assert isinstance(end2, EndOfMessage)
    assert not end2.trailers


def test_dataComesAsSoonAsItIsThere() -> None:
    for data, step in ((chunked(b"5\r\nhello\r\n0\r\n\r\n"), 3), (POST, 0)):
        start = data.index(b"hello")
        buffer = fed(data[:start], "request")
        assert kinds(allEvents(buffer)) == [RequestHead]
        for byte in b"hello":
            buffer.append(bytes([byte]))
            assert buffer.nextEvent() == Data(bytes([byte]))
            if byte != ord("o"):
                assert buffer.nextEvent() is None
        buffer.append(data[start + 5 :])
        assert kinds(allEvents(buffer)) == [EndOfMessage], step


def test_viewsDontMixInsideAMessage() -> None:
    buffer = fed(POST[:-1])
    assert buffer.parseRequest() is None
    with pytest.raises(LocalProtocolError, match="nextEvent"):
        buffer.nextEvent()
    buffer.append(POST[-1:])
    assert taken(buffer.parseRequest()).body == b"hello"
    # Between messages they do.
    buffer.append(POST)
    assert isinstance(buffer.nextEvent(), RequestHead)
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="parse"):
            buffer.parseRequest()
        assert buffer.nextEvent() is not None
    buffer.append(POST)
    assert taken(buffer.parseRequest()).body == b"hello"
    # A head that hasn't come belongs to neither.
    buffer.append(GET[:5])
    assert buffer.nextEvent() is None
    assert buffer.parseRequest() is None
    buffer.append(GET[5:])
    assert kinds(allEvents(buffer)) == [RequestHead, EndOfMessage]


def test_viewsDontMixInsideAResponse() -> None:
    buffer = fed(OK, "response")
    assert isinstance(buffer.nextEvent(), ResponseHead)
    with pytest.raises(LocalProtocolError, match="parse"):
        buffer.parseResponse("HEAD")
    assert kinds(allEvents(buffer)) == [Data, EndOfMessage]


# Starting anew


def test_clear() -> None:
    for data in (b"", GET, GET[:5], POST[:-1], b"bad\r\n", CONNECT + b"raw", b"\r\n\r", chunked(b"3\r\na")):
        for eof in (False, True):
            buffer = fed(data)
            try:
                while buffer.parseRequest() is not None:
                    pass
                if eof:
                    buffer.eof()
                    buffer.parseRequest()
            except (RemoteProtocolError, IncompleteRead):
                pass
            buffer.clear()
            assert len(buffer) == 0
            assert not buffer.isTunnel
            assert buffer.parseRequest() is None
            buffer.append(POST + GET[:3])
            assert taken(buffer.parseRequest()).body == b"hello"
            assert len(buffer) == 3
            with pytest.raises(LocalProtocolError, match="reads requests"):
                buffer.parseResponse()


def test_clearForgetsTheMethod() -> None:
    buffer = Buffer("response")
    buffer.expectResponse("HEAD")
    buffer.clear()
    buffer.append(OK)
    assert answer(buffer.parseResponse()).body == b"ok"


# Time and memory


def test_longHeadByteByByte() -> None:
    spare = 32768 - len(GET)
    message = acceptedOne(request(b"GET / HTTP/1.1", b"X: " + b"y" * (spare - 3)))
    assert len(message.values("X")[0]) == spare - 3


def test_manyPipelinedRequests() -> None:
    data = GET * 10_000
    assert len(outcomes(data, ()).messages) == 10_000
    assert len(outcomes(data, range(0, len(data), 1000)).messages) == 10_000
    buffer = fed(data)
    count = 0
    while buffer.parseRequest() is not None:
        count += 1
        assert len(buffer) == len(data) - count * len(GET)
    assert count == 10_000


def test_aMegabyteOfEmptyLines() -> None:
    data = b"\r\n" * (1 << 19)
    for cuts in ((), range(0, len(data), 4096)):
        failure = outcomes(data, cuts).failure
        assert failure is not None
        assert (failure.kind, failure.statusHint, failure.offset) == (MessageTooLarge, 400, 8)
    # Nor do they add up between requests.
    assert len(outcomes((b"\r\n" * 4 + GET) * 1000, range(0, 20_000, 7)).messages) == 1000


def test_manyFieldsAndChunks() -> None:
    data = b"".join(b"X%d: %d\r\n" % (number, number) for number in range(99))
    assert len(acceptedOne(GET[:-2] + data + b"\r\n").fields) == 100
    chunks = chunked(b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n")
    for outcome in (outcomes(chunks, ()), outcomes(chunks, None), outcomes(chunks, None, events=True)):
        assert [len(message.body) for message in outcome.messages] == [20_000]


@pytest.mark.parametrize(
    ("start", "limit"),
    [(b"", 8192), (b"GET / HTTP/1.1\r\nX: ", 32768), (chunked(b""), 4096), (chunked(b"0\r\nX: "), 8192)],
)
def test_endlessLines(start: bytes, limit: int) -> None:
    piece = b"a" * 4096
    buffer = fed(start)

    def feedUntilRefused() -> None:
        for _ in range(2560):
            buffer.append(piece)
            assert buffer.parseRequest() is None
            assert len(buffer) <= len(start) + limit + 2 * len(piece)

    def feed() -> None:
        with pytest.raises(RemoteProtocolError):
            feedUntilRefused()
        for _ in range(2560):
            buffer.append(piece)
            assert len(buffer) == 0

    assert peakOf(feed) < 4 * limit + 100_000
    # All of it at once, too, is let go of.
    whole = fed(start + b"a" * (10 << 20))
    with pytest.raises(RemoteProtocolError):
        whole.parseRequest()
    assert len(whole) == 0


def test_refusedBytesAreLetGoOf() -> None:
    tracemalloc.start()
    try:
        buffer = fed(b"a" * (10 << 20))
        with pytest.raises(MessageTooLarge):
            buffer.parseRequest()
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
    assert len(buffer) == 0


def test_streamsInConstantMemory() -> None:
    data = b"d" * 65536
    chunk = b"10000\r\n" + data + b"\r\n"
    received = 0

    def stream() -> None:
        nonlocal received
        buffer = fed(chunked(b""), "request")
        for _ in range(256):
            # A copy each time, as a socket would give it.
            buffer.append(bytes(bytearray(chunk)))
            for event in allEvents(buffer):
                if isinstance(event, Data):
                    received += len(event.data)
        buffer.append(b"0\r\n\r\n")
        assert kinds(allEvents(buffer)) == [EndOfMessage]

    assert peakOf(stream) < 1_000_000
    assert received == 16 << 20


def test_takenMessagesAreLetGoOf() -> None:
    body = b"b" * 100_000
    one = request(b"POST / HTTP/1.1", b"Content-Length: 100000", body=body)

    def work() -> None:
        buffer = Buffer()
        for _ in range(100):
            buffer.append(bytes(bytearray(one)))
            assert taken(buffer.parseRequest()).body == body

    assert peakOf(work) < 1_000_000


# The field cache


@pytest.mark.parametrize("role", ["request", "response"])
def test_aHeadOfTooManyFieldsIsReadNoFurther(role: str) -> None:
    """
    Else a single one, which is refused, would empty the cache for everybody.
    """
    from wasinet_twisted.http.fields import cache

    buffer = Buffer(role)  # type: ignore[arg-type]
    buffer.append(headOf(role, *(b"X-More: %d" % number for number in range(2000))))
    with pytest.raises(MessageTooLarge):
        buffer.nextEvent()
    assert sum(line.startswith(b"X-More: ") for line in cache) <= Limits().fields


def test_cacheIsBounded() -> None:
    from wasinet_twisted.http.fields import cache

    buffer = Buffer()
    for number in range(6000):
        buffer.append(request(b"GET / HTTP/1.1", b"X-Cache: %d" % number))
        assert taken(buffer.parseRequest()).headers["X-Cache"] == str(number)
    assert len(cache) <= 2048


def test_secretsNeverEnterTheCache() -> None:
    from wasinet_twisted.http.fields import cache

    lines = [name + b": s3cr3t" for name in (b"Authorization", b"proxy-authorization", b"COOKIE", b"Set-Cookie")]
    buffer = fed(request(b"GET / HTTP/1.1", *lines, b"X: " + b"s3cr3t" * 100, b"X-Known: s3cr3t"))
    assert len(taken(buffer.parseRequest()).fields()) == 7
    # An ordinary line does.
    assert [line for line in cache if b"s3cr3t" in line] == [b"X-Known: s3cr3t"]


def test_badLinesNeverEnterTheCache() -> None:
    for _ in range(2):
        refused(request(b"GET / HTTP/1.1", b"Content-Length: +5"))
        refused(request(b"GET / HTTP/1.1", b"X : y"))


def test_prefixesOfEverything() -> None:
    checkPrefixes(GET + POST)
    checkPrefixes(CONNECT + GET)
    checkPrefixes(chunked(b"5\r\nhello\r\nwrong"))
    checkPrefixes(response(b"HTTP/1.1 100") + OK + response(body=b"rest"), role="response")
    checkPrefixes(OK[:-2] + OK, role="response", method=("HEAD", "GET"))


# The original's names


def test_parseChunk() -> None:
    buffer = Buffer("response")
    with pytest.raises(LocalProtocolError, match="without a head"):
        buffer.parseChunk()
    buffer.append(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
    assert isinstance(buffer.nextEvent(), ResponseHead)
    assert buffer.parseChunk() == b"ab"
    assert buffer.parseChunk() is None
    buffer.append(b"c\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert buffer.parseChunk() == b"c"
    assert buffer.parseChunk() == b""
    with pytest.raises(LocalProtocolError, match="without a head"):
        buffer.parseChunk()
    response = buffer.parseResponse()
    assert response is not None
    assert response.status == 204


def test_parseChunkOfAMalformedBody() -> None:
    buffer = Buffer("request")
    buffer.append(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx")
    buffer.nextEvent()
    assert buffer.parseChunk() is None
    buffer.append(b"\r\n")
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="chunk size"):
            buffer.parseChunk()


def test_byteLength() -> None:
    buffer = Buffer("request")
    buffer.append(b"GET / HT")
    assert buffer.parseRequest() is None
    assert buffer.byteLength == len(buffer) == 8


def test_aBodyInTinyPiecesTakesNoMoreThanItsSize() -> None:
    size = 400_000
    wire = b"2\r\nab\r\n" * (size // 2)
    buffer = Buffer("request")
    buffer.append(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert buffer.parseRequest() is None
    tracemalloc.start()
    try:
        for start in range(0, len(wire), 7000):
            buffer.append(wire[start : start + 7000])
            assert buffer.parseRequest() is None
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * size
    buffer.append(b"0\r\n\r\n")
    request = buffer.parseRequest()
    assert request is not None
    assert request.body == b"ab" * (size // 2)


@pytest.mark.parametrize("sizes", [(1,), (2,), (1, 511), (1, 512), (511,), (3, 3, 3, 600)])
def test_whatWaitsInSmallPiecesTakesLittleMoreThanItsSize(sizes: tuple[int, ...]) -> None:
    """
    As it comes by TLS, in records of any size, while nobody parses.
    """
    total = 256 * 1024
    buffer = Buffer("request")
    turn = cycle(sizes)
    tracemalloc.start()
    try:
        while len(buffer) < total:
            buffer.append(b"\n" * next(turn))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 2 * total + 32 * 1024


def test_largePiecesAreKeptByReference() -> None:
    queue = ByteQueue()
    pieces = [b"a", b"b" * 512, b"c", b"d", b"e" * 512, b"f" * 100_000, b"g" * 511, b"h"]
    for piece in pieces:
        queue.append(piece)
    assert queue.size == sum(map(len, pieces))
    # One after the other, those that are small joined with their like.
    taken = [queue.take(1 << 20) for _ in range(6)]
    assert taken == [b"a", b"b" * 512, b"cd", b"e" * 512, b"f" * 100_000, b"g" * 511 + b"h"]
    assert all(taken[i] is pieces[j] for i, j in ((0, 0), (1, 1), (3, 4), (4, 5)))
    assert {type(piece) for piece in taken} == {bytes}
    assert queue.take(1) == b""
    assert queue.size == 0


def test_joinedPiecesStayShort() -> None:
    """
    So that what has been read of one is let go soon, and none is copied over and over.
    """
    queue = ByteQueue()
    data = bytes(range(256)) * 1024
    for start in range(0, len(data), 3):
        queue.append(data[start : start + 3])
    taken = []
    while piece := queue.take(1 << 20):
        taken.append(piece)
    assert b"".join(taken) == data
    assert max(map(len, taken)) < 17 * 1024
    assert len(taken) < 20
    # As a whole, too.
    for start in range(0, len(data), 3):
        queue.append(data[start : start + 3])
    queue.skip(2)
    assert queue.takeAll() == data[2:]
