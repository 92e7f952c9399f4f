"""
What C{fetch} sends for what it is given, where it follows, and which errors it documents.
"""

from __future__ import annotations

import gc
from math import inf
from typing import Any
from weakref import ref

import yarl
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import Clock

from wasinet_twisted import __version__
from wasinet_twisted.client import Pool, Proxy, Timeouts, fetch
from wasinet_twisted.client.bodies import NO_BODY
from wasinet_twisted.client.decoding import acceptEncoding
from wasinet_twisted.client.fetching import defaultPool
from wasinet_twisted.client.planning import Hop, Plan
from wasinet_twisted.client.urls import parseUrl
from wasinet_twisted.errors import (
    ConnectFailed,
    ConnectionClosed,
    IncompleteRead,
    InvalidArgument,
    LocalProtocolError,
    NotSupported,
    RemoteProtocolError,
    TimedOut,
    TooManyRedirects,
)
from wasinet_twisted.testing import run

from .support import OK, URL, ClientCase, Outcome, answer, head

SEE = "http://other.test/there"


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {location}", status=status)


class RequestTests(ClientCase):
    def sent(self, url: str = URL, **options: Any) -> Any:
        """
        The request, as the server has it.
        """
        outcome = self.begin(url, **options)
        request = self.peers[-1].requests()[-1]
        self.peers[-1].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)
        return request

    def test_defaults(self) -> None:
        request = self.sent("http://origin.test:8080/a?b=c#d")
        self.assertEqual((request.method, request.uri, request.version), ("GET", "/a?b=c", "HTTP/1.1"))
        self.assertEqual(
            dict(request.headers),
            {
                "Host": "origin.test:8080",
                "User-Agent": f"wasinet_twisted/{__version__}",
                "Accept": "*/*",
                "Accept-Encoding": acceptEncoding(),
            },
        )

    def test_method(self) -> None:
        self.assertEqual(self.sent(method="REPORT").method, "REPORT")
        for method in ("", "a b", "GET\r\n", "GÉT"):
            self.assertIsInstance(self.begin(method=method).error, LocalProtocolError)
        self.assertRaises(InvalidArgument, self.begin, method="CONNECT")

    def test_headers(self) -> None:
        """
        A mapping or pairs; what is given stands in for the default, and duplicates stay.
        """
        for given in ({"ACCEPT": "a"}, [("ACCEPT", "a")], {b"ACCEPT": b"a"}):
            request = self.sent(headers=given)
            self.assertEqual(request.headers.getall("accept"), ["a"])
        request = self.sent(headers=[("X", "1"), ("Y", "2"), ("X", "3"), ("Host", "else.test")])
        self.assertEqual(request.headers.getall("x"), ["1", "3"])
        self.assertEqual(request.headers.getall("host"), ["else.test"])

    def test_headersThatCannotBeSent(self) -> None:
        for given in ({"a b": "x"}, {"X": "a\nb"}, {"X": "\0"}, {"X": "€"}, {"X": 3}, {"Content-Length": "5"}):
            outcome = self.begin(headers=given)
            self.assertIsInstance(outcome.error, LocalProtocolError, given)
        self.settle()
        self.assertEqual([peer.got for peer in self.peers], [b""])

    def test_userAndPassword(self) -> None:
        request = self.sent("http://Aladdin:open%20sesame@origin.test/")
        self.assertEqual(request.headers["Authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        request = self.sent("http://a:b@origin.test/", headers={"authorization": "mine"})
        self.assertEqual(request.headers.getall("Authorization"), ["mine"])

    def test_proxyAuthorization(self) -> None:
        """
        The field that the caller gives replaces the proxy's own. In a tunnel the origin would get it: that is refused.
        """
        plan = Plan(self.pool(), Timeouts(), 0, None, None, True, None)
        fields = [("proxy-authorization", "mine")]
        hop = Hop(plan, parseUrl(URL), "GET", fields, NO_BODY, False, inf)
        for proxy in ("http://user:secret@p.test:1", "http://p.test:1"):
            request = hop.request(Proxy.parse(proxy))
            self.assertEqual(request.headers.getall("Proxy-Authorization"), ["mine"])
        for url, proxy in (("https://origin.test/", "http://p.test:1"), (URL, "socks5h://p.test:1")):
            error = self.begin(url, headers=dict(fields), proxy=proxy).error
            self.assertIsInstance(error, LocalProtocolError)
            self.assertIn("would go to the origin", str(error))
            self.assertNotIn("mine", str(error))
        self.assertPool(0, 0)

    def test_rangesAreOfTheBodyAsItIs(self) -> None:
        """
        A part of a coded body can't be decoded: of whoever asks for a part, Fetch has Accept-Encoding: identity.
        """
        for name in ("Range", "rAnGe"):
            # Twice: over a connection that is kept, too.
            for _ in range(2):
                request = self.sent(headers={name: "bytes=5-"})
                self.assertEqual(request.headers.getall("Accept-Encoding"), ["identity"])
            request = self.sent(headers={name: "bytes=5-", "Accept-Encoding": "br"})
            self.assertEqual(request.headers.getall("Accept-Encoding"), ["br"])
        self.assertEqual(self.sent().headers["Accept-Encoding"], acceptEncoding())

    def test_decode(self) -> None:
        coded = answer(b"nonsense", "Content-Encoding: gzip")
        self.assertEqual(self.sent(decode=False).headers["Accept-Encoding"], "identity")
        self.assertEqual(self.body(self.fetch(coded, decode=False)), b"nonsense")
        self.failureResultOf(self.fetch(coded).bytes(), RemoteProtocolError)

    def test_urls(self) -> None:
        for url in ("origin.test", "ftp://x/", "http://", "http://x:0x10/", "/path", "http://a b/", "http://x\r\n/"):
            self.assertRaises(InvalidArgument, self.begin, url)

    def test_arguments(self) -> None:
        for options in (
            {"redirects": -1},
            {"redirects": 1.5},
            {"redirects": True},
            {"timeout": "1"},
            {"proxy": "ftp://p.test:1"},
            {"proxy": "http://p.test:1", "unixSocket": "/s"},
            {"reactor": Clock()},
            {"unixSocket": 5},
            {"unixSocket": b"/s"},
            {"unixSocket": ""},
            {"unixSocket": "/s\0x"},
            {"unixSocket": "/" + 107 * "s"},
        ):
            self.assertRaises(InvalidArgument, self.begin, **options)
        self.assertEqual(self.peers, [])

    def test_theErrorHasNoPasswordOfAProxy(self) -> None:
        for proxy in (yarl.URL("http://user:secret@p.test:1"), b"http://user:secret@p.test:1"):
            with self.assertRaises(InvalidArgument) as caught:
                self.begin(proxy=proxy)
            self.assertNotIn("secret", str(caught.exception))


class RedirectTests(ClientCase):
    def follow(self, first: bytes, **options: Any) -> tuple[Any, Any]:
        """
        The request that a redirect leads to, and the response in the end.
        """
        outcome = self.begin(**options)
        self.peers[-1].send(first)
        self.settle()
        self.assertTrue(outcome.pending, outcome.results)
        request = self.peers[-1].requests()[-1]
        self.peers[-1].send(OK)
        self.settle()
        return request, outcome.value

    def test_history(self) -> None:
        _, response = self.follow(redirect("/there"))
        self.assertEqual(response.url, "http://origin.test/there")
        self.assertEqual([(each.status, each.url) for each in response.history], [(302, URL)])
        self.assertPool(1, 1)

    def test_methods(self) -> None:
        for status, method, becomes, body in (
            ("301 x", "POST", "GET", b""),
            ("302 x", "POST", "GET", b""),
            ("303 x", "POST", "GET", b""),
            ("303 x", "PUT", "GET", b""),
            ("302 x", "PUT", "PUT", b"body"),
            ("307 x", "POST", "POST", b"body"),
            ("308 x", "POST", "POST", b"body"),
            ("303 x", "HEAD", "HEAD", b""),
        ):
            self.listen()
            pool = self.pool()
            first = redirect("/there", status) if method != "HEAD" else head("Location: /there", status=status)
            outcome = self.begin(pool=pool, method=method, body=b"" if method == "HEAD" else b"body")
            self.peers[0].send(first)
            self.settle()
            request = self.peers[0].requests()[-1]
            self.assertEqual((request.method, request.body), (becomes, body), status)
            outcome.deferred.cancel()

    def test_secretsStay(self) -> None:
        """
        Neither credentials nor cookies follow to another origin.
        """
        secrets = {"Authorization": "a", "Cookie": "b", "X": "c"}
        request, _ = self.follow(redirect("/there"), headers=secrets)
        self.assertEqual(request.headers["Authorization"], "a")
        request, _ = self.follow(redirect(SEE), headers=secrets)
        self.assertEqual(request.headers["Host"], "other.test")
        self.assertEqual(request.headers["X"], "c")
        self.assertFalse({"Authorization", "Cookie"} & set(request.headers))
        self.pools.append(self.pool())
        request, _ = self.follow(redirect(SEE), url="http://user:secret@origin.test/", pool=self.pools[-1])
        self.assertNotIn("Authorization", request.headers)

    def test_bound(self) -> None:
        for bound in (0, 1, 3):
            outcome = self.begin(redirects=bound)
            for _ in range(bound):
                self.peers[-1].send(redirect("/again"))
                self.settle()
            self.assertTrue(outcome.pending)
            self.peers[-1].send(redirect("/again"))
            self.settle()
            if bound:
                self.assertIsInstance(outcome.error, TooManyRedirects)
                self.assertIn(str(bound), str(outcome.error))
            else:
                self.assertEqual(outcome.value.status, 302)
        outcome = self.begin(redirects=1)
        self.peers[-1].send(redirect("/again"))
        self.settle()
        self.peers[-1].send(OK)
        self.settle()
        self.assertEqual(outcome.value.status, 200)

    def test_aBodyThatComesOnce(self) -> None:
        outcome = self.begin(method="PUT", body=iter([b"body"]))
        self.peers[-1].send(redirect("/there", "307 x"))
        self.settle()
        self.assertIsInstance(outcome.error, NotSupported)
        self.assertNotIn("1 free, 0 requests wait, 1", repr(self.pools[0]))
        _, response = self.follow(redirect("/there", "303 x"), method="PUT", body=iter([b"body"]))
        self.assertEqual(response.status, 200)

    def test_noLocation(self) -> None:
        self.assertEqual(self.fetch(answer(b"x", status="302 Found")).status, 302)
        self.assertEqual(self.fetch(answer(b"x", "Location: /a", status="304 x")[:-1]).status, 304)
        self.assertEqual(self.fetch(answer(b"x", "Location: /a", status="201 x")).status, 201)

    def test_overAKeptConnection(self) -> None:
        """
        The same as over a new one: there the fetch is a task from the beginning, here it becomes one.
        """
        self.fetch(OK)
        _, response = self.follow(redirect("/there"))
        self.assertEqual(response.history[0].status, 302)
        outcome = self.begin()
        self.peers[0].send(redirect("/there"))
        self.settle()
        outcome.deferred.cancel()
        self.settle()
        self.assertIsInstance(outcome.error, CancelledError)
        self.assertPool(0, 0)


class ErrorTests(ClientCase):
    def test_eachOfThem(self) -> None:
        """
        Over a new connection, and over a kept one.
        """
        for kept in (False, True):
            for expected, reply, end in (
                (RemoteProtocolError, b"nonsense\r\n\r\n", None),
                (IncompleteRead, OK[:10], "close"),
                (ConnectionClosed, OK[:10], "reset"),
                (TooManyRedirects, redirect("/"), None),
                (TimedOut, b"", None),
            ):
                self.listen()
                pool = self.pool(Timeouts(head=5))
                if kept:
                    self.fetch(OK, pool=pool)
                outcome = self.begin(pool=pool, redirects=1)
                self.peers[0].send(reply)
                self.settle()
                if expected is TooManyRedirects:
                    self.peers[0].send(reply)
                if end is not None:
                    getattr(self.peers[0], end)()
                self.settle()
                if expected is TimedOut:
                    self.advance(6)
                self.assertIsInstance(outcome.error, expected)
                self.assertIn("origin.test", str(outcome.error)) if expected is TimedOut else None

    def test_cancel(self) -> None:
        """
        In each phase.
        """
        self.listen(delay=1)
        pool = self.pool()
        for seconds in (0.0, 0.5, 1.5, 2.0, 2.5):
            outcome = self.begin(pool=pool)
            self.advance(seconds)
            self.assertTrue(outcome.pending)
            outcome.deferred.cancel()
            self.settle()
            self.assertIsInstance(outcome.error, CancelledError)
            self.assertPool(0, 0)
        self.advance(10)
        self.assertFalse(any(peer.reason is None for peer in self.peers))

    def test_nobodyListens(self) -> None:
        self.listener.port.stopListening()  # type: ignore[union-attr]
        self.settle()
        outcome = self.begin()
        self.assertIsInstance(outcome.error, ConnectFailed)
        self.assertPool(0, 0)

    def test_unknownHost(self) -> None:
        """
        A pool without an endpoint of its own asks the reactor's resolver; on a Clock there is none.
        """
        pool = Pool(reactor=self.clock)
        self.pools.append(pool)
        self.assertIsNotNone(self.begin("http://host.invalid/", pool=pool).error)
        self.assertPool(0, 0)


class DefaultPoolTests(ClientCase):
    def test_oneForEachReactor(self) -> None:
        """
        It goes on until somebody closes it; then there is a new one.
        """
        one, other = Clock(), Clock()
        pool = defaultPool(one)
        self.assertIs(defaultPool(one), pool)
        self.assertIsNot(defaultPool(other), pool)
        self.assertIs(pool.reactor, one)
        run(one, pool.close())
        again = defaultPool(one)
        self.assertIsNot(again, pool)
        self.assertFalse(again.closed)

    def test_itIsClosedWhenTheReactorStops(self) -> None:
        """
        It doesn't keep the reactor for a server that never answers a close. While servers drain, their handlers may
        fetch; it ends after them.
        """
        triggers: list[Any] = []
        clock: Any = self.clock
        clock.addSystemEventTrigger = lambda *trigger: triggers.append(trigger)
        pool = defaultPool(clock)
        self.pools.append(pool)
        pool._dialing._endpoint = lambda _: self.listener.endpoint
        self.assertEqual(self.body(self.fetch(OK, pool=pool)), b"ok")
        self.assertEqual([trigger[:2] for trigger in triggers], [("before", "shutdown"), ("during", "shutdown")])
        under = self.begin(pool=pool)
        self.assertEqual(self.body(self.fetch(OK, pool=pool)), b"ok")
        (_, _, closeFree, *arguments), (_, _, close, *others) = triggers
        stopping = Outcome(closeFree(*arguments))
        self.advance(2)
        self.assertFalse(stopping.pending)
        self.assertEqual([peer.wasClosed for peer in self.peers], [False, True])
        self.assertFalse(pool.closed)
        self.assertTrue(under.pending)
        self.assertEqual(self.body(self.fetch(OK, pool=pool)), b"ok")
        close(*others)
        self.advance(1)
        self.assertTrue(pool.closed)
        self.assertIsInstance(under.error, ConnectionClosed)

    def test_fetchUsesIt(self) -> None:
        """
        A fetch without a pool keeps its connection for the next one.
        """
        pool = defaultPool(self.clock)
        self.pools.append(pool)
        pool._dialing._endpoint = lambda _: self.listener.endpoint
        for _ in range(2):
            outcome = Outcome(fetch(URL, reactor=self.clock))
            self.settle()
            self.peers[-1].send(OK)
            self.settle()
            self.assertEqual(self.body(outcome.value), b"ok")
            self.assertPool(1, 1)
        self.assertEqual(len(self.peers), 1)

    def test_aServerThatTakesNoCloseKeepsNoReactor(self) -> None:
        """
        Free connections have a second.
        """
        self.reads = False
        self.listen(window=1000)
        triggers: list[Any] = []
        clock: Any = self.clock
        clock.addSystemEventTrigger = lambda *trigger: triggers.append(trigger)
        pool = defaultPool(clock)
        self.pools.append(pool)
        pool._dialing._endpoint = lambda _: self.listener.endpoint
        self.assertEqual(self.body(self.fetch(OK, pool=pool, method="POST", body=bytes(100_000))), b"ok")
        self.assertPool(1, 1)
        _, _, closeFree, *arguments = triggers[0]
        stopping = Outcome(closeFree(*arguments))
        self.advance(0.99)
        self.assertTrue(stopping.pending)
        self.advance(0.02)
        self.assertFalse(stopping.pending)

    def test_itKeepsNoReactor(self) -> None:
        """
        A reactor that is forgotten takes its pool with it, whether or not it can be asked to close that.
        """

        class Stoppable(Clock):
            def addSystemEventTrigger(self, *trigger: Any) -> None:
                self.trigger = trigger

        for kind in (Clock, Stoppable):
            reactor = kind()
            pool = defaultPool(reactor)
            forgotten = [ref(reactor), ref(pool)]
            del reactor, pool
            gc.collect()
            self.assertEqual([each() for each in forgotten], [None, None], kind)

    def test_theReactorKeepsIt(self) -> None:
        """
        Until a reactor stops, its pool is there for the next request, even if nobody else knows of it.
        """
        clock: Any = self.clock
        clock.triggers = []
        clock.addSystemEventTrigger = lambda *trigger: clock.triggers.append(trigger)
        pool = ref(defaultPool(clock))
        gc.collect()
        self.assertIs(defaultPool(clock), pool())
        self.assertEqual([phase for phase, *_ in clock.triggers], ["before", "during"])

    def test_manyAtOnce(self) -> None:
        self.pool(perOrigin=3)
        outcomes = [self.begin(f"{URL}{number}") for number in range(20)]
        for _ in range(20):
            for peer in self.peers:
                if len(peer.requests()) > peer.got.count(b"\0"):
                    peer.send(OK)
            self.settle()
        everything = Outcome(gatherResults([outcome.deferred for outcome in outcomes]))
        self.assertFalse(everything.pending)


class ReentrancyTests(ClientCase):
    def test_fetchFromWithin(self) -> None:
        """
        Whoever is told of a response may fetch at once, over the very connection that has just become free.
        """
        pool = self.pool(perOrigin=1)
        left = 20
        done: list[int] = []

        def again(response: Any) -> None:
            nonlocal left
            done.append(response.status)
            if left:
                left -= 1
                fetch(URL, pool=pool).addCallback(again)

        fetch(URL, pool=pool).addCallback(again)
        self.settle()
        for _ in range(21):
            self.peers[0].send(OK)
            self.settle()
        self.assertEqual((done, len(self.peers)), ([200] * 21, 1))

    def test_fetchFromWithinAFailure(self) -> None:
        pool = self.pool(perOrigin=1)
        outcomes: list[Outcome] = []

        def again(_: object) -> None:
            outcomes.append(Outcome(fetch(URL, pool=pool)))

        fetch(URL, pool=pool).addErrback(again)
        self.settle()
        self.peers[0].reset()
        self.settle()
        self.peers[1].send(OK)
        self.settle()
        self.assertEqual(outcomes[0].value.status, 200)
