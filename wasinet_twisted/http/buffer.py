"""
L{Buffer}: bytes in, messages or events out.

There is one state machine, in C{machine.py}. L{Buffer.nextEvent} shows it as it
goes; L{Buffer.parseRequest} and L{Buffer.parseResponse} collect what it gives.
"""

from __future__ import annotations

from typing import Any, TypeVar

from multidict import CIMultiDict

from ..errors import IncompleteRead, LocalProtocolError, RemoteProtocolError
from .events import Data, EndOfMessage, Event, RequestHead, ResponseHead
from .framing import TUNNEL
from .limits import DEFAULT_LIMITS, Limits
from .machine import BETWEEN, END, IN_TUNNEL, TOLD_CONNECT, Machine, Role, tooLarge
from .messages import WasiRequest, WasiResponse

_Message = TypeVar("_Message", WasiRequest, WasiResponse)
_Request = TypeVar("_Request", bound=RequestHead)


class Buffer(Machine):
    """
    An incremental parser for the messages of one direction of one connection.

    Append bytes as they come, take messages as they are complete; what follows
    a message stays for the next one. The outcome never depends on how the bytes
    were cut, and the cost is linear in them.

    A Buffer reads requests or responses, not both: C{role} says which, else the
    first C{parse…} or L{expectResponse} does. A malformed message raises
    L{RemoteProtocolError}, now and at every later call: nothing after it can be
    trusted.
    """

    __slots__ = ()

    def __init__(self, role: Role | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        """
        @param role: C{"request"} or C{"response"}: what will be read.
        @param limits: the bounds to keep.
        """
        if role not in (None, "request", "response"):
            raise LocalProtocolError(f'the role of a Buffer must be "request" or "response", not {role!r}')
        super().__init__(role, limits)

    def clear(self) -> None:
        """
        Forget all bytes and whatever has begun, a failure too; only the role stays.
        """
        self._reset()

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """
        Add bytes that have arrived. C{bytes} are kept by reference; others are
        copied, so that they may change afterwards. Empty ones change nothing.

        @raise LocalProtocolError: C{data} is not bytes-like, or L{eof} has been told.
        """
        if self._open and data.__class__ is bytes:
            self._queue.append(data)
            return
        if not isinstance(data, bytes):
            if not isinstance(data, bytearray | memoryview):
                raise LocalProtocolError(f"append() takes bytes, not {type(data).__name__}")
            data = bytes(data)
        if self._ended and data:
            raise LocalProtocolError(f"append() of {len(data)} bytes after eof()")
        if self._open:
            self._queue.append(data)

    def eof(self) -> None:
        """
        No more bytes will come. A response without a length is complete now;
        a message that was cut makes the next call raise L{IncompleteRead}.
        """
        self._ended = True
        self._open = False

    def __len__(self) -> int:
        """
        How many bytes have been appended and not yet been handed out, as a
        message or as events.
        """
        queue = self._queue
        return queue.size if self._state is BETWEEN else queue.size + queue.taken - self._handedOut

    @property
    def byteLength(self) -> int:
        """
        The original's name for C{len(buffer)}.
        """
        return len(self)

    def peek(self) -> bytes:
        """
        Look at the bytes that nobody has parsed; they stay. Of a message that has begun, these are not all that
        L{byteLength} counts.
        """
        return self._queue.peekAll()

    def __bool__(self) -> bool:
        # An empty Buffer is as true as a full one: `if buffer` asks whether there is one.
        return True

    def parseRequest(self) -> WasiRequest | None:
        """
        The next request, with its whole body.

        @return: L{None} while it is incomplete, and while a CONNECT before it
            has been neither accepted nor declined.
        @raise RemoteProtocolError: it is malformed, or larger than the limits.
        @raise IncompleteRead: the stream ended inside it.
        @raise LocalProtocolError: this Buffer reads responses, or is streaming a message.
        """
        if self._role != "request":
            self._assumeRole("request")
        return self._collect(WasiRequest, self._limits.body)

    def parseResponse(self, requestMethod: str | None = None) -> WasiResponse | None:
        """
        The next response, with its whole body; each 1xx is a response of its own.

        @param requestMethod: what it answers: after HEAD and CONNECT bodies are
            framed differently. Needed only where L{expectResponse} wasn't called.
        @return: L{None} while it is incomplete.
        @raise RemoteProtocolError: it is malformed, or larger than the limits.
        @raise IncompleteRead: the stream ended inside it.
        @raise LocalProtocolError: this Buffer reads requests, or is streaming a message.
        """
        self._assumeRole("response")
        if requestMethod is not None and self._message is None:
            self._method = requestMethod
        return self._collect(WasiResponse, self._limits.responseBody)

    def nextEvent(self) -> Event | None:
        """
        The next event: a L{RequestHead} or L{ResponseHead}, then L{Data} as it
        comes, then an L{EndOfMessage}; bodies have no bound and are never held.

        @return: L{None} while more bytes are needed, and while a CONNECT has
            been neither accepted nor declined.
        @raise RemoteProtocolError: the message is malformed, or larger than the limits.
        @raise IncompleteRead: the stream ended inside it.
        @raise LocalProtocolError: the Buffer has no role yet, or C{parse…} is collecting a message.
        """
        if self._role is None:
            raise LocalProtocolError('nextEvent() needs to know what it reads: Buffer("request") or Buffer("response")')
        if self._collecting:
            raise LocalProtocolError("nextEvent() inside a message that parse…() is collecting")
        message = self._message
        if message is not None:
            piece = self.nextPiece()
            if piece is None:
                return None
            return Data(piece) if piece else EndOfMessage(message._trailers or CIMultiDict())
        try:
            head = self._nextHead(RequestHead if self._role == "request" else ResponseHead)
            if head is None:
                return None
            self._beginBody(head, False)
        except (RemoteProtocolError, IncompleteRead) as error:
            self._fail(error)
            raise
        self._handedOut = self._queue.taken
        return head

    def nextPiece(self) -> bytes | None:
        """
        Give the next piece of the body of the message that L{nextEvent} or L{nextRequest} has begun.

        @return: C{b""} at its end; L{None} while more bytes are needed, and after the end.
        @raise RemoteProtocolError: the message is malformed.
        @raise IncompleteRead: the stream ended inside it.
        """
        message = self._message
        if message is None:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            return None
        try:
            data = self._nextData(None)
            if not data:
                if self._state is not END:
                    return None
                self._finish(message)
        except (RemoteProtocolError, IncompleteRead) as error:
            self._fail(error)
            raise
        # What only frames the data counts as handed out with it.
        self._handedOut = self._queue.taken
        return data

    def nextRequest(self, kind: type[_Request], most: int) -> _Request | None:
        """
        The next request for a server: its head, made as C{kind}. If the body
        has come whole as well and is small, it is there already, as C{_body};
        else C{_body} is L{None}, and L{nextPiece} gives what follows.

        @param kind: a subclass of L{RequestHead}, made without its C{__init__}.
        @param most: how long a body may be that comes with the head, in bytes.
        @return: L{None} while more bytes are needed.
        @raise RemoteProtocolError: it is malformed, or larger than the limits.
        @raise IncompleteRead: the stream ended inside it.
        """
        try:
            head = self._nextHead(kind)
            if head is None:
                return None
            assert isinstance(head, kind)
            return self._withBody(head, most)
        except (RemoteProtocolError, IncompleteRead) as error:
            self._fail(error)
            raise

    def goOnAfter(self, head: _Request, end: int, data: bytes, most: int) -> _Request:
        """
        Go on with a request whose head has been read off C{data} already, when nothing else was there.

        @param end: where in C{data} the head ends.
        @return: C{head}, as L{nextRequest} gives it.
        @raise RemoteProtocolError: what follows is malformed.
        """
        queue = self._queue
        queue.append(data)
        queue.skip(end)
        try:
            return self._withBody(head, most)
        except RemoteProtocolError as error:
            self._fail(error)
            raise

    def _withBody(self, head: _Request, most: int) -> _Request:
        if not self._takeBody(head, most):
            # Without a body, until it comes.
            head._body = None  # type: ignore[assignment]
            self._beginBody(head, False)
            if head._length == TUNNEL:
                # A CONNECT has no body; the Buffer waits for what becomes of it.
                self._finish(head)
                head._body = b""
            self._handedOut = self._queue.taken
        return head

    def parseChunk(self) -> bytes | None:
        """
        The next piece of the body of the message whose head L{nextEvent} gave.

        @return: C{b""} at its end, L{None} while more bytes are needed.
        @raise RemoteProtocolError: the message is malformed.
        @raise IncompleteRead: the stream ended inside it.
        @raise LocalProtocolError: there is no such message.
        """
        if self._message is None and self._failure is None:
            raise LocalProtocolError("parseChunk() without a head that nextEvent() gave")
        event = self.nextEvent()
        if isinstance(event, Data):
            return event.data
        return None if event is None else b""

    def expectResponse(self, requestMethod: str) -> None:
        """
        Say which method the next final response answers: after HEAD and CONNECT
        bodies are framed differently. GET is assumed else.
        """
        self._assumeRole("response")
        self._method = requestMethod

    def acceptTunnel(self) -> None:
        """
        What follows the request just read is no HTTP: a CONNECT was answered
        with 2xx, or an Upgrade with 101. L{takeRest} gives it.

        @raise LocalProtocolError: this Buffer reads responses, or is inside a message.
        """
        self._assumeRole("request")
        # Once a head has been looked for, bytes of the tunnel may have been taken as empty lines.
        if self._state not in (BETWEEN, TOLD_CONNECT):
            raise LocalProtocolError("acceptTunnel() inside a message")
        self._state = IN_TUNNEL
        self._handedOut = self._queue.taken

    def declineTunnel(self) -> None:
        """
        A CONNECT was answered with something else than 2xx: requests go on.

        @raise LocalProtocolError: there was no CONNECT.
        """
        if self._state is not TOLD_CONNECT:
            raise LocalProtocolError("declineTunnel() without a CONNECT")
        self._state = BETWEEN

    def takeRest(self) -> bytes:
        """
        Take the bytes of a tunnel: what came after a CONNECT or an Upgrade that
        was accepted.

        @raise LocalProtocolError: there is no tunnel.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._state is not IN_TUNNEL:
            raise LocalProtocolError("takeRest() without a tunnel")
        rest = self._queue.takeAll()
        self._handedOut = self._queue.taken
        return rest

    @property
    def isTunnel(self) -> bool:
        """
        Is what follows no HTTP any more? True after a 101, after a 2xx to a
        CONNECT, and after L{acceptTunnel}.
        """
        return self._state is IN_TUNNEL

    def _assumeRole(self, role: Role) -> None:
        if self._role != role:
            if self._role is not None:
                raise LocalProtocolError(f"this Buffer reads {self._role}s, not {role}s")
            self._role = role

    def _collect(self, kind: type[_Message], most: int) -> _Message | None:
        """
        Run the machine to the end of a message, if its bytes are there.
        """
        try:
            message: Any = self._message
            if message is None:
                message = self._nextHead(kind)
                if message is None:
                    return None
                if self._takeBody(message, most):
                    return message  # type: ignore[no-any-return]
                self._beginBody(message, True)
            elif not self._collecting:
                raise LocalProtocolError("parse…() inside a message that nextEvent() is streaming")
            if message._length > most:
                raise tooLarge(most)
            pieces = self._pieces
            assert pieces is not None
            while data := self._nextData(most):
                pieces.add(data)
            if self._state is not END:
                return None
        except (RemoteProtocolError, IncompleteRead) as error:
            self._fail(error)
            raise
        assert isinstance(message, kind)
        message._body = pieces.join()
        self._finish(message)
        return message
