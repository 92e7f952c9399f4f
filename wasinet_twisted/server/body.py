"""
The body of the request that is being answered: it comes when the handler asks for it.
"""

from __future__ import annotations

from ..errors import BusyError, ConnectionClosed, IncompleteRead, RemoteProtocolError
from ..http import Data, EndOfMessage
from ..net.tasks.awaited import Awaited
from .request import Request
from .state import HttpState


class Receiver(HttpState):
    """
    What a handler doesn't ask for stays in the buffer; when that is full, the peer has to wait.
    """

    __slots__ = ()

    async def nextPiece(self, request: Request) -> bytes:
        """
        The next piece of the body.

        @return: C{b""} at its end.
        @raise RemoteProtocolError: it is malformed.
        @raise IncompleteRead: the peer has ended its direction inside it.
        @raise TimedOut: it comes too slowly.
        @raise ConnectionClosed: the peer has gone.
        """
        while True:
            if self._request is not request:
                raise ConnectionClosed(f"{request!r} has been answered, or its connection is gone")
            if self._bodyDone:
                return b""
            try:
                event = self._buffer.nextEvent()
            except (RemoteProtocolError, IncompleteRead) as error:
                request._fault = error
                raise
            if isinstance(event, Data):
                self._expects = False
                self._bodyGot += len(event.data)
                self._flow()
                return event.data
            if event is not None:
                assert isinstance(event, EndOfMessage)
                self._bodyDone = True
                request._trailers = event.trailers
                self._flow()
                return b""
            await self._moreBody(request)

    async def _moreBody(self, request: Request) -> None:
        if self.lost or self.closing:
            raise self._broken or ConnectionClosed(f"the connection with {self.peerName()} is closed")
        if self._puller is not None:
            raise BusyError(f"somebody else reads the body of {request!r}")
        if self._expects:
            self._expects = False
            if not (self._hasUnparsed() or request._responded):
                # RFC 9110 section 10.1.1: not if the body has begun to come.
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._flow(True)
        before = self._since = self.reactor.seconds()
        puller: Awaited[None] = Awaited()
        self._puller = puller
        try:
            await puller
        finally:
            if self._puller is puller:
                self._puller = None
            self._waited += self.reactor.seconds() - before

    def _flow(self, more: bool = False) -> None:
        """
        Let the peer go on when enough of what it has sent has been taken.

        @param more: also if not: there is no going on without more.
        """
        if self._readPaused and (more or self._arrived.size <= self.server.limits.buffered // 4):
            self._readPaused = False
            if not (self._ended or self.closing or self.lost):
                self.transport.resumeProducing()
