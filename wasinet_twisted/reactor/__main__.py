"""
C{python -m wasinet_twisted.reactor [--asyncio] [-m MODULE | SCRIPT] …}: run a program on a reactor of this room.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from importlib.util import find_spec

NAME = "python -m wasinet_twisted.reactor"
USAGE = f"{NAME} [--asyncio] (-m MODULE | SCRIPT) [ARGUMENT …]"
HELP = f"""usage: {USAGE}

Runs a Python program, as python itself would, on this package's epoll reactor, or with --asyncio on the one for asyncio
programs. It is for programs that have no option of their own that chooses a reactor.
"""


class WrongUse(Exception):
    """
    The command line is none.
    """


def parse(arguments: Sequence[str]) -> tuple[bool, bool, list[str]]:
    """
    @return: is it to be the reactor for asyncio programs, is the program a module; its name and its arguments.
    @raise WrongUse: no program is named, there is no such file, or an option isn't known.
    """
    left = list(arguments)
    forAsyncio = left[:1] == ["--asyncio"]
    if forAsyncio:
        del left[0]
    isModule = left[:1] == ["-m"]
    if isModule:
        del left[0]
    if not left or not left[0]:
        raise WrongUse("-m needs the name of a module" if isModule else "name a program to run: -m MODULE, or a file")
    if left[0].startswith("-"):
        raise WrongUse(f"there is no option {left[0]} before the program; there are --asyncio, -m and --help")
    if not isModule and not os.path.exists(left[0]):
        raise WrongUse(f"there is no file {left[0]}")
    return forAsyncio, isModule, left


def install(forAsyncio: bool) -> None:
    """
    Make one of the reactors that of the process.
    """
    if forAsyncio:
        from .asyncio import install as installAsyncio

        installAsyncio()
    else:
        from . import install as installEpoll

        installEpoll()


def checkModule(name: str) -> None:
    """
    @raise WrongUse: there is no such module, or it is a package that can't be run.
    """
    try:
        found = find_spec(name)
        if found is not None and found.submodule_search_locations is not None:
            name += ".__main__"
            found = find_spec(name)
    except (ImportError, ValueError) as error:
        raise WrongUse(f"there is no module {name}: {error}") from error
    if found is None:
        raise WrongUse(f"there is no module {name}")


def main(arguments: Sequence[str]) -> None:
    """
    The command.
    """
    if arguments and arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    try:
        forAsyncio, isModule, command = parse(arguments)
        # Before any part of the program is imported, as the package of a module is when it is looked for.
        install(forAsyncio)
        if isModule:
            checkModule(command[0])
    except WrongUse as error:
        print(f"{NAME}: {error} (see --help)", file=sys.stderr)
        raise SystemExit(2) from None
    sys.argv = command
    if isModule:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    else:
        if not sys.flags.safe_path:
            # Where Python looks for what a script imports. For a module that is the current directory, which is there.
            sys.path[0] = os.path.dirname(os.path.abspath(command[0]))
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
