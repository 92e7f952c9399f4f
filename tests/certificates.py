"""
Certificate authorities and what they issue, for the tests of TLS.

They follow RFC 5280 section 4.2, as Python's ssl module demands from 3.13 on (C{VERIFY_X509_STRICT}).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """
    Issues certificates into a directory.

    @ivar path: its own certificate.
    """

    def __init__(self, directory: Path, name: str = "the tests' authority", issuer: Authority | None = None) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _build(name, [], self._key, issuer, -DAY, DAY, isAuthority=True)
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def pem(self) -> bytes:
        return self.path.read_bytes()

    def issue(self, *names: str, start: timedelta = -DAY, end: timedelta = DAY) -> Path:
        """
        A certificate for these host names and addresses, with its key and this authority's own in one file.
        """
        return self._write(names, self, start, end, self.pem)

    def selfSigned(self, *names: str) -> Path:
        """
        A certificate that no authority has issued.
        """
        return self._write(names, None, -DAY, DAY, b"")

    def _write(
        self, names: tuple[str, ...], issuer: Authority | None, start: timedelta, end: timedelta, rest: bytes
    ) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _build(names[0] if names else "nobody", names, key, issuer, start, end, isAuthority=False)
        path = self._directory / f"certificate {certificate.serial_number}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + rest
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path


def _usage(isAuthority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not isAuthority,
        key_cert_sign=isAuthority,
        crl_sign=isAuthority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authorityKey(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _build(
    subject: str,
    names: tuple[str, ...] | list[str],
    key: ec.EllipticCurvePrivateKey,
    issuer: Authority | None,
    start: timedelta,
    end: timedelta,
    *,
    isAuthority: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(subject) if issuer is None else issuer._certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
        .add_extension(x509.BasicConstraints(ca=isAuthority, path_length=None), critical=True)
        .add_extension(_usage(isAuthority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authorityKey(key if issuer is None else issuer._key), critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(key if issuer is None else issuer._key, hashes.SHA256())
