"""
L{Buffer}: bytes in, messages or events out.

There is one state machine: L{Buffer._nextHead}, L{Buffer._nextData} and
L{Buffer._finish}. L{Buffer.nextEvent} shows it as it goes;
L{Buffer.parseRequest} and L{Buffer.parseResponse} collect what it gives.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Literal, TypeVar

from multidict import CIMultiDict

from ..errors import IncompleteRead, LocalProtocolError, MessageTooLarge, RemoteProtocolError, WasinetError
from .bytequeue import ByteQueue
from .chunked import ChunkedDecoder
from .events import Data, EndOfMessage, Event, RequestHead, ResponseHead
from .framing import CHUNKED, TUNNEL, UNTIL_CLOSE
from .head import AnyHead, HeadReader
from .limits import DEFAULT_LIMITS, Limits
from .messages import WasiRequest, WasiResponse
from .pieces import Pieces
from .quick import quickRequest, quickResponse

Role = Literal["request", "response"]
_Message = TypeVar("_Message", WasiRequest, WasiResponse)


class _State(Enum):
    IDLE = auto()  # between two messages
    HEAD = auto()  # a head has begun, and is read line by line
    LENGTH = auto()  # a body of a known length
    CHUNKED = auto()
    UNTIL_CLOSE = auto()
    END = auto()  # the body is complete, the end has not been told
    CONNECT = auto()  # a CONNECT has been told: nobody knows yet what follows
    TUNNEL = auto()  # what follows is no HTTP
    FAILED = auto()


# An enumeration's members cost more to look up than a module's names, and this one is looked at for each message.
_IDLE = _State.IDLE


class Buffer:
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

    __slots__ = (
        "_collecting", "_decoder", "_ended", "_failure", "_got", "_handedOut", "_headReader", "_limits", "_message",
        "_method", "_open", "_pieces", "_queue", "_role", "_state",
    )  # fmt: skip

    def __init__(self, role: Role | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        """
        @param role: C{"request"} or C{"response"}: what will be read.
        @param limits: the bounds to keep.
        """
        if role not in (None, "request", "response"):
            raise LocalProtocolError(f'the role of a Buffer must be "request" or "response", not {role!r}')
        self._role = role
        self._limits = limits
        self._queue = ByteQueue()
        self.clear()

    def clear(self) -> None:
        """
        Forget all bytes and whatever has begun, a failure too; only the role stays.
        """
        self._queue.clear()
        self._failure: WasinetError | None = None
        self._ended = False
        # Does it take more bytes? Not after eof(), and not after a failure.
        self._open = True
        # What the next final response answers; None is as good as GET.
        self._method: str | None = None
        self._between()

    def _between(self) -> None:
        """
        Nothing has begun.
        """
        self._state = _IDLE
        self._headReader: HeadReader | None = None
        # The message whose head has come, and how much of its body has.
        self._message: AnyHead | None = None
        self._got = 0
        self._decoder: ChunkedDecoder | None = None
        # Is it being collected, with these pieces of its body, or streamed?
        self._collecting = False
        self._pieces = Pieces()
        # What had been taken of the bytes when something was handed out last; only looked at within a message.
        self._handedOut = 0

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
        return queue.size if self._state is _IDLE else queue.size + queue.taken - self._handedOut

    @property
    def byteLength(self) -> int:
        """
        The original's name for C{len(buffer)}.
        """
        return len(self)

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
        if self._state is _IDLE and self._role == "request":
            # The hot path: whatever has come whole and holds nothing unusual is done with here.
            queue = self._queue
            size = queue.size
            request = quickRequest(queue, self._limits, WasiRequest)
            if request is not None:
                length = request._length
                if 0 <= length <= self._limits.body and length <= len(queue.chunk) - queue.position:
                    request._body = queue.take(length) if length else b""
                    request._trailers = None
                    return request
                self._handedOut = queue.taken + queue.size - size
                self._begin(request, True)
        else:
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
        event: Event | None = None
        try:
            if self._message is None:
                head = self._nextHead(RequestHead if self._role == "request" else ResponseHead)
                if head is None:
                    return None
                self._begin(head, False)
                event = head
            elif data := self._nextData(None):
                event = Data(data)
            elif self._state is _State.END:
                trailers = self._decoder.trailers if self._decoder is not None else None
                self._finish(self._message)
                return EndOfMessage(CIMultiDict(trailers or ()))
        except (RemoteProtocolError, IncompleteRead) as error:
            self._fail(error)
            raise
        # What only frames the data counts as handed out with it.
        self._handedOut = self._queue.taken
        return event

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
        if self._state not in (_IDLE, _State.CONNECT):
            raise LocalProtocolError("acceptTunnel() inside a message")
        self._state = _State.TUNNEL
        self._handedOut = self._queue.taken

    def declineTunnel(self) -> None:
        """
        A CONNECT was answered with something else than 2xx: requests go on.

        @raise LocalProtocolError: there was no CONNECT.
        """
        if self._state is not _State.CONNECT:
            raise LocalProtocolError("declineTunnel() without a CONNECT")
        self._state = _IDLE

    def takeRest(self) -> bytes:
        """
        Take the bytes of a tunnel: what came after a CONNECT or an Upgrade that
        was accepted.

        @raise LocalProtocolError: there is no tunnel.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._state is not _State.TUNNEL:
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
        return self._state is _State.TUNNEL

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
            message = self._message
            if message is None:
                message = self._nextHead(kind)
                if message is None:
                    return None
                self._begin(message, True)
            elif not self._collecting:
                raise LocalProtocolError("parse…() inside a message that nextEvent() is streaming")
            if message._length > most:
                raise _tooLarge(most)
            pieces = self._pieces
            if (decoder := self._decoder) is not None:
                # Nearly all of a chunked body, without a step of the machine for each piece.
                decoder.most = most
                while data := decoder.nextData(self._queue):
                    pieces.add(data)
            while data := self._nextData(most):
                pieces.add(data)
            if self._state is not _State.END:
                return None
        except (RemoteProtocolError, IncompleteRead) as error:
            self._fail(error)
            raise
        assert isinstance(message, kind)
        message._body = pieces.join()
        trailers = self._decoder.trailers if self._decoder is not None else None
        message._trailers = CIMultiDict(trailers) if trailers else None
        self._finish(message)
        return message

    def _fail(self, error: RemoteProtocolError | IncompleteRead) -> None:
        """
        Nothing after this can be trusted: only the error stays.
        """
        if isinstance(error, RemoteProtocolError):
            error.offset = self._queue.mark
        self._queue.clear()
        self._between()
        self._failure = error
        self._open = False
        self._state = _State.FAILED
        self._handedOut = self._queue.taken

    def _nextHead(self, kind: type[AnyHead]) -> AnyHead | None:
        """
        The next head, made as C{kind}.
        """
        queue = self._queue
        if self._state is _IDLE:
            if not queue.size:
                return None
            self._handedOut = queue.taken
            head = self._quickHead(kind)
            if head is not None:
                return head
            self._state = _State.HEAD
            self._headReader = HeadReader(self._role == "request", self._limits)
        elif self._state is not _State.HEAD:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            return None
        reader = self._headReader
        assert reader is not None
        head = reader.read(queue, kind, self._method or "GET")
        # Empty lines alone are no message.
        if head is None and self._ended and (queue.size or reader.begun):
            raise self._incomplete("a head")
        return head

    def _quickHead(self, kind: type[AnyHead]) -> AnyHead | None:
        if issubclass(kind, RequestHead):
            return quickRequest(self._queue, self._limits, kind)
        # An answer to HEAD or CONNECT is framed by more than its fields.
        return quickResponse(self._queue, self._limits, kind) if self._method in (None, "GET", "POST") else None

    def _begin(self, head: AnyHead, collecting: bool) -> None:
        """
        A head has come; what follows it?
        """
        self._message = head
        self._collecting = collecting
        self._headReader = None
        self._got = 0
        # Whoever finds the body too long names this place.
        self._queue.mark = self._queue.taken
        # RFC 9110 section 15.2: an interim response doesn't answer the request; 101 is the last one in HTTP.
        if not (isinstance(head, ResponseHead) and head.status < 200 and head.status != 101):
            # Used up; what is said from now on is of the next response.
            self._method = None
        length = head._length
        if length > 0:
            self._state = _State.LENGTH
        elif length == CHUNKED:
            self._state = _State.CHUNKED
            self._decoder = ChunkedDecoder(self._limits, unfolds=self._role == "response")
        elif length == UNTIL_CLOSE:
            self._state = _State.UNTIL_CLOSE
        else:
            self._state = _State.END

    def _nextData(self, most: int | None) -> bytes:
        """
        The next piece of the body.

        @param most: the bound on the body; L{None}: it is streamed.
        @return: C{b""} while more bytes are needed, and at the end, which the state tells.
        """
        queue = self._queue
        state = self._state
        if state is _State.LENGTH:
            message = self._message
            assert message is not None
            data = queue.take(message._length - self._got)
            self._got += len(data)
            if self._got == message._length:
                self._state = _State.END
        elif state is _State.CHUNKED:
            decoder = self._decoder
            assert decoder is not None
            decoder.most = most
            data = decoder.nextData(queue)
            if decoder.trailers is not None:
                self._state = _State.END
        elif state is _State.UNTIL_CLOSE:
            data = queue.take(queue.size)
            self._got += len(data)
            if most is not None and self._got > most:
                raise _tooLarge(most)
            if not data and self._ended:
                # RFC 9112 section 6.3 item 8: the end of the stream is the end of the message.
                self._state = _State.END
        else:
            return b""
        if not data and self._ended and self._state is not _State.END:
            raise self._incomplete("a body")
        return data

    def _finish(self, head: AnyHead) -> None:
        """
        The message is complete; what follows it?
        """
        self._between()
        if head._length == TUNNEL:
            # Whether a CONNECT opens a tunnel is for the answer to say; a response has said it.
            self._state = _State.CONNECT if self._role == "request" else _State.TUNNEL
            self._handedOut = self._queue.taken

    def _incomplete(self, where: str) -> IncompleteRead:
        # In a body nothing but an unfinished line of the chunked coding can be left, which is no part of it.
        partial = self._queue.takeAll() if self._state is _State.HEAD else self._pieces.join()
        message = self._message
        expected = message._length if message is not None and self._state is _State.LENGTH else None
        of = "" if expected is None else f" after {self._got} of {expected} bytes"
        return IncompleteRead(f"the stream ended inside {where}{of}", partial, expected)


def _tooLarge(most: int) -> MessageTooLarge:
    return MessageTooLarge(f"a body of more than {most} bytes", statusHint=413)
