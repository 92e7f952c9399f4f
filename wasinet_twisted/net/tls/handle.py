"""
L{WasiTlsConn}: a connection by TLS from its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from ...errors import TimedOut
from ..addresses import checkPort, checkTimeout
from ..client.connect import connect
from ..reactors import theReactor
from ..stream.handle import WasiTcpConn
from .contexts import TlsClient

_CONNECT_TIMEOUT = 30.0


class WasiTlsConn(WasiTcpConn):
    """
    A connection by TLS to a server whose certificate has been verified.
    """

    __slots__ = ()

    @classmethod
    def connect(  # type: ignore[override]
        cls,
        host: str,
        port: int,
        timeout: float | None = None,
        *,
        caCertificates: Any = None,
        clientCertificate: Any = None,
        alpn: Sequence[str] = (),
        serverName: str | None = None,
        localAddress: Any = None,
        reactor: Any = None,
    ) -> Deferred[WasiTlsConn]:
        """
        Connect by TCP, and agree on TLS.

        @param timeout: seconds that all of it may take, 30 by default.
        @param caCertificates: whom to trust, as L{TlsClient} has it; the
            system's roots by default. There is no way not to verify: to trust a
            self-signed certificate, name it here.
        @param clientCertificate: what to show if the server asks, as L{TlsClient} has it.
        @param alpn: the application protocols to offer, the best first.
        @param serverName: whose certificate it must be, if not C{host}'s.
        @param localAddress: as L{wasinet_twisted.net.connect} has it.
        @return: fires when the handshake has ended and the certificate has been
            verified. Cancelling it gives up.
        @raise CertificateError: the certificate is not accepted.
        @raise HandshakeFailed: TLS could not be agreed on otherwise.
        @raise ConnectFailed: there is no connection by TCP. The two above are of this kind.
        @raise TimedOut: not within the time.
        @raise InvalidArgument: one of the arguments can't be used.
        @raise NotSupported: the extra C{tls} is not installed.
        """
        checkTimeout(timeout)
        checkPort(port, least=1)
        settings = TlsClient(
            host if serverName is None else serverName,
            caCertificates=caCertificates,
            clientCertificate=clientCertificate,
            alpn=alpn,
        )
        timeout = _CONNECT_TIMEOUT if timeout is None else timeout
        options = {} if localAddress is None else {"localAddress": localAddress}
        reactor = theReactor(reactor)
        until = reactor.seconds() + timeout
        connecting = connect(host, port, timeout=timeout, reactor=reactor, **options)
        late = f"timed out: no TLS with {host}:{port} in {timeout:g} s"
        return ensureDeferred(cls._overTls(connecting, settings, late, until, reactor))

    @classmethod
    async def _overTls(
        cls, connecting: Deferred[WasiTcpConn], settings: TlsClient, late: str, until: float, reactor: Any
    ) -> WasiTlsConn:
        conn = await connecting
        try:
            await conn.startTLS(settings, max(until - reactor.seconds(), 0.0))
        except TimedOut:
            raise TimedOut(late) from None
        # It is the same connection, with the same handle: a second one would not know when the first one goes.
        conn.__class__ = cls
        assert isinstance(conn, cls)
        return conn
