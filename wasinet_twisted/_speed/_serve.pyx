# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
Twins of the way of nearly every request into a server's connection: from bytes to the handler.

Each C function here stands for one function of Python's, and is named alike:

    dataReceived, pump, _follow    HttpProtocol's, in server/protocol.py
    _next, _takeUp                 RequestReceiver.receive, of what has arrived; and the end of it

What answers a request is in C{_handling}; what handlers call is in C{_handlers}.

The conditions are those of the Python. Where one doesn't hold, the Python function
is called, with nothing done. The fields are those of the Python objects, read by
their offset (C{slots.h}): so each object's class is looked at first, and is to be
exactly the one that is meant. Whatever calls a user's code may have changed all of
that, and it is looked at anew.

Bound early, when this is imported, are the classes, the constants, and
C{handling.handle}. Honoured are, at the next call, methods of the classes that
somebody replaces (C{_watching}: then everything goes the Python's way), and these
functions, in the modules that call them: C{handle} in C{protocol}, C{handled} in
C{handling}, C{fastRequestHead} in C{requestreceiver} and C{machine},
C{fastResponse} in C{serverconnection}. All others are looked up where they are
called, as in Python. Whoever installs other twins of methods of these classes has
to do so before: they would count as replaced.

C{wasinet_twisted.server.serving} imports this, at its end.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from wasinet_twisted._speed._handling cimport asWritten, handle, keepAsWritten, thenFollow
from wasinet_twisted._speed._heads cimport readRequestHead
from wasinet_twisted._speed._watching cimport Named, stands, watchName

from wasinet_twisted._speed import _handlers, _handling as _answering
from wasinet_twisted.errors import IncompleteRead, RemoteProtocolError
from wasinet_twisted.http.asks import CLOSE as _CLOSE, CONTINUE as _CONTINUE
from wasinet_twisted.net.tasks.awaited import IMMEDIATE as _IMMEDIATE

include "serveslots.pxi"

cdef Py_ssize_t SMALL = _requestreader.SMALL
cdef long ASKS_CLOSE = _CLOSE, CONTINUE = _CONTINUE
cdef int IMMEDIATE = _IMMEDIATE
cdef object NOTHING = b""

cdef object _pyDataReceived = HttpProtocol.dataReceived, _pyPump = HttpProtocol.pump
# What is honoured when somebody replaces it.
cdef Named _headHere, _nextHeadHere


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
        and asWritten()
        and stands(&_headHere)
    ):
        return _pyDataReceived(self, data)
    parser = SLOT(parts.reader, PARSER)
    if parser != Py_None and not (_isA(parser, Buffer) and SLOT(parser, OPEN) == Py_True):
        return _pyDataReceived(self, data)
    # Held, over whatever runs Python, be it the garbage collector.
    connection, arrived = <object>SLOT(of, CONNECTION), <object>parts.arrived
    exchange, reader, clock = <object>parts.exchange, <object>parts.reader, <object>parts.clock
    request = readRequestHead(<bytes>data, 0, <object>SLOT(<PyObject*>connection, LIMITS), Request, &end)
    if request is None:
        return _pyDataReceived(self, data)
    size = PyBytes_GET_SIZE(<bytes>data)
    _add(_of(_slot(self, SERVER, "server"), STATISTICS, "statistics"), Statistics, RECEIVED, "bytesReceived", size)
    slot_set(self, IMMEDIATE_, ZERO)
    now = _now(self)
    length = _lengthOf(request)
    if length != size - end or length > SMALL:
        try:
            request = reader.goOnAfter(request, end, data)
        except (RemoteProtocolError, IncompleteRead) as error:
            _protocol.refuse(self, getattr(error, "statusHint", 400), str(error), None)
            return None
    else:
        slot_set(request, BODY, PyBytes_FromStringAndSize(PyBytes_AS_STRING(<bytes>data) + end, length))
        if parser != Py_None:
            arrived.passed(size)
    _takeUp(connection, exchange, reader, clock, request, now)
    handle(self, request)
    if SLOT(<PyObject*>connection, READER) == <PyObject*>reader and _isEmpty(reader):
        return None
    if not connection.reader.arrived.size:
        return None
    if not (self._readPaused or self._tunnel is not None or connection.wantsBytes):
        self._readPaused = True
        self.transport.pauseProducing()
    return None


cdef inline Py_ssize_t _lengthOf(object request) except? -1:
    """
    @return: how long the body is; below 0 if that isn't known, or is more than can have come.
    """
    cdef int overflow = 0
    cdef long long length = PyLong_AsLongLongAndOverflow(<object>SLOT(<PyObject*>request, LENGTH), &overflow)
    return -2 if overflow else length


cdef int _takeUp(object connection, object exchange, object reader, object clock, object request, object now) except -1:
    """
    The end of C{RequestReceiver.receive}: there is a request.
    """
    cdef PyObject* of = <PyObject*>request
    cdef long asks = <object>SLOT(of, ASKS)
    if (
        SLOT(of, BODY) == Py_None
        or asks & CONTINUE
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
    slot_set(exchange, GOES_ON, not asks & ASKS_CLOSE)
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
        # The handler of the request before may have replaced one.
        and asWritten()
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
    exchange, reader, clock = <object>parts.exchange, <object>parts.reader, <object>parts.clock
    queue, buffer = <object>parts.arrived, <object>parser
    chunk = <bytes>SLOT(parts.arrived, CHUNK)
    start = <Py_ssize_t><object>SLOT(parts.arrived, POSITION)
    request = readRequestHead(chunk, start, <object>SLOT(parser, BUFFER_LIMITS), Request, &end)
    if request is None:
        return connection.receive(NOTHING, now)
    length = _lengthOf(request)
    if not (0 <= length <= SMALL and length <= PyBytes_GET_SIZE(chunk) - end):
        return connection.receive(NOTHING, now)
    size = <Py_ssize_t><object>SLOT(parts.arrived, SIZE)
    slot_set(buffer, HANDED_OUT, <object>SLOT(parts.arrived, APPENDED) - <object>SLOT(parts.arrived, SIZE))
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
        and asWritten()
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
                handle(self, request)
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



def install():
    """
    Put these in the place of the Python's.
    """
    _handlers.install()
    HttpProtocol.dataReceived = dataReceived
    HttpProtocol.pump = pump
    _handling.handled = _answering.handled
    keepAsWritten()


watchName(&_headHere, _requestreceiver, "fastRequestHead", _requestreceiver.fastRequestHead)
watchName(&_nextHeadHere, _machine, "fastRequestHead", _machine.fastRequestHead)
thenFollow(_follow)
