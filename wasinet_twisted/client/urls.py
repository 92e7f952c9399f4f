"""
URLs: whom a request goes to, and what it asks there.

Only what has one meaning to every reader is accepted (RFC 3986). A URL that two
readers take for two hosts (with a backslash, a second C{@}, a port of letters, an
IPv4 address in octal) is refused: one of the two readers is a program's own check.

What is percent-encoded stays as it is, and so does a query: signatures are made
over them. yarl would decode C{%41} and write C{+} for a space, so yarl is asked
for one thing only, a host name beyond ASCII. All other URLs need no extra.
"""

from __future__ import annotations

import re
import sys
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import unquote

from .._fast import fastPathOf
from ..errors import InvalidArgument, NotSupported
from ..http.checks import shorten

if TYPE_CHECKING:
    import yarl

NEEDS_YARL = "a host name beyond ASCII needs the extra: pip install 'wasinet_twisted[client]'"
_PORTS = {"http": 80, "https": 443}

# RFC 3986 appendix B. It matches every text.
_split = re.compile(r"(?:([^:/?#]++):)?(?://([^/?#]*+))?([^?#]*+)(?:\?([^#]*+))?(?:#(.*+))?", re.DOTALL).fullmatch
# Control characters, white space and halves of surrogate pairs.
_unusable = re.compile("[\0-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]").search
# RFC 3986 section 3.2.2 and 3.2.3. In brackets an IPv6 address only, without a zone: a zone names an interface of one
# machine. Names are judged apart.
_hostAndPort = re.compile(r"(\[[0-9A-Fa-f:.]++\]|[^:\[\]]++)(?::([0-9]{0,5}))?").fullmatch
# Names as DNS has them, and the underscore that some have all the same.
_name = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*+\.?").fullmatch
_LONGEST_NAME = 253
# What a resolver may take for an IPv4 address: its last part is a number.
_numeric = re.compile(r"(?:.*\.)?(?:[0-9]++|0x[0-9a-f]*+)\.?").fullmatch
# User information, percent-encoded where it has to be.
_userinfo = re.compile(r"(?:[^%@\\]|%[0-9A-Fa-f]{2})*+").fullmatch
# RFC 7617 section 2, in either. And no colon in the user: the server would find the password behind that one.
_control = re.compile("[\0-\x1f\x7f]").search
# For messages: where a password may stand.
_secret = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*+:)?(/*+).*@", re.DOTALL).sub

# RFC 3986 section 3.3 and 3.4: pchar and "/", and in a query "?" too.
_PATH = r"A-Za-z0-9\-._~!$&'()*+,;=:@/"
_notPath = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^%{_PATH}]++").sub
_notQuery = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^%{_PATH}?]++").sub
_valid = re.compile(rf"/[{_PATH}?]*+(?:%[0-9A-Fa-f]{{2}}[{_PATH}?]*+)*+").fullmatch


class Origin(NamedTuple):
    """
    Whom a connection is with (RFC 6454).

    @ivar scheme: C{"http"} or C{"https"}.
    @ivar host: a name in ASCII and lower case, or an IP address, an IPv6 address without brackets.
    @ivar port: 1 to 65535.
    """

    scheme: str
    host: str
    port: int


class Target:
    """
    A URL, as a request needs it. Not to be changed.

    @ivar origin: whom the request goes to.
    @ivar path: the request target: path and query, at least C{"/"} (RFC 9112 section 3.2.1).
    @ivar host: the value of the Host field; a default port is left out.
    @ivar fragment: what follows C{#}, percent-encoded, which is never sent; L{None}: there is none.
    @ivar userinfo: user and password, decoded, which are never part of the target or of C{str()}; L{None}: there are
        none.
    """

    __slots__ = ("fragment", "host", "origin", "path", "userinfo")

    def __init__(
        self,
        origin: Origin,
        path: str,
        host: str,
        fragment: str | None = None,
        userinfo: tuple[str, str] | None = None,
    ) -> None:
        self.origin = origin
        self.path = path
        self.host = host
        self.fragment = fragment
        self.userinfo = userinfo

    def __str__(self) -> str:
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.origin.scheme}://{self.host}{self.path}{fragment}"

    def __repr__(self) -> str:
        return f"<Target {self}>"

    def _key(self) -> tuple[object, ...]:
        return (self.origin, self.path, self.host, self.fragment, self.userinfo)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Target) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def join(self, location: str) -> Target:
        """
        Resolve a reference, such as the value of a Location field (RFC 3986 section 5.2, RFC 9110 section 10.2.2).

        A fragment is inherited where the reference has none; user and password never are. A space, which many servers
        send, becomes C{%20}.

        @param location: a field's value: bytes read as latin-1. They are taken for UTF-8; bytes that are no UTF-8 are
            percent-encoded as they are, as browsers do.
        @raise InvalidArgument: the reference is not valid, or its scheme is neither http nor https.
        """
        text = _fromWire(location).replace(" ", "%20")
        _checkCharacters(text, "the location")
        match = _split(text)
        assert match is not None
        scheme, authority, path, query, fragment = match.groups()
        if scheme is not None:
            target = _parse(text)
        elif authority is not None:
            target = _parse(f"{self.origin.scheme}:{text}")
        else:
            target = self._relative(path, query, fragment)
        if target.fragment is None:
            target.fragment = self.fragment
        return target

    def _relative(self, path: str, query: str | None, fragment: str | None) -> Target:
        own, mark, ownQuery = self.path.partition("?")
        if not path:
            path = own
            if query is None and mark:
                query = ownQuery
        elif path[0] != "/":
            path = own[: own.rindex("/") + 1] + path
        return _made(self.origin, self.host, path, query, fragment, None)


# What the text before the path means. Users ask the same few origins; the bound keeps the rest below some 300 KB. Text
# with user information never enters it.
_CACHE_SIZE = 512
_CACHED_LENGTH = 128
_authorities: dict[str, tuple[Origin, str]] = {}
_known = _authorities.get


def _parse(url: str | yarl.URL) -> Target:
    """
    Parse a URL, whatever its form: the slow path of L{parseUrl}.
    """
    text = _text(url)
    _checkCharacters(text, "the URL")
    match = _split(text)
    assert match is not None
    scheme, authority, path, query, fragment = match.groups()
    # lower() would make an ASCII letter of some others.
    scheme = scheme.lower() if scheme is not None and scheme.isascii() else scheme
    if scheme not in _PORTS:
        _refuse(text, "must begin with http:// or https://")
    userinfo, at, place = (authority or "").rpartition("@")
    origin, host = _originOf(text, scheme, place)
    if not at and match.end(2) <= _CACHED_LENGTH:
        if len(_authorities) >= _CACHE_SIZE:
            _authorities.clear()
        _authorities[text[: match.end(2)]] = (origin, host)
    return _made(origin, host, path, query, fragment, _credentials(text, userinfo) if userinfo else None)


@fastPathOf(_parse, name="client.url", why="a URL of 46 characters to an origin seen before: 0.73 us instead of 6.4")
def parseUrl(url: str | yarl.URL) -> Target:
    """
    Parse an absolute URL of http or https (RFC 3986, RFC 9110 section 4.2).

    The host is given in lower case and ASCII (IDNA with the mapping of UTS 46, as yarl has it), the path without dot
    segments. Characters that may not stand in a path, query or fragment are percent-encoded as UTF-8.

    @raise InvalidArgument: the URL is not valid, or it has another scheme or no host.
    @raise NotSupported: the host is not in ASCII, and the extra C{client} is not installed.
    """
    if url.__class__ is str:
        # Where "https://" ends, or one character of the host of "http://": what lies before the path. Without a slash
        # this is the last character, which the pattern refuses, as it does a target that begins elsewhere.
        at = url.find("/", 8)
        known = _known(url[:at])
        if known is not None:
            path: str = url[at:]
            if _valid(path) is not None and "/." not in path:
                origin, host = known
                return Target(origin, path, host)
    return _parse(url)


def _text(url: object) -> str:
    if isinstance(url, str):
        return url
    # Where nobody has imported yarl, nobody has a URL of yarl's.
    yarl = sys.modules.get("yarl")
    if yarl is not None and isinstance(url, yarl.URL):
        return str(url)
    raise InvalidArgument(f"the URL must be a str or a yarl.URL, not {type(url).__name__}")


def _refuse(url: str, fault: str, cause: Exception | None = None) -> NoReturn:
    raise InvalidArgument(f"the URL {fault}: {shorten(_shown(url))}") from cause


def _shown(url: str) -> str:
    return _secret(r"\1\2…@", url)


def _checkCharacters(text: str, what: str) -> None:
    match = _unusable(text)
    if match is not None:
        which = f"U+{ord(match[0]):04X} at index {match.start()}"
        raise InvalidArgument(
            f"{what} must not hold white space or control characters ({which}): {shorten(_shown(text))}"
        )


def _originOf(url: str, scheme: str, place: str) -> tuple[Origin, str]:
    """
    @param place: host and port.
    @return: the origin, and the value of the Host field.
    """
    if not place or place[0] == ":":
        _refuse(url, "has no host")
    match = _hostAndPort(place)
    if match is None:
        _refuse(url, "must have host or host:port after //, an IPv6 address in brackets and without a zone")
    host, digits = match.groups()
    default = _PORTS[scheme]
    port = int(digits) if digits else default
    if not 0 < port < 65536:
        _refuse(url, f"must have a port from 1 to 65535, not {port}")
    if host[0] == "[":
        try:
            host = IPv6Address(host[1:-1]).compressed
        except AddressValueError as error:
            _refuse(url, "must have an IPv6 address between [ and ]", error)
        shown = f"[{host}]"
    else:
        shown = host = _nameOf(url, host)
    return Origin(scheme, host, port), shown if port == default else f"{shown}:{port}"


def _nameOf(url: str, host: str) -> str:
    host = host.lower() if host.isascii() else _inAscii(url, host)
    if _name(host) is None or len(host) > _LONGEST_NAME + host.endswith("."):
        _refuse(url, "must have a host of letters, digits, hyphens and dots")
    if _numeric(host) is not None:
        # 127.1, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to some, and something else to others.
        try:
            IPv4Address(host)
        except AddressValueError as error:
            _refuse(url, "must have an IPv4 address of four decimal numbers", error)
    return host


def _inAscii(url: str, host: str) -> str:
    try:
        import yarl
    except ImportError as error:
        raise NotSupported(NEEDS_YARL) from error
    try:
        found = yarl.URL.build(scheme="http", host=host).raw_host or ""
    except ValueError as error:
        _refuse(url, f"must have a host that IDNA allows ({error})", error)
    # What comes of it is judged as if it had been given.
    return found.lower() if found.isascii() else ""


def _credentials(url: str, userinfo: str) -> tuple[str, str]:
    """
    Return user and password, decoded. RFC 3986 section 3.2.1.
    """
    if _userinfo(userinfo) is None:
        _refuse(url, "must have user and password without \\, and with @ and % percent-encoded (%40, %25)")
    user, _, password = userinfo.partition(":")
    try:
        user, password = unquote(user, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        # The cause would show the password.
        raise InvalidArgument(f"the URL must have user and password in UTF-8: {shorten(_shown(url))}") from None
    if ":" in user or _control(user + password):
        _refuse(url, "must have a user without a colon, and no control characters in user and password (RFC 7617)")
    return user, password


def _made(
    origin: Origin,
    host: str,
    path: str,
    query: str | None,
    fragment: str | None,
    userinfo: tuple[str, str] | None,
) -> Target:
    path = _withoutDots(_notPath(_percent, path))
    if query is not None:
        path = f"{path}?{_notQuery(_percent, query)}"
    return Target(origin, path, host, None if fragment is None else _notQuery(_percent, fragment), userinfo)


def _withoutDots(path: str) -> str:
    """
    Remove dot segments. RFC 3986 section 5.2.4.
    """
    if "/." not in path:
        return path or "/"
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8"))


def _fromWire(location: str) -> str:
    if location.isascii():
        return location
    try:
        raw = location.encode("latin-1")
    except UnicodeEncodeError:
        # It is text already.
        return location
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)
