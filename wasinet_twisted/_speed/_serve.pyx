# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Twins of the way of nearly every request through a server's connection: bytes in, the handler's first step, bytes out.

Each C function here stands for one function of Python's, and is named alike:

    dataReceived, pump, _answer, _follow    HttpProtocol's, in server/protocol.py
    _next, _takeUp                          RequestReceiver.receive, of what has arrived; and the end of it
    _handle, handled, _handled              handling.handle, handling.handled with ServerConnection.respond
    _answered                               Statistics.answered

The conditions are those of the Python. Where one doesn't hold, the Python function
is called, with nothing done. The fields are those of the Python objects, read by
their offset (slots.h): so each object's class is looked at first, and is to be
exactly the one that is meant. Whatever calls a user's code may have changed all of
that, and it is looked at anew.

Bound early, when this is imported, are the classes, the constants, and
C{handling.handle}. Honoured are, at the next call, methods of the classes that
somebody replaces (C{_watching}: then everything goes the Python's way), and these
functions, in the modules that call them: C{handle} in C{protocol}, C{handled} in
C{handling}, C{fastRequestHead} in C{requestreceiver} and C{machine},
C{fastResponse} in C{serverconnection}. All others are looked up where they are
called, as in Python.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from wasinet_twisted._speed._answers cimport encodeResponse
from wasinet_twisted._speed._heads cimport readRequestHead
from wasinet_twisted._speed._watching cimport Named, Watch, stands, watchName

cdef bint _isReady = False, _isWanted = False


def install():
    """
    Put these in the place of the Python's. When this module is the first of all to be imported, it is asked for it by
    what it imports itself, and does it at its end.
    """
    global _isWanted
    _isWanted = True
    if _isReady:
        _install()


from sys import intern

from wasinet_twisted._speed import _handlers
from wasinet_twisted.errors import IncompleteRead, RemoteProtocolError
from wasinet_twisted.http import connection as _connection, exchange as _exchange, machine as _machine
from wasinet_twisted.http import requestreader as _requestreader, requestreceiver as _requestreceiver
from wasinet_twisted.http import serverconnection as _serverconnection, timing as _timing
from wasinet_twisted.http.answers import persistence
from wasinet_twisted.http.asks import UNKNOWN_EXPECTATION as _UNKNOWN
from wasinet_twisted.http.buffer import Buffer as _Buffer
from wasinet_twisted.http.bytequeue import ByteQueue as _ByteQueue
from wasinet_twisted.http.messages import WasiResponse as _WasiResponse
from wasinet_twisted.net.tasks.awaited import IMMEDIATE as _IMMEDIATE
from wasinet_twisted.server import handling as _handling, protocol as _protocol, statistics as _statistics
from wasinet_twisted.server.request import Request as _Request
from wasinet_twisted.server import serving as _serving

include "serveslots.pxi"

cdef extern from "Python.h":
    PyObject* Py_None
    PyObject* Py_True
    PyObject* Py_False
    bint Py_IS_TYPE(PyObject* o, type kind)
    bint PyCoro_CheckExact(object o)
    object PyContext_CopyCurrent()
    PyObject* PyLong_FromLongLong(long long number) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
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


# Small numbers are one object each in CPython; where they weren't, all would go the Python's way.
cdef object ZERO = 0, IDLE = _exchange.IDLE, ASKED = _exchange.ASKED, INFINITE = _timing.inf
cdef object KEEP = _connection.KEEP, BETWEEN = _machine.BETWEEN
cdef object NOTHING = b""
cdef str HTTP10 = "HTTP/1.0", HTTP11 = intern("HTTP/1.1"), ROLE_REQUEST = "request"
cdef Py_ssize_t SMALL = _requestreader.SMALL
cdef long UNUSUAL = _requestreceiver._UNUSUAL, UNKNOWN_EXPECTATION = _UNKNOWN
cdef int IMMEDIATE = _IMMEDIATE
# Sums of what is below this can't overflow.
cdef long long FAR = 1 << 62
cdef double UNITS = _statistics.UNITS, TABLED = _statistics._TABLED
cdef list TABLE = _statistics._TABLE

cdef object _pyDataReceived = HttpProtocol.dataReceived, _pyPump = HttpProtocol.pump
cdef object _pyHandle = _handling.handle, _pyHandled = _handling.handled
cdef Watch _watch = None
# What is honoured when somebody replaces it.
cdef Named _handleHere, _headHere, _nextHeadHere, _responseHere, _handledHere

# The parts of a connection, borrowed from it: they hold until somebody else's code runs.
cdef struct Parts:
    PyObject* exchange
    PyObject* reader
    PyObject* clock
    PyObject* arrived


cdef inline bint _isA(PyObject* o, type kind):
    return o != NULL and Py_IS_TYPE(o, kind)


cdef inline bint _partsOf(PyObject* connection, Parts* parts):
    """
    @return: is each exactly of the class that is meant?
    """
    if not _isA(connection, ServerConnection) or SLOT(connection, KIND) != <PyObject*>Request:
        return False
    parts.exchange = SLOT(connection, EXCHANGE)
    parts.reader = SLOT(connection, READER)
    parts.clock = SLOT(connection, CLOCK)
    if not (_isA(parts.exchange, Exchange) and _isA(parts.reader, RequestReader) and _isA(parts.clock, ServerClock)):
        return False
    parts.arrived = SLOT(parts.reader, ARRIVED)
    return _isA(parts.arrived, ByteQueue)


cdef inline bint _isEmpty(object reader):
    """
    Has all been taken that has arrived? C{reader} is a RequestReader.
    """
    cdef PyObject* arrived = SLOT(<PyObject*>reader, ARRIVED)
    return _isA(arrived, ByteQueue) and SLOT(arrived, SIZE) == <PyObject*>ZERO


cdef inline bint _isStr(PyObject* given, str wanted):
    return given == <PyObject*>wanted or (_isA(given, str) and <str>given == wanted)


cdef inline object _of(object server, Py_ssize_t offset, object name):
    """
    An attribute of the server's. A subclass may have its own way.
    """
    cdef PyObject* found
    if type(server) is HttpServer:
        found = SLOT(<PyObject*>server, offset)
        if found != NULL:
            return <object>found
    return getattr(server, name)


cdef inline int _add(object o, type kind, Py_ssize_t offset, object name, long long more) except -1:
    """
    C{o.name += more}.
    """
    cdef PyObject* old
    if type(o) is kind:
        old = SLOT(<PyObject*>o, offset)
        if old != NULL:
            slot_give(o, offset, _sum(<object>old, more))
            return 0
    setattr(o, name, getattr(o, name) + more)
    return 0


cdef PyObject* _sum(object old, long long more) except NULL:
    """
    @return: C{old + more}, a new reference. These are counters: their sum is made without an object for C{more}.
    """
    cdef int overflow = 0
    cdef long long number
    if type(old) is int:
        number = PyLong_AsLongLongAndOverflow(old, &overflow)
        if not overflow and -FAR < number < FAR:
            return PyLong_FromLongLong(number + more)
    added = old + more
    Py_INCREF(added)
    return <PyObject*>added


cdef inline object _slot(object self, Py_ssize_t offset, object name):
    """
    An attribute of the connection's. Deleted, it is the same error as in Python.
    """
    cdef PyObject* found = SLOT(<PyObject*>self, offset)
    return getattr(self, name) if found == NULL else <object>found


cdef inline object _now(object self):
    return _slot(self, REACTOR, "reactor").seconds()


# Bytes in


def dataReceived(self, data):
    """
    Bytes have come.
    """
    cdef Parts parts
    cdef PyObject* of = <PyObject*>self
    cdef PyObject* parser
    cdef Py_ssize_t end, length, size
    if not (
        type(self) is HttpProtocol
        and type(data) is bytes
        and SLOT(of, TUNNEL) == Py_None
        and SLOT(of, CLOSING) == Py_False
        and SLOT(of, PUMPING) == Py_False
        and SLOT(of, PUMPS_LATER) == Py_False
        and SLOT(of, WRITE_PAUSED) == Py_False
        and _partsOf(SLOT(of, CONNECTION), &parts)
        and SLOT(parts.exchange, STATE) == <PyObject*>IDLE
        and SLOT(parts.arrived, SIZE) == <PyObject*>ZERO
        and _watch.unchanged()
        and stands(&_headHere)
    ):
        return _pyDataReceived(self, data)
    parser = SLOT(parts.reader, PARSER)
    if parser != Py_None and not (_isA(parser, Buffer) and SLOT(parser, OPEN) == Py_True):
        return _pyDataReceived(self, data)
    connection = <object>SLOT(of, CONNECTION)
    request = readRequestHead(<bytes>data, 0, <object>SLOT(<PyObject*>connection, LIMITS), Request, &end)
    if request is None:
        return _pyDataReceived(self, data)
    exchange, reader, clock = <object>parts.exchange, <object>parts.reader, <object>parts.clock
    size = PyBytes_GET_SIZE(<bytes>data)
    _add(_of(_slot(self, SERVER, "server"), STATISTICS, "statistics"), Statistics, RECEIVED, "bytesReceived", size)
    slot_set(self, IMMEDIATE_, ZERO)
    now = _now(self)
    length = <Py_ssize_t><object>SLOT(<PyObject*>request, LENGTH)
    if length != size - end or length > SMALL:
        try:
            request = reader.goOnAfter(request, end, data)
        except (RemoteProtocolError, IncompleteRead) as error:
            _protocol.refuse(self, getattr(error, "statusHint", 400), str(error), None)
            return None
    else:
        slot_set(request, BODY, PyBytes_FromStringAndSize(PyBytes_AS_STRING(<bytes>data) + end, length))
        if parser != Py_None:
            (<object>parts.arrived).passed(size)
    _takeUp(connection, exchange, reader, clock, request, now)
    _handle(self, request)
    if SLOT(<PyObject*>connection, READER) == <PyObject*>reader and _isEmpty(reader):
        return None
    if not connection.reader.arrived.size:
        return None
    if not (self._readPaused or self._tunnel is not None or connection.wantsBytes):
        self._readPaused = True
        self.transport.pauseProducing()
    return None


cdef int _takeUp(object connection, object exchange, object reader, object clock, object request, object now) except -1:
    """
    The end of C{RequestReceiver.receive}: there is a request.
    """
    cdef PyObject* of = <PyObject*>request
    if (
        SLOT(of, BODY) == Py_None
        or <long><object>SLOT(of, ASKS) & UNUSUAL
        or SLOT(<PyObject*>clock, TOUCHED) != Py_False
        or not _isStr(SLOT(of, VERSION), HTTP11)
        and _isStr(SLOT(of, VERSION), HTTP10)
    ):
        connection._takeUp(request, now)
        return 0
    slot_set(connection, REQUEST, request)
    slot_set(reader, GOT, ZERO)
    slot_set(clock, STARTED, now)
    slot_set(connection, EXPECTS, False)
    slot_set(exchange, STATE, ASKED)
    slot_set(exchange, METHOD, <object>SLOT(of, REQUEST_METHOD))
    slot_set(exchange, GOES_ON, True)
    _add(exchange, Exchange, COUNT, "count", 1)
    return 0


cdef object _next(object connection, object now):
    """
    C{ServerConnection.receive(b"", now)}: the next request of what has arrived. It is C{Buffer.nextRequest} of a head
    and a body that stand in one chunk.
    """
    cdef Parts parts
    cdef PyObject* parser
    cdef Py_ssize_t start, end, length, size
    if not (
        _partsOf(<PyObject*>connection, &parts)
        and SLOT(parts.exchange, STATE) == <PyObject*>IDLE
        and stands(&_nextHeadHere)
    ):
        return connection.receive(NOTHING, now)
    parser = SLOT(parts.reader, PARSER)
    if not (
        _isA(parser, Buffer)
        and SLOT(parser, BETWEEN_) == <PyObject*>BETWEEN
        and SLOT(parser, QUEUE) == parts.arrived
        and SLOT(parts.arrived, SIZE) != <PyObject*>ZERO
        and SLOT(parser, BUFFER_METHOD) == Py_None
        and _isStr(SLOT(parser, ROLE), ROLE_REQUEST)
        and _isA(SLOT(parts.arrived, CHUNK), bytes)
    ):
        return connection.receive(NOTHING, now)
    chunk = <bytes>SLOT(parts.arrived, CHUNK)
    start = <Py_ssize_t><object>SLOT(parts.arrived, POSITION)
    request = readRequestHead(chunk, start, <object>SLOT(parser, BUFFER_LIMITS), Request, &end)
    if request is None:
        return connection.receive(NOTHING, now)
    length = <Py_ssize_t><object>SLOT(<PyObject*>request, LENGTH)
    if not (0 <= length <= SMALL and length <= PyBytes_GET_SIZE(chunk) - end):
        return connection.receive(NOTHING, now)
    exchange, reader, clock = <object>parts.exchange, <object>parts.reader, <object>parts.clock
    queue = <object>parts.arrived
    size = <Py_ssize_t><object>SLOT(parts.arrived, SIZE)
    slot_set(<object>parser, HANDED_OUT, <object>SLOT(parts.arrived, APPENDED) - <object>SLOT(parts.arrived, SIZE))
    slot_set(request, BODY, PyBytes_FromStringAndSize(PyBytes_AS_STRING(chunk) + end, length))
    end += length
    slot_set(queue, SIZE, size - (end - start))
    slot_set(queue, POSITION, end)
    if end == PyBytes_GET_SIZE(chunk):
        queue._nextChunk()
    slot_set(reader, HUNGRY, False)
    _takeUp(connection, exchange, reader, clock, request, now)
    return request


# Requests, one after the other


def pump(self):
    """
    Answer what can be answered, one request after the other.
    """
    cdef Parts parts
    cdef PyObject* of = <PyObject*>self
    cdef int count = 0
    if not (
        type(self) is HttpProtocol
        and SLOT(of, PUMPING) == Py_False
        and SLOT(of, PUMPS_LATER) == Py_False
        and SLOT(of, TUNNEL) == Py_None
        and _partsOf(SLOT(of, CONNECTION), &parts)
        and _watch.unchanged()
    ):
        return _pyPump(self)
    connection = <object>SLOT(of, CONNECTION)
    slot_set(self, PUMPING, True)
    try:
        while count < IMMEDIATE:
            count += 1
            if (
                SLOT(of, WRITE_PAUSED) != Py_False
                or SLOT(of, CLOSING) != Py_False
                or SLOT(of, LOST) != Py_False
                or SLOT(<PyObject*>connection, BECOMES) != <PyObject*>KEEP
            ):
                break
            try:
                request = _next(connection, _now(self))
            except (RemoteProtocolError, IncompleteRead) as error:
                _protocol.refuse(self, getattr(error, "statusHint", 400), str(error), None)
                break
            if request is not None:
                _handle(self, request)
            if SLOT(<PyObject*>connection, NEEDS_TURN) != Py_False:
                self._pumpLater()
            elif request is not None and _goesOn(connection):
                continue
            break
        else:
            # Others have their turn.
            self._pumpLater()
    finally:
        slot_set(self, PUMPING, False)
    if SLOT(<PyObject*>connection, BECOMES) != <PyObject*>KEEP:
        self.follow()
    elif SLOT(of, READ_PAUSED) != Py_False:
        self._flow()
    return None


cdef inline bint _goesOn(object connection) except -1:
    """
    Is there more to read, or has the peer ended its direction?
    """
    cdef Parts parts
    if _partsOf(<PyObject*>connection, &parts) and SLOT(parts.clock, FINISHED) == <PyObject*>INFINITE:
        return SLOT(parts.arrived, SIZE) != <PyObject*>ZERO
    return connection.reader.arrived.size or connection.finished


cdef int _follow(object self) except -1:
    """
    A response is complete, or the connection's end has been decided: what comes next?
    """
    cdef PyObject* of = <PyObject*>self
    cdef PyObject* connection = SLOT(of, CONNECTION)
    if not (
        _isA(connection, ServerConnection)
        and SLOT(of, PULLER) == Py_None
        and SLOT(of, READ_PAUSED) == Py_False
        and SLOT(connection, BECOMES) == <PyObject*>KEEP
        and SLOT(connection, NEEDS_TURN) == Py_False
    ):
        self.follow()
    elif _goesOn(<object>connection):
        pump(self)
    return 0


# The handler


cdef int _handle(object self, object request) except -1:
    """
    Run the handler over a request.
    """
    cdef PyObject* sent = NULL
    cdef int how = PYGEN_ERROR
    cdef bint ended = False
    if (
        <long><object>SLOT(<PyObject*>request, ASKS) & UNKNOWN_EXPECTATION
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
    context = awaited = None
    try:
        result = _of(server, HANDLER, "handler")(request)
        if PyCoro_CheckExact(result):
            # The first step is made here: most handlers have nothing to wait for, and need no task.
            context = PyContext_CopyCurrent()
            PyContext_Enter(context)
            how = PyIter_Send(result, None, &sent)
            PyContext_Exit(context)
            if how == PYGEN_ERROR:
                raise_again()
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
        and _watch.unchanged()
        and stands(&_responseHere)
    ):
        return False
    server, connection = _slot(self, SERVER, "server"), <object>SLOT(of, CONNECTION)
    exchange, clock = <object>parts.exchange, <object>parts.clock
    goesOn = SLOT(parts.exchange, GOES_ON) == Py_True
    line = NOTHING
    if not goesOn or not _isStr(SLOT(asked, VERSION), HTTP11):
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
            exchange.response(False)
            exchange.responseEnds()
            connection._last(now)
    except Exception as error:
        _handling._unsendable(self, request, response, error)
        return True
    slot_set(self, IN_FLIGHT, None)
    started = <object>SLOT(<PyObject*>clock, STARTED)
    _answered(_of(server, STATISTICS, "statistics"), status, now, started, PyBytes_GET_SIZE(<bytes>encoded))
    if _of(server, ACCESS_LOG, "accessLog") is not None:
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


cdef int _look() except -1:
    """
    Keep how everything is just now.
    """
    global _watch
    _watch = Watch(
        HttpProtocol, ServerConnection, Exchange, RequestReader, ServerClock, Buffer, ByteQueue, Statistics, Request,
        WasiResponse, HttpServer,
    )
    return 0


cdef int _install() except -1:
    _handlers.install()
    HttpProtocol.dataReceived = dataReceived
    HttpProtocol.pump = pump
    _handling.handled = handled
    return _look()


watchName(&_handleHere, _protocol, "handle", _pyHandle)
watchName(&_headHere, _requestreceiver, "fastRequestHead", _requestreceiver.fastRequestHead)
watchName(&_nextHeadHere, _machine, "fastRequestHead", _machine.fastRequestHead)
watchName(&_responseHere, _serverconnection, "fastResponse", _serverconnection.fastResponse)
watchName(&_handledHere, _handling, "handled", handled)
_look()
_isReady = True
if _isWanted:
    _install()
