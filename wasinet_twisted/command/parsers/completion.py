"""
What C{wasinet completion} takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .frame import addCommand

if TYPE_CHECKING:
    from .frame import Subparsers


def addParser(subparsers: Subparsers) -> None:
    """
    Add it.
    """
    parser = addCommand(
        subparsers,
        "completion",
        "print what makes a shell complete this command's arguments",
        [
            "wasinet completion bash > ~/.local/share/bash-completion/completions/wasinet",
            "wasinet completion zsh > ~/.zfunc/_wasinet",
        ],
        "zsh looks for the script in the directories of its fpath: fpath+=~/.zfunc has\nto stand before compinit.",
    )
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell")
