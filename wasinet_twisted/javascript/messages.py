"""
Messages of HTTP for scripts: what C{js/wasi_http.js} asks for.
"""

from __future__ import annotations

import json
from typing import NoReturn

from ..errors import InvalidArgument, LimitExceeded
from ..http import Buffer, Limits, WasiRequest, WasiResponse
from ..http.outgoing import REASONS, encodeChunk, encodeEnd
from .fields import arePairs, fieldsAsObject, inChunks
from .guestinterface import Given, Operation, Sign, Value
from .handles import Handles, bytesOf, textOf, whole, withBody

# What a script asks parse for.
_REQUEST, _RESPONSE, _NOTHING = 0, 1, 2
# What is before a body in chunks, for a parser that is to see nothing else.
_JSON = json.JSONEncoder(ensure_ascii=False).encode
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Messages:
    """
    Those of one program.
    """

    __slots__ = ("_handles", "_held", "_limits", "_most", "_sizes")

    def __init__(self, handles: Handles, most: int) -> None:
        """
        @param most: how many bytes may be held that no message has been made of, in all buffers together; and how
            large a body may be.
        """
        self._handles = handles
        self._most = most
        self._limits = Limits(body=most, responseBody=most)
        self._held = 0
        self._sizes: dict[int, int] = {}

    def operations(self) -> dict[str, Operation]:
        """
        Return them by name.
        """
        return {
            "parse": self._parse,
            "bufferSize": self._bufferSize,
            "clearBuffer": self._clearBuffer,
            "encode": self._encode,
            "encodeHead": self._encodeHead,
            "encodeChunk": self._encodeChunk,
            "bufferBytes": self._bufferBytes,
            "chunkBuffer": self._chunkBuffer,
            "parseChunk": self._parseChunk,
            "statusCodes": self._statusCodes,
        }

    # Bytes in

    def _parse(self, a: float, b: float, data: Given) -> Value:
        """
        Append, and give the next message.

        @param a: the number of a buffer; 0: there is none yet.
        @param b: what is to be given.
        @param data: what is to be appended. Empty bytes are the stream's end.
        @return: a message, as C{#message} in wasi_http.js takes it apart; or, while it isn't whole, the number of the
            buffer that keeps what there is.
        """
        if b not in (_REQUEST, _RESPONSE, _NOTHING):
            raise InvalidArgument(f"there is no kind of message {b:g}")
        buffer = self._handles.get(a, Buffer) if a else Buffer(limits=self._limits)
        if data is not None:
            if data:
                self._fits(len(data))
                buffer.append(bytesOf(data))
            else:
                buffer.eof()
        if b == _NOTHING:
            return a or self._keep(buffer)
        try:
            message = buffer.parseResponse() if b == _RESPONSE else buffer.parseRequest()
        finally:
            if a:
                self._measure(buffer)
        if message is None:
            return a or self._keep(buffer)
        fields = fieldsAsObject(message.fields())
        rest = 0 if a or not len(buffer) else self._keep(buffer)
        return _JSON([*_startOf(message), message.version, fields, _isChunked(fields), rest]).encode(), message.body

    def _bufferSize(self, a: float, b: float, data: Given) -> Value:
        return len(self._handles.get(a, Buffer))

    def _clearBuffer(self, a: float, b: float, data: Given) -> Value:
        buffer = self._handles.get(a, Buffer)
        buffer.clear()
        self._measure(buffer)
        return None

    def _bufferBytes(self, a: float, b: float, data: Given) -> Value:
        """
        Give what nobody has parsed yet; it stays.
        """
        buffer = self._handles.get(a, Buffer)
        rest = buffer.peek()
        if len(rest) != len(buffer):
            raise InvalidArgument("the bytes of a message that has begun can't be had: parse it, or clear() the buffer")
        return rest

    # Bodies in chunks

    def _chunkBuffer(self, a: float, b: float, data: Given) -> Value:
        """
        @return: the number of a buffer for nothing but a body in chunks.
        """
        buffer = Buffer("response", self._limits)
        buffer.append(_CHUNKED)
        buffer.nextEvent()
        return self._keep(buffer)

    def _parseChunk(self, a: float, b: float, data: Given) -> Value:
        """
        Append, and give what there is of a body in chunks.

        @return: bytes; null at the body's end, L{None} while there is nothing.
        """
        buffer = self._handles.get(a, Buffer)
        if data is not None:
            self._fits(len(data))
            buffer.append(bytesOf(data))
        try:
            piece = buffer.parseChunk()
        finally:
            self._measure(buffer)
        return Sign.NULL if piece == b"" else piece

    def _encodeChunk(self, a: float, b: float, data: Given) -> Value:
        """
        @param a: 1: it is the last one.
        """
        piece = b"" if data is None else data.encode("utf-8", "replace") if isinstance(data, str) else bytesOf(data)
        return encodeChunk(piece) + (encodeEnd() if a else b"")

    def _statusCodes(self, a: float, b: float, data: Given) -> Value:
        return json.dumps(REASONS)

    def _keep(self, buffer: Buffer) -> int:
        self._measure(buffer)
        return self._handles.keep(buffer, self._letGo)

    def _fits(self, size: int) -> None:
        if self._held + size > self._most:
            raise LimitExceeded(
                f"{self._held + size} bytes in this program's buffers wait to be parsed, the bound is {self._most}"
            )

    def _measure(self, buffer: Buffer) -> None:
        """
        How much it holds has changed.
        """
        size = len(buffer)
        self._held += size - self._sizes.get(id(buffer), 0)
        self._sizes[id(buffer)] = size

    def _letGo(self, buffer: Buffer) -> None:
        self._held -= self._sizes.pop(id(buffer), 0)

    # Bytes out

    def _encode(self, a: float, b: float, data: Given) -> Value:
        """
        @param a: how many fields there are.
        @param b: a response's status; 0: it is a request.
        @param data: a request's method and target, or an empty text and a reason; the version; each field's name and
            value: in lines. And the body.
        """
        text, body = withBody(data)
        first, second, version, *parts = text.split("\n") if text.count("\n") == 2 + 2 * a else _wrongLines()
        fields = list(zip(parts[::2], parts[1::2], strict=True)) if parts else ()
        if b == 0:
            # The original sends none, which no parser of ours takes.
            return WasiRequest(first, second or "/", fields, body, version).encode()
        return WasiResponse(_status(b), fields, body, second, version).encode()

    def _encodeHead(self, a: float, b: float, data: Given) -> Value:
        """
        @param data: JSON of a status, a reason, and the fields as pairs, of a response that is sent in chunks.
        """
        given = json.loads(textOf(data))
        if not (isinstance(given, list) and len(given) == 3 and arePairs(given[2])):
            raise InvalidArgument("a head is a status, a reason, and the fields as pairs")
        status, reason, fields = given
        return WasiResponse(status, inChunks(fields), reason=reason).encodeHead()


def _wrongLines() -> NoReturn:
    raise InvalidArgument("a method, a target, a version, a reason and a field have no line feeds")


def _status(given: float) -> int:
    return whole("a status", given, 100, 999)


def _isChunked(fields: dict[str, str | list[str]]) -> bool:
    """
    Was a message sent in chunks?
    """
    for name, value in fields.items():
        if len(name) == 17 and name.lower() == "transfer-encoding":
            return str(value).lower().endswith("chunked")
    return False


def _startOf(message: WasiRequest | WasiResponse) -> tuple[str | int, str]:
    if isinstance(message, WasiRequest):
        return message.method, message.uri
    return message.status, message.reason
