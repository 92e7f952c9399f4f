"""
The pages about frameworks: files and commands do what they say, in their order.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command.support import WASINET
from tests.processes import PATIENCE, ROOT, Process, freePort, script, waitUntil

# The programs choose their reactor.
pytestmark = pytest.mark.reactorless

PAGES = sorted((ROOT / "docs" / "asgi").glob("*.md"))
# What is installed already, and where the programs are.
INSTALLS = "pip install "
SERVES = ("twistd ", "python manage.py runserver")
# Not a word of progress; and the command of this checkout, installed or not.
INSTEAD = {"curl": "curl -sS", "wasinet": shlex.join(WASINET)}
# The port of all pages.
PORT = "8000"
# How a line of a log begins on a page: the time and who says it are left out.
LOGGED = "... "

FILE = re.compile(r"^(Add to )?`([\w./]+)`[^\n]*:?[^`]*?\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SESSION = re.compile(r"(?:^    [^\n]*\n|^\n(?=    ))+", re.MULTILINE)


def steps(page: str) -> Iterator[tuple[str, str, str]]:
    """
    What a reader does.

    @return: C{("file", its path, its text)}, with C{"add"} for what is added to it; C{("run", a command, what it
        prints)}, and C{("run", "^C", what is printed then)}.
    """
    found = [(each.start(), (("add" if each[1] else "file"), each[2], each[3])) for each in FILE.finditer(page)]
    blocks = [(each.start(), each.end()) for each in re.finditer(r"^```.*?^```$", page, re.MULTILINE | re.DOTALL)]
    for session in SESSION.finditer(page):
        if any(start <= session.start() < end for start, end in blocks):
            continue
        text = "".join(line[4:] or "\n" for line in session[0].splitlines(keepends=True))
        for number, each in enumerate(re.split(r"^(?:\$ |(?=\^C))", text, flags=re.MULTILINE)[1:]):
            command, _, printed = each.partition("\n")
            found.append((session.start() + number, ("run", command, printed)))
    return (step for _, step in sorted(found))


class Reader:
    """
    Does what a page says, in a directory.

    @ivar server: what has been started and not been ended yet.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = freePort()
        self.server: Process | None = None

    def here(self, text: str) -> str:
        """
        The text of a page, with the port that is free.
        """
        return text.replace(PORT, str(self._port))

    def write(self, path: str, text: str, add: bool) -> None:
        """
        Write a file.
        """
        with (self._directory / path).open("a" if add else "w") as file:
            file.write(self.here(text))

    def run(self, command: str, printed: str) -> None:
        """
        Run a command, and compare what it prints.
        """
        command, printed = self.here(command), self.here(printed)
        if command == "^C":
            assert self.server is not None
            assert self.server.stop(signal.SIGINT) in (0, -signal.SIGINT)
            self._hasLogged(printed)
            self.server = None
        elif command.startswith(SERVES):
            assert self.server is None
            program, _, arguments = command.partition(" ")
            path = sys.executable if program == "python" else script(program)
            self.server = Process([path, *arguments.split()], self._directory)
            self.server.waitForPorts(self._port)
            self._hasLogged(printed)
        elif not command.startswith(INSTALLS):
            environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            for program, instead in INSTEAD.items():
                command = re.sub(f"^{program} ", f"{instead} ", command)
            done = subprocess.run(
                command,
                capture_output=True,
                check=False,
                cwd=self._directory,
                env=environment,
                shell=True,
                text=True,
                timeout=PATIENCE,
            )
            assert (done.returncode, done.stderr) == (0, ""), command
            assert done.stdout.rstrip("\n") == printed.rstrip("\n"), command

    def _hasLogged(self, printed: str) -> None:
        server = self.server
        assert server is not None
        for line in printed.splitlines():
            expected = line.removeprefix(LOGGED)
            waitUntil(lambda expected=expected: expected in server.stdout() + server.stderr(), expected)

    def stop(self) -> None:
        """
        End what runs still.
        """
        if self.server is not None:
            self.server.process.kill()
            self.server.process.wait(PATIENCE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(tmp_path: Path, page: Path) -> None:
    reader = Reader(tmp_path)
    ran = []
    try:
        for kind, what, text in steps(page.read_text(encoding="utf-8")):
            if kind == "run":
                reader.run(what, text)
                ran.append(what.partition(" ")[0])
            else:
                reader.write(what, text, kind == "add")
        assert reader.server is None, "the page leaves it running"
    finally:
        reader.stop()
    # What each page has to show.
    assert {"pip", "twistd", "curl", "python", "^C"} <= set(ran)
