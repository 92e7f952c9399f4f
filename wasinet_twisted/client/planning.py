"""
What one C{fetch} does: a request, and those that its redirects lead to.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Any

from multidict import CIMultiDict
from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.logger import Logger

from .. import __version__
from ..errors import ConnectionClosed, ContentError, IncompleteRead, LocalProtocolError, WasinetError
from ..http import ResponseHead, WasiRequest
from ..http.fields import Pair
from ..net.tasks.awaited import Awaited
from .bodies import NO_BODY, Body
from .call import Call
from .decoding import acceptEncoding, decoderFor
from .dialing import Route
from .environment import proxyFromEnvironment
from .exchanging import exchange, mayRepeat
from .following import Fetching
from .limits import Timeouts, timingOf
from .pool import Pool
from .protocol import HttpClientProtocol
from .proxies import HTTP_SCHEMES, Proxy, absoluteForm
from .redirects import REDIRECTS, checkRedirects, redirected
from .report import Report, reportOf
from .response import Response
from .timings import Timings
from .urls import Target

log = Logger()

# How long the body of a redirect may take to come, in seconds: it is read only to keep its connection.
DISCARD_TIMEOUT = 1.0
_USER_AGENT = ("User-Agent", f"wasinet_twisted/{__version__}")
_ACCEPT = ("Accept", "*/*")
_IDENTITY = ("Accept-Encoding", "identity")


class Hop(Call):
    """
    One request of a fetch.

    @ivar target: where it goes.
    @ivar fields: those that the caller has given.
    @ivar history: the responses that have led here.
    """

    __slots__ = ("body", "expectContinue", "fields", "history", "plan", "target", "waiter")

    def __init__(
        self,
        plan: Plan,
        target: Target,
        method: str,
        fields: list[Pair],
        body: Body,
        expectContinue: bool,
        until: float,
        history: tuple[Response, ...] = (),
    ) -> None:
        super().__init__(target, method, Timings(plan.pool.reactor.seconds()), until, plan.interim, plan.timing)
        self.plan = plan
        self.target = target
        self.fields = fields
        self.body = body
        self.expectContinue = expectContinue
        self.history = history
        # What the caller of fetch() waits for, where no task is needed; L{None}: a task waits.
        self.waiter: Awaited[Response] | None = None

    def respond(self, protocol: HttpClientProtocol, head: ResponseHead) -> Any:
        """
        See L{Call.respond}.
        """
        waiter, self.waiter = self.waiter, None
        if waiter is None:
            return head
        response = self.plan.responseOf(self, protocol, head)
        if head.status not in REDIRECTS and not self.expectContinue:
            return response
        self.plan.goOn(self, waiter, response)
        return None

    def start(self) -> float:
        """
        See L{Call.start}: the first request of all.
        """
        return self.history[0].timings.begun if self.history else self.timings.begun

    def fail(self, waiter: Awaited[Any], error: Exception) -> None:
        """
        See L{Call.fail}.
        """
        direct, self.waiter = self.waiter, None
        if direct is not None and mayRepeat(self, self.body) and isinstance(error, ConnectionClosed | IncompleteRead):
            self.plan.goOn(self, direct, None)
        else:
            waiter.fail(error)

    def request(self, proxy: Proxy | None) -> WasiRequest:
        """
        Return the message that is sent.

        @param proxy: what the connection leads to, or through; L{None}: there is no proxy.
        @raise LocalProtocolError: a field for the proxy would go to the origin.
        """
        target, body = self.target, self.body
        request = WasiRequest(self.method, target.path, (), body.whole or b"")
        pairs = request._pairs
        fields = self.fields
        given = {name.lower() for name, _ in fields} if fields else ()
        if "host" not in given:
            pairs.append(("Host", target.host))
        pairs += fields
        for name, pair in self.plan.defaults:
            if name not in given:
                # A part of a coded body can't be decoded (Fetch, section 4.6).
                pairs.append(pair if name != "accept-encoding" or "range" not in given else _IDENTITY)
        if target.userinfo is not None and "authorization" not in given:
            user, password = target.userinfo
            credentials = b64encode(f"{user}:{password}".encode()).decode("ascii")
            pairs.append(("Authorization", f"Basic {credentials}"))
        if body is not NO_BODY:
            if body.contentType is not None and "content-type" not in given:
                pairs.append(("Content-Type", body.contentType))
            if body.whole is None and body.length is not None and "content-length" not in given:
                pairs.append(("Content-Length", str(body.length)))
            if self.expectContinue and "expect" not in given:
                pairs.append(("Expect", "100-continue"))
        if proxy is not None:
            if proxy.scheme in HTTP_SCHEMES and target.origin.scheme == "http":
                request.uri, forProxy = absoluteForm(target, proxy)
                if "proxy-authorization" not in given:
                    pairs += forProxy
            elif "proxy-authorization" in given:
                raise LocalProtocolError(
                    f"Proxy-Authorization would go to the origin, through {proxy}; give user and password with proxy="
                )
        return request


class Plan:
    """
    What stays the same from one redirect to the next.

    @ivar pool: whose connections are used.
    @ivar redirects: how many are followed.
    @ivar interim: is called with the head of each interim response.
    @ivar timing: what a server is allowed, if that isn't what the pool allows.
    @ivar limit: how long a body may be that is read whole, by default, in bytes.
    @ivar defaults: the fields that are added where the caller gives none, by their names in lower case.
    """

    __slots__ = (
        "_decode",
        "_proxy",
        "_timeouts",
        "_unixSocket",
        "defaults",
        "interim",
        "limit",
        "pool",
        "redirects",
        "timing",
    )

    def __init__(
        self,
        pool: Pool,
        timeouts: Timeouts,
        redirects: int,
        proxy: Any,
        unixSocket: str | None,
        decode: bool,
        interim: Callable[[ResponseHead], object] | None,
    ) -> None:
        self.pool = pool
        self.limit = pool.limits.message.responseBody
        self._timeouts = timeouts
        self.timing = None if timeouts is pool.timeouts else timingOf(pool.limits, timeouts)
        self.redirects = redirects
        self._proxy = pool.proxy if proxy is None else proxy
        self._unixSocket = unixSocket
        self._decode = decode
        self.interim = interim
        self.defaults = _defaults(decode)

    def begin(
        self, target: Target, method: str, fields: list[Pair], body: Body, expectContinue: bool
    ) -> Awaited[Response]:
        """
        Send the request; the response is awaited.
        """
        pool = self.pool
        total = self._timeouts.total
        until = inf if total is None else pool.reactor.seconds() + total
        hop = Hop(self, target, method, fields, body, expectContinue, until)
        if not self._proxy and self._unixSocket is None and pool.observer is None:
            # Nearly always there is a connection, and nothing to wait for before the response: no task is needed.
            protocol = pool.take(Route(target.origin))
            if protocol is not None:
                # It is there before anything is sent: a transport in memory may bring the response from within that.
                waiter: Awaited[Response] = Awaited(protocol._giveUp)
                hop.waiter = waiter
                try:
                    protocol.ask(hop, hop.request(None), body, waiter)
                except LocalProtocolError as error:
                    failed: Awaited[Response] = Awaited()
                    failed.fail(error)
                    return failed
                return waiter
        fetching = Fetching(self.run(hop), pool.reactor, Awaited())
        fetching.start()
        return fetching.result

    def goOn(self, hop: Hop, waiter: Awaited[Response], response: Response | None) -> None:
        """
        Go on in a task after all: with a redirect, or with the request once more.

        @param waiter: what the caller waits for.
        @param response: the redirect.
        """
        Fetching(self.run(hop, response, again=response is None), self.pool.reactor, waiter).start()

    async def run(self, hop: Hop, response: Response | None = None, again: bool = False) -> Response:
        """
        Send the request, and follow where it is redirected.

        @param response: the one to the request, if it has been sent already.
        @param again: has it been sent, and got none?
        """
        while True:
            if response is None:
                response = await self._once(hop, again)
                again = False
            try:
                following = self._following(hop, response)
                if following is None:
                    return response
                await self._discard(response)
            except BaseException:
                response.close()
                raise
            hop, response = following, None

    def _following(self, hop: Hop, response: Response) -> Hop | None:
        """
        Return the request that a response leads to; L{None}: it is the one that was asked for.
        """
        if response.status == 417 and hop.expectContinue and hop.body.replayable:
            # RFC 9110 section 10.1.1: once more, without the expectation.
            return Hop(self, hop.target, hop.method, hop.fields, hop.body, False, hop.until, hop.history)
        if response.status not in REDIRECTS or not self.redirects:
            return None
        following = redirected(
            hop.method,
            CIMultiDict(hop.fields),
            hop.target,
            response.status,
            response.headers.getall("Location", ()),
            hasBody=hop.body is not NO_BODY,
            replayable=hop.body.replayable,
        )
        if following is None:
            return None
        checkRedirects(len(hop.history), self.redirects, following.target)
        return Hop(
            self,
            following.target,
            following.method,
            list(following.headers.items()),
            hop.body if following.keepsBody else NO_BODY,
            hop.expectContinue and following.keepsBody,
            hop.until,
            (*hop.history, response),
        )

    async def _discard(self, response: Response) -> None:
        """
        Let the connection be used again, if the body of a response that nobody will see comes soon.
        """
        discarding = ensureDeferred(response.discard()).addTimeout(DISCARD_TIMEOUT, self.pool.reactor)
        try:
            await discarding
        except (WasinetError, TimeoutError):
            # Whatever has become of it: the head has said all.
            response.close()

    async def _once(self, hop: Hop, again: bool) -> Response:
        pool = self.pool
        observer = pool.observer
        request: WasiRequest | None = None
        proxy: Proxy | None = None
        try:
            route = self._route(hop.target)
            proxy = route.proxy
            request = hop.request(proxy)
            protocol, head = await exchange(pool, route, request, hop.body, hop, self._timeouts, again)
            response = self.responseOf(hop, protocol, head)
        except BaseException as error:
            if observer is not None:
                _tell(observer, reportOf(hop, request, hop.body, proxy, error=error))
            raise
        if observer is not None:
            _tell(observer, reportOf(hop, request, hop.body, proxy, protocol, head))
        return response

    def responseOf(self, hop: Hop, protocol: HttpClientProtocol, head: ResponseHead) -> Response:
        """
        Make the response of a head.
        """
        decoder = None
        if self._decode and _isCoded(head):
            try:
                decoder = decoderFor(head.getHeader("Content-Encoding"), self.pool.limits.decoding)
            except ContentError:
                protocol.giveUp()
                raise
        return Response(protocol, hop, head, hop.target, self.limit, decoder, hop.history)

    def _route(self, target: Target) -> Route:
        origin = target.origin
        proxy: Any = self._proxy
        if self._unixSocket is not None or not proxy:
            return Route(origin, None, self._unixSocket)
        if proxy == "environment":
            scheme = "http" if origin.scheme == "ws" else origin.scheme
            proxy = proxyFromEnvironment(scheme, origin.host, origin.port)
        return Route(origin, proxy)


def _isCoded(head: ResponseHead) -> bool:
    # Most heads aren't: to make the mapping of their fields would take longer than all else here.
    # A list: a generator would cost as much again.
    return any([len(name) == 16 and name.lower() == "content-encoding" for name, _ in head._pairs])  # noqa: C419


def _tell(observer: Callable[[Report], object], report: Report) -> None:
    try:
        observer(report)
    except Exception:
        log.failure("an observer of requests failed")


@lru_cache(maxsize=2)
def _defaults(decode: bool) -> tuple[tuple[str, Pair], ...]:
    pairs = (_USER_AGENT, _ACCEPT, ("Accept-Encoding", acceptEncoding() if decode else "identity"))
    return tuple((pair[0].lower(), pair) for pair in pairs)
