"""
The incoming side of a server's connection: requests, their bodies, and how much of what has come is held.
"""

from __future__ import annotations

from typing import TypeVar

from ..errors import IncompleteRead, RemoteProtocolError
from .buffer import Buffer
from .bytequeue import ByteQueue
from .events import RequestHead
from .limits import Limits

R = TypeVar("R", bound=RequestHead)

# A body up to this length, in bytes, that has come with its head is there at once.
SMALL = 64 * 1024
# After so many pieces of bodies that nobody wants, others have their turn: one-byte chunks are cheap to send and dear
# to read, whether they stand in one body or in many small ones.
_MOST_EVENTS = 512
# What has arrived, while nothing has been kept. Nobody appends to it.
_NOTHING = ByteQueue()

# How far forget() has come.
MORE = 0  # more bytes are needed
TURN = 1  # there is more to do; others first
DONE = 2  # the body has been read
STOP = 3  # it is too long, malformed or cut: no request can follow


class RequestReader:
    """
    Reads one request after the other, and of each its body.

    @ivar parser: made when there is something to keep: most requests come whole,
        and many connections never have another kind.
    @ivar arrived: what has come and has not been taken: asked for its size
        several times a request, which by way of the parser would take as long as all else that is asked.
    @ivar hungry: does nothing go on before more bytes come?
    @ivar got: how much of the present body has been handed out, in bytes; -1: all of it, and its end.
    """

    __slots__ = ("_full", "_leftEvents", "_limits", "arrived", "got", "hungry", "parser")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.parser: Buffer | None = None
        self.arrived = _NOTHING
        self.hungry = True
        self.got = 0
        self._full = False
        # So many pieces forget() reads before the next turn of others.
        self._leftEvents = _MOST_EVENTS

    def append(self, data: bytes) -> None:
        """
        Keep bytes that have come.
        """
        parser = self.parser
        if parser is None:
            parser = self._newParser()
        parser.append(data)
        self.hungry = False

    def goOnAfter(self, request: R, end: int, data: bytes) -> R:
        """
        See L{Buffer.goOnAfter}.
        """
        parser = self.parser
        if parser is None:
            parser = self._newParser()
        self.hungry = False
        return parser.goOnAfter(request, end, data, SMALL)

    def _newParser(self) -> Buffer:
        parser = self.parser = Buffer("request", self._limits)
        self.arrived = parser._queue
        return parser

    def eof(self) -> None:
        """
        No more bytes come.
        """
        if self.parser is not None:
            self.parser.eof()

    def nextRequest(self, kind: type[R]) -> R | None:
        """
        See L{Buffer.nextRequest}.
        """
        request = None if self.parser is None else self.parser.nextRequest(kind, SMALL)
        self.hungry = request is None
        return request

    def nextPiece(self, request: RequestHead) -> bytes | None:
        """
        Give the next piece of a request's body.

        @return: C{b""} at its end; L{None} while more bytes are needed, and after the end.
        @raise RemoteProtocolError: it is malformed.
        @raise IncompleteRead: the peer has ended its direction inside it.
        """
        if self.got < 0:
            return None
        piece: bytes | None
        if request._body is not None:
            # It has come with its head.
            piece = b"" if self.got else request._body
        else:
            assert self.parser is not None
            piece = self.parser.nextPiece()
        if piece:
            self.got += len(piece)
        elif piece is not None:
            self.got = -1
        return piece

    def forget(self, most: int) -> int:
        """
        Read on in a body that nobody wants.

        @param most: how much of it is read, in bytes.
        @return: L{MORE}, L{TURN}, L{DONE} or L{STOP}.
        """
        parser = self.parser
        assert parser is not None
        try:
            while self._leftEvents:
                self._leftEvents -= 1
                piece = parser.nextPiece()
                if piece is None:
                    self.hungry = True
                    return MORE
                if not piece:
                    return DONE
                self.got += len(piece)
                if self.got > most:
                    return STOP
        except (RemoteProtocolError, IncompleteRead):
            # What the request asked has been answered; what comes now is no request.
            return STOP
        self._leftEvents = _MOST_EVENTS
        return TURN

    def clear(self) -> None:
        """
        Forget everything that has come.
        """
        if self.parser is not None:
            self.parser.clear()

    def hasUnparsed(self) -> bool:
        """
        Has something come that has not been handed out?
        """
        return self.parser is not None and len(self.parser) > 0

    @property
    def inside(self) -> bool:
        """
        Is the present body incomplete?
        """
        return self.parser is not None and self.parser._message is not None

    @property
    def failed(self) -> bool:
        """
        Has what came been malformed, or cut, so that no request follows?
        """
        return self.parser is not None and self.parser._failure is not None

    def wantsBytes(self, most: int) -> bool:
        """
        Is there room for more? A full reader has some again when three quarters have been taken.

        @param most: how many bytes may be held, unless nothing goes on without more.
        """
        size = self.arrived.size
        if self.hungry:
            self._full = False
        elif size > most:
            self._full = True
        elif size <= most // 4:
            self._full = False
        return not self._full

    def isFull(self) -> bool:
        """
        Has the bound been passed, so that the transport may hold more?
        """
        return self._full

    def mayHaveMore(self) -> bool:
        """
        May more have come, or still be coming, than has been handed out?
        """
        # A connection that keeps nothing has none; nearly all of those that close after their first request.
        return self._full or (self.parser is not None and (self.hasUnparsed() or self.inside or self.failed))

    def takeRest(self) -> bytes:
        """
        HTTP ends here: give all that has come.
        """
        if self.parser is None:
            return b""
        self.parser.acceptTunnel()
        return self.parser.takeRest()
