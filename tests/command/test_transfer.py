"""
C{wasinet get}, C{head}, C{post}, C{put} and C{delete} as their users run them: what is sent, printed, and with which
status they end.
"""

from __future__ import annotations

import gzip
import os
import pty
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.processes import PATIENCE, freePort, running, takenPort
from wasinet_twisted.command.ending import shown
from wasinet_twisted.command.transferring.telling import sizeText

from .origin import CONTENT, Handler, echo, file, hello, moved, never, origin, packed
from .support import WASINET, started, wasinet

CLEAN = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def test_get() -> None:
    """
    The body, byte for byte, and nothing else.
    """
    with origin(big=file()) as server:
        assert wasinet("get", f"{server.url}/big") == (0, CONTENT, "")
        fields = server.fieldsOf(0)
        assert (server.requests[0].command, fields["Accept"]) == ("GET", "*/*")
        assert fields["User-Agent"].startswith("wasinet_twisted/")


def test_methods() -> None:
    with origin(a=echo) as server:
        for command in ("get", "head", "post", "put", "delete"):
            assert wasinet(command, f"{server.url}/a")[0] == 0
        assert [each.command for each in server.requests] == ["GET", "HEAD", "POST", "PUT", "DELETE"]


def test_head() -> None:
    with origin(a=hello) as server:
        status, output, errors = wasinet("head", f"{server.url}/a")
        assert (status, errors) == (0, "")
        assert output.startswith(b"HTTP/1.1 200 OK\r\n")
        assert output.endswith(b"\r\nContent-Length: 6\r\nX-Name: value\r\n\r\n")


def test_include(tmp_path: Path) -> None:
    """
    The head before the body; of a file that is the body's, on the standard output.
    """
    with origin(a=hello) as server:
        status, output, _ = wasinet("get", f"{server.url}/a", "-i")
        head, _, body = output.partition(b"\r\n\r\n")
        assert (status, body, head.splitlines()[0]) == (0, b"hello\n", b"HTTP/1.1 200 OK")
        status, output, _ = wasinet("get", f"{server.url}/a", "-i", "-o", str(tmp_path / "file"))
        assert output.startswith(b"HTTP/1.1 200 OK\r\n")
        assert output.endswith(b"\r\nX-Name: value\r\n\r\n")
        assert (tmp_path / "file").read_bytes() == b"hello\n"


@pytest.mark.parametrize(
    ("options", "body", "kind"),
    [
        (["-d", "name=Ada"], b"name=Ada", "application/x-www-form-urlencoded"),
        (["-d", ""], b"", "application/x-www-form-urlencoded"),
        (["-d", "@file"], b"a\nfile\0", "application/octet-stream"),
        (["-d", "@-"], b"the input", "application/octet-stream"),
        (["--json", "[1]"], b"[1]", "application/json"),
        (["--json", "@-"], b"the input", "application/json"),
        (["-d", "x", "-H", "Content-Type: text/x"], b"x", "text/x"),
        (["--json", "x", "-H", "content-type:text/x"], b"x", "text/x"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_bodies(options: list[str], body: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\nfile\0")
    with origin(a=echo) as server:
        status, output, errors = wasinet("post", f"{server.url}/a", *options, input=b"the input", cwd=tmp_path)
        assert (status, output, errors) == (0, body, "")
        assert server.fieldsOf(0).get_all("Content-Type") == [kind]
        if "--json" in options:
            assert server.fieldsOf(0)["Accept"].startswith("application/json")


def test_argumentsThatAreNoText() -> None:
    with origin(a=echo) as server:
        done = subprocess.run(
            [*map(os.fsencode, WASINET), b"post", f"{server.url}/a".encode(), b"-d", b"\xff\xfe"],
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stdout == b"\xff\xfe"


def test_inputAsItComes(tmp_path: Path) -> None:
    """
    A pipe's end isn't waited for: it goes in chunks. A file's length is known, and it can be sent anew to where a
    redirect leads.
    """
    with origin(a=echo, there=moved("/a", 307)) as server:
        wasinet("put", f"{server.url}/a", "-d", "@-", input=b"piped")
        assert server.fieldsOf(0)["Transfer-Encoding"] == "chunked"
        (tmp_path / "file").write_bytes(CONTENT)
        with open(tmp_path / "file", "rb") as input:
            status, output, _ = wasinet("put", f"{server.url}/there", "-d", "@-", stdin=input)
        assert (status, output) == (0, CONTENT)
        assert server.fieldsOf(2)["Content-Length"] == str(len(CONTENT))
        status, output, errors = wasinet("put", f"{server.url}/there", "-d", "@-", input=b"piped")
        assert (status, output) == (4, b"")
        assert "this body can be sent only once" in errors


def test_fields() -> None:
    with origin(a=hello) as server:
        url = server.url.replace("//", "//user:secret@")
        wasinet("get", f"{url}/a", "-H", "X-One: 1", "-H", "X-One:2", "-H", "User-Agent: me", "-H", "X-Empty:")
        fields = server.fieldsOf(0)
        assert fields.get_all("X-One") == ["1", "2"]
        assert fields.get_all("User-Agent") == ["me"]
        assert fields["X-Empty"] == ""
        assert fields["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
        status, _, errors = wasinet("get", f"{server.url}/a", "-H", "a b: c")
        assert (status, errors.count("\n"), len(server.requests)) == (2, 1, 1)


def test_redirects() -> None:
    """
    They are followed, as many as are allowed.
    """
    with origin(a=moved("/b"), b=moved("/c"), c=hello) as server:
        assert wasinet("get", f"{server.url}/a")[:2] == (0, b"hello\n")
        assert wasinet("get", f"{server.url}/a", "-L", "--max-redirects", "2")[:2] == (2, b"")
        assert wasinet("get", f"{server.url}/a", "--max-redirects", "2")[:2] == (0, b"hello\n")
        status, output, errors = wasinet("get", f"{server.url}/a", "--max-redirects", "1")
        assert (status, output) == (47, b"")
        assert errors.startswith("wasinet get: more than 1 redirects"), errors
        status, output, _ = wasinet("get", f"{server.url}/a", "--no-redirects", "-i")
        assert status == 0
        assert output.startswith(b"HTTP/1.1 302 Found\r\n")


def test_fail(tmp_path: Path) -> None:
    """
    A status from 400 on is one of the command's only when that is asked for; a file isn't touched then.
    """
    path = tmp_path / "file"
    path.write_text("mine")
    with origin(edge=lambda handler: handler.reply(400), below=lambda handler: handler.reply(399)) as server:
        assert wasinet("get", f"{server.url}/nothing") == (0, b"nothing here\n", "")
        status, output, errors = wasinet("get", f"{server.url}/nothing", "--fail", "-o", str(path))
        assert (status, output) == (22, b"")
        assert errors == f"wasinet get: {server.url}/nothing: 404 Not Found\n"
        assert path.read_text() == "mine"
        assert wasinet("get", f"{server.url}/edge", "-f")[0] == 22
        assert wasinet("get", f"{server.url}/below", "-f")[0] == 0


def test_codings(tmp_path: Path) -> None:
    """
    Decoded; for a file, not asked for, unless the user does.
    """
    path = tmp_path / "file"
    with origin(a=packed) as server:
        url = f"{server.url}/a"
        assert wasinet("get", url)[1] == b"hello\n"
        assert "gzip" in server.fieldsOf(0)["Accept-Encoding"]
        wasinet("get", url, "-o", str(path))
        assert server.fieldsOf(1)["Accept-Encoding"] == "identity"
        assert path.read_bytes() == b"hello\n"
        wasinet("get", url, "-o", str(path), "--compressed")
        assert "gzip" in server.fieldsOf(2)["Accept-Encoding"]
        assert path.read_bytes() == b"hello\n"
        wasinet("get", url, "-o", str(path), "--raw", "-H", "Accept-Encoding: gzip")
        assert gzip.decompress(path.read_bytes()) == b"hello\n"


def test_verbose() -> None:
    """
    All that was sent and received, on the standard error; no password, and nothing that a terminal would obey.
    """

    def early(handler: Handler) -> None:
        handler.send_response_only(103)
        handler.send_header("Link", "</style.css>")
        handler.end_headers()
        handler.reply(200, b"hello\n", {"X-Odd": "\x9b31m"})

    with origin(a=moved("/b"), b=early) as server:
        url = server.url.replace("//", "//user:secret@")
        status, output, errors = wasinet("post", f"{url}/a", "-v", "--timings", "-d", "x=1")
        assert (status, output) == (0, b"hello\n")
        lines = errors.splitlines()
        host = server.url.partition("//")[2]
        for line in (
            f"* connected to {host}",
            "> POST /a HTTP/1.1",
            f"> Host: {host}",
            "> Authorization: Basic [hidden]",
            "> Content-Length: 3",
            "< HTTP/1.1 302 Found",
            "< Location: /b",
            "< HTTP/1.1 103 Early Hints",
            "< Link: </style.css>",
            f"* once more over the connection to {host}",
            "> GET /b HTTP/1.1",
            "< HTTP/1.1 200 OK",
            "< X-Odd: \\x9b31m",
        ):
            assert line in lines, (line, errors)
        assert "secret" not in errors
        assert "dXNlcjpzZWNyZXQ=" not in errors
        assert [line.partition(": ")[0] for line in lines if ", total " in line] == [
            f"* {server.url}/a",
            f"* {server.url}/b",
        ]


def test_verboseOfABodyInPieces() -> None:
    with origin(a=echo) as server:
        _, output, errors = wasinet("post", f"{server.url}/a", "-v", "-d", "@-", input=b"piped")
        assert output == b"piped"
        assert "> Transfer-Encoding: chunked" in errors.splitlines()


def test_remoteName(tmp_path: Path) -> None:
    with origin(name=hello) as server:
        assert wasinet("get", f"{server.url}/name?query/x", "-O", cwd=tmp_path) == (0, b"", "")
        assert (tmp_path / "name").read_bytes() == b"hello\n"
        status, _, errors = wasinet("get", f"{server.url}/", "-O", cwd=tmp_path)
        assert (status, errors) == (
            2,
            f"wasinet get: -O: the last part of {server.url}/ is no file name; use -o FILE\n",
        )
    assert os.listdir(tmp_path) == ["name"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["get"], "the following arguments are required: URL"),
        (["get", "ftp://x/"], "ftp"),
        (["get", "x"], ""),
        (["get", "http://x/", "-H", "no"], "argument -H/--header: a header field is like 'Name: value'"),
        (["get", "http://x/", "-d", "a", "--json", "b"], "argument --json: not allowed with argument -d/--data"),
        (["get", "http://x/", "-d", "@/nothing"], "--data @/nothing: No such file or directory"),
        (["get", "http://x/", "-d", "@/"], "--data @/: it is a directory"),
        (["get", "http://x/", "--resume"], "--resume needs -o FILE or -O"),
        (["get", "http://x/", "--resume", "-o", "-"], "--resume needs -o FILE or -O"),
        (["get", "http://x/", "--resume", "-o", "f", "--raw"], "--resume doesn't go with --compressed or --raw"),
        (["get", "http://x/", "--resume", "-o", "f", "-H", "range: x"], "--resume makes the fields Range"),
        (["put", "http://x/", "--resume", "-o", "f"], "unrecognized arguments: --resume"),
        (["get", "http://x/", "-o", ""], "-o needs the name of a file"),
        (["get", "http://x/", "--max-redirects", "1001"], "argument --max-redirects: redirects are a number from 1 to"),
        (["get", "http://x/", "--max-redirects", "0"], "argument --max-redirects: redirects are a number from 1 to"),
        (["get", "http://x/", "-m", "0"], "argument -m/--timeout/--max-time: a time is a number"),
        (["get", "http://x/", "-x", "gopher://x"], "the scheme must be one of http, https, socks5"),
        (["get", "http://x/", "--key", "k"], "--key goes with --cert"),
        (["get", "https://x/", "--cacert", "/nothing"], "--cacert /nothing: "),
        (["get", "http://x/", "--cert", "/nothing"], "--cert /nothing: "),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_wrongOptions(options: list[str], message: str, tmp_path: Path) -> None:
    """
    One line, and status 2.
    """
    status, output, errors = wasinet(*options, cwd=tmp_path)
    assert (status, output, errors.count("\n")) == (2, b"", 1), errors
    assert errors.startswith(f"wasinet {options[0]}: "), errors
    assert message in errors


def test_noConnection() -> None:
    assert wasinet("get", f"http://127.0.0.1:{freePort()}/")[0] == 7
    status, _, errors = wasinet("get", "http://nobody.invalid/")
    assert (status, errors) == (6, "wasinet get: can't connect to nobody.invalid:80: unknown host\n")


def test_proxy() -> None:
    """
    As the option says, or the environment; one that is unknown has a status of its own.
    """

    def proxied(handler: Handler) -> None:
        handler.reply(200, handler.path.encode())

    with origin() as server:
        server.answers["http://nobody.invalid/a"] = proxied
        assert wasinet("get", "http://nobody.invalid/a", "-x", server.url)[:2] == (0, b"http://nobody.invalid/a")
        fromEnvironment = {**CLEAN, "http_proxy": server.url}
        assert wasinet("get", "http://nobody.invalid/a", env=fromEnvironment)[0] == 0
        assert wasinet("get", "http://nobody.invalid/a", "--proxy", "", env=fromEnvironment)[0] == 6
        assert wasinet("get", "http://nobody.invalid/a", env={**fromEnvironment, "no_proxy": "invalid"})[0] == 6
        _, _, errors = wasinet("get", "http://nobody.invalid/a", "-v", "-x", server.url)
        assert f"through the proxy {server.url}" in errors
    assert wasinet("get", "http://127.0.0.1/", "-x", "http://nobody.invalid")[0] == 5


def test_timeouts() -> None:
    with origin(never=never, stops=file(stop=1000)) as server:
        for path in ("never", "stops"):
            status, output, errors = wasinet("get", f"{server.url}/{path}", "--timeout", "0.3")
            assert (status, len(output)) == (28, 1000 if path == "stops" else 0)
            assert errors.startswith("wasinet get: timed out: GET "), errors
    # Nobody answers the handshake.
    with takenPort() as port:
        status, _, errors = wasinet("get", f"https://127.0.0.1:{port}/", "--connect-timeout", "0.3")
    assert (status, errors.count("\n")) == (28, 1), errors
    assert "0.3 s" in errors


def test_brokenResponses() -> None:
    with origin(
        cut=file(stop=1000, cut=True), odd=lambda handler: handler.wfile.write(b"SMTP ready\r\n\r\n")
    ) as server:
        status, output, errors = wasinet("get", f"{server.url}/cut")
        assert (status, output) == (18, CONTENT[:1000])
        assert errors.count("\n") == 1
        assert wasinet("get", f"{server.url}/odd")[:2] == (8, b"")


def test_tls(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    authority = Authority(tmp_path)
    certificate = authority.issue("localhost")
    port = freePort()
    endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
    with running([*WASINET, "serve", str(tmp_path), "--listen", endpoint], tmp_path) as process:
        process.waitForPorts(port)
        url = f"https://localhost:{port}/a.txt"
        status, output, errors = wasinet("get", url, "--cacert", str(authority.path), "-v", "--timings")
        assert (status, output) == (0, b"hello")
        assert "* TLSv1.3, " in errors
        phases = " ms, ".join(f"{name} [0-9.]+" for name in ("resolve", "connect", "TLS", "first byte", "total"))
        assert re.search(rf"^\* {re.escape(url)}: {phases} ms$", errors, re.MULTILINE), errors
        assert "certificate of CN=localhost, valid until " in errors
        assert wasinet("get", url)[0] == 60
        assert wasinet("get", f"https://127.0.0.1:{port}/a.txt", "--ca", str(authority.path))[0] == 60
    with origin(a=hello) as server:
        assert wasinet("get", f"{server.url}/a".replace("http:", "https:"))[0] == 35


def test_unixSocket(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    path = tmp_path / "socket"
    with running([*WASINET, "serve", str(tmp_path), "--listen", f"unix:{path}"], tmp_path) as process:
        process.waitForOutput(str(path))
        assert wasinet("get", "http://localhost/a.txt", "--unix-socket", str(path), env={**CLEAN, "http_proxy": "x"})[
            :2
        ] == (0, b"hello")
    assert wasinet("get", "http://localhost/", "--unix-socket", str(path))[0] == 7


def test_nobodyReads() -> None:
    """
    It ends as other programs of a pipeline do, and says nothing.
    """
    with origin(big=file(CONTENT * 20)) as server, started("get", f"{server.url}/big") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == CONTENT[:10]
        process.stdout.close()
        assert process.wait(PATIENCE) == -signal.SIGPIPE
        assert process.stderr.read() == b""


def test_backpressure() -> None:
    """
    While nobody reads, the server waits: only what the kernel's buffers and one piece hold has come.
    """
    written = []

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(bytes(100_000))
                written.append(100_000)
        except OSError:
            pass

    with origin(a=endless) as server, started("get", f"{server.url}/a") as process:
        assert process.stdout is not None
        process.stdout.read(1)
        before = -1
        while before != len(written):
            before = len(written)
            threading.Event().wait(0.5)
        assert sum(written) < 32 * 1024 * 1024
        process.kill()


def test_fullDisk(tmp_path: Path) -> None:
    with origin(a=hello) as server:
        with open("/dev/full", "wb") as full:
            status, _, errors = wasinet("get", f"{server.url}/a", stdout=full)
        assert (status, errors) == (23, "wasinet get: can't write the output: No space left on device\n")
        status, _, errors = wasinet("get", f"{server.url}/a", "-o", "/dev/full")
        assert (status, errors) == (23, "wasinet get: can't write /dev/full: No space left on device\n")
        status, _, errors = wasinet("get", f"{server.url}/a", "-o", str(tmp_path / "no" / "file"))
        assert (status, errors.count("\n")) == (23, 1)


def test_withoutStandardFiles(tmp_path: Path) -> None:
    """
    Where there is no standard output, the body isn't written to what has its number: the connection, perhaps.
    """
    with origin(a=echo) as server:
        for redirection, status in ((">&-", 23), ("<&-", 26), (">&- 2>&-", 23), ("2>&- -v", 0)):
            command = f"exec {' '.join(WASINET)} post {server.url}/a -d @- {redirection}"
            done = subprocess.run(
                ["sh", "-c", command], input=b"input", capture_output=True, timeout=PATIENCE, check=False
            )
            assert (done.returncode, done.stdout) == (status, b"input" if status == 0 else b""), redirection
            assert done.stderr.count(b"\n") == (status != 0 and "2>" not in redirection), done.stderr
        assert {each.body for each in server.requests} <= {b"input", b""}


def onTerminal(*arguments: str, output: bool, **options: object) -> tuple[int, str]:
    """
    Run it with a terminal as its standard error, and perhaps as its output.

    @return: its status, and what the terminal got.
    """
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [*WASINET, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=slave if output else subprocess.DEVNULL,
            stderr=slave,
            env={**CLEAN, "TERM": "xterm", "COLUMNS": "100", **options},  # type: ignore[dict-item]
        )
        os.close(slave)
        seen = b""
        try:
            while piece := os.read(master, 4096):
                seen += piece
        except OSError:
            # Its other end is closed.
            pass
        return process.wait(PATIENCE), seen.decode()
    finally:
        os.close(master)


def test_binaryOnATerminal() -> None:
    with origin(text=hello, binary=lambda handler: handler.reply(200, b"a\0b")) as server:
        assert onTerminal("get", f"{server.url}/text", output=True) == (0, "hello\r\n")
        status, seen = onTerminal("get", f"{server.url}/binary", output=True)
        assert (status, "\0" in seen) == (23, False)
        assert seen.startswith("wasinet get: the body is binary")


@pytest.mark.parametrize("kind", ["rich", "plain"])
def test_progress(kind: str, tmp_path: Path) -> None:
    """
    A transfer that takes long shows how far it is, and takes that away; a short one shows nothing.
    """
    if kind == "rich":
        pytest.importorskip("rich")
    else:
        (tmp_path / "rich.py").write_text("raise ImportError('not here')")

    def slow(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(2_097_152))
        handler.end_headers()
        for _ in range(16):
            handler.wfile.write(bytes(131_072))
            threading.Event().wait(0.1)

    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    with origin(slow=slow, fast=hello) as server:
        target = str(tmp_path / "target")
        assert onTerminal("get", f"{server.url}/fast", "-o", target, output=False, PYTHONPATH=path) == (0, "")
        status, seen = onTerminal("get", f"{server.url}/slow", "-o", target, output=False, PYTHONPATH=path)
        assert status == 0
        assert "MiB" in seen
        assert "%" in seen
        assert ("━" in seen) == (kind == "rich")
        # Neither is on a terminal that shows the body, nor where the standard error is none.
        assert wasinet("get", f"{server.url}/slow", "-o", target) == (0, b"", "")


def test_words() -> None:
    assert [sizeText(size) for size in (0, 1023, 1024, 1 << 20, 3 << 29, 1 << 50)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.0 MiB",
        "1.5 GiB",
        "1024.0 TiB",
    ]
    assert shown("a\x1b[31m\x9b\u202eä") == "a\\x1b[31m\\x9b\\u202eä"
