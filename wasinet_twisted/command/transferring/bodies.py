"""
The body of the request, as C{-d} and C{--json} name it.
"""

from __future__ import annotations

import os
import stat
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from ...errors import InvalidArgument
from ..blocking import Blocking, readSome

# How much is read at a time of what is no regular file, in bytes.
_PIECE = 64 * 1024
_INPUT = 0

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
BINARY = "application/octet-stream"


class InputFailed(Exception):
    """
    What is to be sent can't be read.
    """


class Given(NamedTuple):
    """
    @ivar body: as C{fetch} takes it.
    @ivar fields: what tells of it, unless the user has given a field of that name.
    """

    body: Any
    fields: tuple[tuple[str, str], ...]


def bodyOf(arguments: Namespace, reactor: Any, stack: ExitStack) -> Given:
    """
    Open the body.

    @param stack: closes the file.
    @raise InvalidArgument: there is no such file.
    """
    if arguments.json is not None:
        return Given(
            _open("--json", arguments.json, reactor, stack), (("Content-Type", JSON), ("Accept", f"{JSON}, */*;q=0.5"))
        )
    if arguments.data is not None:
        kind = BINARY if arguments.data.startswith("@") else FORM
        return Given(_open("--data", arguments.data, reactor, stack), (("Content-Type", kind),))
    return Given(b"", ())


def _open(option: str, given: str, reactor: Any, stack: ExitStack) -> Any:
    if not given.startswith("@"):
        # As it came: arguments that are no UTF-8 too.
        return given.encode("utf-8", "surrogateescape")
    try:
        descriptor = _INPUT if given == "@-" else os.open(given[1:], os.O_RDONLY | os.O_CLOEXEC)
        if descriptor != _INPUT:
            stack.callback(os.close, descriptor)
        kind = os.fstat(descriptor).st_mode
    except OSError as error:
        raise InvalidArgument(f"{option} {given}: {error.strerror}") from error
    if stat.S_ISDIR(kind):
        raise InvalidArgument(f"{option} {given}: it is a directory")
    if stat.S_ISREG(kind):
        # Its length is known, and it can be sent once more.
        return stack.enter_context(open(descriptor, "rb", closefd=False))
    return _pieces(descriptor, given, reactor)


async def _pieces(descriptor: int, given: str, reactor: Any) -> AsyncIterator[bytes]:
    reading = Blocking(reactor)
    while True:
        try:
            piece = await reading.call(readSome, descriptor, _PIECE)
        except OSError as error:
            raise InputFailed(f"can't read {given[1:]}: {error.strerror}") from error
        if not piece:
            return
        yield piece
