"""
What the server does in each situation: row by row, on real sockets, the server in a process of its own.

C{ROWS} names, for each rule, the tests that hold it. The same rules by a
Clock, and with handlers of all kinds, are in the files beside this one.
"""

from __future__ import annotations

import signal
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.processes import PATIENCE, Client, listening, talk, waitUntil

from .child import LOCAL, Abused, connect, drain, serving
from .support import CONTINUE, chunked, get, message, parse, post

ROWS = {
    "persistence": ("test_persistence",),
    "pipelined requests": ("test_pipelinedInOrder",),
    "data after a request with Connection: close, or after a refused one": (
        "test_afterAClose",
        "test_afterARefusal",
    ),
    "Expect: 100-continue": (
        "test_expectationAndTheHandlerReads",
        "test_expectationAndTheHandlerAnswers",
        "test_expectationWithTheBodyThere",
        "test_expectationsOfOthers",
    ),
    "a handler that leaves the body unread": ("test_unreadWithinTheBound", "test_unreadBeyondTheBound"),
    "closing after an early or refusing final answer": ("test_theRefusalOfALargeUploadArrives",),
    "HEAD": ("test_head",),
    "Upgrade, CONNECT": ("test_upgrade", "test_anUpgradeNotTaken", "test_connect"),
    "peer half-closes after its request": ("test_halfClosedPeersAreAnswered",),
    "head not complete within its deadline": ("test_theHeadsDeadline",),
    "body slower than a minimum rate, response not taken, idle keep-alive": (
        "test_theBodysDeadline",
        "test_theResponsesDeadline",
        "test_theIdleDeadline",
    ),
    "connections over the bound": (
        "test_exactlyTheBound",
        "test_theLongestIdleMakesRoom",
        "test_whoBecomesIdleMakesRoom",
        "test_freshOnesAreNotIdle",
    ),
    "out of file descriptors": ("test_outOfDescriptors",),
    "the handler raises": ("test_theHandlerRaises", "test_theHandlerRaisesInMidStream"),
    "SIGTERM": ("test_terminate",),
    "access log": ("test_accessLog",),
    "response splitting": ("test_responseSplitting",),
    "all of it over TLS": ("test_tls", "test_tlsWithoutAHandshake"),
}


def test_everyRowHasItsTests() -> None:
    named = {name for names in ROWS.values() for name in names}
    module = vars(sys.modules[__name__])
    here = {name for name, value in module.items() if name.startswith("test_") and callable(value)}
    assert named == here - {"test_everyRowHasItsTests"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abused]:
    """
    One with short deadlines, for all those who don't need their own.
    """
    with serving(
        tmp_path_factory.mktemp("server"),
        warm=False,
        head=1,
        idle=2,
        bodyGrace=1,
        responseRate=100_000,
        body=100_000,
        unreadBody=50_000,
        sendBuffer=16384,
    ) as child:
        yield child


def exchange(server: Abused, *sent: bytes) -> bytes:
    """
    Send, and take what comes until the server ends.
    """
    with Client(server.port) as client:
        for data in sent:
            client.send(data)
        return client.receiveAll()


def upTo(client: Client, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        more = client.socket.recv(1 << 16)
        assert more, data
        data += more
    return data


@pytest.mark.parametrize(
    ("version", "field", "stays"),
    [
        ("HTTP/1.1", "A: b", True),
        ("HTTP/1.1", "Connection: x, CLOSE", False),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: Close", False),
        ("HTTP/1.0", "A: b", False),
        ("HTTP/1.0", "Connection: Keep-Alive", True),
        ("HTTP/1.0", "Connection: keep-alive\r\nConnection: close", False),
    ],
)
def test_persistence(version: str, field: str, stays: bool, server: Abused) -> None:
    text = message("GET", "/x", *field.split("\r\n"), version=version)
    with Client(server.port) as client:
        client.send(text)
        first = upTo(client, b"/x")
        connection = parse(first)[0].headers.get("Connection")
        if stays:
            client.send(text)
            upTo(client, b"/x")
            assert connection == ("keep-alive" if version == "HTTP/1.0" else None)
        else:
            assert client.receiveAll() == b""
            assert connection == "close"


def test_pipelinedInOrder(server: Abused) -> None:
    paths = ["/sleep", "/1", "/stream", "/2", "/read", "/3"]
    data = exchange(server, b"".join(map(get, paths)) + get("/close"))
    bodies = [response.body for response in parse(data)]
    assert bodies == [b"/sleep", b"/1", bytes(1_000_000), b"/2", b"0", b"/3", b"/close"]


def test_afterAClose(server: Abused) -> None:
    for first in (get("/1", "Connection: close"), get("/close"), message("GET", "/1", version="HTTP/1.0")):
        with Client(server.port) as client:
            client.send(first + get("/2"))
            (response,) = parse(client.receiveAll())
            assert response.headers["Connection"] == "close"
            client.send(get("/3"))
            client.end()
            assert client.receiveAll() == b""


def test_afterARefusal(server: Abused) -> None:
    before = server.statistics()["requests"]["total"]
    for first in (b"nonsense\r\n\r\n", chunked("/read", b"ab") + b"zz\r\n", get("/", "Expect: x")):
        (response,) = parse(exchange(server, first + get("/smuggled") * 9))
        assert response.status in (400, 417)
        assert response.headers["Connection"] == "close"
    # Two of the three reached the handler, or the check of what it expects; and who asks.
    assert server.statistics()["requests"]["total"] == before + 2 + 1


def test_expectationAndTheHandlerReads(server: Abused) -> None:
    with Client(server.port) as client:
        client.send(post("/read", 5, "Expect: 100-continue"))
        assert client.receive(len(CONTINUE)) == CONTINUE
        client.send(b"12345" + get("/close"))
        assert [response.body for response in parse(client.receiveAll())] == [b"5", b"/close"]


def test_expectationAndTheHandlerAnswers(server: Abused) -> None:
    """
    The client may send the body or not: whatever comes is no request.
    """
    for rest in (b"", get("/smuggled"), b"12345" + get("/smuggled")):
        for sent in ((b"", rest), (rest, b"")):
            data = exchange(server, post("/ignored", 5, "Expect: 100-continue") + sent[0], sent[1])
            (response,) = parse(data)
            assert (response.status, response.headers["Connection"]) == (200, "close")


def test_expectationWithTheBodyThere(server: Abused) -> None:
    for sent in (
        post("/read", 5, "Expect: 100-continue", body=b"12345"),
        post("/read", 0, "Expect: 100-continue"),
        message("POST", "/read", "Expect: 100-continue", "Content-Length: 5", version="HTTP/1.0", body=b"12345"),
    ):
        data = exchange(server, sent + get("/close", "Connection: close"))
        assert CONTINUE not in data
        assert parse(data)[0].status == 200


def test_expectationsOfOthers(server: Abused) -> None:
    (response,) = parse(exchange(server, post("/read", 5, "Expect: 200-ok", body=b"12345") + get("/smuggled")))
    assert response.status == 417


def test_unreadWithinTheBound(server: Abused) -> None:
    body = (get("/smuggled") * 2000)[:50_000]
    for sent in (post("/1", len(body), body=body), chunked("/1", body, b"")):
        data = exchange(server, sent + get("/close"))
        assert [response.body for response in parse(data)] == [b"/1", b"/close"]


def test_unreadBeyondTheBound(server: Abused) -> None:
    body = (get("/smuggled") * 20_000)[:150_000]
    for sent in (post("/1", len(body), body=body), chunked("/1", body, b"")):
        data = exchange(server, sent + get("/smuggled"))
        assert [response.body for response in parse(data)] == [b"/1"]


def test_theRefusalOfALargeUploadArrives(server: Abused) -> None:
    """
    Six of six, to a client that sends all before it reads; and to one that reads meanwhile.
    """
    body = bytes(20_000_000)
    for sent in (post("/read", len(body)), chunked("/read") + b"%x\r\n" % len(body)):
        for _ in range(6):
            with Client(server.port) as client:
                client.send(sent)
                client.send(body)
                (response,) = parse(client.receiveAll())
                assert (response.status, response.headers["Connection"]) == (413, "close")
    with Client(server.port) as client:
        client.send(post("/read", len(body)))

        def upload() -> None:
            with suppress(OSError):
                client.send(body)

        uploading = threading.Thread(target=upload)
        uploading.start()
        (response,) = parse(client.receiveAll())
        assert response.status == 413
        uploading.join(PATIENCE)


def test_head(server: Abused) -> None:
    data = exchange(server, message("HEAD", "/big") + message("HEAD", "/stream") + message("HEAD", "/close"))
    big, stream, _ = parse(data, "HEAD", "HEAD", "HEAD")
    assert big.headers["Content-Length"] == "200000"
    assert stream.headers["Transfer-Encoding"] == "chunked"


OFFER = ("Connection: Upgrade", "Upgrade: echo")


def test_upgrade(server: Abused) -> None:
    """
    What comes right behind it, and what looks like a request, is the other protocol's.
    """
    with Client(server.port) as client:
        client.send(get("/upgrade", *OFFER) + get("/early"))
        head = upTo(client, b"\r\n\r\n" + get("/early"))
        assert head.startswith(b"HTTP/1.1 101 ")
        client.send(b"later")
        assert client.receive(5) == b"later"
        client.end()
        assert client.receiveAll() == b"bye"
    # Who offers nothing gets an error, and nobody a switch in HTTP/1.0.
    data = exchange(server, message("GET", "/close", *OFFER, version="HTTP/1.0"))
    assert parse(data)[0].status == 200


def test_anUpgradeNotTaken(server: Abused) -> None:
    h2c = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
    data = exchange(server, get("/1", *h2c) + get("/close"))
    assert [(response.status, response.body) for response in parse(data)] == [(200, b"/1"), (200, b"/close")]


def test_connect(server: Abused) -> None:
    data = talk(server.port, message("CONNECT", "x:443") + get("/early"))
    head, _, rest = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert rest == get("/early") + b"bye"


def test_halfClosedPeersAreAnswered(server: Abused) -> None:
    for path, body in (("/sleep", b"/sleep"), ("/stream", bytes(1_000_000)), ("/big", bytes(200_000))):
        data = talk(server.port, get(path) * 2)
        assert [response.body for response in parse(data)] == [body] * 2


def test_theHeadsDeadline(server: Abused) -> None:
    """
    Bytes don't prolong it, and time before the first of them doesn't shorten it.
    """
    with Client(server.port) as client:
        time.sleep(0.7)
        began = time.monotonic()
        client.socket.settimeout(0.1)
        data = b""
        for byte in get("/" + "a" * 1000):
            client.send(bytes((byte,)))
            with suppress(TimeoutError):
                data = client.socket.recv(1000)
                break
        took = time.monotonic() - began
        (response,) = parse(data)
        assert response.status == 408
        assert 1 <= took < 2


def test_theBodysDeadline(server: Abused) -> None:
    began = time.monotonic()
    (response,) = parse(exchange(server, post("/read", 10, body=b"slow")))
    assert response.status == 408
    assert 1 <= time.monotonic() - began < 2.5


def test_theResponsesDeadline(server: Abused) -> None:
    """
    Who doesn't take the answer is reset.
    """
    with connect(server.port, 4096) as client:
        client.sendall(get("/big"))
        drops = server.statistics()["dropped"].get("slow reader", 0)
        waitUntil(lambda: server.statistics()["dropped"].get("slow reader", 0) > drops, "the drop")
        with pytest.raises(ConnectionResetError):
            drain(client)


def test_theIdleDeadline(server: Abused) -> None:
    for sent in (b"", get("/x")):
        with Client(server.port) as client:
            client.send(sent)
            if sent:
                upTo(client, b"/x")
            began = time.monotonic()
            assert client.receiveAll() == b""
            assert 1.9 <= time.monotonic() - began < 3.2


def test_exactlyTheBound(tmp_path: Path) -> None:
    with serving(tmp_path, warm=False, connections=5) as server, ExitStack() as stack:
        before = server.descriptors()
        clients = [stack.enter_context(Client(server.port)) for _ in range(30)]
        for client in clients:
            client.send(get("/sleep"))
        began = time.monotonic()
        time.sleep(0.3)
        assert server.descriptors() == before + 5
        for client in clients:
            # Those that waited come when others go.
            upTo(client, b"/sleep")
            client.socket.close()
        assert time.monotonic() - began >= 30 / 5 * 0.5 - 0.3


def test_theLongestIdleMakesRoom(tmp_path: Path) -> None:
    with serving(tmp_path, warm=False, connections=3) as server, ExitStack() as stack:
        first, second, third = (stack.enter_context(Client(server.port)) for _ in range(3))
        # In an order that is not the one they came in.
        for client in (second, first):
            client.send(get("/x"))
            upTo(client, b"/x")
        del third
        fourth = stack.enter_context(Client(server.port))
        fourth.send(get("/x"))
        upTo(fourth, b"/x")
        assert second.receiveAll() == b""


def test_whoBecomesIdleMakesRoom(tmp_path: Path) -> None:
    """
    Though nobody was idle when the bound was reached.
    """
    with serving(tmp_path, warm=False, connections=2) as server, ExitStack() as stack:
        busy = [stack.enter_context(Client(server.port)) for _ in range(2)]
        for client in busy:
            client.send(get("/sleep"))
        waiting = stack.enter_context(Client(server.port))
        waiting.send(get("/x"))
        for client in busy:
            upTo(client, b"/sleep")
        began = time.monotonic()
        upTo(waiting, b"/x")
        assert time.monotonic() - began < 2


def test_freshOnesAreNotIdle(tmp_path: Path) -> None:
    """
    Their first requests may be on their way: many at once are all answered.
    """
    with serving(tmp_path, warm=False, connections=5) as server:
        answers: list[bytes] = []

        def ask() -> None:
            for _ in range(10):
                answers.append(server.ask("/x"))

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert answers == [b"/x"] * 300


def test_outOfDescriptors(tmp_path: Path) -> None:
    """
    Who came before is served on, who comes now waits, and nobody is closed.
    """
    with serving(tmp_path, warm=False, descriptors=64) as server, ExitStack() as stack:
        old = Client(server.port)
        stack.enter_context(old)
        old.send(get("/x"))
        upTo(old, b"/x")
        clients = [stack.enter_context(Client(server.port)) for _ in range(150)]
        for client in clients:
            client.send(get("/x"))
        waitUntil(lambda: "accepting pauses" in server.log(), "the pause")
        old.send(get("/x"))
        upTo(old, b"/x")
        for client in clients:
            upTo(client, b"/x")
            client.socket.close()
        assert server.log().count("accepting pauses") == 1


def test_theHandlerRaises(tmp_path: Path) -> None:
    with serving(tmp_path, warm=False, failures=1) as server:
        (response,) = parse(exchange(server, get("/raise?secret") + get("/next")))
        assert (response.status, response.body) == (500, b"Internal Server Error\n")
        assert response.headers["Connection"] == "close"
        assert "hunter2" not in str(response.headers)
        log = server.log()
        assert log.count("GET /raise?secret HTTP/1.1") == log.count("LookupError: hunter2") == 1


def test_theHandlerRaisesInMidStream(tmp_path: Path) -> None:
    """
    A reset, which no client takes for the end of a body that has no length.
    """
    with serving(tmp_path, warm=False, failures=10) as server:
        for version in ("HTTP/1.1", "HTTP/1.0") * 5:
            with Client(server.port) as client:
                client.send(message("GET", "/break", version=version))
                with pytest.raises(ConnectionResetError):
                    client.receiveAll()


def test_terminate(tmp_path: Path) -> None:
    with serving(tmp_path, warm=False) as server, ExitStack() as stack:
        idle, head, body, busy, stream = (stack.enter_context(Client(server.port)) for _ in range(5))
        idle.send(get("/x"))
        upTo(idle, b"/x")
        head.send(get("/x")[:9])
        body.send(post("/read", 4, body=b"ab"))
        busy.send(get("/sleep"))
        stream.send(get("/stream") + get("/x"))
        stream.receive(100)
        waitUntil(lambda: server.statistics()["requests"]["inFlight"] == 3, "all of them in flight")
        server.process.send_signal(signal.SIGTERM)
        assert idle.receiveAll() == b""
        # Which of the two goes first, idle connections or the port, is the reactor's affair.
        waitUntil(lambda: not listening(server.port), "an end of the listening")
        head.send(get("/x")[9:])
        body.send(b"cd")
        for client, expected in ((head, b"/x"), (body, b"4"), (busy, b"/sleep")):
            (response,) = parse(client.receiveAll())
            assert (response.body, response.headers["Connection"]) == (expected, "close")
        assert stream.receiveAll().endswith(b"/x")
        assert server.process.wait(PATIENCE) == 0


def test_accessLog(tmp_path: Path) -> None:
    path = tmp_path / "access"
    with serving(tmp_path, warm=False, accessLog=str(path)) as server:
        agent = 'a"b\\c\td\xff'
        exchange(server, get("/close?a\\b", f"User-Agent: {agent}", "Referer: \xe9"))
        exchange(server, b"GET /\x00 HTTP/1.1\r\n\r\n")
    first, second = path.read_bytes().splitlines()
    assert b'"GET /close?a\\\\b HTTP/1.1" 200 10 "\\xe9" "a\\"b\\\\c\\x09d\\xff" 0.' in first, first
    assert b'"-" 400 ' in second


def test_responseSplitting(tmp_path: Path) -> None:
    bad = ("a%0d%0aEvil:%20yes", "a%0aEvil:%20yes", "a%0dEvil", "a%00b", "%0d%0a%0d%0aHTTP/1.1%20200%20OK")
    with serving(tmp_path, warm=False, failures=2 * len(bad)) as server:
        for path in ("/split", "/reason"):
            for query in bad:
                data = exchange(server, get(f"{path}?{query}"))
                (response,) = parse(data)
                assert (response.status, response.body) == (500, b"Internal Server Error\n")
                assert b"Evil" not in data


def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue(LOCAL)
    context = ssl.create_default_context(cafile=str(authority.path))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serving(
        tmp_path,
        warm=False,
        certificate=str(certificate),
        body=100_000,
        bodyGrace=1,
        responseRate=100_000,
        idle=2,
        lingerSeconds=0.5,
    ) as server:

        def client(receiveBuffer: int | None = None) -> Client:
            found = Client.__new__(Client)
            found.socket = context.wrap_socket(connect(server.port, receiveBuffer), server_hostname=LOCAL)
            return found

        with client() as one:
            assert one.socket.selected_alpn_protocol() == "http/1.1"
            one.send(get("/1") + get("/stream") + post("/read", 5, body=b"12345") + get("/close"))
            bodies = [response.body for response in parse(one.receiveAll())]
            assert bodies == [b"/1", bytes(1_000_000), b"5", b"/close"]
        with client() as one:
            one.send(get("/upgrade", *OFFER) + b"early")
            assert upTo(one, b"early").startswith(b"HTTP/1.1 101 ")
        for sent, status in ((b"nonsense\r\n\r\n" + get("/smuggled"), 400), (post("/read", 9), 408)):
            with client() as one:
                one.send(sent)
                (response,) = parse(one.receiveAll())
                assert response.status == status
        # A refusal arrives, though one direction can't be ended without the other.
        for _ in range(3):
            with client() as one:
                one.send(post("/read", 5_000_000))
                with suppress(OSError):
                    one.send(bytes(5_000_000))
                (response,) = parse(one.receiveAll())
                assert response.status == 413
        with client(4096) as one:
            one.send(get("/big") * 40)
            time.sleep(3)
            # Python's ssl takes the reset for an end.
            size = 0
            with suppress(OSError):
                size = len(one.receiveAll())
            assert size < 40 * 200_000
        with client() as one:
            one.send(get("/x"))
            upTo(one, b"/x")
            began = time.monotonic()
            assert one.receiveAll() == b""
            assert 1.9 <= time.monotonic() - began < 3.2


def test_tlsWithoutAHandshake(tmp_path: Path) -> None:
    certificate = Authority(tmp_path).issue(LOCAL)
    with serving(tmp_path, warm=False, certificate=str(certificate), idle=1) as server:
        for sent in (b"", b"\x16\x03\x01", get("/plain")):
            with Client(server.port) as client:
                client.send(sent)
                with suppress(ConnectionResetError):
                    client.receiveAll()
