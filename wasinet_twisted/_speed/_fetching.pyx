# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Twins of how the client makes nearly every request: one without a body, over a connection that is free.

Each function here stands for some of Python's:

    fetch          fetching.fetch and Plan.begin
    _freeAt        Pool.take, and stale.isStale, of a connection without TLS
    _ask           HttpClientProtocol.ask

What is sent is in C{_asking}, what comes of the response in C{_responses}.

The conditions are those of the Python. Where one doesn't hold, the Python is called, with nothing done. The fields are
those of the Python objects, read by their offset (C{slots.h}): so each object's class is looked at first, and is to be
exactly the one that is meant. A method of these classes that somebody has replaced sends everything the Python's way
(C{_watching}).

C{wasinet_twisted.client.fetching} imports this, at its end.
"""
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject

from wasinet_twisted._speed._asking cimport encode, targetOf
from wasinet_twisted._speed._tasks cimport newAwaited
from wasinet_twisted._speed._watching cimport Named, Watch, stands, watchName

include "awaitedslots.pxi"
include "clientslots.pxi"

import socket
from functools import update_wrapper

from wasinet_twisted._speed import _asking, _responses
from wasinet_twisted.client import fetching as _fetching
from wasinet_twisted.client.dialing import Route

cdef extern from "heads.h":
    object new_object(object kind, tuple nothing)

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(dict where, object key) except? NULL

cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd*, unsigned long, int)
    short POLLIN

cdef enum:
    # So many routes are remembered; then all are forgotten.
    MOST_REMEMBERED = 256

# Those whose request has no body, and says nothing of one.
cdef tuple METHODS = ("GET", "HEAD", "DELETE", "OPTIONS")
cdef object _pyFetch = _fetching.fetch, NO_BODY = _planning.NO_BODY, NOTHING_GIVEN = b"", NO_FIELDS = ()
cdef object FOREVER = float("inf"), TWENTY = _fetching.REDIRECTS
cdef type Socket = socket.socket, Timeouts_ = _Timeouts, RouteOf = Route
# By origin.
cdef dict _routes = {}
cdef Watch _watch = None
cdef Named _staleHere


def fetch(
    url,
    *,
    method="GET",
    headers=(),
    body=b"",
    json=None,
    timeout=None,
    redirects=20,
    pool=None,
    proxy=None,
    expectContinue=False,
    unixSocket=None,
    decode=True,
    interim=None,
    reactor=None,
):
    """
    See C{client.fetching.fetch}.
    """
    if (
        type(pool) is Pool
        and type(url) is str
        and type(method) is str
        and type(body) is bytes
        and not body
        and json is None
        and timeout is None
        and redirects is TWENTY
        and proxy is None
        and expectContinue is False
        and unixSocket is None
        and decode is True
        and interim is None
        and reactor is None
        and _watch.unchanged()
        and stands(&_staleHere)
    ):
        waiter = _begin(url, method, headers, pool)
        if waiter is not None:
            return waiter
    return _pyFetch(
        url,
        method=method,
        headers=headers,
        body=body,
        json=json,
        timeout=timeout,
        redirects=redirects,
        pool=pool,
        proxy=proxy,
        expectContinue=expectContinue,
        unixSocket=unixSocket,
        decode=decode,
        interim=interim,
        reactor=reactor,
    )


cdef object _begin(str url, str method, object headers, object pool):
    """
    @return: what waits for the response; L{None}: nothing has been done.
    """
    cdef PyObject* found = SLOT(pool, PLAN)
    cdef PyObject* timeouts
    if (
        found is NULL
        or type(<object>found) is not Plan
        or SLOT(pool, OBSERVER) is not Py_None
        or SLOT(pool, PROXY) is not Py_None
        or method not in METHODS
    ):
        return None
    plan = <object>found
    timeouts = SLOT(plan, TIMEOUTS)
    if timeouts is NULL or type(<object>timeouts) is not Timeouts_ or SLOT(<object>timeouts, TOTAL_TIMEOUT) is not Py_None:
        return None
    target = targetOf(url)
    if target is None:
        return None
    place = _placeOf(pool, <object>SLOT(target, ORIGIN))
    if place is None:
        return None
    protocol = _freeAt(pool, place)
    if protocol is None:
        return None
    encoded = encode(plan, target, method, headers)
    if encoded is None:
        return None
    place.idle.pop()
    del (<dict>SLOT(pool, FREE))[protocol]
    return _ask(plan, protocol, place, target, method, headers, encoded)


cdef object _placeOf(object pool, object origin):
    cdef PyObject* found = PyDict_GetItemWithError(_routes, origin)
    cdef PyObject* places = SLOT(pool, PLACES)
    if places is NULL or type(<object>places) is not dict or type(<object>SLOT(pool, FREE)) is not dict:
        return None
    if found is NULL:
        if len(_routes) >= MOST_REMEMBERED:
            _routes.clear()
        route = _routes[origin] = RouteOf(origin)
    else:
        route = <object>found
    found = PyDict_GetItemWithError(<dict>places, route)
    if found is NULL or type(<object>found) is not Place:
        return None
    return <object>found


cdef object _freeAt(object pool, object place):
    """
    @return: the connection that is next to be used, and is free: it stays where it is; L{None}: the Python looks.
    """
    cdef PyObject* idle = SLOT(place, IDLE_OF)
    cdef PyObject* connection
    cdef PyObject* exchange
    cdef PyObject* clock
    cdef PyObject* parser
    cdef PyObject* queue
    cdef pollfd look
    if not isList(idle) or not PyList_GET_SIZE(idle):
        return None
    protocol = <object>PyList_GET_ITEM(<object>idle, PyList_GET_SIZE(idle) - 1)
    if (
        type(protocol) is not HttpClientProtocol
        or SLOT(protocol, CLOSING) is not Py_False
        or SLOT(protocol, LOST) is not Py_False
        or SLOT(protocol, PEER_FINISHED) is not Py_False
        or SLOT(protocol, KEEPER) is not <PyObject*>place
        or SLOT(protocol, WRITE_PAUSED) is not Py_False
        or number(SLOT(protocol, OF_QUEUED)) != 0
        or PyDict_GetItemWithError(<dict>SLOT(pool, FREE), protocol) is NULL
    ):
        return None
    connection = SLOT(protocol, CONNECTION)
    if connection is NULL or type(<object>connection) is not ClientConnection:
        return None
    exchange = SLOT(<object>connection, EXCHANGE)
    clock = SLOT(<object>connection, CLOCK)
    parser = SLOT(<object>connection, PARSER)
    if (
        SLOT(<object>connection, BECOMES) is not <PyObject*>KEEP
        or type(<object>exchange) is not Exchange
        or SLOT(<object>exchange, STATE) is not <PyObject*>IDLE
        or number(SLOT(<object>exchange, COUNT)) < 0
        or type(<object>clock) is not Clock
        or SLOT(<object>clock, CLOCK_TIMING) is not SLOT(place, PLACE_TIMING)
        or type(<object>parser) is not Buffer
    ):
        return None
    sock = getattr(<object>SLOT(protocol, OF_TRANSPORT), "socket", None)
    if type(sock) is not Socket:
        return None
    look.fd = sock.fileno()
    look.events = POLLIN
    # As isStale() has it.
    if look.fd < 0 or c_poll(&look, 1, 0) != 0:
        return None
    return protocol


cdef inline bint isList(PyObject* held):
    return held is not NULL and type(<object>held) is list


cdef object _ask(object plan, object protocol, object place, object target, str method, object headers, bytes encoded):
    cdef double due, first
    connection = <object>SLOT(protocol, CONNECTION)
    exchange = <object>SLOT(connection, EXCHANGE)
    now = (<object>SLOT(protocol, OF_REACTOR)).seconds()
    hop = _newHop(plan, target, method, headers, now)
    slot_set(exchange, STATE, ASKED)
    slot_set(exchange, METHOD_OF, method)
    slot_set(exchange, GOES_ON, True)
    slot_set(exchange, COUNT, <object>SLOT(exchange, COUNT) + 1)
    slot_set(hop, KEPT, number(SLOT(exchange, COUNT)) > 1)
    slot_set(<object>SLOT(connection, PARSER), BUFFER_METHOD, method)
    slot_set(connection, OFFERS, False)
    slot_set(connection, INTERIM, ZERO)
    slot_set(connection, READS, now)
    slot_set(<object>SLOT(connection, CLOCK), SINCE, now)
    waiter = newAwaited()
    slot_set(waiter, CALLED, False)
    slot_set(waiter, CANCELLER, protocol._giveUp)
    slot_set(protocol, CALL, hop)
    slot_set(protocol, WAITER, waiter)
    slot_set(hop, HOP_WAITER, waiter)
    (<object>SLOT(protocol, OF_TRANSPORT)).write(encoded)
    if SLOT(protocol, WRITE_PAUSED) is not Py_False:
        protocol._queued += PyBytes_GET_SIZE(encoded)
    timer = <object>SLOT(protocol, TIMER)
    if timer is None:
        protocol.arm(now)
    else:
        due = timer.getTime()
        first = now
        first += <double><object>SLOT(place, PATIENCE)
        if due > first:
            protocol.arm(now)
    return waiter


cdef object _newHop(object plan, object target, str method, object headers, object now):
    hop = new_object(Hop, ())
    timings = new_object(Timings, ())
    slot_set(timings, SINCE_BEGUN, now)
    slot_set(timings, RESOLVE, None)
    slot_set(timings, CONNECT, None)
    slot_set(timings, TLS, None)
    slot_set(timings, FIRST_BYTE, None)
    slot_set(timings, TOTAL, None)
    slot_set(hop, WHERE, target)
    slot_set(hop, HOP_TARGET, target)
    slot_set(hop, CALL_METHOD, method)
    slot_set(hop, UNTIL, FOREVER)
    slot_set(hop, TIMINGS, timings)
    slot_set(hop, CALL_INTERIM, None)
    slot_set(hop, CALL_TIMING, None)
    slot_set(hop, ANSWERED, False)
    slot_set(hop, BEGUN_, False)
    slot_set(hop, SENDER, None)
    slot_set(hop, CALL_TRAILERS, None)
    slot_set(hop, HOP_PLAN, plan)
    slot_set(hop, HOP_FIELDS, list((<dict>headers).items()) if headers is not NO_FIELDS else [])
    slot_set(hop, HOP_BODY, NO_BODY)
    slot_set(hop, HOP_EXPECTS, False)
    slot_set(hop, HISTORY, NO_FIELDS)
    return hop


def forget():
    """
    Forget all names and routes, for tests.
    """
    _routes.clear()
    _asking.forget()


def install():
    """
    Put these in the place of the Python's.
    """
    global _watch
    _responses.install()
    _fetching.fetch = update_wrapper(fetch, _pyFetch)
    _watch = Watch(
        HttpClientProtocol, ClientConnection, Exchange, Clock, Buffer, Pool, Place, Plan, Hop, Target, Timings
    )


watchName(&_staleHere, _pool, "isStale", _pool.isStale)
