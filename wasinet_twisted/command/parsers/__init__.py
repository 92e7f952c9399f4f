"""
What C{wasinet} takes on its command line, one module a subcommand, or a kind of them. None of them
imports what the subcommand does.
"""

from __future__ import annotations

from . import bench, completion, nc, script, serve, transfer
from .frame import Parser, Version

# In the order in which the help lists them.
_COMMANDS = (transfer, serve, script, bench, nc, completion)


def makeParser() -> Parser:
    """
    Return the parser of the whole command line. What it parses has the subcommand's name as C{command}.
    """
    parser = Parser(
        prog="wasinet",
        description="HTTP and TCP from the shell, on Twisted.",
        epilog="example: wasinet get https://example.org/",
    )
    parser.add_argument("--version", action=Version, help="show the versions, and whether compiled twins are used")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for each in _COMMANDS:
        each.addParser(subparsers)
    return parser
