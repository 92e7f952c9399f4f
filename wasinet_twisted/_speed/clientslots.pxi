# What the client's twins share: the classes that they know, where each has its slots, and how these are read.

from wasinet_twisted.client import call as _call, places as _places, planning as _planning, pool as _pool
from wasinet_twisted.client import protocol as _protocol
from wasinet_twisted.client import response as _response, timings as _timings, urls as _urls
from wasinet_twisted.client.bodies import Body as _Body
from wasinet_twisted.client.limits import ClientLimits as _ClientLimits, Timeouts as _Timeouts
from wasinet_twisted.http import clientconnection as _clientconnection, connection as _connection, events as _events
from wasinet_twisted.http import exchange as _exchange, machine as _machine, timing as _timing
from wasinet_twisted.http.buffer import Buffer as _Buffer
from wasinet_twisted.http.bytequeue import ByteQueue as _ByteQueue

# The classes.
cdef type HttpClientProtocol = _protocol.HttpClientProtocol, ClientConnection = _clientconnection.ClientConnection
cdef type Exchange = _exchange.Exchange, Clock = _timing.Clock, Buffer = _Buffer, ByteQueue = _ByteQueue
cdef type Pool = _pool.Pool, Place = _places.Place, Plan = _planning.Plan, Hop = _planning.Hop
cdef type Response = _response.Response, Timings = _timings.Timings, Target = _urls.Target
cdef type ResponseHead = _events.ResponseHead

# Of a connection, as Twisted sees it.
cdef Py_ssize_t CALL = slot_offset(HttpClientProtocol, "call"), KEEPER = slot_offset(HttpClientProtocol, "keeper")
cdef Py_ssize_t CONNECTION = slot_offset(HttpClientProtocol, "connection")
cdef Py_ssize_t WAITER = slot_offset(HttpClientProtocol, "waiter"), TIMER = slot_offset(HttpClientProtocol, "_timer")
cdef Py_ssize_t OF_QUEUED = slot_offset(HttpClientProtocol, "_queued")
cdef Py_ssize_t OF_TRANSPORT = slot_offset(HttpClientProtocol, "transport")
cdef Py_ssize_t OF_REACTOR = slot_offset(HttpClientProtocol, "reactor")
cdef Py_ssize_t WRITE_PAUSED = slot_offset(HttpClientProtocol, "_writePaused")
cdef Py_ssize_t READ_PAUSED = slot_offset(HttpClientProtocol, "_readPaused")
cdef Py_ssize_t IMMEDIATE = slot_offset(HttpClientProtocol, "_immediate")
cdef Py_ssize_t CLOSING = slot_offset(HttpClientProtocol, "closing"), LOST = slot_offset(HttpClientProtocol, "lost")
cdef Py_ssize_t PEER_FINISHED = slot_offset(HttpClientProtocol, "peerFinished")
cdef Py_ssize_t FINISHED = slot_offset(HttpClientProtocol, "finished")
# The same, as HTTP sees it, and its parts.
cdef Py_ssize_t EXCHANGE = slot_offset(ClientConnection, "exchange"), CLOCK = slot_offset(ClientConnection, "clock")
cdef Py_ssize_t BECOMES = slot_offset(ClientConnection, "closing"), PARSER = slot_offset(ClientConnection, "_parser")
cdef Py_ssize_t HUNGRY = slot_offset(ClientConnection, "_hungry"), READS = slot_offset(ClientConnection, "_reads")
cdef Py_ssize_t INTERIM = slot_offset(ClientConnection, "_interim"), OFFERS = slot_offset(ClientConnection, "_offers")
cdef Py_ssize_t TRAILERS_OF = slot_offset(ClientConnection, "trailers")
cdef Py_ssize_t STATE = slot_offset(Exchange, "state"), METHOD_OF = slot_offset(Exchange, "method")
cdef Py_ssize_t GOES_ON = slot_offset(Exchange, "goesOn"), COUNT = slot_offset(Exchange, "count")
cdef Py_ssize_t SINCE = slot_offset(Clock, "since"), CLOCK_TIMING = slot_offset(Clock, "timing")
cdef Py_ssize_t BETWEEN_ = slot_offset(Buffer, "_state"), OPEN = slot_offset(Buffer, "_open")
cdef Py_ssize_t BUFFER_METHOD = slot_offset(Buffer, "_method"), BYTES = slot_offset(Buffer, "_queue")
cdef Py_ssize_t BUFFER_LIMITS = slot_offset(Buffer, "_limits")
cdef Py_ssize_t SIZE = slot_offset(ByteQueue, "size"), APPENDED = slot_offset(ByteQueue, "appended")
# Of the pool.
cdef Py_ssize_t PLAN = slot_offset(Pool, "plan"), PLACES = slot_offset(Pool, "_places")
cdef Py_ssize_t FREE = slot_offset(Pool, "_free"), OBSERVER = slot_offset(Pool, "observer")
cdef Py_ssize_t POOL_CLOSED = slot_offset(Pool, "closed")
cdef Py_ssize_t POOL_WAITING = slot_offset(Pool, "_waiting"), POOL_REACTOR = slot_offset(Pool, "_reactor")
cdef Py_ssize_t POOL_LIMITS = slot_offset(Pool, "limits"), MOST_KEPT = slot_offset(_ClientLimits, "kept")
cdef Py_ssize_t PLACE_POOL = slot_offset(Place, "_pool"), IDLE_OF = slot_offset(Place, "idle")
cdef Py_ssize_t PLACE_TIMING = slot_offset(Place, "timing"), PATIENCE = slot_offset(Place, "patience")
# Of a request and its response.
cdef Py_ssize_t PLAN_POOL = slot_offset(Plan, "pool"), DEFAULTS = slot_offset(Plan, "defaults")
cdef Py_ssize_t TIMEOUTS = slot_offset(Plan, "_timeouts"), LIMIT = slot_offset(Plan, "limit")
cdef Py_ssize_t DECODE = slot_offset(Plan, "_decode"), TOTAL_TIMEOUT = slot_offset(_Timeouts, "total")
cdef Py_ssize_t PROXY = slot_offset(Plan, "_proxy"), UNIX_SOCKET = slot_offset(Plan, "_unixSocket")
cdef Py_ssize_t PLAN_INTERIM = slot_offset(Plan, "interim"), PLAN_TIMING = slot_offset(Plan, "timing")
cdef Py_ssize_t WHERE = slot_offset(_call.Call, "where"), CALL_METHOD = slot_offset(_call.Call, "method")
cdef Py_ssize_t UNTIL = slot_offset(_call.Call, "until"), TIMINGS = slot_offset(_call.Call, "timings")
cdef Py_ssize_t CALL_INTERIM = slot_offset(_call.Call, "interim"), CALL_TIMING = slot_offset(_call.Call, "timing")
cdef Py_ssize_t KEPT = slot_offset(_call.Call, "kept"), ANSWERED = slot_offset(_call.Call, "answered")
cdef Py_ssize_t BEGUN_ = slot_offset(_call.Call, "begun"), SENDER = slot_offset(_call.Call, "sender")
cdef Py_ssize_t CALL_TRAILERS = slot_offset(_call.Call, "trailers")
cdef Py_ssize_t HOP_PLAN = slot_offset(Hop, "plan"), HOP_TARGET = slot_offset(Hop, "target")
cdef Py_ssize_t HOP_FIELDS = slot_offset(Hop, "fields"), HOP_BODY = slot_offset(Hop, "body")
cdef Py_ssize_t HOP_EXPECTS = slot_offset(Hop, "expectContinue"), HISTORY = slot_offset(Hop, "history")
cdef Py_ssize_t HOP_WAITER = slot_offset(Hop, "waiter")
cdef Py_ssize_t WHOLE = slot_offset(_Body, "whole"), BODY_LENGTH = slot_offset(_Body, "length")
cdef Py_ssize_t BODY_TYPE = slot_offset(_Body, "contentType"), REPLAYABLE = slot_offset(_Body, "replayable")
cdef Py_ssize_t SINCE_BEGUN = slot_offset(Timings, "begun"), FIRST_BYTE = slot_offset(Timings, "firstByte")
cdef Py_ssize_t TOTAL = slot_offset(Timings, "total"), RESOLVE = slot_offset(Timings, "resolve")
cdef Py_ssize_t CONNECT = slot_offset(Timings, "connect"), TLS = slot_offset(Timings, "tls")
cdef Py_ssize_t ORIGIN = slot_offset(Target, "origin"), PATH = slot_offset(Target, "path")
cdef Py_ssize_t HOST = slot_offset(Target, "host"), FRAGMENT = slot_offset(Target, "fragment")
cdef Py_ssize_t USERINFO = slot_offset(Target, "userinfo")
cdef Py_ssize_t HEAD_STATUS = slot_offset(ResponseHead, "status"), PAIRS = slot_offset(_events.Head, "_pairs")
cdef Py_ssize_t LENGTH = slot_offset(_events.Head, "_length"), ASKS = slot_offset(_events.Head, "_asks")
cdef Py_ssize_t R_BEGUN = slot_offset(Response, "_begun"), R_BODY = slot_offset(Response, "_body")
cdef Py_ssize_t R_CALL = slot_offset(Response, "_call"), R_DECODER = slot_offset(Response, "_decoder")
cdef Py_ssize_t R_FAILURE = slot_offset(Response, "_failure"), R_HEAD = slot_offset(Response, "_head")
cdef Py_ssize_t R_LIMIT = slot_offset(Response, "_limit"), R_PIECES = slot_offset(Response, "_pieces")
cdef Py_ssize_t R_PROTOCOL = slot_offset(Response, "_protocol"), R_TARGET = slot_offset(Response, "_target")
cdef Py_ssize_t R_HISTORY = slot_offset(Response, "history")

# Small numbers are one object each in CPython; where they weren't, all would go the Python's way.
cdef object IDLE = _exchange.IDLE, ASKED = _exchange.ASKED
cdef object KEEP = _connection.KEEP, BETWEEN = _machine.BETWEEN


cdef inline bint isOf(PyObject* held, type kind):
    return held is not NULL and Py_TYPE(held) is <PyTypeObject*>kind
