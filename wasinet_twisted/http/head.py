"""
Reading a head: its start line, its fields, and how long the body after it is.

Line by line, each judged as soon as it is complete. C{fasthead.py} is the fast path
for the head that has come whole.
"""

from __future__ import annotations

from typing import Any

from ..errors import MessageTooLarge, RemoteProtocolError
from . import grammar
from .asks import added, asksOf
from .bytequeue import ByteQueue
from .checks import targetFault
from .chunked import lineContent
from .events import RequestHead, ResponseHead
from .fields import FieldSection
from .framing import CONNECTION, FramingFields, bodyLength, show
from .limits import Limits

AnyHead = RequestHead | ResponseHead
# Method, target, version; or status, reason, version.
StartLine = tuple[Any, str, str]


class HeadReader:
    """
    Reads one head off a L{ByteQueue}, line by line.
    """

    __slots__ = ("_asks", "_emptyLines", "_framing", "_isRequest", "_left", "_limits", "_section", "_start")

    def __init__(self, isRequest: bool, limits: Limits) -> None:
        self._isRequest = isRequest
        self._limits = limits
        self._emptyLines = 0
        self._asks = 0
        # How many bytes this head may still take.
        self._left = limits.head
        self._start: StartLine | None = None

    def read(self, queue: ByteQueue, made: type[AnyHead], method: str) -> AnyHead | None:
        """
        Go on reading.

        @param made: what to make of it.
        @param method: for a response, that of the request it answers.
        @return: L{None} while it is incomplete.
        @raise RemoteProtocolError: a line is not valid or too long.
        """
        while self._start is None:
            if not queue.size or not self._readStartLine(queue):
                return None
        section = self._section
        while queue.size:
            # With nothing left even an empty line is too long: -1 lets none pass.
            left = self._left if self._left > 0 else -1
            line = queue.takeLine(left)
            if line is None:
                return None
            self._left -= len(line)
            content = lineContent(line, left, self._longHead)
            if not content:
                return self._finish(self._start, made, method)
            field = section.add(content)
            if field is not None and (kind := field[1]):
                if kind >= CONNECTION:
                    self._asks = added(self._asks, field[2])
                else:
                    self._framing.add(kind, field[2], field[0][1])
        return None

    @property
    def begun(self) -> bool:
        """
        Has a start line been taken?
        """
        return self._start is not None

    def _longLine(self) -> MessageTooLarge:
        return MessageTooLarge(f"a request line of more than {self._limits.requestLine} bytes", statusHint=414)

    def _longHead(self) -> MessageTooLarge:
        return MessageTooLarge(f"a head of more than {self._limits.head} bytes", statusHint=431)

    def _readStartLine(self, queue: ByteQueue) -> bool:
        """
        @return: has a line been taken, be it the start line or an empty one before it?
        """
        limits, left = self._limits, max(self._left, -1)
        # Which bound would the line pass first? Deciding it before the line is seen makes the answer independent of how
        # much of it has come.
        isBound = self._isRequest and limits.requestLine <= left
        most = limits.requestLine if isBound else left
        raw = queue.takeLine(most)
        if raw is None:
            return False
        line = lineContent(raw, most, self._longLine if isBound else self._longHead)
        self._left -= len(raw)
        if self._isRequest:
            if not line:
                # RFC 9112 section 2.2: some clients end a body with a CRLF too many.
                self._emptyLines += 1
                if self._emptyLines > limits.emptyLines:
                    raise MessageTooLarge(f"more than {limits.emptyLines} empty lines before a request")
                return True
            self._start = parseRequestLine(line)
        else:
            self._start = parseStatusLine(line)
        self._section = FieldSection(limits.fields, unfolds=not self._isRequest)
        self._framing = FramingFields(self._start[2], self._start[0] if self._isRequest else None)
        return True

    def _finish(self, start: StartLine, kind: type[AnyHead], method: str) -> AnyHead:
        # Without the checks of its constructor: the grammar has made them.
        head = kind.__new__(kind)
        if isinstance(head, RequestHead):
            head.method, head.uri, head.version = start
            head._length = bodyLength(self._framing, head.method)
        else:
            head.status, head.reason, head.version = start
            head._length = bodyLength(self._framing, method, head.status)
        head._pairs = self._section.finish()
        # A continued line (a response's) has been joined only now.
        head._asks = asksOf(head._pairs) if self._section.hasContinued else self._asks
        head._headers = head._trailers = None
        return head


def parseRequestLine(line: bytes) -> StartLine:
    """
    RFC 9112 section 3.

    @return: method, target, version.
    @raise RemoteProtocolError: it is not valid.
    """
    match = grammar.requestLine(line)
    if match is None:
        parts = line.split(b" ")
        if len(parts) != 3 or not all(parts):
            what = "a request line must be method, target and version, with one space between them"
        elif grammar.token(parts[0]) is None:
            what = "a method must be a token"
        elif grammar.target(parts[1]) is None:
            what = "a request target must be visible ASCII without #"
        else:
            what = "the version must be HTTP/1.1 or HTTP/1.0"
        raise RemoteProtocolError(f"{what}: {show(line)}")
    method, target, version = match.groups()
    _checkVersion(version)
    name = method.decode("ascii")
    fault = targetFault(name, target)
    if fault is not None:
        raise RemoteProtocolError(f"{fault}: {show(target)}")
    return name, target.decode("ascii"), version.decode("ascii")


def parseStatusLine(line: bytes) -> StartLine:
    """
    RFC 9112 section 4.

    @return: status, reason, version.
    @raise RemoteProtocolError: it is not valid.
    """
    match = grammar.statusLine(line)
    if match is None:
        raise RemoteProtocolError(f"a status line must be version, status from 100 to 599 and reason: {show(line)}")
    version, status, reason = match.groups()
    _checkVersion(version)
    return int(status), (reason or b"").decode("latin-1"), version.decode("ascii")


def _checkVersion(version: bytes) -> None:
    # RFC 9110 section 2.5: 1.2 and up are understood as 1.1, another major version isn't.
    # The preface of HTTP/2 (RFC 9113 section 3.4) ends here too.
    if not version.startswith(b"HTTP/1."):
        raise RemoteProtocolError(f"{version.decode('ascii')} is not spoken here", statusHint=505)
