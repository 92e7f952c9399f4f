# What the twins of net's streams and tasks share: how what an Awaited has is read, and what is in a slot.

from cpython.object cimport PyObject

from wasinet_twisted._speed.slots cimport SLOT, slot_give, slot_offset, slot_set

from twisted.python.failure import Failure

from wasinet_twisted.net.tasks.awaited import Awaited
from wasinet_twisted.net.tasks.task import Task

cdef extern from "Python.h":
    ctypedef struct PyAsyncMethods:
        void* am_await
        void* am_anext
    ctypedef struct PyTypeObject:
        PyAsyncMethods* tp_as_async
        Py_ssize_t tp_dictoffset
        Py_ssize_t tp_weaklistoffset
        object (*tp_new)(PyTypeObject*, PyObject*, PyObject*)
    PyTypeObject PyBaseObject_Type
    PyObject* Py_True
    PyObject* Py_False
    PyObject* Py_None
    ctypedef int PySendResult
    int PYGEN_RETURN, PYGEN_NEXT
    # PYGEN_ERROR
    PySendResult PyIter_Send(object, object, PyObject**) except -1
    PyTypeObject* Py_TYPE(PyObject*)
    bint PyObject_TypeCheck(object, PyTypeObject*)
    bint PyLong_CheckExact(PyObject*)
    bint PyList_CheckExact(PyObject*)
    Py_ssize_t PyList_GET_SIZE(PyObject*)
    PyObject* PyList_New(Py_ssize_t) except NULL
    long PyLong_AsLongAndOverflow(object, int*) except? -1

cdef PyTypeObject* AWAITED_TYPE = <PyTypeObject*>Awaited
cdef PyTypeObject* TASK_TYPE = <PyTypeObject*>Task

cdef Py_ssize_t CALLBACKS = slot_offset(Awaited, "_callbacks")
cdef Py_ssize_t CANCELLER = slot_offset(Awaited, "_canceller")
cdef Py_ssize_t CALLED = slot_offset(Awaited, "called")
cdef Py_ssize_t PAUSED = slot_offset(Awaited, "paused")
cdef Py_ssize_t RESULT = slot_offset(Awaited, "result")
cdef Py_ssize_t TASK = slot_offset(Awaited, "task")
cdef Py_ssize_t AWAITING = slot_offset(Task, "_awaiting")

cdef object NOTHING = (), ZERO = 0, FAILURE = Failure


cdef inline bint isA(PyObject* held, PyTypeObject* kind):
    return held is not NULL and Py_TYPE(held) is kind


cdef inline long number(PyObject* held) except? -1:
    """
    Return what a slot holds that counts something; -1: something else.
    """
    cdef int overflow = 0
    cdef long value
    if held is NULL or not PyLong_CheckExact(held):
        return -1
    value = PyLong_AsLongAndOverflow(<object>held, &overflow)
    return -1 if overflow else value


cdef inline bint isEmpty(PyObject* callbacks):
    return callbacks is not NULL and PyList_CheckExact(callbacks) and PyList_GET_SIZE(callbacks) == 0


cdef inline bint isPlain(object awaited):
    """
    Has it a result that is no failure, to be told now?
    """
    cdef PyObject* result = SLOT(awaited, RESULT)
    return (
        SLOT(awaited, CALLED) is Py_True
        and SLOT(awaited, PAUSED) is <PyObject*>ZERO
        and result is not NULL
        and not isinstance(<object>result, FAILURE)
    )
