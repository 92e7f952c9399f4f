"""
createServer() of the module http, over real sockets: what it answers, and that no client ends or wedges a program.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import pytest

from tests.processes import PATIENCE, Client, Process, talk, waitUntil

from .support import needsEngine, served

pytestmark = needsEngine

ROUTES = Path(__file__).parent / "http_routes.js"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """
    Closes what a test has opened, also when it fails.
    """
    with ExitStack() as opened:
        yield opened


class Server:
    """
    A program with routes.
    """

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    @contextmanager
    def connection(self) -> Iterator[HTTPConnection]:
        """
        A client's.
        """
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            yield connection

    def ask(self, path: str, body: bytes | None = None, method: str | None = None) -> tuple[int, bytes]:
        """
        Make a request on a connection of its own.
        """
        with self.connection() as connection:
            connection.request(method or ("GET" if body is None else "POST"), path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def counts(self) -> dict[str, int]:
        """
        What the program has counted.
        """
        counted: dict[str, int] = json.loads(self.ask("/counts")[1])
        return counted


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    One for all tests. In the end it is as it was: it serves, and when its server closes, it ends with 0.
    """
    with served(ROUTES, tmp_path_factory.mktemp("server")) as (process, port):
        server = Server(process, port)
        yield server
        assert server.ask("/now") == (200, b"now")
        assert server.ask("/close") == (200, b"closing")
        # A turn that was interrupted is told by the status.
        assert process.wait() in (0, 1)
        assert process.stdout() == "listening\nclosed\n"
        assert "Traceback" not in process.stderr()


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/now", None, b"now"),
        ("/echo", None, b"echo:"),
        ("/echo", "späť".encode(), "echo:späť".encode()),
        ("/events", b"body", b"true:body"),
        ("/events", None, b"true:"),
        ("/onlydata", b"WasmEdge", b"echo:WasmEdge"),
        # The original answers a GET with nothing.
        ("/onlydata", None, b"echo:"),
        ("/pieces", None, b"piece 0;piece 1;piece 2;end"),
        ("/through", b"1" * 300_000, b"1" * 300_000),
        ("/length", None, b"12345"),
        ("/json", b'{"a": [1]}', b'{"a":[1]}'),
    ],
)
def test_answers(server: Server, path: str, body: bytes | None, answer: bytes) -> None:
    assert server.ask(path, body) == (200, answer)


def test_awaitInAHandler(server: Server) -> None:
    """
    The original gives an empty reply.
    """
    with server.connection() as connection:
        connection.request("GET", "/later")
        answer = connection.getresponse()
        assert (answer.status, answer.reason, answer.read()) == (201, "Made", b"later")
        assert answer.getheader("X-One") == "1"
        assert answer.msg.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert answer.getheader("Content-Length") == "5"


def test_keepAliveAndPipelining(server: Server) -> None:
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
    answers = talk(server.port, b"".join(request % i for i in range(10)))
    assert [answers.count(b"\r\n\r\necho:%d" % i) for i in range(10)] == [1] * 10
    assert answers.index(b"echo:3") < answers.index(b"echo:4")


def test_aChunkedRequestIsRead(server: Server) -> None:
    """
    The original doesn't read one.
    """
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWasm\r\n"
    with Client(server.port) as client:
        client.send(request)
        client.send(b"4\r\nEdge\r\n0\r\n\r\n")
        client.end()
        assert client.receiveAll().endswith(b"\r\n\r\necho:WasmEdge")


def test_piecesAreChunks(server: Server) -> None:
    """
    To HTTP/1.0 they are no chunks: the end of the connection ends them.
    """
    answer = talk(server.port, b"GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n8\r\npiece 2;\r\n3\r\nend\r\n0\r\n\r\n")
    old = talk(server.port, b"GET /pieces HTTP/1.0\r\n\r\n")
    assert b"chunked" not in old
    assert old.endswith(b"\r\n\r\npiece 0;piece 1;piece 2;end")


def test_headersByEitherCase(server: Server) -> None:
    request = b"GET /headers HTTP/1.1\r\nHost: a:8000\r\nX-Multi: 1\r\nx-multi: 2\r\n__proto__: p\r\n\r\n"
    body = json.loads(talk(server.port, request).partition(b"\r\n\r\n")[2])
    assert body == [["Host", "X-Multi", "__proto__"], "a:8000", "1, 2", "1, 2", "1.1"]


def test_head(server: Server) -> None:
    request = b"HEAD %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = talk(server.port, request % b"/now")
    assert b"\r\nContent-Length: 3\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in talk(server.port, request % b"/empty")


def test_largeAnswer(server: Server) -> None:
    status, body = server.ask("/large")
    assert (status, len(body)) == (200, 8 << 20)


# What goes wrong


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/throws", "Error: thrown"),
        ("/rejects", "TypeError: rejected"),
        ("/split", "X-Bad"),
        ("/status", "99"),
        ("/toolarge", "the bound is 16777216"),
        ("/never", "was not answered"),
    ],
)
def test_aHandlerFails(server: Server, path: str, said: str) -> None:
    """
    The client is answered with 500, the standard error says why, and the program goes on.
    """
    assert server.ask(path) == (500, b"Internal Server Error\n")
    waitUntil(lambda: said in server.process.stderr(), f"{said!r} on the standard error")
    assert server.ask("/now") == (200, b"now")


def test_aHandlerFailsBehindTheHead(server: Server) -> None:
    """
    Half a body must not look like a whole one.
    """
    with server.connection() as connection:
        connection.request("GET", "/afterhead")
        with pytest.raises((IncompleteRead, ConnectionError)):
            connection.getresponse().read()


def test_aSecondEndIsAnErrorOfTheHandler(server: Server) -> None:
    assert server.ask("/twice") == (200, b"once")
    waitUntil(lambda: "end() after end()" in server.process.stderr(), "the error")


def test_anEndlessLoopIsOneClientsAffair(server: Server) -> None:
    with Client(server.port) as other:
        other.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        assert server.ask("/spin")[0] == 500
        other.send(b"2")
        other.end()
        assert other.receiveAll().endswith(b"echo:12")


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b"{", b"\xff\xfe", b"1" * 100_000], ids=["deep", "cut", "no UTF-8", "a long number"]
)
def test_hostileJson(server: Server, body: bytes) -> None:
    assert server.ask("/json", body)[0] in (200, 500)
    assert server.ask("/now") == (200, b"now")


MALFORMED = [
    b"\x00\x01\x02\r\n\r\n",
    b"GET /now HTTP/1.1\r\n\r\n",
    b"GET /now HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nxxxxx",
    b"GET /now HTTP/1.1\nHost: x\n\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("request_", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed(server: Server, request_: bytes) -> None:
    assert talk(server.port, request_)[9:12] in (b"400", b"431")
    assert server.ask("/now") == (200, b"now")


def test_aBodyAboveTheBound(server: Server) -> None:
    """
    One megabyte may come whole, what is streamed has no bound.
    """
    most = 1 << 20
    assert server.ask("/echo", b"x" * most) == (200, b"echo:" + b"x" * most)
    with Client(server.port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (most + 1))
        assert client.receive(12) == b"HTTP/1.1 413"
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    with Client(server.port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 32 + b"1\r\nx")
        assert client.receive(12) == b"HTTP/1.1 413"
    assert server.ask("/through", b"y" * (3 * most)) == (200, b"y" * (3 * most))


def reset(client: Client) -> None:
    """
    With a linger of 0 s, close() resets.
    """
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


@pytest.mark.parametrize("path", ["/echo", "/floating", "/through", "/events", "/json"])
def test_clientsThatGoInsideTheBody(server: Server, path: str) -> None:
    """
    Nobody handles what C{/floating} rejects with: it is told, and ends nothing.
    """
    for i in range(10):
        client = Client(server.port)
        client.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12".encode())
        if i % 2:
            reset(client)
        else:
            client.end()
            with client, suppress(ConnectionResetError):
                client.receiveAll()
    assert server.ask("/now") == (200, b"now")
    assert server.process.process.poll() is None


def test_aClientThatGoesIsNoticed(server: Server, stack: ExitStack) -> None:
    before = server.counts().get("closed", 0)
    for end in (reset, lambda client: client.end()):
        client = stack.enter_context(Client(server.port))
        client.send(b"GET /timer HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"tick;" in client.receive(200)
        end(client)
    waitUntil(lambda: server.counts().get("closed", 0) == before + 2, "the close of both")


def test_aReaderThatTakesNothing(server: Server, stack: ExitStack) -> None:
    """
    Who awaits write() is held back, at less than a megabyte or so; who doesn't has a bound, at which the connection is
    reset.
    """
    slow = stack.enter_context(Client(server.port))
    slow.send(b"GET /flow HTTP/1.1\r\nHost: x\r\n\r\n")
    flood = stack.enter_context(Client(server.port))
    flood.send(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
    waitUntil(lambda: "flow" in server.counts(), "the first piece")
    waitUntil(lambda: "the connection is reset" in server.process.stderr(), "the reset")
    assert server.counts()["flooded"] == 1
    time.sleep(0.2)
    assert server.counts()["flow"] < 200
    assert "flowed" not in server.counts()
    # It goes on where its reader does.
    slow.end()
    received = len(slow.receiveAll())
    assert received > 16 << 20
    waitUntil(lambda: server.counts().get("flowed") == 1, "the end of the flow")


def test_bodiesTogether(server: Server, stack: ExitStack) -> None:
    """
    Bodies that are being read whole share a quarter of the program's memory: beyond, 503, and the others go on.
    """
    size = 1 << 20
    clients = [stack.enter_context(Client(server.port)) for _ in range(20)]
    for client in clients:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        with suppress(ConnectionError):
            client.send(b"x" * (size - 1))
    sockets = [client.socket for client in clients]
    waitUntil(lambda: select.select(sockets, [], [], 0)[0], "the first that is refused")
    for client in clients:
        with suppress(ConnectionError):
            client.send(b"x")
    answered = [client.receive(12) for client in clients]
    assert answered.count(b"HTTP/1.1 200") >= 12
    assert answered.count(b"HTTP/1.1 503") == 20 - answered.count(b"HTTP/1.1 200") > 0
    # What they took is given back.
    assert server.ask("/echo", b"x" * size)[0] == 200


def test_answersTogether(server: Server, stack: ExitStack) -> None:
    """
    What clients don't take is bounded by the program's memory, whoever they are.
    """
    for _ in range(8):
        client = stack.enter_context(Client(server.port))
        client.send(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
    waitUntil(lambda: "is broken off: " in server.process.stderr(), "the bound")
    stack.close()
    # When the program has noticed that they have gone, there is room again.
    waitUntil(lambda: server.ask("/hold", method="HEAD")[0] == 200, "room")


def test_manyAtOnce(tmp_path: Path) -> None:
    """
    More requests than the program may have at a time, by what their heads take: the others wait, and all are answered.
    """
    head = b"GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"y" * 30_000 + b"\r\n\r\n"
    with served(ROUTES, tmp_path) as (_, port), ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(700)]
        for client in clients:
            client.send(head)
        for client in clients:
            assert client.receiveAll().endswith(b"\r\n\r\nlater")
