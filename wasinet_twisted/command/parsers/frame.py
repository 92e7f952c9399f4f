"""
What the parsers of all subcommands have in common.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..ending import output

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction["Parser"]

# An argument's attribute "complete", for shtab: what a shell completes it to. These are shtab's own values.
FILE = {"bash": "_shtab_compgen_files", "zsh": "_files"}
DIRECTORY = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/"}

# The largest number of seconds that an option takes: a year.
_LONGEST = 366 * 86400.0


class Parser(argparse.ArgumentParser):
    """
    A parser that says what is wrong in one line, and ends with status 2. It takes no abbreviations, which another
    option would make ambiguous some day.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """
        Refuse what is unknown here, so that the message names the subcommand.
        """
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def print_help(self, file: Any = None) -> None:
        """
        Print it; argparse would hide that it can't be written.
        """
        if file is None:
            output(self.format_help().removesuffix("\n"))
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        """
        End with C{message} and status 2.
        """
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


class Version(argparse.Action):
    """
    The option C{--version}.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, nargs=0, default=argparse.SUPPRESS)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """
        Show it, and end.
        """
        # Late: it loads what it tells of.
        from ...service.versions import versionLine

        output(versionLine())
        parser.exit()


def addCommand(
    subparsers: Subparsers, name: str, summary: str, examples: Sequence[str], notes: str = "", module: str = ""
) -> Parser:
    """
    Add a subcommand.

    @param summary: in one line, without a full stop.
    @param examples: whole command lines.
    @param notes: what the help says below the options.
    @param module: which module of C{command} it runs; by default the one of its name.
    """
    lines = "\n  ".join(examples)
    epilog = f"{notes}\n\n" if notes else ""
    description = f"{summary[:1].upper()}{summary[1:]}."
    example = "example" if len(examples) == 1 else "examples"
    parser = subparsers.add_parser(name, help=summary, description=description, epilog=f"{epilog}{example}:\n  {lines}")
    parser.set_defaults(module=module or name)
    return parser


def port(text: str) -> int:
    """
    A port as an argument's type.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """
    A time as an argument's type.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"a time is a number of seconds above 0 and up to {_LONGEST:g}, not {text!r}")
    return value


def field(text: str) -> tuple[str, str]:
    """
    A header field as an argument's type.
    """
    name, colon, value = text.partition(":")
    if not (colon and name):
        raise argparse.ArgumentTypeError(f"a header field is like 'Name: value', not {text!r}")
    return name, value.strip(" \t")
