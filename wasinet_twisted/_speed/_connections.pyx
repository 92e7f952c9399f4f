# cython: language_level=3
"""
A connection accepted, registered with epoll, closed and lost, for transports of exactly the classes in C{LEAN}.

Twins of Twisted's C{tcp.Port.doRead}, C{tcp.Server.__init__}, C{loseConnection} and C{connectionLost}, and of the
reactor's C{addReader}, C{removeReader} and C{removeWriter}. They know these methods as they are written now: if a version
of Twisted has others, there are no twins, and the Python runs.
"""

include "transportslots.pxi"

import errno
from select import EPOLLIN, EPOLLOUT

from twisted.internet import abstract, address, epollreactor, tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ILoggingContext
from twisted.python import log

from ..reactor import epoll

cdef extern from "<sys/socket.h>" nogil:
    int c_shutdown "shutdown"(int, int)
    int SHUT_RDWR

# The names that Twisted's methods use. Whatever another version does beside it would be missing here.
_KNOWN = {
    tcp.Port.doRead: (
        "platformType numberAccepts _BuffersLogs _logger namespace observer _accept range socket _reservedFD enumerate"
        " len getnameinfo NI_NUMERICHOST NI_NUMERICSERV tuple list factory buildProtocol _buildAddr close sessionno"
        " transport reactor makeConnection max BaseException log deferr fdesc _setCloseOnExec fileno"
    ),
    tcp.Port._buildAddr: "_addressType",
    tcp.Server.__init__: (
        "Connection __init__ len address IPv6Address _addressType server client sessionno hostname _getLogPrefix"
        " protocol logstr format __class__ __name__ _realPortNumber repstr startReading connected"
    ),
    tcp.Connection.__init__: "abstract FileDescriptor __init__ socket setblocking fileno protocol",
    abstract.FileDescriptor.__init__: "twisted.internet reactor _tempDataBuffer _tempDataLen",
    abstract._LogOwner._getLogPrefix: "interfaces ILoggingContext providedBy logPrefix __class__ __name__",
    abstract.FileDescriptor.loseConnection: (
        "connected disconnecting _writeDisconnected stopReading stopWriting connectionLost failure Failure main"
        " CONNECTION_DONE startWriting"
    ),
    tcp.Connection.connectionLost: (
        "hasattr abstract FileDescriptor connectionLost _closeSocket check error ConnectionAborted protocol socket fileno"
    ),
    abstract.FileDescriptor.connectionLost: "disconnected connected producer stopProducing stopReading stopWriting",
    tcp._SocketCloser._closeSocket: (
        "socket _shouldShutdown shutdown setsockopt SOL_SOCKET SO_LINGER struct pack OSError close"
    ),
    epollreactor.EPollReactor._add: "fileno _poller modify register add",
    epollreactor.EPollReactor._remove: "fileno items _poller modify unregister remove",
}
if tcp.Connection.loseConnection is not abstract.FileDescriptor.loseConnection:
    # Only where there is pyOpenSSL can a connection switch to TLS.
    _KNOWN[tcp.Connection.loseConnection] = "TLS connected disconnecting protocol loseConnection FileDescriptor"
# Python's own, of a listening socket that is ours, and of the socket that it accepts.
_KNOWN |= {
    socket.socket.accept: "_accept socket family type proto getdefaulttimeout gettimeout setblocking",
    socket.socket.__init__: "AF_INET SOCK_STREAM _socket socket __init__ _io_refs _closed",
    socket.socket.close: "_closed _io_refs _real_close",
    socket.socket._real_close: "_socket socket close",
}
for method, names in _KNOWN.items():
    code = getattr(method, "__code__", None)
    if code is None or not set(code.co_names) <= set(names.split()):
        raise ImportError(f"{method.__qualname__} of this version of Twisted or Python is not the one that is known")

cdef Py_ssize_t IO_REFS = slot_offset(socket.socket, "_io_refs"), CLOSED = slot_offset(socket.socket, "_closed")

cdef PyTypeObject* Server = <PyTypeObject*>transports.Server
cdef PyTypeObject* Client = <PyTypeObject*>transports.Client
cdef PyTypeObject* Port = <PyTypeObject*>transports.Port
cdef PyTypeObject* Reactor = <PyTypeObject*>epoll.EPollReactor

cdef object slowAccept = transports.Port.doRead
cdef object slowAcceptOne = socket.socket.accept
cdef object acceptSocket = socket.SocketType._accept
cdef object initSocket = socket.SocketType.__init__
cdef object closeSocket = socket.SocketType.close
# CPython has one 0 only; else the socket closes itself.
cdef object zero = 0
cdef PyObject* ZERO = <PyObject*>zero
cdef object slowInit = transports.Server.__init__
cdef object slowLose = transports.Gathering.loseConnection
cdef object slowLost = transports.Gathering.connectionLost
cdef object slowAdd = epoll.EPollReactor.addReader
cdef object slowRemove = epoll.EPollReactor.removeReader
cdef object slowRemoveWriter = epoll.EPollReactor.removeWriter

cdef object AGAIN = frozenset((errno.EAGAIN, errno.EWOULDBLOCK))
# With these reasons nothing was aborted: they are Twisted's own, one for all connections.
_reasons = epoll.EPollReactor._disconnectSelectable.__defaults__[0]
cdef PyObject* DONE = <PyObject*>_reasons[ConnectionDone]
cdef PyObject* LOST = <PyObject*>_reasons[ConnectionLost]
cdef object anIPv4Address = address.IPv4Address
cdef object hasLogPrefix = ILoggingContext.providedBy


cdef inline int descriptorOfTcp(object transport):
    """
    Return the descriptor of a TCP transport's socket; -1 if it is another kind of transport, or has no such socket.
    """
    if Py_TYPE(transport) != Server and Py_TYPE(transport) != Client:
        return -1
    return descriptorOf(transport)


# Registration


cdef int watch(object self, object reader, int fd) except -1:
    """
    C{EPollReactor._add}, for reading.
    """
    reads = self._reads
    if fd in reads:
        return 0
    if fd in self._writes:
        self._poller.modify(fd, EPOLLIN | EPOLLOUT)
    else:
        self._poller.register(fd, EPOLLIN)
    reads.add(fd)
    self._selectables[fd] = reader
    return 0


cdef int unwatch(object self, int fd, object primary, object other, object antievent) except -1:
    """
    C{EPollReactor._remove}.
    """
    if fd not in primary:
        return 0
    if fd in other:
        self._poller.modify(fd, antievent)
    else:
        del self._selectables[fd]
        self._poller.unregister(fd)
    primary.remove(fd)
    return 0


def addReader(self, reader):
    """
    C{EPollReactor.addReader}.
    """
    cdef int fd = descriptorOfTcp(reader)
    if fd < 0:
        return slowAdd(self, reader)
    watch(self, reader, fd)


def removeReader(self, reader):
    """
    C{EPollReactor.removeReader}.
    """
    cdef int fd = descriptorOfTcp(reader)
    if fd < 0:
        return slowRemove(self, reader)
    unwatch(self, fd, self._reads, self._writes, EPOLLOUT)


def removeWriter(self, writer):
    """
    C{EPollReactor.removeWriter}.
    """
    cdef int fd = descriptorOfTcp(writer)
    if fd < 0:
        return slowRemoveWriter(self, writer)
    unwatch(self, fd, self._writes, self._reads, EPOLLIN)


# A connection begins


cdef int begin(object self, object skt, object protocol, tuple client, object port, object session, object loop) except -1:
    """
    C{tcp.Server.__init__}, C{tcp.Connection.__init__} and C{FileDescriptor.__init__}.
    """
    slot_set(self, REACTOR, loop)
    slot_set(self, QUEUE, [])
    slot_set(self, QUEUED, 0)
    slot_set(self, SOCKET, skt)
    skt.setblocking(False)
    self.fileno = skt.fileno
    slot_set(self, PROTOCOL, protocol)
    self.server = port
    self.client = client
    self.sessionno = session
    host = client[0]
    self.hostname = host
    prefix = protocol.logPrefix() if hasLogPrefix(protocol) else protocol.__class__.__name__
    self.logstr = f"{prefix},{session},{host}"
    if port is not None:
        self.repstr = f"<{protocol.__class__.__name__} #{session} on {port._realPortNumber}>"
    watch(loop, self, wasinet_fd(<PyObject*>skt, FD))
    self.connected = 1
    return 0


def beginServer(self, sock, protocol, client, server, sessionno, reactor):
    """
    C{tcp.Server.__init__}.
    """
    if (
        Py_TYPE(self) != Server
        or Py_TYPE(sock) != Socket
        or type(client) is not tuple
        or len(client) != 2
        or Py_TYPE(reactor) != Reactor
    ):
        return slowInit(self, sock, protocol, client, server, sessionno, reactor)
    begin(self, sock, protocol, client, server, sessionno, reactor)


def acceptOne(self):
    """
    C{socket.socket.accept}, of a socket that doesn't block.
    """
    if self.gettimeout():
        return slowAcceptOne(self)
    fd, address = acceptSocket(self)
    made = wasinet_new(Socket)
    slot_set(made, IO_REFS, 0)
    slot_set(made, CLOSED, False)
    initSocket(made, self.family, self.type, self.proto, fd)
    return made, address


def accept(self):
    """
    C{tcp.Port.doRead}.
    """
    cdef long most, accepted = 0
    try:
        if (
            Py_TYPE(self) != Port
            or <PyTypeObject*>self.transport != Server
            or self.addressFamily != socket.AF_INET
            or self._addressType is not anIPv4Address
            or Py_TYPE(self.reactor) != Reactor
        ):
            return slowAccept(self)
        most = self.numberAccepts
        while accepted < most:
            try:
                skt, client = self.socket.accept()
            except OSError as error:
                if error.args[0] in AGAIN:
                    break
                # Twisted meets it again, if it lasts, and knows what to do.
                return slowAccept(self)
            accepted += 1
            peer = anIPv4Address("TCP", client[0], client[1])
            protocol = self.factory.buildProtocol(peer)
            if protocol is None:
                skt.close()
                continue
            session = self.sessionno
            self.sessionno = session + 1
            if Py_TYPE(skt) == Socket and type(client) is tuple and len(client) == 2:
                transport = newServer()
                begin(transport, skt, protocol, client, self, session, self.reactor)
                slot_set(transport, TOLD, peer)
            else:
                transport = self.transport(skt, protocol, client, self, session, self.reactor)
            protocol.makeConnection(transport)
        self.numberAccepts = most + 20 if accepted == most else max(1, accepted)
    except BaseException:
        log.deferr()


cdef object newServer():
    """
    C{Gathering.__new__}.
    """
    made = wasinet_new(Server)
    slot_set(made, BUFFER_SIZE, tcp.Server.bufferSize)
    slot_set(made, DIRTY, False)
    slot_set(made, PLAIN, False)
    return made


# A connection ends


def loseConnection(self, *arguments, **named):
    """
    C{Gathering.loseConnection}.
    """
    cdef int fd = descriptorOfTcp(self)
    cdef PyObject* reactor = NULL if fd < 0 else SLOT(self, REACTOR)
    if (
        fd < 0
        or arguments
        or named
        or reactor == NULL
        or Py_TYPE(<object>reactor) != Reactor
        or self.TLS
        or self._writeDisconnected
    ):
        return slowLose(self, *arguments, **named)
    slot_set(self, PLAIN, False)
    if self.connected and not self.disconnecting:
        loop = <object>reactor
        unwatch(loop, fd, loop._reads, loop._writes, EPOLLOUT)
        if SLOT(self, DIRTY) != Py_True:
            slot_set(self, DIRTY, True)
            loop.dirty.append(self)
        self.disconnecting = 1


def connectionLost(self, reason):
    """
    C{Gathering.connectionLost}: C{tcp.Connection}'s and C{FileDescriptor}'s.
    """
    cdef int fd = descriptorOfTcp(self)
    cdef PyObject* reactor = NULL if fd < 0 else SLOT(self, REACTOR)
    if (
        fd < 0
        or Py_TYPE(self) != Server
        or reactor == NULL
        or Py_TYPE(<object>reactor) != Reactor
        or SLOT(self, PROTOCOL) == NULL
        or (<PyObject*>reason != DONE and <PyObject*>reason != LOST)
    ):
        return slowLost(self, reason)
    loop = <object>reactor
    slot_set(self, PLAIN, False)
    self.disconnected = 1
    self.connected = 0
    producer = self.producer
    if producer is not None:
        producer.stopProducing()
        self.producer = None
        if descriptorOfTcp(self) != fd or SLOT(self, PROTOCOL) == NULL or SLOT(self, REACTOR) != reactor:
            # It has been closed, or lost, meanwhile; or somebody has taken its reactor away.
            return slowLost(self, reason)
    skt = <object>SLOT(self, SOCKET)
    protocol = <object>SLOT(self, PROTOCOL)
    unwatch(loop, fd, loop._reads, loop._writes, EPOLLOUT)
    slot_set(self, DIRTY, False)
    unwatch(loop, fd, loop._writes, loop._reads, EPOLLIN)
    # Twisted's orderly _closeSocket().
    if self._shouldShutdown:
        c_shutdown(wasinet_fd(<PyObject*>skt, FD), SHUT_RDWR)
    try:
        if SLOT(skt, IO_REFS) == ZERO:
            slot_set(skt, CLOSED, True)
            closeSocket(skt)
        else:
            skt.close()
    except OSError:
        pass
    slot_give(self, PROTOCOL, NULL)
    slot_give(self, SOCKET, NULL)
    del self.fileno
    protocol.connectionLost(reason)


def install():
    """
    Put them where the Python stands.
    """
    epoll.EPollReactor.addReader = addReader
    epoll.EPollReactor.removeReader = removeReader
    epoll.EPollReactor.removeWriter = removeWriter
    transports.Server.__init__ = beginServer
    transports.Listening.accept = acceptOne
    transports.Port.doRead = accept
    transports.Gathering.loseConnection = loseConnection
    transports.Gathering.connectionLost = connectionLost
