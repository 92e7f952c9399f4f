# cython: language_level=3, boundscheck=False, wraparound=False
"""
The twin of C{Task.resume}, and how an C{Awaited} is made for a read.
"""

from cpython.ref cimport Py_DECREF

include "awaitedslots.pxi"

cdef extern from "Python.h":
    bint PyCoro_CheckExact(PyObject*)
    bint PyContext_CheckExact(PyObject*)
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    Py_ssize_t Py_REFCNT(PyObject*)

cdef Py_ssize_t WEAKLY = AWAITED_TYPE.tp_weaklistoffset
cdef Py_ssize_t CONTEXT = slot_offset(Task, "_context")
cdef Py_ssize_t COROUTINE = slot_offset(Task, "_coroutine")
cdef Py_ssize_t UNHEARD = slot_offset(Task, "_unheard")

cdef object pythonResume = Task.resume


# Make


cdef object newAwaited():
    reader = PyBaseObject_Type.tp_new(AWAITED_TYPE, <PyObject*>NOTHING, NULL)
    slot_give(reader, CALLBACKS, PyList_New(0))
    slot_set(reader, PAUSED, ZERO)
    slot_set(reader, TASK, None)
    return reader


# What the last round of C{async for} has waited for, as new. Nobody but the task that waited has ever seen it: then the
# next round may have the same. A Deferred takes long to make, and longer to let go.
cdef object spare = None


cdef object takeSpare():
    global spare
    if spare is None:
        return newAwaited()
    reader = spare
    spare = None
    return reader


cdef bint putSpare(object reader, type canceller) except -1:
    """
    @param canceller: the class of what cancels it, if it is one that may be used again.
    @return: has nobody else C{reader}? Then it is not to be used any more.
    """
    global spare
    if (
        # The caller's.
        Py_REFCNT(<PyObject*>reader) != 1
        or not isA(SLOT(reader, CANCELLER), <PyTypeObject*>canceller)
        or SLOT(reader, PAUSED) is not <PyObject*>ZERO
        or SLOT(reader, RESULT) is not NULL
        or not isEmpty(SLOT(reader, CALLBACKS))
        or SLOT(reader, WEAKLY) is not NULL
        or spare is not None
    ):
        return False
    slot_set(reader, TASK, None)
    slot_set(reader, CANCELLER, None)
    spare = reader
    return True


# Resume


def resume(self, value):
    """
    C{Task.resume}.
    """
    if PyObject_TypeCheck(self, TASK_TYPE):
        goOn(self, value)
    else:
        pythonResume(self, value)


cdef int goOn(object self, object value) except -1:
    cdef PyObject* given = NULL
    cdef PySendResult how
    if not isContext(SLOT(self, CONTEXT)) or not isCoroutine(SLOT(self, COROUTINE)):
        pythonResume(self, value)
        return 0
    slot_set(self, AWAITING, None)
    try:
        how = step(<object>SLOT(self, CONTEXT), <object>SLOT(self, COROUTINE), value, &given)
    except BaseException as error:
        self._endWith(error)
        return 0
    awaited = <object>given
    Py_DECREF(awaited)
    if how == PYGEN_RETURN:
        self._endWith(StopIteration(awaited))
    elif isFree(given) and SLOT(self, UNHEARD) is Py_False:
        slot_set(awaited, TASK, self)
        slot_set(self, AWAITING, awaited)
    else:
        self.goOn(awaited)
    return 0


cdef PySendResult step(object context, object coroutine, object value, PyObject** given) except -1:
    """
    C{context.run(coroutine.send, value)}.
    """
    cdef PySendResult how
    PyContext_Enter(context)
    try:
        how = PyIter_Send(coroutine, value, given)
    finally:
        PyContext_Exit(context)
    return how


cdef inline bint isContext(PyObject* held):
    return held is not NULL and PyContext_CheckExact(held)


cdef inline bint isCoroutine(PyObject* held):
    return held is not NULL and PyCoro_CheckExact(held)


cdef inline bint isFree(PyObject* awaited):
    """
    C{Awaited.isFree}, of just that class.
    """
    return (
        isA(awaited, AWAITED_TYPE)
        and SLOT(<object>awaited, CALLED) is Py_False
        and SLOT(<object>awaited, TASK) is Py_None
        and SLOT(<object>awaited, PAUSED) is <PyObject*>ZERO
        and isEmpty(SLOT(<object>awaited, CALLBACKS))
    )
