"""
TLS for C{ssl:} endpoints, with certificates that can be renewed while the server runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IStreamServerEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from .._privates import setContextFactory, sslArguments
from ..errors import InvalidArgument
from ..net import TlsServer
from ..net.server.proxyprotocol import innermost
from ..net.tls.certificates import parseCertificates, readPem

log = Logger()


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """
    The certificate, its chain and its key of one endpoint, from the files that it names.

    Unlike Twisted's own C{ssl:}, the file of the certificate may hold the
    chain too, as certbot's C{fullchain.pem} does.
    """

    def __init__(self, text: str, alpn: Sequence[str]) -> None:
        """
        @param text: the endpoint, C{[haproxy:]ssl:…}.
        @raise InvalidArgument: one of its files can't be used.
        """
        self._text = text
        self._alpn = alpn
        self._current = self._load()[0]

    def serverConnectionForTLS(self, tlsProtocol: object) -> Any:
        """
        Twisted asks for OpenSSL's side of a new connection.
        """
        return self._current.serverConnectionForTLS(tlsProtocol)

    def reload(self) -> None:
        """
        Read the files anew, for the connections to come. If they can't be used, all stays as it was.
        """
        try:
            self._current, until = self._load()
        except InvalidArgument as error:
            log.error("{endpoint}: the old certificate stays in use: {error}", endpoint=self._text, error=error)
        else:
            log.info("{endpoint}: the certificate is renewed, valid until {until}", endpoint=self._text, until=until)

    def _load(self) -> tuple[TlsServer, str]:
        given = sslArguments(self._text)
        key, certificate = given["privateKey"], given["certKey"]
        pem = readPem("certKey", key if certificate is None else certificate)
        (first, *_) = parseCertificates("certKey", key if certificate is None else certificate)
        if given["extraCertChain"] is not None:
            parseCertificates("extraCertChain", given["extraCertChain"])
            pem += b"\n" + readPem("extraCertChain", given["extraCertChain"])
        server = TlsServer(pem, key, alpn=self._alpn)
        return server, f"{first.not_valid_after_utc:%Y-%m-%d %H:%M:%S UTC}"


def withCertificates(endpoint: IStreamServerEndpoint, text: str, alpn: Sequence[str]) -> Certificates | None:
    """
    If C{endpoint} speaks TLS, let it take certificates that can be reloaded.

    @param text: what it was made of.
    @return: they; L{None} for other endpoints, and for those that name what only Twisted's own TLS knows.
    @raise InvalidArgument: they can't be used.
    @raise NotSupported: this version of Twisted doesn't let them be renewed.
    """
    inner = innermost(endpoint)
    if not isinstance(inner, SSL4ServerEndpoint):
        return None
    given = sslArguments(text)
    if given["sslmethod"] is not None or given["dhParameters"] is not None:
        return None
    certificates = Certificates(text, alpn)
    setContextFactory(inner, certificates)
    return certificates
