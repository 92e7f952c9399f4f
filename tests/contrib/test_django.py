"""
Django's C{manage.py runserver} and the live server case, as users run them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.contrib.djangoproject import makeProject
from tests.processes import PATIENCE, Process, freePort, running, takenPort, waitUntil

# The programs choose theirs: asyncio's.
pytestmark = pytest.mark.reactorless


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    A project.
    """
    makeProject(tmp_path)
    monkeypatch.setenv("SITE_DEBUG", "yes")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "site1.settings")
    # Those that the tests are started with choose a reactor too.
    monkeypatch.delenv("WASINET_TEST_REACTOR", raising=False)
    return tmp_path


def manage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """
    Run C{manage.py} to its end.
    """
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=project, capture_output=True, text=True, timeout=3 * PATIENCE
    )


@contextmanager
def runserver(project: Path, *arguments: str) -> Iterator[Process]:
    """
    Run C{manage.py runserver}.
    """
    with running([sys.executable, "manage.py", "runserver", *arguments], project) as process:
        try:
            process.waitForOutput("Quit the server")
            yield process
        finally:
            for each in family(process.process.pid):
                if each != process.process.pid:
                    os.kill(each, signal.SIGKILL)


def family(parent: int) -> list[int]:
    """
    Return a process and those that it has started.
    """
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [parent, *(each for child in children for each in family(int(child)))]


def controlC(process: Process) -> int:
    """
    Press Ctrl-C: all processes of the terminal are sent the signal.
    """
    for each in reversed(family(process.process.pid)):
        os.kill(each, signal.SIGINT)
    return process.wait()


def get(url: str) -> tuple[int, str]:
    """
    Return a page's status and text.
    """
    try:
        with urlopen(url, timeout=PATIENCE) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_runserver(project: Path) -> None:
    """
    A page, a static file, a WebSocket, a line for each; a change is seen at once; Ctrl-C lets the app end.
    """
    port = freePort()
    with runserver(project, f"127.0.0.1:{port}") as process:
        assert f"development server at http://127.0.0.1:{port}/" in process.stdout()
        assert "Starting ASGI/wasinet_twisted version" in process.stdout()
        url = f"http://127.0.0.1:{port}"
        assert get(url) == (200, "first page")
        assert get(f"{url}/static/file.txt") == (200, "a static file")
        assert get(f"{url}/missing?a=b")[0] == 404
        with connect(f"ws://127.0.0.1:{port}/echo/") as client:
            client.send("text")
            assert client.recv(PATIENCE) == "text"
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{port}/echo/?refused")
        lines = (
            *('"GET / HTTP/1.1" 200 10', '"GET /static/file.txt HTTP/1.1" 200 13', '"GET /missing?a=b HTTP/1.1" 404 '),
            *('"WebSocket /echo/" open', '"WebSocket /echo/" closed 1000', '"WebSocket /echo/?refused" refused 403'),
        )
        for line in lines:
            waitUntil(lambda line=line: line in process.stderr(), line)

        urls = project / "site1" / "urls.py"
        urls.write_text(urls.read_text().replace("first page", "second page"))

        def changed() -> bool:
            # The reloader compares with what it has seen before: the file of a module just imported is new to it.
            urls.touch()
            return "changed, reloading" in process.stderr()

        waitUntil(changed, "the reload")
        waitUntil(lambda: process.stdout().count("Quit the server") == 2, "the next server")
        assert get(url) == (200, "second page")
        assert (project / "lifespan").read_text() == "ended\n"

        assert controlC(process) == 0
        assert (project / "lifespan").read_text() == "ended\nended\n"
        assert "Traceback" not in process.stderr()


def test_options(project: Path) -> None:
    """
    Without a reloader, by IPv6, without static files; SIGTERM ends it, too.
    """
    port = freePort()
    with runserver(project, "--noreload", "--nostatic", "-6", str(port)) as process:
        assert f"http://[::1]:{port}/" in process.stdout()
        assert get(f"http://[::1]:{port}/") == (200, "first page")
        assert get(f"http://[::1]:{port}/static/file.txt")[0] == 404
        assert process.stop(signal.SIGTERM) == 0
        assert (project / "lifespan").read_text() == "ended\n"


def test_insecure(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without DEBUG there are static files if one insists, and Ctrl-C ends it without a reloader, too.
    """
    monkeypatch.delenv("SITE_DEBUG")
    port = freePort()
    with runserver(project, "--noreload", "--insecure", str(port)) as process:
        assert get(f"http://127.0.0.1:{port}/static/file.txt") == (200, "a static file")
        assert controlC(process) == 0
        assert "Traceback" not in process.stderr()


def test_failures(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What keeps it from starting is one line.
    """
    with takenPort() as port:
        taken = manage(project, "runserver", "--noreload", str(port))
    assert (taken.returncode, taken.stderr.splitlines()[-1]) == (1, "Error: That port is already in use.")

    monkeypatch.setenv("SITE_FAILS", "yes")
    failed = manage(project, "runserver", "--noreload", str(freePort()))
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (
        1,
        "CommandError: the app's startup failed: no database today",
    )


def test_otherReactor(project: Path) -> None:
    """
    A reactor that the settings have installed is not replaced, and the message says what to do.
    """
    settings = project / "site1" / "settings.py"
    settings.write_text("import twisted.internet.reactor\n" + settings.read_text())
    failed = manage(project, "runserver", "--noreload", str(freePort()))
    assert failed.returncode == 1
    assert "which runs no asyncio programs" in failed.stderr.splitlines()[-1]


def test_order(project: Path) -> None:
    """
    The check finds another app's runserver before ours.
    """
    settings = project / "site1" / "settings.py"
    ours, static = '"wasinet_twisted.contrib.django"', '"django.contrib.staticfiles"'
    settings.write_text(settings.read_text().replace(f"{ours}, {static}", f"{static}, {ours}"))
    failed = manage(project, "check")
    assert failed.returncode == 1
    assert "wasinet_twisted.contrib.django must come before django.contrib.staticfiles" in failed.stderr


def test_liveServer(project: Path) -> None:
    """
    The live server case: pages, static files, the tests' database, WebSockets; a start that fails says why.
    """
    assert manage(project, "makemigrations", "site1").returncode == 0
    tests = manage(project, "test", "site1.tests", "site1.testfailing")
    assert tests.returncode == 0, tests.stderr
    assert "Ran 7 tests" in tests.stderr
    assert (project / "lifespan").read_text() == "ended\nended\n"


def test_inMemory(project: Path) -> None:
    """
    A database in memory is none for another process.
    """
    settings = project / "site1" / "settings.py"
    settings.write_text(settings.read_text().replace('"TEST": {"NAME": BASE / "test.sqlite3"}', '"TEST": {}'))
    tests = manage(project, "test", "site1.tests.PlainTests")
    assert tests.returncode == 1
    assert "the database 'default' is in memory" in tests.stderr
