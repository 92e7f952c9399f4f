"""
Tunnels: a connection with a proxy becomes one with the host behind it, by CONNECT (RFC 9110 section 9.3.6) or by SOCKS5
(RFC 1928).

    conn = await net.connect(proxy.host, proxy.port)
    await throughHttp(conn, "example.org", 443, proxy)
    await conn.startTLS(net.TlsClient("example.org"))

Neither has a deadline of its own: the caller sets one for all of it. Neither closes the connection, whether it fails or
is cancelled: that is the caller's, too, and the connection is good for nothing else then.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address

from ..errors import (
    ConnectionClosed,
    IncompleteRead,
    InvalidArgument,
    NotSupported,
    ProxyFailed,
    RemoteProtocolError,
)
from ..http import ClientConnection, Limits, ResponseHead, WasiRequest
from ..net import WasiTcpConn
from ..net.addresses import checkHost, checkPort
from .proxies import HTTP_SCHEMES, Proxy, hostPort

NEEDS_SOCKS = "SOCKS5 proxies need the extra: pip install 'wasinet_twisted[client]'"

_LIMITS = Limits()
# How much of what a proxy says a message shows, in characters.
_SHOWN = 100
# ClientConnection is told the time for its deadlines. Here the caller has them.
_NOW = 0.0

# RFC 1928 section 6. The rest is unassigned.
_REPLIES = {
    1: "general SOCKS server failure",
    2: "connection not allowed by ruleset",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
# By the type of an address (RFC 1928 section 5), how many bytes follow its first one, without the port; of a name, that
# one says it.
_ADDRESS_SIZES = {1: 3, 4: 15, 3: None}
_NAME_SIZE = 255
# What a reply says in which the proxy's own address is 0.0.0.0:0.
_SUCCEEDED = b"\x05\x00\x00\x01" + bytes(6)


async def throughHttp(conn: WasiTcpConn, host: str, port: int, proxy: Proxy, *, limits: Limits = _LIMITS) -> None:
    """
    Have an HTTP proxy connect to a host, by CONNECT.

    @param conn: a connection with the proxy; over TLS, if the proxy's scheme is https. Nothing else reads from it.
    @param host: the host's name or IP address.
    @param limits: the bounds on the head of the proxy's response; its body is not read.
    @return: when C{conn} is connected to the host. What the host has sent by then is for the next read.
    @raise ProxyFailed: the proxy refused, and C{status} is its response's; or it ended the connection without one.
    @raise RemoteProtocolError: the proxy's response is malformed, or too large.
    @raise InvalidArgument: C{host} or C{port} can't be one, or C{proxy} is no HTTP proxy.
    """
    if proxy.scheme not in HTTP_SCHEMES:
        raise InvalidArgument(f"CONNECT is for HTTP proxies, not for {proxy}")
    target = hostPort(_checkTarget(host), checkPort(port, least=1))
    # RFC 9112 section 3.2.3: the Host field has the same authority.
    headers = {"Host": target}
    if (authorization := proxy.authorization()) is not None:
        headers["Proxy-Authorization"] = authorization
    client = ClientConnection(limits)
    conn.write(client.request(WasiRequest("CONNECT", target, headers), _NOW))
    try:
        head = await _responseHead(conn, client)
    except RemoteProtocolError as error:
        raise type(error)(
            f"the proxy {proxy} answered CONNECT {target} with a malformed response: {error}",
            statusHint=error.statusHint,
            offset=error.offset,
        ) from error
    except (ConnectionClosed, IncompleteRead) as error:
        raise ProxyFailed(f"the proxy {proxy} did not answer CONNECT {target}: {error}") from error
    if not 200 <= head.status < 300:
        raise ProxyFailed(
            f"the proxy {proxy} refused CONNECT {target} with {_statusOf(head)}{_advice(head, proxy)}",
            status=head.status,
        )
    if rest := client.takeRest():
        conn.unread(rest)


async def _responseHead(conn: WasiTcpConn, client: ClientConnection) -> ResponseHead:
    """
    Return the head of the final response.
    """
    while True:
        event = client.nextEvent(_NOW)
        if event is None:
            if data := await conn.read():
                client.receive(data, _NOW)
            else:
                client.eof(_NOW)
        elif isinstance(event, ResponseHead) and event.status >= 200:
            return event


def _statusOf(head: ResponseHead) -> str:
    return f"{head.status} {_printable(head.reason)}".rstrip()


def _advice(head: ResponseHead, proxy: Proxy) -> str:
    if head.status != 407:
        return ""
    offered = head.getHeader("Proxy-Authenticate")
    asks = "" if offered is None else f" (it asks for {_printable(offered)})"
    if proxy.user is None:
        return f": it takes a user and a password, http://user:password@host:port{asks}"
    return f": it does not accept the credentials of {_printable(proxy.user)!r} by Basic{asks}"


async def throughSocks5(conn: WasiTcpConn, host: str, port: int, proxy: Proxy) -> None:
    """
    Have a SOCKS5 proxy connect to a host.

    @param conn: a connection with the proxy. Nothing else reads from it.
    @param host: for a proxy of scheme C{"socks5h"} the host's name, which the proxy resolves, or its IP address; for
        C{"socks5"} the IP address that the caller has resolved the name to.
    @return: when C{conn} is connected to the host. No byte behind the proxy's reply has been read.
    @raise ProxyFailed: the proxy refused, or ended the connection. C{replyCode} is that of its reply, if there was one.
    @raise RemoteProtocolError: the proxy doesn't speak SOCKS5 as RFC 1928 has it.
    @raise InvalidArgument: C{host} or C{port} can't be one, C{host} is a name though the scheme is C{"socks5"}, or
        C{proxy} is no SOCKS5 proxy.
    @raise NotSupported: socksio is not installed.
    """
    if proxy.scheme in HTTP_SCHEMES:
        raise InvalidArgument(f"SOCKS5 is for SOCKS5 proxies, not for {proxy}")
    host, port = _checkTarget(host), checkPort(port, least=1)
    if proxy.scheme == "socks5" and not (isIPAddress(host) or isIPv6Address(host)):
        raise InvalidArgument(
            f"a proxy of scheme socks5 is told the host's IP address, not {host!r}; with socks5h it resolves names"
        )
    try:
        import socksio
    except ImportError as error:
        raise NotSupported(NEEDS_SOCKS) from error
    exchange = _Socks5(conn, proxy, hostPort(host, port))
    try:
        await exchange.authenticate(socksio)
        await exchange.connect(socksio, host, port)
    except (ConnectionClosed, IncompleteRead) as error:
        raise ProxyFailed(f"{exchange} failed: the proxy ended the connection ({error})") from error


class _Socks5:
    """
    One exchange with a SOCKS5 proxy.

    socksio knows the protocol's order and what is sent. It takes whole replies only, does not look at each version, and
    fails on the names of some proxies. So each reply is read to its exact length here, and looked at before socksio is
    told; what follows it stays unread.
    """

    def __init__(self, conn: WasiTcpConn, proxy: Proxy, target: str) -> None:
        """
        @param target: for messages.
        """
        self._conn = conn
        self._proxy = proxy
        self._target = target
        self._client: Any = None

    def __str__(self) -> str:
        return f"SOCKS5 to {self._target} by the proxy {self._proxy}"

    async def authenticate(self, socksio: Any) -> None:
        """
        Agree on a method, and show the credentials if that is for them (RFC 1929).
        """
        proxy, client = self._proxy, socksio.socks5.SOCKS5Connection()
        self._client = client
        methods = socksio.SOCKS5AuthMethod
        offered = [methods.NO_AUTH_REQUIRED]
        if proxy.user is not None:
            offered.append(methods.USERNAME_PASSWORD)
        self._send(socksio.SOCKS5AuthMethodsRequest(offered))
        version, chosen = reply = await self._conn.readExactly(2)
        self._check("the version", version, 5)
        if chosen == methods.NO_ACCEPTABLE_METHODS[0]:
            takes = "nobody without credentials" if proxy.user is None else "no user and password"
            raise ProxyFailed(f"{self} failed: the proxy takes {takes}")
        if chosen not in [method[0] for method in offered]:
            raise self._malformed(f"it chose the method {chosen}, which was not offered")
        client.receive_data(reply)
        if chosen == methods.NO_AUTH_REQUIRED[0]:
            return
        assert proxy.user is not None
        assert proxy.password is not None
        self._send(socksio.SOCKS5UsernamePasswordRequest(proxy.user.encode(), proxy.password.encode()))
        version, status = reply = await self._conn.readExactly(2)
        self._check("the version of the credentials' reply", version, 1)
        if status:
            raise ProxyFailed(f"{self} failed: the proxy does not accept the credentials of {_printable(proxy.user)!r}")
        client.receive_data(reply)

    async def connect(self, socksio: Any, host: str, port: int) -> None:
        """
        Ask for the connection.
        """
        command = socksio.SOCKS5Command.CONNECT
        self._send(socksio.SOCKS5CommandRequest.from_address(command, (host, port)))
        version, code = await self._conn.readExactly(2)
        self._check("the version", version, 5)
        if code:
            # Some proxies end the connection here, without the rest of the reply.
            words = _REPLIES.get(code, "a code that RFC 1928 does not assign")
            raise ProxyFailed(f"{self} failed: {words} (reply code {code})", replyCode=code)
        reserved, kind, first = await self._conn.readExactly(3)
        self._check("the reserved byte", reserved, 0)
        if kind not in _ADDRESS_SIZES:
            raise self._malformed(f"there is an address of type {kind} in its reply")
        size = _ADDRESS_SIZES[kind]
        await self._conn.readExactly((first if size is None else size) + 2)
        # The address that the proxy connects from is of no use, and socksio can't read all that there may be.
        self._client.receive_data(_SUCCEEDED)

    def _send(self, request: Any) -> None:
        self._client.send(request)
        self._conn.write(self._client.data_to_send())

    def _check(self, what: str, value: int, right: int) -> None:
        if value != right:
            raise self._malformed(f"{what} is {value}, not {right}")

    def _malformed(self, why: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"{self} failed: the proxy does not speak SOCKS5 as RFC 1928 has it: {why}")


def _checkTarget(host: str) -> str:
    host = checkHost(host)
    if "%" in host:
        raise InvalidArgument(f"a zone is of no use to a proxy, and {host!r} has one")
    if len(host) > _NAME_SIZE:
        raise InvalidArgument(f"a host must have at most {_NAME_SIZE} characters, not {len(host)}")
    return host


def _printable(text: str) -> str:
    # The peer may have written it, and it goes into messages and logs.
    text = "".join(c if c.isprintable() else "?" for c in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
