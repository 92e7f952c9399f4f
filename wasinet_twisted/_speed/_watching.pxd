from cpython.dict cimport PyDict_Next
from cpython.object cimport PyObject

cdef enum:
    MOST = 16

cdef class Watch:
    cdef tuple kinds
    cdef list seen
    # The same, borrowed.
    cdef PyObject* pointers[MOST]
    cdef int count
    cdef bint same
    cdef unsigned int tags[MOST]
    cdef bint unchanged(self) except -1
    cdef bint _look(self) except -1

# A function in a module, which somebody may replace; and where its name stood in the module's dict when looked for last.
cdef struct Named:
    PyObject* names
    PyObject* name
    PyObject* function
    Py_ssize_t at

cdef int watchName(Named* named, object module, str name, object function) except -1
cdef bint lookFor(Named* named) except -1

cdef inline bint stands(Named* named) except -1:
    """
    Is the function the one that it was?
    """
    cdef Py_ssize_t at = named.at
    cdef PyObject* name
    cdef PyObject* function
    # A third of what a look-up costs.
    if PyDict_Next(<object>named.names, &at, &name, &function) and name == named.name:
        return function == named.function
    return lookFor(named)
