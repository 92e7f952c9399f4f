"""
The frame of C{wasinet}: how it begins and how it ends, whatever the subcommand.
"""

from __future__ import annotations

import io
import os
import resource
import shlex
import signal
import subprocess
import sys
import tomllib
from argparse import ArgumentTypeError
from importlib import import_module
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

import wasinet_twisted
from tests.processes import PATIENCE, ROOT
from wasinet_twisted.command import ending, main
from wasinet_twisted.command.parsers import frame, makeParser
from wasinet_twisted.errors import WasinetError

from .support import WASINET, wasinet

COMMANDS = ("get", "head", "post", "put", "delete", "serve", "run", "bench", "nc", "completion")
EACH = pytest.mark.parametrize("arguments", [[], *([each] for each in COMMANDS)], ids=" ".join)
# What takes long to import, and what --help has no need of.
HEAVY = (
    *("twisted", "zope", "multidict", "rich", "shtab", "asyncio", "ssl", "socket"),
    *("wasinet_twisted.net", "wasinet_twisted.http", "wasinet_twisted.server"),
)

# Only how the process begins and ends is looked at.
pytestmark = pytest.mark.reactorless


@EACH
def test_help(arguments: list[str]) -> None:
    """
    Each has an example that is one, fits a terminal, and needs neither Twisted nor what the subcommand does.
    """
    status, output, errors = wasinet(*arguments, "--help", env={**os.environ, "COLUMNS": "80"})
    assert (status, errors) == (0, "")
    text = output.decode()
    assert max(map(len, text.splitlines())) <= 80
    _, _, examples = text.partition("example")
    examples = examples.partition(":")[2]
    found = [line.strip() for line in examples.splitlines() if line.strip().startswith("wasinet ")]
    assert found
    for line in found:
        words = shlex.split(line.partition(" <")[0].partition(" >")[0])[1:]
        assert not arguments or words[0] == arguments[0]
        assert makeParser().parse_args(words).command == words[0]


@EACH
def test_helpImportsLittle(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from wasinet_twisted.command.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted(name for name in sys.modules if name.startswith({HEAVY})))\n"
    )
    command = [sys.executable, "-c", code, *arguments, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_helpIsFast() -> None:
    """
    Below one and a half times as much as importing Twisted's reactor takes. It is a sixth or so.
    """

    def seconds(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, timeout=PATIENCE, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    help = min(seconds("-m", "wasinet_twisted", "--help") for _ in range(3))
    reactor = min(seconds("-c", "import twisted.internet.reactor") for _ in range(3))
    assert help < 1.5 * reactor


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "wasinet: the following arguments are required: COMMAND (see wasinet --help)"),
        (["--nope"], "wasinet: "),
        (["nope"], "wasinet: argument COMMAND: invalid choice: 'nope'"),
        (["serve", "--nope"], "wasinet serve: unrecognized arguments: --nope (see wasinet serve --help)"),
        (["serve", "--dot"], "wasinet serve: unrecognized arguments: --dot"),
        (["serve", "a", "b"], "wasinet serve: unrecognized arguments: b"),
        (["nc", "h"], "wasinet nc: the following arguments are required: PORT"),
        (["nc", "h", "65536"], "wasinet nc: argument PORT: a port is a number from 0 to 65535, not '65536'"),
        (["nc", "h", "\u0661"], "wasinet nc: argument PORT: a port is a number"),
        (["nc", "h", "1", "--timeout", "0"], "wasinet nc: argument --timeout: a time is a number of seconds above 0"),
        (["nc", "h", "1", "--timeout", "nan"], "wasinet nc: argument --timeout: "),
        (["nc", "h", "1", "--timeout", "inf"], "wasinet nc: argument --timeout: "),
        (["nc", "h", "0"], "wasinet nc: port 0 can only be listened on"),
        (["nc", "h", "1", "--ca", "x"], "wasinet nc: --ca goes with --tls"),
        (["nc", "h", "1", "--tls", "--listen"], "wasinet nc: argument --listen: not allowed with argument --tls"),
        (["completion", "fish"], "wasinet completion: argument shell: invalid choice: 'fish'"),
        (["serve", "/nothing/there"], "wasinet serve: directory must be one that exists, not '/nothing/there'"),
        (["serve", "--listen", "tcp:eighty"], "wasinet serve: --listen: no server endpoint: 'tcp:eighty'"),
        (["serve", "--host", "a:1"], "wasinet serve: a host must be a name"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_wrongOptions(arguments: list[str], message: str) -> None:
    """
    One line, and status 2.
    """
    status, output, errors = wasinet(*arguments)
    assert (status, output, errors.count("\n")) == (2, b"", 1), errors
    assert errors.startswith(message), errors


def test_version() -> None:
    """
    The line that the twistd commands have.
    """
    status, output, errors = wasinet("--version")
    assert (status, errors) == (0, "")
    command = [sys.executable, "-m", "twisted", "wasinet-echo", "--version"]
    assert output == subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True).stdout
    assert output.startswith(f"wasinet_twisted {wasinet_twisted.__version__} (".encode())


@pytest.mark.parametrize("arguments", [["--help"], ["completion", "bash"], ["--version"]], ids=" ".join)
def test_nobodyReadsTheOutput(arguments: list[str]) -> None:
    """
    It ends as other programs of a pipeline do, and says nothing.
    """
    reading, writing = os.pipe()
    os.close(reading)
    try:
        status, _, errors = wasinet(*arguments, stdout=writing)
    finally:
        os.close(writing)
    assert (status, errors) == (-signal.SIGPIPE, "")


def test_fullDisk() -> None:
    with open("/dev/full", "wb") as full:
        for arguments in (["--help"], ["completion", "zsh"]):
            status, _, errors = wasinet(*arguments, stdout=full)
            assert status == 23
            assert errors.endswith(": can't write the output: No space left on device\n"), errors
            assert errors.count("\n") == 1


def test_withoutOutput() -> None:
    """
    Without a standard output or error, as C{>&-} has it.
    """
    for redirection in (">&-", "2>&-", ">&- 2>&-"):
        command = f"{' '.join(WASINET)} serve /nothing/there {redirection}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=PATIENCE, check=False)
        assert (done.returncode, done.stdout) == (2, b""), redirection


def test_missingStandardFilesStayMissing() -> None:
    """
    Nothing that is opened later gets their numbers.
    """
    code = (
        "import os\nfrom wasinet_twisted.command.ending import occupy\noccupy()\n"
        "opened = os.open(os.devnull, os.O_RDWR)\n"
        "try:\n    os.write(1, b'x')\nexcept OSError:\n    os._exit(opened)\n"
    )
    for redirection in ("<&- >&- 2>&-", ">&-", "<&- >&-"):
        done = subprocess.run(["sh", "-c", f'{sys.executable} -c "$0" {redirection}', code], timeout=PATIENCE)
        assert done.returncode > 2, redirection


def test_wrongSetting() -> None:
    """
    A wrong variable is one line; help is there all the same.
    """
    environment = {**os.environ, "WASINET_SPEED": "perhaps"}
    status, _, errors = wasinet("nc", "localhost", "1", env=environment)
    assert (status, errors.count("\n")) == (1, 1)
    assert errors.startswith("wasinet nc: WASINET_SPEED must be auto, yes or no"), errors
    assert wasinet("--help", env=environment)[0] == 0


def test_consoleScript() -> None:
    """
    What is installed as C{wasinet} exists.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["wasinet"].partition(":")
    assert getattr(import_module(module), name) is main.main


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ended: list[int] = []

        def endBy(number: int) -> int:
            self.ended.append(number)
            return 128 + number

        self.patch(main, "endBy", endBy)

    def raising(self, error: BaseException) -> int:
        def makeParser() -> None:
            raise error

        self.patch(main, "makeParser", makeParser)
        return main.main([])

    def test_signals(self) -> None:
        """
        Ctrl-C at any time, and whichever signal a subcommand was interrupted by.
        """
        for error, number in (
            (KeyboardInterrupt(), signal.SIGINT),
            (ending.Interrupted(signal.SIGTERM), signal.SIGTERM),
            (BrokenPipeError(), signal.SIGPIPE),
        ):
            self.assertEqual(self.raising(error), 128 + number)
            self.assertEqual(self.ended.pop(), number)

    def test_hostileText(self) -> None:
        """
        What a server has written into an error does nothing to a terminal: no colours, no other title, no order of
        reading. Letters of all scripts stay.
        """
        stderr = io.StringIO()
        self.patch(sys, "stderr", stderr)
        self.raising(WasinetError("\x1b]0;title\x07é日\x9b2J\u202eexe.\x7f\r\nnext\udcff"))
        self.assertEqual(stderr.getvalue(), "wasinet: \\x1b]0;title\\x07é日\\x9b2J\\u202eexe.\\x7f next\\udcff\n")

    def test_linesOfTheLogStay(self) -> None:
        stderr = io.StringIO()
        self.patch(sys, "stderr", stderr)
        ending.say("wasinet get", "Traceback\n\tline \x1b[2J")
        self.assertEqual(stderr.getvalue(), "wasinet get: Traceback\n\tline \\x1b[2J\n")

    def test_bugs(self) -> None:
        """
        What nobody expects is not hidden.
        """
        self.assertRaises(ZeroDivisionError, self.raising, ZeroDivisionError())
        self.assertRaises(ImportError, self.raising, ImportError("x", name="x"))


class TypeTests(SynchronousTestCase):
    def test_bounds(self) -> None:
        for text in ("0", "65535"):
            self.assertEqual(frame.port(text), int(text))
        for text in ("0.001", "1e-3", "31622400"):
            self.assertEqual(frame.seconds(text), float(text))
        for text in ("31622401", "-1", "", "1s"):
            self.assertRaises(ArgumentTypeError, frame.seconds, text)
        for text in ("-1", "", "+1", "1.0", "000080"):
            self.assertRaises(ArgumentTypeError, frame.port, text)


def test_endedByTheSignalItself(tmp_path: Path) -> None:
    """
    So that a shell's loop ends as well; and a blocked or ignored one is no hindrance.
    """
    code = (
        "import signal\nfrom wasinet_twisted.command.ending import endBy\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('held back', end='')\nendBy(signal.SIGINT)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
    done = subprocess.run(["sh", "-c", f'{sys.executable} -c "$0"; echo $?', code], capture_output=True, check=False)
    assert done.stdout.endswith(b"130\n")
