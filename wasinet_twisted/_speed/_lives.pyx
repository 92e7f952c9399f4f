# cython: language_level=3
"""
The life of a server's connection: made, closed, lost.

Twins of C{HttpServer.newProtocol}, and of C{HttpProtocol}'s C{makeConnection}, C{close} and C{connectionLost}, for a
connection whose transport is exactly our reactor's C{Server}, without TLS, on which nobody waits and no task runs.
"""

from cpython.ref cimport Py_XINCREF

from ._watching cimport Named, Watch, stands, watchName

include "transportslots.pxi"

from twisted.internet.protocol import connectionDone

from ..errors import ConnectionClosed
from ..http import connection as _connection, exchange as _exchange
from ..http.requestreader import RequestReader
from ..http.serverconnection import ServerConnection
from ..http.timing import ServerClock
from ..net.addresses import formatAddress
from ..net.stream import lifecycle
from ..server import protocol as _protocol, serving
from ..server.handling import Sending

cdef extern from "<sys/socket.h>" nogil:
    int c_setsockopt "setsockopt"(int, int, int, const void*, unsigned int)

cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_TCP

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY

HttpProtocol = _protocol.HttpProtocol
cdef PyTypeObject* Protocol = <PyTypeObject*>HttpProtocol
cdef PyTypeObject* Transport = <PyTypeObject*>transports.Server

cdef Py_ssize_t SERVER = at(HttpProtocol, "server"), CONNECTION = at(HttpProtocol, "connection")
cdef Py_ssize_t IN_FLIGHT = at(HttpProtocol, "inFlight"), PULLER = at(HttpProtocol, "_puller")
cdef Py_ssize_t TUNNEL = at(HttpProtocol, "_tunnel"), DIRECT = at(HttpProtocol, "_direct")
cdef Py_ssize_t LOOP = at(HttpProtocol, "reactor"), OWNER = at(HttpProtocol, "_owner")
cdef Py_ssize_t TRANSPORT = at(HttpProtocol, "transport"), TLS = at(HttpProtocol, "tls")
cdef Py_ssize_t CLOSING = at(HttpProtocol, "closing"), LOST = at(HttpProtocol, "lost")
cdef Py_ssize_t FINISHED = at(HttpProtocol, "finished"), PEER_FINISHED = at(HttpProtocol, "peerFinished")
cdef Py_ssize_t BROKEN = at(HttpProtocol, "_broken"), PEER = at(HttpProtocol, "_peer")
cdef Py_ssize_t PENDING = at(HttpProtocol, "_pending"), READ_PAUSED = at(HttpProtocol, "_readPaused")
cdef Py_ssize_t EXCHANGE = at(ServerConnection, "exchange"), READER = at(ServerConnection, "reader")
cdef Py_ssize_t CLOCK = at(ServerConnection, "clock"), BECOMES = at(ServerConnection, "closing")
cdef Py_ssize_t LIMITS = at(ServerConnection, "_limits")
cdef Py_ssize_t STATE = at(_exchange.Exchange, "state")
cdef Py_ssize_t SINCE = at(ServerClock, "since"), PIECE_AT = at(ServerClock, "pieceAt")
cdef Py_ssize_t STARTED = at(ServerClock, "started"), TIMING = at(ServerClock, "timing")
cdef Py_ssize_t CLOSE_BY = at(ServerClock, "closeBy")

cdef object slowNew = serving.HttpServer.newProtocol
cdef object slowMake = HttpProtocol.makeConnection
cdef object slowClose = HttpProtocol.close
cdef object slowLost = HttpProtocol.connectionLost

cdef object CLOSED = _exchange.CLOSED, CLOSE = _connection.CLOSE, ABORT = _connection.ABORT
cdef object connections = lifecycle._connections
cdef double TURN = lifecycle._TURN
cdef Watch methods = None
# The class that newProtocol() makes, where somebody may replace it.
cdef Named protocolHere
watchName(&protocolHere, serving, "HttpProtocol", HttpProtocol)


cdef class Slots:
    """
    All slots of a class, to make an object with the same in them.
    """

    cdef PyTypeObject* kind
    cdef Py_ssize_t offsets[64]
    cdef int count

    def __init__(self, kind):
        self.kind = <PyTypeObject*>kind
        names = [(each, name) for each in kind.__mro__ for name in vars(each).get("__slots__", ())]
        if len(names) > 64 or kind.__dictoffset__ or any(name[:2] == "__" for _, name in names):
            raise ImportError(f"{kind.__name__} has more than slots")
        for each, name in names:
            self.offsets[self.count] = slot_offset(each, name)
            self.count += 1

    cdef object another(self, object original):
        made = wasinet_new(self.kind)
        cdef int i
        cdef PyObject* value
        for i in range(self.count):
            value = SLOT(original, self.offsets[i])
            Py_XINCREF(value)
            slot_give(made, self.offsets[i], value)
        return made


cdef Slots protocolSlots = Slots(HttpProtocol), connectionSlots = Slots(ServerConnection)
cdef Slots exchangeSlots = Slots(_exchange.Exchange), readerSlots = Slots(RequestReader)
cdef Slots clockSlots = Slots(ServerClock)
# One that Python has made, and that nobody uses: what a new one has in its slots.
cdef object pattern = None


cdef object newPattern(object server):
    global pattern
    made = slowNew(server)
    if Py_TYPE(made) != Protocol or Py_TYPE(made.connection) != connectionSlots.kind:
        raise AssertionError("newProtocol() has made something else")
    # It is to keep no server.
    slot_give(made, SERVER, NULL)
    slot_give(made, OWNER, NULL)
    slot_give(made, LOOP, NULL)
    pattern = made
    return made


def newProtocol(self):
    """
    C{HttpServer.newProtocol}: what C{HttpProtocol.__init__} and those of its parts do.
    """
    if not methods.unchanged() or not stands(&protocolHere):
        return slowNew(self)
    timing, reactor = self._timing, self.reactor
    known = pattern
    if (
        known is None
        or SLOT(<object>SLOT(known, CONNECTION), LIMITS) != <PyObject*>self.limits.message
        or SLOT(<object>SLOT(<object>SLOT(known, CONNECTION), CLOCK), TIMING) != <PyObject*>timing
    ):
        known = newPattern(self)
    now = reactor.seconds()
    was = <object>SLOT(known, CONNECTION)
    clock = clockSlots.another(<object>SLOT(was, CLOCK))
    slot_set(clock, SINCE, now)
    slot_set(clock, PIECE_AT, now)
    slot_set(clock, STARTED, now)
    connection = connectionSlots.another(was)
    slot_set(connection, CLOCK, clock)
    slot_set(connection, EXCHANGE, exchangeSlots.another(<object>SLOT(was, EXCHANGE)))
    slot_set(connection, READER, readerSlots.another(<object>SLOT(was, READER)))
    made = protocolSlots.another(known)
    slot_set(made, CONNECTION, connection)
    slot_set(made, LOOP, reactor)
    slot_set(made, SERVER, self)
    slot_set(made, OWNER, self)
    return made


cdef inline bint isPlain(object transport) except -1:
    """
    Is it one of our reactor's, over TCP, with its socket, and without TLS?
    """
    cdef PyObject* skt
    if Py_TYPE(transport) != Transport:
        return False
    skt = SLOT(transport, SOCKET)
    return skt != NULL and Py_TYPE(<object>skt) == Socket and not transport.TLS


def makeConnection(self, transport):
    """
    C{Lifecycle.makeConnection} and C{HttpProtocol.connectionMade}.
    """
    cdef int on = 1
    cdef PyObject* told
    if (
        Py_TYPE(self) != Protocol
        or not isPlain(transport)
        or not methods.unchanged()
        or transport.producer is not None
        or transport.disconnected
        or SLOT(self, OWNER) == NULL
        or SLOT(self, OWNER) == Py_None
    ):
        return slowMake(self, transport)
    slot_set(self, TRANSPORT, transport)
    slot_set(self, DIRECT, False)
    told = SLOT(transport, TOLD)
    slot_set(self, PEER, transport.getPeer() if told == NULL else <object>told)
    # A socket that doesn't take it is a lost one: that is met soon enough.
    c_setsockopt(wasinet_fd(SLOT(transport, SOCKET), FD), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
    # Twisted's registerProducer().
    slot_set(transport, PLAIN, False)
    transport.producer = self
    transport.streamingProducer = True
    owner = <object>SLOT(self, OWNER)
    if not owner.connected(self) and SLOT(self, LOST) != Py_True:
        connections.add(self)


cdef bint isQuiet(object self) except -1:
    """
    Does nobody wait on this connection, does no task run, and is it HTTP's?
    """
    cdef PyObject* connection = SLOT(self, CONNECTION)
    return (
        SLOT(self, TUNNEL) == Py_None
        and SLOT(self, PULLER) == Py_None
        and SLOT(self, PENDING) == Py_None
        and SLOT(self, TLS) == Py_None
        and SLOT(self, IN_FLIGHT) == Py_None
        and connection != NULL
        and Py_TYPE(<object>connection) == connectionSlots.kind
        and isQuietConnection(<object>connection)
    )


cdef inline bint isQuietConnection(object connection):
    """
    Has HTTP ended?
    """
    cdef PyObject* exchange = SLOT(connection, EXCHANGE)
    cdef PyObject* clock = SLOT(connection, CLOCK)
    return (
        exchange != NULL
        and Py_TYPE(<object>exchange) == exchangeSlots.kind
        and SLOT(<object>exchange, STATE) == <PyObject*>CLOSED
        and SLOT(connection, BECOMES) == <PyObject*>CLOSE
        and clock != NULL
        and Py_TYPE(<object>clock) == clockSlots.kind
        and SLOT(<object>clock, CLOSE_BY) != NULL
    )


def close(self, timeout):
    """
    C{HttpProtocol.close}.
    """
    cdef PyObject* found
    if (
        Py_TYPE(self) != Protocol
        or not isQuiet(self)
        or SLOT(self, LOST) != Py_False
        or SLOT(self, CLOSING) != Py_False
        or SLOT(self, FINISHED) != Py_False
        or SLOT(self, READ_PAUSED) != Py_False
        or SLOT(self, BROKEN) != Py_None
        or SLOT(self, TRANSPORT) == NULL
        or not isPlain(<object>SLOT(self, TRANSPORT))
        or SLOT(self, PEER) == NULL
        or SLOT(self, PEER) == Py_None
        or SLOT(self, LOOP) == NULL
        or not methods.unchanged()
        or not (type(timeout) is float or type(timeout) is int)
    ):
        return slowClose(self, timeout)
    transport, reactor, peer = <object>SLOT(self, TRANSPORT), <object>SLOT(self, LOOP), <object>SLOT(self, PEER)
    clock = <object>SLOT(<object>SLOT(self, CONNECTION), CLOCK)
    slot_set(self, CLOSING, True)
    slot_set(self, BROKEN, ConnectionClosed(f"the connection with {formatAddress(peer)} was closed by this side"))
    # Twisted's unregisterProducer(). It is not disconnecting, or this would have been closed before.
    transport.unregisterProducer()
    closeBy = reactor.seconds() + max(timeout, TURN)
    found = SLOT(clock, CLOSE_BY)
    if found != NULL and closeBy < <object>found:
        slot_set(clock, CLOSE_BY, closeBy)
    transport.loseConnection()


def connectionLost(self, reason=connectionDone):
    """
    C{HttpProtocol.connectionLost}.
    """
    if (
        Py_TYPE(self) != Protocol
        or not isQuiet(self)
        or SLOT(self, LOST) != Py_False
        or SLOT(self, BROKEN) == NULL
        or SLOT(self, BROKEN) == Py_None
        or SLOT(self, SERVER) == NULL
        or SLOT(self, OWNER) == NULL
        or SLOT(self, OWNER) == Py_None
        or not methods.unchanged()
    ):
        return slowLost(self, reason)
    slot_set(<object>SLOT(self, CONNECTION), BECOMES, ABORT)
    connections.discard(self)
    slot_set(self, LOST, True)
    slot_set(self, PEER_FINISHED, True)
    owner = <object>SLOT(self, OWNER)
    owner.connectionGone(self)
    server = <object>SLOT(self, SERVER)
    if isinstance(server.taskOf(self), Sending):
        server.cancel(self)


def install():
    """
    Put them where the Python stands.
    """
    global methods
    serving.HttpServer.newProtocol = newProtocol
    HttpProtocol.makeConnection = makeConnection
    HttpProtocol.close = close
    HttpProtocol.connectionLost = connectionLost
    methods = Watch(HttpProtocol, ServerConnection, _exchange.Exchange, RequestReader, ServerClock, transports.Server)
