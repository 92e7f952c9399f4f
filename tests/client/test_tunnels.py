"""
Tunnels by CONNECT and by SOCKS5, in memory: what a proxy may say, however it is cut.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.support import temporaryDirectory
from wasinet_twisted.client.proxies import Proxy
from wasinet_twisted.client.tunnels import throughHttp, throughSocks5
from wasinet_twisted.errors import (
    ConnectFailed,
    ConnectionClosed,
    InvalidArgument,
    MessageTooLarge,
    NotSupported,
    ProxyFailed,
    RemoteProtocolError,
    UnreadPlaintext,
)
from wasinet_twisted.http import Limits
from wasinet_twisted.net import TlsClient, TlsServer, WasiTcpConn
from wasinet_twisted.testing import Pair, pair

HTTP = Proxy.parse("http://proxy.example:3128")
WITH_PASSWORD = Proxy.parse("http://user:secret@proxy.example:3128")
SOCKS = Proxy.parse("socks5h://proxy.example")
SOCKS_PASSWORD = Proxy.parse("socks5h://user:secret@proxy.example")
ASKED = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"

Script = Iterable[tuple[bytes, bytes]]


class TunnelCase(SynchronousTestCase):
    """
    @ivar heard: what the proxy was told.
    """

    heard: bytes

    def talk(
        self,
        tunnel: Callable[[WasiTcpConn], Coroutine[Any, Any, None]],
        script: Script,
        *,
        ends: bool = False,
        **options: Any,
    ) -> Pair:
        """
        Have a proxy wait for what it is to be told and answer with what it says, one after the other.

        @param ends: does it end the connection then?
        """
        link = pair(**options)
        self.heard = b""
        proxy = ensureDeferred(self.proxy(link.server, script, ends))
        try:
            link.run(tunnel(link.client))
        finally:
            link.settle()
            self.assertTrue(proxy.called)
            proxy.addErrback(lambda failure: failure.trap(ConnectionClosed))
            self.assertEqual([call for call in link.clock.getDelayedCalls() if call.active()], [])
        return link

    async def proxy(self, conn: WasiTcpConn, script: Script, ends: bool) -> None:
        for awaited, said in script:
            self.heard += await conn.readExactly(len(awaited))
            conn.write(said)
        if ends:
            await conn.finish()

    def goesOn(self, link: Pair, arrived: bytes = b"") -> None:
        """
        The connection is the host's: what has come behind the proxy's answer is there, and both directions work.
        """
        link.server.write(b"there")
        self.assertEqual(link.run(link.client.readExactly(len(arrived) + 5)), arrived + b"there")
        link.client.write(b"back")
        self.assertEqual(link.run(link.server.readExactly(4)), b"back")
        self.end(link)

    def end(self, link: Pair) -> None:
        closing = link.client.close()
        link.run(link.server.close())
        link.run(closing)

    def stays(self, link: Pair) -> None:
        """
        The connection is still the caller's to close.
        """
        self.assertFalse(link.client.whenClosed().called)
        self.end(link)


def cuts(data: bytes) -> list[list[tuple[bytes, bytes]]]:
    """
    Scripts in which a proxy ends inside its answer: behind each of its bytes but the last.
    """
    return [[(b"", data[:size])] for size in range(len(data))]


class HttpTests(TunnelCase):
    def connect(self, script: Script, proxy: Proxy = HTTP, limits: Limits | None = None, **options: Any) -> Pair:
        given = {} if limits is None else {"limits": limits}
        return self.talk(lambda conn: throughHttp(conn, "example.org", 443, proxy, **given), script, **options)

    def answered(self, answer: bytes, proxy: Proxy = HTTP, **options: Any) -> Pair:
        return self.connect([(ASKED, answer)], proxy, **options)

    def refused(self, kind: type[Exception], pattern: str, answer: bytes, proxy: Proxy = HTTP, **options: Any) -> Any:
        with self.assertRaisesRegex(kind, pattern) as caught:
            self.answered(answer, proxy, **options)
        self.assertIn("proxy.example", str(caught.exception))
        self.assertNotIn("secret", str(caught.exception))
        return caught.exception

    def test_request(self) -> None:
        link = self.connect([(ASKED, OK)])
        self.assertEqual(self.heard, ASKED)
        self.goesOn(link)

    def test_credentials(self) -> None:
        asked = ASKED[:-2] + b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n"
        link = self.connect([(asked, OK)], WITH_PASSWORD)
        self.assertEqual(self.heard, asked)
        self.end(link)

    def test_anIpv6Address(self) -> None:
        asked = b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n"
        link = self.talk(lambda conn: throughHttp(conn, "2001:db8::1", 8443, HTTP), [(asked, OK)])
        self.assertEqual(self.heard, asked)
        self.end(link)

    def test_everyCut(self) -> None:
        for size in (1, 2, 3, 7, None):
            self.goesOn(self.answered(OK, chunkSize=size))

    def test_whatCountsAsAccepted(self) -> None:
        """
        Each 2xx, and no field of it says how long a body is (RFC 9110 section 9.3.6). So do proxies of HTTP/1.0 answer.
        """
        for answer in (
            b"HTTP/1.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.1 299 \r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ):
            self.goesOn(self.answered(answer))

    def test_whatComesBehindIsForTheNextRead(self) -> None:
        """
        A server that speaks first, as SMTP's does.
        """
        for size in (1, 5, None):
            link = self.answered(OK + b"220 welcome", chunkSize=size)
            self.goesOn(link, b"220 welcome")

    def test_interimResponses(self) -> None:
        self.goesOn(self.answered(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nX: y\r\n\r\n" + OK, chunkSize=3))

    def test_tooManyInterimResponses(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        self.goesOn(self.answered(interim * 10 + OK))
        self.refused(RemoteProtocolError, "more than 10 interim responses", interim * 11 + OK)

    def test_refused(self) -> None:
        """
        The body is not read: it is the proxy's, not the host's, and may have no end.
        """
        for status, answer in (
            (403, b"HTTP/1.1 403 Filtered\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000)),
            (502, b"HTTP/1.1 502 Filtered\r\n\r\n" + bytes(100_000)),
            (302, b"HTTP/1.1 302 Filtered\r\nLocation: http://evil.example/\r\n\r\n"),
            (407, b"HTTP/1.1 407 Filtered\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ):
            error = self.refused(
                ProxyFailed, f"the proxy {HTTP} refused CONNECT example.org:443 with {status} Filtered", answer
            )
            self.assertIsInstance(error, ConnectFailed)
            self.assertEqual((error.status, error.replyCode), (status, None))

    def test_theConnectionStays(self) -> None:
        link = pair()
        connecting = ensureDeferred(throughHttp(link.client, "example.org", 443, HTTP))
        link.server.write(b"HTTP/1.1 403 No\r\n\r\n")
        link.settle()
        self.failureResultOf(connecting, ProxyFailed)
        self.stays(link)

    def test_credentialsAreAskedFor(self) -> None:
        answer = b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
        error = self.refused(ProxyFailed, "it takes a user and a password, http://user:password@host:port", answer)
        self.assertIn('(it asks for Basic realm="x")', str(error))
        error = self.refused(
            ProxyFailed, "it does not accept the credentials of 'user' by Basic", answer, WITH_PASSWORD
        )
        self.assertEqual(error.status, 407)
        negotiate = b"HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n"
        self.refused(ProxyFailed, r"\(it asks for Negotiate, NTLM\)", negotiate, WITH_PASSWORD)

    def test_whatAProxySaysIsShownInPart(self) -> None:
        """
        It may go into a log, or onto a terminal.
        """
        error = self.refused(
            ProxyFailed,
            r"with 500 \?\[31m\?é",
            b"HTTP/1.1 500 \x1b[31m\x80\xe9\r\n\r\n".replace(b"\x1b", b"\x9b"),
        )
        self.assertTrue(str(error).isprintable())
        reason = b"r" * 8000
        self.assertLess(len(str(self.refused(ProxyFailed, "500 r", b"HTTP/1.1 500 " + reason + b"\r\n\r\n"))), 300)
        answer = b"HTTP/1.1 407 x\r\nProxy-Authenticate: " + reason + b"\r\n\r\n"
        self.assertLess(len(str(self.refused(ProxyFailed, "it asks for r", answer))), 400)

    def test_malformed(self) -> None:
        for answer in (
            b"\x05\x00",
            b"\r\n\r\n\r\n",
            b"220 smtp.example ESMTP\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\n\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"HTTP/1.1 600 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
            b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ):
            for size in (1, None):
                # Where it matters: some of it is seen at the end only.
                error = self.refused(
                    RemoteProtocolError,
                    f"the proxy {HTTP} answered CONNECT example.org:443 with a malformed response: ",
                    answer + b"\r\n",
                    chunkSize=size,
                    ends=True,
                )
                self.assertIsInstance(error.__cause__, RemoteProtocolError)

    def test_anEndlessHead(self) -> None:
        for filling in (b"X: y\r\n", b"x" * 1000, b"X: " + b"y" * 1000 + b"\r\n"):
            answer = b"HTTP/1.1 200 OK\r\n" + filling * 100_000
            error = self.refused(MessageTooLarge, "malformed response: ", answer[:10_000_000])
            self.assertEqual(error.statusHint, 431)

    def test_theBoundOfTheHead(self) -> None:
        """
        From both sides, and the caller may set another.
        """
        for limits, bound in ((None, 32 * 1024), (Limits(head=1000), 1000)):
            start = b"HTTP/1.1 200 OK\r\nX: "
            # The bound counts up to the end of the last field.
            fits = start + b"y" * (bound - len(start) - 2) + b"\r\n\r\n"
            self.goesOn(self.answered(fits, limits=limits))
            self.refused(MessageTooLarge, f"{bound}", fits.replace(b"X", b"XX"), limits=limits)

    def test_aProxyThatEnds(self) -> None:
        """
        At every byte of its response.
        """
        for script in cuts(OK):
            with self.assertRaisesRegex(ProxyFailed, "did not answer CONNECT example.org:443: ") as caught:
                self.connect(script, ends=True)
            self.assertIsNone(caught.exception.status)

    def test_aProxyThatResets(self) -> None:
        for size in (0, 10):
            link = pair()
            connecting = ensureDeferred(throughHttp(link.client, "example.org", 443, HTTP))
            link.server.write(OK[:size])
            link.settle()
            link.lose()
            link.settle()
            error = self.failureResultOf(connecting, ProxyFailed).value
            self.assertIsInstance(error.__cause__, ConnectionClosed)

    def test_aProxyThatSaysNothing(self) -> None:
        """
        The deadline is the caller's; giving up leaves nothing behind, and closes nothing.
        """
        for said in (b"", OK[:20]):
            link = pair()
            connecting = ensureDeferred(throughHttp(link.client, "example.org", 443, HTTP))
            link.server.write(said)
            link.advance(3600)
            self.assertNoResult(connecting)
            connecting.cancel()
            self.failureResultOf(connecting, CancelledError)
            self.stays(link)

    def test_whatCantBe(self) -> None:
        for host, port, proxy, pattern in (
            ("example.org", 0, HTTP, "from 1 to 65535, not 0"),
            ("example.org", 65536, HTTP, "from 1 to 65535, not 65536"),
            ("", 443, HTTP, "a host must be"),
            ("x\r\nX: y", 443, HTTP, "a host must be"),
            ("example.org:443", 443, HTTP, "a host must be"),
            ("fe80::1%eth0", 443, HTTP, "a zone is of no use to a proxy"),
            ("x." * 128, 443, HTTP, "at most 255 characters, not 256"),
            ("example.org", 443, SOCKS, "CONNECT is for HTTP proxies, not for socks5h://proxy.example:1080"),
        ):
            link = pair()
            connecting = ensureDeferred(throughHttp(link.client, host, port, proxy))
            self.assertRegex(str(self.failureResultOf(connecting, InvalidArgument).value), pattern)
            link.settle()
            # Nothing was sent.
            self.assertNoResult(reading := link.server.read())
            reading.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
            self.stays(link)


class TlsThroughHttpTests(SynchronousTestCase):
    def setUp(self) -> None:
        authority = Authority(temporaryDirectory(self))
        self.client = TlsClient("example.org", caCertificates=authority.path)
        self.server = TlsServer(authority.issue("example.org"))

    def begin(self, link: Pair, answer: bytes) -> Deferred[None]:
        connecting = ensureDeferred(throughHttp(link.client, "example.org", 443, HTTP))
        link.run(link.server.readExactly(len(ASKED)))
        link.server.write(answer)
        link.run(connecting)
        return link.client.startTLS(self.client)

    def test_tls(self) -> None:
        for size in (1, None):
            link = pair(chunkSize=size)
            shaking = self.begin(link, OK)
            link.run(link.server.startTLS(self.server))
            link.run(shaking)
            link.client.write("secret")
            self.assertEqual(link.run(link.server.read()), b"secret")
            closing = link.client.close()
            link.run(link.server.close())
            link.run(closing)

    def test_bytesInFrontOfTls(self) -> None:
        """
        The proxy, or somebody on the way, says what would pass for the host's own words.
        """
        link = pair()
        with self.assertRaisesRegex(UnreadPlaintext, "4 bytes have come in the clear"):
            self.begin(link, OK + b"evil")
        closing = link.client.close()
        link.run(link.server.close())
        link.run(closing)


# The greeting without and with credentials, and what is asked for
NOBODY = b"\x05\x01\x00"
SOMEBODY = b"\x05\x02\x00\x02"
CREDENTIALS = b"\x01\x04user\x06secret"
BY_NAME = b"\x05\x01\x00\x03\x0bexample.org\x01\xbb"
IPV4 = b"\x01\xc0\x00\x02\x01"
CONNECTED = b"\x05\x00\x00\x01\xc0\x00\x02\x01\x04\x38"


class SocksTests(TunnelCase):
    def connect(self, script: Script, proxy: Proxy = SOCKS, host: str = "example.org", **options: Any) -> Pair:
        return self.talk(lambda conn: throughSocks5(conn, host, 443, proxy), script, **options)

    def refused(self, kind: type[Exception], pattern: str, script: Script, proxy: Proxy = SOCKS, **options: Any) -> Any:
        with self.assertRaisesRegex(kind, pattern) as caught:
            self.connect(script, proxy, **options)
        message = str(caught.exception)
        self.assertTrue(message.startswith(f"SOCKS5 to example.org:443 by the proxy {proxy} failed: "), message)
        self.assertNotIn("secret", message)
        return caught.exception

    def test_byName(self) -> None:
        link = self.connect([(NOBODY, b"\x05\x00"), (BY_NAME, CONNECTED)])
        self.assertEqual(self.heard, NOBODY + BY_NAME)
        self.goesOn(link)

    def test_byAddress(self) -> None:
        """
        With either scheme.
        """
        for host, asked in (
            ("192.0.2.1", b"\x05\x01\x00" + IPV4 + b"\x01\xbb"),
            ("2001:db8::1", b"\x05\x01\x00\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x01\xbb"),
        ):
            for scheme in ("socks5", "socks5h"):
                proxy = Proxy(scheme, "proxy.example", 1080)
                link = self.connect([(NOBODY, b"\x05\x00"), (asked, CONNECTED)], proxy, host)
                self.assertEqual(self.heard, NOBODY + asked)
                self.goesOn(link)

    def test_credentials(self) -> None:
        link = self.connect([(SOMEBODY, b"\x05\x02"), (CREDENTIALS, b"\x01\x00"), (BY_NAME, CONNECTED)], SOCKS_PASSWORD)
        self.assertEqual(self.heard, SOMEBODY + CREDENTIALS + BY_NAME)
        self.goesOn(link)

    def test_longCredentials(self) -> None:
        """
        As long as they may be, in UTF-8; and none for a password.
        """
        for user, password in (("ü" * 127, "p" * 255), ("u", "")):
            asked = b"\x01%c%b%c%b" % (len(user.encode()), user.encode(), len(password), password.encode())
            script = [(SOMEBODY, b"\x05\x02"), (asked, b"\x01\x00"), (BY_NAME, CONNECTED)]
            link = self.connect(script, Proxy("socks5h", "h", 1, user, password))
            self.assertEqual(self.heard, SOMEBODY + asked + BY_NAME)
            self.end(link)

    def test_credentialsNobodyAsksFor(self) -> None:
        """
        They are not sent.
        """
        link = self.connect([(SOMEBODY, b"\x05\x00"), (BY_NAME, CONNECTED)], SOCKS_PASSWORD)
        self.assertEqual(self.heard, SOMEBODY + BY_NAME)
        self.end(link)

    def test_everyCut(self) -> None:
        """
        And whatever the address that the proxy connects from.
        """
        for reply in (
            CONNECTED,
            b"\x05\x00\x00\x04" + bytes(16) + b"\x04\x38",
            b"\x05\x00\x00\x03\x00\x00\x00",
            b"\x05\x00\x00\x03\x04host\x00\x00",
            b"\x05\x00\x00\x03\xff" + b"\xff" * 255 + b"\x00\x00",
        ):
            for size in (1, 2, 3, 7, None):
                script = [(SOMEBODY, b"\x05\x02"), (CREDENTIALS, b"\x01\x00"), (BY_NAME, reply)]
                self.goesOn(self.connect(script, SOCKS_PASSWORD, chunkSize=size))

    def test_whatComesBehindIsForTheNextRead(self) -> None:
        for size in (1, None):
            link = self.connect([(NOBODY, b"\x05\x00"), (BY_NAME, CONNECTED + b"220 welcome")], chunkSize=size)
            self.goesOn(link, b"220 welcome")

    def test_allAtOnce(self) -> None:
        """
        A proxy that doesn't wait to be asked is no other than one that does.
        """
        link = pair()
        connecting = ensureDeferred(throughSocks5(link.client, "example.org", 443, SOCKS))
        link.server.write(b"\x05\x00" + CONNECTED)
        link.run(connecting)
        link.run(link.server.readExactly(len(NOBODY + BY_NAME)))
        self.goesOn(link)

    def test_replies(self) -> None:
        """
        In RFC 1928's own words. What follows the code may be missing.
        """
        for code, words in (
            (1, "general SOCKS server failure"),
            (2, "connection not allowed by ruleset"),
            (3, "network unreachable"),
            (4, "host unreachable"),
            (5, "connection refused"),
            (6, "TTL expired"),
            (7, "command not supported"),
            (8, "address type not supported"),
            (9, "a code that RFC 1928 does not assign"),
            (255, "a code that RFC 1928 does not assign"),
        ):
            for rest in (b"", b"\x00\x01" + bytes(6), b"\xff" * 300):
                script = [(NOBODY, b"\x05\x00"), (BY_NAME, bytes([5, code]) + rest)]
                error = self.refused(ProxyFailed, rf"{words} \(reply code {code}\)", script)
                self.assertIsInstance(error, ConnectFailed)
                self.assertEqual((error.replyCode, error.status), (code, None))

    def test_theConnectionStays(self) -> None:
        link = pair()
        connecting = ensureDeferred(throughSocks5(link.client, "example.org", 443, SOCKS))
        link.server.write(b"\x05\xff")
        link.settle()
        self.failureResultOf(connecting, ProxyFailed)
        self.stays(link)

    def test_noMethod(self) -> None:
        error = self.refused(ProxyFailed, "takes nobody without credentials", [(NOBODY, b"\x05\xff")])
        self.assertIsNone(error.replyCode)
        self.refused(ProxyFailed, "takes no user and password", [(SOMEBODY, b"\x05\xff")], SOCKS_PASSWORD)

    def test_credentialsThatAreNotAccepted(self) -> None:
        for status in (1, 2, 255):
            script = [(SOMEBODY, b"\x05\x02"), (CREDENTIALS, bytes([1, status]))]
            self.refused(ProxyFailed, "does not accept the credentials of 'user'", script, SOCKS_PASSWORD)
            self.assertEqual(self.heard, SOMEBODY + CREDENTIALS)

    def test_malformed(self) -> None:
        accepted = (NOBODY, b"\x05\x00")
        for pattern, *script in (
            ("the version is 4, not 5", (NOBODY, b"\x04\x00")),
            ("the version is 72, not 5", (NOBODY, b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            ("the version is 0, not 5", (NOBODY, b"\x00\x5a")),
            # Credentials would be sent to whoever asks.
            ("the method 2, which was not offered", (NOBODY, b"\x05\x02")),
            ("the method 1, which was not offered", (NOBODY, b"\x05\x01")),
            ("the method 128, which was not offered", (NOBODY, b"\x05\x80")),
            ("the version is 4, not 5", accepted, (BY_NAME, b"\x04" + CONNECTED[1:])),
            ("the version is 0, not 5", accepted, (BY_NAME, bytes(10))),
            ("the reserved byte is 1, not 0", accepted, (BY_NAME, b"\x05\x00\x01" + CONNECTED[3:])),
            ("an address of type 0", accepted, (BY_NAME, b"\x05\x00\x00\x00" + CONNECTED[4:])),
            ("an address of type 2", accepted, (BY_NAME, b"\x05\x00\x00\x02" + CONNECTED[4:])),
        ):
            for size in (1, None):
                self.refused(RemoteProtocolError, f"as RFC 1928 has it: .*{pattern}", script, chunkSize=size)

    def test_malformedWithCredentials(self) -> None:
        for pattern, *script in (
            ("the method 1, which was not offered", (SOMEBODY, b"\x05\x01")),
            ("the version of the credentials' reply is 5, not 1", (SOMEBODY, b"\x05\x02"), (CREDENTIALS, b"\x05\x00")),
        ):
            self.refused(RemoteProtocolError, pattern, script, SOCKS_PASSWORD)

    def test_aProxyThatEnds(self) -> None:
        """
        At every byte of each of its replies.
        """
        steps = [(SOMEBODY, b"\x05\x02"), (CREDENTIALS, b"\x01\x00"), (BY_NAME, CONNECTED)]
        for index, (asked, reply) in enumerate(steps):
            for size in range(len(reply)):
                script = [*steps[:index], (asked, reply[:size])]
                error = self.refused(ProxyFailed, "the proxy ended the connection", script, SOCKS_PASSWORD, ends=True)
                self.assertIsNone(error.replyCode)

    def test_aProxyThatResets(self) -> None:
        link = pair()
        connecting = ensureDeferred(throughSocks5(link.client, "example.org", 443, SOCKS))
        link.server.write(b"\x05")
        link.settle()
        link.lose()
        link.settle()
        self.failureResultOf(connecting, ProxyFailed)

    def test_aProxyThatSaysNothing(self) -> None:
        for said in (b"", b"\x05", b"\x05\x00", b"\x05\x00" + CONNECTED[:-1]):
            link = pair()
            connecting = ensureDeferred(throughSocks5(link.client, "example.org", 443, SOCKS))
            link.server.write(said)
            link.advance(3600)
            self.assertNoResult(connecting)
            connecting.cancel()
            self.failureResultOf(connecting, CancelledError)
            self.stays(link)

    def test_whatCantBe(self) -> None:
        plain = Proxy.parse("socks5://proxy.example")
        for host, port, proxy, pattern in (
            ("example.org", 443, plain, "is told the host's IP address, not 'example.org'; with socks5h"),
            ("example.org", 0, SOCKS, "from 1 to 65535, not 0"),
            ("", 443, SOCKS, "a host must be"),
            ("fe80::1%eth0", 443, plain, "a zone is of no use to a proxy"),
            ("x." * 128, 443, SOCKS, "at most 255 characters, not 256"),
            ("example.org", 443, HTTP, "SOCKS5 is for SOCKS5 proxies, not for http://proxy.example:3128"),
        ):
            link = pair()
            connecting = ensureDeferred(throughSocks5(link.client, host, port, proxy))
            self.assertRegex(str(self.failureResultOf(connecting, InvalidArgument).value), pattern)
            self.stays(link)

    def test_theLongestName(self) -> None:
        host = "x." * 127 + "y"
        asked = b"\x05\x01\x00\x03\xff" + host.encode() + b"\x01\xbb"
        link = self.connect([(NOBODY, b"\x05\x00"), (asked, CONNECTED)], host=host)
        self.assertEqual(self.heard, NOBODY + asked)
        self.end(link)

    def test_withoutTheExtra(self) -> None:
        link = pair()
        with patch.dict(sys.modules, {"socksio": None}):
            connecting = ensureDeferred(throughSocks5(link.client, "example.org", 443, SOCKS))
            error = self.failureResultOf(connecting, NotSupported).value
        self.assertIn("pip install 'wasinet_twisted[client]'", str(error))
        self.stays(link)
