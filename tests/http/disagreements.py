"""
Where h11, httptools and we read the same bytes differently. Why they may, stands in reasons.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from .generator import Case
from .peers import REFUSED, Message, Result, readOurs, readWithH11, readWithHttptools

_PEERS: dict[str, Callable[[Case], Result]] = {"h11": readWithH11, "httptools": readWithHttptools}

# Who does what at the place where two readers part.
WE_REFUSE = "we refuse"
THEY_REFUSE = "they refuse"
BOTH_READ = "both read"


@dataclass
class Disagreement:
    """
    Two readers part at message C{index}.
    """

    case: Case
    peer: str
    ours: Result
    theirs: Result
    index: int

    @property
    def kind(self) -> str:
        if self.ours.end is REFUSED and not self.ours.cut and self.ours.complete == self.index:
            return WE_REFUSE
        if self.theirs.end is REFUSED and self.theirs.complete == self.index:
            return THEY_REFUSE
        return BOTH_READ

    @cached_property
    def message(self) -> bytes:
        """
        The bytes from where this message begins, without the empty lines in front of a request.
        """
        rest = self.case.data[self.ours.starts[self.index] :]
        return _leadingLines.sub(b"", rest) if self.case.role == "request" else rest

    @cached_property
    def emptyLines(self) -> int:
        """
        How many empty lines stand in front of the message?
        """
        return (len(self.case.data) - self.ours.starts[self.index] - len(self.message)) // 2

    @cached_property
    def size(self) -> int:
        """
        How many bytes of the message stand before the line that we refuse?
        """
        return self.ours.offset - (len(self.case.data) - len(self.message))

    @cached_property
    def place(self) -> Place:
        """
        Where is what we refuse?
        """
        return placeOf(self.message, self.size)

    @cached_property
    def line(self) -> bytes:
        """
        The line that we refuse, with its LF if that has come.
        """
        return self.message[max(self.size, 0) : self.message.find(b"\n", max(self.size, 0)) + 1 or None]

    @cached_property
    def content(self) -> bytes:
        return self.line.removesuffix(b"\n").removesuffix(b"\r")

    @cached_property
    def name(self) -> bytes:
        """
        Of the field that we refuse, in lower case.
        """
        return self.content.partition(b":")[0].lower()

    @cached_property
    def value(self) -> bytes:
        return self.content.partition(b":")[2].strip(b" \t")

    @cached_property
    def before(self) -> list[bytes]:
        """
        The lines of the message's head, as far as they stand before the one that we refuse.
        """
        return self.message[: max(self.size, 0)].split(b"\r\n\r\n")[0].split(b"\r\n")

    @cached_property
    def head(self) -> list[bytes]:
        """
        The lines of the message's head.
        """
        return self.message.split(b"\r\n\r\n")[0].split(b"\r\n")

    @cached_property
    def body(self) -> bytes:
        """
        What follows the message's head.
        """
        return self.message.partition(b"\r\n\r\n")[2]

    @property
    def mine(self) -> Message | None:
        return self.ours.messages[self.index] if self.index < len(self.ours.messages) else None

    @property
    def other(self) -> Message | None:
        return self.theirs.messages[self.index] if self.index < len(self.theirs.messages) else None

    def peerReads(self, data: bytes) -> Result:
        return _PEERS[self.peer](self.case._replace(data=data))


_leadingLines = re.compile(rb"\A(?:\r\n)+")


class Place(NamedTuple):
    """
    A place in a message.

    @ivar part: C{start}, C{field}, C{size}, C{data} (the end of a chunk) or C{trailer}.
    @ivar extensions: how many bytes of chunk extensions stand before it.
    @ivar trailers: where the trailer section begins.
    """

    part: str
    extensions: int = 0
    trailers: int = 0


def placeOf(message: bytes, offset: int) -> Place:
    """
    In which part of a message does this offset lie? What stands before it is valid.
    """
    if offset <= 0:
        return Place("start")
    head = message.find(b"\r\n\r\n", 0, offset + 2)
    if head < 0 or head + 2 >= offset:
        return Place("field")
    at, extensions = head + 4, 0
    while at < offset:
        end = message.find(b"\r\n", at) + 2
        digits, extension = _sizeLine.match(message[at : end - 2]).groups()  # type: ignore[union-attr]
        extensions += len(extension)
        if not int(digits, 16):
            return Place("trailer", extensions, end)
        at = end + int(digits, 16) + 2
        if at > offset:
            return Place("data", extensions)
    return Place("size", extensions)


_sizeLine = re.compile(rb"([0-9A-Fa-f]+)(.*)", re.DOTALL)


def disagreements(case: Case) -> list[Disagreement]:
    """
    Where do the peers and we read a case differently?
    """
    found = []
    ours = readOurs(case)
    for peer, read in _PEERS.items():
        if peer == "httptools":
            # It can't be told what a response answers, nor that the stream has ended.
            if case.method not in ("GET", "POST"):
                continue
            if case.eof:
                case = case._replace(eof=False)
                ours = readOurs(case)
        theirs = read(case)
        index = partingOf(ours, theirs)
        if index is not None:
            found.append(Disagreement(case, peer, ours, theirs, index))
    return found


def partingOf(ours: Result, theirs: Result) -> int | None:
    """
    At which message do two readers part? L{None}: they don't.
    """
    index = 0
    for mine, other in zip(ours.messages, theirs.messages, strict=False):
        if not mine.complete or not other.complete or not isSame(mine, other):
            break
        index += 1
    if ours.end is REFUSED and theirs.end is REFUSED:
        # What has been told of the message before it was refused is all the same.
        return None if index == ours.complete == theirs.complete else index
    same = ours.end is theirs.end and ours.rest == theirs.rest and len(ours.messages) == len(theirs.messages)
    if same and all(map(isSame, ours.messages[index:], theirs.messages[index:])):
        return None
    return index


def isSame(mine: Message, other: Message) -> bool:
    """
    Do two readers read this message alike? h11 folds the case of Transfer-Encoding's value.
    """
    if mine == other:
        return True
    return mine._replace(fields=()) == other._replace(fields=()) and [
        (name, value.lower() if name.lower() == "transfer-encoding" else value) for name, value in mine.fields
    ] == list(other.fields)
