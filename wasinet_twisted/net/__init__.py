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
    CertificateError,
    CertificateExpired,
    CertificateNameMismatch,
    ConnectFailed,
    ConnectionClosed,
    ConnectionRefused,
    HandshakeFailed,
    IncompleteRead,
    InvalidArgument,
    LimitExceeded,
    ListenFailed,
    NotSupported,
    TimedOut,
    UnknownCertificateAuthority,
    UnknownHost,
    UnreadPlaintext,
)
from .addresses import formatAddress
from .connection import WasiTcpConn
from .connector import connect
from .factory import ConnectionFactory
from .interfaces import IConnection
from .listener import WasiTcpServer
from .names import nsloopup
from .tls import TlsInfo
from .tlsconnection import WasiTlsConn
from .tlscontext import TlsClient, TlsServer

__all__ = [
    "BusyError",
    "CertificateError",
    "CertificateExpired",
    "CertificateNameMismatch",
    "ConnectFailed",
    "ConnectionClosed",
    "ConnectionFactory",
    "ConnectionRefused",
    "HandshakeFailed",
    "IConnection",
    "IncompleteRead",
    "InvalidArgument",
    "LimitExceeded",
    "ListenFailed",
    "NotSupported",
    "TimedOut",
    "TlsClient",
    "TlsInfo",
    "TlsServer",
    "UnknownCertificateAuthority",
    "UnknownHost",
    "UnreadPlaintext",
    "WasiTcpConn",
    "WasiTcpServer",
    "WasiTlsConn",
    "connect",
    "formatAddress",
    "nsloopup",
]
