"""
A test suite of pytest's with one server: its own, or ours.

    python -m tests.asgi.pytestsuite stock|ours RESULTS SUITE [ARGUMENT …]

C{RESULTS} gets a line for each test. Further arguments are pytest's, -x or -k for example.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.asgi.sources import unpack
from tests.processes import ROOT

PLUGINS = ROOT / "tests" / "asgi" / "plugins"


@dataclass(frozen=True)
class Suite:
    """
    A suite of pytest's.

    @ivar distribution: the package whose source distribution has the tests, as the package index calls it.
    @ivar server: the server that the suite is for, in words.
    @ivar files: those of its files that are run.
    @ivar plugin: the module in C{plugins} that puts our server in the place of the suite's.
    @ivar plugins: those of others that the suite needs.
    @ivar leftOut: patterns of the names of tests that are run with neither server, each with the reason.
    @ivar appended: what is appended to files of the suite.
    @ivar local: are the files ours, and only what they drive the distribution's?
    """

    distribution: str
    server: str
    files: tuple[str, ...]
    plugin: str
    plugins: tuple[str, ...] = ()
    leftOut: tuple[tuple[str, str], ...] = ()
    appended: tuple[tuple[str, str], ...] = ()
    local: bool = False


_WITHOUT_SOCKETS = (
    "test_(send_respects_write_backpressure|close_waits_for_the_peer|close_resumes_reads|data_frame_|ping_while_closing"
    "|close_gives_up|connection_lost_(cancels|unblocks)|shutdown_while_the_close|send_after_peer_close"
    "|server_keepalive_(ping_pong|disabled))"
)

COMPLIANCE = "tests/docker/asgi_compliance"

SUITES = {
    "daphne": Suite(
        "daphne",
        "daphne",
        tuple(f"tests/test_{part}.py" for part in ("http_protocol", "http_request", "http_response", "websocket")),
        "suitedaphne",
    ),
    "uvicorn http": Suite(
        "uvicorn",
        "uvicorn, httptools",
        ("tests/protocols/test_http.py",),
        "suiteuvicorn",
        ("anyio",),
        leftOut=((r"_h11", "they are of uvicorn's other parser"),),
    ),
    "uvicorn websocket": Suite(
        "uvicorn",
        "uvicorn, websockets-sansio",
        ("tests/protocols/test_websocket.py",),
        "suiteuvicorn",
        ("anyio",),
        leftOut=((_WITHOUT_SOCKETS, "they drive uvicorn's WebSocket class and its private names, without a socket"),),
    ),
    "gunicorn asgi_compliance": Suite(
        "gunicorn",
        "gunicorn, asgi worker",
        tuple(
            f"{COMPLIANCE}/test_{part}.py"
            for part in (
                *("http_compliance", "websocket_compliance", "streaming_compliance", "lifespan_compliance"),
                *("framework_integration", "concurrency"),
            )
        ),
        "suitegunicorn",
        ("pytest_asyncio.plugin", "anyio"),
        appended=((f"{COMPLIANCE}/conftest.py", "\n\nfrom suitegunicorn import docker_services\n"),),
    ),
    "channels live server": Suite("channels", "daphne", ("tests/asgi/live/livetests.py",), "suitechannels", local=True),
}


def main(which: str, results: str, title: str, arguments: list[str]) -> int:
    """
    @return: the status of pytest, 0 if all tests were run.
    """
    suite = SUITES[title]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        directory = Path(made)
        folder = ROOT if suite.local else unpack(suite.distribution, directory)
        for path, text in suite.appended:
            with open(folder / path, "a") as file:
                file.write(text)
        # The suite's own settings may ask for plugins that aren't there, or for warnings as errors.
        configuration = directory / "pytest.ini"
        configuration.write_text("[pytest]\npython_classes = Test* *Tests\n")
        # Some keep files of fixed names in it.
        (directory / "tmp").mkdir()
        plugins = ("suiterecorder", suite.plugin, *suite.plugins)
        return subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-c", str(configuration), f"--rootdir={folder}"),
                # Ours is for our own tests.
                *(("--noconftest",) if suite.local else ()),
                *("-p", "no:cacheprovider", *(part for plugin in plugins for part in ("-p", plugin))),
                *(str(folder / file) for file in suite.files),
                *arguments,
            ],
            cwd=folder,
            env={
                **os.environ,
                # The tests of some are a package `tests` too: theirs is found first.
                "PYTHONPATH": os.pathsep.join((str(folder), str(PLUGINS), str(ROOT))),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": str(directory / "tmp"),
                "WASINET_SUITE_SERVER": which,
                "WASINET_SUITE_LEFT_OUT": "|".join(pattern for pattern, _ in suite.leftOut),
                "WASINET_SUITE_RESULTS": os.path.abspath(results),
            },
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
