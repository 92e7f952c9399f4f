"""
What a TLS connection is like, and why one ended, in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from OpenSSL.SSL import Connection


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


def reasonText(reason: BaseException) -> str:
    """
    What has happened, in words. OpenSSL's errors are lists of (library, function, reason).
    """
    first = reason.args[0] if reason.args else None
    if type(reason).__module__ == "OpenSSL.SSL" and isinstance(first, list):
        return ", ".join(str(entry[-1]) for entry in first) or "the stream ended"
    return str(reason) or type(reason).__name__


def agreedOn(handle: Connection) -> TlsInfo:
    """
    Return what the two sides have agreed on, once the handshake has ended.
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
