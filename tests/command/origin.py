"""
A server for the transfers, by Python's http.server, in threads: what it answers is written here, byte for byte.
"""

from __future__ import annotations

import gzip
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Does not become smaller.
CONTENT = random.Random(6).randbytes(1_000_000)
TAG = '"version-1"'
OLD = formatdate(1_000_000_000, usegmt=True)

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """
    Answers one connection's requests.
    """

    protocol_version = "HTTP/1.1"
    # It writes the head and the body one by one: the body would wait until the client acknowledges the head.
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        """
        Nothing.
        """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        self.body = self._read()
        self.server.requests.append(self)
        self.server.answers.get(self.path.partition("?")[0], notFound)(self)

    def _read(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def reply(self, status: int, body: bytes = b"", fields: dict[str, str] | None = None) -> None:
        """
        Send a response.
        """
        self.send_response(status)
        given = {"Content-Length": str(len(body)), **(fields or {})}
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """
    @ivar answers: what answers each path.
    @ivar requests: those that have come.
    @ivar goOn: lets a download that stands still go on.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, answers: dict[str, Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.requests: list[Handler] = []
        self.goOn = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """
        A client that has gone is no error.
        """

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fieldsOf(self, number: int) -> Any:
        """
        Return the fields of a request.
        """
        return self.requests[number].headers


def notFound(handler: Handler) -> None:
    handler.reply(404, b"nothing here\n", {"Content-Type": "text/plain"})


def hello(handler: Handler) -> None:
    handler.reply(200, b"hello\n", {"X-Name": "value"})


def echo(handler: Handler) -> None:
    handler.reply(200, handler.body)


def packed(handler: Handler) -> None:
    """
    A body that is compressed for those who take it.
    """
    if "gzip" in handler.headers.get("Accept-Encoding", ""):
        handler.reply(200, gzip.compress(b"hello\n"), {"Content-Encoding": "gzip", "ETag": TAG})
    else:
        handler.reply(200, b"hello\n", {"ETag": TAG})


def moved(where: str, status: int = 302) -> Answer:
    return lambda handler: handler.reply(status, b"", {"Location": where})


def never(handler: Handler) -> None:
    """
    Wait for longer than anybody does.
    """
    handler.server.goOn.wait(60)


def file(
    content: bytes = CONTENT,
    fields: dict[str, str] | None = None,
    stop: int | None = None,
    cut: bool = False,
    ranges: bool = True,
) -> Answer:
    """
    Return what answers with a file, and with its parts.

    @param fields: by default, an ETag.
    @param stop: so much of the first response comes, and then it stands still until the client is gone...
    @param cut: ... or the server is.
    """
    fields = {"ETag": TAG} if fields is None else fields
    validators = [fields.get("ETag"), fields.get("Last-Modified")]
    stops = [stop]

    def answer(handler: Handler) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        status, start, more = 200, 0, dict(fields)
        if ranges and wanted and (condition is None or condition in validators):
            start = int(wanted[1])
            if start >= len(content):
                handler.reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            status = 206
            more["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        rest = content[start:]
        end = stops.pop() if stops else None
        if end is None:
            handler.reply(status, rest, more)
            return
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(rest)), **more}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(rest[:end])
        handler.wfile.flush()
        if not cut:
            handler.server.goOn.wait(60)
        handler.close_connection = True

    return answer


@contextmanager
def origin(**answers: Answer) -> Iterator[Server]:
    """
    Serve at C{/name} what each answer of that name gives.
    """
    with Server({f"/{name}": answer for name, answer in answers.items()}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.goOn.set()
            server.shutdown()
            thread.join()
