"""
Awaitable connections on Twisted's reactors and endpoints.

    async def serve():
        async for conn in WasiTcpServer(8000):
            ensureDeferred(echo(conn))

    async def echo(conn):
        async with conn:
            async for data in conn:
                await conn.write(data)

This room knows nothing of HTTP.
"""

from ..errors import (
    BusyError,
    ConnectFailed,
    ConnectionClosed,
    ConnectionRefused,
    IncompleteRead,
    InvalidArgument,
    LimitExceeded,
    ListenFailed,
    NotSupported,
    TimedOut,
    UnknownHost,
)
from .addresses import formatAddress
from .connection import WasiTcpConn
from .connector import connect
from .factory import ConnectionFactory
from .interfaces import IConnection
from .listener import WasiTcpServer
from .names import nsloopup

__all__ = [
    "BusyError",
    "ConnectFailed",
    "ConnectionClosed",
    "ConnectionFactory",
    "ConnectionRefused",
    "IConnection",
    "IncompleteRead",
    "InvalidArgument",
    "LimitExceeded",
    "ListenFailed",
    "NotSupported",
    "TimedOut",
    "UnknownHost",
    "WasiTcpConn",
    "WasiTcpServer",
    "connect",
    "formatAddress",
    "nsloopup",
]
