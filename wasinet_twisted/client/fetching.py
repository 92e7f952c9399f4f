"""
L{fetch}: a request, and the response to it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from multidict import CIMultiDict
from twisted.internet.defer import Deferred

from .. import __version__
from ..errors import InvalidArgument
from ..http import ResponseHead, WasiRequest
from ..http.events import HeadersLike, toHeaders
from ..http.fields import Pair
from ..net.reactors import theReactor
from ..net.tasks.awaited import Awaited
from ..net.tasks.task import Task
from .bodies import NO_BODY, Body, toBody
from .call import Call
from .decoding import acceptEncoding, decoderFor
from .dialing import Route
from .exchanging import exchange
from .limits import Timeouts, timingOf
from .pool import Pool
from .redirects import REDIRECTS, checkRedirects, redirected
from .report import Report
from .response import Response
from .timings import Timings
from .urls import Target, parseUrl

# By the reactor whose they are.
_pools: WeakKeyDictionary[Any, Pool] = WeakKeyDictionary()

_USER_AGENT = ("User-Agent", f"wasinet_twisted/{__version__}")
_ACCEPT = ("Accept", "*/*")


def fetch(
    url: Any,
    *,
    method: str = "GET",
    headers: HeadersLike = (),
    body: Any = b"",
    json: Any = None,
    timeout: float | Timeouts | None = None,
    redirects: int = 20,
    pool: Pool | None = None,
    proxy: Any = None,
    expectContinue: bool = False,
    unixSocket: str | None = None,
    decode: bool = True,
    interim: Callable[[ResponseHead], object] | None = None,
    reactor: Any = None,
) -> Deferred[Response]:
    """
    Send a request, and wait for the head of its response.

        response = await fetch("http://example.org/")
        text = await response.text()

    @param url: C{http} or C{https}; a user and a password in it go as Basic authorization.
    @param headers: the fields, a mapping or pairs. Host, Accept, Accept-Encoding
        and User-Agent are added where they aren't given.
    @param body: bytes; str, as UTF-8; a binary file, sent from where it stands; or
        an iterable or asynchronous iterable of bytes, sent in chunks as it comes.
    @param json: what is sent as JSON, instead of C{body}.
    @param timeout: seconds for all of it, the body of the response included; or
        L{Timeouts}, for each phase. By default as the pool has it.
    @param redirects: how many are followed, as the Fetch standard has it; 0
        gives the redirecting response itself.
    @param pool: whose connections are used; by default one that goes with the reactor.
    @param proxy: the URL of a proxy, or a L{Proxy<wasinet_twisted.client.Proxy>};
        C{"environment"} takes it from C{HTTP_PROXY} and the like; C{""} is none. By default as the pool has it.
    @param expectContinue: let the body wait until the server asks for it, or for a second (RFC 9110 section 10.1.1).
    @param unixSocket: the path of a Unix socket where the server is.
    @param decode: undo the content coding of the response's body.
    @param interim: is called with the head of each interim response, such as 103.
    @return: fires with the response, whatever its status. Cancelling it resets the connection.
    @raise InvalidArgument: one of these can't be used.
    @raise ConnectFailed: no connection could be made, for one of several reasons that have classes of their own.
    @raise TimedOut: one of the phases took too long.
    @raise ConnectionClosed: the connection was lost.
    @raise RemoteProtocolError: the response is malformed.
    @raise IncompleteRead: the response was cut.
    @raise TooManyRedirects: there are more than C{redirects}.
    @raise LocalProtocolError: the request can't be sent.
    """
    if pool is None:
        pool = defaultPool(reactor)
    elif reactor is not None and reactor is not pool.reactor:
        raise InvalidArgument("give pool= or reactor=, not both: a pool has its reactor")
    target = parseUrl(url)
    given = body if json is None and body.__class__ is bytes else None
    sent = toBody(body, json) if given is None or given else NO_BODY
    if expectContinue:
        sent = sent.later()
    timeouts = pool.timeouts
    if timeout is not None:
        timeouts = timeout if isinstance(timeout, Timeouts) else _within(timeouts, timeout)
    if type(redirects) is not int or redirects < 0:
        raise InvalidArgument(f"redirects must be a whole number of at least 0, not {redirects!r}")
    if method == "CONNECT":
        raise InvalidArgument("fetch() makes no CONNECT; proxy= goes through a proxy")
    plan = _Plan(pool, timeouts, redirects, proxy, unixSocket, decode, interim)
    task = _Fetch(plan.run(target, method, _fieldsOf(headers), sent, expectContinue), pool.reactor)
    task.start()
    return task.result


class _Fetch(Task[Response]):
    """
    One fetch.

    @ivar result: fires with the response.
    """

    __slots__ = ("result",)

    def __init__(self, coroutine: Any, reactor: Any) -> None:
        super().__init__(coroutine, reactor)
        self.result: Awaited[Response] = Awaited(self._giveUp)

    def _giveUp(self, _: Deferred[Any]) -> None:
        self.cancel()

    def succeeded(self, result: Response) -> None:
        """
        The head has come.
        """
        self.result.give(result)

    def failed(self, error: BaseException) -> None:
        """
        There is no response.
        """
        self.result.fail(error)


class _Plan:
    """
    What stays the same from one redirect to the next.
    """

    __slots__ = ("_decode", "_interim", "_pool", "_proxy", "_redirects", "_timeouts", "_timing", "_unixSocket")

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
        self._pool = pool
        self._timeouts = timeouts
        self._timing = None if timeouts is pool.timeouts else timingOf(pool.limits, timeouts)
        self._redirects = redirects
        self._proxy = pool.proxy if proxy is None else proxy
        self._unixSocket = unixSocket
        self._decode = decode
        self._interim = interim

    async def run(self, target: Target, method: str, fields: list[Pair], body: Body, expectContinue: bool) -> Response:
        """
        Send the request, and follow where it is redirected.
        """
        pool = self._pool
        now = pool.reactor.seconds()
        total = self._timeouts.total
        until = inf if total is None else now + total
        history: tuple[Response, ...] = ()
        while True:
            response = await self._once(target, method, fields, body, expectContinue, until, history)
            if response.status not in REDIRECTS or not self._redirects:
                return response
            following = redirected(
                method,
                CIMultiDict(fields),
                target,
                response.status,
                response.headers.getall("Location", ()),
                hasBody=body is not NO_BODY,
                replayable=body.replayable,
            )
            if following is None:
                return response
            checkRedirects(len(history), self._redirects, following.target)
            await response.discard()
            history = (*history, response)
            target, method, fields = following.target, following.method, list(following.headers.items())
            if not following.keepsBody:
                body, expectContinue = NO_BODY, False

    async def _once(
        self,
        target: Target,
        method: str,
        fields: list[Pair],
        body: Body,
        expectContinue: bool,
        until: float,
        history: tuple[Response, ...],
    ) -> Response:
        pool = self._pool
        route = self._route(target)
        request = self._request(target, method, fields, body, expectContinue, route)
        call = Call(target, method, Timings(pool.reactor.seconds()), until, self._interim, self._timing)
        try:
            protocol, head = await exchange(pool, route, request, body, call, self._timeouts)
        except BaseException as error:
            if pool.observer is not None:
                pool.observer(Report(method, str(target), None, error, call.kept, call.timings))
            raise
        decoder = None
        if self._decode:
            coding = head.getHeader("Content-Encoding")
            if coding is not None:
                decoder = decoderFor(coding, pool.limits.decoding)
        response = Response(protocol, call, head, target, pool.limits.message.responseBody, decoder, history)
        if pool.observer is not None:
            pool.observer(Report(method, str(target), head.status, None, call.kept, call.timings))
        return response

    def _route(self, target: Target) -> Route:
        if not self._proxy and self._unixSocket is None:
            return Route(target.origin)
        return Route(target.origin, None, self._unixSocket)

    def _request(
        self, target: Target, method: str, fields: list[Pair], body: Body, expectContinue: bool, route: Route
    ) -> WasiRequest:
        request = WasiRequest(method, target.path, (), body.whole or b"")
        pairs = request._pairs
        given = {name.lower() for name, _ in fields}
        if "host" not in given:
            pairs.append(("Host", target.host))
        pairs += fields
        for pair in (_USER_AGENT, _ACCEPT, ("Accept-Encoding", acceptEncoding() if self._decode else "identity")):
            if pair[0].lower() not in given:
                pairs.append(pair)
        if target.userinfo is not None and "authorization" not in given:
            user, password = target.userinfo
            credentials = b64encode(f"{user}:{password}".encode()).decode("ascii")
            pairs.append(("Authorization", f"Basic {credentials}"))
        if body is not NO_BODY:
            if body.contentType is not None and "content-type" not in given:
                pairs.append(("Content-Type", body.contentType))
            if body.whole is None and body.length is not None and "content-length" not in given:
                pairs.append(("Content-Length", str(body.length)))
            if expectContinue and "expect" not in given:
                pairs.append(("Expect", "100-continue"))
        return request


def _fieldsOf(given: HeadersLike) -> list[Pair]:
    """
    @raise LocalProtocolError: a name is neither str nor bytes.
    """
    if given.__class__ is dict:
        pairs = list(given.items())
        if all(name.__class__ is str and value.__class__ is str for name, value in pairs):
            return pairs
    return list(toHeaders(given).items()) if given else []


def _within(timeouts: Timeouts, total: float) -> Timeouts:
    from dataclasses import replace

    if type(total) not in (int, float):
        raise InvalidArgument(f"timeout must be a number of seconds or Timeouts, not {total!r}")
    return replace(timeouts, total=total)


def defaultPool(reactor: Any = None) -> Pool:
    """
    Return the pool that goes with a reactor, which is closed when that stops.
    """
    reactor = theReactor(reactor)
    pool = _pools.get(reactor)
    if pool is None or pool.closed:
        pool = _pools[reactor] = Pool(reactor=reactor)
        addTrigger = getattr(reactor, "addSystemEventTrigger", None)
        if addTrigger is not None:
            addTrigger("before", "shutdown", pool.close)
    return pool
