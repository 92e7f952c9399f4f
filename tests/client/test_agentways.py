"""
The Agent: which pool it uses, how it connects and verifies, and what of C{twisted.web} works on it.
"""

from __future__ import annotations

import gzip
from http.cookiejar import CookieJar
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.web.client import URI as TwistedsURI
from twisted.web.client import (
    BrowserLikePolicyForHTTPS,
    BrowserLikeRedirectAgent,
    ContentDecoderAgent,
    CookieAgent,
    GzipDecoder,
    HTTPConnectionPool,
    RedirectAgent,
    ResponseFailed,
    ResponseNeverReceived,
    readBody,
)
from twisted.web.error import InfiniteRedirection, SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from wasinet_twisted.client import Agent, ClientLimits, Pool, Report
from wasinet_twisted.client.agentrequest import Destinations, through, toRequest
from wasinet_twisted.client.bodies import NO_BODY
from wasinet_twisted.client.environment import toProxy
from wasinet_twisted.errors import InvalidArgument

from .agents import URI, AgentCase, Policy
from .support import OK, Outcome, answer

HOST = b"Host: origin.test\r\n"


@implementer(IAgentEndpointFactory)
class Endpoints:
    """
    Connects to the peers of a test.

    @ivar asked: for which URIs.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint
        self.asked: list[bytes] = []

    def endpointForURI(self, uri: TwistedsURI) -> IStreamClientEndpoint:
        self.asked.append(uri.toBytes())
        if uri.scheme == b"gopher":
            raise SchemeNotSupported("no gopher")
        return self._endpoint


class PoolTests(AgentCase):
    """
    What C{pool} may be.
    """

    def stock(self, persistent: bool = True, **settings: Any) -> Any:
        reactor: Any = self.clock
        pool = HTTPConnectionPool(reactor, persistent)
        for name, value in settings.items():
            setattr(pool, name, value)
        return pool

    def using(self, pool: Any) -> Agent:
        """
        An Agent that connects to the peers.
        """
        agent = Agent.usingEndpointFactory(self.clock, Endpoints(self.listener.endpoint), pool)
        if isinstance(agent.pool, Pool) and agent.pool not in self.pools:
            self.pools.append(agent.pool)
        return agent

    def test_none(self) -> None:
        """
        As with twisted.web, no connection is kept, and the server is told.
        """
        agent = self.using(None)
        body = self.deliver(self.respond(OK, agent=agent))
        self.assertEqual(body.data, b"ok")
        self.assertEqual(self.peers[0].got, b"GET /path?query=1 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        self.assertTrue(self.peers[0].wasClosed)
        self.assertPool(0, 0, pool=agent.pool)
        # Nor does it matter what the caller says of it.
        self.respond(OK, agent=agent, headers=Headers({"Connection": ["keep-alive"]}))
        self.assertEqual(self.peers[1].got, self.peers[0].got)

    def test_noDeadlines(self) -> None:
        """
        As with twisted.web, a server may take its time.
        """
        outcome = self.ask(agent=self.using(None))
        self.advance(100_000)
        self.peers[0].send(OK[:-1])
        self.settle()
        body = self.deliver(outcome.value)
        self.advance(100_000)
        self.assertEqual((body.data, body.reason), (b"o", None))
        self.peers[0].send(b"k")
        self.settle()
        self.assertEqual(body.data, b"ok")

    def test_theirs(self) -> None:
        """
        Agents that are given the same one use the same connections.
        """
        pool = self.stock()
        endpoints = Endpoints(self.listener.endpoint)
        for _ in range(3):
            agent = Agent.usingEndpointFactory(self.clock, endpoints, pool)
            self.deliver(self.respond(OK, agent=agent))
        self.assertEqual(len(self.peers), 1)
        self.assertNotIn(b"Connection", self.peers[0].got)
        closing = Outcome(pool.closeCachedConnections())
        self.settle()
        self.assertFalse(closing.pending)
        self.assertTrue(self.peers[0].wasClosed)
        # It goes on.
        self.deliver(self.respond(OK, agent=agent))
        self.assertEqual(len(self.peers), 2)
        self.pools.append(agent.pool)

    def test_theirSettings(self) -> None:
        agent = self.using(self.stock(maxPersistentPerHost=3, cachedConnectionTimeout=7))
        outcomes = [self.ask(agent=agent) for _ in range(10)]
        self.assertPool(10, 0, pool=agent.pool)
        for peer, outcome in zip(self.peers, outcomes, strict=True):
            peer.send(OK)
            self.settle()
            self.deliver(outcome.value)
        self.assertPool(3, 3, pool=agent.pool)
        # The latest are kept.
        self.assertEqual([peer.wasClosed for peer in self.peers], [True] * 7 + [False] * 3)
        self.advance(6.9)
        self.assertPool(3, 3, pool=agent.pool)
        self.advance(0.2)
        self.assertPool(0, 0, pool=agent.pool)

    def test_theirsKeepsNothing(self) -> None:
        for pool in (self.stock(persistent=False), self.stock(maxPersistentPerHost=0)):
            self.deliver(self.respond(OK, agent=self.using(pool)))
            self.assertIn(b"\r\nConnection: close\r\n", self.peers[-1].got)
            self.assertTrue(self.peers[-1].wasClosed)

    def test_theirsRepeatsNothing(self) -> None:
        agent = self.using(self.stock(retryAutomatically=False))
        self.deliver(self.respond(OK, agent=agent))
        outcome = self.ask(agent=agent)
        self.peers[0].reset()
        self.settle()
        self.assertIsInstance(outcome.error, ResponseNeverReceived)
        self.assertEqual(len(self.peers), 1)

    def test_oneThatConnectsItself(self) -> None:
        """
        Its connections are asked for, as twisted.web's Agent asks.
        """
        asked = []

        class Own(HTTPConnectionPool):
            def getConnection(self, key: Any, endpoint: Any) -> Any:
                asked.append(key)
                return fail(ZeroDivisionError())

        reactor: Any = MemoryReactorClock()
        for agent in (
            Agent(reactor, pool=Own(reactor)),
            Agent(reactor, BrowserLikePolicyForHTTPS(), pool=Own(reactor)),
            Agent.usingEndpointFactory(reactor, Endpoints(self.listener.endpoint), Own(reactor)),
        ):
            self.assertIsInstance(self.ask(agent=agent).error, ZeroDivisionError)
        self.assertEqual(asked, [(b"http", b"origin.test", 80)] * 3)

    def test_noPool(self) -> None:
        self.assertRaises(InvalidArgument, Agent, self.clock, pool=object())
        self.assertRaises(InvalidArgument, Agent, self.clock, object())

    def test_kept(self) -> None:
        """
        C{ClientLimits.kept}, from both sides.
        """
        pool = self.pool(kept=2)
        agent = self.newAgent(pool)
        for count, kept in ((2, 2), (3, 2)):
            outcomes = [self.ask(agent=agent) for _ in range(count)]
            for outcome in outcomes:
                for peer in self.peers:
                    if peer.take():
                        peer.send(OK)
                self.settle()
                self.deliver(outcome.value)
            self.assertPool(kept, kept, pool=pool)
        self.assertRaises(InvalidArgument, ClientLimits, kept=-1)

    def test_closeFree(self) -> None:
        self.deliver(self.respond(OK))
        outcome = self.ask()
        second = self.ask()
        self.peers[1].send(OK)
        self.settle()
        self.deliver(second.value)
        self.assertPool(2, 1)
        closing = Outcome(self.pools[0].closeFree())
        self.settle()
        self.assertFalse(closing.pending)
        self.assertPool(1, 0)
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value.code, 200)

    def test_observer(self) -> None:
        reports: list[Report] = []
        agent = self.newAgent(self.pool(observer=reports.append))
        self.respond(OK, agent=agent)
        self.ask(agent=agent)
        self.peers[-1].reset()
        self.settle()
        self.peers[-1].reset()
        self.settle()
        self.assertEqual([report.status for report in reports], [200, None])
        self.assertEqual({(report.method, report.url) for report in reports}, {("GET", URI.decode())})
        self.assertIsInstance(reports[1].error, ResponseFailed)
        self.assertTrue(reports[0].sentHead().startswith(b"GET /"))
        self.assertIsNotNone(reports[0].peer)


class WayTests(AgentCase):
    """
    How connections are made.
    """

    def test_endpoints(self) -> None:
        endpoints = Endpoints(self.listener.endpoint)
        pool = self.pool()
        agent = Agent.usingEndpointFactory(self.clock, endpoints, pool)
        self.deliver(self.respond(OK, uri=b"unix://somewhere/a", agent=agent))
        # TLS is the endpoint's affair, too.
        self.deliver(self.respond(OK, uri=b"https://origin.test/b", agent=agent))
        self.assertEqual(endpoints.asked, [b"unix://somewhere/a", b"https://origin.test/b"])
        self.assertEqual(self.peers[0].got, b"GET /a HTTP/1.1\r\nHost: somewhere\r\n\r\n")
        self.assertEqual(self.peers[1].got, b"GET /b HTTP/1.1\r\nHost: origin.test\r\n\r\n")
        self.assertIsInstance(self.ask(uri=b"gopher://a/", agent=agent).error, SchemeNotSupported)

    def test_endpointsWithoutARequest(self) -> None:
        """
        Two requests, of which the second needs a connection more than it has asked for.
        """
        endpoints = Endpoints(self.listener.endpoint)
        agent = Agent.usingEndpointFactory(self.clock, endpoints, self.pool())
        self.deliver(self.respond(OK, agent=agent))
        outcome = self.ask(agent=agent)
        self.peers[0].reset()
        self.settle()
        self.peers[1].send(OK)
        self.settle()
        self.assertEqual(outcome.value.code, 200)
        self.assertEqual(endpoints.asked, [URI, URI])

    def test_anEndpointsOwnError(self) -> None:
        for kind in (ZeroDivisionError, ConnectError):

            @implementer(IStreamClientEndpoint)
            class Endpoint:
                def connect(self, factory: Any, kind: Any = kind) -> Any:
                    return fail(kind())

            agent = Agent.usingEndpointFactory(self.clock, Endpoints(Endpoint()), self.pool())
            outcome = self.ask(agent=agent)
            self.advance(1)
            self.assertIsInstance(outcome.error, kind)

    def test_otherPoliciesOtherConnections(self) -> None:
        """
        A connection whose server was verified in one way isn't used by those who verify in another.
        """
        pool = self.pool()
        policy = Policy()
        self.deliver(self.respond(OK, agent=self.newAgent(pool)))
        self.deliver(self.respond(OK, agent=self.newAgent(pool)))
        self.assertEqual(len(self.peers), 1)
        self.deliver(self.respond(OK, agent=self.newAgent(pool, policy)))
        self.assertEqual(len(self.peers), 2)
        self.deliver(self.respond(OK, agent=self.newAgent(pool, policy)))
        self.assertEqual(len(self.peers), 2)
        self.deliver(self.respond(OK, agent=self.newAgent(pool, Policy())))
        self.assertEqual(len(self.peers), 3)

    def test_aProxy(self) -> None:
        """
        That of the pool.
        """
        pool = self.pool()
        pool.proxy = toProxy("http://user:secret@proxy.test:3128")
        request, _ = toRequest("GET", "/path", "origin.test", None, NO_BODY, persistent=True)
        found, target = Destinations(None, anyScheme=False).find(URI)
        route = through(pool, found, target, request)
        self.assertEqual((route.origin, route.proxy), (found.route.origin, pool.proxy))
        self.assertEqual(request.uri, "http://origin.test/path?query=1")
        self.assertIn(("Proxy-Authorization", "Basic dXNlcjpzZWNyZXQ="), request.fields())
        found, target = Destinations(None, anyScheme=False).find(b"https://origin.test/")
        secure, _ = toRequest("GET", "/", "origin.test", None, NO_BODY, persistent=True)
        self.assertIs(through(pool, found, target, secure).proxy, pool.proxy)
        self.assertEqual((secure.uri, secure.fields()), ("/", [("Host", "origin.test")]))


class WrapperTests(AgentCase):
    """
    C{twisted.web}'s own Agents, on ours.
    """

    def test_redirects(self) -> None:
        agent: Any = RedirectAgent(self.agent)
        outcome = self.ask(agent=agent)
        self.peers[0].send(answer(b"away", "Location: /there", status="302 Found"))
        self.settle()
        self.assertIn(b"GET /there HTTP/1.1\r\n", self.peers[0].got)
        self.peers[0].send(OK)
        self.settle()
        response = outcome.value
        self.assertEqual((response.code, response.previousResponse.code), (200, 302))
        self.assertEqual(response.request.absoluteURI, b"http://origin.test/there")
        self.assertEqual(self.now(readBody(response)), b"ok")

    def test_redirectsOfAPost(self) -> None:
        agent: Any = BrowserLikeRedirectAgent(self.agent)
        outcome = self.ask(b"POST", agent=agent)
        self.peers[0].send(answer(b"", "Location: /there", status="302 Found"))
        self.settle()
        self.assertIn(b"GET /there HTTP/1.1\r\n", self.peers[0].got)
        self.peers[0].send(OK)
        self.settle()
        self.assertEqual(outcome.value.code, 200)

    def test_redirectsWithoutEnd(self) -> None:
        agent: Any = RedirectAgent(self.agent, 3)
        outcome = self.ask(agent=agent)
        for _ in range(4):
            self.peers[0].send(answer(b"", "Location: /there", status="302 Found"))
            self.settle()
        error: Any = outcome.error
        self.assertIsInstance(error, ResponseFailed)
        self.assertEqual(self.reasons(error), [InfiniteRedirection])

    def test_cookies(self) -> None:
        jar = CookieJar()
        agent: Any = CookieAgent(self.agent, jar)
        self.deliver(self.respond(answer(b"", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/other"), agent=agent))
        self.assertEqual({cookie.name for cookie in jar}, {"a", "b"})
        self.deliver(self.respond(OK, agent=agent))
        self.assertEqual(self.peers[0].requests()[1].headers["Cookie"], "a=1")

    def test_contentCodings(self) -> None:
        agent: Any = ContentDecoderAgent(self.agent, [(b"gzip", GzipDecoder)])
        response = self.respond(answer(gzip.compress(b"hello" * 1000), "Content-Encoding: gzip"), agent=agent)
        self.assertEqual(self.peers[0].requests()[0].headers["Accept-Encoding"], "gzip")
        self.assertEqual(self.now(readBody(response)), b"hello" * 1000)
        response = self.respond(OK, agent=agent)
        self.assertEqual(self.now(readBody(response)), b"ok")

    def test_allOfThem(self) -> None:
        """
        As treq puts them together.
        """
        agent: Any = ContentDecoderAgent(RedirectAgent(CookieAgent(self.agent, CookieJar())), [(b"gzip", GzipDecoder)])
        outcome = self.ask(agent=agent)
        self.peers[0].send(answer(b"", "Set-Cookie: a=1", "Location: /", status="307 Temporary Redirect"))
        self.settle()
        self.assertEqual(self.peers[0].requests()[1].headers["Cookie"], "a=1")
        self.peers[0].send(answer(gzip.compress(b"hello"), "Content-Encoding: gzip"))
        self.settle()
        self.assertEqual(self.now(readBody(outcome.value)), b"hello")
