"""
HTTP/1.1 without I/O: an incremental parser, messages, and their encoding.

    buffer = Buffer()
    buffer.append(data)
    while (request := buffer.parseRequest()) is not None:
        send(WasiResponse(body=b"echo:" + request.body).encode())

This room uses the standard library and multidict; it never loads Twisted, and
goes as well with a blocking socket, asyncio or trio.
"""

from ..errors import (
    ContentError,
    IncompleteRead,
    LimitExceeded,
    LocalProtocolError,
    MessageTooLarge,
    ProtocolError,
    RemoteProtocolError,
)
from .buffer import Buffer
from .clientconnection import ClientConnection
from .events import Data, EndOfMessage, Event, RequestHead, ResponseHead
from .limits import Limits
from .messages import WasiRequest, WasiResponse
from .outgoing import REASONS, encodeChunk, encodeEnd
from .serverconnection import ServerConnection

__all__ = [
    "REASONS",
    "Buffer",
    "ClientConnection",
    "ContentError",
    "Data",
    "EndOfMessage",
    "Event",
    "IncompleteRead",
    "LimitExceeded",
    "Limits",
    "LocalProtocolError",
    "MessageTooLarge",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestHead",
    "ResponseHead",
    "ServerConnection",
    "WasiRequest",
    "WasiResponse",
    "encodeChunk",
    "encodeEnd",
]
