"""
What C{wasinet run} takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ...errors import InvalidArgument
from ...javascript.options import addressesOf, movedPort, pairOf, portsOf, sizeOf
from .frame import FILE, addCommand, seconds

if TYPE_CHECKING:
    from .frame import Subparsers

T = TypeVar("T")


def _by(read: Callable[[str], T]) -> Callable[[str], T]:
    """
    Return what argparse takes for a type.
    """

    def typed(text: str) -> T:
        try:
            return read(text)
        except InvalidArgument as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return typed


def addParser(subparsers: Subparsers) -> None:
    """
    Add it.
    """
    parser = addCommand(
        subparsers,
        "run",
        "run a JavaScript program that listens and connects, in a sandbox",
        [
            "wasinet run examples/js/http_echo.js",
            "wasinet run --listen 8000=unix:/run/echo.sock examples/js/net_echo.js",
            "wasinet run --connect-to 192.0.2.1:80=localhost:8080 --call get_test x.js",
        ],
        "The program has the modules wasi_net, wasi_http, http, process and util, files\n"
        "in its own folder that it imports, and nothing else of the machine. It ends\n"
        "when it waits for nothing any more.\n\n"
        "exit status: that of process.exit(), else 0, or 1 if an error was not caught,\n"
        "2 the script can't be read, 4 the engine is not built or installed",
        module="script",
    )
    script = parser.add_argument("script", metavar="SCRIPT", help="a file with an ES module")
    script.complete = FILE  # type: ignore[attr-defined]
    parser.add_argument(
        "arguments", metavar="ARG", nargs=argparse.REMAINDER, help="what the program has in process.argv"
    )
    parser.add_argument(
        "--call", metavar="FUNCTION", help="run an excerpt, which has net and http as globals, and call this function"
    )
    parser.add_argument(
        "--listen",
        metavar="PORT=ENDPOINT",
        type=_by(movedPort),
        action="append",
        default=[],
        help="where to listen instead of at this port; may be repeated",
    )
    parser.add_argument(
        "--connect-to",
        metavar="HOST:PORT=HOST:PORT",
        type=_by(pairOf),
        action="append",
        default=[],
        help="where to connect instead of there; may be repeated",
    )
    parser.add_argument(
        "--allow-net",
        metavar="HOST:PORT,...",
        type=addressesOf,
        help="what it may connect to, also as HOST or *:PORT (default: all)",
    )
    parser.add_argument(
        "--allow-listen", metavar="PORT,...", type=_by(portsOf), help="which ports it may listen on (default: all)"
    )
    parser.add_argument(
        "--cacert", metavar="FILE", help="trust the certificates of this PEM file instead of the system's"
    ).complete = FILE  # type: ignore[attr-defined]
    parser.add_argument(
        "--env",
        metavar="NAME",
        action="append",
        default=[],
        help="a variable of the environment that it has; may be repeated",
    )
    parser.add_argument(
        "--unhandled",
        choices=("fail", "warn"),
        default="fail",
        help="what an error does that nobody has caught (default: fail)",
    )
    parser.add_argument(
        "--turn",
        metavar="S",
        type=seconds,
        default=1.0,
        help="seconds that it may run on end, before it is interrupted (default: 1)",
    )
    parser.add_argument(
        "--memory-limit",
        metavar="SIZE",
        type=_by(sizeOf),
        default=64 << 20,
        help="memory that it may take (default: 64M)",
    )
