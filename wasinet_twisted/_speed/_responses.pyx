# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
The twin of how the client takes nearly every response: one that has come whole, and whose request waits for it alone.

    dataReceived    HttpClientProtocol.dataReceived and release, receiving.go, call.headOf, ClientConnection.receive,
                    nextEvent and nextPiece, Hop.respond, Plan.responseOf, Response.__init__, Pool.keep

C{_fetching} says what is true of it.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from libc.string cimport memcmp

from wasinet_twisted._speed._heads cimport readResponseHead
from wasinet_twisted._speed._tasks cimport goOn
from wasinet_twisted._speed._watching cimport Named, Watch, stands, watchName

include "awaitedslots.pxi"
include "clientslots.pxi"

from functools import update_wrapper

from wasinet_twisted._speed import _tasks
from wasinet_twisted.client.redirects import REDIRECTS as _REDIRECTS
from wasinet_twisted.http.asks import CLOSE as _CLOSE

cdef extern from "heads.h":
    object new_object(object kind, tuple nothing)

cdef extern from "Python.h":
    PyObject* _PyType_Lookup(PyTypeObject*, object)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef long ASKS_CLOSE = _CLOSE
cdef frozenset OTHERS = frozenset(_REDIRECTS | {417})
cdef object EMPTY = b""
cdef type ClientLimits = _ClientLimits
cdef object _pyDataReceived = HttpClientProtocol.dataReceived
cdef PyObject* resumeTwin = <PyObject*>_tasks.resume
cdef Watch _watch = None
# What is honoured when somebody replaces it.
cdef Named _headHere, _goHere

# A connection and the request whose response it waits for, borrowed: they hold until somebody's Python runs.
cdef struct Parts:
    PyObject* connection
    PyObject* exchange
    PyObject* clock
    PyObject* parser
    PyObject* limits
    PyObject* method
    PyObject* queue
    PyObject* place
    PyObject* hop
    PyObject* waiter
    PyObject* plan
    PyObject* timings
    PyObject* begun


cdef bint _partsOf(object self, Parts* parts) noexcept:
    """
    @return: is each exactly of the class that is meant, and has nothing come of the response yet?
    """
    parts.connection = SLOT(self, CONNECTION)
    parts.hop = SLOT(self, CALL)
    parts.waiter = SLOT(self, WAITER)
    parts.place = SLOT(self, KEEPER)
    if (
        SLOT(self, CLOSING) is not Py_False
        or SLOT(self, LOST) is not Py_False
        or SLOT(self, PEER_FINISHED) is not Py_False
        or SLOT(self, READ_PAUSED) is not Py_False
        or not isA(parts.waiter, AWAITED_TYPE)
        or not isOf(parts.hop, Hop)
        or not isOf(parts.connection, ClientConnection)
        or not isOf(parts.place, Place)
    ):
        return False
    parts.plan = SLOT(<object>parts.hop, HOP_PLAN)
    parts.timings = SLOT(<object>parts.hop, TIMINGS)
    if (
        SLOT(<object>parts.hop, HOP_WAITER) is not parts.waiter
        or SLOT(<object>parts.hop, ANSWERED) is not Py_False
        or SLOT(<object>parts.hop, BEGUN_) is not Py_False
        or SLOT(<object>parts.hop, SENDER) is not Py_None
        or SLOT(<object>parts.hop, HOP_EXPECTS) is not Py_False
        or SLOT(<object>parts.hop, HOP_TARGET) is NULL
        or SLOT(<object>parts.hop, HISTORY) is NULL
        or not isOf(parts.timings, Timings)
        or not isOf(parts.plan, Plan)
    ):
        return False
    parts.begun = SLOT(<object>parts.timings, SINCE_BEGUN)
    parts.exchange = SLOT(<object>parts.connection, EXCHANGE)
    parts.clock = SLOT(<object>parts.connection, CLOCK)
    parts.parser = SLOT(<object>parts.connection, PARSER)
    if (
        not isOf(parts.begun, float)
        or SLOT(<object>parts.connection, BECOMES) is not <PyObject*>KEEP
        or not isOf(parts.exchange, Exchange)
        or not isOf(parts.clock, Clock)
        or not isOf(parts.parser, Buffer)
        or SLOT(<object>parts.exchange, STATE) is not <PyObject*>ASKED
        or SLOT(<object>parts.exchange, GOES_ON) is not Py_True
        or SLOT(<object>parts.parser, BETWEEN_) is not <PyObject*>BETWEEN
        or SLOT(<object>parts.parser, OPEN) is not Py_True
    ):
        return False
    parts.limits = SLOT(<object>parts.parser, BUFFER_LIMITS)
    parts.method = SLOT(<object>parts.parser, BUFFER_METHOD)
    parts.queue = SLOT(<object>parts.parser, BYTES)
    return (
        parts.limits is not NULL
        and parts.method is not NULL
        and isOf(parts.queue, ByteQueue)
        and SLOT(<object>parts.queue, SIZE) is <PyObject*>ZERO
    )


def dataReceived(self, data):
    """
    Bytes have come.
    """
    cdef Parts parts, again
    if not (
        type(self) is HttpClientProtocol
        and type(data) is bytes
        and _watch.unchanged()
        and stands(&_headHere)
        and stands(&_goHere)
        and _partsOf(self, &parts)
        and SLOT(self, OF_REACTOR) is not NULL
    ):
        return _pyDataReceived(self, data)
    # Held over what may run somebody's Python, be it by the garbage collector.
    connection, exchange, clock = <object>parts.connection, <object>parts.exchange, <object>parts.clock
    parser, queue, place = <object>parts.parser, <object>parts.queue, <object>parts.place
    hop, waiter, plan, timings = <object>parts.hop, <object>parts.waiter, <object>parts.plan, <object>parts.timings
    limits, method, begun = <object>parts.limits, <object>parts.method, <object>parts.begun
    response = _responseOf(hop, plan, data, limits, method)
    if response is None:
        return _pyDataReceived(self, data)
    now = (<object>SLOT(self, OF_REACTOR)).seconds()
    if type(now) is not float:
        return _pyDataReceived(self, data)
    took = <double>now - <double>begun
    # Nothing below runs Python, up to the release.
    if not _partsOf(self, &again) or memcmp(&parts, &again, sizeof(Parts)) != 0:
        return _pyDataReceived(self, data)
    appended = number(SLOT(queue, APPENDED))
    if appended < 0:
        return _pyDataReceived(self, data)
    # The connection: the response is complete.
    slot_set(self, IMMEDIATE, ZERO)
    slot_set(queue, APPENDED, appended + PyBytes_GET_SIZE(data))
    slot_set(parser, BUFFER_METHOD, None)
    slot_set(exchange, STATE, IDLE)
    slot_set(connection, HUNGRY, False)
    slot_set(connection, READS, now)
    slot_set(connection, TRAILERS_OF, None)
    slot_set(clock, SINCE, now)
    # The request.
    slot_set(timings, FIRST_BYTE, took)
    slot_set(timings, TOTAL, took)
    slot_set(hop, ANSWERED, True)
    slot_set(hop, BEGUN_, True)
    slot_set(hop, HOP_WAITER, None)
    slot_set(self, CALL, None)
    slot_set(self, WAITER, None)
    try:
        _release(self, place, now)
    except Exception as error:
        # As receiving.go() has it.
        self.giveUp()
        waiter.fail(error)
        return
    _give(waiter, response)


cdef object _responseOf(object hop, object plan, bytes data, object limits, object method):
    """
    @return: the response that C{data} is; L{None}: it isn't one that is whole and plain.
    """
    cdef Py_ssize_t end = 0, length, size = PyBytes_GET_SIZE(data)
    cdef int overflow = 0
    if SLOT(plan, LIMIT) is NULL:
        return None
    limit, target, history = <object>SLOT(plan, LIMIT), <object>SLOT(hop, HOP_TARGET), <object>SLOT(hop, HISTORY)
    head = readResponseHead(data, 0, limits, ResponseHead, method, &end)
    if head is None or not _isPlain(head, plan):
        return None
    length = PyLong_AsLongLongAndOverflow(<object>SLOT(head, LENGTH), &overflow)
    if overflow or length < 0 or length != size - end or length > number(<PyObject*>limit):
        return None
    response = new_object(Response, ())
    slot_set(response, R_PROTOCOL, None)
    slot_set(response, R_CALL, hop)
    slot_set(response, R_HEAD, head)
    slot_set(response, R_TARGET, target)
    slot_set(response, R_LIMIT, limit)
    slot_set(response, R_DECODER, None)
    slot_set(response, R_HISTORY, history)
    slot_set(response, R_PIECES, [])
    slot_set(response, R_BODY, PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + end, length) if length else EMPTY)
    slot_set(response, R_BEGUN, False)
    slot_set(response, R_FAILURE, None)
    return response


cdef bint _isPlain(object head, object plan) except -1:
    """
    Is it a response after which the connection goes on, and which is given as it is?
    """
    cdef PyObject* pair
    cdef PyObject* held = SLOT(head, PAIRS)
    cdef Py_ssize_t i
    if <long><object>SLOT(head, ASKS) & ASKS_CLOSE or <object>SLOT(head, HEAD_STATUS) in OTHERS:
        return False
    for i in range(PyList_GET_SIZE(held)):
        name = (<tuple>PyList_GET_ITEM(<object>held, i))[0]
        if PyUnicode_GET_LENGTH(name) == 16 and (<str>name).lower() == "content-encoding":
            return SLOT(plan, DECODE) is Py_False
    return True


cdef int _release(object self, object place, object now) except -1:
    """
    C{HttpClientProtocol.release} and C{Pool.keep}.
    """
    cdef PyObject* pool
    cdef PyObject* idle
    cdef PyObject* limits
    patience = place.patience if SLOT(place, PATIENCE) is NULL else <object>SLOT(place, PATIENCE)
    timer = self._timer if SLOT(self, TIMER) is NULL else <object>SLOT(self, TIMER)
    if timer is None or timer.getTime() > now + patience:
        self.arm(now)
    pool, idle = SLOT(place, PLACE_POOL), SLOT(place, IDLE_OF)
    if isOf(pool, Pool) and isOf(idle, list):
        limits = SLOT(<object>pool, POOL_LIMITS)
        if (
            SLOT(<object>pool, POOL_CLOSED) is Py_False
            and SLOT(<object>pool, POOL_WAITING) is <PyObject*>ZERO
            and isOf(SLOT(<object>pool, FREE), dict)
            and isOf(limits, ClientLimits)
            # The first that is kept isn't: whether any are kept at all is for the Python to say.
            and 0 < PyList_GET_SIZE(idle) < number(SLOT(<object>limits, MOST_KEPT))
        ):
            (<list>idle).append(self)
            (<dict>SLOT(<object>pool, FREE))[self] = place
            return 0
    place.free(self)
    return 0


cdef int _give(object waiter, object value) except -1:
    """
    C{Awaited.give}.
    """
    cdef PyObject* held = SLOT(waiter, TASK)
    if held is NULL or held is Py_None:
        waiter.callback(value)
        return 0
    task = <object>held
    slot_set(waiter, TASK, None)
    slot_set(waiter, CALLED, True)
    slot_set(waiter, CANCELLER, None)
    slot_set(waiter, RESULT, None)
    if _PyType_Lookup(Py_TYPE(held), "resume") is resumeTwin and PyObject_TypeCheck(task, TASK_TYPE):
        goOn(task, value)
    else:
        task.resume(value)
    if not isEmpty(SLOT(waiter, CALLBACKS)) and waiter._callbacks:
        waiter._runCallbacks()
    return 0


def install():
    """
    Put this in the place of the Python's.
    """
    global _watch
    HttpClientProtocol.dataReceived = update_wrapper(dataReceived, _pyDataReceived)
    _watch = Watch(
        HttpClientProtocol, ClientConnection, Exchange, Clock, Buffer, ByteQueue, Pool, Place, Plan, Hop, Response,
        ResponseHead, Timings,
    )


watchName(&_headHere, _machine, "fastResponseHead", _machine.fastResponseHead)
watchName(&_goHere, _protocol, "go", _protocol.go)
