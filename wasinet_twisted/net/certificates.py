"""
Certificates as people keep them, in PEM, and what is wrong with a peer's.

What needs pyOpenSSL imports it when called: who has no TLS needs none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address

from ..errors import (
    CertificateError,
    CertificateExpired,
    CertificateNameMismatch,
    InvalidArgument,
    NotSupported,
    UnknownCertificateAuthority,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate
    from OpenSSL.crypto import X509

PemPath = str | os.PathLike[str]

# How many of a certificate's names a message lists, and how long each may be: some certificates have thousands.
_NAMES = 5
_NAME_LENGTH = 100
_TIME = "%Y-%m-%d %H:%M:%S UTC"


def needTls() -> None:
    """
    @raise NotSupported: what TLS needs is not installed.
    """
    try:
        import OpenSSL.SSL  # noqa: F401
        import service_identity  # noqa: F401
        import twisted.protocols.tls  # noqa: F401
    except ImportError as error:
        raise NotSupported("TLS needs the extra: pip install 'wasinet_twisted[tls]'") from error


def readPem(what: str, given: PemPath | bytes) -> bytes:
    """
    @param what: the argument's name.
    @param given: a path, or the PEM itself.
    """
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str | os.PathLike):
        raise InvalidArgument(f"{what} must be the path of a PEM file, not {given!r}")
    try:
        with open(given, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InvalidArgument(f"{what}: can't read {os.fspath(given)!r}: {cause}") from error


def parseCertificates(what: str, given: PemPath | bytes) -> list[Certificate]:
    """
    All certificates of a PEM file, in order; at least one.
    """
    from cryptography.x509 import load_pem_x509_certificates

    pem = readPem(what, given)
    try:
        return load_pem_x509_certificates(pem)
    except ValueError as error:
        raise InvalidArgument(f"{what}: no PEM certificate in {_name(given)}: {error}") from error


def parseKey(what: str, given: PemPath | bytes) -> PrivateKeyTypes:
    """
    The private key of a PEM file.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = readPem(what, given)
    try:
        return load_pem_private_key(pem, None)
    except TypeError as error:
        raise InvalidArgument(f"{what}: the private key in {_name(given)} needs a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidArgument(f"{what}: no PEM private key in {_name(given)}: {error}") from error


def parseIdentity(what: str, given: Any) -> tuple[list[Certificate], PrivateKeyTypes]:
    """
    A certificate with its key, and the certificates it rests on.

    @param given: the path of a PEM file that holds both, a pair of paths
        (certificates, key), or a C{PrivateCertificate} of Twisted's.
    """
    if hasattr(given, "privateKey") and hasattr(given, "original"):
        return [given.original.to_cryptography()], given.privateKey.original.to_cryptography_key()
    certificate, key = given if isinstance(given, tuple) and len(given) == 2 else (given, given)
    return parseCertificates(what, certificate), parseKey(what, key)


def parseAuthorities(what: str, given: Any) -> list[Certificate]:
    """
    The certificates to trust.

    @param given: the path of a PEM file, PEM, a C{Certificate} of Twisted's, or a sequence of these.
    """
    if isinstance(given, str | bytes | os.PathLike):
        return parseCertificates(what, given)
    if hasattr(given, "original"):
        return [given.original.to_cryptography()]
    if not isinstance(given, Sequence) or not given:
        raise InvalidArgument(f"{what} must be a path, PEM, certificates, or some of these, not {given!r}")
    return [certificate for each in given for certificate in parseAuthorities(what, each)]


def isAddress(name: str) -> bool:
    """
    Is it an IP address rather than a host's name?
    """
    return bool(isIPAddress(name) or isIPv6Address(name))


def serverNameOf(given: object) -> str:
    """
    A server's name as it stands in certificates: in ASCII, without the root's dot, an IPv6 address without its zone.
    """
    name = given.rstrip(".") if isinstance(given, str) else ""
    if not name:
        raise InvalidArgument(f"serverName must be a host's name or IP address, not {given!r}")
    if isAddress(name):
        return name.partition("%")[0]
    if not name.isascii():
        import idna

        try:
            return idna.encode(name, uts46=True).decode("ascii")
        except UnicodeError as error:
            raise InvalidArgument(f"serverName {given!r} is no host's name: {error}") from error
    if not name.isprintable() or " " in name or ":" in name or len(name) > 253:
        raise InvalidArgument(f"serverName {given!r} is no host's name")
    return name.lower()


class Verdict:
    """
    What the verification of one peer's certificate came to. OpenSSL asks for
    each certificate of the chain, from the root to the peer's own.

    @ivar accepted: was the peer's own certificate accepted, its name included?
    """

    def __init__(self, serverName: str | None) -> None:
        """
        @param serverName: whose it must be; L{None} if only who issued it matters.
        """
        self.accepted = False
        self._serverName = serverName
        self._refused: tuple[int, int, Certificate | None] | None = None

    def check(self, connection: object, certificate: X509, code: int, depth: int, sound: int) -> bool:
        """
        For OpenSSL. Whatever fails in here refuses the certificate.
        """
        parsed = None
        try:
            parsed = certificate.to_cryptography()
            if sound and (depth or self._serverName is None or _isFor(parsed, self._serverName)):
                self.accepted = self.accepted or not depth
                return True
        except Exception:
            # It can't be understood.
            code = code or -1
        self.accepted = False
        if self._refused is None:
            self._refused = (code, depth, parsed)
        return False

    def error(self, peer: str, cause: BaseException | None) -> CertificateError | None:
        """
        The exception that says why it was refused, if it was.

        @param peer: the peer's address.
        """
        if self._refused is None:
            return None
        code, depth, certificate = self._refused
        whose = f"the certificate of {peer}" + ("" if self._serverName is None else f" for {self._serverName!r}")
        start = f"{whose} was not accepted: "
        attempts = [] if cause is None else [(peer, cause)]
        error = _refusal(start, attempts, code, depth, certificate)
        error.__cause__ = cause
        return error


def _refusal(
    start: str, attempts: list[tuple[str, BaseException]], code: int, depth: int, certificate: Certificate | None
) -> CertificateError:
    from OpenSSL.SSL import X509VerificationCodes as Codes

    if certificate is None or code < 0:
        return CertificateError(start + "it can't be understood", attempts)
    # A name that doesn't match is ours to find; all else OpenSSL has a code for.
    if code == Codes.OK:
        names = namesOf(certificate)
        return CertificateNameMismatch(f"{start}it is for {_listed(names)}", attempts, names)
    it = "it" if not depth else f"the one it rests on, {_clean(certificate.subject.rfc4514_string())},"
    if code == Codes.ERR_CERT_HAS_EXPIRED:
        until = certificate.not_valid_after_utc.strftime(_TIME)
        return CertificateExpired(f"{start}{it} has expired: it was valid until {until}", attempts)
    if code == Codes.ERR_CERT_NOT_YET_VALID:
        since = certificate.not_valid_before_utc.strftime(_TIME)
        return CertificateError(f"{start}{it} is not valid yet: it will be from {since} on", attempts)
    if code == Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return UnknownCertificateAuthority(f"{start}it is self-signed, and not among those that are trusted", attempts)
    if code == Codes.ERR_SELF_SIGNED_CERT_IN_CHAIN:
        root = _clean(certificate.subject.rfc4514_string())
        return UnknownCertificateAuthority(f"{start}it rests on {root}, which is not trusted", attempts)
    if code in (
        Codes.ERR_UNABLE_TO_GET_ISSUER_CERT,
        Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        Codes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
    ):
        issuer = _clean(certificate.issuer.rfc4514_string())
        return UnknownCertificateAuthority(f"{start}its issuer {issuer} is not among those that are trusted", attempts)
    texts = {value: name for name, value in vars(Codes).items() if name.startswith("ERR_")}
    text = texts.get(code, f"ERR_{code}").removeprefix("ERR_").replace("_", " ").lower()
    return CertificateError(f"{start}{text}", attempts)


def reasonText(reason: BaseException) -> str:
    """
    What has happened, in words. OpenSSL's errors are lists of (library, function, reason).
    """
    first = reason.args[0] if reason.args else None
    if type(reason).__module__ == "OpenSSL.SSL" and isinstance(first, list):
        return ", ".join(str(entry[-1]) for entry in first) or "the stream ended"
    return str(reason) or type(reason).__name__


def _isFor(certificate: Certificate, name: str) -> bool:
    from service_identity import CertificateError as Unusable
    from service_identity import VerificationError
    from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

    verify = verify_certificate_ip_address if isAddress(name) else verify_certificate_hostname
    try:
        verify(certificate, name)
    except (VerificationError, Unusable):
        return False
    return True


def namesOf(certificate: Certificate) -> list[str]:
    """
    Whose a certificate is: the host names and addresses of its subjectAltName (RFC 9525 section 2).
    """
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName

    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except (ExtensionNotFound, ValueError):
        return []
    return [
        *(_clean(name) for name in names.get_values_for_type(DNSName)),
        *(str(address) for address in names.get_values_for_type(IPAddress)),
    ]


def _listed(names: list[str]) -> str:
    if not names:
        return "nobody: it has no subjectAltName with a host or an address"
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _clean(text: str) -> str:
    # The peer has written it, and it goes into messages and logs.
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _NAME_LENGTH else text[:_NAME_LENGTH] + "…"


def _name(given: PemPath | bytes) -> str:
    return "what was given" if isinstance(given, bytes) else repr(os.fspath(given))
