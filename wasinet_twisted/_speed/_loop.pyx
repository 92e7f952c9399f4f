# cython: language_level=3
"""
A turn of the reactor's: epoll_wait, recv, dataReceived, and what was written sent.

Twins of C{EPollReactor.doPoll} in C{reactor/epoll.py}, of C{Gathering.write} and C{Gathering.sendPlain} in
C{reactor/transports.py}, and of Twisted's C{tcp.Connection.doRead}, for transports of exactly the classes in C{LEAN}.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.list cimport PyList_Append, PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from libc.errno cimport EAGAIN, EINTR, errno
from libc.math cimport ceil

include "kernel.pxi"
include "transportslots.pxi"

import select
from collections import deque

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python import context, log
from twisted.python.log import ILogContext

from .. import _fast
from ..reactor import epoll

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object, object) except? NULL
    int PyList_SetSlice(object, Py_ssize_t, Py_ssize_t, PyObject*) except -1
    PyObject* PyLong_FromSsize_t(Py_ssize_t) except NULL
    long PyLong_AsLongAndOverflow(object, int*) except? -1

cdef enum:
    # How many events are taken from epoll at once; more are there in the next turn.
    EVENTS = 512
    # How much is read at once at the most. Twisted's transports ask for 64 KiB.
    SIZE = 262144
    # More than this is sent without the GIL. To give it up and to take it costs as much as to copy 2 KiB.
    SMALL = 16384


# The Python of which these are the twins.
cdef object slowPoll = epoll.EPollReactor.doPoll
cdef object slowWrite = transports.Gathering.write
cdef object slowSend = transports.Gathering.sendPlain
cdef object slowRead = tcp.Connection.doRead

cdef int TOGETHER = epoll._TOGETHER
cdef double SOON = epoll._SOON
cdef object append = deque.append
cdef object popleft = deque.popleft
cdef object Epoll = select.epoll
cdef PyTypeObject* Deque = <PyTypeObject*>deque
cdef PyTypeObject* Reactor = <PyTypeObject*>epoll.EPollReactor
# The reason that Twisted gives to each connection that has ended as it should.
cdef object DONE = epoll.EPollReactor._disconnectSelectable.__defaults__[0][ConnectionDone]

# Up to Twisted 26.4 what dataReceived returns may end the connection.
cdef object _code = getattr(tcp.Connection._dataReceived, "__code__", None)
cdef bint RESULTS = _code is None or "rval" in _code.co_varnames

# Those whose events the loop reads by itself: none if that fast path is off.
cdef PyTypeObject* dispatched[4]
cdef int dispatchedCount = 0
for each in epoll._DISPATCHED:
    dispatched[dispatchedCount] = <PyTypeObject*>each
    dispatchedCount += 1
# Is there a fast path for writes?
cdef bint isOn = _fast.isOn("reactor.write")
cdef PyTypeObject* ofTcp[2]
ofTcp[0], ofTcp[1] = <PyTypeObject*>transports.Server, <PyTypeObject*>transports.Client

# The kernel writes here. It holds nothing when the GIL may change hands, or Python is called.
cdef char received[SIZE]


cdef inline bint isDispatched(object selectable):
    cdef PyTypeObject* kind = Py_TYPE(selectable)
    cdef int i
    for i in range(dispatchedCount):
        if kind == dispatched[i]:
            return True
    return False


# Transports


def doRead(self):
    """
    C{tcp.Connection.doRead}.
    """
    cdef PyTypeObject* kind = Py_TYPE(self)
    cdef PyObject* found
    cdef long most
    cdef ssize_t size
    cdef int fd, overflow
    if kind != ofTcp[0] and kind != ofTcp[1]:
        return slowRead(self)
    found = SLOT(self, BUFFER_SIZE)
    if found == NULL or not PyLong_CheckExact(<object>found) or SLOT(self, PROTOCOL) == NULL:
        return slowRead(self)
    most = PyLong_AsLongAndOverflow(<object>found, &overflow)
    fd = descriptorOf(self)
    if overflow or not 0 < most <= SIZE or fd < 0:
        return slowRead(self)
    # It doesn't wait, whatever somebody has done to the socket: so the GIL is kept.
    size = recv(fd, received, most, MSG_DONTWAIT)
    if size > 0:
        data = PyBytes_FromStringAndSize(received, size)
        if RESULTS:
            return self._dataReceived(data)
        protocol = <object>SLOT(self, PROTOCOL)
        protocol.dataReceived(data)
        return None
    if size == 0:
        return CONNECTION_DONE
    if errno == EAGAIN:
        return None
    if errno == EINTR:
        return slowRead(self)
    return CONNECTION_LOST


cdef bint becomesPlain(object self) except -1:
    """
    C{Gathering._isPlain}, of a TCP transport.
    """
    cdef PyTypeObject* kind = Py_TYPE(self)
    if not isOn or (kind != ofTcp[0] and kind != ofTcp[1]) or SLOT(self, PLAIN) != Py_False:
        return False
    if (
        self.TLS
        or not self.connected
        or self.disconnecting
        or self.dataBuffer
        or self.producerPaused
        or (self.producer is not None and not self.streamingProducer)
        or self._writeDisconnecting
        or self._writeDisconnected
        or self._aborting
    ):
        return False
    slot_set(self, PLAIN, True)
    return True


def write(self, data):
    """
    C{Gathering.write}.
    """
    cdef PyObject* queue
    cdef PyObject* queued
    cdef PyObject* bufferSize
    cdef PyObject* reactor
    cdef Py_ssize_t size
    cdef long most
    cdef int overflow
    if not isGathering(self) or (SLOT(self, PLAIN) != Py_True and not becomesPlain(self)):
        return slowWrite(self, data)
    queue, queued = SLOT(self, QUEUE), SLOT(self, QUEUED)
    bufferSize, reactor = SLOT(self, BUFFER_SIZE), SLOT(self, REACTOR)
    if (
        not PyBytes_CheckExact(data)
        or PyBytes_GET_SIZE(data) == 0
        or queue == NULL
        or not PyList_CheckExact(<object>queue)
        or queued == NULL
        or not PyLong_CheckExact(<object>queued)
        or bufferSize == NULL
        or not PyLong_CheckExact(<object>bufferSize)
        or reactor == NULL
    ):
        return slowWrite(self, data)
    size = <Py_ssize_t><object>queued + PyBytes_GET_SIZE(data)
    most = PyLong_AsLongAndOverflow(<object>bufferSize, &overflow)
    PyList_Append(<object>queue, data)
    slot_give(self, QUEUED, PyLong_FromSsize_t(size))
    if size > most and overflow <= 0:
        self._maybePauseProducer()
    if SLOT(self, DIRTY) != Py_True:
        slot_set(self, DIRTY, True)
        loop = <object>SLOT(self, REACTOR)
        toSend = loop.dirty
        if Py_TYPE(toSend) == Deque:
            append(toSend, self)
        else:
            toSend.append(self)


cdef int sendQueue(object self) except -1:
    """
    What C{Gathering.sendPlain} does with a transport that is as it takes it.

    @return: 1: all has been sent; 2: a part, and the rest waits for epoll; 0: nothing, for the system says why not; -2:
        nothing, for the transport isn't as it is known here.
    """
    cdef PyObject* found = SLOT(self, QUEUE)
    cdef Py_ssize_t count, i, size
    cdef ssize_t sent
    cdef const char* start
    cdef int fd = descriptorOf(self)
    if fd < 0 or found == NULL or not PyList_CheckExact(<object>found):
        return -2
    queue = <object>found
    count = PyList_GET_SIZE(queue)
    for i in range(count):
        if not PyBytes_Check(<object>PyList_GET_ITEM(queue, i)):
            return -2
    data = <object>PyList_GET_ITEM(queue, 0) if count == 1 else b"".join(queue)
    start, size = PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)
    if size > SMALL:
        with nogil:
            sent = send(fd, start, size, MSG_DONTWAIT)
    else:
        sent = send(fd, start, size, MSG_DONTWAIT)
    if sent < 0:
        # Twisted will meet it again, and knows what to do.
        return 0
    PyList_SetSlice(queue, 0, PyList_GET_SIZE(queue), NULL)
    slot_set(self, QUEUED, 0)
    slot_set(self, DIRTY, False)
    if sent < size:
        self._sentInPart(data, sent)
        return 2
    return 1


cdef bint sendGathered(object self) except -1:
    """
    C{Gathering.sendPlain}.
    """
    cdef int done
    if SLOT(self, PLAIN) != Py_True:
        return False
    done = sendQueue(self)
    return slowSend(self) if done == -2 else done > 0


cdef bint sendLast(object reactor, object self) except -1:
    """
    What C{EPollReactor._sendNow} does with a TCP connection that ends when all has been sent: C{FileDescriptor.doWrite}
    and C{_disconnectSelectable}, when nothing else waits for either.

    @return: is it over, or does the rest wait for epoll? Else nothing has been done.
    """
    cdef PyTypeObject* kind = Py_TYPE(self)
    cdef int fd, done
    if (kind != ofTcp[0] and kind != ofTcp[1]) or Py_TYPE(reactor) != Reactor:
        return False
    fd = descriptorOf(self)
    if (
        fd < 0
        or not self.disconnecting
        or self.TLS
        or self.producer is not None
        or self.dataBuffer
        or self._aborting
        or fd in reactor._reads
        or fd in reactor._writes
    ):
        return False
    done = sendQueue(self)
    if done != 1:
        return done == 2
    contexts = reactor._contexts
    contexts.append(self)
    try:
        self.connectionLost(DONE)
    except KeyboardInterrupt:
        raise
    except BaseException:
        log.err(system=self.logPrefix())
    finally:
        contexts.pop()
    return True


def sendPlain(self):
    """
    C{Gathering.sendPlain}.
    """
    return sendGathered(self) if isGathering(self) else slowSend(self)


# The loop


cdef int sendAll(object reactor, object dirty) except -1:
    """
    C{EPollReactor._sendAll}.
    """
    cdef Py_ssize_t left = len(dirty)
    while left > 0 and len(dirty):
        left -= 1
        transport = popleft(dirty)
        if isDispatched(transport):
            if SLOT(transport, DIRTY) != Py_True or sendGathered(transport):
                continue
            if transport.connected and not sendLast(reactor, transport):
                reactor._call(transport, reactor._sendNow, transport)
        elif transport.dirty and not transport.sendPlain() and transport.connected:
            reactor._call(transport, reactor._sendNow, transport)
    return 0


def doPoll(self, timeout):
    """
    C{EPollReactor.doPoll}.
    """
    # Of this turn alone: a handler may iterate the reactor.
    cdef epoll_event events[EVENTS]
    cdef int number, i, fd, wait, error
    cdef bint isRead
    cdef double seconds, sent
    cdef list contexts
    cdef PyObject* found
    poller, selectables, dirty = self._poller, self._selectables, self.dirty
    kind = type(timeout)
    seconds = timeout if kind is float or kind is int or kind is bool else 0.0
    if (
        type(poller) is not Epoll
        or type(selectables) is not dict
        or Py_TYPE(dirty) != Deque
        or not selectables
        or not (timeout is None or kind is float or kind is int or kind is bool)
        or not 0.0 <= seconds <= 2000000.0
    ):
        return slowPoll(self, timeout)
    wait = -1 if timeout is None else <int>ceil(seconds * 1000)
    contexts = context.theContextTracker.currentContext().contexts
    self._contexts = contexts
    self.logContext = contexts[0][ILogContext] if len(contexts) == 1 else context.get(ILogContext)
    if len(dirty):
        sendAll(self, dirty)
        wait = 0
    number = min(len(selectables), EVENTS)
    fd = poller.fileno()
    with nogil:
        number = epoll_wait(fd, events, number, wait)
        error = errno
    if number < 0:
        if error == EINTR:
            PyErr_CheckSignals()
            return
        PyErr_SetFromErrno(OSError)
    sent = coarse()
    for i in range(number):
        fd = events[i].data.fd
        found = PyDict_GetItemWithError(selectables, fd)
        if found == NULL:
            # It is gone in the meantime.
            continue
        selectable = <object>found
        if events[i].events == EPOLLIN and isDispatched(selectable):
            PyList_Append(contexts, selectable)
            isRead = True
            try:
                # By its name: somebody may have put another there.
                why = selectable.doRead()
            except BaseException as raised:
                log.err()
                why = raised
                isRead = False
            finally:
                contexts.pop()
            if why is not None and why:
                self._call(selectable, self._disconnectSelectable, selectable, why, isRead)
        else:
            log.callWithLogger(selectable, self._doReadOrWrite, selectable, fd, events[i].events)
        if len(dirty) and (len(dirty) >= TOGETHER or coarse() - sent >= SOON):
            sendAll(self, dirty)
            sent = coarse()
    if len(dirty):
        sendAll(self, dirty)


def install():
    """
    Put them where the Python stands.
    """
    epoll.EPollReactor.doPoll = epoll.EPollReactor.doIteration = doPoll
    transports.Gathering.write = write
    transports.Gathering.sendPlain = sendPlain
    transports.Server.doRead = transports.Client.doRead = doRead
    transports.Gathering.readSize = SIZE
