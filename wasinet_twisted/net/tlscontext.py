"""
L{TlsClient} and L{TlsServer}: how a side of a TLS connection behaves. Made once, used for any number of connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolNegotiationFactory,
)
from zope.interface import implementer

from ..errors import InvalidArgument
from .certificates import Verdict, isAddress, needTls, parseAuthorities, parseIdentity, serverNameOf

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate
    from OpenSSL.SSL import Connection, Context

    Identity = tuple[list[Certificate], PrivateKeyTypes]

# For TLS 1.2: those of Python's ssl module, all with forward secrecy. Those of TLS 1.3 are all good.
_CIPHERS = b"@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"

# What the verification of each connection's peer came to. Nothing of a connection's own could hold it: pyOpenSSL's
# object is the one thing that Twisted hands from its beginning to its end.
_verdicts: WeakKeyDictionary[Connection, Verdict] = WeakKeyDictionary()

# The contexts of others that take any offer of application protocols.
_taking: WeakSet[Context] = WeakSet()


def verdictOf(connection: Connection) -> Verdict | None:
    """
    What the verification of the peer came to; L{None} if this side doesn't verify, or not by these records.
    """
    return _verdicts.get(connection)


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """
    What was agreed on.

    @ivar version: C{"TLSv1.3"} or C{"TLSv1.2"}.
    @ivar cipher: its name as OpenSSL has it.
    @ivar alpn: the application protocol (RFC 7301), if one was agreed on.
    @ivar peerCertificate: what the peer has shown, a L{cryptography.x509.Certificate}; L{None} if nothing.
    @ivar serverName: the name that the client asked for (SNI); L{None} if it named none.
    """

    version: str
    cipher: str
    alpn: str | None
    peerCertificate: Certificate | None
    serverName: str | None


@implementer(IOpenSSLClientConnectionCreator)
class TlsClient:
    """
    The client's side: verifies the server's certificate, always.

    @ivar serverName: whose certificate it must be.
    @ivar alpn: the application protocols to offer, the best first.
    """

    __slots__ = ("_context", "alpn", "serverName")

    def __init__(
        self,
        serverName: str,
        *,
        caCertificates: Any = None,
        clientCertificate: Any = None,
        alpn: Sequence[str] = (),
    ) -> None:
        """
        @param serverName: the host's name, which is sent too (SNI, RFC 6066
            section 3), or its IP address, which isn't.
        @param caCertificates: whom to trust: the path of a PEM file, PEM as
            bytes, a C{Certificate} of Twisted's, or a sequence of these. A
            certificate that is self-signed is trusted by naming it here. The
            system's roots by default.
        @param clientCertificate: what to show if the server asks: the path of
            a PEM file with the certificate, the key, and what the certificate
            rests on; a pair of paths (certificates, key); or a
            C{PrivateCertificate} of Twisted's.
        @param alpn: application protocols such as C{"http/1.1"} (RFC 7301).
        @raise InvalidArgument: one of these can't be used.
        @raise NotSupported: the extra C{tls} is not installed.
        """
        needTls()
        self.serverName = serverNameOf(serverName)
        self.alpn = _checkAlpn(alpn)
        if caCertificates is None and clientCertificate is None:
            self._context = _systemsContext(self.alpn)
        else:
            identity = None if clientCertificate is None else parseIdentity("clientCertificate", clientCertificate)
            roots = None if caCertificates is None else parseAuthorities("caCertificates", caCertificates)
            self._context = _clientContext(self.alpn, roots, identity)

    def clientConnectionForTLS(self, tlsProtocol: object) -> Connection:
        """
        Twisted asks for OpenSSL's side of a new connection.
        """
        from OpenSSL import SSL

        connection = SSL.Connection(self._context)
        if not isAddress(self.serverName):
            connection.set_tlsext_host_name(self.serverName.encode("ascii"))
        verdict = Verdict(self.serverName)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verdict.check)
        _verdicts[connection] = verdict
        return connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self.serverName}>"


@implementer(IOpenSSLServerConnectionCreator)
class TlsServer:
    """
    The server's side. Twisted's C{SSL4ServerEndpoint} and C{listenSSL} take it too, as their context factory.

    @ivar alpn: the application protocols to agree to, the best first.
    """

    __slots__ = ("_context", "_verifies", "alpn")

    def __init__(self, certificate: Any, key: Any = None, *, clientCAs: Any = None, alpn: Sequence[str] = ()) -> None:
        """
        @param certificate: the path of a PEM file with the certificate, and
            what it rests on; or a C{PrivateCertificate} of Twisted's.
        @param key: the path of the key's PEM file; not needed if the key stands with the certificate.
        @param clientCAs: if given, a client must show a certificate issued by
            one of these: a path, PEM as bytes, a C{Certificate} of Twisted's,
            or a sequence of these.
        @param alpn: application protocols such as C{"http/1.1"} (RFC 7301). A
            client that offers others only is refused. If none is named, each
            client is taken.
        @raise InvalidArgument: one of these can't be used.
        @raise NotSupported: the extra C{tls} is not installed.
        """
        needTls()
        from OpenSSL import SSL

        self.alpn = _checkAlpn(alpn)
        self._verifies = clientCAs is not None
        identity = parseIdentity("certificate", certificate if key is None else (certificate, key))
        context = _newContext(identity)
        if self._verifies:
            authorities = parseAuthorities("clientCAs", clientCAs)
            _trust(context, authorities)
            for authority in authorities:
                # So that a client with several certificates knows which to show.
                context.add_client_ca(authority)
        if self.alpn:
            context.set_alpn_select_callback(alpnSelector([name.encode("ascii") for name in self.alpn]))
        context.set_session_id(b"wasinet")
        context.set_cipher_list(_CIPHERS)
        self._context: SSL.Context = context

    def serverConnectionForTLS(self, tlsProtocol: object) -> Connection:
        """
        Twisted asks for OpenSSL's side of a new connection.
        """
        from OpenSSL import SSL

        connection = SSL.Connection(self._context)
        if self._verifies:
            verdict = Verdict(None)
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verdict.check)
            _verdicts[connection] = verdict
        return connection


def agreed(handle: Connection) -> TlsInfo:
    """
    Return what was agreed on, once the handshake has ended.
    """
    alpn = handle.get_alpn_proto_negotiated()
    serverName = handle.get_servername()
    certificate = handle.get_peer_certificate()
    return TlsInfo(
        version=handle.get_protocol_version_name(),
        cipher=handle.get_cipher_name() or "",
        alpn=alpn.decode("ascii", "backslashreplace") if alpn else None,
        peerCertificate=None if certificate is None else certificate.to_cryptography(),
        serverName=None if serverName is None else serverName.decode("ascii", "backslashreplace"),
    )


def alpnSelector(names: Sequence[bytes]) -> Any:
    """
    What OpenSSL calls when a client offers application protocols.

    @param names: ours, the best first, at least one.
    """
    from OpenSSL import SSL

    def select(connection: object, offered: list[bytes]) -> bytes:
        for name in names:
            if name in offered:
                return name
        # pyOpenSSL makes the alert no_application_protocol of an exception (RFC 7301 section 3.2), and internal_error
        # of what it says to return.
        raise SSL.Error(
            [("", "", f"no application protocol in common: {_listed(offered)} offered, not {_listed(names)}")]
        )

    return select


def takeAnyOffer(tls: Any) -> None:
    """
    See to it that a client which offers application protocols is not refused where we name none.

    Twisted's C{CertificateOptions} (26.10; it says itself that it should not)
    answers such a client with an empty name, which OpenSSL takes for a
    failure. The answer is OpenSSL's context's, which was made before we were
    asked, and whose other users, with names or without, must be answered as
    before.
    """
    factory = tls.factory
    if IProtocolNegotiationFactory.providedBy(factory.wrappedFactory):
        return
    context = tls.getHandle().get_context()
    if context in _taking:
        return
    from twisted.internet.ssl import CertificateOptions

    create = getattr(factory, "_creatorCallable", None)
    for cell in getattr(create, "__closure__", None) or ():
        options = getattr(cell.cell_contents, "__self__", None)
        if isinstance(options, CertificateOptions):
            break
    else:
        # Somebody else's, or our own.
        return
    from OpenSSL import SSL

    static = tuple(getattr(options, "_acceptableProtocols", None) or ())

    def select(connection: Connection, offered: list[bytes]) -> Any:
        wrapped = IProtocolNegotiationFactory(connection.get_app_data().factory.wrappedFactory, None)
        names = static if wrapped is None else (*wrapped.acceptableProtocols(), *static)
        if not names:
            return SSL.NO_OVERLAPPING_PROTOCOLS
        return next((name for name in names if name in offered), b"")

    set_ = SSL.Context.set_alpn_select_callback
    # pyOpenSSL guards contexts that are in use, since other threads might use them. Ours is the only one.
    getattr(set_, "__wrapped__", set_)(context, select)
    _taking.add(context)


def _listed(names: Sequence[bytes]) -> str:
    return ", ".join(repr(name)[1:] for name in names[:5]) + (", …" if len(names) > 5 else "")


def _checkAlpn(alpn: Sequence[str]) -> tuple[str, ...]:
    if isinstance(alpn, str) or not isinstance(alpn, Sequence):
        raise InvalidArgument(f"alpn must be a sequence of names such as ['http/1.1'], not {alpn!r}")
    for name in alpn:
        if not isinstance(name, str) or not name.isascii() or not 0 < len(name) <= 255:
            raise InvalidArgument(f"an application protocol must be 1 to 255 ASCII characters, not {name!r}")
    return tuple(alpn)


def _newContext(identity: Identity | None) -> Context:
    from OpenSSL import SSL

    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    # A session that is resumed is one whose certificate isn't verified again.
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # Buffers for idle connections would be most of their memory.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if identity is not None:
        (certificate, *chain), key = identity
        try:
            context.use_certificate(certificate)
            for each in chain:
                context.add_extra_chain_cert(each)
            context.use_privatekey(key)  # type: ignore[arg-type]
            context.check_privatekey()
        except (SSL.Error, TypeError) as error:
            subject = certificate.subject.rfc4514_string()
            raise InvalidArgument(f"the private key is not that of the certificate {subject!r}: {error}") from error
    return context


def _trust(context: Context, authorities: Sequence[Certificate]) -> None:
    from OpenSSL.crypto import X509

    store = context.get_cert_store()
    assert store is not None
    for authority in authorities:
        store.add_cert(X509.from_cryptography(authority))


def _clientContext(
    alpn: tuple[str, ...], authorities: Sequence[Certificate] | None, identity: Identity | None
) -> Context:
    context = _newContext(identity)
    if authorities is None:
        context.set_default_verify_paths()
    else:
        _trust(context, authorities)
    if alpn:
        context.set_alpn_protos([name.encode("ascii") for name in alpn])
    context.set_cipher_list(_CIPHERS)
    return context


@lru_cache(maxsize=16)
def _systemsContext(alpn: tuple[str, ...]) -> Context:
    # The system's roots are many: reading them takes as long as some connections.
    return _clientContext(alpn, None, None)
