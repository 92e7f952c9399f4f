"""
C{wasinet completion}: scripts for bash and zsh, by shtab.
"""

from __future__ import annotations

from argparse import Namespace

from ..errors import NotSupported
from .ending import output
from .parsers import makeParser


def run(arguments: Namespace) -> int:
    """
    Print the script.

    @raise NotSupported: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise NotSupported("completion needs shtab: pip install 'wasinet_twisted[cli]'") from error
    output(shtab.complete(makeParser(), shell=arguments.shell))
    return 0
