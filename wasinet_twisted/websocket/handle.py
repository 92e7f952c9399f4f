"""
L{WebSocket}: the user's handle of one.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress

from ..errors import BusyError, InvalidArgument, WebSocketClosed
from ..net.reactors import callFromCollector
from ..net.tasks.awaited import Awaited
from ..net.tls.info import TlsInfo
from .codes import GOING_AWAY, INTERNAL_ERROR, checkClose

if TYPE_CHECKING:
    from .session import Session

Message = str | bytes


class WebSocket:
    """
    An open WebSocket: messages in both directions, to be awaited. Text is C{str}, binary messages are C{bytes}.

    C{request.webSocket()} and C{client.webSocket(url)} give one. The server closes it when the handler returns; else
    whoever got it closes it, best with C{async with}. When the last reference goes, it closes by itself, with 1001.

    For the reactor's thread only.
    """

    __slots__ = ("__weakref__", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def subprotocol(self) -> str | None:
        """
        The subprotocol that both sides have agreed on.
        """
        return self._session.subprotocol

    @property
    def closeCode(self) -> int | None:
        """
        The code of the Close frame that began the close, whichever side sent it (RFC 6455 section 7.4). 1005: it had
        none; 1006: the connection ended without one; L{None}: the WebSocket is open.
        """
        return self._session.code

    @property
    def closeReason(self) -> str:
        """
        The reason in that frame.
        """
        return self._session.reason

    def receive(self) -> Deferred[Message]:
        """
        Receive the next message: C{str} if it is text, else C{bytes}.

        While nobody receives, the peer is held back. Cancelling it loses no message.

        @raise WebSocketClosed: the WebSocket is closed, and all messages before have been received.
        @raise BusyError: somebody else waits for one.
        """
        return self._receive(Awaited(self._cancelReceive))

    def _receive(self, receiver: Awaited[Message]) -> Awaited[Message]:
        session = self._session
        if session.receiver is not None:
            receiver.fail(BusyError(f"somebody else waits for a message of {self!r}"))
        else:
            session.receive(receiver)
        return receiver

    def send(self, message: str | bytes | bytearray | memoryview) -> Deferred[None]:
        """
        Send a message: C{str} as text, else binary.

        It is on its way whether awaited or not. Awaited, it returns when the peer has taken enough: that is the flow
        control. For those who never await: when more than 16 MiB wait to be sent, the connection is reset.

        @raise WebSocketClosed: this side has closed it; or, told to those who await only, the peer has, or is gone.
        @raise InvalidArgument: it is neither, or a str with half a surrogate pair.
        """
        if message.__class__ is not str and message.__class__ is not bytes:
            message = _toMessage(message)
        try:
            return self._session.send(message)
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"send() of a str that has no UTF-8: {error}") from None

    def ping(self) -> Deferred[float]:
        """
        Send a ping.

        @return: fires with the seconds to its pong. A peer that doesn't answer is found all the same, see
            C{WebSocketLimits.pingInterval}.
        @raise WebSocketClosed: the WebSocket is closed.
        """
        return self._session.ping()

    def close(self, code: int = 1000, reason: str = "") -> Deferred[None]:
        """
        Close the WebSocket: send a Close frame behind what is queued, and wait for the peer's. Once it is closed, or
        being closed, another close does nothing.

        @param code: 1000, another one of RFC 6455 section 7.4.1 that may be sent, or 3000 to 4999.
        @param reason: at most 123 bytes of UTF-8.
        @return: fires when the connection is gone, which takes at most C{WebSocketLimits.closeTimeout}.
        @raise InvalidArgument: a Close frame can't have that code or reason.
        """
        checkClose(code, reason)
        self._session.close(code, reason)
        return self._session.conn.whenClosed()

    def abort(self) -> None:
        """
        Reset the connection, without a Close frame.
        """
        self._session.abort()

    def whenClosed(self) -> Deferred[None]:
        """
        Fires when the connection is gone, whoever ended it.
        """
        return self._session.conn.whenClosed()

    def peer(self) -> IAddress:
        """
        The peer's address.
        """
        return self._session.conn.peer()

    @property
    def tls(self) -> TlsInfo | None:
        """
        What was agreed on by TLS; L{None} for a plain connection.
        """
        return self._session.conn.tls

    def __aiter__(self) -> Self:
        """
        C{async for message in ws} receives until the WebSocket is closed, by whichever side and with whichever code:
        C{closeCode} tells.
        """
        return self

    def __anext__(self) -> Awaited[Message]:
        return self._receive(_Next(self._cancelReceive))

    async def __aenter__(self) -> Self:
        """
        C{async with ws} closes it at the end: with 1000, or with 1011 if an exception leaves the block.
        """
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, WebSocketClosed):
            await self.close()
        elif issubclass(kind, CancelledError | GeneratorExit):
            self._session.close(GOING_AWAY, "")
        else:
            self._session.close(INTERNAL_ERROR, "")

    def __repr__(self) -> str:
        code = self._session.code
        state = "open" if code is None else f"closed with {code}"
        return f"<{type(self).__name__} with {self._session.conn._protocol.peerName()}, {state}>"

    def __del__(self) -> None:
        session = getattr(self, "_session", None)
        if session is not None and session.code is None:
            callFromCollector(session.conn._protocol.reactor, session.close, GOING_AWAY, "")

    def _cancelReceive(self, receiver: Any) -> None:
        if self._session.receiver is receiver:
            self._session.receiver = None
        receiver.fail(CancelledError())


class _Next(Awaited[Message]):
    """
    What C{async for} awaits: a close ends it.
    """

    __slots__ = ()

    def fail(self, error: BaseException) -> None:
        super().fail(StopAsyncIteration() if isinstance(error, WebSocketClosed) else error)


def _toMessage(message: Any) -> Message:
    """
    @raise InvalidArgument: it can't be sent.
    """
    if isinstance(message, str):
        return str(message)
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message)
    raise InvalidArgument(f"send() takes str or bytes, not {type(message).__name__}")
