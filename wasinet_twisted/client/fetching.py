"""
L{fetch}: a request, and the response to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred

from .. import _speed
from ..errors import InvalidArgument
from ..http import ResponseHead
from ..http.events import HeadersLike, toHeaders
from ..http.fields import Pair
from ..net.reactors import theReactor
from .bodies import NO_BODY, toBody
from .environment import toProxy
from .limits import Timeouts
from .planning import Plan
from .pool import Pool
from .response import Response
from .urls import parseUrl

# How many redirects are followed: as many as the Fetch standard has.
REDIRECTS = 20
# How long the default pool may keep a reactor that stops, in seconds: over TLS, a server may not answer a close.
STOP_TIMEOUT = 1.0
# By the reactor whose they are.
_pools: WeakKeyDictionary[Any, Pool] = WeakKeyDictionary()


def fetch(
    url: Any,
    *,
    method: str = "GET",
    headers: HeadersLike = (),
    body: Any = b"",
    json: Any = None,
    timeout: float | Timeouts | None = None,
    redirects: int = REDIRECTS,
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
    timeouts = pool.timeouts
    if timeout is not None:
        timeouts = timeout if isinstance(timeout, Timeouts) else _within(timeouts, timeout)
    if type(redirects) is not int or redirects < 0:
        raise InvalidArgument(f"redirects must be a whole number of at least 0, not {redirects!r}")
    if method == "CONNECT":
        raise InvalidArgument("fetch() makes no CONNECT; proxy= goes through a proxy")
    if unixSocket is not None and proxy:
        raise InvalidArgument("give unixSocket= or proxy=, not both")
    if expectContinue:
        sent = sent.later()
    plan: Plan | None
    if (
        timeouts is pool.timeouts
        and redirects == REDIRECTS
        and proxy is None
        and unixSocket is None
        and interim is None
        and decode is True
    ):
        plan = pool.plan
        if plan is None:
            # Nearly all requests have the same.
            plan = pool.plan = Plan(pool, timeouts, REDIRECTS, None, None, True, None)
    else:
        plan = Plan(pool, timeouts, redirects, toProxy(proxy), unixSocket, decode, interim)
    return plan.begin(target, method, _fieldsOf(headers), sent, expectContinue)


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
            addTrigger("before", "shutdown", pool.close, STOP_TIMEOUT)
    return pool


_speed.install("_fetching", "client.url", "http.responseHead")
