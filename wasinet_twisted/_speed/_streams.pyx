# cython: language_level=3, boundscheck=False, wraparound=False
"""
Twins of an awaited read and write of net, for the common case of each:

 - a read, or the next round of C{async for}, that waits for whatever comes, or gets what is there;
 - bytes for which a task of ours waits, and the task's way to its next await;
 - a write that the transport takes.

They stand for C{WasiTcpConn.read}, C{__anext__} and C{write}, C{ConnectionProtocol.dataReceived}, C{Task.resume} and
the C{__await__} of C{Awaited} and C{Done}. What a read returns is the same C{Awaited}, a Deferred as any other.
"""

from functools import update_wrapper

cimport cython
from cpython.ref cimport Py_INCREF

from wasinet_twisted._speed._tasks cimport goOn, newAwaited, putSpare, takeSpare

include "awaitedslots.pxi"
include "streamslots.pxi"

from wasinet_twisted._fast import isOn
from wasinet_twisted._speed import _tasks
from wasinet_twisted.net.tasks.awaited import IMMEDIATE as _IMMEDIATE

cdef extern from "Python.h":
    Py_ssize_t PyBytes_GET_SIZE(object)
    int PyErr_WarnEx(object, const char*, Py_ssize_t) except -1
    # Borrowed; NULL, and no error: there is none.
    PyObject* _PyType_Lookup(PyTypeObject*, object)

# The twins that others call, once they are in their place.
cdef PyObject* readTwin = NULL
cdef PyObject* resumeTwin = NULL

cdef extern from "once.h":
    int once_ready(PyTypeObject*, void* send) except -1

cdef long IMMEDIATE = _IMMEDIATE
cdef object MOST = WasiTcpConn.read.__defaults__[0]
# What an await gets that has nothing to wait for: an iterator that has ended stays so.
cdef object NO_MORE = iter(())
cdef str REUSED = "cannot reuse already awaited coroutine"

# The Python that these stand for.
cdef object pythonRead = WasiTcpConn.read
cdef object pythonNext = WasiTcpConn.__anext__
cdef object pythonWrite = WasiTcpConn.write
cdef object pythonDataReceived = ConnectionProtocol.dataReceived
cdef object pythonAwait = Awaited.__await__
cdef object pythonAwaitDone = Done.__await__

list(NO_MORE)


# Read


def read(self, maxBytes=65536, timeout=None):
    if timeout is None and PyObject_TypeCheck(self, CONN_TYPE):
        reader = begin(self, maxBytes, None)
        if reader is not None:
            return reader
    return pythonRead(self, maxBytes, timeout)


cdef object begin(object conn, object maxBytes, Once once):
    """
    C{WasiTcpConn.read} and C{ConnectionProtocol.read}.

    @param once: for whom, if for C{__anext__}.
    @return: what waits for bytes, or has got some; L{None}: nothing is done.
    """
    cdef PyObject* held = SLOT(conn, PROTOCOL)
    cdef PyObject* debug
    cdef long count
    if not isA(held, PROTOCOL_TYPE) or number(<PyObject*>maxBytes) < 1:
        return None
    protocol = <object>held
    held = SLOT(protocol, ARRIVED)
    debug = _PyType_Lookup(AWAITED_TYPE, "debug")
    if (
        not isA(held, INCOMING_TYPE)
        or SLOT(protocol, READER) is not Py_None
        or SLOT(protocol, READ_PAUSED) is not Py_False
        or debug is not Py_False
    ):
        return None
    incoming = <object>held
    if SLOT(incoming, SIZE) is not <PyObject*>ZERO:
        count = number(SLOT(protocol, COUNT))
        if count < 0 or count >= IMMEDIATE or number(SLOT(incoming, SIZE)) < 1:
            return None
        slot_set(protocol, COUNT, count + 1)
        given = incoming.read(maxBytes)
        reader = newAwaited()
        slot_set(reader, CALLED, True)
        slot_set(reader, CANCELLER, None)
        slot_set(reader, RESULT, given)
        return reader
    if SLOT(incoming, ENDED) is not Py_False:
        return None
    if once is None:
        reader = newAwaited()
        slot_set(reader, CANCELLER, conn._cancelRead)
    else:
        reader = takeSpare()
        slot_set(reader, CANCELLER, once)
    slot_set(reader, CALLED, False)
    slot_set(incoming, WAITING, maxBytes)
    slot_set(protocol, READER, reader)
    slot_set(protocol, ASKED, maxBytes)
    return reader


cdef object following(object self):
    """
    C{WasiTcpConn.__anext__}.
    """
    # A subclass, or whoever replaces it, may have another read; so may an object that has a dict.
    if (
        PyObject_TypeCheck(self, CONN_TYPE)
        and _PyType_Lookup(Py_TYPE(<PyObject*>self), "read") is readTwin
        and Py_TYPE(<PyObject*>self).tp_dictoffset == 0
    ):
        return newOnce(self, True)
    return pythonNext(self)


# Deliver


def dataReceived(self, data):
    """
    C{ConnectionProtocol.dataReceived}.
    """
    cdef PyObject* held
    cdef Py_ssize_t size
    cdef bint isTwin
    if (
        type(data) is bytes
        and Py_TYPE(<PyObject*>self) is PROTOCOL_TYPE
        and SLOT(self, CLOSING) is Py_False
        and SLOT(self, TIMER) is Py_None
        and isA(SLOT(self, ARRIVED), INCOMING_TYPE)
        and isA(SLOT(self, READER), AWAITED_TYPE)
    ):
        incoming = <object>SLOT(self, ARRIVED)
        reader = <object>SLOT(self, READER)
        held = SLOT(reader, TASK)
        size = PyBytes_GET_SIZE(data)
        if (
            size
            and number(SLOT(incoming, WAITING)) >= size
            and SLOT(incoming, SIZE) is <PyObject*>ZERO
            and held is not NULL
            and held is not Py_None
        ):
            task = <object>held
            slot_set(incoming, WAITING, ZERO)
            slot_set(self, COUNT, ZERO)
            slot_set(self, READER, None)
            isTwin = _PyType_Lookup(Py_TYPE(held), "resume") is resumeTwin and PyObject_TypeCheck(task, TASK_TYPE)
            if isTwin:
                slot_set(task, AWAITING, None)
                if putSpare(reader, Once):
                    goOn(task, data)
                    return
            # As Awaited.give has it.
            slot_set(reader, TASK, None)
            slot_set(reader, CALLED, True)
            slot_set(reader, CANCELLER, None)
            slot_set(reader, RESULT, None)
            if isTwin:
                goOn(task, data)
            else:
                task.resume(data)
            if not isEmpty(SLOT(reader, CALLBACKS)) and reader._callbacks:
                reader._runCallbacks()
            return
    pythonDataReceived(self, data)


# Await


cdef enum:
    # What becomes of a Once: it has not begun; it waits to be sent the result; Python does it; it is over.
    NEW, WAITS, PYTHON, OVER


@cython.final
@cython.freelist(64)
# A copy could be made to wait for what is no Awaited.
@cython.auto_pickle(False)
cdef class Once:
    """
    What C{Awaited.__await__} gives, or the coroutine of C{WasiTcpConn.__anext__}: it yields what is awaited once, and
    then ends with what it is sent.
    """

    # What is awaited; or the handle that is to be read from.
    cdef object what
    # What does it in Python, where it is no common case.
    cdef object python
    cdef int state
    # Is it for C{async for}?
    cdef bint isNext

    def __await__(self):
        return self

    def __iter__(self):
        return self

    # The interpreter calls what once.h has.
    def __next__(self):
        return (<object>self).send(None)

    def throw(self, *error):
        """
        See C{Generator.throw}.
        """
        if self.state == PYTHON:
            return self.python.throw(*error)
        if self.state == OVER and self.isNext:
            raise RuntimeError(REUSED)
        self.end()
        return ended().throw(*error)

    def close(self):
        """
        See C{Generator.close}.
        """
        if self.state == PYTHON:
            self.python.close()
        self.end()

    def __call__(self, awaited):
        """
        The waiting read is cancelled, be this over or not: a read that waits keeps the handle.
        """
        self.what._cancelRead(awaited)

    cdef void end(self):
        self.state = OVER
        self.python = None

    def __dealloc__(self):
        if self.isNext and self.state == NEW:
            PyErr_WarnEx(RuntimeWarning, "coroutine 'WasiTcpConn.__anext__' was never awaited", 1)


def ended():
    """
    Return a generator that raises what is thrown into it, with all that Python's do to it.
    """
    yield


cdef Once newOnce(object what, bint isNext):
    cdef Once once = Once.__new__(Once)
    once.what = what
    once.isNext = isNext
    return once


cdef PySendResult onceSend(Once self, object value, PyObject** result) except -1:
    if self.state == NEW:
        if value is not None:
            raise TypeError("can't send non-None value to a just-started coroutine")
        # None: the garbage collector has cleared this.
        awaited = begin(self.what, MOST, self) if self.isNext and self.what is not None else self.what
        if awaited is not None and SLOT(awaited, CALLED) is Py_False:
            self.state = WAITS
            Py_INCREF(awaited)
            result[0] = <PyObject*>awaited
            return PYGEN_NEXT
        if awaited is not None and isPlain(awaited):
            value = <object>SLOT(awaited, RESULT)
            self.state = WAITS
        else:
            self.python = pythonNext(self.what) if self.isNext else pythonAwait(self.what)
            self.state = PYTHON
    if self.state == PYTHON:
        return PyIter_Send(self.python, value, result)
    if self.state == OVER:
        if self.isNext:
            raise RuntimeError(REUSED)
        value = None
    self.end()
    if self.isNext and not value:
        raise StopAsyncIteration
    Py_INCREF(value)
    result[0] = <PyObject*>value
    return PYGEN_RETURN


cdef object awaitIt(object self):
    """
    C{Awaited.__await__}.
    """
    return newOnce(self, False) if Py_TYPE(<PyObject*>self) is AWAITED_TYPE else pythonAwait(self)


cdef object awaitDone(object self):
    """
    C{Done.__await__}.
    """
    if (
        Py_TYPE(<PyObject*>self) is DONE_TYPE
        and SLOT(self, PAUSED) is <PyObject*>ZERO
        and SLOT(self, RESULT) is Py_None
    ):
        return NO_MORE
    return pythonAwaitDone(self)


# Write


def write(self, data):
    """
    C{WasiTcpConn.write} and C{TransportProtocol.write}.
    """
    cdef PyObject* held
    cdef long count
    if type(data) is bytes and PyObject_TypeCheck(self, CONN_TYPE):
        held = SLOT(self, PROTOCOL)
        if isA(held, PROTOCOL_TYPE):
            protocol = <object>held
            if (
                SLOT(protocol, CLOSING) is Py_False
                and SLOT(protocol, FINISHED) is Py_False
                and SLOT(protocol, LOST) is Py_False
                and SLOT(protocol, QUEUED) is <PyObject*>ZERO
                and SLOT(protocol, TRANSPORT) is not NULL
            ):
                (<object>SLOT(protocol, TRANSPORT)).write(data)
                if SLOT(protocol, WRITE_PAUSED) is not Py_False:
                    protocol._queued += PyBytes_GET_SIZE(data)
                elif SLOT(protocol, BROKEN) is Py_None:
                    count = number(SLOT(protocol, COUNT))
                    if 0 <= count < IMMEDIATE:
                        slot_set(protocol, COUNT, count + 1)
                        done = PyBaseObject_Type.tp_new(DONE_TYPE, <PyObject*>NOTHING, NULL)
                        slot_give(done, CALLBACKS, PyList_New(0))
                        slot_set(done, PAUSED, ZERO)
                        slot_set(done, RESULT, None)
                        return done
                return protocol._written()
    return pythonWrite(self, data)


# What Python sees of the three that the interpreter calls.

def __anext__(self):
    return following(self)

def awaitedIterator(self):
    return awaitIt(self)

def doneIterator(self):
    return awaitDone(self)


def install():
    """
    Put these in the place of the Python methods.
    """
    global readTwin, resumeTwin
    once_ready(<PyTypeObject*>Once, <void*>onceSend)
    twins = [
        (WasiTcpConn, "read", read),
        (WasiTcpConn, "__anext__", __anext__),
        (WasiTcpConn, "write", write),
        (ConnectionProtocol, "dataReceived", dataReceived),
        (Awaited, "__await__", awaitedIterator),
        (Awaited, "__iter__", awaitedIterator),
        (Done, "__await__", doneIterator),
        (Done, "__iter__", doneIterator),
    ]
    readTwin = <PyObject*>read
    if isOn("net.resume"):
        twins.append((Task, "resume", _tasks.resume))
        resumeTwin = <PyObject*>_tasks.resume
    for kind, name, twin in twins:
        setattr(kind, name, update_wrapper(twin, kind.__dict__[name]))
    # The interpreter goes by the types' slots. What Python has put there would look the method up and call it. Whoever
    # sets the method anew resets the slot.
    CONN_TYPE.tp_as_async.am_anext = <void*>following
    AWAITED_TYPE.tp_as_async.am_await = <void*>awaitIt
    DONE_TYPE.tp_as_async.am_await = <void*>awaitDone
