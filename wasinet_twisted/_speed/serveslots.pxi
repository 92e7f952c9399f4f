# What the server's twins share: the classes that they know, where each has its slots, and how these are read.

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from sys import intern

from wasinet_twisted.http import connection as _connection, exchange as _exchange, machine as _machine
from wasinet_twisted.http import requestreader as _requestreader, requestreceiver as _requestreceiver
from wasinet_twisted.http import serverconnection as _serverconnection, timing as _timing
from wasinet_twisted.http.buffer import Buffer as _Buffer
from wasinet_twisted.http.bytequeue import ByteQueue as _ByteQueue
from wasinet_twisted.http.messages import WasiResponse as _WasiResponse
from wasinet_twisted.server import handling as _handling, protocol as _protocol, statistics as _statistics
from wasinet_twisted.server.request import Request as _Request
from wasinet_twisted.server import serving as _serving

cdef extern from "Python.h":
    PyObject* Py_None
    PyObject* Py_True
    PyObject* Py_False
    bint Py_IS_TYPE(PyObject* o, type kind)
    PyObject* PyLong_FromLongLong(long long number) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef extern from "slots.h":
    Py_ssize_t slot_offset(object kind, object name) except -1
    void slot_give(object o, Py_ssize_t offset, PyObject* value)
    void slot_set(object o, Py_ssize_t offset, object value)
    PyObject* SLOT(PyObject* o, Py_ssize_t offset)

cdef Py_ssize_t _at(kind, name) except -1:
    return slot_offset(kind, name)


# The classes.
cdef type HttpProtocol = _protocol.HttpProtocol, HttpServer = _serving.HttpServer
cdef type ServerConnection = _serverconnection.ServerConnection, Exchange = _exchange.Exchange
cdef type RequestReader = _requestreader.RequestReader, ServerClock = _timing.ServerClock
cdef type Buffer = _Buffer, ByteQueue = _ByteQueue, Statistics = _statistics.Statistics
cdef type Request = _Request, WasiResponse = _WasiResponse

# Of a connection, as Twisted sees it.
cdef Py_ssize_t SERVER = _at(HttpProtocol, "server"), CONNECTION = _at(HttpProtocol, "connection")
cdef Py_ssize_t IN_FLIGHT = _at(HttpProtocol, "inFlight"), PULLER = _at(HttpProtocol, "_puller")
cdef Py_ssize_t TUNNEL = _at(HttpProtocol, "_tunnel"), DIRECT = _at(HttpProtocol, "_direct")
cdef Py_ssize_t PUMPING = _at(HttpProtocol, "_pumping"), PUMPS_LATER = _at(HttpProtocol, "_pumpsLater")
cdef Py_ssize_t QUEUED = _at(HttpProtocol, "_queued"), WRITE_PAUSED = _at(HttpProtocol, "_writePaused")
cdef Py_ssize_t READ_PAUSED = _at(HttpProtocol, "_readPaused"), IMMEDIATE_ = _at(HttpProtocol, "_immediate")
cdef Py_ssize_t CLOSING = _at(HttpProtocol, "closing"), LOST = _at(HttpProtocol, "lost")
cdef Py_ssize_t PEER_FINISHED = _at(HttpProtocol, "peerFinished")
cdef Py_ssize_t REACTOR = _at(HttpProtocol, "reactor"), TRANSPORT = _at(HttpProtocol, "transport")
# The same, as HTTP sees it, and its parts.
cdef Py_ssize_t EXCHANGE = _at(ServerConnection, "exchange"), READER = _at(ServerConnection, "reader")
cdef Py_ssize_t CLOCK = _at(ServerConnection, "clock"), BECOMES = _at(ServerConnection, "closing")
cdef Py_ssize_t LIMITS = _at(ServerConnection, "_limits"), KIND = _at(ServerConnection, "_requestClass")
cdef Py_ssize_t REQUEST = _at(ServerConnection, "request"), EXPECTS = _at(ServerConnection, "_expects")
cdef Py_ssize_t NEEDS_TURN = _at(ServerConnection, "needsTurn")
cdef Py_ssize_t STATE = _at(Exchange, "state"), METHOD = _at(Exchange, "method")
cdef Py_ssize_t GOES_ON = _at(Exchange, "goesOn"), COUNT = _at(Exchange, "count")
cdef Py_ssize_t PARSER = _at(RequestReader, "parser"), ARRIVED = _at(RequestReader, "arrived")
cdef Py_ssize_t HUNGRY = _at(RequestReader, "hungry"), GOT = _at(RequestReader, "got")
cdef Py_ssize_t SINCE = _at(ServerClock, "since"), STARTED = _at(ServerClock, "started")
cdef Py_ssize_t TOUCHED = _at(ServerClock, "touched"), FINISHED = _at(ServerClock, "finished")
cdef Py_ssize_t BETWEEN_ = _at(Buffer, "_state"), OPEN = _at(Buffer, "_open"), QUEUE = _at(Buffer, "_queue")
cdef Py_ssize_t HANDED_OUT = _at(Buffer, "_handedOut"), BUFFER_LIMITS = _at(Buffer, "_limits")
cdef Py_ssize_t ROLE = _at(Buffer, "_role"), BUFFER_METHOD = _at(Buffer, "_method")
cdef Py_ssize_t CHUNK = _at(ByteQueue, "chunk"), POSITION = _at(ByteQueue, "position")
cdef Py_ssize_t SIZE = _at(ByteQueue, "size"), APPENDED = _at(ByteQueue, "appended")
# Of a request and a response.
cdef Py_ssize_t BODY = _at(Request, "_body"), LENGTH = _at(Request, "_length"), ASKS = _at(Request, "_asks")
cdef Py_ssize_t VERSION = _at(Request, "version"), REQUEST_METHOD = _at(Request, "method")
cdef Py_ssize_t BEGUN = _at(Request, "_begun"), FAULT = _at(Request, "_fault"), PROTOCOL = _at(Request, "_protocol")
cdef Py_ssize_t STATUS = _at(WasiResponse, "status")
# Of the server, and of what it has counted.
cdef Py_ssize_t CONTEXT = _at(HttpServer, "context")
cdef Py_ssize_t HANDLER = _at(HttpServer, "handler"), DATE_LINE = _at(HttpServer, "dateLine")
cdef Py_ssize_t STATISTICS = _at(HttpServer, "statistics"), ENDS = _at(HttpServer, "ends")
cdef Py_ssize_t REQUESTS = _at(Statistics, "requests"), RECEIVED = _at(Statistics, "bytesReceived")
cdef Py_ssize_t SENT = _at(Statistics, "bytesSent"), SECONDS = _at(Statistics, "seconds")
cdef Py_ssize_t STATUSES = _at(Statistics, "statuses"), BUCKETS = _at(Statistics, "buckets")

# Small numbers are one object each in CPython; where they weren't, all would go the Python's way.
cdef object ZERO = 0, IDLE = _exchange.IDLE, ASKED = _exchange.ASKED, OVER = _exchange.OVER, INFINITE = _timing.inf
cdef object KEEP = _connection.KEEP, BETWEEN = _machine.BETWEEN
cdef str HTTP10 = "HTTP/1.0", HTTP11 = intern("HTTP/1.1"), ROLE_REQUEST = "request"
# Sums of what is below this can't overflow.
cdef long long FAR = 1 << 62

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
