"""
L{fetch}: a request, and the response to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from twisted.internet.defer import Deferred

from .. import _speed, tracing
from ..errors import InvalidArgument
from ..http import ResponseHead
from ..http.checks import shorten
from ..http.events import HeadersLike, toHeaders
from ..http.fields import Pair
from ..net.reactors import theReactor
from .bodies import NO_BODY, toBody
from .environment import toProxy
from .limits import Timeouts
from .planning import Plan
from .pool import Pool
from .response import Response
from .traced import begin
from .urls import parseUrl

# How many redirects are followed: as many as the Fetch standard has.
REDIRECTS = 20
# How long free connections of the default pool may keep a reactor that stops, in seconds: over TLS, a server may not
# answer a close.
STOP_TIMEOUT = 1.0
# How long the path of a Unix socket may be, in bytes: sockaddr_un of Linux has room for one more, a NUL.
LONGEST_PATH = 107
# The default pools, by their reactors. A pool refers to its reactor: if the pool were held here, neither would be
# freed. What holds a pool is its reactor, by the trigger for its shutdown and by the pool's connections.
_pools: WeakKeyDictionary[Any, ReferenceType[Pool]] = WeakKeyDictionary()


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

        response = await fetch("http://example.org/", timeout=10)
        text = await response.text()

    Read the body to its end, or use C{async with}: else the response holds its connection.

    @param url: an C{http} or C{https} URL, a str or a C{yarl.URL}. A user and a password in it are sent as Basic
        credentials (RFC 7617), unless C{headers} have Authorization.
    @param method: a token (RFC 9110 section 9.1); its case is kept. CONNECT is refused: see C{proxy}.
    @param headers: the fields, a mapping or pairs, of str or bytes. Host, User-Agent, Accept and Accept-Encoding are
        added unless they are given.
    @param body: bytes; str, as UTF-8; a binary file, from where it stands; or an iterable or asynchronous iterable of
        bytes or str, sent in chunks as it comes, or with the Content-Length that C{headers} give.
    @param json: a value that is sent as JSON, instead of C{body}.
    @param timeout: seconds for the whole request, the body of the response included; or
        L{Timeouts<wasinet_twisted.client.Timeouts>}, seconds for each phase. By default the pool's.
    @param redirects: how many redirects are followed, by the rules of the Fetch standard; 0 gives the redirecting
        response itself.
    @param pool: the L{Pool<wasinet_twisted.client.Pool>} whose connections are used; by default the reactor's, which
        is closed when the reactor stops.
    @param proxy: the URL of a proxy, or a L{Proxy<wasinet_twisted.client.Proxy>}; C{"environment"} takes it from
        C{http_proxy} and the like; C{""} is none. By default the pool's.
    @param expectContinue: wait with the body until the server asks for it, at most 1 second (RFC 9110 section 10.1.1).
    @param unixSocket: the path of the Unix socket where the server listens. Redirects are asked for there, too,
        whatever their host.
    @param decode: undo the content coding of the response's body (RFC 9110 section 8.4); False asks for C{identity}.
    @param interim: called with the head of each interim response, such as 103 (RFC 9110 section 15.2).
    @param reactor: whose default pool is used, if C{pool} is not given.
    @return: fires with the response when its head has come, whatever its status. Cancelling it resets the connection.
    @raise InvalidArgument: one of the arguments can't be used. This is raised at once, before there is a Deferred.
    @raise LocalProtocolError: the request can't be sent: a field, or the length of the body, is not valid.
    @raise NotSupported: an extra is missing; or a redirect asks again for a body that can be sent only once.
    @raise ConnectFailed: no connection could be made; its subclasses tell why.
    @raise LimitExceeded: too many requests wait for a connection of the pool.
    @raise TimedOut: the request, or one of its phases, took too long.
    @raise ConnectionClosed: the connection was reset, or the pool was closed.
    @raise IncompleteRead: the connection ended before the head of the response was complete.
    @raise RemoteProtocolError: the response is malformed, or its Location can't be followed.
    @raise TooManyRedirects: there were more than C{redirects}.
    """
    pool, timeouts = poolAndTimeouts(pool, reactor, timeout)
    target = parseUrl(url)
    given = body if json is None and body.__class__ is bytes else None
    sent = toBody(body, json) if given is None or given else NO_BODY
    if type(redirects) is not int or redirects < 0:
        raise InvalidArgument(f"redirects must be a whole number of at least 0, not {redirects!r}")
    if method == "CONNECT":
        raise InvalidArgument("fetch() makes no CONNECT; proxy= goes through a proxy")
    if unixSocket is not None:
        checkWays(unixSocket, proxy)
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
    if tracing.outgoing is None:
        return plan.begin(target, method, _fieldsOf(headers), sent, expectContinue)
    return begin(plan, target, method, _fieldsOf(headers), sent, expectContinue)


def poolAndTimeouts(pool: Pool | None, reactor: Any, timeout: float | Timeouts | None) -> tuple[Pool, Timeouts]:
    """
    Return what C{pool=}, C{reactor=} and C{timeout=} mean.

    @raise InvalidArgument: they don't go together, or one of them can't be used.
    """
    if pool is None:
        pool = defaultPool(reactor)
    elif reactor is not None and reactor is not pool.reactor:
        raise InvalidArgument("give pool= or reactor=, not both: a pool has its reactor")
    if timeout is None:
        return pool, pool.timeouts
    return pool, timeout if isinstance(timeout, Timeouts) else _within(pool.timeouts, timeout)


def checkWays(unixSocket: str | None, proxy: Any) -> None:
    """
    @raise InvalidArgument: C{unixSocket} and C{proxy} are both given, or the former can't be used.
    """
    if unixSocket is not None:
        _checkPath(unixSocket)
        if proxy:
            raise InvalidArgument("give unixSocket= or proxy=, not both")


def _fieldsOf(given: HeadersLike) -> list[Pair]:
    """
    @raise LocalProtocolError: a name is neither str nor bytes.
    """
    if given.__class__ is dict:
        pairs = list(given.items())
        if all(name.__class__ is str and value.__class__ is str for name, value in pairs):
            return pairs
    return list(toHeaders(given).items()) if given else []


def _checkPath(path: object) -> None:
    """
    @raise InvalidArgument: C{path} can't be that of a Unix socket.
    """
    if not isinstance(path, str):
        raise InvalidArgument(f"unixSocket must be a path, a str, not {type(path).__name__}")
    size = len(os.fsencode(path))
    # The kernel would end the path at a NUL, and connect to another. At the beginning, it has an abstract name follow.
    if not 0 < size <= LONGEST_PATH or "\0" in path[1:]:
        raise InvalidArgument(
            f"unixSocket must be a path of 1 to {LONGEST_PATH} bytes without NUL, not {shorten(path)}"
        )


def _within(timeouts: Timeouts, total: float) -> Timeouts:
    if type(total) not in (int, float):
        raise InvalidArgument(f"timeout must be a number of seconds or Timeouts, not {total!r}")
    return replace(timeouts, total=total)


def defaultPool(reactor: Any = None) -> Pool:
    """
    Return the pool that goes with a reactor, which is closed when that stops.
    """
    reactor = theReactor(reactor)
    known = _pools.get(reactor)
    pool = None if known is None else known()
    if pool is None or pool.closed:
        pool = Pool(reactor=reactor)
        _pools[reactor] = ref(pool)
        addTrigger = getattr(reactor, "addSystemEventTrigger", None)
        if addTrigger is not None:
            # Before the reactor disconnects, servers answer what is in flight, for which their handlers may fetch.
            addTrigger("before", "shutdown", pool.closeFree, STOP_TIMEOUT)
            addTrigger("during", "shutdown", pool.close)
    return pool


_speed.install("_fetching", "client.url", "http.responseHead")
