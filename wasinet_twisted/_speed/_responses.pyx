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

from wasinet_twisted._speed._heads cimport readResponseHead
from wasinet_twisted._speed._tasks cimport goOn
from wasinet_twisted._speed._watching cimport Watch

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
cdef object NO_HISTORY = (), EMPTY = b""
cdef object _pyDataReceived = HttpClientProtocol.dataReceived
cdef PyObject* resumeTwin = <PyObject*>_tasks.resume
cdef Watch _watch = None


def dataReceived(self, data):
    """
    Bytes have come.
    """
    cdef PyObject* held
    cdef PyObject* waiting
    cdef Py_ssize_t end = 0, length, size
    cdef int overflow = 0
    if not (
        type(self) is HttpClientProtocol
        and type(data) is bytes
        and SLOT(self, CLOSING) is Py_False
        and SLOT(self, PEER_FINISHED) is Py_False
        and isA(SLOT(self, WAITER), AWAITED_TYPE)
        and _watch.unchanged()
    ):
        return _pyDataReceived(self, data)
    held = SLOT(self, CALL)
    if held is NULL or type(<object>held) is not Hop:
        return _pyDataReceived(self, data)
    hop = <object>held
    waiter = <object>SLOT(self, WAITER)
    if (
        SLOT(hop, HOP_WAITER) is not <PyObject*>waiter
        or SLOT(hop, ANSWERED) is not Py_False
        or SLOT(hop, BEGUN_) is not Py_False
        or SLOT(hop, SENDER) is not Py_None
        or type(<object>SLOT(hop, TIMINGS)) is not Timings
        or type(<object>SLOT(hop, HOP_PLAN)) is not Plan
    ):
        return _pyDataReceived(self, data)
    held = SLOT(self, CONNECTION)
    if held is NULL or type(<object>held) is not ClientConnection:
        return _pyDataReceived(self, data)
    connection = <object>held
    exchange, clock = <object>SLOT(connection, EXCHANGE), <object>SLOT(connection, CLOCK)
    parser = <object>SLOT(connection, PARSER)
    plan, place = <object>SLOT(hop, HOP_PLAN), <object>SLOT(self, KEEPER)
    if not (
        type(exchange) is Exchange
        and type(clock) is Clock
        and type(parser) is Buffer
        and type(place) is Place
        and SLOT(connection, BECOMES) is <PyObject*>KEEP
        and SLOT(exchange, STATE) is <PyObject*>ASKED
        and SLOT(exchange, GOES_ON) is Py_True
        and SLOT(parser, BETWEEN_) is <PyObject*>BETWEEN
        and SLOT(parser, OPEN) is Py_True
        and type(<object>SLOT(parser, BYTES)) is ByteQueue
    ):
        return _pyDataReceived(self, data)
    queue = <object>SLOT(parser, BYTES)
    if SLOT(queue, SIZE) is not <PyObject*>ZERO:
        return _pyDataReceived(self, data)
    head = readResponseHead(
        data, 0, <object>SLOT(parser, BUFFER_LIMITS), ResponseHead, <object>SLOT(parser, BUFFER_METHOD), &end
    )
    if head is None or not _isPlain(head, plan):
        return _pyDataReceived(self, data)
    size = PyBytes_GET_SIZE(data)
    length = PyLong_AsLongLongAndOverflow(<object>SLOT(head, LENGTH), &overflow)
    if overflow or length < 0 or length != size - end or length > number(SLOT(plan, LIMIT)):
        return _pyDataReceived(self, data)
    body = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + end, length) if length else EMPTY
    now = (<object>SLOT(self, OF_REACTOR)).seconds()
    # The connection: the response is complete.
    slot_set(self, IMMEDIATE, ZERO)
    slot_set(queue, APPENDED, <object>SLOT(queue, APPENDED) + size)
    slot_set(parser, BUFFER_METHOD, None)
    slot_set(exchange, STATE, IDLE)
    slot_set(connection, HUNGRY, False)
    slot_set(connection, READS, now)
    slot_set(connection, TRAILERS_OF, None)
    slot_set(clock, SINCE, now)
    # The request.
    timings = <object>SLOT(hop, TIMINGS)
    took = now - <object>SLOT(timings, SINCE_BEGUN)
    slot_set(timings, FIRST_BYTE, took)
    slot_set(timings, TOTAL, took)
    slot_set(hop, ANSWERED, True)
    slot_set(hop, BEGUN_, True)
    slot_set(hop, HOP_WAITER, None)
    slot_set(self, CALL, None)
    slot_set(self, WAITER, None)
    response = _responseOf(hop, plan, head, body)
    _release(self, place, now)
    _give(waiter, response)


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


cdef object _responseOf(object hop, object plan, object head, object body):
    response = new_object(Response, ())
    slot_set(response, R_PROTOCOL, None)
    slot_set(response, R_CALL, hop)
    slot_set(response, R_HEAD, head)
    slot_set(response, R_TARGET, <object>SLOT(hop, HOP_TARGET))
    slot_set(response, R_LIMIT, <object>SLOT(plan, LIMIT))
    slot_set(response, R_DECODER, None)
    slot_set(response, R_HISTORY, <object>SLOT(hop, HISTORY))
    slot_set(response, R_PIECES, [])
    slot_set(response, R_BODY, body)
    slot_set(response, R_BEGUN, False)
    slot_set(response, R_FAILURE, None)
    return response


cdef int _release(object self, object place, object now) except -1:
    """
    C{HttpClientProtocol.release} and C{Pool.keep}.
    """
    cdef PyObject* pool = SLOT(place, PLACE_POOL)
    cdef PyObject* idle = SLOT(place, IDLE_OF)
    timer = <object>SLOT(self, TIMER)
    if timer is None or timer.getTime() > now + <object>SLOT(place, PATIENCE):
        self.arm(now)
    if (
        pool is NULL
        or type(<object>pool) is not Pool
        or SLOT(<object>pool, POOL_CLOSED) is not Py_False
        or SLOT(<object>pool, POOL_WAITING) is not <PyObject*>ZERO
        or type(<object>SLOT(<object>pool, FREE)) is not dict
        or idle is NULL
        or type(<object>idle) is not list
        or not PyList_GET_SIZE(idle)
    ):
        # The first that is kept, too: whether any are kept at all is for the Python to say.
        place.free(self)
        return 0
    (<list>idle).append(self)
    (<dict>SLOT(<object>pool, FREE))[self] = place
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
