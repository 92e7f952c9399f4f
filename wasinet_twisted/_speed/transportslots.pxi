# Where the reactor's transports have their slots, and a socket its descriptor.

from cpython.object cimport PyObject, PyTypeObject, Py_TYPE

from .slots cimport SLOT, slot_give, slot_offset, slot_set
from .sockets cimport wasinet_before_family, wasinet_fd

import socket

from ..reactor import transports

cdef extern from "Python.h":
    PyObject* Py_True
    PyObject* Py_False
    PyObject* Py_None
    bint PyObject_TypeCheck(object, PyTypeObject*)

cdef extern from *:
    """
    /* What object.__new__ makes of a class. */
    static inline PyObject *wasinet_new(PyTypeObject *kind)
    {
        static PyObject *none = NULL;
        if (!none && !(none = PyTuple_New(0)))
            return NULL;
        return PyBaseObject_Type.tp_new(kind, none, NULL);
    }
    """
    object wasinet_new(PyTypeObject*)

cdef Py_ssize_t at(kind, name) except -1:
    return slot_offset(kind, name)

cdef Py_ssize_t PLAIN = at(transports._Fields, "_plain"), DIRTY = at(transports._Fields, "dirty")
cdef Py_ssize_t QUEUE = at(transports._Fields, "_tempDataBuffer"), QUEUED = at(transports._Fields, "_tempDataLen")
cdef Py_ssize_t BUFFER_SIZE = at(transports._Fields, "bufferSize"), SOCKET = at(transports._Fields, "socket")
cdef Py_ssize_t PROTOCOL = at(transports._Fields, "protocol"), REACTOR = at(transports._Fields, "reactor")
cdef Py_ssize_t TOLD = at(transports._Fields, "_peerAddress")

cdef PyTypeObject* Gathering = <PyTypeObject*>transports.Gathering
cdef PyTypeObject* Socket = <PyTypeObject*>socket.socket
cdef Py_ssize_t FD = wasinet_before_family(socket.SocketType.__dict__["family"])


cdef inline bint isGathering(object transport):
    """
    Has it the slots? Whoever takes a method from its class may call it with anything.
    """
    return PyObject_TypeCheck(transport, Gathering)


cdef inline int descriptorOf(object transport):
    """
    Return the descriptor of a socket of the reactor's transport; -1 if it has none, or one whose methods may be others.
    """
    cdef PyObject* found = SLOT(transport, SOCKET)
    if found == NULL or Py_TYPE(<object>found) != Socket:
        return -1
    return wasinet_fd(found, FD)


cdef int checkSockets() except -1:
    """
    Is a socket's descriptor where it is looked for?
    """
    found = []
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            found.append(wasinet_fd(<PyObject*>each, FD) == each.fileno())
    found.append(wasinet_fd(<PyObject*>one, FD) == -1)
    if not all(found):
        raise ImportError("a socket's descriptor stands elsewhere in this Python")
    return 0

checkSockets()
