"""
L{Buffer}: bytes in, messages or events out.

There is one state machine, L{Buffer._step}. L{Buffer.nextEvent} shows it,
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
from .fields import Pair
from .framing import CHUNKED, TUNNEL, UNTIL_CLOSE
from .head import AnyHead, HeadReader, newHead
from .limits import DEFAULT_LIMITS, Limits
from .messages import WasiRequest, WasiResponse
from .quick import quickRequest, quickResponse

Role = Literal["request", "response"]
_Message = TypeVar("_Message", WasiRequest, WasiResponse)


class _State(Enum):
    HEAD = auto()  # a head is due, or has begun
    LENGTH = auto()  # a body of a known length
    CHUNKED = auto()
    UNTIL_CLOSE = auto()
    END = auto()  # the body is complete, the end has not been told
    CONNECT = auto()  # a CONNECT has been told: nobody knows yet what follows
    TUNNEL = auto()  # what follows is no HTTP


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
        "_collecting", "_decoder", "_ended", "_failure", "_got", "_handedOut", "_headReader", "_interim", "_length",
        "_limits", "_message", "_method", "_pieces", "_queue", "_role", "_state",
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
        self._handedOut = self._queue.taken
        self._failure: WasinetError | None = None
        self._ended = False
        self._state = _State.HEAD
        # What the next final response answers; None is as good as GET.
        self._method: str | None = None
        self._headReader: HeadReader | None = None
        self._decoder: ChunkedDecoder | None = None
        # Of the message whose head has come: how long its body is, or what framing.py says instead of a number,
        # and how much of it has come.
        self._length = 0
        self._got = 0
        # Is another response to the same request to follow?
        self._interim = False
        # Is a message being collected (True) or streamed (False)? None: neither, its head hasn't come.
        self._collecting: bool | None = None
        self._message: AnyHead | None = None
        self._pieces: list[bytes] = []

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """
        Add bytes that have arrived. C{bytes} are kept by reference; others are
        copied, so that they may change afterwards. Empty ones change nothing.

        @raise LocalProtocolError: C{data} is not bytes-like, or L{eof} has been told.
        """
        if not isinstance(data, bytes):
            if not isinstance(data, bytearray | memoryview):
                raise LocalProtocolError(f"append() takes bytes, not {type(data).__name__}")
            data = bytes(data)
        if self._ended and data:
            raise LocalProtocolError(f"append() of {len(data)} bytes after eof()")
        if self._failure is None:
            self._queue.append(data)

    def eof(self) -> None:
        """
        No more bytes will come. A response without a length is complete now;
        a message that was cut makes the next call raise L{IncompleteRead}.
        """
        self._ended = True

    def __len__(self) -> int:
        """
        How many bytes have been appended and not yet been handed out, as a
        message or as events.
        """
        if self._failure is not None:
            return 0
        return self._queue.taken + self._queue.size - self._handedOut

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
        if requestMethod is not None and self._collecting is None:
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
        event = self._guarded(RequestHead if self._role == "request" else ResponseHead, None)
        if event is not None:
            self._collecting = None if isinstance(event, EndOfMessage) else False
            self._handedOut = self._queue.taken
        return event

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
        between = self._state is _State.HEAD and (self._headReader is None or not self._headReader.begun)
        if self._state is not _State.CONNECT and not between:
            raise LocalProtocolError("acceptTunnel() inside a message")
        self._state = _State.TUNNEL

    def declineTunnel(self) -> None:
        """
        A CONNECT was answered with something else than 2xx: requests go on.

        @raise LocalProtocolError: there was no CONNECT.
        """
        if self._state is not _State.CONNECT:
            raise LocalProtocolError("declineTunnel() without a CONNECT")
        self._state = _State.HEAD

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
        if self._collecting is False:
            raise LocalProtocolError("parse…() inside a message that nextEvent() is streaming")
        while (event := self._guarded(kind, most)) is not None:
            if isinstance(event, Data):
                self._pieces.append(event.data)
            elif isinstance(event, EndOfMessage):
                message = self._message
                assert isinstance(message, kind)
                message._body = b"".join(self._pieces)
                message._trailers = event.trailers
                self._collecting = None
                self._pieces = []
                self._handedOut = self._queue.taken
                return message
            else:
                self._message = event
                self._collecting = True
        return None

    def _guarded(self, kind: type[AnyHead], most: int | None) -> Event | None:
        """
        Take a step; a failure stays.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        try:
            return self._step(kind, most)
        except (RemoteProtocolError, IncompleteRead) as error:
            if isinstance(error, RemoteProtocolError):
                error.offset = self._queue.mark
            self._failure = error
            self._queue.clear()
            self._pieces = []
            self._collecting = self._message = self._headReader = self._decoder = None
            raise

    def _step(self, kind: type[AnyHead], most: int | None) -> Event | None:
        """
        The state machine: one event, or L{None} while more bytes are needed.

        @param kind: what to make of a head.
        @param most: the bound on the body; L{None}: it is streamed.
        """
        queue = self._queue
        state = self._state
        if state is _State.HEAD:
            head = self._readHead(kind)
            if head is None and self._ended and self._headReader is not None and self._headReader.begun:
                raise self._incomplete("a head")
            if head is not None and most is not None and self._length > most:
                raise _tooLarge(most)
            return head
        if state is _State.LENGTH:
            data = queue.take(self._length - self._got)
            self._got += len(data)
            if self._got == self._length:
                self._state = _State.END
            if data:
                return Data(data)
        elif state is _State.CHUNKED:
            decoder = self._decoder
            assert decoder is not None
            decoder.most = most
            data = decoder.nextData(queue)
            if data:
                return Data(data)
            if decoder.trailers is not None:
                return self._end(decoder.trailers)
        elif state is _State.UNTIL_CLOSE:
            data = queue.take(queue.size)
            self._got += len(data)
            if most is not None and self._got > most:
                raise _tooLarge(most)
            if data:
                return Data(data)
            if self._ended:
                # RFC 9112 section 6.3 item 8: the end of the stream is the end of the message.
                return self._end([])
        elif state is _State.END:
            return self._end([])
        else:
            return None
        if self._ended:
            raise self._incomplete("a body")
        return None

    def _readHead(self, kind: type[AnyHead]) -> AnyHead | None:
        queue = self._queue
        if not queue.size:
            return None
        reader = self._headReader
        if reader is None:
            head = self._readQuickly(kind)
            if head is not None:
                return head
            reader = self._headReader = HeadReader(self._role == "request", self._limits)
        found = reader.read(queue, kind, self._method or "GET")
        if found is None:
            return None
        self._headReader = None
        head, self._length = found
        self._beginBody(head)
        return head

    def _readQuickly(self, kind: type[AnyHead]) -> AnyHead | None:
        if self._role == "request":
            request = quickRequest(self._queue, self._limits)
            if request is None:
                return None
            method, uri, pairs, self._length = request
            head = newHead(kind, (method, uri, "HTTP/1.1"), pairs)
        else:
            # An answer to HEAD or CONNECT is framed by more than its fields.
            response = quickResponse(self._queue, self._limits) if self._method in (None, "GET", "POST") else None
            if response is None:
                return None
            status, reason, pairs, self._length = response
            head = newHead(kind, (status, reason, "HTTP/1.1"), pairs)
        self._beginBody(head)
        return head

    def _beginBody(self, head: AnyHead) -> None:
        length = self._length
        # RFC 9110 section 15.2: an interim response doesn't answer the request; 101 is the last one in HTTP.
        self._interim = isinstance(head, ResponseHead) and head.status < 200 and head.status != 101
        self._got = 0
        if length > 0:
            self._state = _State.LENGTH
        elif length == CHUNKED:
            self._state = _State.CHUNKED
            self._decoder = ChunkedDecoder(self._limits, unfolds=self._role == "response")
        elif length == UNTIL_CLOSE:
            self._state = _State.UNTIL_CLOSE
        else:
            self._state = _State.END

    def _end(self, trailers: list[Pair]) -> EndOfMessage:
        if self._length == TUNNEL:
            # Whether a CONNECT opens a tunnel is for the answer to say; a response has said it.
            self._state = _State.CONNECT if self._role == "request" else _State.TUNNEL
        else:
            self._state = _State.HEAD
        if not self._interim:
            self._method = None
        self._decoder = None
        return EndOfMessage(CIMultiDict(trailers))

    def _incomplete(self, where: str) -> IncompleteRead:
        partial = b"".join((*self._pieces, self._queue.takeAll()))
        expected = self._length if self._state is _State.LENGTH else None
        of = "" if expected is None else f" after {self._got} of {expected} bytes"
        return IncompleteRead(f"the stream ended inside {where}{of}", partial, expected)


def _tooLarge(most: int) -> MessageTooLarge:
    return MessageTooLarge(f"a body of more than {most} bytes", statusHint=413)
