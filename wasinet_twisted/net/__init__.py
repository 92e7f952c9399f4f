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
from .client.connect import connect
from .client.resolve import nsloopup
from .interfaces import IConnection
from .server.factory import ConnectionFactory
from .server.listener import WasiTcpServer
from .stream.handle import WasiTcpConn
from .tls.contexts import TlsClient, TlsServer
from .tls.handle import WasiTlsConn
from .tls.info import TlsInfo

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
