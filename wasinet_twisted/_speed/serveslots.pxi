# The classes that the server's twins know, and where each has its slots.

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
cdef Py_ssize_t HANDLER = _at(HttpServer, "handler"), DATE_LINE = _at(HttpServer, "dateLine")
cdef Py_ssize_t STATISTICS = _at(HttpServer, "statistics"), ACCESS_LOG = _at(HttpServer, "accessLog")
cdef Py_ssize_t REQUESTS = _at(Statistics, "requests"), RECEIVED = _at(Statistics, "bytesReceived")
cdef Py_ssize_t SENT = _at(Statistics, "bytesSent"), SECONDS = _at(Statistics, "seconds")
cdef Py_ssize_t STATUSES = _at(Statistics, "statuses"), BUCKETS = _at(Statistics, "buckets")
