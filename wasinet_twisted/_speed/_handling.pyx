# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Twins of what answers nearly every request: the handler's first step, and the response, counted and written.

Each C function here stands for one function of Python's, and is named alike:

    handle, handled, _handled    handling.handle; handling.handled with ServerConnection.respond
    _answered                    Statistics.answered
    _answer                      HttpProtocol.answer

C{_serve} says what is true of all of them.
"""
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_SET_ITEM
from cpython.ref cimport Py_DECREF

from wasinet_twisted._speed._answers cimport encodeResponse
from wasinet_twisted._speed._watching cimport Named, Watch, stands, watchName

from wasinet_twisted.http.answers import persistence
from wasinet_twisted.http.asks import UNKNOWN_EXPECTATION as _UNKNOWN
from wasinet_twisted.http.outgoing import CLOSE_LINE as _CLOSE_LINE

include "serveslots.pxi"

cdef extern from "Python.h":
    bint PyCoro_CheckExact(object o)
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    int PyIter_Send(object coroutine, object value, PyObject** result)
    enum:
        PYGEN_RETURN
        PYGEN_ERROR

cdef extern from *:
    """
    static inline int raise_again(void) { return -1; }
    """
    # Goes on with the exception that a function of CPython's has set.
    int raise_again() except -1

cdef long UNKNOWN_EXPECTATION = _UNKNOWN
cdef double UNITS = _statistics.UNITS, TABLED = _statistics._TABLED
cdef list TABLE = _statistics._TABLE
cdef object NOTHING = b"", CLOSE_LINE = _CLOSE_LINE

cdef object _pyHandle = _handling.handle, _pyHandled = _handling.handled
cdef Watch _watch = None
# What is honoured when somebody replaces it.
cdef Named _handleHere, _responseHere, _handledHere
# HttpProtocol.follow, which leads to the next request: its twin stands in _serve.
cdef Following _follow = NULL


cdef int handle(object self, object request) except -1:
    """
    Run the handler over a request.
    """
    cdef PyObject* sent = NULL
    cdef int how = PYGEN_ERROR
    cdef bint ended = False
    if (
        # A replaced receive() may give whatever it likes.
        type(request) is not Request
        or <long><object>SLOT(<PyObject*>request, ASKS) & UNKNOWN_EXPECTATION
        or not stands(&_handleHere)
    ):
        _protocol.handle(self, request)
        return 0
    server = _slot(self, SERVER, "server")
    slot_set(request, PROTOCOL, self)
    slot_set(request, BEGUN, False)
    slot_set(request, FAULT, None)
    _add(_of(server, STATISTICS, "statistics"), Statistics, REQUESTS, "requests", 1)
    slot_set(self, IN_FLIGHT, request)
    context = PyContext_Copy(_of(server, CONTEXT, "context"))
    awaited = None
    PyContext_Enter(context)
    try:
        try:
            result = _of(server, HANDLER, "handler")(request)
            if PyCoro_CheckExact(result):
                # The first step is made here: most handlers have nothing to wait for, and need no task.
                how = PyIter_Send(result, None, &sent)
                if how == PYGEN_ERROR:
                    raise_again()
        finally:
            PyContext_Exit(context)
    except StopIteration as stop:
        # A plain function has raised it: a coroutine can't.
        ended = True
        result = stop.value
    except BaseException as error:
        _handling.failed(self, request, error)
        return 0
    if sent != NULL:
        awaited = <object>sent
        Py_DECREF(awaited)
        if how == PYGEN_RETURN:
            ended = True
            result = awaited
    if ended or isinstance(result, WasiResponse):
        if not stands(&_handledHere):
            _handling.handled(self, request, result)
        elif not _handled(self, request, result):
            _pyHandled(self, request, result)
    else:
        _handling.goOn(self, request, result, context, awaited)
    return 0


def handled(carrier, request, response):
    """
    The handler has returned: answer with what it gave.
    """
    if not _handled(carrier, request, response):
        _pyHandled(carrier, request, response)


cdef bint _handled(object self, object request, object response) except -1:
    """
    C{handling.handled}, with C{ServerConnection.respond}.

    @return: has it been done?
    """
    cdef Parts parts
    cdef PyObject* of = <PyObject*>self
    cdef PyObject* asked = <PyObject*>request
    cdef bint goesOn
    if not (
        type(self) is HttpProtocol
        and type(request) is Request
        and type(response) is WasiResponse
        and SLOT(of, LOST) == Py_False
        and SLOT(of, CLOSING) == Py_False
        and _partsOf(SLOT(of, CONNECTION), &parts)
        and SLOT(SLOT(of, CONNECTION), REQUEST) == asked
        and SLOT(parts.exchange, STATE) == <PyObject*>ASKED
        and SLOT(SLOT(of, CONNECTION), EXPECTS) == Py_False
        and _isA(SLOT(<PyObject*>response, BODY), bytes)
        and _isA(SLOT(<PyObject*>response, STATUS), int)
        # A handler may have deleted these.
        and _isA(SLOT(asked, VERSION), str)
        and _isA(SLOT(asked, REQUEST_METHOD), str)
        and asWritten()
        and stands(&_responseHere)
    ):
        return False
    server, connection = _slot(self, SERVER, "server"), <object>SLOT(of, CONNECTION)
    exchange, clock = <object>parts.exchange, <object>parts.clock
    goesOn = SLOT(parts.exchange, GOES_ON) == Py_True
    line = NOTHING if goesOn else CLOSE_LINE
    if not _isStr(SLOT(asked, VERSION), HTTP11):
        line = persistence(request, goesOn)
    date = _of(server, DATE_LINE, "dateLine")
    if type(date) is not bytes or type(line) is not bytes:
        return False
    status = <object>SLOT(<PyObject*>response, STATUS)
    body = <object>SLOT(<PyObject*>response, BODY)
    now = _now(self)
    try:
        encoded = encodeResponse(response, <object>SLOT(asked, REQUEST_METHOD), <bytes>date, <bytes>line)
        if encoded is None:
            return False
        slot_set(connection, REQUEST, None)
        slot_set(clock, SINCE, now)
        if goesOn:
            slot_set(exchange, STATE, IDLE)
        else:
            slot_set(exchange, STATE, OVER)
            connection._last(now)
    except Exception as error:
        _handling._unsendable(self, request, response, error)
        return True
    slot_set(self, IN_FLIGHT, None)
    started = <object>SLOT(<PyObject*>clock, STARTED)
    _answered(_of(server, STATISTICS, "statistics"), status, now, started, PyBytes_GET_SIZE(<bytes>encoded))
    if _of(server, ENDS, "ends") is not None:
        size = 0 if request.method == "HEAD" else PyBytes_GET_SIZE(<bytes>body)
        _handling.logAnswer(self, request, status, size, now - started)
    _answer(self, encoded)
    return True


cdef int _answered(object statistics, object status, object now, object started, Py_ssize_t size) except -1:
    """
    A request has its answer.
    """
    cdef PyObject* of = <PyObject*>statistics
    cdef double seconds
    cdef Py_ssize_t bucket, index = status
    if type(statistics) is Statistics and type(now) is float and type(started) is float:
        seconds = PyFloat_AS_DOUBLE(now) - PyFloat_AS_DOUBLE(started)
        if (
            0.0 <= seconds < TABLED
            and _isA(SLOT(of, STATUSES), list)
            and _isA(SLOT(of, BUCKETS), list)
            and _isA(SLOT(of, SENT), int)
            and _isA(SLOT(of, SECONDS), float)
        ):
            bucket = <object>PyList_GET_ITEM(TABLE, <Py_ssize_t>(seconds * UNITS))
            if index < PyList_GET_SIZE(<object>SLOT(of, STATUSES)) and bucket < PyList_GET_SIZE(<object>SLOT(of, BUCKETS)):
                _addAt(<list>SLOT(of, STATUSES), index)
                _add(statistics, Statistics, SENT, "bytesSent", size)
                _addAt(<list>SLOT(of, BUCKETS), bucket)
                slot_set(statistics, SECONDS, PyFloat_AS_DOUBLE(<object>SLOT(of, SECONDS)) + seconds)
                return 0
    statistics.answered(status, now - started, size)
    return 0


cdef inline int _addAt(list counts, Py_ssize_t index) except -1:
    cdef PyObject* old = PyList_GET_ITEM(counts, index)
    # The list takes the new reference, and gives up the old one.
    PyList_SET_ITEM(counts, index, <object>_sum(<object>old, 1))
    Py_DECREF(<object>old)
    return 0


# Bytes out


cdef int _answer(object self, object data) except -1:
    """
    Send a whole response, which has been counted; and go on with what comes next.
    """
    cdef Parts parts
    cdef PyObject* of = <PyObject*>self
    if SLOT(of, QUEUED) != <PyObject*>ZERO:
        self.send(data)
    else:
        transport = _slot(self, TRANSPORT, "transport")
        if (
            SLOT(of, DIRECT) != Py_True
            or SLOT(of, PUMPING) != Py_False
            or not _protocol.sendDirectly(transport, data)
        ):
            transport.write(data)
        if SLOT(of, WRITE_PAUSED) != Py_False:
            _add(self, HttpProtocol, QUEUED, "_queued", PyBytes_GET_SIZE(<bytes>data))
    if SLOT(of, PULLER) == Py_None:
        # While answers follow one another, pump() goes on by itself.
        if SLOT(of, PUMPING) != Py_False:
            return 0
        if (
            _partsOf(SLOT(of, CONNECTION), &parts)
            and SLOT(parts.exchange, STATE) == <PyObject*>IDLE
            and SLOT(parts.arrived, SIZE) == <PyObject*>ZERO
            and SLOT(of, PEER_FINISHED) == Py_False
            and SLOT(of, READ_PAUSED) == Py_False
        ):
            return 0
    _follow(self)
    return 0


# Is it still what it stands for?


cdef bint asWritten() except -1:
    """
    Are the methods of all classes those that they were?
    """
    return _watch.unchanged()


cdef int keepAsWritten() except -1:
    """
    Keep how everything is just now.
    """
    global _watch
    _watch = Watch(
        HttpProtocol, ServerConnection, Exchange, RequestReader, ServerClock, Buffer, ByteQueue, Statistics, Request,
        WasiResponse, HttpServer,
    )
    return 0


cdef int thenFollow(Following follow) except -1:
    global _follow
    _follow = follow
    return 0


watchName(&_handleHere, _protocol, "handle", _pyHandle)
watchName(&_responseHere, _serverconnection, "fastResponse", _serverconnection.fastResponse)
watchName(&_handledHere, _handling, "handled", handled)
keepAsWritten()
