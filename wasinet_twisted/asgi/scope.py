"""
L{Scopes}: what an app is told of a request.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from ..errors import InvalidArgument
from ..server import Request
from ..server.interfaces import Carrier
from .proxies import Client, TrustedProxies, schemeOf

# The versions of the specifications: of ASGI, and of its HTTP and WebSocket messages.
VERSION = "3.0"
SPECIFICATION = "2.5"

_TLS_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

# Names of fields in lower case. Bounded: emptied when full.
_names: dict[str, bytes] = {}
_MOST_NAMES = 1024
_LONGEST_NAME = 64


class Scopes:
    """
    Makes the scope of each request.

    @ivar state: what the app has kept in its lifespan; each request gets a copy.
    """

    __slots__ = ("_proxies", "_rawRootPath", "_rootPath", "state")

    def __init__(self, rootPath: str, proxies: TrustedProxies) -> None:
        """
        @param rootPath: the path that a proxy has taken off, such as C{"/shop"}.
        @raise InvalidArgument: it is no such path.
        """
        self._rootPath = checkRootPath(rootPath)
        self._rawRootPath = quote(rootPath).encode("ascii")
        self._proxies = proxies if proxies else None
        self.state: dict[str, Any] = {}

    def http(self, request: Request) -> dict[str, Any]:
        """
        Return a request's scope.
        """
        extensions: dict[str, Any] = {
            "http.response.trailers": {},
            "http.response.pathsend": {},
            "http.response.early_hint": {},
        }
        return self._scope("http", request, "http", "https", extensions)

    def webSocket(self, request: Request) -> dict[str, Any]:
        """
        Return the scope of a request for a WebSocket.
        """
        scope = self._scope("websocket", request, "ws", "wss", {"websocket.http.response": {}})
        del scope["method"]
        offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")
        scope["subprotocols"] = [name for each in offered if (name := each.strip(" \t"))]
        return scope

    def _scope(
        self, kind: str, request: Request, plain: str, secure: str, extensions: dict[str, Any]
    ) -> dict[str, Any]:
        carrier = request._protocol
        uri = request.uri
        if uri[0] == "/":
            path, _, query = uri.partition("?")
        else:
            path, query = request._target()
        rawPath = path.encode("ascii")
        if "%" in path:
            path = unquote(path)
        if self._rootPath and path[:1] == "/":
            path = self._rootPath + path
            rawPath = self._rawRootPath + rawPath
        client = _addressOf(carrier.peer())
        isSecure = carrier.tls is not None
        if isSecure:
            extensions["tls"] = _tls(carrier.tls.info)
        if self._proxies is not None and self._proxies.trustsPeer(None if client is None else client[0]):
            client, isSecure = self._forwarded(request, client, isSecure)
        return {
            "type": kind,
            "asgi": {"version": VERSION, "spec_version": SPECIFICATION},
            "http_version": request.version[5:],
            "method": request.method.upper(),
            "scheme": secure if isSecure else plain,
            "path": path,
            "raw_path": rawPath,
            "query_string": query.encode("ascii"),
            "root_path": self._rootPath,
            "headers": _headers(request),
            "client": client,
            "server": _server(carrier),
            "state": self.state.copy(),
            "extensions": extensions,
        }

    def _forwarded(self, request: Request, client: Client | None, isSecure: bool) -> tuple[Client | None, bool]:
        headers = request.headers
        assert self._proxies is not None
        client = self._proxies.clientOf(client, headers.getall("X-Forwarded-For", []))
        scheme = schemeOf(headers.getall("X-Forwarded-Proto", []))
        return client, isSecure if scheme is None else scheme == "https"


def checkRootPath(path: str) -> str:
    """
    @raise InvalidArgument: nothing can be mounted there.
    """
    if path and (not path.startswith("/") or path.endswith("/") or not path.isprintable()):
        raise InvalidArgument(f"a root path must begin with a / and not end with one, not {path!r}")
    return path


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    known = _names.get
    pairs = request._pairs if request._headers is None else request.fields()
    found = [(known(name) or _lower(name), value.encode("latin-1")) for name, value in pairs]
    if request.uri[0] != "/" and (host := request.host) is not None:
        # RFC 9112 section 3.2.2: the target overrules it.
        line = (b"host", host.encode("ascii"))
        found = [line if name == b"host" else (name, value) for name, value in found]
    return found


def _lower(name: str) -> bytes:
    lower = name.lower().encode("latin-1")
    if len(name) <= _LONGEST_NAME:
        if len(_names) >= _MOST_NAMES:
            _names.clear()
        _names[name] = lower
    return lower


def _addressOf(address: Any) -> Client | None:
    # Each request asks twice: isinstance() would take twice as long.
    kind = address.__class__
    return (address.host, address.port) if kind is IPv4Address or kind is IPv6Address else None


def _server(carrier: Carrier) -> tuple[str, int | None] | None:
    address = carrier.local()
    if isinstance(address, UNIXAddress):
        return (address.name.decode("utf-8", "surrogateescape"), None) if address.name else None
    return _addressOf(address)


def _tls(info: Any) -> dict[str, Any]:
    """
    The extension C{tls}.

    @param info: a L{TlsInfo<wasinet_twisted.net.TlsInfo>}.
    """
    certificate = info.peerCertificate
    chain, name = [], None
    if certificate is not None:
        from cryptography.hazmat.primitives.serialization import Encoding

        chain.append(certificate.public_bytes(Encoding.PEM).decode("ascii"))
        name = certificate.subject.rfc4514_string()
    return {
        "server_cert": None,
        "client_cert_chain": chain,
        "client_cert_name": name,
        "client_cert_error": None,
        "tls_version": _TLS_VERSIONS.get(info.version),
        "cipher_suite": None,
    }
