"""
The state machine between bytes and messages, for both roles.

L{Machine._nextHead}, then L{Machine._nextData} until the state is
L{State.END}, then L{Machine._finish}: that is a message.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Literal

from multidict import CIMultiDict

from ..errors import IncompleteRead, MessageTooLarge, RemoteProtocolError, WasinetError
from .bytequeue import ByteQueue
from .chunked import ChunkedDecoder, fastChunkedBody
from .events import ResponseHead
from .fasthead import fastRequestHead, fastResponseHead
from .framing import CHUNKED, TUNNEL, UNTIL_CLOSE, isInterim
from .head import AnyHead, HeadReader
from .limits import Limits
from .pieces import Pieces

Role = Literal["request", "response"]


class State(Enum):
    """
    Where in the stream of messages we are.
    """

    BETWEEN = auto()  # between two messages
    HEAD = auto()  # a head has begun, and is read line by line
    LENGTH = auto()  # a body of a known length
    CHUNKED = auto()
    UNTIL_CLOSE = auto()
    END = auto()  # the body is complete, the end has not been told
    CONNECT = auto()  # a CONNECT has been told: nobody knows yet what follows
    TUNNEL = auto()  # what follows is no HTTP
    FAILED = auto()


# An enumeration's members cost more to look up than a module's names, and these are looked at for each piece.
BETWEEN, HEAD, LENGTH, IN_CHUNKS, TO_CLOSE, END, TOLD_CONNECT, IN_TUNNEL, FAILED = State


class Machine:
    """
    What L{Buffer<wasinet_twisted.http.Buffer>} shows, and what it knows.
    """

    __slots__ = (
        "_collecting", "_decoder", "_ended", "_failure", "_got", "_handedOut", "_headReader", "_limits", "_message",
        "_method", "_open", "_pieces", "_queue", "_role", "_state",
    )  # fmt: skip

    def __init__(self, role: Role | None, limits: Limits) -> None:
        self._role = role
        self._limits = limits
        self._queue = ByteQueue()
        self._reset()

    def _reset(self) -> None:
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
        self._state = BETWEEN
        self._headReader: HeadReader | None = None
        # The message whose head has come, and how much of its body has.
        self._message: AnyHead | None = None
        self._got = 0
        self._decoder: ChunkedDecoder | None = None
        # Is it being collected, with these pieces of its body, or streamed?
        self._collecting = False
        self._pieces: Pieces | None = None
        # What had been taken of the bytes when something was handed out last; only looked at within a message.
        self._handedOut = 0

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
        self._state = FAILED
        self._handedOut = self._queue.taken

    def _nextHead(self, kind: type[AnyHead]) -> AnyHead | None:
        """
        The next head, made as C{kind}.
        """
        if self._state is BETWEEN:
            queue = self._queue
            if not queue.size:
                return None
            self._handedOut = queue.appended - queue.size
            found: Any
            if self._role == "request":
                found = fastRequestHead(queue.chunk, queue.position, self._limits, kind)
            else:
                method = self._method or "GET"
                found = fastResponseHead(queue.chunk, queue.position, self._limits, kind, method)
            if found is not None:
                found, end = found
                queue.skip(end - queue.position)
                if self._method is not None:
                    self._answered(found)
                return found  # type: ignore[no-any-return]
            self._state = HEAD
            self._headReader = HeadReader(self._role == "request", self._limits)
        elif self._state is not HEAD:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            return None
        reader, queue = self._headReader, self._queue
        assert reader is not None
        head = reader.read(queue, kind, self._method or "GET")
        # Empty lines alone are no message.
        if head is None and self._ended and (queue.size or reader.begun):
            raise self._incomplete("a head")
        if head is not None and self._method is not None:
            self._answered(head)
        return head

    def _answered(self, head: AnyHead) -> None:
        # RFC 9110 section 15.2: an interim response doesn't answer the request; 101 is the last one in HTTP.
        if not (isinstance(head, ResponseHead) and isInterim(head.status)):
            # Used up; what is said from now on is of the next response.
            self._method = None

    def _takeBody(self, head: AnyHead, most: int) -> bool:
        """
        Take a body that has come in one piece with its head; then the message is complete.

        @param most: how long it may be, in bytes.
        @return: has that been done? Else L{_beginBody} what takes longer.
        """
        queue = self._queue
        length = head._length
        body: bytes | None = None
        if length == 0:
            body = b""
        elif length > 0:
            if length <= most and length <= len(queue.chunk) - queue.position:
                body = queue.take(length)
        elif length == CHUNKED:
            body = fastChunkedBody(queue, most)
        if body is None:
            return False
        head._body = body
        if self._state is not BETWEEN:
            self._between()
        return True

    def _beginBody(self, head: AnyHead, collecting: bool) -> None:
        """
        A head has come; what follows it?
        """
        self._message = head
        self._collecting = collecting
        if collecting:
            self._pieces = Pieces()
        self._headReader = None
        self._got = 0
        # Whoever finds the body too long names this place.
        self._queue.mark = self._queue.taken
        length = head._length
        if length > 0:
            self._state = LENGTH
        elif length == CHUNKED:
            self._state = IN_CHUNKS
            self._decoder = ChunkedDecoder(self._limits, unfolds=self._role == "response")
        elif length == UNTIL_CLOSE:
            self._state = TO_CLOSE
        else:
            self._state = END

    def _nextData(self, most: int | None) -> bytes:
        """
        The next piece of the body.

        @param most: the bound on the body; L{None}: it is streamed.
        @return: C{b""} while more bytes are needed, and at the end, which the state tells.
        """
        queue = self._queue
        state = self._state
        if state is LENGTH:
            message = self._message
            assert message is not None
            data = queue.take(message._length - self._got)
            self._got += len(data)
            if self._got == message._length:
                self._state = END
        elif state is IN_CHUNKS:
            decoder = self._decoder
            assert decoder is not None
            decoder.most = most
            data = decoder.nextData(queue)
            if decoder.trailers is not None:
                self._state = END
        elif state is TO_CLOSE:
            data = queue.take(queue.size)
            self._got += len(data)
            if most is not None and self._got > most:
                raise tooLarge(most)
            if not data and self._ended:
                # RFC 9112 section 6.3 item 8: the end of the stream is the end of the message.
                self._state = END
        else:
            return b""
        if not data and self._ended and self._state is not END:
            raise self._incomplete("a body")
        return data

    def _finish(self, head: AnyHead) -> None:
        """
        The message is complete; what follows it?
        """
        trailers = self._decoder.trailers if self._decoder is not None else None
        head._trailers = CIMultiDict(trailers) if trailers else None
        self._between()
        if head._length == TUNNEL:
            # Whether a CONNECT opens a tunnel is for the answer to say; a response has said it.
            self._state = TOLD_CONNECT if self._role == "request" else IN_TUNNEL
            self._handedOut = self._queue.taken

    def _incomplete(self, where: str) -> IncompleteRead:
        # In a body nothing but an unfinished line of the chunked coding can be left, which is no part of it.
        partial = b"" if self._pieces is None else self._pieces.join()
        if self._state is HEAD:
            partial = self._queue.takeAll()
        message = self._message
        expected = message._length if message is not None and self._state is LENGTH else None
        of = "" if expected is None else f" after {self._got} of {expected} bytes"
        return IncompleteRead(f"the stream ended inside {where}{of}", partial, expected)


def tooLarge(most: int) -> MessageTooLarge:
    """
    The refusal of a body.
    """
    return MessageTooLarge(f"a body of more than {most} bytes", statusHint=413)
