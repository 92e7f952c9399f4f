"""
L{Agent}: the client, with the face of C{twisted.web}'s, for treq and for all that is written for C{IAgent}.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any, Self

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure
from twisted.web.client import Agent as TwistedsAgent
from twisted.web.client import ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from .. import tracing
from ..errors import ConnectionClosed, IncompleteRead, InvalidArgument, LocalProtocolError, NotSupported, WasinetError
from ..http import ResponseHead, WasiRequest
from ..net.tasks.awaited import Awaited
from ..net.tasks.task import Task
from .agentfailures import connectingFailed, requestFailed
from .agentpool import AgentPolicy, policyOf, poolOf
from .agentrequest import ClientRequest, Destinations, checkMethod, through, toBody, toRequest
from .agentresponse import AgentResponse
from .bodies import Body
from .call import Call
from .dialing import Route
from .exchanging import mayRepeat
from .pool import Pool
from .producing import ProducerBody
from .protocol import HttpClientProtocol
from .report import reportOf
from .timings import Timings
from .traced import passOn, watched


@implementer(IAgent)
class Agent:
    """
    Make requests over a L{Pool<wasinet_twisted.client.Pool>}, by the interface of C{twisted.web.client.Agent}:

        pool = client.Pool()
        http = treq.client.HTTPClient(client.Agent(reactor, pool=pool))
        response = await http.get("https://example.org/")

    It follows no redirects, keeps no cookies and undoes no content codings: C{RedirectAgent}, C{CookieAgent} and
    C{ContentDecoderAgent} of C{twisted.web} do, and treq does.

    @ivar pool: whose connections are used.
    """

    def __init__(
        self,
        reactor: Any,
        contextFactory: IPolicyForHTTPS | None = None,
        connectTimeout: float | None = None,
        bindAddress: Any = None,
        pool: Any = None,
    ) -> None:
        """
        @param contextFactory: how servers are verified; by default as the pool does, that is by the system's roots.
        @param connectTimeout: how long a connection may take to be made, in seconds; by default
            C{pool.timeouts.connect}.
        @param bindAddress: the local address of connections: an IP address, or a pair of an IP address and a port.
        @param pool: a L{Pool<wasinet_twisted.client.Pool>}, whose bounds and
            deadlines hold then. Or an C{HTTPConnectionPool}: its C{persistent},
            C{maxPersistentPerHost}, C{cachedConnectionTimeout} and
            C{retryAutomatically} are taken as they are now, for a pool of ours that
            its C{closeCachedConnections} closes as well; only if its class has a
            C{getConnection} of its own, C{twisted.web}'s Agent makes the requests.
            By default no connection is kept, as C{twisted.web} has it.
        @raise InvalidArgument: one of these can't be used.
        """
        policy = policyOf(contextFactory, bindAddress)
        own = poolOf(pool, reactor)
        self._theirs: Any = None
        if own is None:
            keywords: dict[str, Any] = {} if contextFactory is None else {"contextFactory": contextFactory}
            self._theirs = TwistedsAgent(
                reactor, connectTimeout=connectTimeout, bindAddress=bindAddress, pool=pool, **keywords
            )
            return
        self._init(own, policy, connectTimeout, getattr(pool, "retryAutomatically", True), anyScheme=False)

    @classmethod
    def usingEndpointFactory(cls, reactor: Any, endpointFactory: IAgentEndpointFactory, pool: Any = None) -> Self:
        """
        Return an Agent that connects by the endpoints of C{endpointFactory}, TLS included.

        @param pool: as the constructor has it.
        @raise InvalidArgument: one of these can't be used.
        """
        agent = cls.__new__(cls)
        own = poolOf(pool, reactor)
        agent._theirs = None
        if own is None:
            agent._theirs = TwistedsAgent.usingEndpointFactory(reactor, endpointFactory, pool)
        else:
            policy = AgentPolicy(endpoints=endpointFactory)
            agent._init(own, policy, None, getattr(pool, "retryAutomatically", True), anyScheme=True)
        return agent

    def _init(
        self, pool: Pool, policy: AgentPolicy | None, connectTimeout: float | None, repeats: bool, anyScheme: bool
    ) -> None:
        self.pool = pool
        self._policy = policy
        self._destinations = Destinations(policy, anyScheme)
        self._repeats = repeats
        self._persistent = pool.limits.idle > 0 and pool.limits.kept > 0
        self._timeouts = pool.timeouts
        if connectTimeout is not None:
            self._timeouts = replace(pool.timeouts, connect=connectTimeout)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """
        Send a request.

        @param method: a token, such as C{b"GET"}; CONNECT is refused.
        @param uri: an absolute URL of http or https.
        @param headers: the fields; Host is added.
        @param bodyProducer: what gives the body.
        @return: fires with the response when its head has come. Cancelling it
            resets the connection. It fails with an error of
            C{twisted.internet.error} before there is a connection; with
            C{RequestGenerationFailed}, C{RequestTransmissionFailed},
            C{ResponseNeverReceived} or C{ResponseFailed} then.
        @raise TypeError: C{method} is no bytes.
        @raise ValueError: C{method} or C{uri} is not valid.
        """
        if self._theirs is not None:
            return self._theirs.request(method, uri, headers, bodyProducer)  # type: ignore[no-any-return]
        verb = checkMethod(method)
        if verb == "CONNECT":
            raise InvalidArgument("an Agent makes no CONNECT")
        uri = uri.strip()
        try:
            found, target = self._destinations.find(uri)
            if self._policy is not None:
                self._policy.prepare(found.route.origin, uri)
        except SchemeNotSupported:
            return fail(Failure())
        now = self.pool.reactor.seconds()
        total = self._timeouts.total
        call = Call(uri.decode("ascii"), verb, Timings(now), inf if total is None else now + total)
        try:
            body = toBody(bodyProducer)
            request, added = toRequest(verb, target, found.host, headers, body, self._persistent)
            route = through(self.pool, found, target, request) if self.pool.proxy else found.route
        except (LocalProtocolError, InvalidArgument) as error:
            return fail(requestFailed(error, call, sending=True))
        sent = None if tracing.outgoing is None else passOn(self.pool, verb, str(call.where), request._pairs)
        told = ClientRequest(method, uri, headers, found.host if added else None)
        asked = _Asked(self, route, call, request, body, told)
        asked.start()
        return asked if sent is None else watched(asked, sent, lambda response: response.code)


class _Asked(Awaited[Any]):
    """
    One request: what C{request} returns, and who waits for the head of the response.
    """

    __slots__ = ("_again", "_agent", "_body", "_call", "_dialing", "_protocol", "_request", "_route", "_told")

    def __init__(
        self, agent: Agent, route: Route, call: Call, request: WasiRequest, body: Body, told: ClientRequest
    ) -> None:
        super().__init__(_cancel)
        self._agent = agent
        self._route = route
        self._call = call
        self._request = request
        self._body = body
        self._told = told
        self._again = False
        # One of the two: who makes a connection, and the connection.
        self._dialing: _Dialing | None = None
        self._protocol: HttpClientProtocol | None = None

    def start(self) -> None:
        """
        Find a connection, and send.
        """
        protocol = self._agent.pool.take(self._route)
        if protocol is None:
            self._connect(self._agent.pool.wait)
        else:
            self.connected(protocol)

    def _connect(self, get: Any) -> None:
        agent, call = self._agent, self._call
        making = get(self._route, agent._timeouts, call.timings, call.until)
        self._dialing = _Dialing(self, making, agent.pool.reactor)
        self._dialing.start()

    def connected(self, protocol: HttpClientProtocol) -> None:
        """
        There is a connection.
        """
        self._dialing = None
        if self.called:
            protocol.giveUp()
            return
        self._protocol = protocol
        try:
            protocol.ask(self._call, self._request, self._body, self)
        except WasinetError as error:
            self.fail(error)

    def give(self, head: ResponseHead) -> None:
        """
        The head of the response has come.
        """
        protocol, self._protocol = self._protocol, None
        assert protocol is not None
        if head.status == 101:
            protocol.giveUp()
            error = NotSupported(f"{self._call}: an Agent doesn't switch protocols; fetch() does")
            self._fail(ResponseFailed([Failure(error)]))
            return
        call = self._call
        response = AgentResponse(protocol, call, head, self._told)
        observer = self._agent.pool.observer
        if observer is not None:
            observer(reportOf(call, self._request, self._body, self._route.proxy, protocol, head))
        super().give(response)

    def fail(self, error: BaseException) -> None:
        """
        There is no response.
        """
        protocol, self._protocol = self._protocol, None
        self._dialing = None
        if self.called:
            return
        call = self._call
        if protocol is None:
            self._fail(connectingFailed(error))
        elif self._mayRepeat(error):
            self._again = True
            self._connect(self._agent.pool.fresh)
        else:
            self._fail(requestFailed(error, call, self._sends()))

    def _mayRepeat(self, error: BaseException) -> bool:
        """
        Has the server closed a kept connection before the request came, and is it one that is safe to repeat (RFC 9110
        section 9.2.2)?
        """
        call = self._call
        return (
            isinstance(error, ConnectionClosed | IncompleteRead)
            and call.kept
            and self._agent._repeats
            and not self._again
            and mayRepeat(call, self._body)
        )

    def _sends(self) -> bool:
        """
        Is there still something of the request to be sent?
        """
        return isinstance(self._body, ProducerBody) and not self._body.complete

    def _fail(self, error: BaseException) -> None:
        agent, call = self._agent, self._call
        observer = agent.pool.observer
        if observer is not None:
            observer(reportOf(call, self._request, self._body, self._route.proxy, error=error))
        super().fail(error)

    def giveUp(self) -> None:
        """
        It has been cancelled.
        """
        protocol, dialing, call = self._protocol, self._dialing, self._call
        self._protocol = None
        error: BaseException = CancelledError()
        if protocol is not None:
            error = requestFailed(error, call, self._sends())
            protocol.waiter = None
            protocol.giveUp()
        elif dialing is not None:
            dialing.cancel()
        if not self.called:
            self._fail(error)


def _cancel(asked: Any) -> None:
    asked.giveUp()


class _Dialing(Task[HttpClientProtocol]):
    """
    Makes a connection for a request, or waits for one.
    """

    __slots__ = ("_asked",)

    def __init__(self, asked: _Asked, coroutine: Any, reactor: Any) -> None:
        super().__init__(coroutine, reactor)
        self._asked = asked

    def succeeded(self, result: HttpClientProtocol) -> None:
        """
        There is one.
        """
        self._asked.connected(result)

    def failed(self, error: BaseException) -> None:
        """
        There is none.
        """
        self._asked.fail(error)
