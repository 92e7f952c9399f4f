"""
From what C{IAgent.request} is given to a request of ours.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IClientRequest
from zope.interface import implementer

from ..errors import InvalidArgument, LocalProtocolError
from ..http import WasiRequest, grammar
from .bodies import NO_BODY, Body
from .dialing import Policy, Route
from .environment import proxyFromEnvironment
from .pool import Pool
from .producing import ProducerBody
from .proxies import HTTP_SCHEMES, absoluteForm
from .urls import Origin, parseUrl

# RFC 3986 section 3, of visible ASCII: the scheme and the authority, what goes to the server, a fragment.
_URI = re.compile(
    rb"(([A-Za-z][A-Za-z0-9+.\-]*)://([\x21\x22\x24-\x2e\x30-\x3e\x40-\x7e]*))([\x21\x22\x24-\x7e]*)(?:#[\x21-\x7e]*)?"
)
_VISIBLE = re.compile(rb"[\x21-\x7e]+")
# Those of WebSockets are asked for in the same way, and connected to as these are.
_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
# How many origins an Agent remembers; then it begins anew.
_REMEMBERED = 256


class Destination(NamedTuple):
    """
    Where requests go that have the same scheme and authority.

    @ivar host: the Host field's value.
    """

    route: Route
    host: str


class Aim(NamedTuple):
    """
    What L{absoluteForm} is told.
    """

    origin: Origin
    host: str
    path: str


class Destinations:
    """
    Whereto an Agent's URIs lead.
    """

    __slots__ = ("_anyScheme", "_policy", "_remembered")

    def __init__(self, policy: Policy | None, anyScheme: bool) -> None:
        """
        @param anyScheme: is the scheme the policy's affair?
        """
        self._policy = policy
        self._anyScheme = anyScheme
        self._remembered: dict[bytes, Destination] = {}

    def find(self, uri: bytes) -> tuple[Destination, str]:
        """
        Return where C{uri} is, and the request target (RFC 9112 section 3.2.1).

        @raise ValueError: it is not valid.
        @raise SchemeNotSupported: its scheme is another one.
        """
        match = _URI.fullmatch(uri)
        if match is None:
            if _VISIBLE.fullmatch(uri):
                raise SchemeNotSupported(f"Unsupported scheme: {uri.partition(b':')[0] if b':' in uri else b''!r}")
            raise ValueError(f"Invalid URI {uri!r}")
        beginning, _, _, path = match.groups()
        found = self._remembered.get(beginning)
        if found is None:
            found = self._find(uri, match)
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[beginning] = found
        target = path.decode("ascii")
        return found, target if target.startswith("/") else f"/{target}"

    def _find(self, uri: bytes, match: re.Match[bytes]) -> Destination:
        scheme = match[2].lower()
        known = _SCHEMES.get(scheme)
        if known is None and not self._anyScheme:
            raise SchemeNotSupported(f"Unsupported scheme: {scheme!r}")
        target = parseUrl(f"{known or 'http'}://{match[3].decode('ascii')}/")
        if target.userinfo is not None:
            # Nobody would send it.
            raise InvalidArgument(f"Invalid URI {uri!r}: a user and a password go as an Authorization field")
        origin = target.origin
        if self._anyScheme:
            origin = Origin(scheme.decode("ascii"), origin.host, origin.port)
        return Destination(Route(origin, None, None, self._policy), target.host)


@implementer(IClientRequest)
class ClientRequest:
    """
    What a response says of its request.
    """

    __slots__ = ("_headers", "_host", "absoluteURI", "method")

    def __init__(self, method: bytes, uri: bytes, headers: Headers | None, host: str | None) -> None:
        """
        @param host: the Host field that was added; L{None}: it stands in C{headers}.
        """
        self.method = method
        self.absoluteURI = uri
        self._headers = headers
        self._host = host

    @property
    def headers(self) -> Headers:
        """
        The fields that were sent, but for those of the connection.
        """
        # Few look at them.
        if self._host is not None:
            headers = Headers() if self._headers is None else self._headers.copy()
            headers.addRawHeader(b"Host", self._host.encode("ascii"))
            self._headers, self._host = headers, None
        assert self._headers is not None
        return self._headers


def checkMethod(method: Any) -> str:
    """
    @raise TypeError: it is no bytes.
    @raise ValueError: it is no token (RFC 9110 section 5.6.2).
    """
    if not isinstance(method, bytes):
        raise TypeError(f"method={method!r} is {type(method)}, but must be bytes")
    if grammar.token(method) is None:
        raise ValueError(f"Invalid method {method!r}")
    return method.decode("ascii")


def toBody(producer: IBodyProducer | None) -> Body:
    """
    @raise InvalidArgument: see L{ProducerBody}.
    """
    return NO_BODY if producer is None else ProducerBody(producer)


def through(pool: Pool, found: Destination, target: str, request: WasiRequest) -> Route:
    """
    Return the way that the pool's proxy makes, and change the request to what that proxy has to be sent.
    """
    route: Route = found.route
    origin = route.origin
    proxy: Any = pool.proxy
    if proxy == "environment":
        proxy = proxyFromEnvironment(origin.scheme, origin.host, origin.port)
    if not proxy:
        return route
    if proxy.scheme in HTTP_SCHEMES and origin.scheme == "http":
        request.uri, forProxy = absoluteForm(Aim(origin, found.host, target), proxy)
        request._pairs += forProxy
    return Route(origin, proxy, None, route.policy)


def toRequest(
    method: str, target: str, host: str, headers: Headers | None, body: Body, persistent: bool
) -> tuple[WasiRequest, bool]:
    """
    Make a request.

    @param host: the Host field's value, unless C{headers} has one.
    @param persistent: may the connection be used again?
    @return: the request; and has C{host} been added?
    @raise LocalProtocolError: the fields contradict the body.
    """
    request = WasiRequest(method, target)
    pairs = request._pairs
    added = True
    if headers is not None:
        for name, values in headers.getAllRawHeaders():
            text = name.decode("latin-1")
            if text == "Host":
                added = not values
            elif body is not NO_BODY and text in ("Content-Length", "Transfer-Encoding"):
                _checkFraming(text, values, body)
                continue
            elif text == "Connection" and not persistent:
                # Whatever else it says, the connection closes.
                continue
            for value in values:
                pairs.append((text, value.decode("latin-1")))
    if added:
        pairs.insert(0, ("Host", host))
    if not persistent:
        pairs.append(("Connection", "close"))
    if body.whole is None and body.length is not None:
        pairs.append(("Content-Length", str(body.length)))
    return request, added


def _checkFraming(name: str, values: Any, body: Body) -> None:
    """
    The length is the body producer's to say. A field that says the same is left out, lest it stand there twice.
    """
    if name == "Content-Length":
        right = b"" if body.length is None else b"%d" % body.length
    else:
        right = b"chunked" if body.length is None else b""
    for value in values:
        if value != right:
            length = "unknown" if body.length is None else body.length
            raise LocalProtocolError(f"{name}: {value!r} beside a body producer whose length is {length}")
