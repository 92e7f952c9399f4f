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
    HandshakeFailed,
    IncompleteRead,
    InvalidArgument,
    LimitExceeded,
    ListenFailed,
    NotSupported,
    TimedOut,
    UnknownCertificateAuthority,
    UnreadPlaintext,
)
from .addresses import formatAddress
from .connection import WasiTcpConn
from .connector import connect
from .factory import ConnectionFactory
from .interfaces import IConnection
from .listener import WasiTcpServer
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
    "UnreadPlaintext",
    "WasiTcpConn",
    "WasiTcpServer",
    "WasiTlsConn",
    "connect",
    "formatAddress",
]
