"""
The programs in the documentation run; those that would serve for ever at least compile.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.processes import Client, freePort, running
from wasinet_twisted.client import ClientLimits, DecodingLimits, Timeouts
from wasinet_twisted.command import exitcodes
from wasinet_twisted.command.parsers import makeParser
from wasinet_twisted.http import Limits
from wasinet_twisted.server import ServerLimits

# The programs run as a reader's would; some choose a reactor.
pytestmark = pytest.mark.reactorless

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What is a test is run as one.
PYTEST = re.compile(r"^def test_", re.MULTILINE)
TRIAL = re.compile(r"^class .*\(SynchronousTestCase\)", re.MULTILINE)
# Those of the README serve at fixed ports for ever.
SERVES = re.compile(r"^react\(serverStart|^application = |^reactor\.run\(\)", re.MULTILINE)


def programs() -> list[tuple[str, str]]:
    """
    Each page's programs, by page and number.
    """
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        found += [(f"{page.name}-{number}", block) for number, block in enumerate(blocks, 1)]
    return found


# What the programs of the client ask; here a server that needs no network stands for it.
ELSEWHERE = "https://example.org/"


class _Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\n")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """
        Nobody reads it.
        """


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("name", "program"), [pytest.param(*each, id=each[0]) for each in programs()])
def test_program(name: str, program: str, tmp_path: Path, elsewhere: str) -> None:
    compile(program, name, "exec")
    if SERVES.search(program):
        return
    fetches = ELSEWHERE in program
    program = program.replace(ELSEWHERE, elsewhere)
    # Twisted keeps a descriptor in reserve that it never closes.
    warnings = ["-W", "error", "-W", "ignore::ResourceWarning"]
    arguments = ["-c", program]
    if PYTEST.search(program) or TRIAL.search(program):
        path = tmp_path / "test_page.py"
        path.write_text(program, encoding="utf-8")
        arguments = ["-m", "pytest"] if PYTEST.search(program) else ["-m", "twisted.trial"]
        arguments.append(str(path))
    command = [sys.executable, *warnings, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    if fetches:
        assert re.search(r"^200 .*hello$", done.stdout, re.MULTILINE), done.stdout


def test_links() -> None:
    """
    What a page links to exists.
    """
    # Those below docs are run by tests of their own.
    below = sorted((ROOT / "docs").glob("*/*.md"))
    assert below
    for page in [*PAGES, *below, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands() -> None:
    """
    Each command line of C{wasinet} is one, and the page about it names all its subcommands and exit statuses.
    """
    lines = [
        line
        for page in PAGES
        for line in re.findall(r"^    \$ wasinet (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    commands = {makeParser().parse_args(shlex.split(re.sub(r" [<>|].*", "", line))).command for line in lines}
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert commands | {"head", "put", "delete"} == set(makeParser()._subparsers._group_actions[0].choices)  # type: ignore[arg-type, union-attr]
    table = page.partition("### Exit statuses")[2].partition("\n## ")[0]
    named = {int(each) for row in re.findall(r"^\| ([0-9, ]+) \|", table, re.MULTILINE) for each in row.split(", ")}
    assert named >= {value for name, value in vars(exitcodes).items() if name[0].isupper() and isinstance(value, int)}


def written(name: str, value: object) -> str:
    """
    A default as the table has it.
    """
    if value is None:
        return "none"
    if isinstance(value, Limits):
        return "`Limits()`" if value == Limits() else "?"
    if isinstance(value, DecodingLimits):
        return "`DecodingLimits()`" if value == DecodingLimits() else "?"
    assert isinstance(value, int | float)
    if name == "ratio":
        return f"{value:g}"
    if isinstance(value, float):
        return f"{value:g} B/s" if name.endswith("Rate") else f"{value:g} s"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value % size == 0:
            return f"{value // size} {unit}"
    return f"{value:,}"


@pytest.mark.parametrize(
    ("name", "bounds"),
    [("server", ServerLimits), ("client", ClientLimits), ("client", DecodingLimits), ("client", Timeouts)],
)
def test_bounds(name: str, bounds: type) -> None:
    """
    The table has them all, in their order, with their defaults.
    """
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    table = page.partition(f"| `{bounds.__name__}` |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE)
    defaults = bounds()
    assert rows == [(each.name, written(each.name, getattr(defaults, each.name))) for each in fields(defaults)]


def test_theReadmesHttpServer(tmp_path: Path) -> None:
    """
    It serves, at another port, and ends on Ctrl-C.
    """
    (program,) = [block for name, block in programs() if name.startswith("README") and "reactor.run()" in block]
    port = freePort()
    assert "8080" in program
    with running([sys.executable, "-c", program.replace("8080", str(port))], tmp_path) as process:
        process.waitForPorts(port)
        with Client(port) as client:
            client.send(b"POST /shout HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nwasm")
            answer = client.receiveAll()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nWASM")
        assert process.stop(signal.SIGINT) == 0
    assert (process.stdout(), process.stderr()) == ("", "")
