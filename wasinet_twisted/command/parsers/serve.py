"""
What C{wasinet serve} takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .frame import DIRECTORY, addCommand

if TYPE_CHECKING:
    from .frame import Subparsers

DEFAULT_LISTEN = "tcp:8000:interface=127.0.0.1"


def addParser(subparsers: Subparsers) -> None:
    """
    Add it.
    """
    parser = addCommand(
        subparsers,
        "serve",
        "serve the files of a directory by HTTP",
        ["wasinet serve", "wasinet serve public --listen 0.0.0.0:8080", "wasinet serve --listen unix:/run/files.sock"],
        "It prints its URL, and then a line for each request. At Ctrl-C or SIGTERM,\n"
        "requests in flight are answered first; a second one ends it at once.\n"
        "While it listens on loopback addresses only, or if there is a --host, it\n"
        "answers to localhost, to IP addresses, and to each --host: a page on the web\n"
        "could make a browser ask for files by another name.",
    )
    directory = parser.add_argument(
        "directory", metavar="DIR", nargs="?", default=".", help="what to serve (default: the current directory)"
    )
    directory.complete = DIRECTORY  # type: ignore[attr-defined]
    parser.add_argument(
        "--listen",
        metavar="ENDPOINT",
        action="append",
        help="a port, an address and a port, or a Twisted endpoint; may be repeated (default: 127.0.0.1:8000)",
    )
    parser.add_argument("--host", metavar="NAME", action="append", default=[], help="a name to answer to as well")
    parser.add_argument("--dot-files", action="store_true", help="serve files whose names begin with a dot, too")
    parser.add_argument("--no-listing", action="store_true", help="no pages of directories")
    parser.add_argument("--follow-symlinks", action="store_true", help="follow links that lead out of the directory")
    parser.add_argument(
        "--precompressed",
        action="store_true",
        help="send x.zst, x.br or x.gz for x to clients that accept it",
    )
