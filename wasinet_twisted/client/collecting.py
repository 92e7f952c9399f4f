"""
L{Collecting}: the whole body of a response that has not come whole.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall

from ..errors import BusyError, ConnectionClosed, IncompleteRead, MessageTooLarge, RemoteProtocolError
from ..http.pieces import Pieces
from ..net.tasks.awaited import IMMEDIATE, Awaited


class Collecting(Awaited[bytes]):
    """
    Waits for each piece, and fires with all of them: one object, where a coroutine that reads a stream would take
    several for each.

    It knows a L{Response<wasinet_twisted.client.Response>} from within, and is its part.
    """

    __slots__ = ("_most", "_pieces", "_response", "_turn")

    def __init__(self, response: Any, most: int) -> None:
        """
        @param most: how long the body may be, decoded, in bytes.
        """
        super().__init__(self._giveUp)
        self._response = response
        self._most = most
        self._pieces = Pieces()
        self._turn: IDelayedCall | None = None

    def start(self) -> None:
        """
        Take what is there, and wait for the rest, unless somebody else reads it.
        """
        response = self._response
        if response._begun or response._body is not None:
            super().fail(self._refusal())
            return
        response._begun = True
        self._take()

    def give(self, value: bytes) -> None:
        """
        The next piece has come; C{b""} is the end.
        """
        try:
            more = self._add(value)
        except Exception as error:
            super().fail(error)
            return
        if more:
            self._take()
        else:
            self._end()

    def fail(self, error: BaseException) -> None:
        """
        No more comes.
        """
        super().fail(self._response._fail(error))

    def _refusal(self) -> Exception:
        response = self._response
        if response._body is not None:
            return MessageTooLarge(f"{response}: a body of more than {self._most} bytes", statusHint=413)
        if response._failure is not None:
            # Of a body that has failed, everybody is told how.
            failure: Exception = response._failure.with_traceback(None)
            return failure
        return BusyError(f"the body of {response} is read twice")

    def _take(self) -> None:
        self._turn = None
        try:
            for _ in range(IMMEDIATE):
                piece = self._next()
                if piece is None:
                    return
                if not self._add(piece):
                    break
            else:
                # A body in chunks of one byte would keep the reactor from its turn.
                self._turn = self._response._protocol.reactor.callLater(0, self._take)
                return
        except Exception as error:
            super().fail(error)
            return
        self._end()

    def _next(self) -> bytes | None:
        """
        @return: C{b""} at the end; L{None}: L{give} is called with it.
        """
        response = self._response
        if response._pieces:
            there: bytes = response._pieces.pop(0)
            return there
        if response._failure is not None:
            raise response._failure.with_traceback(None)
        protocol = response._protocol
        if protocol is None or response.status == 101:
            # What follows a 101 is no body: see upgrade().
            return b""
        try:
            if protocol.call is not response._call:
                raise ConnectionClosed(f"{response} was closed")
            if protocol.waiter is not None:
                raise BusyError(f"the body of the response to {protocol.call} is read twice")
            piece: bytes | None = protocol.nextPiece()
        except Exception as error:
            raise response._fail(error) from None
        if piece is None:
            protocol.waiter = self
            protocol.arm(protocol.reactor.seconds())
        return piece

    def _add(self, piece: bytes) -> bool:
        """
        @return: L{False} at the end.
        @raise MessageTooLarge: it is too long.
        @raise RemoteProtocolError: its coding is malformed.
        """
        response = self._response
        decoder = response._decoder
        if not piece:
            if decoder is not None:
                try:
                    decoder.end()
                except (RemoteProtocolError, IncompleteRead) as error:
                    raise response._fail(error) from None
            return False
        pieces, most = self._pieces, self._most
        for each in (piece,) if decoder is None else response._decode(decoder, piece):
            pieces.add(each)
            if pieces.size > most:
                response.close()
                raise response._fail(MessageTooLarge(f"{response}: a body of more than {most} bytes", statusHint=413))
        return True

    def _end(self) -> None:
        response = self._response
        response._body = body = self._pieces.join()
        if response.status != 101:
            response._protocol = None
        super().give(body)

    def _giveUp(self, _: Any) -> None:
        """
        Who waited has been cancelled: what still comes, nobody wants.
        """
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.cancel()
        response = self._response
        protocol = response._protocol
        if protocol is not None and protocol.waiter is self:
            protocol.waiter = None
        response.close()
        super().fail(CancelledError())
