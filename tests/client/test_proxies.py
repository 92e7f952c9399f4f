"""
Which proxy, and what a request carries for it.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import FrozenInstanceError, replace
from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority
from tests.support import temporaryDirectory
from wasinet_twisted.client.proxies import Proxy, absoluteForm
from wasinet_twisted.errors import InvalidArgument

URL = "http://user:secret@proxy.example:3128"


class Origin(NamedTuple):
    scheme: str


class Target(NamedTuple):
    origin: Origin
    host: str
    path: str


class ParseTests(SynchronousTestCase):
    def refused(self, url: Any, pattern: str, **options: Any) -> str:
        with self.assertRaisesRegex(InvalidArgument, pattern) as caught:
            Proxy.parse(url, **options)
        message = str(caught.exception)
        self.assertNotIn("secret", message)
        # Nor in a traceback.
        self.assertTrue(caught.exception.__suppress_context__ or caught.exception.__context__ is None)
        return message

    def test_all(self) -> None:
        proxy = Proxy.parse(URL)
        self.assertEqual(
            (proxy.scheme, proxy.host, proxy.port, proxy.user, proxy.password),
            ("http", "proxy.example", 3128, "user", "secret"),
        )

    def test_defaultPorts(self) -> None:
        ports = {scheme: Proxy.parse(f"{scheme}://h").port for scheme in ("http", "https", "socks5", "socks5h")}
        self.assertEqual(ports, {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080})

    def test_withoutAScheme(self) -> None:
        self.assertEqual(Proxy.parse("h:3128"), Proxy("http", "h", 3128))
        self.assertEqual(Proxy.parse("u:p@h:3128"), Proxy("http", "h", 3128, "u", "p"))

    def test_case(self) -> None:
        """
        Neither the scheme nor the host has one; so equal proxies are found to be equal.
        """
        self.assertEqual(Proxy.parse("HTTP://Proxy.Example:80/"), Proxy("http", "proxy.example", 80))
        self.assertEqual(hash(Proxy.parse("HTTP://H")), hash(Proxy("http", "h", 80)))

    def test_addresses(self) -> None:
        self.assertEqual(Proxy.parse("http://192.0.2.1:1").host, "192.0.2.1")
        for url, host, port in (
            ("http://[2001:DB8::1]:1", "2001:db8::1", 1),
            ("socks5://[::1]", "::1", 1080),
            # RFC 6874.
            ("http://[fe80::1%25eth0]:1", "fe80::1%eth0", 1),
        ):
            proxy = Proxy.parse(url)
            self.assertEqual((proxy.host, proxy.port), (host, port))
        self.assertEqual(str(Proxy("http", "::1", 80)), "http://[::1]:80")

    def test_namesOutsideAscii(self) -> None:
        self.assertEqual(Proxy.parse("http://bücher.example").host, "xn--bcher-kva.example")

    def test_ports(self) -> None:
        self.assertEqual(Proxy.parse("http://h:1").port, 1)
        self.assertEqual(Proxy.parse("http://h:65535").port, 65535)
        for port in ("0", "65536", "", "x", "-1", "+1", "1 ", "1_0", "\u0661", "000080", "80:80", "1" * 5000):
            self.refused(f"http://h:{port}", "a proxy must be scheme://")

    def test_credentials(self) -> None:
        for userinfo, user, password in (
            ("u", "u", ""),
            ("u:", "u", ""),
            (":p", "", "p"),
            ("u:p:q", "u", "p:q"),
            ("u:p@q", "u", "p@q"),
            ("a%40b:%2F%3f%23%25", "a@b", "/?#%"),
            ("b%C3%BC:ü", "bü", "ü"),
        ):
            proxy = Proxy.parse(f"http://{userinfo}@h")
            self.assertEqual((proxy.user, proxy.password, proxy.host), (user, password, "h"), userinfo)
        for url in ("http://h", "http://@h"):
            proxy = Proxy.parse(url)
            self.assertEqual((proxy.user, proxy.password), (None, None))

    def test_credentialsThatCantBe(self) -> None:
        for userinfo, pattern in (
            ("u%3Av:secret", "no colon"),
            ("u:secret%", "two hexadecimal digits"),
            ("u:secret%4", "two hexadecimal digits"),
            ("u:secret%zz", "two hexadecimal digits"),
            ("u:secret%FF", "not UTF-8"),
            ("u:secret\udcff", "not UTF-8"),
            ("u:secret%0d%0aX: y", "there is a ' '"),
            ("u:secret%0d%0aX:y", "no control characters"),
            ("u%00:secret", "no control characters"),
            ("u:secret\n", r"there is a '\\n'"),
            # Where does the host begin? Others say: behind the first of these.
            ("u:secret/", "there is a '/'"),
            ("u:secret?", "there is a '\\?'"),
            ("u:secret#", "there is a '#'"),
            ("u:secret\\", r"there is a '\\\\'"),
        ):
            message = self.refused(f"http://{userinfo}@proxy.example:3128", pattern)
            self.assertIn("http://***@proxy.example:3128", message)

    def test_whatIsShownOfTheUrl(self) -> None:
        """
        Nothing before its last @, but for a scheme; and a bounded piece of the rest.
        """
        self.assertIn("'***@h:x'", self.refused("u:secret@h:x", "the port must be"))
        self.assertIn("'***@h'", self.refused("secret://u@h", "the scheme must be one of"))
        self.assertIn("'***@h'", self.refused("secret:p://u@h", "the scheme must be one of"))
        self.assertLess(len(self.refused("http://u:secret@" + "h" * 100_000, "host")), 1000)

    def test_whatIsNoProxy(self) -> None:
        for url, pattern in (
            ("", "a host must be"),
            ("http://", "a host must be"),
            ("http://:3128", "a host must be"),
            ("http://u:p@", "a host must be"),
            ("ftp://h", "must be one of http, https, socks5, socks5h"),
            ("socks4://h", "must be one of"),
            ("socks4a://h", "must be one of"),
            ("socks://h", "must be one of"),
            ("HTTP\u017f://h", "must be one of"),
            ("://h", "must be one of"),
            ("http://h/x", "there is a '/'"),
            ("http://h//", "there is a '/'"),
            ("http://h?x", "there is a '\\?'"),
            ("http://h#x", "there is a '#'"),
            ("http://h h", "there is a ' '"),
            ("http://h\x00", "there is a"),
            ("http://h%41", "there is a '%'"),
            ("http://::1", "needs brackets"),
            ("http://[::1", "must be IPv6"),
            ("http://[::1]x", "port must be"),
            ("http://[::1]80", "port must be"),
            ("http://[h]", "must be IPv6"),
            ("http://[192.0.2.1]", "must be IPv6"),
            ("http://a..b", "a host must be"),
        ):
            self.refused(url, pattern)
        self.refused(None, "a str, not NoneType")
        self.refused(b"http://h", "a str, not bytes")


class ProxyTests(SynchronousTestCase):
    def test_thePasswordIsNotShown(self) -> None:
        proxy = Proxy.parse(URL)
        self.assertNotIn("secret", repr(proxy))
        self.assertIn("user", repr(proxy))
        self.assertEqual((str(proxy), f"{proxy}"), ("http://proxy.example:3128",) * 2)

    def test_frozen(self) -> None:
        with self.assertRaises(FrozenInstanceError):
            Proxy.parse(URL).host = "other"  # type: ignore[misc]

    def test_equality(self) -> None:
        """
        Connections are shared by equal proxies: all counts that makes a difference to the proxy, or to whom is trusted.
        """
        proxy = Proxy("https", "h", 1, "u", "p", ["ca"])
        self.assertEqual(proxy, Proxy("https", "h", 1, "u", "p", ["ca"]))
        # A list of certificates has no hash.
        self.assertEqual(len({proxy, replace(proxy), replace(proxy, caCertificates=None)}), 2)
        for change in ({"host": "i"}, {"port": 2}, {"user": "v"}, {"password": "q"}, {"caCertificates": ["other"]}):
            self.assertNotEqual(proxy, replace(proxy, **change))  # type: ignore[arg-type]

    def test_whatCantBe(self) -> None:
        for given, pattern in (
            (("gopher", "h", 1), "'gopher'"),
            (("http", "h", 0), "from 1 to 65535, not 0"),
            (("http", "h", "1"), "from 1 to 65535, not '1'"),
            (("http", "[::1]", 1), "a host must be"),
            (("http", "", 1), "a host must be"),
            (("http", "h", 1, None, "secret"), "a password, but no user"),
            (("http", "h", 1, b"u"), "must be a str, not bytes"),
            (("http", "h", 1, "u", b"secret"), "must be a str, not bytes"),
            (("http", "h", 1, "u", "secret\r"), "no control characters"),
            (("http", "h", 1, "u", "secret\ud800"), "UTF-8"),
            (("http", "h", 1, "a:b"), "no colon"),
            (("https", "h", 1, "a:b"), "no colon"),
            (("http", "h", 1, None, None, "ca.pem"), "caCertificates are for a proxy of scheme https"),
            (("socks5", "h", 1, None, None, "ca.pem"), "caCertificates are for a proxy of scheme https"),
        ):
            with self.assertRaisesRegex(InvalidArgument, pattern) as caught:
                Proxy(*given)  # type: ignore[arg-type]
            self.assertNotIn("secret", str(caught.exception))

    def test_whatSocksTakes(self) -> None:
        """
        RFC 1929 counts them in a byte, in UTF-8. A colon is nothing special there.
        """
        for user, password in (("u", ""), ("a:b", "p"), ("u" * 255, "p" * 255), ("ü" * 127, "")):
            self.assertEqual(Proxy("socks5h", "h", 1, user, password).user, user)
        for user, password in (("", "p"), ("u" * 256, "p"), ("u", "p" * 256), ("ü" * 128, "")):
            with self.assertRaisesRegex(InvalidArgument, "to 255 bytes, not"):
                Proxy("socks5", "h", 1, user, password)
        self.assertEqual(Proxy("http", "h", 1, "u" * 256).user, "u" * 256)

    def test_authorization(self) -> None:
        # The example of RFC 7617 section 2, and that of section 2.1.
        self.assertEqual(
            Proxy("http", "h", 1, "Aladdin", "open sesame").authorization(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        )
        self.assertEqual(Proxy("https", "h", 1, "test", "123£").authorization(), "Basic dGVzdDoxMjPCow==")
        without = Proxy("http", "h", 1, "u").authorization()
        assert without is not None
        self.assertEqual(b64decode(without.removeprefix("Basic ")), b"u:")

    def test_noAuthorization(self) -> None:
        self.assertIsNone(Proxy("http", "h", 1).authorization())
        self.assertIsNone(Proxy("socks5", "h", 1, "u", "p").authorization())

    def test_longCredentialsAreOneLine(self) -> None:
        value = Proxy("http", "h", 1, "u" * 300, "p" * 300).authorization()
        assert value is not None
        self.assertNotIn("\n", value)

    def test_tls(self) -> None:
        """
        Made once: reading certificates takes its time.
        """
        authority = Authority(temporaryDirectory(self))
        proxy = Proxy.parse("https://Proxy.Example", caCertificates=authority.path)
        settings = proxy.tls()
        self.assertEqual((settings.serverName, settings.alpn), ("proxy.example", ("http/1.1",)))
        self.assertIs(proxy.tls(), settings)
        self.assertIsNot(replace(proxy, caCertificates=None).tls(), settings)
        with self.assertRaisesRegex(InvalidArgument, "for a proxy of scheme https, not for http://h:80"):
            Proxy.parse("http://h").tls()
        with self.assertRaisesRegex(InvalidArgument, "caCertificates"):
            Proxy.parse("https://h", caCertificates="/nowhere.pem").tls()


class AbsoluteFormTests(SynchronousTestCase):
    def test_target(self) -> None:
        target = Target(Origin("http"), "example.org:8080", "/a?b")
        form, fields = absoluteForm(target, Proxy.parse("http://h"))
        self.assertEqual((form, list(fields)), ("http://example.org:8080/a?b", []))

    def test_credentials(self) -> None:
        target = Target(Origin("http"), "[::1]", "/")
        for scheme in ("http", "https"):
            form, fields = absoluteForm(target, Proxy.parse(f"{scheme}://u:p@h"))
            self.assertEqual((form, list(fields)), ("http://[::1]/", [("Proxy-Authorization", "Basic dTpw")]))

    def test_refused(self) -> None:
        """
        What is meant to be enciphered isn't shown to a proxy.
        """
        with self.assertRaisesRegex(InvalidArgument, "not for https://example.org: they need a tunnel"):
            absoluteForm(Target(Origin("https"), "example.org", "/"), Proxy.parse("http://h"))
        with self.assertRaisesRegex(InvalidArgument, "only HTTP proxies forward requests, not socks5://h:1080"):
            absoluteForm(Target(Origin("http"), "example.org", "/"), Proxy.parse("socks5://u:p@h"))
