"""
L{Proxy}: which proxy requests go by, and what a request carries for it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self
from urllib.parse import unquote_to_bytes

from twisted.internet.abstract import isIPv6Address

from ..errors import InvalidArgument
from ..net import TlsClient
from ..net.addresses import checkHost, checkPort

# The port of each scheme, where a URL names none. Those of http and https are what these schemes mean everywhere else,
# and what Go takes; curl takes 1080 for http, too.
DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
HTTP_SCHEMES = ("http", "https")

# How long the user and the password may be for SOCKS5, in bytes. RFC 1929 section 2.
_SOCKS_CREDENTIALS = 255
# RFC 1035 section 2.3.4.
_NAME_SIZE = 255
# How much of what was given a message shows, in characters.
_SHOWN = 200
# RFC 7617 section 2: no control characters, in either.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Some parsers end the host at one of these, others find it behind a later @: they would connect to different hosts.
_NOT_IN_AUTHORITY = re.compile(r"[/?#\\\s\x00-\x1f\x7f]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(r"[0-9]{1,5}")


class _Origin(Protocol):
    @property
    def scheme(self) -> str:
        """
        C{"http"} or C{"https"}.
        """


class Aimed(Protocol):
    """
    What a request is for, as far as L{absoluteForm} has to know.
    """

    @property
    def origin(self) -> _Origin:
        """
        Whom it is for.
        """

    @property
    def host(self) -> str:
        """
        The value of the Host field.
        """

    @property
    def path(self) -> str:
        """
        The path and the query, at least C{"/"}.
        """


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    A proxy that requests go through. Requests through equal ones may share connections.

    C{str(proxy)} is its URL without the credentials; neither it nor C{repr} shows the password.

    @ivar scheme: how the proxy is spoken to: C{"http"}, C{"https"} (HTTP over TLS), C{"socks5"} (SOCKS5; the client
        resolves the names of hosts) or C{"socks5h"} (SOCKS5; the proxy does).
    @ivar host: the proxy's name, in ASCII and in lower case, or its IP address; IPv6 without brackets.
    @ivar port: its port.
    @ivar user: the user name that is sent to the proxy; L{None} sends no credentials. Without a colon for HTTP (RFC
        7617 section 2); 1 to 255 bytes in UTF-8 for SOCKS5 (RFC 1929 section 2).
    @ivar password: the user's password; C{""} where a user has none. At most 255 bytes in UTF-8 for SOCKS5.
    @ivar caCertificates: whom to trust for the proxy's own certificate, for C{"https"} only, as
        L{TlsClient<wasinet_twisted.net.TlsClient>} has it; the system's roots by default.
    """

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    # Lists of certificates can't be hashed.
    caCertificates: Any = field(default=None, repr=False, hash=False)
    _tls: TlsClient | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """
        @raise InvalidArgument: a value is not valid, or does not go with the scheme.
        """
        if self.scheme not in DEFAULT_PORTS:
            raise InvalidArgument(f"a proxy's scheme must be one of {', '.join(DEFAULT_PORTS)}, not {self.scheme!r}")
        object.__setattr__(self, "host", checkHost(self.host).lower())
        checkPort(self.port, least=1)
        if self.user is None and self.password is not None:
            raise InvalidArgument(f"the proxy {self} has a password, but no user")
        if self.user is not None:
            object.__setattr__(self, "password", "" if self.password is None else self.password)
            self._checkCredentials(self.user, self.password)
        if self.caCertificates is not None and self.scheme != "https":
            raise InvalidArgument(f"caCertificates are for a proxy of scheme https, not for {self}")

    def _checkCredentials(self, user: str, password: object) -> None:
        for what, given in (("user", user), ("password", password)):
            # The values are kept out of the messages, which are logged.
            if not isinstance(given, str):
                raise InvalidArgument(f"the {what} for the proxy {self} must be a str, not {type(given).__name__}")
            if _CONTROL.search(given):
                raise InvalidArgument(f"the {what} for the proxy {self} must have no control characters")
            try:
                size = len(given.encode("utf-8"))
            except UnicodeEncodeError:
                raise InvalidArgument(f"the {what} for the proxy {self} can't be written in UTF-8") from None
            least = 1 if what == "user" else 0
            if self.scheme not in HTTP_SCHEMES and not least <= size <= _SOCKS_CREDENTIALS:
                raise InvalidArgument(
                    f"the {what} for the proxy {self} must be {least} to {_SOCKS_CREDENTIALS} bytes, not {size}"
                )
        if self.scheme in HTTP_SCHEMES and ":" in user:
            raise InvalidArgument(f"the user for the proxy {self} must have no colon (RFC 7617 section 2)")

    @classmethod
    def parse(cls, url: str, *, caCertificates: Any = None) -> Self:
        """
        Make a L{Proxy} of a URL such as C{"http://user:password@proxy.example:3128"}.

        Without a scheme, as in C{"proxy.example:3128"}, it is an HTTP proxy. Without a port, it is 80 for http, 443 for
        https and 1080 for SOCKS5. User and password may be percent-encoded, in UTF-8; a C{/}, C{?}, C{#} or C{%} in
        them must be. Of a path, there may be a C{/} only.

        @param caCertificates: as L{Proxy} has it.
        @raise InvalidArgument: C{url} is no such URL. The message doesn't show the credentials.
        """
        if not isinstance(url, str):
            raise InvalidArgument(f"a proxy must be given as a URL, a str, not {type(url).__name__}")

        def wrong(why: str) -> InvalidArgument:
            return InvalidArgument(f"a proxy must be scheme://[user:password@]host[:port], not {_shown(url)!r}: {why}")

        scheme, separator, authority = url.partition("://")
        if not separator:
            scheme, authority = "http", url
        scheme = scheme.lower() if scheme.isascii() else scheme
        if scheme not in DEFAULT_PORTS:
            raise wrong(f"the scheme must be one of {', '.join(DEFAULT_PORTS)}")
        authority = authority.removesuffix("/")
        if bad := _NOT_IN_AUTHORITY.search(authority):
            raise wrong(f"there is a {bad[0]!r} in it")
        # The last @: some write it into passwords as it is.
        userinfo, _, place = authority.rpartition("@")
        user = password = None
        if userinfo:
            user, _, password = userinfo.partition(":")
            try:
                user, password = _decoded(user), _decoded(password)
            except ValueError as error:
                raise wrong(f"the credentials are not percent-encoded UTF-8: {error}") from None
        try:
            host, port = _place(place, DEFAULT_PORTS[scheme])
            return cls(scheme, host, port, user, password, caCertificates)
        except InvalidArgument as error:
            raise wrong(str(error)) from None

    def authorization(self) -> str | None:
        """
        Return the value of the Proxy-Authorization field, by the Basic scheme in UTF-8 (RFC 7617); L{None} without a
        user, and for SOCKS5.
        """
        if self.user is None or self.scheme not in HTTP_SCHEMES:
            return None
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")

    def tls(self) -> TlsClient:
        """
        Return how TLS is spoken with the proxy itself: its certificate must be for C{host}. Made once.

        @raise InvalidArgument: the scheme isn't https, or C{caCertificates} can't be used.
        @raise NotSupported: the extra C{tls} is not installed.
        """
        if self.scheme != "https":
            raise InvalidArgument(f"TLS is for a proxy of scheme https, not for {self}")
        if self._tls is None:
            made = TlsClient(self.host, caCertificates=self.caCertificates, alpn=["http/1.1"])
            object.__setattr__(self, "_tls", made)
        assert self._tls is not None
        return self._tls

    def __str__(self) -> str:
        return f"{self.scheme}://{hostPort(self.host, self.port)}"


def hostPort(host: str, port: int) -> str:
    """
    Return C{"host:port"} as authorities are written, an IPv6 address in brackets.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def absoluteForm(target: Aimed, proxy: Proxy) -> tuple[str, Sequence[tuple[str, str]]]:
    """
    Return what a request in the clear has when it goes to an HTTP proxy that forwards it: the request target in
    absolute form (RFC 9112 section 3.2.2), and the fields for the proxy, which must not be sent to anybody else.

    @raise InvalidArgument: the request is for https, which must go through a tunnel; or the proxy is for SOCKS5.
    """
    if target.origin.scheme != "http":
        raise InvalidArgument(
            f"only requests for http are forwarded by a proxy, not for {target.origin.scheme}://{target.host}: "
            "they need a tunnel"
        )
    if proxy.scheme not in HTTP_SCHEMES:
        raise InvalidArgument(f"only HTTP proxies forward requests, not {proxy}")
    authorization = proxy.authorization()
    fields = [] if authorization is None else [("Proxy-Authorization", authorization)]
    return f"http://{target.host}{target.path}", fields


def _place(place: str, port: int) -> tuple[str, int]:
    """
    @param port: the one that is meant where none is named.
    """
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        # RFC 6874: the zone's percent sign is percent-encoded.
        host = host.replace("%25", "%", 1)
        if not bracket or not isIPv6Address(host):
            raise InvalidArgument("an address in brackets must be IPv6")
    else:
        host, colon, number = place.partition(":")
        rest = colon + number
        if len(host) > _NAME_SIZE:
            raise InvalidArgument(f"the host must have at most {_NAME_SIZE} characters, not {len(host)}")
        if "%" in host:
            raise InvalidArgument("there is a '%' in the host")
        if ":" in number:
            raise InvalidArgument("an IPv6 address needs brackets, as in [::1]:3128")
    if not rest:
        return host, port
    if not _PORT.fullmatch(rest, 1) or rest[0] != ":":
        raise InvalidArgument("the port must be a whole number from 1 to 65535")
    return host, checkPort(int(rest[1:]), least=1)


def _decoded(text: str) -> str:
    if _BAD_PERCENT.search(text):
        # Nothing of a password is to be shown.
        raise ValueError("a percent sign is not followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError:
        raise ValueError("it is not UTF-8") from None


def _shown(url: str) -> str:
    """
    What may be shown of a URL that somebody gave: nothing before its last @, but for a scheme that is one.
    """
    start, at, rest = url.rpartition("@")
    shown = rest if len(rest) <= _SHOWN else rest[:_SHOWN] + "…"
    if not at:
        return shown
    scheme, separator, _ = start.partition("://")
    return f"{scheme}://***@{shown}" if separator and scheme.lower() in DEFAULT_PORTS else f"***@{shown}"
