"""
Make the pictures of docs/cli.md anew: what the command shows on a terminal, as SVG by rich.

    python -m tests.command.pictures [NAME]...
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.processes import ROOT, freePort, running

from .origin import CONTENT, Handler, Server, hello, moved, origin
from .support import WASINET

COLUMNS, LINES = 100, 40
DOCS = ROOT / "docs"
# Where a picture says that the server is.
SHOWN = "127.0.0.1:8000"


class Terminal:
    """
    What stands on one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._text = Text()

    def run(self, command: str, host: str, until: str | None = None) -> None:
        """
        Run a command as if somebody had typed it.

        @param command: what is shown has C{SHOWN} where it has C{host}.
        @param until: when that has been shown, somebody types Ctrl-C.
        """
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        with subprocess.Popen(
            ["sh", "-c", re.sub(r"\bwasinet (?=\w)", f"exec {' '.join(WASINET)} ", command, count=1)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=self._directory,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "PYTHONPATH": str(ROOT)},
        ) as process:
            os.close(slave)
            seen = b""
            try:
                while piece := os.read(master, 65536):
                    seen += piece
                    if until is not None and until.encode() in seen:
                        until = None
                        process.send_signal(signal.SIGINT)
            except OSError:
                # Its other end is closed.
                pass
            os.close(master)
        self._text.append("$ ", "bold green")
        self._text.append(f"{command.replace(host, SHOWN)}\n", "bold")
        self._text.append_text(Text.from_ansi(_lines(seen.decode()).replace(host, SHOWN)))
        self._text.append("\n")

    def save(self, name: str, directory: Path = DOCS) -> Path:
        """
        Write cli-NAME.svg.
        """
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        self._text.rstrip()
        console.print(self._text, highlight=False)
        # A page that shows the picture is to load nothing from elsewhere.
        form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        svg = console.export_svg(title="", theme=MONOKAI, code_format=form, unique_id=f"cli-{name}")
        path = directory / f"cli-{name}.svg"
        path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
        return path


def _lines(seen: str) -> str:
    """
    Return what a terminal shows in the end, and of a bar that was taken away, how it stood last.
    """
    found = []
    for line in seen.replace("\r\n", "\n").split("\n"):
        frames = [_without(frame) for frame in re.split(r"\r|\x1b\[2K|\x1b\[K", line)]
        found += [frame.rstrip() for frame in frames if "━" in frame][-1:]
        if "━" not in frames[-1]:
            found.append(frames[-1])
    return "\n".join(found).rstrip("\n")


def _without(frame: str) -> str:
    """
    Take away what shows and moves the cursor.
    """
    return re.sub(r"\x1b\[\?25[lh]|\x1b\[[0-9]*A", "", frame)


def _slowly(handler: Handler) -> None:
    """
    Thirty megabytes, in three seconds.
    """
    content = CONTENT * 30
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    start = int(match[1]) if match else 0
    handler.send_response(206 if match else 200)
    fields = {"Content-Length": str(len(content) - start), "ETag": '"7f3a"'}
    if match:
        fields["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    for name, value in fields.items():
        handler.send_header(name, value)
    handler.end_headers()
    for offset in range(start, len(content), 500_000):
        handler.wfile.write(content[offset : offset + 500_000])
        time.sleep(0.05)


def _host(server: Server) -> str:
    return server.url.removeprefix("http://")


def get(terminal: Terminal) -> None:
    """
    A redirect, told in full.
    """
    with origin(hello=hello, old=moved("/hello", 301)) as server:
        host = _host(server)
        terminal.run(f"wasinet get http://{host}/old -v --timings", host)


def resume(terminal: Terminal) -> None:
    """
    A download that is interrupted and goes on.
    """
    with origin(**{"debian.iso": _slowly}) as server:
        host = _host(server)
        command = f"wasinet get http://{host}/debian.iso -o debian.iso"
        terminal.run(command, host, until=" 33%")
        terminal.run(f"{command} --resume", host)
        terminal.run("ls -l debian.iso | cut -d' ' -f5-5,9-", host)


def bench(terminal: Terminal) -> None:
    """
    Five seconds of a server of files.
    """
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "hello.txt").write_text("hello\n")
        port = freePort()
        with running([*WASINET, "serve", str(directory), "--listen", f"127.0.0.1:{port}"], directory) as process:
            process.waitForPorts(port)
            host = f"127.0.0.1:{port}"
            terminal.run(f"wasinet bench http://{host}/hello.txt -c 20 -d 5", host)


PICTURES: dict[str, Callable[[Terminal], None]] = {each.__name__: each for each in (get, resume, bench)}


def main() -> None:
    """
    Make them.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.command.pictures")
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[[], *PICTURES], help=", ".join(PICTURES))
    for name in parser.parse_args().names or PICTURES:
        with TemporaryDirectory() as directory:
            terminal = Terminal(Path(directory))
            PICTURES[name](terminal)
            terminal.save(name)
    sys.stdout.write("made\n")


if __name__ == "__main__":
    main()
