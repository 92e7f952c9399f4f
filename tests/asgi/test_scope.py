"""
What an app is told of a request, and whose word on it is taken.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.server.support import get, message
from wasinet_twisted.asgi import AsgiApp
from wasinet_twisted.asgi.interfaces import Receive, Scope, Send
from wasinet_twisted.asgi.proxies import TrustedProxies, schemeOf
from wasinet_twisted.errors import InvalidArgument

from .support import AsgiCase, body, start


class ScopeTests(AsgiCase):
    async def keep(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.told.append(scope)
        await send(start())
        await send(body())

    def scope(self, *sent: bytes, **options: Any) -> Scope:
        self.told.clear()
        self.ask(self.keep, *sent, **options)
        return self.told[-1]  # type: ignore[no-any-return]

    def test_whole(self) -> None:
        self.assertEqual(
            self.scope(get("/a?b=%20&c", "X-A: 1", "x-a: \xe4", "X-A: 1")),
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": "/a",
                "raw_path": b"/a",
                "query_string": b"b=%20&c",
                "root_path": "",
                "headers": [(b"host", b"x"), (b"x-a", b"1"), (b"x-a", b"\xe4"), (b"x-a", b"1")],
                "client": ("192.0.2.1", 40000),
                "server": ("192.0.2.2", 8000),
                "state": {},
                "extensions": {
                    "http.response.trailers": {},
                    "http.response.pathsend": {},
                    "http.response.early_hint": {},
                },
            },
        )

    def test_paths(self) -> None:
        for target, path, raw, query in (
            ("/%E2%82%AC%2F%20?%41", "/€/ ", b"/%E2%82%AC%2F%20", b"%41"),
            ("/%FF", "/�", b"/%FF", b""),
            ("/a?b?c", "/a", b"/a", b"b?c"),
            ("//a//b", "//a//b", b"//a//b", b""),
            ("/?", "/", b"/", b""),
            ("http://other/a%20b?c", "/a b", b"/a%20b", b"c"),
            ("http://other?c", "/", b"/", b"c"),
        ):
            scope = self.scope(get(target))
            self.assertEqual((scope["path"], scope["raw_path"], scope["query_string"]), (path, raw, query), target)
        scope = self.scope(message("OPTIONS", "*"))
        self.assertEqual((scope["path"], scope["raw_path"]), ("*", b"*"))

    def test_methods(self) -> None:
        self.assertEqual(self.scope(message("purge"))["method"], "PURGE")
        self.assertEqual(self.scope(message("GET", version="HTTP/1.0"))["http_version"], "1.0")

    def test_theTargetOverrulesHost(self) -> None:
        """
        RFC 9112 section 3.2.2.
        """
        self.assertEqual(self.scope(get("http://other:1/"))["headers"], [(b"host", b"other:1")])

    def test_rootPath(self) -> None:
        """
        The proxy has taken it off; the path has it.
        """
        scope = self.scope(get("/a%20b"), rootPath="/ä")
        self.assertEqual((scope["root_path"], scope["path"], scope["raw_path"]), ("/ä", "/ä/a b", b"/%C3%A4/a%20b"))
        scope = self.scope(message("OPTIONS", "*"), rootPath="/x")
        self.assertEqual(scope["path"], "*")
        for wrong in ("x", "/", "/x/", "/x\n"):
            self.assertRaises(InvalidArgument, AsgiApp, self.keep, rootPath=wrong, reactor=self.clock)

    def test_eachItsOwn(self) -> None:
        """
        What an app changes in one scope isn't in the next.
        """
        scope = self.scope(get())
        scope["state"]["a"] = scope["extensions"]["b"] = scope["asgi"]["c"] = 1
        self.connect(get())
        self.assertEqual(self.told[-1]["state"], {})
        self.assertNotIn("b", self.told[-1]["extensions"])
        self.assertNotIn("c", self.told[-1]["asgi"])

    def test_forwarded(self) -> None:
        fields = ("X-Forwarded-For: 1.1.1.1, 2.2.2.2", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https")
        scope = self.scope(get("/", *fields), trustedProxies=["192.0.2.0/24", "10.0.0.0/8"])
        self.assertEqual((scope["client"], scope["scheme"]), (("2.2.2.2", 0), "https"))
        for trusted in ([], ["192.0.2.2"], ["unix"]):
            scope = self.scope(get("/", *fields), trustedProxies=trusted)
            self.assertEqual((scope["client"], scope["scheme"]), (("192.0.2.1", 40000), "http"), trusted)


class ProxiesTests(SynchronousTestCase):
    """
    X-Forwarded-For, from its end.
    """

    PEER = ("10.0.0.9", 5)

    def client(self, forwarded: str, *trusted: str) -> tuple[str, int] | None:
        proxies = TrustedProxies(trusted or ["10.0.0.0/8", "::1", "2001:db8::/32"])
        self.assertTrue(proxies.trustsPeer("10.0.0.9"))
        return proxies.clientOf(self.PEER, [forwarded])

    def test_entries(self) -> None:
        for forwarded, expected in (
            ("1.1.1.1", ("1.1.1.1", 0)),
            ("1.1.1.1:65535", ("1.1.1.1", 65535)),
            ("[2001:db9::1]:80", ("2001:db9::1", 80)),
            ("[2001:db9::1]", ("2001:db9::1", 0)),
            ("2001:DB9::1", ("2001:db9::1", 0)),
            ("::ffff:1.1.1.1", ("1.1.1.1", 0)),
            # What a client has sent stands before what the proxies have.
            ("10.1.1.1, 1.1.1.1", ("1.1.1.1", 0)),
            ("9.9.9.9,\t1.1.1.1 , 10.0.0.1,2001:db8::5", ("1.1.1.1", 0)),
            # All are proxies: the first has asked itself.
            ("10.0.0.1, 10.0.0.2", ("10.0.0.1", 0)),
        ):
            self.assertEqual(self.client(forwarded), expected, forwarded)

    def test_noAddresses(self) -> None:
        """
        They end the list: what stands before has been passed on by nobody who is known.
        """
        for bad in (
            "",
            "unknown",
            "_hidden",
            "1.1.1",
            "1.1.1.1:a",
            "[::1",
            "[::1]x",
            "1.1.1.1:123456",
            "1.1.1.1:65536",
        ):
            self.assertEqual(self.client(f"1.1.1.1, {bad}"), self.PEER, bad)
            self.assertEqual(self.client(f"1.1.1.1, {bad}, 10.0.0.1"), ("10.0.0.1", 0), bad)
        for bad in ('fe80::1%" <script>', "[fe80::1%eth0]:80", "fe80::1%eth0"):
            self.assertEqual(self.client(bad), self.PEER, bad)
        for bad in ("٣.1.1.1", "1.1.1.1:٣", "1" * 100_000, "1.1.1.1\x0b"):
            self.assertEqual(self.client(bad), self.PEER, bad[:20])

    def test_anybody(self) -> None:
        """
        Who trusts anybody trusts the one who is connected: the client could write all the rest.
        """
        self.assertEqual(self.client("6.6.6.6, 1.1.1.1", "*"), ("1.1.1.1", 0))

    def test_bound(self) -> None:
        """
        Entries are looked at up to a number that no honest request has.
        """
        self.assertEqual(self.client("1.1.1.1" + ", 10.0.0.1" * 31), ("1.1.1.1", 0))
        self.assertEqual(self.client("1.1.1.1" + ", 10.0.0.1" * 32), ("10.0.0.1", 0))

    def test_peers(self) -> None:
        proxies = TrustedProxies(["127.0.0.1", "fe80::/10"])
        for host, expected in (
            ("127.0.0.1", True),
            ("127.0.0.2", False),
            ("::ffff:127.0.0.1", True),
            ("fe80::1", True),
            ("::1", False),
            (None, False),
        ):
            self.assertEqual(proxies.trustsPeer(host), expected, host)
        self.assertTrue(TrustedProxies(["unix"]).trustsPeer(None))
        self.assertFalse(TrustedProxies(["unix"]).trustsPeer("127.0.0.1"))
        self.assertFalse(TrustedProxies([]))

    def test_wrong(self) -> None:
        for wrong in ("proxy.example", "10.0.0.1/8", "300.1.1.1", "", 5, "::ffff:10.0.0.0/104"):
            error = self.assertRaises(InvalidArgument, TrustedProxies, [wrong])
            self.assertIn(repr(wrong), str(error))
        self.assertRaises(InvalidArgument, TrustedProxies, "10.0.0.1")

    def test_schemes(self) -> None:
        for values, expected in (
            ([], None),
            (["https"], "https"),
            (["HTTPS "], "https"),
            (["wss"], "https"),
            (["https, http"], "http"),
            (["https", "http"], "http"),
            (["ftp"], None),
            ([""], None),
        ):
            self.assertEqual(schemeOf(values), expected, values)
