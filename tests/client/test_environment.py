"""
The proxy that the environment names.
"""

from __future__ import annotations

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.client.environment import proxyFromEnvironment
from wasinet_twisted.client.proxies import Proxy
from wasinet_twisted.errors import InvalidArgument

PROXY = "http://proxy.example:3128"


def found(scheme: str, **environ: str) -> str | None:
    """
    The proxy's host.
    """
    proxy = proxyFromEnvironment(scheme, "example.org", 80, environ)
    return None if proxy is None else proxy.host


def direct(noProxy: str, host: str, port: int = 80) -> bool:
    return proxyFromEnvironment("http", host, port, {"http_proxy": PROXY, "no_proxy": noProxy}) is None


class VariableTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        self.assertIsNone(found("http"))
        self.assertIsNone(found("https"))

    def test_theWholeProxy(self) -> None:
        environ = {"http_proxy": "https://u:p%40@h:1"}
        self.assertEqual(proxyFromEnvironment("http", "x", 80, environ), Proxy("https", "h", 1, "u", "p@"))

    def test_oneForEachScheme(self) -> None:
        environ = {"http_proxy": "a", "https_proxy": "b"}
        self.assertEqual((found("http", **environ), found("https", **environ)), ("a", "b"))
        self.assertIsNone(found("https", http_proxy="a"))
        self.assertIsNone(found("http", https_proxy="a"))

    def test_upperCase(self) -> None:
        environ = {"HTTP_PROXY": "a", "HTTPS_PROXY": "b"}
        self.assertEqual((found("http", **environ), found("https", **environ)), ("a", "b"))
        self.assertEqual(found("http", ALL_PROXY="c"), "c")

    def test_lowerCaseComesFirst(self) -> None:
        self.assertEqual(found("http", HTTP_PROXY="A", http_proxy="b"), "b")
        self.assertEqual(found("https", HTTPS_PROXY="A", https_proxy="b"), "b")
        self.assertEqual(found("https", ALL_PROXY="A", all_proxy="b"), "b")

    def test_all(self) -> None:
        self.assertEqual((found("http", all_proxy="a"), found("https", all_proxy="a")), ("a", "a"))
        self.assertEqual(found("https", all_proxy="a", HTTPS_PROXY="b"), "b")

    def test_empty(self) -> None:
        """
        As if it weren't there.
        """
        self.assertIsNone(found("http", http_proxy=""))
        self.assertEqual(found("http", http_proxy="", HTTP_PROXY="a"), "a")
        self.assertEqual(found("http", http_proxy="", all_proxy="a"), "a")

    def test_httpoxy(self) -> None:
        """
        A CGI program has the Proxy field of a request, whoever sent it, in HTTP_PROXY. CVE-2016-5385.
        """
        cgi = {"REQUEST_METHOD": "GET", "HTTP_PROXY": "evil"}
        self.assertIsNone(found("http", **cgi))
        self.assertEqual(found("http", **cgi, http_proxy="a"), "a")
        self.assertEqual(found("http", **cgi, ALL_PROXY="a"), "a")
        self.assertEqual(found("https", **cgi, HTTPS_PROXY="a"), "a")
        self.assertEqual(found("http", HTTP_PROXY="a"), "a")

    def test_theProcesssOwn(self) -> None:
        with patch.dict("os.environ", {"http_proxy": PROXY}, clear=True):
            self.assertEqual(proxyFromEnvironment("http", "example.org", 80), Proxy.parse(PROXY))

    def test_malformed(self) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            with self.assertRaisesRegex(InvalidArgument, f"the environment variable {name}: .*: the port") as caught:
                found("http", **{name: "http://user:secret@h:x"})
            self.assertNotIn("secret", str(caught.exception))
        # Even for a host that is reached directly.
        with self.assertRaisesRegex(InvalidArgument, "http_proxy"):
            found("http", http_proxy="ftp://h", no_proxy="*")

    def test_otherSchemes(self) -> None:
        with self.assertRaisesRegex(InvalidArgument, "scheme must be http or https, not 'ftp'"):
            found("ftp", ftp_proxy="a")


class NoProxyTests(SynchronousTestCase):
    def test_everything(self) -> None:
        for value in ("*", "a, *", " * "):
            self.assertTrue(direct(value, "example.org"))
            self.assertTrue(direct(value, "192.0.2.1"))
            self.assertTrue(direct(value, "2001:db8::1"))

    def test_nothing(self) -> None:
        for value in ("", " ", ",", ", ,"):
            self.assertFalse(direct(value, "example.org"))

    def test_caseOfTheVariable(self) -> None:
        for environ, expected in (
            ({"NO_PROXY": "*"}, None),
            ({"no_proxy": "other", "NO_PROXY": "*"}, "p"),
            ({"no_proxy": "", "NO_PROXY": "*"}, None),
        ):
            self.assertEqual(found("http", http_proxy="p", **environ), expected)

    def test_forEveryVariable(self) -> None:
        for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            self.assertIsNone(found("https", **{name: "p", "no_proxy": "example.org"}))

    def test_aHost(self) -> None:
        self.assertTrue(direct("example.org", "example.org"))
        self.assertFalse(direct("example.org", "example.com"))

    def test_whatIsBelowAHost(self) -> None:
        self.assertTrue(direct("example.org", "a.b.example.org"))
        self.assertFalse(direct("example.org", "badexample.org"))
        self.assertFalse(direct("example.org", "example.org.evil"))
        self.assertFalse(direct("www.example.org", "example.org"))

    def test_aLeadingDot(self) -> None:
        """
        Makes no difference, as in curl.
        """
        for value in (".example.org", "*.example.org"):
            self.assertTrue(direct(value, "example.org"))
            self.assertTrue(direct(value, "a.example.org"))
            self.assertFalse(direct(value, "badexample.org"))

    def test_aTrailingDot(self) -> None:
        self.assertTrue(direct("example.org.", "example.org"))
        self.assertTrue(direct("example.org", "example.org."))

    def test_case(self) -> None:
        self.assertTrue(direct("Example.ORG", "eXample.org"))

    def test_outsideAscii(self) -> None:
        self.assertTrue(direct("bücher.example", "xn--bcher-kva.example"))

    def test_separators(self) -> None:
        for value in ("a,example.org,b", "a, example.org , b", "a example.org b", ",,example.org,"):
            self.assertTrue(direct(value, "example.org"))
            self.assertFalse(direct(value, "example.com"))

    def test_ports(self) -> None:
        for value, host in (
            ("example.org:8080", "a.example.org"),
            (".example.org:8080", "example.org"),
            ("192.0.2.1:8080", "192.0.2.1"),
            ("192.0.2.0/24:8080", "192.0.2.1"),
            ("[2001:db8::1]:8080", "2001:db8::1"),
            ("[2001:db8::]/32:8080", "2001:db8::1"),
        ):
            self.assertTrue(direct(value, host, 8080), value)
            self.assertFalse(direct(value, host, 80), value)

    def test_addresses(self) -> None:
        self.assertTrue(direct("192.0.2.1", "192.0.2.1"))
        self.assertFalse(direct("192.0.2.1", "192.0.2.10"))
        self.assertFalse(direct("192.0.2.1", "a.192.0.2.1"))

    def test_theEndOfAnAddressIsNoName(self) -> None:
        self.assertFalse(direct("2.1", "192.0.2.1"))
        self.assertFalse(direct("1", "192.0.2.1"))

    def test_networks(self) -> None:
        self.assertTrue(direct("10.0.0.0/8", "10.255.0.1"))
        self.assertFalse(direct("10.0.0.0/8", "11.0.0.1"))
        # As people write them.
        self.assertTrue(direct("192.168.1.1/16", "192.168.2.3"))
        self.assertTrue(direct("0.0.0.0/0", "192.0.2.1"))
        self.assertFalse(direct("0.0.0.0/0", "example.org"))
        self.assertFalse(direct("0.0.0.0/0", "2001:db8::1"))

    def test_ipv6(self) -> None:
        for value in ("2001:db8::1", "[2001:db8::1]", "2001:DB8:0:0::1", "2001:db8::/32", "[2001:db8::]/32"):
            self.assertTrue(direct(value, "2001:db8::1"), value)
            self.assertFalse(direct(value, "2001:db9::1"), value)
        self.assertTrue(direct("fe80::/10", "fe80::1%eth0"))
        self.assertFalse(direct("::/0", "192.0.2.1"))

    def test_ipv4InIpv6(self) -> None:
        self.assertTrue(direct("192.0.2.1", "::ffff:192.0.2.1"))
        self.assertTrue(direct("192.0.2.0/24", "::ffff:192.0.2.1"))
        self.assertTrue(direct("::ffff:192.0.2.1", "192.0.2.1"))
        self.assertTrue(direct("::ffff:192.0.2.0/120", "192.0.2.1"))
        self.assertFalse(direct("::ffff:192.0.2.0/120", "192.0.3.1"))

    def test_localhostIsNoException(self) -> None:
        """
        As in curl; Go has it as one.
        """
        self.assertFalse(direct("example.org", "localhost"))
        self.assertFalse(direct("example.org", "127.0.0.1"))
        self.assertTrue(direct("localhost,127.0.0.0/8", "127.0.0.1"))

    def test_malformed(self) -> None:
        for entry in (
            "10.0.0.0/33",
            "2001:db8::/129",
            "10/8",
            "http://example.org",
            "example.org:x",
            "example.org:0",
            "example.org:65536",
            "example.org:",
            "a:1:2",
            "[::1",
            "[192.0.2.1]",
            "[example.org]",
            "192.168.*",
            "**",
            "*.",
            ".",
            "a..b",
            "user@example.org",
            "fe80::1%eth0",
        ):
            with self.assertRaisesRegex(InvalidArgument, "the environment variable no_proxy: ") as caught:
                # Whatever else is in it.
                direct(f"example.org,{entry}", "example.org")
            self.assertIn(repr(entry), str(caught.exception))
        with self.assertRaisesRegex(InvalidArgument, "the environment variable NO_PROXY: "):
            found("http", http_proxy="p", NO_PROXY="[")

    def test_withoutAProxyItIsNotRead(self) -> None:
        self.assertIsNone(found("http", no_proxy="["))
