"""
An echo server over TLS, and its client.

    python examples/tls_echo.py [--port 8443] [--cert FILE [--key FILE]]

Without a certificate it makes one, for this host and this run, and prints where it is. Then, in another terminal:

    echo WasmEdge | python examples/tls_echo.py --connect localhost:8443 --ca FILE
    echo WasmEdge | openssl s_client -connect localhost:8443 -CAfile FILE -quiet -no_ign_eof

The client trusts what has been issued by a certificate in FILE, or by the system's roots without it.
"""

import argparse
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread

from wasinet_twisted import net


async def echo(conn):
    try:
        await conn.handshake()
        print(net.formatAddress(conn.peer()), conn.tls.version, conn.tls.cipher, flush=True)
        async for data in conn:
            await conn.write(b"echo:" + data)
    except (net.ConnectionClosed, net.TimedOut) as e:
        print(e, flush=True)


def selfSigned(path):
    """
    A certificate for this host, good for a day, with its key.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        # Clients that are as strict as Python 3.13's ssl module ask for these (RFC 5280 section 4.2).
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)  # digitalSignature only
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.touch(mode=0o600)
    path.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, form, secret))


async def serve(reactor, port, settings):
    factory = net.ConnectionFactory(echo)
    await SSL4ServerEndpoint(reactor, port, settings).listen(factory)
    print("listen", port, "...", flush=True)
    # Ctrl-C: the handlers are cancelled, what is queued is sent.
    reactor.addSystemEventTrigger("before", "shutdown", factory.stop, 2.0)
    await deferLater(reactor, 10**9)


async def ask(target, ca):
    host, _, port = target.rpartition(":")
    async with await net.WasiTlsConn.connect(host, int(port), timeout=10, caCertificates=ca) as conn:
        while line := await deferToThread(sys.stdin.readline):
            await conn.write(line)
            print((await conn.readLine(timeout=10)).decode(), end="", flush=True)


async def main(reactor):
    parser = argparse.ArgumentParser(description="An echo server over TLS, and its client.")
    parser.add_argument("--port", type=int, default=8443, help="where to listen (8443)")
    parser.add_argument("--cert", help="a PEM file with the certificate; one is made by default")
    parser.add_argument("--key", help="a PEM file with its key, if that isn't with the certificate")
    parser.add_argument("--connect", metavar="HOST:PORT", help="be a client: send the standard input line by line")
    parser.add_argument("--ca", metavar="FILE", help="whom the client trusts")
    args = parser.parse_args()
    try:
        if args.connect is not None:
            await ask(args.connect, args.ca)
        elif args.cert is not None:
            await serve(reactor, args.port, net.TlsServer(args.cert, args.key))
        else:
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "certificate.pem"
                selfSigned(path)
                print("certificate", path, flush=True)
                await serve(reactor, args.port, net.TlsServer(path))
    except (net.NotSupported, net.ConnectFailed, net.ConnectionClosed, net.TimedOut, CannotListenError) as e:
        raise SystemExit(str(e)) from None
    except (OverflowError, ValueError) as e:
        raise SystemExit(f"{type(e).__name__}: {e}") from None


if __name__ == "__main__":
    react(main, [])
