"""
Frames (RFC 6455 section 5), without I/O: bytes in, messages and control frames out; and the way back.

Where a frame ends is found here; whether it is valid, what it says unmasked and decompressed, is C{websockets}' affair.
A frame is given to it whole, and its head at once, so that what is wrong with that is refused before the rest comes.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Generator
from struct import pack
from typing import Any, NamedTuple

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, Frame, Opcode

from .codes import BINARY, CLOSE, CONTINUATION, INVALID_DATA, NO_STATUS, PROTOCOL_ERROR, TEXT, TOO_BIG
from .deflate import Deflate
from .fastframes import encodeSmall, plainMessage
from .limits import LONGEST_CONTROL, WebSocketLimits

_OPCODES = {int(opcode): opcode for opcode in Opcode}
_newDecoder = getincrementaldecoder("utf-8")


class Control(NamedTuple):
    """
    A control frame that has come.

    @ivar opcode: CLOSE, PING or PONG.
    @ivar payload: as it came.
    @ivar code: a Close frame's; 1005: it has none.
    @ivar reason: a Close frame's.
    """

    opcode: int
    payload: bytes
    code: int = 0
    reason: str = ""


class Failed(NamedTuple):
    """
    What has come is not valid, and nothing after it is read (RFC 6455 section 7.1.7).

    @ivar code: what the peer is told: 1002, 1007 or 1009.
    @ivar reason: why, for the peer.
    """

    code: int
    reason: str


class FrameReader:
    """
    What comes from the peer.

    @ivar failed: has something come that is not valid?
    @ivar more: may there be another frame for L{next}?
    """

    __slots__ = (
        "_at",
        "_data",
        "_deflate",
        "_due",
        "_isServer",
        "_isText",
        "_later",
        "_limits",
        "_message",
        "_packed",
        "_size",
        "_utf8",
        "failed",
        "more",
    )

    def __init__(self, isServer: bool, deflate: Deflate | None, limits: WebSocketLimits) -> None:
        self._isServer = isServer
        self._deflate = deflate
        self._limits = limits
        # What has come, and how much of it has been read.
        self._data = b""
        self._at = 0
        # What has come since, and how much there has to be in all before it is of use.
        self._later: list[bytes] | None = None
        self._size = 0
        self._due = 0
        # The fragments of a message so far; L{None}: there is none.
        self._message: bytearray | None = None
        self._isText = self._packed = False
        self._utf8: Any = None
        self.failed = self.more = False

    def feed(self, data: bytes) -> None:
        """
        Bytes have come. After a failure they are forgotten.
        """
        if self.failed:
            return
        self.more = True
        if not self._data:
            # As nearly always, all before has been read.
            self._data = data
            return
        if self._later is None:
            self._later = [self._data[self._at :]]
            self._size = len(self._later[0])
        self._later.append(data)
        self._size += len(data)

    def whole(self, data: bytes) -> str | bytes | None:
        """
        Bytes have come: are they a message, no more and no less?

        @return: the message; L{None}: they aren't, or there is something before them. Then L{feed} them.
        """
        if self._data or self._message is not None or self.failed:
            return None
        plain = plainMessage(data, 0, self._isServer, self._limits)
        return plain[0] if plain is not None and plain[1] == len(data) else None

    def next(self) -> str | bytes | Control | Failed | None:
        """
        Read one frame.

        @return: a message, a control frame, or what is wrong; L{None}: this was none of these; C{more} says whether
            there is another one.
        """
        if self._later is not None:
            if self._size < self._due:
                self.more = False
                return None
            self._data, self._at, self._due = b"".join(self._later), 0, 0
            self._later = None
        data, at = self._data, self._at
        if self._message is None:
            plain = plainMessage(data, at, self._isServer, self._limits)
            if plain is not None:
                message, self._at = plain
                self._look()
                return message
        if self.failed or len(data) - at < max(self._due, 2):
            self.more = False
            return None
        try:
            found = self._next()
            self._look()
            return found
        except ProtocolError as error:
            return self._fail(PROTOCOL_ERROR, str(error))
        except UnicodeDecodeError as error:
            return self._fail(INVALID_DATA, f"no UTF-8: {error.reason}")
        except PayloadTooBig:
            limits = self._limits
            return self._fail(TOO_BIG, f"a message has {limits.message} bytes at the most, a frame {limits.frame}")

    def forget(self) -> None:
        """
        Nothing more is read or sent: forget what has come, and what compression takes.
        """
        self.failed, self.more = True, False
        self._data, self._at, self._later, self._message = b"", 0, None, None
        if self._deflate is not None:
            self._deflate.forget()

    def _look(self) -> None:
        """
        Is there more? What is left may be the beginning of a frame: the next call says.
        """
        if self._at == len(self._data):
            # An idle connection keeps nothing.
            self._data, self._at, self.more = b"", 0, False
        else:
            self.more = not self._due

    def _fail(self, code: int, reason: str) -> Failed:
        self.forget()
        return Failed(code, reason)

    def _next(self) -> str | bytes | Control | None:
        frame = self._frame()
        if frame is None:
            return None
        opcode, data = frame.opcode, frame.data
        if opcode >= CLOSE:
            if opcode != CLOSE:
                return Control(int(opcode), bytes(data))
            # It may come between the fragments of a message, whose rest nobody will read.
            close = Close.parse(bytes(data))
            return Control(CLOSE, bytes(data), int(close.code), close.reason)
        message = self._message
        if opcode != CONTINUATION:
            if message is not None:
                raise ProtocolError("a message inside another one")
            self._isText = opcode == TEXT
            if frame.fin:
                return bytes(data).decode() if self._isText else bytes(data)
            message = self._message = bytearray()
            self._utf8 = _newDecoder() if self._isText else None
        elif message is None:
            raise ProtocolError("a continuation without a message")
        message += data
        if len(message) > self._limits.message:
            raise PayloadTooBig(len(message), self._limits.message)
        if self._utf8 is not None:
            # What is no UTF-8 is refused as soon as it has come.
            self._utf8.decode(data, frame.fin)
        if not frame.fin:
            return None
        self._message = self._utf8 = None
        return message.decode() if self._isText else bytes(message)

    def _frame(self) -> Frame | None:
        """
        Return the next frame; L{None}: it has not come yet.
        """
        data, at = self._data, self._at
        opcode = data[at] & 0x0F
        extensions: list[Any] = []
        if opcode >= CLOSE:
            # RFC 6455 section 5.5. Its bound is no message's.
            if data[at + 1] & 0x7F > LONGEST_CONTROL:
                raise ProtocolError("control frame too long")
            most = LONGEST_CONTROL
        else:
            left = self._limits.message - (0 if self._message is None else len(self._message))
            # With 0, nothing would bound what is decompressed.
            most = max(min(left, self._limits.frame), 1)
            if data[at] & 0x40:
                self._packed = True
            if self._packed and self._deflate is not None:
                extensions = self._deflate.extensions()
        source = _Source(data, at)
        parsing = Frame.parse(source.readExact, mask=self._isServer, max_size=most, extensions=extensions)
        try:
            next(parsing)
        except StopIteration as stop:
            self._at, self._due = source.at, 0
            frame: Frame = stop.value
            if opcode < CLOSE and frame.fin:
                self._packed = False
            return frame
        parsing.close()
        self._due = source.due - at
        return None


class _Source:
    """
    Bytes, as C{Frame.parse} asks for them.

    @ivar at: how far they have been read.
    @ivar due: how far they would have to go.
    """

    __slots__ = ("_data", "at", "due")

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = self.due = at

    def readExact(self, size: int) -> Generator[None, None, bytes]:
        end = self.at + size
        if end > len(self._data):
            self.due = end
            yield
            raise AssertionError("it is not asked again")
        taken = self._data[self.at : end]
        self.at = end
        return taken


class FrameWriter:
    """
    What is sent to the peer.
    """

    __slots__ = ("_deflate", "_masks")

    def __init__(self, isServer: bool, deflate: Deflate | None) -> None:
        # RFC 6455 section 5.1: a client masks, a server doesn't.
        self._masks = not isServer
        self._deflate = deflate

    def message(self, message: str | bytes) -> bytes:
        """
        Encode a message as one frame.

        @raise UnicodeEncodeError: it has half a surrogate pair.
        """
        if message.__class__ is str:
            opcode, data = TEXT, message.encode()
        else:
            opcode, data = BINARY, message  # type: ignore[assignment]
        if self._deflate is None:
            encoded = encodeSmall(opcode, data, self._masks)
            return self._frame(opcode, data, []) if encoded is None else encoded
        return self._frame(opcode, data, self._deflate.extensions())

    def control(self, opcode: int, payload: bytes) -> bytes:
        """
        Encode a control frame.
        """
        encoded = encodeSmall(opcode, payload, self._masks)
        return self._frame(opcode, payload, []) if encoded is None else encoded

    def close(self, code: int, reason: str) -> bytes:
        """
        Encode a Close frame.
        """
        return self.control(CLOSE, b"" if code == NO_STATUS else pack("!H", code) + reason.encode())

    def _frame(self, opcode: int, data: bytes, extensions: list[Any]) -> bytes:
        return Frame(_OPCODES[opcode], data).serialize(mask=self._masks, extensions=extensions)
