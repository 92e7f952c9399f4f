"""
Servers that nobody here wrote, each as a process with a configuration of its own: nginx, Apache, haproxy, Node's http
and Python's http.server.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater

from tests.processes import PATIENCE, Process, freePort, running, waitUntil
from tests.support import needsTool
from wasinet_twisted.client import Pool, Response, Timeouts, fetch

reactor: Any = _reactor
HERE = Path(__file__).parent

HELLO = b"Hello, world!\n"
# Does not become smaller, ...
LARGE = random.Random(13).randbytes(3 * 1024 * 1024 + 17)
# ... and this one does.
TEXT = b"".join(b"line %d of a text that repeats itself\n" % number for number in range(3000))


def files(directory: Path) -> Path:
    """
    What a server has to give: hello.txt, large.bin, text.txt, empty.txt and a folder.
    """
    root = directory / "files"
    (root / "folder").mkdir(parents=True)
    for name, content in (("hello.txt", HELLO), ("large.bin", LARGE), ("text.txt", TEXT), ("empty.txt", b"")):
        (root / name).write_bytes(content)
    (root / "folder" / "index.html").write_text("<p>a folder</p>\n")
    return root


class Server:
    """
    One that runs.

    @ivar directory: where its files, its logs and its sockets are.
    @ivar log: its access log, if it keeps one.
    @ivar port: that of 127.0.0.1 where it listens.
    @ivar version: what it speaks.
    """

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.directory = process.directory
        self.log = self.directory / "access.log"
        self.port = port
        self.version = "HTTP/1.1"

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def logged(self, path: str, count: int) -> list[list[str]]:
        """
        The words of its log's lines that begin with C{path}, once there are so many. A response may be here before its
        line is there.
        """

        def lines() -> list[list[str]]:
            return [words for line in self.log.read_text().splitlines() if (words := line.split())[0] == path]

        waitUntil(lambda: len(lines()) >= count, f"{count} lines about {path} in the log")
        return lines()

    def connections(self, path: str, count: int) -> list[str]:
        """
        Over which connections the requests for C{path} have come, one after the other: their second word in the log.
        """
        return [words[1] for words in self.logged(path, count)]


# What a line of an access log has: path, connection, method, status, and the length of the request with its head.
_NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    log_format words '$uri $connection $request_method $status $request_length';
    access_log access.log words;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    types {{ text/html html; text/plain txt; application/octet-stream bin; }}
    root files;
    absolute_redirect off;
{servers}
}}
"""


@contextmanager
def nginx(directory: Path, servers: str, *ports: int) -> Iterator[Server]:
    """
    Run nginx.

    @param servers: its C{server} blocks.
    @param ports: where they listen.
    """
    program = needsTool("nginx")
    files(directory)
    (directory / "uploads").mkdir()
    # As itself, and not as nobody, who mayn't write here.
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX.format(servers=servers))
    with running([program, "-p", f"{directory}/", "-c", str(configuration), "-e", "stderr"], directory) as process:
        process.waitForPorts(*ports)
        yield Server(process, ports[0])


_APACHE = """
ServerRoot "{directory}"
ServerName 127.0.0.1
PidFile apache.pid
ErrorLog error.log
Listen 127.0.0.1:{port}
{modules}
DocumentRoot "{directory}/files"
TypesConfig /dev/null
AddType text/plain txt
LogFormat "%U %{{c}}L %m %>s" words
CustomLog access.log words
{rest}
"""


@contextmanager
def apache(rest: str, *modules: str) -> Iterator[Server]:
    """
    Run Apache.

    @param rest: the rest of its configuration, with C{{root}} for where its files are.
    @param modules: what that needs.
    """
    program = needsTool("apache2")
    loaded = [
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "mime", *modules)
    ]
    port = freePort()
    # If root starts it, its workers are somebody else, who may not read pytest's directories.
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        if os.geteuid() == 0:
            loaded.append("User nobody\nGroup nogroup")
        configuration = directory / "apache.conf"
        configuration.write_text(
            _APACHE.format(
                directory=directory,
                port=port,
                modules="\n".join(loaded),
                rest=rest.format(root=files(directory)),
            )
        )
        with running([program, "-f", str(configuration), "-DFOREGROUND"], directory) as process:
            process.waitForPorts(port)
            yield Server(process, port)
            # Its workers go with it.
            process.stop()


@contextmanager
def haproxy(directory: Path, configuration: str, *ports: int) -> Iterator[Server]:
    """
    Run haproxy.

    @param ports: where it listens.
    """
    program = needsTool("haproxy")
    (directory / "haproxy.cfg").write_text(configuration)
    with running([program, "-f", "haproxy.cfg", "-db"], directory) as process:
        process.waitForPorts(*ports)
        yield Server(process, ports[0])


@contextmanager
def node(directory: Path) -> Iterator[Server]:
    """
    Run C{nodeserver.js}, whose paths are described there.
    """
    port = freePort()
    with running([needsTool("node"), str(HERE / "nodeserver.js"), str(port)], directory) as process:
        process.waitForPorts(port)
        yield Server(process, port)


@contextmanager
def python(directory: Path, version: str) -> Iterator[Server]:
    """
    Run Python's http.server over files.

    @param version: which one it speaks.
    """
    port = freePort()
    arguments = ["--bind", "127.0.0.1", "--directory", str(files(directory)), "--protocol", version, str(port)]
    with running([sys.executable, "-m", "http.server", *arguments], directory) as process:
        process.waitForPorts(port)
        yield Server(process, port)


def timed(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """
    A test on the real reactor that is cancelled when it takes too long: a client that hangs must not hang the suite.
    """

    @wraps(test)
    async def bounded(*arguments: Any, **keywords: Any) -> None:
        await ensureDeferred(test(*arguments, **keywords)).addTimeout(PATIENCE, reactor)

    return pytest_twisted.ensureDeferred(bounded)


def pause(seconds: float) -> Deferred[None]:
    """
    Let the reactor go on.
    """
    return deferLater(reactor, seconds)


def pool(**options: Any) -> Pool:
    """
    A pool whose requests take less time than a test may.
    """
    return Pool(timeouts=Timeouts(total=PATIENCE / 2), **options)


async def body(url: str, **options: Any) -> bytes:
    """
    Fetch something that has to be there.
    """
    response = await fetch(url, **options)
    assert response.status == 200, response
    return await response.bytes()  # type: ignore[no-any-return]


METHODS = ["GET", "PUT", "POST", "PATCH"]


async def afterItsEnd(url: str, seconds: float, *, busy: bool, **options: Any) -> list[Response]:
    """
    Make a request of each of these methods over a kept connection that the server has closed meanwhile. Most of them
    can't be repeated, so that has to be noticed before they are sent.

    @param busy: has the reactor no turn until then?
    @param seconds: when that is sure to have happened.
    @param options: the pools'.
    @return: their responses, which have been read.
    """
    pools = [pool(**options) for _ in METHODS]
    try:
        for each in pools:
            await body(url, pool=each)
            assert "1 connections, 1 free" in repr(each)
        if busy:
            time.sleep(seconds)
            assert all("1 connections, 1 free" in repr(each) for each in pools)
        else:
            while not all("0 connections, 0 free" in repr(each) for each in pools):
                await pause(0.02)
        responses = []
        for method, each in zip(METHODS, pools, strict=True):
            responses.append(await fetch(url, method=method, pool=each))
            await responses[-1].bytes()
        return responses
    finally:
        for each in pools:
            await each.close()
