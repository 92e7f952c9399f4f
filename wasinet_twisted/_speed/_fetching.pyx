# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Twins of how the client makes nearly every request: one without a body, or with one of bytes, over a connection that is
free.

Each function here stands for some of Python's:

    fetch          fetching.fetch and Plan.begin
    _freeAt        Pool.take, and stale.isStale, of a connection without TLS
    _ask           HttpClientProtocol.ask

What is sent is in C{_asking}, what comes of the response in C{_responses}.

The conditions are those of the Python. Where one doesn't hold, the Python is called, with nothing done. The fields are
those of the Python objects, read by their offset (C{slots.h}): so each object's class is looked at first, and is to be
exactly the one that is meant, and no slot is read that may be empty. Whatever may run somebody's Python, be it by the
garbage collector, comes before the last look. A method of these classes that somebody has replaced sends everything the
Python's way (C{_watching}), and so do C{isStale} in C{pool}, C{parseUrl} in C{fetching} and C{go} in C{protocol}, and any C{tracing.outgoing}.

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

from wasinet_twisted import tracing as _tracing
from wasinet_twisted._speed import _asking, _responses
from wasinet_twisted.client import fetching as _fetching
from wasinet_twisted.client.dialing import Route
from wasinet_twisted.http.messages import WasiRequest

cdef extern from "heads.h":
    object new_object(object kind, tuple nothing)

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(dict where, object key) except? NULL
    PyObject* _PyType_Lookup(PyTypeObject*, object)

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

# Those whose request has no body, and says nothing of one; and those that say how long theirs is.
cdef tuple BODILESS = ("GET", "HEAD", "DELETE", "OPTIONS"), WITH_BODY = ("POST", "PUT", "PATCH")
cdef object _pyFetch = _fetching.fetch, NO_BODY = _planning.NO_BODY, NO_FIELDS = ()
cdef object FOREVER = float("inf"), TWENTY = _fetching.REDIRECTS
cdef type Socket = socket.socket, Timeouts_ = _Timeouts, RouteOf = Route, Body = _Body
# By origin.
cdef dict _routes = {}
cdef Watch _watch = None
# What is honoured when somebody replaces it.
cdef Named _staleHere, _urlHere, _untracedHere


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
        and stands(&_urlHere)
        # While nothing is traced, nothing is passed on.
        and stands(&_untracedHere)
        # Else each Deferred keeps where it was made.
        and _PyType_Lookup(AWAITED_TYPE, "debug") is Py_False
    ):
        waiter = _begin(url, method, headers, body, pool)
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


cdef object _begin(str url, str method, object headers, bytes body, object pool):
    """
    What may run somebody's Python, be it by the garbage collector, comes first: what C{_freeAt} has seen holds until
    the request is on its way.

    @return: what waits for the response; L{None}: nothing has been done.
    """
    cdef PyObject* found = SLOT(pool, PLAN)
    cdef PyObject* timeouts
    cdef PyObject* patience
    cdef double first
    cdef bint hasBody = method in WITH_BODY
    if (
        not isOf(found, Plan)
        or SLOT(pool, OBSERVER) is not Py_None
        or SLOT(pool, POOL_REACTOR) is NULL
        or not (hasBody or method in BODILESS and not body)
        or headers is not NO_FIELDS and type(headers) is not dict
    ):
        return None
    plan, reactor = <object>found, <object>SLOT(pool, POOL_REACTOR)
    timeouts = SLOT(plan, TIMEOUTS)
    if (
        not isOf(timeouts, Timeouts_)
        or SLOT(<object>timeouts, TOTAL_TIMEOUT) is not Py_None
        or SLOT(plan, PLAN_POOL) is not <PyObject*>pool
        or SLOT(plan, PROXY) is not Py_None
        or SLOT(plan, UNIX_SOCKET) is not Py_None
        or SLOT(plan, PLAN_INTERIM) is not Py_None
        or SLOT(plan, PLAN_TIMING) is not Py_None
    ):
        return None
    target = targetOf(url)
    if target is None:
        return None
    place = _placeOf(pool, <object>SLOT(target, ORIGIN))
    if place is None:
        return None
    fields = list((<dict>headers).items()) if headers is not NO_FIELDS else []
    encoded = encode(plan, target, method, fields, body if hasBody else None)
    if encoded is None:
        return None
    now = reactor.seconds()
    patience = SLOT(place, PATIENCE)
    if type(now) is not float or not (isOf(patience, float) or isOf(patience, int)):
        return None
    first = <double>now + <double><object>patience
    hop = _newHop(plan, target, method, fields, body, now)
    waiter = newAwaited()
    slot_set(waiter, CALLED, False)
    slot_set(hop, HOP_WAITER, waiter)
    protocol = _freeAt(pool, place, waiter)
    if protocol is None:
        return None
    (<list>SLOT(place, IDLE_OF)).pop()
    del (<dict>SLOT(pool, FREE))[protocol]
    _ask(protocol, hop, waiter, method, encoded, now, first)
    return waiter


cdef object _placeOf(object pool, object origin):
    """
    @return: where a free connection to C{origin} may be; L{None}: nowhere, or the Python looks.
    """
    cdef PyObject* found = PyDict_GetItemWithError(_routes, origin)
    cdef PyObject* places
    if found is NULL:
        if len(_routes) >= MOST_REMEMBERED:
            _routes.clear()
        route = _routes[origin] = RouteOf(origin)
    else:
        route = <object>found
    places = SLOT(pool, PLACES)
    if not isOf(places, dict):
        return None
    found = PyDict_GetItemWithError(<dict>places, route)
    if not isOf(found, Place):
        return None
    place = <object>found
    return place if isFilled(SLOT(place, IDLE_OF)) else None


cdef object _freeAt(object pool, object place, object waiter):
    """
    @param waiter: is cancelled by the connection.
    @return: the connection that is next to be used, and is free: it stays where it is; L{None}: the Python looks.
    """
    cdef PyObject* idle = SLOT(place, IDLE_OF)
    cdef PyObject* transport
    cdef PyObject* connection
    cdef PyObject* exchange
    cdef pollfd look
    if not isFilled(idle):
        return None
    protocol = lastOf(idle)
    if type(protocol) is not HttpClientProtocol:
        return None
    transport = SLOT(protocol, OF_TRANSPORT)
    if transport is NULL:
        return None
    slot_set(waiter, CANCELLER, protocol._giveUp)
    sock = getattr(<object>transport, "socket", None)
    if type(sock) is not Socket:
        return None
    look.fd = sock.fileno()
    look.events = POLLIN
    # As isStale() has it. Nothing below runs Python.
    if look.fd < 0 or c_poll(&look, 1, 0) != 0:
        return None
    idle = SLOT(place, IDLE_OF)
    if (
        not isFilled(idle)
        or PyList_GET_ITEM(<object>idle, PyList_GET_SIZE(idle) - 1) is not <PyObject*>protocol
        or not isOf(SLOT(pool, FREE), dict)
        or PyDict_GetItemWithError(<dict>SLOT(pool, FREE), protocol) is NULL
        or SLOT(protocol, CLOSING) is not Py_False
        or SLOT(protocol, LOST) is not Py_False
        or SLOT(protocol, PEER_FINISHED) is not Py_False
        or SLOT(protocol, FINISHED) is not Py_False
        or SLOT(protocol, KEEPER) is not <PyObject*>place
        or SLOT(protocol, WRITE_PAUSED) is not Py_False
        or number(SLOT(protocol, OF_QUEUED)) != 0
        or SLOT(protocol, OF_REACTOR) is not SLOT(pool, POOL_REACTOR)
        or SLOT(protocol, OF_TRANSPORT) is not transport
        or not isOf(SLOT(protocol, CONNECTION), ClientConnection)
    ):
        return None
    connection = SLOT(protocol, CONNECTION)
    exchange = SLOT(<object>connection, EXCHANGE)
    if (
        SLOT(<object>connection, BECOMES) is not <PyObject*>KEEP
        or not isOf(exchange, Exchange)
        or SLOT(<object>exchange, STATE) is not <PyObject*>IDLE
        or number(SLOT(<object>exchange, COUNT)) < 0
        or not isOf(SLOT(<object>connection, CLOCK), Clock)
        or SLOT(<object>SLOT(<object>connection, CLOCK), CLOCK_TIMING) is not SLOT(place, PLACE_TIMING)
        or not isOf(SLOT(<object>connection, PARSER), Buffer)
    ):
        return None
    return protocol


cdef inline bint isFilled(PyObject* held):
    return isOf(held, list) and PyList_GET_SIZE(held) > 0


cdef inline object lastOf(PyObject* filled):
    return <object>PyList_GET_ITEM(<object>filled, PyList_GET_SIZE(filled) - 1)


cdef int _ask(
    object protocol, object hop, object waiter, str method, bytes encoded, object now, double first
) except -1:
    cdef double due
    connection, transport = <object>SLOT(protocol, CONNECTION), <object>SLOT(protocol, OF_TRANSPORT)
    exchange = <object>SLOT(connection, EXCHANGE)
    cdef long count = number(SLOT(exchange, COUNT)) + 1
    slot_set(exchange, STATE, ASKED)
    slot_set(exchange, METHOD_OF, method)
    slot_set(exchange, GOES_ON, True)
    slot_set(exchange, COUNT, count)
    slot_set(hop, KEPT, count > 1)
    slot_set(<object>SLOT(connection, PARSER), BUFFER_METHOD, method)
    slot_set(connection, OFFERS, False)
    slot_set(connection, INTERIM, ZERO)
    slot_set(connection, READS, now)
    slot_set(<object>SLOT(connection, CLOCK), SINCE, now)
    slot_set(protocol, CALL, hop)
    slot_set(protocol, WAITER, waiter)
    transport.write(encoded)
    if SLOT(protocol, WRITE_PAUSED) is not Py_False:
        protocol._queued += PyBytes_GET_SIZE(encoded)
    timer = protocol._timer if SLOT(protocol, TIMER) is NULL else <object>SLOT(protocol, TIMER)
    if timer is not None:
        due = timer.getTime()
        if due <= first:
            return 0
    protocol.arm(now)
    return 0


cdef object _newHop(object plan, object target, str method, list fields, bytes body, object now):
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
    slot_set(hop, HOP_FIELDS, fields)
    slot_set(hop, HOP_BODY, _bodyOf(body) if body else NO_BODY)
    slot_set(hop, HOP_EXPECTS, False)
    slot_set(hop, HISTORY, NO_FIELDS)
    return hop


cdef object _bodyOf(bytes whole):
    """
    C{bodies.toBody}.
    """
    body = new_object(Body, ())
    slot_set(body, WHOLE, whole)
    slot_set(body, BODY_LENGTH, PyBytes_GET_SIZE(whole))
    slot_set(body, BODY_TYPE, None)
    slot_set(body, REPLAYABLE, True)
    return body


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
        HttpClientProtocol, ClientConnection, Exchange, Clock, Buffer, Pool, Place, Plan, Hop, Target, Timings, Body,
        WasiRequest, _call.Call,
    )


watchName(&_staleHere, _pool, "isStale", _pool.isStale)
watchName(&_urlHere, _fetching, "parseUrl", _fetching.parseUrl)
watchName(&_untracedHere, _tracing, "outgoing", None)
