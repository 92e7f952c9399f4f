"""
L{Asked}: a request that a script answers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

from twisted.internet.defer import Deferred

from ..errors import IncompleteRead, MessageTooLarge, RemoteProtocolError, SlowBody
from ..http import WasiResponse
from ..http.checks import shorten
from ..http.pieces import Pieces
from ..net import formatAddress
from ..net.tasks.awaited import Awaited
from ..server import Request
from ..server.reply import Reply
from .fields import fieldsAsObject
from .pulling import Pull

# What the head of a request takes beside its bytes, in the script's memory and in ours.
_OVERHEAD = 2048
_JSON = json.JSONEncoder(ensure_ascii=False).encode


class Asked(Reply):
    """
    One request, from the moment it came until it is answered, or its client has gone and the script is done with it.

    @ivar number: the one by which the script knows it; 0: it doesn't, yet.
    @ivar size: about how many bytes it takes while the script has it.
    """

    __slots__ = ("_body", "_ended", "_gone", "_waiting", "number", "size")

    def __init__(self, request: Request, ended: Callable[[Asked], object]) -> None:
        """
        @param ended: called once, when this is over.
        """
        super().__init__(request)
        self.number = 0
        self.size = _OVERHEAD + sum(len(name) + len(value) for name, value in request.headers.items())
        self.size += len(request.uri) + len(request._body or b"")
        self._ended = ended
        self._body: Pull | None = None
        # Those who wait for the client to go.
        self._gone: Awaited[bool] | None = None
        self._waiting: Deferred[None] | None = None

    def described(self) -> str:
        """
        Return the request's method and target, for messages.
        """
        return shorten(f"{self._request.method} {self._request.uri}")

    def isForHead(self) -> bool:
        """
        Is nothing of the answer's body sent?
        """
        return self._request.method == "HEAD"

    # What the server asks of it

    def cancel(self) -> None:
        """
        The server ends: there will be no answer.
        """
        if self.isOpen():
            self.giveUp()
        self.over()

    def kill(self) -> None:
        """
        The same.
        """
        self.over()

    # What the script is given

    def packed(self) -> tuple[bytes, bytes]:
        """
        Return the head as JSON, and the body if it has come with it.
        """
        request = self._request
        body = request._body
        head = [
            request.method,
            request.uri,
            request.version,
            formatAddress(request.peer),
            body is not None,
            fieldsAsObject(request.headers.items()),
        ]
        encoded = _JSON(head).encode("utf-8", "replace")
        if body is not None:
            request._begun = True
            request._endOfBody()
        return encoded, body or b""

    def nextPiece(self) -> Deferred[bytes | None]:
        """
        Take the next piece of the body.

        @return: fires with L{None} at its end.
        @raise BusyError: the piece before has not come yet.
        """
        if self._body is None:
            self._body = Pull(self._pieces(None))
        return self._body.next()

    async def collected(self, most: int, hold: Callable[[int], object]) -> bytes:
        """
        Take the whole body.

        @param most: how many bytes it may have; beyond, the client is answered with 413.
        @param hold: called with the size of each piece, and in the end with what all of them took, negative. What it
            raises, the client is told.
        """
        pieces = Pieces()
        try:
            async for piece in self._pieces(most):
                pieces.add(piece)
                hold(len(piece))
                if pieces.size > most:
                    raise _tooLarge(most)
            return pieces.join()
        except MessageTooLarge as error:
            raise self._refused(error) from None
        finally:
            hold(-pieces.size)

    async def _pieces(self, most: int | None) -> AsyncIterator[bytes]:
        request = self._request
        if most is not None and request._length > most:
            # Before the client has sent it, if it waits for a 100.
            raise self._refused(_tooLarge(most))
        try:
            async for piece in request.stream():
                yield piece
        except (RemoteProtocolError, IncompleteRead, SlowBody) as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> Exception:
        """
        The client is told what is wrong with its request, if nothing has been answered yet.
        """
        if self.isOpen() and not self.done:
            self.refuse(error)
            self.over()
        return error

    def whenGone(self) -> Deferred[bool]:
        """
        Wait for the client to end its direction, or to go.

        @return: fires with C{True}; with C{False}, if the request has been answered before.
        """
        if self._gone is None:
            self._gone = Awaited()
            if self.done or not self.isOpen():
                self._gone.give(not self.done)
            else:
                self._waiting = self._carrier.whenPeerFinished()
                self._waiting.addBoth(self._tell)
        gone: Deferred[bool] = Deferred()
        self._gone.addCallback(_passOn, gone)
        return gone

    def _tell(self, _: object) -> None:
        self._waiting = None
        assert self._gone is not None
        if not self._gone.called:
            self._gone.give(True)

    # How it ends

    def broken(self) -> None:
        """
        There will be no more of the answer: 500, or, if it has begun, a reset.
        """
        if self.done:
            return
        if self.isOpen():
            if self.status:
                # A FIN could make half a body look like a whole one.
                self.giveUp()
            else:
                self._carrier.connection.makeLast()
                self.respond(WasiResponse(500, {"Content-Type": "text/plain"}, "Internal Server Error\n"))
        self.over()

    def over(self) -> None:
        """
        It has been answered, or nobody waits for an answer.
        """
        if self.done:
            return
        self.done = True
        if self._gone is not None and not self._gone.called:
            self._gone.give(False)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        self._ended(self)
        self._carrier.server.ran(self._carrier, self)


def _tooLarge(most: int) -> MessageTooLarge:
    return MessageTooLarge(f"a body of more than {most} bytes", statusHint=413)


def _passOn(value: bool, to: Deferred[bool]) -> bool:
    to.callback(value)
    return value
